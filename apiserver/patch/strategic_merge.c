// SPDX-License-Identifier: Apache-2.0
/*
 * Strategic merge patch. Objects merge member by member; lists whose schema says so merge by a key,
 * or as sets of scalars; everything else is replaced. What the schema does not know merges as in a
 * JSON merge patch.
 */
#include <string.h>

#include "apiserver/patch/patch.h"
#include "common/alloc.h"
#include "common/json.h"

static const char directive[] = "$patch", retain[] = "$retainKeys",
                  order_prefix[] = "$setElementOrder/",
                  delete_prefix[] = "$deleteFromPrimitiveList/";

static bool merge_object(const struct schema *schema, const json_t *patch, json_t *object,
                         struct error *error);

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static const struct schema *member_schema(const struct schema *schema, const char *name)
{
    if (schema == NULL) {
        return NULL;
    }
    if (schema->type == SCHEMA_MAP) {
        return schema->items;
    }
    const struct schema_field *field =
        schema->type == SCHEMA_OBJECT ? schema_field_find(schema->object, name) : NULL;
    return field ? field->schema : NULL;
}

/* A patch's value as it would merge into nothing: without directives and nulls. The caller's. */
static json_t *without_directives(const struct schema *schema, const json_t *patch,
                                  struct error *error)
{
    if (json_is_object(patch)) {
        json_t *object = json_object();
        if (!merge_object(schema, patch, object, error)) {
            json_decref(object);
            return NULL;
        }
        return object;
    }
    if (!json_is_array(patch)) {
        return json_incref((json_t *)patch);
    }
    json_t *list = json_array();
    const struct schema *items = schema ? schema->items : NULL;
    for (size_t i = 0; i < json_array_size(patch); i++) {
        const json_t *element = json_array_get(patch, i);
        if (json_get_string(element, directive) != NULL) {
            continue; /* Nothing is there to delete or replace. */
        }
        json_t *clean = without_directives(items, element, error);
        if (clean == NULL) {
            json_decref(list);
            return NULL;
        }
        json_array_append_new(list, clean);
    }
    return list;
}

/* ---- lists ---- */

static size_t find_by_key(const json_t *list, const char *key, const json_t *value)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *present = json_object_get(json_array_get(list, i), key);
        if (present != NULL && value != NULL && json_equal(present, value)) {
            return i;
        }
    }
    return json_array_size(list);
}

static bool has_equal(const json_t *list, const json_t *value)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (json_equal(json_array_get(list, i), value)) {
            return true;
        }
    }
    return false;
}

static bool replaces_list(const json_t *patch)
{
    for (size_t i = 0; i < json_array_size(patch); i++) {
        const char *what = json_get_string(json_array_get(patch, i), directive);
        if (what != NULL && strcmp(what, "replace") == 0) {
            return true;
        }
    }
    return false;
}

static bool merge_element(const struct schema *schema, const json_t *element, json_t *list,
                          struct error *error)
{
    const char *what = json_get_string(element, directive);
    const json_t *key = json_object_get(element, schema->merge_key);
    if (key == NULL) {
        return error_bad_request(error, "map: %s does not contain declared merge key: %s",
                                 json_is_object(element) ? "the element" : "a value",
                                 schema->merge_key);
    }
    size_t at = find_by_key(list, schema->merge_key, key);
    if (what != NULL && strcmp(what, "delete") == 0) {
        while (at < json_array_size(list)) {
            json_array_remove(list, at);
            at = find_by_key(list, schema->merge_key, key);
        }
        return true;
    }
    if (at < json_array_size(list)) {
        return merge_object(schema->items, element, json_array_get(list, at), error);
    }
    json_t *fresh = without_directives(schema->items, element, error);
    if (fresh != NULL) {
        json_array_append_new(list, fresh);
    }
    return fresh != NULL;
}

static bool merge_list(const struct schema *schema, const json_t *patch, json_t *list,
                       struct error *error)
{
    for (size_t i = 0; i < json_array_size(patch); i++) {
        json_t *element = json_array_get(patch, i);
        if (schema->merge_key != NULL) {
            if (!merge_element(schema, element, list, error)) {
                return false;
            }
        } else if (!has_equal(list, element)) {
            json_array_append(list, element);
        }
    }
    return true;
}

/* Sorts the elements that the order names into that order; the others keep their place behind the
 * element that they follow. */
static void set_order(const struct schema *schema, const json_t *order, json_t *list)
{
    const char *key = schema ? schema->merge_key : NULL;
    cleanup(json_release)
    json_t *old = json_copy(list);
    json_t *sorted = json_array();
    for (size_t i = 0; i < json_array_size(order); i++) {
        const json_t *wanted = json_array_get(order, i);
        for (size_t at = 0; at < json_array_size(old); at++) {
            json_t *element = json_array_get(old, at);
            const json_t *left = key ? json_object_get(element, key) : element;
            const json_t *right =
                key && json_is_object(wanted) ? json_object_get(wanted, key) : wanted;
            if (left != NULL && right != NULL && json_equal(left, right)) {
                json_array_append(sorted, element);
                json_array_remove(old, at);
                break;
            }
        }
    }
    /* What only the server has goes where it stood, as far as there is such a place. */
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *element = json_array_get(list, i);
        if (has_equal(old, element) && !has_equal(sorted, element)) {
            size_t place = i < json_array_size(sorted) ? i : json_array_size(sorted);
            json_array_insert(sorted, place, element);
        }
    }
    json_array_clear(list);
    json_array_extend(list, sorted);
    json_decref(sorted);
}

static void delete_values(const json_t *values, json_t *list)
{
    for (size_t i = json_array_size(list); i-- > 0;) {
        if (has_equal(values, json_array_get(list, i))) {
            json_array_remove(list, i);
        }
    }
}

/* ---- objects ---- */

static void retain_keys(const json_t *keys, json_t *object)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe (object, next, key, value) {
        if (!json_array_has_string(keys, key)) {
            json_object_del(object, key);
        }
    }
}

static bool merge_member(const struct schema *schema, const char *key, const json_t *value,
                         json_t *object, struct error *error)
{
    const struct schema *member = member_schema(schema, key);
    json_t *present = json_object_get(object, key);
    if (json_is_null(value)) {
        json_object_del(object, key);
        return true;
    }
    if (json_is_object(value) && json_is_object(present)) {
        const char *what = json_get_string(value, directive);
        if (what != NULL && strcmp(what, "delete") == 0) {
            json_object_del(object, key);
            return true;
        }
        return merge_object(member, value, present, error);
    }
    bool merges = json_is_array(value) && json_is_array(present) && member != NULL &&
                  member->type == SCHEMA_LIST && member->patch_merge && !replaces_list(value);
    if (merges) {
        return merge_list(member, value, present, error);
    }
    if (json_is_object(value)) {
        const char *what = json_get_string(value, directive);
        if (what != NULL && strcmp(what, "delete") == 0) {
            json_object_del(object, key);
            return true;
        }
    }
    json_t *fresh = without_directives(member, value, error);
    if (fresh != NULL) {
        json_object_set_new(object, key, fresh);
    }
    return fresh != NULL;
}

/* The directives that speak of lists beside them; orders come last. */
static void apply_list_directives(const struct schema *schema, const json_t *patch, json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)patch, key, value) {
        if (starts_with(key, delete_prefix)) {
            delete_values(value, json_object_get(object, key + strlen(delete_prefix)));
        }
    }
    json_object_foreach ((json_t *)patch, key, value) {
        if (starts_with(key, order_prefix)) {
            const char *name = key + strlen(order_prefix);
            json_t *list = json_object_get(object, name);
            if (json_is_array(list)) {
                set_order(member_schema(schema, name), value, list);
            }
        }
    }
}

static bool merge_object(const struct schema *schema, const json_t *patch, json_t *object,
                         struct error *error)
{
    const char *what = json_get_string(patch, directive);
    const char *key;
    json_t *value;
    if (what != NULL && strcmp(what, "replace") != 0 && strcmp(what, "merge") != 0 &&
        strcmp(what, "delete") != 0) {
        return error_bad_request(error, "Unknown patch type found: %s", what);
    }
    if (what != NULL && strcmp(what, "merge") != 0) {
        json_object_clear(object);
        if (strcmp(what, "delete") == 0) {
            return true;
        }
    }
    json_object_foreach ((json_t *)patch, key, value) {
        if (key[0] == '$') {
            continue;
        }
        if (!merge_member(schema, key, value, object, error)) {
            return false;
        }
    }
    if (json_object_get(patch, retain) != NULL) {
        retain_keys(json_object_get(patch, retain), object);
    }
    apply_list_directives(schema, patch, object);
    return true;
}

bool patch_strategic(const struct schema *schema, const json_t *patch, json_t *object,
                     struct error *error)
{
    if (!json_is_object(patch)) {
        return error_bad_request(error,
                                 "error decoding patch: a strategic merge patch must be an object");
    }
    return merge_object(schema, patch, object, error);
}

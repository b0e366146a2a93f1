// SPDX-License-Identifier: Apache-2.0
/*
 * Strategic merge patch. Objects merge member by member; lists whose schema says so merge by a key,
 * or as sets of scalars; everything else is replaced. What the schema does not know merges as in a
 * JSON merge patch.
 *
 * The order of a merged list is upstream's: elements of the patch stand in the order of the patch
 * (or of $setElementOrder), those that only the server has keep their order, and the two are
 * interleaved by their places in the live list as far as those are known. So an element that is new
 * comes first.
 */
#include <stdlib.h>
#include <string.h>

#include "apiserver/patch/patch.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/map.h"

static const char directive[] = "$patch", retain[] = "$retainKeys",
                  order_prefix[] = "$setElementOrder/",
                  delete_prefix[] = "$deleteFromPrimitiveList/";

static bool merge_object(const struct schema *schema, const json_t *patch, json_t *object,
                         struct error *error);

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_directive(const char *key)
{
    return strcmp(key, directive) == 0 || strcmp(key, retain) == 0 ||
           starts_with(key, order_prefix) || starts_with(key, delete_prefix);
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

static bool is_merged_list(const struct schema *schema)
{
    return schema != NULL && schema->type == SCHEMA_LIST && schema->patch_merge;
}

/* ---- complaints ---- */

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A value as Go prints it in messages: map[image:nginx name:a]. */
static void print_value(const json_t *value, struct buffer *out)
{
    if (json_is_string(value)) {
        buffer_add_text(out, json_string_value(value));
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            buffer_add_char(out, i ? ' ' : '[');
            print_value(json_array_get(value, i), out);
        }
        buffer_add_text(out, json_array_size(value) ? "]" : "[]");
    } else if (json_is_object(value)) {
        const char **keys = allocate_zero(json_object_size(value) + 1, sizeof *keys);
        size_t count = 0;
        for (void *at = json_object_iter((json_t *)value); at != NULL;
             at = json_object_iter_next((json_t *)value, at)) {
            keys[count++] = json_object_iter_key(at);
        }
        qsort(keys, count, sizeof *keys, compare_keys);
        buffer_add_text(out, "map[");
        for (size_t i = 0; i < count; i++) {
            buffer_addf(out, "%s%s:", i ? " " : "", keys[i]);
            print_value(json_object_get(value, keys[i]), out);
        }
        buffer_add_char(out, ']');
        free(keys);
    } else {
        json_encode(value, out);
    }
}

/* Errors that upstream has no better code for. */
static bool no_merge_key(const json_t *element, const char *key, struct error *error)
{
    cleanup(buffer_free)
    struct buffer shown = BUFFER_INIT;
    print_value(element, &shown);
    return error_set(error, 500, "", "map: %s does not contain declared merge key: %s",
                     buffer_text(&shown), key);
}

static bool unknown_directive(const char *what, const json_t *patch, struct error *error)
{
    cleanup(buffer_free)
    struct buffer shown = BUFFER_INIT;
    print_value(patch, &shown);
    return error_set(error, 500, "", "unknown patch type: %s in map: %s", what,
                     buffer_text(&shown));
}

/* ---- values that meet nothing ---- */

enum { clean_values_max = 256 }; /* Looked at again for each level above. */

/* It merges into nothing as it stands: there are no directives and no nulls in it. '*left' values
 * are looked at, and more are not told to be. */
static bool is_clean(const json_t *patch, size_t *left)
{
    if (*left == 0) {
        return false;
    }
    *left -= 1;
    for (size_t i = 0; i < json_array_size(patch); i++) {
        if (!is_clean(json_array_get(patch, i), left)) {
            return false;
        }
    }
    for (void *at = json_object_iter((json_t *)patch); at != NULL;
         at = json_object_iter_next((json_t *)patch, at)) {
        const json_t *value = json_object_iter_value(at);
        if (json_object_iter_key(at)[0] == '$' || json_is_null(value) || !is_clean(value, left)) {
            return false;
        }
    }
    return true;
}

/* A patch's value as it would merge into nothing: without directives and nulls. The caller's; NULL
 * on an error. */
static json_t *without_directives(const struct schema *schema, const json_t *patch,
                                  struct error *error)
{
    cleanup(json_release)
    json_t *clean = NULL;
    size_t left = clean_values_max;
    if (is_clean(patch, &left)) {
        return json_incref((json_t *)patch);
    }
    if (json_is_object(patch)) {
        clean = json_object();
        return merge_object(schema, patch, clean, error) ? steal(clean) : NULL;
    }
    clean = json_array();
    for (size_t i = 0; i < json_array_size(patch); i++) {
        const json_t *element = json_array_get(patch, i);
        if (json_object_get(element, directive) != NULL) {
            continue; /* Nothing is there to delete or replace. */
        }
        json_t *copy = without_directives(schema ? schema->items : NULL, element, error);
        if (copy == NULL) {
            return NULL;
        }
        json_array_append_new(clean, copy);
    }
    return steal(clean);
}

/* ---- places of elements ---- */

/* A list is short, as a rule, and its keys are strings: these are compared as they stand. What else
 * there is goes by the text of the key. */
enum { few = 16 };

/* Where the elements of a list stand, by their merge key or, of scalars, by themselves. */
struct places {
    json_t *strings[few]; /* Keys of those first added. */
    size_t string_indexes[few];
    size_t string_count;
    struct map indexes; /* Of the others: text of the key to its first index + 1. */
    const char *merge_key;
};

static json_t *key_of(const struct places *places, const json_t *element)
{
    return places->merge_key && json_is_object(element)
               ? json_object_get(element, places->merge_key)
               : (json_t *)element;
}

static bool is_same_string(const json_t *a, const json_t *b)
{
    size_t length = json_string_length(a);
    return length == json_string_length(b) &&
           memcmp(json_string_value(a), json_string_value(b), length) == 0;
}

/* The index, or -1. */
static long places_find(const struct places *places, const json_t *element)
{
    const json_t *key = key_of(places, element);
    for (size_t i = 0; json_is_string(key) && i < places->string_count; i++) {
        if (is_same_string(places->strings[i], key)) {
            return (long)places->string_indexes[i];
        }
    }
    if (key == NULL || places->indexes.count == 0) {
        return -1;
    }
    cleanup(free_char)
    char *text = json_text(key);
    return (long)(uintptr_t)map_get(&places->indexes, text) - 1;
}

static void places_add(struct places *places, const json_t *element, size_t index)
{
    json_t *key = key_of(places, element);
    if (key == NULL || places_find(places, element) >= 0) {
        return;
    }
    if (json_is_string(key) && places->string_count < few) {
        places->strings[places->string_count] = json_incref(key);
        places->string_indexes[places->string_count++] = index;
        return;
    }
    cleanup(free_char)
    char *text = json_text(key);
    map_set(&places->indexes, text, (void *)(uintptr_t)(index + 1));
}

static struct places places_of(const char *merge_key, const json_t *list)
{
    struct places places = {.merge_key = merge_key};
    for (size_t i = 0; i < json_array_size(list); i++) {
        places_add(&places, json_array_get(list, i), i);
    }
    return places;
}

static void places_free(struct places *places)
{
    for (size_t i = 0; i < places->string_count; i++) {
        json_decref(places->strings[i]);
    }
    map_free(&places->indexes, NULL);
}

/* ---- order ---- */

struct placed {
    json_t *element; /* Borrowed from the list. */
    long place;      /* In the order that the patch asks for; -1: only the server has it. */
    long live_place; /* In the live list; -1: it is new. */
    size_t index;    /* Where it stood; keeps sorting stable. */
};

static int compare_places(const void *a, const void *b)
{
    const struct placed *left = a, *right = b;
    if (left->place != right->place) {
        return left->place < right->place ? -1 : 1;
    }
    if (left->place < 0 && left->live_place != right->live_place) {
        return left->live_place < right->live_place ? -1 : 1;
    }
    return (left->index > right->index) - (left->index < right->index);
}

/* 'sorted' holds first those that only the server has, then those of the patch. */
static void interleave(const struct placed *sorted, size_t count, json_t *list)
{
    size_t server = 0, patch = 0;
    while (patch < count && sorted[patch].place < 0) {
        patch++;
    }
    size_t server_end = patch;
    json_t *result = json_array();
    while (server < server_end || patch < count) {
        bool takes_server =
            server < server_end &&
            (patch == count || (sorted[server].live_place >= 0 && sorted[patch].live_place >= 0 &&
                                sorted[server].live_place < sorted[patch].live_place));
        json_array_append(result, sorted[takes_server ? server++ : patch++].element);
    }
    json_array_clear(list);
    json_array_extend(list, result);
    json_decref(result);
}

static void put_in_order(const char *merge_key, const json_t *order, const json_t *live,
                         json_t *list)
{
    cleanup(places_free)
    struct places wanted = places_of(merge_key, order);
    cleanup(places_free)
    struct places present = places_of(merge_key, live);
    size_t count = json_array_size(list);
    struct placed *placed = allocate_zero(count + 1, sizeof *placed);
    for (size_t i = 0; i < count; i++) {
        json_t *element = json_array_get(list, i);
        placed[i] = (struct placed){element, places_find(&wanted, element),
                                    places_find(&present, element), i};
    }
    qsort(placed, count, sizeof *placed, compare_places);
    interleave(placed, count, list);
    free(placed);
}

/* The elements of the patch must be among those of the order, and stand in that order. */
static bool check_order(const char *merge_key, const json_t *order, const json_t *patch,
                        struct error *error)
{
    cleanup(places_free)
    struct places wanted = places_of(merge_key, order);
    long last = -1;
    if (json_array_size(order) == 0) {
        return true;
    }
    for (size_t i = 0; i < json_array_size(patch); i++) {
        const json_t *element = json_array_get(patch, i);
        if (json_object_get(element, directive) != NULL) {
            continue;
        }
        long place = places_find(&wanted, element);
        if (place < 0 || place <= last) {
            cleanup(buffer_free)
            struct buffer shown = BUFFER_INIT;
            buffer_add_text(&shown, "The order in patch list:\n");
            print_value(patch, &shown);
            buffer_add_text(&shown, "\n doesn't match $setElementOrder list:\n");
            print_value(order, &shown);
            return error_set(error, 500, "", "%s\n", buffer_text(&shown));
        }
        last = place;
    }
    return true;
}

/* ---- lists ---- */

/* Carries out "$patch: delete" and "$patch: replace" elements; '*rest' (the caller's) are the
 * elements without directives. */
static bool apply_special_elements(const struct schema *schema, const json_t *patch, json_t *list,
                                   json_t **rest, struct error *error)
{
    cleanup(places_free)
    struct places deleted = {.merge_key = schema->merge_key};
    bool replaces = false;
    *rest = json_array();
    for (size_t i = 0; i < json_array_size(patch); i++) {
        json_t *element = json_array_get(patch, i);
        const json_t *marker = json_object_get(element, directive);
        const char *what = json_string_value(marker);
        if (schema->merge_key != NULL && !json_is_object(element)) {
            return error_set(error, 500, "",
                             "expected a map[string]interface {}, but received another type");
        }
        bool keyless =
            schema->merge_key != NULL && json_object_get(element, schema->merge_key) == NULL;
        if (what != NULL && strcmp(what, "replace") == 0) {
            replaces = true;
        } else if (keyless) {
            return no_merge_key(element, schema->merge_key, error);
        } else if (marker == NULL) {
            json_array_append(*rest, element);
        } else if (what != NULL && strcmp(what, "delete") == 0) {
            places_add(&deleted, element, i);
        } else {
            return unknown_directive(what ? what : "", element, error);
        }
    }
    for (size_t i = json_array_size(list); i-- > 0;) {
        if (replaces || places_find(&deleted, json_array_get(list, i)) >= 0) {
            json_array_remove(list, i);
        }
    }
    return true;
}

/* Merges elements into the list or puts them behind it. */
static bool merge_elements(const struct schema *schema, const json_t *elements, json_t *list,
                           struct error *error)
{
    cleanup(places_free)
    struct places places = places_of(schema->merge_key, list);
    for (size_t i = 0; i < json_array_size(elements); i++) {
        const json_t *element = json_array_get(elements, i);
        long at = places_find(&places, element);
        if (at >= 0) {
            json_t *present = json_array_get(list, (size_t)at);
            if (json_is_object(element) && json_is_object(present) &&
                !merge_object(schema->items, element, present, error)) {
                return false;
            }
            continue;
        }
        json_t *fresh = without_directives(schema->items, element, error);
        if (fresh == NULL) {
            return false;
        }
        places_add(&places, fresh, json_array_size(list));
        json_array_append_new(list, fresh);
    }
    return true;
}

/* 'order' is the list of $setElementOrder, or NULL. */
static bool merge_list(const struct schema *schema, const json_t *patch, const json_t *order,
                       json_t *list, struct error *error)
{
    if (order != NULL && !check_order(schema->merge_key, order, patch, error)) {
        return false;
    }
    cleanup(json_release)
    json_t *elements = NULL, *live = json_copy(list);
    if (!apply_special_elements(schema, patch, list, &elements, error) ||
        !merge_elements(schema, elements, list, error)) {
        return false;
    }
    put_in_order(schema->merge_key, order ? order : elements, live, list);
    return true;
}

static void delete_values(const json_t *values, json_t *list)
{
    cleanup(places_free)
    struct places places = places_of(NULL, values);
    for (size_t i = json_array_size(list); i-- > 0;) {
        if (places_find(&places, json_array_get(list, i)) >= 0) {
            json_array_remove(list, i);
        }
    }
}

/* ---- objects ---- */

/* Drops what the patch does not retain; everything that it sets must be retained. */
static bool retain_keys(const json_t *patch, json_t *object, struct error *error)
{
    const json_t *keys = json_object_get(patch, retain);
    if (keys == NULL) {
        return true;
    }
    if (!json_is_array(keys)) {
        return error_bad_request(error, "invalid patch format of retainKeys");
    }
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)patch, key, value) {
        if (!json_is_null(value) && !is_directive(key) && !json_array_has_string(keys, key)) {
            return error_set(error, 422, "Invalid",
                             "the server rejected our request due to an error in our request");
        }
    }
    void *next;
    json_object_foreach_safe (object, next, key, value) {
        if (!json_array_has_string(keys, key)) {
            json_object_del(object, key);
        }
    }
    return true;
}

static bool merge_member(const struct schema *schema, const json_t *patch, const char *key,
                         const json_t *value, json_t *object, struct error *error)
{
    const struct schema *member = member_schema(schema, key);
    json_t *present = json_object_get(object, key);
    if (json_is_null(value)) {
        json_object_del(object, key);
        return true;
    }
    if (json_is_object(value) && json_is_object(present)) {
        return merge_object(member, value, present, error);
    }
    if (json_is_array(value) && json_is_array(present) && is_merged_list(member)) {
        cleanup(free_char)
        char *order = format("%s%s", order_prefix, key);
        return merge_list(member, value, json_object_get(patch, order), present, error);
    }
    json_t *fresh = without_directives(member, value, error);
    if (fresh != NULL) {
        json_object_set_new(object, key, fresh);
    }
    return fresh != NULL;
}

/* Directives about lists that the patch does not set at the same time. */
static bool apply_list_directives(const struct schema *schema, const json_t *patch, json_t *object,
                                  struct error *error)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)patch, key, value) {
        bool orders = starts_with(key, order_prefix), deletes = starts_with(key, delete_prefix);
        if (!orders && !deletes) {
            continue;
        }
        if (!json_is_array(value)) {
            return error_bad_request(error, "invalid patch format of %s list",
                                     orders ? "setElementOrder" : "primitive");
        }
        const char *name = strchr(key, '/') + 1;
        const struct schema *member = member_schema(schema, name);
        json_t *list = json_object_get(object, name);
        if (!json_is_array(list)) {
            continue;
        }
        if (deletes) {
            delete_values(value, list);
        } else if (!json_is_array(json_object_get(patch, name))) {
            cleanup(json_release)
            json_t *live = json_copy(list);
            put_in_order(member ? member->merge_key : NULL, value, live, list);
        }
    }
    return true;
}

static bool merge_object(const struct schema *schema, const json_t *patch, json_t *object,
                         struct error *error)
{
    const json_t *marker = json_object_get(patch, directive);
    const char *what = json_string_value(marker);
    if (marker != NULL && what != NULL && strcmp(what, "merge") != 0) {
        bool replaces = strcmp(what, "replace") == 0;
        if (!replaces && strcmp(what, "delete") != 0) {
            return unknown_directive(what, patch, error);
        }
        json_object_clear(object);
        if (!replaces) {
            return true;
        }
    }
    if (!retain_keys(patch, object, error)) {
        return false;
    }
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)patch, key, value) {
        if (!is_directive(key) && !merge_member(schema, patch, key, value, object, error)) {
            return false;
        }
    }
    return apply_list_directives(schema, patch, object, error);
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

// SPDX-License-Identifier: Apache-2.0
/*
 * Pruning: what a client sent becomes what Go would have decoded. One walk; nothing is allocated
 * for input that is well formed and in canonical form.
 */
#include <string.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"
#include "common/quantity.h"
#include "common/schema_rules.h"
#include "common/timestamp.h"

struct pruner {
    void (*unknown)(void *argument, const char *path);
    void *argument;
    struct error *error;
};

static bool prune(const struct pruner *pruner, const struct schema *schema,
                  const struct schema_object *within, const struct field_path *path, json_t *value,
                  json_t **replacement);

/* ---- complaints ---- */

static const char *json_type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_TRUE:
    case JSON_FALSE:
        return "bool";
    default:
        return "number";
    }
}

static const char *short_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

static const char *go_type_name(const struct schema *schema)
{
    switch (schema->type) {
    case SCHEMA_BOOLEAN:
        return "bool";
    case SCHEMA_INT32:
        return "int32";
    case SCHEMA_INT64:
        return "int64";
    case SCHEMA_DOUBLE:
        return "float64";
    case SCHEMA_OBJECT:
        return short_name(schema->object->name);
    case SCHEMA_MAP:
        return "map[string]string";
    case SCHEMA_LIST:
        return schema->items->type == SCHEMA_OBJECT ? "[]struct" : "[]string";
    default:
        return "string";
    }
}

/* As encoding/json puts it; indexes are not part of its paths. */
static bool wrong_type(const struct pruner *pruner, const struct schema *schema,
                       const struct schema_object *within, const struct field_path *path,
                       const json_t *value)
{
    cleanup(buffer_free)
    struct buffer names = BUFFER_INIT;
    const struct field_path *steps[64];
    size_t count = 0;
    for (; path != NULL && count < array_length(steps); path = path->parent) {
        if (path->name != NULL) {
            steps[count++] = path;
        }
    }
    while (count > 0) {
        buffer_addf(&names, ".%s", steps[--count]->name);
    }
    cleanup(free_char)
    char *shown = json_is_integer(value) && schema->type != SCHEMA_STRING ? json_text(value) : NULL;
    return error_bad_request(
        pruner->error, "json: cannot unmarshal %s%s%s into Go struct field %s%s of type %s",
        json_type_name(value), shown ? " " : "", shown ? shown : "",
        within ? short_name(within->name) : "", buffer_text(&names), go_type_name(schema));
}

/* ---- scalars ---- */

static bool prune_quantity(const struct pruner *pruner, const json_t *value, json_t **replacement)
{
    char canonical[QUANTITY_SIZE];
    cleanup(free_char)
    char *number = json_is_number(value) ? json_text(value) : NULL;
    const char *text = number ? number : json_string_value(value);
    const char *message = text ? quantity_canonical(text, canonical) : quantity_parse_message;
    if (message != NULL) {
        return error_bad_request(pruner->error, "%s", message);
    }
    if (number != NULL || strcmp(text, canonical) != 0) {
        *replacement = json_string(canonical);
    }
    return true;
}

static bool prune_time(const struct pruner *pruner, const json_t *value, bool micro,
                       json_t **replacement)
{
    char canonical[TIMESTAMP_SIZE];
    const char *text = json_string_value(value);
    if (!timestamp_canonical(text, micro, canonical)) {
        return error_bad_request(pruner->error,
                                 "parsing time \"%s\" as \"2006-01-02T15:04:05Z07:00\": cannot "
                                 "parse \"%s\" as \"2006\"",
                                 text, text);
    }
    if (strcmp(text, canonical) != 0) {
        *replacement = canonical[0] ? json_string(canonical) : json_null();
    }
    return true;
}

static bool prune_bytes(const struct pruner *pruner, const json_t *value)
{
    size_t length;
    cleanup(free_char)
    char *bytes = base64_decode(json_string_value(value), json_string_length(value), &length);
    return bytes != NULL || error_bad_request(pruner->error, "illegal base64 data at input byte 0");
}

static bool in_int32(const json_t *value)
{
    return json_integer_value(value) >= INT32_MIN && json_integer_value(value) <= INT32_MAX;
}

static bool prune_duration(const struct pruner *pruner, const json_t *value)
{
    int64_t nanoseconds;
    return duration_parse(json_string_value(value), &nanoseconds) ||
           error_bad_request(pruner->error, "time: invalid duration \"%s\"",
                             json_string_value(value));
}

/* A value that is no container. */
static bool prune_scalar(const struct pruner *pruner, const struct schema *schema,
                         const struct schema_object *within, const struct field_path *path,
                         json_t *value, json_t **replacement)
{
    bool text = json_is_string(value), fits = true;
    switch (schema->type) {
    case SCHEMA_BOOLEAN:
        fits = json_is_boolean(value);
        break;
    case SCHEMA_INT32:
        fits = json_is_integer(value) && in_int32(value);
        break;
    case SCHEMA_INT64:
        fits = json_is_integer(value);
        break;
    case SCHEMA_DOUBLE:
        fits = json_is_number(value);
        break;
    case SCHEMA_QUANTITY:
        return text || json_is_number(value) ? prune_quantity(pruner, value, replacement)
                                             : wrong_type(pruner, schema, within, path, value);
    case SCHEMA_INT_OR_STRING:
        fits = text || (json_is_integer(value) && in_int32(value));
        break;
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        if (text) {
            return prune_time(pruner, value, schema->type == SCHEMA_MICRO_TIME, replacement);
        }
        fits = false;
        break;
    case SCHEMA_BYTES:
        if (text) {
            return prune_bytes(pruner, value);
        }
        fits = false;
        break;
    case SCHEMA_DURATION:
        if (text) {
            return prune_duration(pruner, value);
        }
        fits = false;
        break;
    default:
        fits = text;
    }
    return fits || wrong_type(pruner, schema, within, path, value);
}

/* ---- containers ---- */

static bool prune_member(const struct pruner *pruner, const struct schema *schema,
                         const struct schema_object *within, const struct field_path *path,
                         json_t *object, const char *key, json_t *value)
{
    if (json_is_null(value) && schema->type != SCHEMA_JSON) {
        if (!schema->nullable) {
            json_object_del(object, key);
        }
        return true;
    }
    json_t *replacement = NULL;
    bool good = prune(pruner, schema, within, path, value, &replacement);
    if (replacement != NULL && json_is_null(replacement)) {
        json_object_del(object, key);
    } else if (replacement != NULL) {
        json_object_set_new(object, key, replacement);
    }
    return good;
}

static bool prune_object(const struct pruner *pruner, const struct schema *schema,
                         const struct field_path *path, json_t *object)
{
    void *at = json_object_iter(object);
    while (at != NULL) {
        const char *key = json_object_iter_key(at);
        json_t *value = json_object_iter_value(at);
        void *next = json_object_iter_next(object, at);
        const struct schema_field *field = schema_field_find(schema->object, key);
        const struct field_path *here = FIELD(path, key);
        if (field != NULL) {
            if (!prune_member(pruner, field->schema, schema->object, here, object, key, value)) {
                return false;
            }
        } else if (!schema->preserve_unknown) {
            if (pruner->unknown != NULL) {
                cleanup(free_char)
                char *text = field_path_text(here);
                pruner->unknown(pruner->argument, text);
            }
            json_object_del(object, key);
        }
        at = next;
    }
    return true;
}

static bool prune_map(const struct pruner *pruner, const struct schema *schema,
                      const struct schema_object *within, const struct field_path *path,
                      json_t *map)
{
    void *at = json_object_iter(map);
    while (at != NULL) {
        const char *key = json_object_iter_key(at);
        json_t *value = json_object_iter_value(at);
        void *next = json_object_iter_next(map, at);
        if (json_is_null(value) && schema->items->type == SCHEMA_STRING) {
            json_object_set_new(map, key, json_string("")); /* As Go decodes it. */
        } else if (!prune_member(pruner, schema->items, within, FIELD(path, key), map, key,
                                 value)) {
            return false;
        }
        at = next;
    }
    return true;
}

static bool prune_list(const struct pruner *pruner, const struct schema *schema,
                       const struct schema_object *within, const struct field_path *path,
                       json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *value = json_array_get(list, i), *replacement = NULL;
        if (json_is_null(value) && schema->items->type == SCHEMA_OBJECT) {
            json_array_set_new(list, i, json_object());
            continue;
        }
        bool good = json_is_null(value) ||
                    prune(pruner, schema->items, within, FIELD_INDEX(path, i), value, &replacement);
        if (replacement != NULL) {
            json_array_set_new(list, i, replacement);
        }
        if (!good) {
            return false;
        }
    }
    return true;
}

static bool prune(const struct pruner *pruner, const struct schema *schema,
                  const struct schema_object *within, const struct field_path *path, json_t *value,
                  json_t **replacement)
{
    switch (schema->type) {
    case SCHEMA_JSON:
        return true;
    case SCHEMA_RAW:
    case SCHEMA_FIELDS_V1:
        return json_is_object(value) || wrong_type(pruner, schema, within, path, value);
    case SCHEMA_OBJECT:
        return json_is_object(value) ? prune_object(pruner, schema, path, value)
                                     : wrong_type(pruner, schema, within, path, value);
    case SCHEMA_MAP:
        return json_is_object(value) ? prune_map(pruner, schema, within, path, value)
                                     : wrong_type(pruner, schema, within, path, value);
    case SCHEMA_LIST:
        return json_is_array(value) ? prune_list(pruner, schema, within, path, value)
                                    : wrong_type(pruner, schema, within, path, value);
    default:
        return prune_scalar(pruner, schema, within, path, value, replacement);
    }
}

bool schema_prune(const struct schema *schema, json_t *value,
                  void (*unknown)(void *argument, const char *path), void *argument,
                  struct error *error)
{
    struct pruner pruner = {unknown, argument, error};
    json_t *replacement = NULL;
    bool good = prune(&pruner, schema, schema->object, NULL, value, &replacement);
    json_decref(replacement);
    return good;
}

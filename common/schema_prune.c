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
    bool from_map; /* Tells as Go does of a map that a strategic merge has made. */
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

/* Appends the name that Go prints for the type: int32, v1.Container, []string. */
static void add_type_name(const struct schema *schema, struct buffer *out)
{
    static const char *const names[] = {
        [SCHEMA_STRING] = "string",
        [SCHEMA_BOOLEAN] = "bool",
        [SCHEMA_INT32] = "int32",
        [SCHEMA_INT64] = "int64",
        [SCHEMA_DOUBLE] = "float64",
        [SCHEMA_BYTES] = "[]uint8",
        [SCHEMA_TIME] = "v1.Time",
        [SCHEMA_MICRO_TIME] = "v1.MicroTime",
        [SCHEMA_DURATION] = "v1.Duration",
        [SCHEMA_QUANTITY] = "resource.Quantity",
        [SCHEMA_INT_OR_STRING] = "intstr.IntOrString",
        [SCHEMA_FIELDS_V1] = "v1.FieldsV1",
        [SCHEMA_JSON] = "v1.JSON",
        [SCHEMA_RAW] = "runtime.RawExtension",
    };
    for (; schema->type == SCHEMA_LIST || schema->type == SCHEMA_MAP; schema = schema->items) {
        buffer_add_text(out, schema->type == SCHEMA_LIST ? "[]" : "map[string]");
    }
    if (schema->type != SCHEMA_OBJECT) {
        buffer_add_text(out, names[schema->type]);
        return;
    }
    /* The last two parts of the name: io.k8s.api.core.v1.Container is v1.Container in Go. */
    const char *name = schema->object->name, *start = short_name(name);
    while (start > name + 1 && start[-2] != '.') {
        start--;
    }
    buffer_add_text(out, start > name + 1 ? start - 1 : name);
}

static bool is_integer_type(const struct schema *schema)
{
    return schema->type == SCHEMA_INT32 || schema->type == SCHEMA_INT64;
}

/* "string", or "number 1.5" where a number was expected. */
static void add_value_name(const json_t *value, bool with_number, struct buffer *out)
{
    buffer_add_text(out, json_type_name(value));
    if (with_number && json_is_number(value)) {
        buffer_add_char(out, ' ');
        json_encode(value, out);
    }
}

/* How Go's reflection calls the value's type. */
static const char *kind_of_value(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "map";
    case JSON_ARRAY:
        return "slice";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
        return "int64";
    case JSON_REAL:
        return "float64";
    default:
        return "bool";
    }
}

/* As the converter of unstructured objects puts it, which knows of no paths. */
static bool wrong_type_in_map(const struct pruner *pruner, const struct schema *schema,
                              const json_t *value)
{
    const char *kind = kind_of_value(value);
    cleanup(buffer_free)
    struct buffer type = BUFFER_INIT;
    add_type_name(schema, &type);
    bool number = is_integer_type(schema) || schema->type == SCHEMA_DOUBLE;
    bool convertible = json_is_number(value) &&
                       (number || (schema->type == SCHEMA_STRING && json_is_integer(value)));
    if (schema->type == SCHEMA_LIST || schema->type == SCHEMA_BYTES) {
        return error_bad_request(pruner->error, "cannot restore slice from %s", kind);
    }
    if (schema->type == SCHEMA_MAP) {
        return error_bad_request(pruner->error, "cannot restore map from %s", kind);
    }
    if (schema->type == SCHEMA_OBJECT) {
        return error_bad_request(pruner->error, "cannot restore struct from: %s", kind);
    }
    return convertible
               ? error_bad_request(pruner->error, "cannot convert %s to %s", kind,
                                   buffer_text(&type))
               : error_bad_request(pruner->error, "unrecognized type: %s", buffer_text(&type));
}

/* As encoding/json puts it; indexes and keys of maps are not part of its paths. */
static bool wrong_type(const struct pruner *pruner, const struct schema *schema,
                       const struct schema_object *within, const struct field_path *path,
                       const json_t *value)
{
    if (pruner->from_map) {
        return wrong_type_in_map(pruner, schema, value);
    }
    cleanup(buffer_free)
    struct buffer message = BUFFER_INIT;
    const struct field_path *steps[64];
    size_t count = 0;
    for (; path != NULL && count < array_length(steps); path = path->parent) {
        if (path->name != NULL && path->key == NULL) {
            steps[count++] = path;
        }
    }
    buffer_add_literal(&message, "json: cannot unmarshal ");
    add_value_name(value, is_integer_type(schema), &message);
    buffer_add_text(&message, count ? " into Go struct field " : " into Go value");
    buffer_add_text(&message, count && within ? short_name(within->name) : "");
    while (count > 0) {
        buffer_addf(&message, ".%s", steps[--count]->name);
    }
    buffer_add_literal(&message, " of type ");
    add_type_name(schema, &message);
    return error_bad_request(pruner->error, "%s", buffer_text(&message));
}

/* Of types that decode themselves, Go does not know where they stand. */
static bool wrong_value(const struct pruner *pruner, const json_t *value, const char *type)
{
    cleanup(buffer_free)
    struct buffer name = BUFFER_INIT;
    add_value_name(value, strcmp(type, "int32") == 0, &name);
    return error_bad_request(pruner->error, "json: cannot unmarshal %s into Go value of type %s",
                             buffer_text(&name), type);
}

/* ---- scalars ---- */

static bool prune_quantity(const struct pruner *pruner, const json_t *value, json_t **replacement)
{
    char canonical[QUANTITY_SIZE];
    cleanup(free_char)
    char *number = json_is_number(value) ? json_text(value) : NULL;
    const char *text = number ? number : json_string_value(value);
    const char *message =
        text && !json_has_nul(value) ? quantity_canonical(text, canonical) : quantity_parse_message;
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
    if (json_has_nul(value) || !timestamp_canonical(text, micro, canonical)) {
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

/* Where Go's decoder would stop. */
static size_t base64_error(const char *text, size_t length)
{
    size_t digits = 0;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     c == '+' || c == '/';
        if (!digit && c != '\n' && c != '\r') {
            bool ends = c == '=' && digits % 4 >= 2;
            return ends ? (i + 1 < length ? i + 1 : length) : i;
        }
        digits += digit ? 1 : 0;
    }
    return length - digits % 4;
}

static bool prune_bytes(const struct pruner *pruner, const json_t *value)
{
    size_t length;
    const char *text = json_string_value(value);
    cleanup(free_char)
    char *bytes = base64_decode(text, json_string_length(value), &length);
    return bytes != NULL ||
           error_bad_request(pruner->error, "illegal base64 data at input byte %zu",
                             base64_error(text, json_string_length(value)));
}

static bool in_int32(const json_t *value)
{
    return json_integer_value(value) >= INT32_MIN && json_integer_value(value) <= INT32_MAX;
}

static bool prune_duration(const struct pruner *pruner, const json_t *value, json_t **replacement)
{
    int64_t nanoseconds;
    char canonical[TIMESTAMP_SIZE];
    const char *text = json_string_value(value);
    if (json_has_nul(value) || !duration_parse(text, &nanoseconds)) {
        return error_bad_request(pruner->error, "time: invalid duration \"%s\"", text);
    }
    duration_format(nanoseconds, canonical);
    if (strcmp(text, canonical) != 0) {
        *replacement = json_string(canonical);
    }
    return true;
}

/* A value of a type that decodes itself. */
static bool prune_special(const struct pruner *pruner, const struct schema *schema,
                          const json_t *value, json_t **replacement)
{
    bool text = json_is_string(value);
    switch (schema->type) {
    case SCHEMA_QUANTITY:
        return prune_quantity(pruner, value, replacement);
    case SCHEMA_INT_OR_STRING:
        return text || (json_is_integer(value) && in_int32(value)) ||
               wrong_value(pruner, value, "int32");
    case SCHEMA_DURATION:
        return text ? prune_duration(pruner, value, replacement)
                    : wrong_value(pruner, value, "string");
    default:
        return text ? prune_time(pruner, value, schema->type == SCHEMA_MICRO_TIME, replacement)
                    : wrong_value(pruner, value, "string");
    }
}

/* A value that is no container. */
static bool prune_scalar(const struct pruner *pruner, const struct schema *schema,
                         const struct schema_object *within, const struct field_path *path,
                         json_t *value, json_t **replacement)
{
    bool fits;
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
    case SCHEMA_STRING:
        fits = json_is_string(value);
        break;
    case SCHEMA_BYTES:
        if (json_is_string(value)) {
            return prune_bytes(pruner, value);
        }
        fits = false;
        break;
    default:
        return prune_special(pruner, schema, value, replacement);
    }
    return fits || wrong_type(pruner, schema, within, path, value);
}

/* ---- containers ---- */

/* '*value' becomes what the member is then: NULL when it went, and took its key along. */
static bool prune_member(const struct pruner *pruner, const struct schema *schema,
                         const struct schema_object *within, const struct field_path *path,
                         json_t *object, const char *key, json_t **value)
{
    if (json_is_null(*value)) {
        if (!schema->nullable && schema->type != SCHEMA_JSON) {
            json_object_del(object, key);
            *value = NULL;
        }
        return true;
    }
    json_t *replacement = NULL;
    bool good = prune(pruner, schema, within, path, *value, &replacement);
    if (replacement != NULL && json_is_null(replacement)) {
        json_object_del(object, key);
        *value = NULL;
    } else if (replacement != NULL) {
        json_object_set_new(object, key, replacement);
        *value = replacement;
    }
    return good;
}

bool schema_omits(const struct schema *schema, const json_t *value)
{
    if (!schema->omits_zero) {
        return false;
    }
    switch (json_typeof(value)) {
    case JSON_STRING:
        return json_string_length(value) == 0;
    case JSON_INTEGER:
        return json_integer_value(value) == 0;
    case JSON_REAL:
        return json_real_value(value) == 0;
    case JSON_ARRAY:
        return json_array_size(value) == 0;
    case JSON_OBJECT:
        return json_object_size(value) == 0;
    default:
        return json_is_false(value);
    }
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
            if (!prune_member(pruner, field->schema, schema->object, here, object, key, &value)) {
                return false;
            }
            if (value != NULL && schema_omits(field->schema, value)) {
                json_object_del(object, key);
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

/* What Go makes of a null element of a list or map. */
static json_t *zero_value(const struct schema *schema)
{
    switch (schema->type) {
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
        return json_string("");
    case SCHEMA_QUANTITY:
        return json_string("0");
    case SCHEMA_BOOLEAN:
        return json_false();
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_DOUBLE:
    case SCHEMA_INT_OR_STRING:
        return json_integer(0);
    case SCHEMA_OBJECT:
    case SCHEMA_MAP:
        return json_object();
    case SCHEMA_LIST:
        return json_array();
    default:
        return json_null();
    }
}

/* What a ResourceList holds finer than a thousandth is rounded up, for every version alike. */
static void round_up(json_t *map, const char *key)
{
    struct quantity quantity;
    char text[QUANTITY_SIZE];
    if (quantity_parse(json_string_value(json_object_get(map, key)), &quantity) &&
        quantity_round_up_milli(&quantity)) {
        quantity_format(&quantity, text);
        json_object_set_new(map, key, json_string(text));
    }
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
        if (json_is_null(value) && !schema->items->nullable) {
            json_object_set_new(map, key, zero_value(schema->items));
        } else {
            /* Prints as a field does; 'key' tells that it is none. */
            const struct field_path here = {.parent = path, .name = key, .key = key};
            if (!prune_member(pruner, schema->items, within, &here, map, key, &value)) {
                return false;
            }
        }
        if (schema->rounded) {
            round_up(map, key);
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
        if (json_is_null(value)) {
            if (!schema->items->nullable) {
                json_array_set_new(list, i, zero_value(schema->items));
            }
            continue;
        }
        bool good = prune(pruner, schema->items, within, FIELD_INDEX(path, i), value, &replacement);
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
    case SCHEMA_RAW:
    case SCHEMA_FIELDS_V1:
        return true;
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

static bool prune_whole(const struct pruner *pruner, const struct schema *schema, json_t *value)
{
    json_t *replacement = NULL;
    bool good = prune(pruner, schema, schema->object, NULL, value, &replacement);
    json_decref(replacement);
    return good;
}

bool schema_prune(const struct schema *schema, json_t *value,
                  void (*unknown)(void *argument, const char *path), void *argument,
                  struct error *error)
{
    struct pruner pruner = {.unknown = unknown, .argument = argument, .error = error};
    return prune_whole(&pruner, schema, value);
}

bool schema_prune_merged(const struct schema *schema, json_t *value,
                         void (*unknown)(void *argument, const char *path), void *argument,
                         struct error *error)
{
    struct pruner pruner = {
        .unknown = unknown, .argument = argument, .from_map = true, .error = error};
    return prune_whole(&pruner, schema, value);
}

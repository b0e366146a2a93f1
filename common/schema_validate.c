// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/map.h"
#include "common/names.h"
#include "common/quantity.h"
#include "common/schema_members.h"
#include "common/schema_rules.h"

/* ---- strings ---- */

/* What is wrong with a string of this format; the caller's, NULL when nothing is. */
static char *check_format(enum schema_format format_wanted, const char *text)
{
    static const char *(*const checks[])(const char *text) = {
        [SCHEMA_FORMAT_DNS_LABEL] = names_check_dns_label,
        [SCHEMA_FORMAT_DNS_SUBDOMAIN] = names_check_dns_subdomain,
        [SCHEMA_FORMAT_DNS_1035] = names_check_dns1035_label,
        [SCHEMA_FORMAT_LABEL_VALUE] = names_check_label_value,
        [SCHEMA_FORMAT_PATH_SEGMENT] = names_check_path_segment,
        [SCHEMA_FORMAT_IP] = names_check_ip,
        [SCHEMA_FORMAT_CIDR] = names_check_cidr,
        [SCHEMA_FORMAT_PORT_NAME] = names_check_port_name,
        [SCHEMA_FORMAT_CONFIG_KEY] = names_check_config_key,
        [SCHEMA_FORMAT_ENV_NAME] = names_check_env_name,
    };
    if (format_wanted == SCHEMA_FORMAT_QUALIFIED) {
        return names_check_qualified(text);
    }
    if (format_wanted >= array_length(checks) || checks[format_wanted] == NULL) {
        return NULL;
    }
    const char *message = checks[format_wanted](text);
    return message ? duplicate(message) : NULL;
}

static void validate_format(enum schema_format format_wanted, const json_t *value,
                            const struct field_path *path, struct field_errors *errors)
{
    if (format_wanted == SCHEMA_FORMAT_NONE || json_string_length(value) == 0) {
        return;
    }
    cleanup(free_char)
    char *copy = json_without_nul(value);
    cleanup(free_char)
    char *message = check_format(format_wanted, copy ? copy : json_string_value(value));
    if (message != NULL) {
        field_error(errors, FIELD_INVALID, path, value, "%s", message);
    }
}

static bool in_enumeration(const struct schema *schema, const json_t *value)
{
    const char *text = json_string_value(value);
    if (strlen(text) != json_string_length(value)) {
        return false;
    }
    for (size_t i = 0; schema->enumeration[i] != NULL; i++) {
        if (strcmp(schema->enumeration[i], text) == 0) {
            return true;
        }
    }
    return false;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void unsupported(const struct schema *schema, const json_t *value,
                        const struct field_path *path, struct field_errors *errors)
{
    size_t count = 0;
    while (schema->enumeration[count] != NULL) {
        count++;
    }
    const char **sorted = allocate_zero(count + 1, sizeof *sorted);
    memcpy(sorted, schema->enumeration, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_texts);
    field_error_not_supported(errors, path, value, sorted);
    free(sorted);
}

static void validate_string(const struct schema *schema, const json_t *value,
                            const struct field_path *path, struct field_errors *errors)
{
    if (!json_is_string(value)) {
        return;
    }
    if (schema->enumeration != NULL && !in_enumeration(schema, value)) {
        unsupported(schema, value, path, errors);
        return;
    }
    if (schema->max_length > 0 && (int64_t)json_string_length(value) > schema->max_length) {
        field_error(errors, FIELD_TOO_LONG, path, value, "may not be more than %lld bytes",
                    (long long)schema->max_length);
    }
    validate_format(schema->format, value, path, errors);
}

/* ---- numbers ---- */

static void validate_number(const struct schema *schema, const json_t *value,
                            const struct field_path *path, struct field_errors *errors)
{
    if (!json_is_integer(value)) {
        return;
    }
    json_int_t number = json_integer_value(value);
    bool below = schema->has_minimum && number < schema->minimum;
    bool above = schema->has_maximum && number > schema->maximum;
    if (!below && !above) {
        return;
    }
    if (schema->has_minimum && schema->has_maximum) {
        field_error(errors, FIELD_INVALID, path, value, "must be between %lld and %lld, inclusive",
                    (long long)schema->minimum, (long long)schema->maximum);
    } else if (below) {
        field_error(errors, FIELD_INVALID, path, value, "must be greater than or equal to %lld",
                    (long long)schema->minimum);
    } else {
        field_error(errors, FIELD_INVALID, path, value, "must be less than or equal to %lld",
                    (long long)schema->maximum);
    }
}

/* ---- containers ---- */

static bool is_number(const struct schema *schema)
{
    return schema->type == SCHEMA_INT32 || schema->type == SCHEMA_INT64;
}

/* Absent as Go sees it: not there, or the empty value of its type. */
static bool is_absent(const struct schema *schema, const json_t *value)
{
    if (value == NULL || json_is_null(value)) {
        return true;
    }
    switch (schema->type) {
    case SCHEMA_LIST:
        return json_array_size(value) == 0;
    case SCHEMA_MAP:
        return json_object_size(value) == 0;
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
        return json_is_string(value) && json_string_length(value) == 0;
    default:
        return false;
    }
}

static void validate_field(const struct schema_field *field, const json_t *value,
                           const struct field_path *path, struct field_errors *errors)
{
    if (field->presence == SCHEMA_REQUIRED && value == NULL && is_number(field->schema)) {
        cleanup(json_release)
        json_t *zero = json_integer(0);
        validate_number(field->schema, zero, path, errors);
        return;
    }
    if (field->presence == SCHEMA_REQUIRED && field->schema->type != SCHEMA_BOOLEAN &&
        is_absent(field->schema, value)) {
        field_error(errors, FIELD_REQUIRED, path, NULL, NULL);
        return;
    }
    if (value != NULL) {
        schema_validate(field->schema, value, path, errors);
    }
}

static bool is_checked_elsewhere(const char *name)
{
    static const char *const names[] = {"kind", "apiVersion", "metadata", "status"};
    for (size_t i = 0; i < array_length(names); i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void validate_object(const struct schema_object *object, const json_t *value,
                            const struct field_path *path, struct field_errors *errors)
{
    struct schema_members members;
    schema_members_collect(&members, object, (json_t *)value);
    for (size_t i = 0; i < object->field_count; i++) {
        const struct schema_field *field = &object->fields[i];
        const json_t *member = schema_members_get(&members, object, i);
        if ((member != NULL || field->presence == SCHEMA_REQUIRED) &&
            (path != NULL || !is_checked_elsewhere(field->name))) {
            validate_field(field, member, FIELD(path, field->name), errors);
        }
    }
}

static void validate_map(const struct schema *schema, const json_t *map,
                         const struct field_path *path, struct field_errors *errors)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)map, key, value) {
        cleanup(free_char)
        char *message = check_format(schema->format, key);
        if (message != NULL) {
            cleanup(json_release)
            json_t *shown = json_string(key);
            field_error(errors, FIELD_INVALID, FIELD_KEY(path, key), shown, "%s", message);
        }
        schema_validate(schema->items, value, FIELD_KEY(path, key), errors);
    }
}

/* What identifies an element of the list, as text; NULL when a key is missing. The caller's. */
static char *identity(const struct schema *schema, const json_t *element)
{
    if (schema->list_type == SCHEMA_LIST_SET) {
        return json_text(element);
    }
    struct buffer text = BUFFER_INIT;
    for (size_t i = 0; schema->list_keys != NULL && schema->list_keys[i] != NULL; i++) {
        const json_t *key = json_object_get(element, schema->list_keys[i]);
        if (key == NULL) {
            buffer_free(&text);
            return NULL;
        }
        json_encode(key, &text);
        buffer_add_char(&text, ',');
    }
    return text.bytes;
}

static void validate_unique(const struct schema *schema, const json_t *list,
                            const struct field_path *path, struct field_errors *errors)
{
    struct map seen = MAP_INIT;
    bool single = schema->list_type == SCHEMA_LIST_MAP && schema->list_keys[1] == NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *element = json_array_get(list, i);
        const struct field_path *here = FIELD_INDEX(path, i);
        cleanup(free_char)
        char *text = identity(schema, element);
        if (text == NULL || map_set(&seen, text, &seen) == NULL) {
            continue;
        }
        if (single) {
            field_error(errors, FIELD_DUPLICATE, FIELD(here, schema->list_keys[0]),
                        json_object_get(element, schema->list_keys[0]), NULL);
        } else {
            field_error(errors, FIELD_DUPLICATE, here, element, NULL);
        }
    }
    map_free(&seen, NULL);
}

static void validate_list(const struct schema *schema, const json_t *list,
                          const struct field_path *path, struct field_errors *errors)
{
    size_t count = json_array_size(list);
    if (schema->max_length > 0 && (int64_t)count > schema->max_length) {
        cleanup(json_release)
        json_t *shown = json_integer((json_int_t)count);
        field_error(errors, FIELD_TOO_MANY, path, shown, "must have at most %lld items",
                    (long long)schema->max_length);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *element = json_array_get(list, i);
        schema_validate(schema->items, element, FIELD_INDEX(path, i), errors);
        validate_format(schema->format, element, FIELD_INDEX(path, i), errors);
    }
    if (schema->unique && count > 1) {
        validate_unique(schema, list, path, errors);
    }
}

void schema_validate(const struct schema *schema, const json_t *value,
                     const struct field_path *path, struct field_errors *errors)
{
    switch (schema->type) {
    case SCHEMA_STRING:
        validate_string(schema, value, path, errors);
        break;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        validate_number(schema, value, path, errors);
        break;
    case SCHEMA_OBJECT:
        validate_object(schema->object, value, path, errors);
        break;
    case SCHEMA_MAP:
        validate_map(schema, value, path, errors);
        break;
    case SCHEMA_LIST:
        validate_list(schema, value, path, errors);
        break;
    default:
        break;
    }
}

/* ---- updates ---- */

void schema_validate_update(const struct schema *schema, const json_t *value, const json_t *old,
                            const struct field_path *path, struct field_errors *errors)
{
    if (schema->type != SCHEMA_OBJECT || !json_is_object(value) || !json_is_object(old)) {
        return;
    }
    for (size_t i = 0; i < schema->object->field_count; i++) {
        const struct schema_field *field = &schema->object->fields[i];
        const json_t *now = json_object_get(value, field->name);
        const json_t *before = json_object_get(old, field->name);
        const struct field_path *here = FIELD(path, field->name);
        if (path == NULL && is_checked_elsewhere(field->name)) {
            continue;
        }
        if (field->immutable && before != NULL && (now == NULL || !json_equal(now, before))) {
            cleanup(json_release)
            json_t *none = json_null();
            field_error(errors, FIELD_INVALID, here, now ? now : none, "field is immutable");
        } else if (!field->immutable && now != NULL && before != NULL) {
            schema_validate_update(field->schema, now, before, here, errors);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
/*
 * Each message is described by a table: which JSON member becomes which field, and how. The encoder
 * walks JSON and tables side by side. Responses are left out: no client of this form reads them.
 */
#include "apiserver/views/openapi_protobuf.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

const char openapi_protobuf_type[] = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const char openapi_protobuf_old_type[] =
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

typedef void (*encoder)(const json_t *value, struct buffer *out);

/* One member of a message. */
struct member {
    const char *name;
    unsigned number;
    encoder message; /* NULL: a string, a boolean, or each string of an array. */
    bool repeated;   /* Each element of the array is a message of its own. */
};

static void add_varint(unsigned long value, struct buffer *out)
{
    while (value >= 0x80) {
        buffer_add_char(out, (char)(value | 0x80));
        value >>= 7;
    }
    buffer_add_char(out, (char)value);
}

static void add_bytes(unsigned number, const char *bytes, size_t length, struct buffer *out)
{
    add_varint(number << 3 | 2, out);
    add_varint(length, out);
    buffer_add(out, bytes, length);
}

static void add_message(unsigned number, encoder encode, const json_t *value, struct buffer *out)
{
    cleanup(buffer_free)
    struct buffer message = BUFFER_INIT;
    encode(value, &message);
    add_bytes(number, buffer_text(&message), message.length, out);
}

static void add_scalar(unsigned number, const json_t *value, struct buffer *out)
{
    if (json_is_string(value)) {
        add_bytes(number, json_string_value(value), json_string_length(value), out);
    } else if (json_is_true(value)) {
        add_varint(number << 3, out);
        add_varint(1, out);
    }
    for (size_t i = 0; json_is_array(value) && i < json_array_size(value); i++) {
        add_scalar(number, json_array_get(value, i), out);
    }
}

static void add_members(const struct member *members, size_t count, const json_t *object,
                        struct buffer *out)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_object_get(object, members[i].name);
        if (value == NULL) {
            continue;
        }
        if (members[i].message == NULL) {
            add_scalar(members[i].number, value, out);
        } else if (!members[i].repeated) {
            add_message(members[i].number, members[i].message, value, out);
        }
        for (size_t at = 0; members[i].repeated && at < json_array_size(value); at++) {
            add_message(members[i].number, members[i].message, json_array_get(value, at), out);
        }
    }
}

/* ---- names with values ---- */

/* Any: its YAML, of which JSON is a part. */
static void encode_any(const json_t *value, struct buffer *out)
{
    cleanup(free_char)
    char *text = json_text(value);
    add_bytes(2, text, strlen(text), out);
}

static void add_named(unsigned number, const char *name, encoder encode, const json_t *value,
                      struct buffer *out)
{
    cleanup(buffer_free)
    struct buffer pair = BUFFER_INIT;
    add_bytes(1, name, strlen(name), &pair);
    add_message(2, encode, value, &pair);
    add_bytes(number, pair.bytes, pair.length, out);
}

static void add_each(unsigned number, encoder encode, const json_t *object, struct buffer *out)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)object, key, value) {
        add_named(number, key, encode, value, out);
    }
}

static void add_extensions(unsigned number, const json_t *object, struct buffer *out)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)object, key, value) {
        if (strncmp(key, "x-", 2) == 0) {
            add_named(number, key, encode_any, value, out);
        }
    }
}

/* ---- schemas ---- */

static void encode_schema(const json_t *schema, struct buffer *out);

static void encode_schemas_by_name(const json_t *object, struct buffer *out)
{
    add_each(1, encode_schema, object, out);
}

/* A message whose only field, 1, is a schema. */
static void encode_one_schema(const json_t *schema, struct buffer *out)
{
    add_message(1, encode_schema, schema, out);
}

static void encode_type(const json_t *type, struct buffer *out)
{
    add_scalar(1, type, out);
}

static void encode_schema(const json_t *schema, struct buffer *out)
{
    static const struct member members[] = {
        {"$ref", 1, NULL, false},
        {"format", 2, NULL, false},
        {"description", 4, NULL, false},
        {"required", 19, NULL, false},
        {"additionalProperties", 21, encode_one_schema, false},
        {"type", 22, encode_type, false},
        {"items", 23, encode_one_schema, false},
        {"properties", 25, encode_schemas_by_name, false},
    };
    add_members(members, array_length(members), schema, out);
    add_extensions(31, schema, out);
}

/* ---- parameters ---- */

static void encode_body_parameter(const json_t *parameter, struct buffer *out)
{
    static const struct member members[] = {
        {"description", 1, NULL, false},
        {"name", 2, NULL, false},
        {"in", 3, NULL, false},
        {"required", 4, NULL, false},
        {"schema", 5, encode_schema, false},
    };
    add_members(members, array_length(members), parameter, out);
}

static void encode_query_parameter(const json_t *parameter, struct buffer *out)
{
    static const struct member members[] = {
        {"required", 1, NULL, false}, {"in", 2, NULL, false},   {"description", 3, NULL, false},
        {"name", 4, NULL, false},     {"type", 6, NULL, false}, {"uniqueItems", 20, NULL, false},
    };
    add_members(members, array_length(members), parameter, out);
}

static void encode_path_parameter(const json_t *parameter, struct buffer *out)
{
    static const struct member members[] = {
        {"required", 1, NULL, false}, {"in", 2, NULL, false},   {"description", 3, NULL, false},
        {"name", 4, NULL, false},     {"type", 5, NULL, false}, {"uniqueItems", 19, NULL, false},
    };
    add_members(members, array_length(members), parameter, out);
}

static void encode_other_parameter(const json_t *parameter, struct buffer *out)
{
    bool query = strcmp(json_get_string(parameter, "in"), "query") == 0;
    add_message(query ? 3 : 4, query ? encode_query_parameter : encode_path_parameter, parameter,
                out);
}

static void encode_parameter(const json_t *parameter, struct buffer *out)
{
    bool body = strcmp(json_get_string(parameter, "in"), "body") == 0;
    add_message(body ? 1 : 2, body ? encode_body_parameter : encode_other_parameter, parameter,
                out);
}

static void encode_parameter_item(const json_t *parameter, struct buffer *out)
{
    add_message(1, encode_parameter, parameter, out);
}

/* ---- paths ---- */

static void encode_operation(const json_t *operation, struct buffer *out)
{
    static const struct member members[] = {
        {"description", 3, NULL, false},
        {"operationId", 5, NULL, false},
        {"produces", 6, NULL, false},
        {"consumes", 7, NULL, false},
        {"parameters", 8, encode_parameter_item, true},
    };
    add_members(members, array_length(members), operation, out);
    add_extensions(13, operation, out);
}

static void encode_path(const json_t *path, struct buffer *out)
{
    static const struct member members[] = {
        {"get", 2, encode_operation, false},   {"put", 3, encode_operation, false},
        {"post", 4, encode_operation, false},  {"delete", 5, encode_operation, false},
        {"patch", 8, encode_operation, false}, {"parameters", 9, encode_parameter_item, true},
    };
    add_members(members, array_length(members), path, out);
}

static void encode_paths(const json_t *paths, struct buffer *out)
{
    add_each(2, encode_path, paths, out);
}

static void encode_info(const json_t *info, struct buffer *out)
{
    static const struct member members[] = {{"title", 1, NULL, false}, {"version", 2, NULL, false}};
    add_members(members, array_length(members), info, out);
}

void openapi_encode_protobuf(const json_t *document, struct buffer *out)
{
    static const struct member members[] = {
        {"swagger", 1, NULL, false},
        {"info", 2, encode_info, false},
        {"paths", 8, encode_paths, false},
        {"definitions", 9, encode_schemas_by_name, false},
    };
    add_members(members, array_length(members), document, out);
}

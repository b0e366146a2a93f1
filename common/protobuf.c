// SPDX-License-Identifier: Apache-2.0
/*
 * Protobuf bodies, decoded by the numbers in the schemas into the tree that the JSON form would
 * have given.
 */
#include <inttypes.h>
#include <string.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"
#include "common/schema_rules.h"
#include "common/timestamp.h"

enum { levels_max = 64 };
enum wire {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_FIXED32 = 5,
    WIRE_ANY = 8, /* Expected only: any of the above. */
};

struct reader {
    const unsigned char *at, *end;
    size_t *values; /* Counts the fields and elements read from it and from what is inside. */
};

/* One field as it stands on the wire. */
struct field {
    uint32_t number;
    enum wire wire;
    uint64_t value;      /* Of a varint or fixed number. */
    struct reader bytes; /* Of WIRE_BYTES. */
};

static bool broken(struct error *error)
{
    return error_bad_request(error, "the protobuf body is not well formed");
}

static bool read_varint(struct reader *reader, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        unsigned char byte = *reader->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

static bool read_fixed(struct reader *reader, size_t size, uint64_t *value)
{
    if ((size_t)(reader->end - reader->at) < size) {
        return false;
    }
    *value = 0;
    memcpy(value, reader->at, size); /* Little-endian, as is every machine we run on. */
    reader->at += size;
    return true;
}

static bool read_field(struct reader *reader, struct field *field)
{
    uint64_t tag, length;
    if (++*reader->values > JSON_VALUES_MAX || !read_varint(reader, &tag) || tag >> 3 == 0 ||
        tag >> 3 > UINT32_MAX) {
        return false;
    }
    /* What the wire type does not fill reads as zero, whichever member a caller looks at. */
    *field = (struct field){.number = (uint32_t)(tag >> 3), .wire = (enum wire)(tag & 7)};
    switch (field->wire) {
    case WIRE_VARINT:
        return read_varint(reader, &field->value);
    case WIRE_FIXED64:
        return read_fixed(reader, 8, &field->value);
    case WIRE_FIXED32:
        return read_fixed(reader, 4, &field->value);
    case WIRE_BYTES:
        if (!read_varint(reader, &length) || length > (uint64_t)(reader->end - reader->at)) {
            return false;
        }
        field->bytes = (struct reader){reader->at, reader->at + length, reader->values};
        reader->at += length;
        return true;
    default:
        return false;
    }
}

static json_t *text_of(struct reader bytes, struct error *error)
{
    json_t *text =
        json_stringn(bytes.at ? (const char *)bytes.at : "", (size_t)(bytes.end - bytes.at));
    if (text == NULL) {
        error_bad_request(error, "a string in the protobuf body is not UTF-8");
    }
    return text;
}

bool protobuf_open(const void *bytes, size_t length, struct protobuf_envelope *envelope,
                   struct error *error)
{
    static const unsigned char magic[] = {'k', '8', 's', 0};
    *envelope =
        (struct protobuf_envelope){.api_version = "", .kind = "", .raw = (const unsigned char *)""};
    if (length < sizeof magic || memcmp(bytes, magic, sizeof magic) != 0) {
        return error_bad_request(error, "the protobuf body does not begin with k8s and a NUL");
    }
    size_t values = 0;
    struct reader unknown = {(const unsigned char *)bytes + sizeof magic,
                             (const unsigned char *)bytes + length, &values};
    struct field field;
    while (unknown.at < unknown.end) {
        if (!read_field(&unknown, &field)) {
            return broken(error);
        }
        if (field.number <= 2 && field.wire != WIRE_BYTES) {
            return broken(error);
        }
        if (field.number == 2) {
            envelope->raw = field.bytes.at;
            envelope->raw_length = (size_t)(field.bytes.end - field.bytes.at);
        }
        struct reader type = field.bytes;
        while (field.number == 1 && type.at < type.end) {
            struct field part;
            if (!read_field(&type, &part) || part.wire != WIRE_BYTES) {
                return broken(error);
            }
            const char *text = (const char *)part.bytes.at;
            size_t text_length = (size_t)(part.bytes.end - part.bytes.at);
            cleanup(json_release)
            json_t *checked = text_of(part.bytes, error);
            if (checked == NULL) {
                return false;
            }
            if (part.number == 1) {
                envelope->api_version = text;
                envelope->api_version_length = text_length;
            } else if (part.number == 2) {
                envelope->kind = text;
                envelope->kind_length = text_length;
            }
        }
    }
    return true;
}

/* ---- values ---- */

static json_t *decode_object(const struct schema_object *object, struct reader reader, json_t *into,
                             int level, struct error *error);
static json_t *decode_value(const struct schema *schema, const struct field *field, int level,
                            struct error *error);

static json_t *fail(struct error *error)
{
    broken(error);
    return NULL;
}

/* The fields 1 to 'count' (three at most) of a small message, each of which must stand on the wire
 * as 'wires' says; absent ones read as zero. */
static bool read_small(struct reader reader, const enum wire *wires, size_t count,
                       struct field fields[static 4], struct error *error)
{
    memset(fields, 0, 4 * sizeof *fields);
    while (reader.at < reader.end) {
        struct field field;
        if (!read_field(&reader, &field)) {
            return broken(error);
        }
        if (field.number > count) {
            continue;
        }
        if (wires[field.number - 1] != WIRE_ANY && wires[field.number - 1] != field.wire) {
            return broken(error);
        }
        fields[field.number] = field;
    }
    return true;
}

static const enum wire numbers_of_time[] = {WIRE_VARINT, WIRE_VARINT};
static const enum wire number_or_text[] = {WIRE_VARINT, WIRE_VARINT, WIRE_BYTES};
static const enum wire only_bytes[] = {WIRE_BYTES};
static const enum wire only_number[] = {WIRE_VARINT};
static const enum wire key_and_value[] = {WIRE_BYTES, WIRE_ANY};

static json_t *decode_time(struct reader bytes, bool micro, struct error *error)
{
    struct field fields[4];
    char text[TIMESTAMP_SIZE];
    if (!read_small(bytes, numbers_of_time, array_length(numbers_of_time), fields, error)) {
        return NULL;
    }
    int64_t seconds = (int64_t)fields[1].value;
    if (seconds == 0 && fields[2].value == 0) {
        return json_null(); /* Go's zero time. */
    }
    if (seconds < -9223372035 || seconds > 9223372035 || fields[2].value >= 1000000000) {
        return fail(error);
    }
    int64_t nanoseconds = seconds * 1000000000 + (int64_t)fields[2].value;
    (micro ? timestamp_format_micro : timestamp_format)(nanoseconds, text);
    return json_string(text);
}

static json_t *decode_int_or_string(struct reader bytes, struct error *error)
{
    struct field fields[4];
    if (!read_small(bytes, number_or_text, array_length(number_or_text), fields, error)) {
        return NULL;
    }
    return fields[1].value == 1 ? text_of(fields[3].bytes, error)
                                : json_integer((int32_t)fields[2].value);
}

/* A message whose first field holds JSON text. */
static json_t *decode_raw(struct reader bytes, struct error *error)
{
    struct field fields[4];
    if (!read_small(bytes, only_bytes, array_length(only_bytes), fields, error)) {
        return NULL;
    }
    const char *text = (const char *)fields[1].bytes.at;
    size_t length = (size_t)(fields[1].bytes.end - fields[1].bytes.at);
    if (length == 0) {
        return json_null();
    }
    *bytes.values += json_count_values(text, length);
    return json_check_values(*bytes.values, error) ? json_parse(text, length, error) : NULL;
}

static json_t *decode_quantity(struct reader bytes, struct error *error)
{
    struct field fields[4];
    return read_small(bytes, only_bytes, array_length(only_bytes), fields, error)
               ? text_of(fields[1].bytes, error)
               : NULL;
}

static json_t *decode_duration(struct reader bytes, struct error *error)
{
    struct field fields[4];
    char text[TIMESTAMP_SIZE];
    if (!read_small(bytes, only_number, array_length(only_number), fields, error)) {
        return NULL;
    }
    duration_format((int64_t)fields[1].value, text);
    return json_string(text);
}

static json_t *decode_number(const struct schema *schema, uint64_t value)
{
    double real;
    switch (schema->type) {
    case SCHEMA_BOOLEAN:
        return json_boolean(value != 0);
    case SCHEMA_INT32:
        return json_integer((int32_t)value);
    case SCHEMA_INT64:
        return json_integer((json_int_t)value);
    default:
        memcpy(&real, &value, sizeof real);
        return json_real(real);
    }
}

/* One of the members is set, and its value stands for the whole; only a boolean is written beside
 * another. */
static json_t *decode_union(const struct schema *schema, struct reader bytes, int level,
                            struct error *error)
{
    cleanup(json_release)
    json_t *members = decode_object(schema->object, bytes, json_object(), level + 1, error);
    json_t *chosen = NULL, *value;
    const char *name;
    if (members == NULL) {
        return NULL;
    }
    json_object_foreach (members, name, value) {
        if (chosen == NULL || json_is_boolean(chosen)) {
            chosen = value;
        }
    }
    return chosen ? json_incref(chosen) : json_false();
}

static json_t *decode_bytes(const struct schema *schema, struct reader bytes, int level,
                            struct error *error)
{
    switch (schema->type) {
    case SCHEMA_STRING:
        return text_of(bytes, error);
    case SCHEMA_BYTES: {
        cleanup(free_char)
        char *text = base64_encode(bytes.at, (size_t)(bytes.end - bytes.at));
        return json_string(text);
    }
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return decode_time(bytes, schema->type == SCHEMA_MICRO_TIME, error);
    case SCHEMA_DURATION:
        return decode_duration(bytes, error);
    case SCHEMA_QUANTITY:
        return decode_quantity(bytes, error);
    case SCHEMA_INT_OR_STRING:
        return decode_int_or_string(bytes, error);
    case SCHEMA_FIELDS_V1:
    case SCHEMA_JSON:
    case SCHEMA_RAW:
        return schema->object ? decode_union(schema, bytes, level, error)
                              : decode_raw(bytes, error);
    case SCHEMA_OBJECT:
        return decode_object(schema->object, bytes, json_object(), level + 1, error);
    default:
        return fail(error);
    }
}

static bool is_numeric(const struct schema *schema)
{
    return schema->type == SCHEMA_BOOLEAN || schema->type == SCHEMA_INT32 ||
           schema->type == SCHEMA_INT64;
}

static json_t *decode_value(const struct schema *schema, const struct field *field, int level,
                            struct error *error)
{
    if (field->wire == WIRE_BYTES) {
        return decode_bytes(schema, field->bytes, level, error);
    }
    bool fits = (is_numeric(schema) && field->wire == WIRE_VARINT) ||
                (schema->type == SCHEMA_DOUBLE && field->wire == WIRE_FIXED64);
    return fits ? decode_number(schema, field->value) : fail(error);
}

/* ---- lists and maps ---- */

static json_t *member_of_type(json_t *object, const char *name, json_t *(*make)(void))
{
    json_t *member = json_object_get(object, name);
    if (member == NULL) {
        member = make();
        json_object_set_new(object, name, member);
    }
    return member;
}

/* A list whose elements are field 1 of the message. */
static bool decode_wrapped(const struct schema *schema, struct reader bytes, json_t *list,
                           int level, struct error *error)
{
    while (bytes.at < bytes.end) {
        struct field element;
        if (!read_field(&bytes, &element)) {
            return broken(error);
        }
        json_t *value =
            element.number == 1 ? decode_value(schema->items, &element, level, error) : NULL;
        if (element.number == 1 && value == NULL) {
            return false;
        }
        if (value != NULL) {
            json_array_append_new(list, value);
        }
    }
    return true;
}

static bool decode_packed(const struct schema *items, struct reader bytes, json_t *list,
                          struct error *error)
{
    while (bytes.at < bytes.end) {
        uint64_t value;
        if (++*bytes.values > JSON_VALUES_MAX) {
            return false;
        }
        bool read = items->type == SCHEMA_DOUBLE ? read_fixed(&bytes, 8, &value)
                                                 : read_varint(&bytes, &value);
        if (!read) {
            return broken(error);
        }
        json_array_append_new(list, decode_number(items, value));
    }
    return true;
}

static bool decode_element(const struct schema *schema, const struct field *field, json_t *list,
                           int level, struct error *error)
{
    const struct schema *items = schema->items;
    bool numeric = is_numeric(items) || items->type == SCHEMA_DOUBLE;
    if (schema->wrapped && field->wire == WIRE_BYTES) {
        return decode_wrapped(schema, field->bytes, list, level, error);
    }
    if (numeric && field->wire == WIRE_BYTES) {
        return decode_packed(items, field->bytes, list, error);
    }
    json_t *value = decode_value(items, field, level, error);
    if (value != NULL) {
        json_array_append_new(list, value);
    }
    return value != NULL;
}

static bool decode_entry(const struct schema *schema, const struct field *field, json_t *map,
                         int level, struct error *error)
{
    struct field parts[4];
    if (field->wire != WIRE_BYTES ||
        !read_small(field->bytes, key_and_value, array_length(key_and_value), parts, error)) {
        return broken(error);
    }
    cleanup(json_release)
    json_t *key = text_of(parts[1].bytes, error);
    json_t *value = NULL;
    if (key == NULL) {
        return false;
    }
    if (parts[2].number == 0) { /* An empty value need not be written. */
        parts[2].wire = is_numeric(schema->items) ? WIRE_VARINT : WIRE_BYTES;
    }
    if (schema->items->type == SCHEMA_LIST) {
        value = json_array();
        if (!decode_element(schema->items, &parts[2], value, level, error)) {
            json_decref(value);
            return false;
        }
    } else {
        value = decode_value(schema->items, &parts[2], level, error);
    }
    return value != NULL && json_object_set_new(map, json_string_value(key), value) == 0;
}

/* ---- objects ---- */

static bool decode_member(const struct schema_field *field, const struct field *wire,
                          json_t *object, int level, struct error *error)
{
    const struct schema *schema = field->schema;
    if (schema->type == SCHEMA_LIST) {
        return decode_element(schema, wire, member_of_type(object, field->name, json_array), level,
                              error);
    }
    if (schema->type == SCHEMA_MAP) {
        return decode_entry(schema, wire, member_of_type(object, field->name, json_object), level,
                            error);
    }
    json_t *value = decode_value(schema, wire, level, error);
    if (value == NULL) {
        return false;
    }
    /* Go writes every field that is no pointer, also when it is zero. */
    if (json_is_null(value) || schema_omits(schema, value)) {
        json_decref(value);
    } else {
        json_object_set_new(object, field->name, value);
    }
    return true;
}

/* Decodes into an object, which it consumes; NULL on an error. */
static json_t *decode_object(const struct schema_object *object, struct reader reader, json_t *into,
                             int level, struct error *error)
{
    bool good = level <= levels_max || broken(error);
    while (good && reader.at < reader.end) {
        struct field wire;
        if (!read_field(&reader, &wire)) {
            good = broken(error);
            break;
        }
        const struct schema_field *field = schema_field_by_number(object, wire.number);
        const struct schema_inline *embedded = schema_inline_by_number(object, wire.number);
        if (field != NULL) {
            good = decode_member(field, &wire, into, level, error);
        } else if (embedded != NULL && wire.wire != WIRE_BYTES) {
            good = broken(error);
        } else if (embedded != NULL) {
            json_incref(into);
            json_t *same = decode_object(embedded->object, wire.bytes, into, level + 1, error);
            good = same != NULL;
            json_decref(same);
        }
    }
    if (!good) {
        json_decref(into);
        return NULL;
    }
    return into;
}

json_t *protobuf_decode(const struct schema *schema, const void *bytes, size_t length,
                        struct error *error)
{
    size_t values = 0;
    struct reader reader = {bytes, (const unsigned char *)bytes + length, &values};
    json_t *tree = decode_object(schema->object, reader, json_object(), 0, error);
    if (tree == NULL) {
        json_check_values(values, error);
    }
    return tree;
}

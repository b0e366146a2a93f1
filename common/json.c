// SPDX-License-Identifier: Apache-2.0
#include "common/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json_read.h"

void json_release(json_t **json)
{
    json_decref(*json);
}

void json_keep_forever(json_t *json)
{
    size_t i;
    const char *key;
    json_t *part;
    json_object_foreach (json, key, part) {
        json_keep_forever(part);
    }
    json_array_foreach (json, i, part) {
        json_keep_forever(part);
    }
    if (json->refcount != (size_t)-1) { /* "true" and its like are everybody's. */
        json->refcount = (size_t)-1;
    }
}

/* The length of the string that begins with this quote. */
static size_t string_length(const char *text, size_t length)
{
    size_t i = 1;
    while (i < length && text[i] != '"') {
        i += text[i] == '\\' ? 2 : 1;
    }
    return i < length ? i + 1 : length;
}

static bool is_large_integer(const char *text, size_t length)
{
    cleanup(free_char)
    char *number = duplicate_bytes(text, length);
    errno = 0;
    strtoll(number, NULL, 10);
    return errno == ERANGE && strpbrk(number, ".eE") == NULL;
}

/* The text with an exponent behind each integer that is out of range, which makes it a real. */
static void mark_large_integers(const char *text, size_t length, struct buffer *out)
{
    for (size_t i = 0; i < length;) {
        size_t token = 1;
        bool large = false;
        if (text[i] == '"') {
            token = string_length(text + i, length - i);
        } else if (text[i] == '-' || (text[i] >= '0' && text[i] <= '9')) {
            while (i + token < length && text[i + token] != '\0' &&
                   strchr("0123456789+-.eE", text[i + token]) != NULL) {
                token++;
            }
            large = is_large_integer(text + i, token);
        }
        buffer_add(out, text + i, token);
        buffer_add_text(out, large ? "e0" : "");
        i += token;
    }
}

/* What a text holds, by its punctuation; anything for text that is no JSON. */
struct measures {
    size_t values, levels;
};

static struct measures measure(const char *text, size_t length)
{
    struct measures measures = {.values = 1};
    size_t level = 0;
    bool opened = false; /* Nothing has come since a container began. */
    for (size_t i = 0; i < length; i++) {
        switch (text[i]) {
        case '"':
            i += string_length(text + i, length - i) - 1;
            opened = false;
            break;
        case '{':
        case '[':
            level++;
            measures.levels = level > measures.levels ? level : measures.levels;
            measures.values++;
            opened = true;
            break;
        case '}':
        case ']':
            level -= level > 0;
            measures.values -= opened;
            opened = false;
            break;
        case ',':
            measures.values++;
            break;
        case ' ':
        case '\n':
        case '\r':
        case '\t':
            break;
        default:
            opened = false;
        }
    }
    return measures;
}

size_t json_count_values(const char *text, size_t length)
{
    return measure(text, length).values;
}

bool json_check_values(size_t values, struct error *error)
{
    return values <= JSON_VALUES_MAX ||
           error_set(error, 413, "RequestEntityTooLarge",
                     "Request entity too large: it holds more than %d values", JSON_VALUES_MAX);
}

/* Parses what has been measured. */
static json_t *parse(const char *text, size_t length, size_t flags, json_error_t *where)
{
    flags |= JSON_DECODE_ANY | JSON_ALLOW_NUL;
    json_t *json = json_loadb(text, length, flags, where);
    if (json == NULL && json_error_code(where) == json_error_numeric_overflow) {
        cleanup(buffer_free)
        struct buffer marked = BUFFER_INIT;
        mark_large_integers(text, length, &marked);
        json = json_loadb(marked.bytes, marked.length, flags, where);
    }
    return json;
}

static bool check_levels(size_t levels, struct error *error)
{
    return levels <= JSON_LEVELS_MAX || error_bad_request(error, "exceeded max depth");
}

static json_t *parsed(json_t *json, const json_error_t *where, struct error *error)
{
    if (json == NULL) {
        error_bad_request(error, "invalid JSON at line %d column %d: %s", where->line,
                          where->column, where->text);
    }
    return json;
}

json_t *json_parse(const char *text, size_t length, struct error *error)
{
    static const struct json_read_limits limits = {JSON_LEVELS_MAX, SIZE_MAX, false};
    json_error_t where;
    json_t *json = json_read(text, length, &limits);
    if (json != NULL) {
        return json;
    }
    if (!check_levels(measure(text, length).levels, error)) {
        return NULL;
    }
    return parsed(parse(text, length, 0, &where), &where, error);
}

json_t *json_parse_body(const char *text, size_t length, bool *has_duplicates, struct error *error)
{
    static const struct json_read_limits limits = {JSON_LEVELS_MAX, JSON_VALUES_MAX, true};
    json_error_t where;
    *has_duplicates = false;
    json_t *json = json_read(text, length, &limits);
    if (json != NULL) {
        return json;
    }
    struct measures measures = measure(text, length);
    if (!json_check_values(measures.values, error) || !check_levels(measures.levels, error)) {
        return NULL;
    }
    json = parse(text, length, JSON_REJECT_DUPLICATES, &where);
    if (json == NULL && json_error_code(&where) == json_error_duplicate_key) {
        *has_duplicates = true; /* Provided that the rest is right. */
        json = parse(text, length, 0, &where);
    }
    return parsed(json, &where, error);
}

json_t *json_parse_known(const char *text, size_t length)
{
    static const struct json_read_limits limits = {JSON_LEVELS_MAX, SIZE_MAX, false};
    json_error_t where;
    json_t *json = json_read(text, length, &limits);
    return json != NULL ? json : parse(text, length, 0, &where);
}

/* ---- encoding ---- */

/* The letter of a two-character escape, or NUL when the character has none. */
static char short_escape(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return '\0';
    }
}

/* From the first character that may have to be escaped. */
static void encode_special(const char *text, size_t length, struct buffer *buffer)
{
    static const char hex[] = "0123456789abcdef";
    size_t plain = 0; /* Where the run of characters that need no escape began. */
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        buffer_add(buffer, text + plain, i - plain);
        plain = i + 1;
        char letter = short_escape(c);
        if (letter != '\0') {
            char escape[2] = {'\\', letter};
            buffer_add(buffer, escape, 2);
        } else {
            char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            buffer_add(buffer, escape, 6);
        }
        i += json_plain_length(text + plain, length - plain);
    }
    buffer_add(buffer, text + plain, length - plain);
}

void json_encode_string(const char *text, size_t length, struct buffer *buffer)
{
    size_t plain = json_plain_length(text, length);
    char *place = buffer_reserve(buffer, plain + 2);
    place[0] = '"';
    memcpy(place + 1, text, plain);
    buffer->length += plain + 1;
    if (plain < length) {
        encode_special(text + plain, length - plain, buffer);
        buffer_add_char(buffer, '"');
        return;
    }
    place[plain + 1] = '"';
    place[plain + 2] = '\0';
    buffer->length++;
}

static void encode_real(double real, struct buffer *buffer)
{
    char text[40];
    if (!isfinite(real)) {
        buffer_add_literal(buffer, "null");
        return;
    }
    int digits = 1;
    do {
        snprintf(text, sizeof text, "%.*e", digits - 1, real);
    } while (strtod(text, NULL) != real && ++digits <= 17);
    /* As Go's encoding/json: plain notation in the range that people read. */
    double magnitude = fabs(real);
    if (magnitude == 0 || (magnitude >= 1e-6 && magnitude < 1e21)) {
        int exponent = magnitude == 0 ? 0 : atoi(strchr(text, 'e') + 1);
        int decimals = digits - 1 - exponent;
        snprintf(text, sizeof text, "%.*f", decimals > 0 ? decimals : 0, real);
    }
    buffer_add_text(buffer, text);
}

static void encode_object(const json_t *json, struct buffer *buffer)
{
    bool first = true;
    const char *key;
    json_t *value;
    buffer_add_char(buffer, '{');
    void *at = json_object_iter((json_t *)json);
    while (at != NULL) {
        key = json_object_iter_key(at);
        value = json_object_iter_value(at);
        if (!first) {
            buffer_add_char(buffer, ',');
        }
        first = false;
        json_encode_string(key, json_object_iter_key_len(at), buffer);
        buffer_add_char(buffer, ':');
        json_encode(value, buffer);
        at = json_object_iter_next((json_t *)json, at);
    }
    buffer_add_char(buffer, '}');
}

static void encode_array(const json_t *json, struct buffer *buffer)
{
    buffer_add_char(buffer, '[');
    for (size_t i = 0; i < json_array_size(json); i++) {
        if (i > 0) {
            buffer_add_char(buffer, ',');
        }
        json_encode(json_array_get(json, i), buffer);
    }
    buffer_add_char(buffer, ']');
}

void json_encode(const json_t *json, struct buffer *buffer)
{
    switch (json ? json_typeof(json) : JSON_NULL) {
    case JSON_OBJECT:
        encode_object(json, buffer);
        break;
    case JSON_ARRAY:
        encode_array(json, buffer);
        break;
    case JSON_STRING:
        json_encode_string(json_string_value(json), json_string_length(json), buffer);
        break;
    case JSON_INTEGER:
        buffer_add_int(buffer, json_integer_value(json));
        break;
    case JSON_REAL:
        encode_real(json_real_value(json), buffer);
        break;
    case JSON_TRUE:
        buffer_add_literal(buffer, "true");
        break;
    case JSON_FALSE:
        buffer_add_literal(buffer, "false");
        break;
    case JSON_NULL:
        buffer_add_literal(buffer, "null");
        break;
    }
}

char *json_text(const json_t *json)
{
    struct buffer buffer = BUFFER_INIT;
    json_encode(json, &buffer);
    return buffer_steal(&buffer);
}

/* ---- access ---- */

json_t *json_path_list(const json_t *json, const char *const *names)
{
    for (; *names != NULL && json != NULL; names++) {
        json = json_object_get(json, *names);
    }
    return (json_t *)json;
}

const char *json_get_string(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

json_int_t json_get_int(const json_t *object, const char *name, json_int_t otherwise)
{
    const json_t *value = json_object_get(object, name);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool json_get_bool(const json_t *object, const char *name, bool otherwise)
{
    const json_t *value = json_object_get(object, name);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

json_t *json_get_or_add_object(json_t *object, const char *name)
{
    json_t *member = json_object_get(object, name);
    if (!json_is_object(member)) {
        member = json_object();
        json_object_set_new_nocheck(object, name, member);
    }
    return member;
}

bool json_array_has_string(const json_t *array, const char *text)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *element = json_string_value(json_array_get(array, i));
        if (element != NULL && strcmp(element, text) == 0) {
            return true;
        }
    }
    return false;
}

bool json_has_nul(const json_t *string)
{
    return json_is_string(string) &&
           strlen(json_string_value(string)) != json_string_length(string);
}

char *json_without_nul(const json_t *string)
{
    if (!json_has_nul(string)) {
        return NULL;
    }
    size_t length = json_string_length(string);
    char *copy = duplicate_bytes(json_string_value(string), length);
    for (char *at = copy; (at = memchr(at, '\0', (size_t)(copy + length - at))) != NULL;) {
        *at = '\x01';
    }
    return copy;
}

// SPDX-License-Identifier: Apache-2.0
#include "common/json_read.h"

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/json.h"

enum { digits_max = 18 }; /* As many as surely fit an int64. */

struct reader {
    const char *at, *end;
    unsigned levels; /* That may still be entered. */
    size_t values;   /* That may still come. */
    bool no_duplicates;
    struct buffer unescaped; /* Strings with escapes: the keys that lead here, and a last one. */
};

/* A string as it was read. */
struct text {
    enum { TEXT_WRONG, TEXT_PLAIN, TEXT_SPECIAL } form; /* Plain: ASCII without escapes. */
    const char *plain;
    size_t start; /* If special: in 'unescaped', which may move. */
    size_t length;
};

static json_t *read_value(struct reader *reader);

/* ---- strings ---- */

/* The letter that a two-character escape stands for, or NUL. */
static char short_escape(char letter)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *place = letter != '\0' ? strchr(letters, letter) : NULL;
    return place != NULL ? meanings[place - letters] : '\0';
}

/* Four hexadecimal digits, or -1. */
static int hexadecimal(const char *digits)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = digits[i], lower = (char)(c | 0x20);
        int digit = c >= '0' && c <= '9'           ? c - '0'
                    : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10
                                                   : -1;
        if (digit < 0) {
            return -1;
        }
        value = value << 4 | digit;
    }
    return value;
}

/* A character outside ASCII and before the surrogates. */
static void add_character(int code, struct buffer *out)
{
    if (code >= 0x800) {
        buffer_add_char(out, (char)(0xe0 | code >> 12));
        buffer_add_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
    } else {
        buffer_add_char(out, (char)(0xc0 | code >> 6));
    }
    buffer_add_char(out, (char)(0x80 | (code & 0x3f)));
}

/* Stands at a backslash. */
static bool read_escape(struct reader *reader)
{
    ptrdiff_t left = reader->end - reader->at;
    char meaning = left >= 2 ? short_escape(reader->at[1]) : '\0';
    if (meaning != '\0') {
        buffer_add_char(&reader->unescaped, meaning);
        reader->at += 2;
        return true;
    }
    int code = left >= 6 && reader->at[1] == 'u' ? hexadecimal(reader->at + 2) : -1;
    if (code <= 0 || (code >= 0xd800 && code <= 0xdfff)) {
        return false;
    }
    if (code < 0x80) {
        buffer_add_char(&reader->unescaped, (char)code);
    } else {
        add_character(code, &reader->unescaped);
    }
    reader->at += 6;
    return true;
}

/* Goes on with a string that is not plain, from where it ceases to be. */
static struct text read_special_string(struct reader *reader, const char *start)
{
    const char *run = start; /* What is still to be copied. */
    size_t before = reader->unescaped.length;
    while (reader->at < reader->end && *reader->at != '"') {
        if (*reader->at == '\\') {
            buffer_add(&reader->unescaped, run, (size_t)(reader->at - run));
            if (!read_escape(reader)) {
                return (struct text){0};
            }
            run = reader->at;
        } else if ((unsigned char)*reader->at < 0x20) {
            return (struct text){0};
        } else {
            reader->at++;
        }
    }
    if (reader->at == reader->end) {
        return (struct text){0};
    }
    buffer_add(&reader->unescaped, run, (size_t)(reader->at - run));
    reader->at++;
    return (struct text){TEXT_SPECIAL, .start = before,
                         .length = reader->unescaped.length - before};
}

/* Stands at an opening quote. */
static struct text read_string(struct reader *reader)
{
    const char *start = ++reader->at;
    reader->at += json_plain_length(start, (size_t)(reader->end - start));
    if (reader->at < reader->end && *reader->at == '"') {
        return (struct text){TEXT_PLAIN, .plain = start, .length = (size_t)(reader->at++ - start)};
    }
    return read_special_string(reader, start);
}

/* ---- values ---- */

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\n' ||
                                        *reader->at == '\t' || *reader->at == '\r')) {
        reader->at++;
    }
}

static bool take(struct reader *reader, char c)
{
    skip_space(reader);
    bool is_there = reader->at < reader->end && *reader->at == c;
    reader->at += is_there;
    return is_there;
}

static json_t *read_text(struct reader *reader)
{
    struct text text = read_string(reader);
    if (text.form == TEXT_PLAIN) {
        return json_stringn_nocheck(text.plain, text.length);
    }
    if (text.form == TEXT_WRONG) {
        return NULL;
    }
    json_t *string = json_stringn(reader->unescaped.bytes + text.start, text.length);
    reader->unescaped.length = text.start;
    return string;
}

/* Reals are rare, and converted by jansson; what overflows is not. */
static json_t *read_real(struct reader *reader)
{
    const char *at = reader->at;
    while (at < reader->end && *at != '\0' && strchr("0123456789+-.eE", *at) != NULL) {
        at++;
    }
    json_t *real = json_loadb(reader->at, (size_t)(at - reader->at), JSON_DECODE_ANY, NULL);
    reader->at = at;
    return real;
}

static json_t *read_number(struct reader *reader)
{
    bool is_negative = *reader->at == '-';
    const char *first = reader->at + is_negative, *at = first;
    json_int_t value = 0;
    while (at < reader->end && *at >= '0' && *at <= '9' && at - first < digits_max) {
        value = 10 * value + (*at++ - '0');
    }
    bool is_odd = at == first || (*first == '0' && at - first > 1) ||
                  (at < reader->end && strchr("0123456789.eE", *at) != NULL);
    if (is_odd) {
        return read_real(reader);
    }
    reader->at = at;
    return json_integer(is_negative ? -value : value);
}

static json_t *read_word(struct reader *reader, const char *word, size_t length, json_t *value)
{
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0) {
        return NULL;
    }
    reader->at += length;
    return value;
}

static bool read_member(struct reader *reader, json_t *object)
{
    skip_space(reader);
    if (reader->at == reader->end || *reader->at != '"') {
        return false;
    }
    struct text key = read_string(reader);
    json_t *value = key.form != TEXT_WRONG && take(reader, ':') ? read_value(reader) : NULL;
    if (value == NULL) {
        return false;
    }
    size_t before = json_object_size(object);
    int failed = 0;
    if (key.form == TEXT_PLAIN) {
        failed = json_object_setn_new_nocheck(object, key.plain, key.length, value);
    } else {
        failed =
            json_object_setn_new(object, reader->unescaped.bytes + key.start, key.length, value);
        reader->unescaped.length = key.start;
    }
    return failed == 0 && (!reader->no_duplicates || json_object_size(object) > before);
}

static bool read_members(struct reader *reader, json_t *object)
{
    if (take(reader, '}')) {
        return true;
    }
    do {
        if (!read_member(reader, object)) {
            return false;
        }
    } while (take(reader, ','));
    return take(reader, '}');
}

static bool read_elements(struct reader *reader, json_t *array)
{
    if (take(reader, ']')) {
        return true;
    }
    do {
        json_t *element = read_value(reader);
        if (element == NULL || json_array_append_new(array, element) != 0) {
            return false;
        }
    } while (take(reader, ','));
    return take(reader, ']');
}

/* Stands at a bracket. */
static json_t *read_container(struct reader *reader, json_t *empty,
                              bool (*fill)(struct reader *reader, json_t *container))
{
    bool is_read = false;
    if (reader->levels > 0) {
        reader->at++;
        reader->levels--;
        is_read = fill(reader, empty);
        reader->levels++;
    }
    if (!is_read) {
        json_decref(empty);
        return NULL;
    }
    return empty;
}

static json_t *read_value(struct reader *reader)
{
    skip_space(reader);
    if (reader->at == reader->end || reader->values == 0) {
        return NULL;
    }
    reader->values--;
    switch (*reader->at) {
    case '{':
        return read_container(reader, json_object(), read_members);
    case '[':
        return read_container(reader, json_array(), read_elements);
    case '"':
        return read_text(reader);
    case 't':
        return read_word(reader, "true", 4, json_true());
    case 'f':
        return read_word(reader, "false", 5, json_false());
    case 'n':
        return read_word(reader, "null", 4, json_null());
    default:
        return read_number(reader);
    }
}

json_t *json_read(const char *text, size_t length, const struct json_read_limits *limits)
{
    struct reader reader = {
        .at = text,
        .end = text + length,
        .levels = limits->levels,
        .values = limits->values,
        .no_duplicates = limits->no_duplicates,
    };
    json_t *json = read_value(&reader);
    buffer_free(&reader.unescaped);
    skip_space(&reader);
    if (reader.at != reader.end) {
        json_decref(json);
        return NULL;
    }
    return json;
}

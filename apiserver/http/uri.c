// SPDX-License-Identifier: Apache-2.0
#include "apiserver/http/uri.h"

#include <stdint.h>
#include <string.h>

#include "common/alloc.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

/* The number of bytes of the UTF-8 sequence at 'text', 0 when it is malformed. */
static size_t sequence_length(const unsigned char *text, size_t left)
{
    static const struct {
        unsigned char mask, lead;
        size_t length;
        uint32_t least;
    } forms[] = {{0xe0, 0xc0, 2, 0x80}, {0xf0, 0xe0, 3, 0x800}, {0xf8, 0xf0, 4, 0x10000}};

    for (size_t i = 0; i < array_length(forms); i++) {
        if ((text[0] & forms[i].mask) != forms[i].lead) {
            continue;
        }
        if (left < forms[i].length) {
            return 0;
        }
        uint32_t point = text[0] & (unsigned char)~forms[i].mask;
        for (size_t at = 1; at < forms[i].length; at++) {
            if ((text[at] & 0xc0) != 0x80) {
                return 0;
            }
            point = point << 6 | (text[at] & 0x3f);
        }
        bool surrogate = point >= 0xd800 && point <= 0xdfff;
        return point >= forms[i].least && point <= 0x10ffff && !surrogate ? forms[i].length : 0;
    }
    return 0;
}

bool uri_is_clean_text(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t at = 0; at < length;) {
        if (bytes[at] < 0x80) {
            if ((bytes[at] < 0x20 && bytes[at] != '\t' && bytes[at] != '\n') || bytes[at] == 0x7f) {
                return false;
            }
            at++;
            continue;
        }
        size_t sequence = sequence_length(bytes + at, length - at);
        if (sequence == 0) {
            return false;
        }
        at += sequence;
    }
    return true;
}

char *uri_decode(const char *text, size_t length, bool plus_is_space)
{
    cleanup(free_char)
    char *decoded = allocate(length + 1);
    size_t size = 0;
    for (size_t at = 0; at < length; at++) {
        char c = text[at];
        if (c == '%') {
            int high = at + 2 < length ? hex_value(text[at + 1]) : -1;
            int low = at + 2 < length ? hex_value(text[at + 2]) : -1;
            if (high < 0 || low < 0) {
                return NULL;
            }
            c = (char)(high << 4 | low);
            at += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        decoded[size++] = c;
    }
    decoded[size] = '\0';
    return uri_is_clean_text(decoded, size) ? steal(decoded) : NULL;
}

static bool parse_pair(const char *pair, size_t length, struct parameter *parameter)
{
    const char *equals = memchr(pair, '=', length);
    size_t name_length = equals ? (size_t)(equals - pair) : length;
    const char *value = equals ? equals + 1 : pair + length;
    *parameter = (struct parameter){
        .name = uri_decode(pair, name_length, true),
        .value = uri_decode(value, (size_t)(pair + length - value), true),
    };
    return parameter->name != NULL && parameter->value != NULL;
}

bool uri_parse_query(const char *query, struct parameter **parameters, size_t *count)
{
    struct parameter *found = NULL;
    size_t found_count = 0, capacity = 0;
    bool valid = true;
    while (valid && *query != '\0') {
        size_t length = strcspn(query, "&");
        if (length > 0) {
            found = grow(found, found_count, &capacity, sizeof *found);
            valid = parse_pair(query, length, &found[found_count++]);
        }
        query += length + (query[length] == '&');
    }
    if (!valid) {
        uri_free_parameters(found, found_count);
        found = NULL;
        found_count = 0;
    }
    *parameters = found;
    *count = found_count;
    return valid;
}

void uri_free_parameters(struct parameter *parameters, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(parameters[i].name);
        free(parameters[i].value);
    }
    free(parameters);
}

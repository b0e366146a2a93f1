// SPDX-License-Identifier: Apache-2.0
#include "common/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/alloc.h"

void buffer_grow(struct buffer *buffer, size_t more)
{
    size_t needed = buffer->length + more + 1;
    size_t capacity = buffer->capacity ? buffer->capacity : 128;
    while (capacity < needed) {
        capacity *= 2;
    }
    buffer->bytes = reallocate(buffer->bytes, capacity);
    buffer->capacity = capacity;
}

void buffer_add(struct buffer *buffer, const void *bytes, size_t length)
{
    char *place = buffer_reserve(buffer, length);
    if (length > 0) {
        memcpy(place, bytes, length);
    }
    buffer->length += length;
    buffer->bytes[buffer->length] = '\0';
}

void buffer_add_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

void buffer_add_int(struct buffer *buffer, int64_t number)
{
    char digits[24];
    char *end = digits + sizeof digits;
    char *start = end;
    uint64_t magnitude = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        *--start = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude > 0);
    if (number < 0) {
        *--start = '-';
    }
    buffer_add(buffer, start, (size_t)(end - start));
}

void buffer_addf(struct buffer *buffer, const char *text, ...)
{
    enum { likely_length = 32 };
    va_list arguments, again;
    va_start(arguments, text);
    va_copy(again, arguments);
    char *place = buffer_reserve(buffer, likely_length);
    int length = vsnprintf(place, buffer->capacity - buffer->length, text, arguments);
    if (length > 0 && (size_t)length >= buffer->capacity - buffer->length) {
        place = buffer_reserve(buffer, (size_t)length);
        vsnprintf(place, (size_t)length + 1, text, again);
    }
    buffer->length += length > 0 ? (size_t)length : 0;
    buffer->bytes[buffer->length] = '\0';
    va_end(again);
    va_end(arguments);
}

void buffer_add_quoted(struct buffer *buffer, const char *text)
{
    buffer_add_char(buffer, '"');
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            buffer_addf(buffer, "\\%c", *c);
        } else if (*c == '\n') {
            buffer_add_text(buffer, "\\n");
        } else if ((unsigned char)*c < ' ') {
            buffer_addf(buffer, "\\x%02x", (unsigned)*c);
        } else {
            buffer_add_char(buffer, *c);
        }
    }
    buffer_add_char(buffer, '"');
}

const char *buffer_text(const struct buffer *buffer)
{
    return buffer->bytes ? buffer->bytes : "";
}

char *buffer_steal(struct buffer *buffer)
{
    char *text = buffer->bytes ? buffer->bytes : duplicate("");
    *buffer = BUFFER_INIT;
    return text;
}

void buffer_reset(struct buffer *buffer)
{
    buffer->length = 0;
    if (buffer->bytes != NULL) {
        buffer->bytes[0] = '\0';
    }
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->bytes);
    *buffer = BUFFER_INIT;
}

// SPDX-License-Identifier: Apache-2.0
#include "common/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/alloc.h"

char *buffer_reserve(struct buffer *buffer, size_t more)
{
    size_t needed = buffer->length + more + 1;
    if (needed > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity : 128;
        while (capacity < needed) {
            capacity *= 2;
        }
        buffer->bytes = reallocate(buffer->bytes, capacity);
        buffer->capacity = capacity;
    }
    return buffer->bytes + buffer->length;
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

void buffer_add_char(struct buffer *buffer, char c)
{
    buffer_add(buffer, &c, 1);
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
    va_list arguments;
    va_start(arguments, text);
    cleanup(free_char)
    char *formatted = format_list(text, arguments);
    va_end(arguments);
    buffer_add_text(buffer, formatted);
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

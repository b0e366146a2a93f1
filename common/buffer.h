// SPDX-License-Identifier: Apache-2.0
/* A growing string of bytes. Always followed by a NUL that does not count. Not thread-safe. */
#ifndef COMMON_BUFFER_H
#define COMMON_BUFFER_H

#include <stddef.h>
#include <stdint.h>

struct buffer {
    char *bytes; /* NULL until something is written. */
    size_t length;
    size_t capacity;
};

#define BUFFER_INIT ((struct buffer){0})

void buffer_grow(struct buffer *buffer, size_t more); /* For the next, when there is no room. */
/* Makes room for 'more' bytes after the present ones and returns where they go; the caller then
 * adds what it wrote to 'length'. */
static inline char *buffer_reserve(struct buffer *buffer, size_t more)
{
    if (buffer->capacity - buffer->length <= more) {
        buffer_grow(buffer, more);
    }
    return buffer->bytes + buffer->length;
}
void buffer_add(struct buffer *buffer, const void *bytes, size_t length);
void buffer_add_text(struct buffer *buffer, const char *text);
static inline void buffer_add_char(struct buffer *buffer, char c)
{
    char *place = buffer_reserve(buffer, 1);
    place[0] = c;
    place[1] = '\0';
    buffer->length++;
}
void buffer_add_int(struct buffer *buffer, int64_t number);
void buffer_addf(struct buffer *buffer, const char *text, ...)
    __attribute__((format(printf, 2, 3)));
/* Adds the text in double quotes, with backslashes before what would end it or can't be seen. */
void buffer_add_quoted(struct buffer *buffer, const char *text);
/* Adds a literal without measuring it at run time. */
#define buffer_add_literal(buffer, literal) buffer_add((buffer), "" literal, sizeof(literal) - 1)

/* The text so far, "" when there is none. Borrowed, until the buffer changes. */
const char *buffer_text(const struct buffer *buffer);
/* Hands the text out (never NULL) and leaves the buffer empty. */
char *buffer_steal(struct buffer *buffer);
/* Empties without releasing the memory. */
void buffer_reset(struct buffer *buffer);
void buffer_free(struct buffer *buffer); /* Also fit for cleanup(). */

#endif

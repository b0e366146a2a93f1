// SPDX-License-Identifier: Apache-2.0
#include "common/alloc.h"

#include <string.h>

static void *check(void *pointer)
{
    if (pointer == NULL) {
        static const char message[] = "out of memory\n";
        ssize_t ignored = write(STDERR_FILENO, message, sizeof message - 1);
        (void)ignored;
        abort();
    }
    return pointer;
}

void *allocate(size_t size)
{
    return check(malloc(size ? size : 1));
}

void *allocate_zero(size_t count, size_t size)
{
    return check(calloc(count ? count : 1, size ? size : 1));
}

void *reallocate(void *pointer, size_t size)
{
    return check(realloc(pointer, size ? size : 1));
}

char *duplicate(const char *text)
{
    return check(strdup(text));
}

char *duplicate_bytes(const void *bytes, size_t length)
{
    char *copy = allocate(length + 1);
    if (length > 0) {
        memcpy(copy, bytes, length);
    }
    copy[length] = '\0';
    return copy;
}

char *format(const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    char *result = format_list(text, arguments);
    va_end(arguments);
    return result;
}

char *format_list(const char *text, va_list arguments)
{
    char *result = NULL;
    if (vasprintf(&result, text, arguments) < 0) {
        result = NULL;
    }
    return check(result);
}

char *concatenate_list(const char *const *texts)
{
    size_t length = 0;
    for (const char *const *text = texts; *text != NULL; text++) {
        length += strlen(*text);
    }
    char *result = allocate(length + 1), *end = result;
    for (*end = '\0'; *texts != NULL; texts++) {
        end = stpcpy(end, *texts);
    }
    return result;
}

void *grow(void *array, size_t count, size_t *capacity, size_t element_size)
{
    if (count < *capacity) {
        return array;
    }
    *capacity = *capacity ? *capacity * 2 : 8;
    return reallocate(array, *capacity * element_size);
}

void heap_reserve(void)
{
    enum { reserve = 48 * 1024 }; /* Less than what has free() look for more to give back. */
    void *volatile place = malloc(reserve);
    free(place);
}

void free_char(char **text)
{
    free(*text);
}

void close_descriptor(int *descriptor)
{
    if (*descriptor >= 0) {
        close(*descriptor);
    }
}

void close_stream(FILE **stream)
{
    if (*stream != NULL) {
        fclose(*stream);
    }
}

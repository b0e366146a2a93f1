// SPDX-License-Identifier: Apache-2.0
/*
 * Memory: allocation that cannot fail, and locals that free themselves.
 *
 * Out of memory ends the process here and nowhere else; no caller checks for NULL.
 *
 * A local declared with cleanup(f) is released when it leaves scope, so every early return is
 * safe:
 *
 *     cleanup(free_char) char *path = format("%s/%s", folder, name);
 *     if (!usable(path)) {
 *         return NULL;
 *     }
 *     return steal(path);          // hands the string out; the cleanup then frees NULL
 */
#ifndef COMMON_ALLOC_H
#define COMMON_ALLOC_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup(function) __attribute__((cleanup(function)))

/* Takes the pointer out of a cleanup() local and leaves NULL behind. */
#define steal(pointer)                                                                             \
    ({                                                                                             \
        __auto_type steal_value = (pointer);                                                       \
        (pointer) = NULL;                                                                          \
        steal_value;                                                                               \
    })

#define array_length(array) (sizeof(array) / sizeof((array)[0]))

/* The struct of 'type' whose 'member' is at 'pointer'. */
#define container_of(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* malloc, calloc, realloc, strdup, strndup and asprintf that never return NULL. */
void *allocate(size_t size) __attribute__((malloc, returns_nonnull));
void *allocate_zero(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *reallocate(void *pointer, size_t size) __attribute__((returns_nonnull));
char *duplicate(const char *text) __attribute__((malloc, returns_nonnull));
char *duplicate_bytes(const void *bytes, size_t length) __attribute__((malloc, returns_nonnull));
char *format(const char *text, ...) __attribute__((format(printf, 1, 2), returns_nonnull));
char *format_list(const char *text, va_list arguments)
    __attribute__((format(printf, 1, 0), returns_nonnull));
/* The texts one behind the other: concatenate(folder, "/", name), at a tenth of what format() takes
 * for it. */
#define concatenate(...) concatenate_list((const char *const[]){__VA_ARGS__, NULL})
char *concatenate_list(const char *const *texts) __attribute__((malloc, returns_nonnull));

#define allocate_struct(type) ((type *)allocate_zero(1, sizeof(type)))

/* Has the thread's heap grow at once by what it would grow by otherwise page by page, with a call
 * to the kernel for each: glibc grows all heaps but the main one so. To be called now and then by a
 * thread that allocates much to keep. */
void heap_reserve(void);

/* Makes room for at least one more element in a growing array: doubles '*capacity' when 'count'
 * has reached it. Returns the array, possibly moved. */
void *grow(void *array, size_t count, size_t *capacity, size_t element_size);

/* Cleanup functions for common types. */
void free_char(char **text);
void close_descriptor(int *descriptor);
void close_stream(FILE **stream);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "scheduler/reasons.h"

#include <stdarg.h>
#include <string.h>

#include "common/alloc.h"
#include "common/buffer.h"

void reasons_add(struct reasons *reasons, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    cleanup(free_char)
    char *reason = format_list(text, arguments);
    va_end(arguments);
    for (size_t i = 0; i < reasons->count; i++) {
        if (strcmp(reasons->list[i].text, reason) == 0) {
            reasons->list[i].count++;
            return;
        }
    }
    reasons->list = grow(reasons->list, reasons->count, &reasons->capacity, sizeof *reasons->list);
    reasons->list[reasons->count++] = (struct reason){steal(reason), 1};
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *reasons_text(const struct reasons *reasons, size_t node_count)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    char **parts = allocate_zero(reasons->count + 1, sizeof *parts);
    buffer_addf(&text, "0/%zu nodes are available", node_count);
    for (size_t i = 0; i < reasons->count; i++) {
        parts[i] = format("%zu %s", reasons->list[i].count, reasons->list[i].text);
    }
    qsort(parts, reasons->count, sizeof *parts, compare_texts);
    for (size_t i = 0; i < reasons->count; i++) {
        buffer_addf(&text, "%s%s", i == 0 ? ": " : ", ", parts[i]);
        free(parts[i]);
    }
    buffer_add_char(&text, '.');
    free(parts);
    return buffer_steal(&text);
}

void reasons_clear(struct reasons *reasons)
{
    for (size_t i = 0; i < reasons->count; i++) {
        free(reasons->list[i].text);
    }
    free(reasons->list);
    *reasons = (struct reasons){0};
}

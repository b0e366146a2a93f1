// SPDX-License-Identifier: Apache-2.0
#include "controllers/job_indexes.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "common/alloc.h"
#include "common/buffer.h"

void job_indexes_free(struct job_indexes *indexes)
{
    free(indexes->intervals);
    *indexes = JOB_INDEXES_INIT;
}

/* ---- text ---- */

/* Digits and nothing else before '*end'. */
static bool parse_index(const char **text, int *index)
{
    char *end;
    long value = isdigit((unsigned char)**text) ? strtol(*text, &end, 10) : -1;
    if (value < 0) {
        return false;
    }
    *index = value < INT_MAX ? (int)value : INT_MAX;
    *text = end;
    return true;
}

static bool parse_interval(const char *text, size_t length, struct job_interval *interval)
{
    const char *end = text + length;
    if (!parse_index(&text, &interval->first)) {
        return false;
    }
    interval->last = interval->first;
    if (text < end && *text == '-') {
        text++;
        if (!parse_index(&text, &interval->last)) {
            return false;
        }
    }
    return text == end && interval->last >= interval->first;
}

void job_indexes_parse(struct job_indexes *indexes, const char *text, int completions)
{
    while (text != NULL && *text != '\0') {
        struct job_interval interval;
        size_t length = strcspn(text, ",");
        if (parse_interval(text, length, &interval) && interval.first < completions) {
            job_indexes_add(indexes, interval.first,
                            interval.last < completions ? interval.last : completions - 1);
        }
        text += length + (text[length] == ',');
    }
}

char *job_indexes_text(const struct job_indexes *indexes)
{
    struct buffer text = BUFFER_INIT;
    for (size_t i = 0; i < indexes->count; i++) {
        const struct job_interval *at = &indexes->intervals[i];
        buffer_addf(&text, "%s%d", i > 0 ? "," : "", at->first);
        if (at->last > at->first) { /* Two neighbours are a list and no range. */
            buffer_addf(&text, "%s%d", at->last == at->first + 1 ? "," : "-", at->last);
        }
    }
    return buffer_steal(&text);
}

/* ---- sets ---- */

/* The position of the first interval that ends at 'index' or behind it. */
static size_t find(const struct job_indexes *indexes, int index)
{
    size_t low = 0, high = indexes->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (indexes->intervals[middle].last >= index) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

void job_indexes_add(struct job_indexes *indexes, int first, int last)
{
    /* All that overlap with the new interval or touch it become one with it. */
    size_t from = find(indexes, first > 0 ? first - 1 : first), to = from;
    while (to < indexes->count && indexes->intervals[to].first - 1 <= last) {
        first = indexes->intervals[to].first < first ? indexes->intervals[to].first : first;
        last = indexes->intervals[to].last > last ? indexes->intervals[to].last : last;
        to++;
    }
    indexes->intervals =
        grow(indexes->intervals, indexes->count, &indexes->capacity, sizeof *indexes->intervals);
    memmove(&indexes->intervals[from + 1], &indexes->intervals[to],
            (indexes->count - to) * sizeof *indexes->intervals);
    indexes->intervals[from] = (struct job_interval){first, last};
    indexes->count = indexes->count + 1 - (to - from);
}

void job_indexes_add_all(struct job_indexes *indexes, const struct job_indexes *others)
{
    for (size_t i = 0; i < others->count; i++) {
        job_indexes_add(indexes, others->intervals[i].first, others->intervals[i].last);
    }
}

bool job_indexes_has(const struct job_indexes *indexes, int index)
{
    size_t at = find(indexes, index);
    return at < indexes->count && indexes->intervals[at].first <= index;
}

int job_indexes_total(const struct job_indexes *indexes)
{
    int total = 0;
    for (size_t i = 0; i < indexes->count; i++) {
        total += indexes->intervals[i].last - indexes->intervals[i].first + 1;
    }
    return total;
}

int job_indexes_common(const struct job_indexes *a, const struct job_indexes *b)
{
    int common = 0;
    for (size_t i = 0, n = 0; i < a->count && n < b->count;) {
        const struct job_interval *one = &a->intervals[i], *other = &b->intervals[n];
        int first = one->first > other->first ? one->first : other->first;
        int last = one->last < other->last ? one->last : other->last;
        common += last >= first ? last - first + 1 : 0;
        if (one->last < other->last) {
            i++;
        } else {
            n++;
        }
    }
    return common;
}

size_t job_indexes_first_free(const struct job_indexes *indexes, int completions, int *free,
                              size_t most)
{
    size_t count = 0, at = 0;
    for (int candidate = 0; candidate < completions && count < most;) {
        if (at < indexes->count && candidate >= indexes->intervals[at].first) {
            candidate = indexes->intervals[at].last + 1;
            at++;
        } else {
            free[count++] = candidate++;
        }
    }
    return count;
}

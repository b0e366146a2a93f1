// SPDX-License-Identifier: Apache-2.0
/*
 * Sets of completion indexes, as a Job's status writes them: "1,3-5,7".
 *
 * Kept as ordered intervals that do not touch, so that a job with a hundred thousand indexes costs
 * what its gaps cost.
 */
#ifndef CONTROLLERS_JOB_INDEXES_H
#define CONTROLLERS_JOB_INDEXES_H

#include <stdbool.h>
#include <stddef.h>

struct job_interval {
    int first, last;
};

struct job_indexes {
    struct job_interval *intervals;
    size_t count, capacity;
};

#define JOB_INDEXES_INIT ((struct job_indexes){0})

void job_indexes_free(struct job_indexes *indexes); /* Also fit for cleanup(). */

/* Adds what the text (NULL: nothing) says of indexes below 'completions'; an interval that can't be
 * read is skipped. */
void job_indexes_parse(struct job_indexes *indexes, const char *text, int completions);
/* The caller's; "" when empty. */
char *job_indexes_text(const struct job_indexes *indexes);

void job_indexes_add(struct job_indexes *indexes, int first, int last);
void job_indexes_add_all(struct job_indexes *indexes, const struct job_indexes *others);
bool job_indexes_has(const struct job_indexes *indexes, int index);
int job_indexes_total(const struct job_indexes *indexes);
/* How many are in both. */
int job_indexes_common(const struct job_indexes *a, const struct job_indexes *b);
/* The lowest indexes below 'completions' that are not in the set, 'most' at most, into 'free';
 * returns how many. */
size_t job_indexes_first_free(const struct job_indexes *indexes, int completions, int *free,
                              size_t most);

#endif

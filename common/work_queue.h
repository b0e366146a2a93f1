// SPDX-License-Identifier: Apache-2.0
/*
 * A queue of keys for controllers' workers.
 *
 * A key that waits is there once, however often it is added. A key that a worker holds is given to
 * nobody else; if it is added meanwhile it comes again after work_queue_done(). A key can come
 * later, or after a delay that doubles with each failure (5 ms up to 1,000 s) until it is
 * forgotten.
 *
 * Threads: all functions from any thread; work_queue_get() blocks.
 */
#ifndef COMMON_WORK_QUEUE_H
#define COMMON_WORK_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/metrics.h"

struct work_queue;

/* The metrics of all queues of a process, told apart by the label "name"; upstream's names:
 * workqueue_depth, workqueue_adds_total, workqueue_retries_total,
 * workqueue_queue_duration_seconds, workqueue_work_duration_seconds. */
struct work_queue_metrics;
struct work_queue_metrics *work_queue_metrics_new(struct metrics *metrics);
void work_queue_metrics_free(struct work_queue_metrics *metrics);

/* 'name' and 'metrics' (NULL: none) are borrowed. */
struct work_queue *work_queue_new(const char *name, const struct work_queue_metrics *metrics);
void work_queue_free(struct work_queue *queue);

void work_queue_add(struct work_queue *queue, const char *key);
/* After at least this time; of several for one key the earliest counts. */
void work_queue_add_after(struct work_queue *queue, const char *key, int64_t delay_ms);
/* After the delay for its failures, which become one more. */
void work_queue_add_rate_limited(struct work_queue *queue, const char *key);
/* The key has no failures any more. */
void work_queue_forget(struct work_queue *queue, const char *key);
int work_queue_failures(struct work_queue *queue, const char *key);

/* Waits for a key, the caller's; NULL after work_queue_stop(). */
char *work_queue_get(struct work_queue *queue);
/* The worker is through with what it got. */
void work_queue_done(struct work_queue *queue, const char *key);

/* Wakes all who wait; nothing is given out any more. */
void work_queue_stop(struct work_queue *queue);
/* How many keys are ready for workers. */
size_t work_queue_length(struct work_queue *queue);

#endif

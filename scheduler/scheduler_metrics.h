// SPDX-License-Identifier: Apache-2.0
/*
 * What the scheduler tells Prometheus, under upstream's names.
 *
 * Threads: any; but scheduler_metrics_show_queue() with the scheduler's lock held.
 */
#ifndef SCHEDULER_SCHEDULER_METRICS_H
#define SCHEDULER_SCHEDULER_METRICS_H

#include "common/metrics.h"
#include "scheduler/cycle.h"
#include "scheduler/queue.h"

struct scheduler_metrics;

struct scheduler_metrics *scheduler_metrics_new(struct metrics *metrics);
void scheduler_metrics_free(struct scheduler_metrics *metrics);

/* The decider has found a node or not, for a pod of that scheduler's name. */
void scheduler_metrics_decided(struct scheduler_metrics *metrics, const struct decider *decider,
                               const char *scheduler_name, bool found);
/* An attempt is over, binding included: "scheduled", "unschedulable" or "error". 'now' is
 * monotonic. */
void scheduler_metrics_attempted(struct scheduler_metrics *metrics, const struct queued_pod *pod,
                                 const char *result, int64_t now);
/* Preemption was tried, with so many victims; 0: it did not help. */
void scheduler_metrics_preempted(struct scheduler_metrics *metrics, size_t victims);
void scheduler_metrics_show_queue(struct scheduler_metrics *metrics, const struct queue *queue);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Metrics in Prometheus' text form: counters, gauges and histograms with labels.
 *
 * A metric is made once, at start, and lives as long as the process; a series is one combination of
 * its label values, made on first use and bounded in number (a metric with more than 4,096 series
 * counts the rest under "other"). Updating a known series takes one lock of short duration at most.
 * All functions may be called from any thread.
 */
#ifndef COMMON_METRICS_H
#define COMMON_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

struct metrics; /* A registry of metrics. */
struct metric;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);

/* 'labels' ends with NULL and is borrowed, as are 'name' and 'help'. */
struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *help,
                               const char *const *labels);
struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *help,
                             const char *const *labels);
/* 'bounds' are the buckets' upper bounds, ascending, 'count' of them, borrowed. */
struct metric *metrics_histogram(struct metrics *metrics, const char *name, const char *help,
                                 const char *const *labels, const double *bounds, size_t count);

/* Values stand in the order of the labels and end with NULL. */
void metric_add(struct metric *metric, double amount, const char *const *values);
void metric_set(struct metric *metric, double value, const char *const *values);
void metric_observe(struct metric *metric, double value, const char *const *values);
#define metric_labels(...) ((const char *const[]){__VA_ARGS__, NULL})
#define metric_no_labels ((const char *const[]){NULL})

/* Appends all metrics with HELP and TYPE lines, and the process_* ones (resident memory, CPU
 * seconds, open files, start time). */
void metrics_render(struct metrics *metrics, struct buffer *out);

#endif

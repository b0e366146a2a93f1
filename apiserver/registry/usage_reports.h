// SPDX-License-Identifier: Apache-2.0
/*
 * What nodes last said of the CPU and memory that is in use: kept in memory, never stored.
 *
 * A node's report takes the place of the one before. One that is not followed by another is
 * forgotten after three of its windows, but not before 15 s. What a report says of a pod counts
 * only for the node that the pod is bound to and for the very pod: readers come with both from the
 * pod's object. So no node can speak for another's pods, and what is said of a pod that is gone is
 * never read.
 *
 * Bounded: one report a node, each no larger than the pods that the node has (whoever puts one sees
 * to that), and forgotten with it.
 *
 * Threads: any; one mutex guards the map. Reports are immutable and reference-counted.
 */
#ifndef APISERVER_REGISTRY_USAGE_REPORTS_H
#define APISERVER_REGISTRY_USAGE_REPORTS_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>

#include "apiserver/storage/object.h"
#include "common/error.h"
#include "common/map.h"

struct usage {
    int64_t cpu_nano, memory_bytes;
};

struct container_usage {
    const char *name; /* Within the pod's memory. */
    struct usage usage;
};

struct pod_usage {
    const char *key, *uid; /* "namespace/name". Within its memory, as what follows. */
    size_t container_count;
    struct container_usage containers[];
};

struct usage_report {
    atomic_uint references;
    int64_t received; /* Nanoseconds since 1970. */
    int64_t expires;  /* By timestamp_monotonic(). */
    int64_t window_ns;
    struct usage usage;
    struct map pods; /* struct pod_usage by key. */
};

enum { USAGE_CONTAINERS_MAX = 256 }; /* Of a pod. */

/* Makes a report of a NodeReport's tree, of those pods that 'has_pod' says are the node's. That may
 * refuse the whole with an error. NULL with an error (400) for what is no report. The caller's. */
struct usage_report *usage_report_new(const json_t *tree,
                                      bool (*has_pod)(void *argument, const char *key,
                                                      const char *uid, struct error *error),
                                      void *argument, struct error *error);
/* NULL when the report does not have the pod. Borrowed. */
const struct pod_usage *usage_report_pod(const struct usage_report *report, const char *key,
                                         const char *uid);
void usage_report_unref(struct usage_report *report);
void usage_report_release(struct usage_report **report); /* For cleanup(). */

struct usage_reports;

struct usage_reports *usage_reports_new(void);
void usage_reports_free(struct usage_reports *reports); /* NULL is fine. */
/* Consumes the report. 'now' is timestamp_monotonic(). */
void usage_reports_put(struct usage_reports *reports, const char *node, struct usage_report *report,
                       int64_t now);
/* The node's report, a reference for the caller; NULL when there is none that is young enough. */
struct usage_report *usage_reports_get(struct usage_reports *reports, const char *node,
                                       size_t node_length, int64_t now);
/* How many nodes are known, for tests. */
size_t usage_reports_count(struct usage_reports *reports);
/* What answers are made with: the class of a resource's objects, which lives as long as this. */
const struct object_class *usage_reports_class(struct usage_reports *reports,
                                               const struct resource *resource);

#endif

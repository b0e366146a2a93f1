// SPDX-License-Identifier: Apache-2.0
/* The pod garbage collector's decisions, apart from its reading and writing. */
#ifndef CONTROLLERS_POD_GC_H
#define CONTROLLERS_POD_GC_H

#include "common/cached_object.h"
#include "common/map.h"

/* Sorts pods that have come to their end in the order in which they are given up: evicted ones,
 * then the oldest. */
void pod_gc_sort(struct cached_list *pods);

/* Nodes that pods are bound to and that are not there; each waits 40 s before its pods are given
 * up, because it may not have been seen yet. Owned by one thread. */
struct pod_gc_quarantine {
    struct map since; /* By name, int64_t *: monotonic. */
};

void pod_gc_quarantine_free(struct pod_gc_quarantine *quarantine);
/* Notes that the node is missing at this time; true when it has been for long enough. */
bool pod_gc_quarantine_is_over(struct pod_gc_quarantine *quarantine, const char *node, int64_t now);
/* Forgets the nodes for which 'is_settled' is true, such as those that are there again. */
void pod_gc_quarantine_end(struct pod_gc_quarantine *quarantine,
                           bool (*is_settled)(void *argument, const char *node), void *argument);

/* The node is not ready and has been declared out of service by its taint. */
bool pod_gc_is_out_of_service(const json_t *node);

/* The status patch that ends a pod: phase Failed, and, of one whose node is gone, the condition
 * DisruptionTarget. The caller's. */
json_t *pod_gc_failure(const struct cached_object *pod, bool is_orphan, int64_t now);

#endif

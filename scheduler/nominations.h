// SPDX-License-Identifier: Apache-2.0
/*
 * Pods that are to stand on a node for which others make room: their status.nominatedNodeName. For
 * pods of the same or a lower priority they count as if they stood there already, so that nobody
 * takes the room away; those of a higher priority don't see them.
 *
 * Threads: everything here is guarded by the scheduler's lock.
 */
#ifndef SCHEDULER_NOMINATIONS_H
#define SCHEDULER_NOMINATIONS_H

#include "scheduler/node_cache.h"

struct nomination {
    char *key, *uid;         /* Of the pod. */
    struct pod_class *class; /* A reference. */
    struct node *node;
    struct nomination *next, *previous; /* Of the same node. */
};

/* The pod is to stand there from now on, and nowhere else. */
void nominations_set(struct node_cache *cache, const char *key, const char *uid,
                     struct pod_class *class, const char *node_name);
/* It is not any more. Returns the node where there may be room for others now, and raises 'freed'
 * then; NULL when there was no nomination, the node is gone, or the pod stands there by now. 'uid'
 * NULL: whatever has the key. */
struct node *nominations_remove(struct node_cache *cache, const char *key, const char *uid);
/* NULL when there is none. */
const struct nomination *nominations_find(const struct node_cache *cache, const char *key);
void nominations_clear(struct node_cache *cache);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * What the scheduler learns of the cluster, by informers and by its own decisions, brought into its
 * cache and its queue alike: so that the cache is right, and whoever may be helped by a change is
 * tried again.
 *
 * Threads: under the scheduler's lock.
 */
#ifndef SCHEDULER_CLUSTER_H
#define SCHEDULER_CLUSTER_H

#include "scheduler/node_cache.h"
#include "scheduler/queue.h"

struct volume_change;

struct cluster {
    struct node_cache *cache;
    struct queue *queue;
};

/* A Node object came or changed, or is gone. */
void cluster_put_node(const struct cluster *cluster, const json_t *node);
void cluster_remove_node(const struct cluster *cluster, const char *name);

/* A pod as an informer saw it before and sees it now; either may be NULL. 'is_ours': it waits for
 * this scheduler, unless it has a node. */
void cluster_pod_changed(const struct cluster *cluster, const struct cached_object *old,
                         const struct cached_object *new, bool is_ours);

/* Something about volumes is different, which may help whom that concerns; NULL: nobody. */
void cluster_volumes_changed(const struct cluster *cluster, const struct volume_change *change);

/* The pod, which is in no queue, is given the node; its binding is under way. */
void cluster_assume(const struct cluster *cluster, const struct queued_pod *pod,
                    const char *node_name);
/* It did not get the node after all, unless that was seen meanwhile. */
void cluster_forget(const struct cluster *cluster, const struct queued_pod *pod);

/* Others make room for the pod on that node. */
void cluster_nominate(const struct cluster *cluster, const char *key, const char *uid,
                      struct pod_class *class, const char *node_name);
/* The pod is not to stand any more where others made room for it. */
void cluster_end_nomination(const struct cluster *cluster, const char *key);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Which pods belong together, for spreading them: those that the same services select, and that the
 * selector of the same owner (ReplicaSet, StatefulSet, ReplicationController) selects.
 *
 * Threads: the informers' thread changes it; the rest is guarded by the scheduler's lock.
 */
#ifndef SCHEDULER_SPREAD_SELECTORS_H
#define SCHEDULER_SPREAD_SELECTORS_H

#include "common/informer.h"
#include "scheduler/node_cache.h"

struct spread_selectors;

/* Adds its informers. */
struct spread_selectors *spread_selectors_new(struct informer_factory *informers);
void spread_selectors_free(struct spread_selectors *selectors);
/* Brings class->group up to date. */
void spread_selectors_apply(struct spread_selectors *selectors, struct node_cache *cache,
                            struct pod_class *class);

#endif

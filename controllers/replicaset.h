// SPDX-License-Identifier: Apache-2.0
/* The ReplicaSet controller's decisions, apart from its reading and writing. Pure functions. */
#ifndef CONTROLLERS_REPLICASET_H
#define CONTROLLERS_REPLICASET_H

#include "common/cached_object.h"
#include "common/map.h"

/* Sorts the pods so that the ones to be deleted first stand first. 'crowds': how many active pods
 * of the same workload stand on each node (intptr_t by the node's name). */
void replicaset_rank_for_deletion(struct cached_list *pods, const struct map *crowds, int64_t now);

/* The new status of the set, given its active pods. 'failure' (NULL or not set: none) becomes the
 * condition ReplicaFailure. '*next_check' is when another pod will have been ready for
 * minReadySeconds, 0 if none. The caller's. */
json_t *replicaset_status(const json_t *set, const struct cached_list *active, int64_t now,
                          const struct error *failure, int64_t *next_check);

#endif

// SPDX-License-Identifier: Apache-2.0
/* What of a node's resources would be taken up with a pod on it, for scores. Pure functions. */
#ifndef SCHEDULER_RESOURCE_SCORES_H
#define SCHEDULER_RESOURCE_SCORES_H

#include "scheduler/node_cache.h"
#include "scheduler/profile.h"

struct resource_share {
    int64_t allocatable; /* 0: the resource doesn't count. */
    int64_t requested;
};

/* 'is_assumed': of CPU and memory what pods are assumed to take at least, not what they ask for. An
 * extended resource counts only for pods that ask for it. */
struct resource_share resource_share_of(const struct weighted_resource *resource,
                                        const struct pod_class *class, const struct node *node,
                                        bool is_assumed);

/* 0 to SCORE_MAX, by the profile's strategy for NodeResourcesFit. */
int64_t resource_score_fit(const struct profile *profile, const struct pod_class *class,
                           const struct node *node);
/* The more the nearer the shares in use are to each other. */
int64_t resource_score_balance(const struct profile *profile, const struct pod_class *class,
                               const struct node *node);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * A class's own topologySpreadConstraints, parsed once, and the pods that each finds in the domains
 * of its topology key. Which domain a node is in, and whether its pods count, is kept until the
 * node changes; the pods on each node are kept by the constraint's group. So to count the domains
 * for a cycle is one short walk over the nodes for each constraint.
 *
 * Threads: everything here is guarded by the scheduler's lock.
 */
#ifndef SCHEDULER_SPREAD_CONSTRAINTS_H
#define SCHEDULER_SPREAD_CONSTRAINTS_H

#include "scheduler/node_cache.h"

struct spread_place {
    uint32_t node_generation; /* For which it holds; 0: never asked. */
    int32_t domain;           /* -1: the node doesn't have the topology key. */
    bool has_all_keys;        /* Of all constraints that are as strict as this one. */
    bool counts;              /* And the constraint's policies let its pods count. */
};

struct spread_constraint {
    const char *topology_key; /* Borrowed from the class. */
    int64_t max_skew, min_domains;
    bool is_required; /* DoNotSchedule; else ScheduleAnyway. */
    bool is_of_nodes; /* Its domains are the nodes themselves. */
    bool honors_affinity, honors_taints;
    bool matches_self;
    struct spread_group *group; /* NULL: no pod counts. */

    struct spread_place *places; /* By the node's index. */
    size_t place_count;
    struct map domains; /* From values of the label to their numbers plus one. */
    int64_t *pods;      /* In each domain, as last counted; -1: no node of it counts. */
    int64_t least;      /* Of these, or 0 while there are fewer domains than min_domains. */
};

struct spread_constraints {
    size_t count;
    struct spread_constraint list[];
};

/* The class's own, or those of its profile, which hold for its group until that is another; NULL:
 * it has none, and the system's hold. Borrowed from the class. */
struct spread_constraints *spread_constraints_of(struct node_cache *cache, struct pod_class *class);
/* Frees them. 'constraints' may be NULL here and below. */
void spread_constraints_free(struct node_cache *cache, struct spread_constraints *constraints);
/* Frees what can be found out again. */
void spread_constraints_rest(struct spread_constraints *constraints);

/* Brings 'pods' and 'least' of the class's constraint up to date, and the place of each node. */
void spread_constraint_count(const struct node_cache *cache, const struct pod_class *class,
                             struct spread_constraint *constraint);

/* Once counted: counts as if the pod stood on its node (1), or did not (-1). */
void spread_constraint_imagine(struct spread_constraint *constraint, const struct placed_pod *pod,
                               int change);

/* The group's pods on that node; none without a group. */
static inline uint32_t spread_group_pods(const struct spread_group *group, const struct node *node)
{
    return group != NULL && node->index < group->count_capacity ? group->counts[node->index] : 0;
}

#endif

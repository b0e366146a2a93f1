// SPDX-License-Identifier: Apache-2.0
/*
 * What becomes of the claims of a pod on a node: the decision of VolumeBinding. Claims that are
 * bound allow the nodes that their volumes reach. For claims that wait for their first pod (late
 * ones) a node needs free volumes that suit, the smallest of which are taken, or a class that can
 * make some there.
 *
 * volume_plan_prepare() is asked once a cycle, then volume_plan_judge() for each node, then
 * volume_plan_reserve() for the one that was chosen: the plan, which is noted with the volumes so
 * that nobody else gets them, until it is done or undone.
 *
 * Threads: under the scheduler's lock.
 */
#ifndef SCHEDULER_VOLUME_PLAN_H
#define SCHEDULER_VOLUME_PLAN_H

#include "scheduler/plugin.h"
#include "scheduler/pod_volumes.h"

/* A late claim, and the volumes that it may get, the best first. */
struct volume_search {
    struct claim *claim;
    struct volume **volumes;
    size_t count;
};

void volume_searches_clear(struct pod_volumes *pod_volumes);

enum volume_reason {
    REASON_NODE_CONFLICT = 1,
    REASON_BIND_CONFLICT = 2,
    REASON_NO_SPACE = 4,
    REASON_NO_VOLUME = 8,
};

struct planned_claim {
    struct claim *claim;
    char *volume_name; /* Which is to be bound to it; NULL: one is to be made. */
};

struct volume_plan {
    char *pod_key;
    struct planned_claim *list;
    size_t count;
};

/* Why the pod can stand nowhere, the caller's; NULL: it may. */
char *volume_plan_prepare(const struct cycle *cycle);
/* Why it can't stand there (enum volume_reason), 0: it can; then 'plan', unless NULL, gets what is
 * to be done. */
unsigned volume_plan_judge(const struct cycle *cycle, const struct node *node,
                           struct volume_plan *plan);

/* Makes the plan and notes it. False when the node does not do after all. */
bool volume_plan_reserve(const struct cycle *cycle, const struct node *node);
/* The plan that was made for the pod, which is the caller's now; NULL: there is nothing to do. */
struct volume_plan *volume_plan_take(struct volumes *volumes, const char *pod_key);
/* It is not to happen, or has happened; consumes the plan. */
void volume_plan_end(struct volumes *volumes, struct volume_plan *plan);
void volume_plans_clear(struct volumes *volumes);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Preemption: for a pod that fits nowhere, finds the node where removing pods of a lower priority
 * makes room for it and harms least. That is upstream's DefaultPreemption: of each node as few pods
 * as possible are to go, and first those that no disruption budget protects; among nodes the one
 * with the fewest violated budgets, then the least important victims, then the fewest, then those
 * that started last.
 *
 * Only looks; who acts on it is the scheduler.
 *
 * Threads: under the scheduler's lock.
 */
#ifndef SCHEDULER_PREEMPTION_H
#define SCHEDULER_PREEMPTION_H

#include "scheduler/cycle.h"
#include "scheduler/disruption_budgets.h"

struct preemption {
    struct node *node;           /* NULL: it does not help. */
    struct placed_pod **victims; /* Borrowed, the most important first; some may be on their way. */
    size_t count;
    char *why;             /* When it does not help, in upstream's words. */
    bool keeps_nomination; /* Then: the node for which the pod is nominated is still to come. */
};

/* For a pod that was just refused by decider_choose(). */
struct preemption preemption_find(struct decider *decider, struct pod_class *class, const char *key,
                                  const char *uid, const struct disruption_budgets *budgets);
void preemption_clear(struct preemption *preemption);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * PodDisruptionBudgets as preemption sees them: which pods each protects, and how many of these may
 * still be disrupted.
 *
 * Threads: disruption_budgets_list() from any; a list is its caller's.
 */
#ifndef SCHEDULER_DISRUPTION_BUDGETS_H
#define SCHEDULER_DISRUPTION_BUDGETS_H

#include "common/informer.h"
#include "scheduler/node_cache.h"

/* Adds its informer. */
struct informer *disruption_budgets_informer(struct informer_factory *informers);

struct disruption_budget {
    struct cached_object *object;    /* Has what follows. */
    const struct selector *selector; /* Never of everything. */
    const json_t *disrupted;         /* status.disruptedPods: these are counted already. */
    int64_t allowed;                 /* status.disruptionsAllowed. */
    int64_t left;                    /* For whoever counts. */
};

struct disruption_budgets {
    struct disruption_budget *list;
    size_t count;
};

/* All that may protect a pod, as they are now. */
struct disruption_budgets disruption_budgets_list(struct informer *informer);
void disruption_budgets_free(struct disruption_budgets *budgets);

/* Of these pods, to be disrupted in this order, sets is_violating for those that a budget does not
 * allow any more. */
void disruption_budgets_judge(const struct disruption_budgets *budgets,
                              struct placed_pod *const *pods, size_t count, bool *is_violating);

#endif

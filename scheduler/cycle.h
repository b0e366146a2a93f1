// SPDX-License-Identifier: Apache-2.0
/*
 * One scheduling decision: which node for a pod of this class. Pure but for what it keeps with the
 * class.
 *
 * Threads: under the scheduler's lock.
 */
#ifndef SCHEDULER_CYCLE_H
#define SCHEDULER_CYCLE_H

#include "scheduler/plugin.h"

struct decider {
    struct node_cache *cache;
    int64_t percentage_of_nodes_to_score; /* 0: by the number of nodes. */
    size_t next_start; /* Where the next search begins, so that all get a turn. */
    /* Room for a cycle's work, kept from one to the next. */
    struct node **nodes;
    int64_t *scores, *totals;
    size_t capacity;
    int64_t filter_ns, score_ns; /* How long it took last. */
};

void decider_clear(struct decider *decider);

/* The best node, with the plugins' reservations made; NULL when none fits: then class->failure says
 * why in upstream's words and class->failed_plugins who rejected. While nothing was freed since the
 * last failure, that answer is given again without asking. NULL without a failure: a plugin would
 * not reserve the node that was chosen. */
struct node *decider_choose(struct decider *decider, struct pod_class *class, const char *key,
                            const char *uid);

#endif

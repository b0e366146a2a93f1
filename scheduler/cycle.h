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
#include "scheduler/profile.h"

struct decider {
    struct node_cache *cache;
    int64_t percentage_of_nodes_to_score; /* 0: by the number of nodes. */
    const struct profile *profiles;       /* Borrowed; none: the default one for all pods. */
    size_t profile_count;
    size_t next_start; /* Where the next search begins, so that all get a turn. */
    /* Room for a cycle's work, kept from one to the next. */
    struct node **nodes;
    int64_t *scores, *totals;
    size_t capacity;
    int64_t filter_ns, score_ns; /* How long it took last. */
};

void decider_clear(struct decider *decider);
/* 'nodes', 'scores' and 'totals' have room for all nodes. */
void decider_make_room(struct decider *decider);

/* That of the class's scheduler; NULL: it is another's. */
const struct profile *decider_profile(const struct decider *decider, const struct pod_class *class);

/* The best node, with the plugins' reservations made; NULL when none fits: then class->failure says
 * why in upstream's words and class->failed_plugins who rejected. While nothing was freed since the
 * last failure, that answer is given again without asking. NULL without a failure: a plugin would
 * not reserve the node that was chosen. */
struct node *decider_choose(struct decider *decider, struct pod_class *class, const char *key,
                            const char *uid);

/* ---- one node at a time, for whoever looks beyond the nodes that fit ---- */

struct reasons;

struct rejection {
    uint32_t plugin;  /* Its bit, by its place in the table; 0: the node fits. */
    bool is_hopeless; /* The node would not fit either if pods left it. */
};

/* Before any node is asked. The bit of the plugin that refuses the pod on all of them, and its
 * reason in '*why' (the caller's; NULL: nowhere); 0: they are to be asked. */
uint32_t cycle_prepare(const struct cycle *cycle, char **why);
/* Beside the pods that stand on the node and those of no lower priority that are to. */
bool cycle_fits(const struct cycle *cycle, struct node *node);
/* Who rejects the node first, and adds why to 'reasons' (NULL: nowhere). */
struct rejection cycle_explain(const struct cycle *cycle, struct node *node,
                               struct reasons *reasons);
/* As if the pod stood on its node (1), or did not (-1), until it is undone. */
void cycle_imagine(const struct cycle *cycle, const struct placed_pod *pod, int change);

#endif

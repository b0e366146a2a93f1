// SPDX-License-Identifier: Apache-2.0
/*
 * The scheduling framework: what a plugin can do, and when it is asked.
 *
 * For each pod the cycle asks every plugin in turn: before_queue (may the pod be tried at all),
 * then 'refuse' and 'prepare' once, 'fits' for each node, 'score' over the nodes that fit,
 * 'reserve' on the node that was chosen; binding then goes on beside the next cycle. A plugin is
 * one file in plugins/ and one line in plugins.c; every member but the name may be NULL.
 *
 * A static filter looks only at the pod's class and the Node object: its answer is kept with the
 * class until the node changes, so it may be slow. The others are asked again each time and must be
 * quick: a cycle asks hundreds of nodes.
 *
 * Threads: all members run under the scheduler's lock and must not block. Binding is not a
 * plugin's: see binder.h.
 */
#ifndef SCHEDULER_PLUGIN_H
#define SCHEDULER_PLUGIN_H

#include "scheduler/node_cache.h"

enum { SCORE_MAX = 100 }; /* Of one plugin, before its weight. */

/* Kinds of events after which a pod that a plugin rejected may fit. */
enum cluster_event {
    EVENT_NODE = 1,     /* A node came or changed. */
    EVENT_POD_LEFT = 2, /* Room became free. */
    EVENT_POD_CAME = 8, /* A pod got a node, of a group for which others wait. */
    EVENT_NODE_LEFT = 16,
    EVENT_POD_ENDING = 32, /* A pod takes up room still, but doesn't count for spreading. */
    EVENT_VOLUME = 64,     /* A claim, a volume, or what says how these come about. */
};

/* One such event, as far as it is known. */
struct cluster_change {
    enum cluster_event event;
    struct node *node;                  /* Where it happened; NULL: nowhere that exists. */
    struct pod_class *pod;              /* Of the pod that came or left, or NULL. */
    const struct volume_change *volume; /* Of EVENT_VOLUME; see pod_volumes.h. */
};

/* The pod in question, and the nodes that fit it. */
struct cycle {
    struct node_cache *cache;
    struct pod_class *class;
    const char *key, *uid; /* Of the pod. */
    struct node **nodes;   /* Those that fit. */
    size_t node_count;
    bool is_indifferent; /* Static results say that none of them is better than another. */
};

/* Reasons why nodes did not fit, with how many of them. */
struct reasons;
void reasons_add(struct reasons *reasons, const char *text, ...)
    __attribute__((format(printf, 2, 3)));

struct plugin {
    const char *name;      /* As upstream's: "NodeResourcesFit". */
    bool is_static;        /* See above. */
    bool is_about_volumes; /* It is asked only about pods that have some. */
    int weight;            /* Of its score. */
    /* What it says of a node depends on the pod and on that node alone, with the pods there: what
     * happens elsewhere does not matter. True of static filters, and implied. */
    bool is_local;
    unsigned events; /* Which can help a pod that this plugin rejected. */

    /* Why the pod is not to be tried now (static text), NULL when it may. */
    const char *(*before_queue)(const struct pod_class *class);
    /* Of a static filter: the pod names the nodes where it may stand, and this is none of them.
     * What it says of a node agrees with 'fits'; people are told so before anything else. */
    bool (*leaves_out)(const struct cycle *cycle, const struct node *node);
    /* Why the pod can stand on no node at all, the caller's; NULL: nodes are asked. */
    char *(*refuse)(const struct cycle *cycle);
    /* Before any node is asked: what 'fits' needs to know of the cluster as it is now. */
    void (*prepare)(const struct cycle *cycle);
    bool (*fits)(const struct cycle *cycle, const struct node *node);
    /* Asked after 'prepare': 'fits' says yes of every node while nothing is imagined, and so need
     * not be asked. */
    bool (*is_needless)(const struct cycle *cycle);
    /* Asked of a node that does not fit: it would not either if pods left it. NULL: such is the
     * word of static filters only. */
    bool (*is_hopeless)(const struct cycle *cycle, const struct node *node);
    /* Asked between 'prepare' and 'fits': what was prepared is to count as if this pod stood on its
     * node (1), or did not (-1). It is undone before the cycle ends, and others of the node's
     * numbers are changed already. */
    void (*imagine)(const struct cycle *cycle, const struct placed_pod *pod, int change);
    /* All that kept the node from fitting. */
    void (*explain)(const struct cycle *cycle, const struct node *node, struct reasons *reasons);
    /* Of a plugin that is not local: whether a change of the kinds above may help pods of that
     * class, which it rejected. NULL: it may. */
    bool (*may_help)(const struct pod_class *waiting, const struct cluster_change *change);
    /* Writes the score of each of cycle->nodes, 0 to SCORE_MAX. False: all are equal. */
    bool (*score)(const struct cycle *cycle, int64_t *scores);
    /* The pod is about to stand on the node, or will not after all. */
    bool (*reserve)(const struct cycle *cycle, struct node *node);
    void (*unreserve)(const struct cycle *cycle, struct node *node);
};

/* In the order in which they are asked; ends with NULL. */
extern const struct plugin *const plugins[];

extern const struct plugin plugin_scheduling_gates, plugin_node_unschedulable,
    plugin_taint_toleration, plugin_node_affinity, plugin_node_ports, plugin_node_resources_fit,
    plugin_balanced_allocation, plugin_pod_topology_spread, plugin_inter_pod_affinity,
    plugin_image_locality, plugin_volume_restrictions, plugin_node_volume_limits,
    plugin_volume_binding, plugin_volume_zone;

/* What those two below do when nothing is known that holds still. */
struct static_result *plugin_ask_static(const struct cycle *cycle, const struct node *node);
int64_t plugin_compute_usage_score(const struct cycle *cycle, const struct node *node,
                                   enum usage_score which,
                                   int64_t (*compute)(const struct profile *profile,
                                                      const struct pod_class *class,
                                                      const struct node *node));

/* What static filters found for a node; asked for again when the node has changed. */
static inline const struct static_result *plugin_static_result(const struct cycle *cycle,
                                                               const struct node *node)
{
    const struct pod_class *class = cycle->class;
    return node->index < class->static_result_count &&
                   class->static_results[node->index].node_generation == node->generation
               ? &class->static_results[node->index]
               : plugin_ask_static(cycle, node);
}

/* The score that 'compute' gives the node, kept until something else stands there: of some hundred
 * nodes that are scored for a pod, one has changed since the last. */
static inline int64_t
plugin_usage_score(const struct cycle *cycle, const struct node *node, enum usage_score which,
                   int64_t (*compute)(const struct profile *profile, const struct pod_class *class,
                                      const struct node *node))
{
    const struct static_result *result = plugin_static_result(cycle, node);
    return result->scores[which].usage == node->usage
               ? result->scores[which].score
               : plugin_compute_usage_score(cycle, node, which, compute);
}

/* Turns numbers into scores: the largest becomes SCORE_MAX, or 0 if 'reverse', in proportion. */
void plugin_normalize(int64_t *scores, size_t count, bool reverse);

#endif

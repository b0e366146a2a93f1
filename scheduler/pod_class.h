// SPDX-License-Identifier: Apache-2.0
/*
 * Pods as the scheduler sees them. All that decides where a pod may stand (its namespace, labels,
 * owner, requests, selectors, tolerations, ports, …) is its class, and pods that look the same
 * share one: a Deployment's thousand pods are parsed once, and the work of finding where they fit
 * is shared. What is a pod's own is little.
 *
 * Threads: classes are made on the informers' thread and shared by reference; what the cycle keeps
 * with a class is guarded by the scheduler's lock. A class that nobody refers to any more is freed
 * by pod_classes_collect().
 */
#ifndef SCHEDULER_POD_CLASS_H
#define SCHEDULER_POD_CLASS_H

#include <stdatomic.h>

#include "common/cached_object.h"
#include "scheduler/resource_amounts.h"

struct affinity_set;
struct pod_volumes;
struct class_affinity;
struct profile;
struct spread_constraints;
struct spread_group;

struct host_port {
    const char *protocol; /* Static. */
    char *address;        /* "0.0.0.0": all addresses. */
    int port;
};

/* Scores that follow from a class and from what a node's pods take up, and from nothing else. */
enum usage_score { USAGE_SCORE_FIT, USAGE_SCORE_BALANCE, USAGE_SCORE_COUNT };

/* What the static filters found for a node, see plugin.h. */
struct static_result {
    uint32_t node_generation; /* For which it holds; 0: never asked. */
    bool fits;
    bool has_room;       /* What the other filters found that look at the node's pods alone, */
    uint32_t room_usage; /* for this usage of the node; 0: never asked. */
    int32_t preference;  /* Of preferred node affinity. */
    int32_t disliked;    /* Taints that are better avoided. */
    struct {
        uint32_t usage; /* Of the node, for which it holds; 0: never computed. */
        int32_t score;
    } scores[USAGE_SCORE_COUNT];
};

struct pod_class {
    atomic_uint references;
    char *key;
    json_t *labels, *spec; /* 'spec' has only what the scheduler looks at. */
    char *namespace, *scheduler_name;
    char *owner_kind, *owner_name;
    int32_t priority;
    bool is_gated;       /* It has scheduling gates. */
    bool never_preempts; /* Its preemptionPolicy is Never. */
    struct resource_amounts requests, assumed;
    struct host_port *host_ports;
    size_t host_port_count;
    struct pod_volumes *volumes; /* NULL: none that matter. */
    char **images;               /* Of its containers and init containers. */
    size_t image_count;

    /* Guarded by the scheduler's lock: */
    const struct profile *profile;        /* See profile_of(). */
    struct static_result *static_results; /* By the index of the node; dropped when none waits. */
    size_t static_result_count;
    size_t waiting; /* Pods of the class in the queue. */
    size_t parked;  /* Of these, unschedulable; then it is in the queue's list. */
    struct pod_class *next_parked, *previous_parked;
    bool is_helped;             /* Something happened since that may make a node fit them. */
    uint32_t helped_plugins;    /* Or that may change the mind of these plugins. */
    struct spread_group *group; /* Of the pods among which these are to be spread, or NULL. */
    uint32_t group_generation;  /* For which 'group' holds; 0: not looked up. */
    struct spread_constraints *spread; /* Its own; see spread_constraints_of(). */
    struct spread_group **groups;      /* In which pods of this class count. */
    size_t group_count, group_capacity;
    struct class_affinity *affinity; /* Its own terms about other pods; NULL: none. */
    struct affinity_set **sets;      /* In which pods of this class are. */
    size_t set_count, set_capacity;
    bool is_known;           /* These and 'groups' are filled. */
    uint64_t failed_at;      /* When none fitted, see node_cache_freed(); 0: they may fit. */
    char *failure;           /* What to say then. */
    uint32_t failed_plugins; /* Which plugins rejected nodes then. */
    uint64_t unhelped_at;    /* When preemption could not help, see node_cache; 0: it may. */
    char *unhelped;          /* What to say then. */
};

/* The digest of a pod in the scheduler's informer. */
struct pod {
    struct pod_class *class;
    bool is_terminated;    /* Succeeded or failed: it takes up nothing any more. */
    bool is_preempted;     /* Its condition DisruptionTarget says that it makes way for another. */
    int64_t started;       /* status.startTime, nanoseconds; 0: not yet. */
    const char *node_name; /* "" while it is not bound. */
    char *nominated_node;  /* While it is not bound: status.nominatedNodeName, or NULL. */
    /* While it is not bound: the message of its condition PodScheduled, if that is False; else
     * NULL.
     */
    char *told;
    char memory[];
};

extern const struct cached_object_class pod_object_class;

static inline const struct pod *pod_of(const struct cached_object *object)
{
    return object->digest;
}

struct pod_class *pod_class_ref(struct pod_class *class);
void pod_class_unref(struct pod_class *class);
/* Calls 'each' for every class. The scheduler's lock is held. */
void pod_classes_each(void (*each)(struct pod_class *class, void *argument), void *argument);
/* Frees what nobody refers to, after 'release' has undone what the cycle keeps with it. The
 * scheduler's lock is held. */
void pod_classes_collect(void (*release)(struct pod_class *class, void *argument), void *argument);

#endif

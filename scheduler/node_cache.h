// SPDX-License-Identifier: Apache-2.0
/*
 * The nodes and what stands on them, kept up to date event by event, including pods that have been
 * given a node but are not seen bound yet (assumed). The scheduling cycle runs against this state
 * itself, under the scheduler's lock, instead of copying it.
 *
 * Threads: everything here is guarded by the scheduler's lock.
 */
#ifndef SCHEDULER_NODE_CACHE_H
#define SCHEDULER_NODE_CACHE_H

#include "common/map.h"
#include "scheduler/pod_class.h"

struct node_image;
struct volumes;

struct used_port {
    const char *protocol;
    char *address;
    int port, count;
};

/* Pods of a class that has volumes, on a node. */
struct volume_user {
    const struct pod_class *class;
    int count;
};

struct node {
    /* What a cycle looks at of each of some hundred nodes stands together. */
    uint32_t index;      /* Its place in cache->nodes, for as long as it is known. */
    uint32_t generation; /* Raised when the Node object changes; never 0. */
    uint32_t usage;      /* Raised when what its pods take up changes; never 0. */
    int zone;            /* From node_cache_zone(); -1: it is in none. */
    bool exists;         /* There is a Node object; else only pods that name it. */
    bool has_hostname;   /* It has the label kubernetes.io/hostname. */
    bool is_unschedulable;
    struct nomination *nominated; /* Pods that are to stand here; see nominations.h. */

    char *name;
    json_t *labels, *taints; /* NULL: none. */
    struct resource_amounts allocatable;
    int64_t allowed_pods;
    struct node_image **images; /* That it holds; see node_images.h. */
    size_t image_count;
    uint64_t images_hash; /* Of their text. */

    struct resource_amounts requested, assumed; /* By the pods here; see pod_class. */
    int64_t pod_count;
    struct placed_pod *pods; /* Those that stand here, in no order. */
    struct used_port *ports;
    size_t port_count, port_capacity;
    struct volume_user *volume_users;
    size_t volume_user_count, volume_user_capacity;
};

/* A pod that has a node. */
struct placed_pod {
    struct pod_class *class;
    struct node *node;
    char *key, *uid;
    int64_t started;                    /* status.startTime, nanoseconds; 0: not yet. */
    bool is_assumed;                    /* Not seen bound yet. */
    bool is_deleting;                   /* Takes up room, but doesn't count for spreading. */
    bool is_preempted;                  /* This scheduler makes it give way to a pod. */
    struct placed_pod *next, *previous; /* On the same node. */
};

/* The pods among which a class is to be spread: those in a namespace that selectors match. */
struct spread_group {
    char *key;
    char *namespace;
    struct selector **selectors; /* All must match. */
    size_t selector_count;
    size_t references; /* Of classes that are spread by it. */
    size_t awaited;    /* Constraints that may refuse nodes until more of its pods stand. */
    uint32_t *counts;  /* Pods on each node, by the node's index. */
    size_t count_capacity;
};

struct node_cache {
    struct node **nodes; /* With holes: NULL. */
    size_t node_slots, node_capacity;
    size_t node_count; /* That exist. */
    struct map nodes_by_name;
    struct map pods;          /* struct placed_pod by "namespace/name". */
    struct map nominations;   /* struct nomination by "namespace/name". */
    struct map groups;        /* struct spread_group by key. */
    struct map images;        /* struct node_image by name. */
    struct map affinity_sets; /* struct affinity_set by key; these four are affinity.h's. */
    struct map topologies;    /* struct topology by the label's key. */
    struct map namespaces;    /* Their labels, by name. */
    struct volumes *volumes;
    bool namespaces_changed; /* And sets may have other members. */
    char **zones;
    size_t zone_count, zone_capacity;
    uint64_t freed;   /* Raised when something might fit that did not. */
    uint64_t changed; /* Raised whenever anything is different. */
    uint64_t joined;  /* Raised, with 'freed', when a pod that others await got a node. */
    uint32_t next_generation;
};

struct node_cache *node_cache_new(void);
void node_cache_free(struct node_cache *cache);

/* A Node object came or changed ('node' is borrowed). Returns whether that may help a pod that did
 * not fit, and raises 'freed' then. */
bool node_cache_put_node(struct node_cache *cache, const json_t *node);
void node_cache_remove_node(struct node_cache *cache, const char *name);
/* The node of that name, made if it is not known. Without a Node object, pods or nominations it
 * goes with node_cache_drop_if_empty(). */
struct node *node_cache_node(struct node_cache *cache, const char *name);
void node_cache_drop_if_empty(struct node_cache *cache, struct node *node);
/* A pod of that class takes up room on the node (1), or does not any more (-1). Only for what is
 * undone before anybody else looks. */
void node_cache_imagine(struct node *node, const struct pod_class *class, int change);

/* The pod has this node: assumed by the scheduler, or seen bound. A pod of that key that was
 * elsewhere (an assumption that turned out otherwise, a namesake) or looked otherwise is moved;
 * returns whether one was, and raises 'freed' then. */
bool node_cache_place(struct node_cache *cache, const char *key, const char *uid,
                      struct pod_class *class, const char *node_name, bool is_assumed,
                      bool is_deleting);
/* It takes up nothing any more. Returns whether it was there, and raises 'freed' then. 'uid' NULL:
 * whatever has the key. */
bool node_cache_unplace(struct node_cache *cache, const char *key, const char *uid);
struct placed_pod *node_cache_find_pod(const struct node_cache *cache, const char *key);

/* The group of that namespace and these selectors (consumed), found or made and counted; the
 * caller's reference. */
struct spread_group *node_cache_group(struct node_cache *cache, const char *namespace,
                                      const char *key, struct selector **selectors, size_t count);
void node_cache_group_unref(struct node_cache *cache, struct spread_group *group);
/* Notes in which groups and sets pods of the class count; before the first of them is placed. */
void node_cache_know_class(struct node_cache *cache, struct pod_class *class);
/* Undoes what the cache keeps with a class; see pod_classes_collect(). */
void node_cache_forget_class(struct node_cache *cache, struct pod_class *class);

#endif

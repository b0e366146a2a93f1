// SPDX-License-Identifier: Apache-2.0
/*
 * Affinity between pods, counted as pods come and go instead of when one is scheduled.
 *
 * A term of a pod's affinity (namespaces, label selector) stands for a set of pods; equal terms of
 * different pods share one. For each topology key under which a set is asked for, it counts in each
 * domain the pods in the set, and those that stand there with a term about it: who forbids pods of
 * the set, requires them, or prefers them with what weight. A pod's own terms ask for the pods of
 * their sets; the terms of those that stand already ask whether the new pod is in their set, and a
 * class knows the sets that it is in. So whether a node fits is a look at a few numbers.
 *
 * Threads: everything here is guarded by the scheduler's lock.
 */
#ifndef SCHEDULER_AFFINITY_H
#define SCHEDULER_AFFINITY_H

#include "scheduler/node_cache.h"
#include "scheduler/topology.h"

struct selector;

struct affinity_term {
    json_t *namespaces;                  /* An array of names. */
    struct selector *namespace_selector; /* NULL: no other namespaces. */
    struct selector *selector;           /* NULL: no pods. */
};

/* What a set counts under one topology key. */
struct affinity_counts {
    struct topology *topology;
    size_t references;     /* Of the uses. */
    struct tally members;  /* Pods in the set. */
    struct tally requires; /* Pods with a required affinity to the set, */
    struct tally forbids;  /* with a required anti-affinity, */
    struct tally
        prefers; /* the sum of the weights of preferred terms; negative: of anti-affinity. */
};

/* The pods that all of these terms select. */
struct affinity_set {
    char *key;
    struct affinity_term *terms;
    size_t term_count;
    size_t references; /* Of the uses. */
    size_t awaited;    /* Uses that may refuse nodes until a pod of the set stands. */
    struct affinity_counts **counts;
    size_t count, capacity;
};

enum affinity_kind {
    AFFINITY_ASKS,     /* Required affinity, as the pod sees it: one set for all its terms. */
    AFFINITY_REQUIRES, /* The same, as others see it: each term for itself. */
    AFFINITY_FORBIDS,  /* Required anti-affinity. */
    AFFINITY_PREFERS,  /* Preferred affinity or anti-affinity. */
};

/* A term of a class. */
struct affinity_use {
    enum affinity_kind kind;
    int64_t weight; /* Of a preferred term, negative for anti-affinity; else 1. */
    struct affinity_set *set;
    struct affinity_counts *counts; /* Of the set, under the term's topology key. */
};

struct class_affinity {
    size_t count, capacity;
    bool has_preferences;
    struct affinity_use *list;
};

/* Parses the class's terms and finds the sets that it is in. */
void affinity_know_class(struct node_cache *cache, struct pod_class *class);
void affinity_forget_class(struct node_cache *cache, struct pod_class *class);
/* The class's pods are in the set. */
bool affinity_has_class(const struct affinity_set *set, const struct pod_class *class);

/* The pod stands on its node from now on (sign 1), or is about to leave it (-1). */
void affinity_count_pod(const struct placed_pod *placed, int sign);
/* The node was made or changed, or has just ceased to exist. */
void affinity_node_changed(struct node_cache *cache, const struct node *node);
/* A namespace has these labels (borrowed); NULL: it is gone. Returns whether that may put pods into
 * other sets, and raises 'freed' then. */
bool affinity_put_namespace(struct node_cache *cache, const char *name, json_t *labels);
/* Brings the sets up to date with the labels of namespaces; before anything is read from them. */
void affinity_refresh(struct node_cache *cache);
/* With the cache. */
void affinity_free_all(struct node_cache *cache);

#endif

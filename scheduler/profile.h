// SPDX-License-Identifier: Apache-2.0
/*
 * A profile: which plugins are asked about the pods of one scheduler's name, in which order, with
 * what weights, and what they were told. Made from a configuration; without one there is the
 * default profile.
 *
 * Immutable while the scheduler runs.
 */
#ifndef SCHEDULER_PROFILE_H
#define SCHEDULER_PROFILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plugin;
struct pod_class;

enum { PROFILE_PLUGINS_MAX = 31 };

enum resource_kind {
    RESOURCE_CPU,
    RESOURCE_MEMORY,
    RESOURCE_EPHEMERAL_STORAGE,
    RESOURCE_EXTENDED,
};

struct weighted_resource {
    enum resource_kind kind;
    uint32_t extended; /* See resource_names_find(). */
    int64_t weight;
};

enum { WEIGHTED_RESOURCES_MAX = 16, SHAPE_POINTS_MAX = 32 };

struct weighted_resources {
    struct weighted_resource list[WEIGHTED_RESOURCES_MAX];
    size_t count;
};

struct shape_point {
    int64_t utilization; /* In percent. */
    int64_t score;       /* 0 to SCORE_MAX. */
};

enum fit_strategy { LEAST_ALLOCATED, MOST_ALLOCATED, REQUESTED_TO_CAPACITY_RATIO };

struct profile {
    const char *scheduler_name; /* Borrowed from the configuration, as all that follows. */
    int64_t percentage_of_nodes_to_score; /* -1: as the scheduler has it for all. */

    /* Who is asked, in order; each list ends with NULL. */
    const struct plugin *filters[PROFILE_PLUGINS_MAX + 1];
    /* The same but those that are about volumes, for pods that have none. */
    const struct plugin *plain_filters[PROFILE_PLUGINS_MAX + 1];
    const struct plugin *scores[PROFILE_PLUGINS_MAX + 1];
    const struct plugin *reserves[PROFILE_PLUGINS_MAX + 1];
    int64_t weights[PROFILE_PLUGINS_MAX]; /* Of 'scores'; 0: the plugin's own. */
    bool never_preempts;                  /* Without DefaultPreemption. */
    int64_t bind_timeout_s;               /* VolumeBindingArgs */

    /* NodeResourcesFitArgs and NodeResourcesBalancedAllocationArgs */
    enum fit_strategy strategy;
    struct weighted_resources fit_resources, balanced_resources;
    struct shape_point shape[SHAPE_POINTS_MAX];
    size_t shape_count;
    const json_t *ignored_resources, *ignored_resource_groups;
    /* NodeAffinityArgs */
    const json_t *added_affinity;
    /* PodTopologySpreadArgs: constraints of pods that have none; by default the system's. */
    bool spreads_by_list;
    const json_t *default_constraints; /* The list, NULL: empty. */
    /* InterPodAffinityArgs */
    int64_t hard_pod_affinity_weight;
    bool ignore_preferred_terms_of_existing_pods;
    /* DefaultPreemptionArgs */
    int64_t min_candidate_nodes_percentage, min_candidate_nodes_absolute;
};

/* That of upstream's default-scheduler. */
extern const struct profile profile_default;

/* The profile of the class's pods; the default one when it has none. */
const struct profile *profile_of(const struct pod_class *class);
/* The filters that are asked about the class's pods. */
const struct plugin *const *profile_filters(const struct pod_class *class);

#endif

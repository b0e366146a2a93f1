// SPDX-License-Identifier: Apache-2.0
/*
 * How many pods each ReplicaSet of a Deployment is to have next. Pure functions of what the
 * ReplicaSets ask for and report: they set 'target' of each set, and the controller writes the
 * targets that differ from 'replicas'.
 *
 * Nothing here looks at pods, so a step costs what the Deployment's few ReplicaSets cost however
 * many pods they have.
 */
#ifndef CONTROLLERS_DEPLOYMENT_ROLLOUT_H
#define CONTROLLERS_DEPLOYMENT_ROLLOUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A ReplicaSet, read once. */
struct rollout_set {
    json_t *object;
    int64_t creation;
    json_int_t replicas;                 /* What its spec asks for. */
    json_int_t target;                   /* What it is to ask for. */
    json_int_t actual, ready, available; /* What its status says. */
    json_int_t desired_before;           /* The Deployment's replicas that it was last scaled */
    json_int_t max_before;               /* for, and the most pods then; -1 when unknown. */
};

/* A Deployment and its ReplicaSets, the oldest first. */
struct rollout {
    json_int_t replicas;
    bool is_rolling;            /* Its strategy is RollingUpdate and not Recreate. */
    json_int_t max_surge;       /* Pods beyond 'replicas' that a rollout may have; 0 if Recreate. */
    json_int_t max_unavailable; /* Of 'replicas', those that may be missing; 0 if Recreate. */
    json_int_t actual_before;   /* status.replicas when last written. */
    struct rollout_set *sets;
    size_t count, capacity;
    struct rollout_set *new; /* The one with the Deployment's template; NULL when there is none. */
};

#define ROLLOUT_INIT ((struct rollout){0})

/* What the Deployment asks for; no sets yet. */
void rollout_load(struct rollout *rollout, const json_t *deployment);
/* Adds a ReplicaSet, taking over the reference. 'new' is not kept up. */
void rollout_add(struct rollout *rollout, json_t *replicaset);
/* Reads the set's object anew, taking over the reference. */
void rollout_set_replace(struct rollout_set *set, json_t *replicaset);
/* Puts the sets into order and makes the oldest with the Deployment's template the new one. */
void rollout_find_new(struct rollout *rollout, const json_t *pod_template);
void rollout_free(struct rollout *rollout); /* Also fit for cleanup(). */

struct rollout_totals {
    json_int_t replicas, actual, ready, available;
};
/* The sums over all sets. */
struct rollout_totals rollout_totals(const struct rollout *rollout);

/* The Deployment's replicas were changed since its active sets were last scaled. */
bool rollout_needs_scaling(const struct rollout *rollout);
/* Scales what there is to the new number of replicas: the one active set, or in the midst of a
 * rollout all of them in proportion to their sizes. */
void rollout_scale(struct rollout *rollout);

/* How many pods the new set is to have when it is created, or now: as many as the surge allows. */
json_int_t rollout_new_replicas(const struct rollout *rollout);
/* One step of a rolling update: the new set grows, or else the old ones shrink, those first whose
 * pods are not available anyway. Needs a new set. */
void rollout_step_rolling(struct rollout *rollout);
/* The first step of Recreate: no old set keeps any pods. */
void rollout_step_down(struct rollout *rollout);
/* Some set's target is not what it asks for. */
bool rollout_has_targets(const struct rollout *rollout);

/* Of the old sets without pods, the ones of the lowest revisions that the history has no room for;
 * at most 'count' pointers to 'found', returns how many. */
size_t rollout_find_expired(const struct rollout *rollout, json_int_t history_limit,
                            struct rollout_set **found);

#endif

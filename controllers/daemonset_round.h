// SPDX-License-Identifier: Apache-2.0
/*
 * One look at a DaemonSet, its pods and all nodes, and what follows from it. Pure functions.
 *
 * Each node that fits is to have one pod. An update replaces a node's pod by deleting the old one
 * first, on no more nodes at a time than maxUnavailable; or, with maxSurge, by making the new one
 * beside it first.
 */
#ifndef CONTROLLERS_DAEMONSET_ROUND_H
#define CONTROLLERS_DAEMONSET_ROUND_H

#include "common/cached_object.h"
#include "controllers/daemonset_pod.h"

/* A node, or the name of one that is not there and that pods are for nevertheless. */
struct daemonset_place {
    const char *node; /* Borrowed. */
    bool is_there;
    struct daemonset_fit fit;
    struct cached_object **pods; /* Borrowed; scheduled ones first, then by age. */
    size_t count;                /* Of those that there is something to do about. */
    size_t all; /* With those that have ended and are being deleted; behind the others. */
};

struct daemonset_round {
    const json_t *set;
    const char *hash; /* Of the present revision. */
    json_int_t min_ready;
    int64_t now;
    struct daemonset_place *places;
    size_t count;
    json_int_t desired; /* Nodes that should run a pod. */
    json_int_t max_unavailable, max_surge;
    struct cached_object **pods; /* What the places point into. */
};

/* What to do; all borrowed from the round. */
struct daemonset_plan {
    const char **create; /* The nodes to make pods for. */
    size_t create_count, create_capacity;
    struct cached_list remove;
    struct cached_list failed;    /* To be removed as well, after a while. */
    struct cached_list succeeded; /* Among those to be removed. */
};

/* 'nodes' are all nodes, with node_view; 'pods' those of the set. All is borrowed. */
void daemonset_round_start(struct daemonset_round *round, const json_t *set,
                           const json_t *pod_template, const char *hash,
                           const struct cached_list *nodes, const struct cached_list *pods,
                           int64_t now);
void daemonset_round_free(struct daemonset_round *round); /* Also fit for cleanup(). */

/* One pod where it should be, none where not. */
void daemonset_round_manage(const struct daemonset_round *round, struct daemonset_plan *plan);
/* The next step of an update; when there was nothing to manage. */
void daemonset_round_update(const struct daemonset_round *round, struct daemonset_plan *plan);
void daemonset_plan_free(struct daemonset_plan *plan); /* Also fit for cleanup(). */

/* The new status; observedGeneration stays what it is unless 'was_managed'. '*next_check' is when
 * another pod will have been ready for minReadySeconds, 0 if none. The caller's. */
json_t *daemonset_round_status(const struct daemonset_round *round, bool was_managed,
                               int64_t *next_check);

#endif

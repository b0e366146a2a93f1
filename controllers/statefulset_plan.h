// SPDX-License-Identifier: Apache-2.0
/*
 * What a StatefulSet's controller does about its pods in one round. Pure functions.
 *
 * With OrderedReady each pod is made when all before it run and are ready (for minReadySeconds),
 * and those that are too many go one at a time, the highest first, when nothing else is to be done;
 * with Parallel nothing waits for another. Last, pods of an old revision go, from the highest
 * ordinal down to the partition; the rounds that follow make their successors.
 *
 * A pod's name is its ordinal's: there is never a second one of it, because the next is made only
 * when the one before is gone from the API.
 */
#ifndef CONTROLLERS_STATEFULSET_PLAN_H
#define CONTROLLERS_STATEFULSET_PLAN_H

#include "common/cached_object.h"

enum { STATEFULSET_BURST = 500 }; /* Pods made in one round. */

enum statefulset_action {
    STATEFULSET_CREATE,       /* This ordinal's claims and its pod. */
    STATEFULSET_MAKE_CLAIMS,  /* Those that this pending pod waits for. */
    STATEFULSET_CHECK,        /* That this pod and its claims are as they should be. */
    STATEFULSET_CHECK_CLAIMS, /* The same of the claims of a pod that is to go. */
    STATEFULSET_DELETE,       /* This pod. */
    STATEFULSET_REPLACE,      /* This pod, for it is of an old revision. */
};

struct statefulset_step {
    enum statefulset_action action;
    int64_t ordinal;
    struct cached_object *pod; /* Borrowed; NULL when it is to be created. */
    bool is_current;           /* To be created: of the current revision, not the new one. */
};

struct statefulset_plan {
    struct statefulset_step *steps;
    size_t count, capacity;
};

/* The members of a set in the order of their ordinals; names that are not made of the set's name
 * are left out. Those given and taken are borrowed. */
struct statefulset_members {
    struct statefulset_member {
        struct cached_object *pod;
        int64_t ordinal;
    } * items;
    size_t count;
};

struct statefulset_members statefulset_members(const json_t *set, const struct cached_list *pods);
void statefulset_members_free(struct statefulset_members *members); /* Also fit for cleanup(). */

/* 'update': the name of the revision that the set is going to. Steps are to be done in their order;
 * after one that fails, none. */
struct statefulset_plan statefulset_plan(const json_t *set,
                                         const struct statefulset_members *members,
                                         const char *update, int64_t now);
void statefulset_plan_free(struct statefulset_plan *plan); /* Also fit for cleanup(). */

/* The new status. 'replaced' is how many pods a STATEFULSET_REPLACE has deleted in this round,
 * '*next_check' when another pod will have been ready for minReadySeconds, 0 if none. The
 * caller's. */
json_t *statefulset_status(const json_t *set, const struct statefulset_members *members,
                           const char *current, const char *update, json_int_t collisions,
                           size_t replaced, int64_t now, int64_t *next_check);

#endif

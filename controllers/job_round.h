// SPDX-License-Identifier: Apache-2.0
/*
 * One look at a Job and its pods, and what follows from it. Pure functions; the controller
 * (controllers/job.c) reads and writes around them:
 *
 *     job_round_start     what there is: active, ready and ended pods, indexes
 *     job_round_judge     has the job come to its end?
 *     job_round_plan      which pods to remove, which to make, or how long to wait with that
 *     job_round_settle    after that was done: is it complete, is it suspended?
 *     job_round_track     notes ended pods in status.uncountedTerminatedPods
 *     (the status is written; only then the pods lose their finalizer)
 *     job_round_count     moves those that have lost it from there into the counts
 *     job_round_finish    the last condition, when nothing is open any more
 *
 * So that each pod is counted once, whenever the process is killed: a pod that has its finalizer is
 * not in the counts; a uid is in status.uncountedTerminatedPods before the pod loses the finalizer
 * and leaves it in the very write that counts the pod. A succeeded pod of an Indexed job needs no
 * uid, as its index is counted once by nature.
 */
#ifndef CONTROLLERS_JOB_ROUND_H
#define CONTROLLERS_JOB_ROUND_H

#include "common/cached_object.h"
#include "common/map.h"
#include "controllers/job_indexes.h"

enum {
    JOB_UNCOUNTED_MAX = 500, /* Uids in the status at a time. */
    JOB_BURST = 500,         /* Pods made or removed in one round. */
};

/* Failures since the last success. */
struct job_backoff {
    int failures;
    int64_t last_failure; /* Nanoseconds since 1970. */
};

struct job_pod {
    struct cached_object *object; /* Borrowed. */
    bool is_tracked;              /* Has the finalizer, and nobody is taking it away. */
    bool is_failed;               /* Counts as a failure, if it is counted at all. */
    bool is_kept;                 /* Its successor is to know how often the index has failed. */
    json_t *tree;                 /* Of those that have ended and are tracked; else NULL. */
};

/* The condition that ends the job; type NULL: it goes on. */
struct job_verdict {
    const char *type;
    char *reason, *message; /* Owned. */
};

struct job_round {
    int64_t now, base_backoff; /* Nanoseconds. */
    json_t *job;               /* Owned; its status becomes the new one. */
    json_t *spec, *status;     /* Within it. */
    bool is_indexed, is_suspended;
    bool has_index_limit;      /* spec.backoffLimitPerIndex */
    bool replaces_only_failed; /* spec.podReplacementPolicy: Failed */
    int completions;           /* -1: none. */
    int parallelism;
    struct job_pod *pods; /* Of an Indexed job in the order of their indexes. */
    size_t count;
    struct map uncounted; /* Uids in the status when the round began. */
    int active, ready, terminating, succeeded, failed;
    struct job_indexes counted_indexes; /* Those in status.completedIndexes. */
    struct job_indexes succeeded_indexes, failed_indexes;
    struct job_backoff backoff;
    struct job_verdict verdict;
    int64_t wake_ms;        /* The job is to be looked at again by then; 0: whenever it changes. */
    bool needs_write;       /* The status has changed. */
    bool is_cut_short;      /* More pods have ended than are tracked at a time. */
    const char *suspension; /* "Suspended", "Resumed": the event to tell; NULL. */
};

/* 'job' is consumed, 'pods' (the job's) are borrowed until the end. 'adopted' (NULL: none) has the
 * uids of pods that have just got the finalizer, 'released' of those that are losing it.
 * 'backoff' is what was known after the last round. */
void job_round_start(struct job_round *round, json_t *job, const struct cached_list *pods,
                     const struct map *adopted, const struct map *released,
                     struct job_backoff backoff, int64_t base_backoff, int64_t now);
void job_round_free(struct job_round *round); /* Also fit for cleanup(). */

void job_round_judge(struct job_round *round);
/* The verdict can't be acted on yet: it will be found again. */
void job_round_postpone(struct job_round *round);

/* What to do about the pods, one or the other. */
struct job_plan {
    struct cached_list remove; /* Without counting them. */
    size_t create;
    int *indexes; /* Of those to create; NULL for a NonIndexed job. */
};

/* There is no verdict, and what was done before has been seen. */
void job_round_plan(struct job_round *round, struct job_plan *plan);
void job_plan_free(struct job_plan *plan); /* Also fit for cleanup(). */
/* The pod to create for that position of the plan; the caller's. */
json_t *job_round_make_pod(const struct job_round *round, const struct job_plan *plan,
                           size_t position);
/* These pods were removed, these many made. */
void job_round_removed(struct job_round *round, const struct cached_list *pods);
void job_round_created(struct job_round *round, size_t count);
/* The active pods, which a verdict ends. */
void job_round_active(const struct job_round *round, struct cached_list *pods);

/* 'has_planned': job_round_plan() was asked in this round. */
void job_round_settle(struct job_round *round, bool has_planned);

/* Appends the pods that are to lose their finalizer once the status is written, and to 'uids' those
 * of all that still have it. */
void job_round_track(struct job_round *round, struct cached_list *done, struct map *uids);
/* The status as the server has it now; consumed. */
void job_round_take_job(struct job_round *round, json_t *job);
/* Counts what is in the status and not among 'uids' any more. */
void job_round_count(struct job_round *round, const struct map *uids);
/* The job is over now; 'status' has the last condition. */
bool job_round_finish(struct job_round *round);

#endif

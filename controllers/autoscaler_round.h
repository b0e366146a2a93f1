// SPDX-License-Identifier: Apache-2.0
/*
 * One look at all metrics of an autoscaler: fetches each, works out how many pods it asks for, and
 * settles on the highest number. A metric that can't be had holds back only a step down.
 *
 * Reasons, messages and events are upstream's. Threads: a round belongs to whoever runs it. Blocks.
 */
#ifndef CONTROLLERS_AUTOSCALER_ROUND_H
#define CONTROLLERS_AUTOSCALER_ROUND_H

#include "common/cached_object.h"
#include "common/event_recorder.h"
#include "controllers/autoscaler_calculator.h"
#include "controllers/autoscaler_target.h"

struct autoscaler_round {
    /* What is looked at; borrowed. */
    struct autoscaler_targets *targets;
    struct event_recorder *events; /* NULL: nothing is told. */
    const json_t *autoscaler;
    const json_t *scale;            /* Of the target. */
    const struct cached_list *pods; /* Those that its selector finds. */
    double tolerance;
    int64_t now, cpu_initialization_period, initial_readiness_delay;

    /* What comes of it. */
    json_t *conditions; /* Borrowed: ScalingActive is set in it. */
    json_t *statuses;   /* The metrics as they are, for the status. The caller's. */
    int32_t replicas;
    char *metric; /* Which asks for most, for people; the caller's. */
};

/* False with an error when no number can be had. True with '*partly' when only some metrics failed.
 */
bool autoscaler_round_run(struct autoscaler_round *round, struct error *partly,
                          struct error *error);
void autoscaler_round_clear(struct autoscaler_round *round); /* Also fit for cleanup(). */

/* What the pod requests of a resource, in thousandths: of all its containers, or of one ("": all);
 * what the pod requests as a whole counts before what its containers do. */
bool autoscaler_pod_request(const json_t *pod, const char *resource, const char *container,
                            int64_t *milli, struct error *error);

#endif

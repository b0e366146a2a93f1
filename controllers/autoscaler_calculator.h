// SPDX-License-Identifier: Apache-2.0
/*
 * How many pods a metric asks for: upstream's replica calculator, as functions of what was seen.
 *
 * The idea is one division: as many pods as there are, times what is used over what is aimed at,
 * rounded up; within a tolerance nothing changes. What makes it longer are pods that can't be
 * counted. Pods that are going or have ended do not count at all. Pods that wait to run, and, where
 * it is about CPU, pods that start up, are unready: they count, as using nothing, when the
 * others ask for more pods. Pods that run but have no metric are missing: they are taken to use
 * nothing when the others ask for more pods, and all that they may when those ask for fewer. An
 * assumption never turns the direction, it only makes a step smaller.
 *
 * Amounts are thousandths, times nanoseconds. Threads: none of its own, no state.
 */
#ifndef CONTROLLERS_AUTOSCALER_CALCULATOR_H
#define CONTROLLERS_AUTOSCALER_CALCULATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "controllers/pod_view.h"

/* A pod that the target's selector finds, or that a metric is about. */
struct autoscaler_pod {
    const char *name;
    bool is_listed; /* The selector finds it; else only its metric is known. */
    bool is_deleting;
    enum pod_phase phase;
    bool has_condition;        /* Ready. */
    bool is_ready, is_unready; /* It is True, or False. */
    int64_t ready_since;       /* When that last changed. */
    int64_t start_time;        /* 0: not told. */
    int64_t request;           /* Of the resource in question. */
    bool has_metric;
    int64_t value, metric_time, metric_window;
};

/* What is known when a metric is looked at. */
struct autoscaler_scene {
    const struct autoscaler_pod *pods;
    size_t pod_count;
    int32_t current; /* As the target's scale asks for. */
    double tolerance;
    bool is_cpu; /* Pods that start up use more than they will. */
    int64_t now, cpu_initialization_period, initial_readiness_delay;
};

struct autoscaler_proposal {
    int32_t replicas;
    int32_t utilization; /* Percent of the requests; 0 where that is not what is measured. */
    int64_t value;       /* On average, or in all. */
};

/* Aims at a percentage of what the pods request, on average. */
bool autoscaler_by_utilization(const struct autoscaler_scene *scene, int32_t target_percent,
                               struct autoscaler_proposal *proposal, struct error *error);
/* Aims at an amount a pod, on average. */
bool autoscaler_by_average(const struct autoscaler_scene *scene, int64_t target,
                           struct autoscaler_proposal *proposal, struct error *error);
/* One number for all: so many pods as are ready times what it is over what it should be. */
bool autoscaler_by_value(const struct autoscaler_scene *scene, int64_t value, int64_t target,
                         struct autoscaler_proposal *proposal, struct error *error);
/* One number that is divided among the pods that there are, 'present' by the target's status. */
void autoscaler_by_share(int32_t present, double tolerance, int64_t value, int64_t target,
                         struct autoscaler_proposal *proposal);

#endif

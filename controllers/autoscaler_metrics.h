// SPDX-License-Identifier: Apache-2.0
/*
 * Where an autoscaler's numbers come from: metrics.k8s.io, custom.metrics.k8s.io and
 * external.metrics.k8s.io, asked through the API server.
 *
 * Amounts are thousandths, times nanoseconds. Errors are worded as upstream's metrics client words
 * them. Threads: any. Functions block, but for those that only read an answer.
 */
#ifndef CONTROLLERS_AUTOSCALER_METRICS_H
#define CONTROLLERS_AUTOSCALER_METRICS_H

#include "controllers/autoscaler_target.h"

/* One pod's number. */
struct autoscaler_sample {
    char *pod;
    int64_t value, time, window;
};

struct autoscaler_samples {
    struct autoscaler_sample *list;
    size_t count, capacity;
};

#define AUTOSCALER_SAMPLES_INIT ((struct autoscaler_samples){0})
void autoscaler_samples_free(struct autoscaler_samples *samples); /* Also fit for cleanup(). */

/* Of a resource ("cpu"), for all containers or the one named ("": all). 'selector' is text. */
bool autoscaler_metrics_of_resource(struct client *client, const char *namespace,
                                    const char *selector, const char *resource,
                                    const char *container, struct autoscaler_samples *samples,
                                    struct error *error);
/* Of the pods' own metric. 'metric' is {name, selector}. */
bool autoscaler_metrics_of_pods(struct autoscaler_targets *targets, const char *namespace,
                                const char *selector, const json_t *metric,
                                struct autoscaler_samples *samples, struct error *error);
/* Of one object, {apiVersion, kind, name}. */
bool autoscaler_metrics_of_object(struct autoscaler_targets *targets, const char *namespace,
                                  const json_t *object, const json_t *metric, int64_t *value,
                                  struct error *error);
/* The sum of all values of a metric from outside. */
bool autoscaler_metrics_external(struct client *client, const char *namespace, const json_t *metric,
                                 int64_t *sum, struct error *error);

/* ---- reading answers ---- */

/* A PodMetricsList. Pods that lack the resource are left out. */
bool autoscaler_samples_read(const json_t *list, const char *resource, const char *container,
                             struct autoscaler_samples *samples, struct error *error);

#endif

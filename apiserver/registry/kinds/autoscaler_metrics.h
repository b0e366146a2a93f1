// SPDX-License-Identifier: Apache-2.0
/* Metrics as the annotations of autoscaling/v1 have them: flat, where v2 has nested objects
 * ("targetAverageValue" for "target.averageValue"). */
#ifndef APISERVER_REGISTRY_KINDS_AUTOSCALER_METRICS_H
#define APISERVER_REGISTRY_KINDS_AUTOSCALER_METRICS_H

#include <jansson.h>

/* Lists of v2's spec.metrics or status.currentMetrics and back. What is already in the form wanted
 * stays so. The caller's. */
json_t *autoscaler_metrics_flatten(const json_t *metrics);
json_t *autoscaler_metrics_nest(const json_t *metrics);

#endif

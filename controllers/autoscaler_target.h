// SPDX-License-Identifier: Apache-2.0
/*
 * What an autoscaler scales: anything that has a scale subresource, found by what the API server
 * says it serves.
 *
 * Threads: one at a time. Functions block.
 */
#ifndef CONTROLLERS_AUTOSCALER_TARGET_H
#define CONTROLLERS_AUTOSCALER_TARGET_H

#include <jansson.h>

#include "common/client.h"
#include "controllers/discovery.h"

/* What the API server serves, looked at again every half a minute, and when something is missing.
 */
struct autoscaler_targets {
    struct client *client;
    struct discovery discovery;
    int64_t read; /* timestamp_monotonic(); 0: never. */
};

void autoscaler_targets_clear(struct autoscaler_targets *targets);
/* The resource of a kind, whatever the version ("apps/v1", or as a group's name alone, "apps");
 * borrowed until the next call. NULL with an error, in the words of a REST mapper. */
const struct api_resource *autoscaler_targets_find(struct autoscaler_targets *targets,
                                                   const char *api_version, const char *kind,
                                                   struct error *error);
/* The group version that the server prefers of the group; borrowed until the next call. NULL
 * when the group is not served, or with an error. */
const char *autoscaler_targets_version(struct autoscaler_targets *targets, const char *group,
                                       struct error *error);

/* The Scale of a scaleTargetRef; NULL with an error. '*path' is where it is. Both are the caller's.
 */
json_t *autoscaler_scale_get(struct autoscaler_targets *targets, const char *namespace,
                             const json_t *reference, char **path, struct error *error);
/* Asks for another number of replicas. */
bool autoscaler_scale_set(struct client *client, const char *path, const json_t *scale,
                          int32_t replicas, struct error *error);

#endif

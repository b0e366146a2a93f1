// SPDX-License-Identifier: Apache-2.0
/*
 * What an autoscaler scales: anything that has a scale subresource, found by what the API server
 * says it serves.
 *
 * Threads: any. A mutex guards what is known of the server; it is held for memory operations only.
 * Functions block.
 */
#ifndef CONTROLLERS_AUTOSCALER_TARGET_H
#define CONTROLLERS_AUTOSCALER_TARGET_H

#include <jansson.h>
#include <pthread.h>

#include "common/client.h"
#include "controllers/discovery.h"

/* What the API server serves, looked at again every half a minute, and when something is missing.
 */
struct autoscaler_targets {
    struct client *client;
    pthread_mutex_t lock; /* Guards what follows. */
    struct discovery discovery;
    int64_t read; /* timestamp_monotonic(); 0: never. */
};

/* The client is borrowed. */
void autoscaler_targets_init(struct autoscaler_targets *targets, struct client *client);
void autoscaler_targets_clear(struct autoscaler_targets *targets);

/* A resource whose strings are its own. */
struct autoscaler_resource {
    char *group_version, *plural, *kind;
};

void autoscaler_resource_clear(struct autoscaler_resource *resource); /* Also fit for cleanup(). */

/* The resource of a kind, in whatever version of its group ("apps/v1"). False with an error, in the
 * words of a REST mapper. Clear it in any case. */
bool autoscaler_targets_find(struct autoscaler_targets *targets, const char *api_version,
                             const char *kind, struct autoscaler_resource *resource,
                             struct error *error);
/* The group version that the server prefers of the group; the caller's. NULL when the group is not
 * served, or with an error. */
char *autoscaler_targets_version(struct autoscaler_targets *targets, const char *group,
                                 struct error *error);

/* The Scale of a scaleTargetRef; NULL with an error. '*path' is where it is. Both are the caller's.
 */
json_t *autoscaler_scale_get(struct autoscaler_targets *targets, const char *namespace,
                             const json_t *reference, char **path, struct error *error);
/* Asks for another number of replicas. */
bool autoscaler_scale_set(struct client *client, const char *path, const json_t *scale,
                          int32_t replicas, struct error *error);

#endif

// SPDX-License-Identifier: Apache-2.0
/* The namespace controller's decisions, apart from its reading and writing. Pure functions. */
#ifndef CONTROLLERS_NAMESPACE_H
#define CONTROLLERS_NAMESPACE_H

#include "common/client.h"

/* What one pass over a namespace's kinds brought. */
struct namespace_pass {
    char *discovery_failure; /* NULL: all kinds are known. */
    json_t *errors;          /* What could not be deleted or listed: an array of messages. */
    json_t *remaining;       /* "pods. has 2 resource instances", …: an array. */
    json_t *finalizers;      /* How many objects wait for each finalizer: an object. */
    int64_t estimate;        /* Seconds until what remains may be gone; 0: nothing remains. */
};

#define NAMESPACE_PASS_INIT ((struct namespace_pass){0})

void namespace_pass_error(struct namespace_pass *pass, const char *message);
/* Counts what is left of a kind after it was deleted, as a list tells it. 'estimate': seconds that
 * its objects may still take, 0 if they should be gone by now. */
void namespace_pass_count(struct namespace_pass *pass, const char *namespace,
                          const struct api_resource *resource, const json_t *list,
                          int64_t estimate);
void namespace_pass_clear(struct namespace_pass *pass); /* Also fit for cleanup(). */

/* The longest grace period of the pods in the list that still run, in seconds; 0 when the namespace
 * has been terminating for longer than that. */
int64_t namespace_pods_estimate(const json_t *pods, int64_t terminating_seconds);

/* Makes the pass the five conditions of the status; false when they say so already. */
bool namespace_set_conditions(json_t *status, const struct namespace_pass *pass);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Makes pods go for a more important one: tells each why (its condition DisruptionTarget), deletes
 * it gracefully, and records an event about it. All at once, many requests under way at a time.
 *
 * Threads: any, also with the scheduler's lock held; outcomes are told on the loop's thread.
 */
#ifndef SCHEDULER_EVICTOR_H
#define SCHEDULER_EVICTOR_H

#include "common/client.h"
#include "common/event_recorder.h"

struct evictor;

/* All victims of that pod have been told to go, or are gone. 'must_retry': some could not be told,
 * or the pod was deferred meanwhile. */
typedef void (*evictor_finished)(void *argument, const char *key, const char *uid, bool must_retry);

struct evictor *evictor_new(struct client *client, struct event_recorder *events,
                            evictor_finished finished, void *argument);
/* As binder_stop(). */
void evictor_stop(struct evictor *evictor);

struct evictor_preemptor {
    const char *key, *uid, *scheduler_name, *node_name;
};

/* The victims, at least one, make way for the pod on that node. */
void evictor_evict(struct evictor *evictor, const struct evictor_preemptor *preemptor,
                   struct cached_object *const *victims, size_t count);
/* Whether the pod's victims have not all been told yet: then it had better not choose others. */
bool evictor_defer(struct evictor *evictor, const char *uid);

#endif

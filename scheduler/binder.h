// SPDX-License-Identifier: Apache-2.0
/*
 * Writes what the scheduler decided: bindings, and the condition and events that tell people about
 * it. Many requests are under way at a time.
 *
 * A binding ends in one of three ways: done; refused, with the server's word; or unknown, when the
 * connection broke or the server failed. Then the pod is read until the server tells where it
 * stands, and the binding counts as done or, when the pod is not on that node, as failed.
 *
 * Threads: any, also with the scheduler's lock held; outcomes are told on the loop's thread.
 */
#ifndef SCHEDULER_BINDER_H
#define SCHEDULER_BINDER_H

#include "common/client.h"
#include "common/event_recorder.h"
#include "scheduler/queue.h"

struct binder;

/* Both take over the pod. 'why' is what the server said, NULL when it did not. */
typedef void (*binder_succeeded)(void *argument, struct queued_pod *pod);
typedef void (*binder_failed)(void *argument, struct queued_pod *pod, const char *why);

struct binder *binder_new(struct client *client, struct event_recorder *events,
                          binder_succeeded succeeded, binder_failed failed, void *argument);
/* Waits for a moment until the bindings under way have ended, and frees; those that have not are
 * ended by closing the client. From another thread than the loop's. */
void binder_stop(struct binder *binder);

/* Binds the pod (taken over until an outcome is told) to the node. */
void binder_bind(struct binder *binder, struct queued_pod *pod, const char *node_name);
size_t binder_under_way(struct binder *binder);

/* Records an event about a pending pod of the scheduler's informer, and sets its condition
 * PodScheduled to False with this reason and message, and the node for which it is nominated ("":
 * none; NULL: as before), unless it says so already. */
void binder_tell_failure(struct binder *binder, const struct cached_object *pod, const char *reason,
                         const char *message, const char *nominated_node);
/* A pending pod is not nominated for a node any more. */
void binder_clear_nomination(struct binder *binder, const struct cached_object *pod);

#endif

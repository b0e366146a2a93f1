// SPDX-License-Identifier: Apache-2.0
/*
 * What has to happen to a pod's claims before the pod gets its node: volumes are told whose they
 * are (spec.claimRef), claims for which one is to be made where that is
 * (volume.kubernetes.io/selected-node), and then the volume binder of the controllers, or a
 * provisioner, does its part. Pods wait here meanwhile, and the scheduler goes on.
 *
 * Threads: all members and all hooks under the scheduler's lock, but for volume_binder_stop(); what
 * the server answers comes on the loop's thread, which takes the lock by the hooks.
 */
#ifndef SCHEDULER_VOLUME_BINDER_H
#define SCHEDULER_VOLUME_BINDER_H

#include "common/client.h"
#include "scheduler/queue.h"
#include "scheduler/volume_plan.h"

struct volume_binder;

struct volume_binder_hooks {
    void (*lock)(void *argument);
    void (*unlock)(void *argument);
    /* All claims are bound. Takes over the pod; the plan is over. */
    void (*bound)(void *argument, struct queued_pod *pod, const char *node_name);
    /* It does not work out, for the reason 'why'; NULL: the pod is gone. Takes over both. */
    void (*failed)(void *argument, struct queued_pod *pod, struct volume_plan *plan,
                   const char *why);
    void *argument;
};

struct volume_binder *volume_binder_new(struct client *client, struct node_cache *cache,
                                        const struct volume_binder_hooks *hooks);
/* As binder_stop(). Not with the lock. */
void volume_binder_stop(struct volume_binder *binder);

/* Brings about the plan for the pod, and takes over both. 'until' (monotonic) is how long that may
 * take. */
void volume_binder_start(struct volume_binder *binder, struct queued_pod *pod,
                         const char *node_name, struct volume_plan *plan, int64_t until);
/* The pod is not there any more. */
void volume_binder_forget(struct volume_binder *binder, const char *key, const char *uid);
/* Some claim, volume or node is different. */
void volume_binder_note(struct volume_binder *binder);
/* Goes on with those for which something noted, or the time, makes a difference. Returns when to
 * look again (monotonic; INT64_MAX: only after a change). */
int64_t volume_binder_look(struct volume_binder *binder, int64_t now);

#endif

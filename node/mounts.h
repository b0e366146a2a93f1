// SPDX-License-Identifier: Apache-2.0
/*
 * What a pod's containers wait for: its claims must be bound, and volumes of CSI drivers attached
 * to the node, which the attach-detach controller tells in the node's status. As long as the pod
 * may have such a volume mounted, the node says that it is in use. Secrets and config maps that it
 * mounts must be there, with the keys that it names; those of projected volumes, which nearly every
 * pod has, are taken to be.
 *
 * What is missing is told as a kubelet tells it, and looked for again every second or two.
 *
 * Threads: the loop's.
 */
#ifndef NODE_MOUNTS_H
#define NODE_MOUNTS_H

#include <jansson.h>
#include <stdbool.h>

struct mounts;
struct worker_host;

struct mounts_listener {
    void (*changed)(void *argument);                     /* All that is needed is known. */
    void (*failed)(void *argument, const char *message); /* For an event FailedMount. */
    void *argument;
};

/* Begins to ask for what the pod's volumes need; NULL when that is nothing. */
struct mounts *mounts_new(struct worker_host *host, const json_t *pod,
                          struct mounts_listener listener);
/* The containers may start. NULL: always. */
bool mounts_are_there(const struct mounts *mounts);
/* Nothing runs any more. NULL is fine. */
void mounts_release(struct mounts *mounts);
/* Releases and frees; the listener is not called any more. NULL is fine. */
void mounts_drop(struct mounts *mounts);

#endif

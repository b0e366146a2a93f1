// SPDX-License-Identifier: Apache-2.0
/*
 * What a pod's containers wait for: its claims must be bound, and volumes of CSI drivers attached
 * to the node, which the attach-detach controller tells in the node's status. As long as the pod
 * may have such a volume mounted, the node says that it is in use.
 *
 * Threads: the loop's.
 */
#ifndef NODE_MOUNTS_H
#define NODE_MOUNTS_H

#include <jansson.h>
#include <stdbool.h>

struct mounts;
struct worker_host;

/* Begins to ask for the pod's claims; NULL when it has none. 'changed' is called when all that is
 * needed is known. */
struct mounts *mounts_new(struct worker_host *host, const json_t *pod,
                          void (*changed)(void *argument), void *argument);
/* The containers may start. NULL: always. */
bool mounts_are_there(const struct mounts *mounts);
/* Nothing runs any more. NULL is fine. */
void mounts_release(struct mounts *mounts);
/* Releases and frees; 'changed' is not called any more. NULL is fine. */
void mounts_drop(struct mounts *mounts);

#endif

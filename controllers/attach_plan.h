// SPDX-License-Identifier: Apache-2.0
/*
 * What is to be attached to a node, and what may be taken away from it. Trees of API objects; pure
 * functions, any thread.
 */
#ifndef CONTROLLERS_ATTACH_PLAN_H
#define CONTROLLERS_ATTACH_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The VolumeAttachment of a CSI volume on a node: "csi-" and the SHA-256 of what it is about. The
 * caller's. */
char *attach_name(const char *handle, const char *driver, const char *node_name);
/* What a node calls the volume in its status: "kubernetes.io/csi/<driver>^<handle>". The
 * caller's. */
char *attach_volume_name(const char *driver, const char *handle);

/* The volume may be attached to several nodes, as far as its access modes tell. */
bool attach_is_shared(const json_t *volume);
/* The pod needs its volumes no more: it has ended, or is going and nothing runs in it. */
bool attach_is_over(const json_t *pod);
/* The node leaves attaching to the controller. */
bool attach_is_managed(const json_t *node);

enum attach_detach { DETACH_NOW, DETACH_LATER, DETACH_UNMOUNTED };

/* Of a volume that no pod on the node (NULL: it is gone) needs any more, for so long (nanoseconds):
 * take it away now; wait until the node is done with it; or look again later, because that wait
 * has an end for a node that is not well. */
enum attach_detach attach_may_go(const json_t *node, const char *volume_name, int64_t waited);

extern const int64_t attach_patience; /* Nanoseconds. */

#endif

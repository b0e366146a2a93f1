// SPDX-License-Identifier: Apache-2.0
/* The taints that controllers put on nodes: what they should be, and writing them. */
#ifndef CONTROLLERS_NODE_TAINTS_H
#define CONTROLLERS_NODE_TAINTS_H

#include "common/cached_object.h"
#include "common/client.h"

extern const char taint_not_ready[], taint_unreachable[];

/* Changes of taints with one effect. */
struct taint_changes {
    const char *effect;
    const char *add[8], *remove[8]; /* Keys; each list ends with NULL. */
};

/* By the node's conditions and spec.unschedulable: which NoSchedule taints it lacks, and which it
 * has that say what is no longer so. Taints of other keys are nobody's business here. */
struct taint_changes node_taints_by_condition(const json_t *node);
bool node_taints_has(const json_t *node, const char *key, const char *effect);

/* The node's taints after the changes; the caller's. NULL: as they are. */
json_t *node_taints_changed(const json_t *node, const struct taint_changes *changes);
/* Writes them, unless nothing changes; 409 when the node is not any more as it is here. Blocks. */
bool node_taints_write(struct client *client, const json_t *node,
                       const struct taint_changes *changes, struct error *error);

#endif

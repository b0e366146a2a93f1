// SPDX-License-Identifier: Apache-2.0
/* What controllers look at in a node, parsed once when it arrives: the digest of the one node
 * informer of the process. */
#ifndef CONTROLLERS_NODE_VIEW_H
#define CONTROLLERS_NODE_VIEW_H

#include "common/informer.h"

struct node_view {
    json_t *labels, *taints; /* NULL: none. */
};

struct informer *node_informer(struct informer_factory *informers);

static inline const struct node_view *node_view(const struct cached_object *node)
{
    return node->digest;
}

extern const struct cached_object_class node_class;

#endif

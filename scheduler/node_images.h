// SPDX-License-Identifier: Apache-2.0
/*
 * Which images the nodes hold, by status.images of each.
 *
 * Threads: everything here is guarded by the scheduler's lock.
 */
#ifndef SCHEDULER_NODE_IMAGES_H
#define SCHEDULER_NODE_IMAGES_H

#include "scheduler/node_cache.h"

struct node_image {
    char *name;
    int64_t size;  /* In bytes, as the first node told it. */
    size_t nodes;  /* How many hold it. */
    uint8_t *held; /* By the index of the node: it holds the image. */
    size_t held_capacity;
};

/* The text of status.images of a node that the cache knows; of no length: none. */
void node_images_put(struct node_cache *cache, struct node *node, const char *text, size_t length);
/* NULL: no node holds it. The name as a container has it, with or without a tag. */
const struct node_image *node_images_find(const struct node_cache *cache, const char *name);
static inline bool node_image_is_held(const struct node_image *image, const struct node *node)
{
    return node->index < image->held_capacity && image->held[node->index] != 0;
}
/* With the cache. */
void node_images_free(struct node_cache *cache);

#endif

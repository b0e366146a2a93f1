// SPDX-License-Identifier: Apache-2.0
/*
 * A priority queue of things that embed a heap_node: the first is found at once, any can be taken
 * out. Not thread-safe.
 */
#ifndef COMMON_HEAP_H
#define COMMON_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/* Embedded in what is queued; see container_of(). Zeroed before its first use. */
struct heap_node {
    size_t position; /* In its heap, from 1; 0: in none. */
};

struct heap {
    bool (*is_before)(const struct heap_node *a, const struct heap_node *b);
    struct heap_node **nodes; /* From index 1; owned. */
    size_t count, capacity;
};

#define HEAP_INIT(function) ((struct heap){.is_before = (function)})

/* The node is in no heap. */
void heap_insert(struct heap *heap, struct heap_node *node);
/* Takes it out; nothing happens when it is in none. */
void heap_remove(struct heap *heap, struct heap_node *node);
/* Frees the heap's own memory. */
void heap_clear(struct heap *heap);

/* The first, NULL when there is none. */
static inline struct heap_node *heap_first(const struct heap *heap)
{
    return heap->count > 0 ? heap->nodes[1] : NULL;
}

static inline bool heap_holds(const struct heap_node *node)
{
    return node->position != 0;
}

#endif

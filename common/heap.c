// SPDX-License-Identifier: Apache-2.0
#include "common/heap.h"

#include <stdlib.h>

#include "common/alloc.h"

static void place(struct heap *heap, struct heap_node *node, size_t position)
{
    heap->nodes[position] = node;
    node->position = position;
}

/* Lets a node rise or sink from a position to where it belongs. */
static void settle(struct heap *heap, struct heap_node *node, size_t position)
{
    while (position > 1 && heap->is_before(node, heap->nodes[position / 2])) {
        place(heap, heap->nodes[position / 2], position);
        position /= 2;
    }
    for (size_t child = position * 2; child <= heap->count; child = position * 2) {
        if (child < heap->count && heap->is_before(heap->nodes[child + 1], heap->nodes[child])) {
            child++;
        }
        if (!heap->is_before(heap->nodes[child], node)) {
            break;
        }
        place(heap, heap->nodes[child], position);
        position = child;
    }
    place(heap, node, position);
}

void heap_insert(struct heap *heap, struct heap_node *node)
{
    if (heap->capacity == 0) {
        heap->capacity = 16;
        heap->nodes = allocate_zero(heap->capacity, sizeof(struct heap_node *));
    }
    heap->nodes = grow(heap->nodes, heap->count + 1, &heap->capacity, sizeof(struct heap_node *));
    settle(heap, node, ++heap->count);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    size_t position = node->position;
    if (position == 0) {
        return;
    }
    struct heap_node *last = heap->nodes[heap->count--];
    node->position = 0;
    if (last != node) {
        settle(heap, last, position);
    }
}

void heap_clear(struct heap *heap)
{
    free(heap->nodes);
    heap->nodes = NULL;
    heap->count = heap->capacity = 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "controllers/endpointslice_plan.h"

#include <stdlib.h>

#include "common/alloc.h"

/* An endpoint that is wished for, in the order of identities, so that it is found by halving. */
struct wish {
    uint64_t identity;
    size_t position;
    bool is_placed;
};

/* A slice seen, and what becomes of it. */
struct slot {
    struct slice_change change;
    bool is_written;
    bool is_deleted;
};

struct layout {
    struct slice_plan *plan;
    struct slot *slots;
    size_t slot_count;
    const struct endpoint_hash *wished;
    struct wish *wishes;
    size_t wish_count;
    size_t unplaced;
    size_t next; /* No wish before this one is unplaced. */
    size_t max;
};

static int compare_wishes(const void *a, const void *b)
{
    const struct wish *first = a, *second = b;
    if (first->identity != second->identity) {
        return first->identity < second->identity ? -1 : 1;
    }
    return (first->position > second->position) - (first->position < second->position);
}

/* Sorted; an endpoint that is wished for twice counts once. */
static void collect_wishes(struct layout *layout, size_t count)
{
    layout->wishes = allocate_zero(count + 1, sizeof *layout->wishes);
    for (size_t i = 0; i < count; i++) {
        layout->wishes[i] = (struct wish){.identity = layout->wished[i].identity, .position = i};
    }
    qsort(layout->wishes, count, sizeof *layout->wishes, compare_wishes);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || layout->wishes[i].identity != layout->wishes[i - 1].identity) {
            layout->wishes[layout->wish_count++] = layout->wishes[i];
        }
    }
    layout->unplaced = layout->wish_count;
}

static struct wish *find_wish(const struct layout *layout, uint64_t identity)
{
    size_t low = 0, high = layout->wish_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (layout->wishes[middle].identity < identity) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    struct wish *wish = &layout->wishes[low];
    return low < layout->wish_count && wish->identity == identity && !wish->is_placed ? wish : NULL;
}

static void place(struct layout *layout, struct slice_change *change, struct wish *wish)
{
    change->members[change->count++] = wish->position;
    wish->is_placed = true;
    layout->unplaced--;
}

/* Adds unplaced endpoints until the slice is full. */
static void fill(struct layout *layout, struct slice_change *change)
{
    for (; layout->unplaced > 0 && change->count < layout->max; layout->next++) {
        if (!layout->wishes[layout->next].is_placed) {
            place(layout, change, &layout->wishes[layout->next]);
        }
    }
}

/* Leaves in a slice what is wished for, and finds out whether it has to be written. */
static void keep_wished(struct layout *layout, struct slot *slot, const struct slice_seen *seen)
{
    size_t room = seen->count > layout->max ? seen->count : layout->max;
    slot->change.members = allocate_zero(room + 1, sizeof *slot->change.members);
    slot->is_written = seen->is_outdated;
    for (size_t i = 0; i < seen->count; i++) {
        struct wish *wish = find_wish(layout, seen->endpoints[i].identity);
        if (wish == NULL) {
            slot->is_written = true;
            continue;
        }
        if (layout->wished[wish->position].content != seen->endpoints[i].content) {
            slot->is_written = true;
        }
        place(layout, &slot->change, wish);
    }
    slot->is_deleted = seen->count > 0 && slot->change.count == 0;
}

static int compare_fullness(const void *a, const void *b)
{
    struct slot *const *first = a, *const *second = b;
    size_t count = (*first)->change.count, other = (*second)->change.count;
    return (count < other) - (count > other);
}

/* Those that are written anyhow take in what is left, the fullest first. */
static void fill_written(struct layout *layout)
{
    struct slot **written = allocate_zero(layout->slot_count + 1, sizeof(struct slot *));
    size_t count = 0;
    for (size_t i = 0; i < layout->slot_count; i++) {
        if (layout->slots[i].is_written && !layout->slots[i].is_deleted) {
            written[count++] = &layout->slots[i];
        }
    }
    qsort(written, count, sizeof *written, compare_fullness);
    for (size_t i = 0; i < count; i++) {
        fill(layout, &written[i]->change);
    }
    free(written);
}

/* The unchanged slice that has room for all that is left, and the least room after it; or NULL. */
static struct slot *best_for_rest(const struct layout *layout)
{
    struct slot *best = NULL;
    for (size_t i = 0; i < layout->slot_count && layout->unplaced < layout->max; i++) {
        struct slot *slot = &layout->slots[i];
        if (!slot->is_written && !slot->is_deleted &&
            slot->change.count + layout->unplaced <= layout->max &&
            (best == NULL || slot->change.count > best->change.count)) {
            best = slot;
        }
    }
    return best;
}

/* The caller frees the members. */
static void add_change(struct slice_plan *plan, struct slice_change change)
{
    plan->changes =
        grow(plan->changes, plan->change_count, &plan->change_capacity, sizeof *plan->changes);
    plan->changes[plan->change_count++] = change;
}

static void place_rest(struct layout *layout)
{
    while (layout->unplaced > 0) {
        struct slot *best = best_for_rest(layout);
        if (best != NULL) {
            fill(layout, &best->change);
            best->is_written = true;
            continue;
        }
        struct slice_change change = {.slice = SLICE_NEW};
        change.members = allocate_zero(layout->max, sizeof *change.members);
        fill(layout, &change);
        add_change(layout->plan, change);
    }
}

static void emit(struct layout *layout)
{
    struct slice_plan *plan = layout->plan;
    for (size_t i = 0; i < layout->slot_count; i++) {
        struct slot *slot = &layout->slots[i];
        slot->change.slice = i;
        if (slot->is_deleted) {
            plan->deletions = grow(plan->deletions, plan->deletion_count, &plan->deletion_capacity,
                                   sizeof *plan->deletions);
            plan->deletions[plan->deletion_count++] = i;
        } else if (slot->is_written) {
            add_change(plan, slot->change);
            continue;
        }
        free(slot->change.members);
    }
}

void slice_plan_make(struct slice_plan *plan, const struct slice_seen *seen, size_t seen_count,
                     const struct endpoint_hash *wished, size_t wished_count, size_t max)
{
    struct layout layout = {.plan = plan, .wished = wished, .max = max, .slot_count = seen_count};
    layout.slots = allocate_zero(seen_count + 1, sizeof *layout.slots);
    collect_wishes(&layout, wished_count);
    for (size_t i = 0; i < seen_count; i++) {
        keep_wished(&layout, &layout.slots[i], &seen[i]);
    }
    fill_written(&layout);
    place_rest(&layout);
    emit(&layout);
    free(layout.wishes);
    free(layout.slots);
}

void slice_plan_free(struct slice_plan *plan)
{
    for (size_t i = 0; i < plan->change_count; i++) {
        free(plan->changes[i].members);
    }
    free(plan->changes);
    free(plan->deletions);
    *plan = SLICE_PLAN_INIT;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * How a set of endpoints is laid out in slices while as few slices as can be are written, the way
 * upstream's reconciler does it: endpoints stay in the slices they are in; slices that must be
 * written anyhow are filled up first; what is left goes into one other slice that has room for all
 * of it, or else into new ones. Slices are never merged or levelled for tidiness.
 *
 * Pure: works on hashes and numbers.
 */
#ifndef CONTROLLERS_ENDPOINTSLICE_PLAN_H
#define CONTROLLERS_ENDPOINTSLICE_PLAN_H

#include "controllers/endpointslice_view.h"

/* A slice as it is. */
struct slice_seen {
    const struct endpoint_hash *endpoints;
    size_t count;
    bool is_outdated; /* Its labels are not right: it is to be written whatever it holds. */
};

/* What one slice is to hold. */
struct slice_change {
    size_t slice;    /* Its position among those seen; SLICE_NEW. */
    size_t *members; /* Positions among the endpoints that are wished for. */
    size_t count;
};

#define SLICE_NEW SIZE_MAX

struct slice_plan {
    struct slice_change *changes;
    size_t change_count, change_capacity;
    size_t *deletions; /* Positions among the slices seen. */
    size_t deletion_count, deletion_capacity;
};

#define SLICE_PLAN_INIT ((struct slice_plan){0})

/* Fills the empty plan. 'max': how many endpoints a slice holds at most. */
void slice_plan_make(struct slice_plan *plan, const struct slice_seen *seen, size_t seen_count,
                     const struct endpoint_hash *wished, size_t wished_count, size_t max);
void slice_plan_free(struct slice_plan *plan); /* Also fit for cleanup(). */

#endif

// SPDX-License-Identifier: Apache-2.0
/* How many pods a PodDisruptionBudget lets go. Pure functions. */
#ifndef CONTROLLERS_DISRUPTION_STATUS_H
#define CONTROLLERS_DISRUPTION_STATUS_H

#include "common/cached_object.h"
#include "common/error.h"

/* How long the name of an evicted pod counts as a pod that goes; nanoseconds. */
extern const int64_t disruption_deletion_timeout;

/* The scale of the pods' owners must be known for this budget: it asks for a part of it. */
bool disruption_needs_scale(const json_t *budget);

struct disruption_wish {
    json_int_t expected, desired;
};

/* Of 'pod_count' pods, whose owners want 'scale' (where that is needed). */
struct disruption_wish disruption_wish(const json_t *budget, json_int_t scale, size_t pod_count);

/* The budget's next status; the caller's. '*next_check' is when one of its disruptedPods counts no
 * more as going, 0: never. 'overdue' (may be NULL) gets those pods that should have gone. */
json_t *disruption_status(const json_t *budget, const struct cached_list *pods,
                          struct disruption_wish wish, int64_t now, int64_t *next_check,
                          struct cached_list *overdue);
/* The status when the numbers can't be known: nothing may go. The caller's. */
json_t *disruption_status_failed(const json_t *budget, const struct error *error);

#endif

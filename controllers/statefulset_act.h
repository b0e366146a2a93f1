// SPDX-License-Identifier: Apache-2.0
/* Carrying out what a StatefulSet's plan says, with the events that tell of it. */
#ifndef CONTROLLERS_STATEFULSET_ACT_H
#define CONTROLLERS_STATEFULSET_ACT_H

#include "common/informer.h"
#include "controllers/controller.h"
#include "controllers/own_writes.h"
#include "controllers/statefulset_plan.h"

/* What it works with; all borrowed. What is written is noted under the set's key. */
struct statefulset_actor {
    struct controller *controller;
    struct informer *claims;
    struct own_writes *pod_writes, *claim_writes;
};

/* One set, and the revisions that its pods are made of. */
struct statefulset_subject {
    const char *key;
    const json_t *set;
    const json_t *current, *update; /* ControllerRevisions. */
};

/* Does the steps in their order until one fails; '*replaced' is how many pods were deleted because
 * they are of an old revision. Blocks. */
bool statefulset_act(const struct statefulset_actor *actor,
                     const struct statefulset_subject *subject, const struct statefulset_plan *plan,
                     size_t *replaced, struct error *error);

#endif

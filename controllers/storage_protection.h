// SPDX-License-Identifier: Apache-2.0
/* When claims, volumes and classes of attributes may go. Pure functions, but for the last. */
#ifndef CONTROLLERS_STORAGE_PROTECTION_H
#define CONTROLLERS_STORAGE_PROTECTION_H

#include <jansson.h>
#include <stdbool.h>

#include "controllers/controller.h"

extern const char storage_claim_finalizer[], storage_volume_finalizer[],
    storage_attributes_finalizer[];

/* The pod has a node and names the claim in one of its volumes, whatever its phase: a claim goes
 * after the pods that use it. The claim of an ephemeral volume counts only if it was made for this
 * pod, and as long as the pod is not shut down. */
bool storage_pod_uses_claim(const json_t *pod, const json_t *claim);
/* It is bound. */
bool storage_volume_is_used(const json_t *volume);

enum storage_protection { STORAGE_STAYS, STORAGE_TO_HOLD, STORAGE_TO_LET_GO };

/* What is to be done about the finalizer; 'in_use' is only asked for what is being deleted. */
enum storage_protection storage_decide(const json_t *object, const char *finalizer, bool in_use);
/* Writes the object, which is changed, if there is something to be done. What is gone counts as
 * done. */
bool storage_carry_out(const struct controller *controller, const struct api_resource *resource,
                       json_t *object, const char *finalizer, enum storage_protection decision,
                       struct error *error);

#endif

// SPDX-License-Identifier: Apache-2.0
/* When claims and volumes may go: decisions of storage_protection.c. Pure functions. */
#ifndef CONTROLLERS_STORAGE_PROTECTION_H
#define CONTROLLERS_STORAGE_PROTECTION_H

#include <jansson.h>
#include <stdbool.h>

extern const char storage_claim_finalizer[], storage_volume_finalizer[];

/* The pod has a node and names the claim in one of its volumes, whatever its phase: a claim goes
 * after the pods that use it. The claim of an ephemeral volume counts only if it was made for this
 * pod, and as long as the pod is not shut down. */
bool storage_pod_uses_claim(const json_t *pod, const json_t *claim);
/* It is bound. */
bool storage_volume_is_used(const json_t *volume);

enum storage_protection { STORAGE_STAYS, STORAGE_TO_HOLD, STORAGE_TO_LET_GO };

/* What is to be done about the finalizer; 'in_use' is only asked for what is being deleted. */
enum storage_protection storage_decide(const json_t *object, const char *finalizer, bool in_use);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Which volume suits a claim. Trees of PersistentVolumes and PersistentVolumeClaims; pure
 * functions, any thread.
 */
#ifndef CONTROLLERS_VOLUME_MATCH_H
#define CONTROLLERS_VOLUME_MATCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* The storage class of either; "" when there is none. Borrowed. */
const char *volume_class(const json_t *object);

/* The volume names a claim, and it is this one, by name and, if it says so, by uid. */
bool volume_is_for(const json_t *volume, const json_t *claim);
/* The same, and it says so. */
bool volume_is_bound_to(const json_t *volume, const json_t *claim);

/* Why a volume that the claim asks for by name doesn't do, in upstream's words (static); NULL when
 * it does. */
const char *volume_mismatch(const json_t *volume, const json_t *claim);

/* The volume that the claim gets: one that names it, else the smallest that suits and is free;
 * 'may_choose' false: only one that names it. Its index, or 'count' when there is none. */
size_t volume_find_best(json_t *const *volumes, size_t count, const json_t *claim, bool may_choose);

#endif

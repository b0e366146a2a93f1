// SPDX-License-Identifier: Apache-2.0
/*
 * How many pods the owners of some pods want altogether: each owner's spec.replicas once. The owner
 * of a ReplicaSet's pods is its Deployment, if it has one. Of kinds that are not known here the
 * scale subresource is asked.
 *
 * Threads: one at a time.
 */
#ifndef CONTROLLERS_OWNER_SCALE_H
#define CONTROLLERS_OWNER_SCALE_H

#include "controllers/controller.h"

struct owner_scale;

struct owner_scale *owner_scale_new(struct controller *controller);
void owner_scale_free(struct owner_scale *owners);

/* Of the owners of these pods; '*unmanaged' is how many have none. May block. False with an error
 * when an owner is not there or has no scale. */
bool owner_scale_of(struct owner_scale *owners, const struct cached_list *pods, json_int_t *scale,
                    size_t *unmanaged, struct error *error);

#endif

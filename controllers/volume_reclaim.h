// SPDX-License-Identifier: Apache-2.0
/*
 * What becomes of a volume whose claim has gone, as its reclaim policy says: it is left, deleted,
 * or emptied by a pod and given to the next. Volumes of external provisioners are theirs to delete,
 * and folders of simulated nodes are names only.
 */
#ifndef CONTROLLERS_VOLUME_RECLAIM_H
#define CONTROLLERS_VOLUME_RECLAIM_H

#include <jansson.h>
#include <stdbool.h>

#include "controllers/controller.h"

extern const char volume_host_path[], volume_provisioned_by[];

/* It is by its name part of Kubernetes, and no driver took over. */
bool volume_is_in_tree(const char *provisioner);

/* It was made for a claim, and goes with it. */
bool volume_was_provisioned(const json_t *volume);

/* Keeps a volume that was made here, and is to be deleted with its claim, from going before that,
 * by a finalizer; true when the tree was changed. */
bool volume_hold(json_t *volume);

/* Of a released volume: leaves it, deletes it, or has it emptied. '*is_clean': that has happened,
 * and it may be bound again. 'volume' is replaced by what the server made of it. 'pods': all of
 * them. */
bool volume_reclaim(struct controller *controller, json_t **volume, struct informer *pods,
                    bool *is_clean, struct error *error);
/* The name of the volume that the pod empties; NULL when it is another pod. */
const char *volume_of_recycler(const struct cached_object *pod);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Volumes that are made for a claim, and what becomes of a volume whose claim has gone.
 *
 * Most are another program's to make and to remove: the claim is told to whom it is addressed, by
 * annotation. With --enable-hostpath-provisioner, classes of the provisioner
 * "kubernetes.io/host-path" get volumes here, which are folders of a node below /tmp/hostpath_pv,
 * for trying things out; simulated nodes don't make these folders.
 */
#ifndef CONTROLLERS_VOLUME_PROVISION_H
#define CONTROLLERS_VOLUME_PROVISION_H

#include <jansson.h>
#include <stdbool.h>

#include "controllers/controller.h"

/* Has a volume made for the claim, which is replaced by what the server made of it. 'class': its
 * storage class, NULL when that isn't there. */
bool volume_provision(struct controller *controller, json_t **claim, const json_t *class,
                      struct error *error);

/* It was made for a claim, and goes with it. */
bool volume_was_provisioned(const json_t *volume);

/* It was made for trying things out, by a process like this one. */
bool volume_is_made_here(const struct controller *controller, const json_t *volume);

/* Of a released volume: leaves it, deletes it, or waits for who can. */
bool volume_reclaim(struct controller *controller, json_t **volume, struct error *error);

#endif

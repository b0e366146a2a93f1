// SPDX-License-Identifier: Apache-2.0
/*
 * Volumes that are made for a claim.
 *
 * Most are another program's to make: the claim is told to whom it is addressed, by
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
 * storage class, NULL when that isn't there. When none can be made for the node that the scheduler
 * chose, or that node is gone, the scheduler is told to choose again. */
bool volume_provision(struct controller *controller, json_t **claim, const json_t *class,
                      struct informer *nodes, struct error *error);

/* It was made for trying things out, by a process like this one. */
bool volume_is_made_here(const struct controller *controller, const json_t *volume);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Every controller there is; each is described in its own file. */
#ifndef CONTROLLERS_ALL_H
#define CONTROLLERS_ALL_H

struct controller_type;

extern const struct controller_type deployment_controller, namespace_controller,
    replicaset_controller, root_ca_controller, serviceaccount_controller;

#endif

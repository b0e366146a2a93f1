// SPDX-License-Identifier: Apache-2.0
#include "controllers/all.h"

#include "controllers/controller.h"

/* clang-format off: one a line. */
const struct controller_type *const controller_types[] = {
    &deployment_controller,
    &endpointslice_controller,
    &namespace_controller,
    &replicaset_controller,
    &root_ca_controller,
    &serviceaccount_controller,
    NULL,
};

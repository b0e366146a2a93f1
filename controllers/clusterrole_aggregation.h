// SPDX-License-Identifier: Apache-2.0
/* What a cluster role that gathers others comes to, apart from reading and writing. */
#ifndef CONTROLLERS_CLUSTERROLE_AGGREGATION_H
#define CONTROLLERS_CLUSTERROLE_AGGREGATION_H

#include <jansson.h>

#include "common/error.h"

/* The rules of all 'roles' (an array of ClusterRoles in order of their names) that the role's
 * aggregationRule selects, each once, its own left out. The caller's; NULL with an error for a
 * selector that is none. */
json_t *clusterrole_aggregate(const json_t *role, const json_t *roles, struct error *error);

#endif

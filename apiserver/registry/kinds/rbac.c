// SPDX-License-Identifier: Apache-2.0
/* Roles and bindings. */
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/defaults.h"
#include "common/json.h"

static const char group[] = "rbac.authorization.k8s.io";

/* ---- bindings ---- */

static const struct conditional_default binding_defaults[] = {
    {"subjects", "apiGroup", "\"rbac.authorization.k8s.io\"", "kind", "User|Group"},
    {0},
};

/* A binding speaks of one role for ever. */
static void binding_validate(const struct write *write, struct field_errors *errors)
{
    const json_t *role = json_object_get(write->object, "roleRef");
    const json_t *live = write->live ? json_object_get(write->live, "roleRef") : NULL;
    if (role != NULL && live != NULL && !json_equal(role, live)) {
        field_error(errors, FIELD_INVALID, FIELD(NULL, "roleRef"), role, "cannot change roleRef");
    }
}

/* ---- the kinds ---- */

const struct kind kind_role = {
    .group = group,
    .plural = "roles",
    .acknowledged_when_cached = true,
};

const struct kind kind_cluster_role = {
    .group = group,
    .plural = "clusterroles",
    .acknowledged_when_cached = true,
};

const struct kind kind_role_binding = {
    .group = group,
    .plural = "rolebindings",
    .defaults = binding_defaults,
    .validate = binding_validate,
    .acknowledged_when_cached = true,
};

const struct kind kind_cluster_role_binding = {
    .group = group,
    .plural = "clusterrolebindings",
    .defaults = binding_defaults,
    .validate = binding_validate,
    .acknowledged_when_cached = true,
};

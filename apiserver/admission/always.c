// SPDX-License-Identifier: Apache-2.0
/* AlwaysDeny: nothing is changed by anybody. And the names of plugins that have nothing to do here,
 * so that upstream's flags can be given as they are. */
#include "apiserver/admission/admission.h"

static bool refuse(const struct write *write, struct error *error)
{
    return error_forbidden(error, write->resource->group, write->resource->plural, write->name,
                           "admission control is denying all modifications");
}

const struct admission_plugin admission_always_deny = {
    .name = "AlwaysDeny",
    .sees_bodies = true,
    .validate = refuse,
};

const struct admission_plugin admission_always_admit = {.name = "AlwaysAdmit"};

/* There are no ClusterTrustBundles. */
const struct admission_plugin admission_cluster_trust_bundle_attest = {
    .name = "ClusterTrustBundleAttest",
    .is_on_by_default = true,
};

/* Behind a feature gate that is off. */
const struct admission_plugin admission_pod_topology_labels = {
    .name = "PodTopologyLabels",
    .is_on_by_default = true,
};

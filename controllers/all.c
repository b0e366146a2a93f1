// SPDX-License-Identifier: Apache-2.0
#include "controllers/all.h"

#include "controllers/controller.h"

/* One a line, so that two that are added at once do not collide. */
/* clang-format off */
const struct controller_type *const controller_types[] = {
    &attach_detach_controller,
    &attributes_class_protection_controller,
    &bootstrap_signer_controller,
    &certificate_approving_controller,
    &certificate_cleaner_controller,
    &certificate_signing_controller,
    &claim_protection_controller,
    &clusterrole_aggregation_controller,
    &cronjob_controller,
    &daemonset_controller,
    &deployment_controller,
    &disruption_controller,
    &endpoints_controller,
    &endpointslice_controller,
    &endpointslice_mirroring_controller,
    &ephemeral_volume_controller,
    &garbage_collector_controller,
    &horizontal_pod_autoscaler_controller,
    &job_controller,
    &namespace_controller,
    &node_ipam_controller,
    &pod_gc_controller,
    &node_lifecycle_controller,
    &replicaset_controller,
    &replicationcontroller_controller,
    &resource_quota_controller,
    &root_ca_controller,
    &service_cidr_controller,
    &service_lb_controller,
    &serviceaccount_controller,
    &serviceaccount_tokens_controller,
    &statefulset_controller,
    &taint_eviction_controller,
    &token_cleaner_controller,
    &ttl_after_finished_controller,
    &volume_binder_controller,
    &volume_expand_controller,
    &volume_protection_controller,
    NULL,
};

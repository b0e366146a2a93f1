// SPDX-License-Identifier: Apache-2.0
/* Every controller there is; each is described in its own file. */
#ifndef CONTROLLERS_ALL_H
#define CONTROLLERS_ALL_H

struct controller_type;

extern const struct controller_type attach_detach_controller;
extern const struct controller_type attributes_class_protection_controller;
extern const struct controller_type bootstrap_signer_controller;
extern const struct controller_type certificate_approving_controller;
extern const struct controller_type certificate_cleaner_controller;
extern const struct controller_type certificate_signing_controller;
extern const struct controller_type claim_protection_controller;
extern const struct controller_type clusterrole_aggregation_controller;
extern const struct controller_type cronjob_controller;
extern const struct controller_type daemonset_controller;
extern const struct controller_type deployment_controller;
extern const struct controller_type disruption_controller;
extern const struct controller_type endpoints_controller;
extern const struct controller_type endpointslice_controller;
extern const struct controller_type endpointslice_mirroring_controller;
extern const struct controller_type ephemeral_volume_controller;
extern const struct controller_type garbage_collector_controller;
extern const struct controller_type horizontal_pod_autoscaler_controller;
extern const struct controller_type job_controller;
extern const struct controller_type namespace_controller;
extern const struct controller_type node_ipam_controller;
extern const struct controller_type pod_gc_controller;
extern const struct controller_type node_lifecycle_controller;
extern const struct controller_type replicaset_controller;
extern const struct controller_type replicationcontroller_controller;
extern const struct controller_type resource_quota_controller;
extern const struct controller_type root_ca_controller;
extern const struct controller_type service_cidr_controller;
extern const struct controller_type service_lb_controller;
extern const struct controller_type serviceaccount_controller;
extern const struct controller_type serviceaccount_tokens_controller;
extern const struct controller_type statefulset_controller;
extern const struct controller_type taint_eviction_controller;
extern const struct controller_type token_cleaner_controller;
extern const struct controller_type ttl_after_finished_controller;
extern const struct controller_type volume_binder_controller;
extern const struct controller_type volume_expand_controller;
extern const struct controller_type volume_protection_controller;

#endif

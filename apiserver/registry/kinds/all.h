// SPDX-License-Identifier: Apache-2.0
/* The kinds that have hooks; each is described in the file of its name or topic. */
#ifndef APISERVER_REGISTRY_KINDS_ALL_H
#define APISERVER_REGISTRY_KINDS_ALL_H

#include "apiserver/registry/kinds.h"

extern const struct kind kind_namespace;
extern const struct kind kind_pod, kind_binding;                                    /* pod.c */
extern const struct kind kind_service;                                              /* service.c */
extern const struct kind kind_event, kind_node, kind_lease, kind_disruption_budget; /* core.c */
extern const struct kind kind_secret, kind_config_map, kind_service_account, kind_resource_quota,
    kind_limit_range; /* config.c */
extern const struct kind kind_persistent_volume, kind_persistent_volume_claim, kind_storage_class,
    kind_volume_attachment, kind_volume_attributes_class, kind_csi_driver, kind_csi_node,
    kind_csi_storage_capacity; /* storage.c */
extern const struct kind kind_replication_controller, kind_deployment, kind_replica_set,
    kind_stateful_set, kind_daemon_set, kind_job, kind_cron_job, kind_pod_template,
    kind_controller_revision;             /* workloads.c */
extern const struct kind kind_autoscaler; /* autoscaler.c */
extern const struct kind kind_role, kind_cluster_role, kind_role_binding,
    kind_cluster_role_binding;                     /* rbac.c */
extern const struct kind kind_certificate_request; /* certificates.c */
extern const struct kind kind_mutating_webhook_configuration, kind_validating_webhook_configuration,
    kind_validating_admission_policy, kind_validating_admission_policy_binding,
    kind_custom_resource_definition, kind_api_service; /* extensions.c */
extern const struct kind kind_network_policy, kind_ingress, kind_ingress_class, kind_ip_address,
    kind_service_cidr, kind_endpoints, kind_endpoint_slice; /* networking.c */
extern const struct kind kind_priority_class, kind_runtime_class, kind_flow_schema,
    kind_priority_level, kind_device_class, kind_resource_claim, kind_resource_claim_template,
    kind_resource_slice; /* others.c */
extern const struct kind kind_self_subject_access_review, kind_subject_access_review,
    kind_local_subject_access_review, kind_self_subject_rules_review; /* access_reviews.c */
extern const struct kind kind_token_review, kind_self_subject_review; /* authentication.c */
extern const struct kind kind_component_status;                       /* component_status.c */
extern const struct kind kind_node_metrics, kind_pod_metrics, kind_node_report; /* metrics.c */

extern const struct kind_subresource kind_scale;                     /* scale.c */
extern const struct kind_subresource service_account_subresources[]; /* service_account.c */

#endif

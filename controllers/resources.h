// SPDX-License-Identifier: Apache-2.0
/* The kinds that controllers work on. */
#ifndef CONTROLLERS_RESOURCES_H
#define CONTROLLERS_RESOURCES_H

#include "common/client.h"

extern const struct api_resource resource_certificate_signing_requests, resource_clusterroles,
    resource_configmaps, resource_controllerrevisions, resource_cronjobs, resource_csi_drivers,
    resource_daemonsets, resource_deployments, resource_endpoints, resource_endpointslices,
    resource_horizontal_pod_autoscalers, resource_ip_addresses, resource_jobs, resource_leases,
    resource_namespaces, resource_nodes, resource_persistent_volume_claims,
    resource_persistent_volumes, resource_pod_disruption_budgets, resource_pods,
    resource_replicasets, resource_replicationcontrollers, resource_resource_quotas,
    resource_secrets, resource_service_accounts, resource_service_cidrs, resource_services,
    resource_statefulsets, resource_storage_classes, resource_subject_access_reviews,
    resource_volume_attachments, resource_volume_attributes_classes;

#endif

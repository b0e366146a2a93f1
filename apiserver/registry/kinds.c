// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/kinds.h"

#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "common/alloc.h"

/* One line a kind with hooks. */
static const struct kind *const kinds[] = {
    &kind_namespace,
    &kind_pod,
    &kind_service,
    &kind_secret,
    &kind_config_map,
    &kind_event,
    &kind_node,
    &kind_lease,
    &kind_disruption_budget,
    &kind_service_account,
    &kind_resource_quota,
    &kind_limit_range,
    &kind_replication_controller,
    &kind_deployment,
    &kind_replica_set,
    &kind_stateful_set,
    &kind_daemon_set,
    &kind_pod_template,
    &kind_controller_revision,
    &kind_job,
    &kind_cron_job,
    &kind_autoscaler,
    &kind_network_policy,
    &kind_ingress,
    &kind_ingress_class,
    &kind_ip_address,
    &kind_service_cidr,
    &kind_endpoints,
    &kind_endpoint_slice,
    &kind_role,
    &kind_cluster_role,
    &kind_role_binding,
    &kind_cluster_role_binding,
    &kind_persistent_volume,
    &kind_persistent_volume_claim,
    &kind_storage_class,
    &kind_volume_attachment,
    &kind_volume_attributes_class,
    &kind_csi_driver,
    &kind_csi_node,
    &kind_csi_storage_capacity,
    &kind_mutating_webhook_configuration,
    &kind_validating_webhook_configuration,
    &kind_validating_admission_policy,
    &kind_validating_admission_policy_binding,
    &kind_custom_resource_definition,
    &kind_api_service,
    &kind_certificate_request,
    &kind_priority_class,
    &kind_runtime_class,
    &kind_flow_schema,
    &kind_priority_level,
    &kind_device_class,
    &kind_resource_claim,
    &kind_resource_claim_template,
    &kind_resource_slice,
    &kind_binding,
    &kind_component_status,
    &kind_node_metrics,
    &kind_pod_metrics,
    &kind_node_report,
    &kind_self_subject_access_review,
    &kind_subject_access_review,
    &kind_local_subject_access_review,
    &kind_self_subject_rules_review,
    &kind_self_subject_review,
    &kind_token_review,
};

static const struct kind kind_plain = {.group = "", .plural = ""};

const struct kind *kind_find(const struct resource *resource)
{
    for (size_t i = 0; i < array_length(kinds); i++) {
        if (strcmp(kinds[i]->plural, resource->plural) == 0 &&
            strcmp(kinds[i]->group,
                   resource->virtual ? resource->group : resource->storage_group) == 0) {
            return kinds[i];
        }
    }
    return &kind_plain;
}

const struct kind_subresource *kind_subresource_find(const struct kind *kind, const char *name)
{
    if (strcmp(name, "scale") == 0) {
        return &kind_scale;
    }
    const struct kind_subresource *list = kind->subresources;
    for (; list != NULL && list->name != NULL; list++) {
        if (strcmp(list->name, name) == 0) {
            return list;
        }
    }
    return NULL;
}

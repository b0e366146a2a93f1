// SPDX-License-Identifier: Apache-2.0
/* The column functions of single kinds, and their names; see columns.h. */
#ifndef APISERVER_VIEWS_COLUMNS_KINDS_H
#define APISERVER_VIEWS_COLUMNS_KINDS_H

#include "apiserver/views/columns.h"

json_t *column_node_status(const struct column_input *input);
json_t *column_node_roles(const struct column_input *input);
json_t *column_node_internal_ip(const struct column_input *input);
json_t *column_node_external_ip(const struct column_input *input);
json_t *column_volume_status(const struct column_input *input);
json_t *column_pv_claim(const struct column_input *input);
json_t *column_pvc_capacity(const struct column_input *input);
json_t *column_pvc_access_modes(const struct column_input *input);
json_t *column_storage_class(const struct column_input *input);
json_t *column_storage_class_name(const struct column_input *input);
json_t *column_csidriver_token_requests(const struct column_input *input);
json_t *column_csidriver_modes(const struct column_input *input);
json_t *column_service_external_ip(const struct column_input *input);
json_t *column_service_ports(const struct column_input *input);
json_t *column_endpoints_addresses(const struct column_input *input);
json_t *column_endpoint_slice_ports(const struct column_input *input);
json_t *column_endpoint_slice_addresses(const struct column_input *input);
json_t *column_event_object(const struct column_input *input);
json_t *column_event_source(const struct column_input *input);
json_t *column_event_count(const struct column_input *input);
json_t *column_event_first_seen(const struct column_input *input);
json_t *column_event_last_seen(const struct column_input *input);
json_t *column_job_status(const struct column_input *input);
json_t *column_job_completions(const struct column_input *input);
json_t *column_job_duration(const struct column_input *input);
json_t *column_controller_name(const struct column_input *input);
json_t *column_hpa_reference(const struct column_input *input);
json_t *column_hpa_targets(const struct column_input *input);
json_t *column_quota_requests(const struct column_input *input);
json_t *column_quota_limits(const struct column_input *input);
json_t *column_ingress_class(const struct column_input *input);
json_t *column_ingress_hosts(const struct column_input *input);
json_t *column_ingress_address(const struct column_input *input);
json_t *column_ingress_ports(const struct column_input *input);
json_t *column_ingress_class_parameters(const struct column_input *input);
json_t *column_ip_parent(const struct column_input *input);
json_t *column_binding_role(const struct column_input *input);
json_t *column_binding_users(const struct column_input *input);
json_t *column_binding_groups(const struct column_input *input);
json_t *column_binding_service_accounts(const struct column_input *input);
json_t *column_csr_duration(const struct column_input *input);
json_t *column_csr_condition(const struct column_input *input);
json_t *column_apiservice_service(const struct column_input *input);
json_t *column_apiservice_available(const struct column_input *input);
json_t *column_policy_param_kind(const struct column_input *input);
json_t *column_policy_param_ref(const struct column_input *input);
json_t *column_claim_state(const struct column_input *input);
json_t *column_flow_distinguisher(const struct column_input *input);
json_t *column_flow_missing_level(const struct column_input *input);
json_t *column_component_status(const struct column_input *input);
json_t *column_pod_metrics_cpu(const struct column_input *input);
json_t *column_pod_metrics_memory(const struct column_input *input);
json_t *column_component_message(const struct column_input *input);
json_t *column_component_error(const struct column_input *input);

/* The rows of the table of names. */
#define COLUMN_KINDS                                                                               \
    {"node_status", column_node_status}, {"node_roles", column_node_roles},                        \
        {"node_internal_ip", column_node_internal_ip},                                             \
        {"node_external_ip", column_node_external_ip}, {"pv_status", column_volume_status},        \
        {"pvc_status", column_volume_status}, {"pv_claim", column_pv_claim},                       \
        {"pvc_capacity", column_pvc_capacity}, {"pvc_access_modes", column_pvc_access_modes},      \
        {"storage_class", column_storage_class},                                                   \
        {"storage_class_name", column_storage_class_name},                                         \
        {"csidriver_token_requests", column_csidriver_token_requests},                             \
        {"csidriver_modes", column_csidriver_modes},                                               \
        {"service_external_ip", column_service_external_ip},                                       \
        {"service_ports", column_service_ports},                                                   \
        {"endpoints_addresses", column_endpoints_addresses},                                       \
        {"endpoint_slice_ports", column_endpoint_slice_ports},                                     \
        {"endpoint_slice_addresses", column_endpoint_slice_addresses},                             \
        {"event_object", column_event_object}, {"event_source", column_event_source},              \
        {"event_count", column_event_count}, {"event_first_seen", column_event_first_seen},        \
        {"event_last_seen", column_event_last_seen}, {"job_status", column_job_status},            \
        {"job_completions", column_job_completions}, {"job_duration", column_job_duration},        \
        {"controller_name", column_controller_name}, {"hpa_reference", column_hpa_reference},      \
        {"hpa_targets", column_hpa_targets}, {"quota_requests", column_quota_requests},            \
        {"quota_limits", column_quota_limits}, {"ingress_class", column_ingress_class},            \
        {"ingress_hosts", column_ingress_hosts}, {"ingress_address", column_ingress_address},      \
        {"ingress_ports", column_ingress_ports},                                                   \
        {"ingress_class_parameters", column_ingress_class_parameters},                             \
        {"ip_parent", column_ip_parent}, {"binding_role", column_binding_role},                    \
        {"binding_users", column_binding_users}, {"binding_groups", column_binding_groups},        \
        {"binding_service_accounts", column_binding_service_accounts},                             \
        {"csr_duration", column_csr_duration}, {"csr_condition", column_csr_condition},            \
        {"apiservice_service", column_apiservice_service},                                         \
        {"apiservice_available", column_apiservice_available},                                     \
        {"policy_param_kind", column_policy_param_kind},                                           \
        {"policy_param_ref", column_policy_param_ref}, {"claim_state", column_claim_state},        \
        {"flow_distinguisher", column_flow_distinguisher},                                         \
        {"flow_missing_level", column_flow_missing_level},                                         \
        {"pod_metrics_cpu", column_pod_metrics_cpu},                                               \
        {"pod_metrics_memory", column_pod_metrics_memory},                                         \
        {"component_status", column_component_status},                                             \
        {"component_message", column_component_message},                                           \
    {                                                                                              \
        "component_error", column_component_error                                                  \
    }

#endif

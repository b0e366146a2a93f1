// SPDX-License-Identifier: Apache-2.0
/* Columns of networking, roles, certificates and the rest. */
#include <string.h>

#include "apiserver/views/columns_kinds.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/quantity.h"
#include "common/timestamp.h"

static const char none[] = "<none>", unset[] = "<unset>";

static json_t *text_or(const char *text, const char *otherwise)
{
    return json_string(text != NULL && text[0] != '\0' ? text : otherwise);
}

/* ---- networking ---- */

json_t *column_ingress_class(const struct column_input *input)
{
    const char *name = json_path_string(input->object, "spec", "ingressClassName");
    const char *old =
        json_path_string(input->object, "metadata", "annotations", "kubernetes.io/ingress.class");
    return text_or(name ? name : old, none);
}

json_t *column_ingress_hosts(const struct column_input *input)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    const json_t *rules = json_path(input->object, "spec", "rules");
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const char *host = json_get_string(json_array_get(rules, i), "host");
        if (host != NULL && host[0] != '\0') {
            buffer_addf(&text, "%s%s", text.length ? "," : "", host);
        }
    }
    return text_or(buffer_text(&text), "*");
}

json_t *column_ingress_address(const struct column_input *input)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    const json_t *list = json_path(input->object, "status", "loadBalancer", "ingress");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *ip = json_get_string(json_array_get(list, i), "ip");
        const char *host = json_get_string(json_array_get(list, i), "hostname");
        buffer_addf(&text, "%s%s", text.length ? "," : "", ip ? ip : host ? host : "");
    }
    return json_string(buffer_text(&text));
}

json_t *column_ingress_ports(const struct column_input *input)
{
    bool tls = json_array_size(json_path(input->object, "spec", "tls")) > 0;
    return json_string(tls ? "80, 443" : "80");
}

json_t *column_ingress_class_parameters(const struct column_input *input)
{
    const json_t *parameters = json_path(input->object, "spec", "parameters");
    const char *group = json_get_string(parameters, "apiGroup");
    return parameters
               ? json_sprintf("%s%s%s/%s", json_get_string(parameters, "kind"), group ? "." : "",
                              group ? group : "", json_get_string(parameters, "name"))
               : json_string(none);
}

json_t *column_ip_parent(const struct column_input *input)
{
    const json_t *parent = json_path(input->object, "spec", "parentRef");
    const char *group = json_get_string(parent, "group");
    const char *namespace = json_get_string(parent, "namespace");
    return json_sprintf("%s%s%s/%s%s%s", json_get_string(parent, "resource"),
                        group && group[0] ? "." : "", group ? group : "",
                        namespace ? namespace : "", namespace ? "/" : "",
                        json_get_string(parent, "name"));
}

/* ---- roles ---- */

json_t *column_binding_role(const struct column_input *input)
{
    const json_t *role = json_object_get(input->object, "roleRef");
    return json_sprintf("%s/%s", json_get_string(role, "kind"), json_get_string(role, "name"));
}

static json_t *subjects(const json_t *object, const char *kind)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    const json_t *list = json_object_get(object, "subjects");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *subject = json_array_get(list, i);
        const char *namespace = json_get_string(subject, "namespace");
        const char *own = json_get_string(subject, "kind");
        if (own != NULL && strcmp(own, kind) == 0) {
            bool account = strcmp(kind, "ServiceAccount") == 0 && namespace != NULL;
            buffer_addf(&text, "%s%s%s%s", text.length ? ", " : "", account ? namespace : "",
                        account ? "/" : "", json_get_string(subject, "name"));
        }
    }
    return json_string(buffer_text(&text));
}

json_t *column_binding_users(const struct column_input *input)
{
    return subjects(input->object, "User");
}

json_t *column_binding_groups(const struct column_input *input)
{
    return subjects(input->object, "Group");
}

json_t *column_binding_service_accounts(const struct column_input *input)
{
    return subjects(input->object, "ServiceAccount");
}

/* ---- certificates and API services ---- */

json_t *column_csr_duration(const struct column_input *input)
{
    const json_t *seconds = json_path(input->object, "spec", "expirationSeconds");
    char text[TIMESTAMP_SIZE];
    if (!json_is_integer(seconds)) {
        return json_string(none);
    }
    duration_format_human(json_integer_value(seconds) * INT64_C(1000000000), text);
    return json_string(text);
}

json_t *column_csr_condition(const struct column_input *input)
{
    const json_t *conditions = json_path(input->object, "status", "conditions");
    const char *certificate = json_path_string(input->object, "status", "certificate");
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        const char *type = json_get_string(json_array_get(conditions, i), "type");
        buffer_addf(&text, "%s%s", text.length ? "," : "", type ? type : "");
    }
    if (certificate != NULL && certificate[0] != '\0') {
        buffer_addf(&text, "%sIssued", text.length ? "," : "");
    }
    return text_or(buffer_text(&text), "Pending");
}

json_t *column_apiservice_service(const struct column_input *input)
{
    const json_t *service = json_path(input->object, "spec", "service");
    return service ? json_sprintf("%s/%s", json_get_string(service, "namespace"),
                                  json_get_string(service, "name"))
                   : json_string("Local");
}

json_t *column_apiservice_available(const struct column_input *input)
{
    const json_t *conditions = json_path(input->object, "status", "conditions");
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        const json_t *condition = json_array_get(conditions, i);
        const char *type = json_get_string(condition, "type");
        const char *status = json_get_string(condition, "status");
        if (type == NULL || status == NULL || strcmp(type, "Available") != 0) {
            continue;
        }
        const char *reason = json_get_string(condition, "reason");
        return strcmp(status, "True") == 0 || reason == NULL
                   ? json_string(status)
                   : json_sprintf("%s (%s)", status, reason);
    }
    return json_string("Unknown");
}

/* ---- the rest ---- */

json_t *column_policy_param_kind(const struct column_input *input)
{
    const json_t *kind = json_path(input->object, "spec", "paramKind");
    return kind ? json_sprintf("%s/%s", json_get_string(kind, "apiVersion"),
                               json_get_string(kind, "kind"))
                : json_string(unset);
}

json_t *column_policy_param_ref(const struct column_input *input)
{
    const json_t *reference = json_path(input->object, "spec", "paramRef");
    const char *name = json_get_string(reference, "name");
    const char *namespace = json_get_string(reference, "namespace");
    return name ? json_sprintf("%s%s%s", namespace ? namespace : "", namespace ? "/" : "", name)
                : json_string(unset);
}

json_t *column_claim_state(const struct column_input *input)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    bool allocated = json_path(input->object, "status", "allocation") != NULL;
    if (json_path(input->object, "metadata", "deletionTimestamp") != NULL) {
        buffer_add_literal(&text, "deleted,");
    }
    buffer_add_text(&text, allocated ? "allocated" : "pending");
    if (json_array_size(json_path(input->object, "status", "reservedFor")) > 0) {
        buffer_add_literal(&text, ",reserved");
    }
    return json_string(text.bytes);
}

json_t *column_flow_distinguisher(const struct column_input *input)
{
    return text_or(json_path_string(input->object, "spec", "distinguisherMethod", "type"), none);
}

json_t *column_flow_missing_level(const struct column_input *input)
{
    const json_t *conditions = json_path(input->object, "status", "conditions");
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        const json_t *condition = json_array_get(conditions, i);
        const char *type = json_get_string(condition, "type");
        if (type != NULL && strcmp(type, "Dangling") == 0) {
            return text_or(json_get_string(condition, "status"), "?");
        }
    }
    return json_string("?");
}

static const json_t *healthy(const json_t *object)
{
    return json_array_get(json_object_get(object, "conditions"), 0);
}

json_t *column_component_status(const struct column_input *input)
{
    const char *status = json_get_string(healthy(input->object), "status");
    return json_string(status && strcmp(status, "True") == 0 ? "Healthy" : "Unhealthy");
}

json_t *column_component_message(const struct column_input *input)
{
    return text_or(json_get_string(healthy(input->object), "message"), "");
}

json_t *column_component_error(const struct column_input *input)
{
    return text_or(json_get_string(healthy(input->object), "error"), "");
}

/* ---- metrics ---- */

static json_t *sum_usage(const struct column_input *input, const char *resource)
{
    struct quantity sum = {0}, one;
    size_t i;
    const json_t *container;
    json_array_foreach (json_object_get(input->object, "containers"), i, container) {
        const char *text = json_path_string(container, "usage", resource);
        if (text != NULL && quantity_parse(text, &one)) {
            sum.nano += one.nano;
            sum.format = one.format;
        }
    }
    char text[QUANTITY_SIZE];
    quantity_format(&sum, text);
    return json_string(text);
}

json_t *column_pod_metrics_cpu(const struct column_input *input)
{
    return sum_usage(input, "cpu");
}

json_t *column_pod_metrics_memory(const struct column_input *input)
{
    return sum_usage(input, "memory");
}

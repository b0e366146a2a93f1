// SPDX-License-Identifier: Apache-2.0
/* Columns of single kinds. */
#include "apiserver/views/columns_kinds.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

static const char none[] = "<none>", unset[] = "<unset>";

static const char *text_at(const json_t *object, const char *first, const char *second)
{
    const char *text = json_path_string(object, first, second);
    return text ? text : "";
}

static json_t *text_or(const char *text, const char *otherwise)
{
    return json_string(text != NULL && text[0] != '\0' ? text : otherwise);
}

static bool is_text(const char *text, const char *wanted)
{
    return text != NULL && strcmp(text, wanted) == 0;
}

/* The condition of a type, or NULL. */
static const json_t *condition(const json_t *object, const char *type)
{
    const json_t *list = json_path(object, "status", "conditions");
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (is_text(json_get_string(json_array_get(list, i), "type"), type)) {
            return json_array_get(list, i);
        }
    }
    return NULL;
}

static bool condition_is_true(const json_t *object, const char *type)
{
    return is_text(json_get_string(condition(object, type), "status"), "True");
}

/* Up to three parts, then how many more there are. */
struct parts {
    struct buffer text;
    size_t count;
};

static void add_part(struct parts *parts, const char *part)
{
    if (parts->count++ < 3) {
        buffer_addf(&parts->text, "%s%s", parts->text.length ? "," : "", part);
    }
}

static json_t *finish_parts(struct parts *parts, const char *otherwise)
{
    if (parts->count > 3) {
        buffer_addf(&parts->text, " + %zu more...", parts->count - 3);
    }
    json_t *result = text_or(buffer_text(&parts->text), otherwise);
    buffer_free(&parts->text);
    return result;
}

/* ---- nodes ---- */

json_t *column_node_status(const struct column_input *input)
{
    const json_t *ready = condition(input->object, "Ready");
    const char *status = ready == NULL                                       ? "Unknown"
                         : is_text(json_get_string(ready, "status"), "True") ? "Ready"
                                                                             : "NotReady";
    bool closed = json_is_true(json_path(input->object, "spec", "unschedulable"));
    return json_sprintf("%s%s", status, closed ? ",SchedulingDisabled" : "");
}

json_t *column_node_roles(const struct column_input *input)
{
    static const char prefix[] = "node-role.kubernetes.io/";
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    const char *key;
    json_t *value;
    json_object_foreach (json_path(input->object, "metadata", "labels"), key, value) {
        const char *role = strncmp(key, prefix, sizeof prefix - 1) == 0 ? key + sizeof prefix - 1
                           : strcmp(key, "kubernetes.io/role") == 0     ? json_string_value(value)
                                                                        : "";
        if (role != NULL && role[0] != '\0') {
            buffer_addf(&text, "%s%s", text.length ? "," : "", role);
        }
    }
    return text_or(buffer_text(&text), none);
}

static json_t *node_address(const json_t *object, const char *type)
{
    const json_t *list = json_path(object, "status", "addresses");
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (is_text(json_get_string(json_array_get(list, i), "type"), type)) {
            return text_or(json_get_string(json_array_get(list, i), "address"), none);
        }
    }
    return json_string(none);
}

json_t *column_node_internal_ip(const struct column_input *input)
{
    return node_address(input->object, "InternalIP");
}

json_t *column_node_external_ip(const struct column_input *input)
{
    return node_address(input->object, "ExternalIP");
}

/* ---- storage ---- */

json_t *column_volume_status(const struct column_input *input)
{
    bool deleting = json_path(input->object, "metadata", "deletionTimestamp") != NULL;
    return json_string(deleting ? "Terminating" : text_at(input->object, "status", "phase"));
}

json_t *column_pv_claim(const struct column_input *input)
{
    const json_t *claim = json_path(input->object, "spec", "claimRef");
    return claim ? json_sprintf("%s/%s", json_get_string(claim, "namespace"),
                                json_get_string(claim, "name"))
                 : json_string("");
}

static bool is_bound(const json_t *object)
{
    return text_at(object, "spec", "volumeName")[0] != '\0';
}

json_t *column_pvc_capacity(const struct column_input *input)
{
    const char *storage = json_path_string(input->object, "status", "capacity", "storage");
    return json_string(is_bound(input->object) && storage ? storage : "");
}

json_t *column_pvc_access_modes(const struct column_input *input)
{
    struct column_input modes = {.values = {json_path(input->object, "status", "accessModes")},
                                 .count = 1};
    return is_bound(input->object) ? column_find("access_modes")(&modes) : json_string("");
}

json_t *column_storage_class(const struct column_input *input)
{
    const char *old = json_path_string(input->object, "metadata", "annotations",
                                       "volume.beta.kubernetes.io/storage-class");
    return json_string(old ? old : text_at(input->object, "spec", "storageClassName"));
}

json_t *column_storage_class_name(const struct column_input *input)
{
    const char *is_default = json_path_string(input->object, "metadata", "annotations",
                                              "storageclass.kubernetes.io/is-default-class");
    return json_sprintf("%s%s", text_at(input->object, "metadata", "name"),
                        is_text(is_default, "true") ? " (default)" : "");
}

json_t *column_csidriver_token_requests(const struct column_input *input)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    const json_t *list = json_path(input->object, "spec", "tokenRequests");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *audience = json_get_string(json_array_get(list, i), "audience");
        buffer_addf(&text, "%s%s", i ? "," : "", audience ? audience : "");
    }
    return text_or(buffer_text(&text), unset);
}

json_t *column_csidriver_modes(const struct column_input *input)
{
    struct column_input modes = {
        .values = {json_path(input->object, "spec", "volumeLifecycleModes")}, .count = 1};
    json_t *joined = column_find("joined")(&modes);
    if (json_string_length(joined) == 0) {
        json_string_set(joined, none);
    }
    return joined;
}

/* ---- services and endpoints ---- */

json_t *column_service_external_ip(const struct column_input *input)
{
    const char *type = text_at(input->object, "spec", "type");
    const json_t *given = json_path(input->object, "spec", "externalIPs");
    const json_t *ingress = json_path(input->object, "status", "loadBalancer", "ingress");
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    if (is_text(type, "ExternalName")) {
        return text_or(text_at(input->object, "spec", "externalName"), none);
    }
    bool balancer = is_text(type, "LoadBalancer");
    for (size_t i = 0; balancer && i < json_array_size(ingress); i++) {
        const json_t *entry = json_array_get(ingress, i);
        const char *address = json_get_string(entry, "ip");
        address = address ? address : json_get_string(entry, "hostname");
        buffer_addf(&text, "%s%s", text.length ? "," : "", address ? address : "");
    }
    for (size_t i = 0; i < json_array_size(given); i++) {
        buffer_addf(&text, "%s%s", text.length ? "," : "",
                    json_string_value(json_array_get(given, i)));
    }
    return text_or(buffer_text(&text), balancer ? "<pending>" : none);
}

json_t *column_service_ports(const struct column_input *input)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    const json_t *ports = json_path(input->object, "spec", "ports");
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *port = json_array_get(ports, i);
        const char *protocol = json_get_string(port, "protocol");
        json_int_t node_port = json_get_int(port, "nodePort", 0);
        buffer_addf(&text, "%s%d", i ? "," : "", (int)json_get_int(port, "port", 0));
        if (node_port > 0) {
            buffer_addf(&text, ":%d", (int)node_port);
        }
        buffer_addf(&text, "/%s", protocol ? protocol : "TCP");
    }
    return text_or(buffer_text(&text), none);
}

json_t *column_endpoints_addresses(const struct column_input *input)
{
    struct parts parts = {0};
    const json_t *subsets = json_object_get(input->object, "subsets");
    for (size_t i = 0; i < json_array_size(subsets); i++) {
        const json_t *subset = json_array_get(subsets, i);
        const json_t *ports = json_object_get(subset, "ports");
        const json_t *addresses = json_object_get(subset, "addresses");
        for (size_t p = 0; p < json_array_size(ports) || (p == 0 && ports == NULL); p++) {
            for (size_t a = 0; a < json_array_size(addresses); a++) {
                const char *ip = json_get_string(json_array_get(addresses, a), "ip");
                json_int_t port = json_get_int(json_array_get(ports, p), "port", 0);
                cleanup(free_char)
                char *part = port ? format("%s:%d", ip, (int)port) : duplicate(ip ? ip : "");
                add_part(&parts, part);
            }
        }
    }
    return finish_parts(&parts, none);
}

json_t *column_endpoint_slice_ports(const struct column_input *input)
{
    struct parts parts = {0};
    const json_t *ports = json_object_get(input->object, "ports");
    for (size_t i = 0; i < json_array_size(ports); i++) {
        cleanup(free_char)
        char *part = format("%d", (int)json_get_int(json_array_get(ports, i), "port", 0));
        add_part(&parts, part);
    }
    return finish_parts(&parts, unset);
}

json_t *column_endpoint_slice_addresses(const struct column_input *input)
{
    struct parts parts = {0};
    const json_t *endpoints = json_object_get(input->object, "endpoints");
    for (size_t i = 0; i < json_array_size(endpoints); i++) {
        const json_t *list = json_object_get(json_array_get(endpoints, i), "addresses");
        for (size_t a = 0; a < json_array_size(list); a++) {
            const char *address = json_string_value(json_array_get(list, a));
            add_part(&parts, address ? address : "");
        }
    }
    return finish_parts(&parts, unset);
}

/* ---- events ---- */

json_t *column_event_object(const struct column_input *input)
{
    cleanup(free_char)
    char *kind = duplicate(text_at(input->object, "involvedObject", "kind"));
    const char *name = text_at(input->object, "involvedObject", "name");
    for (char *c = kind; *c != '\0'; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    }
    return json_sprintf("%s%s%s", kind, name[0] ? "/" : "", name);
}

json_t *column_event_source(const struct column_input *input)
{
    const char *component = text_at(input->object, "source", "component");
    const char *host = text_at(input->object, "source", "host");
    if (component[0] == '\0') {
        const char *reporter = json_get_string(input->object, "reportingComponent");
        const char *instance = json_get_string(input->object, "reportingInstance");
        component = reporter ? reporter : "";
        host = instance ? instance : "";
    }
    return json_sprintf("%s%s%s", component, host[0] ? ", " : "", host);
}

json_t *column_event_count(const struct column_input *input)
{
    json_int_t series = json_get_int(json_object_get(input->object, "series"), "count", 0);
    json_int_t count = json_get_int(input->object, "count", 0);
    return json_integer(series ? series : count ? count : 1);
}

json_t *column_event_first_seen(const struct column_input *input)
{
    const json_t *first = json_object_get(input->object, "firstTimestamp");
    return column_age(first ? first : json_object_get(input->object, "eventTime"), "<unknown>");
}

json_t *column_event_last_seen(const struct column_input *input)
{
    const json_t *last = json_path(input->object, "series", "lastObservedTime");
    last = last ? last : json_object_get(input->object, "lastTimestamp");
    return last ? column_age(last, "<unknown>") : column_event_first_seen(input);
}

/* ---- workloads ---- */

json_t *column_job_status(const struct column_input *input)
{
    static const char *const types[] = {"Complete", "Failed", "Suspended", "FailureTarget",
                                        "SuccessCriteriaMet"};
    static const char *const shown[] = {"Complete", "Failed", "Suspended", "FailureTarget",
                                        "SuccessCriteriaMet"};
    for (size_t i = 0; i < array_length(types); i++) {
        if (condition_is_true(input->object, types[i])) {
            return json_string(shown[i]);
        }
    }
    bool deleting = json_path(input->object, "metadata", "deletionTimestamp") != NULL;
    return json_string(deleting ? "Terminating" : "Running");
}

json_t *column_job_completions(const struct column_input *input)
{
    const json_t *spec = json_object_get(input->object, "spec");
    const json_t *completions = json_object_get(spec, "completions");
    json_int_t parallelism = json_get_int(spec, "parallelism", 0);
    int succeeded = (int)json_get_int(json_object_get(input->object, "status"), "succeeded", 0);
    if (json_is_integer(completions)) {
        return json_sprintf("%d/%d", succeeded, (int)json_integer_value(completions));
    }
    return parallelism > 1 ? json_sprintf("%d/1 of %d", succeeded, (int)parallelism)
                           : json_sprintf("%d/1", succeeded);
}

json_t *column_job_duration(const struct column_input *input)
{
    const char *start = text_at(input->object, "status", "startTime");
    const char *finish = text_at(input->object, "status", "completionTime");
    int64_t from, to;
    char duration[TIMESTAMP_SIZE];
    if (!timestamp_parse(start, &from)) {
        return json_string("");
    }
    if (!timestamp_parse(finish, &to)) {
        to = timestamp_now();
    }
    duration_format_human(to - from, duration);
    return json_string(duration);
}

json_t *column_controller_name(const struct column_input *input)
{
    const json_t *owners = json_path(input->object, "metadata", "ownerReferences");
    for (size_t i = 0; i < json_array_size(owners); i++) {
        const json_t *owner = json_array_get(owners, i);
        if (!json_get_bool(owner, "controller", false)) {
            continue;
        }
        cleanup(free_char)
        char *kind = duplicate(json_get_string(owner, "kind"));
        cleanup(free_char)
        char *group = duplicate(json_get_string(owner, "apiVersion"));
        char *slash = strchr(group, '/');
        for (char *c = kind; *c != '\0'; c++) {
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
        }
        if (slash != NULL) {
            *slash = '\0';
        }
        return json_sprintf("%s%s%s/%s", kind, slash ? "." : "", slash ? group : "",
                            json_get_string(owner, "name"));
    }
    return json_string(none);
}

json_t *column_hpa_reference(const struct column_input *input)
{
    const json_t *target = json_path(input->object, "spec", "scaleTargetRef");
    return json_sprintf("%s/%s", json_get_string(target, "kind"), json_get_string(target, "name"));
}

/* A metric's target or current value as people write it. */
static char *metric_value(const json_t *value, bool current)
{
    const json_t *utilization = json_object_get(value, "averageUtilization");
    const char *average = json_get_string(value, "averageValue");
    const char *total = json_get_string(value, "value");
    if (json_is_integer(utilization)) {
        return format("%d%%", (int)json_integer_value(utilization));
    }
    return duplicate(average ? average : total ? total : current ? "<unknown>" : "<auto>");
}

json_t *column_hpa_targets(const struct column_input *input)
{
    static const char *const sources[] = {"resource", "containerResource", "pods", "object",
                                          "external"};
    const json_t *metrics = json_path(input->object, "spec", "metrics");
    const json_t *currents = json_path(input->object, "status", "currentMetrics");
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    for (size_t i = 0; i < json_array_size(metrics) && i < 2; i++) {
        const json_t *metric = json_array_get(metrics, i);
        for (size_t s = 0; s < array_length(sources); s++) {
            const json_t *source = json_object_get(metric, sources[s]);
            if (source == NULL) {
                continue;
            }
            const json_t *now = json_path(json_array_get(currents, i), sources[s], "current");
            const char *name = s < 2 ? json_get_string(source, "name") : NULL;
            cleanup(free_char)
            char *wanted = metric_value(json_object_get(source, "target"), false);
            cleanup(free_char)
            char *have = metric_value(now, true);
            buffer_addf(&text, "%s%s%s%s/%s", text.length ? ", " : "", name ? name : "",
                        name ? ": " : "", have, wanted);
        }
    }
    if (json_array_size(metrics) > 2) {
        buffer_addf(&text, " + %zu more...", json_array_size(metrics) - 2);
    }
    return text_or(buffer_text(&text), none);
}

static json_t *quota(const json_t *object, bool limits)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    const json_t *used = json_path(object, "status", "used");
    const char *key;
    json_t *hard;
    json_object_foreach (json_path(object, "status", "hard"), key, hard) {
        bool limit = strncmp(key, "limits.", 7) == 0;
        const char *present = json_get_string(used, key);
        if (limit == limits) {
            buffer_addf(&text, "%s%s: %s/%s", text.length ? ", " : "", key, present ? present : "0",
                        json_string_value(hard));
        }
    }
    return json_string(buffer_text(&text));
}

json_t *column_quota_requests(const struct column_input *input)
{
    return quota(input->object, false);
}

json_t *column_quota_limits(const struct column_input *input)
{
    return quota(input->object, true);
}

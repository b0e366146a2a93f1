// SPDX-License-Identifier: Apache-2.0
/* Pods: QoS class, what may change after creation, and binding. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/defaults.h"
#include "apiserver/registry/kinds/pod.h"
#include "apiserver/registry/serve.h"
#include "apiserver/registry/validation/pods.h"
#include "apiserver/registry/validation/resources.h"
#include "apiserver/registry/validation/warnings.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/quantity.h"
#include "common/timestamp.h"

static const struct conditional_default defaults[] = {
    {"spec", "enableServiceLinks", "true", NULL, NULL},
    {0},
};

/* ---- QoS class ---- */

struct qos {
    bool any;        /* Something is requested or limited. */
    bool guaranteed; /* Everything is limited, and requested at its limit. */
};

static bool is_zero(const json_t *quantity)
{
    struct quantity parsed;
    const char *text = json_string_value(quantity);
    return text == NULL || !quantity_parse(text, &parsed) || parsed.nano == 0;
}

static bool equal_quantities(const json_t *a, const json_t *b)
{
    struct quantity left, right;
    return json_is_string(a) && json_is_string(b) && quantity_parse(json_string_value(a), &left) &&
           quantity_parse(json_string_value(b), &right) && quantity_compare(&left, &right) == 0;
}

static void add_qos(struct qos *qos, const json_t *container)
{
    static const char *const counted[] = {"cpu", "memory"};
    const json_t *resources = json_object_get(container, "resources");
    const json_t *limits = json_object_get(resources, "limits");
    const json_t *requests = json_object_get(resources, "requests");
    for (size_t i = 0; i < array_length(counted); i++) {
        const json_t *limit = json_object_get(limits, counted[i]);
        const json_t *request = json_object_get(requests, counted[i]);
        qos->any = qos->any || !is_zero(limit) || !is_zero(request);
        qos->guaranteed = qos->guaranteed && !is_zero(limit) && equal_quantities(limit, request);
    }
}

/* The pod itself says what it needs; then only that counts. */
static bool has_resources(const json_t *spec)
{
    static const char *const lists[] = {"requests", "limits"};
    const json_t *resources = json_object_get(spec, "resources");
    for (size_t i = 0; i < array_length(lists); i++) {
        const char *name;
        json_t *amount;
        json_object_foreach (json_object_get(resources, lists[i]), name, amount) {
            if (strcmp(name, "cpu") == 0 || strcmp(name, "memory") == 0 ||
                resource_is_huge_page(name)) {
                return true;
            }
        }
    }
    return false;
}

const char *pod_qos_class(const json_t *spec)
{
    static const char *const lists[] = {"initContainers", "containers"};
    struct qos qos = {.guaranteed = true};
    bool as_a_whole = has_resources(spec);
    if (as_a_whole) {
        add_qos(&qos, spec);
    }
    for (size_t list = 0; !as_a_whole && list < array_length(lists); list++) {
        const json_t *containers = json_object_get(spec, lists[list]);
        for (size_t i = 0; i < json_array_size(containers); i++) {
            add_qos(&qos, json_array_get(containers, i));
        }
    }
    return !qos.any ? "BestEffort" : qos.guaranteed ? "Guaranteed" : "Burstable";
}

void pod_set_condition(json_t *status, json_t *condition)
{
    const json_t *type = json_object_get(condition, "type");
    json_t *conditions = json_object_get(status, "conditions");
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    json_object_set_new(condition, "lastProbeTime", json_null());
    json_object_set_new(condition, "lastTransitionTime", json_string(now));
    if (conditions == NULL) {
        conditions = json_array();
        json_object_set_new(status, "conditions", conditions);
    }
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        if (json_equal(json_object_get(json_array_get(conditions, i), "type"), type)) {
            json_array_set_new(conditions, i, condition);
            return;
        }
    }
    json_array_append_new(conditions, condition);
}

static bool prepare_create(struct write *write, struct error *error)
{
    (void)error;
    const json_t *spec = json_object_get(write->object, "spec");
    pod_merge_label_keys(write->object);
    pod_take_profiles(write);
    json_t *status = json_object();
    json_object_set_new_nocheck(status, "phase", json_string_nocheck("Pending"));
    json_object_set_new_nocheck(status, "qosClass", json_string_nocheck(pod_qos_class(spec)));
    json_object_set_new_nocheck(write->object, "status", status);
    if (json_array_size(json_object_get(spec, "schedulingGates")) > 0) {
        pod_set_condition(status,
                          json_pack("{s:s, s:s, s:s, s:s}", "type", "PodScheduled", "status",
                                    "False", "reason", "SchedulingGated", "message",
                                    "Scheduling is blocked due to non-empty scheduling "
                                    "gates"));
    }
    return true;
}

/* Old agents drop the class of a pod that they reject. */
static bool prepare_update(struct write *write, struct error *error)
{
    (void)error;
    json_t *class = json_path(write->live, "status", "qosClass");
    json_t *status = json_get_or_add_object(write->object, "status");
    if (strcmp(write->subresource, "status") == 0 && class != NULL &&
        json_object_get(status, "qosClass") == NULL) {
        json_object_set(status, "qosClass", class);
    }
    return true;
}

static void validate(const struct write *write, struct field_errors *errors)
{
    if (write->subresource[0] == '\0') {
        validate_pod(write->object, write->live, errors);
    } else if (strcmp(write->subresource, "ephemeralcontainers") == 0) {
        validate_pod_ephemeral_containers(write->object, write->live, errors);
    } else if (strcmp(write->subresource, "resize") == 0) {
        validate_pod_resize(write->object, write->live, errors);
    } else if (strcmp(write->subresource, "status") == 0) {
        validate_pod_status(write->object, write->live, errors);
    }
}

/* ---- deletion ---- */

static bool before_delete(struct write *write, int64_t *grace_seconds, struct error *error)
{
    (void)error;
    const char *node = json_path_string(write->live, "spec", "nodeName");
    const char *phase = json_path_string(write->live, "status", "phase");
    bool finished =
        phase != NULL && (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0);
    if (node == NULL || node[0] == '\0' || finished) {
        *grace_seconds = 0; /* Nobody has to stop anything. */
    } else if (*grace_seconds < 0) {
        int64_t wanted =
            json_get_int(json_object_get(write->live, "spec"), "terminationGracePeriodSeconds", 30);
        *grace_seconds = wanted < 0 ? 1 : wanted; /* As short as it can be. */
    }
    return true;
}

/* ---- binding ---- */

void pod_answer_success(struct request *request, struct response *response, int status)
{
    cleanup(json_release)
    json_t *body = json_pack("{s:s, s:s, s:{}, s:s, s:i}", "kind", "Status", "apiVersion", "v1",
                             "metadata", "status", "Success", "code", status);
    response_set_json(response, request, status, body);
}

static void copy_member(json_t *object, const char *name)
{
    json_t *member = json_object_get(object, name);
    if (member != NULL) {
        json_object_set_new(object, name, json_copy(member));
    }
}

/* A copy of which a binding's places may be changed; all else is shared with the live object. */
static json_t *copy_to_bind(const json_t *live)
{
    static const char *const parts[] = {"metadata", "spec", "status"};
    json_t *pod = json_copy((json_t *)live);
    for (size_t i = 0; i < array_length(parts); i++) {
        copy_member(pod, parts[i]);
    }
    copy_member(json_object_get(pod, "metadata"), "annotations");
    copy_member(json_object_get(pod, "status"), "conditions");
    return pod;
}

/* Gives the pod to the node that the Binding in 'argument' names. */
static bool bind(struct write *write, void *argument, struct error *error)
{
    const json_t *binding = argument;
    const char *node = json_path_string(binding, "target", "name");
    const char *present = json_path_string(write->live, "spec", "nodeName");
    const char *uid = json_path_string(binding, "metadata", "uid");
    const char *live_uid = json_path_string(write->live, "metadata", "uid");
    if (uid != NULL && uid[0] != '\0' && strcmp(uid, live_uid) != 0) {
        return error_conflict(
            error, "", "pods", write->name,
            "Precondition failed: UID in precondition: %s, UID in object meta: %s", uid, live_uid);
    }
    if (json_path(write->live, "metadata", "deletionTimestamp") != NULL) {
        return error_conflict(error, "", "pods/binding", write->name,
                              "pod %s is being deleted, cannot be assigned to a host", write->name);
    }
    if (present != NULL && present[0] != '\0') {
        return error_conflict(error, "", "pods/binding", write->name,
                              "pod %s is already assigned to node \"%s\"", write->name, present);
    }
    if (json_array_size(json_path(write->live, "spec", "schedulingGates")) > 0) {
        return error_conflict(error, "", "pods/binding", write->name,
                              "pod %s has non-empty .spec.schedulingGates", write->name);
    }
    write->object = copy_to_bind(write->live);
    json_object_del(json_object_get(write->object, "metadata"), "resourceVersion");
    json_object_set_new(json_object_get(write->object, "spec"), "nodeName", json_string(node));
    json_t *annotations = json_path(binding, "metadata", "annotations");
    if (json_object_size(annotations) > 0) {
        json_object_update(
            json_get_or_add_object(json_object_get(write->object, "metadata"), "annotations"),
            annotations);
    }
    json_t *status = json_get_or_add_object(write->object, "status");
    pod_set_condition(status, json_pack("{s:s, s:s}", "type", "PodScheduled", "status", "True"));
    return true;
}

static bool check_target(const json_t *binding, const char *name, struct error *error)
{
    const char *kind = json_path_string(binding, "target", "kind");
    const char *node = json_path_string(binding, "target", "name");
    struct field_errors errors = FIELD_ERRORS_INIT;
    const struct field_path *target = FIELD(NULL, "target");
    if (kind != NULL && kind[0] != '\0' && strcmp(kind, "Node") != 0) {
        static const char *const supported[] = {"Node", "<empty>", NULL};
        field_error_not_supported(&errors, FIELD(target, "kind"),
                                  json_path(binding, "target", "kind"), supported);
    }
    if (node == NULL || node[0] == '\0') {
        field_error(&errors, FIELD_REQUIRED, FIELD(target, "name"), NULL, NULL);
    }
    return !field_errors_any(&errors) || error_invalid(error, "", "Binding", name, &errors);
}

static void serve_binding(struct registry *registry, struct request *request,
                          struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    const struct resource *pods = registry_resource(registry, "", "pods");
    cleanup(json_release)
    json_t *binding =
        decode_body(request, response, scheme_kind_schema(registry->scheme, "", "v1", "Binding"),
                    "", "v1", "Binding", &error);
    const char *name =
        request->info.name[0] ? request->info.name : json_path_string(binding, "metadata", "name");
    cleanup(write_clear)
    struct write shown = {0};
    write_begin_body(&shown, registry, request, response, binding, NULL);
    write_address(&shown, request->info.namespace, name ? name : "");
    bool done = binding != NULL && serve_check_options(request, &error) &&
                admission_admit_body(&shown, &error) && check_target(shown.object, name, &error) &&
                admission_validate_body(&shown, &error);
    if (done) {
        write_begin(&write, registry, request, response, pods, WRITE_UPDATE);
        write.subresource = "binding";
        write_address(&write, request->info.namespace, name ? name : "");
        done = registry_update(&write, bind, shown.object, &object, NULL, &error);
    }
    if (!done) {
        response_set_error(response, request, &error);
        return;
    }
    pod_answer_success(request, response, 201);
}

static const struct kind_subresource subresources[] = {
    {"binding", serve_binding, .waits_for_commit = true},
    {"eviction", pod_serve_eviction, .waits_for_commit = false},
    {NULL, NULL, false},
};

const struct kind kind_pod = {
    .group = "",
    .plural = "pods",
    .pod_template = "spec",
    .defaults = defaults,
    .fill_defaults = pod_fill_defaults,
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .validate = validate,
    .before_delete = before_delete,
    .subresources = subresources,
    .warn = warn_about_pod,
};

/* The old form: a POST of a Binding to the namespace's collection. */
const struct kind kind_binding = {
    .group = "",
    .plural = "bindings",
    .serve_virtual = serve_binding,
};

// SPDX-License-Identifier: Apache-2.0
/* Pods: defaults by context, QoS class, what may change after creation, binding and eviction. */
#include <string.h>

#include "apiserver/registry/decode.h"
#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/serve.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/quantity.h"
#include "common/timestamp.h"

/* ---- defaults ---- */

static void set_default(json_t *object, const char *name, json_t *value)
{
    if (json_object_get(object, name) == NULL) {
        json_object_set_new(object, name, value);
    } else {
        json_decref(value);
    }
}

/* Images tagged "latest", or not at all, are always pulled. */
static const char *pull_policy(const char *image)
{
    const char *slash = strrchr(image, '/'), *at = strchr(image, '@');
    const char *tag = strrchr(slash ? slash : image, ':');
    bool latest = at == NULL && (tag == NULL || strcmp(tag, ":latest") == 0);
    return latest ? "Always" : "IfNotPresent";
}

/* What is limited but not requested is requested at its limit. */
static void fill_requests(json_t *container)
{
    json_t *resources = json_object_get(container, "resources");
    json_t *limits = json_object_get(resources, "limits");
    const char *name;
    json_t *limit;
    if (json_object_size(limits) == 0) {
        return;
    }
    json_t *requests = json_get_or_add_object(resources, "requests");
    json_object_foreach (limits, name, limit) {
        if (json_object_get(requests, name) == NULL) {
            json_object_set(requests, name, limit);
        }
    }
}

static void fill_container(json_t *container)
{
    const char *image = json_get_string(container, "image");
    if (image != NULL && image[0] != '\0') {
        set_default(container, "imagePullPolicy", json_string(pull_policy(image)));
    }
}

/* A volume without a source is an empty directory. */
static void fill_volume(json_t *volume)
{
    if (json_object_size(volume) == 1 && json_object_get(volume, "name") != NULL) {
        json_object_set_new(volume, "emptyDir", json_object());
    }
}

static void fill_host_ports(json_t *spec)
{
    json_t *containers = json_object_get(spec, "containers");
    for (size_t i = 0; i < json_array_size(containers); i++) {
        json_t *ports = json_object_get(json_array_get(containers, i), "ports");
        for (size_t p = 0; p < json_array_size(ports); p++) {
            json_t *port = json_array_get(ports, p);
            json_t *number = json_object_get(port, "containerPort");
            if (number != NULL) {
                set_default(port, "hostPort", json_incref(number));
            }
        }
    }
}

void pod_spec_fill_defaults(json_t *spec)
{
    static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
    for (size_t list = 0; list < array_length(lists); list++) {
        json_t *containers = json_object_get(spec, lists[list]);
        for (size_t i = 0; i < json_array_size(containers); i++) {
            fill_container(json_array_get(containers, i));
        }
    }
    json_t *volumes = json_object_get(spec, "volumes");
    for (size_t i = 0; i < json_array_size(volumes); i++) {
        fill_volume(json_array_get(volumes, i));
    }
    /* The old name of the same field. */
    json_t *account = json_object_get(spec, "serviceAccountName");
    json_t *old = json_object_get(spec, "serviceAccount");
    if (account != NULL) {
        json_object_set(spec, "serviceAccount", account);
    } else if (old != NULL) {
        json_object_set(spec, "serviceAccountName", old);
    }
}

static void fill_defaults(json_t *object)
{
    static const char *const lists[] = {"initContainers", "containers"};
    json_t *spec = json_object_get(object, "spec");
    if (spec == NULL) {
        return;
    }
    pod_spec_fill_defaults(spec);
    /* What follows holds for pods, not for templates. */
    for (size_t list = 0; list < array_length(lists); list++) {
        json_t *containers = json_object_get(spec, lists[list]);
        for (size_t i = 0; i < json_array_size(containers); i++) {
            fill_requests(json_array_get(containers, i));
        }
    }
    if (json_get_bool(spec, "hostNetwork", false)) {
        fill_host_ports(spec);
    }
    set_default(spec, "enableServiceLinks", json_true());
}

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
    for (size_t i = 0; i < array_length(counted); i++) {
        const json_t *limit = json_path(container, "resources", "limits", counted[i]);
        const json_t *request = json_path(container, "resources", "requests", counted[i]);
        qos->any = qos->any || !is_zero(limit) || !is_zero(request);
        qos->guaranteed = qos->guaranteed && !is_zero(limit) && equal_quantities(limit, request);
    }
}

static const char *qos_class(const json_t *spec)
{
    static const char *const lists[] = {"initContainers", "containers"};
    struct qos qos = {.guaranteed = true};
    for (size_t list = 0; list < array_length(lists); list++) {
        const json_t *containers = json_object_get(spec, lists[list]);
        for (size_t i = 0; i < json_array_size(containers); i++) {
            add_qos(&qos, json_array_get(containers, i));
        }
    }
    return !qos.any ? "BestEffort" : qos.guaranteed ? "Guaranteed" : "Burstable";
}

static bool prepare_create(struct write *write, struct error *error)
{
    (void)error;
    json_object_set_new(write->object, "status",
                        json_pack("{s:s, s:s}", "phase", "Pending", "qosClass",
                                  qos_class(json_object_get(write->object, "spec"))));
    return true;
}

/* ---- updates ---- */

/* Whether two specs are equal but for what an update of a pod may change: images, the active
 * deadline, additional tolerations, a shorter termination after a deletion, gates that go. */
static bool only_mutable_parts_differ(const json_t *spec, const json_t *live)
{
    static const char *const lists[] = {"containers", "initContainers"};
    cleanup(json_release)
    json_t *patched = json_deep_copy(spec);
    for (size_t list = 0; list < array_length(lists); list++) {
        json_t *containers = json_object_get(patched, lists[list]);
        const json_t *old = json_object_get(live, lists[list]);
        for (size_t i = 0; i < json_array_size(containers) && i < json_array_size(old); i++) {
            json_t *image = json_object_get(json_array_get(old, i), "image");
            if (image != NULL) {
                json_object_set(json_array_get(containers, i), "image", image);
            }
        }
    }
    static const char *const free_fields[] = {"activeDeadlineSeconds", "tolerations",
                                              "terminationGracePeriodSeconds", "schedulingGates"};
    for (size_t i = 0; i < array_length(free_fields); i++) {
        json_t *old = json_object_get(live, free_fields[i]);
        if (old != NULL) {
            json_object_set(patched, free_fields[i], old);
        } else {
            json_object_del(patched, free_fields[i]);
        }
    }
    return json_equal(patched, live);
}

static void validate(const struct write *write, struct field_errors *errors)
{
    if (write->live == NULL || write->subresource[0] != '\0') {
        return;
    }
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *live = json_object_get(write->live, "spec");
    if (!json_equal(spec, live) && !only_mutable_parts_differ(spec, live)) {
        field_error(
            errors, FIELD_FORBIDDEN, FIELD(NULL, "spec"), NULL,
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
            "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to "
            "be set to 1 if it was previously negative)");
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
        *grace_seconds =
            json_get_int(json_object_get(write->live, "spec"), "terminationGracePeriodSeconds", 30);
    }
    return true;
}

/* ---- binding ---- */

static void answer_success(struct request *request, struct response *response, int status)
{
    cleanup(json_release)
    json_t *body = json_pack("{s:s, s:s, s:{}, s:s, s:i}", "kind", "Status", "apiVersion", "v1",
                             "metadata", "status", "Success", "code", status);
    response_set_json(response, request, status, body);
}

static void mark_scheduled(json_t *object)
{
    json_t *status = json_get_or_add_object(object, "status");
    json_t *conditions = json_object_get(status, "conditions");
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    json_t *scheduled = json_pack("{s:s, s:s, s:n, s:s}", "type", "PodScheduled", "status", "True",
                                  "lastProbeTime", "lastTransitionTime", now);
    if (conditions == NULL) {
        conditions = json_array();
        json_object_set_new(status, "conditions", conditions);
    }
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        const char *type = json_get_string(json_array_get(conditions, i), "type");
        if (type != NULL && strcmp(type, "PodScheduled") == 0) {
            json_array_set_new(conditions, i, scheduled);
            return;
        }
    }
    json_array_append_new(conditions, scheduled);
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
    write->object = object_tree(write->live_object);
    json_object_del(json_object_get(write->object, "metadata"), "resourceVersion");
    json_object_set_new(json_object_get(write->object, "spec"), "nodeName", json_string(node));
    json_t *annotations = json_path(binding, "metadata", "annotations");
    if (json_object_size(annotations) > 0) {
        json_object_update(
            json_get_or_add_object(json_object_get(write->object, "metadata"), "annotations"),
            annotations);
    }
    mark_scheduled(write->object);
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
    bool done = binding != NULL && serve_check_dry_run(request, &error) &&
                check_target(binding, name, &error);
    if (done) {
        write_begin(&write, registry, request, response, pods, WRITE_UPDATE);
        write.subresource = "binding";
        write_address(&write, request->info.namespace, name ? name : "");
        done = registry_update(&write, bind, binding, &object, NULL, &error);
    }
    if (!done) {
        response_set_error(response, request, &error);
        return;
    }
    answer_success(request, response, 201);
}

/* ---- eviction ---- */

static void serve_eviction(struct registry *registry, struct request *request,
                           struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    cleanup(serve_delete_options_clear)
    struct delete_options options = {0};
    cleanup(json_release)
    json_t *eviction = decode_body_any(request, &error);
    const char *name = json_path_string(eviction, "metadata", "name");
    bool gone, done = eviction != NULL;
    if (done && name != NULL && name[0] != '\0' && strcmp(name, request->info.name) != 0) {
        done = error_bad_request(&error, "name in URL does not match name in Eviction object");
    }
    write_begin(&write, registry, request, response, request->resource, WRITE_DELETE);
    json_t *body = json_object_get(eviction, "deleteOptions");
    write.dry_run = write.dry_run || json_array_size(json_object_get(body, "dryRun")) > 0;
    done = done && serve_check_dry_run(request, &error) &&
           serve_delete_options(request, body, &options, &error) &&
           registry_delete(&write, &options, &object, &gone, &error);
    if (!done) {
        response_set_error(response, request, &error);
        return;
    }
    answer_success(request, response, 201);
}

static const struct kind_subresource subresources[] = {
    {"binding", serve_binding},
    {"eviction", serve_eviction},
    {NULL, NULL},
};

const struct kind kind_pod = {
    .group = "",
    .plural = "pods",
    .fill_defaults = fill_defaults,
    .prepare_create = prepare_create,
    .validate = validate,
    .before_delete = before_delete,
    .subresources = subresources,
};

/* The old form: a POST of a Binding to the namespace's collection. */
const struct kind kind_binding = {
    .group = "",
    .plural = "bindings",
    .serve_virtual = serve_binding,
};

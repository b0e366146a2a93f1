// SPDX-License-Identifier: Apache-2.0
/* PodNodeSelector: an annotation of a namespace, or else the configuration's default, says on which
 * nodes its pods run; the configuration may also say which labels they may ask for. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/admission/pod_node_selector.h"
#include "common/alloc.h"
#include "common/json.h"

static const char annotation[] = "scheduler.alpha.kubernetes.io/node-selector";

/* Without the spaces around it; the caller's. */
static char *trimmed(const char *text, size_t length)
{
    while (length > 0 && text[0] == ' ') {
        text++;
        length--;
    }
    while (length > 0 && text[length - 1] == ' ') {
        length--;
    }
    return duplicate_bytes(text, length);
}

json_t *pod_node_selector_labels(const char *text, struct error *error)
{
    cleanup(json_release)
    json_t *labels = json_object();
    while (*text != '\0') {
        size_t length = strcspn(text, ","), equals = strcspn(text, "=,");
        if (equals == length) {
            error_internal(error, "invalid selector: %.*s", (int)length, text);
            return NULL;
        }
        cleanup(free_char)
        char *key = trimmed(text, equals);
        cleanup(free_char)
        char *value = trimmed(text + equals + 1, length - equals - 1);
        json_object_set_new(labels, key, json_string(value));
        text += length + (text[length] == ',');
    }
    return steal(labels);
}

/* What the configuration says under that name; NULL: nothing. */
static const char *configured(const struct write *write, const char *name)
{
    return json_get_string(write->registry->admission.node_selectors, name);
}

static json_t *labels_of_namespace(const struct write *write, struct error *error)
{
    const struct resource *namespaces = registry_resource(write->registry, "", "namespaces");
    cleanup(object_release)
    struct object *object = registry_get(write->registry, namespaces, "", write->namespace);
    cleanup(json_release)
    json_t *namespace = object != NULL ? object_tree(object) : NULL;
    const char *text = json_path_string(namespace, "metadata", "annotations", annotation);
    if (text == NULL) {
        text = configured(write, "clusterDefaultNodeSelector");
    }
    return pod_node_selector_labels(text != NULL ? text : "", error);
}

static bool is_new_pod(const struct write *write)
{
    return write->operation == WRITE_CREATE && admission_is_about(write, "", "pods") &&
           json_is_object(json_object_get(write->object, "spec"));
}

/* Whether no label is asked for with another value. */
static bool check(const struct write *write, const json_t *labels, struct error *error)
{
    const json_t *selector = json_path(write->object, "spec", "nodeSelector");
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)labels, key, value) {
        const json_t *given = json_object_get(selector, key);
        if (given != NULL && !json_equal(given, value)) {
            return error_forbidden(
                error, "", "pods", write->name,
                "pod node label selector conflicts with its namespace node label selector");
        }
    }
    return true;
}

/* Where the configuration has labels for the namespace, its pods ask for no others. */
static bool check_allowed(const struct write *write, struct error *error)
{
    const char *text = configured(write, write->namespace);
    cleanup(json_release)
    json_t *allowed = pod_node_selector_labels(text != NULL ? text : "", error);
    if (allowed == NULL || json_object_size(allowed) == 0) {
        return allowed != NULL;
    }
    const char *key;
    json_t *value;
    json_object_foreach (json_path(write->object, "spec", "nodeSelector"), key, value) {
        const json_t *there = json_object_get(allowed, key);
        if (there == NULL || !json_equal(there, value)) {
            return error_forbidden(
                error, "", "pods", write->name,
                "pod node label selector labels conflict with its namespace whitelist");
        }
    }
    return true;
}

static bool admit(struct write *write, struct error *error)
{
    if (!is_new_pod(write)) {
        return true;
    }
    cleanup(json_release)
    json_t *labels = labels_of_namespace(write, error);
    if (labels == NULL || !check(write, labels, error)) {
        return false;
    }
    if (json_object_size(labels) > 0) {
        json_t *spec = json_object_get(write->object, "spec");
        json_object_update(json_get_or_add_object(spec, "nodeSelector"), labels);
    }
    return true;
}

static bool validate(const struct write *write, struct error *error)
{
    if (!is_new_pod(write)) {
        return true;
    }
    cleanup(json_release)
    json_t *labels = labels_of_namespace(write, error);
    return labels != NULL && check(write, labels, error) && check_allowed(write, error);
}

const struct admission_plugin admission_pod_node_selector = {
    .name = "PodNodeSelector",
    .admit = admit,
    .validate = validate,
};

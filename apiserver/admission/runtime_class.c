// SPDX-License-Identifier: Apache-2.0
/* RuntimeClass: a new pod's class says what the runtime itself takes of the node (the overhead),
 * and on which nodes there is such a runtime. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/admission/tolerations.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/quantity.h"

static bool refuse(const struct write *write, struct error *error, const char *why)
{
    return error_forbidden(error, "", "pods", write->name, "pod rejected: %s", why);
}

static struct object *look_up(const struct write *write, const char *name)
{
    const struct resource *classes =
        registry_resource(write->registry, "node.k8s.io", "runtimeclasses");
    return registry_get_current(write->registry, classes, "", name);
}

/* '*class' is the pod's, the caller's, or NULL when it names none. */
static bool find_class(const struct write *write, json_t **class, struct error *error)
{
    const char *name = json_path_string(write->object, "spec", "runtimeClassName");
    *class = NULL;
    if (name == NULL) {
        return true;
    }
    cleanup(object_release)
    struct object *object = look_up(write, name);
    if (object == NULL) {
        cleanup(free_char)
        char *why = format("RuntimeClass \"%s\" not found", name);
        return refuse(write, error, why);
    }
    *class = object_tree(object);
    return true;
}

static bool is_same_amount(const json_t *a, const json_t *b)
{
    struct quantity one, other;
    return json_is_string(a) && json_is_string(b) && quantity_parse(json_string_value(a), &one) &&
           quantity_parse(json_string_value(b), &other) && quantity_compare(&one, &other) == 0;
}

static bool is_same_overhead(const json_t *a, const json_t *b)
{
    if (json_object_size(a) != json_object_size(b)) {
        return false;
    }
    const char *name;
    json_t *amount;
    json_object_foreach ((json_t *)a, name, amount) {
        if (!is_same_amount(amount, json_object_get(b, name))) {
            return false;
        }
    }
    return true;
}

static const char mismatch[] = "Pod's Overhead doesn't match RuntimeClass's defined Overhead";

static bool set_overhead(struct write *write, json_t *spec, const json_t *class,
                         struct error *error)
{
    const json_t *defined = json_path(class, "overhead", "podFixed");
    const json_t *given = json_object_get(spec, "overhead");
    if (!json_is_object(json_object_get(class, "overhead"))) {
        return true;
    }
    if (json_is_object(given) && !is_same_overhead(defined, given)) {
        return refuse(write, error, mismatch);
    }
    if (json_is_object(defined)) {
        json_object_set_new(spec, "overhead", json_deep_copy(defined));
    }
    return true;
}

static bool set_node_selector(struct write *write, json_t *spec, const json_t *wanted,
                              struct error *error)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)wanted, key, value) {
        json_t *selector = json_get_or_add_object(spec, "nodeSelector");
        const char *given = json_get_string(selector, key);
        if (given != NULL && strcmp(given, json_string_value(value)) != 0) {
            return error_forbidden(error, "", "pods", write->name,
                                   "conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; "
                                   "pod.spec.nodeSelector[%s] = %s",
                                   key, json_string_value(value), key, given);
        }
        json_object_set(selector, key, value);
    }
    return true;
}

static bool set_scheduling(struct write *write, json_t *spec, const json_t *class,
                           struct error *error)
{
    const json_t *scheduling = json_object_get(class, "scheduling");
    if (!json_is_object(scheduling)) {
        return true;
    }
    if (!set_node_selector(write, spec, json_object_get(scheduling, "nodeSelector"), error)) {
        return false;
    }
    json_t *merged = tolerations_merge(json_object_get(spec, "tolerations"),
                                       json_object_get(scheduling, "tolerations"));
    if (json_array_size(merged) > 0) {
        json_object_set(spec, "tolerations", merged);
    }
    json_decref(merged);
    return true;
}

static bool is_new_pod(const struct write *write)
{
    return write->operation == WRITE_CREATE && admission_is_about(write, "", "pods") &&
           json_is_object(json_object_get(write->object, "spec"));
}

static bool admit(struct write *write, struct error *error)
{
    if (!is_new_pod(write)) {
        return true;
    }
    json_t *spec = json_object_get(write->object, "spec");
    cleanup(json_release)
    json_t *class = NULL;
    return find_class(write, &class, error) && set_overhead(write, spec, class, error) &&
           set_scheduling(write, spec, class, error);
}

static bool validate(const struct write *write, struct error *error)
{
    if (!is_new_pod(write)) {
        return true;
    }
    cleanup(json_release)
    json_t *class = NULL;
    if (!find_class(write, &class, error)) {
        return false;
    }
    const json_t *given = json_path(write->object, "spec", "overhead");
    if (!json_is_object(json_object_get(class, "overhead"))) {
        return !json_is_object(given) ||
               refuse(write, error,
                      "Pod Overhead set without corresponding RuntimeClass defined Overhead");
    }
    return is_same_overhead(json_path(class, "overhead", "podFixed"), given) ||
           refuse(write, error, mismatch);
}

const struct admission_plugin admission_runtime_class = {
    .name = "RuntimeClass",
    .is_on_by_default = true,
    .admit = admit,
    .validate = validate,
};

// SPDX-License-Identifier: Apache-2.0
/* Priority: a pod's priorityClassName becomes its priority and preemption policy; without a name
 * the class that is the global default counts, of which there can be only one. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "common/alloc.h"
#include "common/json.h"

static const struct resource *classes_of(const struct write *write)
{
    return registry_resource(write->registry, "scheduling.k8s.io", "priorityclasses");
}

/* The class marked as default with the lowest value (two can exist after a race); the caller's. */
static json_t *default_class(const struct write *write)
{
    struct snapshot *snapshot =
        cache_snapshot(cache_table(write->registry->cache, classes_of(write)), "");
    json_t *found = NULL;
    for (size_t i = 0; i < snapshot->count; i++) {
        static const char mark[] = "\"globalDefault\":true"; /* Most have none; a look tells. */
        struct json_span span;
        if (memmem(snapshot->objects[i]->bytes, snapshot->objects[i]->length, mark, strlen(mark)) ==
            NULL) {
            continue;
        }
        json_scan(snapshot->objects[i]->bytes, snapshot->objects[i]->length,
                  (const char *[]){"globalDefault"}, 1, &span);
        if (span.length != 4 || memcmp(span.text, "true", 4) != 0) {
            continue;
        }
        json_t *class = object_tree(snapshot->objects[i]);
        if (found == NULL || json_get_int(class, "value", 0) < json_get_int(found, "value", 0)) {
            json_decref(found);
            found = json_incref(class);
        }
        json_decref(class);
    }
    snapshot_free(snapshot);
    return found;
}

static json_t *named_class(const struct write *write, const char *name, struct error *error)
{
    cleanup(object_release)
    struct object *object = registry_get_current(write->registry, classes_of(write), "", name);
    if (object == NULL) {
        error_forbidden(error, "", "pods", write->name, "no PriorityClass with name %s was found",
                        name);
        return NULL;
    }
    return object_tree(object);
}

/* The pod's own words, if it has any, must be those of its class. */
static bool check_given(const struct write *write, const json_t *spec, json_int_t priority,
                        const char *policy, struct error *error)
{
    const json_t *given = json_object_get(spec, "priority");
    const char *given_policy = json_get_string(spec, "preemptionPolicy");
    if (json_is_integer(given) && json_integer_value(given) != priority) {
        return error_forbidden(error, "", "pods", write->name,
                               "the integer value of priority (%lld) must not be provided in pod "
                               "spec; priority admission controller computed %lld from the given "
                               "PriorityClass name",
                               (long long)json_integer_value(given), (long long)priority);
    }
    if (given_policy != NULL && strcmp(given_policy, policy) != 0) {
        return error_forbidden(error, "", "pods", write->name,
                               "the string value of PreemptionPolicy (%s) must not be provided in "
                               "pod spec; priority admission controller computed %s from the given "
                               "PriorityClass name",
                               given_policy, policy);
    }
    return true;
}

static bool admit_pod(struct write *write, json_t *spec, struct error *error)
{
    const char *name = json_get_string(spec, "priorityClassName");
    bool is_named = name != NULL && *name != '\0';
    cleanup(json_release)
    json_t *class = is_named ? named_class(write, name, error) : default_class(write);
    if (is_named && class == NULL) {
        return false;
    }
    json_int_t priority = json_get_int(class, "value", 0);
    const char *policy = json_get_string(class, "preemptionPolicy");
    policy = policy != NULL ? policy : "PreemptLowerPriority";
    if (!check_given(write, spec, priority, policy, error)) {
        return false;
    }
    if (class != NULL && !is_named) {
        json_object_set(spec, "priorityClassName", json_path(class, "metadata", "name"));
    }
    json_object_set_new_nocheck(spec, "priority", json_integer(priority));
    json_object_set_new_nocheck(spec, "preemptionPolicy", json_string_nocheck(policy));
    return true;
}

/* An update says nothing new: what was worked out at creation stays if it is left out. */
static void keep_priority(const struct write *write, json_t *spec)
{
    static const char *const kept[] = {"priority", "preemptionPolicy"};
    for (size_t i = 0; i < array_length(kept); i++) {
        json_t *before = json_path(write->live, "spec", kept[i]);
        if (json_object_get(spec, kept[i]) == NULL && before != NULL) {
            json_object_set(spec, kept[i], before);
        }
    }
}

static bool admit(struct write *write, struct error *error)
{
    json_t *spec = json_object_get(write->object, "spec");
    if (!admission_is_about(write, "", "pods") || !json_is_object(spec)) {
        return true;
    }
    if (write->operation == WRITE_CREATE) {
        return admit_pod(write, spec, error);
    }
    keep_priority(write, spec);
    return true;
}

static bool validate(const struct write *write, struct error *error)
{
    if (write->object == NULL ||
        !admission_is_about(write, "scheduling.k8s.io", "priorityclasses") ||
        !json_get_bool(write->object, "globalDefault", false)) {
        return true;
    }
    cleanup(json_release)
    json_t *present = default_class(write);
    const char *name = json_path_string(present, "metadata", "name");
    return name == NULL || strcmp(name, write->name) == 0 ||
           error_forbidden(error, "scheduling.k8s.io", "priorityclasses", write->name,
                           "PriorityClass %s is already marked as default. Only one default can "
                           "exist",
                           name);
}

const struct admission_plugin admission_priority = {
    .name = "Priority",
    .is_on_by_default = true,
    .admit = admit,
    .validate = validate,
};

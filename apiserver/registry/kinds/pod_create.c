// SPDX-License-Identifier: Apache-2.0
/* What the API server writes into a pod that is created, where a later reader is to find it in one
 * place only: labels in selectors, and profiles in fields. */
#include <string.h>

#include "apiserver/registry/kinds/pod.h"
#include "apiserver/registry/registry.h"
#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pods.h"
#include "common/alloc.h"
#include "common/json.h"

/* ---- keys of labels become part of the selector ---- */

static void merge_keys(json_t *term, const char *list, const char *operator, const json_t * labels)
{
    json_t *selector = json_object_get(term, "labelSelector");
    const json_t *keys = json_object_get(term, list);
    for (size_t i = 0; json_is_object(selector) && i < json_array_size(keys); i++) {
        json_t *key = json_array_get(keys, i);
        json_t *value = json_object_get(labels, json_string_value(key));
        json_t *expressions = json_object_get(selector, "matchExpressions");
        if (value == NULL) {
            continue;
        }
        if (expressions == NULL) {
            expressions = json_array();
            json_object_set_new(selector, "matchExpressions", expressions);
        }
        json_array_append_new(expressions, json_pack("{s:O, s:s, s:[O]}", "key", key,
                                                     "operator", operator, "values", value));
    }
}

/* 'step' leads from an element to its term; NULL: it is one itself. */
static void merge_terms(json_t *terms, const char *step, const json_t *labels)
{
    for (size_t i = 0; i < json_array_size(terms); i++) {
        json_t *element = json_array_get(terms, i);
        json_t *term = step ? json_object_get(element, step) : element;
        merge_keys(term, "matchLabelKeys", "In", labels);
        merge_keys(term, "mismatchLabelKeys", "NotIn", labels);
    }
}

void pod_merge_label_keys(json_t *pod)
{
    static const char *const affinities[] = {"podAffinity", "podAntiAffinity"};
    const json_t *labels = json_path(pod, "metadata", "labels");
    json_t *spec = json_object_get(pod, "spec");
    json_t *constraints = json_object_get(spec, "topologySpreadConstraints");
    const json_t *all = json_object_get(spec, "affinity");
    for (size_t i = 0; all != NULL && i < array_length(affinities); i++) {
        const json_t *affinity = json_object_get(all, affinities[i]);
        merge_terms(json_object_get(affinity, "preferredDuringSchedulingIgnoredDuringExecution"),
                    "podAffinityTerm", labels);
        merge_terms(json_object_get(affinity, "requiredDuringSchedulingIgnoredDuringExecution"),
                    NULL, labels);
    }
    for (size_t i = 0; i < json_array_size(constraints); i++) {
        merge_keys(json_array_get(constraints, i), "matchLabelKeys", "In", labels);
    }
}

/* ---- AppArmor profiles: from the annotation to the field ---- */

/* NULL when the annotation names none. The caller's. */
static json_t *profile_of(const char *annotation)
{
    const char *file = annotation + strlen("localhost/");
    if (strcmp(annotation, "unconfined") == 0) {
        return json_pack("{s:s}", "type", "Unconfined");
    }
    if (strcmp(annotation, "runtime/default") == 0) {
        return json_pack("{s:s}", "type", "RuntimeDefault");
    }
    if (!check_starts_with(annotation, "localhost/") || file[0] == '\0') {
        return NULL;
    }
    return json_pack("{s:s, s:s}", "type", "Localhost", "localhostProfile", file);
}

static void take_profile(struct write *write, json_t *container)
{
    const json_t *pod_profile =
        json_path(write->object, "spec", "securityContext", "appArmorProfile");
    const json_t *annotations = json_path(write->object, "metadata", "annotations");
    cleanup(free_char)
    char *key =
        format("container.apparmor.security.beta.kubernetes.io/%s", check_text(container, "name"));
    if (!check_has(annotations, key) ||
        json_path(container, "securityContext", "appArmorProfile") != NULL) {
        return;
    }
    cleanup(json_release)
    json_t *profile = profile_of(check_text(annotations, key));
    if (profile != NULL && check_equal(profile, pod_profile)) {
        return;
    }
    if (profile != NULL) {
        json_object_set(json_get_or_add_object(container, "securityContext"), "appArmorProfile",
                        profile);
    }
    write_warn(
        write,
        "metadata.annotations[%s]: deprecated since v1.30; use the \"appArmorProfile\" field "
        "instead",
        key);
}

void pod_take_profiles(struct write *write)
{
    json_t *spec = json_object_get(write->object, "spec");
    if (check_is(json_object_get(spec, "os"), "name", "windows") ||
        json_object_size(json_path(write->object, "metadata", "annotations")) == 0) {
        return;
    }
    for (size_t list = 0; pod_container_lists[list] != NULL; list++) {
        json_t *containers = json_object_get(spec, pod_container_lists[list]);
        for (size_t i = 0; i < json_array_size(containers); i++) {
            take_profile(write, json_array_get(containers, i));
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/validation/pod_update.h"

#include <ctype.h>
#include <string.h>

#include "apiserver/registry/kinds/defaults.h"
#include "apiserver/registry/validation/check.h"
#include "common/alloc.h"
#include "common/buffer.h"
#include "common/json.h"

/* ---- showing differences ---- */

enum { diff_value_max = 1000 }; /* Bytes of a value that are shown. */

static void add_side(struct buffer *text, char sign, const char *key, const json_t *value)
{
    if (value == NULL) {
        return;
    }
    cleanup(free_char)
    char *encoded = json_text(value);
    size_t length = strlen(encoded);
    while (length > diff_value_max && ((unsigned char)encoded[diff_value_max] & 0xc0) == 0x80) {
        encoded[diff_value_max] = 'x'; /* Never in the middle of a character. */
        length = diff_value_max;
    }
    buffer_addf(text, "%c \t%s: %.*s%s,\n", sign, key,
                (int)(length > diff_value_max ? diff_value_max : length), encoded,
                length > diff_value_max ? "…" : "");
}

static void add_differences(struct buffer *text, const json_t *old, const json_t *new)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)old, key, value) {
        const json_t *now = json_object_get(new, key);
        if (!check_equal(value, now)) {
            add_side(text, '-', key, value);
            add_side(text, '+', key, now);
        }
    }
    json_object_foreach ((json_t *)new, key, value) {
        if (!check_has(old, key)) {
            add_side(text, '+', key, value);
        }
    }
}

/* The members that differ, before and after; in the manner of upstream's diffs of Go values. */
static char *diff(const char *type, const json_t *old, const json_t *new)
{
    struct buffer text = BUFFER_INIT;
    buffer_addf(&text, "  %s{\n", type);
    add_differences(&text, old, new);
    buffer_add_text(&text, "  }\n");
    return buffer_steal(&text);
}

/* ---- what may change in one direction ---- */

static const struct field_path spec_path = {.name = "spec"};

static bool same_count(const json_t *spec, const json_t *live, const char *list,
                       struct field_errors *errors)
{
    bool same = json_array_size(json_object_get(spec, list)) ==
                json_array_size(json_object_get(live, list));
    if (!same) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(&spec_path, list), NULL,
                    "pod updates may not add or remove containers");
    }
    return same;
}

/* It may be set, or become less. */
static bool validate_deadline(const json_t *spec, const json_t *live, struct field_errors *errors)
{
    const json_t *deadline = json_object_get(spec, "activeDeadlineSeconds");
    const json_t *old = json_object_get(live, "activeDeadlineSeconds");
    const struct field_path *path = FIELD(&spec_path, "activeDeadlineSeconds");
    if (deadline == NULL && old != NULL) {
        cleanup(json_release)
        json_t *none = json_null();
        field_error(errors, FIELD_INVALID, path, none,
                    "must not update from a positive integer to nil value");
    } else if (old != NULL && json_integer_value(deadline) > json_integer_value(old)) {
        field_error(errors, FIELD_INVALID, path, deadline,
                    "must be less than or equal to previous value");
        return false;
    }
    return true;
}

/* All of it but for how long it holds, as one text. The caller's. */
static char *toleration_text(const json_t *toleration)
{
    cleanup(json_release)
    json_t *rest = json_copy((json_t *)toleration);
    json_object_del(rest, "tolerationSeconds");
    return json_dumps(rest, JSON_SORT_KEYS | JSON_COMPACT);
}

static void validate_tolerations(const json_t *spec, const json_t *live,
                                 struct field_errors *errors)
{
    const json_t *now = json_object_get(spec, "tolerations");
    const json_t *before = json_object_get(live, "tolerations");
    struct map present = MAP_INIT;
    for (size_t i = 0; i < json_array_size(now); i++) {
        cleanup(free_char)
        char *text = toleration_text(json_array_get(now, i));
        map_set(&present, text, &present);
    }
    for (size_t i = 0; i < json_array_size(before); i++) {
        cleanup(free_char)
        char *text = toleration_text(json_array_get(before, i));
        if (map_get(&present, text) == NULL) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(&spec_path, "tolerations"), NULL,
                        "existing toleration can not be modified except its tolerationSeconds");
            break;
        }
    }
    map_free(&present, NULL);
}

static void validate_gates(const json_t *spec, const json_t *live, struct field_errors *errors)
{
    const json_t *now = json_object_get(spec, "schedulingGates");
    const json_t *before = json_object_get(live, "schedulingGates");
    const struct field_path *path = FIELD(&spec_path, "schedulingGates");
    struct map old = MAP_INIT;
    check_collect(&old, before, "name");
    for (size_t i = 0; i < json_array_size(now); i++) {
        const char *name = check_text(json_array_get(now, i), "name");
        if (map_get(&old, name) == NULL) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(FIELD_INDEX(path, i), "name"), NULL,
                        "only deletion is allowed, but found new scheduling gate '%s'", name);
        }
    }
    map_free(&old, NULL);
}

/* ---- gated pods may be given narrower places ---- */

static void narrow_selector(json_t *spec, const json_t *live, struct field_errors *errors)
{
    const json_t *now = json_object_get(spec, "nodeSelector");
    json_t *before = json_object_get(live, "nodeSelector");
    const char *key;
    json_t *value;
    json_object_foreach (before, key, value) {
        const json_t *present = json_object_get(now, key);
        if (present == NULL || !json_equal(present, value)) {
            field_error(errors, FIELD_INVALID, FIELD(&spec_path, "nodeSelector"), now,
                        "only additions to spec.nodeSelector are allowed (no mutations or "
                        "deletions)");
            break;
        }
    }
    if (before != NULL) {
        json_object_set(spec, "nodeSelector", before);
    } else {
        json_object_del(spec, "nodeSelector");
    }
}

static bool begins_with(const json_t *list, const json_t *beginning)
{
    for (size_t i = 0; i < json_array_size(beginning); i++) {
        const json_t *element = json_array_get(list, i);
        if (element == NULL || !json_equal(element, json_array_get(beginning, i))) {
            return false;
        }
    }
    return true;
}

/* Requirements may be added to each term that is required, but no term. */
static void validate_narrower(const json_t *now, const json_t *before,
                              const struct field_path *path, struct field_errors *errors)
{
    static const char *const parts[] = {"matchExpressions", "matchFields"};
    static const char required[] = "requiredDuringSchedulingIgnoredDuringExecution";
    const json_t *old = json_path(before, required, "nodeSelectorTerms");
    const json_t *new = json_path(now, required, "nodeSelectorTerms");
    const struct field_path *list = FIELD(FIELD(path, required), "nodeSelectorTerms");
    if (old == NULL) {
        return;
    }
    if (json_array_size(old) != json_array_size(new)) {
        field_error(errors, FIELD_INVALID, list, new,
                    "no additions/deletions to non-empty "
                    "NodeSelectorTerms list are allowed");
        return;
    }
    for (size_t i = 0; i < json_array_size(new); i++) {
        const json_t *term = json_array_get(new, i), *old_term = json_array_get(old, i);
        bool was_empty = json_object_size(old_term) == 0; /* It matches nothing. */
        for (size_t part = 0; part < array_length(parts); part++) {
            if ((was_empty && check_has(term, parts[part])) ||
                !begins_with(json_object_get(term, parts[part]),
                             json_object_get(old_term, parts[part]))) {
                field_error(errors, FIELD_INVALID, FIELD_INDEX(list, i), term,
                            "only additions are allowed (no mutations or deletions)");
                break;
            }
        }
    }
}

static void narrow_affinity(json_t *spec, const json_t *live, struct field_errors *errors)
{
    json_t *now = json_path(spec, "affinity", "nodeAffinity");
    json_t *before = json_path(live, "affinity", "nodeAffinity");
    if (check_equal(now, before)) {
        return;
    }
    validate_narrower(now, before, FIELD(FIELD(&spec_path, "affinity"), "nodeAffinity"), errors);
    json_t *affinity = json_get_or_add_object(spec, "affinity");
    if (before != NULL) {
        json_object_set(affinity, "nodeAffinity", before);
    } else {
        json_object_del(affinity, "nodeAffinity");
    }
    if (json_object_size(affinity) == 0 && !check_has(live, "affinity")) {
        json_object_del(spec, "affinity");
    }
}

/* ---- ordinary updates ---- */

static void take_from_live(json_t *object, const json_t *live, const char *member)
{
    json_t *value = json_object_get(live, member);
    if (value != NULL) {
        json_object_set(object, member, value);
    } else {
        json_object_del(object, member);
    }
}

static void take_images(json_t *spec, const json_t *live)
{
    static const char *const lists[] = {"containers", "initContainers"};
    for (size_t list = 0; list < array_length(lists); list++) {
        json_t *containers = json_object_get(spec, lists[list]);
        const json_t *old = json_object_get(live, lists[list]);
        for (size_t i = 0; i < json_array_size(containers); i++) {
            take_from_live(json_array_get(containers, i), json_array_get(old, i), "image");
        }
    }
}

static void validate_rest(const json_t *spec, const json_t *live, struct field_errors *errors)
{
    static const char *const free_fields[] = {"activeDeadlineSeconds", "tolerations",
                                              "schedulingGates"};
    static const char grace[] = "terminationGracePeriodSeconds";
    cleanup(json_release)
    json_t *patched = json_deep_copy(spec);
    take_images(patched, live);
    for (size_t i = 0; i < array_length(free_fields); i++) {
        take_from_live(patched, live, free_fields[i]);
    }
    if (json_get_int(live, grace, 0) < 0 && json_get_int(spec, grace, 0) == 1) {
        take_from_live(patched, live, grace);
    }
    if (json_array_size(json_object_get(live, "schedulingGates")) > 0) {
        narrow_selector(patched, live, errors);
        narrow_affinity(patched, live, errors);
    }
    if (json_equal(patched, live)) {
        return;
    }
    cleanup(free_char)
    char *differences = diff("core.PodSpec", live, patched);
    field_error(
        errors, FIELD_FORBIDDEN, &spec_path, NULL,
        "pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
        "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to "
        "be set to 1 if it was previously negative)\n%s",
        differences);
}

void validate_pod_update(const json_t *spec, const json_t *live, struct field_errors *errors)
{
    if (!same_count(spec, live, "containers", errors) ||
        !same_count(spec, live, "initContainers", errors) ||
        !validate_deadline(spec, live, errors)) {
        return;
    }
    validate_tolerations(spec, live, errors);
    validate_gates(spec, live, errors);
    if (!json_equal(spec, live)) {
        validate_rest(spec, live, errors);
    }
}

/* ---- subresources ---- */

static bool is_mirror(const json_t *pod)
{
    return check_has(json_path(pod, "metadata", "annotations"), "kubernetes.io/config.mirror");
}

/* Drops what has been found so far: upstream answers with this alone. */
static void forbid_all(const char *why, struct field_errors *errors)
{
    field_errors_clear(errors);
    field_error(errors, FIELD_FORBIDDEN, FIELD(NULL, ""), NULL, "%s", why);
}

void validate_ephemeral_update(const json_t *pod, const json_t *live, struct field_errors *errors)
{
    const json_t *now = json_path(pod, "spec", "ephemeralContainers");
    const json_t *before = json_path(live, "spec", "ephemeralContainers");
    const struct field_path *path = FIELD(&spec_path, "ephemeralContainers");
    if (is_mirror(live)) {
        forbid_all("static pods do not support ephemeral containers", errors);
        return;
    }
    struct map present = MAP_INIT;
    check_collect(&present, now, "name");
    for (size_t i = 0; i < json_array_size(before); i++) {
        const json_t *old = json_array_get(before, i);
        const json_t *new = map_get(&present, check_text(old, "name"));
        if (new == NULL) {
            field_error(errors, FIELD_FORBIDDEN, path, NULL,
                        "existing ephemeral containers \"%s\" may not be removed\n",
                        check_text(old, "name"));
        } else if (!json_equal(old, new)) {
            cleanup(free_char)
            char *differences = diff("core.EphemeralContainer", old, new);
            field_error(errors, FIELD_FORBIDDEN, path, NULL,
                        "existing ephemeral containers \"%s\" may not be changed\n%s",
                        check_text(old, "name"), differences);
        }
    }
    map_free(&present, NULL);
}

/* ---- resize ---- */

static bool is_sidecar(const json_t *container)
{
    return check_is(container, "restartPolicy", "Always");
}

/* What is requested or limited may change, but stays requested or limited. */
static void validate_kept(const json_t *now, const json_t *before, const struct field_path *path,
                          struct field_errors *errors)
{
    static const struct {
        const char *list, *what;
    } lists[] = {{"limits", "limits"}, {"requests", "requests"}};
    static const char *const resources[] = {"cpu", "memory"};
    for (size_t i = 0; i < array_length(lists); i++) {
        for (size_t at = 0; at < array_length(resources); at++) {
            if (json_path(before, "resources", lists[i].list, resources[at]) != NULL &&
                json_path(now, "resources", lists[i].list, resources[at]) == NULL) {
                field_error(errors, FIELD_FORBIDDEN, FIELD(FIELD(path, "resources"), lists[i].list),
                            NULL, "resource %s cannot be removed", lists[i].what);
                break;
            }
        }
    }
}

/* The container with the cpu and memory, and the rules for changing them, that it had. */
static json_t *without_resize(const json_t *container, const json_t *old)
{
    static const char *const lists[] = {"limits", "requests"};
    static const char *const resources[] = {"cpu", "memory"};
    json_t *copy = json_deep_copy(container);
    json_t *own = json_get_or_add_object(copy, "resources");
    take_from_live(copy, old, "resizePolicy");
    for (size_t i = 0; i < array_length(lists); i++) {
        const json_t *before = json_path(old, "resources", lists[i]);
        json_t *amounts = json_get_or_add_object(own, lists[i]);
        for (size_t at = 0; at < array_length(resources); at++) {
            take_from_live(amounts, before, resources[at]);
        }
        if (json_object_size(amounts) == 0) {
            json_object_del(own, lists[i]);
        }
    }
    return copy;
}

static void validate_container_resizes(const json_t *spec, const json_t *live, const char *list,
                                       const struct field_path *path, struct field_errors *errors)
{
    const json_t *now = json_object_get(spec, list), *before = json_object_get(live, list);
    bool init = strcmp(list, "initContainers") == 0;
    for (size_t i = 0; i < json_array_size(before); i++) {
        const json_t *new = json_array_get(now, i), *old = json_array_get(before, i);
        if (init && !is_sidecar(old)) {
            if (!json_equal(new, old)) {
                field_error(errors, FIELD_FORBIDDEN, path, NULL,
                            "resources for non-sidecar init containers are immutable");
            }
            continue;
        }
        validate_kept(new, old, FIELD_INDEX(FIELD(path, list), i), errors);
        cleanup(json_release)
        json_t *rest = without_resize(new, old);
        if (!json_equal(rest, old)) {
            field_error(errors, FIELD_FORBIDDEN, path, NULL,
                        init ? "only cpu and memory resources for sidecar containers are mutable"
                             : "only cpu and memory resources are mutable");
        }
    }
}

void validate_resize_update(const json_t *pod, const json_t *live, struct field_errors *errors)
{
    const json_t *spec = json_object_get(pod, "spec"), *old = json_object_get(live, "spec");
    const json_t *resources = json_object_get(old, "resources");
    const char *before = json_path_string(live, "status", "qosClass");
    if (json_object_size(json_object_get(resources, "requests")) +
            json_object_size(json_object_get(resources, "limits")) >
        0) {
        forbid_all("pods with pod-level resources cannot be resized", errors);
    } else if (is_mirror(live)) {
        forbid_all("static pods cannot be resized", errors);
    } else if (check_is(json_object_get(old, "os"), "name", "windows")) {
        forbid_all("windows pods cannot be resized", errors);
    } else if (same_count(spec, old, "containers", errors) &&
               same_count(spec, old, "initContainers", errors)) {
        if (before != NULL && strcmp(before, pod_qos_class(spec)) != 0) {
            cleanup(json_release)
            json_t *shown = json_string(before);
            field_error(errors, FIELD_INVALID, &spec_path, shown,
                        "Pod QOS Class may not change as a result of resizing");
        }
        validate_container_resizes(spec, old, "initContainers", &spec_path, errors);
        validate_container_resizes(spec, old, "containers", &spec_path, errors);
    }
}

// SPDX-License-Identifier: Apache-2.0
/*
 * PodSecurity: namespaces say by labels to which Pod Security Standard their pods keep. Pods that
 * don't are refused; who creates them, or templates of such pods, is warned. What holds where the
 * labels say nothing, and who is exempt, a configuration says (pod_security_configuration.h).
 *
 * What the mode "audit" finds would go to the audit log, which there is none of: only its labels
 * are checked.
 */
#include "apiserver/admission/pod_security.h"
#include "apiserver/audit/audit.h"

#include <stdlib.h>
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/admission/pod_security_configuration.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

/* ---- policies ---- */

static const char *const level_names[] = {"privileged", "baseline", "restricted"};

bool pod_security_parse_level(const char *text, enum pod_security_level *level)
{
    for (size_t i = 0; i < array_length(level_names); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum pod_security_level)i;
            return true;
        }
    }
    return false;
}

/* "latest" or "v1.24", without leading zeros. */
bool pod_security_parse_version(const char *text, int *minor)
{
    if (strcmp(text, "latest") == 0) {
        *minor = POD_SECURITY_LATEST;
        return true;
    }
    const char *digits = text + strlen("v1.");
    size_t length = strncmp(text, "v1.", strlen("v1.")) == 0 ? strlen(digits) : 0;
    if (length == 0 || length > 8 || strspn(digits, "0123456789") != length ||
        (digits[0] == '0' && length > 1)) {
        return false;
    }
    *minor = atoi(digits);
    return true;
}

static void note_label(struct field_errors *errors, const char *label, const json_t *value,
                       const char *why)
{
    if (errors != NULL) {
        const struct field_path *labels = FIELD(NULL, "metadata");
        field_error(errors, FIELD_INVALID, FIELD_KEY(FIELD(labels, "labels"), label), value, "%s",
                    why);
    }
}

/* What was read of a mode's labels. */
struct mode {
    struct pod_security_standard standard;
    bool level_given, level_valid, version_given, version_valid;
};

static struct mode read_mode(const json_t *labels, const char *name,
                             const struct pod_security_standard *otherwise,
                             enum pod_security_level if_invalid, struct field_errors *errors)
{
    struct mode mode = {.standard = *otherwise};
    cleanup(free_char)
    char *level_label = format("pod-security.kubernetes.io/%s", name);
    cleanup(free_char)
    char *version_label = format("pod-security.kubernetes.io/%s-version", name);
    const json_t *level = json_object_get(labels, level_label);
    const json_t *version = json_object_get(labels, version_label);
    if (json_is_string(level)) {
        mode.level_given = true;
        mode.level_valid = pod_security_parse_level(json_string_value(level), &mode.standard.level);
        if (!mode.level_valid) {
            mode.standard.level = if_invalid;
            note_label(errors, level_label, level,
                       "must be one of privileged, baseline, restricted");
        }
    }
    if (json_is_string(version)) {
        mode.version_given = true;
        mode.version_valid =
            pod_security_parse_version(json_string_value(version), &mode.standard.minor);
        if (!mode.version_valid) {
            note_label(errors, version_label, version, "must be \"latest\" or \"v1.x\"");
        }
    }
    return mode;
}

struct pod_security_policy pod_security_policy_of(const json_t *labels,
                                                  const struct pod_security_policy *defaults,
                                                  struct field_errors *errors)
{
    const struct pod_security_standard nothing = {POD_SECURITY_PRIVILEGED, POD_SECURITY_LATEST};
    const struct pod_security_policy built_in = {nothing, nothing, nothing};
    const struct pod_security_policy *base = defaults ? defaults : &built_in;
    if (json_object_size(labels) == 0) {
        return *base;
    }
    struct mode enforce =
        read_mode(labels, "enforce", &base->enforce, POD_SECURITY_RESTRICTED, errors);
    struct mode audit = read_mode(labels, "audit", &base->audit, POD_SECURITY_PRIVILEGED, errors);
    struct mode warn = read_mode(labels, "warn", &base->warn, POD_SECURITY_PRIVILEGED, errors);
    if (!warn.level_given && enforce.level_valid) {
        warn.standard.level = enforce.standard.level;
        if (!warn.version_given && enforce.version_valid) {
            warn.standard.minor = enforce.standard.minor;
        }
    }
    return (struct pod_security_policy){enforce.standard, audit.standard, warn.standard};
}

void pod_security_print(const struct pod_security_standard *standard, struct buffer *text)
{
    buffer_addf(text, "%s:", level_names[standard->level]);
    if (standard->minor == POD_SECURITY_LATEST) {
        buffer_add_literal(text, "latest");
    } else {
        buffer_addf(text, "v1.%d", standard->minor);
    }
}

static bool is_same(const struct pod_security_standard *a, const struct pod_security_standard *b)
{
    return a->level == b->level && a->minor == b->minor;
}

/* ---- what the server was told ---- */

static const struct pod_security_policy *defaults_of(const struct write *write)
{
    const struct pod_security_configuration *told = write->registry->admission.pod_security;
    return told != NULL ? &told->defaults : NULL;
}

static bool is_exempt_namespace(const struct write *write, const char *namespace)
{
    const struct pod_security_configuration *told = write->registry->admission.pod_security;
    return told != NULL && json_array_has_string(told->namespaces, namespace);
}

/* By where it is written, by whom, or by what it runs in; the audit log is told which. */
static bool is_exempt(const struct write *write, const json_t *pod)
{
    const struct pod_security_configuration *told = write->registry->admission.pod_security;
    const char *class = json_path_string(pod, "spec", "runtimeClassName");
    if (told == NULL) {
        return false;
    }
    const char *why = is_exempt_namespace(write, write->namespace) ? "namespace"
                      : json_array_has_string(told->usernames, write->request->user.name) ? "user"
                      : class != NULL && json_array_has_string(told->runtime_classes, class)
                          ? "runtimeClass"
                          : NULL;
    if (why != NULL) {
        audit_annotate(write->request, "pod-security.kubernetes.io/exempt", why);
    }
    return why != NULL;
}

/* ---- pods and templates of pods ---- */

/* Who holds a template of pods, and where. */
static const struct {
    const char *group, *plural;
    const char *path[5];
} holders[] = {
    {"", "replicationcontrollers", {"spec", "template"}},
    {"", "podtemplates", {"template"}},
    {"apps", "replicasets", {"spec", "template"}},
    {"apps", "deployments", {"spec", "template"}},
    {"apps", "statefulsets", {"spec", "template"}},
    {"apps", "daemonsets", {"spec", "template"}},
    {"batch", "jobs", {"spec", "template"}},
    {"batch", "cronjobs", {"spec", "jobTemplate", "spec", "template"}},
};

static const json_t *template_of(const struct write *write)
{
    for (size_t i = 0; i < array_length(holders); i++) {
        if (admission_is_about(write, holders[i].group, holders[i].plural)) {
            return json_path_list(write->object, holders[i].path);
        }
    }
    return NULL;
}

static const char *image_of(const json_t *container)
{
    const char *image = json_get_string(container, "image");
    return image != NULL ? image : "";
}

static bool runs_other_images(const json_t *containers, const json_t *before)
{
    if (json_array_size(containers) != json_array_size(before)) {
        return true;
    }
    for (size_t i = 0; i < json_array_size(containers); i++) {
        if (strcmp(image_of(json_array_get(containers, i)), image_of(json_array_get(before, i))) !=
            0) {
            return true;
        }
    }
    return false;
}

/* Of what a pod's update may change, only images (and containers for debugging) can matter. */
static bool is_significant_update(const json_t *pod, const json_t *before)
{
    static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
    for (size_t i = 0; i < array_length(lists); i++) {
        if (runs_other_images(json_path(pod, "spec", lists[i]),
                              json_path(before, "spec", lists[i]))) {
            return true;
        }
    }
    return false;
}

static bool enforce(const struct write *write, const struct pod_security_standard *standard,
                    struct error *error)
{
    cleanup(buffer_free)
    struct buffer details = BUFFER_INIT;
    if (pod_security_allows(standard, json_object_get(write->object, "metadata"),
                            json_object_get(write->object, "spec"), NULL, &details)) {
        return true;
    }
    cleanup(buffer_free)
    struct buffer name = BUFFER_INIT;
    pod_security_print(standard, &name);
    return error_forbidden(error, write->resource->group, write->resource->plural, write->name,
                           "violates PodSecurity \"%s\": %s", buffer_text(&name),
                           buffer_text(&details));
}

/* What is wrong with a pod by a standard, in one sentence; false when nothing is. */
static bool tell_wrong(const struct pod_security_standard *standard, const json_t *pod,
                       struct buffer *text)
{
    cleanup(buffer_free)
    struct buffer details = BUFFER_INIT;
    if (pod_security_allows(standard, json_object_get(pod, "metadata"),
                            json_object_get(pod, "spec"), NULL, &details)) {
        return false;
    }
    buffer_add_literal(text, "would violate PodSecurity \"");
    pod_security_print(standard, text);
    buffer_addf(text, "\": %s", buffer_text(&details));
    return true;
}

static void warn(const struct write *write, const struct pod_security_standard *standard,
                 const json_t *pod)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    if (tell_wrong(standard, pod, &text)) {
        response_add_warning(write->response, buffer_text(&text));
    }
}

/* For the audit log, if the request is recorded there. */
static void record(const struct write *write, const struct pod_security_policy *policy,
                   const json_t *pod, bool enforces)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    cleanup(buffer_free)
    struct buffer enforced = BUFFER_INIT;
    if (write->request == NULL || write->request->audit == NULL) {
        return;
    }
    if (enforces) {
        pod_security_print(&policy->enforce, &enforced);
        audit_annotate(write->request, "pod-security.kubernetes.io/enforce-policy",
                       buffer_text(&enforced));
    }
    if (tell_wrong(&policy->audit, pod, &text)) {
        audit_annotate(write->request, "pod-security.kubernetes.io/audit-violations",
                       buffer_text(&text));
    }
}

/* Some label of the object may be about this. Most are not, and need not be taken apart. */
static bool is_labelled(const struct object *object)
{
    static const char prefix[] = "pod-security.kubernetes.io/";
    return memmem(object->bytes + object->labels.start, object->labels.length, prefix,
                  strlen(prefix)) != NULL;
}

/* What holds where the write goes; nothing special in a namespace that is not there any more. */
static struct pod_security_policy policy_here(const struct write *write)
{
    cleanup(object_release)
    struct object *object =
        registry_get(write->registry, registry_resource(write->registry, "", "namespaces"), "",
                     write->namespace);
    cleanup(json_release)
    json_t *labels = object != NULL && is_labelled(object) ? object_labels(object) : NULL;
    return pod_security_policy_of(labels, defaults_of(write), NULL);
}

static bool validate_pod(const struct write *write, struct error *error)
{
    if (write->operation == WRITE_UPDATE && !is_significant_update(write->object, write->live)) {
        return true;
    }
    if (is_exempt(write, write->object)) {
        return true;
    }
    struct pod_security_policy policy = policy_here(write);
    record(write, &policy, write->object, true);
    if (!enforce(write, &policy.enforce, error)) {
        return false;
    }
    warn(write, &policy.warn, write->object);
    return true;
}

/* ---- namespaces ---- */

/* More pods than these are not looked at, nor for a longer time. */
enum { PODS_MAX = 3000, CHECK_MS = 1000 };

/* Pods that violate a standard for the same reasons. */
struct violation {
    char *reasons;
    char *first_name; /* Of the first pod in the order of names. */
    size_t pods;
};

struct violations {
    struct violation *items;
    size_t count, capacity;
};

static void count_violation(struct violations *violations, const char *reasons, const char *name)
{
    for (size_t i = 0; i < violations->count; i++) {
        if (strcmp(violations->items[i].reasons, reasons) == 0) {
            violations->items[i].pods++;
            return;
        }
    }
    violations->items = grow(violations->items, violations->count, &violations->capacity,
                             sizeof *violations->items);
    violations->items[violations->count++] =
        (struct violation){.reasons = duplicate(reasons), .first_name = duplicate(name), .pods = 1};
}

static int compare_violations(const void *a, const void *b)
{
    const struct violation *one = a, *other = b;
    int order = strcmp(one->first_name, other->first_name);
    return order != 0 ? order : strcmp(one->reasons, other->reasons);
}

static void check_pod(const struct object *object, const struct pod_security_standard *standard,
                      struct violations *violations)
{
    cleanup(json_release)
    json_t *pod = object_tree(object);
    cleanup(buffer_free)
    struct buffer reasons = BUFFER_INIT;
    if (!pod_security_allows(standard, json_object_get(pod, "metadata"),
                             json_object_get(pod, "spec"), &reasons, NULL)) {
        count_violation(violations, buffer_text(&reasons),
                        json_path_string(pod, "metadata", "name"));
    }
}

/* Looks at the pods in the order of their names. Returns how many it came to. */
static size_t check_pods(const struct snapshot *pods, const struct pod_security_standard *standard,
                         struct violations *violations)
{
    int64_t until_ns = timestamp_monotonic() + (int64_t)CHECK_MS * 1000000;
    size_t most = pods->count < PODS_MAX ? pods->count : PODS_MAX, i = 0;
    while (i < most) {
        check_pod(pods->objects[i++], standard, violations);
        if (timestamp_monotonic() > until_ns) {
            break;
        }
    }
    return i;
}

static void tell_violation(const struct write *write, const struct violation *violation)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    buffer_add_text(&text, violation->first_name);
    if (violation->pods > 1) {
        buffer_addf(&text, " (and %zu other %s)", violation->pods - 1,
                    violation->pods == 2 ? "pod" : "pods");
    }
    buffer_addf(&text, ": %s", violation->reasons);
    response_add_warning(write->response, buffer_text(&text));
}

static void warn_about_pods(const struct write *write, const struct pod_security_standard *standard)
{
    cleanup(free_char)
    char *prefix = format("%s/", write->name);
    struct snapshot *pods = cache_snapshot(
        cache_table(write->registry->cache, registry_resource(write->registry, "", "pods")),
        prefix);
    struct violations violations = {0};
    size_t checked = check_pods(pods, standard, &violations);
    if (checked < pods->count) {
        write_warn((struct write *)write,
                   "new PodSecurity enforce level only checked against the first %zu of %zu "
                   "existing pods",
                   checked, pods->count);
    }
    snapshot_free(pods);
    if (violations.count > 0) {
        cleanup(buffer_free)
        struct buffer text = BUFFER_INIT;
        buffer_addf(&text,
                    "existing pods in namespace \"%s\" violate the new PodSecurity enforce "
                    "level \"",
                    write->name);
        pod_security_print(standard, &text);
        buffer_add_char(&text, '"');
        response_add_warning(write->response, buffer_text(&text));
        qsort(violations.items, violations.count, sizeof *violations.items, compare_violations);
    }
    for (size_t i = 0; i < violations.count; i++) {
        tell_violation(write, &violations.items[i]);
        free(violations.items[i].reasons);
        free(violations.items[i].first_name);
    }
    free(violations.items);
}

/* Labels that could not be understood before may stay as they were. */
static bool check_labels(const struct write *write, struct field_errors *errors,
                         const struct field_errors *errors_before, struct error *error)
{
    if (!field_errors_any(errors) ||
        (field_errors_any(errors_before) && json_equal(errors->causes, errors_before->causes))) {
        return true;
    }
    return error_invalid(error, "", "Namespace", write->name, errors);
}

static bool validate_namespace(const struct write *write, struct error *error)
{
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    cleanup(field_errors_clear)
    struct field_errors errors_before = FIELD_ERRORS_INIT;
    struct pod_security_policy policy = pod_security_policy_of(
        json_path(write->object, "metadata", "labels"), defaults_of(write), &errors);
    struct pod_security_policy before = pod_security_policy_of(
        json_path(write->live, "metadata", "labels"), defaults_of(write), &errors_before);
    if (!check_labels(write, &errors, &errors_before, error)) {
        return false;
    }
    bool is_relaxed = policy.enforce.minor == before.enforce.minor &&
                      policy.enforce.level <= before.enforce.level;
    if (write->operation == WRITE_UPDATE && !is_same(&policy.enforce, &before.enforce) &&
        policy.enforce.level != POD_SECURITY_PRIVILEGED && !is_relaxed &&
        !is_exempt_namespace(write, write->name)) {
        warn_about_pods(write, &policy.enforce);
    }
    return true;
}

/* ---- the plugin ---- */

static bool is_about_pods(const struct write *write)
{
    static const char *const passed_over[] = {"binding", "eviction", "status"};
    if (strcmp(write->storage->plural, "pods") != 0 || write->storage->group[0] != '\0') {
        return false;
    }
    for (size_t i = 0; i < array_length(passed_over); i++) {
        if (strcmp(write->subresource, passed_over[i]) == 0) {
            return false;
        }
    }
    return true;
}

static bool validate(const struct write *write, struct error *error)
{
    if (write->object == NULL) {
        return true;
    }
    if (is_about_pods(write)) {
        return validate_pod(write, error);
    }
    if (admission_is_about(write, "", "namespaces")) {
        return validate_namespace(write, error);
    }
    const json_t *template = template_of(write);
    if (template != NULL && !is_exempt(write, template)) {
        struct pod_security_policy policy = policy_here(write);
        record(write, &policy, template, false);
        warn(write, &policy.warn, template);
    }
    return true;
}

const struct admission_plugin admission_pod_security = {
    .name = "PodSecurity",
    .is_on_by_default = true,
    .validate = validate,
};

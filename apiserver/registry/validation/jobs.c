// SPDX-License-Identifier: Apache-2.0
/* Jobs: how often pods must succeed, and what stays as it is. */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pods.h"
#include "apiserver/registry/validation/selectors.h"
#include "apiserver/registry/validation/workloads.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"
#include "common/selector.h"

static const struct field_path spec_path = {.name = "spec"};

/* What the controller can keep count of. */
enum {
    INDEXED_PARALLELISM_MAX = 100000,
    FAILED_INDEXES_MAX = 100000,
    COMPLETIONS_SOFT_MAX = 100000,   /* Above it, failures of each index are counted … */
    HIGH_PARALLELISM_MAX = 10000,    /* … for so many pods at a time, … */
    HIGH_FAILED_INDEXES_MAX = 10000, /* … and so many failed indexes. */
    MANAGED_BY_MAX = 63,
};

/* ---- how often ---- */

static void check_at_most(const json_t *spec, const char *member, json_int_t most, const char *when,
                          const struct field_path *path, struct field_errors *errors)
{
    const json_t *value = json_object_get(spec, member);
    if (value != NULL && json_integer_value(value) > most) {
        field_error(errors, FIELD_INVALID, FIELD(path, member), value,
                    "must be less than or equal to %" JSON_INTEGER_FORMAT "%s", most, when);
    }
}

static void validate_indexed(const json_t *spec, const struct field_path *path,
                             struct field_errors *errors)
{
    static const char when_high[] =
        " when completions are above 100000 and used with backoff limit per index";
    const json_t *completions = json_object_get(spec, "completions");
    const json_t *failed = json_object_get(spec, "maxFailedIndexes");
    if (completions == NULL) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "completions"), NULL,
                    "when completion mode is Indexed");
    }
    check_at_most(spec, "parallelism", INDEXED_PARALLELISM_MAX, " when completion mode is Indexed",
                  path, errors);
    if (completions != NULL && failed != NULL &&
        json_integer_value(failed) > json_integer_value(completions)) {
        field_error(errors, FIELD_INVALID, FIELD(path, "maxFailedIndexes"), failed,
                    "must be less than or equal to completions");
    }
    check_at_most(spec, "maxFailedIndexes", FAILED_INDEXES_MAX, "", path, errors);
    if (json_integer_value(completions) > COMPLETIONS_SOFT_MAX &&
        check_has(spec, "backoffLimitPerIndex")) {
        if (failed == NULL) {
            field_error(errors, FIELD_REQUIRED, FIELD(path, "maxFailedIndexes"), NULL,
                        "must be specified when completions is above %d", COMPLETIONS_SOFT_MAX);
        }
        check_at_most(spec, "parallelism", HIGH_PARALLELISM_MAX, when_high, path, errors);
        check_at_most(spec, "maxFailedIndexes", HIGH_FAILED_INDEXES_MAX, when_high, path, errors);
    }
}

static void validate_indexes(const json_t *spec, const struct field_path *path,
                             struct field_errors *errors)
{
    static const char *const of_indexed[] = {"backoffLimitPerIndex", "maxFailedIndexes"};
    if (check_has(spec, "maxFailedIndexes") && !check_has(spec, "backoffLimitPerIndex")) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "backoffLimitPerIndex"), NULL,
                    "when maxFailedIndexes is specified");
    }
    if (check_is(spec, "completionMode", "Indexed")) {
        validate_indexed(spec, path, errors);
        return;
    }
    for (size_t i = 0; i < array_length(of_indexed); i++) {
        const json_t *value = json_object_get(spec, of_indexed[i]);
        check_message(value, value ? "requires indexed completion mode" : NULL,
                      FIELD(path, of_indexed[i]), errors);
    }
}

/* ---- pods that end ---- */

static void validate_restarts(const json_t *spec, const struct field_path *path,
                              struct field_errors *errors)
{
    const json_t *policy = json_path(spec, "template", "spec", "restartPolicy");
    const char *text = json_string_value(policy) ? json_string_value(policy) : "";
    const struct field_path *here = FIELD(FIELD(FIELD(path, "template"), "spec"), "restartPolicy");
    static const char *const supported[] = {"OnFailure", "Never", NULL};
    if (text[0] == '\0' || strcmp(text, "Always") == 0) {
        field_error(errors, FIELD_REQUIRED, here, NULL, "valid values: \"OnFailure\", \"Never\"");
    } else if (strcmp(text, "OnFailure") == 0 && check_has(spec, "podFailurePolicy")) {
        field_error(errors, FIELD_INVALID, here, policy,
                    "only \"Never\" is supported when podFailurePolicy is specified");
    } else if (!check_one_of(text, supported)) {
        check_not_supported(text, supported, here, errors);
    }
}

static void validate_replacement(const json_t *spec, const struct field_path *path,
                                 struct field_errors *errors)
{
    static const char *const all[] = {"Failed", "TerminatingOrFailed", NULL};
    static const char *const failed[] = {"Failed", NULL};
    const char *const *supported = check_has(spec, "podFailurePolicy") ? failed : all;
    const char *policy = json_get_string(spec, "podReplacementPolicy");
    if (policy != NULL && !check_one_of(policy, supported)) {
        check_not_supported(policy, supported, FIELD(path, "podReplacementPolicy"), errors);
    }
}

void validate_job_spec(const json_t *spec, const struct field_path *path,
                       struct field_errors *errors)
{
    const json_t *manager = json_object_get(spec, "managedBy");
    validate_indexes(spec, path, errors);
    if (manager != NULL) {
        check_domain_prefixed_path(manager, FIELD(path, "managedBy"), errors);
        if (json_string_length(manager) > MANAGED_BY_MAX) {
            field_error(errors, FIELD_TOO_LONG, FIELD(path, "managedBy"), NULL,
                        "may not be more than %d bytes", MANAGED_BY_MAX);
        }
    }
    if (check_has(spec, "podFailurePolicy")) {
        validate_pod_failure_policy(spec, FIELD(path, "podFailurePolicy"), errors);
    }
    if (check_has(spec, "successPolicy")) {
        validate_success_policy(spec, FIELD(path, "successPolicy"), errors);
    }
    validate_replacement(spec, path, errors);
    validate_pod_template(json_object_get(spec, "template"), FIELD(path, "template"), errors);
    validate_restarts(spec, path, errors);
}

/* ---- the selector ---- */

static const char *const uid_labels[] = {"controller-uid", "batch.kubernetes.io/controller-uid"};
static const char *const name_labels[] = {"job-name", "batch.kubernetes.io/job-name"};

static void validate_has_label(const json_t *job, const char *key, const char *value,
                               struct field_errors *errors)
{
    const json_t *labels = json_path(job, "spec", "template", "metadata", "labels");
    const struct field_path *path =
        FIELD_KEY(FIELD(FIELD(FIELD(&spec_path, "template"), "metadata"), "labels"), key);
    if (!check_has(labels, key)) {
        field_error(errors, FIELD_REQUIRED, path, NULL, "must be '%s'", value);
    } else if (!check_is(labels, key, value)) {
        field_error(errors, FIELD_INVALID, path, labels, "must be '%s'", value);
    }
}

/* Unless the user selects by hand, the labels are the server's, and the selector fits them. */
static void validate_generated(const json_t *job, struct field_errors *errors)
{
    const json_t *selector = json_path(job, "spec", "selector");
    const char *uid = json_path_string(job, "metadata", "uid");
    const char *name = json_path_string(job, "metadata", "name");
    uid = uid ? uid : "";
    name = name ? name : "";
    cleanup(json_release)
    json_t *expected = json_pack("{s:s, s:s, s:s, s:s}", uid_labels[0], uid, uid_labels[1], uid,
                                 name_labels[0], name, name_labels[1], name);
    for (size_t i = 0; i < array_length(uid_labels); i++) {
        validate_has_label(job, uid_labels[i], uid, errors);
        validate_has_label(job, name_labels[i], name, errors);
    }
    struct selector *parsed = selector_from_object(selector, NULL);
    if (parsed != NULL && !selector_matches_object(parsed, expected)) {
        field_error(errors, FIELD_INVALID, FIELD(&spec_path, "selector"), selector,
                    "`selector` not auto-generated");
    }
    selector_free(parsed);
}

static void validate_selector(const json_t *job, bool creates, struct field_errors *errors)
{
    const json_t *spec = json_object_get(job, "spec");
    const json_t *selector = json_object_get(spec, "selector");
    const struct field_path *path = FIELD(&spec_path, "selector");
    if (selector == NULL) {
        field_error(errors, FIELD_REQUIRED, path, NULL, NULL);
        return;
    }
    if (creates && !json_get_bool(spec, "manualSelector", false)) {
        validate_generated(job, errors);
    }
    validate_label_selector(selector, path, errors);
    validate_selector_matches(selector, json_object_get(spec, "template"),
                              FIELD(&spec_path, "template"), errors);
}

/* The pods of an indexed job are named after it and their index. */
static void validate_pod_names(const json_t *job, struct field_errors *errors)
{
    const json_t *spec = json_object_get(job, "spec");
    const json_t *name = json_path(job, "metadata", "name");
    json_int_t completions = json_get_int(spec, "completions", 0);
    if (!check_is(spec, "completionMode", "Indexed") || completions <= 0 || name == NULL) {
        return;
    }
    cleanup(free_char)
    char *last = format("%s-%" JSON_INTEGER_FORMAT, json_string_value(name), completions - 1);
    if (names_check_dns_label(last) != NULL) {
        field_error(errors, FIELD_INVALID, FIELD(FIELD(NULL, "metadata"), "name"), name,
                    "will not able to create pod with invalid DNS label: %s", last);
    }
}

/* ---- updates ---- */

static void validate_completions(const json_t *spec, const json_t *live,
                                 struct field_errors *errors)
{
    const json_t *now = json_object_get(spec, "completions");
    const json_t *before = json_object_get(live, "completions");
    const struct field_path *path = FIELD(&spec_path, "completions");
    if (!check_is(spec, "completionMode", "Indexed")) {
        check_immutable(now, before, path, errors);
    } else if (now != NULL && !check_equal(now, before) &&
               json_integer_value(now) != json_get_int(spec, "parallelism", 0)) {
        field_error(errors, FIELD_INVALID, path, now,
                    "can only be modified in tandem with spec.parallelism");
    }
}

static void take(json_t *object, const json_t *from, const char *member)
{
    json_t *value = json_object_get(from, member);
    if (value != NULL) {
        json_object_set(object, member, value);
    } else {
        json_object_del(object, member);
    }
}

/* The template with where its pods may run, and what they are labelled with, as in 'from'. */
static json_t *with_directives(const json_t *template, const json_t *from)
{
    static const char *const of_spec[] = {"nodeSelector", "tolerations", "schedulingGates"};
    static const char *const of_metadata[] = {"annotations", "labels"};
    json_t *copy = json_deep_copy(template);
    json_t *spec = json_get_or_add_object(copy, "spec");
    json_t *metadata = json_get_or_add_object(copy, "metadata");
    for (size_t i = 0; i < array_length(of_spec); i++) {
        take(spec, json_object_get(from, "spec"), of_spec[i]);
    }
    for (size_t i = 0; i < array_length(of_metadata); i++) {
        take(metadata, json_object_get(from, "metadata"), of_metadata[i]);
    }
    json_t *affinity = json_get_or_add_object(spec, "affinity");
    take(affinity, json_path(from, "spec", "affinity"), "nodeAffinity");
    if (json_object_size(affinity) == 0) {
        json_object_del(spec, "affinity");
    }
    return copy;
}

/* A suspended job that has not begun may still be told where to run. */
static void validate_template_update(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *now = json_object_get(spec, "template");
    const json_t *before = json_path(write->live, "spec", "template");
    cleanup(json_release)
    json_t *as_now = NULL;
    if (json_get_bool(spec, "suspend", false) &&
        json_path(write->live, "status", "startTime") == NULL) {
        as_now = with_directives(before, now);
    }
    check_immutable(now, as_now ? as_now : before, FIELD(&spec_path, "template"), errors);
}

static void validate_update(const struct write *write, struct field_errors *errors)
{
    static const char *const immutable[] = {"selector",         "completionMode",
                                            "podFailurePolicy", "backoffLimitPerIndex",
                                            "managedBy",        "successPolicy"};
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *live = json_object_get(write->live, "spec");
    validate_completions(spec, live, errors);
    validate_template_update(write, errors);
    for (size_t i = 0; i < array_length(immutable); i++) {
        check_immutable(json_object_get(spec, immutable[i]), json_object_get(live, immutable[i]),
                        FIELD(&spec_path, immutable[i]), errors);
    }
}

void validate_job(const struct write *write, struct field_errors *errors)
{
    if (write->subresource[0] != '\0') {
        validate_job_status(write, errors);
        return;
    }
    validate_selector(write->object, write->live == NULL, errors);
    validate_job_spec(json_object_get(write->object, "spec"), &spec_path, errors);
    if (write->live == NULL) {
        validate_pod_names(write->object, errors);
    } else {
        validate_update(write, errors);
    }
}

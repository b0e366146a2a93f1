// SPDX-License-Identifier: Apache-2.0
/* Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers, PodTemplates. */
#include "apiserver/registry/validation/workloads.h"

#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pods.h"
#include "apiserver/registry/validation/selectors.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/selector.h"

static const struct field_path spec_path = {.name = "spec"};
static const struct field_path template_path = {.parent = &spec_path, .name = "template"};

static bool is_whole(const struct write *write)
{
    return write->subresource[0] == '\0';
}

/* ---- selectors and templates ---- */

void validate_selector_matches(const json_t *selector, const json_t *template,
                               const struct field_path *path, struct field_errors *errors)
{
    json_t *labels = json_path(template, "metadata", "labels");
    struct selector *parsed = selector_from_object(selector, NULL);
    if (parsed != NULL && !selector_matches_object(parsed, labels)) {
        cleanup(json_release)
        json_t *none = json_null();
        field_error(errors, FIELD_INVALID, FIELD(FIELD(path, "metadata"), "labels"),
                    labels ? labels : none, "`selector` does not match template `labels`");
    }
    selector_free(parsed);
}

/* 'kind' stands in upstream's messages. */
static void validate_selector(const json_t *spec, const char *kind, const char *when_unusable,
                              struct field_errors *errors)
{
    const json_t *selector = json_object_get(spec, "selector");
    const struct field_path *path = FIELD(&spec_path, "selector");
    if (selector == NULL) {
        return; /* Reported as missing. */
    }
    struct selector *parsed = selector_from_object(selector, NULL);
    size_t before = json_array_size(errors->causes);
    validate_label_selector(selector, path, errors);
    bool usable = parsed != NULL && json_array_size(errors->causes) == before;
    if (selector_is_empty(selector)) {
        field_error(errors, FIELD_INVALID, path, selector, "empty selector is invalid for %s",
                    kind);
    } else if (!usable && when_unusable != NULL) {
        field_error(errors, FIELD_INVALID, path, selector, "%s", when_unusable);
    }
    if (usable && !selector_is_empty(selector)) {
        validate_selector_matches(selector, json_object_get(spec, "template"), &template_path,
                                  errors);
    }
    selector_free(parsed);
}

/* Pods that are to run for ever. */
static void validate_lasting(const json_t *spec, const char *kind, struct field_errors *errors)
{
    static const char *const policies[] = {"Always", NULL};
    const json_t *pod = json_path(spec, "template", "spec");
    const struct field_path *path = FIELD(&template_path, "spec");
    const char *policy = check_text(pod, "restartPolicy");
    if (pod != NULL && strcmp(policy, "Always") != 0) {
        check_not_supported(policy, policies, FIELD(path, "restartPolicy"), errors);
    }
    if (check_has(pod, "activeDeadlineSeconds")) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "activeDeadlineSeconds"), NULL,
                    "activeDeadlineSeconds in %s is not Supported", kind);
    }
}

static void validate_template(const json_t *spec, const char *kind, struct field_errors *errors)
{
    const json_t *template = json_object_get(spec, "template");
    if (template != NULL) {
        validate_pod_template(template, &template_path, errors);
        validate_lasting(spec, kind, errors);
    }
}

/* ---- Deployments and ReplicaSets ---- */

static void validate_rolling_deployment(const json_t *rolling, const struct field_path *path,
                                        struct field_errors *errors)
{
    const json_t *unavailable = json_object_get(rolling, "maxUnavailable");
    const json_t *surge = json_object_get(rolling, "maxSurge");
    const struct field_path *here = FIELD(path, "maxUnavailable");
    check_int_or_percent(unavailable, here, errors);
    check_int_or_percent(surge, FIELD(path, "maxSurge"), errors);
    if (check_int_or_percent_value(unavailable) == 0 && check_int_or_percent_value(surge) == 0) {
        field_error(errors, FIELD_INVALID, here, unavailable, "may not be 0 when `maxSurge` is 0");
    }
    check_at_most_100_percent(unavailable, here, errors);
}

static void validate_strategy(const json_t *strategy, const struct field_path *path,
                              struct field_errors *errors)
{
    static const char *const types[] = {"Recreate", "RollingUpdate", NULL};
    const json_t *rolling = json_object_get(strategy, "rollingUpdate");
    const struct field_path *here = FIELD(path, "rollingUpdate");
    if (check_is(strategy, "type", "RollingUpdate")) {
        validate_rolling_deployment(rolling, here, errors);
    } else if (!check_is(strategy, "type", "Recreate")) {
        field_error_not_supported(errors, path, strategy, types);
    } else if (rolling != NULL) {
        field_error(errors, FIELD_FORBIDDEN, here, NULL,
                    "may not be specified when strategy `type` is 'Recreate'");
    }
}

/* The revision that an annotation asks for; upstream tells of the field that it once was. */
static void validate_rollback(const json_t *object, struct field_errors *errors)
{
    const char *text = json_path_string((json_t *)object, "metadata", "annotations",
                                        "deprecated.deployment.rollback.to");
    cleanup(json_release)
    json_t *revision = json_integer(text ? strtoll(text, NULL, 10) : 0);
    check_not_negative(revision, FIELD(FIELD(&spec_path, "rollback"), "version"), errors);
}

void validate_deployment(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *deadline = json_object_get(spec, "progressDeadlineSeconds");
    if (!is_whole(write)) {
        validate_deployment_status(write, errors);
        return;
    }
    validate_selector(spec, "deployment", "invalid label selector", errors);
    validate_template(spec, "ReplicaSet", errors);
    validate_strategy(json_object_get(spec, "strategy"), FIELD(&spec_path, "strategy"), errors);
    if (deadline != NULL &&
        json_integer_value(deadline) <= json_get_int(spec, "minReadySeconds", 0)) {
        field_error(errors, FIELD_INVALID, FIELD(&spec_path, "progressDeadlineSeconds"), deadline,
                    "must be greater than minReadySeconds");
    }
    validate_rollback(write->object, errors);
}

void validate_replica_set(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    if (is_whole(write)) {
        validate_selector(spec, "deployment", "invalid label selector", errors);
        validate_template(spec, "ReplicaSet", errors);
    } else {
        validate_replica_status(write, errors);
    }
}

/* ---- StatefulSets ---- */

static void validate_stateful_strategy(const json_t *strategy, const struct field_path *path,
                                       struct field_errors *errors)
{
    const json_t *rolling = json_object_get(strategy, "rollingUpdate");
    const json_t *unavailable = json_object_get(rolling, "maxUnavailable");
    const struct field_path *rolling_path = FIELD(path, "rollingUpdate");
    const struct field_path *here = FIELD(rolling_path, "maxUnavailable");
    const char *type = check_text(strategy, "type");
    if (type[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, path, NULL, NULL);
    } else if (strcmp(type, "OnDelete") == 0) {
        check_message(rolling, rolling ? "only allowed for updateStrategy 'RollingUpdate'" : NULL,
                      rolling_path, errors);
    } else if (strcmp(type, "RollingUpdate") != 0) {
        field_error(errors, FIELD_INVALID, path, strategy, "must be 'RollingUpdate' or 'OnDelete'");
    } else if (unavailable != NULL) {
        check_int_or_percent(unavailable, here, errors);
        if (check_int_or_percent_value(unavailable) == 0) {
            field_error(errors, FIELD_INVALID, here, unavailable, "cannot be 0");
        }
        check_at_most_100_percent(unavailable, here, errors);
    }
}

static void validate_stateful_update(const json_t *spec, const json_t *live,
                                     struct field_errors *errors)
{
    static const char *const free_fields[] = {"replicas",
                                              "ordinals",
                                              "template",
                                              "updateStrategy",
                                              "revisionHistoryLimit",
                                              "persistentVolumeClaimRetentionPolicy",
                                              "minReadySeconds"};
    cleanup(json_release)
    json_t *now = json_copy((json_t *)spec);
    cleanup(json_release)
    json_t *before = json_copy((json_t *)live);
    for (size_t i = 0; i < array_length(free_fields); i++) {
        json_object_del(now, free_fields[i]);
        json_object_del(before, free_fields[i]);
    }
    if (!json_equal(now, before)) {
        field_error(errors, FIELD_FORBIDDEN, &spec_path, NULL,
                    "updates to statefulset spec for fields other than 'replicas', 'ordinals', "
                    "'template', 'updateStrategy', 'revisionHistoryLimit', "
                    "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
    }
}

void validate_stateful_set(const struct write *write, struct field_errors *errors)
{
    static const char *const policies[] = {"OrderedReady", "Parallel", NULL};
    const json_t *spec = json_object_get(write->object, "spec");
    const char *policy = check_text(spec, "podManagementPolicy");
    if (!is_whole(write)) {
        validate_stateful_set_status(write, errors);
        return;
    }
    if (!check_one_of(policy, policies)) {
        check_invalid_text(policy, "must be 'OrderedReady' or 'Parallel'",
                           FIELD(&spec_path, "podManagementPolicy"), errors);
    }
    validate_selector(spec, "statefulset", "", errors);
    validate_pod_template_metadata(json_object_get(spec, "template"), &template_path, errors);
    validate_lasting(spec, "StatefulSet", errors);
    validate_stateful_strategy(json_object_get(spec, "updateStrategy"),
                               FIELD(&spec_path, "updateStrategy"), errors);
    if (write->live != NULL) {
        validate_stateful_update(spec, json_object_get(write->live, "spec"), errors);
    }
}

/* ---- DaemonSets ---- */

static void validate_rolling_daemon_set(const json_t *rolling, const struct field_path *path,
                                        struct field_errors *errors)
{
    static const char *const members[] = {"maxUnavailable", "maxSurge"};
    bool is_set[array_length(members)];
    for (size_t i = 0; i < array_length(members); i++) {
        const json_t *value = json_object_get(rolling, members[i]);
        check_int_or_percent(value, FIELD(path, members[i]), errors);
        check_at_most_100_percent(value, FIELD(path, members[i]), errors);
        is_set[i] = check_int_or_percent_value(value) != 0;
    }
    if (is_set[0] && is_set[1]) {
        field_error(errors, FIELD_INVALID, FIELD(path, "maxSurge"),
                    json_object_get(rolling, "maxSurge"),
                    "may not be set when maxUnavailable is non-zero");
    } else if (!is_set[0] && !is_set[1]) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "maxUnavailable"), NULL,
                    "cannot be 0 when maxSurge is 0");
    }
}

void validate_daemon_set(const struct write *write, struct field_errors *errors)
{
    static const char *const types[] = {"RollingUpdate", "OnDelete", NULL};
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *strategy = json_object_get(spec, "updateStrategy");
    const struct field_path *path = FIELD(&spec_path, "updateStrategy");
    if (!is_whole(write)) {
        validate_daemon_set_status(write, errors);
        return;
    }
    validate_selector(spec, "daemonset", NULL, errors);
    validate_template(spec, "DaemonSet", errors);
    if (check_is(strategy, "type", "RollingUpdate")) {
        validate_rolling_daemon_set(json_object_get(strategy, "rollingUpdate"),
                                    FIELD(path, "rollingUpdate"), errors);
    } else if (!check_is(strategy, "type", "OnDelete")) {
        field_error_not_supported(errors, path, strategy, types);
    }
}

/* ---- the core group ---- */

void validate_replication_controller(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    json_t *selector = json_object_get(spec, "selector");
    const json_t *template = json_object_get(spec, "template");
    if (!is_whole(write)) {
        validate_replica_status(write, errors);
        return;
    }
    if (json_object_size(selector) == 0) {
        field_error(errors, FIELD_REQUIRED, FIELD(&spec_path, "selector"), NULL, NULL);
    } else if (template != NULL) {
        cleanup(json_release)
        json_t *as_selector = json_pack("{s:O}", "matchLabels", selector);
        validate_selector_matches(as_selector, template, &template_path, errors);
    }
    validate_template(spec, "ReplicationController", errors);
}

void validate_pod_template_object(const struct write *write, struct field_errors *errors)
{
    if (is_whole(write)) {
        validate_pod_template(json_object_get(write->object, "template"), FIELD(NULL, "template"),
                              errors);
    }
}

/* Whatever its owner keeps in it, there is something. */
void validate_controller_revision(const struct write *write, struct field_errors *errors)
{
    const json_t *data = json_object_get(write->object, "data");
    if (data == NULL || json_is_null(data)) {
        field_error(errors, FIELD_REQUIRED, FIELD(NULL, "data"), NULL, "data is mandatory");
    } else if (!json_is_object(data)) {
        field_error(errors, FIELD_REQUIRED, FIELD(NULL, "data"), NULL,
                    "data must be a valid JSON object");
    }
}

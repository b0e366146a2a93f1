// SPDX-License-Identifier: Apache-2.0
/* HorizontalPodAutoscalers, as they are stored: autoscaling/v2. */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/cluster.h"
#include "apiserver/registry/validation/resources.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"
#include "common/quantity.h"

static const struct field_path spec_path = {.name = "spec"};

/* ---- targets ---- */

static const char *const target_values[] = {"value", "averageValue"};

/* -1, 0 or 1; 0 for what is absent. */
static int sign_of(const json_t *target, const char *member)
{
    const json_t *amount = json_object_get(target, member);
    struct quantity quantity = resource_amount(amount);
    int64_t milli = amount ? quantity_milli_value(&quantity) : 0;
    return (milli > 0) - (milli < 0);
}

static void require_text(const json_t *object, const char *member, const char *message,
                         const struct field_path *path, struct field_errors *errors)
{
    if (check_text(object, member)[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, FIELD(path, member), NULL, "%s", message);
    }
}

static void validate_target(const json_t *target, const struct field_path *path,
                            struct field_errors *errors)
{
    static const char *const types[] = {"Utilization", "Value", "AverageValue", NULL};
    const char *type = check_text(target, "type");
    const json_t *share = json_object_get(target, "averageUtilization");
    require_text(target, "type", "must specify a metric target type", path, errors);
    if (!check_one_of(type, types)) {
        check_invalid_text(type, "must be either Utilization, Value, or AverageValue",
                           FIELD(path, "type"), errors);
    }
    for (size_t i = 0; i < array_length(target_values); i++) {
        const json_t *value = json_object_get(target, target_values[i]);
        if (value != NULL && sign_of(target, target_values[i]) != 1) {
            field_error(errors, FIELD_INVALID, FIELD(path, target_values[i]), value,
                        "must be positive");
        }
    }
    if (share != NULL && json_integer_value(share) < 1) {
        field_error(errors, FIELD_INVALID, FIELD(path, "averageUtilization"), share,
                    "must be greater than 0");
    }
}

/* A share of what is requested, or an amount: one of them. */
static void validate_resource_target(const json_t *target, const struct field_path *path,
                                     struct field_errors *errors)
{
    bool share = check_has(target, "averageUtilization"),
         amount = check_has(target, "averageValue");
    const struct field_path *here = FIELD(path, "target");
    validate_target(target, here, errors);
    if (!share && !amount) {
        field_error(errors, FIELD_REQUIRED, FIELD(here, "averageUtilization"), NULL,
                    "must set either a target raw value or a target utilization");
    }
    if (share && amount) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(here, "averageValue"), NULL,
                    "may not set both a target raw value and a target utilization");
    }
}

/* ---- metrics ---- */

static void validate_identifier(const json_t *source, const struct field_path *path,
                                struct field_errors *errors)
{
    const json_t *metric = json_object_get(source, "metric");
    const json_t *name = json_object_get(metric, "name");
    const struct field_path *here = FIELD(path, "metric");
    require_text(metric, "name", "must specify a metric name", here, errors);
    if (json_string_length(name) > 0) {
        check_message(name, names_check_path_segment(json_string_value(name)), FIELD(here, "name"),
                      errors);
    }
}

static void validate_object_metric(const json_t *source, const struct field_path *path,
                                   struct field_errors *errors)
{
    const json_t *target = json_object_get(source, "target");
    const struct field_path *here = FIELD(path, "target");
    validate_identifier(source, path, errors);
    validate_target(target, here, errors);
    if (!check_has(target, "value") && !check_has(target, "averageValue")) {
        field_error(errors, FIELD_REQUIRED, FIELD(here, "averageValue"), NULL,
                    "must set either a target value or averageValue");
    }
}

static void validate_external_metric(const json_t *source, const struct field_path *path,
                                     struct field_errors *errors)
{
    const json_t *target = json_object_get(source, "target");
    const struct field_path *here = FIELD(path, "target");
    bool value = check_has(target, "value"), average = check_has(target, "averageValue");
    validate_identifier(source, path, errors);
    validate_target(target, here, errors);
    if (!value && !average) {
        field_error(errors, FIELD_REQUIRED, FIELD(here, "averageValue"), NULL,
                    "must set either a target value for metric or a per-pod target");
    }
    if (value && average) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(here, "value"), NULL,
                    "may not set both a target value for metric and a per-pod target");
    }
}

static void validate_pods_metric(const json_t *source, const struct field_path *path,
                                 struct field_errors *errors)
{
    const json_t *target = json_object_get(source, "target");
    const struct field_path *here = FIELD(path, "target");
    validate_identifier(source, path, errors);
    validate_target(target, here, errors);
    if (!check_has(target, "averageValue")) {
        field_error(errors, FIELD_REQUIRED, FIELD(here, "averageValue"), NULL,
                    "must specify a positive target averageValue");
    }
}

static void validate_resource_metric(const json_t *source, const struct field_path *path,
                                     struct field_errors *errors)
{
    require_text(source, "name", "must specify a resource name", path, errors);
    validate_resource_target(json_object_get(source, "target"), path, errors);
}

static void validate_container_metric(const json_t *source, const struct field_path *path,
                                      struct field_errors *errors)
{
    const char *name = check_text(source, "name");
    require_text(source, "container", "must specify a container", path, errors);
    check_label(json_object_get(source, "container"), FIELD(path, "container"), errors);
    if (name[0] != '\0') {
        validate_container_resource_name(name, FIELD(path, "name"), errors);
    }
    validate_resource_metric(source, path, errors);
}

static const struct {
    const char *type, *member;
    void (*validate)(const json_t *source, const struct field_path *path,
                     struct field_errors *errors);
} sources[] = {
    {"Object", "object", validate_object_metric},
    {"External", "external", validate_external_metric},
    {"Pods", "pods", validate_pods_metric},
    {"Resource", "resource", validate_resource_metric},
    {"ContainerResource", "containerResource", validate_container_metric},
};

static void validate_metric(const json_t *metric, const struct field_path *path,
                            struct field_errors *errors)
{
    const char *type = check_text(metric, "type");
    static const char *const types[] = {"ContainerResource", "External", "Object", "Pods",
                                        "Resource",          NULL};
    size_t present = 0;
    require_text(metric, "type", "must specify a metric source type", path, errors);
    for (int i = 0; i < 2 && !check_one_of(type, types); i++) { /* Twice, as upstream does. */
        check_not_supported(type, types, FIELD(path, "type"), errors);
    }
    for (size_t i = 0; i < array_length(sources); i++) {
        const json_t *source = json_object_get(metric, sources[i].member);
        const struct field_path *here = FIELD(path, sources[i].member);
        bool wanted = strcmp(type, sources[i].type) == 0;
        /* The first one is looked at, whatever the type says. */
        if (source != NULL && present++ == 0) {
            sources[i].validate(source, here, errors);
        }
        if (wanted && source == NULL) {
            field_error(errors, FIELD_REQUIRED, here, NULL,
                        "must populate information for the given metric source");
        }
    }
    for (size_t i = 0; present > 1 && i < array_length(sources); i++) {
        if (check_has(metric, sources[i].member) && strcmp(type, sources[i].type) != 0) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(path, sources[i].member), NULL,
                        "must populate the given metric source only");
        }
    }
}

/* ---- behaviour ---- */

static void validate_policy(const json_t *policy, const struct field_path *path,
                            struct field_errors *errors)
{
    enum { period_max = 1800 };
    const json_t *period = json_object_get(policy, "periodSeconds");
    check_positive(json_object_get(policy, "value"), FIELD(path, "value"), errors);
    check_positive(period, FIELD(path, "periodSeconds"), errors);
    if (json_integer_value(period) > period_max) {
        field_error(errors, FIELD_INVALID, FIELD(path, "periodSeconds"), period,
                    "must be less than or equal to %d", period_max);
    }
}

static void validate_scaling_rules(const json_t *rules, const struct field_path *path,
                                   struct field_errors *errors)
{
    enum { window_max = 3600 };
    const json_t *policies = json_object_get(rules, "policies");
    const json_t *window = json_object_get(rules, "stabilizationWindowSeconds");
    const json_t *tolerance = json_object_get(rules, "tolerance");
    const struct field_path *here = FIELD(path, "stabilizationWindowSeconds");
    if (json_integer_value(window) < 0) {
        field_error(errors, FIELD_INVALID, here, window, "must be greater than or equal to zero");
    } else if (json_integer_value(window) > window_max) {
        field_error(errors, FIELD_INVALID, here, window, "must be less than or equal to %d",
                    window_max);
    }
    if (rules != NULL && json_array_size(policies) == 0) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "policies"), NULL,
                    "must specify at least one Policy");
    }
    for (size_t i = 0; i < json_array_size(policies); i++) {
        validate_policy(json_array_get(policies, i), FIELD_INDEX(FIELD(path, "policies"), i),
                        errors);
    }
    if (tolerance != NULL && sign_of(rules, "tolerance") < 0) {
        field_error(errors, FIELD_INVALID, FIELD(path, "tolerance"), tolerance,
                    "must be greater than or equal to 0");
    }
}

/* ---- what is referred to ---- */

/* NULL: nothing is wrong with it. */
static char *check_api_version(const json_t *reference, bool needs_group)
{
    const char *version = check_text(reference, "apiVersion");
    const char *slash = strchr(version, '/');
    if (slash != NULL && strchr(slash + 1, '/') != NULL) {
        return format("unexpected GroupVersion string: %s", version);
    }
    return needs_group && (slash == NULL || slash == version)
               ? duplicate("apiVersion must specify API group")
               : NULL;
}

static void validate_api_version(const json_t *reference, bool needs_group,
                                 const struct field_path *path, struct field_errors *errors)
{
    cleanup(free_char)
    char *message = check_api_version(reference, needs_group);
    check_invalid_text(check_text(reference, "apiVersion"), message, FIELD(path, "apiVersion"),
                       errors);
}

/* Only one kind without a group can be scaled. What was let in earlier may stay. */
static void validate_scale_target(const json_t *spec, const json_t *live,
                                  struct field_errors *errors)
{
    const json_t *target = json_object_get(spec, "scaleTargetRef");
    const json_t *before = json_object_get(live, "scaleTargetRef");
    bool changed = live == NULL ||
                   strcmp(check_text(target, "kind"), check_text(before, "kind")) != 0 ||
                   strcmp(check_text(target, "apiVersion"), check_text(before, "apiVersion")) != 0;
    if (changed) {
        validate_api_version(target, !check_is(target, "kind", "ReplicationController"),
                             FIELD(&spec_path, "scaleTargetRef"), errors);
    }
}

static bool has_valid_versions(const json_t *metrics)
{
    for (size_t i = 0; i < json_array_size(metrics); i++) {
        cleanup(free_char)
        char *message = check_api_version(
            json_path(json_array_get(metrics, i), "object", "describedObject"), false);
        if (message != NULL) {
            return false;
        }
    }
    return true;
}

static void validate_described_objects(const json_t *metrics, const struct field_path *path,
                                       struct field_errors *errors)
{
    for (size_t i = 0; i < json_array_size(metrics); i++) {
        const struct field_path *here = FIELD(FIELD_INDEX(path, i), "object");
        validate_api_version(json_path(json_array_get(metrics, i), "object", "describedObject"),
                             false, FIELD(here, "describedObject"), errors);
    }
}

/* ---- the whole ---- */

static void validate_status(const json_t *status, struct field_errors *errors)
{
    static const char *const counters[] = {"currentReplicas", "desiredReplicas", NULL};
    check_counters(status, counters, errors);
}

void validate_autoscaler(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *live = json_object_get(write->live, "spec");
    const json_t *metrics = json_object_get(spec, "metrics");
    const json_t *most = json_object_get(spec, "maxReplicas");
    const struct field_path *behavior = FIELD(&spec_path, "behavior");
    if (write->subresource[0] != '\0') {
        validate_status(json_object_get(write->object, "status"), errors);
        return;
    }
    if (json_integer_value(most) < 1) {
        cleanup(json_release)
        json_t *shown = json_integer(json_integer_value(most));
        field_error(errors, FIELD_INVALID, FIELD(&spec_path, "maxReplicas"), shown,
                    "must be greater than 0");
    }
    if (json_integer_value(most) < json_get_int(spec, "minReplicas", 0)) {
        field_error(errors, FIELD_INVALID, FIELD(&spec_path, "maxReplicas"), most,
                    "must be greater than or equal to `minReplicas`");
    }
    validate_scale_target(spec, live, errors);
    for (size_t i = 0; i < json_array_size(metrics); i++) {
        validate_metric(json_array_get(metrics, i), FIELD_INDEX(FIELD(&spec_path, "metrics"), i),
                        errors);
    }
    if (has_valid_versions(json_object_get(live, "metrics"))) {
        validate_described_objects(metrics, FIELD(&spec_path, "metrics"), errors);
    }
    validate_scaling_rules(json_path(spec, "behavior", "scaleUp"), FIELD(behavior, "scaleUp"),
                           errors);
    validate_scaling_rules(json_path(spec, "behavior", "scaleDown"), FIELD(behavior, "scaleDown"),
                           errors);
}

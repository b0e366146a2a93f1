// SPDX-License-Identifier: Apache-2.0
/*
 * HorizontalPodAutoscalers: stored as autoscaling/v2, seen as v1 as well. What v1 has no field for
 * travels in annotations, as upstream does it, so that nothing is lost on the way.
 */
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/autoscaler_metrics.h"
#include "apiserver/registry/kinds/defaults.h"
#include "apiserver/registry/validation/cluster.h"
#include "common/alloc.h"
#include "common/json.h"

static const char metrics_annotation[] = "autoscaling.alpha.kubernetes.io/metrics";
static const char behavior_annotation[] = "autoscaling.alpha.kubernetes.io/behavior";
static const char conditions_annotation[] = "autoscaling.alpha.kubernetes.io/conditions";
static const char current_annotation[] = "autoscaling.alpha.kubernetes.io/current-metrics";

static bool is_cpu(const json_t *metric)
{
    const char *type = json_get_string(metric, "type");
    const char *name = json_path_string(metric, "resource", "name");
    return type != NULL && name != NULL && strcmp(type, "Resource") == 0 &&
           strcmp(name, "cpu") == 0;
}

static json_t *cpu_metric(json_int_t utilization)
{
    return json_pack("{s:s, s:{s:s, s:{s:s, s:I}}}", "type", "Resource", "resource", "name", "cpu",
                     "target", "type", "Utilization", "averageUtilization", utilization);
}

#define CPU_METRIC                                                                                 \
    "{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"Utilization\","  \
    "\"averageUtilization\":80}}}"
#define BY_PERCENT "{\"type\":\"Percent\",\"value\":100,\"periodSeconds\":15}"
#define BY_PODS "{\"type\":\"Pods\",\"value\":4,\"periodSeconds\":15}"

static const struct conditional_default defaults[] = {
    {"spec", "metrics", "[" CPU_METRIC "]", NULL, NULL},
    {"spec.behavior", "scaleUp", "{}", NULL, NULL},
    {"spec.behavior", "scaleDown", "{}", NULL, NULL},
    {"spec.behavior.scaleUp", "stabilizationWindowSeconds", "0", NULL, NULL},
    {"spec.behavior.scaleUp", "selectPolicy", "\"Max\"", NULL, NULL},
    {"spec.behavior.scaleUp", "policies", "[" BY_PODS "," BY_PERCENT "]", NULL, NULL},
    {"spec.behavior.scaleDown", "selectPolicy", "\"Max\"", NULL, NULL},
    {"spec.behavior.scaleDown", "policies", "[" BY_PERCENT "]", NULL, NULL},
    {0},
};

/* A second metric of the processor stays beside the first, which has a field of its own. */
static json_t *first_cpu_utilization(const json_t *metrics, const char *member)
{
    for (size_t i = 0; i < json_array_size(metrics); i++) {
        json_t *metric = json_array_get(metrics, i);
        json_t *utilization = json_path(metric, "resource", member, "averageUtilization");
        if (is_cpu(metric) && utilization != NULL) {
            return utilization;
        }
    }
    return NULL;
}

/* Keeps a value of v2 in an annotation of v1. */
static void keep(json_t *object, const char *annotation, const json_t *value)
{
    if (value != NULL) {
        cleanup(free_char)
        char *text = json_text(value);
        json_t *metadata = json_get_or_add_object(object, "metadata");
        json_object_set_new(json_get_or_add_object(metadata, "annotations"), annotation,
                            json_string(text));
    }
}

/* Takes a kept value out again; the caller's, NULL when there is none. */
static json_t *take_kept(json_t *object, const char *annotation)
{
    json_t *annotations = json_path(object, "metadata", "annotations");
    const char *text = json_get_string(annotations, annotation);
    json_t *value = text ? json_parse(text, strlen(text), NULL) : NULL;
    if (text != NULL) {
        json_object_del(annotations, annotation);
    }
    if (annotations != NULL && json_object_size(annotations) == 0) {
        json_object_del(json_object_get(object, "metadata"), "annotations");
    }
    return value;
}

static void from_storage(json_t *object, const struct resource *resource)
{
    if (strcmp(resource->version, "v1") != 0) {
        return;
    }
    json_t *spec = json_object_get(object, "spec"), *status = json_object_get(object, "status");
    const json_t *metrics = json_object_get(spec, "metrics");
    cleanup(json_release)
    json_t *others = json_array();
    json_t *utilization = first_cpu_utilization(metrics, "target");
    for (size_t i = 0; i < json_array_size(metrics); i++) {
        json_t *metric = json_array_get(metrics, i);
        if (utilization == NULL ||
            json_path(metric, "resource", "target", "averageUtilization") != utilization) {
            json_array_append(others, metric);
        }
    }
    if (utilization != NULL) {
        json_object_set(spec, "targetCPUUtilizationPercentage", utilization);
    }
    const json_t *observed = json_object_get(status, "currentMetrics");
    json_t *current_utilization = first_cpu_utilization(observed, "current");
    if (current_utilization != NULL) {
        json_object_set(status, "currentCPUUtilizationPercentage", current_utilization);
    }
    cleanup(json_release)
    json_t *flat = json_array_size(others) > 0 ? autoscaler_metrics_flatten(others) : NULL;
    cleanup(json_release)
    json_t *current = json_is_array(observed) ? autoscaler_metrics_flatten(observed) : NULL;
    keep(object, metrics_annotation, flat);
    keep(object, behavior_annotation, json_object_get(spec, "behavior"));
    keep(object, conditions_annotation, json_object_get(status, "conditions"));
    keep(object, current_annotation, current);
    json_object_del(spec, "metrics");
    json_object_del(spec, "behavior");
    json_object_del(status, "conditions");
    json_object_del(status, "currentMetrics");
    if (status != NULL && json_object_get(status, "currentReplicas") == NULL) {
        json_object_set_new(status, "currentReplicas", json_integer(0));
    }
}

static void to_storage(json_t *object, const struct resource *resource)
{
    if (strcmp(resource->version, "v1") != 0) {
        return;
    }
    json_t *spec = json_get_or_add_object(object, "spec");
    cleanup(json_release)
    json_t *kept = take_kept(object, metrics_annotation);
    json_t *metrics = autoscaler_metrics_nest(kept);
    json_t *utilization = json_object_get(spec, "targetCPUUtilizationPercentage");
    if (json_is_integer(utilization)) {
        json_array_insert_new(metrics, 0, cpu_metric(json_integer_value(utilization)));
    }
    json_object_del(spec, "targetCPUUtilizationPercentage");
    json_object_set_new(spec, "metrics", metrics);
    json_t *behavior = take_kept(object, behavior_annotation);
    if (behavior != NULL) {
        json_object_set_new(spec, "behavior", behavior);
    }
    json_t *conditions = take_kept(object, conditions_annotation);
    cleanup(json_release)
    json_t *current = take_kept(object, current_annotation);
    /* The annotation has it, too. */
    json_object_del(json_object_get(object, "status"), "currentCPUUtilizationPercentage");
    if (conditions != NULL) {
        json_object_set_new(json_get_or_add_object(object, "status"), "conditions", conditions);
    }
    if (current != NULL) {
        json_object_set_new(json_get_or_add_object(object, "status"), "currentMetrics",
                            autoscaler_metrics_nest(current));
    }
}

/* ---- what is off by default: HPAConfigurableTolerance ---- */

static const char *const directions[] = {"scaleUp", "scaleDown"};

static bool has_tolerance(const json_t *object)
{
    const json_t *behavior = json_path(object, "spec", "behavior");
    return json_path(behavior, directions[0], "tolerance") != NULL ||
           json_path(behavior, directions[1], "tolerance") != NULL;
}

/* As with any field of a feature that is off: it goes, unless it has been there before. */
static bool drop_tolerance(struct write *write, struct error *error)
{
    json_t *behavior = json_path(write->object, "spec", "behavior");
    (void)error;
    for (size_t i = 0; i < array_length(directions) && !has_tolerance(write->live); i++) {
        json_object_del(json_object_get(behavior, directions[i]), "tolerance");
    }
    return true;
}

const struct kind kind_autoscaler = {
    .group = "autoscaling",
    .plural = "horizontalpodautoscalers",
    .defaults = defaults,
    .prepare_create = drop_tolerance,
    .prepare_update = drop_tolerance,
    .validate = validate_autoscaler,
    .from_storage = from_storage,
    .to_storage = to_storage,
};

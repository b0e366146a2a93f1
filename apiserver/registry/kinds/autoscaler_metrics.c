// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/kinds/autoscaler_metrics.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

/* Where a member of a source stands in each form; 'flat' of an object's own reference is "target",
 * so it is looked at before what v2 calls so. */
static const struct {
    const char *source, *flat, *outer, *inner; /* inner NULL: 'outer' itself. */
} members[] = {
    {"object", "target", "describedObject", NULL},
    {"object", "metricName", "metric", "name"},
    {"object", "selector", "metric", "selector"},
    {"object", "targetValue", "target", "value"},
    {"object", "averageValue", "target", "averageValue"},
    {"object", "currentValue", "current", "value"},
    {"object", "currentAverageValue", "current", "averageValue"},
    {"pods", "metricName", "metric", "name"},
    {"pods", "selector", "metric", "selector"},
    {"pods", "targetAverageValue", "target", "averageValue"},
    {"pods", "currentAverageValue", "current", "averageValue"},
    {"external", "metricName", "metric", "name"},
    {"external", "metricSelector", "metric", "selector"},
    {"external", "targetValue", "target", "value"},
    {"external", "targetAverageValue", "target", "averageValue"},
    {"external", "currentValue", "current", "value"},
    {"external", "currentAverageValue", "current", "averageValue"},
    {"resource", "targetAverageUtilization", "target", "averageUtilization"},
    {"resource", "targetAverageValue", "target", "averageValue"},
    {"resource", "currentAverageUtilization", "current", "averageUtilization"},
    {"resource", "currentAverageValue", "current", "averageValue"},
    {"containerResource", "targetAverageUtilization", "target", "averageUtilization"},
    {"containerResource", "targetAverageValue", "target", "averageValue"},
    {"containerResource", "currentAverageUtilization", "current", "averageUtilization"},
    {"containerResource", "currentAverageValue", "current", "averageValue"},
};

static const char *const sources[] = {"object", "pods", "external", "resource",
                                      "containerResource"};

/* What is the same in both forms. */
static json_t *same_members(const json_t *source)
{
    static const char *const same[] = {"name", "container"};
    json_t *made = json_object();
    for (size_t i = 0; i < array_length(same); i++) {
        json_t *value = json_object_get(source, same[i]);
        if (value != NULL) {
            json_object_set(made, same[i], value);
        }
    }
    return made;
}

static json_t *flatten(const char *name, const json_t *source)
{
    json_t *flat = same_members(source);
    for (size_t i = 0; i < array_length(members); i++) {
        json_t *outer = json_object_get(source, members[i].outer);
        json_t *value = members[i].inner ? json_object_get(outer, members[i].inner) : outer;
        if (strcmp(members[i].source, name) == 0 && value != NULL) {
            json_object_set(flat, members[i].flat, value);
        }
    }
    return flat;
}

/* The flat form doesn't tell how it aims: by whatever is there. */
static void fill_type(json_t *nested)
{
    json_t *target = json_object_get(nested, "target");
    const char *type = json_object_get(target, "averageUtilization") ? "Utilization"
                       : json_object_get(target, "value")            ? "Value"
                                                                     : "AverageValue";
    if (target != NULL) {
        json_object_set_new(target, "type", json_string(type));
    }
}

static json_t *nest(const char *name, const json_t *source)
{
    json_t *nested = same_members(source);
    for (size_t i = 0; i < array_length(members); i++) {
        json_t *value = json_object_get(source, members[i].flat);
        if (strcmp(members[i].source, name) != 0 || value == NULL) {
            continue;
        }
        if (members[i].inner == NULL) {
            json_object_set(nested, members[i].outer, value);
        } else {
            json_object_set(json_get_or_add_object(nested, members[i].outer), members[i].inner,
                            value);
        }
    }
    fill_type(nested);
    return nested;
}

static bool is_nested(const json_t *source)
{
    return json_is_object(json_object_get(source, "metric")) ||
           json_is_object(json_object_get(source, "current")) ||
           json_path((json_t *)source, "target", "type") != NULL;
}

static json_t *convert(const json_t *metrics, bool flat)
{
    json_t *made = json_array();
    for (size_t i = 0; i < json_array_size(metrics); i++) {
        json_t *metric = json_copy(json_array_get(metrics, i));
        for (size_t at = 0; at < array_length(sources); at++) {
            const json_t *source = json_object_get(metric, sources[at]);
            if (json_is_object(source) && is_nested(source) == flat) {
                json_object_set_new(metric, sources[at],
                                    flat ? flatten(sources[at], source)
                                         : nest(sources[at], source));
            }
        }
        json_array_append_new(made, metric);
    }
    return made;
}

json_t *autoscaler_metrics_flatten(const json_t *metrics)
{
    return convert(metrics, true);
}

json_t *autoscaler_metrics_nest(const json_t *metrics)
{
    return convert(metrics, false);
}

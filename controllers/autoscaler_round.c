// SPDX-License-Identifier: Apache-2.0
#include "controllers/autoscaler_round.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/map.h"
#include "common/quantity.h"
#include "controllers/autoscaler_metrics.h"
#include "controllers/conditions.h"
#include "controllers/label_selector_text.h"

/* One metric of the spec. */
struct look {
    struct autoscaler_round *round;
    const json_t *source; /* What stands under the name of its type. */
    struct autoscaler_proposal proposal;
    json_t *current; /* For the status; NULL: it could not be had. The caller's. */
    char *name;      /* For people; the caller's. */
};

static const char *namespace_of(const struct look *look)
{
    return json_path_string(look->round->autoscaler, "metadata", "namespace");
}

static const char *selector_of(const struct look *look)
{
    const char *text = json_path_string(look->round->scale, "status", "selector");
    return text != NULL ? text : "";
}

static int32_t replicas_in(const struct look *look, const char *part)
{
    return (int32_t)json_get_int(json_object_get(look->round->scale, part), "replicas", 0);
}

static json_t *amount(int64_t milli)
{
    struct quantity quantity = {(__int128)milli * 1000000, QUANTITY_DECIMAL_SI};
    char text[QUANTITY_SIZE];
    quantity_format(&quantity, text);
    return json_string(text);
}

static bool target_amount(const struct look *look, const char *name, int64_t *milli)
{
    const char *text = json_path_string(look->source, "target", name);
    struct quantity quantity;
    if (text == NULL || !quantity_parse(text, &quantity)) {
        return false;
    }
    *milli = quantity_milli_value(&quantity);
    return true;
}

/* ---- pods ---- */

static bool add_request(const json_t *container, const char *resource, const char *pod,
                        int64_t *milli, struct error *error)
{
    const char *text = json_path_string(container, "resources", "requests", resource);
    struct quantity quantity;
    if (text == NULL || !quantity_parse(text, &quantity)) {
        return error_internal(error, "missing request for %s in container %s of Pod %s", resource,
                              json_get_string(container, "name"), pod);
    }
    *milli += quantity_milli_value(&quantity);
    return true;
}

static bool is_sidecar(const json_t *container)
{
    const char *policy = json_get_string(container, "restartPolicy");
    return policy != NULL && strcmp(policy, "Always") == 0;
}

bool autoscaler_pod_request(const json_t *pod, const char *resource, const char *container,
                            int64_t *milli, struct error *error)
{
    static const char *const lists[] = {"containers", "initContainers"};
    const json_t *spec = json_object_get(pod, "spec");
    const char *whole = json_path_string(spec, "resources", "requests", resource);
    const char *name = json_path_string(pod, "metadata", "name");
    struct quantity quantity;
    *milli = 0;
    if (container[0] == '\0' && whole != NULL && quantity_parse(whole, &quantity)) {
        *milli = quantity_milli_value(&quantity);
        return true;
    }
    for (size_t list = 0; list < array_length(lists); list++) {
        size_t i;
        const json_t *one;
        json_array_foreach (json_object_get(spec, lists[list]), i, one) {
            bool wanted =
                container[0] == '\0' || strcmp(container, json_get_string(one, "name")) == 0;
            if (!wanted || (list > 0 && !is_sidecar(one))) {
                continue;
            }
            if (!add_request(one, resource, name, milli, error)) {
                return false;
            }
            if (container[0] != '\0') {
                return true;
            }
        }
    }
    return container[0] == '\0' ||
           error_internal(error, "container %s not found in Pod %s", container, name);
}

static struct autoscaler_pod pod_of(const struct cached_object *object)
{
    const struct pod_view *view = pod_view(object);
    return (struct autoscaler_pod){
        .name = object->name,
        .is_listed = true,
        .is_deleting = object->is_deleting,
        .phase = view->phase,
        .has_condition = view->is_ready || view->is_unready || view->ready_since != 0,
        .is_ready = view->is_ready,
        .is_unready = view->is_unready,
        .ready_since = view->ready_since,
        .start_time = view->start_time,
    };
}

/* The pods with their samples; the caller's. Those of samples come after those of the list. */
static struct autoscaler_pod *join(const struct cached_list *list,
                                   const struct autoscaler_samples *samples, size_t *count)
{
    struct autoscaler_pod *pods = allocate_zero(list->count + samples->count + 1, sizeof *pods);
    struct map by_name = MAP_INIT;
    for (size_t i = 0; i < list->count; i++) {
        pods[i] = pod_of(list->items[i]);
        map_set(&by_name, pods[i].name, &pods[i]);
    }
    *count = list->count;
    for (size_t i = 0; i < samples->count; i++) {
        const struct autoscaler_sample *sample = &samples->list[i];
        struct autoscaler_pod *pod = map_get(&by_name, sample->pod);
        if (pod == NULL) {
            pod = &pods[(*count)++];
            pod->name = sample->pod;
            map_set(&by_name, pod->name, pod);
        }
        pod->has_metric = true;
        pod->value = sample->value;
        pod->metric_time = sample->time;
        pod->metric_window = sample->window;
    }
    map_free(&by_name, NULL);
    return pods;
}

static struct autoscaler_scene scene_of(const struct look *look, const struct autoscaler_pod *pods,
                                        size_t count)
{
    const struct autoscaler_round *round = look->round;
    return (struct autoscaler_scene){
        .pods = pods,
        .pod_count = count,
        .current = replicas_in(look, "spec"),
        .tolerance = round->tolerance,
        .now = round->now,
        .cpu_initialization_period = round->cpu_initialization_period,
        .initial_readiness_delay = round->initial_readiness_delay,
    };
}

static bool read_requests(const struct look *look, const char *resource, const char *container,
                          struct autoscaler_pod *pods, struct error *error)
{
    const struct cached_list *list = look->round->pods;
    for (size_t i = 0; i < list->count; i++) {
        cleanup(json_release)
        json_t *pod = cached_object_tree(list->items[i]);
        if (!autoscaler_pod_request(pod, resource, container, &pods[i].request, error)) {
            return false;
        }
    }
    return true;
}

/* ---- resources ---- */

static bool by_resource(struct look *look, const char *resource, const char *container,
                        int64_t average, json_int_t percent, struct error *error)
{
    cleanup(autoscaler_samples_free)
    struct autoscaler_samples samples = AUTOSCALER_SAMPLES_INIT;
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (!autoscaler_metrics_of_resource(look->round->targets->client, namespace_of(look),
                                        selector_of(look), resource, container, &samples, &why)) {
        return error_wrap(error, &why, "unable to get metrics for resource %s", resource);
    }
    size_t count;
    struct autoscaler_pod *pods = join(look->round->pods, &samples, &count);
    struct autoscaler_scene scene = scene_of(look, pods, count);
    scene.is_cpu = strcmp(resource, "cpu") == 0;
    bool done = percent > 0 ? read_requests(look, resource, container, pods, error) &&
                                  autoscaler_by_utilization(&scene, (int32_t)percent,
                                                            &look->proposal, error)
                            : autoscaler_by_average(&scene, average, &look->proposal, error);
    free(pods);
    return done;
}

static bool look_at_resource(struct look *look, const char *container, struct error *error)
{
    const char *resource = json_get_string(look->source, "name");
    json_int_t percent =
        json_get_int(json_object_get(look->source, "target"), "averageUtilization", 0);
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    int64_t average = 0;
    bool is_average = target_amount(look, "averageValue", &average);
    if (!is_average && percent <= 0) {
        return error_internal(error, "invalid resource metric source: neither an average "
                                     "utilization target nor an average value (usage) target was "
                                     "set");
    }
    if (!by_resource(look, resource, container, average, is_average ? 0 : percent, &why)) {
        return error_wrap(error, &why, "failed to get %s %s", resource,
                          is_average ? "usage" : "utilization");
    }
    look->name = format(is_average             ? "%s resource"
                        : container[0] != '\0' ? "%s container resource utilization (percentage of "
                                                 "request)"
                                               : "%s resource utilization (percentage of request)",
                        resource);
    json_t *value = json_pack("{s:o}", "averageValue", amount(look->proposal.value));
    if (!is_average) {
        json_object_set_new(value, "averageUtilization", json_integer(look->proposal.utilization));
    }
    look->current = json_pack("{s:s, s:o}", "name", resource, "current", value);
    if (container[0] != '\0') {
        json_object_set_new(look->current, "container", json_string(container));
    }
    return true;
}

static bool look_at_whole(struct look *look, struct error *error)
{
    return look_at_resource(look, "", error);
}

static bool look_at_container(struct look *look, struct error *error)
{
    return look_at_resource(look, json_get_string(look->source, "container"), error);
}

/* ---- metrics of pods, objects and the world ---- */

static const json_t *metric_of(const struct look *look)
{
    return json_object_get(look->source, "metric");
}

static void show(struct look *look, const char *value_name)
{
    look->current = json_pack("{s:O, s:{s:o}}", "metric", metric_of(look), "current", value_name,
                              amount(look->proposal.value));
}

static bool look_at_pods(struct look *look, struct error *error)
{
    const char *name = json_get_string(metric_of(look), "name");
    cleanup(autoscaler_samples_free)
    struct autoscaler_samples samples = AUTOSCALER_SAMPLES_INIT;
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    int64_t target = 0;
    target_amount(look, "averageValue", &target);
    if (!autoscaler_metrics_of_pods(look->round->targets, namespace_of(look), selector_of(look),
                                    metric_of(look), &samples, &why)) {
        return error_wrap(error, &why, "unable to get metric %s", name);
    }
    size_t count;
    struct autoscaler_pod *pods = join(look->round->pods, &samples, &count);
    struct autoscaler_scene scene = scene_of(look, pods, count);
    bool done = autoscaler_by_average(&scene, target, &look->proposal, error);
    free(pods);
    if (done) {
        look->name = format("pods metric %s", name);
        show(look, "averageValue");
    }
    return done;
}

/* What a value asks for, as a whole or shared among the pods. */
static bool weigh(struct look *look, int64_t value, struct error *error)
{
    int64_t target = 0;
    if (target_amount(look, "averageValue", &target)) {
        autoscaler_by_share(replicas_in(look, "status"), look->round->tolerance, value, target,
                            &look->proposal);
        return true;
    }
    target_amount(look, "value", &target);
    cleanup(autoscaler_samples_free)
    struct autoscaler_samples none = AUTOSCALER_SAMPLES_INIT;
    size_t count;
    struct autoscaler_pod *pods = join(look->round->pods, &none, &count);
    struct autoscaler_scene scene = scene_of(look, pods, count);
    bool done = autoscaler_by_value(&scene, value, target, &look->proposal, error);
    free(pods);
    return done;
}

static bool has_target(const struct look *look, const char *what, struct error *error)
{
    int64_t target;
    return target_amount(look, "averageValue", &target) || target_amount(look, "value", &target) ||
           error_internal(error,
                          "invalid %s metric source: neither a value target nor an average value "
                          "target was set",
                          what);
}

static bool is_shared(const struct look *look)
{
    return json_path(look->source, "target", "averageValue") != NULL;
}

/* "external metric queue(nil)": upstream says so of shared metrics of objects as well. */
static char *external_name(const struct look *look)
{
    cleanup(free_char)
    char *selector = label_selector_text(json_object_get(metric_of(look), "selector"));
    return format("external metric %s(%s)", json_get_string(metric_of(look), "name"), selector);
}

static bool look_at_object(struct look *look, struct error *error)
{
    json_t *object = json_object_get(look->source, "describedObject");
    const char *name = json_get_string(metric_of(look), "name");
    const char *kind = json_get_string(object, "kind");
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    int64_t value;
    if (!has_target(look, "object", error)) {
        return false;
    }
    if (!autoscaler_metrics_of_object(look->round->targets, namespace_of(look), object,
                                      metric_of(look), &value, &why)) {
        return error_wrap(error, &why, "unable to get metric %s on %s %s/%s", name, kind,
                          namespace_of(look), json_get_string(object, "name"));
    }
    if (!weigh(look, value, error)) {
        return false;
    }
    look->name = is_shared(look) ? external_name(look) : format("%s metric %s", kind, name);
    show(look, is_shared(look) ? "averageValue" : "value");
    json_object_set(look->current, "describedObject", object);
    return true;
}

static bool look_at_external(struct look *look, struct error *error)
{
    cleanup(free_char)
    char *selector = label_selector_text(json_object_get(metric_of(look), "selector"));
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    int64_t sum;
    if (!has_target(look, "external", error)) {
        return false;
    }
    if (!autoscaler_metrics_external(look->round->targets->client, namespace_of(look),
                                     metric_of(look), &sum, &why)) {
        return error_wrap(error, &why, "unable to get external metric %s/%s/%s", namespace_of(look),
                          json_get_string(metric_of(look), "name"), selector);
    }
    if (!weigh(look, sum, error)) {
        return false;
    }
    look->name = external_name(look);
    show(look, is_shared(look) ? "averageValue" : "value");
    return true;
}

/* ---- all metrics ---- */

static const struct type {
    const char *name, *member, *reason;
    bool (*look)(struct look *look, struct error *error);
} types[] = {
    {"Resource", "resource", "FailedGetResourceMetric", look_at_whole},
    {"ContainerResource", "containerResource", "FailedGetContainerResourceMetric",
     look_at_container},
    {"Pods", "pods", "FailedGetPodsMetric", look_at_pods},
    {"Object", "object", "FailedGetObjectMetric", look_at_object},
    {"External", "external", "FailedGetExternalMetric", look_at_external},
};

static const struct type *type_of(const json_t *metric)
{
    const char *name = json_get_string(metric, "type");
    for (size_t i = 0; name != NULL && i < array_length(types); i++) {
        if (strcmp(types[i].name, name) == 0) {
            return &types[i];
        }
    }
    return NULL;
}

static void tell(const struct autoscaler_round *round, const char *reason, const char *message)
{
    if (round->events != NULL) {
        event_record_about(round->events, round->autoscaler, "Warning", reason, "%s", message);
    }
}

/* What a failure is called where all are summed up. */
static void wrap(const struct look *look, const struct type *type, struct error *why,
                 struct error *error)
{
    const char *name = json_get_string(metric_of(look), "name");
    if (type->look == look_at_object) {
        if (is_shared(look)) {
            error_wrap(why, why, "failed to get %s object metric", name);
        }
        error_wrap(error, why, "failed to get object metric value");
    } else if (type->look == look_at_pods) {
        error_wrap(error, why, "failed to get pods metric value");
    } else if (type->look == look_at_external) {
        error_wrap(why, why,
                   is_shared(look) ? "failed to get %s external metric"
                                   : "failed to get external metric %s",
                   name);
        error_wrap(error, why, "failed to get %s external metric value", name);
    } else {
        bool is_container = type->look == look_at_container;
        error_wrap(error, why,
                   is_container ? "failed to get %s container metric value"
                                : "failed to get %s resource metric value",
                   json_get_string(look->source, is_container ? "container" : "name"));
    }
}

/* The failures of a round. */
struct failures {
    size_t count;
    struct error first;
    const char *reason; /* Of the first. */
    char *message;      /* For the condition. */
};

static void note_failure(struct failures *failures, const struct look *look,
                         const struct type *type, struct error *why)
{
    tell(look->round, type->reason, why->message);
    if (failures->count++ == 0) {
        failures->reason = type->reason;
        failures->message =
            format("the HPA was unable to compute the replica count: %s", why->message);
        wrap(look, type, why, &failures->first);
    }
}

static json_t *status_of(const struct type *type, struct look *look)
{
    return look->current != NULL
               ? json_pack("{s:s, s:o}", "type", type->name, type->member, steal(look->current))
               : json_pack("{s:s}", "type", "");
}

static void look_at(struct autoscaler_round *round, const json_t *metric, struct failures *failures)
{
    const struct type *type = type_of(metric);
    if (type == NULL) {
        return; /* The API's validation lets no other pass. */
    }
    struct look look = {.round = round, .source = json_object_get(metric, type->member)};
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (!type->look(&look, &why)) {
        note_failure(failures, &look, type, &why);
    } else if (round->metric == NULL || look.proposal.replicas > round->replicas) {
        free(round->metric);
        round->metric = steal(look.name);
        round->replicas = look.proposal.replicas;
    }
    json_array_append_new(round->statuses, status_of(type, &look));
    free(look.name);
}

static bool conclude(struct autoscaler_round *round, struct failures *failures, size_t metrics,
                     struct error *partly, struct error *error)
{
    json_int_t current = json_get_int(json_object_get(round->scale, "spec"), "replicas", 0);
    if (failures->count > 0) {
        error_wrap(&failures->first, &failures->first,
                   "invalid metrics (%zu invalid out of %zu), first error is", failures->count,
                   metrics);
    }
    if (failures->count >= metrics || (failures->count > 0 && round->replicas < current)) {
        if (failures->count > 0) {
            condition_set(round->conditions, "ScalingActive", "False", failures->reason,
                          failures->message, false);
            return error_move(error, &failures->first);
        }
        return error_internal(error, "there are no metrics");
    }
    cleanup(free_char)
    char *message =
        format("the HPA was able to successfully calculate a replica count from %s", round->metric);
    condition_set(round->conditions, "ScalingActive", "True", "ValidMetricFound", message, false);
    error_move(partly, &failures->first);
    return true;
}

bool autoscaler_round_run(struct autoscaler_round *round, struct error *partly, struct error *error)
{
    const json_t *metrics = json_path(round->autoscaler, "spec", "metrics");
    struct failures failures = {0};
    size_t i;
    const json_t *metric;
    round->statuses = json_array();
    json_array_foreach (metrics, i, metric) {
        look_at(round, metric, &failures);
    }
    bool done = conclude(round, &failures, json_array_size(metrics), partly, error);
    error_clear(&failures.first);
    free(failures.message);
    return done;
}

void autoscaler_round_clear(struct autoscaler_round *round)
{
    json_decref(round->statuses);
    round->statuses = NULL;
    free(steal(round->metric));
}

// SPDX-License-Identifier: Apache-2.0
#include "controllers/autoscaler_metrics.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/quantity.h"
#include "common/timestamp.h"
#include "controllers/label_selector_text.h"

static const int64_t second = 1000000000;
static const char custom_group[] = "custom.metrics.k8s.io";

enum { custom_window_seconds = 60 }; /* Of a metric that does not tell. */

/* ---- helpers ---- */

void autoscaler_samples_free(struct autoscaler_samples *samples)
{
    for (size_t i = 0; i < samples->count; i++) {
        free(samples->list[i].pod);
    }
    free(samples->list);
    *samples = AUTOSCALER_SAMPLES_INIT;
}

static void add_sample(struct autoscaler_samples *samples, const char *pod,
                       struct autoscaler_sample sample)
{
    samples->list = grow(samples->list, samples->count, &samples->capacity, sizeof *samples->list);
    sample.pod = duplicate(pod);
    samples->list[samples->count++] = sample;
}

static bool read_amount(const json_t *object, const char *name, int64_t *milli)
{
    const char *text = json_get_string(object, name);
    struct quantity quantity;
    if (text == NULL || !quantity_parse(text, &quantity)) {
        return false;
    }
    *milli = quantity_milli_value(&quantity);
    return true;
}

static int64_t read_time(const json_t *object)
{
    const char *text = json_get_string(object, "timestamp");
    int64_t time;
    return text != NULL && timestamp_parse(text, &time) ? time : 0;
}

static int64_t sum_of(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* GET; consumes the path. 'what' names the API, and 'name' what is asked for where the server knows
 * no such path, as client-go does. */
static json_t *ask(struct client *client, char *path, const char *what, const char *name,
                   struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    json_t *answer =
        client_call(client, (struct client_request){.method = "GET", .path = path}, &why);
    if (answer == NULL && why.code == 404 && name != NULL &&
        strcmp(why.message, "the server could not find the requested resource") == 0) {
        error_set(error, 404, "NotFound",
                  "unable to fetch metrics from %s: the server could not find the requested "
                  "resource (get %s)",
                  what, name);
    } else if (answer == NULL) {
        error_wrap(error, &why, "unable to fetch metrics from %s", what);
    }
    return answer;
}

/* ---- metrics.k8s.io ---- */

static bool read_container(const json_t *item, const char *resource, const char *container,
                           int64_t *value, bool *found, struct error *error)
{
    size_t i;
    const json_t *one;
    json_array_foreach (json_object_get(item, "containers"), i, one) {
        const char *name = json_get_string(one, "name");
        if (name != NULL && strcmp(name, container) == 0) {
            *found = read_amount(json_object_get(one, "usage"), resource, value);
            return true;
        }
    }
    return error_internal(error,
                          "failed to get container metrics: container %s not present in metrics "
                          "for pod %s/%s",
                          container, json_path_string(item, "metadata", "namespace"),
                          json_path_string(item, "metadata", "name"));
}

/* False when a container lacks the resource, or there is none. */
static bool sum_containers(const json_t *item, const char *resource, int64_t *sum)
{
    const json_t *containers = json_object_get(item, "containers");
    size_t i;
    const json_t *one;
    *sum = 0;
    json_array_foreach (containers, i, one) {
        int64_t value;
        if (!read_amount(json_object_get(one, "usage"), resource, &value)) {
            return false;
        }
        *sum = sum_of(*sum, value);
    }
    return json_array_size(containers) > 0;
}

bool autoscaler_samples_read(const json_t *list, const char *resource, const char *container,
                             struct autoscaler_samples *samples, struct error *error)
{
    size_t i;
    const json_t *item;
    const json_t *items = json_object_get(list, "items");
    if (json_array_size(items) == 0) {
        return error_internal(error, "no metrics returned from resource metrics API");
    }
    json_array_foreach (items, i, item) {
        const char *pod = json_path_string(item, "metadata", "name");
        const char *window = json_get_string(item, "window");
        struct autoscaler_sample sample = {.time = read_time(item)};
        bool found = false;
        if (container[0] == '\0') {
            found = sum_containers(item, resource, &sample.value);
        } else if (!read_container(item, resource, container, &sample.value, &found, error)) {
            return false;
        }
        if (window != NULL) {
            duration_parse(window, &sample.window);
        }
        if (found && pod != NULL) {
            add_sample(samples, pod, sample);
        }
    }
    return true;
}

bool autoscaler_metrics_of_resource(struct client *client, const char *namespace,
                                    const char *selector, const char *resource,
                                    const char *container, struct autoscaler_samples *samples,
                                    struct error *error)
{
    static const struct api_resource pods = {"metrics.k8s.io/v1beta1", "pods", "PodMetrics", true};
    char *path = client_path_with(client_path(&pods, namespace, NULL, NULL),
                                  (const char *[]){"labelSelector", selector, NULL});
    cleanup(json_release)
    json_t *list = ask(client, path, "resource metrics API", "pods.metrics.k8s.io", error);
    return list != NULL && autoscaler_samples_read(list, resource, container, samples, error);
}

/* ---- custom.metrics.k8s.io ---- */

/* Its group version; the caller's. NULL with an error. */
static char *find_custom(struct autoscaler_targets *targets, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    char *version = autoscaler_targets_version(targets, custom_group, &why);
    if (version == NULL) {
        if (!error_is_set(&why)) {
            error_internal(&why, "no custom metrics API (%s) registered", custom_group);
        }
        error_wrap(error, &why, "unable to fetch metrics from custom metrics API");
    }
    return version;
}

static json_t *ask_custom(struct autoscaler_targets *targets, char *path, const char *selector,
                          const json_t *metric, struct error *error)
{
    cleanup(free_char)
    char *of_metric = label_selector_query(json_object_get(metric, "selector"));
    return ask(targets->client,
               client_path_with(path, (const char *[]){"labelSelector", selector,
                                                       "metricLabelSelector", of_metric, NULL}),
               "custom metrics API", NULL, error);
}

bool autoscaler_metrics_of_pods(struct autoscaler_targets *targets, const char *namespace,
                                const char *selector, const json_t *metric,
                                struct autoscaler_samples *samples, struct error *error)
{
    cleanup(free_char)
    char *version = find_custom(targets, error);
    if (version == NULL) {
        return false;
    }
    const struct api_resource pods = {version, "pods", "Pod", true};
    cleanup(json_release)
    json_t *list =
        ask_custom(targets, client_path(&pods, namespace, "*", json_get_string(metric, "name")),
                   selector, metric, error);
    const json_t *items = json_object_get(list, "items");
    if (list != NULL && json_array_size(items) == 0) {
        return error_internal(error, "no metrics returned from custom metrics API");
    }
    size_t i;
    const json_t *item;
    json_array_foreach (items, i, item) {
        const char *pod = json_path_string(item, "describedObject", "name");
        int64_t seconds = json_get_int(item, "windowSeconds", custom_window_seconds);
        struct autoscaler_sample sample = {.time = read_time(item), .window = seconds * second};
        if (pod != NULL && read_amount(item, "value", &sample.value)) {
            add_sample(samples, pod, sample);
        }
    }
    return list != NULL;
}

/* "ingresses.networking.k8s.io"; the caller's. */
static char *qualified(const struct autoscaler_resource *resource)
{
    const char *slash = strchr(resource->group_version, '/');
    return slash != NULL ? format("%s.%.*s", resource->plural,
                                  (int)(slash - resource->group_version), resource->group_version)
                         : duplicate(resource->plural);
}

/* A namespace's own metrics are asked for by another path; whichever it names, it is the
 * autoscaler's. */
static char *object_path(struct autoscaler_targets *targets, const char *namespace,
                         const json_t *object, const char *metric, struct error *error)
{
    const char *api_version = json_get_string(object, "apiVersion");
    const char *kind = json_get_string(object, "kind");
    cleanup(autoscaler_resource_clear)
    struct autoscaler_resource found = {0};
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    api_version = api_version != NULL ? api_version : "";
    bool is_namespace = strcmp(kind, "Namespace") == 0 && strchr(api_version, '/') == NULL;
    if (!is_namespace && !autoscaler_targets_find(targets, api_version, kind, &found, &why)) {
        error_wrap(error, &why, "unable to fetch metrics from custom metrics API");
        return NULL;
    }
    cleanup(free_char)
    char *version = find_custom(targets, error);
    if (version == NULL) {
        return NULL;
    }
    cleanup(free_char)
    char *plural = is_namespace ? duplicate("metrics") : qualified(&found);
    const struct api_resource described = {version, plural, kind, true};
    return is_namespace
               ? client_path(&described, namespace, metric, NULL)
               : client_path(&described, namespace, json_get_string(object, "name"), metric);
}

bool autoscaler_metrics_of_object(struct autoscaler_targets *targets, const char *namespace,
                                  const json_t *object, const json_t *metric, int64_t *value,
                                  struct error *error)
{
    char *path = object_path(targets, namespace, object, json_get_string(metric, "name"), error);
    cleanup(json_release)
    json_t *list = path != NULL ? ask_custom(targets, path, "", metric, error) : NULL;
    const json_t *items = json_object_get(list, "items");
    if (list == NULL) {
        return false;
    }
    if (json_array_size(items) != 1 || !read_amount(json_array_get(items, 0), "value", value)) {
        return error_internal(error,
                              "unable to fetch metrics from custom metrics API: the custom metrics "
                              "API server returned %zu results when we asked for exactly one",
                              json_array_size(items));
    }
    return true;
}

/* ---- external.metrics.k8s.io ---- */

bool autoscaler_metrics_external(struct client *client, const char *namespace, const json_t *metric,
                                 int64_t *sum, struct error *error)
{
    const char *name = json_get_string(metric, "name");
    const struct api_resource values = {"external.metrics.k8s.io/v1beta1", name,
                                        "ExternalMetricValue", true};
    cleanup(free_char)
    char *selector = label_selector_query(json_object_get(metric, "selector"));
    cleanup(free_char)
    char *known_as = format("%s.external.metrics.k8s.io", name);
    char *path = client_path_with(client_path(&values, namespace, NULL, NULL),
                                  (const char *[]){"labelSelector", selector, NULL});
    cleanup(json_release)
    json_t *list = ask(client, path, "external metrics API", known_as, error);
    const json_t *items = json_object_get(list, "items");
    if (list != NULL && json_array_size(items) == 0) {
        return error_internal(error, "no metrics returned from external metrics API");
    }
    size_t i;
    const json_t *item;
    *sum = 0;
    json_array_foreach (items, i, item) {
        int64_t value;
        if (read_amount(item, "value", &value)) {
            *sum = sum_of(*sum, value);
        }
    }
    return list != NULL;
}

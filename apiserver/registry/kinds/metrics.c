// SPDX-License-Identifier: Apache-2.0
/*
 * metrics.k8s.io, as a metrics server answers it: NodeMetrics and PodMetrics, made when they are
 * asked for of the objects in the cache and of what nodes last said, and never stored. And the
 * NodeReport by which a node says it.
 */
#include <string.h>

#include "apiserver/registry/decode.h"
#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/list_query.h"
#include "apiserver/registry/usage_reports.h"
#include "apiserver/views/render.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/quantity.h"
#include "common/timestamp.h"

/* ---- reports ---- */

struct reporter {
    struct registry *registry;
    const char *node;
};

static bool is_text(const char *text, size_t length, const char *other)
{
    return strlen(other) == length && memcmp(text, other, length) == 0;
}

static char *uid_of(const struct object *object)
{
    struct json_span uid;
    json_scan_until_met(object->bytes, object->length, (const char *[]){"metadata.uid"}, 1, &uid);
    char *text = json_span_value(uid);
    return text != NULL ? text : duplicate("");
}

/* A pod that is gone, or has just been replaced, is left out; one of another node is no business of
 * this one. */
static bool has_pod(void *argument, const char *key, const char *uid, struct error *error)
{
    const struct reporter *reporter = argument;
    const struct resource *pods = registry_resource(reporter->registry, "", "pods");
    cleanup(object_release)
    struct object *pod = cache_get(cache_table(reporter->registry->cache, pods), key);
    cleanup(free_char)
    char *live_uid = pod != NULL ? uid_of(pod) : NULL;
    if (live_uid == NULL || strcmp(live_uid, uid) != 0) {
        return false;
    }
    size_t length;
    const char *node = object_field(pod, "spec.nodeName", &length);
    return is_text(node, length, reporter->node) ||
           error_forbidden(error, "", "pods", object_name(pod),
                           "node \"%s\" can only report on pods with spec.nodeName set to itself",
                           reporter->node);
}

static struct usage_report *decode_report(struct registry *registry, struct request *request,
                                          struct response *response, struct error *error)
{
    const struct resource *resource = request->resource;
    const char *node = request->info.name;
    cleanup(json_release)
    json_t *tree = decode_body(request, response, resource->schema, resource->group,
                               resource->version, resource->kind, error);
    if (tree == NULL) {
        return NULL;
    }
    const char *name = json_path_string(tree, "metadata", "name");
    if (name == NULL || strcmp(name, node) != 0) {
        error_bad_request(error,
                          "the name of the object (%s) does not match the name on the URL (%s)",
                          name != NULL ? name : "", node);
        return NULL;
    }
    cleanup(object_release)
    struct object *object =
        registry_get(registry, registry_resource(registry, "", "nodes"), "", node);
    if (object == NULL) {
        error_not_found(error, "", "nodes", node);
        return NULL;
    }
    struct reporter reporter = {registry, node};
    return usage_report_new(tree, has_pod, &reporter, error);
}

static void serve_report(struct registry *registry, struct request *request,
                         struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct usage_report *report = decode_report(registry, request, response, &error);
    if (report == NULL) {
        response_set_error(response, request, &error);
        return;
    }
    usage_reports_put(registry->usage, request->info.name, report, timestamp_monotonic());
    cleanup(json_release)
    json_t *status = json_pack("{s:s, s:s, s:{}, s:s}", "kind", "Status", "apiVersion", "v1",
                               "metadata", "status", "Success");
    response_set_json(response, request, 200, status);
}

/* ---- answers, as text in canonical form ---- */

static void add_usage(const struct usage *usage, struct buffer *out)
{
    struct quantity cpu = {usage->cpu_nano, QUANTITY_DECIMAL_SI};
    struct quantity memory = {(__int128)usage->memory_bytes * 1000000000, QUANTITY_BINARY_SI};
    char cpu_text[QUANTITY_SIZE], memory_text[QUANTITY_SIZE];
    quantity_format(&cpu, cpu_text);
    quantity_format(&memory, memory_text);
    buffer_addf(out, "\"usage\":{\"cpu\":\"%s\",\"memory\":\"%s\"}", cpu_text, memory_text);
}

/* Up to and with the window; 'object' is the node or pod. */
static void add_head(const char *kind, const struct object *object,
                     const struct usage_report *report, struct buffer *out)
{
    char now[TIMESTAMP_SIZE], received[TIMESTAMP_SIZE], window[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    timestamp_format(report->received, received);
    duration_format(report->window_ns, window);
    buffer_addf(out,
                "{\"kind\":\"%s\",\"apiVersion\":\"metrics.k8s.io/v1beta1\",\"metadata\":{"
                "\"name\":\"%s\"",
                kind, object_name(object));
    if (object->namespace_length > 0) {
        buffer_addf(out, ",\"namespace\":\"%.*s\"", (int)object->namespace_length, object->key);
    }
    buffer_addf(out, ",\"creationTimestamp\":\"%s\"", now);
    if (object->labels.length > 0) {
        buffer_add_literal(out, ",\"labels\":");
        buffer_add(out, object->bytes + object->labels.start, object->labels.length);
    }
    buffer_addf(out, "},\"timestamp\":\"%s\",\"window\":\"%s\",", received, window);
}

static bool add_node(struct registry *registry, const struct object *node, struct buffer *out)
{
    const char *name = object_name(node);
    cleanup(usage_report_release)
    struct usage_report *report =
        usage_reports_get(registry->usage, name, strlen(name), timestamp_monotonic());
    if (report == NULL) {
        return false;
    }
    add_head("NodeMetrics", node, report, out);
    add_usage(&report->usage, out);
    buffer_add_char(out, '}');
    return true;
}

static void add_containers(const struct pod_usage *pod, struct buffer *out)
{
    buffer_add_literal(out, "\"containers\":[");
    for (size_t i = 0; i < pod->container_count; i++) {
        const struct container_usage *container = &pod->containers[i];
        cleanup(json_release)
        json_t *name = json_string(container->name);
        buffer_add_text(out, i > 0 ? ",{\"name\":" : "{\"name\":");
        json_encode(name, out);
        buffer_add_char(out, ',');
        add_usage(&container->usage, out);
        buffer_add_char(out, '}');
    }
    buffer_add_literal(out, "]}");
}

/* Only of pods that run, as a metrics server tells of. */
static bool add_pod(struct registry *registry, const struct object *pod, struct buffer *out)
{
    size_t length;
    const char *phase = object_field(pod, "status.phase", &length);
    if (!is_text(phase, length, "Running")) {
        return false;
    }
    const char *node = object_field(pod, "spec.nodeName", &length);
    cleanup(usage_report_release)
    struct usage_report *report =
        usage_reports_get(registry->usage, node, length, timestamp_monotonic());
    if (report == NULL) {
        return false;
    }
    cleanup(free_char)
    char *uid = uid_of(pod);
    const struct pod_usage *usage = usage_report_pod(report, pod->key, uid);
    if (usage == NULL || usage->container_count == 0) {
        return false;
    }
    add_head("PodMetrics", pod, report, out);
    add_containers(usage, out);
    return true;
}

/* ---- serving ---- */

/* How one of the two kinds is made of objects of another. */
struct maker {
    const char *of;        /* The plural of those, in the core group. */
    const char *kind_name; /* In answers that there is none. */
    bool (*add)(struct registry *registry, const struct object *object, struct buffer *out);
};

static const struct maker node_maker = {"nodes", "nodemetrics", add_node};
static const struct maker pod_maker = {"pods", "podmetrics", add_pod};

/* NULL when nothing is known of the object, or with an error. The caller's. */
static struct object *make(const struct maker *maker, struct registry *registry,
                           const struct resource *resource, const struct object *object,
                           struct error *error)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    return maker->add(registry, object, &text)
               ? object_new(usage_reports_class(registry->usage, resource), object->key, text.bytes,
                            text.length, 0, error)
               : NULL;
}

static void serve_get(const struct maker *maker, struct registry *registry,
                      struct renderer *renderer, struct request *request, struct response *response,
                      struct error *error)
{
    const struct request_info *info = &request->info;
    const struct resource *resource = request->resource;
    cleanup(object_release)
    struct object *object = registry_get(registry, registry_resource(registry, "", maker->of),
                                         resource->namespaced ? info->namespace : "", info->name);
    if (object == NULL) {
        error_not_found(error, "", maker->of, info->name);
        return;
    }
    cleanup(object_release)
    struct object *metrics = make(maker, registry, resource, object, error);
    if (metrics != NULL) {
        render_object(renderer, request, response, 200, metrics, 0);
    } else if (!error_is_set(error)) {
        error_not_found(error, resource->group, maker->kind_name, object->key);
    }
}

static void serve_list(const struct maker *maker, struct registry *registry,
                       struct renderer *renderer, struct request *request,
                       struct response *response, struct error *error)
{
    cleanup(list_query_clear)
    struct list_query query = {0};
    if (!list_query_parse(request, &query, error)) {
        return;
    }
    cleanup(free_char)
    char *prefix = list_query_prefix(request, &query);
    const struct resource *resource = registry_resource(registry, "", maker->of);
    struct snapshot *present = cache_snapshot(cache_table(registry->cache, resource), prefix);
    struct object **made = allocate_zero(present->count + 1, sizeof(struct object *));
    size_t count = 0;
    for (size_t i = 0; i < present->count && !error_is_set(error); i++) {
        if (list_query_matches(&query, present->objects[i])) {
            made[count] = make(maker, registry, request->resource, present->objects[i], error);
            count += made[count] != NULL;
        }
    }
    snapshot_free(present);
    struct snapshot *snapshot = snapshot_of_objects(made, count, 0);
    if (error_is_set(error)) {
        snapshot_free(snapshot);
        free(made);
        return;
    }
    struct list_metadata metadata = {.remaining = -1};
    render_list(renderer, request, response, snapshot, made, count, &metadata);
}

static void serve(const struct maker *maker, struct registry *registry, struct request *request,
                  struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(renderer_clear)
    struct renderer renderer = {0};
    if (renderer_init(&renderer, request, request->resource, &error)) {
        (strcmp(request->info.verb, "get") == 0 ? serve_get : serve_list)(
            maker, registry, &renderer, request, response, &error);
    }
    if (error_is_set(&error)) {
        response_set_error(response, request, &error);
    }
}

static void serve_node_metrics(struct registry *registry, struct request *request,
                               struct response *response)
{
    serve(&node_maker, registry, request, response);
}

static void serve_pod_metrics(struct registry *registry, struct request *request,
                              struct response *response)
{
    serve(&pod_maker, registry, request, response);
}

const struct kind kind_node_metrics = {
    .group = "metrics.k8s.io",
    .plural = "nodes",
    .serve_virtual = serve_node_metrics,
};
const struct kind kind_pod_metrics = {
    .group = "metrics.k8s.io",
    .plural = "pods",
    .serve_virtual = serve_pod_metrics,
};
const struct kind kind_node_report = {
    .group = "metrics.coracle.io",
    .plural = "nodereports",
    .serve_virtual = serve_report,
    .virtual_is_quick = true,
};

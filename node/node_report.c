// SPDX-License-Identifier: Apache-2.0
#include "node/node_report.h"

#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"
#include "node/pod_worker.h"

const struct api_resource node_reports_resource = {"metrics.coracle.io/v1", "nodereports",
                                                   "NodeReport", false};

enum { longest_ms = 600000 }; /* That the server takes: after a long sleep of the machine. */

/* What a node needs for itself. */
static const struct runtime_usage own_usage = {50000000, 256 << 20};

static json_t *usage_tree(const struct runtime_usage *usage)
{
    return json_pack("{s:o, s:o}", "cpu", json_sprintf("%lldn", (long long)usage->cpu_nano),
                     "memory", json_sprintf("%lldKi", (long long)usage->memory_bytes / 1024));
}

static void add(struct runtime_usage *sum, const struct runtime_usage *usage)
{
    if (__builtin_add_overflow(sum->cpu_nano, usage->cpu_nano, &sum->cpu_nano)) {
        sum->cpu_nano = INT64_MAX;
    }
    if (__builtin_add_overflow(sum->memory_bytes, usage->memory_bytes, &sum->memory_bytes)) {
        sum->memory_bytes = INT64_MAX;
    }
}

/* The containers that run; NULL when none does. */
static json_t *running_containers(const struct pod_worker *worker, struct runtime_usage *sum)
{
    struct runtime *runtime = worker->host->runtime;
    json_t *list = NULL;
    for (size_t i = 0; i < worker->container_count; i++) {
        const struct container *container = &worker->containers[i];
        if (container->state != CONTAINER_RUNNING) {
            continue;
        }
        struct runtime_usage usage = runtime->usage(runtime, container);
        add(sum, &usage);
        list = list != NULL ? list : json_array();
        json_array_append_new(
            list, json_pack("{s:s, s:o}", "name", container->name, "usage", usage_tree(&usage)));
    }
    return list;
}

json_t *node_report(const char *node, int64_t window_ns, const struct map *workers)
{
    struct runtime_usage sum = own_usage;
    json_t *pods = json_array();
    const char *key;
    void *value;
    for (size_t at = 0; map_next(workers, &at, &key, &value);) {
        const struct pod_worker *worker = value;
        json_t *containers = running_containers(worker, &sum);
        if (containers != NULL) {
            json_array_append_new(pods, json_pack("{s:s, s:s, s:s, s:o}", "namespace",
                                                  worker->namespace, "name", worker->name, "uid",
                                                  worker->uid, "containers", containers));
        }
    }
    char window[TIMESTAMP_SIZE];
    int64_t milliseconds = window_ns / 1000000;
    milliseconds = milliseconds < 1 ? 1 : milliseconds > longest_ms ? longest_ms : milliseconds;
    duration_format(milliseconds * 1000000, window);
    return json_pack("{s:s, s:s, s:{s:s}, s:s, s:o, s:o}", "kind", "NodeReport", "apiVersion",
                     node_reports_resource.group_version, "metadata", "name", node, "window",
                     window, "usage", usage_tree(&sum), "pods", pods);
}

// SPDX-License-Identifier: Apache-2.0
/*
 * coracle-node: plays the kubelet's part for one node or for thousands, with simulated containers.
 *
 * A node that is played alone (--hostname-override) is whoever the kubeconfig says, a kubelet's own
 * identity. For many, each node's requests are made as that node, by impersonation: they share the
 * process's connections, and the process may impersonate the users system:node:<name> of the names
 * that it plays, in group system:nodes, and nobody else. What it does as itself is to read: one
 * watch of all nodes and one of the pods that are bound to any, where a watch a node would cost a
 * connection each.
 */
#include <string.h>

#include "common/alloc.h"
#include "common/log.h"
#include "common/map.h"
#include "common/quantity.h"
#include "common/service.h"
#include "common/timestamp.h"
#include "node/kubelet.h"
#include "node/simulated_runtime.h"

static const struct api_resource pods_resource = {"v1", "pods", "Pod", true};
static const struct api_resource nodes_resource = {"v1", "nodes", "Node", false};
static const struct cached_object_class textless = {.drop_text = true};

enum { nodes_max = 20000 };

static int64_t simulate = 1, first_node = 1;
static const char *name_prefix = "node-", *only_name;
static int64_t status_report_ns = INT64_C(300000000000), usage_report_ns = INT64_C(15000000000);
static struct kubelet_options kubelet_options = {
    .cpu = "8",
    .memory = "32Gi",
    .pods = "110",
    .lease_seconds = 40,
};
static bool tell_events = true;

/* All nodes of this process. The loop's thread alone. */
struct fleet {
    struct service *service;
    struct runtime *runtime;
    struct map kubelets; /* By the node's name. */
};

/* ---- events ---- */

static struct kubelet *kubelet_of_pod(const struct fleet *fleet, const struct cached_object *pod)
{
    return pod->digest != NULL ? map_get(&fleet->kubelets, pod->digest) : NULL;
}

/* The name of the node that the pod is bound to. */
static void *pod_digest(const struct cached_object *pod)
{
    struct json_span span;
    json_scan(pod->text, pod->length, (const char *[]){"spec.nodeName"}, 1, &span);
    return json_span_value(span);
}

static const struct cached_object_class pod_class = {
    .digest = pod_digest, .digest_free = free, .drop_text = true};

static void pod_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct fleet *fleet = argument;
    struct kubelet *kubelet = kubelet_of_pod(fleet, new != NULL ? new : old);
    if (kubelet == NULL) {
        return;
    }
    if (new != NULL) {
        kubelet_pod_changed(kubelet, new);
    } else {
        kubelet_pod_gone(kubelet, old);
    }
}

static void node_changed(void *argument, const struct cached_object *old,
                         const struct cached_object *new)
{
    struct fleet *fleet = argument;
    struct kubelet *kubelet = map_get(&fleet->kubelets, new != NULL ? new->name : old->name);
    if (kubelet != NULL) {
        kubelet_node_changed(kubelet, new);
    }
}

/* ---- life ---- */

static void add_kubelet(struct fleet *fleet, const char *name, int64_t number)
{
    map_set(&fleet->kubelets, name,
            kubelet_new(fleet->service->client, fleet->runtime, name, number, &kubelet_options));
}

static void start_kubelets(void *argument)
{
    struct fleet *fleet = argument;
    if (only_name != NULL) {
        add_kubelet(fleet, only_name, first_node);
        return;
    }
    for (int64_t i = first_node; i < first_node + simulate; i++) {
        cleanup(free_char)
        char *name = format("%s%lld", name_prefix, (long long)i);
        add_kubelet(fleet, name, i);
    }
}

static void pods_are_known(void *argument)
{
    struct fleet *fleet = argument;
    const char *name;
    void *kubelet;
    for (size_t at = 0; map_next(&fleet->kubelets, &at, &name, &kubelet);) {
        kubelet_knows_pods(kubelet);
    }
}

static void stop_kubelets(void *argument)
{
    struct fleet *fleet = argument;
    const char *name;
    void *kubelet;
    for (size_t at = 0; map_next(&fleet->kubelets, &at, &name, &kubelet);) {
        kubelet_free(kubelet);
    }
    map_free(&fleet->kubelets, NULL);
}

static void stop(struct service *service)
{
    struct fleet *fleet = service->state;
    client_close(service->client); /* What is under way refers to the kubelets. */
    loop_call(service->loop, stop_kubelets, fleet);
    simulated_runtime_free(fleet->runtime);
    free(fleet);
}

static bool start(struct service *service, struct error *error)
{
    static struct informer_options bound = {.field_selector = "spec.nodeName%21%3D"}, own;
    struct fleet *fleet = allocate_struct(struct fleet);
    if (only_name != NULL) { /* A kubelet may read no more than this. */
        bound.field_selector = format("spec.nodeName%%3D%s", only_name);
        own.field_selector = format("metadata.name%%3D%s", only_name);
    }
    kubelet_options.impersonates = only_name == NULL;
    kubelet_options.status_report_ms = status_report_ns / 1000000;
    kubelet_options.usage_report_ms = usage_report_ns / 1000000;
    kubelet_options.events = tell_events ? service->events : NULL;
    fleet->service = service;
    fleet->runtime = simulated_runtime_new(service->loop);
    service->state = fleet;
    srandom((unsigned)timestamp_now());
    informer_add_handler(
        informer_factory_get(service->informers, &pods_resource, &pod_class, &bound), pod_changed,
        fleet);
    informer_add_handler(informer_factory_get(service->informers, &nodes_resource, &textless, &own),
                         node_changed, fleet);
    loop_call(service->loop, start_kubelets, fleet); /* Before the first events. */
    informer_factory_start(service->informers);
    if (!informer_factory_wait(service->informers)) {
        informer_factory_stop(service->informers); /* No handler is called any more. */
        stop(service);
        return error_unavailable(error, "stopped before the first lists had come");
    }
    loop_call(service->loop, pods_are_known, fleet);
    log_info("plays %zu node(s)", fleet->kubelets.count);
    return true;
}

static bool check(struct error *error)
{
    struct quantity quantity;
    if (simulate < 1 || simulate > nodes_max) {
        return error_bad_request(error, "--simulate must be between 1 and %d", nodes_max);
    }
    if (!quantity_parse(kubelet_options.cpu, &quantity) ||
        !quantity_parse(kubelet_options.memory, &quantity) ||
        !quantity_parse(kubelet_options.pods, &quantity)) {
        return error_bad_request(error, "--node-cpu, --node-memory and --max-pods are quantities, "
                                        "such as 8, 500m or 32Gi");
    }
    if (kubelet_options.lease_seconds < 1 || status_report_ns < INT64_C(1000000000)) {
        return error_bad_request(error, "--node-lease-duration-seconds and "
                                        "--node-status-report-frequency must be a second or more");
    }
    if (usage_report_ns != 0 &&
        (usage_report_ns < INT64_C(100000000) || usage_report_ns > INT64_C(300000000000))) {
        return error_bad_request(error, "--usage-report-frequency must be 0, or from 100ms to 5m");
    }
    return true;
}

int main(int count, char **arguments)
{
    const struct flag flags[] = {
        {"", FLAG_TEXT, NULL, "Nodes"},
        {"simulate", FLAG_NUMBER, &simulate,
         "How many nodes to play, each as the user system:node:<name> of group system:nodes, whom "
         "this process must be allowed to impersonate."},
        {"node-name-prefix", FLAG_TEXT, &name_prefix, "Their names, before the number."},
        {"first-node", FLAG_NUMBER, &first_node, "The first number."},
        {"hostname-override", FLAG_TEXT, &only_name,
         "Play one node of this name instead, without impersonation."},
        {"node-cpu", FLAG_TEXT, &kubelet_options.cpu, "CPUs of each node."},
        {"node-memory", FLAG_TEXT, &kubelet_options.memory, "Memory of each node."},
        {"max-pods", FLAG_TEXT, &kubelet_options.pods, "Number of pods that fit on each node."},
        {"node-labels", FLAG_TEXT, &kubelet_options.labels, "More labels of the nodes: a=b,c=d."},
        {"node-zones", FLAG_NUMBER, &kubelet_options.zones,
         "Over how many zones the nodes are spread; 0: none."},
        {"node-lease-duration-seconds", FLAG_NUMBER, &kubelet_options.lease_seconds,
         "Duration of each node's lease, which is renewed four times as often."},
        {"node-status-report-frequency", FLAG_DURATION, &status_report_ns,
         "How often a node's status is written when nothing has changed."},
        {"usage-report-frequency", FLAG_DURATION, &usage_report_ns,
         "How often each node tells the API server what CPU and memory its pods use; 0: never."},
        {"container-events", FLAG_BOOLEAN, &tell_events,
         "Write events as containers start and stop."},
        {NULL, FLAG_TEXT, NULL, NULL},
    };
    const struct service_program program = {
        .name = "coracle-node",
        .component = "node",
        .summary = "Plays the kubelet's part for simulated nodes.",
        .event_source = "kubelet",
        .health_address = "127.0.0.1:10248",
        .flags = flags,
        .check = check,
        .start = start,
        .stop = stop,
    };
    return service_main(&program, count, arguments);
}

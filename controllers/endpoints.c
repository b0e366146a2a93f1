// SPDX-License-Identifier: Apache-2.0
/*
 * Endpoints of services that have a selector: the older form of what EndpointSlices tell, one
 * object of the service's name, cut off at 1,000 addresses.
 *
 * sync(): pack the service's pods into subsets; write them, with the service's labels, if that is
 * not what there is. Endpoints whose service is gone are deleted: as it goes, and once at the start
 * for those that went unseen. Endpoints of services without a selector are their users' own.
 */
#include <netinet/in.h>
#include <string.h>

#include "common/alloc.h"
#include "controllers/all.h"
#include "controllers/endpoints_pack.h"
#include "controllers/pod_control.h"
#include "controllers/resources.h"
#include "controllers/service_pods.h"
#include "controllers/service_view.h"

enum { addresses_max = 1000 };

static const char manager_label[] = "endpoints.kubernetes.io/managed-by";
static const char headless_label[] = "service.kubernetes.io/headless";
static const char capacity_annotation[] = "endpoints.kubernetes.io/over-capacity";
static const char leader_annotation[] = "control-plane.alpha.kubernetes.io/leader";

struct endpoints_state {
    struct controller *controller;
    struct informer *services, *pods, *endpoints;
    struct service_memory *memory;
};

/* ---- what changed ---- */

static void pod_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct endpoints_state *state = argument;
    service_add_of_pod(state->controller, state->services, state->memory, old, new);
}

/* Old programs elect their leader by an annotation of Endpoints that have no service. */
static bool is_of_election(const struct cached_object *endpoints)
{
    cleanup(json_release)
    json_t *tree = cached_object_tree(endpoints);
    return json_path(tree, "metadata", "annotations", leader_annotation) != NULL;
}

static void endpoints_changed(void *argument, const struct cached_object *old,
                              const struct cached_object *new)
{
    struct endpoints_state *state = argument;
    bool is_of_start = new != NULL && !informer_has_synced(state->endpoints);
    if (new == NULL || (is_of_start && !is_of_election(new))) {
        controller_add_object(state->controller, new != NULL ? new : old);
    }
}

/* ---- what is to be there ---- */

static json_t *pack(const struct cached_object *cached, const json_t *service,
                    const struct cached_list *pods, bool *truncated)
{
    const json_t *spec = json_object_get(service, "spec");
    const json_t *ports = json_object_get(spec, "ports");
    bool publishes_not_ready = json_get_bool(spec, "publishNotReadyAddresses", false);
    const char *first = json_string_value(json_array_get(json_object_get(spec, "ipFamilies"), 0));
    int family = first != NULL && strcmp(first, "IPv6") == 0 ? AF_INET6 : AF_INET;
    size_t port_count = json_array_size(ports), count = 0;
    struct endpoints_pod *packed = allocate_zero(pods->count + 1, sizeof *packed);
    char(*addresses)[INET6_ADDRSTRLEN] = allocate_zero(pods->count + 1, sizeof *addresses);
    int *numbers = allocate_zero(pods->count * port_count + 1, sizeof *numbers);
    for (size_t i = 0; i < pods->count; i++) {
        const struct cached_object *pod = pods->items[i];
        const struct pod_view *view = pod_view(pod);
        if (!service_pod_counts(pod, publishes_not_ready) ||
            !service_pod_address(view, family, addresses[i])) {
            continue;
        }
        int *own = numbers + count * port_count;
        for (size_t port = 0; port < port_count; port++) {
            own[port] = service_pod_port(json_array_get(ports, port), view);
        }
        packed[count++] = (struct endpoints_pod){
            .ip = addresses[i],
            .hostname = service_pod_hostname(cached->name, view),
            .node = view->node_name,
            .namespace = pod->namespace,
            .name = pod->name,
            .uid = pod->uid,
            .is_ready = publishes_not_ready || view->is_ready,
            .numbers = own,
        };
    }
    json_t *subsets = endpoints_pack(packed, count, ports, addresses_max, truncated);
    free(packed);
    free(addresses);
    free(numbers);
    return subsets;
}

/* The caller's. */
static json_t *labels_of(const json_t *service)
{
    json_t *own = json_path(service, "metadata", "labels");
    json_t *labels = own != NULL ? json_copy(own) : json_object();
    json_object_set_new(labels, manager_label, json_string("endpoint-controller"));
    json_object_del(labels, headless_label);
    if (service_is_headless(service)) {
        json_object_set_new(labels, headless_label, json_string(""));
    }
    return labels;
}

static bool has_subsets(const json_t *endpoints, const json_t *subsets)
{
    const json_t *current = json_object_get(endpoints, "subsets");
    return json_array_size(current) == 0 ? json_array_size(subsets) == 0
                                         : json_equal(current, subsets);
}

static void annotate_capacity(json_t *endpoints, bool truncated)
{
    json_t *metadata = json_object_get(endpoints, "metadata");
    if (truncated) {
        json_object_set_new(json_get_or_add_object(metadata, "annotations"), capacity_annotation,
                            json_string("truncated"));
    } else {
        json_object_del(json_object_get(metadata, "annotations"), capacity_annotation);
    }
}

/* ---- sync ---- */

static bool tell_failure(struct endpoints_state *state, const json_t *endpoints, bool is_new,
                         const char *key, struct error *why, struct error *error)
{
    if (is_new && pod_control_is_namespace_terminating(why)) {
        return true;
    }
    if (why->code != 409) {
        event_record_about(state->controller->events, endpoints, "Warning",
                           is_new ? "FailedToCreateEndpoint" : "FailedToUpdateEndpoint",
                           is_new ? "Failed to create endpoint for service %s: %s"
                                  : "Failed to update endpoint %s: %s",
                           key, why->message);
    }
    return error_move(error, why);
}

static bool write_endpoints(struct endpoints_state *state, json_t *endpoints, bool is_new,
                            const struct cached_object *service, struct error *error)
{
    struct client *client = state->controller->client;
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *written =
        is_new ? client_create(client, &resource_endpoints, service->namespace, endpoints, &why)
               : client_update(client, &resource_endpoints, NULL, endpoints, &why);
    return written != NULL || tell_failure(state, endpoints, is_new, service->key, &why, error);
}

static json_t *new_endpoints(const struct cached_object *service)
{
    return json_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", "v1", "kind", "Endpoints",
                     "metadata", "name", service->name, "namespace", service->namespace);
}

static bool work_on(struct endpoints_state *state, const struct cached_object *cached,
                    struct error *error)
{
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    indexer_select(informer_indexer(state->pods), cached->namespace, service_view(cached)->selector,
                   &pods);
    int64_t trigger = service_memory_trigger(state->memory, cached, &pods);
    bool truncated;
    cleanup(json_release)
    json_t *service = cached_object_tree(cached);
    cleanup(json_release)
    json_t *subsets = pack(cached, service, &pods, &truncated);
    cleanup(json_release)
    json_t *labels = labels_of(service);
    cleanup(cached_object_release)
    struct cached_object *current = indexer_get(informer_indexer(state->endpoints), cached->key);
    cleanup(json_release)
    json_t *endpoints = current != NULL ? cached_object_tree(current) : new_endpoints(cached);
    json_t *metadata = json_object_get(endpoints, "metadata");
    bool is_marked = json_path(metadata, "annotations", capacity_annotation) != NULL;
    if (current != NULL && has_subsets(endpoints, subsets) && is_marked == truncated &&
        json_equal(json_object_get(metadata, "labels"), labels)) {
        return true;
    }
    json_object_set(endpoints, "subsets", subsets);
    json_object_set(metadata, "labels", labels);
    annotate_capacity(endpoints, truncated);
    service_annotate_trigger(endpoints, trigger);
    return write_endpoints(state, endpoints, current == NULL, cached, error);
}

static bool delete_endpoints(struct endpoints_state *state, const char *key, struct error *error)
{
    cleanup(free_char)
    char *namespace = NULL;
    cleanup(free_char)
    char *name = NULL;
    controller_split_key(key, &namespace, &name);
    service_memory_forget(state->memory, key);
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    return client_delete(state->controller->client, &resource_endpoints, namespace, name, NULL,
                         &why) ||
           why.code == 404 || error_move(error, &why);
}

static bool sync_service(void *argument, const char *key, struct error *error)
{
    struct endpoints_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *service = indexer_get(informer_indexer(state->services), key);
    if (service == NULL) {
        return delete_endpoints(state, key, error);
    }
    if (service_view(service)->is_external_name || service_view(service)->selector == NULL) {
        return true;
    }
    return work_on(state, service, error);
}

/* ---- life ---- */

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct endpoints_state *state = allocate_struct(struct endpoints_state);
    state->controller = controller;
    state->memory = service_memory_new();
    state->services = service_informer(controller->informers);
    state->pods = pod_informer(controller->informers);
    state->endpoints = informer_factory_get(controller->informers, &resource_endpoints, NULL, NULL);
    informer_add_handler(state->services, controller_handle_object, controller);
    informer_add_handler(state->pods, pod_changed, state);
    informer_add_handler(state->endpoints, endpoints_changed, state);
    return state;
}

static void stop(void *argument)
{
    struct endpoints_state *state = argument;
    service_memory_free(state->memory);
    free(state);
}

const struct controller_type endpoints_controller = {
    .name = "endpoints-controller",
    .alias = "endpoint",
    .account = "endpoint-controller",
    .workers = 5,
    .start = start,
    .sync = sync_service,
    .stop = stop,
};

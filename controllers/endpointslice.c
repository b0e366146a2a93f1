// SPDX-License-Identifier: Apache-2.0
/*
 * EndpointSlices of services that have a selector: for each family of addresses, and each set of
 * port numbers that the pods' named ports lead to, slices of up to 100 endpoints.
 *
 * sync(): see what the pods come to as endpoints, as hashes; plan which slices change; make and
 * write those alone. A sync waits until the informer shows what the one before wrote, because
 * slices have generated names and what is not seen would be made once more.
 */
#include <netinet/in.h>
#include <string.h>

#include "common/alloc.h"
#include "common/map.h"
#include "controllers/all.h"
#include "controllers/endpointslice_plan.h"
#include "controllers/endpointslice_view.h"
#include "controllers/endpointslice_write.h"
#include "controllers/node_view.h"
#include "controllers/own_writes.h"
#include "controllers/resources.h"
#include "controllers/service_pods.h"
#include "controllers/service_view.h"

enum {
    endpoints_per_slice = 100,
    slice_gather_ms = 1000, /* Slices changed by others are put right at leisure. */
    unseen_retry_ms = 10,
    missing_node_retry_ms = 1000,
};

static const char manager[] = "endpointslice-controller.k8s.io";
static const char zone_label[] = "topology.kubernetes.io/zone";
static const char headless_label[] = "service.kubernetes.io/headless";

struct endpointslice_state {
    struct controller *controller;
    struct informer *services, *pods, *slices, *nodes;
    struct service_memory *memory;
    struct own_writes *writes;
};

/* What a sync works with. */
struct work {
    struct endpointslice_state *state;
    const struct cached_object *cached; /* The service. */
    const json_t *service;
    const json_t *ports; /* Its spec.ports. */
    const struct cached_list *pods;
    bool publishes_not_ready;
    bool is_node_missing; /* A pod was left out because its node is not there. */
    struct map zones;     /* By the node's name: its zone, "" if it has none; a copy. */
    char (*addresses)[INET6_ADDRSTRLEN]; /* Of each pod, in the family that is worked on. */
    bool hints_zone, hints_node;         /* What ready endpoints give hints of. */
    json_t *labels;                      /* What each slice is to have. */
    int64_t trigger;
    struct slice_writes writes;
};

/* Endpoints that share the numbers of their ports. */
struct group {
    int *numbers; /* One for each port of the service; 0: the pods don't have it. */
    json_t *ports;
    struct endpoint *endpoints;
    struct endpoint_hash *hashes;
    size_t count, endpoint_capacity, hash_capacity;
};

struct groups {
    struct group *items;
    size_t count, capacity;
};

/* ---- what changed ---- */

static void pod_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct endpointslice_state *state = argument;
    service_add_of_pod(state->controller, state->services, state->memory, old, new);
}

static void add_service_of_slice(struct endpointslice_state *state,
                                 const struct cached_object *slice)
{
    if (slice != NULL && strcmp(endpointslice_view(slice)->manager, manager) == 0) {
        cleanup(free_char)
        char *key = endpointslice_service_key(slice);
        if (key != NULL) {
            controller_add_after(state->controller, key, slice_gather_ms);
        }
    }
}

static void slice_changed(void *argument, const struct cached_object *old,
                          const struct cached_object *new)
{
    add_service_of_slice(argument, old);
    add_service_of_slice(argument, new);
}

/* ---- endpoints ---- */

static json_t *group_ports(const json_t *service_ports, const int *numbers)
{
    json_t *ports = json_array();
    size_t i;
    const json_t *port;
    json_array_foreach (service_ports, i, port) {
        if (numbers[i] == 0) {
            continue;
        }
        const char *name = json_get_string(port, "name");
        const char *protocol = json_get_string(port, "protocol");
        json_t *made = json_pack("{s:s, s:i, s:s}", "name", name != NULL ? name : "", "port",
                                 numbers[i], "protocol", protocol != NULL ? protocol : "TCP");
        json_t *application = json_object_get(port, "appProtocol");
        if (application != NULL) {
            json_object_set(made, "appProtocol", application);
        }
        json_array_append_new(ports, made);
    }
    return ports;
}

static struct group *group_of(struct work *work, struct groups *groups, const struct pod_view *pod)
{
    size_t port_count = json_array_size(work->ports);
    int *numbers = allocate_zero(port_count + 1, sizeof *numbers);
    for (size_t i = 0; i < port_count; i++) {
        numbers[i] = service_pod_port(json_array_get(work->ports, i), pod);
    }
    for (size_t i = 0; i < groups->count; i++) {
        if (memcmp(groups->items[i].numbers, numbers, port_count * sizeof *numbers) == 0) {
            free(numbers);
            return &groups->items[i];
        }
    }
    groups->items = grow(groups->items, groups->count, &groups->capacity, sizeof *groups->items);
    struct group *group = &groups->items[groups->count++];
    *group = (struct group){.numbers = numbers, .ports = group_ports(work->ports, numbers)};
    return group;
}

static void groups_free(struct groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        struct group *group = &groups->items[i];
        json_decref(group->ports);
        free(group->numbers);
        free(group->endpoints);
        free(group->hashes);
    }
    free(groups->items);
}

/* The zone of the pod's node; NULL when there is no such node. */
static const char *zone_of(struct work *work, const struct pod_view *pod)
{
    char *zone = map_get(&work->zones, pod->node_name);
    if (zone == NULL) {
        cleanup(cached_object_release)
        struct cached_object *node = informer_get(work->state->nodes, NULL, pod->node_name);
        if (node == NULL) {
            return NULL;
        }
        zone = cached_object_label_value(node, zone_label);
        zone = zone != NULL ? zone : duplicate("");
        map_set(&work->zones, pod->node_name, zone);
    }
    return zone;
}

static struct endpoint make_endpoint(const struct work *work, const struct cached_object *pod,
                                     const char *address, const char *zone)
{
    const struct pod_view *view = pod_view(pod);
    bool is_ready = work->publishes_not_ready || (view->is_ready && !pod->is_deleting);
    return (struct endpoint){
        .address = address,
        .hostname = service_pod_hostname(work->cached->name, view),
        .node = view->node_name,
        .zone = zone,
        .pod_namespace = pod->namespace,
        .pod_name = pod->name,
        .pod_uid = pod->uid,
        .hint_zone = is_ready && work->hints_zone ? zone : "",
        .hint_node = is_ready && work->hints_node ? view->node_name : "",
        .is_ready = is_ready,
        .is_serving = view->is_ready,
        .is_terminating = pod->is_deleting,
    };
}

static void add_endpoint(struct group *group, struct endpoint endpoint)
{
    group->endpoints =
        grow(group->endpoints, group->count, &group->endpoint_capacity, sizeof *group->endpoints);
    group->hashes = grow(group->hashes, group->count, &group->hash_capacity, sizeof *group->hashes);
    group->endpoints[group->count] = endpoint;
    group->hashes[group->count++] = endpoint_hash(&endpoint);
}

/* Sorts the pods into groups. One without an address of the family founds its group, too, so that
 * the group's empty slice stays. */
static void collect_groups(struct work *work, int family, struct groups *groups)
{
    for (size_t i = 0; i < work->pods->count; i++) {
        const struct cached_object *pod = work->pods->items[i];
        if (!service_pod_counts(pod, true)) {
            continue;
        }
        struct group *group = group_of(work, groups, pod_view(pod));
        const char *zone = zone_of(work, pod_view(pod));
        if (zone == NULL && !work->publishes_not_ready) {
            work->is_node_missing = true;
        } else if (service_pod_address(pod_view(pod), family, work->addresses[i])) {
            add_endpoint(group,
                         make_endpoint(work, pod, work->addresses[i], zone != NULL ? zone : ""));
        }
    }
}

/* ---- slices ---- */

/* The service's labels, but for those that say whose slice it is. The caller's. */
static json_t *slice_labels(const json_t *service)
{
    const json_t *metadata = json_object_get(service, "metadata");
    json_t *own = json_object_get(metadata, "labels");
    json_t *labels = own != NULL ? json_copy(own) : json_object();
    json_object_del(labels, headless_label);
    if (service_is_headless(service)) {
        json_object_set_new(labels, headless_label, json_string(""));
    }
    json_object_set(labels, endpointslice_service_label, json_object_get(metadata, "name"));
    json_object_set_new(labels, endpointslice_manager_label, json_string(manager));
    return labels;
}

static bool has_labels(const struct work *work, const struct cached_object *slice)
{
    cleanup(json_release)
    json_t *labels = cached_object_labels(slice);
    return json_equal(labels, work->labels);
}

static json_t *endpoints_of(const struct group *group, const struct slice_change *change)
{
    json_t *endpoints = json_array();
    for (size_t i = 0; i < change->count; i++) {
        json_array_append_new(endpoints, endpoint_json(&group->endpoints[change->members[i]]));
    }
    return endpoints;
}

/* The slice (NULL: a new one) with what it is to hold, all else left as it is; consumes the
 * endpoints. */
static void write_slice(struct work *work, const struct cached_object *old, int family,
                        json_t *ports, json_t *endpoints)
{
    json_t *slice = old != NULL ? cached_object_tree(old) : slice_new(work->service, family);
    json_object_set(json_object_get(slice, "metadata"), "labels", work->labels);
    json_object_set(slice, "ports", ports);
    json_object_set_new(slice, "endpoints", endpoints);
    service_annotate_trigger(slice, work->trigger);
    slice_writes_add(&work->writes, old, slice);
}

static void plan_group(struct work *work, int family, const struct group *group,
                       const struct cached_list *slices)
{
    struct slice_seen *seen = allocate_zero(slices->count + 1, sizeof *seen);
    for (size_t i = 0; i < slices->count; i++) {
        const struct endpointslice_view *view = endpointslice_view(slices->items[i]);
        seen[i] =
            (struct slice_seen){view->endpoints, view->count, !has_labels(work, slices->items[i])};
    }
    cleanup(slice_plan_free)
    struct slice_plan plan = SLICE_PLAN_INIT;
    slice_plan_make(&plan, seen, slices->count, group->hashes, group->count, endpoints_per_slice);
    free(seen);
    for (size_t i = 0; i < plan.change_count; i++) {
        const struct slice_change *change = &plan.changes[i];
        const struct cached_object *old =
            change->slice != SLICE_NEW ? slices->items[change->slice] : NULL;
        write_slice(work, old, family, group->ports, endpoints_of(group, change));
    }
    for (size_t i = 0; i < plan.deletion_count; i++) {
        cached_list_add(&work->writes.deletions, slices->items[plan.deletions[i]]);
    }
}

/* Is this the slice without endpoints and ports that says that a service has none? */
static bool is_placeholder(const struct work *work, const struct cached_object *slice)
{
    const struct endpointslice_view *view = endpointslice_view(slice);
    return view->count == 0 && view->ports == endpoint_ports_hash(NULL) &&
           has_labels(work, slice) && endpointslice_is_owned(slice, work->cached->uid);
}

/* A service is never without a slice of each family: what has none yet is told from what has no
 * endpoints. 'existing' are the slices that there were, 'first_write' and 'first_deletion' where
 * those of this family begin. */
static void add_placeholder(struct work *work, int family, size_t existing, size_t first_write,
                            size_t first_deletion)
{
    struct slice_writes *writes = &work->writes;
    size_t deletions = writes->deletions.count - first_deletion;
    if (existing != deletions || writes->count > first_write) {
        return;
    }
    if (deletions == 1 && is_placeholder(work, writes->deletions.items[first_deletion])) {
        cached_object_unref(writes->deletions.items[first_deletion]);
        writes->deletions.count--;
        return;
    }
    cleanup(json_release)
    json_t *ports = json_array();
    write_slice(work, NULL, family, ports, json_array());
}

/* Divides the family's slices: those with a group's ports go to 'own', the others stay. */
static void take_slices_of(const struct group *group, struct cached_list *slices,
                           struct cached_list *own)
{
    size_t kept = 0;
    uint64_t ports = endpoint_ports_hash(group->ports);
    for (size_t i = 0; i < slices->count; i++) {
        struct cached_object *slice = slices->items[i];
        if (endpointslice_view(slice)->ports == ports) {
            cached_list_add(own, slice);
            cached_object_unref(slice);
        } else {
            slices->items[kept++] = slice;
        }
    }
    slices->count = kept;
}

static void reconcile_family(struct work *work, int family, const struct cached_list *all)
{
    cleanup(cached_list_free)
    struct cached_list slices = CACHED_LIST_INIT;
    size_t first_write = work->writes.count, first_deletion = work->writes.deletions.count;
    size_t existing = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (endpointslice_view(all->items[i])->family != family) {
            continue;
        }
        existing++;
        bool is_owned = endpointslice_is_owned(all->items[i], work->cached->uid);
        cached_list_add(is_owned ? &slices : &work->writes.deletions, all->items[i]);
    }
    cleanup(groups_free)
    struct groups groups = {0};
    collect_groups(work, family, &groups);
    for (size_t i = 0; i < groups.count; i++) {
        cleanup(cached_list_free)
        struct cached_list own = CACHED_LIST_INIT;
        take_slices_of(&groups.items[i], &slices, &own);
        plan_group(work, family, &groups.items[i], &own);
    }
    for (size_t i = 0; i < slices.count; i++) {
        cached_list_add(&work->writes.deletions, slices.items[i]);
    }
    add_placeholder(work, family, existing, first_write, first_deletion);
}

static bool has_family(const struct work *work, int family)
{
    return json_array_has_string(json_path(work->service, "spec", "ipFamilies"),
                                 family == AF_INET6 ? "IPv6" : "IPv4");
}

static void reconcile(struct work *work, const struct cached_list *slices)
{
    bool has_ipv6 = has_family(work, AF_INET6);
    bool has_ipv4 = has_family(work, AF_INET) || !has_ipv6;
    if (has_ipv4) {
        reconcile_family(work, AF_INET, slices);
    }
    if (has_ipv6) {
        reconcile_family(work, AF_INET6, slices);
    }
    for (size_t i = 0; i < slices->count; i++) {
        int family = endpointslice_view(slices->items[i])->family;
        if (!(family == AF_INET && has_ipv4) && !(family == AF_INET6 && has_ipv6)) {
            cached_list_add(&work->writes.deletions, slices->items[i]);
        }
    }
    slice_writes_recycle(&work->writes, work->cached->uid);
}

/* ---- sync ---- */

static void set_hints(struct work *work)
{
    const char *distribution = json_path_string(work->service, "spec", "trafficDistribution");
    if (distribution == NULL) {
        return;
    }
    work->hints_node = strcmp(distribution, "PreferSameNode") == 0;
    work->hints_zone = work->hints_node || strcmp(distribution, "PreferClose") == 0 ||
                       strcmp(distribution, "PreferSameZone") == 0;
}

static bool write_all(struct work *work, struct error *error)
{
    struct endpointslice_state *state = work->state;
    const struct cached_object *service = work->cached;
    cleanup(free_char)
    char *what = format("Service %s", service->key);
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (slice_writes_send(&work->writes, state->controller->client, state->writes, service->key,
                          !service->is_deleting, what, &why)) {
        return true;
    }
    if (why.code != 409) {
        event_record_about(
            state->controller->events, work->service, "Warning", "FailedToUpdateEndpointSlices",
            "Error updating Endpoint Slices for Service %s: %s", service->key, why.message);
    }
    return error_move(error, &why);
}

static bool work_on(struct endpointslice_state *state, const struct cached_object *cached,
                    const struct cached_list *slices, struct error *error)
{
    cleanup(json_release)
    json_t *service = cached_object_tree(cached);
    cleanup(json_release)
    json_t *labels = slice_labels(service);
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    indexer_select(informer_indexer(state->pods), cached->namespace, service_view(cached)->selector,
                   &pods);
    struct work work = {
        .state = state,
        .cached = cached,
        .service = service,
        .ports = json_path(service, "spec", "ports"),
        .pods = &pods,
        .publishes_not_ready =
            json_get_bool(json_object_get(service, "spec"), "publishNotReadyAddresses", false),
        .addresses = allocate_zero(pods.count + 1, sizeof *work.addresses),
        .labels = labels,
        .trigger = service_memory_trigger(state->memory, cached, &pods),
    };
    set_hints(&work);
    reconcile(&work, slices);
    bool succeeded = write_all(&work, error);
    if (work.is_node_missing) {
        controller_add_after(state->controller, cached->key, missing_node_retry_ms);
    }
    slice_writes_free(&work.writes);
    map_free(&work.zones, free);
    free(work.addresses);
    return succeeded;
}

/* The service is gone: so go the slices that still belong to one. Those that were given up by a
 * deletion that orphans stay. */
static bool delete_slices(struct endpointslice_state *state, const char *key,
                          const struct cached_list *slices, struct error *error)
{
    service_memory_forget(state->memory, key);
    cleanup(slice_writes_free)
    struct slice_writes writes = SLICE_WRITES_INIT;
    for (size_t i = 0; i < slices->count; i++) {
        if (strcmp(slices->items[i]->owner_kind, "Service") == 0) {
            cached_list_add(&writes.deletions, slices->items[i]);
        }
    }
    cleanup(free_char)
    char *what = format("Service %s", key);
    bool succeeded = slice_writes_send(&writes, state->controller->client, state->writes, key,
                                       false, what, error);
    own_writes_forget(state->writes, key);
    return succeeded;
}

static bool sync_service(void *argument, const char *key, struct error *error)
{
    struct endpointslice_state *state = argument;
    struct indexer *indexer = informer_indexer(state->slices);
    cleanup(cached_object_release)
    struct cached_object *service = indexer_get(informer_indexer(state->services), key);
    if (service != NULL &&
        (service_view(service)->is_external_name || service_view(service)->selector == NULL)) {
        return true; /* Its endpoints are somebody else's. */
    }
    if (service != NULL && !own_writes_are_seen(state->writes, key, indexer)) {
        controller_add_after(state->controller, key, unseen_retry_ms);
        return true;
    }
    cleanup(cached_list_free)
    struct cached_list slices = CACHED_LIST_INIT;
    endpointslice_find(indexer, key, manager, &slices);
    return service != NULL ? work_on(state, service, &slices, error)
                           : delete_slices(state, key, &slices, error);
}

/* ---- life ---- */

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct endpointslice_state *state = allocate_struct(struct endpointslice_state);
    state->controller = controller;
    state->memory = service_memory_new();
    state->writes = own_writes_new();
    state->services = service_informer(controller->informers);
    state->pods = pod_informer(controller->informers);
    state->slices = endpointslice_informer(controller->informers);
    state->nodes = node_informer(controller->informers);
    informer_add_handler(state->services, controller_handle_object, controller);
    informer_add_handler(state->pods, pod_changed, state);
    informer_add_handler(state->slices, slice_changed, state);
    return state;
}

static void stop(void *argument)
{
    struct endpointslice_state *state = argument;
    service_memory_free(state->memory);
    own_writes_free(state->writes);
    free(state);
}

const struct controller_type endpointslice_controller = {
    .name = "endpointslice-controller",
    .alias = "endpointslice",
    .account = "endpointslice-controller",
    .workers = 5,
    .start = start,
    .sync = sync_service,
    .stop = stop,
};

// SPDX-License-Identifier: Apache-2.0
/*
 * service-lb-controller: gives services of type LoadBalancer addresses from a pool
 * (--load-balancer-addresses), for clusters without a cloud that would. Which address is whose
 * stands in the services' own status and nowhere else; one of a family that the service has, the
 * one in spec.loadBalancerIP if it can be had. Services with a loadBalancerClass are somebody
 * else's.
 */
#include <string.h>

#include "common/alloc.h"
#include "common/log.h"
#include "controllers/address_pool.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/own_writes.h"
#include "controllers/resources.h"
#include "controllers/service_view.h"

enum { own_write_check_ms = 1000 }; /* Its event brings the service again; this is for one lost. */

struct lb_state {
    struct controller *controller;
    struct informer *services;
    struct address_pool pool;
    struct own_writes *writes;
    /* What was given to services, by their keys, until the informer has brought it. The one
     * worker's own. */
    struct map given;
};

static const char all[] = "all"; /* The one value of the index. */

static void index_load_balancers(const struct cached_object *service, struct index_values *values)
{
    if (service_view(service)->is_load_balancer) {
        index_values_add(values, all);
    }
}

static void add_all(struct lb_state *state)
{
    cleanup(cached_list_free)
    struct cached_list list = CACHED_LIST_INIT;
    indexer_find(informer_indexer(state->services), "load-balancers", all, &list);
    for (size_t i = 0; i < list.count; i++) {
        controller_add_object(state->controller, list.items[i]);
    }
}

static void service_changed(void *argument, const struct cached_object *old,
                            const struct cached_object *new)
{
    struct lb_state *state = argument;
    bool was = old != NULL && service_view(old)->is_load_balancer;
    bool is = new != NULL &&service_view(new)->is_load_balancer;
    if (is) {
        controller_add_object(state->controller, new);
    } else if (was) {
        add_all(state); /* Its addresses are free for those that wait. */
    }
}

/* ---- who has what ---- */

static const json_t *ingress_of(const json_t *service)
{
    return json_path(service, "status", "loadBalancer", "ingress");
}

static void use_all(struct map *used, const json_t *ingress)
{
    size_t i;
    const json_t *point;
    json_array_foreach (ingress, i, point) {
        const char *address = json_get_string(point, "ip");
        if (address != NULL) {
            map_set(used, address, used);
        }
    }
}

/* What was given counts from then on, not only once it is seen. */
static void use_given(struct lb_state *state, struct map *used)
{
    const char *key;
    void *ingress;
    cleanup(json_release)
    json_t *seen = json_array();
    for (size_t at = 0; map_next(&state->given, &at, &key, &ingress);) {
        if (own_writes_are_seen(state->writes, key, informer_indexer(state->services))) {
            json_array_append_new(seen, json_string(key));
        } else {
            use_all(used, ingress);
        }
    }
    size_t i;
    const json_t *one;
    json_array_foreach (seen, i, one) {
        json_decref(map_remove(&state->given, json_string_value(one)));
    }
}

/* The addresses that other services have. */
static void find_used(struct lb_state *state, const char *but, struct map *used)
{
    cleanup(cached_list_free)
    struct cached_list list = CACHED_LIST_INIT;
    indexer_find(informer_indexer(state->services), "load-balancers", all, &list);
    for (size_t i = 0; i < list.count; i++) {
        cleanup(json_release)
        json_t *service = cached_object_tree(list.items[i]);
        if (strcmp(list.items[i]->key, but) != 0) {
            use_all(used, ingress_of(service));
        }
    }
    use_given(state, used);
}

/* ---- giving ---- */

/* The address of this family that the service is to have; the caller's, NULL when there is none. */
static char *choose(const struct lb_state *state, const json_t *service, const char *family,
                    const struct map *used)
{
    const char *wish = json_path_string(service, "spec", "loadBalancerIP");
    size_t i;
    const json_t *point;
    if (wish != NULL && address_pool_contains(&state->pool, family, wish)) {
        return map_get(used, wish) == NULL ? duplicate(wish) : NULL;
    }
    json_array_foreach (ingress_of(service), i, point) {
        const char *address = json_get_string(point, "ip");
        if (address != NULL && address_pool_contains(&state->pool, family, address) &&
            map_get(used, address) == NULL) {
            return duplicate(address);
        }
    }
    return address_pool_find_free(&state->pool, family, used);
}

/* What the service's status is to list: one address of each of its families that the pool has. NULL
 * with an error when there is not one. */
static json_t *choose_all(const struct lb_state *state, const json_t *service,
                          const struct map *used, struct error *error)
{
    json_t *ingress = json_array();
    size_t i;
    const json_t *family;
    json_array_foreach (json_path(service, "spec", "ipFamilies"), i, family) {
        cleanup(free_char)
        char *address = choose(state, service, json_string_value(family), used);
        if (address != NULL) {
            json_array_append_new(ingress, json_pack("{s:s, s:s}", "ip", address, "ipMode", "VIP"));
        }
    }
    if (json_array_size(ingress) == 0) {
        json_decref(ingress);
        error_internal(error, "no address of --load-balancer-addresses is free for it");
        return NULL;
    }
    return ingress;
}

static bool give(struct lb_state *state, const char *key, json_t *service, json_t *ingress,
                 struct error *error)
{
    struct event_recorder *events = state->controller->events;
    event_record_about(events, service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer");
    json_object_set(
        json_get_or_add_object(json_get_or_add_object(service, "status"), "loadBalancer"),
        "ingress", ingress);
    cleanup(json_release)
    json_t *written =
        client_update(state->controller->client, &resource_services, "status", service, error);
    if (written == NULL) {
        return false;
    }
    own_writes_note(state->writes, key, written);
    json_decref(map_set(&state->given, key, json_incref(ingress)));
    event_record_about(events, service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer");
    return true;
}

static bool sync_service(void *argument, const char *key, struct error *error)
{
    struct lb_state *state = argument;
    if (!own_writes_are_seen(state->writes, key, informer_indexer(state->services))) {
        controller_add_after(state->controller, key, own_write_check_ms);
        return true;
    }
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(state->services), key);
    if (cached == NULL || cached->is_deleting || !service_view(cached)->is_load_balancer) {
        return true;
    }
    cleanup(json_release)
    json_t *service = cached_object_tree(cached);
    struct map used = MAP_INIT;
    find_used(state, key, &used);
    cleanup(json_release)
    json_t *ingress = choose_all(state, service, &used, error);
    map_free(&used, NULL);
    if (ingress == NULL) {
        event_record_about(state->controller->events, service, "Warning", "SyncLoadBalancerFailed",
                           "Error syncing load balancer: failed to ensure load balancer: %s",
                           error->message);
        return false;
    }
    return json_equal(ingress, ingress_of(service)) || give(state, key, service, ingress, error);
}

static void stop(void *argument)
{
    struct lb_state *state = argument;
    const char *key;
    void *ingress;
    for (size_t at = 0; map_next(&state->given, &at, &key, &ingress);) {
        json_decref(ingress);
    }
    map_free(&state->given, NULL);
    own_writes_free(state->writes);
    address_pool_free(&state->pool);
    free(state);
}

static void *start(struct controller *controller, struct error *error)
{
    struct lb_state *state = allocate_struct(struct lb_state);
    state->controller = controller;
    if (!address_pool_parse(controller->settings->load_balancer_addresses, &state->pool, error)) {
        free(state);
        return NULL;
    }
    state->writes = own_writes_new();
    if (state->pool.count == 0) {
        return state; /* Services of this type are left to others. */
    }
    state->services = service_informer(controller->informers);
    indexer_add_index(informer_indexer(state->services), "load-balancers", index_load_balancers);
    informer_add_handler(state->services, service_changed, state);
    return state;
}

const struct controller_type service_lb_controller = {
    .name = "service-lb-controller",
    .alias = "service",
    .account = "service-controller",
    .workers = 1,
    .start = start,
    .sync = sync_service,
    .stop = stop,
};

// SPDX-License-Identifier: Apache-2.0
/*
 * ServiceCIDRs: which of them addresses may come from, and when one may go. Keys are their names.
 *
 * The API server gives out addresses of ranges that are ready. A range that is being deleted is not
 * ready any more, and stays, held by a finalizer, until no service has an address of it alone. What
 * a server chose just before it learned that may become an IPAddress a moment later: so the range
 * is looked at only a while after it stopped being ready.
 */
#include <string.h>

#include "common/alloc.h"
#include "common/ip.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/conditions.h"
#include "controllers/controller.h"
#include "controllers/finalizers.h"
#include "controllers/resources.h"

enum { settle_ms = 2000 };

static const char finalizer[] = "networking.k8s.io/service-cidr-finalizer";
static const char in_use[] = "There are still IPAddresses referencing the ServiceCIDR, please "
                             "remove them or create a new ServiceCIDR";

struct service_cidr_state {
    struct controller *controller;
    struct informer *ranges, *addresses;
};

/* ---- keys ---- */

/* A range that waits for addresses to go, or for another range to take them over. */
static void add_waiting(struct service_cidr_state *state)
{
    struct cached_list list = CACHED_LIST_INIT;
    indexer_select(informer_indexer(state->ranges), "", NULL, &list);
    for (size_t i = 0; i < list.count; i++) {
        if (list.items[i]->is_deleting) {
            controller_add_object(state->controller, list.items[i]);
        }
    }
    cached_list_free(&list);
}

static void range_changed(void *argument, const struct cached_object *old,
                          const struct cached_object *new)
{
    struct service_cidr_state *state = argument;
    controller_handle_object(state->controller, old, new);
    add_waiting(state);
}

static void address_changed(void *argument, const struct cached_object *old,
                            const struct cached_object *new)
{
    (void)old;
    if (new == NULL) {
        add_waiting(argument);
    }
}

/* ---- who has which address ---- */

static bool covers(const json_t *range, const struct ip_network *part)
{
    const json_t *cidrs = json_path((json_t *)range, "spec", "cidrs");
    for (size_t i = 0; i < json_array_size(cidrs); i++) {
        struct ip_network network;
        if (ip_network_parse(json_string_value(json_array_get(cidrs, i)), &network) &&
            ip_network_contains(&network, part)) {
            return true;
        }
    }
    return false;
}

/* A range that stays has this address as well. */
static bool is_covered_elsewhere(struct service_cidr_state *state, const char *name,
                                 const struct ip_network *part)
{
    struct cached_list list = CACHED_LIST_INIT;
    bool covered = false;
    indexer_select(informer_indexer(state->ranges), "", NULL, &list);
    for (size_t i = 0; i < list.count && !covered; i++) {
        if (!list.items[i]->is_deleting && strcmp(list.items[i]->name, name) != 0) {
            cleanup(json_release)
            json_t *range = cached_object_tree(list.items[i]);
            covered = covers(range, part);
        }
    }
    cached_list_free(&list);
    return covered;
}

static bool is_needed(struct service_cidr_state *state, const char *name, const json_t *range)
{
    struct cached_list list = CACHED_LIST_INIT;
    bool needed = false;
    indexer_select(informer_indexer(state->addresses), "", NULL, &list);
    for (size_t i = 0; i < list.count && !needed; i++) {
        struct ip_network address;
        needed = ip_parse(list.items[i]->name, &address) && covers(range, &address) &&
                 !is_covered_elsewhere(state, name, &address);
    }
    cached_list_free(&list);
    return needed;
}

/* ---- writing ---- */

static json_t *list_in(json_t *object, const char *name)
{
    if (!json_is_array(json_object_get(object, name))) {
        json_object_set_new(object, name, json_array());
    }
    return json_object_get(object, name);
}

static bool write_condition(struct service_cidr_state *state, json_t *range, const char *status,
                            const char *reason, const char *message, struct error *error)
{
    json_t *conditions = list_in(json_get_or_add_object(range, "status"), "conditions");
    if (!condition_set(conditions, "Ready", status, reason, message, false)) {
        return true;
    }
    cleanup(json_release)
    json_t *written =
        client_update(state->controller->client, &resource_service_cidrs, "status", range, error);
    return written != NULL;
}

static bool write_finalizers(struct service_cidr_state *state, json_t *range, bool wanted,
                             struct error *error)
{
    if (!finalizer_set(range, finalizer, wanted)) {
        return true;
    }
    cleanup(json_release)
    json_t *written =
        client_update(state->controller->client, &resource_service_cidrs, NULL, range, error);
    return written != NULL;
}

/* ---- one range ---- */

/* How long it has been known that nothing more comes from the range; -1: it isn't. */
static int64_t settled_ms(const json_t *range)
{
    json_t *ready = condition_find(json_path((json_t *)range, "status", "conditions"), "Ready");
    const char *since = json_get_string(ready, "lastTransitionTime");
    const char *status = json_get_string(ready, "status");
    int64_t at;
    if (status == NULL || strcmp(status, "False") != 0 || since == NULL ||
        !timestamp_parse(since, &at)) {
        return -1;
    }
    return (timestamp_now() - at) / 1000000;
}

static bool sync_ending(struct service_cidr_state *state, const char *key, json_t *range,
                        struct error *error)
{
    int64_t settled = settled_ms(range);
    if (!finalizer_is_held(range, finalizer)) {
        return true;
    }
    if (settled < 0) {
        return write_condition(state, range, "False", "Terminating", in_use, error);
    }
    if (settled < settle_ms) {
        controller_add_after(state->controller, key, settle_ms - settled);
        return true;
    }
    return is_needed(state, key, range) || write_finalizers(state, range, false, error);
}

static bool sync_range(void *argument, const char *key, struct error *error)
{
    struct service_cidr_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *present = indexer_get(informer_indexer(state->ranges), key);
    cleanup(json_release)
    json_t *range = present ? cached_object_tree(present) : NULL;
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (range == NULL) {
        return true;
    }
    bool held = finalizer_is_held(range, finalizer);
    bool done =
        present->is_deleting ? sync_ending(state, key, range, &why)
        : held ? write_condition(state, range, "True", "", "Kubernetes Service CIDR is ready", &why)
               : write_finalizers(state, range, true, &why);
    return done || why.code == 404 || error_move(error, &why);
}

/* ---- life ---- */

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct service_cidr_state *state = allocate_struct(struct service_cidr_state);
    state->controller = controller;
    state->ranges =
        informer_factory_get(controller->informers, &resource_service_cidrs, NULL, NULL);
    state->addresses =
        informer_factory_get(controller->informers, &resource_ip_addresses, NULL, NULL);
    informer_add_handler(state->ranges, range_changed, state);
    informer_add_handler(state->addresses, address_changed, state);
    return state;
}

static void stop(void *state)
{
    free(state);
}

const struct controller_type service_cidr_controller = {
    .name = "service-cidr-controller",
    .account = "service-cidrs-controller",
    .workers = 1,
    .start = start,
    .sync = sync_range,
    .stop = stop,
};

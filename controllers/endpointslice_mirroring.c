// SPDX-License-Identifier: Apache-2.0
/*
 * Mirrors the Endpoints that people make for services without a selector into EndpointSlices, which
 * is what proxies read.
 *
 * sync(): make the slices that the Endpoints come to; write those that are not there like that;
 * delete all others, and all if there is nothing to mirror any more.
 */
#include <netinet/in.h>
#include <string.h>

#include "common/alloc.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/endpointslice_mirror.h"
#include "controllers/endpointslice_view.h"
#include "controllers/endpointslice_write.h"
#include "controllers/own_writes.h"
#include "controllers/resources.h"
#include "controllers/service_view.h"

enum {
    addresses_per_subset = 1000,
    slice_gather_ms = 1000,
    unseen_retry_ms = 10,
};

struct mirroring_state {
    struct controller *controller;
    struct informer *services, *endpoints, *slices;
    struct own_writes *writes;
};

/* ---- what changed ---- */

static void add_key_of_slice(struct mirroring_state *state, const struct cached_object *slice)
{
    if (slice != NULL && strcmp(endpointslice_view(slice)->manager, mirror_manager) == 0) {
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
    add_key_of_slice(argument, old);
    add_key_of_slice(argument, new);
}

/* ---- sync ---- */

static bool is_mirrored_by(const struct cached_object *old, const json_t *slice)
{
    static const char *const parts[] = {"endpoints", "ports"};
    cleanup(json_release)
    json_t *tree = cached_object_tree(old);
    for (size_t i = 0; i < array_length(parts); i++) {
        const json_t *have = json_object_get(tree, parts[i]);
        const json_t *want = json_object_get(slice, parts[i]);
        if (json_array_size(want) > 0 ? !json_equal(have, want) : json_array_size(have) > 0) {
            return false;
        }
    }
    const json_t *annotations = json_path(tree, "metadata", "annotations");
    const json_t *wanted = json_path(slice, "metadata", "annotations");
    return json_equal(json_path(tree, "metadata", "labels"),
                      json_path(slice, "metadata", "labels")) &&
           (annotations == NULL || wanted == NULL ? annotations == wanted
                                                  : json_equal(annotations, wanted));
}

/* Takes the slice of the same ports and family out of the list; the caller's, or NULL. */
static struct cached_object *take_match(struct cached_list *slices, const json_t *slice)
{
    uint64_t ports = endpoint_ports_hash(json_object_get(slice, "ports"));
    const char *type = json_get_string(slice, "addressType");
    int family = strcmp(type, "IPv6") == 0 ? AF_INET6 : AF_INET;
    for (size_t i = 0; i < slices->count; i++) {
        struct cached_object *old = slices->items[i];
        const struct endpointslice_view *view = endpointslice_view(old);
        if (view->ports == ports && view->family == family) {
            slices->items[i] = slices->items[--slices->count];
            return old;
        }
    }
    return NULL;
}

/* Notes what is to be written so that there are these slices and no others. */
static void compare(struct slice_writes *writes, struct cached_list *slices, const json_t *wanted)
{
    size_t i;
    json_t *slice;
    json_array_foreach (wanted, i, slice) {
        cleanup(cached_object_release)
        struct cached_object *old = take_match(slices, slice);
        if (old == NULL) {
            slice_writes_add(writes, NULL, json_incref(slice));
        } else if (!is_mirrored_by(old, slice)) {
            slice_writes_replace(writes, old, json_incref(slice));
        }
    }
    for (i = 0; i < slices->count; i++) {
        cached_list_add(&writes->deletions, slices->items[i]);
    }
}

static void tell_losses(struct mirroring_state *state, const json_t *endpoints,
                        const struct mirror_losses *losses)
{
    struct event_recorder *events = state->controller->events;
    if (losses->invalid > 0) {
        event_record_about(events, endpoints, "Warning", "InvalidIPAddress",
                           "Skipped %zu invalid IP addresses when mirroring to EndpointSlices",
                           losses->invalid);
    }
    if (losses->skipped > losses->invalid) {
        event_record_about(events, endpoints, "Warning", "TooManyAddressesToMirror",
                           "A max of %d addresses can be mirrored to EndpointSlices per Endpoints "
                           "subset. %zu addresses were skipped",
                           addresses_per_subset, losses->skipped);
    }
}

/* The Endpoints as a tree if they are to be mirrored; else NULL. The caller's. */
static json_t *what_to_mirror(struct mirroring_state *state, const char *key)
{
    cleanup(cached_object_release)
    struct cached_object *service = indexer_get(informer_indexer(state->services), key);
    cleanup(cached_object_release)
    struct cached_object *endpoints = indexer_get(informer_indexer(state->endpoints), key);
    if (service == NULL || service_view(service)->selector != NULL || endpoints == NULL) {
        return NULL;
    }
    json_t *tree = cached_object_tree(endpoints);
    if (!mirror_is_wanted(tree)) {
        json_decref(tree);
        return NULL;
    }
    return tree;
}

static bool sync_endpoints(void *argument, const char *key, struct error *error)
{
    struct mirroring_state *state = argument;
    struct indexer *indexer = informer_indexer(state->slices);
    if (!own_writes_are_seen(state->writes, key, indexer)) {
        controller_add_after(state->controller, key, unseen_retry_ms);
        return true;
    }
    cleanup(cached_list_free)
    struct cached_list slices = CACHED_LIST_INIT;
    endpointslice_find(indexer, key, mirror_manager, &slices);
    cleanup(json_release)
    json_t *endpoints = what_to_mirror(state, key);
    cleanup(json_release)
    json_t *wanted = NULL;
    cleanup(slice_writes_free)
    struct slice_writes writes = SLICE_WRITES_INIT;
    if (endpoints != NULL) {
        struct mirror_losses losses;
        wanted = mirror_slices(endpoints, addresses_per_subset, &losses);
        tell_losses(state, endpoints, &losses);
    }
    compare(&writes, &slices, wanted);
    if (endpoints != NULL) {
        slice_writes_recycle(&writes, json_path_string(endpoints, "metadata", "uid"));
    }
    cleanup(free_char)
    char *what = format("Endpoints %s", key);
    bool may_create = json_path(endpoints, "metadata", "deletionTimestamp") == NULL;
    return slice_writes_send(&writes, state->controller->client, state->writes, key, may_create,
                             what, error);
}

/* ---- life ---- */

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct mirroring_state *state = allocate_struct(struct mirroring_state);
    state->controller = controller;
    state->writes = own_writes_new();
    state->services = service_informer(controller->informers);
    state->slices = endpointslice_informer(controller->informers);
    state->endpoints = informer_factory_get(controller->informers, &resource_endpoints, NULL, NULL);
    informer_add_handler(state->services, controller_handle_object, controller);
    informer_add_handler(state->endpoints, controller_handle_object, controller);
    informer_add_handler(state->slices, slice_changed, state);
    return state;
}

static void stop(void *argument)
{
    struct mirroring_state *state = argument;
    own_writes_free(state->writes);
    free(state);
}

const struct controller_type endpointslice_mirroring_controller = {
    .name = "endpointslice-mirroring-controller",
    .alias = "endpointslicemirroring",
    .account = "endpointslicemirroring-controller",
    .workers = 5,
    .start = start,
    .sync = sync_endpoints,
    .stop = stop,
};

// SPDX-License-Identifier: Apache-2.0
/*
 * Resource quotas: counts what a namespace holds and writes it, with the limits that count, to the
 * status of its quotas; the API server charges what is created to that status in between. Recounts
 * when a quota is changed, when something goes that may have counted, and from time to time.
 *
 * What the server has charged is not in the store yet while its write is on the way, so a count can
 * be too low. It may only lower what is charged when nobody has charged anything for longer than a
 * write takes; under a stream of new objects usage stays too high at worst until the quota refuses
 * some, which ends the stream.
 */
#include <string.h>

#include "common/alloc.h"
#include "common/amounts.h"
#include "common/map.h"
#include "common/quota.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/discovery.h"
#include "controllers/pod_view.h"
#include "controllers/resources.h"
#include "controllers/service_view.h"

enum {
    gather_ms = 100,    /* What goes at once is counted once. */
    quiet_ms = 500,     /* For so long nothing was charged. */
    resync_ms = 300000, /* Upstream's --resource-quota-sync-period. */
    recount_ms = 30000, /* Of kinds that nobody watches. */
    page_size = 500,
};

struct resource_quota_state {
    struct controller *controller;
    struct informer *quotas;
    struct map lowered; /* Revisions at which quotas had too much, by key. The one worker's. */
};

/* ---- what tells that something went ---- */

static void recount_namespace(struct resource_quota_state *state, const char *namespace)
{
    cleanup(cached_list_free)
    struct cached_list quotas = CACHED_LIST_INIT;
    indexer_find(informer_indexer(state->quotas), "namespace", namespace, &quotas);
    for (size_t i = 0; i < quotas.count; i++) {
        controller_add_after(state->controller, quotas.items[i]->key, gather_ms);
    }
}

static void object_changed(void *state, const struct cached_object *old,
                           const struct cached_object *new)
{
    if (new == NULL) {
        recount_namespace(state, old->namespace);
    }
}

/* It may have another type, and other ports. */
static void service_changed(void *state, const struct cached_object *old,
                            const struct cached_object *new)
{
    if (old != NULL) {
        recount_namespace(state, (new != NULL ? new : old)->namespace);
    }
}

static bool has_ended(const struct cached_object *pod)
{
    return pod_view(pod)->phase == POD_SUCCEEDED || pod_view(pod)->phase == POD_FAILED;
}

static void pod_changed(void *state, const struct cached_object *old,
                        const struct cached_object *new)
{
    if (old != NULL && (new == NULL || (has_ended(new) && !has_ended(old)))) {
        recount_namespace(state, old->namespace);
    }
}

/* ---- counting ---- */

static char *group_of(const struct api_resource *resource)
{
    const char *slash = strchr(resource->group_version, '/');
    return slash != NULL
               ? duplicate_bytes(resource->group_version, (size_t)(slash - resource->group_version))
               : duplicate("");
}

static const struct api_resource *const watched[] = {
    &resource_pods,        &resource_services,
    &resource_configmaps,  &resource_persistent_volume_claims,
    &resource_secrets,     &resource_replicationcontrollers,
    &resource_deployments, &resource_replicasets,
    &resource_statefulsets};

/* How many objects count for a kind that is told by it alone. */
static bool count_objects(struct client *client, const struct api_resource *resource,
                          const char *namespace, size_t *count, struct error *error)
{
    cleanup(free_char)
    char *path = client_path(resource, namespace, NULL, NULL);
    struct client_request request = {.method = "GET", .path = format("%s?limit=1", path)};
    cleanup(json_release)
    json_t *list = client_call(client, request, error);
    *count = json_array_size(json_object_get(list, "items")) +
             (size_t)json_get_int(json_object_get(list, "metadata"), "remainingItemCount", 0);
    return list != NULL;
}

/* Adds the objects of one page that lie in the quota's scopes; '*token' is where the next begins,
 * NULL at the end. */
static bool count_page(struct client *client, const struct api_resource *resource,
                       const char *group, const json_t *quota, char **token, struct amounts *usage,
                       struct error *error)
{
    cleanup(free_char)
    char *path =
        client_path(resource, json_path_string(quota, "metadata", "namespace"), NULL, NULL);
    cleanup(free_char)
    char *from = steal(*token);
    struct client_request request = {
        .method = "GET",
        .path = format("%s?limit=%d&continue=%s", path, page_size, from != NULL ? from : "")};
    cleanup(json_release)
    json_t *list = client_call(client, request, error);
    if (list == NULL) {
        return false;
    }
    int64_t now = timestamp_now();
    size_t i;
    const json_t *object;
    json_array_foreach (json_object_get(list, "items"), i, object) {
        if (quota_scopes_match(quota, group, resource->plural, object)) {
            quota_add_usage(group, resource->plural, object, now, usage);
        }
    }
    const char *next = json_path_string(list, "metadata", "continue");
    *token = next != NULL && *next != '\0' ? duplicate(next) : NULL;
    return true;
}

static bool has_scopes(const json_t *quota)
{
    return json_array_size(json_path(quota, "spec", "scopes")) > 0 ||
           json_array_size(json_path(quota, "spec", "scopeSelector", "matchExpressions")) > 0;
}

/* Adds what the objects of a kind take, if the quota limits any of that. */
static bool count_kind(struct client *client, const struct api_resource *resource,
                       const json_t *quota, struct amounts *usage, bool *tracks,
                       struct error *error)
{
    cleanup(free_char)
    char *group = group_of(resource);
    bool is_detailed = resource == &resource_pods || resource == &resource_services ||
                       resource == &resource_persistent_volume_claims;
    const char *name;
    json_t *amount;
    *tracks = false;
    json_object_foreach (json_path(quota, "spec", "hard"), name, amount) {
        if (quota_tracks(group, resource->plural, name)) {
            amounts_add(usage, name, &(const struct quantity){.format = QUANTITY_DECIMAL_SI});
            *tracks = true;
        }
    }
    if (!*tracks) {
        return true;
    }
    if (!is_detailed) {
        size_t count = 0;
        if (!has_scopes(quota) &&
            !count_objects(client, resource, json_path_string(quota, "metadata", "namespace"),
                           &count, error)) {
            return false;
        }
        quota_add_count(group, resource->plural, count, usage);
        return true;
    }
    cleanup(free_char)
    char *token = NULL;
    do {
        if (!count_page(client, resource, group, quota, &token, usage, error)) {
            return false;
        }
    } while (token != NULL);
    return true;
}

static bool is_watched(const struct api_resource *resource)
{
    for (size_t i = 0; i < array_length(watched); i++) {
        if (strcmp(watched[i]->plural, resource->plural) == 0 &&
            strcmp(watched[i]->group_version, resource->group_version) == 0) {
            return true;
        }
    }
    return false;
}

/* Some resource of the quota is not among those that have been counted. */
static bool lacks(const json_t *quota, const struct amounts *usage)
{
    const char *name;
    json_t *amount;
    json_object_foreach (json_path(quota, "spec", "hard"), name, amount) {
        if (amounts_find(usage, name) == NULL) {
            return true;
        }
    }
    return false;
}

/* All that the quota limits; '*is_complete' is false when some of it nobody watches. */
static bool count(struct client *client, const json_t *quota, struct amounts *usage,
                  bool *is_complete, struct error *error)
{
    bool tracks;
    *is_complete = true;
    for (size_t i = 0; i < array_length(watched); i++) {
        if (!count_kind(client, watched[i], quota, usage, &tracks, error)) {
            return false;
        }
    }
    if (!lacks(quota, usage)) {
        return true;
    }
    cleanup(discovery_free)
    struct discovery kinds = DISCOVERY_INIT;
    if (!discovery_read(client, &kinds, error)) {
        return false;
    }
    for (size_t i = 0; i < kinds.count; i++) {
        const struct discovered *kind = kinds.items[i];
        if (kind->resource.namespaced && kind->is_preferred && (kind->verbs & DISCOVERY_LIST) &&
            !is_watched(&kind->resource)) {
            if (!count_kind(client, &kind->resource, quota, usage, &tracks, error)) {
                return false;
            }
            *is_complete = *is_complete && !tracks;
        }
    }
    return true;
}

/* ---- the status ---- */

/* What the quota's status is to say of usage: its resources, as counted; what can't be counted
 * stays as it was. The caller's. */
static json_t *used_of(const json_t *quota, const struct amounts *usage)
{
    cleanup(amounts_clear)
    struct amounts used = AMOUNTS_INIT;
    cleanup(amounts_clear)
    struct amounts before = AMOUNTS_INIT;
    amounts_add_tree(&before, json_path(quota, "status", "used"));
    const char *name;
    json_t *amount;
    json_object_foreach (json_path(quota, "spec", "hard"), name, amount) {
        const struct quantity *counted = amounts_find(usage, name);
        counted = counted != NULL ? counted : amounts_find(&before, name);
        if (counted != NULL) {
            amounts_set(&used, name, counted);
        }
    }
    return amounts_tree(&used);
}

/* Something is less than the status says. */
static bool is_lower(const json_t *used, const json_t *quota)
{
    cleanup(amounts_clear)
    struct amounts now = AMOUNTS_INIT;
    cleanup(amounts_clear)
    struct amounts before = AMOUNTS_INIT;
    amounts_add_tree(&now, used);
    amounts_add_tree(&before, json_path(quota, "status", "used"));
    for (size_t i = 0; i < now.count; i++) {
        const struct quantity *then = amounts_find(&before, now.list[i].name);
        if (then != NULL && quantity_compare(&now.list[i].quantity, then) < 0) {
            return true;
        }
    }
    return false;
}

/* It has been at this revision since the last time, when it had too much already. */
static bool was_quiet(struct resource_quota_state *state, const char *key, const json_t *quota)
{
    const char *revision = json_path_string(quota, "metadata", "resourceVersion");
    cleanup(free_char)
    char *then = map_remove(&state->lowered, key);
    if (then != NULL && strcmp(then, revision) == 0) {
        return true;
    }
    free(map_set(&state->lowered, key, duplicate(revision)));
    return false;
}

/* Nothing is written that is there already. */
static bool write_status(struct resource_quota_state *state, json_t *quota, const json_t *used,
                         struct error *error)
{
    json_t *status = json_get_or_add_object(quota, "status");
    const json_t *hard = json_path(quota, "spec", "hard");
    bool same_limits = hard == NULL ? json_object_size(json_object_get(status, "hard")) == 0
                                    : json_equal(json_object_get(status, "hard"), hard);
    bool same_usage = json_object_size(used) == 0
                          ? json_object_size(json_object_get(status, "used")) == 0
                          : json_equal(json_object_get(status, "used"), used);
    if (same_limits && same_usage) {
        return true;
    }
    json_object_set_new(status, "hard", hard != NULL ? json_deep_copy(hard) : json_object());
    json_object_set_new(status, "used", json_deep_copy(used));
    cleanup(json_release)
    json_t *written =
        client_update(state->controller->client, &resource_resource_quotas, "status", quota, error);
    return written != NULL;
}

static bool sync_quota(void *argument, const char *key, struct error *error)
{
    struct resource_quota_state *state = argument;
    struct client *client = state->controller->client;
    cleanup(free_char)
    char *namespace = NULL;
    cleanup(free_char)
    char *name = NULL;
    controller_split_key(key, &namespace, &name);
    /* The quota as it is before we count: what is charged since makes the update a conflict. */
    cleanup(cached_object_release)
    struct cached_object *object = informer_get(state->quotas, namespace, name);
    if (object == NULL) {
        free(map_remove(&state->lowered, key));
        return true;
    }
    cleanup(json_release)
    json_t *quota = cached_object_tree(object);
    cleanup(amounts_clear)
    struct amounts usage = AMOUNTS_INIT;
    bool is_complete;
    if (!count(client, quota, &usage, &is_complete, error)) {
        return false;
    }
    cleanup(json_release)
    json_t *used = used_of(quota, &usage);
    if (is_lower(used, quota) && !was_quiet(state, key, quota)) {
        controller_add_after(state->controller, key, quiet_ms);
        return true;
    }
    controller_add_after(state->controller, key, is_complete ? resync_ms : recount_ms);
    return write_status(state, quota, used, error);
}

/* ---- start and end ---- */

/* The status is ours and the server's. */
static void quota_changed(void *argument, const struct cached_object *old,
                          const struct cached_object *new)
{
    struct resource_quota_state *state = argument;
    if (new == NULL) {
        return;
    }
    cleanup(json_release)
    json_t *before = old != NULL ? cached_object_tree(old) : NULL;
    cleanup(json_release)
    json_t *now = cached_object_tree(new);
    if (before == NULL ||
        !json_equal(json_path(before, "spec", "hard"), json_path(now, "spec", "hard"))) {
        controller_add_object(state->controller, new);
    }
}

static void watch_metadata(struct resource_quota_state *state, const struct api_resource *resource)
{
    static const struct informer_options options = {.metadata_only = true};
    static const struct cached_object_class class = {.drop_text = true};
    informer_add_handler(
        informer_factory_get(state->controller->informers, resource, &class, &options),
        object_changed, state);
}

static void *start(struct controller *controller, struct error *error)
{
    /* Whose informers others have too. */
    static const struct api_resource *const shared[] = {
        &resource_replicationcontrollers, &resource_deployments, &resource_replicasets,
        &resource_statefulsets};
    static const struct api_resource *const own[] = {
        &resource_configmaps, &resource_persistent_volume_claims, &resource_secrets};
    (void)error;
    struct informer_factory *informers = controller->informers;
    struct resource_quota_state *state = allocate_struct(struct resource_quota_state);
    state->controller = controller;
    state->quotas = informer_factory_get(informers, &resource_resource_quotas, NULL, NULL);
    informer_add_handler(state->quotas, quota_changed, state);
    informer_add_handler(pod_informer(informers), pod_changed, state);
    informer_add_handler(service_informer(informers), service_changed, state);
    for (size_t i = 0; i < array_length(shared); i++) {
        informer_add_handler(informer_factory_get(informers, shared[i], NULL, NULL), object_changed,
                             state);
    }
    for (size_t i = 0; i < array_length(own); i++) {
        watch_metadata(state, own[i]);
    }
    return state;
}

static void stop(void *argument)
{
    struct resource_quota_state *state = argument;
    map_free(&state->lowered, free);
    free(state);
}

const struct controller_type resource_quota_controller = {
    .name = "resourcequota-controller",
    .alias = "resourcequota",
    .account = "resourcequota-controller",
    .workers = 1,
    .start = start,
    .sync = sync_quota,
    .stop = stop,
};

// SPDX-License-Identifier: Apache-2.0
/*
 * Namespaces: one that is terminating is emptied, kind by kind, and then let go.
 *
 * sync(): delete all that is in the namespace, the pods before anything else, so that nothing they
 * live by goes while they run; tell in the conditions what remains; come again while something
 * does; then take the finalizer "kubernetes" away, which is what kept the namespace.
 */
#include "controllers/namespace.h"

#include <string.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/discovery.h"
#include "controllers/resources.h"

enum {
    first_retry_ms = 500,
    longest_retry_ms = 60000,
    /* An API server that has not seen the deletion yet may let something in for a moment. */
    settle_ms = 1500,
    delete_batch = 512,
};

static const char metadata_list[] =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

struct namespace_state {
    struct controller *controller;
    struct informer *namespaces;
};

/* ---- requests ---- */

static struct client_request list_request(const struct api_resource *resource,
                                          const char *namespace)
{
    return (struct client_request){
        .method = "GET",
        .path = client_path(resource, namespace, NULL, NULL),
        .accept = resource == &resource_pods ? NULL : metadata_list,
    };
}

/* Of the whole collection when 'name' is NULL. */
static struct client_request delete_request(const struct api_resource *resource,
                                            const char *namespace, const char *name)
{
    struct client_request request = {
        .method = "DELETE",
        .path = client_path(resource, namespace, name, NULL),
    };
    cleanup(json_release)
    json_t *options = client_delete_options(NULL, "Background");
    json_encode(options, &request.body);
    return request;
}

/* The kind or the object is gone, or the verb is not there: nothing to tell. */
static bool is_harmless(const struct error *error)
{
    return error->code == 404 || error->code == 405;
}

static void note(struct namespace_pass *pass, struct error *error)
{
    if (error_is_set(error) && !is_harmless(error)) {
        namespace_pass_error(pass, error->message);
    }
    error_clear(error);
}

/* ---- deleting ---- */

static void delete_batch_of(struct client *client, const struct api_resource *resource,
                            const char *namespace, const json_t *items, size_t from,
                            struct namespace_pass *pass)
{
    size_t left = json_array_size(items) - from;
    size_t count = left < delete_batch ? left : delete_batch;
    struct client_call *calls = allocate_zero(count, sizeof *calls);
    for (size_t i = 0; i < count; i++) {
        calls[i].request =
            delete_request(resource, namespace,
                           json_path_string(json_array_get(items, from + i), "metadata", "name"));
    }
    client_call_all(client, calls, count);
    for (size_t i = 0; i < count; i++) {
        note(pass, &calls[i].error);
        json_decref(calls[i].result);
    }
    free(calls);
}

/* For kinds that can't be deleted as a whole. */
static void delete_each(struct client *client, const struct api_resource *resource,
                        const char *namespace, struct namespace_pass *pass)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(json_release)
    json_t *list = client_call(client, list_request(resource, namespace), &error);
    const json_t *items = json_object_get(list, "items");
    note(pass, &error);
    for (size_t from = 0; from < json_array_size(items); from += delete_batch) {
        delete_batch_of(client, resource, namespace, items, from, pass);
    }
}

/* Deletes all objects of these kinds in the namespace, the kinds side by side, and counts what is
 * left of them. 'estimate' is that of their graceful termination. */
static void delete_kinds(struct client *client, const struct discovered *const *kinds, size_t count,
                         const char *namespace, int64_t estimate, struct namespace_pass *pass)
{
    struct client_call *calls = allocate_zero(count + 1, sizeof *calls);
    size_t sent = 0;
    for (size_t i = 0; i < count; i++) {
        if ((kinds[i]->verbs & DISCOVERY_DELETE_COLLECTION) != 0) {
            calls[sent++].request = delete_request(&kinds[i]->resource, namespace, NULL);
        } else {
            delete_each(client, &kinds[i]->resource, namespace, pass);
        }
    }
    client_call_all(client, calls, sent);
    for (size_t i = 0; i < sent; i++) {
        note(pass, &calls[i].error);
        json_decref(calls[i].result);
    }
    for (size_t i = 0; i < count; i++) {
        calls[i] = (struct client_call){.request = list_request(&kinds[i]->resource, namespace)};
    }
    client_call_all(client, calls, count);
    for (size_t i = 0; i < count; i++) {
        namespace_pass_count(pass, namespace, &kinds[i]->resource, calls[i].result, estimate);
        note(pass, &calls[i].error);
        json_decref(calls[i].result);
    }
    free(calls);
}

static bool is_pods(const struct discovered *kind)
{
    return strcmp(kind->resource.plural, "pods") == 0 &&
           strcmp(kind->resource.group_version, "v1") == 0;
}

/* The kinds whose objects are deleted: the pods, or all others. */
static const struct discovered **select_kinds(const struct discovery *discovery, bool pods,
                                              size_t *count)
{
    const unsigned needed = DISCOVERY_LIST | DISCOVERY_DELETE;
    const struct discovered **kinds = allocate_zero(discovery->count + 1, sizeof *kinds);
    *count = 0;
    for (size_t i = 0; i < discovery->count; i++) {
        const struct discovered *kind = discovery->items[i];
        if (kind->resource.namespaced && kind->is_preferred && (kind->verbs & needed) == needed &&
            is_pods(kind) == pods) {
            kinds[(*count)++] = kind;
        }
    }
    return kinds;
}

/* Seconds that the pods may take, asked before they are told to go. */
static int64_t estimate_pods(struct client *client, const char *namespace,
                             int64_t terminating_seconds, struct namespace_pass *pass)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(json_release)
    json_t *pods = client_call(client, list_request(&resource_pods, namespace), &error);
    note(pass, &error);
    return namespace_pods_estimate(pods, terminating_seconds);
}

static void delete_content(struct client *client, const char *namespace,
                           int64_t terminating_seconds, struct namespace_pass *pass)
{
    cleanup(discovery_free)
    struct discovery discovery = DISCOVERY_INIT;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    if (!discovery_read(client, &discovery, &error)) {
        pass->discovery_failure = duplicate(error.message);
    } else if (discovery.failures != NULL) {
        cleanup(free_char)
        char *why = discovery_failure(&discovery);
        pass->discovery_failure = format("Discovery failed for some groups, %zu failing: %s",
                                         json_object_size(discovery.failures), why);
    }
    for (int pods = 1; pods >= 0 && pass->remaining == NULL && pass->errors == NULL; pods--) {
        size_t count;
        const struct discovered **kinds = select_kinds(&discovery, pods != 0, &count);
        int64_t estimate =
            pods != 0 ? estimate_pods(client, namespace, terminating_seconds, pass) : 0;
        delete_kinds(client, kinds, count, namespace, estimate, pass);
        free(kinds);
    }
}

/* ---- sync ---- */

/* Writes the conditions; '*namespace' becomes the object as stored. */
static bool write_conditions(struct client *client, json_t **namespace,
                             const struct namespace_pass *pass, struct error *error)
{
    if (!namespace_set_conditions(json_get_or_add_object(*namespace, "status"), pass)) {
        return true;
    }
    json_t *written = client_update(client, &resource_namespaces, "status", *namespace, error);
    if (written == NULL) {
        return false;
    }
    json_decref(*namespace);
    *namespace = written;
    return true;
}

static bool finalize(struct client *client, json_t *namespace, struct error *error)
{
    json_t *finalizers = json_path(namespace, "spec", "finalizers");
    for (size_t i = json_array_size(finalizers); i-- > 0;) {
        if (strcmp(json_string_value(json_array_get(finalizers, i)), "kubernetes") == 0) {
            json_array_remove(finalizers, i);
        }
    }
    cleanup(json_release)
    json_t *written = client_update(client, &resource_namespaces, "finalize", namespace, error);
    return written != NULL;
}

/* Half of the estimate and a second, as upstream; sooner while the deletion is young, since what
 * may take long is mostly quick. */
static int64_t retry_ms(int64_t estimate_seconds, int64_t terminating_ms)
{
    int64_t most = (estimate_seconds / 2 + 1) * 1000, delay = terminating_ms / 2;
    delay = delay > first_retry_ms ? delay : first_retry_ms;
    return delay < most ? delay : most;
}

/* After a pass: tells what it brought, and comes again or lets the namespace go. */
static bool conclude(struct namespace_state *state, json_t **namespace, const char *key,
                     const struct namespace_pass *pass, int64_t terminating_ms, struct error *error)
{
    struct client *client = state->controller->client;
    if (!write_conditions(client, namespace, pass, error)) {
        return false;
    }
    if (pass->errors != NULL || pass->discovery_failure != NULL) {
        controller_add_after(state->controller, key, longest_retry_ms);
        return error_internal(error, "%s",
                              pass->errors != NULL
                                  ? json_string_value(json_array_get(pass->errors, 0))
                                  : pass->discovery_failure);
    }
    if (pass->estimate > 0) {
        controller_add_after(state->controller, key, retry_ms(pass->estimate, terminating_ms));
        return true;
    }
    if (terminating_ms < settle_ms) {
        controller_add_after(state->controller, key, settle_ms - terminating_ms);
        return true;
    }
    return finalize(client, *namespace, error);
}

static bool sync_namespace(void *argument, const char *key, struct error *error)
{
    struct namespace_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(state->namespaces), key);
    if (cached == NULL || !cached->is_deleting) {
        return true;
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *namespace =
        client_get(state->controller->client, &resource_namespaces, NULL, key, &why);
    const char *deletion = json_path_string(namespace, "metadata", "deletionTimestamp");
    int64_t since;
    if (namespace == NULL) {
        return why.code == 404 || error_move(error, &why);
    }
    if (deletion == NULL || !timestamp_parse(deletion, &since) ||
        !json_array_has_string(json_path(namespace, "spec", "finalizers"), "kubernetes")) {
        return true;
    }
    int64_t terminating_ms = (timestamp_now() - since) / 1000000;
    cleanup(namespace_pass_clear)
    struct namespace_pass pass = NAMESPACE_PASS_INIT;
    delete_content(state->controller->client, key, terminating_ms / 1000, &pass);
    return conclude(state, &namespace, key, &pass, terminating_ms, &why) || why.code == 404 ||
           error_move(error, &why);
}

/* ---- life ---- */

/* Its own writes of the conditions are no reason to come again. */
static void namespace_changed(void *argument, const struct cached_object *old,
                              const struct cached_object *new)
{
    if (new != NULL &&new->is_deleting && (old == NULL || !old->is_deleting)) {
        controller_add_object(argument, new);
    }
}

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct namespace_state *state = allocate_struct(struct namespace_state);
    state->controller = controller;
    state->namespaces =
        informer_factory_get(controller->informers, &resource_namespaces, NULL, NULL);
    informer_add_handler(state->namespaces, namespace_changed, controller);
    return state;
}

const struct controller_type namespace_controller = {
    .name = "namespace-controller",
    .alias = "namespace",
    .account = "namespace-controller",
    .workers = 10,
    .start = start,
    .sync = sync_namespace,
    .stop = free,
};

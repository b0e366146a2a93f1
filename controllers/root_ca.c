// SPDX-License-Identifier: Apache-2.0
/*
 * The CA for everybody: each active namespace has a config map kube-root-ca.crt with the
 * certificate authority that clients verify the API server with. Keys are the names of namespaces.
 */
#include <string.h>

#include "common/alloc.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/namespace_defaults.h"
#include "controllers/pod_control.h"
#include "controllers/resources.h"

enum { ca_max_bytes = 1024 * 1024 };

#define MAP_NAME "kube-root-ca.crt"

static const char description_key[] = "kubernetes.io/description";
static const char description[] =
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters.";

struct root_ca_state {
    struct controller *controller;
    struct informer *namespaces, *maps;
    json_t *data; /* The maps' data. */
};

static void namespace_changed(void *controller, const struct cached_object *old,
                              const struct cached_object *new)
{
    (void)old;
    if (new != NULL && !new->is_deleting) {
        controller_add_object(controller, new);
    }
}

static void map_changed(void *controller, const struct cached_object *old,
                        const struct cached_object *new)
{
    controller_add(controller, new != NULL ? new->namespace : old->namespace);
}

static bool is_right(const json_t *map, const json_t *data)
{
    const char *present = json_path_string(map, "metadata", "annotations", description_key);
    return present != NULL && *present != '\0' && json_equal(json_object_get(map, "data"), data);
}

json_t *root_ca_map_wanted(const struct cached_object *namespace, const json_t *present,
                           const json_t *data)
{
    if (namespace == NULL || namespace->is_deleting ||
        (present != NULL && is_right(present, data))) {
        return NULL;
    }
    json_t *map = present != NULL
                      ? json_deep_copy(present)
                      : json_pack("{s:s, s:s, s:{s:s, s:s}}", "kind", "ConfigMap", "apiVersion",
                                  "v1", "metadata", "name", MAP_NAME, "namespace", namespace->name);
    json_t *metadata = json_get_or_add_object(map, "metadata");
    json_object_set_new(map, "data", json_deep_copy(data));
    json_object_set_new(json_get_or_add_object(metadata, "annotations"), description_key,
                        json_string(description));
    return map;
}

static bool sync_root_ca(void *argument, const char *key, struct error *error)
{
    struct root_ca_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *namespace = indexer_get(informer_indexer(state->namespaces), key);
    cleanup(cached_object_release)
    struct cached_object *cached = informer_get(state->maps, key, MAP_NAME);
    cleanup(json_release)
    json_t *present = cached != NULL ? cached_object_tree(cached) : NULL;
    cleanup(json_release)
    json_t *wanted = root_ca_map_wanted(namespace, present, state->data);
    if (wanted == NULL) {
        return true;
    }
    struct client *client = state->controller->client;
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *written = present == NULL
                          ? client_create(client, &resource_configmaps, key, wanted, &why)
                          : client_update(client, &resource_configmaps, NULL, wanted, &why);
    return written != NULL || (present == NULL && why.code == 404) ||
           pod_control_is_namespace_terminating(&why) || error_move(error, &why);
}

static void *start(struct controller *controller, struct error *error)
{
    static const struct informer_options only_ours = {.field_selector = "metadata.name=" MAP_NAME};
    const char *file = controller->settings->root_ca_file;
    cleanup(free_char)
    char *ca = *file != '\0' ? client_config_read_file(file, ca_max_bytes, error)
               : controller->service->config.ca != NULL ? duplicate(controller->service->config.ca)
                                                        : NULL;
    if (ca == NULL && *file != '\0') {
        return NULL;
    }
    struct root_ca_state *state = allocate_struct(struct root_ca_state);
    state->controller = controller;
    if (ca == NULL) {
        return state; /* The API server is verified with the system's authorities, if at all. */
    }
    state->data = json_pack("{s:s}", "ca.crt", ca);
    state->namespaces =
        informer_factory_get(controller->informers, &resource_namespaces, NULL, NULL);
    state->maps =
        informer_factory_get(controller->informers, &resource_configmaps, NULL, &only_ours);
    informer_add_handler(state->namespaces, namespace_changed, controller);
    informer_add_handler(state->maps, map_changed, controller);
    return state;
}

static void stop(void *argument)
{
    struct root_ca_state *state = argument;
    json_decref(state->data);
    free(state);
}

const struct controller_type root_ca_controller = {
    .name = "root-ca-certificate-publisher-controller",
    .alias = "root-ca-cert-publisher",
    .account = "root-ca-cert-publisher",
    .workers = 1,
    .start = start,
    .sync = sync_root_ca,
    .stop = stop,
};

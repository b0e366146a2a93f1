// SPDX-License-Identifier: Apache-2.0
/*
 * Service accounts: each active namespace has one named "default", which its pods run as unless
 * they say otherwise. Keys are the names of namespaces.
 */
#include "common/alloc.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/namespace_defaults.h"
#include "controllers/pod_control.h"
#include "controllers/resources.h"

struct serviceaccount_state {
    struct controller *controller;
    struct informer *namespaces, *accounts;
};

static void namespace_changed(void *controller, const struct cached_object *old,
                              const struct cached_object *new)
{
    (void)old;
    if (new != NULL && !new->is_deleting) {
        controller_add_object(controller, new);
    }
}

static void account_changed(void *controller, const struct cached_object *old,
                            const struct cached_object *new)
{
    if (new == NULL) {
        controller_add(controller, old->namespace);
    }
}

json_t *serviceaccount_missing(const struct cached_object *namespace,
                               const struct cached_object *present)
{
    if (namespace == NULL || namespace->is_deleting || present != NULL) {
        return NULL;
    }
    return json_pack("{s:s, s:s, s:{s:s, s:s}}", "kind", "ServiceAccount", "apiVersion", "v1",
                     "metadata", "name", "default", "namespace", namespace->name);
}

static bool sync_serviceaccount(void *argument, const char *key, struct error *error)
{
    struct serviceaccount_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *namespace = indexer_get(informer_indexer(state->namespaces), key);
    cleanup(cached_object_release)
    struct cached_object *present = informer_get(state->accounts, key, "default");
    cleanup(json_release)
    json_t *account = serviceaccount_missing(namespace, present);
    if (account == NULL) {
        return true;
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *created =
        client_create(state->controller->client, &resource_service_accounts, key, account, &why);
    return created != NULL || why.code == 409 || why.code == 404 ||
           pod_control_is_namespace_terminating(&why) || error_move(error, &why);
}

static void *start(struct controller *controller, struct error *error)
{
    static const struct informer_options only_default = {.field_selector = "metadata.name=default",
                                                         .metadata_only = true};
    static const struct cached_object_class class = {.drop_text = true};
    (void)error;
    struct serviceaccount_state *state = allocate_struct(struct serviceaccount_state);
    state->controller = controller;
    state->namespaces =
        informer_factory_get(controller->informers, &resource_namespaces, NULL, NULL);
    state->accounts = informer_factory_get(controller->informers, &resource_service_accounts,
                                           &class, &only_default);
    informer_add_handler(state->namespaces, namespace_changed, controller);
    informer_add_handler(state->accounts, account_changed, controller);
    return state;
}

const struct controller_type serviceaccount_controller = {
    .name = "serviceaccount-controller",
    .alias = "serviceaccount",
    .account = "service-account-controller",
    .workers = 1,
    .start = start,
    .sync = sync_serviceaccount,
    .stop = free,
};

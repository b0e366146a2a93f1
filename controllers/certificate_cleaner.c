// SPDX-License-Identifier: Apache-2.0
/*
 * certificatesigningrequest-cleaner-controller: deletes requests that nobody decides, that were
 * decided a while ago, or whose certificate has expired.
 */
#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/certificate_view.h"
#include "controllers/controller.h"
#include "controllers/resources.h"

struct cleaner_state {
    struct controller *controller;
    struct informer *requests;
};

static bool sync_cleaner(void *argument, const char *key, struct error *error)
{
    struct cleaner_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(state->requests), key);
    if (cached == NULL || cached->is_deleting) {
        return true;
    }
    cleanup(json_release)
    json_t *csr = cached_object_tree(cached);
    int64_t at = certificate_clean_at(csr), now = timestamp_now();
    if (at > now) {
        if (at < INT64_MAX) {
            controller_add_after(state->controller, key, (at - now) / 1000000 + 1);
        }
        return true;
    }
    cleanup(json_release)
    json_t *options = client_delete_options(cached->uid, NULL);
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    return client_delete(state->controller->client, &resource_certificate_signing_requests, NULL,
                         key, options, &why) ||
           why.code == 404 || error_move(error, &why);
}

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct cleaner_state *state = allocate_struct(struct cleaner_state);
    state->controller = controller;
    state->requests = informer_factory_get(controller->informers,
                                           &resource_certificate_signing_requests, NULL, NULL);
    informer_add_handler(state->requests, controller_handle_object, controller);
    return state;
}

const struct controller_type certificate_cleaner_controller = {
    .name = "certificatesigningrequest-cleaner-controller",
    .alias = "csrcleaner",
    .account = "certificate-controller",
    .workers = 1,
    .start = start,
    .sync = sync_cleaner,
    .stop = free,
};

// SPDX-License-Identifier: Apache-2.0
/* token-cleaner-controller: deletes bootstrap tokens whose time is over. Off by default, as
 * upstream. */
#include "common/alloc.h"
#include "common/bootstrap_token.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/bootstrap_secrets.h"
#include "controllers/controller.h"
#include "controllers/resources.h"

struct token_cleaner {
    struct controller *controller;
    struct informer *secrets;
};

static bool sync_token(void *argument, const char *key, struct error *error)
{
    struct token_cleaner *state = argument;
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(state->secrets), key);
    if (cached == NULL || cached->is_deleting) {
        return true;
    }
    cleanup(json_release)
    json_t *secret = cached_object_tree(cached);
    int64_t until = bootstrap_token_expiry(secret), now = timestamp_now();
    if (until > now) {
        if (until < INT64_MAX) {
            controller_add_after(state->controller, key, (until - now) / 1000000 + 1);
        }
        return true;
    }
    cleanup(json_release)
    json_t *options = client_delete_options(cached->uid, NULL);
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    return client_delete(state->controller->client, &resource_secrets, cached->namespace,
                         cached->name, options, &why) ||
           why.code == 404 || why.code == 409 || error_move(error, &why);
}

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct token_cleaner *state = allocate_struct(struct token_cleaner);
    state->controller = controller;
    state->secrets = bootstrap_secrets_informer(controller->informers);
    informer_add_handler(state->secrets, controller_handle_object, controller);
    return state;
}

const struct controller_type token_cleaner_controller = {
    .name = "token-cleaner-controller",
    .alias = "tokencleaner",
    .account = "token-cleaner",
    .is_off_by_default = true,
    .workers = 1,
    .start = start,
    .sync = sync_token,
    .stop = free,
};

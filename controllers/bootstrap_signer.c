// SPDX-License-Identifier: Apache-2.0
/*
 * bootstrap-signer-controller: signs the kubeconfig in the config map cluster-info of kube-public,
 * which anybody may read, with each bootstrap token that is for signing, so that a node that knows
 * a token can tell that it is the cluster's. Off by default, as upstream. There is one key:
 * whatever changes, the map is looked at.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/bootstrap_token.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/bootstrap_secrets.h"
#include "controllers/controller.h"
#include "controllers/resources.h"

static const char map_key[] = "kube-public/cluster-info";
static const char signature_prefix[] = "jws-kubeconfig-";

/* ---- what the map is to say ---- */

static bool is_for_signing(const json_t *secret, const char *id, const char *token, int64_t now)
{
    const char *name = json_path_string(secret, "metadata", "name");
    const char *type = json_get_string(secret, "type");
    cleanup(free_char)
    char *usage = bootstrap_token_datum(secret, "usage-bootstrap-signing");
    cleanup(free_char)
    char *expected = format("bootstrap-token-%s", id);
    return name != NULL && strcmp(name, expected) == 0 && type != NULL &&
           strcmp(type, bootstrap_token_type) == 0 && strlen(id) == BOOTSTRAP_TOKEN_ID_LENGTH &&
           bootstrap_token_is_text(id, strlen(id)) && token[0] != '\0' &&
           strcmp(usage, "true") == 0 && bootstrap_token_expiry(secret) > now &&
           json_path(secret, "metadata", "deletionTimestamp") == NULL;
}

/* A JSON Web Signature with HS256 whose content is left out: it stands beside it. */
static char *sign(const char *content, const char *id, const char *token)
{
    cleanup(free_char)
    char *header = format("{\"alg\":\"HS256\",\"kid\":\"%s\"}", id);
    cleanup(free_char)
    char *encoded_header = base64_encode_url(header, strlen(header));
    cleanup(free_char)
    char *encoded_content = base64_encode_url(content, strlen(content));
    cleanup(free_char)
    char *text = format("%s.%s", encoded_header, encoded_content);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    HMAC(EVP_sha256(), token, (int)strlen(token), (const unsigned char *)text, strlen(text), digest,
         &length);
    cleanup(free_char)
    char *signature = base64_encode_url(digest, length);
    return format("%s..%s", encoded_header, signature);
}

static void drop_signatures(json_t *data)
{
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe (data, next, name, value) {
        if (strncmp(name, signature_prefix, strlen(signature_prefix)) == 0) {
            json_object_del(data, name);
        }
    }
}

json_t *bootstrap_signed_data(const json_t *data, json_t *const *secrets, size_t count, int64_t now)
{
    json_t *wanted = data != NULL ? json_copy((json_t *)data) : json_object();
    const char *content = json_get_string(data, "kubeconfig");
    drop_signatures(wanted);
    for (size_t i = 0; content != NULL && i < count; i++) {
        cleanup(free_char)
        char *id = bootstrap_token_datum(secrets[i], "token-id");
        cleanup(free_char)
        char *token = bootstrap_token_datum(secrets[i], "token-secret");
        if (is_for_signing(secrets[i], id, token, now)) {
            cleanup(free_char)
            char *name = format("%s%s", signature_prefix, id);
            cleanup(free_char)
            char *signature = sign(content, id, token);
            json_object_set_new(wanted, name, json_string(signature));
        }
    }
    return wanted;
}

/* ---- the controller ---- */

struct bootstrap_signer {
    struct controller *controller;
    struct informer *secrets, *maps;
};

static void something_changed(void *controller, const struct cached_object *old,
                              const struct cached_object *new)
{
    (void)old;
    (void)new;
    controller_add(controller, map_key);
}

/* Looks again when the next token ends. */
static void come_again(struct bootstrap_signer *state, json_t *const *secrets, size_t count,
                       int64_t now)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        int64_t until = bootstrap_token_expiry(secrets[i]);
        next = until > now && until < next ? until : next;
    }
    if (next < INT64_MAX) {
        controller_add_after(state->controller, map_key, (next - now) / 1000000 + 1);
    }
}

static json_t *signed_data(struct bootstrap_signer *state, const json_t *data)
{
    cleanup(cached_list_free)
    struct cached_list list = CACHED_LIST_INIT;
    indexer_find(informer_indexer(state->secrets), "namespace", "kube-system", &list);
    json_t **secrets = allocate_zero(list.count + 1, sizeof(json_t *));
    for (size_t i = 0; i < list.count; i++) {
        secrets[i] = cached_object_tree(list.items[i]);
    }
    int64_t now = timestamp_now();
    json_t *wanted = bootstrap_signed_data(data, secrets, list.count, now);
    come_again(state, secrets, list.count, now);
    for (size_t i = 0; i < list.count; i++) {
        json_decref(secrets[i]);
    }
    free(secrets);
    return wanted;
}

static bool sync_map(void *argument, const char *key, struct error *error)
{
    struct bootstrap_signer *state = argument;
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(state->maps), key);
    if (cached == NULL || cached->is_deleting) {
        return true;
    }
    cleanup(json_release)
    json_t *map = cached_object_tree(cached);
    json_t *wanted = signed_data(state, json_object_get(map, "data"));
    if (json_equal(wanted, json_object_get(map, "data"))) {
        json_decref(wanted);
        return true;
    }
    json_object_set_new(map, "data", wanted);
    cleanup(json_release)
    json_t *written =
        client_update(state->controller->client, &resource_configmaps, NULL, map, error);
    return written != NULL;
}

static void *start(struct controller *controller, struct error *error)
{
    static const struct informer_options only_ours = {
        .field_selector = "metadata.namespace=kube-public,metadata.name=cluster-info"};
    (void)error;
    struct bootstrap_signer *state = allocate_struct(struct bootstrap_signer);
    state->controller = controller;
    state->secrets = bootstrap_secrets_informer(controller->informers);
    state->maps =
        informer_factory_get(controller->informers, &resource_configmaps, NULL, &only_ours);
    informer_add_handler(state->secrets, something_changed, controller);
    informer_add_handler(state->maps, something_changed, controller);
    return state;
}

const struct controller_type bootstrap_signer_controller = {
    .name = "bootstrap-signer-controller",
    .alias = "bootstrapsigner",
    .account = "bootstrap-signer",
    .is_off_by_default = true,
    .workers = 1,
    .start = start,
    .sync = sync_map,
    .stop = free,
};

struct informer *bootstrap_secrets_informer(struct informer_factory *informers)
{
    static const struct informer_options only_tokens = {
        .field_selector = "metadata.namespace=kube-system,type=bootstrap.kubernetes.io/token"};
    return informer_factory_get(informers, &resource_secrets, NULL, &only_tokens);
}

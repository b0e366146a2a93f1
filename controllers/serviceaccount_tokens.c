// SPDX-License-Identifier: Apache-2.0
/*
 * Tokens in secrets: a secret of type kubernetes.io/service-account-token that names an account in
 * an annotation gets a token of it, the CA to reach the API server with, and its namespace. When
 * the account is not there, or is another one of that name, the secret goes. Keys are those of
 * secrets.
 *
 * Such tokens have no end; the API server takes them as long as the secret holds them.
 */
#include <openssl/crypto.h>
#include <string.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/jwt.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/resources.h"

enum { file_max_bytes = 1024 * 1024 };

#define CLAIM(name) "kubernetes.io/serviceaccount/" name

static const char name_annotation[] = "kubernetes.io/service-account.name";
static const char uid_annotation[] = "kubernetes.io/service-account.uid";
static const char by_account[] = "service account";

struct tokens_state {
    struct controller *controller;
    struct informer *secrets, *accounts;
    struct jwt_keys keys; /* The first one signs. */
    char *ca;             /* In base64; NULL: none is known. */
};

/* ---- keys ---- */

/* Secrets are found by the key of their account. */
static void index_by_account(const struct cached_object *secret, struct index_values *values)
{
    cleanup(json_release)
    json_t *tree = cached_object_tree(secret);
    const char *name = json_path_string(tree, "metadata", "annotations", name_annotation);
    if (name != NULL) {
        cleanup(free_char)
        char *key = format("%s/%s", secret->namespace, name);
        index_values_add(values, key);
    }
}

static void account_changed(void *argument, const struct cached_object *old,
                            const struct cached_object *new)
{
    struct tokens_state *state = argument;
    cleanup(cached_list_free)
    struct cached_list list = CACHED_LIST_INIT;
    indexer_find(informer_indexer(state->secrets), by_account, (new ? new : old)->key, &list);
    for (size_t i = 0; i < list.count; i++) {
        controller_add_object(state->controller, list.items[i]);
    }
}

/* ---- one secret ---- */

/* The uid of the account, asked of the API server when the informer has not seen it yet, which may
 * be late; NULL when there is none. False with an error when that can't be told. */
static bool find_account(struct tokens_state *state, const char *namespace, const char *name,
                         char **uid, struct error *error)
{
    cleanup(cached_object_release)
    struct cached_object *seen = informer_get(state->accounts, namespace, name);
    if (seen != NULL) {
        *uid = duplicate(seen->uid);
        return true;
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *account =
        client_get(state->controller->client, &resource_service_accounts, namespace, name, &why);
    if (account != NULL) {
        const char *found = json_path_string(account, "metadata", "uid");
        *uid = found ? duplicate(found) : NULL;
    }
    return account != NULL || why.code == 404 || error_move(error, &why);
}

static bool delete_secret(struct tokens_state *state, const struct cached_object *secret,
                          struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *options = client_delete_options(secret->uid, NULL);
    return client_delete(state->controller->client, &resource_secrets, secret->namespace,
                         secret->name, options, &why) ||
           why.code == 404 || why.code == 409 || error_move(error, &why);
}

static char *sign_token(struct tokens_state *state, const struct cached_object *secret,
                        const char *account, const char *uid, struct error *error)
{
    cleanup(free_char)
    char *subject = format("system:serviceaccount:%s:%s", secret->namespace, account);
    cleanup(json_release)
    json_t *claims = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "iss", "kubernetes/serviceaccount",
                               CLAIM("namespace"), secret->namespace, CLAIM("secret.name"),
                               secret->name, CLAIM("service-account.name"), account,
                               CLAIM("service-account.uid"), uid, "sub", subject);
    return jwt_sign(&state->keys.keys[0], claims, error);
}

static void set_encoded(json_t *data, const char *name, const char *text)
{
    cleanup(free_char)
    char *encoded = base64_encode(text, strlen(text));
    json_object_set_new(data, name, json_string(encoded));
}

static bool says_nothing(const json_t *data, const char *name)
{
    return json_string_length(json_object_get(data, name)) == 0;
}

/* Adds what is missing; '*changed' tells whether something was. */
static bool complete(struct tokens_state *state, const struct cached_object *secret, json_t *tree,
                     const char *account, const char *uid, bool *changed, struct error *error)
{
    json_t *data = json_get_or_add_object(tree, "data");
    const char *ca = json_get_string(data, "ca.crt");
    if (state->ca != NULL && (ca == NULL || strcmp(ca, state->ca) != 0)) {
        json_object_set_new(data, "ca.crt", json_string(state->ca));
        *changed = true;
    }
    if (says_nothing(data, "namespace")) {
        set_encoded(data, "namespace", secret->namespace);
        *changed = true;
    }
    if (says_nothing(data, "token")) {
        cleanup(free_char)
        char *token = sign_token(state, secret, account, uid, error);
        if (token == NULL) {
            return false;
        }
        set_encoded(data, "token", token);
        *changed = true;
    }
    json_t *annotations =
        json_get_or_add_object(json_get_or_add_object(tree, "metadata"), "annotations");
    json_object_set_new(annotations, uid_annotation, json_string(uid));
    return true;
}

static bool sync_token(void *argument, const char *key, struct error *error)
{
    struct tokens_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *secret = indexer_get(informer_indexer(state->secrets), key);
    if (secret == NULL || secret->is_deleting) {
        return true;
    }
    cleanup(json_release)
    json_t *tree = cached_object_tree(secret);
    const json_t *annotations = json_path(tree, "metadata", "annotations");
    const char *account = json_get_string(annotations, name_annotation);
    const char *wanted = json_get_string(annotations, uid_annotation);
    cleanup(free_char)
    char *uid = NULL;
    if (account == NULL || account[0] == '\0') {
        return true; /* The API server takes none like that. */
    }
    if (!find_account(state, secret->namespace, account, &uid, error)) {
        return false;
    }
    if (uid == NULL || (wanted != NULL && wanted[0] != '\0' && strcmp(wanted, uid) != 0)) {
        return delete_secret(state, secret, error);
    }
    bool changed = false;
    if (!complete(state, secret, tree, account, uid, &changed, error)) {
        return false;
    }
    if (!changed) {
        return true;
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *written = client_update(state->controller->client, &resource_secrets, NULL, tree, &why);
    return written != NULL || why.code == 404 || error_move(error, &why);
}

/* ---- life ---- */

static bool read_key(struct tokens_state *state, const char *path, struct error *error)
{
    cleanup(free_char)
    char *pem = client_config_read_file(path, file_max_bytes, error);
    if (pem == NULL) {
        return false;
    }
    bool read = jwt_keys_add_pem(&state->keys, pem, strlen(pem), path, error);
    OPENSSL_cleanse(pem, strlen(pem));
    return read && (state->keys.keys[0].is_private ||
                    error_bad_request(error, "%s holds no private key", path));
}

static bool read_ca(struct tokens_state *state, struct error *error)
{
    const char *file = state->controller->settings->root_ca_file;
    const char *known = state->controller->service->config.ca;
    cleanup(free_char)
    char *ca = *file != '\0'   ? client_config_read_file(file, file_max_bytes, error)
               : known != NULL ? duplicate(known)
                               : NULL;
    state->ca = ca ? base64_encode(ca, strlen(ca)) : NULL;
    return ca != NULL || *file == '\0';
}

static void stop(void *argument)
{
    struct tokens_state *state = argument;
    jwt_keys_clear(&state->keys);
    free(state->ca);
    free(state);
}

static void *start(struct controller *controller, struct error *error)
{
    static const struct informer_options only_tokens = {
        .field_selector = "type=kubernetes.io/service-account-token"};
    static const struct informer_options metadata_only = {.metadata_only = true};
    static const struct cached_object_class class = {.drop_text = true};
    const char *key_file = controller->settings->service_account_private_key_file;
    struct tokens_state *state = allocate_struct(struct tokens_state);
    state->controller = controller;
    if (*key_file == '\0') {
        return state; /* Nothing to sign with: such secrets stay as they are. */
    }
    if (!read_key(state, key_file, error) || !read_ca(state, error)) {
        stop(state);
        return NULL;
    }
    state->secrets =
        informer_factory_get(controller->informers, &resource_secrets, NULL, &only_tokens);
    state->accounts = informer_factory_get(controller->informers, &resource_service_accounts,
                                           &class, &metadata_only);
    indexer_add_index(informer_indexer(state->secrets), by_account, index_by_account);
    informer_add_handler(state->secrets, controller_handle_object, controller);
    informer_add_handler(state->accounts, account_changed, state);
    return state;
}

const struct controller_type serviceaccount_tokens_controller = {
    .name = "serviceaccount-token-controller",
    .alias = "serviceaccount-token",
    .workers = 1,
    .start = start,
    .sync = sync_token,
    .stop = stop,
};

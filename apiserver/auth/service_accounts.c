// SPDX-License-Identifier: Apache-2.0
/* Keys, issuers and audiences; signing; the documents of discovery. */
#include "apiserver/auth/service_accounts.h"

#include <string.h>
#include <strings.h>

#include "apiserver/auth/service_account_claims.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"

static json_t *strings_of(const char *const *values)
{
    json_t *list = json_array();
    for (; *values != NULL; values++) {
        json_array_append_new(list, json_string(*values));
    }
    return list;
}

/* --api-audiences; else the issuers; NULL when there are none. */
static json_t *find_audiences(const struct flag_list *given, const json_t *issuers)
{
    if (given->count == 0) {
        return json_array_size(issuers) > 0 ? json_incref((json_t *)issuers) : NULL;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < given->count; i++) {
        cleanup(free_char)
        char *copy = duplicate(given->values[i]);
        char *rest = NULL;
        for (char *part = strtok_r(copy, ",", &rest); part != NULL;
             part = strtok_r(NULL, ",", &rest)) {
            json_array_append_new(list, json_string(part));
        }
    }
    return list;
}

static bool check(const struct authn_options *options, struct error *error)
{
    const struct flag_list *issuers = &options->issuers;
    for (size_t i = 0; i < issuers->count; i++) {
        if (issuers->values[i][0] == '\0') {
            return error_bad_request(error, "--service-account-issuer must not be empty");
        }
    }
    if (options->signing_key_file != NULL && issuers->count == 0) {
        return error_bad_request(error, "--service-account-signing-key-file needs "
                                        "--service-account-issuer");
    }
    int64_t max = options->max_token_expiration_ns;
    if (max != 0 && (max < INT64_C(3600) * 1000000000 || max / 1000000000 > INT64_C(1) << 32)) {
        return error_bad_request(error, "--service-account-max-token-expiration must be between 1 "
                                        "hour and 2^32 seconds");
    }
    return true;
}

struct service_accounts *service_accounts_open(const struct authn_options *options,
                                               struct registry *registry, struct error *error)
{
    if (!check(options, error)) {
        return NULL;
    }
    struct service_accounts *accounts = allocate_struct(struct service_accounts);
    accounts->registry = registry;
    accounts->issuers = strings_of(options->issuers.values);
    accounts->audiences = find_audiences(&options->api_audiences, accounts->issuers);
    accounts->max_expiration = options->max_token_expiration_ns / 1000000000;
    accounts->extend_expiration = options->extend_token_expiration;
    accounts->jwks_uri = options->jwks_uri ? duplicate(options->jwks_uri)
                         : registry->secure_port
                             ? format("https://%s:%u/openid/v1/jwks", registry->advertise_address,
                                      registry->secure_port)
                             : duplicate("");
    accounts->signs = options->signing_key_file != NULL;
    accounts->verified = token_cache_new();
    accounts->keys = keyring_open(options->key_files.values, options->signing_key_file, error);
    if (accounts->keys == NULL) {
        service_accounts_free(accounts);
        return NULL;
    }
    return accounts;
}

void service_accounts_free(struct service_accounts *accounts)
{
    if (accounts == NULL) {
        return;
    }
    keyring_free(accounts->keys);
    token_cache_free(accounts->verified);
    json_decref(accounts->issuers);
    json_decref(accounts->audiences);
    free(accounts->jwks_uri);
    free(accounts);
}

uint64_t service_accounts_keys_generation(struct service_accounts *accounts)
{
    return keyring_generation(accounts->keys);
}

const json_t *service_accounts_audiences(const struct service_accounts *accounts)
{
    return accounts->audiences;
}

bool service_accounts_sign_tokens(const struct service_accounts *accounts)
{
    return accounts->signs;
}

int64_t service_accounts_max_expiration(const struct service_accounts *accounts)
{
    return accounts->max_expiration;
}

bool service_accounts_extend_expiration(const struct service_accounts *accounts)
{
    return accounts->extend_expiration;
}

char *service_accounts_sign(struct service_accounts *accounts, json_t *claims, struct error *error)
{
    cleanup(key_set_release)
    struct key_set *set = keyring_get(accounts->keys);
    if (set->signing.count == 0) {
        error_internal(error, "there is no key to sign tokens with");
        return NULL;
    }
    const char *issuer = json_string_value(json_array_get(accounts->issuers, 0));
    json_object_set_new(claims, "iss", json_string(issuer));
    return jwt_sign(&set->signing.keys[0], claims, error);
}

/* ---- discovery ---- */

/* The algorithms of the keys, each once. */
static json_t *algorithms_of(const struct key_set *set)
{
    json_t *names = json_array();
    for (size_t i = 0; i < set->keys.count; i++) {
        cleanup(json_release)
        json_t *jwk = jwt_key_to_json(&set->keys.keys[i]);
        const char *name = json_get_string(jwk, "alg");
        if (!json_array_has_string(names, name)) {
            json_array_append_new(names, json_string(name));
        }
    }
    return names;
}

/* The public keys, each once: the signing key's file may be among those that verify. */
static json_t *jwks_of(const struct key_set *set)
{
    json_t *keys = json_array();
    for (size_t i = 0; i < set->keys.count; i++) {
        bool seen = false;
        for (size_t other = 0; other < i; other++) {
            seen = seen || strcmp(set->keys.keys[other].id, set->keys.keys[i].id) == 0;
        }
        if (!seen) {
            json_array_append_new(keys, jwt_key_to_json(&set->keys.keys[i]));
        }
    }
    return json_pack("{s:o}", "keys", keys);
}

static json_t *configuration_of(const struct service_accounts *accounts, const struct key_set *set)
{
    return json_pack("{s:s, s:s, s:[s], s:[s], s:o}", "issuer",
                     json_string_value(json_array_get(accounts->issuers, 0)), "jwks_uri",
                     accounts->jwks_uri, "response_types_supported", "id_token",
                     "subject_types_supported", "public", "id_token_signing_alg_values_supported",
                     algorithms_of(set));
}

bool service_accounts_serve(struct service_accounts *accounts, const struct request *request,
                            struct response *response)
{
    bool is_configuration = strcmp(request->path, "/.well-known/openid-configuration") == 0;
    const char *issuer = json_string_value(json_array_get(accounts->issuers, 0));
    if ((!is_configuration && strcmp(request->path, "/openid/v1/jwks") != 0) || issuer == NULL ||
        strncasecmp(issuer, "https://", 8) != 0) {
        return false;
    }
    cleanup(key_set_release)
    struct key_set *set = keyring_get(accounts->keys);
    cleanup(json_release)
    json_t *document = is_configuration ? configuration_of(accounts, set) : jwks_of(set);
    json_encode(document, &response->bytes);
    response->status = 200;
    response->content_type = is_configuration ? "application/json" : "application/jwk-set+json";
    response_add_header(response, "Cache-Control", "public, max-age=3600");
    return true;
}

// SPDX-License-Identifier: Apache-2.0
/* Verifying the tokens of service accounts: the signature, and for whom they are. */
#include <string.h>

#include "apiserver/auth/service_account_claims.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

const char service_account_legacy_issuer[] = "kubernetes/serviceaccount";

static const int64_t verified_for_ns = INT64_C(60) * 1000000000;

/* ---- the signature ---- */

static bool is_our_issuer(const struct service_accounts *accounts, const json_t *claims)
{
    const char *issuer = json_get_string(claims, "iss");
    return issuer != NULL && (strcmp(issuer, service_account_legacy_issuer) == 0 ||
                              json_array_has_string(accounts->issuers, issuer));
}

static bool has_key(const struct jwt_keys *keys, const char *id)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (strcmp(keys->keys[i].id, id) == 0) {
            return true;
        }
    }
    return false;
}

/* By the keys of that id, if there are some, else by any. */
static bool is_signed(const struct jwt *token, const struct jwt_keys *keys)
{
    bool by_id = token->key_id[0] != '\0' && has_key(keys, token->key_id);
    for (size_t i = 0; i < keys->count; i++) {
        const struct jwt_key *key = &keys->keys[i];
        if ((!by_id || strcmp(key->id, token->key_id) == 0) && jwt_verify(token, key)) {
            return true;
        }
    }
    return false;
}

/* The claims of a token that is signed by one of the keys; the caller's reference. NULL with
 * 'verdict' otherwise. */
static json_t *verify(struct service_accounts *accounts, const struct question *question,
                      const struct key_set *set, enum verdict *verdict, struct error *error)
{
    cleanup(jwt_clear)
    struct jwt token = {0};
    *verdict = VERDICT_NOT_MINE;
    if (!jwt_parse(&token, question->token, question->token_length, NULL) ||
        !is_our_issuer(accounts, token.claims)) {
        return NULL;
    }
    if (!is_signed(&token, &set->keys)) {
        error_set(error, 401, "Unauthorized", "go-jose/go-jose: error in cryptographic primitive");
        *verdict = VERDICT_REFUSED;
        return NULL;
    }
    return json_incref(token.claims);
}

/* The same, remembered: what is signed stays so as long as the keys stay. The caller's reference.
 */
static struct finding *find_claims(struct service_accounts *accounts,
                                   const struct question *question, enum verdict *verdict,
                                   struct error *error)
{
    cleanup(key_set_release)
    struct key_set *set = keyring_get(accounts->keys);
    struct token_hash hash = question->token_hash;
    for (size_t i = 0; i < sizeof set->generation; i++) {
        hash.bytes[TOKEN_HASH_BYTES - 1 - i] ^= (unsigned char)(set->generation >> 8 * i);
    }
    int64_t now = timestamp_monotonic();
    struct finding *known = token_cache_get(accounts->verified, &hash, now);
    json_t *claims = known ? NULL : verify(accounts, question, set, verdict, error);
    return claims ? token_cache_put(accounts->verified, &hash, claims, now + verified_for_ns)
                  : known;
}

/* ---- for whom ---- */

/* A string, or the strings of a list, as Go prints a list. */
static char *quoted(const json_t *strings)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    const char *only = json_string_value(strings);
    if (only != NULL) {
        buffer_addf(&text, "\"%s\"", only);
    }
    for (size_t i = 0; i < json_array_size(strings); i++) {
        const char *item = json_string_value(json_array_get(strings, i));
        buffer_addf(&text, "%s\"%s\"", i > 0 ? " " : "", item ? item : "");
    }
    return format("[%s]", buffer_text(&text));
}

/* 'audiences' is a string or a list of them. */
static bool holds(const json_t *audiences, const char *audience)
{
    const char *only = json_string_value(audiences);
    return only != NULL ? strcmp(only, audience) == 0 : json_array_has_string(audiences, audience);
}

/* Fills those asked for that the token is for; one of a secret is for the API server. */
static bool check_audiences(const struct service_accounts *accounts,
                            const struct question *question, const json_t *claims,
                            struct identity *identity, struct error *error)
{
    const json_t *named = json_object_get(claims, "aud");
    bool names_some = json_string_length(named) > 0 || json_array_size(named) > 0;
    const json_t *is_for = names_some ? named : accounts->audiences;
    const json_t *wanted = question->audiences ? question->audiences : accounts->audiences;
    cleanup(json_release)
    json_t *both = json_array();
    for (size_t i = 0; i < json_array_size(wanted); i++) {
        const char *audience = json_string_value(json_array_get(wanted, i));
        if (audience != NULL && holds(is_for, audience)) {
            json_array_append_new(both, json_string(audience));
        }
    }
    if (json_array_size(both) == 0 && accounts->audiences != NULL) {
        cleanup(free_char)
        char *found = quoted(is_for);
        cleanup(free_char)
        char *target = quoted(wanted);
        return error_set(error, 401, "Unauthorized",
                         "token audiences %s is invalid for the target audiences %s", found,
                         target);
    }
    identity->audiences = json_array_size(both) > 0 ? steal(both) : NULL;
    return true;
}

/* ---- asking ---- */

static enum verdict ask(void *state, const struct question *question, struct identity *identity,
                        struct error *error)
{
    struct service_accounts *accounts = state;
    enum verdict verdict = VERDICT_NOT_MINE;
    cleanup(finding_release)
    struct finding *found = find_claims(accounts, question, &verdict, error);
    if (found == NULL) {
        return verdict;
    }
    const json_t *claims = found->json;
    if (!check_audiences(accounts, question, claims, identity, error)) {
        return VERDICT_REFUSED;
    }
    bool is_legacy = strcmp(json_get_string(claims, "iss"), service_account_legacy_issuer) == 0 &&
                     !json_array_has_string(accounts->issuers, service_account_legacy_issuer);
    verdict = is_legacy ? legacy_claims_validate(accounts, question, claims, identity, error)
                        : claims_validate(accounts, question, claims, identity, error);
    if (verdict != VERDICT_KNOWN) {
        identity_clear(identity);
    }
    return verdict;
}

struct authenticator service_accounts_authenticator(struct service_accounts *accounts)
{
    return (struct authenticator){.ask = ask, .state = accounts, .names_audiences = true};
}

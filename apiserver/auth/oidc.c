// SPDX-License-Identifier: Apache-2.0
/*
 * OpenID Connect: identity tokens of an issuer, by whose keys they are verified. Which claims make
 * the user and the groups is said by a JWTAuthenticator; see authn_configuration.h.
 */
#include <string.h>

#include "apiserver/auth/authenticator.h"
#include "apiserver/auth/oidc_keys.h"
#include "apiserver/auth/token_cache.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/jwt.h"
#include "common/timestamp.h"

struct oidc {
    struct oidc_keys *keys;
    struct token_cache *verified; /* Claims of tokens whose signature is good. */
    json_t *jwt;
    const json_t *mappings, *audiences; /* In 'jwt', as what follows. */
    const char *url;
    json_t *algorithms; /* Strings; NULL: all that there are. */
};

static const int64_t not_before_leeway_ns = INT64_C(300) * 1000000000;
static const int64_t verified_for_ns = INT64_C(10) * 1000000000;

static bool refused(struct error *error, const char *text)
{
    return error_set(error, 401, "Unauthorized", "oidc: %s", text);
}

/* ---- the signature ---- */

static bool is_signed(const struct jwt *token, const struct key_set *set)
{
    for (size_t i = 0; i < set->keys.count; i++) {
        const struct jwt_key *key = &set->keys.keys[i];
        if ((token->key_id[0] == '\0' || strcmp(key->id, token->key_id) == 0) &&
            jwt_verify(token, key)) {
            return true;
        }
    }
    return false;
}

static enum verdict check_signature(struct oidc *oidc, const struct question *question,
                                    const struct jwt *token, struct error *error)
{
    cleanup(key_set_release)
    struct key_set *set = oidc_keys_get(oidc->keys);
    if (set == NULL) {
        refused(error, "authenticator not initialized");
        return VERDICT_REFUSED;
    }
    if (is_signed(token, set)) {
        return VERDICT_KNOWN;
    }
    if (oidc_keys_may_refresh(oidc->keys)) {
        if (!question->may_block) {
            return VERDICT_BLOCKS;
        }
        oidc_keys_refresh(oidc->keys);
        cleanup(key_set_release)
        struct key_set *fresh = oidc_keys_get(oidc->keys);
        if (is_signed(token, fresh)) {
            return VERDICT_KNOWN;
        }
    }
    refused(error, "verify token: failed to verify signature: failed to verify id token signature");
    return VERDICT_REFUSED;
}

/* The claims of a token of our issuer that is signed as it should be; the caller's. NULL with
 * 'verdict' otherwise. */
static json_t *verify(struct oidc *oidc, const struct question *question, enum verdict *verdict,
                      struct error *error)
{
    cleanup(jwt_clear)
    struct jwt token = {0};
    *verdict = VERDICT_NOT_MINE;
    if (!jwt_parse(&token, question->token, question->token_length, NULL)) {
        return NULL;
    }
    const char *issuer = json_get_string(token.claims, "iss");
    if (issuer == NULL || strcmp(issuer, oidc->url) != 0) {
        return NULL;
    }
    if (oidc->algorithms != NULL && !json_array_has_string(oidc->algorithms, token.algorithm)) {
        *verdict = VERDICT_REFUSED;
        refused(error, "verify token: oidc: id token signed with unsupported algorithm");
        return NULL;
    }
    *verdict = check_signature(oidc, question, &token, error);
    return *verdict == VERDICT_KNOWN ? json_incref(token.claims) : NULL;
}

/* The same, remembered for a moment; the caller's reference. */
static struct finding *find_claims(struct oidc *oidc, const struct question *question,
                                   enum verdict *verdict, struct error *error)
{
    struct token_hash hash = question->token_hash;
    int64_t now = timestamp_monotonic();
    struct finding *known = token_cache_get(oidc->verified, &hash, now);
    json_t *claims = known ? NULL : verify(oidc, question, verdict, error);
    return claims ? token_cache_put(oidc->verified, &hash, claims, now + verified_for_ns) : known;
}

/* ---- what it says ---- */

/* The audience, or one of them, is one of ours. */
static bool is_for(const json_t *claims, const json_t *ours)
{
    const json_t *audience = json_object_get(claims, "aud");
    bool is_ours =
        json_is_string(audience) && json_array_has_string(ours, json_string_value(audience));
    for (size_t i = 0; !is_ours && i < json_array_size(audience); i++) {
        const char *text = json_string_value(json_array_get(audience, i));
        is_ours = text != NULL && json_array_has_string(ours, text);
    }
    return is_ours;
}

static bool check_audience(const struct oidc *oidc, const json_t *claims, struct error *error)
{
    if (is_for(claims, oidc->audiences)) {
        return true;
    }
    cleanup(free_char)
    char *wanted = json_text(oidc->audiences);
    return error_set(error, 401, "Unauthorized",
                     "oidc: verify token: oidc: expected audience in %s", wanted);
}

static bool check_times(const json_t *claims, struct error *error)
{
    int64_t now = timestamp_now();
    const json_t *until = json_object_get(claims, "exp"), *from = json_object_get(claims, "nbf");
    if (!json_is_number(until) || json_number_value(until) * 1e9 < (double)now) {
        return refused(error, "verify token: oidc: token is expired");
    }
    return !json_is_number(from) ||
           json_number_value(from) * 1e9 <= (double)(now + not_before_leeway_ns) ||
           refused(error, "verify token: oidc: current time before the nbf (not before) time");
}

static bool check_required(const struct oidc *oidc, const json_t *claims, struct error *error)
{
    const json_t *rules = json_object_get(oidc->jwt, "claimValidationRules"), *rule;
    size_t i;
    json_array_foreach (rules, i, rule) {
        const char *claim = json_get_string(rule, "claim");
        const char *wanted = json_get_string(rule, "requiredValue");
        const char *found = json_get_string(claims, claim);
        wanted = wanted != NULL ? wanted : "";
        if (found == NULL) {
            return error_set(error, 401, "Unauthorized",
                             "oidc: required claim %s not present in ID token", claim);
        }
        if (strcmp(found, wanted) != 0) {
            return error_set(error, 401, "Unauthorized",
                             "oidc: required claim %s value does not match. Got = %s, want = %s",
                             claim, found, wanted);
        }
    }
    return true;
}

/* The text of the claim that is mapped there; NULL when it has none. */
static const char *mapped_text(const struct oidc *oidc, const json_t *claims, const char *mapping,
                               const char **claim)
{
    *claim = json_path_string(oidc->mappings, mapping, "claim");
    const json_t *value = json_object_get(claims, *claim);
    return json_is_string(value) && json_string_length(value) > 0 && !json_has_nul(value)
               ? json_string_value(value)
               : NULL;
}

static const char *prefix_of(const struct oidc *oidc, const char *mapping)
{
    const char *prefix = json_path_string(oidc->mappings, mapping, "prefix");
    return prefix != NULL ? prefix : "";
}

static bool take_name(const struct oidc *oidc, const json_t *claims, struct user *user,
                      struct error *error)
{
    const char *claim, *uid_claim;
    const char *value = mapped_text(oidc, claims, "username", &claim), *uid = "";
    const json_t *is_verified = json_object_get(claims, "email_verified");
    if (value == NULL) {
        return error_set(error, 401, "Unauthorized",
                         "oidc: parse username claims \"%s\": claim not present", claim);
    }
    if (strcmp(claim, "email") == 0 && is_verified != NULL && !json_is_true(is_verified)) {
        return refused(error, "email not verified");
    }
    if (json_path_string(oidc->mappings, "uid", "claim") != NULL &&
        (uid = mapped_text(oidc, claims, "uid", &uid_claim)) == NULL) {
        return error_set(error, 401, "Unauthorized",
                         "oidc: parse uid claim \"%s\": claim not present", uid_claim);
    }
    cleanup(free_char)
    char *name = format("%s%s", prefix_of(oidc, "username"), value);
    user_set(user, name, uid);
    return true;
}

static bool take_group(const struct oidc *oidc, const json_t *group, struct user *user)
{
    if (!json_is_string(group) || json_has_nul(group)) {
        return false;
    }
    cleanup(free_char)
    char *name = format("%s%s", prefix_of(oidc, "groups"), json_string_value(group));
    user_add_group(user, name);
    return true;
}

/* One string, or a list of them; none is fine. */
static bool take_groups(const struct oidc *oidc, const json_t *claims, struct user *user,
                        struct error *error)
{
    const char *claim = json_path_string(oidc->mappings, "groups", "claim");
    const json_t *groups = claim ? json_object_get(claims, claim) : NULL;
    bool taken = groups == NULL || json_is_null(groups) || json_is_array(groups) ||
                 take_group(oidc, groups, user);
    for (size_t i = 0; taken && i < json_array_size(groups); i++) {
        taken = take_group(oidc, json_array_get(groups, i), user);
    }
    return taken || error_set(error, 401, "Unauthorized",
                              "oidc: parse groups claim \"%s\": no list of strings", claim);
}

static void take_credential(const json_t *claims, struct user *user)
{
    const char *id = json_get_string(claims, "jti");
    if (id != NULL && id[0] != '\0') {
        cleanup(free_char)
        char *credential = format("JTI=%s", id);
        user_add_extra(user, "authentication.kubernetes.io/credential-id", credential);
    }
}

static enum verdict ask(void *state, const struct question *question, struct identity *identity,
                        struct error *error)
{
    struct oidc *oidc = state;
    enum verdict verdict = VERDICT_NOT_MINE;
    cleanup(finding_release)
    struct finding *found = find_claims(oidc, question, &verdict, error);
    if (found == NULL) {
        return verdict;
    }
    const json_t *claims = found->json;
    if (!check_audience(oidc, claims, error) || !check_times(claims, error) ||
        !take_name(oidc, claims, &identity->user, error) ||
        !take_groups(oidc, claims, &identity->user, error) ||
        !check_required(oidc, claims, error)) {
        identity_clear(identity);
        return VERDICT_REFUSED;
    }
    take_credential(claims, &identity->user);
    return VERDICT_KNOWN;
}

/* ---- set-up ---- */

static void free_state(void *state)
{
    struct oidc *oidc = state;
    oidc_keys_free(oidc->keys);
    token_cache_free(oidc->verified);
    json_decref(oidc->jwt);
    json_decref(oidc->algorithms);
    free(oidc);
}

/* Of "RS256,ES256"; false with an error when one of them does not exist. */
static bool split_algorithms(const char *names, json_t **list, struct error *error)
{
    cleanup(free_char)
    char *copy = duplicate(names ? names : "");
    char *rest = NULL;
    *list = names != NULL ? json_array() : NULL;
    for (char *name = strtok_r(copy, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest)) {
        if (!jwt_algorithm_exists(name)) {
            return error_bad_request(error, "--oidc-signing-algs: there is no \"%s\"", name);
        }
        json_array_append_new(*list, json_string(name));
    }
    return true;
}

bool oidc_authenticator(json_t *jwt, const char *algorithms, const atomic_bool *stopping,
                        struct authenticator *made, struct error *error)
{
    const json_t *issuer = json_object_get(jwt, "issuer");
    struct oidc *oidc = allocate_struct(struct oidc);
    *oidc = (struct oidc){.verified = token_cache_new(),
                          .jwt = json_incref(jwt),
                          .mappings = json_object_get(jwt, "claimMappings"),
                          .audiences = json_object_get(issuer, "audiences"),
                          .url = json_get_string(issuer, "url")};
    if (!split_algorithms(algorithms, &oidc->algorithms, error) ||
        (oidc->keys = oidc_keys_open(issuer, stopping, error)) == NULL) {
        free_state(oidc);
        return false;
    }
    *made = (struct authenticator){.ask = ask, .free = free_state, .state = oidc};
    return true;
}

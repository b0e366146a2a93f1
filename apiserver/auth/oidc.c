// SPDX-License-Identifier: Apache-2.0
/*
 * OpenID Connect: identity tokens of an issuer, by whose keys they are verified. Which claims make
 * the user and the groups is said on the command line.
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
    const struct authn_options *options;
    char *username_prefix;
    char **algorithms; /* NULL-terminated. */
};

static const int64_t not_before_leeway_ns = INT64_C(300) * 1000000000;
static const int64_t verified_for_ns = INT64_C(10) * 1000000000;

static bool refused(struct error *error, const char *text)
{
    return error_set(error, 401, "Unauthorized", "oidc: %s", text);
}

/* ---- the signature ---- */

static bool is_listed(char *const *list, const char *text)
{
    for (; *list != NULL; list++) {
        if (strcmp(*list, text) == 0) {
            return true;
        }
    }
    return false;
}

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
    if (issuer == NULL || strcmp(issuer, oidc->options->oidc_issuer_url) != 0) {
        return NULL;
    }
    if (!is_listed(oidc->algorithms, token.algorithm)) {
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

static bool is_for(const json_t *claims, const char *client)
{
    const json_t *audience = json_object_get(claims, "aud");
    return json_is_string(audience) ? strcmp(json_string_value(audience), client) == 0
                                    : json_array_has_string(audience, client);
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

/* --oidc-required-claim: key=value, one or more with commas between. */
static bool check_required(const struct oidc *oidc, const json_t *claims, struct error *error)
{
    const struct flag_list *list = &oidc->options->oidc_required_claims;
    for (size_t i = 0; i < list->count; i++) {
        cleanup(free_char)
        char *copy = duplicate(list->values[i]);
        char *rest = NULL;
        for (char *pair = strtok_r(copy, ",", &rest); pair != NULL;
             pair = strtok_r(NULL, ",", &rest)) {
            char *wanted = strchr(pair, '=');
            *wanted++ = '\0';
            const char *found = json_get_string(claims, pair);
            if (found == NULL) {
                return error_set(error, 401, "Unauthorized",
                                 "oidc: required claim %s not present in ID token", pair);
            }
            if (strcmp(found, wanted) != 0) {
                return error_set(
                    error, 401, "Unauthorized",
                    "oidc: required claim %s value does not match. Got = %s, want = %s", pair,
                    found, wanted);
            }
        }
    }
    return true;
}

static bool take_name(const struct oidc *oidc, const json_t *claims, struct user *user,
                      struct error *error)
{
    const char *claim = oidc->options->oidc_username_claim;
    const json_t *value = json_object_get(claims, claim);
    const json_t *is_verified = json_object_get(claims, "email_verified");
    if (!json_is_string(value) || json_string_length(value) == 0 || json_has_nul(value)) {
        return error_set(error, 401, "Unauthorized",
                         "oidc: parse username claims \"%s\": claim not present", claim);
    }
    if (strcmp(claim, "email") == 0 && is_verified != NULL && !json_is_true(is_verified)) {
        return refused(error, "email not verified");
    }
    cleanup(free_char)
    char *name = format("%s%s", oidc->username_prefix, json_string_value(value));
    user_set(user, name, "");
    return true;
}

static bool take_group(const struct oidc *oidc, const json_t *group, struct user *user)
{
    const char *prefix = oidc->options->oidc_groups_prefix;
    if (!json_is_string(group) || json_has_nul(group)) {
        return false;
    }
    cleanup(free_char)
    char *name = format("%s%s", prefix ? prefix : "", json_string_value(group));
    user_add_group(user, name);
    return true;
}

/* One string, or a list of them; none is fine. */
static bool take_groups(const struct oidc *oidc, const json_t *claims, struct user *user,
                        struct error *error)
{
    const char *claim = oidc->options->oidc_groups_claim;
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
    if (!is_for(claims, oidc->options->oidc_client_id)) {
        error_set(error, 401, "Unauthorized", "oidc: verify token: oidc: expected audience \"%s\"",
                  oidc->options->oidc_client_id);
        return VERDICT_REFUSED;
    }
    if (!check_times(claims, error) || !take_name(oidc, claims, &identity->user, error) ||
        !take_groups(oidc, claims, &identity->user, error) ||
        !check_required(oidc, claims, error)) {
        identity_clear(identity);
        return VERDICT_REFUSED;
    }
    take_credential(claims, &identity->user);
    return VERDICT_KNOWN;
}

/* ---- set-up ---- */

static bool check_required_flags(const struct flag_list *list, struct error *error)
{
    for (size_t i = 0; i < list->count; i++) {
        cleanup(free_char)
        char *copy = duplicate(list->values[i]);
        char *rest = NULL;
        for (char *pair = strtok_r(copy, ",", &rest); pair != NULL;
             pair = strtok_r(NULL, ",", &rest)) {
            if (strchr(pair, '=') == NULL) {
                return error_bad_request(error, "--oidc-required-claim: \"%s\" is no key=value",
                                         pair);
            }
        }
    }
    return true;
}

static bool check_options(const struct authn_options *options, struct error *error)
{
    if (options->oidc_client_id == NULL) {
        return error_bad_request(error, "--oidc-issuer-url needs --oidc-client-id");
    }
    if (strncmp(options->oidc_issuer_url, "https://", 8) != 0) {
        return error_bad_request(error, "--oidc-issuer-url must begin with https://");
    }
    return check_required_flags(&options->oidc_required_claims, error);
}

static void free_strings(char **list)
{
    for (char **text = list; text != NULL && *text != NULL; text++) {
        free(*text);
    }
    free(list);
}

/* NULL with an error when one of them does not exist. */
static char **split_algorithms(const char *names, struct error *error)
{
    size_t count = 0;
    char **list = allocate_zero(strlen(names) + 2, sizeof *list);
    cleanup(free_char)
    char *copy = duplicate(names);
    char *rest = NULL;
    for (char *name = strtok_r(copy, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest)) {
        if (!jwt_algorithm_exists(name)) {
            error_bad_request(error, "--oidc-signing-algs: there is no \"%s\"", name);
            free_strings(list);
            return NULL;
        }
        list[count++] = duplicate(name);
    }
    return list;
}

/* "-" is none; who says nothing gets the issuer before each name that is no mail address. */
static char *find_username_prefix(const struct authn_options *options)
{
    const char *given = options->oidc_username_prefix;
    if (given != NULL && given[0] != '\0') {
        return duplicate(strcmp(given, "-") == 0 ? "" : given);
    }
    return strcmp(options->oidc_username_claim, "email") == 0
               ? duplicate("")
               : format("%s#", options->oidc_issuer_url);
}

static void free_state(void *state)
{
    struct oidc *oidc = state;
    oidc_keys_free(oidc->keys);
    token_cache_free(oidc->verified);
    free(oidc->username_prefix);
    free_strings(oidc->algorithms);
    free(oidc);
}

bool oidc_authenticator(const struct authn_options *options, const atomic_bool *stopping,
                        struct authenticator *made, struct error *error)
{
    char **algorithms = check_options(options, error)
                            ? split_algorithms(options->oidc_signing_algorithms, error)
                            : NULL;
    struct oidc_keys *keys = algorithms ? oidc_keys_open(options->oidc_issuer_url,
                                                         options->oidc_ca_file, stopping, error)
                                        : NULL;
    if (keys == NULL) {
        free_strings(algorithms);
        return false;
    }
    struct oidc *oidc = allocate_struct(struct oidc);
    *oidc = (struct oidc){.keys = keys,
                          .verified = token_cache_new(),
                          .options = options,
                          .username_prefix = find_username_prefix(options),
                          .algorithms = algorithms};
    *made = (struct authenticator){.ask = ask, .free = free_state, .state = oidc};
    return true;
}

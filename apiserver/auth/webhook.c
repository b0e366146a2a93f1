// SPDX-License-Identifier: Apache-2.0
/*
 * The webhook: another server is asked about tokens that nobody here knows, by TokenReview. What it
 * answers, yes or no, is kept for a while; that it could not be asked is not.
 */
#include <string.h>

#include "apiserver/auth/authenticator.h"
#include "apiserver/auth/fetch.h"
#include "apiserver/auth/token_cache.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/timestamp.h"

struct webhook {
    struct fetcher *server;
    struct token_cache *answers; /* Statuses of TokenReviews. */
    int64_t keep_ns;
    const char *api_version;
    const json_t *audiences; /* The API server's, borrowed; NULL: none. */
};

/* ---- asking ---- */

static bool is_null(const json_t *value)
{
    return value == NULL || json_is_null(value);
}

static bool is_text(const json_t *value)
{
    return is_null(value) || (json_is_string(value) && !json_has_nul(value));
}

static bool is_list(const json_t *value)
{
    bool fits = is_null(value) || json_is_array(value);
    for (size_t i = 0; fits && i < json_array_size(value); i++) {
        fits = is_text(json_array_get(value, i));
    }
    return fits;
}

static bool is_user(const json_t *value)
{
    json_t *extra = json_object_get(value, "extra"), *values;
    const char *key;
    bool fits =
        (is_null(value) || json_is_object(value)) && is_text(json_object_get(value, "username")) &&
        is_text(json_object_get(value, "uid")) && is_list(json_object_get(value, "groups")) &&
        (is_null(extra) || json_is_object(extra));
    json_object_foreach (extra, key, values) {
        fits = fits && is_list(values);
    }
    return fits;
}

/* A part of another type may mean anything: who answers so has not answered. */
static bool is_status(const json_t *status)
{
    const json_t *authenticated = json_object_get(status, "authenticated");
    return json_is_object(status) && (is_null(authenticated) || json_is_boolean(authenticated)) &&
           is_user(json_object_get(status, "user")) &&
           is_list(json_object_get(status, "audiences")) &&
           is_text(json_object_get(status, "error"));
}

/* The status of the review; the caller's. */
static json_t *review(struct webhook *webhook, const struct question *question, struct error *error)
{
    cleanup(json_release)
    json_t *spec = json_pack("{s:s%}", "token", question->token, question->token_length);
    if (spec != NULL && question->audiences != NULL) {
        json_object_set_new(spec, "audiences", json_deep_copy(question->audiences));
    }
    if (spec == NULL) {
        return json_object(); /* No UTF-8: nobody's token. */
    }
    cleanup(json_release)
    json_t *body = json_pack("{s:s, s:s, s:{s:n}, s:O, s:{s:{}}}", "kind", "TokenReview",
                             "apiVersion", webhook->api_version, "metadata", "creationTimestamp",
                             "spec", spec, "status", "user");
    cleanup(json_release)
    json_t *answer = fetch_json(webhook->server, "", body, error);
    json_t *status = json_object_get(answer, "status");
    if (answer == NULL) {
        return NULL;
    }
    if (!is_status(status)) {
        error_unavailable(error, "the webhook's answer has no status of a TokenReview");
        return NULL;
    }
    return json_incref(status);
}

/* ---- reading the answer ---- */

static void take_strings(const json_t *list, struct user *user,
                         void (*add)(struct user *user, const char *text))
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text != NULL) {
            add(user, text);
        }
    }
}

static void take_user(const json_t *info, struct user *user)
{
    const char *name = json_get_string(info, "username"), *uid = json_get_string(info, "uid"), *key;
    json_t *values;
    user_set(user, name ? name : "", uid ? uid : "");
    take_strings(json_object_get(info, "groups"), user, user_add_group);
    json_object_foreach (json_object_get(info, "extra"), key, values) {
        for (size_t i = 0; i < json_array_size(values); i++) {
            const char *value = json_string_value(json_array_get(values, i));
            user_add_extra(user, key, value ? value : "");
        }
    }
}

/* Those asked for that the webhook says the token is for: the API server's, unless it says so. The
 * caller's. */
static json_t *common_audiences(const struct webhook *webhook, const struct question *question,
                                const json_t *status)
{
    const json_t *named = json_object_get(status, "audiences");
    const json_t *is_for = json_array_size(named) > 0 ? named : webhook->audiences;
    json_t *both = json_array();
    for (size_t i = 0; i < json_array_size(question->audiences); i++) {
        const char *audience = json_string_value(json_array_get(question->audiences, i));
        if (json_array_has_string(is_for, audience)) {
            json_array_append_new(both, json_string(audience));
        }
    }
    return both;
}

static enum verdict take_status(const struct webhook *webhook, const struct question *question,
                                const json_t *status, struct identity *identity,
                                struct error *error)
{
    cleanup(json_release)
    json_t *audiences = common_audiences(webhook, question, status);
    const char *complaint = json_get_string(status, "error");
    if (question->audiences != NULL && json_array_size(audiences) == 0) {
        return VERDICT_NOT_MINE;
    }
    if (!json_get_bool(status, "authenticated", false)) {
        if (complaint == NULL || complaint[0] == '\0') {
            return VERDICT_NOT_MINE;
        }
        error_set(error, 401, "Unauthorized", "%s", complaint);
        return VERDICT_REFUSED;
    }
    take_user(json_object_get(status, "user"), &identity->user);
    identity->audiences = json_array_size(audiences) > 0 ? steal(audiences) : NULL;
    return VERDICT_KNOWN;
}

static enum verdict ask(void *state, const struct question *question, struct identity *identity,
                        struct error *error)
{
    struct webhook *webhook = state;
    cleanup(free_char)
    char *audiences = question->audiences ? json_text(question->audiences) : duplicate("");
    struct token_hash hash =
        token_hash(question->token, question->token_length, audiences, strlen(audiences));
    cleanup(finding_release)
    struct finding *known = token_cache_get(webhook->answers, &hash, timestamp_monotonic());
    if (known == NULL && !question->may_block) {
        return VERDICT_BLOCKS;
    }
    if (known == NULL) {
        json_t *status = review(webhook, question, error);
        if (status == NULL) {
            log_warning("the webhook could not be asked about a token: %s", error->message);
            return VERDICT_REFUSED;
        }
        known = token_cache_put(webhook->answers, &hash, status,
                                timestamp_monotonic() + webhook->keep_ns);
    }
    return take_status(webhook, question, known->json, identity, error);
}

/* ---- set-up ---- */

static void free_state(void *state)
{
    struct webhook *webhook = state;
    fetcher_free(webhook->server);
    token_cache_free(webhook->answers);
    free(webhook);
}

static const char *find_version(const char *version)
{
    return strcmp(version, "v1") == 0        ? "authentication.k8s.io/v1"
           : strcmp(version, "v1beta1") == 0 ? "authentication.k8s.io/v1beta1"
                                             : NULL;
}

bool webhook_authenticator(const struct authn_options *options, const json_t *audiences,
                           const atomic_bool *stopping, struct authenticator *made,
                           struct error *error)
{
    cleanup(client_config_clear)
    struct client_config config = CLIENT_CONFIG_INIT;
    const char *version = find_version(options->webhook_version);
    if (version == NULL) {
        return error_bad_request(error, "--authentication-token-webhook-version must be v1 or "
                                        "v1beta1");
    }
    if (!client_config_from_file(&config, options->webhook_config_file, NULL, NULL, error)) {
        return false;
    }
    struct fetcher *server = fetcher_new(&config, error);
    if (server == NULL) {
        return false;
    }
    fetcher_stop_when(server, stopping);
    fetcher_ask_again(server);
    struct webhook *webhook = allocate_struct(struct webhook);
    *webhook = (struct webhook){.server = server,
                                .answers = token_cache_new(),
                                .keep_ns = options->webhook_cache_ttl_ns,
                                .api_version = version,
                                .audiences = audiences};
    *made = (struct authenticator){
        .ask = ask, .free = free_state, .state = webhook, .names_audiences = true};
    return true;
}

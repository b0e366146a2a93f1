// SPDX-License-Identifier: Apache-2.0
/* The chain of authenticators, and what holds for whoever they know. */
#include "apiserver/auth/authn.h"

#include <stdatomic.h>
#include <string.h>

#include "apiserver/auth/authenticator.h"
#include "apiserver/auth/authn_configuration.h"
#include "apiserver/auth/identity_cache.h"
#include "apiserver/auth/service_accounts.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/timestamp.h"

enum {
    by_request_max = 2,
    by_token_max = 6,
    workers_for_service_accounts = 4,
    workers_for_others = 8
};

struct authn {
    struct authenticator by_request[by_request_max], by_token[by_token_max];
    size_t by_request_count, by_token_count;
    bool anonymous;
    json_t *anonymous_paths; /* Strings: only there; NULL: everywhere. */
    unsigned workers;
    _Atomic int64_t complained_ns; /* When the log last told of somebody who was refused. */
    struct service_accounts *service_accounts; /* NULL: there are no keys for their tokens. */
    const json_t *audiences; /* Strings: for whom tokens have to be; NULL: anybody. */
    struct identity_cache *known;
};

static const int64_t complaint_interval_ns = 1000000000;
static const char group_authenticated[] = "system:authenticated";
static const char group_unauthenticated[] = "system:unauthenticated";
static const char user_anonymous[] = "system:anonymous";

/* ---- users ---- */

void user_set(struct user *user, const char *name, const char *uid)
{
    *user = (struct user){.name = duplicate(name), .uid = duplicate(uid)};
}

void user_add_group(struct user *user, const char *group)
{
    if (user_in_group(user, group)) {
        return;
    }
    user->groups = reallocate(user->groups, (user->group_count + 1) * sizeof(char *));
    user->groups[user->group_count++] = duplicate(group);
}

void user_add_extra(struct user *user, const char *key, const char *value)
{
    if (user->extra == NULL) {
        user->extra = json_object();
    }
    json_t *values = json_object_get(user->extra, key);
    if (values == NULL) {
        values = json_array();
        json_object_set_new(user->extra, key, values);
    }
    json_array_append_new(values, json_string(value));
}

void identity_clear(struct identity *identity)
{
    user_clear(&identity->user);
    json_decref(identity->audiences);
    *identity = (struct identity){0};
}

/* ---- set-up ---- */

static void add_by_token(struct authn *authn, struct authenticator authenticator)
{
    authn->by_token[authn->by_token_count++] = authenticator;
}

static bool set_up_token_file(struct authn *authn, const char *path, struct error *error)
{
    struct authenticator authenticator;
    if (path == NULL) {
        return true;
    }
    bool read = token_file_authenticator(path, &authenticator, error);
    add_by_token(authn, authenticator);
    return read;
}

static bool set_up_service_accounts(struct authn *authn, const struct authn_options *options,
                                    struct registry *registry, struct error *error)
{
    if (registry == NULL || (options->key_files.count == 0 && options->signing_key_file == NULL)) {
        return true;
    }
    authn->service_accounts = service_accounts_open(options, registry, error);
    if (authn->service_accounts == NULL) {
        return false;
    }
    authn->audiences = service_accounts_audiences(authn->service_accounts);
    authn->workers = workers_for_service_accounts;
    add_by_token(authn, service_accounts_authenticator(authn->service_accounts));
    return true;
}

/* What the file says of anonymous requests wins over the flag's default, but not over the flag. */
static bool set_up_configured(struct authn *authn, const struct authn_options *options,
                              const atomic_bool *stopping, struct error *error)
{
    struct authenticator authenticator;
    cleanup(authn_configuration_clear)
    struct authn_configuration configuration = {0};
    if (!authn_configuration_read(&configuration, options->config_file, &options->issuers, error)) {
        return false;
    }
    if (configuration.says_anonymous && options->anonymous.is_given) {
        return error_bad_request(error, "anonymous: Forbidden: --anonymous-auth flag cannot be set "
                                        "when anonymous field is configured in authentication "
                                        "configuration file");
    }
    if (!configured_authenticator(options, configuration.issuers, stopping, &authenticator,
                                  error)) {
        return false;
    }
    add_by_token(authn, authenticator);
    authn->workers = workers_for_others;
    if (configuration.says_anonymous) {
        authn->anonymous = configuration.anonymous;
        authn->anonymous_paths = json_incref(configuration.anonymous_paths);
    }
    return true;
}

static bool set_up_oidc(struct authn *authn, const struct authn_options *options,
                        const atomic_bool *stopping, struct error *error)
{
    struct authenticator authenticator;
    cleanup(json_release)
    json_t *jwt = authn_configuration_of_flags(options, error);
    if (jwt == NULL || !oidc_authenticator(jwt, options->oidc_signing_algorithms, stopping,
                                           &authenticator, error)) {
        return false;
    }
    add_by_token(authn, authenticator);
    authn->workers = workers_for_others;
    return true;
}

/* Those who ask servers of others. */
static bool set_up_remote(struct authn *authn, const struct authn_options *options,
                          struct registry *registry, struct error *error)
{
    const atomic_bool *stopping = registry ? &registry->stopping : NULL;
    struct authenticator authenticator;
    if (options->config_file != NULL && !set_up_configured(authn, options, stopping, error)) {
        return false;
    }
    if (options->oidc_issuer_url != NULL && !set_up_oidc(authn, options, stopping, error)) {
        return false;
    }
    if (options->webhook_config_file != NULL) {
        if (!webhook_authenticator(options, authn->audiences, stopping, &authenticator, error)) {
            return false;
        }
        add_by_token(authn, authenticator);
        authn->workers = workers_for_others;
    }
    return true;
}

/* In upstream's order. */
static bool set_up(struct authn *authn, const struct authn_options *options,
                   struct registry *registry, struct error *error)
{
    authn->anonymous = options->anonymous.is_on;
    if (options->proxy_ca_file != NULL) {
        authn->by_request[authn->by_request_count++] = front_proxy_authenticator(options);
    }
    authn->by_request[authn->by_request_count++] = certificate_authenticator();
    if (!set_up_token_file(authn, options->token_file, error) ||
        !set_up_service_accounts(authn, options, registry, error)) {
        return false;
    }
    if (options->bootstrap_tokens && registry != NULL) {
        add_by_token(authn, bootstrap_token_authenticator(registry));
    }
    return set_up_remote(authn, options, registry, error);
}

struct authn *authn_open(const struct authn_options *options, struct registry *registry,
                         struct error *error)
{
    struct authn *authn = allocate_struct(struct authn);
    authn->known = identity_cache_new();
    if (!set_up(authn, options, registry, error)) {
        authn_free(authn);
        return NULL;
    }
    return authn;
}

void authn_follow(struct authn *authn, struct cache *cache, const struct scheme *scheme)
{
    identity_cache_follow(authn->known, cache, scheme);
}

struct service_accounts *authn_service_accounts(struct authn *authn)
{
    return authn->service_accounts;
}

static void free_all(struct authenticator *authenticators, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (authenticators[i].free != NULL) {
            authenticators[i].free(authenticators[i].state);
        }
    }
}

void authn_free(struct authn *authn)
{
    if (authn == NULL) {
        return;
    }
    free_all(authn->by_request, authn->by_request_count);
    free_all(authn->by_token, authn->by_token_count);
    service_accounts_free(authn->service_accounts);
    identity_cache_free(authn->known);
    json_decref(authn->anonymous_paths);
    free(authn);
}

unsigned authn_workers(const struct authn *authn)
{
    return authn->workers;
}

/* ---- asking ---- */

/* What authenticators took offence at, each thing once, as upstream joins it. */
struct complaints {
    struct buffer text;
    size_t count;
};

static void complaints_clear(struct complaints *complaints)
{
    buffer_free(&complaints->text);
}

static void complain(struct complaints *complaints, const char *text)
{
    if (strstr(buffer_text(&complaints->text), text) == NULL) {
        buffer_addf(&complaints->text, "%s%s", complaints->count++ > 0 ? ", " : "", text);
    }
}

/* The one, or all in brackets; the caller's. */
static char *complaints_join(const struct complaints *complaints)
{
    return complaints->count == 0   ? duplicate("it has no credentials")
           : complaints->count == 1 ? duplicate(buffer_text(&complaints->text))
                                    : format("[%s]", buffer_text(&complaints->text));
}

/* Asks one after the other. VERDICT_REFUSED when nobody knows and somebody took offence. */
static enum verdict ask_all(const struct authenticator *authenticators, size_t count,
                            const struct question *question, struct identity *identity,
                            struct complaints *complaints)
{
    bool offended = false;
    for (size_t i = 0; i < count; i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        enum verdict verdict =
            authenticators[i].ask(authenticators[i].state, question, identity, &error);
        if (verdict == VERDICT_KNOWN || verdict == VERDICT_BLOCKS) {
            return verdict;
        }
        if (verdict == VERDICT_REFUSED) {
            offended = true;
            complain(complaints, error.message);
        }
    }
    return offended ? VERDICT_REFUSED : VERDICT_NOT_MINE;
}

/* The token of "Bearer <token>", as upstream reads it; NULL when there is none. */
static const char *bearer_token(const char *authorization, size_t *length)
{
    static const char scheme[] = "bearer ";
    if (authorization == NULL) {
        return NULL;
    }
    authorization += strspn(authorization, " \t");
    if (strncasecmp(authorization, scheme, sizeof scheme - 1) != 0) {
        return NULL;
    }
    const char *token = authorization + sizeof scheme - 1;
    *length = strcspn(token, " \t");
    return *length > 0 ? token : NULL;
}

/* Those who ask that also the API server is one of; the caller's. */
static json_t *common_audiences(const json_t *asked, const json_t *own)
{
    json_t *both = json_array();
    for (size_t i = 0; i < json_array_size(asked); i++) {
        const char *audience = json_string_value(json_array_get(asked, i));
        if (audience != NULL && json_array_has_string(own, audience)) {
            json_array_append_new(both, json_string(audience));
        }
    }
    return both;
}

/* Who is not anonymous is authenticated, unless the authenticator has said the one or the other. */
static void add_common_group(struct user *user)
{
    if (strcmp(user->name, user_anonymous) != 0 && !user_in_group(user, group_authenticated) &&
        !user_in_group(user, group_unauthenticated)) {
        user_add_group(user, group_authenticated);
    }
}

/* Asks one after the other about the token; those who know nothing of audiences only when the API
 * server is one of them. */
static enum verdict ask_anew(struct authn *authn, struct question *question,
                             struct identity *identity, struct complaints *complaints)
{
    cleanup(complaints_clear)
    struct complaints reasons = {0};
    bool is_own = question->audiences == authn->audiences;
    question->token_hash = token_hash(question->token, question->token_length, NULL, 0);
    cleanup(json_release)
    json_t *common = is_own ? NULL : common_audiences(question->audiences, authn->audiences);
    for (size_t i = 0; i < authn->by_token_count; i++) {
        const struct authenticator *authenticator = &authn->by_token[i];
        if (!is_own && !authenticator->names_audiences && json_array_size(common) == 0) {
            continue;
        }
        enum verdict verdict = ask_all(authenticator, 1, question, identity, &reasons);
        if (verdict == VERDICT_KNOWN && !authenticator->names_audiences && !is_own) {
            identity->audiences = json_incref(common);
        }
        if (verdict == VERDICT_KNOWN || verdict == VERDICT_BLOCKS) {
            return verdict;
        }
    }
    complain(complaints, "invalid bearer token");
    if (reasons.count > 0) {
        complain(complaints, buffer_text(&reasons.text));
    }
    return VERDICT_REFUSED;
}

/* The same, unless the token was asked about a moment ago. */
static enum verdict ask_about_token(struct authn *authn, struct question *question,
                                    struct identity *identity, struct complaints *complaints)
{
    int64_t now_ns = timestamp_monotonic();
    uint64_t keys = authn->service_accounts != NULL
                        ? service_accounts_keys_generation(authn->service_accounts)
                        : 0;
    struct grounds grounds = identity_cache_grounds(authn->known, keys);
    if (question->takes_known &&
        identity_cache_get(authn->known, question->token, question->token_length, &grounds, now_ns,
                           &identity->user)) {
        return VERDICT_KNOWN;
    }
    enum verdict verdict = ask_anew(authn, question, identity, complaints);
    if (verdict == VERDICT_KNOWN && question->takes_known && identity->good_for_ns > 0) {
        add_common_group(&identity->user);
        user_share(&identity->user);
        grounds.rests_on = identity->rests_on;
        identity_cache_put(authn->known, question->token, question->token_length, &grounds,
                           now_ns + identity->good_for_ns, &identity->user);
    }
    return verdict;
}

static enum verdict ask_chain(struct authn *authn, struct question *question,
                              struct identity *identity, struct complaints *complaints)
{
    enum verdict verdict =
        ask_all(authn->by_request, authn->by_request_count, question, identity, complaints);
    if (verdict == VERDICT_KNOWN || verdict == VERDICT_BLOCKS) {
        return verdict;
    }
    question->token = bearer_token(credentials_header(question->credentials, "Authorization"),
                                   &question->token_length);
    if (question->token == NULL) {
        return verdict;
    }
    enum verdict of_token = ask_about_token(authn, question, identity, complaints);
    return of_token == VERDICT_NOT_MINE ? verdict : of_token;
}

/* What is wrong is for those who run the server, not for those who guess; one line a second,
 * however many guess. */
static enum authentication refuse(struct authn *authn, const struct complaints *complaints,
                                  struct error *error)
{
    int64_t now = timestamp_monotonic(), before = atomic_load(&authn->complained_ns);
    if (now - before >= complaint_interval_ns &&
        atomic_compare_exchange_strong(&authn->complained_ns, &before, now)) {
        cleanup(free_char)
        char *reasons = complaints_join(complaints);
        log_warning("a request could not be authenticated: %s", reasons);
    }
    error_set(error, 401, "Unauthorized", "Unauthorized");
    return AUTHENTICATION_REFUSED;
}

/* Whether somebody without credentials may ask for this path. */
static bool admits_anonymous(const struct authn *authn, const char *path)
{
    return authn->anonymous &&
           (authn->anonymous_paths == NULL ||
            (path != NULL && json_array_has_string(authn->anonymous_paths, path)));
}

enum authentication authn_authenticate(struct authn *authn, const struct credentials *credentials,
                                       bool may_block, struct user *user, struct error *error)
{
    cleanup(complaints_clear)
    struct complaints complaints = {0};
    cleanup(identity_clear)
    struct identity identity = {0};
    struct question question = {.credentials = credentials,
                                .audiences = authn->audiences,
                                .may_block = may_block,
                                .takes_known = true};
    enum verdict verdict = ask_chain(authn, &question, &identity, &complaints);
    if (verdict == VERDICT_BLOCKS) {
        return AUTHENTICATION_BLOCKS;
    }
    if (verdict == VERDICT_REFUSED ||
        (verdict == VERDICT_NOT_MINE && !admits_anonymous(authn, credentials->path))) {
        return refuse(authn, &complaints, error);
    }
    if (verdict == VERDICT_KNOWN) {
        add_common_group(&identity.user);
    } else {
        user_set(&identity.user, user_anonymous, "");
        user_add_group(&identity.user, group_unauthenticated);
    }
    *user = identity.user;
    identity.user = (struct user){0};
    return AUTHENTICATION_DONE;
}

/* ---- reviews ---- */

json_t *authn_user_info(const struct user *user)
{
    json_t *info = json_pack("{s:s}", "username", user->name);
    if (user->uid != NULL && user->uid[0] != '\0') {
        json_object_set_new(info, "uid", json_string(user->uid));
    }
    json_t *groups = json_array();
    for (size_t i = 0; i < user->group_count; i++) {
        json_array_append_new(groups, json_string(user->groups[i]));
    }
    json_object_set_new(info, "groups", groups);
    if (user->extra != NULL) {
        json_object_set_new(info, "extra", json_deep_copy(user->extra));
    }
    return info;
}

static json_t *review_of_known(struct identity *identity)
{
    add_common_group(&identity->user);
    json_t *status =
        json_pack("{s:b, s:o}", "authenticated", 1, "user", authn_user_info(&identity->user));
    if (json_array_size(identity->audiences) > 0) {
        json_object_set(status, "audiences", identity->audiences);
    }
    return status;
}

json_t *authn_review(struct authn *authn, const char *token, const json_t *audiences,
                     struct error *error)
{
    cleanup(complaints_clear)
    struct complaints complaints = {0};
    cleanup(identity_clear)
    struct identity identity = {0};
    static const struct credentials none = {0};
    struct question question = {
        .credentials = &none,
        .token = token,
        .token_length = strcspn(token, " \t"),
        .audiences = audiences ? audiences : authn->audiences,
        .may_block = true,
    };
    if (ask_about_token(authn, &question, &identity, &complaints) != VERDICT_KNOWN) {
        cleanup(free_char)
        char *why = complaints_join(&complaints);
        return json_pack("{s:{}, s:s}", "user", "error", why);
    }
    (void)error;
    if (identity.audiences == NULL && authn->audiences != NULL) {
        identity.audiences = json_deep_copy(authn->audiences);
    }
    return review_of_known(&identity);
}

// SPDX-License-Identifier: Apache-2.0
/* The chain of authenticators, and what holds for whoever they know. */
#include "apiserver/auth/authn.h"

#include <string.h>

#include "apiserver/auth/authenticator.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"

enum { by_request_max = 2, by_token_max = 6 };

struct authn {
    struct authenticator by_request[by_request_max], by_token[by_token_max];
    size_t by_request_count, by_token_count;
    bool anonymous;
    unsigned workers;
    json_t *audiences; /* --api-audiences; NULL: none. */
};

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

static bool set_up(struct authn *authn, const struct authn_options *options, struct error *error)
{
    authn->anonymous = options->anonymous;
    if (options->proxy_ca_file != NULL) {
        authn->by_request[authn->by_request_count++] = front_proxy_authenticator(options);
    }
    authn->by_request[authn->by_request_count++] = certificate_authenticator();
    return options->token_file == NULL ||
           token_file_authenticator(options->token_file, &authn->by_token[authn->by_token_count++],
                                    error);
}

struct authn *authn_open(const struct authn_options *options, struct error *error)
{
    struct authn *authn = allocate_struct(struct authn);
    if (!set_up(authn, options, error)) {
        authn_free(authn);
        return NULL;
    }
    return authn;
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
    json_decref(authn->audiences);
    free(authn);
}

unsigned authn_workers(const struct authn *authn)
{
    return authn->workers;
}

/* ---- asking ---- */

/* Notes what somebody took offence at, each thing once. */
static void complain(struct buffer *complaints, const char *text)
{
    const char *present = buffer_text(complaints);
    if (strstr(present, text) == NULL) {
        buffer_addf(complaints, "%s%s", present[0] ? ", " : "", text);
    }
}

/* Asks one after the other. VERDICT_REFUSED when nobody knows and somebody took offence. */
static enum verdict ask_all(const struct authenticator *authenticators, size_t count,
                            const struct question *question, struct identity *identity,
                            struct buffer *complaints)
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

static enum verdict ask_about_token(struct authn *authn, struct question *question,
                                    struct identity *identity, struct buffer *complaints)
{
    cleanup(buffer_free)
    struct buffer reasons = BUFFER_INIT;
    enum verdict verdict =
        ask_all(authn->by_token, authn->by_token_count, question, identity, &reasons);
    if (verdict == VERDICT_KNOWN || verdict == VERDICT_BLOCKS) {
        return verdict;
    }
    complain(complaints, "invalid bearer token");
    if (reasons.length > 0) {
        complain(complaints, buffer_text(&reasons));
    }
    return VERDICT_REFUSED;
}

static enum verdict ask_chain(struct authn *authn, struct question *question,
                              struct identity *identity, struct buffer *complaints)
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

/* Who is not anonymous is authenticated, unless the authenticator has said the one or the other. */
static void add_common_group(struct user *user)
{
    if (strcmp(user->name, user_anonymous) != 0 && !user_in_group(user, group_authenticated) &&
        !user_in_group(user, group_unauthenticated)) {
        user_add_group(user, group_authenticated);
    }
}

static enum authentication refuse(const struct buffer *complaints, struct error *error)
{
    /* What is wrong is for those who run the server, not for those who guess. */
    log_debug("a request could not be authenticated: %s", buffer_text(complaints));
    error_set(error, 401, "Unauthorized", "Unauthorized");
    return AUTHENTICATION_REFUSED;
}

enum authentication authn_authenticate(struct authn *authn, const struct credentials *credentials,
                                       bool may_block, struct user *user, struct error *error)
{
    cleanup(buffer_free)
    struct buffer complaints = BUFFER_INIT;
    cleanup(identity_clear)
    struct identity identity = {0};
    struct question question = {
        .credentials = credentials, .audiences = authn->audiences, .may_block = may_block};
    enum verdict verdict = ask_chain(authn, &question, &identity, &complaints);
    if (verdict == VERDICT_BLOCKS) {
        return AUTHENTICATION_BLOCKS;
    }
    if (verdict == VERDICT_REFUSED || (verdict == VERDICT_NOT_MINE && !authn->anonymous)) {
        return refuse(&complaints, error);
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

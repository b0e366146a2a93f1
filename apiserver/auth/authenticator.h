// SPDX-License-Identifier: Apache-2.0
/*
 * One way to find out who somebody is. Of use to apiserver/auth/ only.
 *
 * Authenticators of requests look at the headers and the client's certificate; authenticators of
 * tokens are asked by the one that finds a bearer token. Both have the same shape, and are asked in
 * order until one knows the caller: that another took offence does not matter then.
 *
 * Threads: all that is here is called from any thread, and blocks only where the question allows
 * it.
 */
#ifndef APISERVER_AUTH_AUTHENTICATOR_H
#define APISERVER_AUTH_AUTHENTICATOR_H

#include <jansson.h>
#include <stdatomic.h>

#include "apiserver/auth/authn.h"
#include "apiserver/auth/token_cache.h"

struct question {
    const struct credentials *credentials;
    const char *token; /* NULL while nobody has found one. Not NUL-terminated. */
    size_t token_length;
    struct token_hash token_hash; /* Of the token, once for all who look it up by that. */
    /* Strings: for whom the token must be good; NULL: for anybody. Never empty. */
    const json_t *audiences;
    bool may_block;
    bool takes_known; /* What was found out a moment ago will do, without the audiences. */
};

enum verdict {
    VERDICT_NOT_MINE, /* The next is to be asked. */
    VERDICT_KNOWN,    /* The identity is filled. */
    VERDICT_REFUSED,  /* The error says what is wrong; the next may still know better. */
    VERDICT_BLOCKS,   /* It can't be told without waiting, and the question does not allow that. */
};

struct identity {
    struct user user;
    json_t *audiences; /* Those asked for that the token is good for; NULL: it names none. */
    /* For so long the same token is the same user, while nothing is deleted of the kinds that this
     * rests on (bits, see identity_cache.h) and the keys stay; 0: somebody has to look again. */
    int64_t good_for_ns;
    unsigned rests_on;
};

void identity_clear(struct identity *identity); /* Also fit for cleanup(). */

struct authenticator {
    enum verdict (*ask)(void *state, const struct question *question, struct identity *identity,
                        struct error *error);
    void (*free)(void *state);
    void *state;
    bool names_audiences; /* Else whom it knows is known to the API server's audiences. */
};

/* ---- filling a user ---- */

void user_set(struct user *user, const char *name, const char *uid);
void user_add_group(struct user *user, const char *group); /* Each once. */
void user_add_extra(struct user *user, const char *key, const char *value);

/* ---- those there are, each in the file of its name ---- */

struct authenticator front_proxy_authenticator(const struct authn_options *options);
struct authenticator certificate_authenticator(void);
struct authenticator bootstrap_token_authenticator(struct registry *registry);
/* False with an error when it can't be set up; options, audiences and flag are
 * borrowed. What waits for somebody else's server gives up soon after 'stopping' is set. */
bool token_file_authenticator(const char *path, struct authenticator *made, struct error *error);
/* 'jwt' is a JWTAuthenticator that has been checked; 'algorithms' have commas between, NULL: any
 * that exist. */
bool oidc_authenticator(json_t *jwt, const char *algorithms, const atomic_bool *stopping,
                        struct authenticator *made, struct error *error);
/* Those of a file that has been read, and is read again when it changes. */
bool configured_authenticator(const struct authn_options *options, const json_t *issuers,
                              const atomic_bool *stopping, struct authenticator *made,
                              struct error *error);
bool webhook_authenticator(const struct authn_options *options, const json_t *audiences,
                           const atomic_bool *stopping, struct authenticator *made,
                           struct error *error);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Tokens of service accounts: verifying and signing them, and what others need to verify them.
 *
 * A token is signed by a key of --service-account-key-file, says who issued it, for whom, and until
 * when; and what it is bound to must still be there with the same uid: the account, and the pod,
 * secret or node if it names one. All of that is asked anew each time, from the cache; only that a
 * signature is good is remembered for a while.
 *
 * Tokens in secrets (type kubernetes.io/service-account-token) are of an older kind: without an
 * end, and good as long as the secret holds them.
 *
 * Threads: all of it from any thread.
 */
#ifndef APISERVER_AUTH_SERVICE_ACCOUNTS_H
#define APISERVER_AUTH_SERVICE_ACCOUNTS_H

#include "apiserver/auth/authenticator.h"
#include "apiserver/registry/registry.h"

struct service_accounts;

/* 'registry' is borrowed. NULL with an error when the options don't fit together or a file can't be
 * read. */
struct service_accounts *service_accounts_open(const struct authn_options *options,
                                               struct registry *registry, struct error *error);
void service_accounts_free(struct service_accounts *accounts);
struct authenticator service_accounts_authenticator(struct service_accounts *accounts);

/* Another number for each state of the keys. */
uint64_t service_accounts_keys_generation(struct service_accounts *accounts);

/* Strings: for whom tokens are unless somebody says otherwise; NULL: --api-audiences and
 * --service-account-issuer say nothing. Borrowed. */
const json_t *service_accounts_audiences(const struct service_accounts *accounts);
/* Tokens can be signed: there is a key and an issuer. */
bool service_accounts_sign_tokens(const struct service_accounts *accounts);
/* The claims (of which "iss" is added here) as a signed token; the caller's. NULL on an error. */
char *service_accounts_sign(struct service_accounts *accounts, json_t *claims, struct error *error);
int64_t service_accounts_max_expiration(const struct service_accounts *accounts); /* 0: none. */
bool service_accounts_extend_expiration(const struct service_accounts *accounts);

/* Answers /.well-known/openid-configuration and /openid/v1/jwks; false for other paths, and when
 * the issuer is no URL that can be asked. */
bool service_accounts_serve(struct service_accounts *accounts, const struct request *request,
                            struct response *response);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * The keys of an OpenID Connect issuer: fetched by a thread of their own, found through the
 * issuer's discovery document, and fetched again when somebody shows a token that none of them has
 * signed, though only now and then, so that nobody makes the issuer's life hard with rubbish.
 *
 * Threads: all of it from any thread.
 */
#ifndef APISERVER_AUTH_OIDC_KEYS_H
#define APISERVER_AUTH_OIDC_KEYS_H

#include <jansson.h>

#include "apiserver/auth/keyring.h"

struct oidc_keys;

/* 'issuer' is that of a JWTAuthenticator, borrowed: without a certificateAuthority the system's are
 * believed. Starts fetching; that ends soon after the flag (borrowed) is set. */
struct oidc_keys *oidc_keys_open(const json_t *issuer, const atomic_bool *stopping,
                                 struct error *error);
void oidc_keys_free(struct oidc_keys *keys); /* NULL is fine. */
/* What is known now; the caller's reference. NULL while nothing is. */
struct key_set *oidc_keys_get(struct oidc_keys *keys);
/* Whether fetching again is allowed now. */
bool oidc_keys_may_refresh(struct oidc_keys *keys);
/* Has them fetched again and waits for that; blocks for some seconds at most. */
void oidc_keys_refresh(struct oidc_keys *keys);

#endif

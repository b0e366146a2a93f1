// SPDX-License-Identifier: Apache-2.0
/* What the files about service accounts' tokens share. */
#ifndef APISERVER_AUTH_SERVICE_ACCOUNT_CLAIMS_H
#define APISERVER_AUTH_SERVICE_ACCOUNT_CLAIMS_H

#include "apiserver/auth/keyring.h"
#include "apiserver/auth/service_accounts.h"
#include "apiserver/auth/token_cache.h"

struct service_accounts {
    struct registry *registry;
    struct keyring *keys;
    struct token_cache *verified; /* Claims of tokens whose signature is good. */
    json_t *issuers;              /* Strings; the first one signs. */
    json_t *audiences;            /* Strings; NULL: none. */
    char *jwks_uri;
    int64_t max_expiration; /* Seconds; 0: any. */
    bool extend_expiration;
    bool signs;
    _Atomic int64_t noted_ns; /* When it was last written down that a secret's token is used. */
};

/* Whether what the claims speak of is still so, and whom they make of it; for a token with an end,
 * and for one of a secret. The text is the token's. */
enum verdict claims_validate(struct service_accounts *accounts, const struct question *question,
                             const json_t *claims, struct identity *identity, struct error *error);
enum verdict legacy_claims_validate(struct service_accounts *accounts,
                                    const struct question *question, const json_t *claims,
                                    struct identity *identity, struct error *error);
/* The same, where what may stand beside the claims (nbf, exp, iat) is not right now. */
bool claims_check_times(const json_t *claims, int64_t now_ns, struct error *error);

extern const char service_account_legacy_issuer[];

/* ---- what is in the cache ---- */

struct bound_object {
    struct object *object; /* NULL: there is none. The caller's reference. */
    char *uid;
    int64_t deleted_ns; /* 0: it is not being deleted. */
};

void bound_object_clear(struct bound_object *bound); /* Also fit for cleanup(). */
/* Looks one up; on another API server's heels it may be missing in the cache, so that false, with
 * nothing found, asks to come back where one may block. */
bool bound_object_find(struct service_accounts *accounts, const struct question *question,
                       const char *plural, const char *namespace, const char *name,
                       struct bound_object *bound);

#endif

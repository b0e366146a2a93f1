// SPDX-License-Identifier: Apache-2.0
/*
 * Authentication: who is the caller.
 *
 * Authenticators are asked in upstream's order; the first that knows the caller decides: a front
 * proxy that vouches for somebody in headers, a client certificate (CN is the user, O the groups),
 * a bearer token: of the token file, a service account's, a bootstrap token, an issuer's, or one
 * that a webhook knows. Credentials that somebody took offence at are refused (401 Unauthorized);
 * none at all, or of a kind that nobody reads, is system:anonymous in group system:unauthenticated.
 * Everybody else is also in system:authenticated.
 *
 * Threads: authn_authenticate() and authn_review() from any thread.
 */
#ifndef APISERVER_AUTH_AUTHN_H
#define APISERVER_AUTH_AUTHN_H

#include "apiserver/http/server.h"
#include "common/flags.h"

struct authn;
struct cache;
struct registry;
struct service_accounts;

/* As on the command line; NULL where it says nothing. Values of lists may have commas between
 * parts, but those of keys and issuers. */
struct authn_options {
    struct flag_switch anonymous;
    const char
        *config_file; /* AuthenticationConfiguration; in place of what is OpenID Connect's. */
    const char *token_file;
    const char *proxy_ca_file;
    struct flag_list proxy_allowed_names, proxy_username_headers, proxy_uid_headers,
        proxy_group_headers, proxy_extra_prefixes;
    /* Service accounts; of the lists the first issuer signs. */
    struct flag_list key_files, issuers;
    const char *signing_key_file, *jwks_uri;
    struct flag_list api_audiences;
    int64_t max_token_expiration_ns; /* 0: any. */
    bool extend_token_expiration;
    bool bootstrap_tokens;
    /* OpenID Connect. */
    const char *oidc_issuer_url, *oidc_client_id, *oidc_ca_file, *oidc_username_claim,
        *oidc_username_prefix, *oidc_groups_claim, *oidc_groups_prefix, *oidc_signing_algorithms;
    struct flag_list oidc_required_claims;
    /* The webhook: a kubeconfig. */
    const char *webhook_config_file, *webhook_version;
    int64_t webhook_cache_ttl_ns;
};

/* 'token_file': CSV lines token,user,uid[,"group,group"]. A file that can't be read or parsed is an
 * error that names file and line. The registry, borrowed, is where service accounts are looked up;
 * NULL: there are none. The options are borrowed. */
struct authn *authn_open(const struct authn_options *options, struct registry *registry,
                         struct error *error);
/* Follows the cache, borrowed, to learn when tokens end early; until then nobody who has one is
 * known without a look. */
void authn_follow(struct authn *authn, struct cache *cache, const struct scheme *scheme);
/* Fits struct handler's 'authenticate', without the wish to be somebody else (impersonation.h). */
enum authentication authn_authenticate(struct authn *authn, const struct credentials *credentials,
                                       bool may_block, struct user *user, struct error *error);
/* What is known of a token, as the status of a TokenReview: for one of the audiences (strings;
 * NULL: the API server's). May block. NULL on an error. The caller's. */
json_t *authn_review(struct authn *authn, const char *token, const json_t *audiences,
                     struct error *error);
/* NULL when there are no keys for their tokens. Borrowed. */
struct service_accounts *authn_service_accounts(struct authn *authn);
/* As the API shows a user: UserInfo of authentication.k8s.io/v1. The caller's. */
json_t *authn_user_info(const struct user *user);
/* How many workers are to be there for those who have to wait; 0: nobody ever has to. */
unsigned authn_workers(const struct authn *authn);
void authn_free(struct authn *authn); /* When the cache follows nothing any more. */

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Authentication: who is the caller.
 *
 * Authenticators are asked in upstream's order; the first that knows the caller decides: a front
 * proxy that vouches for somebody in headers, a client certificate (CN is the user, O the groups),
 * a bearer token (from the token file). Credentials that somebody took offence at are
 * refused (401 Unauthorized); none at all, or of a kind that nobody reads, is system:anonymous in
 * group system:unauthenticated. Everybody else is also in system:authenticated.
 *
 * Threads: authn_authenticate() and authn_review() from any thread.
 */
#ifndef APISERVER_AUTH_AUTHN_H
#define APISERVER_AUTH_AUTHN_H

#include "apiserver/http/server.h"

struct authn;

/* As on the command line; NULL where it says nothing. Lists are separated by commas. */
struct authn_options {
    bool anonymous;
    const char *token_file;
    const char *proxy_ca_file, *proxy_allowed_names, *proxy_username_headers, *proxy_uid_headers,
        *proxy_group_headers, *proxy_extra_prefixes;
};

/* 'token_file': CSV lines token,user,uid[,"group,group"]. A file that can't be read or parsed is an
 * error that names file and line. */
struct authn *authn_open(const struct authn_options *options, struct error *error);
/* Fits struct handler's 'authenticate', without the wish to be somebody else (impersonation.h). */
enum authentication authn_authenticate(struct authn *authn, const struct credentials *credentials,
                                       bool may_block, struct user *user, struct error *error);
/* How many workers are to be there for those who have to wait; 0: nobody ever has to. */
unsigned authn_workers(const struct authn *authn);
void authn_free(struct authn *authn);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Authentication: who is the caller.
 *
 * Authenticators are asked in order; the first that recognises the credentials decides. A client
 * certificate gives the user from CN and groups from O; a bearer token is looked up in the token
 * file. Wrong credentials are refused (401 Unauthorized); none at all is system:anonymous in group
 * system:unauthenticated. Everybody else is also in system:authenticated.
 *
 * Threads: immutable after authn_open(); authn_authenticate() from any thread.
 */
#ifndef APISERVER_AUTH_AUTHN_H
#define APISERVER_AUTH_AUTHN_H

#include "apiserver/http/server.h"

struct authn;

/* 'token_file' (--token-auth-file, may be NULL): CSV lines token,user,uid[,"group,group"]. A file
 * that can't be read or parsed is an error that names file and line. */
struct authn *authn_open(const char *token_file, struct error *error);
/* Fits struct handler's 'authenticate'. Tokens are compared in constant time. */
bool authn_authenticate(void *authn, const struct credentials *credentials, struct user *user,
                        struct error *error);
void authn_free(struct authn *authn);

/* Authorization of this stage: system:masters may do everything; everybody may read health and
 * version (/healthz, /livez, /readyz and below, /version); the rest is 403 in upstream's words:
 *   pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace
 * "default" forbidden: User "system:anonymous" cannot get path "/metrics" */
bool authz_allows(const struct request *request, struct error *error);

#endif

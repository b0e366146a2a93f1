// SPDX-License-Identifier: Apache-2.0
/*
 * Which issuers' tokens are accepted, and who is anonymous: an AuthenticationConfiguration of
 * apiserver.config.k8s.io, from a file or made of flags, checked as upstream checks it. What needs
 * an expression to be evaluated is refused.
 */
#ifndef APISERVER_AUTH_AUTHN_CONFIGURATION_H
#define APISERVER_AUTH_AUTHN_CONFIGURATION_H

#include <jansson.h>

#include "apiserver/auth/authn.h"

struct authn_configuration {
    json_t *issuers; /* JWTAuthenticators. */
    bool says_anonymous, anonymous;
    json_t *anonymous_paths; /* Strings: only there; NULL: everywhere. */
};

void authn_configuration_clear(struct authn_configuration *configuration); /* Fit for cleanup(). */
/* 400 with the file's name for what can't be read or is wrong. None of the issuers may be one of
 * those of service accounts. */
bool authn_configuration_read(struct authn_configuration *configuration, const char *path,
                              const struct flag_list *service_account_issuers, struct error *error);
/* The JWTAuthenticator that the flags --oidc-* describe; the caller's. NULL with an error. */
json_t *authn_configuration_of_flags(const struct authn_options *options, struct error *error);
/* 400 for flags that don't go together. */
bool authn_check_options(const struct authn_options *options, struct error *error);

#endif

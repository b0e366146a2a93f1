// SPDX-License-Identifier: Apache-2.0
/*
 * What TLS needs on a client's side: whom to trust and what to show. It is read once, not for each
 * connection, which costs OpenSSL more than to shake hands.
 *
 * Threads: immutable; its connections may be anybody's.
 */
#ifndef COMMON_CLIENT_TLS_H
#define COMMON_CLIENT_TLS_H

#include <curl/curl.h>

#include "common/client_config.h"

struct client_tls;

/* Of the CA, certificate and key of the config. 400 when they can't be used. */
struct client_tls *client_tls_new(const struct client_config *config, struct error *error);
/* One that trusts the same and shows nothing. */
struct client_tls *client_tls_without_certificate(const struct client_tls *other);
void client_tls_free(struct client_tls *tls); /* NULL is fine. */
/* Has the handle use it for what it connects to. It stays with it until that is connected. */
void client_tls_apply(const struct client_tls *tls, CURL *easy);

#endif

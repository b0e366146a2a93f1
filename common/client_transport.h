// SPDX-License-Identifier: Apache-2.0
/*
 * How the client's connections and requests look: address, TLS, credentials. Owned by the loop's
 * thread.
 */
#ifndef COMMON_CLIENT_TRANSPORT_H
#define COMMON_CLIENT_TRANSPORT_H

#include <curl/curl.h>

#include "common/buffer.h"
#include "common/client_config.h"

struct client_transport;

/* Takes over what is in 'config'. 400 when a certificate or key can't be used. */
struct client_transport *client_transport_new(struct client_config *config, const char *user_agent,
                                              struct error *error);
/* One to the same server with no credentials but the token that it is given. The connections are
 * not those of 'other' if that has a certificate, which would win over any token. */
struct client_transport *client_transport_for_token(const struct client_transport *other);
/* NULL: none. */
void client_transport_set_token(struct client_transport *transport, const char *token);
void client_transport_free(struct client_transport *transport);
/* "127.0.0.1:6443"; borrowed. */
const char *client_transport_host(const struct client_transport *transport);

/* Sets what a new connection needs, for a handle that is to do no more than to connect. */
void client_transport_connect(struct client_transport *transport, CURL *easy);

/* What a request's head is made of; all borrowed, NULL where there is nothing to say. */
struct client_head {
    const char *method, *path;
    const char *accept, *content_type; /* NULL: application/json */
    const char *user, *group;          /* Whom to impersonate. */
    size_t body_length;
};

/* Appends the head, with the credentials; a token file is read again when it was last read a minute
 * ago. 400 for a path or a name that no head can carry. */
bool client_transport_add_head(struct client_transport *transport, const struct client_head *head,
                               struct buffer *text, struct error *error);

/* For a transfer that curl makes. Resets the handle and sets all that does not depend on the
 * request's body or purpose. The headers (the caller's, to be freed after the transfer) hold
 * Accept, Content-Type unless that is NULL, and the credentials; a token file is read again when it
 * was last read a minute ago. */
struct curl_slist *client_transport_prepare(struct client_transport *transport, CURL *easy,
                                            const char *path, const char *accept,
                                            const char *content_type);

/* Fills 'error' with 503 and what curl has to say. 'detail' is curl's error buffer. False. */
bool client_transport_failed(const struct client_transport *transport, CURLcode result,
                             const char *detail, const char *method, const char *path,
                             struct error *error);

#endif

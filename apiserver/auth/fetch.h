// SPDX-License-Identifier: Apache-2.0
/*
 * Asking somebody else's server for JSON: an issuer, a webhook. Blocks for up to some seconds, and
 * takes answers of up to 1 MiB unless told otherwise; redirections are not followed unless told so.
 * Connections are kept for the next question.
 *
 * Threads: fetch_json() from any thread; on a fiber it fails, refusing to block.
 */
#ifndef APISERVER_AUTH_FETCH_H
#define APISERVER_AUTH_FETCH_H

#include <jansson.h>
#include <stdatomic.h>

#include "common/client_config.h"

struct fetcher;

/* Takes over what is in 'config', whose server may have a path. 400 when it can't be used. */
struct fetcher *fetcher_new(struct client_config *config, struct error *error);
/* What is under way fails soon after the flag (borrowed) is set. */
void fetcher_stop_when(struct fetcher *fetcher, const atomic_bool *stopping);
/* Before the first question. */
void fetcher_limit(struct fetcher *fetcher, size_t answer_bytes_max, int timeout_ms);
/* Questions are asked again, up to four times, when the server says that something is wrong with it
 * (5xx) or that it is too busy (429), or the connection fails: after 0.5 s, then half as long again
 * each time, as upstream does. Before the first question. */
void fetcher_ask_again(struct fetcher *fetcher);
/* Up to ten redirections of a GET to other https URLs, as issuers may use them. Before the first
 * question. */
void fetcher_follow_redirections(struct fetcher *fetcher);
void fetcher_free(struct fetcher *fetcher); /* NULL is fine. */
/* GET, or POST when there is a body, of the server's URL and the path behind it. NULL with an error
 * for anything but a JSON object with 200 or 201. The caller's. */
json_t *fetch_json(struct fetcher *fetcher, const char *path, const json_t *body,
                   struct error *error);
/* POST of JSON to a server whose answer, if it is a good one, does not matter. */
bool fetch_post(struct fetcher *fetcher, const char *path, const char *text, struct error *error);

#endif

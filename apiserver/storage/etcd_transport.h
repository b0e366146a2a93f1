// SPDX-License-Identifier: Apache-2.0
/*
 * Calls of etcd's JSON gateway: many at a time, over several endpoints.
 *
 * One thread, a loop's, owns all connections, which are kept alive. A caller hands it a request and
 * waits until it is answered, so that as many requests are in flight as there are callers.
 *
 * Endpoints: requests go to one endpoint as long as it serves. One that fails is left alone for a
 * while, which doubles up to ten seconds; only when all have failed is the one tried that has been
 * left alone the longest. A request that certainly did not reach etcd is tried again, on the next
 * endpoint, until its time limit. One that may have reached it is repeated only if the caller
 * allows it.
 *
 * Threads: everything but etcd_transport_close() from any thread. Nothing blocks but
 * etcd_transport_call().
 */
#ifndef APISERVER_STORAGE_ETCD_TRANSPORT_H
#define APISERVER_STORAGE_ETCD_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "apiserver/storage/store.h"
#include "common/buffer.h"
#include "common/connections.h"
#include "common/error.h"
#include "common/loop.h"

struct etcd_transport;

/* How long a call may take. */
struct etcd_patience {
    int timeout_ms; /* Over all attempts. */
    /* For how long to go on while every endpoint refuses connections: a moment bridges a restart,
     * more would only keep callers waiting for a cluster that is down. */
    int refused_ms;
};

struct etcd_request {
    const char *path; /* Below the endpoint: "/v3/kv/range". */
    const char *body; /* JSON. */
    size_t body_length;
    bool repeatable; /* May be sent again when it is unknown whether it was carried out. */
    struct etcd_patience patience;
    /* A longer answer is cut off, and etcd_transport_call() says so; 0: no limit. */
    size_t answer_limit;
};

enum etcd_outcome {
    ETCD_ANSWERED,        /* With status 200. */
    ETCD_ANSWER_TOO_LONG, /* The answer exceeds the limit; 'error' is empty. */
    ETCD_LEASE_NOT_FOUND, /* etcd does not know the lease; nothing happened; no error. */
    ETCD_FAILED,          /* See 'error', whose codes are those of store.h. */
};

/* Copies what it needs of the options. */
struct etcd_transport *etcd_transport_open(const struct store_etcd_options *options,
                                           struct error *error);
/* Waits for the calls in flight; no new ones may come. */
void etcd_transport_close(struct etcd_transport *transport);

/* Blocks. Sends a request and waits for the answer, which is put into 'answer'. */
enum etcd_outcome etcd_transport_call(struct etcd_transport *transport,
                                      const struct etcd_request *request, struct buffer *answer,
                                      struct error *error);

/* ---- for a stream that lives outside of calls ---- */

/* Which endpoint to use now. */
size_t etcd_transport_endpoint(struct etcd_transport *transport);
/* Tells how an endpoint served. */
void etcd_transport_report(struct etcd_transport *transport, size_t endpoint, bool served);
size_t etcd_transport_endpoint_count(const struct etcd_transport *transport);
/* New connections to an endpoint, for another loop. The caller's. */
struct connections *etcd_transport_connections(struct etcd_transport *transport, size_t endpoint,
                                               struct loop *loop);
/* Writes the whole request to POST a body to the endpoint, in place of what 'text' holds. */
void etcd_transport_write(const struct etcd_transport *transport, size_t endpoint, const char *path,
                          const char *body, size_t length, struct buffer *text);
/* Translates an error that etcd put into a body or stream, already known to be final. */
void etcd_transport_translate(const char *text, struct error *error);

#endif

// SPDX-License-Identifier: Apache-2.0
/* What the files of the HTTP layer share among themselves. */
#ifndef APISERVER_HTTP_INTERNAL_H
#define APISERVER_HTTP_INTERNAL_H

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "apiserver/http/server.h"

struct tls;
struct workers;
struct stream;
struct streams;
struct connections;

struct server {
    struct server_options options;
    struct handler handler;
    struct MHD_Daemon *daemon;
    struct tls *tls;
    struct workers *workers;
    struct workers *authenticators; /* NULL: nobody's credentials take long. */
    struct streams *streams;
    struct connections *connections;
    atomic_bool stopping;
    uint16_t port;
    pthread_mutex_t lock; /* Guards what follows. */
    pthread_cond_t idle;  /* Signalled when one of the counts gets 0. */
    size_t active;        /* Requests that are being served or answered. */
    size_t fibers;        /* Those that are served on one. */
    bool closing;         /* No more of them. */
};

/* One TCP connection: who its client certificate says it is, found out with the first request, and
 * again when the authorities have changed. */
struct peer {
    bool examined;
    unsigned examined_against;              /* Which state of the authorities. */
    struct client_certificate *certificate; /* NULL: none was shown. */
    int socket;
    char *address;               /* The client's, without its port. */
    char *name;                  /* With it, as requests tell it; NULL before the first. */
    _Atomic int64_t deadline_ns; /* When the client is late, see connections.c; 0: never. */
    struct exchange *begun;      /* That libmicrohttpd has not said the end of; NULL: none. */
    bool in_step;                /* The last request was read to its end, and answered. */
    bool holds;                  /* What is sent next can wait for what follows at once … */
    struct buffer held;          /* … here. */
    struct peer *next, *previous;
};

void peer_free(struct peer *peer);

/* ---- push.c ---- */

/* Has the session send by way of the peer, which has to live as long as it sends. */
void peer_push_itself(struct peer *peer, gnutls_session_t session);

/* ---- connections.c ---- */

/* At most that many connections, in all and of one address. */
struct connections *connections_start(unsigned most, unsigned most_of_address, struct error *error);
void connections_stop(struct connections *connections); /* After the daemon. */
/* Whether one more may come from there; for MHD_start_daemon(), with the server. */
enum MHD_Result connection_wanted(void *server, const struct sockaddr *address, socklen_t length);
/* MHD_OPTION_NOTIFY_CONNECTION, with the server. */
void connection_changed(void *server, struct MHD_Connection *connection, void **socket_context,
                        enum MHD_ConnectionNotificationCode code);
/* The client has this long for what it is to do next; 0: it has nothing to do. */
void peer_expect_within(struct peer *peer, unsigned timeout_ms);

/* A request that took much memory is over: within a second what is free goes back to the system. */
void connections_memory_was_freed(struct connections *connections);

/* ---- one request and its answer: exchange.c ---- */

enum exchange_state {
    EXCHANGE_NEW,      /* Headers are not looked at yet. */
    EXCHANGE_ADMITTED, /* A worker has found out who asks: libmicrohttpd comes with the headers … */
    EXCHANGE_TURNED_AWAY, /* … once more. */
    EXCHANGE_READING,     /* The body is coming in. */
    EXCHANGE_REFUSED,     /* The response is filled; what is left of the body is thrown away. */
    EXCHANGE_WAITING,     /* For its turn, the connection is suspended. */
    EXCHANGE_CALLED,      /* Its turn has come, or will not. */
    EXCHANGE_WORKING,     /* On a worker, the connection is suspended. */
    EXCHANGE_PARKED,      /* Its fiber waits, the connection is suspended. */
    EXCHANGE_SERVED,      /* The response is filled. */
    EXCHANGE_ANSWERED,    /* It is queued. */
};

struct exchange {
    struct server *server;
    struct MHD_Connection *connection;
    struct peer *peer;
    enum exchange_state state; /* Written by the HTTP thread, and by the worker in between. */
    char *uri;                 /* As sent. */
    char audit_id[37];         /* If the client names none. */
    struct request request;
    struct response response;
    struct turn turn;
    struct request_header *headers; /* What they point to is libmicrohttpd's. */
    size_t header_count, header_capacity;
    size_t head_bytes; /* What the headers take of libmicrohttpd's memory. */
    struct buffer body;
    bool active;                    /* Counted in the server. */
    uint64_t uploaded;              /* Bytes of the body so far, kept or not. */
    int status;                     /* Of the queued answer. */
    size_t sent;                    /* Bytes of the body before compression. */
    struct exchange *next_in_queue; /* Of the workers. */
    struct fiber *fiber;            /* On which it is served; NULL: on none. */

    bool chunked;                    /* How a body of unknown length is sent. */
    _Atomic(struct stream *) stream; /* Of a body that waits, once its headers are sent. */
};

/* Callbacks for libmicrohttpd. */
void *exchange_begin(void *server, const char *uri, struct MHD_Connection *connection);
enum MHD_Result exchange_handle(void *server, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **context);
void exchange_completed(void *server, struct MHD_Connection *connection, void **context,
                        enum MHD_RequestTerminationCode code);

/* Queues the answer that the response says. */
enum MHD_Result exchange_answer(struct exchange *exchange);
/* Makes the error the response. */
void exchange_refuse(struct exchange *exchange, const struct error *error);
/* Queues the answer that the server stops. */
enum MHD_Result exchange_refuse_while_stopping(struct exchange *exchange);

/* ---- its turn, and its serving: serving.c ---- */

void exchange_await_turn(struct exchange *exchange);
/* Serves a request that is all there, if its turn has come. */
enum MHD_Result exchange_take_turn(struct exchange *exchange);
/* Serves it further, on its fiber. */
enum MHD_Result exchange_go_on(struct exchange *exchange);
/* Gives back what it has of a turn, once. */
void exchange_leave_turn(struct exchange *exchange);
/* The connection is closed, and the exchange has a fiber: waits for its end. */
void exchange_end_fiber(struct exchange *exchange);

/* What fibers and workers do: fills the response, or finds out who asks; leaves the next state
 * behind. */
void exchange_serve(struct exchange *exchange);
void exchange_authenticate(struct exchange *exchange);

/* ---- workers.c ---- */

/* Fewer than 'count' if the system has no more; NULL if there is none. */
struct workers *workers_start(void (*work)(struct exchange *exchange), unsigned count,
                              struct error *error);
/* Suspends the exchange's connection and has a worker do its work and resume. False, and nothing is
 * done, once the workers are stopped. */
bool workers_add(struct workers *workers, struct exchange *exchange);
void workers_stop(struct workers *workers); /* Does what was added before. NULL is fine. */
void workers_free(struct workers *workers); /* After workers_stop(). NULL is fine. */

/* ---- streams.c ---- */

struct streams *streams_start(unsigned threads, struct error *error);
void streams_stop(struct streams *streams); /* After streams_end(), and the daemon. */
/* The content reader of a stream for libmicrohttpd: takes the connection over the first time, tells
 * how the stream ended the second. */
ssize_t stream_read(void *exchange, uint64_t position, char *out, size_t size);
/* The 'wake' of a body; the argument is its exchange. */
void stream_wake(void *exchange);
/* The exchange ends, its body is closed: nothing refers to it after this. */
void stream_forget(struct exchange *exchange);
/* Ends every stream, each with what it has to say yet. No connection is suspended by one when this
 * returns, nor will one be later. */
void streams_end(struct streams *streams);

/* ---- tls.c ---- */

struct tls *tls_open(const struct server_options *options, struct error *error);
void tls_free(struct tls *tls);
/* MHD_OPTION_HTTPS_CERT_CALLBACK. */
int tls_certificate(gnutls_session_t session, const gnutls_datum_t *authorities,
                    int authority_count, const gnutls_pk_algorithm_t *algorithms,
                    int algorithm_count, gnutls_pcert_st **certificates,
                    unsigned int *certificate_count, gnutls_privkey_t *key);
/* Counts how often the authorities of client certificates have changed; looks at their files again
 * now and then. */
unsigned tls_authorities_state(struct tls *tls, int64_t now_ns);
/* The certificate that the client has shown, and what it is good for; NULL when there is none. */
struct client_certificate *tls_examine(struct tls *tls, gnutls_session_t session);
void client_certificate_free(struct client_certificate *certificate); /* NULL is fine. */

/* ---- gzip.c ---- */

/* Whether an Accept-Encoding header asks for gzip by name, as upstream wants it; "gzip;q=0" does
 * not. */
bool gzip_accepted(const char *accept_encoding);
/* Compresses the response if it is large and no stream, and adds the headers that tell so. */
void gzip_response(struct response *response);

#endif

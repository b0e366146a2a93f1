// SPDX-License-Identifier: Apache-2.0
/*
 * The HTTP server: libmicrohttpd with TLS, one epoll thread a core, and a pool of workers for what
 * blocks.
 *
 * For each request: refuse what is malformed (two lengths, a length with chunked, credentials
 * twice, a bad path), take the path apart, ask 'authenticate' who it is and 'authorize' whether
 * they may, read the body up to its limit, let it wait for its turn, then call the handler: on the
 * HTTP thread, there on a fiber, or on a worker, by what it may wait for. The connection of a fiber
 * that waits, and of a request on a worker, is suspended. No HTTP thread ever waits.
 *
 * A body that waits (a watch) is sent by threads of its own from its first byte on, see streams.c.
 * A client that leaves meanwhile is noticed and the body closed.
 */
#ifndef APISERVER_HTTP_SERVER_H
#define APISERVER_HTTP_SERVER_H

#include <gnutls/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "apiserver/http/request.h"
#include "common/error.h"

/* What a connection showed of its client's certificate. */
struct client_certificate {
    char *common_name;     /* "" when it has none. */
    char *uid;             /* Of upstream's own kind of attribute; "" when it has none. */
    char **organizations;  /* NULL-terminated. */
    char sha256[65];       /* Its fingerprint. */
    bool trusted;          /* It verifies against the client CA … */
    bool trusted_as_proxy; /* … and against the CA of front proxies. */
};

struct request_header {
    const char *name, *value;
};

/* What identifies a caller on the wire; borrowed. */
struct credentials {
    const struct request_header *headers; /* All of them, in their order. */
    size_t header_count;
    const struct client_certificate *certificate; /* NULL when none was shown or asked for. */
    const char *path;                             /* What is asked for, as sent; NULL: nothing. */
};

/* The first header of that name, in any case; NULL when there is none. */
const char *credentials_header(const struct credentials *credentials, const char *name);

enum authentication {
    AUTHENTICATION_REFUSED, /* The error is what to answer. */
    AUTHENTICATION_DONE,    /* The user is filled. */
    AUTHENTICATION_BLOCKS,  /* It can't be told without waiting: ask again from where one may. */
};

enum authorization {
    AUTHORIZATION_REFUSED, /* The error is what to answer. */
    AUTHORIZATION_GRANTED,
    AUTHORIZATION_BLOCKS, /* As above. */
};

enum admittance {
    ADMITTANCE_NOW,
    ADMITTANCE_WAIT,    /* It has been put to sleep; ask again once it is woken. */
    ADMITTANCE_REFUSED, /* The error is what to answer. */
};

/* What serving a request may wait for. */
enum waits {
    WAITS_FOR_NOTHING,
    WAITS_FOR_COMPLETIONS, /* Of common/fiber.h. */
    WAITS_FOR_ANYTHING,
};

/* A request that wants to be served, as the one sees it who decides when. */
struct turn {
    /* Suspends the request's connection: called from within 'admit', before anybody might wake it.
     */
    void (*sleep)(struct turn *turn);
    /* Goes on with it: once for each sleep, from any thread. */
    void (*wake)(struct turn *turn);
    void *ticket; /* The other's own; NULL at first. */
};

struct handler {
    /* Finds out who asks, and fills request->user, on the HTTP thread; where that 'may_block', on a
     * worker of its own kind, so that those who wait for an issuer keep nobody else waiting. */
    enum authentication (*authenticate)(void *argument, const struct credentials *credentials,
                                        bool may_block, struct request *request,
                                        struct error *error);
    /* Whether request->user may do what request->info says; the error to answer is 403. Asked
     * before the body is read, so that nobody makes the server keep a body for nothing; on the HTTP
     * thread, and where that 'may_block', on the same workers. May be NULL. */
    enum authorization (*authorize)(void *argument, const struct request *request, bool may_block,
                                    struct error *error);
    /* What serving this request may wait for. Quick; may fill what 'serve' would. */
    enum waits (*waits)(void *argument, struct request *request);
    /* Fills the response. request->info and request->user are set. Called on a fiber, it may refuse
     * to block, and is then called once more, on a worker. */
    void (*serve)(void *argument, struct request *request, struct response *response);
    /* Called when the response is filled, whoever filled it, before anything of it is sent. May be
     * NULL. */
    void (*answering)(void *argument, struct request *request, const struct response *response);
    /* Called once for each request when its answer is complete or the client is gone; for metrics.
     * 'bytes' is the size of the body before compression; the status is 0 when the client was gone
     * before there was an answer. May be NULL. */
    void (*served)(void *argument, struct request *request, int status, size_t bytes);
    void *argument;
    /* Whether a request that is all there may be served now; quick, on the HTTP thread. 'leave' is
     * called once if the turn then has a ticket, when the answer is sent, or begins to stream, or
     * the client is gone; before it 'note', which may add headers to the answer. All three may be
     * NULL: there is no limit. */
    enum admittance (*admit)(void *argument, const struct request *request, struct turn *turn,
                             struct error *error);
    void (*note)(void *argument, const struct turn *turn, struct response *response);
    void (*leave)(void *argument, struct turn *turn);
};

struct server_options {
    const char *bind_address; /* --bind-address, "127.0.0.1" */
    uint16_t port;            /* --secure-port; 0: any free one, see server_port(). */
    const char *certificate_file, *key_file; /* --tls-cert-file, --tls-private-key-file (PEM). Read
                                              * again when they change. */
    /* --client-ca-file, --requestheader-client-ca-file; NULL: client certificates are not looked
     * at. Read again when they change. */
    const char *client_ca_file, *proxy_ca_file;
    unsigned http_threads;           /* 0: one a core. */
    unsigned workers;                /* 0: 32. */
    unsigned authentication_workers; /* 0: none; neither 'authenticate' nor 'authorize' blocks. */
    size_t body_limit_bytes;         /* 0: 3 MiB, as upstream's resource write limit. */
    size_t header_limit_bytes;       /* 0: 12 KiB. */
    unsigned connection_limit; /* 0: 20,000. Fewer if the process may not open as many files. */
    unsigned address_connection_limit; /* Of one client address; 0: half of that. */
    unsigned idle_timeout_seconds;     /* Of a connection that sends no request; 0: 180. */
    /* How long a client may take for handshake and headers (0: 32 s), and for a body (0: 60 s),
     * however many bytes it sends meanwhile. */
    unsigned header_timeout_ms, body_timeout_ms;
};

struct server;

/* Binds and starts. A port in use, or a file that can't be read or parsed, is one clear sentence.
 */
struct server *server_start(const struct server_options *options, const struct handler *handler,
                            struct error *error);
uint16_t server_port(const struct server *server);
/* Stops taking connections, ends watches, waits up to 'grace_ms' for requests in flight, then
 * closes everything and frees the server. */
void server_stop(struct server *server, unsigned grace_ms);

/* Splits a path and method into what they ask for; 400 or 404 for paths that can't be. Public for
 * tests. */
bool request_info_parse(const char *method, const char *path, const struct parameter *parameters,
                        size_t parameter_count, struct request_info *info, struct error *error);
void request_info_clear(struct request_info *info);

#endif

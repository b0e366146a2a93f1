// SPDX-License-Identifier: Apache-2.0
/*
 * Kept-alive connections to one server, and the exchanges of HTTP/1.1 over them.
 *
 * Curl makes a connection: it finds the address, connects and shakes hands. What goes over it then
 * is said here, because an exchange is little more than one write and one read, and a curl transfer
 * a multiple of that.
 *
 *     exchange->text = "GET / HTTP/1.1\r\n…";
 *     exchange_start(connections, exchange);
 *     …
 *     static void done(void *argument, CURLcode result) { … exchange->parser.code … }
 *
 * An exchange takes a connection that is idle. When there is none it waits a few milliseconds for
 * one, and for a new one after that: to shake hands costs both sides as much as many requests, so a
 * burst is no reason to make more connections than keep pace with it. A stream does not wait for
 * others.
 *
 * An exchange is never repeated here: whoever gets CURLE_GOT_NOTHING knows that the server closed
 * the connection without an answer, perhaps before it read the request, perhaps after it did what
 * it asks for. When a connection can't be made, all that wait for one fail.
 *
 * Threads: the loop's alone.
 */
#ifndef COMMON_CONNECTIONS_H
#define COMMON_CONNECTIONS_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/http_parser.h"
#include "common/loop.h"

struct connection;
struct connections;

/* 'prepare' sets what a new connection needs of curl: URL, TLS, time limits. */
struct connections *connections_new(struct loop *loop, void (*prepare)(void *argument, CURL *easy),
                                    void *argument);
/* From now on a new connection is made at once: where there is no TLS to speak of, or the other
 * side does better the more it is asked at a time. */
void connections_hurry(struct connections *connections);
/* Closes them; exchanges have ended or were cancelled. After the loop has stopped from any thread.
 * NULL is fine. */
void connections_free(struct connections *connections);

/* One request and its answer, embedded in what it belongs to. Those who start it set: */
struct exchange {
    struct buffer text; /* The whole request. Theirs; stays as it is until the end. */
    int64_t limit_ms;   /* CURLE_OPERATION_TIMEDOUT when it takes longer; */
    bool is_stream;     /* or, of a stream, when nothing comes for so long. */
    /* The body, piece by piece, once 'parser.code' is known; false ends the exchange with
     * CURLE_WRITE_ERROR. Must not cancel it. */
    bool (*take)(void *argument, const char *bytes, size_t length);
    /* NULL, or called when what has come was taken: for those who would rather deal with several
     * pieces at once. Must not cancel it. */
    void (*paused)(void *argument);
    /* The last call, which may free the exchange. CURLE_OK: there was a whole answer. */
    void (*done)(void *argument, CURLcode result);
    void *argument;

    /* Read by them: */
    struct http_parser parser;    /* Its first members. */
    char detail[CURL_ERROR_SIZE]; /* What curl has to say about a failure, or "". */

    /* None of their business: */
    struct connections *connections; /* NULL: it is not under way. */
    struct connection *connection;   /* NULL: it waits for one. */
    size_t sent;
    int64_t active_at; /* Monotonic. */
    struct loop_timer timer;
    struct exchange *previous, *next; /* Among those that wait. */
};

void exchange_start(struct connections *connections, struct exchange *exchange);
/* Ends one that is under way, and its connection; 'done' is not called. */
void exchange_cancel(struct exchange *exchange);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * A connection is a curl handle that has done no more than to connect. It waits for its socket with
 * the loop, also while it is idle: so a server that closes it is noticed at once.
 *
 * OpenSSL is told to read ahead, or it would ask the kernel twice for each record, and to keep its
 * buffers, or each record would take and give back 16 KiB. What it holds already is no reason for
 * epoll to report the socket, so it is asked whether there is more.
 */
#include "common/connections.h"

#include <openssl/ssl.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/alloc.h"
#include "common/timestamp.h"

enum { piece_bytes = 16 * 1024, least_patience_ms = 2, connecting_max = 8 };

static const int64_t trusted_ns = INT64_C(1000000000); /* How long an idle one is taken as open. */

enum connection_state { CONNECTING, IDLE, BUSY, STATE_COUNT };

struct connection {
    struct connections *connections;
    enum connection_state state;
    CURL *easy;
    SSL *tls; /* NULL: none, or not known. */
    struct loop_file file;
    struct exchange *exchange; /* When it is busy. */
    int64_t idle_since;
    char detail[CURL_ERROR_SIZE];
    struct connection *previous, *next; /* Of the same state. */
};

struct connections {
    struct loop *loop;
    void (*prepare)(void *argument, CURL *easy);
    void *argument;
    struct connection *lists[STATE_COUNT]; /* The last used first. */
    size_t counts[STATE_COUNT];
    size_t stream_count; /* Of those that are busy. */
    struct exchange *waiting, *last_waiting;
    size_t hasty_count; /* Of those that wait: who do so for a new connection. */
    bool hurries;
    struct loop_timer timer; /* Until the first of them has waited for long enough. */
};

static void serve(struct connections *connections);

/* ---- lists ---- */

static void enter(struct connection *connection, enum connection_state state)
{
    struct connections *connections = connection->connections;
    struct connection **list = &connections->lists[state];
    connection->state = state;
    connection->previous = NULL;
    connection->next = *list;
    if (*list != NULL) {
        (*list)->previous = connection;
    }
    *list = connection;
    connections->counts[state]++;
}

static void leave(struct connection *connection)
{
    struct connections *connections = connection->connections;
    struct connection **list = &connections->lists[connection->state];
    *(connection->previous != NULL ? &connection->previous->next : list) = connection->next;
    if (connection->next != NULL) {
        connection->next->previous = connection->previous;
    }
    connections->counts[connection->state]--;
}

static void wait_in_line(struct connections *connections, struct exchange *exchange)
{
    exchange->previous = connections->last_waiting;
    exchange->next = NULL;
    *(exchange->previous != NULL ? &exchange->previous->next : &connections->waiting) = exchange;
    connections->last_waiting = exchange;
    connections->hasty_count += exchange->is_stream || connections->hurries;
}

static void leave_line(struct connections *connections, struct exchange *exchange)
{
    *(exchange->previous != NULL ? &exchange->previous->next : &connections->waiting) =
        exchange->next;
    *(exchange->next != NULL ? &exchange->next->previous : &connections->last_waiting) =
        exchange->previous;
    connections->hasty_count -= exchange->is_stream || connections->hurries;
}

/* ---- the end of an exchange ---- */

/* It lets go of its connection, or of its place in the line. */
static void detach(struct connections *connections, struct exchange *exchange)
{
    if (exchange->connection != NULL) {
        connections->stream_count -= exchange->is_stream;
        exchange->connection->exchange = NULL;
        exchange->connection = NULL;
    } else {
        leave_line(connections, exchange);
    }
    loop_timer_cancel(connections->loop, &exchange->timer);
    http_parser_clear(&exchange->parser);
    exchange->connections = NULL;
}

/* Of one that has no exchange any more. */
static void close_connection(struct connection *connection)
{
    struct loop *loop = connection->connections->loop;
    leave(connection);
    loop_file_forget(loop, &connection->file);
    loop_disconnect(loop, connection->easy);
    curl_easy_cleanup(connection->easy);
    free(connection);
}

static void fail(struct connection *connection, CURLcode result)
{
    struct connections *connections = connection->connections;
    struct exchange *exchange = connection->exchange;
    memcpy(exchange->detail, connection->detail, sizeof exchange->detail);
    detach(connections, exchange);
    close_connection(connection);
    serve(connections);
    exchange->done(exchange->argument, result);
}

/* Those who wait come before whatever 'done' may begin. */
static void finish(struct connection *connection, bool stays_open)
{
    struct connections *connections = connection->connections;
    struct exchange *exchange = connection->exchange;
    detach(connections, exchange);
    if (stays_open) {
        leave(connection);
        connection->idle_since = timestamp_monotonic();
        enter(connection, IDLE);
    } else {
        close_connection(connection);
    }
    serve(connections);
    exchange->done(exchange->argument, CURLE_OK);
}

/* ---- reading ---- */

static bool has_more(const struct connection *connection)
{
    return connection->tls == NULL || SSL_has_pending(connection->tls) == 1;
}

/* The connection has ended in order. */
static void ended(struct connection *connection)
{
    struct http_parser *parser = &connection->exchange->parser;
    if (http_parser_end(parser) == HTTP_COMPLETE) {
        finish(connection, false);
    } else {
        fail(connection, parser->has_begun ? CURLE_PARTIAL_FILE : CURLE_GOT_NOTHING);
    }
}

/* Returns whether the exchange goes on. */
static bool feed(struct connection *connection, const char *bytes, size_t length)
{
    size_t used;
    const struct exchange *exchange = connection->exchange;
    struct http_parser *parser = &connection->exchange->parser;
    switch (http_parser_feed(parser, bytes, length, &used)) {
    case HTTP_INCOMPLETE:
        return true;
    case HTTP_COMPLETE: /* Nobody asked for what comes behind it. */
        finish(connection,
               parser->keeps_alive && used == length && exchange->sent == exchange->text.length);
        return false;
    case HTTP_MALFORMED:
        snprintf(connection->detail, sizeof connection->detail, "the answer is no HTTP");
        fail(connection, CURLE_WEIRD_SERVER_REPLY);
        return false;
    case HTTP_STOPPED:
        break;
    }
    fail(connection, CURLE_WRITE_ERROR);
    return false;
}

/* Until nothing is left: epoll tells only of what is in the socket, not of what OpenSSL has. */
static void receive(struct connection *connection)
{
    char bytes[piece_bytes];
    do {
        size_t length = 0;
        CURLcode result = curl_easy_recv(connection->easy, bytes, sizeof bytes, &length);
        if (result == CURLE_AGAIN) {
            break;
        }
        if (result != CURLE_OK) {
            fail(connection, connection->exchange->parser.has_begun ? result : CURLE_GOT_NOTHING);
            return;
        }
        if (length == 0) {
            ended(connection);
            return;
        }
        connection->exchange->active_at = timestamp_monotonic();
        if (!feed(connection, bytes, length)) {
            return;
        }
    } while (has_more(connection));
    if (connection->exchange->paused != NULL) {
        connection->exchange->paused(connection->exchange->argument);
    }
}

/* Nothing is asked for, so nothing is to come but what TLS has to say by itself. */
static bool is_still_open(const struct connection *connection)
{
    char byte;
    size_t length;
    return curl_easy_recv(connection->easy, &byte, 1, &length) == CURLE_AGAIN;
}

/* ---- writing ---- */

static void failed_to_send(void *argument)
{
    struct exchange *exchange = argument;
    fail(exchange->connection, CURLE_SEND_ERROR);
}

/* Whoever starts an exchange is not told of its end at once. */
static void write_request(struct connection *connection)
{
    struct exchange *exchange = connection->exchange;
    struct loop *loop = connection->connections->loop;
    const struct buffer *text = &exchange->text;
    CURLcode result = CURLE_OK;
    while (exchange->sent < text->length && result == CURLE_OK) {
        size_t part = 0;
        result = curl_easy_send(connection->easy, text->bytes + exchange->sent,
                                text->length - exchange->sent, &part);
        exchange->sent += part;
    }
    if (result == CURLE_AGAIN) {
        loop_file_watch(loop, &connection->file, EPOLLIN | EPOLLOUT);
    } else if (result != CURLE_OK) {
        loop_timer_set(loop, &exchange->timer, 0, failed_to_send, exchange);
    }
}

static void is_ready(void *argument, uint32_t events)
{
    struct connection *connection = argument;
    if (connection->state == IDLE) {
        if (!is_still_open(connection)) {
            close_connection(connection);
        }
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        loop_file_watch(connection->connections->loop, &connection->file, EPOLLIN);
        write_request(connection);
    }
    if ((events & ~(uint32_t)EPOLLOUT) != 0) {
        receive(connection);
    }
}

/* ---- connecting ---- */

/* Curl knows it once the connection has been used. */
static void set_buffers(struct connection *connection)
{
    struct curl_tlssessioninfo *info = NULL;
    curl_easy_getinfo(connection->easy, CURLINFO_TLS_SSL_PTR, &info);
    if (info != NULL && info->backend == CURLSSLBACKEND_OPENSSL && info->internals != NULL) {
        connection->tls = info->internals;
        SSL_set_read_ahead(connection->tls, 1);
        SSL_clear_mode(connection->tls, SSL_MODE_RELEASE_BUFFERS);
    }
}

/* All that wait fail as the connection did, which is closed. */
static void fail_waiting(struct connection *connection, CURLcode result)
{
    char detail[CURL_ERROR_SIZE];
    struct connections *connections = connection->connections;
    struct exchange *last = connections->last_waiting; /* What is begun meanwhile stays. */
    memcpy(detail, connection->detail, sizeof detail);
    close_connection(connection);
    for (bool more = last != NULL; more && connections->waiting != NULL;) {
        struct exchange *exchange = connections->waiting;
        more = exchange != last;
        memcpy(exchange->detail, detail, sizeof detail);
        detach(connections, exchange);
        exchange->done(exchange->argument, result);
    }
}

/* Or it failed to; later, that the loop has stopped. */
static void was_connected(void *argument, CURLcode result)
{
    struct connection *connection = argument;
    struct connections *connections = connection->connections;
    curl_socket_t socket = CURL_SOCKET_BAD;
    if (connection->state == BUSY) {
        fail(connection, result);
    } else if (connection->state == IDLE) {
        close_connection(connection);
    } else if (result != CURLE_OK) {
        fail_waiting(connection, result);
        serve(connections);
    } else {
        curl_easy_getinfo(connection->easy, CURLINFO_ACTIVESOCKET, &socket);
        connection->file =
            (struct loop_file){.ready = is_ready, .argument = connection, .file = socket};
        loop_file_watch(connections->loop, &connection->file, EPOLLIN);
        leave(connection);
        connection->idle_since = timestamp_monotonic();
        enter(connection, IDLE);
        serve(connections);
    }
}

static void open_connection(struct connections *connections)
{
    struct connection *connection = allocate_struct(struct connection);
    connection->connections = connections;
    connection->easy = curl_easy_init();
    connections->prepare(connections->argument, connection->easy);
    curl_easy_setopt(connection->easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(connection->easy, CURLOPT_ERRORBUFFER, connection->detail);
    enter(connection, CONNECTING);
    loop_connect(connections->loop, connection->easy, was_connected, connection);
}

/* ---- who gets which ---- */

/* One that may be used; NULL when there is none. */
static struct connection *take_idle(struct connections *connections, int64_t now)
{
    struct connection *connection;
    while ((connection = connections->lists[IDLE]) != NULL) {
        // What is closed is off the list. NOLINTNEXTLINE(clang-analyzer-unix.Malloc)
        if (now - connection->idle_since < trusted_ns || is_still_open(connection)) {
            return connection;
        }
        close_connection(connection);
    }
    return NULL;
}

static void use(struct connection *connection, struct exchange *exchange)
{
    leave(connection);
    connection->exchange = exchange;
    connection->detail[0] = '\0';
    exchange->connection = connection;
    connection->connections->stream_count += exchange->is_stream;
    enter(connection, BUSY);
    write_request(connection);
    if (connection->tls == NULL) {
        set_buffers(connection);
    }
}

static void look_again(void *argument)
{
    serve(argument);
}

/* How long to wait before making one more. A server that is busy answers no sooner on many
 * connections than on some; only where it is far away, or its disk slow, do they help. */
static int64_t patience_ms(size_t count)
{
    return least_patience_ms + (int64_t)count / 2;
}

/* Whether one more connection is to be made for those that wait. */
static bool needs_more(struct connections *connections, int64_t now)
{
    size_t connecting = connections->counts[CONNECTING];
    size_t serving = connections->counts[BUSY] - connections->stream_count;
    if (connecting > 0) {
        return connecting < connections->hasty_count && connecting < connecting_max;
    }
    int64_t left_ms = patience_ms(serving) - (now - connections->waiting->active_at) / 1000000;
    if (connections->hasty_count > 0 || serving == 0 || left_ms <= 0) {
        return true;
    }
    loop_timer_set(connections->loop, &connections->timer, left_ms, look_again, connections);
    return false;
}

static void serve(struct connections *connections)
{
    struct connection *connection;
    struct exchange *exchange;
    if (connections->waiting == NULL) {
        return;
    }
    int64_t now = timestamp_monotonic();
    while ((exchange = connections->waiting) != NULL &&
           (connection = take_idle(connections, now)) != NULL) {
        leave_line(connections, exchange);
        use(connection, exchange);
    }
    while (connections->waiting != NULL && needs_more(connections, now)) {
        open_connection(connections);
    }
}

/* ---- exchanges ---- */

static void limit_passed(void *argument)
{
    struct exchange *exchange = argument;
    struct connection *connection = exchange->connection;
    int64_t passed_ms = (timestamp_monotonic() - exchange->active_at) / 1000000;
    if (exchange->is_stream && passed_ms < exchange->limit_ms) {
        loop_timer_set(exchange->connections->loop, &exchange->timer,
                       exchange->limit_ms - passed_ms, limit_passed, exchange);
        return;
    }
    if (connection == NULL) {
        detach(exchange->connections, exchange);
        exchange->done(exchange->argument, CURLE_OPERATION_TIMEDOUT);
        return;
    }
    snprintf(connection->detail, sizeof connection->detail, "nothing came for %lld ms",
             (long long)exchange->limit_ms);
    fail(connection, CURLE_OPERATION_TIMEDOUT);
}

void exchange_start(struct connections *connections, struct exchange *exchange)
{
    http_parser_init(&exchange->parser, exchange->take, exchange->argument);
    exchange->connections = connections;
    exchange->connection = NULL;
    exchange->detail[0] = '\0';
    exchange->sent = 0;
    exchange->active_at = timestamp_monotonic();
    loop_timer_set(connections->loop, &exchange->timer, exchange->limit_ms, limit_passed, exchange);
    wait_in_line(connections, exchange);
    serve(connections);
}

void exchange_cancel(struct exchange *exchange)
{
    struct connections *connections = exchange->connections;
    struct connection *connection = exchange->connection;
    if (connections == NULL) {
        return;
    }
    detach(connections, exchange);
    if (connection != NULL) {
        close_connection(connection);
        serve(connections);
    }
}

/* ---- life ---- */

struct connections *connections_new(struct loop *loop, void (*prepare)(void *argument, CURL *easy),
                                    void *argument)
{
    struct connections *connections = allocate_struct(struct connections);
    *connections = (struct connections){.loop = loop, .prepare = prepare, .argument = argument};
    return connections;
}

void connections_hurry(struct connections *connections)
{
    connections->hurries = true;
}

void connections_free(struct connections *connections)
{
    if (connections == NULL) {
        return;
    }
    for (size_t state = 0; state < STATE_COUNT; state++) {
        while (connections->lists[state] != NULL) {
            // Each takes itself off the list. NOLINTNEXTLINE(clang-analyzer-unix.Malloc)
            close_connection(connections->lists[state]);
        }
    }
    loop_timer_cancel(connections->loop, &connections->timer);
    free(connections);
}

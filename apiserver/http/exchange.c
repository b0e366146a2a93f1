// SPDX-License-Identifier: Apache-2.0
/*
 * The life of one request: headers, who asks, body, serving (here or on a worker), the answer.
 *
 * A request that the headers alone condemn is refused before its body is kept: what comes of the
 * body is thrown away and then answered, so that the connection stays in step and a client that
 * writes before it reads sees the answer. Where the client waits for a word before it sends the
 * body, or announces too much to wait for, the answer goes at once and the connection is closed.
 *
 * libmicrohttpd calls exchange_handle() several times. What waits for completions is served on a
 * fiber, beginning in the last call that brings the body; while it waits, the connection is
 * suspended, and each call after a resumption goes on with it, on the same thread. What may block
 * is handed to a worker in that call, with the connection suspended; the worker fills the response
 * and resumes, and the next call queues the answer. Credentials that take long to check are handed
 * to a worker in the same way in the first call, which libmicrohttpd then repeats. So one thread at
 * a time touches the exchange.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <strings.h>

#include "apiserver/http/internal.h"
#include "apiserver/http/uri.h"
#include "common/alloc.h"
#include "common/random.h"
#include "common/timestamp.h"

enum {
    list_block_bytes = 64 << 10,
    stream_block_bytes = 512,     /* Stays empty: streams.c writes to the session itself. */
    answer_head_bytes = 1536,     /* Without warnings it is about half as long. */
    header_record_bytes = 64,     /* What libmicrohttpd keeps of each header, beside its text. */
    drain_limit_bytes = 16 << 20, /* More of a refused body is not waited for. */
    large_body_bytes = 64 << 10,  /* Its tree takes megabytes. */
};

/* ---- beginning ---- */

/* libmicrohttpd would keep each parameter in the little memory that a connection has, and would
 * neither answer nor go on when that is full. Nobody asks it for them, so it finds none. */
static void hide_query(const char *uri)
{
    char *query = strchr(uri, '?'); /* In the connection's own memory. */
    if (query != NULL) {
        query[1] = '\0';
    }
}

void *exchange_begin(void *argument, const char *uri, struct MHD_Connection *connection)
{
    struct exchange *exchange = allocate_struct(struct exchange);
    exchange->server = argument;
    exchange->connection = connection;
    exchange->peer =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    peer_expect_within(exchange->peer, exchange->server->options.header_timeout_ms);
    exchange->uri = duplicate(uri);
    hide_query(uri);
    exchange->request.received_ns = timestamp_monotonic();
    exchange_await_turn(exchange);
    exchange->peer->begun = exchange;
    exchange->peer->in_step = false;
    return exchange;
}

static void exchange_free(struct exchange *exchange)
{
    request_clear(&exchange->request);
    buffer_free(&exchange->body);
    free(exchange->headers);
    free(exchange->uri);
    free(exchange);
}

/* ---- the request ---- */

static const char *header(struct exchange *exchange, const char *name)
{
    const char *value = MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
    return value ? value : "";
}

static char *remote_address(struct exchange *exchange)
{
    char text[INET6_ADDRSTRLEN] = "";
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info == NULL || info->client_addr == NULL) {
        return duplicate("");
    }
    if (info->client_addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const void *)info->client_addr;
        inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof text);
        return format("[%s]:%u", text, ntohs(six->sin6_port));
    }
    const struct sockaddr_in *four = (const void *)info->client_addr;
    inet_ntop(AF_INET, &four->sin_addr, text, sizeof text);
    return format("%s:%u", text, ntohs(four->sin_port));
}

static bool fill_request(struct exchange *exchange, const char *method, struct error *error)
{
    struct request *request = &exchange->request;
    const char *query = strchr(exchange->uri, '?');
    size_t path_length = query ? (size_t)(query - exchange->uri) : strlen(exchange->uri);
    request->method = method;
    request->uri = exchange->uri;
    request->path = duplicate_bytes(exchange->uri, path_length);
    request->accept = header(exchange, "Accept");
    request->content_type = header(exchange, "Content-Type");
    request->user_agent = header(exchange, "User-Agent");
    request->if_none_match = header(exchange, "If-None-Match");
    if (exchange->peer->name == NULL) {
        exchange->peer->name = remote_address(exchange);
    }
    request->remote_address = exchange->peer->name;
    return uri_parse_query(query ? query + 1 : "", &request->parameters,
                           &request->parameter_count) ||
           error_bad_request(error, "the query of the request is not valid");
}

/* What the headers say about how the body is framed, and by whom. */
struct framing {
    struct exchange *exchange;
    unsigned lengths, encodings, authorizations, hosts;
    bool malformed; /* An encoding other than chunked, or a name that others may read otherwise. */
};

static void keep_header(struct exchange *exchange, const char *name, const char *value)
{
    exchange->headers = grow(exchange->headers, exchange->header_count, &exchange->header_capacity,
                             sizeof *exchange->headers);
    exchange->headers[exchange->header_count++] =
        (struct request_header){.name = name, .value = value ? value : ""};
    exchange->head_bytes += strlen(name) + (value ? strlen(value) : 0) + header_record_bytes;
}

static enum MHD_Result check_header(void *argument, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    (void)kind;
    struct framing *framing = argument;
    keep_header(framing->exchange, name, value);
    framing->lengths += strcasecmp(name, "Content-Length") == 0;
    framing->authorizations += strcasecmp(name, "Authorization") == 0;
    framing->hosts += strcasecmp(name, "Host") == 0;
    if (strcasecmp(name, "Transfer-Encoding") == 0) {
        framing->encodings++;
        framing->malformed |= value == NULL || strcasecmp(value, "chunked") != 0;
    }
    framing->malformed |= strpbrk(name, " \t\r\n") != NULL;
    return MHD_YES;
}

/* Two parties that disagree on where a body ends disagree on what the next request is, and two that
 * disagree on which credentials count disagree on whose it is; libmicrohttpd accepts such requests
 * by itself. */
static bool is_well_framed(struct exchange *exchange, struct error *error)
{
    struct framing framing = {.exchange = exchange};
    MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, check_header, &framing);
    if (framing.lengths + framing.encodings > 1) {
        return error_bad_request(error, "the request says twice how long its body is");
    }
    if (framing.authorizations > 1) {
        return error_bad_request(error, "the request has more than one Authorization header");
    }
    if (framing.hosts > 1) {
        return error_bad_request(error, "the request has more than one Host header");
    }
    return !framing.malformed ||
           error_bad_request(error, "the headers of the request are malformed");
}

/* Who the connection's client certificate says it is; looked at once, while the authorities stay
 * what they are. */
static const struct client_certificate *examined_certificate(struct exchange *exchange)
{
    struct peer *peer = exchange->peer;
    struct tls *tls = exchange->server->tls;
    unsigned state = tls_authorities_state(tls, exchange->request.received_ns);
    if (!peer->examined || peer->examined_against != state) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        client_certificate_free(peer->certificate);
        peer->certificate = tls_examine(tls, info->tls_session);
        peer->examined_against = state;
        peer->examined = true;
    }
    return peer->certificate;
}

const char *credentials_header(const struct credentials *credentials, const char *name)
{
    for (size_t i = 0; i < credentials->header_count; i++) {
        if (strcasecmp(credentials->headers[i].name, name) == 0) {
            return credentials->headers[i].value;
        }
    }
    return NULL;
}

static enum authentication authenticate(struct exchange *exchange, bool may_block,
                                        struct error *error)
{
    const struct handler *handler = &exchange->server->handler;
    struct credentials credentials = {
        .headers = exchange->headers,
        .header_count = exchange->header_count,
        .certificate = may_block ? exchange->peer->certificate : examined_certificate(exchange),
        .path = exchange->request.path,
    };
    return handler->authenticate(handler->argument, &credentials, may_block, &exchange->request,
                                 error);
}

/* ---- the answer ---- */

/* Answers are nobody's to keep, unless they say otherwise themselves. */
static void add_cache_control(const struct response *response, struct MHD_Response *answer)
{
    for (size_t i = 0; i < response->header_count; i++) {
        if (strcmp(response->headers[i].name, "Cache-Control") == 0) {
            return;
        }
    }
    MHD_add_response_header(answer, "Cache-Control", "no-cache, private");
}

static void add_headers(struct exchange *exchange, struct MHD_Response *answer)
{
    struct response *response = &exchange->response;
    MHD_add_response_header(answer, "Audit-Id", exchange->request.audit_id);
    add_cache_control(response, answer);
    if (response->content_type != NULL && response->status != 304) {
        MHD_add_response_header(answer, "Content-Type", response->content_type);
    }
    for (size_t i = 0; i < response->header_count; i++) {
        MHD_add_response_header(answer, response->headers[i].name, response->headers[i].value);
    }
}

static void close_after_answer(struct exchange *exchange)
{
    response_add_header(&exchange->response, "Connection", "close");
}

/* The content reader of a body that never waits. */
static ssize_t read_body(void *argument, uint64_t position, char *out, size_t size)
{
    (void)position;
    struct exchange *exchange = argument;
    struct body *body = exchange->response.body;
    ssize_t count = body->class->read(body, out, size);
    if (count > 0) {
        exchange->sent += (size_t)count;
        return count;
    }
    return count == BODY_END ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static struct MHD_Response *body_answer(struct exchange *exchange)
{
    struct body *body = exchange->response.body;
    body->wake = stream_wake;
    body->wake_argument = exchange;
    return body->stream ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, stream_block_bytes,
                                                            stream_read, exchange, NULL)
                        : MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, list_block_bytes,
                                                            read_body, exchange, NULL);
}

/* Whether libmicrohttpd is going to send the bytes of the answer. */
static bool has_body(const struct exchange *exchange)
{
    const struct response *response = &exchange->response;
    const char *method = exchange->request.method; /* NULL: the request was not looked at. */
    return exchange->sent > 0 && response->status != 304 && method != NULL &&
           strcmp(method, "HEAD") != 0;
}

enum MHD_Result exchange_answer(struct exchange *exchange)
{
    struct response *response = &exchange->response;
    const struct handler *handler = &exchange->server->handler;
    if (atomic_load(&exchange->server->stopping)) {
        close_after_answer(exchange);
    }
    if (handler->answering != NULL) {
        handler->answering(handler->argument, &exchange->request, response);
    }
    if (gzip_accepted(header(exchange, "Accept-Encoding"))) {
        gzip_response(response);
    }
    struct MHD_Response *answer;
    if (response->body != NULL) {
        answer = body_answer(exchange);
    } else {
        size_t length = response->bytes.length;
        exchange->sent = length;
        exchange->peer->holds = has_body(exchange);
        answer = MHD_create_response_from_buffer(length, buffer_steal(&response->bytes),
                                                 MHD_RESPMEM_MUST_FREE);
    }
    add_headers(exchange, answer);
    peer_expect_within(exchange->peer, 0);
    exchange->status = response->status;
    exchange->state = EXCHANGE_ANSWERED;
    enum MHD_Result result =
        MHD_queue_response(exchange->connection, (unsigned)response->status, answer);
    MHD_destroy_response(answer);
    return result;
}

/* ---- calls ---- */

static uint64_t announced_length(struct exchange *exchange)
{
    return strtoull(header(exchange, "Content-Length"), NULL, 10);
}

static bool too_large(struct exchange *exchange, struct error *error)
{
    return error_set(error, 413, "RequestEntityTooLarge", "Request entity too large: limit is %zu",
                     exchange->server->options.body_limit_bytes);
}

static bool take_apart(struct exchange *exchange, const char *method, struct error *error)
{
    struct request *request = &exchange->request;
    return fill_request(exchange, method, error) &&
           request_info_parse(method, request->path, request->parameters, request->parameter_count,
                              &request->info, error);
}

/* Whether the request is worth reading its body, now that it is known who asks. */
static enum authorization may_proceed(struct exchange *exchange, bool may_block,
                                      struct error *error)
{
    const struct handler *handler = &exchange->server->handler;
    enum authorization result =
        handler->authorize != NULL
            ? handler->authorize(handler->argument, &exchange->request, may_block, error)
            : AUTHORIZATION_GRANTED;
    if (result == AUTHORIZATION_GRANTED &&
        announced_length(exchange) > exchange->server->options.body_limit_bytes) {
        too_large(exchange, error);
        return AUTHORIZATION_REFUSED;
    }
    return result;
}

void exchange_refuse(struct exchange *exchange, const struct error *error)
{
    response_set_error(&exchange->response, &exchange->request, error);
}

void exchange_authenticate(struct exchange *exchange)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    bool known = exchange->request.user.name != NULL; /* It is authorization that has to wait. */
    if ((known || authenticate(exchange, true, &error) == AUTHENTICATION_DONE) &&
        may_proceed(exchange, true, &error) == AUTHORIZATION_GRANTED) {
        exchange->state = EXCHANGE_ADMITTED;
    } else {
        exchange_refuse(exchange, &error);
        exchange->state = EXCHANGE_TURNED_AWAY;
    }
}

enum MHD_Result exchange_refuse_while_stopping(struct exchange *exchange)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    error_unavailable(&error, "the server is shutting down");
    response_set_error(&exchange->response, &exchange->request, &error);
    return exchange_answer(exchange);
}

static enum MHD_Result authenticate_elsewhere(struct exchange *exchange)
{
    return workers_add(exchange->server->authenticators, exchange)
               ? MHD_YES
               : exchange_refuse_while_stopping(exchange);
}

/* Waits for what is left of a refused body, or does not. */
static enum MHD_Result turn_away(struct exchange *exchange)
{
    exchange->state = EXCHANGE_REFUSED;
    if (header(exchange, "Expect")[0] != '\0' || announced_length(exchange) > drain_limit_bytes) {
        close_after_answer(exchange);
        return exchange_answer(exchange);
    }
    return MHD_YES;
}

/* As the client does, or by a name of its own. */
static void name_request(struct exchange *exchange)
{
    const char *given = header(exchange, "Audit-ID");
    if (given[0] == '\0') {
        random_uuid(exchange->audit_id);
    }
    exchange->request.audit_id = given[0] != '\0' ? given : exchange->audit_id;
}

/* How long the request line and the headers may be, so that there is room for the head of an
 * answer: both are in the memory that a connection has. */
static size_t room_for_head(const struct exchange *exchange)
{
    size_t limit = exchange->server->options.header_limit_bytes;
    return limit > answer_head_bytes ? limit - answer_head_bytes : 0;
}

/* As libmicrohttpd has no room for an answer, this one goes past it. */
static enum MHD_Result answer_beside(struct exchange *exchange)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    error_set(&error, 431, "",
              "Request Header Fields Too Large: the request line and all headers may take %zu "
              "bytes, and each header counts as %d bytes more",
              room_for_head(exchange), header_record_bytes);
    exchange_refuse(exchange, &error);
    const struct response *response = &exchange->response;
    cleanup(buffer_free)
    struct buffer answer = BUFFER_INIT;
    cleanup(free_char)
    char *head = format("HTTP/1.1 431 Request Header Fields Too Large\r\nAudit-Id: %s\r\n"
                        "Cache-Control: no-cache, private\r\nContent-Type: %s\r\n"
                        "Connection: close\r\nContent-Length: %zu\r\n\r\n",
                        exchange->request.audit_id, response->content_type, response->bytes.length);
    buffer_add_text(&answer, head);
    buffer_add(&answer, response->bytes.bytes, response->bytes.length);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    gnutls_record_send(info->tls_session, answer.bytes, answer.length); /* Or the client is gone. */
    exchange->status = response->status;
    return MHD_NO;
}

/* The headers are there. */
static enum MHD_Result begin(struct exchange *exchange, const char *method)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    exchange->state = EXCHANGE_READING;
    peer_expect_within(exchange->peer, exchange->server->options.body_timeout_ms);
    name_request(exchange);
    bool well_framed = is_well_framed(exchange, &error);
    if (strlen(exchange->uri) + exchange->head_bytes > room_for_head(exchange)) {
        return answer_beside(exchange);
    }
    if (!well_framed) {
        response_set_error(&exchange->response, &exchange->request, &error);
        close_after_answer(exchange);
        return exchange_answer(exchange);
    }
    if (take_apart(exchange, method, &error)) {
        enum authentication result = authenticate(exchange, false, &error);
        if (result == AUTHENTICATION_BLOCKS) {
            return authenticate_elsewhere(exchange);
        }
        enum authorization granted = result == AUTHENTICATION_DONE
                                         ? may_proceed(exchange, false, &error)
                                         : AUTHORIZATION_REFUSED;
        if (granted == AUTHORIZATION_BLOCKS) {
            return authenticate_elsewhere(exchange);
        }
        if (granted == AUTHORIZATION_GRANTED) {
            return MHD_YES;
        }
    }
    exchange_refuse(exchange, &error);
    return turn_away(exchange);
}

static enum MHD_Result take_upload(struct exchange *exchange, const char *upload, size_t *size)
{
    exchange->uploaded += *size;
    if (exchange->state == EXCHANGE_READING &&
        exchange->uploaded > exchange->server->options.body_limit_bytes) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        too_large(exchange, &error);
        response_set_error(&exchange->response, &exchange->request, &error);
        exchange->state = EXCHANGE_REFUSED;
        buffer_free(&exchange->body);
    }
    if (exchange->state == EXCHANGE_READING) {
        buffer_add(&exchange->body, upload, *size);
    } else if (exchange->uploaded > drain_limit_bytes) {
        return MHD_NO; /* Cuts the connection. */
    }
    *size = 0;
    return MHD_YES;
}

/* Counts the exchange among those that a stop waits for. */
static void set_active(struct exchange *exchange, bool active)
{
    struct server *server = exchange->server;
    pthread_mutex_lock(&server->lock);
    server->active += active;
    server->active -= exchange->active;
    exchange->active = active;
    if (server->active == 0) {
        pthread_cond_signal(&server->idle);
    }
    pthread_mutex_unlock(&server->lock);
}

/* All of the request is there. */
static enum MHD_Result serve(struct exchange *exchange)
{
    struct server *server = exchange->server;
    set_active(exchange, true);
    peer_expect_within(exchange->peer, 0);
    if (atomic_load(&server->stopping)) {
        return exchange_refuse_while_stopping(exchange);
    }
    struct request *request = &exchange->request;
    request->body_length = exchange->body.length;
    request->body = exchange->body.bytes ? buffer_steal(&exchange->body) : NULL;
    return exchange_take_turn(exchange);
}

enum MHD_Result exchange_handle(void *argument, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **context)
{
    (void)argument;
    (void)connection;
    (void)url;
    struct exchange *exchange = *context;
    switch (exchange->state) {
    case EXCHANGE_NEW:
        exchange->chunked = strcmp(version, "HTTP/1.1") >= 0;
        return begin(exchange, method);
    case EXCHANGE_ADMITTED:
        exchange->state = EXCHANGE_READING;
        return MHD_YES;
    case EXCHANGE_TURNED_AWAY:
        return turn_away(exchange);
    case EXCHANGE_READING:
        return *upload_size > 0 ? take_upload(exchange, upload, upload_size) : serve(exchange);
    case EXCHANGE_REFUSED:
        return *upload_size > 0 ? take_upload(exchange, upload, upload_size)
                                : exchange_answer(exchange);
    case EXCHANGE_CALLED:
        return exchange_take_turn(exchange);
    case EXCHANGE_PARKED:
        return exchange_go_on(exchange);
    case EXCHANGE_SERVED:
        return exchange_answer(exchange);
    default:
        return MHD_YES;
    }
}

void exchange_completed(void *argument, struct MHD_Connection *connection, void **context,
                        enum MHD_RequestTerminationCode code)
{
    (void)connection;
    struct server *server = argument;
    struct exchange *exchange = *context;
    if (exchange == NULL) {
        return;
    }
    *context = NULL;
    exchange->peer->begun = NULL;
    exchange->peer->in_step = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    if (exchange->fiber != NULL) {
        exchange_end_fiber(exchange);
    }
    response_clear(&exchange->response); /* No wake comes behind the body's close() … */
    stream_forget(exchange);             /* … so none is queued behind this. */
    exchange_leave_turn(exchange);
    if (server->handler.served != NULL) {
        server->handler.served(server->handler.argument, &exchange->request, exchange->status,
                               exchange->sent);
    }
    set_active(exchange, false);
    peer_expect_within(exchange->peer, server->options.idle_timeout_seconds * 1000);
    bool was_large = exchange->uploaded > large_body_bytes;
    exchange_free(exchange);
    if (was_large) {
        connections_memory_was_freed(server->connections);
    }
}

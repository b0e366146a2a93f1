// SPDX-License-Identifier: Apache-2.0
/*
 * A request is posted to the loop, waits in a queue until the limits let it pass, becomes an
 * exchange on a kept-alive connection, and ends in its callback. All of this state belongs to the
 * loop's thread; a blocking call is a request whose callback wakes the caller.
 */
#include "common/client.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "common/alloc.h"
#include "common/client_transport.h"
#include "common/connections.h"
#include "common/json.h"
#include "common/timestamp.h"

enum {
    default_in_flight = 32, /* More are answered no sooner, and each takes a handshake. */
    request_timeout_ms = 60000,
    tries_max = 10,
    retry_after_max_seconds = 120,
    retry_connection_ms = 50,
    response_max_bytes = 256 * 1024 * 1024,
};

static const int64_t token_retry_ns = INT64_C(10000000000);

struct pending {
    struct client *client;
    struct client_request request;
    client_done done;
    void *argument;
    struct client_response response;
    struct exchange exchange;
    bool is_under_way;
    int tries;
    uint64_t token_number;           /* Which of its client's tokens it was sent with. */
    struct loop_timer timer;         /* Until it is tried again. */
    struct pending *previous, *next; /* In 'waiting', 'started' or 'held'. */
};

struct pending_list {
    struct pending *first, *last;
};

struct client_watch {
    struct client *client;
    struct exchange exchange;
    char *path;
    struct client_watch_handler handler;
    void *argument;
    struct buffer text; /* What of a line, or of an error's body, has come so far. */
    bool ended_by_handler;
    struct client_watch *previous, *next;
};

/* Of a client with a token source. */
struct token_state {
    struct client_token_source source;
    bool is_there, is_asked_for;
    uint64_t number;
    int64_t renew_at, ends_at; /* Monotonic. */
    struct pending_list held;  /* What waits for a token. */
};

struct client {
    struct client *root; /* Whose lists and limits hold: itself, or what it was made from. */
    struct loop *loop;
    struct client_transport *transport;
    struct metric *requests_total;
    _Atomic int64_t fence;
    size_t in_flight_max;
    double qps, burst; /* qps 0: no limit. */

    /* The loop's thread alone: */
    struct pending_list waiting;
    struct pending_list started; /* In flight, or about to be tried again. */
    size_t in_flight;
    double tokens;
    int64_t tokens_at; /* When 'tokens' was right. */
    struct loop_timer token_timer;
    struct connections *connections; /* With its own credentials. */
    struct connections *anonymous;   /* With none, for those that have tokens; NULL: not yet. */
    struct client_transport *anonymous_transport;
    struct client_watch *watches;
    bool closing;
    struct token_state token;
};

static void start_waiting(void *argument);

/* ---- lists ---- */

static void list_append(struct pending_list *list, struct pending *pending)
{
    pending->previous = list->last;
    pending->next = NULL;
    *(list->last != NULL ? &list->last->next : &list->first) = pending;
    list->last = pending;
}

static void list_remove(struct pending_list *list, struct pending *pending)
{
    *(pending->previous != NULL ? &pending->previous->next : &list->first) = pending->next;
    *(pending->next != NULL ? &pending->next->previous : &list->last) = pending->previous;
}

/* ---- the end of a request ---- */

static void count_request(const struct client *client, const char *method, int code)
{
    if (client->requests_total != NULL) {
        char text[16];
        snprintf(text, sizeof text, "%d", code);
        metric_add(client->requests_total, 1,
                   metric_labels(code ? text : "<error>", client_transport_host(client->transport),
                                 method));
    }
}

static void release(struct pending *pending)
{
    free(pending->request.path);
    buffer_free(&pending->request.body);
    buffer_free(&pending->response.body);
    error_clear(&pending->response.error);
    free(pending);
}

/* It is on no list any more. */
static void finish(struct pending *pending)
{
    pending->done(pending->argument, &pending->response);
    release(pending);
}

/* Its exchange is over. */
static void leave(struct pending *pending)
{
    pending->is_under_way = false;
    pending->client->root->in_flight--;
    buffer_free(&pending->exchange.text);
}

static void try_again(void *argument)
{
    struct pending *pending = argument;
    struct client *client = pending->client->root;
    list_remove(&client->started, pending);
    list_append(&client->waiting, pending);
    start_waiting(client);
}

/* How long to wait before trying again what ended so; -1: never. */
static int64_t retry_delay_ms(const struct pending *pending, CURLcode result)
{
    if (pending->tries >= tries_max || result == CURLE_ABORTED_BY_CALLBACK) {
        return -1;
    }
    if (result != CURLE_OK) {
        bool broke = result == CURLE_GOT_NOTHING || result == CURLE_SEND_ERROR ||
                     result == CURLE_RECV_ERROR || result == CURLE_PARTIAL_FILE;
        return broke && strcmp(pending->request.method, "GET") == 0
                   ? (int64_t)retry_connection_ms << pending->tries
                   : -1;
    }
    int code = pending->response.code;
    int64_t retry_after = pending->exchange.parser.retry_after_seconds;
    if ((code != 429 && code < 500) || retry_after <= 0) {
        return -1;
    }
    return (retry_after < retry_after_max_seconds ? retry_after : retry_after_max_seconds) * 1000;
}

static void explain(struct pending *pending, CURLcode result)
{
    struct client_response *response = &pending->response;
    if (result != CURLE_OK) {
        client_transport_failed(pending->client->transport, result, pending->exchange.detail,
                                pending->request.method, pending->request.path, &response->error);
        response->code = 0;
    } else if (response->code / 100 != 2) {
        cleanup(json_release)
        json_t *body = response->body.length > 0
                           ? json_parse(response->body.bytes, response->body.length, NULL)
                           : NULL;
        error_from_status(&response->error, response->code, body);
    }
}

/* The server knows the token no longer: its user is gone, or its key. */
static void forget_refused_token(const struct pending *pending)
{
    struct token_state *token = &pending->client->token;
    if (pending->response.code == 401 && token->number == pending->token_number) {
        token->is_there = false;
    }
}

static void exchange_done(void *argument, CURLcode result)
{
    struct pending *pending = argument;
    struct client *client = pending->client->root;
    int code = pending->exchange.parser.code;
    pending->response.code = code;
    pending->tries++;
    forget_refused_token(pending);
    count_request(client, pending->request.method, result == CURLE_OK ? code : 0);
    int64_t delay_ms = retry_delay_ms(pending, result);
    leave(pending);
    if (delay_ms >= 0 && !pending->client->closing) {
        buffer_reset(&pending->response.body);
        loop_timer_set(client->loop, &pending->timer, delay_ms, try_again, pending);
    } else {
        list_remove(&client->started, pending);
        explain(pending, result);
        finish(pending);
    }
    start_waiting(client);
}

/* ---- the start of a request ---- */

static bool take_body(void *argument, const char *bytes, size_t length)
{
    struct pending *pending = argument;
    if (pending->response.body.length + length > response_max_bytes) {
        return false;
    }
    buffer_add(&pending->response.body, bytes, length);
    return true;
}

static void prepare_connection(void *argument, CURL *easy)
{
    client_transport_connect(argument, easy);
}

/* Those that it uses: a certificate would win over any token. */
static struct connections *connections_of(const struct client *client)
{
    struct client *root = client->root;
    if (client == root) {
        return root->connections;
    }
    if (root->anonymous == NULL) {
        root->anonymous_transport = client_transport_for_token(root->transport);
        root->anonymous =
            connections_new(root->loop, prepare_connection, root->anonymous_transport);
    }
    return root->anonymous;
}

static bool write_request(struct pending *pending)
{
    const struct client_request *request = &pending->request;
    struct buffer *text = &pending->exchange.text;
    struct client_head head = {
        .method = request->method,
        .path = request->path,
        .accept = request->accept,
        .content_type = request->content_type,
        .user = request->user,
        .group = request->group,
        .body_length = request->body.length,
    };
    if (!client_transport_add_head(pending->client->transport, &head, text,
                                   &pending->response.error)) {
        return false;
    }
    buffer_add(text, request->body.bytes, request->body.length);
    return true;
}

static void start(struct client *client, struct pending *pending)
{
    pending->token_number = pending->client->token.number;
    if (!write_request(pending)) {
        finish(pending);
        return;
    }
    pending->exchange.limit_ms = request_timeout_ms;
    pending->exchange.take = take_body;
    pending->exchange.done = exchange_done;
    pending->exchange.argument = pending;
    pending->is_under_way = true;
    client->in_flight++;
    list_append(&client->started, pending);
    exchange_start(connections_of(pending->client), &pending->exchange);
}

static bool is_fenced_off(struct client *client, const struct client_request *request)
{
    return !request->unfenced && strcmp(request->method, "GET") != 0 &&
           timestamp_monotonic() >= atomic_load(&client->fence);
}

static bool has_credentials(const struct client *client)
{
    const struct token_state *token = &client->token;
    return token->source.ask == NULL || (token->is_there && timestamp_monotonic() < token->ends_at);
}

static void ask_for_token(struct client *client)
{
    struct token_state *token = &client->token;
    if (!token->is_asked_for) {
        token->is_asked_for = true;
        token->renew_at = timestamp_monotonic() + token_retry_ns; /* If this fails. */
        token->source.ask(token->source.argument);
    }
}

static void renew_token_if_due(struct client *client)
{
    if (client->token.source.ask != NULL && timestamp_monotonic() >= client->token.renew_at) {
        ask_for_token(client);
    }
}

/* One request may pass now, as far as the rate is concerned; else the timer is set. */
static bool take_token(struct client *client)
{
    if (client->qps <= 0) {
        return true;
    }
    int64_t now = timestamp_monotonic();
    client->tokens += (double)(now - client->tokens_at) * 1e-9 * client->qps;
    client->tokens = client->tokens > client->burst ? client->burst : client->tokens;
    client->tokens_at = now;
    if (client->tokens >= 1) {
        client->tokens -= 1;
        return true;
    }
    int64_t delay_ms = (int64_t)((1 - client->tokens) / client->qps * 1000) + 1;
    loop_timer_set(client->loop, &client->token_timer, delay_ms, start_waiting, client);
    return false;
}

static void start_waiting(void *argument)
{
    struct client *client = argument;
    while (client->waiting.first != NULL && !client->closing) {
        struct pending *pending = client->waiting.first;
        if (is_fenced_off(client, &pending->request)) {
            list_remove(&client->waiting, pending);
            error_unavailable(&pending->response.error, "not sent: this process no longer leads");
            finish(pending);
            continue;
        }
        if (!has_credentials(pending->client)) {
            list_remove(&client->waiting, pending);
            list_append(&pending->client->token.held, pending);
            ask_for_token(pending->client);
            continue;
        }
        if (client->in_flight >= client->in_flight_max || !take_token(client)) {
            return;
        }
        struct client *sender = pending->client;
        list_remove(&client->waiting, pending);
        start(client, pending);
        renew_token_if_due(sender);
    }
}

static void fail_closed(struct pending *pending)
{
    error_unavailable(&pending->response.error, "the client is shutting down");
    finish(pending);
}

static void enqueue(void *argument)
{
    struct pending *pending = argument;
    struct client *root = pending->client->root;
    if (pending->client->closing || root->closing) {
        fail_closed(pending);
        return;
    }
    list_append(&root->waiting, pending);
    start_waiting(root);
}

void client_send(struct client *client, struct client_request request, client_done done,
                 void *argument)
{
    struct pending *pending = allocate_struct(struct pending);
    pending->client = client;
    pending->request = request;
    pending->done = done;
    pending->argument = argument;
    if (loop_is_current(client->loop)) {
        enqueue(pending);
    } else if (!loop_post(client->loop, enqueue, pending)) {
        fail_closed(pending);
    }
}

void client_fence(struct client *client, int64_t until)
{
    atomic_store(&client->fence, until);
}

/* ---- tokens ---- */

void client_set_token(struct client *client, const char *token, int64_t renew_ms, int64_t valid_ms)
{
    struct token_state *state = &client->token;
    int64_t now = timestamp_monotonic();
    client_transport_set_token(client->transport, token);
    state->number++;
    state->is_asked_for = false;
    state->is_there = true;
    state->ends_at = now + valid_ms * 1000000;
    state->renew_at = now + renew_ms * 1000000;
    for (struct pending *pending; (pending = state->held.first) != NULL;) {
        list_remove(&state->held, pending);
        list_append(&client->root->waiting, pending);
    }
    start_waiting(client->root);
}

void client_token_failed(struct client *client, const struct error *error)
{
    struct pending_list held = client->token.held;
    client->token.held = (struct pending_list){0};
    client->token.is_asked_for = false;
    for (struct pending *pending; (pending = held.first) != NULL;) {
        // What was failed before is off the list. NOLINTNEXTLINE(clang-analyzer-unix.Malloc)
        list_remove(&held, pending);
        error_set(&pending->response.error, error->code, error->reason, "%s", error->message);
        finish(pending);
    }
}

/* ---- blocking calls ---- */

struct batch {
    pthread_mutex_t lock;
    pthread_cond_t all_done;
    size_t left;
};

struct batch_call {
    struct batch *batch;
    struct client_call *call;
};

static void parse_result(struct client_call *call, struct client_response *response)
{
    if (error_is_set(&response->error)) {
        error_move(&call->error, &response->error);
        return;
    }
    if (call->wants_text) {
        call->result = json_true();
        call->text = response->body;
        response->body = (struct buffer){0};
        return;
    }
    call->result = json_parse(buffer_text(&response->body), response->body.length, &call->error);
}

static void batch_call_done(void *argument, struct client_response *response)
{
    struct batch_call *batch_call = argument;
    struct batch *batch = batch_call->batch;
    parse_result(batch_call->call, response);
    pthread_mutex_lock(&batch->lock);
    if (--batch->left == 0) {
        pthread_cond_signal(&batch->all_done);
    }
    pthread_mutex_unlock(&batch->lock);
}

void client_call_all(struct client *client, struct client_call *calls, size_t count)
{
    struct batch batch = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, count};
    struct batch_call *batch_calls = allocate_zero(count ? count : 1, sizeof *batch_calls);
    for (size_t i = 0; i < count; i++) {
        calls[i].result = NULL;
        calls[i].error = ERROR_INIT;
        batch_calls[i] = (struct batch_call){&batch, &calls[i]};
        client_send(client, calls[i].request, batch_call_done, &batch_calls[i]);
    }
    pthread_mutex_lock(&batch.lock);
    while (batch.left > 0) {
        pthread_cond_wait(&batch.all_done, &batch.lock);
    }
    pthread_mutex_unlock(&batch.lock);
    pthread_cond_destroy(&batch.all_done);
    pthread_mutex_destroy(&batch.lock);
    free(batch_calls);
}

json_t *client_call(struct client *client, struct client_request request, struct error *error)
{
    struct client_call call = {.request = request};
    client_call_all(client, &call, 1);
    if (call.result == NULL) {
        error_move(error, &call.error);
    }
    error_clear(&call.error);
    return call.result;
}

/* ---- watches ---- */

static bool is_error_answer(const struct client_watch *watch)
{
    return watch->exchange.parser.code / 100 != 2;
}

static bool take_lines(void *argument, const char *bytes, size_t length)
{
    struct client_watch *watch = argument;
    size_t used = 0;
    if (watch->text.length + length > response_max_bytes) {
        return false;
    }
    buffer_add(&watch->text, bytes, length);
    if (is_error_answer(watch)) {
        return true;
    }
    size_t searched = watch->text.length - length;
    for (char *end; (end = memchr(watch->text.bytes + searched, '\n',
                                  watch->text.length - searched)) != NULL;) {
        size_t line_length = (size_t)(end - watch->text.bytes) - used;
        if (line_length > 0 &&
            !watch->handler.event(watch->argument, watch->text.bytes + used, line_length)) {
            watch->ended_by_handler = true;
            return false;
        }
        used += line_length + 1;
        searched = used;
    }
    if (used > 0) {
        watch->text.length -= used;
        memmove(watch->text.bytes, watch->text.bytes + used, watch->text.length + 1);
    }
    return true;
}

static void watch_free(struct client_watch *watch)
{
    struct client *client = watch->client;
    *(watch->previous != NULL ? &watch->previous->next : &client->watches) = watch->next;
    if (watch->next != NULL) {
        watch->next->previous = watch->previous;
    }
    buffer_free(&watch->exchange.text);
    buffer_free(&watch->text);
    free(watch->path);
    free(watch);
}

static void watch_done(void *argument, CURLcode result)
{
    struct client_watch *watch = argument;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    int code = watch->exchange.parser.code;
    count_request(watch->client, "GET", code);
    if (code != 0 && code / 100 != 2) {
        cleanup(json_release)
        json_t *body = json_parse(buffer_text(&watch->text), watch->text.length, NULL);
        error_from_status(&error, code, body);
    } else if (result != CURLE_OK && !watch->ended_by_handler) {
        client_transport_failed(watch->client->transport, result, watch->exchange.detail, "GET",
                                watch->path, &error);
    }
    watch->handler.ended(watch->argument, &error);
    watch_free(watch);
}

static void watch_is_impossible(void *argument)
{
    watch_done(argument, CURLE_URL_MALFORMAT);
}

struct client_watch *client_watch_start(struct client *client, char *path, const char *accept,
                                        int64_t idle_ms, const struct client_watch_handler *handler,
                                        void *argument)
{
    struct client_watch *watch = allocate_struct(struct client_watch);
    watch->client = client;
    watch->path = path;
    watch->handler = *handler;
    watch->argument = argument;
    watch->exchange.limit_ms = idle_ms;
    watch->exchange.is_stream = true;
    watch->exchange.take = take_lines;
    watch->exchange.done = watch_done;
    watch->exchange.argument = watch;
    watch->next = client->watches;
    if (watch->next != NULL) {
        watch->next->previous = watch;
    }
    client->watches = watch;
    struct client_head head = {.method = "GET", .path = path, .accept = accept};
    if (client_transport_add_head(client->transport, &head, &watch->exchange.text, NULL)) {
        exchange_start(connections_of(client), &watch->exchange);
    } else {
        loop_timer_set(client->loop, &watch->exchange.timer, 0, watch_is_impossible, watch);
    }
    return watch;
}

void client_watch_stop(struct client_watch *watch)
{
    static const struct error none = ERROR_INIT;
    loop_timer_cancel(watch->client->loop, &watch->exchange.timer);
    exchange_cancel(&watch->exchange);
    watch->handler.ended(watch->argument, &none);
    watch_free(watch);
}

/* ---- life ---- */

struct client *client_new(struct loop *loop, struct client_config *config,
                          const struct client_options *options, struct error *error)
{
    static const char *const labels[] = {"code", "host", "method", NULL};
    struct client_transport *transport = client_transport_new(config, options->user_agent, error);
    if (transport == NULL) {
        return NULL;
    }
    struct client *client = allocate_struct(struct client);
    client->root = client;
    client->loop = loop;
    client->transport = transport;
    client->connections = connections_new(loop, prepare_connection, transport);
    client->fence = INT64_MAX;
    client->in_flight_max = options->in_flight > 0 ? (size_t)options->in_flight : default_in_flight;
    client->qps = options->qps > 0 ? (double)options->qps : 0;
    client->burst = options->burst > 0 ? (double)options->burst : 1;
    client->tokens = client->burst;
    client->tokens_at = timestamp_monotonic();
    if (options->metrics != NULL) {
        client->requests_total = metrics_counter(
            options->metrics, "rest_client_requests_total",
            "Number of HTTP requests, partitioned by status code, method, and host.", labels);
    }
    return client;
}

struct client *client_new_for_tokens(struct client *base, const struct client_token_source *source)
{
    struct client *client = allocate_struct(struct client);
    client->root = base->root;
    client->loop = base->loop;
    client->requests_total = base->requests_total;
    client->transport = client_transport_for_token(base->transport);
    client->token.source = *source;
    return client;
}

struct loop *client_loop(const struct client *client)
{
    return client->loop;
}

/* In a list that may be its root's. */
static struct pending *first_of(const struct client *client, const struct pending_list *list)
{
    struct pending *pending = list->first;
    while (pending != NULL && pending->client != client && client->root != client) {
        pending = pending->next;
    }
    return pending;
}

static void fail_all(const struct client *client, struct pending_list *list)
{
    for (struct pending *pending; (pending = first_of(client, list)) != NULL;) {
        // What was failed before is off the list. NOLINTNEXTLINE(clang-analyzer-unix.Malloc)
        list_remove(list, pending);
        loop_timer_cancel(client->loop, &pending->timer);
        if (pending->is_under_way) {
            exchange_cancel(&pending->exchange);
            leave(pending);
        }
        fail_closed(pending);
    }
}

static void close_client(void *argument)
{
    struct client *client = argument;
    client->closing = true;
    loop_timer_cancel(client->loop, &client->token_timer);
    while (client->watches != NULL) {
        // Each takes itself off the list. NOLINTNEXTLINE(clang-analyzer-unix.Malloc)
        client_watch_stop(client->watches);
    }
    fail_all(client, &client->token.held);
    /* In this order: what is told of its end may send others' requests, which are started then. */
    fail_all(client, &client->root->waiting);
    fail_all(client, &client->root->started);
    if (client == client->root) {
        connections_free(steal(client->connections));
        connections_free(steal(client->anonymous));
    }
}

void client_close(struct client *client)
{
    loop_call(client->loop, close_client, client);
}

void client_free(struct client *client)
{
    if (client == NULL) {
        return;
    }
    client_close(client);
    client_transport_free(client->transport);
    client_transport_free(client->anonymous_transport);
    free(client);
}

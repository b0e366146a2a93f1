// SPDX-License-Identifier: Apache-2.0
/*
 * Whether a request reached etcd decides what may be said of a transaction that broke: not sent
 * means "did not happen" and is simply tried again, sent means "unknown". An exchange tells which,
 * and never repeats a request by itself, as then our own transaction would conflict with itself.
 */
#include "apiserver/storage/etcd_transport.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/un.h>

#include "common/alloc.h"
#include "common/fiber.h"
#include "common/json.h"
#include "common/timestamp.h"

enum {
    connect_timeout_ms = 2000,
    least_rest_ms = 500, /* How long an endpoint that failed is left alone, */
    most_rest_ms = 10000,
    least_pause_ms = 20, /* and how long a request waits once all endpoints have failed it. */
    most_pause_ms = 500,
    no_grpc_code = -1,
};

/* The codes of gRPC that matter, as the gateway reports them. */
enum {
    grpc_invalid_argument = 3,
    grpc_not_found = 5,
    grpc_permission_denied = 7,
    grpc_resource_exhausted = 8,
    grpc_failed_precondition = 9,
    grpc_out_of_range = 11,
    grpc_unimplemented = 12,
    grpc_unauthenticated = 16,
};

static const int64_t millisecond = 1000000;

struct endpoint {
    struct etcd_transport *transport;
    struct connections *connections; /* The loop's. */
    char *head;                      /* What the heads of all requests say. */
    char *name;                      /* As it was given, without a slash at its end. */
    const char *url;                 /* What curl is told: the name, or that of this machine */
    const char *socket;              /* behind a Unix socket at this path; else NULL. */
    const char *prefix;              /* The path of the URL, "" for most. */
    int64_t rests_until;             /* Monotonic; 0 while it serves. */
    int rest_ms;                     /* How long it was last left alone. */
};

/* A request on its way; lives on its caller's stack. The loop owns it until it is answered. */
struct call {
    struct etcd_transport *transport;
    const struct etcd_request *request;
    struct buffer *answer;
    struct error *error;
    int64_t began, deadline; /* Monotonic. */
    size_t refusals;         /* Attempts in succession that met a closed port. */
    struct loop_timer next_attempt;
    int pause_ms;
    int attempts;
    /* The present attempt. */
    struct exchange exchange;
    size_t endpoint;
    bool too_long;
    enum etcd_outcome outcome;
    struct completion answered;
};

struct etcd_transport {
    struct loop *loop;
    char *ca_file, *certificate_file, *key_file; /* Each may be NULL. */
    size_t endpoint_count;

    /* Calls on their way, and one until the transport is closed; the last one says that it is. */
    atomic_size_t calls;
    sem_t idle;

    pthread_mutex_t lock; /* Guards what follows. */
    struct endpoint *endpoints;
    size_t preferred;
};

/* ---- endpoints ---- */

size_t etcd_transport_endpoint(struct etcd_transport *transport)
{
    int64_t now = timestamp_monotonic();
    pthread_mutex_lock(&transport->lock);
    size_t best = transport->preferred;
    for (size_t i = 0; i < transport->endpoint_count; i++) {
        size_t at = (transport->preferred + i) % transport->endpoint_count;
        if (transport->endpoints[at].rests_until <= now) {
            best = at;
            break;
        }
        if (transport->endpoints[at].rests_until < transport->endpoints[best].rests_until) {
            best = at;
        }
    }
    transport->preferred = best;
    pthread_mutex_unlock(&transport->lock);
    return best;
}

void etcd_transport_report(struct etcd_transport *transport, size_t index, bool served)
{
    int64_t now = timestamp_monotonic();
    pthread_mutex_lock(&transport->lock);
    struct endpoint *endpoint = &transport->endpoints[index];
    if (served) {
        endpoint->rests_until = 0;
        endpoint->rest_ms = 0;
    } else if (endpoint->rests_until <= now) {
        int rest_ms = endpoint->rest_ms * 2;
        rest_ms = rest_ms < least_rest_ms ? least_rest_ms : rest_ms;
        endpoint->rest_ms = rest_ms > most_rest_ms ? most_rest_ms : rest_ms;
        endpoint->rests_until = now + endpoint->rest_ms * millisecond;
    }
    pthread_mutex_unlock(&transport->lock);
}

static void prepare_connection(void *argument, CURL *easy)
{
    const struct endpoint *endpoint = argument;
    const struct etcd_transport *transport = endpoint->transport;
    curl_easy_setopt(easy, CURLOPT_URL, endpoint->url);
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, endpoint->socket);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 10L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 5L);
    if (transport->ca_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, transport->ca_file);
    }
    if (transport->certificate_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, transport->certificate_file);
    }
    if (transport->key_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_SSLKEY, transport->key_file);
    }
}

size_t etcd_transport_endpoint_count(const struct etcd_transport *transport)
{
    return transport->endpoint_count;
}

struct connections *etcd_transport_connections(struct etcd_transport *transport, size_t endpoint,
                                               struct loop *loop)
{
    return connections_new(loop, prepare_connection, &transport->endpoints[endpoint]);
}

/* Head and body leave together, which spares etcd a read. */
void etcd_transport_write(const struct etcd_transport *transport, size_t endpoint, const char *path,
                          const char *body, size_t length, struct buffer *text)
{
    const struct endpoint *to = &transport->endpoints[endpoint];
    buffer_reset(text);
    buffer_addf(text, "POST %s%s HTTP/1.1\r\n%sContent-Length: %zu\r\n\r\n", to->prefix, path,
                to->head, length);
    buffer_add(text, body, length);
}

/* ---- what went wrong ---- */

void etcd_transport_translate(const char *text, struct error *error)
{
    if (strstr(text, "has been compacted") != NULL) {
        error_expired(error, "%s", text);
    } else if (strstr(text, "is a future revision") != NULL) {
        error_bad_request(error, "%s", text);
    } else if (strstr(text, "too large") != NULL || strstr(text, "larger than max") != NULL) {
        error_set(error, 413, "RequestEntityTooLarge", "%s", text);
    } else {
        error_internal(error, "%s", text);
    }
}

/* The error in a body of the gateway: its words, the caller's, and its gRPC code. */
static char *words_of(const struct buffer *body, int status, int *grpc_code)
{
    *grpc_code = no_grpc_code;
    const char *text = buffer_text(body);
    const char *start = text + strspn(text, " \r\n\t");
    if (*start == '{') {
        static const char *const paths[] = {"message", "code"};
        struct json_span spans[array_length(paths)];
        json_scan(text, body->length, paths, array_length(paths), spans);
        cleanup(free_char)
        char *code = json_span_value(spans[1]);
        *grpc_code = code != NULL ? atoi(code) : no_grpc_code;
        char *message = json_span_value(spans[0]);
        if (message != NULL) {
            return message;
        }
    }
    return format("HTTP status %d", status);
}

/* An error after which etcd certainly did nothing, whatever was asked. All others (time limits,
 * a leader lost, a server stopped) come from any stage of the work. */
static bool is_refusal(int grpc_code, const char *words)
{
    switch (grpc_code) {
    case grpc_invalid_argument:
    case grpc_not_found:
    case grpc_permission_denied:
    case grpc_resource_exhausted:
    case grpc_failed_precondition:
    case grpc_out_of_range:
    case grpc_unimplemented:
    case grpc_unauthenticated:
        return true;
    default:
        return strcmp(words, "etcdserver: no leader") == 0;
    }
}

/* A refusal that is worth another attempt. */
static bool is_passing(const char *words)
{
    return strstr(words, "too many requests") != NULL || strstr(words, "no leader") != NULL;
}

/* ---- attempts; all on the loop ---- */

/* The call is its caller's again, and may be gone at once. */
static void finish(struct call *call, enum etcd_outcome outcome)
{
    call->outcome = outcome;
    completion_signal(&call->answered);
}

static bool take_answer(void *argument, const char *bytes, size_t length)
{
    struct call *call = argument;
    size_t limit = call->request->answer_limit;
    if (limit > 0 && call->answer->length + length > limit) {
        call->too_long = true;
        return false;
    }
    buffer_add(call->answer, bytes, length);
    return true;
}

static int milliseconds_left(const struct call *call)
{
    int64_t left = (call->deadline - timestamp_monotonic()) / millisecond;
    return left > 0 ? (int)left : 0;
}

static void end_attempt(void *argument, CURLcode result);

static void start_attempt(void *argument)
{
    struct call *call = argument;
    struct etcd_transport *transport = call->transport;
    const struct etcd_request *request = call->request;
    int limit_ms = milliseconds_left(call);
    if (request->repeatable) {
        /* An endpoint that hangs must leave time for others. */
        int share_ms = request->patience.timeout_ms / 3;
        limit_ms = limit_ms < share_ms ? limit_ms : share_ms;
    }
    call->endpoint = etcd_transport_endpoint(transport);
    call->attempts++;
    call->too_long = false;
    buffer_reset(call->answer);
    etcd_transport_write(transport, call->endpoint, request->path, request->body,
                         request->body_length, &call->exchange.text);
    call->exchange.limit_ms = limit_ms > 0 ? limit_ms : 1;
    call->exchange.take = take_answer;
    call->exchange.done = end_attempt;
    call->exchange.argument = call;
    exchange_start(transport->endpoints[call->endpoint].connections, &call->exchange);
}

/* Every endpoint has refused a connection, for as long as the caller bears with that. */
static bool is_refused_for_good(const struct etcd_transport *transport, const struct call *call)
{
    return call->refusals >= transport->endpoint_count &&
           timestamp_monotonic() - call->began >= call->request->patience.refused_ms * millisecond;
}

static void wait_or_fail(struct etcd_transport *transport, struct call *call, const char *words)
{
    bool all_failed = (size_t)call->attempts % transport->endpoint_count == 0;
    int pause_ms = 0;
    if (all_failed) {
        pause_ms = call->pause_ms;
        call->pause_ms = pause_ms * 2 > most_pause_ms ? most_pause_ms : pause_ms * 2;
    }
    if (milliseconds_left(call) <= pause_ms || is_refused_for_good(transport, call)) {
        error_unavailable(call->error, "etcd at %s: %s", transport->endpoints[call->endpoint].name,
                          words);
        finish(call, ETCD_FAILED);
        return;
    }
    loop_timer_set(transport->loop, &call->next_attempt, pause_ms, start_attempt, call);
}

/* The answer is an error of etcd's. */
static void end_with_error(struct etcd_transport *transport, struct call *call, int status)
{
    int grpc_code;
    cleanup(free_char)
    char *words = words_of(call->answer, status, &grpc_code);
    bool refused = is_refusal(grpc_code, words);
    call->refusals = 0;
    if (strstr(words, "lease not found") != NULL) {
        finish(call, ETCD_LEASE_NOT_FOUND);
        return;
    }
    if (refused && !is_passing(words)) {
        etcd_transport_translate(words, call->error);
        finish(call, ETCD_FAILED);
        return;
    }
    etcd_transport_report(transport, call->endpoint, false);
    if (refused || call->request->repeatable) {
        wait_or_fail(transport, call, words);
        return;
    }
    error_set(call->error, STORE_UNKNOWN, "Timeout",
              "etcd at %s did not tell whether it carried out the request: %s",
              transport->endpoints[call->endpoint].name, words);
    finish(call, ETCD_FAILED);
}

/* The connection failed, or the attempt took too long. */
static void end_broken(struct etcd_transport *transport, struct call *call, CURLcode result)
{
    const char *detail = call->exchange.detail;
    const char *words = detail[0] != '\0' ? detail : curl_easy_strerror(result);
    bool sent = call->exchange.sent > 0; /* Some of it. */
    etcd_transport_report(transport, call->endpoint, false);
    call->refusals = result == CURLE_COULDNT_CONNECT ? call->refusals + 1 : 0;
    if (!sent || call->request->repeatable) {
        wait_or_fail(transport, call, words);
        return;
    }
    error_set(call->error, STORE_UNKNOWN, "Timeout",
              "the connection to etcd at %s broke before the answer came: %s",
              transport->endpoints[call->endpoint].name, words);
    finish(call, ETCD_FAILED);
}

static void end_attempt(void *argument, CURLcode result)
{
    struct call *call = argument;
    struct etcd_transport *transport = call->transport;
    int status = call->exchange.parser.code;
    if (call->too_long) {
        finish(call, ETCD_ANSWER_TOO_LONG);
    } else if (result != CURLE_OK) {
        end_broken(transport, call, result);
    } else if (status != 200) {
        end_with_error(transport, call, status);
    } else {
        etcd_transport_report(transport, call->endpoint, true);
        finish(call, ETCD_ANSWERED);
    }
}

/* ---- calls ---- */

static void call_ends(struct etcd_transport *transport)
{
    if (atomic_fetch_sub(&transport->calls, 1) == 1) {
        sem_post(&transport->idle);
    }
}

enum etcd_outcome etcd_transport_call(struct etcd_transport *transport,
                                      const struct etcd_request *request, struct buffer *answer,
                                      struct error *error)
{
    struct call call = {
        .transport = transport,
        .request = request,
        .answer = answer,
        .error = error,
        .began = timestamp_monotonic(),
        .pause_ms = least_pause_ms,
    };
    call.deadline = call.began + request->patience.timeout_ms * millisecond;
    completion_init(&call.answered);
    atomic_fetch_add(&transport->calls, 1);
    loop_post(transport->loop, start_attempt, &call);
    completion_wait(&call.answered);
    buffer_free(&call.exchange.text);
    call_ends(transport);
    return call.outcome;
}

/* ---- opening and closing ---- */

/* An endpoint is a URL as etcd's own programs take it, which for a Unix socket is "unix://" and a
 * path; etcd names its socket "host:port". */
static bool endpoint_set(struct endpoint *endpoint, const char *given, struct error *error)
{
    char *name = format("%s%s", strstr(given, "://") == NULL ? "http://" : "", given);
    for (size_t length = strlen(name); length > 0 && name[length - 1] == '/'; length--) {
        name[length - 1] = '\0';
    }
    *endpoint = (struct endpoint){.name = name, .url = name};
    static const char unix_scheme[] = "unix://";
    if (strncmp(name, unix_scheme, strlen(unix_scheme)) == 0) {
        endpoint->url = "http://localhost";
        endpoint->socket = name + strlen(unix_scheme);
        size_t longest = sizeof((struct sockaddr_un){0}.sun_path) - 1;
        if (strlen(endpoint->socket) > longest) {
            return error_internal(error, "the path of the socket %s is longer than %zu bytes",
                                  endpoint->socket, longest);
        }
    } else if (strncmp(name, "http://", 7) != 0 && strncmp(name, "https://", 8) != 0) {
        return error_internal(error, "the etcd endpoint \"%s\" is no http, https or unix URL",
                              given);
    }
    const char *host = strstr(endpoint->url, "://") + 3;
    endpoint->prefix = host + strcspn(host, "/");
    /* The gateway takes any body for JSON, and would hand a Content-Type on to etcd with each
     * request. */
    endpoint->head = format("Host: %.*s\r\n", (int)(endpoint->prefix - host), host);
    return true;
}

static bool add_endpoints(struct etcd_transport *transport, const char *const *urls,
                          struct error *error)
{
    for (size_t i = 0; urls[i] != NULL; i++) {
        transport->endpoints =
            reallocate(transport->endpoints, (i + 1) * sizeof(*transport->endpoints));
        transport->endpoint_count++;
        if (!endpoint_set(&transport->endpoints[i], urls[i], error)) {
            return false;
        }
    }
    if (transport->endpoint_count == 0) {
        return error_internal(error, "no etcd endpoint is given");
    }
    return true;
}

static bool check_readable(const char *path, const char *what, struct error *error)
{
    if (path != NULL && access(path, R_OK) != 0) {
        return error_internal(error, "the %s for etcd can't be read: %s: %m", what, path);
    }
    return true;
}

static void release(struct etcd_transport *transport)
{
    if (transport->loop != NULL) {
        loop_stop(transport->loop);
    }
    for (size_t i = 0; i < transport->endpoint_count; i++) {
        connections_free(transport->endpoints[i].connections);
        free(transport->endpoints[i].head);
        free(transport->endpoints[i].name);
    }
    free(transport->endpoints);
    loop_free(transport->loop);
    free(transport->ca_file);
    free(transport->certificate_file);
    free(transport->key_file);
    pthread_mutex_destroy(&transport->lock);
    sem_destroy(&transport->idle);
    free(transport);
    curl_global_cleanup();
}

static char *duplicate_or_null(const char *text)
{
    return text != NULL && *text != '\0' ? duplicate(text) : NULL;
}

struct etcd_transport *etcd_transport_open(const struct store_etcd_options *options,
                                           struct error *error)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    struct etcd_transport *transport = allocate_struct(struct etcd_transport);
    pthread_mutex_init(&transport->lock, NULL);
    sem_init(&transport->idle, 0, 0);
    atomic_init(&transport->calls, 1);
    transport->ca_file = duplicate_or_null(options->ca_file);
    transport->certificate_file = duplicate_or_null(options->certificate_file);
    transport->key_file = duplicate_or_null(options->key_file);
    if (!add_endpoints(transport, options->endpoints, error) ||
        !check_readable(transport->ca_file, "CA file", error) ||
        !check_readable(transport->certificate_file, "certificate", error) ||
        !check_readable(transport->key_file, "private key", error)) {
        release(transport);
        return NULL;
    }
    transport->loop = loop_new();
    for (size_t i = 0; i < transport->endpoint_count; i++) {
        struct endpoint *endpoint = &transport->endpoints[i];
        endpoint->transport = transport;
        endpoint->connections = etcd_transport_connections(transport, i, transport->loop);
        connections_hurry(endpoint->connections); /* etcd writes together what comes together. */
    }
    return transport;
}

void etcd_transport_close(struct etcd_transport *transport)
{
    call_ends(transport); /* Its own. */
    while (sem_wait(&transport->idle) != 0) {
        continue; /* Interrupted by a signal. */
    }
    release(transport);
}

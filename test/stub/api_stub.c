// SPDX-License-Identifier: Apache-2.0
#include "test/stub/api_stub.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <arpa/inet.h>

#include "common/alloc.h"
#include "common/buffer.h"

static const char *const kept_headers[] = {"User-Agent",       "Accept",
                                           "Content-Type",     "Authorization",
                                           "Impersonate-User", "Impersonate-Group"};

struct request {
    char *line; /* Method, path and query. */
    char *headers[array_length(kept_headers)];
    struct buffer body;
    struct api_stub_answer answer;
};

struct api_stub {
    struct MHD_Daemon *daemon;
    char *url;

    pthread_mutex_t lock; /* Guards what follows. */
    pthread_cond_t changed;
    struct request **requests;
    size_t request_count, request_capacity;
    struct api_stub_answer *script;
    size_t script_count, script_capacity, script_next;
    size_t at_once, most_at_once;
    bool released;
};

/* ---- streams ---- */

struct stream {
    struct api_stub *stub;
    const char *body;
    size_t sent;
};

static ssize_t read_stream(void *argument, uint64_t position, char *bytes, size_t size)
{
    struct stream *stream = argument;
    (void)position;
    size_t left = strlen(stream->body) - stream->sent;
    if (left > 0) {
        size_t part = left < size ? left : size;
        memcpy(bytes, stream->body + stream->sent, part);
        stream->sent += part;
        return (ssize_t)part;
    }
    pthread_mutex_lock(&stream->stub->lock);
    while (!stream->stub->released) {
        pthread_cond_wait(&stream->stub->changed, &stream->stub->lock);
    }
    pthread_mutex_unlock(&stream->stub->lock);
    return MHD_CONTENT_READER_END_OF_STREAM;
}

/* ---- requests ---- */

static enum MHD_Result add_parameter(void *argument, enum MHD_ValueKind kind, const char *key,
                                     const char *value)
{
    struct buffer *line = argument;
    (void)kind;
    buffer_addf(line, "%c%s=%s", memchr(line->bytes, '?', line->length) ? '&' : '?', key,
                value != NULL ? value : "");
    return MHD_YES;
}

static struct request *begin(struct api_stub *stub, struct MHD_Connection *connection,
                             const char *method, const char *url)
{
    struct request *request = allocate_struct(struct request);
    struct buffer line = BUFFER_INIT;
    buffer_addf(&line, "%s %s", method, url);
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, add_parameter, &line);
    request->line = buffer_steal(&line);
    for (size_t i = 0; i < array_length(kept_headers); i++) {
        const char *value =
            MHD_lookup_connection_value(connection, MHD_HEADER_KIND, kept_headers[i]);
        request->headers[i] = value != NULL ? duplicate(value) : NULL;
    }
    pthread_mutex_lock(&stub->lock);
    stub->at_once++;
    stub->most_at_once = stub->at_once > stub->most_at_once ? stub->at_once : stub->most_at_once;
    pthread_mutex_unlock(&stub->lock);
    return request;
}

static void take_answer(struct api_stub *stub, struct request *request)
{
    pthread_mutex_lock(&stub->lock);
    request->answer = stub->script_next < stub->script_count
                          ? stub->script[stub->script_next++]
                          : (struct api_stub_answer){.code = 404, .body = ""};
    stub->requests =
        grow(stub->requests, stub->request_count, &stub->request_capacity, sizeof *stub->requests);
    stub->requests[stub->request_count++] = request;
    pthread_cond_broadcast(&stub->changed);
    pthread_mutex_unlock(&stub->lock);
}

static enum MHD_Result answer(struct api_stub *stub, struct MHD_Connection *connection,
                              const struct api_stub_answer *answer)
{
    struct MHD_Response *response;
    if (answer->code == 0) {
        return MHD_NO; /* Cuts the connection. */
    }
    if (answer->keeps_open) {
        struct stream *stream = allocate_struct(struct stream);
        *stream = (struct stream){stub, answer->body, 0};
        response =
            MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_stream, stream, free);
    } else {
        response = MHD_create_response_from_buffer(strlen(answer->body), (void *)answer->body,
                                                   MHD_RESPMEM_MUST_COPY);
    }
    MHD_add_response_header(response, "Content-Type", "application/json");
    if (answer->retry_after != NULL) {
        MHD_add_response_header(response, "Retry-After", answer->retry_after);
    }
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)answer->code, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result handle(void *argument, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *body,
                              size_t *body_size, void **state)
{
    struct api_stub *stub = argument;
    struct request *request = *state;
    (void)version;
    if (request == NULL) {
        *state = begin(stub, connection, method, url);
        return MHD_YES;
    }
    if (*body_size > 0) {
        buffer_add(&request->body, body, *body_size);
        *body_size = 0;
        return MHD_YES;
    }
    take_answer(stub, request);
    return answer(stub, connection, &request->answer);
}

static void completed(void *argument, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode code)
{
    struct api_stub *stub = argument;
    (void)connection;
    (void)code;
    if (*state != NULL) {
        pthread_mutex_lock(&stub->lock);
        stub->at_once--;
        pthread_mutex_unlock(&stub->lock);
    }
}

/* ---- the interface ---- */

struct api_stub *api_stub_start(void)
{
    struct api_stub *stub = allocate_struct(struct api_stub);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    pthread_mutex_init(&stub->lock, NULL);
    pthread_cond_init(&stub->changed, NULL);
    stub->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION,
                                    0, NULL, NULL, handle, stub, MHD_OPTION_SOCK_ADDR, &address,
                                    MHD_OPTION_NOTIFY_COMPLETED, completed, stub, MHD_OPTION_END);
    if (stub->daemon == NULL) {
        abort();
    }
    stub->url = format("http://127.0.0.1:%u",
                       MHD_get_daemon_info(stub->daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    return stub;
}

void api_stub_stop(struct api_stub *stub)
{
    api_stub_release(stub);
    MHD_stop_daemon(stub->daemon);
    for (size_t i = 0; i < stub->request_count; i++) {
        for (size_t n = 0; n < array_length(kept_headers); n++) {
            free(stub->requests[i]->headers[n]);
        }
        free(stub->requests[i]->line);
        buffer_free(&stub->requests[i]->body);
        free(stub->requests[i]);
    }
    free(stub->requests);
    free(stub->script);
    free(stub->url);
    pthread_cond_destroy(&stub->changed);
    pthread_mutex_destroy(&stub->lock);
    free(stub);
}

const char *api_stub_url(const struct api_stub *stub)
{
    return stub->url;
}

void api_stub_answer(struct api_stub *stub, struct api_stub_answer wanted)
{
    pthread_mutex_lock(&stub->lock);
    stub->script =
        grow(stub->script, stub->script_count, &stub->script_capacity, sizeof *stub->script);
    stub->script[stub->script_count++] = wanted;
    pthread_mutex_unlock(&stub->lock);
}

void api_stub_release(struct api_stub *stub)
{
    pthread_mutex_lock(&stub->lock);
    stub->released = true;
    pthread_cond_broadcast(&stub->changed);
    pthread_mutex_unlock(&stub->lock);
}

void api_stub_wait(struct api_stub *stub, size_t count)
{
    pthread_mutex_lock(&stub->lock);
    while (stub->request_count < count) {
        pthread_cond_wait(&stub->changed, &stub->lock);
    }
    pthread_mutex_unlock(&stub->lock);
}

size_t api_stub_count(struct api_stub *stub)
{
    pthread_mutex_lock(&stub->lock);
    size_t count = stub->request_count;
    pthread_mutex_unlock(&stub->lock);
    return count;
}

char *api_stub_request(struct api_stub *stub, size_t number)
{
    pthread_mutex_lock(&stub->lock);
    const struct request *request = number < stub->request_count ? stub->requests[number] : NULL;
    char *text = request == NULL ? duplicate("")
                 : request->body.length == 0
                     ? duplicate(request->line)
                     : format("%s %s", request->line, buffer_text(&request->body));
    pthread_mutex_unlock(&stub->lock);
    return text;
}

char *api_stub_header(struct api_stub *stub, size_t number, const char *name)
{
    char *value = NULL;
    pthread_mutex_lock(&stub->lock);
    for (size_t i = 0; i < array_length(kept_headers) && number < stub->request_count; i++) {
        const char *kept = stub->requests[number]->headers[i];
        if (strcasecmp(kept_headers[i], name) == 0 && kept != NULL) {
            value = duplicate(kept);
        }
    }
    pthread_mutex_unlock(&stub->lock);
    return value;
}

size_t api_stub_most_at_once(struct api_stub *stub)
{
    pthread_mutex_lock(&stub->lock);
    size_t most = stub->most_at_once;
    pthread_mutex_unlock(&stub->lock);
    return most;
}

// SPDX-License-Identifier: Apache-2.0
#include "common/health_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <string.h>

#include "common/alloc.h"

enum { connections_max = 32, idle_seconds = 30 };

struct health_server {
    struct MHD_Daemon *daemon;
    struct metrics *metrics;
    bool (*is_ready)(void *argument);
    void *argument;
    uint16_t port;
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned code, const char *type,
                              char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    enum MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result handle(void *argument, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *body,
                              size_t *body_size, void **request)
{
    static const char plain[] = "text/plain; charset=utf-8";
    const struct health_server *server = argument;
    (void)version;
    (void)body;
    if (*request == NULL) {
        *request = (void *)server; /* The headers only; the answer goes with the second call. */
        return MHD_YES;
    }
    if (*body_size > 0) {
        *body_size = 0;
        return MHD_YES;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        return answer(connection, 405, plain, duplicate("method not allowed\n"));
    }
    if (strcmp(url, "/metrics") == 0) {
        struct buffer text = BUFFER_INIT;
        metrics_render(server->metrics, &text);
        return answer(connection, 200, "text/plain; version=0.0.4; charset=utf-8",
                      buffer_steal(&text));
    }
    if (strcmp(url, "/healthz") == 0 || strcmp(url, "/livez") == 0) {
        return answer(connection, 200, plain, duplicate("ok"));
    }
    if (strcmp(url, "/readyz") == 0) {
        bool ready = server->is_ready == NULL || server->is_ready(server->argument);
        return answer(connection, ready ? 200 : 500, plain, duplicate(ready ? "ok" : "not ready"));
    }
    return answer(connection, 404, plain, duplicate("404 page not found\n"));
}

/* Splits "127.0.0.1:80" or "[::1]:80". */
static bool parse_address(const char *text, struct sockaddr_storage *address, struct error *error)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    long port = colon != NULL ? strtol(colon + 1, &end, 10) : -1;
    bool is_valid = colon != NULL && end != colon + 1 && *end == '\0' && port >= 0 && port <= 65535;
    cleanup(free_char)
    char *host = duplicate_bytes(text, colon != NULL ? (size_t)(colon - text) : strlen(text));
    size_t length = strlen(host);
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    if (is_valid && length > 2 && host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = '\0';
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        is_valid = inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1;
    } else if (is_valid) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        is_valid = inet_pton(AF_INET, host, &v4->sin_addr) == 1;
    }
    return is_valid || error_bad_request(error,
                                         "\"%s\" is no address with a port, such as "
                                         "127.0.0.1:10257",
                                         text);
}

struct health_server *health_server_start(const char *address, struct metrics *metrics,
                                          bool (*is_ready)(void *argument), void *argument,
                                          struct error *error)
{
    struct sockaddr_storage socket_address = {0};
    if (!parse_address(address, &socket_address, error)) {
        return NULL;
    }
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO;
    if (socket_address.ss_family == AF_INET6) {
        flags |= MHD_USE_IPv6;
    }
    struct health_server *server = allocate_struct(struct health_server);
    server->metrics = metrics;
    server->is_ready = is_ready;
    server->argument = argument;
    errno = 0;
    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, handle, server, MHD_OPTION_SOCK_ADDR, &socket_address,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)idle_seconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)8192, MHD_OPTION_END);
    if (server->daemon == NULL) {
        error_bad_request(error, "can't serve health and metrics on %s: %s", address,
                          errno != 0 ? strerror(errno) : "the server did not start");
        free(server);
        return NULL;
    }
    server->port = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    return server;
}

uint16_t health_server_port(const struct health_server *server)
{
    return server->port;
}

void health_server_stop(struct health_server *server)
{
    if (server != NULL) {
        MHD_stop_daemon(server->daemon);
        free(server);
    }
}

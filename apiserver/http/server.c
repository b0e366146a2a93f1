// SPDX-License-Identifier: Apache-2.0
#include "apiserver/http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "apiserver/http/internal.h"
#include "common/alloc.h"
#include "common/log.h"

enum {
    default_workers = 32,
    default_body_limit = 3 << 20,
    default_header_limit = 12 << 10, /* Half of what a watcher takes. */
    default_connections = 20000,
    other_files = 256, /* That are not connections. */
    default_idle_seconds = 180,
    default_header_ms = 32000, /* As upstream. */
    default_body_ms = 60000,   /* As upstream's time for a whole request. */
};

/* As many connections as there may be open files, so that it is never accept() that fails. */
static void bound_connections(struct server_options *options)
{
    struct rlimit files;
    unsigned wanted = options->connection_limit ? options->connection_limit : default_connections;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY &&
        files.rlim_cur < wanted + (rlim_t)other_files) {
        wanted = files.rlim_cur > 2 * other_files ? (unsigned)files.rlim_cur - other_files
                                                  : (unsigned)files.rlim_cur / 2;
        if (options->connection_limit != 0) {
            log_warning("no more than %u connections: the limit of open files is %llu", wanted,
                        (unsigned long long)files.rlim_cur);
        }
    }
    options->connection_limit = wanted;
    options->address_connection_limit =
        options->address_connection_limit ? options->address_connection_limit : (wanted + 1) / 2;
}

static void fill_defaults(struct server_options *options)
{
    bound_connections(options);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    options->http_threads =
        options->http_threads ? options->http_threads : (unsigned)(cores > 0 ? cores : 1);
    options->workers = options->workers ? options->workers : default_workers;
    options->body_limit_bytes =
        options->body_limit_bytes ? options->body_limit_bytes : default_body_limit;
    options->header_limit_bytes =
        options->header_limit_bytes ? options->header_limit_bytes : default_header_limit;
    options->idle_timeout_seconds =
        options->idle_timeout_seconds ? options->idle_timeout_seconds : default_idle_seconds;
    options->header_timeout_ms =
        options->header_timeout_ms ? options->header_timeout_ms : default_header_ms;
    options->body_timeout_ms =
        options->body_timeout_ms ? options->body_timeout_ms : default_body_ms;
}

static void daemon_log(void *argument, const char *text, va_list arguments)
{
    (void)argument;
    if (log_enabled(LOG_DEBUG)) {
        cleanup(free_char)
        char *message = format_list(text, arguments);
        log_debug("http: %s", message);
    }
}

/* ---- start ---- */

static int bind_socket(const struct server_options *options, uint16_t *port, struct error *error)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(options->port)};
    if (inet_pton(AF_INET, options->bind_address, &address.sin_addr) != 1) {
        error_internal(error, "\"%s\" is no IPv4 address to bind to", options->bind_address);
        return -1;
    }
    int on = 1, socket_file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket_file < 0 || setsockopt(socket_file, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(socket_file, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(socket_file, 1024) != 0) {
        error_internal(error, "can't listen on %s:%u: %s", options->bind_address, options->port,
                       strerror(errno));
        close_descriptor(&socket_file);
        return -1;
    }
    socklen_t length = sizeof address;
    getsockname(socket_file, (struct sockaddr *)&address, &length);
    *port = ntohs(address.sin_port);
    return socket_file;
}

static struct MHD_Daemon *start_daemon(struct server *server, int socket_file)
{
    static const char priorities[] =
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:"
        "+CHACHA20-POLY1305";
    const struct server_options *options = &server->options;
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TLS | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
            MHD_USE_PEDANTIC_CHECKS,
        0, connection_wanted, server, exchange_handle, server, MHD_OPTION_EXTERNAL_LOGGER,
        daemon_log, NULL, MHD_OPTION_LISTEN_SOCKET, (MHD_socket)socket_file,
        MHD_OPTION_THREAD_POOL_SIZE, options->http_threads, MHD_OPTION_CONNECTION_LIMIT,
        options->connection_limit * options->http_threads, /* It gives each thread its part. */
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, options->header_limit_bytes,
        MHD_OPTION_CONNECTION_TIMEOUT, options->idle_timeout_seconds, MHD_OPTION_URI_LOG_CALLBACK,
        exchange_begin, server, MHD_OPTION_NOTIFY_COMPLETED, exchange_completed, server,
        MHD_OPTION_NOTIFY_CONNECTION, connection_changed, server, MHD_OPTION_HTTPS_CERT_CALLBACK,
        tls_certificate, MHD_OPTION_HTTPS_PRIORITIES, priorities, MHD_OPTION_END);
}

static void server_free(struct server *server)
{
    workers_stop(server->authenticators);
    workers_free(server->authenticators);
    workers_stop(server->workers);
    workers_free(server->workers);
    streams_stop(server->streams);
    connections_stop(server->connections);
    tls_free(server->tls);
    pthread_cond_destroy(&server->idle);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

static bool start_authenticators(struct server *server, struct error *error)
{
    unsigned count = server->options.authentication_workers;
    server->authenticators = count ? workers_start(exchange_authenticate, count, error) : NULL;
    return count == 0 || server->authenticators != NULL;
}

struct server *server_start(const struct server_options *options, const struct handler *handler,
                            struct error *error)
{
    struct server *server = allocate_struct(struct server);
    server->options = *options;
    server->handler = *handler;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
    fill_defaults(&server->options);
    server->tls = tls_open(&server->options, error);
    int socket_file = server->tls ? bind_socket(&server->options, &server->port, error) : -1;
    if (socket_file < 0) {
        server_free(server);
        return NULL;
    }
    if ((server->streams = streams_start(server->options.http_threads, error)) != NULL &&
        (server->connections =
             connections_start(server->options.connection_limit,
                               server->options.address_connection_limit, error)) != NULL &&
        (server->workers = workers_start(exchange_serve, server->options.workers, error)) != NULL &&
        start_authenticators(server, error) &&
        (server->daemon = start_daemon(server, socket_file)) == NULL) {
        error_internal(error, "the HTTP server could not be started");
    }
    if (server->daemon == NULL) {
        close(socket_file);
        server_free(server);
        return NULL;
    }
    return server;
}

uint16_t server_port(const struct server *server)
{
    return server->port;
}

/* Lets no more fibers begin and waits for those that have: what they wait for has limits. */
static void wait_for_fibers(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    server->closing = true;
    while (server->fibers > 0) {
        pthread_cond_wait(&server->idle, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
}

/* Waits until nothing is served any more, or it is too late. */
static void wait_until_idle(struct server *server, unsigned most_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += most_ms % 1000 * 1000000L;
    until.tv_sec += most_ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&server->lock);
    int waited = 0;
    while (server->active > 0 && waited == 0) {
        waited = pthread_cond_timedwait(&server->idle, &server->lock, &until);
    }
    pthread_mutex_unlock(&server->lock);
}

void server_stop(struct server *server, unsigned grace_ms)
{
    if (server == NULL) {
        return;
    }
    atomic_store(&server->stopping, true);
    MHD_socket listening = MHD_quiesce_daemon(server->daemon);
    if (listening != MHD_INVALID_SOCKET) {
        shutdown(listening, SHUT_RDWR); /* Its threads may still look at it: closed later. */
    }
    streams_end(server->streams);
    wait_until_idle(server, grace_ms);
    /* From here on no connection is suspended, which stopping the daemon demands: streams don't
     * suspend while stopping, and fibers and workers finish what they have begun and take nothing
     * more. */
    wait_for_fibers(server);
    workers_stop(server->authenticators);
    workers_stop(server->workers);
    MHD_stop_daemon(server->daemon);
    if (listening != MHD_INVALID_SOCKET) {
        close(listening);
    }
    server_free(server);
}

// SPDX-License-Identifier: Apache-2.0
/*
 * TCP connections, and clients that are too slow.
 *
 * libmicrohttpd's own timeout starts anew with each byte, so a client that sends one now and then
 * would hold its connection for ever. Here each connection has a deadline for what the client is to
 * do next: finish the handshake and the headers, finish the body, send the next request. While the
 * server has the word there is none; TCP_USER_TIMEOUT takes care of clients that don't read.
 *
 * One thread looks at all connections once a second and shuts down the sockets of those that are
 * late; libmicrohttpd then closes them. A connection leaves the list before its socket is closed.
 *
 * The same thread hands memory back to the system after requests with large bodies: their trees are
 * many times as large, and glibc would keep what lies below the first piece that is still in use.
 */
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>

#include "apiserver/http/internal.h"
#include "common/alloc.h"
#include "common/timestamp.h"

enum { user_timeout_ms = 60000 };

struct connections {
    pthread_mutex_t lock; /* Guards the list and 'stopping'. */
    pthread_cond_t stop;
    struct peer *first;
    bool stopping;
    bool sweeps; /* The thread runs. */
    atomic_bool memory_was_freed;
    pthread_t thread;
};

static void set_socket_options(int socket)
{
    int on = 1, timeout = user_timeout_ms, idle = 30, interval = 10, count = 3;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
}

void peer_expect_within(struct peer *peer, unsigned timeout_ms)
{
    int64_t deadline = timeout_ms ? timestamp_monotonic() + timeout_ms * INT64_C(1000000) : 0;
    atomic_store(&peer->deadline_ns, deadline);
}

static void add(struct connections *connections, struct peer *peer)
{
    pthread_mutex_lock(&connections->lock);
    peer->next = connections->first;
    if (peer->next != NULL) {
        peer->next->previous = peer;
    }
    connections->first = peer;
    pthread_mutex_unlock(&connections->lock);
}

static void take_out(struct connections *connections, struct peer *peer)
{
    pthread_mutex_lock(&connections->lock);
    if (peer->previous != NULL) {
        peer->previous->next = peer->next;
    } else {
        connections->first = peer->next;
    }
    if (peer->next != NULL) {
        peer->next->previous = peer->previous;
    }
    pthread_mutex_unlock(&connections->lock);
}

void connection_changed(void *argument, struct MHD_Connection *connection, void **socket_context,
                        enum MHD_ConnectionNotificationCode code)
{
    struct server *server = argument;
    struct peer *peer = *socket_context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        set_socket_options(info->connect_fd);
        peer = allocate_struct(struct peer);
        peer->socket = info->connect_fd;
        peer_expect_within(peer, server->options.header_timeout_ms);
        add(server->connections, peer);
        *socket_context = peer;
    } else if (peer != NULL) {
        take_out(server->connections, peer);
        peer_free(peer);
        *socket_context = NULL;
    }
}

/* With the lock, which keeps the sockets open. */
static void cut_late(struct connections *connections, int64_t now)
{
    for (struct peer *peer = connections->first; peer != NULL; peer = peer->next) {
        int64_t deadline = atomic_load(&peer->deadline_ns);
        if (deadline != 0 && deadline < now) {
            shutdown(peer->socket, SHUT_RDWR);
            atomic_store(&peer->deadline_ns, 0);
        }
    }
}

void connections_memory_was_freed(struct connections *connections)
{
    atomic_store(&connections->memory_was_freed, true);
}

static void *sweep(void *argument)
{
    struct connections *connections = argument;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&connections->lock);
    while (!connections->stopping) {
        next.tv_sec++;
        while (!connections->stopping &&
               pthread_cond_timedwait(&connections->stop, &connections->lock, &next) == 0) {
        }
        cut_late(connections, timestamp_monotonic());
        if (atomic_exchange(&connections->memory_was_freed, false)) {
            pthread_mutex_unlock(&connections->lock);
            malloc_trim(0);
            pthread_mutex_lock(&connections->lock);
        }
    }
    pthread_mutex_unlock(&connections->lock);
    return NULL;
}

struct connections *connections_start(struct error *error)
{
    struct connections *connections = allocate_struct(struct connections);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&connections->lock, NULL);
    pthread_cond_init(&connections->stop, &monotonic);
    pthread_condattr_destroy(&monotonic);
    connections->sweeps = pthread_create(&connections->thread, NULL, sweep, connections) == 0;
    if (!connections->sweeps) {
        error_internal(error, "no threads for the HTTP server");
        connections_stop(connections);
        return NULL;
    }
    return connections;
}

void connections_stop(struct connections *connections)
{
    if (connections == NULL) {
        return;
    }
    pthread_mutex_lock(&connections->lock);
    connections->stopping = true;
    pthread_cond_signal(&connections->stop);
    pthread_mutex_unlock(&connections->lock);
    if (connections->sweeps) {
        pthread_join(connections->thread, NULL);
    }
    pthread_cond_destroy(&connections->stop);
    pthread_mutex_destroy(&connections->lock);
    free(connections);
}

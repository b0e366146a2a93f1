// SPDX-License-Identifier: Apache-2.0
/*
 * TCP connections: not too many, and clients that are too slow.
 *
 * How many there may be is limited, in all and for each address, so that nobody can take all of
 * them by opening connections and saying nothing. Whatever is beyond a limit is closed at once:
 * before the handshake there is no way to say why, so the log does, once a second at most.
 *
 * libmicrohttpd's own timeout starts anew with each byte, so a client that sends one now and then
 * would hold its connection for ever. Here each connection has a deadline for what the client is to
 * do next: finish the handshake and the headers, finish the body, send the next request. While the
 * server has the word there is none; TCP_USER_TIMEOUT takes care of clients that don't read.
 *
 * One thread looks at all connections once a second and shuts down the sockets of those that are
 * late; libmicrohttpd then closes them. A connection leaves the list before its socket is closed,
 * and a closed one lingers for a moment where the client has not closed it first.
 *
 * The same thread hands memory back to the system after requests with large bodies: their trees are
 * many times as large, and glibc would keep what lies below the first piece that is still in use.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "apiserver/http/internal.h"
#include "common/alloc.h"
#include "common/log.h"
#include "common/map.h"
#include "common/timestamp.h"

enum { user_timeout_ms = 60000, log_interval_ms = 1000, leaving_most = 64, linger_ms = 2000 };

/* A socket that the server has closed, while the client may still be sending. */
struct leaving {
    int socket;
    int64_t since_ns;
};

struct connections {
    unsigned most, most_of_address;
    pthread_mutex_t lock; /* Guards the lists, 'stopping', and what is counted. */
    unsigned count;
    struct map counts; /* unsigned by address; none is 0. */
    int64_t logged_ns; /* When it was last said that somebody was refused … */
    unsigned unlogged; /* … and how many were since. */
    pthread_cond_t stop;
    struct peer *first;
    struct leaving leaving[leaving_most]; /* The oldest first. */
    size_t leaving_count;
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

/* ---- limits ---- */

static void address_text(const struct sockaddr *address, char text[static INET6_ADDRSTRLEN])
{
    text[0] = '\0';
    if (address->sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, text,
                  INET6_ADDRSTRLEN);
    } else if (address->sa_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, text,
                  INET6_ADDRSTRLEN);
    }
}

/* With the lock. */
static void count_up(struct connections *connections, const char *address)
{
    unsigned *count = map_get(&connections->counts, address);
    if (count == NULL) {
        count = allocate_struct(unsigned);
        map_set(&connections->counts, address, count);
    }
    (*count)++;
    connections->count++;
}

/* With the lock. */
static void count_down(struct connections *connections, const char *address)
{
    unsigned *count = map_get(&connections->counts, address);
    if (--*count == 0) {
        free(map_remove(&connections->counts, address));
    }
    connections->count--;
}

/* With the lock: whether to log this refusal, and '*more' that were not. */
static bool may_log(struct connections *connections, unsigned *more)
{
    int64_t now = timestamp_monotonic();
    if (connections->logged_ns != 0 &&
        now - connections->logged_ns < log_interval_ms * INT64_C(1000000)) {
        connections->unlogged++;
        return false;
    }
    *more = connections->unlogged;
    connections->unlogged = 0;
    connections->logged_ns = now;
    return true;
}

enum MHD_Result connection_wanted(void *argument, const struct sockaddr *address, socklen_t length)
{
    (void)length;
    struct server *server = argument;
    struct connections *connections = server->connections;
    char text[INET6_ADDRSTRLEN];
    address_text(address, text);
    unsigned more = 0;
    pthread_mutex_lock(&connections->lock);
    const unsigned *own = map_get(&connections->counts, text);
    unsigned count = own ? *own : 0, all = connections->count;
    bool refused = count >= connections->most_of_address || all >= connections->most;
    bool log = refused && may_log(connections, &more);
    pthread_mutex_unlock(&connections->lock);
    if (log) {
        log_warning("refusing connections: %s has %u of at most %u, all have %u of at most %u; %u "
                    "more were refused since this was last said",
                    text, count, connections->most_of_address, all, connections->most, more);
    }
    return refused ? MHD_NO : MHD_YES;
}

/* ---- leaving ---- */

/* With the lock. */
static void close_oldest(struct connections *connections, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        close(connections->leaving[i].socket);
    }
    connections->leaving_count -= count;
    memmove(connections->leaving, connections->leaving + count,
            connections->leaving_count * sizeof *connections->leaving);
}

/* With the lock. */
static void close_those_left(struct connections *connections, int64_t now)
{
    size_t count = 0;
    while (count < connections->leaving_count &&
           now - connections->leaving[count].since_ns > linger_ms * INT64_C(1000000)) {
        count++;
    }
    close_oldest(connections, count);
}

/* The socket is about to be closed. What the client still sends would be answered with a reset, and
 * that makes its system throw away the last answer; so a copy keeps the socket for a moment. */
static void linger(struct connections *connections, const struct peer *peer)
{
    char byte;
    ssize_t unread = recv(peer->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    bool may_come = unread < 0 && errno == EAGAIN && !peer->in_step;
    if (unread <= 0 && !may_come) {
        return;
    }
    struct leaving leaving = {fcntl(peer->socket, F_DUPFD_CLOEXEC, 0), timestamp_monotonic()};
    if (leaving.socket < 0) {
        return;
    }
    shutdown(leaving.socket, SHUT_WR);
    pthread_mutex_lock(&connections->lock);
    if (connections->leaving_count == leaving_most) {
        close_oldest(connections, 1);
    }
    connections->leaving[connections->leaving_count++] = leaving;
    pthread_mutex_unlock(&connections->lock);
}

/* ---- the list ---- */

static void add(struct connections *connections, struct peer *peer)
{
    pthread_mutex_lock(&connections->lock);
    count_up(connections, peer->address);
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
    count_down(connections, peer->address);
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

static char *client_address(struct MHD_Connection *connection)
{
    char text[INET6_ADDRSTRLEN] = "";
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info != NULL && info->client_addr != NULL) {
        address_text(info->client_addr, text);
    }
    return duplicate(text);
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
        peer->address = client_address(connection);
        info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        peer_push_itself(peer, info->tls_session);
        peer_expect_within(peer, server->options.header_timeout_ms);
        add(server->connections, peer);
        *socket_context = peer;
    } else if (peer != NULL) {
        void *begun = peer->begun; /* libmicrohttpd drops what it finds too large without a word. */
        exchange_completed(server, connection, &begun, MHD_REQUEST_TERMINATED_WITH_ERROR);
        take_out(server->connections, peer);
        linger(server->connections, peer);
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
        close_those_left(connections, timestamp_monotonic());
        if (atomic_exchange(&connections->memory_was_freed, false)) {
            pthread_mutex_unlock(&connections->lock);
            malloc_trim(0);
            pthread_mutex_lock(&connections->lock);
        }
    }
    pthread_mutex_unlock(&connections->lock);
    return NULL;
}

struct connections *connections_start(unsigned most, unsigned most_of_address, struct error *error)
{
    struct connections *connections = allocate_struct(struct connections);
    connections->most = most;
    connections->most_of_address = most_of_address;
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
    close_oldest(connections, connections->leaving_count);
    pthread_cond_destroy(&connections->stop);
    pthread_mutex_destroy(&connections->lock);
    map_free(&connections->counts, free);
    free(connections);
}

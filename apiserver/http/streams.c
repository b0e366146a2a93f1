// SPDX-License-Identifier: Apache-2.0
/*
 * Bodies that wait. A connection whose body has nothing to send is suspended until the body is
 * woken.
 *
 * The order of things is what makes this right. A read that finds nothing suspends under the
 * exchange's lock, unless a wake came in meanwhile; a wake resumes under the same lock only if the
 * exchange is suspended, else it leaves a note. So no wake is lost.
 *
 * Resuming makes libmicrohttpd walk all suspended connections of a thread, so wakes are collected
 * and done by one thread, a batch at a time. A wake that comes alone is done at once; behind it the
 * thread rests for as long as walks of so many streams deserve, so that with thousands of them a
 * steady trickle of wakes costs a fraction of a core and half a millisecond of delay.
 *
 * libmicrohttpd does not notice that the client of a suspended connection has gone; an epoll of our
 * own does. Its events carry a number, never a pointer: the exchange is looked up under the lock
 * that its end takes as well.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "apiserver/http/internal.h"
#include "common/alloc.h"
#include "common/log.h"

enum {
    rest_a_stream_ns = 100, /* Some five times what a walk takes. */
    rest_least_ns = 50000,  /* A shorter one the system can't keep. */
    rest_most_ns = 2000000,
};

struct slot {
    struct exchange *exchange; /* NULL: free. */
    uint32_t generation;
};

struct streams {
    pthread_mutex_t lock; /* Guards all members but the threads. Taken before an exchange's. */
    pthread_cond_t work;
    struct exchange *first_to_wake, *last_to_wake;
    size_t known; /* Slots in use. */
    struct slot *slots;
    size_t slot_count, slot_capacity;
    size_t free_hint;
    bool stopping;
    int poll;
    int stop_event;
    bool wakes, watches; /* The threads run. */
    pthread_t waker, watcher;
};

/* ---- waking ---- */

static void unlink_wake(struct streams *streams, struct exchange *exchange)
{
    if (!exchange->wake_queued) {
        return;
    }
    if (exchange->previous_to_wake != NULL) {
        exchange->previous_to_wake->next_to_wake = exchange->next_to_wake;
    } else {
        streams->first_to_wake = exchange->next_to_wake;
    }
    if (exchange->next_to_wake != NULL) {
        exchange->next_to_wake->previous_to_wake = exchange->previous_to_wake;
    } else {
        streams->last_to_wake = exchange->previous_to_wake;
    }
    exchange->wake_queued = false;
}

static void queue_wake(struct streams *streams, struct exchange *exchange)
{
    if (exchange->wake_queued) {
        return;
    }
    exchange->wake_queued = true;
    exchange->next_to_wake = NULL;
    exchange->previous_to_wake = streams->last_to_wake;
    if (streams->last_to_wake != NULL) {
        streams->last_to_wake->next_to_wake = exchange;
    } else {
        streams->first_to_wake = exchange;
        pthread_cond_signal(&streams->work);
    }
    streams->last_to_wake = exchange;
}

static void resume(struct exchange *exchange)
{
    pthread_mutex_lock(&exchange->lock);
    if (exchange->suspended) {
        exchange->suspended = false;
        MHD_resume_connection(exchange->connection);
    } else {
        exchange->woken = true;
    }
    pthread_mutex_unlock(&exchange->lock);
}

/* With the lock, which is given up meanwhile. */
static void rest(struct streams *streams)
{
    int64_t rest_ns = (int64_t)streams->known * rest_a_stream_ns;
    if (rest_ns >= rest_least_ns) {
        struct timespec time = {.tv_nsec = rest_ns < rest_most_ns ? rest_ns : rest_most_ns};
        pthread_mutex_unlock(&streams->lock);
        nanosleep(&time, NULL);
        pthread_mutex_lock(&streams->lock);
    }
}

static void *waker_main(void *argument)
{
    struct streams *streams = argument;
    pthread_mutex_lock(&streams->lock);
    while (!streams->stopping) {
        if (streams->first_to_wake == NULL) {
            pthread_cond_wait(&streams->work, &streams->lock);
            continue;
        }
        while (streams->first_to_wake != NULL) {
            struct exchange *exchange = streams->first_to_wake;
            unlink_wake(streams, exchange);
            resume(exchange);
        }
        rest(streams);
    }
    pthread_mutex_unlock(&streams->lock);
    return NULL;
}

void body_wake(struct body *body)
{
    body->wake(body->wake_argument);
}

void stream_wake(void *argument)
{
    struct exchange *exchange = argument;
    struct streams *streams = exchange->server->streams;
    pthread_mutex_lock(&streams->lock);
    queue_wake(streams, exchange);
    pthread_mutex_unlock(&streams->lock);
}

/* ---- clients that leave ---- */

/* With the lock: gives the exchange a number and watches its socket. */
static void remember(struct streams *streams, struct exchange *exchange)
{
    size_t at = streams->free_hint;
    while (at < streams->slot_count && streams->slots[at].exchange != NULL) {
        at++;
    }
    if (at == streams->slot_count) {
        streams->slots = grow(streams->slots, streams->slot_count, &streams->slot_capacity,
                              sizeof *streams->slots);
        streams->slots[streams->slot_count++] = (struct slot){0};
    }
    streams->free_hint = at + 1;
    struct slot *slot = &streams->slots[at];
    slot->exchange = exchange;
    slot->generation++;
    streams->known++;
    exchange->stream_id = (uint64_t)slot->generation << 32 | (uint32_t)at;
    exchange->stream_known = true;
}

static int socket_of(const struct exchange *exchange)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

static void watch_socket(struct streams *streams, struct exchange *exchange)
{
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT,
                                .data.u64 = exchange->stream_id};
    if (epoll_ctl(streams->poll, EPOLL_CTL_ADD, socket_of(exchange), &event) != 0) {
        /* Better cut than kept for ever when its client leaves: clients watch anew. */
        log_warning("a watch could not be followed and is cut: %s", strerror(errno));
        pthread_mutex_lock(&exchange->lock);
        exchange->gone = true;
        pthread_mutex_unlock(&exchange->lock);
    }
}

static void client_left(struct streams *streams, uint64_t id)
{
    size_t at = (uint32_t)id;
    pthread_mutex_lock(&streams->lock);
    struct slot *slot = at < streams->slot_count ? &streams->slots[at] : NULL;
    if (slot != NULL && slot->exchange != NULL && slot->generation == id >> 32) {
        pthread_mutex_lock(&slot->exchange->lock);
        slot->exchange->gone = true;
        pthread_mutex_unlock(&slot->exchange->lock);
        queue_wake(streams, slot->exchange);
    }
    pthread_mutex_unlock(&streams->lock);
}

enum { stop_id = -1 };

static void *watcher_main(void *argument)
{
    struct streams *streams = argument;
    struct epoll_event events[64];
    for (;;) {
        int count = epoll_wait(streams->poll, events, array_length(events), -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 == (uint64_t)stop_id) {
                return NULL;
            }
            client_left(streams, events[i].data.u64);
        }
    }
}

/* ---- reading ---- */

/* True when the connection is now suspended; false when it is to read again, or the client is gone,
 * or the server stops: streams_end() has then passed, or will wait for the lock. */
static bool suspend(struct exchange *exchange)
{
    pthread_mutex_lock(&exchange->lock);
    bool sleep = !exchange->woken && !exchange->gone && !atomic_load(&exchange->server->stopping);
    exchange->woken = false;
    if (sleep) {
        exchange->suspended = true;
        MHD_suspend_connection(exchange->connection);
    }
    pthread_mutex_unlock(&exchange->lock);
    return sleep;
}

static bool is_gone(struct exchange *exchange)
{
    pthread_mutex_lock(&exchange->lock);
    bool gone = exchange->gone;
    pthread_mutex_unlock(&exchange->lock);
    return gone;
}

static void make_known(struct exchange *exchange)
{
    struct streams *streams = exchange->server->streams;
    if (!exchange->stream_known) {
        pthread_mutex_lock(&streams->lock);
        remember(streams, exchange);
        pthread_mutex_unlock(&streams->lock);
        watch_socket(streams, exchange);
    }
}

ssize_t stream_read(void *argument, uint64_t position, char *out, size_t size)
{
    (void)position;
    struct exchange *exchange = argument;
    struct body *body = exchange->response.body;
    for (;;) {
        if (is_gone(exchange)) {
            return MHD_CONTENT_READER_END_WITH_ERROR;
        }
        ssize_t count = body->class->read(body, out, size);
        if (count > 0) {
            exchange->sent += (size_t)count;
            return count;
        }
        if (count != BODY_WAIT) {
            return count == BODY_END ? MHD_CONTENT_READER_END_OF_STREAM
                                     : MHD_CONTENT_READER_END_WITH_ERROR;
        }
        if (atomic_load(&exchange->server->stopping)) {
            return MHD_CONTENT_READER_END_OF_STREAM;
        }
        make_known(exchange);
        if (suspend(exchange)) {
            return 0;
        }
    }
}

void stream_forget(struct exchange *exchange)
{
    struct streams *streams = exchange->server->streams;
    pthread_mutex_lock(&streams->lock);
    unlink_wake(streams, exchange);
    if (exchange->stream_known) {
        size_t at = (uint32_t)exchange->stream_id;
        streams->slots[at].exchange = NULL;
        streams->known--;
        streams->free_hint = at < streams->free_hint ? at : streams->free_hint;
    }
    pthread_mutex_unlock(&streams->lock);
    if (exchange->stream_known) {
        epoll_ctl(streams->poll, EPOLL_CTL_DEL, socket_of(exchange), NULL);
    }
}

/* ---- life ---- */

struct streams *streams_start(struct error *error)
{
    struct streams *streams = allocate_struct(struct streams);
    pthread_mutex_init(&streams->lock, NULL);
    pthread_cond_init(&streams->work, NULL);
    streams->poll = epoll_create1(EPOLL_CLOEXEC);
    streams->stop_event = eventfd(0, EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)stop_id};
    if (streams->poll < 0 || streams->stop_event < 0 ||
        epoll_ctl(streams->poll, EPOLL_CTL_ADD, streams->stop_event, &event) != 0) {
        error_internal(error, "no descriptors for the HTTP server: %s", strerror(errno));
        streams_stop(streams);
        return NULL;
    }
    streams->wakes = pthread_create(&streams->waker, NULL, waker_main, streams) == 0;
    streams->watches = pthread_create(&streams->watcher, NULL, watcher_main, streams) == 0;
    if (!streams->wakes || !streams->watches) {
        error_internal(error, "no threads for the HTTP server");
        streams_stop(streams);
        return NULL;
    }
    return streams;
}

void streams_end(struct streams *streams)
{
    pthread_mutex_lock(&streams->lock);
    for (size_t i = 0; i < streams->slot_count; i++) {
        if (streams->slots[i].exchange != NULL) {
            resume(streams->slots[i].exchange);
        }
    }
    pthread_mutex_unlock(&streams->lock);
}

void streams_stop(struct streams *streams)
{
    if (streams == NULL) {
        return;
    }
    pthread_mutex_lock(&streams->lock);
    streams->stopping = true;
    pthread_cond_signal(&streams->work);
    pthread_mutex_unlock(&streams->lock);
    if (streams->wakes) {
        pthread_join(streams->waker, NULL);
    }
    if (streams->watches) {
        eventfd_write(streams->stop_event, 1);
        pthread_join(streams->watcher, NULL);
    }
    close_descriptor(&streams->stop_event);
    close_descriptor(&streams->poll);
    pthread_mutex_destroy(&streams->lock);
    pthread_cond_destroy(&streams->work);
    free(streams->slots);
    free(streams);
}

// SPDX-License-Identifier: Apache-2.0
/*
 * Bodies that wait: watches.
 *
 * libmicrohttpd sends the headers of such an answer. When it then asks for the first bytes of the
 * body, the connection is suspended and the stream belongs to one of a few streamers until it ends:
 * the streamer's thread reads the body whenever it is woken, and writes what it read straight to
 * the TLS session, which libmicrohttpd leaves alone meanwhile. At the end the connection is
 * resumed, libmicrohttpd asks once more, and hears how the stream ended. So a stream is suspended
 * once and resumed once, by one thread each: nothing races. (Resuming for each event was tried: it
 * makes libmicrohttpd walk all suspended connections, and costs several system calls an event.)
 *
 * A woken stream stands in its streamer's queue once. What changes while others have their turn is
 * read together when its turn comes: the busier the server, the larger and cheaper the pieces.
 *
 * The streamer's epoll tells which clients have left, and when a client that was slow can be
 * written to again. Its events name streams by address: a stream is taken out of the epoll before
 * it ends, by the thread that handles the events, and no event is kept across a turn.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "apiserver/http/internal.h"
#include "common/alloc.h"
#include "common/log.h"

enum {
    record_bytes = 16384, /* The most that TLS puts into one record. */
    head_bytes = 6,       /* Of a chunk: its length, four hexadecimal digits, and a line's end. */
    tail_bytes = 2,
    read_least = 256,   /* Less room in a record is not filled. */
    records_a_turn = 4, /* Then others have theirs. */
};

struct stream {
    struct streamer *streamer;
    struct body *body;
    struct MHD_Connection *connection;
    gnutls_session_t session;
    int socket;
    bool chunked; /* Else the end of the connection ends the body. */
    /* The streamer's thread alone uses the next six until it gives the stream back. */
    bool gone;    /* The client has left. */
    bool blocked; /* A record waits until the socket takes it. */
    size_t sent;  /* Bytes of the body. */
    ssize_t last_read;
    bool over;
    ssize_t end;        /* What libmicrohttpd hears when it is over. */
    bool queued, ended; /* These and the links are guarded by the streamer's lock. */
    struct stream *next_queued;
    struct stream *next, *previous; /* Of all. */
};

struct streamer {
    pthread_mutex_t lock; /* Guards the queue, the list of all, and the flags. */
    pthread_cond_t none;  /* No stream is left. */
    struct stream *first_queued, *last_queued;
    struct stream *all;
    bool sleeping, ending, stopping, runs;
    int poll, event; /* The event ends the thread's sleep. */
    pthread_t thread;
    char record[record_bytes];
};

struct streams {
    atomic_uint next;
    unsigned count;
    struct streamer streamers[];
};

/* ---- the queue; with the lock ---- */

/* Whether the streamer sleeps and is to be woken, once its lock, which it wants first, is free. */
static bool queue(struct streamer *streamer, struct stream *stream)
{
    if (stream->queued || stream->ended) {
        return false;
    }
    stream->queued = true;
    stream->next_queued = NULL;
    if (streamer->last_queued != NULL) {
        streamer->last_queued->next_queued = stream;
    } else {
        streamer->first_queued = stream;
    }
    streamer->last_queued = stream;
    bool slept = streamer->sleeping;
    streamer->sleeping = false;
    return slept;
}

/* Better without the lock. */
static void end_sleep(struct streamer *streamer, bool slept)
{
    if (slept) {
        eventfd_write(streamer->event, 1);
    }
}

static struct stream *take_queued(struct streamer *streamer)
{
    struct stream *stream = streamer->first_queued;
    if (stream != NULL) {
        streamer->first_queued = stream->next_queued;
        if (streamer->first_queued == NULL) {
            streamer->last_queued = NULL;
        }
        stream->queued = false;
    }
    return stream;
}

void body_wake(struct body *body)
{
    body->wake(body->wake_argument);
}

void stream_wake(void *argument)
{
    struct exchange *exchange = argument;
    struct stream *stream = atomic_load(&exchange->stream);
    if (stream != NULL) { /* Else its first read is still to come. */
        struct streamer *streamer = stream->streamer;
        pthread_mutex_lock(&streamer->lock);
        bool slept = queue(streamer, stream);
        pthread_mutex_unlock(&streamer->lock);
        end_sleep(streamer, slept);
    }
}

/* ---- a turn; in the streamer's thread ---- */

enum outcome { SLEEPS, HAS_MORE, ENDED };

static enum outcome end(struct stream *stream, ssize_t how)
{
    stream->over = true;
    stream->end = how;
    return ENDED;
}

/* After a call of gnutls_record_send(). */
static enum outcome take_result(struct stream *stream, ssize_t sent)
{
    if (sent >= 0) {
        stream->blocked = false;
        return HAS_MORE;
    }
    if (sent != GNUTLS_E_AGAIN && sent != GNUTLS_E_INTERRUPTED) {
        return end(stream, MHD_CONTENT_READER_END_WITH_ERROR);
    }
    /* GnuTLS keeps the record. TCP_USER_TIMEOUT ends a wait for a client that never reads. */
    stream->blocked = true;
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLOUT | EPOLLONESHOT, .data.ptr = stream};
    if (epoll_ctl(stream->streamer->poll, EPOLL_CTL_MOD, stream->socket, &event) != 0) {
        return end(stream, MHD_CONTENT_READER_END_WITH_ERROR);
    }
    return SLEEPS;
}

static enum outcome send_record(struct stream *stream, char *record, size_t length)
{
    char *start = record + head_bytes;
    stream->sent += length;
    if (stream->chunked) {
        char head[head_bytes + 1];
        int size = snprintf(head, sizeof head, "%zx\r\n", length);
        memcpy(start + length, "\r\n", tail_bytes);
        start -= size;
        memcpy(start, head, (size_t)size);
        length += (size_t)size + tail_bytes;
    }
    return take_result(stream, gnutls_record_send(stream->session, start, length));
}

/* Fills a record as far as the body has something. What ended the last one ends the body. */
static size_t read_record(struct stream *stream, char *out)
{
    size_t length = 0, room = record_bytes - head_bytes - tail_bytes;
    while (stream->last_read != BODY_END && stream->last_read != BODY_FAIL && room >= read_least) {
        stream->last_read = stream->body->class->read(stream->body, out + length, room);
        if (stream->last_read <= 0) {
            break;
        }
        length += (size_t)stream->last_read;
        room -= (size_t)stream->last_read;
    }
    return length;
}

static enum outcome send_next(struct stream *stream, bool ending)
{
    char *record = stream->streamer->record;
    if (stream->blocked) {
        if (ending) {
            return end(stream, MHD_CONTENT_READER_END_WITH_ERROR);
        }
        return take_result(stream, gnutls_record_send(stream->session, NULL, 0));
    }
    size_t length = read_record(stream, record + head_bytes);
    if (length > 0) {
        return send_record(stream, record, length);
    }
    if (stream->last_read == BODY_WAIT && !ending) {
        return SLEEPS;
    }
    return end(stream, stream->last_read == BODY_FAIL ? MHD_CONTENT_READER_END_WITH_ERROR
                                                      : MHD_CONTENT_READER_END_OF_STREAM);
}

static enum outcome take_turn(struct stream *stream, bool ending)
{
    enum outcome outcome = HAS_MORE;
    for (int i = 0; i < records_a_turn && outcome == HAS_MORE; i++) {
        outcome = stream->over   ? ENDED
                  : stream->gone ? end(stream, MHD_CONTENT_READER_END_WITH_ERROR)
                                 : send_next(stream, ending);
    }
    return outcome;
}

/* With the lock: gives the stream back to libmicrohttpd, which may free it at once. */
static void give_back(struct streamer *streamer, struct stream *stream)
{
    stream->ended = true;
    if (stream->previous != NULL) {
        stream->previous->next = stream->next;
    } else {
        streamer->all = stream->next;
    }
    if (stream->next != NULL) {
        stream->next->previous = stream->previous;
    }
    epoll_ctl(streamer->poll, EPOLL_CTL_DEL, stream->socket, NULL);
    MHD_resume_connection(stream->connection);
    if (streamer->all == NULL) {
        pthread_cond_broadcast(&streamer->none);
    }
}

/* With the lock, which is given up while the stream has its turn. */
static void serve_first(struct streamer *streamer)
{
    struct stream *stream = take_queued(streamer);
    bool ending = streamer->ending;
    pthread_mutex_unlock(&streamer->lock);
    enum outcome outcome = take_turn(stream, ending);
    pthread_mutex_lock(&streamer->lock);
    if (outcome == ENDED && !stream->queued) {
        give_back(streamer, stream);
    } else if (outcome != SLEEPS) { /* Also what ended and was woken meanwhile: it ends again. */
        queue(streamer, stream);
    }
}

/* With the lock, which is given up while there is nothing to do. */
static void look_at_sockets(struct streamer *streamer)
{
    struct epoll_event events[64];
    streamer->sleeping = streamer->first_queued == NULL && !streamer->stopping;
    int timeout = streamer->sleeping ? -1 : 0;
    pthread_mutex_unlock(&streamer->lock);
    int count = epoll_wait(streamer->poll, events, array_length(events), timeout);
    pthread_mutex_lock(&streamer->lock);
    streamer->sleeping = false;
    for (int i = 0; i < count; i++) {
        struct stream *stream = events[i].data.ptr;
        if (stream == NULL) {
            eventfd_t value;
            eventfd_read(streamer->event, &value);
            continue;
        }
        stream->gone = (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
        queue(streamer, stream);
    }
}

static void *streamer_main(void *argument)
{
    enum { turns_a_look = 64 };
    struct streamer *streamer = argument;
    pthread_mutex_lock(&streamer->lock);
    while (!streamer->stopping) {
        look_at_sockets(streamer);
        for (int i = 0; i < turns_a_look && streamer->first_queued != NULL; i++) {
            serve_first(streamer);
        }
    }
    pthread_mutex_unlock(&streamer->lock);
    return NULL;
}

/* ---- from libmicrohttpd ---- */

static struct stream *new_stream(struct exchange *exchange, struct streamer *streamer)
{
    struct MHD_Connection *connection = exchange->connection;
    struct stream *stream = allocate_struct(struct stream);
    stream->streamer = streamer;
    stream->body = exchange->response.body;
    stream->connection = connection;
    stream->session =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session;
    stream->socket =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    stream->chunked = exchange->chunked;
    return stream;
}

/* libmicrohttpd may have left the headers to be sent with what follows. */
static void send_at_once(int socket)
{
    int on = 1, off = 0;
    setsockopt(socket, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static ssize_t begin(struct exchange *exchange)
{
    struct streams *streams = exchange->server->streams;
    struct streamer *streamer =
        &streams->streamers[atomic_fetch_add(&streams->next, 1) % streams->count];
    struct stream *stream = new_stream(exchange, streamer);
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = stream};
    send_at_once(stream->socket);
    pthread_mutex_lock(&streamer->lock);
    atomic_store(&exchange->stream, stream);
    stream->end = MHD_CONTENT_READER_END_OF_STREAM;
    stream->ended = streamer->ending;
    if (!stream->ended && epoll_ctl(streamer->poll, EPOLL_CTL_ADD, stream->socket, &event) != 0) {
        /* Better cut than kept for ever when its client leaves: clients watch anew. */
        log_warning("a watch could not be followed and is cut: %s", strerror(errno));
        stream->end = MHD_CONTENT_READER_END_WITH_ERROR;
        stream->ended = true;
    }
    bool slept = false;
    if (!stream->ended) {
        MHD_suspend_connection(stream->connection);
        stream->next = streamer->all;
        if (stream->next != NULL) {
            stream->next->previous = stream;
        }
        streamer->all = stream;
        slept = queue(streamer, stream);
    }
    ssize_t result = stream->ended ? stream->end : 0;
    pthread_mutex_unlock(&streamer->lock);
    end_sleep(streamer, slept);
    return result;
}

ssize_t stream_read(void *argument, uint64_t position, char *out, size_t size)
{
    (void)position;
    (void)out;
    (void)size;
    struct exchange *exchange = argument;
    struct stream *stream = atomic_load(&exchange->stream);
    return stream == NULL ? begin(exchange) : stream->end;
}

void stream_forget(struct exchange *exchange)
{
    struct stream *stream = atomic_load(&exchange->stream);
    if (stream != NULL) {
        exchange->sent += stream->sent;
        free(stream);
    }
}

/* ---- life ---- */

static bool streamer_start(struct streamer *streamer, struct error *error)
{
    struct epoll_event event = {.events = EPOLLIN};
    streamer->poll = epoll_create1(EPOLL_CLOEXEC);
    streamer->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (streamer->poll < 0 || streamer->event < 0 ||
        epoll_ctl(streamer->poll, EPOLL_CTL_ADD, streamer->event, &event) != 0) {
        return error_internal(error, "no descriptors for the HTTP server: %s", strerror(errno));
    }
    streamer->runs = pthread_create(&streamer->thread, NULL, streamer_main, streamer) == 0;
    return streamer->runs || error_internal(error, "no threads for the HTTP server");
}

struct streams *streams_start(unsigned threads, struct error *error)
{
    struct streams *streams =
        allocate_zero(1, sizeof *streams + threads * sizeof *streams->streamers);
    streams->count = threads;
    bool started = true;
    for (unsigned i = 0; i < threads; i++) {
        struct streamer *streamer = &streams->streamers[i];
        streamer->poll = streamer->event = -1;
        pthread_mutex_init(&streamer->lock, NULL);
        pthread_cond_init(&streamer->none, NULL);
        started = started && streamer_start(streamer, error);
    }
    if (!started) {
        streams_stop(streams);
        return NULL;
    }
    return streams;
}

void streams_end(struct streams *streams)
{
    for (unsigned i = 0; i < streams->count; i++) {
        struct streamer *streamer = &streams->streamers[i];
        pthread_mutex_lock(&streamer->lock);
        streamer->ending = true;
        bool slept = false;
        for (struct stream *stream = streamer->all; stream != NULL; stream = stream->next) {
            slept = queue(streamer, stream) || slept;
        }
        end_sleep(streamer, slept);
        while (streamer->all != NULL) {
            pthread_cond_wait(&streamer->none, &streamer->lock);
        }
        pthread_mutex_unlock(&streamer->lock);
    }
}

void streams_stop(struct streams *streams)
{
    for (unsigned i = 0; streams != NULL && i < streams->count; i++) {
        struct streamer *streamer = &streams->streamers[i];
        pthread_mutex_lock(&streamer->lock);
        streamer->stopping = true;
        pthread_mutex_unlock(&streamer->lock);
        if (streamer->runs) {
            eventfd_write(streamer->event, 1);
            pthread_join(streamer->thread, NULL);
        }
        close_descriptor(&streamer->event);
        close_descriptor(&streamer->poll);
        pthread_mutex_destroy(&streamer->lock);
        pthread_cond_destroy(&streamer->none);
    }
    free(streams);
}

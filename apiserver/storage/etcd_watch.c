// SPDX-License-Identifier: Apache-2.0
/*
 * The watch: one stream of all changes, on a loop of its own, so that decoding megabytes of changes
 * delays no write, and a question to etcd may be waited for.
 *
 * The stream is one long answer, a JSON object a line. It is asked for from the revision already
 * seen, not from the one behind it, and what was seen is dropped: etcd 3.4 keeps no deletes made at
 * the very revision it was compacted at, and would otherwise skip them silently. So what is below
 * or at a compaction and not yet delivered is reported as lost, sometimes without need, never
 * silently left out.
 *
 * A stream that ends, or whose line holds an error, is begun again from the last revision
 * delivered. One that merely falls silent is suspected after some seconds: the newest revision is
 * asked for, and if the stream does not get there soon, it is dead. (Progress notifications would
 * do as well, but depend on the version and configuration of etcd.)
 *
 * Every revision of etcd has an event in a watch over the whole key space. So the comparison is
 * exact, and a gap, as after the restoration of a backup, is noticed and reported as lost.
 */
#include <string.h>

#include "apiserver/storage/etcd_message.h"
#include "apiserver/storage/etcd_store.h"
#include "common/alloc.h"
#include "common/connections.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/timestamp.h"

enum {
    least_pause_ms = 50, /* Between attempts to connect. */
    most_pause_ms = 5000,
    silence_ms = 5000, /* After which the stream is compared with the newest revision, */
    grace_ms = 2000,   /* and how long it then has to get there. */
    compare_timeout_ms = 3000,
    answer_timeout_ms = 5000, /* Until etcd confirms a watch. */
    look_ms = 500,
    refusal_bytes = 4096, /* Of an answer that is no watch. */
};

static const int64_t millisecond = 1000000;

enum stream_state { STREAM_ALIVE, STREAM_BROKEN, STREAM_LOST };

/* All but the first two belong to the loop. */
struct etcd_watch {
    struct etcd_transport *transport;
    struct loop *loop;                /* NULL until something is to be watched. */
    struct connections **connections; /* To each endpoint. */
    struct store_watcher watcher;
    int64_t delivered;          /* The last revision delivered. */
    size_t endpoint;            /* That of the stream. */
    struct exchange stream;     /* Its request and its answer. */
    struct buffer pending;      /* What has come of it and holds no whole line, or an error. */
    size_t searched;            /* Bytes of 'pending' known to hold no end of a line. */
    struct store_items changes; /* Read and not delivered. */
    bool confirmed;             /* etcd has said that the watch is created. */
    int64_t heard;              /* Monotonic time of the last sign of life. */
    int64_t expected;           /* The revision the stream must get to, 0 if it is not suspected, */
    int64_t expected_until;     /* and by when. */
    int pause_ms;
    struct loop_timer next; /* The next look at a stream, or attempt to begin one. */
    enum stream_state state;
    struct error error; /* Why it was lost. */
};

/* ---- reading the stream ---- */

static void drop_changes(struct store_items *changes, size_t keep)
{
    while (changes->count > keep) {
        store_item_clear(&changes->list[--changes->count]);
    }
}

/* Adds the changes of one line to those to deliver. Of a line that can't be read or that comes
 * behind a gap nothing is added: it may hold a part of a revision. */
static void take_events(struct etcd_watch *watch, struct json_span events)
{
    static const char *const paths[] = {"type", "kv"};
    struct store_items *changes = &watch->changes;
    size_t before = changes->count;
    int64_t reached = before > 0 ? changes->list[before - 1].mod_revision : watch->delivered;
    struct json_span event;
    for (size_t at = 0; watch->state == STREAM_ALIVE && etcd_next(events, &at, &event);) {
        struct json_span spans[array_length(paths)] = {0};
        json_scan(event.text, event.length, paths, array_length(paths), spans);
        bool deleted = spans[0].length == strlen("\"DELETE\"");
        struct store_item *item = etcd_add_item(changes);
        if (!etcd_read_item(spans[1], deleted, item, NULL)) {
            log_error("etcd sent a change that can't be read");
            watch->state = STREAM_BROKEN;
        } else if (item->mod_revision <= reached) {
            drop_changes(changes, changes->count - 1);
        }
    }
    if (watch->state == STREAM_ALIVE && changes->count > before &&
        changes->list[before].mod_revision > reached + 1) {
        error_expired(&watch->error, "etcd left out changes between the revisions %lld and %lld",
                      (long long)reached, (long long)changes->list[before].mod_revision);
        watch->state = STREAM_LOST;
    }
    if (watch->state != STREAM_ALIVE) {
        drop_changes(changes, before);
    }
}

/* What came together is delivered together. */
static void deliver(void *argument)
{
    struct etcd_watch *watch = argument;
    struct store_items *changes = &watch->changes;
    if (changes->count > 0) {
        watch->delivered = changes->list[changes->count - 1].mod_revision;
        watch->watcher.changes(watch->watcher.argument, changes->list, changes->count,
                               watch->delivered);
        drop_changes(changes, 0);
    }
}

static void take_line(struct etcd_watch *watch, const char *line, size_t length)
{
    static const char *const paths[] = {
        "result.created",          "result.events",        "result.canceled",
        "result.compact_revision", "result.cancel_reason", "error.message",
    };
    enum { created, events, canceled, compact_revision, cancel_reason, error_message };
    struct json_span spans[array_length(paths)] = {0};
    if (length == 0) {
        return;
    }
    json_scan(line, length, paths, array_length(paths), spans);
    if (etcd_int(spans[compact_revision]) > 0) {
        error_expired(&watch->error, "the required revision has been compacted");
        watch->state = STREAM_LOST;
    } else if (spans[error_message].text != NULL || spans[canceled].length == strlen("true")) {
        cleanup(free_char)
        char *words = json_span_value(
            spans[spans[error_message].text != NULL ? error_message : cancel_reason]);
        log_warning("etcd ended the watch: %s", words != NULL ? words : "without a reason");
        watch->state = STREAM_BROKEN;
    } else if (spans[created].length == strlen("true")) {
        watch->confirmed = true;
        watch->pause_ms = least_pause_ms;
        watch->watcher.changes(watch->watcher.argument, NULL, 0, watch->delivered);
    }
    if (watch->state == STREAM_ALIVE && spans[events].text != NULL) {
        take_events(watch, spans[events]);
    }
}

static void take_lines(struct etcd_watch *watch)
{
    size_t start = 0;
    const char *bytes = watch->pending.bytes;
    while (watch->state == STREAM_ALIVE && watch->searched < watch->pending.length) {
        const char *end =
            memchr(bytes + watch->searched, '\n', watch->pending.length - watch->searched);
        if (end == NULL) {
            watch->searched = watch->pending.length;
            break;
        }
        take_line(watch, bytes + start, (size_t)(end - bytes) - start);
        start = (size_t)(end - bytes) + 1;
        watch->searched = start;
    }
    if (start > 0) {
        watch->pending.length -= start;
        watch->searched -= start;
        memmove(watch->pending.bytes, bytes + start, watch->pending.length);
    }
}

static bool take_bytes(void *argument, const char *bytes, size_t length)
{
    struct etcd_watch *watch = argument;
    watch->heard = timestamp_monotonic();
    buffer_add(&watch->pending, bytes, length);
    if (watch->stream.parser.code != 200) {
        return watch->pending.length < refusal_bytes; /* To be told at the end. */
    }
    take_lines(watch);
    return watch->state == STREAM_ALIVE;
}

/* ---- one stream ---- */

/* Compares a silent stream with the newest revision. */
static void suspect(struct etcd_watch *watch)
{
    int64_t newest;
    struct error error = ERROR_INIT;
    bool answered =
        etcd_revision(watch->transport, (struct etcd_patience){.timeout_ms = compare_timeout_ms},
                      &newest, &error);
    error_clear(&error);
    int64_t now = timestamp_monotonic();
    if (!answered || newest == watch->delivered) {
        watch->heard = now;
    } else if (newest > watch->delivered) {
        watch->expected = newest;
        watch->expected_until = now + grace_ms * millisecond;
    } else {
        error_expired(&watch->error, "etcd went back from revision %lld to %lld",
                      (long long)watch->delivered, (long long)newest);
        watch->state = STREAM_LOST;
    }
}

static void look_for_silence(struct etcd_watch *watch)
{
    int64_t now = timestamp_monotonic();
    if (watch->expected > 0 && watch->delivered >= watch->expected) {
        watch->expected = 0;
    }
    if (!watch->confirmed) {
        if (now - watch->heard > answer_timeout_ms * millisecond) {
            log_warning("etcd does not answer the request to watch");
            watch->state = STREAM_BROKEN;
        }
    } else if (watch->expected == 0) {
        if (now - watch->heard > silence_ms * millisecond) {
            suspect(watch);
        }
    } else if (now > watch->expected_until && now - watch->heard > grace_ms * millisecond) {
        log_warning("the watch of etcd is silent at revision %lld while etcd is at %lld",
                    (long long)watch->delivered, (long long)watch->expected);
        watch->state = STREAM_BROKEN;
    }
}

static void begin_stream(void *argument);

/* It is not under way any more. */
static void end_stream(struct etcd_watch *watch)
{
    deliver(watch);
    if (watch->state == STREAM_LOST) {
        loop_timer_cancel(watch->loop, &watch->next);
        watch->watcher.lost(watch->watcher.argument, &watch->error);
        error_clear(&watch->error);
        return;
    }
    etcd_transport_report(watch->transport, watch->endpoint, false);
    loop_timer_set(watch->loop, &watch->next, watch->pause_ms, begin_stream, watch);
    watch->pause_ms = watch->pause_ms * 2 > most_pause_ms ? most_pause_ms : watch->pause_ms * 2;
}

/* Why an exchange failed. */
static const char *words_of(const struct exchange *stream, CURLcode result)
{
    return result == CURLE_PARTIAL_FILE || result == CURLE_GOT_NOTHING ? "it was cut off"
           : stream->detail[0] != '\0'                                 ? stream->detail
                                                                       : curl_easy_strerror(result);
}

static void stream_ended(void *argument, CURLcode result)
{
    struct etcd_watch *watch = argument;
    const struct exchange *stream = &watch->stream;
    int status = stream->parser.code;
    if (result == CURLE_ABORTED_BY_CALLBACK) {
        return; /* The store is closed. */
    }
    if (watch->state == STREAM_ALIVE) {
        watch->state = STREAM_BROKEN;
        if (status != 200 && status != 0) {
            log_warning("etcd refuses to be watched: HTTP status %d %.200s", status,
                        buffer_text(&watch->pending));
        } else if (result != CURLE_OK) {
            log_warning("the watch of etcd broke: %s", words_of(stream, result));
        } else {
            log_info("etcd ended the watch");
        }
    }
    end_stream(watch);
}

static void look_at_stream(void *argument)
{
    struct etcd_watch *watch = argument;
    look_for_silence(watch);
    if (watch->state == STREAM_ALIVE) {
        loop_timer_set(watch->loop, &watch->next, look_ms, look_at_stream, watch);
    } else {
        exchange_cancel(&watch->stream);
        end_stream(watch);
    }
}

static void write_request(struct etcd_watch *watch)
{
    cleanup(buffer_free)
    struct buffer body = BUFFER_INIT;
    buffer_add_literal(&body, "{\"create_request\":{\"key\":\"" ETCD_WHOLE
                              "\",\"range_end\":\"" ETCD_WHOLE "\",");
    etcd_add_int(&body, "start_revision", watch->delivered);
    buffer_add_literal(&body, "}}");
    etcd_transport_write(watch->transport, watch->endpoint, "/v3/watch", buffer_text(&body),
                         body.length, &watch->stream.text);
}

static void begin_stream(void *argument)
{
    struct etcd_watch *watch = argument;
    watch->endpoint = etcd_transport_endpoint(watch->transport);
    buffer_reset(&watch->pending);
    watch->searched = 0;
    watch->confirmed = false;
    watch->heard = timestamp_monotonic();
    watch->expected = 0;
    watch->state = STREAM_ALIVE;
    write_request(watch);
    loop_timer_set(watch->loop, &watch->next, look_ms, look_at_stream, watch);
    exchange_start(watch->connections[watch->endpoint], &watch->stream);
}

/* ---- life ---- */

struct etcd_watch *etcd_watch_open(struct etcd_transport *transport)
{
    struct etcd_watch *watch = allocate_struct(struct etcd_watch);
    *watch = (struct etcd_watch){
        .transport = transport,
        .stream = {.limit_ms = INT32_MAX, /* Silence is looked at otherwise. */
                   .is_stream = true,
                   .take = take_bytes,
                   .paused = deliver,
                   .done = stream_ended,
                   .argument = watch},
    };
    return watch;
}

static void open_connections(struct etcd_watch *watch)
{
    size_t count = etcd_transport_endpoint_count(watch->transport);
    watch->loop = loop_new();
    watch->connections = allocate_zero(count, sizeof(struct connections *));
    for (size_t i = 0; i < count; i++) {
        watch->connections[i] = etcd_transport_connections(watch->transport, i, watch->loop);
    }
}

void etcd_watch_start(struct etcd_watch *watch, int64_t after, struct store_watcher watcher)
{
    if (watch->loop == NULL) {
        open_connections(watch);
    }
    /* Nothing is under way; whoever watches again has been told that the watch was lost. */
    watch->watcher = watcher;
    /* Revision 1 is the empty store and has no change. */
    watch->delivered = after > 1 ? after : 1;
    watch->pause_ms = least_pause_ms;
    loop_post(watch->loop, begin_stream, watch);
}

void etcd_watch_close(struct etcd_watch *watch)
{
    if (watch->loop != NULL) {
        loop_stop(watch->loop);
        for (size_t i = 0; i < etcd_transport_endpoint_count(watch->transport); i++) {
            connections_free(watch->connections[i]);
        }
        loop_free(watch->loop);
    }
    free(watch->connections);
    buffer_free(&watch->stream.text);
    buffer_free(&watch->pending);
    store_items_clear(&watch->changes);
    error_clear(&watch->error);
    free(watch);
}

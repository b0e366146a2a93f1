// SPDX-License-Identifier: Apache-2.0
/*
 * The watch: one stream of all changes, on a thread of its own, so that decoding megabytes of
 * changes delays no write.
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
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "apiserver/storage/etcd_message.h"
#include "apiserver/storage/etcd_store.h"
#include "common/alloc.h"
#include "common/log.h"
#include "common/timestamp.h"

enum {
    least_pause_ms = 50, /* Between attempts to connect. */
    most_pause_ms = 5000,
    silence_ms = 5000, /* After which the stream is compared with the newest revision, */
    grace_ms = 2000,   /* and how long it then has to get there. */
    compare_timeout_ms = 3000,
    answer_timeout_ms = 5000, /* Until etcd confirms a watch. */
    poll_ms = 500,
};

static const int64_t millisecond = 1000000;

enum stream_state { STREAM_ALIVE, STREAM_BROKEN, STREAM_LOST };

struct etcd_watch {
    struct etcd_transport *transport;
    pthread_t thread;
    CURLM *multi;
    _Atomic bool closing;

    pthread_mutex_t lock; /* Guards what follows. */
    pthread_cond_t changed;
    bool running;   /* The thread was started. */
    bool requested; /* A watch is to begin, */
    int64_t requested_after;
    struct store_watcher requested_watcher;

    /* Owned by the thread. */
    struct store_watcher watcher;
    int64_t delivered;      /* The last revision delivered. */
    struct buffer pending;  /* What has come of the stream and not been delivered. */
    size_t searched;        /* Bytes of 'pending' known to hold no end of a line. */
    bool confirmed;         /* etcd has said that the watch is created. */
    int64_t heard;          /* Monotonic time of the last sign of life. */
    int64_t expected;       /* The revision the stream must get to, 0 if it is not suspected, */
    int64_t expected_until; /* and by when. */
    int pause_ms;
    enum stream_state state;
    struct error error; /* Why it was lost. */
};

/* ---- reading the stream ---- */

static void deliver(struct etcd_watch *watch, struct json_span events)
{
    static const char *const paths[] = {"type", "kv"};
    struct store_items items = STORE_ITEMS_INIT;
    struct json_span event;
    for (size_t at = 0; etcd_next(events, &at, &event);) {
        struct json_span spans[array_length(paths)] = {0};
        json_scan(event.text, event.length, paths, array_length(paths), spans);
        bool deleted = spans[0].length == strlen("\"DELETE\"");
        struct store_item *item = etcd_add_item(&items);
        if (!etcd_read_item(spans[1], deleted, item, NULL)) {
            log_error("etcd sent a change that can't be read");
            watch->state = STREAM_BROKEN;
            items.count--;
            break;
        }
        if (item->mod_revision <= watch->delivered) {
            store_item_clear(item);
            items.count--;
        }
    }
    if (watch->state == STREAM_ALIVE && items.count > 0 &&
        items.list[0].mod_revision > watch->delivered + 1) {
        error_expired(&watch->error, "etcd left out changes between the revisions %lld and %lld",
                      (long long)watch->delivered, (long long)items.list[0].mod_revision);
        watch->state = STREAM_LOST;
    }
    if (watch->state == STREAM_ALIVE && items.count > 0) {
        watch->delivered = items.list[items.count - 1].mod_revision;
        watch->watcher.changes(watch->watcher.argument, items.list, items.count, watch->delivered);
    }
    store_items_clear(&items);
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
        deliver(watch, spans[events]);
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

static size_t receive(char *bytes, size_t size, size_t count, void *argument)
{
    struct etcd_watch *watch = argument;
    watch->heard = timestamp_monotonic();
    buffer_add(&watch->pending, bytes, size * count);
    return size * count;
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

/* Whether the stream has ended. */
static bool has_ended(struct etcd_watch *watch, CURL *easy)
{
    int left;
    CURLMsg *message = curl_multi_info_read(watch->multi, &left);
    if (message == NULL || message->msg != CURLMSG_DONE) {
        return false;
    }
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (message->data.result != CURLE_OK) {
        log_warning("the watch of etcd broke: %s", curl_easy_strerror(message->data.result));
    } else if (status != 200) {
        log_warning("etcd refuses to be watched: HTTP status %ld %.200s", status,
                    buffer_text(&watch->pending));
    } else {
        log_info("etcd ended the watch");
    }
    return true;
}

static CURL *open_stream(struct etcd_watch *watch, size_t endpoint)
{
    cleanup(buffer_free)
    struct buffer body = BUFFER_INIT;
    buffer_add_literal(&body, "{\"create_request\":{\"key\":\"" ETCD_WHOLE
                              "\",\"range_end\":\"" ETCD_WHOLE "\",");
    etcd_add_int(&body, "start_revision", watch->delivered);
    buffer_add_literal(&body, "}}");
    CURL *easy = curl_easy_init();
    if (easy == NULL) {
        return NULL;
    }
    etcd_transport_prepare(watch->transport, easy, endpoint, "/v3/watch");
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)body.length);
    curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, buffer_text(&body));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, watch);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_multi_add_handle(watch->multi, easy);
    return easy;
}

/* Follows one stream until it ends, is lost, or the store is closed. */
static void follow_stream(struct etcd_watch *watch)
{
    size_t endpoint = etcd_transport_endpoint(watch->transport);
    buffer_reset(&watch->pending);
    watch->searched = 0;
    watch->confirmed = false;
    watch->heard = timestamp_monotonic();
    watch->expected = 0;
    watch->state = STREAM_ALIVE;
    CURL *easy = open_stream(watch, endpoint);
    if (easy == NULL) {
        return;
    }
    while (watch->state == STREAM_ALIVE && !watch->closing) {
        int running;
        curl_multi_perform(watch->multi, &running);
        take_lines(watch);
        if (watch->state == STREAM_ALIVE && has_ended(watch, easy)) {
            watch->state = STREAM_BROKEN;
        }
        if (watch->state == STREAM_ALIVE) {
            look_for_silence(watch);
            curl_multi_poll(watch->multi, NULL, 0, poll_ms, NULL);
        }
    }
    curl_multi_remove_handle(watch->multi, easy);
    curl_easy_cleanup(easy);
    if (watch->state == STREAM_BROKEN) {
        etcd_transport_report(watch->transport, endpoint, false);
    }
}

/* ---- the thread ---- */

/* Waits for a request to watch; false when the store is closed. */
static bool take_request(struct etcd_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    while (!watch->requested && !watch->closing) {
        pthread_cond_wait(&watch->changed, &watch->lock);
    }
    watch->requested = false;
    watch->watcher = watch->requested_watcher;
    /* Revision 1 is the empty store and has no change. */
    watch->delivered = watch->requested_after > 1 ? watch->requested_after : 1;
    pthread_mutex_unlock(&watch->lock);
    return !watch->closing;
}

/* Waits before the next attempt, longer each time until one succeeds. */
static void pause_watch(struct etcd_watch *watch)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t nanoseconds = until.tv_nsec + watch->pause_ms * millisecond;
    until.tv_sec += nanoseconds / (1000 * millisecond);
    until.tv_nsec = nanoseconds % (1000 * millisecond);
    pthread_mutex_lock(&watch->lock);
    int waited = 0;
    while (!watch->closing && waited == 0) {
        waited = pthread_cond_timedwait(&watch->changed, &watch->lock, &until);
    }
    pthread_mutex_unlock(&watch->lock);
    watch->pause_ms = watch->pause_ms * 2 > most_pause_ms ? most_pause_ms : watch->pause_ms * 2;
}

static void *thread_main(void *argument)
{
    struct etcd_watch *watch = argument;
    while (take_request(watch)) {
        watch->pause_ms = least_pause_ms;
        for (;;) {
            follow_stream(watch);
            if (watch->closing || watch->state == STREAM_LOST) {
                break;
            }
            pause_watch(watch);
        }
        if (watch->state == STREAM_LOST && !watch->closing) {
            watch->watcher.lost(watch->watcher.argument, &watch->error);
        }
        error_clear(&watch->error);
    }
    return NULL;
}

struct etcd_watch *etcd_watch_open(struct etcd_transport *transport)
{
    struct etcd_watch *watch = allocate_struct(struct etcd_watch);
    watch->transport = transport;
    watch->multi = curl_multi_init();
    pthread_mutex_init(&watch->lock, NULL);
    pthread_cond_init(&watch->changed, NULL);
    return watch;
}

bool etcd_watch_start(struct etcd_watch *watch, int64_t after, struct store_watcher watcher,
                      struct error *error)
{
    int failed = 0;
    pthread_mutex_lock(&watch->lock);
    watch->requested = true;
    watch->requested_after = after;
    watch->requested_watcher = watcher;
    if (!watch->running) {
        /* Signals are for the program's own threads, and none may come of a broken connection. */
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        failed = pthread_create(&watch->thread, NULL, thread_main, watch);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        watch->running = failed == 0;
    }
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
    return failed == 0 || error_internal(error, "can't start a thread: %s", strerror(failed));
}

void etcd_watch_close(struct etcd_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    watch->closing = true;
    bool running = watch->running;
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
    if (running) {
        curl_multi_wakeup(watch->multi);
        pthread_join(watch->thread, NULL);
    }
    curl_multi_cleanup(watch->multi);
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->lock);
    buffer_free(&watch->pending);
    free(watch);
}

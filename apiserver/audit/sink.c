// SPDX-License-Identifier: Apache-2.0
#include "apiserver/audit/sink.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/timestamp.h"

enum { waiting_bytes_max = 64 << 20 };

struct audit_sink {
    struct audit_target target;
    const struct audit_sink_options *options;
    struct metric *errors;
    bool batches;
    bool is_blocking; /* Not in mode "batch". */

    pthread_mutex_t lock; /* Guards what follows. */
    pthread_cond_t work;
    char **waiting;
    size_t count, capacity, bytes;
    int64_t since_ns; /* When the first of them came. */
    bool stopping;

    pthread_t thread;
    bool has_thread;
};

/* ---- failures ---- */

static void lost(struct audit_sink *sink, const char *plugin, size_t count,
                 const struct error *error)
{
    metric_add(sink->errors, (double)count, metric_labels(plugin));
    log_error("Error in audit plugin '%s' affecting %zu audit events: %s", plugin, count,
              error->message);
}

static bool deliver(struct audit_sink *sink, char *const *events, size_t count)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    if (sink->target.deliver(sink->target.state, sink, events, count, &error)) {
        return true;
    }
    lost(sink, sink->target.plugin, count, &error);
    return false;
}

/* ---- batches ---- */

static struct timespec after(int64_t nanoseconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    nanoseconds += until.tv_nsec;
    until.tv_sec += nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    return until;
}

bool audit_sink_pause(struct audit_sink *sink, int64_t nanoseconds)
{
    struct timespec until = after(nanoseconds);
    pthread_mutex_lock(&sink->lock);
    for (int waited = 0; !sink->stopping && waited == 0;) {
        waited = pthread_cond_timedwait(&sink->work, &sink->lock, &until);
    }
    bool go_on = !sink->stopping;
    pthread_mutex_unlock(&sink->lock);
    return go_on;
}

/* With the lock held: until there is a batch to deliver, or there won't be one any more. */
static void wait_for_batch(struct audit_sink *sink)
{
    int64_t wait_ns = sink->is_blocking ? 0 : sink->options->batch_wait_ns;
    while (!sink->stopping && sink->count < (size_t)sink->options->batch_size) {
        int64_t left = sink->since_ns + wait_ns - timestamp_monotonic();
        if (sink->count == 0) {
            pthread_cond_wait(&sink->work, &sink->lock);
        } else if (left > 0) {
            struct timespec until = after(left);
            pthread_cond_timedwait(&sink->work, &sink->lock, &until);
        } else {
            break;
        }
    }
}

/* With the lock held: takes the oldest events out, to 'batch'. */
static size_t take_batch(struct audit_sink *sink, char **batch)
{
    size_t most = (size_t)sink->options->batch_size, bytes = 0, count = 0;
    size_t bytes_max = sink->options->truncates ? (size_t)sink->options->batch_bytes_max : SIZE_MAX;
    while (count < most && count < sink->count) {
        bytes += strlen(sink->waiting[count]);
        if (count > 0 && bytes > bytes_max) {
            break;
        }
        sink->bytes -= strlen(sink->waiting[count]);
        batch[count] = sink->waiting[count];
        count++;
    }
    sink->count -= count;
    memmove(sink->waiting, sink->waiting + count, sink->count * sizeof(char *));
    sink->since_ns = timestamp_monotonic();
    return count;
}

static void *thread_main(void *argument)
{
    struct audit_sink *sink = argument;
    char **batch = allocate_zero((size_t)sink->options->batch_size, sizeof(char *));
    pthread_mutex_lock(&sink->lock);
    for (;;) {
        wait_for_batch(sink);
        if (sink->count == 0) {
            break;
        }
        size_t count = take_batch(sink, batch);
        pthread_mutex_unlock(&sink->lock);
        deliver(sink, batch, count);
        for (size_t i = 0; i < count; i++) {
            free(batch[i]);
        }
        pthread_mutex_lock(&sink->lock);
    }
    pthread_mutex_unlock(&sink->lock);
    free(batch);
    return NULL;
}

/* Takes over the text. */
static bool enqueue(struct audit_sink *sink, char *text)
{
    size_t length = strlen(text);
    pthread_mutex_lock(&sink->lock);
    bool fits = sink->count < (size_t)sink->options->buffer_size &&
                sink->bytes + length <= waiting_bytes_max;
    if (fits) {
        sink->waiting = grow(sink->waiting, sink->count, &sink->capacity, sizeof(char *));
        sink->since_ns = sink->count == 0 ? timestamp_monotonic() : sink->since_ns;
        sink->waiting[sink->count++] = text;
        sink->bytes += length;
        if (sink->count == 1 || sink->count >= (size_t)sink->options->batch_size) {
            pthread_cond_broadcast(&sink->work);
        }
    }
    pthread_mutex_unlock(&sink->lock);
    if (!fits) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        error_internal(&error, "audit buffer queue blocked");
        lost(sink, "buffered", 1, &error);
        free(text);
    }
    return fits;
}

/* ---- events ---- */

static char *print(const struct audit_sink *sink, const json_t *event)
{
    return sink->target.print != NULL ? sink->target.print(event) : json_text(event);
}

/* The event without the objects in it; NULL when that is still too long. */
static char *print_truncated(const struct audit_sink *sink, const json_t *event)
{
    cleanup(json_release)
    json_t *less = json_copy((json_t *)event);
    json_t *annotations = json_copy(json_object_get(event, "annotations"));
    annotations = annotations ? annotations : json_object();
    json_object_del(less, "requestObject");
    json_object_del(less, "responseObject");
    json_object_set_new(annotations, "audit.k8s.io/truncated", json_string("true"));
    json_object_set_new(less, "annotations", annotations);
    char *text = print(sink, less);
    if (strlen(text) > (size_t)sink->options->event_bytes_max) {
        free(text);
        return NULL;
    }
    return text;
}

bool audit_sink_waits(const struct audit_sink *sink)
{
    return sink->is_blocking && sink->target.waits;
}

bool audit_sink_write(struct audit_sink *sink, const json_t *event, bool may_wait)
{
    cleanup(free_char)
    char *text = print(sink, event);
    if (sink->options->truncates && strlen(text) > (size_t)sink->options->event_bytes_max) {
        free(text);
        text = print_truncated(sink, event);
    }
    if (text == NULL) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        error_internal(&error, "event is too large even after truncating");
        lost(sink, "truncate", 1, &error);
        return false;
    }
    bool is_queued = sink->batches && !(sink->is_blocking && may_wait);
    return is_queued ? enqueue(sink, steal(text)) : deliver(sink, &text, 1);
}

bool audit_sink_is_strict(const struct audit_sink *sink)
{
    return strcmp(sink->options->mode, "blocking-strict") == 0;
}

/* ---- set-up ---- */

struct audit_sink *audit_sink_open(const struct audit_target *target,
                                   const struct audit_sink_options *options, struct metric *errors)
{
    struct audit_sink *sink = allocate_struct(struct audit_sink);
    pthread_condattr_t attributes;
    *sink = (struct audit_sink){.target = *target, .options = options, .errors = errors};
    pthread_mutex_init(&sink->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&sink->work, &attributes);
    pthread_condattr_destroy(&attributes);
    sink->is_blocking = strcmp(options->mode, "batch") != 0;
    if (!sink->is_blocking || target->waits) {
        sink->has_thread = pthread_create(&sink->thread, NULL, thread_main, sink) == 0;
        sink->batches = sink->has_thread; /* Without a thread whoever writes has to deliver. */
    }
    return sink;
}

void audit_sink_close(struct audit_sink *sink)
{
    if (sink == NULL) {
        return;
    }
    pthread_mutex_lock(&sink->lock);
    sink->stopping = true;
    pthread_cond_broadcast(&sink->work);
    pthread_mutex_unlock(&sink->lock);
    if (sink->has_thread) {
        pthread_join(sink->thread, NULL);
    }
    sink->target.free(sink->target.state);
    pthread_mutex_destroy(&sink->lock);
    pthread_cond_destroy(&sink->work);
    free(sink->waiting);
    free(sink);
}

// SPDX-License-Identifier: Apache-2.0
/*
 * Watch: a body that never ends by itself, a cursor into a table's log.
 *
 * A read renders as many of the next changes as fit and keeps what did not; when there is nothing,
 * it says so and the connection sleeps until the cache wakes it. A change becomes ADDED, MODIFIED
 * or DELETED by whether the object matched the selectors before and matches now.
 *
 * Threads: reads come from the connection's HTTP thread; wake and interested from the cache's
 * dispatcher, which only looks at what never changes after the start. 'lock' orders a wake against
 * the close.
 */
#include <string.h>

#include "apiserver/registry/read.h"
#include "apiserver/views/render.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

enum {
    wait_revision_ms = 3000,
    changes_a_read = 32,
    timeout_max_seconds = 1 << 30,
    timeout_min_seconds = 1800, /* Without timeoutSeconds: between this and twice as long. */
    bookmark_interval_seconds = 60,
};

struct watch_body {
    struct body body;
    struct cache_watcher watcher;
    struct registry *registry;
    struct renderer renderer;
    struct list_query query;
    char *prefix; /* Keys outside don't concern this watch. */
    size_t prefix_length;
    struct snapshot *initial; /* Objects to report as ADDED before anything else; NULL when done. */
    size_t initial_next;
    bool initial_end_wanted; /* sendInitialEvents: a bookmark closes them. */
    bool bookmarks;
    int64_t after;    /* What happened up to here is not told. */
    int64_t revision; /* Up to where the client has been told. */
    int64_t ends_ns, bookmark_ns;
    struct buffer pending;
    size_t pending_sent;
    bool failed, ended;
    pthread_mutex_t lock; /* Guards 'closed'. */
    bool closed;
};

/* ---- events ---- */

static bool matches(const struct watch_body *watch, const struct object *object)
{
    return object != NULL && list_query_matches(&watch->query, object);
}

static bool in_prefix(const struct watch_body *watch, const struct object *object)
{
    return strncmp(object->key, watch->prefix, watch->prefix_length) == 0;
}

static void render_change(struct watch_body *watch, const struct change *change)
{
    if (change->revision <= watch->after || !in_prefix(watch, change->object)) {
        return;
    }
    bool before = matches(watch, change->previous);
    bool now = !change->deleted && matches(watch, change->object);
    const char *type = before && now ? "MODIFIED" : now ? "ADDED" : before ? "DELETED" : NULL;
    if (type != NULL) {
        /* What left the selector is shown as it was last when it matched. */
        const struct object *shown = now ? change->object : change->previous;
        render_event(&watch->renderer, type, shown, change->revision, &watch->pending);
    }
}

static void render_failure(struct watch_body *watch, const struct error *error)
{
    cleanup(json_release)
    json_t *status = error_to_status(error);
    buffer_add_literal(&watch->pending, "{\"type\":\"ERROR\",\"object\":");
    json_encode(status, &watch->pending);
    buffer_add_literal(&watch->pending, "}\n");
    watch->failed = true;
}

/* A watch that began in the future has as good as seen everything up to there. */
static int64_t told(const struct watch_body *watch)
{
    return watch->revision > watch->after ? watch->revision : watch->after;
}

static void produce_initial(struct watch_body *watch)
{
    struct snapshot *initial = watch->initial;
    if (initial != NULL && watch->initial_next < initial->count) {
        const struct object *object = initial->objects[watch->initial_next++];
        if (matches(watch, object)) {
            render_event(&watch->renderer, "ADDED", object, object->revision, &watch->pending);
        }
        return;
    }
    snapshot_free(initial);
    watch->initial = NULL;
    if (watch->initial_end_wanted) {
        render_bookmark(&watch->renderer, told(watch), true, &watch->pending);
        watch->initial_end_wanted = false;
    }
}

static void schedule(struct watch_body *watch)
{
    bool bookmark_first = watch->bookmarks && watch->bookmark_ns < watch->ends_ns;
    atomic_store(&watch->watcher.due_ns, bookmark_first ? watch->bookmark_ns : watch->ends_ns);
}

/* What is due by the clock: the end, or a bookmark. */
static void produce_due(struct watch_body *watch, int64_t now)
{
    if (now >= watch->ends_ns) {
        watch->ended = true;
    } else if (watch->bookmarks && now >= watch->bookmark_ns) {
        render_bookmark(&watch->renderer, told(watch), false, &watch->pending);
        watch->bookmark_ns = now + bookmark_interval_seconds * INT64_C(1000000000);
        schedule(watch);
    }
}

/* Adds what comes next to 'pending'; nothing when there is nothing. */
static void produce(struct watch_body *watch)
{
    struct change changes[changes_a_read];
    size_t count = 0;
    if (watch->initial != NULL || watch->initial_end_wanted) {
        produce_initial(watch);
        return;
    }
    switch (cache_watch_read(&watch->watcher, changes, changes_a_read, &count, &watch->revision)) {
    case CACHE_READ_TOO_OLD: {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        error_expired(&error, "too old resource version: %lld (%lld)", (long long)watch->revision,
                      (long long)cache_revision(watch->registry->cache));
        render_failure(watch, &error);
        return;
    }
    case CACHE_READ_CHANGES:
        for (size_t i = 0; i < count; i++) {
            render_change(watch, &changes[i]);
            change_clear(&changes[i]);
        }
        return;
    case CACHE_READ_NOTHING:
        produce_due(watch, timestamp_monotonic());
        return;
    }
}

/* Nothing more comes until a wake. */
static bool is_idle(const struct watch_body *watch)
{
    return watch->initial == NULL && !watch->initial_end_wanted &&
           atomic_load(&watch->watcher.waiting);
}

static ssize_t watch_read(struct body *body, char *out, size_t size)
{
    struct watch_body *watch = container_of(body, struct watch_body, body);
    size_t written = 0;
    while (written < size) {
        size_t rest = watch->pending.length - watch->pending_sent;
        size_t part = rest < size - written ? rest : size - written;
        if (part > 0) {
            memcpy(out + written, watch->pending.bytes + watch->pending_sent, part);
            watch->pending_sent += part;
            written += part;
            continue;
        }
        buffer_free(&watch->pending); /* An idle watcher holds no memory for events. */
        watch->pending_sent = 0;
        if (watch->failed || watch->ended || atomic_load(&watch->registry->stopping)) {
            watch->ended = true;
            break;
        }
        produce(watch);
        if (watch->pending.length == 0 && !watch->ended && is_idle(watch)) {
            break;
        }
    }
    if (written > 0) {
        return (ssize_t)written;
    }
    return watch->ended ? BODY_END : BODY_WAIT;
}

static void watch_close(struct body *body)
{
    struct watch_body *watch = container_of(body, struct watch_body, body);
    pthread_mutex_lock(&watch->lock);
    watch->closed = true;
    pthread_mutex_unlock(&watch->lock);
    cache_unwatch(&watch->watcher);
    snapshot_free(watch->initial);
    renderer_clear(&watch->renderer);
    list_query_clear(&watch->query);
    buffer_free(&watch->pending);
    free(watch->prefix);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

static const struct body_class watch_class = {watch_read, watch_close};

/* ---- from the dispatcher ---- */

static void wake(struct cache_watcher *watcher)
{
    struct watch_body *watch = container_of(watcher, struct watch_body, watcher);
    pthread_mutex_lock(&watch->lock);
    if (!watch->closed) {
        body_wake(&watch->body);
    }
    pthread_mutex_unlock(&watch->lock);
}

static bool interested(const struct cache_watcher *watcher, const struct change *change)
{
    const struct watch_body *watch =
        container_of((struct cache_watcher *)watcher, struct watch_body, watcher);
    return in_prefix(watch, change->object) &&
           (matches(watch, change->object) || matches(watch, change->previous));
}

/* ---- start ---- */

/* The parameters of a watch beyond those of a list. */
static bool parse_options(struct watch_body *watch, const struct request *request,
                          struct error *error)
{
    const char *timeout = request_parameter(request, "timeoutSeconds");
    char *end = NULL;
    int64_t seconds = timeout && timeout[0] ? strtoll(timeout, &end, 10) : 0;
    if (end != NULL && *end != '\0') {
        return error_bad_request(error, "strconv.ParseInt: parsing \"%s\": invalid syntax",
                                 timeout);
    }
    if (seconds <= 0 || seconds > timeout_max_seconds) {
        seconds = timeout_min_seconds + timestamp_now() / 1000 % timeout_min_seconds;
    }
    watch->bookmarks = request_parameter_bool(request, "allowWatchBookmarks");
    watch->ends_ns = timestamp_monotonic() + seconds * INT64_C(1000000000);
    return true;
}

/* Chooses where the watch begins: with all present objects, or behind a revision. One that lies in
 * the future is waited for without a word, unless objects as new as it are wanted. */
static bool start(struct watch_body *watch, struct cache_table *table, struct error *error)
{
    struct cache *cache = watch->registry->cache;
    int64_t revision = watch->query.revision;
    bool with_objects = watch->query.initial_events == INITIAL_YES;
    bool ready = revision == REVISION_UNSET ? cache_wait_current(cache, error)
                 : revision > 0 && with_objects
                     ? cache_wait_revision(cache, revision, wait_revision_ms, error)
                     : true;
    if (!ready) {
        return false;
    }
    if (with_objects) {
        watch->initial = cache_snapshot(table, watch->prefix);
        revision = watch->initial->revision;
        watch->initial_end_wanted = watch->bookmarks;
    } else if (revision <= 0) {
        revision = cache_revision(cache);
    }
    watch->revision = watch->after = revision;
    return cache_watch(table, &watch->watcher, revision, error);
}

void registry_serve_watch(struct registry *registry, struct request *request,
                          struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct cache_table *table = cache_table(registry->cache, request->resource);
    struct watch_body *watch = allocate_struct(struct watch_body);
    watch->body = (struct body){.class = &watch_class, .stream = true};
    watch->registry = registry;
    watch->watcher.wake = wake;
    watch->watcher.interested = interested;
    pthread_mutex_init(&watch->lock, NULL);
    bool ready = list_query_parse(request, &watch->query, &error) &&
                 parse_options(watch, request, &error) &&
                 renderer_init(&watch->renderer, request, request->resource, &error);
    if (ready) {
        watch->prefix = list_query_prefix(request, &watch->query);
        watch->prefix_length = strlen(watch->prefix);
        watch->bookmark_ns =
            timestamp_monotonic() + bookmark_interval_seconds * INT64_C(1000000000);
        schedule(watch);
        ready = start(watch, table, &error);
    }
    bool in_stream = error.code == 410 || error.code == 504;
    if (!ready && !in_stream) {
        response_set_error(response, request, &error);
        watch_close(&watch->body);
        return;
    }
    if (in_stream) { /* Told as upstream tells it: in the stream. */
        render_failure(watch, &error);
    }
    response->status = 200;
    response->content_type = watch->renderer.media.encoding == MEDIA_YAML
                                 ? "application/yaml;stream=watch"
                                 : "application/json";
    response->body = &watch->body;
}

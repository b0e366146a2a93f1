// SPDX-License-Identifier: Apache-2.0
#include "common/informer.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/log.h"
#include "common/timestamp.h"

enum {
    first_delay_ms = 100,
    last_delay_ms = 15000,
    shortest_stream_ms = 1000, /* One that ends sooner without an event is a failure. */
    stream_seconds = 300,      /* At least; up to twice as long, so that not all end together. */
    handlers_max = 16,
};

static const char metadata_accept[] =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
static const char initial_events_end[] = "k8s.io/initial-events-end";
static const struct cached_object_class plain_class;
static const struct informer_options no_options;

struct informer {
    struct informer_factory *factory;
    const struct api_resource *resource;
    const struct cached_object_class *class;
    const struct informer_options *options;
    struct indexer *indexer;
    struct {
        informer_handler call;
        void *argument;
    } handlers[handlers_max];
    size_t handler_count;
    bool started, synced; /* Guarded by the factory's lock. */

    /* The loop's thread alone: */
    struct client_watch *watch;
    struct loop_timer timer;
    bool listing;             /* The initial events of a list are coming. */
    bool expired;             /* The server has forgotten the version. */
    int64_t resource_version; /* The last seen; 0: start with a list. */
    uint32_t round;           /* Of lists. */
    int64_t stream_started;   /* Monotonic. */
    bool stream_brought_some; /* An event. */
    int failures;             /* In a row. */
    struct informer *next;
};

struct informer_factory {
    struct client *client;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopped;
    struct informer *informers;
};

static void open_stream(void *argument);

/* ---- objects ---- */

static void call_handlers(struct informer *informer, const struct cached_object *old,
                          const struct cached_object *new)
{
    for (size_t i = 0; i < informer->handler_count; i++) {
        informer->handlers[i].call(informer->handlers[i].argument, old, new);
    }
}

static void object_came(struct informer *informer, struct cached_object *object)
{
    cleanup(cached_object_release)
    struct cached_object *new = object;
    if (indexer_confirm(informer->indexer, new->key, new->resource_version, informer->round)) {
        return;
    }
    struct cached_object *kept =
        informer->class->drop_text ? cached_object_strip(new) : cached_object_ref(new);
    cleanup(cached_object_release)
    struct cached_object *old = indexer_put(informer->indexer, kept, informer->round);
    if (old != NULL && strcmp(old->uid, new->uid) != 0) {
        /* Deleted and made again while nobody was looking. */
        call_handlers(informer, old, NULL);
        call_handlers(informer, NULL, new);
    } else {
        call_handlers(informer, old, new);
    }
}

static void object_gone(struct informer *informer, const char *key)
{
    cleanup(cached_object_release)
    struct cached_object *old = indexer_remove(informer->indexer, key);
    if (old != NULL) {
        call_handlers(informer, old, NULL);
    }
}

static void list_ended(struct informer *informer)
{
    cleanup(cached_list_free)
    struct cached_list stale = CACHED_LIST_INIT;
    indexer_find_stale(informer->indexer, informer->round, &stale);
    for (size_t i = 0; i < stale.count; i++) {
        object_gone(informer, stale.items[i]->key);
    }
    informer->listing = false;
    pthread_mutex_lock(&informer->factory->lock);
    informer->synced = true;
    pthread_cond_broadcast(&informer->factory->changed);
    pthread_mutex_unlock(&informer->factory->lock);
}

/* ---- events ---- */

static bool is_type(struct json_span type, const char *name)
{
    return type.length == strlen(name) + 2 && memcmp(type.text + 1, name, type.length - 2) == 0;
}

/* While a list comes in no order, no version in it is one to go on from. */
static void saw_version(struct informer *informer, int64_t version)
{
    if (version > 0 && !informer->listing) {
        informer->resource_version = version;
    }
}

static bool error_event(struct informer *informer, struct json_span object)
{
    cleanup(json_release)
    json_t *status = json_loadb(object.text, object.length, 0, NULL);
    int code = (int)json_get_int(status, "code", 500);
    const char *message = json_get_string(status, "message");
    informer->expired = code == 410;
    log_debug("watch of %s: %s", informer->resource->plural, message ? message : "failed");
    return false;
}

static void bookmark_event(struct informer *informer, struct json_span object)
{
    static const char *const paths[] = {"metadata.resourceVersion", "metadata.annotations"};
    struct json_span spans[array_length(paths)];
    json_scan(object.text, object.length, paths, array_length(paths), spans);
    if (informer->listing && spans[1].text != NULL &&
        memmem(spans[1].text, spans[1].length, initial_events_end, sizeof initial_events_end - 1) !=
            NULL) {
        list_ended(informer);
    }
    saw_version(informer, spans[0].length > 2 ? strtoll(spans[0].text + 1, NULL, 10) : 0);
}

enum event_part { EVENT_TYPE, EVENT_OBJECT, EVENT_PART_COUNT };

/* As API servers write an event there is nothing behind its object: where that ends need not be
 * looked for. */
static bool split_quickly(const char *line, size_t length, struct json_span *parts)
{
    static const char before[] = "{\"type\":", between[] = ",\"object\":{";
    size_t first = sizeof before - 1, second = sizeof between - 1;
    if (length < first + second + 4 || memcmp(line, before, first) != 0 || line[first] != '"' ||
        line[length - 1] != '}' || line[length - 2] != '}') {
        return false;
    }
    const char *quote = memchr(line + first + 1, '"', length - first - 1);
    const char *end = line + length - 1;
    if (quote == NULL || (size_t)(end - quote) < second + 2 ||
        memcmp(quote + 1, between, second) != 0) {
        return false;
    }
    const char *object = quote + second;
    parts[EVENT_TYPE] = (struct json_span){line + first, (size_t)(quote + 1 - line - first)};
    parts[EVENT_OBJECT] = (struct json_span){object, (size_t)(end - object)};
    return true;
}

static void split(const char *line, size_t length, struct json_span *parts)
{
    static const char *const paths[EVENT_PART_COUNT] = {"type", "object"};
    if (!split_quickly(line, length, parts)) {
        json_scan(line, length, paths, EVENT_PART_COUNT, parts);
    }
}

static bool watch_event(void *argument, const char *line, size_t length)
{
    struct informer *informer = argument;
    struct json_span parts[EVENT_PART_COUNT];
    split(line, length, parts);
    struct json_span type = parts[EVENT_TYPE], text = parts[EVENT_OBJECT];
    if (type.text == NULL || text.text == NULL || text.text[0] != '{') {
        log_warning("watch of %s: a line that is no event", informer->resource->plural);
        return false;
    }
    informer->stream_brought_some = true;
    if (is_type(type, "ERROR")) {
        return error_event(informer, text);
    }
    if (is_type(type, "BOOKMARK")) {
        bookmark_event(informer, text);
        return true;
    }
    struct cached_object *object = cached_object_new(informer->class, text.text, text.length);
    if (object == NULL) {
        log_warning("watch of %s: an event without an object", informer->resource->plural);
        return false;
    }
    int64_t version = object->resource_version;
    if (is_type(type, "DELETED")) {
        object_gone(informer, object->key);
        cached_object_unref(object);
    } else {
        object_came(informer, object);
    }
    saw_version(informer, version);
    return true;
}

/* ---- the stream ---- */

static bool is_stopped(struct informer_factory *factory)
{
    pthread_mutex_lock(&factory->lock);
    bool stopped = factory->stopped;
    pthread_mutex_unlock(&factory->lock);
    return stopped;
}

/* Between the half and the whole of a time that doubles with each failure. */
static int64_t delay_ms(const struct informer *informer)
{
    int64_t delay = first_delay_ms;
    for (int i = 1; i < informer->failures && delay < last_delay_ms; i++) {
        delay *= 2;
    }
    delay = delay < last_delay_ms ? delay : last_delay_ms;
    return delay / 2 + random() % (delay / 2 + 1);
}

static void watch_ended(void *argument, const struct error *error)
{
    struct informer *informer = argument;
    bool was_short =
        timestamp_monotonic() - informer->stream_started < (int64_t)shortest_stream_ms * 1000000;
    bool failed =
        error_is_set(error) || informer->expired || (was_short && !informer->stream_brought_some);
    informer->watch = NULL;
    if (is_stopped(informer->factory)) {
        return;
    }
    if (error_is_set(error)) {
        log_write(informer->failures == 0 ? LOG_INFO : LOG_DEBUG, "watch of %s: %s",
                  informer->resource->plural, error->message);
    }
    if (informer->expired || error->code == 410 || informer->listing) {
        informer->resource_version = 0;
    }
    informer->failures = !failed ? 0 : informer->stream_brought_some ? 1 : informer->failures + 1;
    loop_timer_set(client_loop(informer->factory->client), &informer->timer,
                   failed ? delay_ms(informer) : 0, open_stream, informer);
}

static void open_stream(void *argument)
{
    static const struct client_watch_handler handler = {watch_event, watch_ended};
    struct informer *informer = argument;
    const struct informer_options *options = informer->options;
    cleanup(buffer_free)
    struct buffer path = BUFFER_INIT;
    cleanup(free_char)
    char *base = client_path(informer->resource, NULL, NULL, NULL);
    long seconds = stream_seconds + random() % stream_seconds;
    if (is_stopped(informer->factory)) {
        return;
    }
    buffer_addf(&path, "%s?watch=true&allowWatchBookmarks=true&timeoutSeconds=%ld", base, seconds);
    if (informer->resource_version > 0) {
        buffer_addf(&path, "&resourceVersion=%lld", (long long)informer->resource_version);
    } else {
        buffer_add_literal(&path, "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
        informer->round++;
    }
    informer->listing = informer->resource_version == 0;
    if (options->field_selector != NULL) {
        buffer_addf(&path, "&fieldSelector=%s", options->field_selector);
    }
    if (options->label_selector != NULL) {
        buffer_addf(&path, "&labelSelector=%s", options->label_selector);
    }
    informer->expired = false;
    informer->stream_brought_some = false;
    informer->stream_started = timestamp_monotonic();
    informer->watch = client_watch_start(informer->factory->client, buffer_steal(&path),
                                         options->metadata_only ? metadata_accept : NULL,
                                         (seconds + 30) * 1000, &handler, informer);
}

/* ---- the factory ---- */

struct informer_factory *informer_factory_new(struct client *client)
{
    struct informer_factory *factory = allocate_struct(struct informer_factory);
    factory->client = client;
    pthread_mutex_init(&factory->lock, NULL);
    pthread_cond_init(&factory->changed, NULL);
    return factory;
}

void informer_factory_free(struct informer_factory *factory)
{
    if (factory == NULL) {
        return;
    }
    while (factory->informers != NULL) {
        struct informer *informer = factory->informers;
        factory->informers = informer->next;
        indexer_free(informer->indexer);
        free(informer);
    }
    pthread_cond_destroy(&factory->changed);
    pthread_mutex_destroy(&factory->lock);
    free(factory);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool is_informer_of(const struct informer *informer, const struct api_resource *resource,
                           const struct informer_options *options)
{
    return strcmp(informer->resource->plural, resource->plural) == 0 &&
           strcmp(informer->resource->group_version, resource->group_version) == 0 &&
           same_text(informer->options->field_selector, options->field_selector) &&
           same_text(informer->options->label_selector, options->label_selector) &&
           informer->options->metadata_only == options->metadata_only &&
           informer->options->is_unindexed == options->is_unindexed;
}

struct informer *informer_factory_get(struct informer_factory *factory,
                                      const struct api_resource *resource,
                                      const struct cached_object_class *class,
                                      const struct informer_options *options)
{
    class = class != NULL ? class : &plain_class;
    options = options != NULL ? options : &no_options;
    pthread_mutex_lock(&factory->lock);
    struct informer *informer = factory->informers;
    while (informer != NULL && !is_informer_of(informer, resource, options)) {
        informer = informer->next;
    }
    if (informer == NULL) {
        informer = allocate_struct(struct informer);
        informer->factory = factory;
        informer->resource = resource;
        informer->class = class;
        informer->options = options;
        informer->indexer = indexer_new();
        if (!options->is_unindexed) {
            indexer_add_index(informer->indexer, "namespace", index_by_namespace);
        }
        informer->next = factory->informers;
        factory->informers = informer;
    } else if (informer->class != class) {
        abort(); /* Two digests of one kind in a process: a mistake that each run shows. */
    }
    pthread_mutex_unlock(&factory->lock);
    return informer;
}

void informer_factory_start(struct informer_factory *factory)
{
    pthread_mutex_lock(&factory->lock);
    for (struct informer *informer = factory->informers; informer; informer = informer->next) {
        if (!informer->started) {
            informer->started = loop_post(client_loop(factory->client), open_stream, informer);
        }
    }
    pthread_mutex_unlock(&factory->lock);
}

static const struct informer *not_synced(const struct informer_factory *factory)
{
    const struct informer *informer = factory->informers;
    while (informer != NULL && (!informer->started || informer->synced)) {
        informer = informer->next;
    }
    return informer;
}

bool informer_factory_wait(struct informer_factory *factory)
{
    pthread_mutex_lock(&factory->lock);
    while (!factory->stopped && not_synced(factory) != NULL) {
        pthread_cond_wait(&factory->changed, &factory->lock);
    }
    bool synced = !factory->stopped;
    pthread_mutex_unlock(&factory->lock);
    return synced;
}

bool informer_factory_pause(struct informer_factory *factory, int64_t ms)
{
    int waited = 0;
    struct timespec until = timestamp_after(ms * 1000000);
    pthread_mutex_lock(&factory->lock);
    while (!factory->stopped && waited == 0) {
        waited = pthread_cond_timedwait(&factory->changed, &factory->lock, &until);
    }
    bool stopped = factory->stopped;
    pthread_mutex_unlock(&factory->lock);
    return !stopped;
}

static void end_streams(void *argument)
{
    struct informer *informer = argument;
    for (; informer != NULL; informer = informer->next) {
        loop_timer_cancel(client_loop(informer->factory->client), &informer->timer);
        if (informer->watch != NULL) {
            client_watch_stop(informer->watch);
        }
    }
}

void informer_factory_stop(struct informer_factory *factory)
{
    pthread_mutex_lock(&factory->lock);
    factory->stopped = true;
    pthread_cond_broadcast(&factory->changed);
    struct informer *informers = factory->informers; /* Later ones do not open a stream any more. */
    pthread_mutex_unlock(&factory->lock);
    loop_call(client_loop(factory->client), end_streams, informers);
}

/* ---- an informer ---- */

const struct api_resource *informer_resource(const struct informer *informer)
{
    return informer->resource;
}

struct indexer *informer_indexer(struct informer *informer)
{
    return informer->indexer;
}

void informer_add_handler(struct informer *informer, informer_handler handler, void *argument)
{
    if (informer->started || informer->handler_count == handlers_max) {
        abort(); /* A mistake that each run shows. */
    }
    informer->handlers[informer->handler_count].call = handler;
    informer->handlers[informer->handler_count++].argument = argument;
}

bool informer_has_synced(struct informer *informer)
{
    pthread_mutex_lock(&informer->factory->lock);
    bool synced = informer->synced;
    pthread_mutex_unlock(&informer->factory->lock);
    return synced;
}

struct cached_object *informer_get(struct informer *informer, const char *namespace,
                                   const char *name)
{
    if (namespace == NULL || *namespace == '\0') {
        return indexer_get(informer->indexer, name);
    }
    cleanup(free_char)
    char *key = format("%s/%s", namespace, name);
    return indexer_get(informer->indexer, key);
}

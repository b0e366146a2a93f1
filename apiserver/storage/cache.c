// SPDX-License-Identifier: Apache-2.0
/*
 * The store's thread calls apply() for each batch of changes. For every change it updates the table
 * and appends to its log under the table's lock; then it publishes the revision, wakes whoever
 * waits for one, and tells the dispatcher thread which tables moved. The dispatcher looks through
 * those tables' waiting watchers and wakes the interested ones. So a write costs the store's thread
 * no time for each watcher, and changes that come close together wake a watcher once.
 *
 * The log of a table keeps what a watcher needs to resume: at least log_changes_min changes, and
 * more as long as the superseded versions that only the log still holds stay within log_bytes_max.
 */
#include "apiserver/storage/cache.h"

#include <pthread.h>
#include <string.h>

#include "apiserver/storage/table.h"
#include "common/alloc.h"
#include "common/fiber.h"
#include "common/json.h"
#include "common/log.h"
#include "common/map.h"
#include "common/timestamp.h"

enum {
    log_changes_min = 256,
    log_changes_max = 1 << 16,
    log_bytes_max = 6 << 20,
    wait_current_timeout_ms = 5000,
    dispatch_interval_ms = 500,
};

struct cache_table {
    struct cache *cache;
    const char *prefix;
    struct object_class *class;

    pthread_rwlock_t lock; /* Guards the members up to the next lock. */
    struct chunks chunks;
    struct change *log;          /* A ring; sequence number s stands at s % log_size. */
    size_t log_size;             /* 0 or a power of two. */
    uint64_t log_begin, log_end; /* Sequence numbers: the oldest kept, and behind the newest. */
    size_t log_bytes;            /* Of superseded versions in the log. */
    int64_t log_floor;           /* All changes with a revision above this are in the log. */
    int64_t last_revision;       /* Of the newest change. */

    pthread_mutex_t observers_lock; /* Guards 'observers', and makes a change and their learning of
                                     * it one step. Taken before 'lock'. */
    struct cache_observer *observers;

    pthread_mutex_t watchers_lock; /* Guards the members below. Taken before 'lock'. */
    struct cache_watcher *watchers;
    atomic_size_t watcher_count;
    uint64_t dispatched; /* Changes before this one have been shown to waiting watchers. */
    atomic_bool moved;   /* Has changes to dispatch. */
};

struct cache {
    struct store *store;
    struct scheme *scheme;
    struct cache_table **tables;
    size_t table_count;
    struct map by_prefix; /* Storage prefix to table. */
    _Atomic int64_t revision;
    atomic_bool following;

    pthread_mutex_t lock; /* Guards what follows; goes with the conditions. */
    pthread_cond_t advanced;
    pthread_cond_t dispatch;
    bool question_in_flight; /* Somebody is asking the store for its revision. */
    uint64_t question;       /* Number of the question in flight or last answered. */
    uint64_t answered;
    int64_t answer; /* The revision, or -1: the store could not be asked. */
    bool moved, stopping, lost;

    pthread_t dispatcher;
    bool dispatcher_runs;
};

/* ---- tables ---- */

static struct cache_table *table_new(struct cache *cache, const struct resource *resource)
{
    struct cache_table *table = allocate_struct(struct cache_table);
    table->cache = cache;
    table->prefix = resource->storage_prefix;
    table->class = object_class_new(resource);
    pthread_rwlock_init(&table->lock, NULL);
    pthread_mutex_init(&table->observers_lock, NULL);
    pthread_mutex_init(&table->watchers_lock, NULL);
    return table;
}

static void log_drop_oldest(struct cache_table *table)
{
    struct change *change = &table->log[table->log_begin % table->log_size];
    table->log_floor = change->revision;
    if (change->previous != NULL) {
        table->log_bytes -= change->previous->length;
    }
    change_clear(change);
    table->log_begin++;
}

static void table_free(struct cache_table *table)
{
    while (table->log_begin < table->log_end) {
        log_drop_oldest(table);
    }
    free(table->log);
    chunks_free(&table->chunks);
    object_class_free(table->class);
    pthread_rwlock_destroy(&table->lock);
    pthread_mutex_destroy(&table->observers_lock);
    pthread_mutex_destroy(&table->watchers_lock);
    free(table);
}

static void log_grow(struct cache_table *table)
{
    size_t size = table->log_size ? table->log_size * 2 : 16;
    struct change *log = allocate_zero(size, sizeof *log);
    for (uint64_t i = table->log_begin; i < table->log_end; i++) {
        log[i % size] = table->log[i % table->log_size];
    }
    free(table->log);
    table->log = log;
    table->log_size = size;
}

/* Appends a change, consuming its references; the table's lock is held for writing. */
static void log_append(struct cache_table *table, struct change change)
{
    uint64_t count = table->log_end - table->log_begin;
    if (count == table->log_size) {
        if (count >= log_changes_max) {
            log_drop_oldest(table);
        } else {
            log_grow(table);
        }
    }
    table->log[table->log_end++ % table->log_size] = change;
    table->last_revision = change.revision;
    if (change.previous != NULL) {
        table->log_bytes += change.previous->length;
    }
    while (table->log_bytes > log_bytes_max &&
           table->log_end - table->log_begin > log_changes_min) {
        log_drop_oldest(table);
    }
}

/* With the observers' lock held. */
static void show_observers(struct cache_table *table, const struct object *object, bool deleted)
{
    struct cache_observer *observer = table->observers;
    for (; observer != NULL; observer = observer->next) {
        observer->changed(observer, object, deleted);
    }
}

/* After a change: has the dispatcher look at it, unless nobody watches. (Who begins to watch reads
 * the log before it waits, under the lock that this change was made under.) */
static bool mark_moved(struct cache_table *table)
{
    bool watched = atomic_load(&table->watcher_count) > 0;
    if (watched) {
        atomic_store(&table->moved, true);
    }
    return watched;
}

/* Whether there is something to dispatch. */
static bool table_put(struct cache_table *table, struct object *object)
{
    cleanup(object_release)
    struct object *shown = object_ref(object);
    pthread_mutex_lock(&table->observers_lock);
    pthread_rwlock_wrlock(&table->lock);
    struct object *previous = chunks_put(&table->chunks, object_ref(object));
    log_append(table, (struct change){object->revision, false, object, previous});
    pthread_rwlock_unlock(&table->lock);
    show_observers(table, shown, false);
    pthread_mutex_unlock(&table->observers_lock);
    return mark_moved(table);
}

/* Whether there is something to dispatch. */
static bool table_remove(struct cache_table *table, const char *key, int64_t revision)
{
    cleanup(object_release)
    struct object *gone = NULL;
    pthread_mutex_lock(&table->observers_lock);
    pthread_rwlock_wrlock(&table->lock);
    struct object *previous = chunks_remove(&table->chunks, key);
    if (previous != NULL) {
        gone = object_ref(previous);
        log_append(table, (struct change){revision, true, object_ref(previous), previous});
    }
    pthread_rwlock_unlock(&table->lock);
    if (gone != NULL) {
        show_observers(table, gone, true);
    }
    pthread_mutex_unlock(&table->observers_lock);
    return gone != NULL && mark_moved(table);
}

void cache_observe(struct cache_table *table, struct cache_observer *observer)
{
    pthread_mutex_lock(&table->observers_lock);
    struct snapshot *present = cache_snapshot(table, "");
    for (size_t i = 0; i < present->count; i++) {
        observer->changed(observer, present->objects[i], false);
    }
    snapshot_free(present);
    observer->next = table->observers;
    table->observers = observer;
    pthread_mutex_unlock(&table->observers_lock);
}

/* Not the one of before, but another of its name. */
static bool is_another(const struct object *before, const struct object *now)
{
    static const char *const path = "metadata.uid";
    struct json_span one = {0}, other = {0};
    if (before->revision == now->revision) {
        return false;
    }
    json_scan(before->bytes, before->length, &path, 1, &one);
    json_scan(now->bytes, now->length, &path, 1, &other);
    return one.length != other.length ||
           (one.length > 0 && memcmp(one.text, other.text, one.length) != 0);
}

/* With the observers' lock held, after a table was read anew: shows what is gone since 'before',
 * and all that is there. */
static void show_all(struct cache_table *table, const struct snapshot *before)
{
    for (size_t i = 0; table->observers != NULL && i < before->count; i++) {
        cleanup(object_release)
        struct object *now = cache_get(table, before->objects[i]->key);
        if (now == NULL || is_another(before->objects[i], now)) {
            show_observers(table, before->objects[i], true);
        }
    }
    struct snapshot *present = cache_snapshot(table, "");
    for (size_t i = 0; table->observers != NULL && i < present->count; i++) {
        show_observers(table, present->objects[i], false);
    }
    snapshot_free(present);
}

static struct change change_ref(const struct change *change)
{
    object_ref(change->object);
    if (change->previous != NULL) {
        object_ref(change->previous);
    }
    return *change;
}

void change_clear(struct change *change)
{
    object_unref(change->object);
    object_unref(change->previous);
    *change = (struct change){0};
}

/* ---- what comes from the store ---- */

/* The table for a key, and its key behind the prefix; NULL for foreign keys. */
static struct cache_table *table_of_key(const struct cache *cache, const char *key,
                                        const char **rest)
{
    const char *slash = key;
    while ((slash = strchr(slash + 1, '/')) != NULL) {
        struct cache_table *table =
            map_get_bytes(&cache->by_prefix, key, (size_t)(slash + 1 - key));
        if (table != NULL) {
            *rest = slash + 1;
            return table;
        }
    }
    return NULL;
}

static bool check_readable(const struct store_item *item, struct error *error)
{
    if (item->value_length >= 4 && memcmp(item->value, "k8s\0", 4) == 0) {
        return error_internal(error,
                              "the value of %s is stored as protobuf, which can't be read; let the "
                              "API server that wrote it rewrite all objects with "
                              "--storage-media-type=application/json",
                              item->key);
    }
    if (item->value_length >= 8 && memcmp(item->value, "k8s:enc:", 8) == 0) {
        return error_internal(error,
                              "the value of %s is encrypted, which can't be read; let the API "
                              "server that wrote it rewrite all objects unencrypted",
                              item->key);
    }
    return true;
}

static struct object *object_of_item(const struct cache_table *table, const char *key,
                                     const struct store_item *item, struct error *error)
{
    if (!check_readable(item, error)) {
        return NULL;
    }
    return object_new(table->class, key, item->value, item->value_length, item->mod_revision,
                      error);
}

/* Whether there is something to dispatch. */
static bool apply_item(struct cache *cache, const struct store_item *item)
{
    const char *key;
    struct cache_table *table = table_of_key(cache, item->key, &key);
    if (table == NULL) {
        return false;
    }
    if (item->value == NULL) {
        return table_remove(table, key, item->mod_revision);
    }
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct object *object = object_of_item(table, key, item, &error);
    if (object == NULL) {
        /* Somebody else wrote it while we run. It is left alone, and nobody sees it through us. */
        log_error("ignoring a stored value: %s", error.message);
        return false;
    }
    return table_put(table, object);
}

static void publish(struct cache *cache, int64_t revision, bool moved)
{
    pthread_mutex_lock(&cache->lock);
    if (revision > atomic_load(&cache->revision)) {
        atomic_store(&cache->revision, revision);
    }
    cache->moved = cache->moved || moved;
    pthread_cond_broadcast(&cache->advanced);
    pthread_mutex_unlock(&cache->lock);
    if (moved) {
        pthread_cond_signal(&cache->dispatch);
    }
}

static void apply(void *argument, struct store_item *items, size_t count, int64_t revision)
{
    struct cache *cache = argument;
    atomic_store(&cache->following, true);
    bool moved = false;
    heap_reserve();
    for (size_t i = 0; i < count; i++) {
        moved = apply_item(cache, &items[i]) || moved;
    }
    publish(cache, revision, moved);
}

static void lost(void *argument, const struct error *error)
{
    struct cache *cache = argument;
    log_warning("the store has compacted changes that were not seen yet (%s); reading all again",
                error->message);
    atomic_store(&cache->following, false);
    pthread_mutex_lock(&cache->lock);
    cache->lost = true;
    pthread_cond_signal(&cache->dispatch);
    pthread_mutex_unlock(&cache->lock);
}

static bool follow(struct cache *cache, struct error *error)
{
    struct store_watcher watcher = {apply, lost, cache};
    return store_watch(cache->store, atomic_load(&cache->revision), watcher, error);
}

/* ---- loading ---- */

/* Reads the objects of a table into 'chunks', at '*revision' (0: now; set to what it is). */
static bool load_objects(struct cache *cache, const struct cache_table *table,
                         struct chunks *chunks, int64_t *revision, struct error *error)
{
    struct store_items items = STORE_ITEMS_INIT;
    cleanup(free_char)
    char *end = store_prefix_end(table->prefix);
    bool loaded =
        store_range(cache->store, table->prefix, end, 0, *revision, &items, revision, NULL, error);
    for (size_t i = 0; loaded && i < items.count; i++) {
        const char *key = items.list[i].key + strlen(table->prefix);
        struct object *object = object_of_item(table, key, &items.list[i], error);
        loaded = object != NULL;
        if (loaded) {
            object_unref(chunks_put(chunks, object));
        }
        store_item_clear(&items.list[i]);
    }
    store_items_clear(&items);
    return loaded;
}

static bool load(struct cache *cache, struct error *error)
{
    int64_t revision = 0;
    if (!store_current_revision(cache->store, &revision, error)) {
        return false;
    }
    for (size_t i = 0; i < cache->table_count; i++) {
        struct cache_table *table = cache->tables[i];
        if (!load_objects(cache, table, &table->chunks, &revision, error)) {
            return false;
        }
        table->log_floor = table->last_revision = revision;
    }
    atomic_store(&cache->revision, revision);
    return true;
}

/* Brings one table to what the store holds now. Its log begins anew, so that every watcher starts
 * over. */
static bool reload_table(struct cache *cache, struct cache_table *table, int64_t *revision,
                         struct error *error)
{
    struct chunks chunks = {0};
    bool loaded = load_objects(cache, table, &chunks, revision, error);
    if (loaded) {
        pthread_mutex_lock(&table->observers_lock);
        struct snapshot *before = cache_snapshot(table, "");
        pthread_rwlock_wrlock(&table->lock);
        struct chunks old = table->chunks;
        table->chunks = chunks;
        chunks = old;
        while (table->log_begin < table->log_end) {
            log_drop_oldest(table);
        }
        table->log_begin = ++table->log_end; /* A gap: every cursor is now too old. */
        table->log_floor = table->last_revision = *revision;
        pthread_rwlock_unlock(&table->lock);
        show_all(table, before);
        pthread_mutex_unlock(&table->observers_lock);
        snapshot_free(before);
        mark_moved(table);
    }
    chunks_free(&chunks);
    return loaded;
}

static bool reload(struct cache *cache)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    int64_t revision = 0;
    bool done = store_current_revision(cache->store, &revision, &error);
    for (size_t i = 0; done && i < cache->table_count; i++) {
        done = reload_table(cache, cache->tables[i], &revision, &error);
    }
    if (done) {
        publish(cache, revision, true);
        done = follow(cache, &error);
    }
    if (!done) {
        log_error("reading everything from the store failed, trying again: %s", error.message);
    }
    return done;
}

/* ---- dispatching ---- */

static bool any_interesting(const struct cache_watcher *watcher, const struct change *changes,
                            size_t count)
{
    if (watcher->interested == NULL) {
        return count > 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (watcher->interested(watcher, &changes[i])) {
            return true;
        }
    }
    return false;
}

enum { dispatch_batch = 64 };

/* References to the changes that have not been dispatched, at most a batch; '*begin' is the
 * sequence number of the first, '*oldest' that of the oldest in the log. */
static size_t take_undispatched(struct cache_table *table, struct change *changes, uint64_t *begin,
                                uint64_t *oldest)
{
    size_t count = 0;
    pthread_rwlock_rdlock(&table->lock);
    *oldest = table->log_begin;
    if (table->dispatched < table->log_begin) {
        table->dispatched = table->log_begin;
    }
    *begin = table->dispatched;
    while (count < dispatch_batch && table->dispatched < table->log_end) {
        changes[count++] = change_ref(&table->log[table->dispatched++ % table->log_size]);
    }
    pthread_rwlock_unlock(&table->lock);
    return count;
}

/* Wakes a waiting watcher that these changes interest. One that they don't interest has as good as
 * read them: its cursor moves on, so that it does not fall behind the log while it sleeps. (Should
 * it be reading right now, it sets the cursor itself, and reading them again does no harm.) */
static void offer(struct cache_watcher *watcher, const struct change *changes, size_t count,
                  uint64_t begin, uint64_t oldest)
{
    uint64_t next = atomic_load(&watcher->next);
    if (next < oldest || any_interesting(watcher, changes, count)) {
        atomic_store(&watcher->waiting, false);
        watcher->wake(watcher);
    } else if (next >= begin && next < begin + count) {
        atomic_compare_exchange_strong(&watcher->next, &next, begin + count);
    }
}

static void dispatch_table(struct cache_table *table)
{
    struct change changes[dispatch_batch];
    size_t count;
    do {
        uint64_t begin, oldest;
        pthread_mutex_lock(&table->watchers_lock);
        count = take_undispatched(table, changes, &begin, &oldest);
        for (struct cache_watcher *watcher = table->watchers; watcher != NULL;
             watcher = watcher->next_in_table) {
            if (atomic_load(&watcher->waiting)) {
                offer(watcher, changes, count, begin, oldest);
            }
        }
        pthread_mutex_unlock(&table->watchers_lock);
        for (size_t i = 0; i < count; i++) {
            change_clear(&changes[i]);
        }
    } while (count == dispatch_batch);
}

static void wake_due(struct cache_table *table, int64_t now)
{
    pthread_mutex_lock(&table->watchers_lock);
    for (struct cache_watcher *watcher = table->watchers; watcher != NULL;
         watcher = watcher->next_in_table) {
        int64_t due = atomic_load(&watcher->due_ns);
        if (due != 0 && due <= now && atomic_exchange(&watcher->waiting, false)) {
            watcher->wake(watcher);
        }
    }
    pthread_mutex_unlock(&table->watchers_lock);
}

/* Waits until something moved, is lost or due; returns false to stop. */
static bool dispatcher_wait(struct cache *cache, bool *was_lost)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += dispatch_interval_ms * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&cache->lock);
    int waited = 0;
    while (!cache->moved && !cache->stopping && !cache->lost && waited == 0) {
        waited = pthread_cond_timedwait(&cache->dispatch, &cache->lock, &until);
    }
    cache->moved = false;
    *was_lost = cache->lost;
    bool go_on = !cache->stopping;
    pthread_mutex_unlock(&cache->lock);
    return go_on;
}

static void dispatcher_turn(struct cache *cache, int64_t *next_due)
{
    for (size_t i = 0; i < cache->table_count; i++) {
        if (atomic_exchange(&cache->tables[i]->moved, false)) {
            dispatch_table(cache->tables[i]);
        }
    }
    int64_t now = timestamp_monotonic();
    if (now >= *next_due) {
        *next_due = now + dispatch_interval_ms * INT64_C(1000000);
        for (size_t i = 0; i < cache->table_count; i++) {
            wake_due(cache->tables[i], now);
        }
    }
}

static void *dispatcher_main(void *argument)
{
    struct cache *cache = argument;
    int64_t next_due = 0;
    bool was_lost;
    while (dispatcher_wait(cache, &was_lost)) {
        if (was_lost && reload(cache)) {
            pthread_mutex_lock(&cache->lock);
            cache->lost = false;
            pthread_mutex_unlock(&cache->lock);
        } else if (was_lost) {
            usleep(dispatch_interval_ms * 1000);
        }
        dispatcher_turn(cache, &next_due);
    }
    return NULL;
}

/* ---- life ---- */

static void add_tables(struct cache *cache)
{
    size_t count = scheme_resource_count(cache->scheme);
    cache->tables = allocate_zero(count, sizeof(struct cache_table *));
    for (size_t i = 0; i < count; i++) {
        const struct resource *resource =
            scheme_storage_resource(cache->scheme, scheme_resource(cache->scheme, i));
        if (resource == NULL || resource->virtual ||
            map_get(&cache->by_prefix, resource->storage_prefix) != NULL) {
            continue;
        }
        struct cache_table *table = table_new(cache, resource);
        cache->tables[cache->table_count++] = table;
        map_set(&cache->by_prefix, resource->storage_prefix, table);
    }
}

struct cache *cache_open(struct store *store, struct scheme *scheme, struct error *error)
{
    struct cache *cache = allocate_struct(struct cache);
    cache->store = store;
    cache->scheme = scheme;
    pthread_mutex_init(&cache->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&cache->advanced, &monotonic);
    pthread_cond_init(&cache->dispatch, &monotonic);
    pthread_condattr_destroy(&monotonic);
    add_tables(cache);
    if (!load(cache, error) || !follow(cache, error)) {
        cache_free(cache);
        return NULL;
    }
    atomic_store(&cache->following, true);
    cache->dispatcher_runs = pthread_create(&cache->dispatcher, NULL, dispatcher_main, cache) == 0;
    if (!cache->dispatcher_runs) {
        error_internal(error, "starting a thread failed");
        cache_free(cache);
        return NULL;
    }
    return cache;
}

void cache_free(struct cache *cache)
{
    if (cache == NULL) {
        return;
    }
    if (cache->dispatcher_runs) {
        pthread_mutex_lock(&cache->lock);
        cache->stopping = true;
        pthread_cond_signal(&cache->dispatch);
        pthread_mutex_unlock(&cache->lock);
        pthread_join(cache->dispatcher, NULL);
    }
    for (size_t i = 0; i < cache->table_count; i++) {
        table_free(cache->tables[i]);
    }
    free(cache->tables);
    map_free(&cache->by_prefix, NULL);
    pthread_cond_destroy(&cache->advanced);
    pthread_cond_destroy(&cache->dispatch);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

/* ---- reading ---- */

struct cache_table *cache_table(struct cache *cache, const struct resource *resource)
{
    return resource->virtual ? NULL : map_get(&cache->by_prefix, resource->storage_prefix);
}

const struct object_class *cache_table_class(const struct cache_table *table)
{
    return table->class;
}

int64_t cache_revision(struct cache *cache)
{
    return atomic_load(&cache->revision);
}

bool cache_is_local(const struct cache *cache)
{
    return cache->store->local;
}

bool cache_follows(struct cache *cache)
{
    return atomic_load(&cache->following);
}

static struct timespec after_ms(int milliseconds)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_sec += milliseconds / 1000;
    time.tv_nsec += (milliseconds % 1000) * 1000000L;
    time.tv_sec += time.tv_nsec / 1000000000L;
    time.tv_nsec %= 1000000000L;
    return time;
}

/* With the lock held: waits until the cache has reached the revision. */
static bool wait_locked(struct cache *cache, int64_t revision, const struct timespec *until)
{
    int waited = 0;
    while (atomic_load(&cache->revision) < revision && waited == 0) {
        waited = pthread_cond_timedwait(&cache->advanced, &cache->lock, until);
    }
    return atomic_load(&cache->revision) >= revision;
}

/* With the lock held: asks the store for its revision on behalf of all who wait for this question.
 */
static void ask_locked(struct cache *cache)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    int64_t revision = 0;
    uint64_t question = ++cache->question;
    cache->question_in_flight = true;
    pthread_mutex_unlock(&cache->lock);
    bool known = store_current_revision(cache->store, &revision, &error);
    pthread_mutex_lock(&cache->lock);
    cache->question_in_flight = false;
    cache->answered = question;
    cache->answer = known ? revision : -1;
    if (!known) {
        log_warning("asking the store for its revision failed: %s", error.message);
    }
    pthread_cond_broadcast(&cache->advanced);
}

bool cache_wait_current(struct cache *cache, struct error *error)
{
    if (cache->store->local) {
        return true;
    }
    if (fiber_refuses_to_block()) {
        return error_unavailable(error, "the store can't be waited for here");
    }
    struct timespec until = after_ms(wait_current_timeout_ms);
    pthread_mutex_lock(&cache->lock);
    /* A question already on its way may have been answered before a write we must see: only one
     * that is asked from now on counts. But if that one is in vain, another would be so, too. */
    uint64_t on_its_way = cache->question_in_flight ? cache->question : 0;
    uint64_t needed = cache->question + 1;
    int waited = 0;
    while (waited == 0 && cache->answered < needed) {
        if (on_its_way > 0 && cache->answered == on_its_way && cache->answer < 0) {
            break;
        }
        if (cache->question_in_flight) {
            waited = pthread_cond_timedwait(&cache->advanced, &cache->lock, &until);
        } else {
            ask_locked(cache);
        }
    }
    bool known = waited == 0 && cache->answer >= 0;
    bool current = known && wait_locked(cache, cache->answer, &until);
    pthread_mutex_unlock(&cache->lock);
    if (!known) {
        return error_unavailable(error, "the store can't be reached");
    }
    return current ||
           error_set(error, 504, "Timeout", "timed out waiting for the cache to follow the store");
}

bool cache_wait_revision(struct cache *cache, int64_t revision, int timeout_ms, struct error *error)
{
    if (atomic_load(&cache->revision) >= revision) {
        return true;
    }
    if (fiber_refuses_to_block()) {
        return error_unavailable(error, "the cache can't be waited for here");
    }
    struct timespec until = after_ms(timeout_ms);
    pthread_mutex_lock(&cache->lock);
    bool reached = wait_locked(cache, revision, &until);
    pthread_mutex_unlock(&cache->lock);
    if (!reached) {
        error_set(error, 504, "Timeout", "Timeout: Too large resource version: %lld, current: %lld",
                  (long long)revision, (long long)atomic_load(&cache->revision));
        if (error != NULL) {
            error->retry_after_seconds = 1;
            error->causes = json_pack("[{s:s, s:s}]", "reason", "ResourceVersionTooLarge",
                                      "message", "Too large resource version");
        }
    }
    return reached;
}

struct object *cache_get(struct cache_table *table, const char *key)
{
    pthread_rwlock_rdlock(&table->lock);
    struct object *object = chunks_get(&table->chunks, key);
    if (object != NULL) {
        object_ref(object);
    }
    pthread_rwlock_unlock(&table->lock);
    return object;
}

size_t cache_count(struct cache_table *table)
{
    pthread_rwlock_rdlock(&table->lock);
    size_t count = table->chunks.objects;
    pthread_rwlock_unlock(&table->lock);
    return count;
}

struct snapshot *cache_snapshot(struct cache_table *table, const char *prefix)
{
    int64_t reached = atomic_load(&table->cache->revision);
    pthread_rwlock_rdlock(&table->lock);
    struct snapshot *snapshot = chunks_snapshot(&table->chunks, prefix);
    snapshot->revision = table->last_revision > reached ? table->last_revision : reached;
    pthread_rwlock_unlock(&table->lock);
    return snapshot;
}

bool cache_unchanged_since(struct cache_table *table, int64_t revision)
{
    bool reached = atomic_load(&table->cache->revision) >= revision;
    pthread_rwlock_rdlock(&table->lock);
    bool unchanged = table->last_revision <= revision;
    pthread_rwlock_unlock(&table->lock);
    return reached && unchanged;
}

/* ---- watching ---- */

/* The sequence number of the first change above a revision. */
static uint64_t first_above(const struct cache_table *table, int64_t revision)
{
    uint64_t low = table->log_begin, high = table->log_end;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (table->log[middle % table->log_size].revision <= revision) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool cache_watch(struct cache_table *table, struct cache_watcher *watcher, int64_t revision,
                 struct error *error)
{
    pthread_mutex_lock(&table->watchers_lock);
    pthread_rwlock_rdlock(&table->lock);
    int64_t floor = table->log_floor;
    bool reaches = revision >= floor;
    atomic_store(&watcher->next, first_above(table, revision));
    if (table->watchers == NULL) {
        table->dispatched = table->log_end; /* Nobody was there for what came before. */
    }
    pthread_rwlock_unlock(&table->lock);
    if (reaches) {
        watcher->table = table;
        atomic_store(&watcher->waiting, false);
        watcher->previous_in_table = NULL;
        watcher->next_in_table = table->watchers;
        if (table->watchers != NULL) {
            table->watchers->previous_in_table = watcher;
        }
        table->watchers = watcher;
        atomic_fetch_add(&table->watcher_count, 1);
    }
    pthread_mutex_unlock(&table->watchers_lock);
    return reaches || error_expired(error, "too old resource version: %lld (%lld)",
                                    (long long)revision, (long long)floor);
}

void cache_unwatch(struct cache_watcher *watcher)
{
    struct cache_table *table = watcher->table;
    if (table == NULL) {
        return;
    }
    pthread_mutex_lock(&table->watchers_lock);
    if (watcher->previous_in_table != NULL) {
        watcher->previous_in_table->next_in_table = watcher->next_in_table;
    } else {
        table->watchers = watcher->next_in_table;
    }
    if (watcher->next_in_table != NULL) {
        watcher->next_in_table->previous_in_table = watcher->previous_in_table;
    }
    atomic_fetch_sub(&table->watcher_count, 1);
    pthread_mutex_unlock(&table->watchers_lock);
    watcher->table = NULL;
}

enum cache_read cache_watch_read(struct cache_watcher *watcher, struct change *changes, size_t max,
                                 size_t *count, int64_t *revision)
{
    struct cache_table *table = watcher->table;
    int64_t reached = atomic_load(&table->cache->revision);
    *count = 0;
    pthread_rwlock_rdlock(&table->lock);
    uint64_t next = atomic_load(&watcher->next);
    if (next < table->log_begin) {
        pthread_rwlock_unlock(&table->lock);
        return CACHE_READ_TOO_OLD;
    }
    while (*count < max && next < table->log_end) {
        changes[(*count)++] = change_ref(&table->log[next++ % table->log_size]);
    }
    atomic_store(&watcher->next, next);
    bool read_all = next == table->log_end;
    *revision = *count > 0 ? changes[*count - 1].revision : reached;
    if (read_all && table->last_revision <= reached && reached > *revision) {
        *revision = reached;
    }
    if (*count == 0) {
        atomic_store(&watcher->waiting, true);
    }
    pthread_rwlock_unlock(&table->lock);
    return *count > 0 ? CACHE_READ_CHANGES : CACHE_READ_NOTHING;
}

void cache_statistics(struct cache *cache,
                      void (*report)(void *argument, const struct resource *resource,
                                     size_t objects, size_t watchers),
                      void *argument)
{
    for (size_t i = 0; i < cache->table_count; i++) {
        struct cache_table *table = cache->tables[i];
        pthread_mutex_lock(&table->watchers_lock);
        size_t watchers = atomic_load(&table->watcher_count);
        pthread_mutex_unlock(&table->watchers_lock);
        report(argument, table->class->resource, cache_count(table), watchers);
    }
}

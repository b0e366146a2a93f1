// SPDX-License-Identifier: Apache-2.0
/* The watch cache, on a store whose every step the test decides. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/storage/cache.h"
#include "common/alloc.h"
#include "common/timestamp.h"

/* ---- a store in the test's hands ---- */

struct fake_store {
    struct store store;
    struct store_items items; /* What a range finds. */
    pthread_mutex_t lock;     /* Guards what follows. */
    int64_t revision;         /* -1: it can't be reached. */
    int asked;                /* Times that the revision was asked for. */
    int watches;
    struct store_watcher watcher;
};

static bool fake_range(struct store *base, const char *start, const char *end, size_t limit,
                       int64_t revision, struct store_items *items, int64_t *at_revision,
                       int64_t *total, struct error *error)
{
    struct fake_store *fake = container_of(base, struct fake_store, store);
    (void)limit, (void)total, (void)error;
    for (size_t i = 0; i < fake->items.count; i++) {
        const struct store_item *item = &fake->items.list[i];
        if (strcmp(item->key, start) >= 0 && strcmp(item->key, end) < 0) {
            items->list = grow(items->list, items->count, &items->capacity, sizeof *items->list);
            struct store_item *copy = &items->list[items->count++];
            *copy = *item;
            copy->key = duplicate(item->key);
            copy->value = duplicate_bytes(item->value, item->value_length);
        }
    }
    *at_revision = revision > 0 ? revision : fake->revision;
    return true;
}

static bool fake_revision(struct store *base, int64_t *revision, struct error *error)
{
    struct fake_store *fake = container_of(base, struct fake_store, store);
    pthread_mutex_lock(&fake->lock);
    fake->asked++;
    *revision = fake->revision;
    pthread_mutex_unlock(&fake->lock);
    return *revision >= 0 || error_unavailable(error, "nobody there");
}

static bool fake_watch(struct store *base, int64_t after, struct store_watcher watcher,
                       struct error *error)
{
    struct fake_store *fake = container_of(base, struct fake_store, store);
    (void)after, (void)error;
    pthread_mutex_lock(&fake->lock);
    fake->watcher = watcher;
    fake->watches++;
    pthread_mutex_unlock(&fake->lock);
    return true;
}

static const struct store_class fake_class = {
    .name = "fake",
    .range = fake_range,
    .current_revision = fake_revision,
    .watch = fake_watch,
};

struct fixture {
    struct fake_store fake;
    struct scheme *scheme;
    struct cache *cache;
    struct cache_table *pods;
};

static void set_revision(struct fixture *fixture, int64_t revision)
{
    pthread_mutex_lock(&fixture->fake.lock);
    fixture->fake.revision = revision;
    pthread_mutex_unlock(&fixture->fake.lock);
}

static int asked(struct fixture *fixture)
{
    pthread_mutex_lock(&fixture->fake.lock);
    int count = fixture->fake.asked;
    pthread_mutex_unlock(&fixture->fake.lock);
    return count;
}

/* "default/a" and its labels as JSON: a pod's value. */
static char *pod(const char *key, const char *labels)
{
    const char *name = strchr(key, '/') + 1;
    return format("{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"%s\","
                  "\"namespace\":\"%.*s\",\"labels\":%s}}",
                  name, (int)(name - 1 - key), key, labels);
}

/* Puts a value into what a range finds. */
static void store_value(struct fixture *fixture, const char *key, const char *value, size_t length,
                        int64_t revision)
{
    struct store_items *items = &fixture->fake.items;
    items->list = grow(items->list, items->count, &items->capacity, sizeof *items->list);
    items->list[items->count++] = (struct store_item){.key = duplicate(key),
                                                      .value = duplicate_bytes(value, length),
                                                      .value_length = length,
                                                      .mod_revision = revision,
                                                      .version = 1};
}

static void store_pod(struct fixture *fixture, const char *key, int64_t revision)
{
    cleanup(free_char)
    char *path = format("/registry/pods/%s", key);
    cleanup(free_char)
    char *value = pod(key, "{}");
    store_value(fixture, path, value, strlen(value), revision);
}

/* What the store's stream brings: a value, or none for a delete. */
static void bring(struct fixture *fixture, const char *key, const char *value, int64_t revision)
{
    struct store_item item = {.key = duplicate(key),
                              .value = value ? duplicate(value) : NULL,
                              .value_length = value ? strlen(value) : 0,
                              .mod_revision = revision};
    struct store_watcher watcher = fixture->fake.watcher;
    watcher.changes(watcher.argument, &item, 1, revision);
    store_item_clear(&item);
}

static void bring_pod(struct fixture *fixture, const char *key, const char *labels,
                      int64_t revision)
{
    cleanup(free_char)
    char *path = format("/registry/pods/%s", key);
    cleanup(free_char)
    char *value = labels ? pod(key, labels) : NULL;
    bring(fixture, path, value, revision);
}

static bool open_cache(struct fixture *fixture, struct error *error)
{
    fixture->cache = cache_open(&fixture->fake.store, fixture->scheme, error);
    if (fixture->cache != NULL) {
        fixture->pods =
            cache_table(fixture->cache, scheme_resource_find(fixture->scheme, "", "v1", "pods"));
    }
    return fixture->cache != NULL;
}

static int set_up(void **state)
{
    struct fixture *fixture = allocate_struct(struct fixture);
    fixture->fake.store = (struct store){&fake_class, false};
    fixture->fake.revision = 10;
    pthread_mutex_init(&fixture->fake.lock, NULL);
    fixture->scheme = scheme_builtin();
    *state = fixture;
    return 0;
}

static int set_up_open(void **state)
{
    set_up(state);
    struct fixture *fixture = *state;
    store_pod(fixture, "default/a", 3);
    store_pod(fixture, "default/b", 4);
    store_pod(fixture, "kube-system/c", 5);
    return open_cache(fixture, NULL) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    cache_free(fixture->cache);
    store_items_clear(&fixture->fake.items);
    scheme_unref(fixture->scheme);
    pthread_mutex_destroy(&fixture->fake.lock);
    free(fixture);
    return 0;
}

/* ---- loading ---- */

static void what_is_stored_is_loaded_at_the_revision_of_the_store(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(cache_count(fixture->pods), 3);
    assert_int_equal(cache_revision(fixture->cache), 10);
    assert_true(cache_follows(fixture->cache));
    assert_false(cache_is_local(fixture->cache));
    cleanup(object_release)
    struct object *object = cache_get(fixture->pods, "kube-system/c");
    assert_non_null(object);
    assert_int_equal(object->revision, 5);
    assert_null(cache_get(fixture->pods, "kube-system/a"));
    assert_null(cache_get(fixture->pods, "kube-system"));
}

static void a_value_that_cannot_be_read_is_an_error_that_names_its_key(void **state)
{
    static const struct {
        const char *value;
        size_t length;
        const char *why;
    } cases[] = {
        {"k8s\0\n\0", 6, "stored as protobuf"},      {"k8s:enc:aescbc:v1:x", 19, "is encrypted"},
        {"not json", 8, "/registry/pods/default/x"}, {"{}", 2, "/registry/pods/default/x"},
        {"", 0, "/registry/pods/default/x"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        store_items_clear(&fixture->fake.items);
        store_value(fixture, "/registry/pods/default/x", cases[i].value, cases[i].length, 2);
        assert_false(open_cache(fixture, &error));
        if (strstr(error.message, cases[i].why) == NULL) {
            fail_msg("case %zu: %s", i, error.message);
        }
    }
}

static void all_versions_of_a_resource_share_a_table_and_virtual_ones_have_none(void **state)
{
    struct fixture *fixture = *state;
    const struct resource *v1 =
        scheme_resource_find(fixture->scheme, "autoscaling", "v1", "horizontalpodautoscalers");
    const struct resource *v2 =
        scheme_resource_find(fixture->scheme, "autoscaling", "v2", "horizontalpodautoscalers");
    assert_non_null(cache_table(fixture->cache, v1));
    assert_ptr_equal(cache_table(fixture->cache, v1), cache_table(fixture->cache, v2));
    assert_null(
        cache_table(fixture->cache, scheme_resource_find(fixture->scheme, "authorization.k8s.io",
                                                         "v1", "subjectaccessreviews")));
    assert_string_equal(cache_table_class(fixture->pods)->resource->plural, "pods");
}

/* ---- snapshots ---- */

static void a_snapshot_stays_as_it_was(void **state)
{
    struct fixture *fixture = *state;
    struct snapshot *before = cache_snapshot(fixture->pods, "");
    bring_pod(fixture, "default/a", "{\"new\":\"yes\"}", 11);
    bring_pod(fixture, "default/b", NULL, 12);
    bring_pod(fixture, "default/aa", "{}", 13);
    struct snapshot *after = cache_snapshot(fixture->pods, "");
    assert_int_equal(before->revision, 10);
    assert_int_equal(before->count, 3);
    assert_int_equal(before->objects[0]->revision, 3);
    assert_string_equal(before->objects[1]->key, "default/b");
    assert_int_equal(after->revision, 13);
    assert_int_equal(after->count, 3);
    assert_int_equal(after->objects[0]->revision, 11);
    assert_string_equal(after->objects[1]->key, "default/aa");
    snapshot_free(before);
    snapshot_free(after);
}

static void a_snapshot_of_a_namespace_has_only_its_objects(void **state)
{
    struct fixture *fixture = *state;
    bring_pod(fixture, "default-two/x", "{}", 11);
    static const struct {
        const char *prefix;
        size_t count;
    } cases[] = {{"default/", 2}, {"default-two/", 1}, {"kube-system/", 1}, {"", 4},
                 {"defaul", 3},   {"a/", 0},           {"z/", 0},           {"default/a", 1}};
    for (size_t i = 0; i < array_length(cases); i++) {
        struct snapshot *snapshot = cache_snapshot(fixture->pods, cases[i].prefix);
        assert_int_equal(snapshot->count, cases[i].count);
        snapshot_free(snapshot);
    }
}

static void many_objects_stay_in_order_through_puts_and_deletes(void **state)
{
    struct fixture *fixture = *state;
    enum { count = 2000 };
    int64_t revision = 10;
    char key[32];
    struct snapshot *held[4] = {0};
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "many/%04d", i * 7919 % count); /* Every number once. */
        bring_pod(fixture, key, "{}", ++revision);
        if (i % 500 == 0) { /* Somebody reads: chunks are shared. */
            held[i / 500] = cache_snapshot(fixture->pods, "many/");
            assert_int_equal(held[i / 500]->count, i + 1);
        }
    }
    for (int i = 0; i < count; i += 2) {
        snprintf(key, sizeof key, "many/%04d", i);
        bring_pod(fixture, key, NULL, ++revision);
    }
    struct snapshot *snapshot = cache_snapshot(fixture->pods, "many/");
    assert_int_equal(snapshot->count, count / 2);
    for (size_t i = 0; i < snapshot->count; i++) {
        snprintf(key, sizeof key, "many/%04zu", i * 2 + 1);
        assert_string_equal(snapshot->objects[i]->key, key);
    }
    for (size_t i = 0; i < array_length(held); i++) {
        assert_int_equal(held[i]->count, i * 500 + 1);
        snapshot_free(held[i]);
    }
    snapshot_free(snapshot);
    assert_int_equal(cache_count(fixture->pods), 3 + count / 2);
}

static void foreign_keys_move_the_revision_on_and_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    bring(fixture, "/registry/ranges/servicenodeports", "x", 11);
    bring(fixture, "/elsewhere", "x", 12);
    bring(fixture, "elsewhere", NULL, 13);
    assert_int_equal(cache_revision(fixture->cache), 13);
    assert_int_equal(cache_count(fixture->pods), 3);
    assert_true(cache_unchanged_since(fixture->pods, 10));
    assert_true(cache_unchanged_since(fixture->pods, 13));
    assert_false(cache_unchanged_since(fixture->pods, 14)); /* Not reached. */
    bring_pod(fixture, "default/a", "{}", 14);
    assert_false(cache_unchanged_since(fixture->pods, 13));
    assert_true(cache_unchanged_since(fixture->pods, 14));
}

static void what_cannot_be_read_later_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    bring(fixture, "/registry/pods/default/bad", "not json", 11);
    assert_int_equal(cache_count(fixture->pods), 3);
    assert_int_equal(cache_revision(fixture->cache), 11);
    bring_pod(fixture, "default/unknown", NULL, 12); /* A delete of what nobody has. */
    assert_int_equal(cache_revision(fixture->cache), 12);
}

/* ---- waiting ---- */

static void a_revision_that_does_not_come_is_too_large(void **state)
{
    struct fixture *fixture = *state;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_true(cache_wait_revision(fixture->cache, 10, 0, &error));
    assert_false(cache_wait_revision(fixture->cache, 11, 20, &error));
    assert_int_equal(error.code, 504);
    assert_string_equal(error.message, "Timeout: Too large resource version: 11, current: 10");
    assert_int_equal(error.retry_after_seconds, 1);
    assert_false(cache_wait_revision(fixture->cache, 11, 0, NULL));
}

static void *bring_later(void *argument)
{
    bring_pod(argument, "default/a", "{}", 11);
    return NULL;
}

static void a_revision_that_comes_ends_the_wait(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, bring_later, fixture), 0);
    assert_true(cache_wait_revision(fixture->cache, 11, 30000, NULL));
    pthread_join(thread, NULL);
}

static void being_current_asks_the_store_unless_it_is_local(void **state)
{
    struct fixture *fixture = *state;
    int before = asked(fixture);
    assert_true(cache_wait_current(fixture->cache, NULL));
    assert_int_equal(asked(fixture), before + 1);
    set_revision(fixture, 11);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, bring_later, fixture), 0);
    assert_true(cache_wait_current(fixture->cache, NULL));
    assert_true(cache_revision(fixture->cache) >= 11);
    pthread_join(thread, NULL);
    fixture->fake.store.local = true;
    before = asked(fixture);
    assert_true(cache_is_local(fixture->cache));
    assert_true(cache_wait_current(fixture->cache, NULL));
    assert_int_equal(asked(fixture), before);
    fixture->fake.store.local = false;
}

static void a_store_that_is_gone_is_told_at_once(void **state)
{
    struct fixture *fixture = *state;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    set_revision(fixture, -1);
    assert_false(cache_wait_current(fixture->cache, &error));
    assert_int_equal(error.code, 503);
    set_revision(fixture, 10);
    assert_true(cache_wait_current(fixture->cache, NULL));
}

/* ---- watching ---- */

struct watch {
    struct cache_watcher watcher;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    int wakes;
    const char *only; /* Of interest are keys that begin so; NULL: all. */
};

static void on_wake(struct cache_watcher *watcher)
{
    struct watch *watch = container_of(watcher, struct watch, watcher);
    pthread_mutex_lock(&watch->lock);
    watch->wakes++;
    pthread_cond_signal(&watch->woken);
    pthread_mutex_unlock(&watch->lock);
}

static bool is_interesting(const struct cache_watcher *watcher, const struct change *change)
{
    const struct watch *watch =
        container_of((struct cache_watcher *)watcher, struct watch, watcher);
    return strncmp(change->object->key, watch->only, strlen(watch->only)) == 0;
}

static void watch_init(struct watch *watch, const char *only)
{
    *watch = (struct watch){.watcher = {.wake = on_wake}, .only = only};
    watch->watcher.interested = only ? is_interesting : NULL;
    pthread_mutex_init(&watch->lock, NULL);
    pthread_cond_init(&watch->woken, NULL);
}

static void wait_for_wakes(struct watch *watch, int count)
{
    struct timespec until = {.tv_sec = timestamp_now() / 1000000000 + 30};
    pthread_mutex_lock(&watch->lock);
    int waited = 0;
    while (watch->wakes < count && waited == 0) {
        waited = pthread_cond_timedwait(&watch->woken, &watch->lock, &until);
    }
    assert_true(watch->wakes >= count);
    pthread_mutex_unlock(&watch->lock);
}

/* Reads one change, or none; what it was. */
static enum cache_read read_one(struct watch *watch, struct change *change, int64_t *revision)
{
    size_t count;
    *change = (struct change){0};
    enum cache_read what = cache_watch_read(&watch->watcher, change, 1, &count, revision);
    assert_int_equal(count, what == CACHE_READ_CHANGES);
    return what;
}

static void a_watcher_reads_each_change_once_and_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct watch watch;
    struct change change;
    int64_t revision = 0;
    watch_init(&watch, NULL);
    bring_pod(fixture, "default/a", "{\"n\":\"1\"}", 11);
    assert_true(cache_watch(fixture->pods, &watch.watcher, 10, NULL));
    bring_pod(fixture, "default/n", "{}", 12);
    bring_pod(fixture, "default/b", NULL, 13);
    assert_int_equal(read_one(&watch, &change, &revision), CACHE_READ_CHANGES);
    assert_int_equal(change.revision, 11);
    assert_false(change.deleted);
    assert_int_equal(change.previous->revision, 3);
    change_clear(&change);
    assert_int_equal(read_one(&watch, &change, &revision), CACHE_READ_CHANGES);
    assert_string_equal(change.object->key, "default/n");
    assert_null(change.previous);
    assert_int_equal(revision, 12);
    change_clear(&change);
    assert_int_equal(read_one(&watch, &change, &revision), CACHE_READ_CHANGES);
    assert_true(change.deleted);
    assert_int_equal(change.revision, 13);
    assert_int_equal(change.object->revision, 4);
    change_clear(&change);
    assert_int_equal(read_one(&watch, &change, &revision), CACHE_READ_NOTHING);
    bring(fixture, "/elsewhere", "x", 20);
    assert_int_equal(read_one(&watch, &change, &revision), CACHE_READ_NOTHING);
    assert_int_equal(revision, 20);
    cache_unwatch(&watch.watcher);
    cache_unwatch(&watch.watcher); /* Twice does no harm. */
}

static void a_watcher_that_read_all_is_woken_by_what_interests_it(void **state)
{
    struct fixture *fixture = *state;
    struct watch picky, any;
    struct change change;
    int64_t revision;
    watch_init(&picky, "kube-system/");
    watch_init(&any, NULL);
    assert_true(cache_watch(fixture->pods, &picky.watcher, 10, NULL));
    assert_true(cache_watch(fixture->pods, &any.watcher, 10, NULL));
    assert_int_equal(read_one(&picky, &change, &revision), CACHE_READ_NOTHING);
    assert_int_equal(read_one(&any, &change, &revision), CACHE_READ_NOTHING);
    bring_pod(fixture, "default/a", "{}", 11);
    wait_for_wakes(&any, 1);
    bring_pod(fixture, "kube-system/c", "{}", 12);
    wait_for_wakes(&picky, 1);
    assert_int_equal(picky.wakes, 1);
    assert_int_equal(read_one(&picky, &change, &revision), CACHE_READ_CHANGES);
    change_clear(&change);
    cache_unwatch(&picky.watcher);
    cache_unwatch(&any.watcher);
}

static void a_watcher_is_woken_when_its_time_has_come(void **state)
{
    struct fixture *fixture = *state;
    struct watch watch;
    struct change change;
    int64_t revision;
    watch_init(&watch, NULL);
    assert_true(cache_watch(fixture->pods, &watch.watcher, 10, NULL));
    assert_int_equal(read_one(&watch, &change, &revision), CACHE_READ_NOTHING);
    atomic_store(&watch.watcher.due_ns, timestamp_monotonic());
    wait_for_wakes(&watch, 1);
    cache_unwatch(&watch.watcher);
}

static void a_watch_from_before_the_log_is_too_old(void **state)
{
    struct fixture *fixture = *state;
    struct watch watch;
    watch_init(&watch, NULL);
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_false(cache_watch(fixture->pods, &watch.watcher, 9, &error));
    assert_int_equal(error.code, 410);
    assert_string_equal(error.message, "too old resource version: 9 (10)");
    cache_unwatch(&watch.watcher);
}

static void a_watcher_that_falls_behind_the_log_is_told_so(void **state)
{
    struct fixture *fixture = *state;
    struct watch watch;
    struct change change;
    int64_t revision;
    watch_init(&watch, NULL);
    assert_true(cache_watch(fixture->pods, &watch.watcher, 10, NULL));
    char *filler = allocate_zero(1, 100001);
    memset(filler, 'x', 100000);
    cleanup(free_char)
    char *labels = format("{\"fill\":\"%s\"}", filler);
    free(filler);
    for (int i = 0; i < 400; i++) { /* 40 MB of superseded versions. */
        bring_pod(fixture, "default/a", labels, 11 + i);
    }
    assert_int_equal(read_one(&watch, &change, &revision), CACHE_READ_TOO_OLD);
    cache_unwatch(&watch.watcher);
    assert_false(cache_watch(fixture->pods, &watch.watcher, 10, NULL));
    assert_true(cache_watch(fixture->pods, &watch.watcher, 400, NULL)); /* The last ones stay. */
    cache_unwatch(&watch.watcher);
}

static void what_was_lost_is_read_anew_and_watchers_start_over(void **state)
{
    struct fixture *fixture = *state;
    struct watch watch;
    struct change change;
    int64_t revision;
    watch_init(&watch, NULL);
    assert_true(cache_watch(fixture->pods, &watch.watcher, 10, NULL));
    assert_int_equal(read_one(&watch, &change, &revision), CACHE_READ_NOTHING);
    store_items_clear(&fixture->fake.items);
    store_pod(fixture, "default/z", 50);
    set_revision(fixture, 60);
    struct error why = ERROR_INIT;
    error_expired(&why, "compacted");
    fixture->fake.watcher.lost(fixture->fake.watcher.argument, &why);
    error_clear(&why);
    assert_true(cache_wait_revision(fixture->cache, 60, 30000, NULL));
    wait_for_wakes(&watch, 1);
    assert_int_equal(read_one(&watch, &change, &revision), CACHE_READ_TOO_OLD);
    assert_int_equal(cache_count(fixture->pods), 1);
    cache_unwatch(&watch.watcher);
}

static void count_pods(void *argument, const struct resource *resource, size_t objects,
                       size_t watchers)
{
    size_t *counts = argument;
    if (strcmp(resource->plural, "pods") == 0) {
        counts[0] += objects;
        counts[1] += watchers;
    }
    counts[2]++;
}

static void statistics_count_objects_and_watchers(void **state)
{
    struct fixture *fixture = *state;
    struct watch watch;
    size_t counts[3] = {0};
    watch_init(&watch, NULL);
    assert_true(cache_watch(fixture->pods, &watch.watcher, 10, NULL));
    cache_statistics(fixture->cache, count_pods, counts);
    assert_int_equal(counts[0], 3);
    assert_int_equal(counts[1], 1);
    assert_true(counts[2] > 40);
    cache_unwatch(&watch.watcher);
}

/* ---- observers ---- */

/* "+key" and "-key" for what it is shown, with the revision that the cache had published then. */
struct listener {
    struct cache_observer observer;
    struct cache *cache;
    struct buffer shown;
};

static void hear(struct cache_observer *observer, const struct object *object, bool deleted)
{
    struct listener *listener = container_of(observer, struct listener, observer);
    buffer_addf(&listener->shown, "%c%s@%lld ", deleted ? '-' : '+', object->key,
                (long long)cache_revision(listener->cache));
}

static void an_observer_is_shown_all_that_is_there_and_each_change_before_it_counts(void **state)
{
    struct fixture *fixture = *state;
    struct listener listener = {.observer = {.changed = hear}, .cache = fixture->cache};
    cache_observe(fixture->pods, &listener.observer);
    bring_pod(fixture, "default/d", "{}", 11);
    bring_pod(fixture, "default/a", NULL, 12);
    bring_pod(fixture, "default/nobody", NULL, 13);
    assert_string_equal(buffer_text(&listener.shown),
                        "+default/a@10 +default/b@10 +kube-system/c@10 +default/d@10 "
                        "-default/a@11 ");
    buffer_free(&listener.shown);
}

static void an_observer_is_shown_what_went_while_the_cache_was_lost(void **state)
{
    struct fixture *fixture = *state;
    struct listener listener = {.observer = {.changed = hear}, .cache = fixture->cache};
    cache_observe(fixture->pods, &listener.observer);
    buffer_reset(&listener.shown);
    store_items_clear(&fixture->fake.items);
    store_pod(fixture, "default/b", 4);
    store_pod(fixture, "default/new", 15);
    static const char another[] = "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":"
                                  "\"c\",\"uid\":\"another\"}}";
    store_value(fixture, "/registry/pods/kube-system/c", another, strlen(another), 16);
    set_revision(fixture, 20);
    struct error why = ERROR_INIT;
    error_expired(&why, "compacted");
    fixture->fake.watcher.lost(fixture->fake.watcher.argument, &why);
    error_clear(&why);
    assert_true(cache_wait_revision(fixture->cache, 20, 5000, NULL));
    assert_string_equal(buffer_text(&listener.shown),
                        "-default/a@10 -kube-system/c@10 +default/b@10 +default/new@10 "
                        "+kube-system/c@10 ");
    buffer_free(&listener.shown);
}

#define each(test) cmocka_unit_test_setup_teardown(test, set_up_open, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        each(what_is_stored_is_loaded_at_the_revision_of_the_store),
        cmocka_unit_test_setup_teardown(a_value_that_cannot_be_read_is_an_error_that_names_its_key,
                                        set_up, tear_down),
        each(all_versions_of_a_resource_share_a_table_and_virtual_ones_have_none),
        each(a_snapshot_stays_as_it_was),
        each(a_snapshot_of_a_namespace_has_only_its_objects),
        each(many_objects_stay_in_order_through_puts_and_deletes),
        each(foreign_keys_move_the_revision_on_and_nothing_else),
        each(what_cannot_be_read_later_is_left_alone),
        each(a_revision_that_does_not_come_is_too_large),
        each(a_revision_that_comes_ends_the_wait),
        each(being_current_asks_the_store_unless_it_is_local),
        each(a_store_that_is_gone_is_told_at_once),
        each(a_watcher_reads_each_change_once_and_in_order),
        each(a_watcher_that_read_all_is_woken_by_what_interests_it),
        each(a_watcher_is_woken_when_its_time_has_come),
        each(a_watch_from_before_the_log_is_too_old),
        each(a_watcher_that_falls_behind_the_log_is_told_so),
        each(what_was_lost_is_read_anew_and_watchers_start_over),
        each(statistics_count_objects_and_watchers),
        each(an_observer_is_shown_all_that_is_there_and_each_change_before_it_counts),
        each(an_observer_is_shown_what_went_while_the_cache_was_lost),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}

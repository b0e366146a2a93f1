// SPDX-License-Identifier: Apache-2.0
/* What store.h promises of every store, tried on both. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/storage/harness.h"

static void what_was_put_is_read_back_with_its_revision(void **state)
{
    struct fixture *fixture = *state;
    const char *key = key_of(fixture, "a");
    int64_t created = put(fixture->store, key, "one", 0);
    int64_t updated = put(fixture->store, key, "two", created);
    assert_true(updated > created);
    struct error error = ERROR_INIT;
    cleanup(store_item_clear)
    struct store_item item = {0};
    bool found;
    assert_done(store_get(fixture->store, key, &item, &found, &error));
    assert_true(found);
    assert_string_equal(item.key, key);
    assert_string_equal(item.value, "two");
    assert_int_equal(item.value_length, 3);
    assert_int_equal(item.mod_revision, updated);
    assert_int_equal(item.version, 2);
    assert_int_equal(current_revision(fixture->store), updated);
}

static void values_may_be_empty_or_hold_any_byte(void **state)
{
    struct fixture *fixture = *state;
    char bytes[256];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)i;
    }
    put_bytes(fixture->store, key_of(fixture, "bytes"), bytes, sizeof(bytes));
    put_bytes(fixture->store, key_of(fixture, "empty"), "", 0);
    struct error error = ERROR_INIT;
    cleanup(store_items_clear)
    struct store_items items = STORE_ITEMS_INIT;
    assert_done(store_range(fixture->store, fixture->prefix, fixture->prefix_end, 0, 0, &items,
                            NULL, NULL, &error));
    assert_int_equal(items.count, 2);
    assert_int_equal(items.list[0].value_length, sizeof(bytes));
    assert_memory_equal(items.list[0].value, bytes, sizeof(bytes));
    assert_int_equal(items.list[0].value[sizeof(bytes)], 0);
    assert_int_equal(items.list[1].value_length, 0);
    assert_string_equal(items.list[1].value, "");
}

static void a_deleted_key_is_gone_and_starts_anew_when_created_again(void **state)
{
    struct fixture *fixture = *state;
    const char *key = key_of(fixture, "a");
    int64_t created = put(fixture->store, key, "one", 0);
    int64_t deleted = delete_key(fixture->store, key, created);
    assert_true(deleted > created);
    assert_false(exists(fixture->store, key));
    put(fixture->store, key, "again", 0);
    struct error error = ERROR_INIT;
    cleanup(store_item_clear)
    struct store_item item = {0};
    bool found;
    assert_done(store_get(fixture->store, key, &item, &found, &error));
    assert_int_equal(item.version, 1);
}

/* Does a write that must conflict. */
static struct store_item conflict_of(struct store *store, const struct store_write *write)
{
    struct error error = ERROR_INIT;
    struct store_item current = {0};
    bool conflict = false;
    int64_t revision = 0;
    assert_done(store_commit(store, write, &revision, &current, &conflict, &error));
    assert_true(conflict);
    assert_true(revision > 0);
    return current;
}

static void a_write_whose_condition_fails_answers_with_the_key_as_it_is(void **state)
{
    struct fixture *fixture = *state;
    const char *key = key_of(fixture, "a");
    int64_t created = put(fixture->store, key, "mine", 0);
    const struct store_write writes[] = {
        {.key = key, .value = "x", .value_length = 1, .expected = 0},
        {.key = key, .value = "x", .value_length = 1, .expected = created + 1},
        {.key = key, .value = "x", .value_length = 1, .expected = created - 1},
        {.operation = STORE_DELETE, .key = key, .expected = created + 1},
        {.operation = STORE_DELETE, .key = key, .expected = 0},
    };
    for (size_t i = 0; i < array_length(writes); i++) {
        cleanup(store_item_clear)
        struct store_item current = conflict_of(fixture->store, &writes[i]);
        assert_string_equal(current.key, key);
        assert_string_equal(current.value, "mine");
        assert_int_equal(current.mod_revision, created);
        assert_int_equal(current.version, 1);
    }
    assert_int_equal(current_revision(fixture->store), created);
}

static void a_write_to_an_absent_key_that_must_exist_conflicts_with_nothing(void **state)
{
    struct fixture *fixture = *state;
    const char *key = key_of(fixture, "absent");
    const struct store_write writes[] = {
        {.key = key, .value = "x", .value_length = 1, .expected = 7},
        {.operation = STORE_DELETE, .key = key, .expected = STORE_ANY},
        {.operation = STORE_DELETE, .key = key, .expected = 7},
        {.operation = STORE_DELETE, .key = key, .expected = 0},
    };
    for (size_t i = 0; i < array_length(writes); i++) {
        cleanup(store_item_clear)
        struct store_item current = conflict_of(fixture->store, &writes[i]);
        assert_null(current.key);
    }
}

static void an_unconditional_write_does_what_it_says(void **state)
{
    struct fixture *fixture = *state;
    const char *key = key_of(fixture, "a");
    put(fixture->store, key, "one", STORE_ANY);
    put(fixture->store, key, "two", STORE_ANY);
    assert_value(fixture->store, key, "two");
    delete_key(fixture->store, key, STORE_ANY);
    assert_false(exists(fixture->store, key));
}

/* ---- ranges ---- */

static void a_range_is_in_byte_order_without_its_end_and_counts_past_its_limit(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {"b", "a", "a/b", "a-b", "\xc3\xa4", "B", "c"};
    static const char *const sorted[] = {"B", "a", "a-b", "a/b", "b"};
    for (size_t i = 0; i < array_length(names); i++) {
        put(fixture->store, key_of(fixture, names[i]), names[i], 0);
    }
    struct error error = ERROR_INIT;
    for (size_t limit = 0; limit <= 6; limit++) {
        cleanup(store_items_clear)
        struct store_items items = STORE_ITEMS_INIT;
        int64_t at_revision, total;
        assert_done(store_range(fixture->store, fixture->prefix, key_of(fixture, "c"), limit, 0,
                                &items, &at_revision, &total, &error));
        assert_int_equal(total, 5);
        assert_int_equal(at_revision, current_revision(fixture->store));
        assert_int_equal(items.count, limit == 0 || limit > 5 ? 5 : limit);
        for (size_t i = 0; i < items.count; i++) {
            assert_string_equal(items.list[i].value, sorted[i]);
        }
    }
}

static void an_empty_range_is_no_error(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    cleanup(store_items_clear)
    struct store_items items = STORE_ITEMS_INIT;
    int64_t at_revision = 0, total = 7;
    assert_done(store_range(fixture->store, fixture->prefix, fixture->prefix_end, 0, 0, &items,
                            &at_revision, &total, &error));
    assert_int_equal(items.count, 0);
    assert_int_equal(total, 0);
    assert_int_equal(at_revision, current_revision(fixture->store));
}

static void a_range_at_an_old_revision_shows_what_was_then(void **state)
{
    struct fixture *fixture = *state;
    put(fixture->store, key_of(fixture, "stays"), "1", 0);
    put(fixture->store, key_of(fixture, "changes"), "1", 0);
    int64_t then = put(fixture->store, key_of(fixture, "goes"), "1", 0);
    put(fixture->store, key_of(fixture, "changes"), "2", STORE_ANY);
    delete_key(fixture->store, key_of(fixture, "goes"), STORE_ANY);
    put(fixture->store, key_of(fixture, "comes"), "1", 0);
    struct error error = ERROR_INIT;
    cleanup(store_items_clear)
    struct store_items items = STORE_ITEMS_INIT;
    int64_t at_revision, total;
    assert_done(store_range(fixture->store, fixture->prefix, fixture->prefix_end, 0, then, &items,
                            &at_revision, &total, &error));
    assert_int_equal(at_revision, then);
    assert_int_equal(total, 3);
    assert_int_equal(items.count, 3);
    assert_string_equal(items.list[0].key, key_of(fixture, "changes"));
    assert_string_equal(items.list[0].value, "1");
    assert_string_equal(items.list[1].key, key_of(fixture, "goes"));
    assert_string_equal(items.list[2].key, key_of(fixture, "stays"));
}

static void a_revision_in_the_future_is_a_bad_request(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    cleanup(store_items_clear)
    struct store_items items = STORE_ITEMS_INIT;
    assert_false(store_range(fixture->store, fixture->prefix, fixture->prefix_end, 0,
                             current_revision(fixture->store) + 1000, &items, NULL, NULL, &error));
    assert_int_equal(error.code, 400);
    assert_int_equal(items.count, 0);
    error_clear(&error);
}

static void a_compacted_revision_is_expired_and_the_present_stays(void **state)
{
    struct fixture *fixture = *state;
    const char *key = key_of(fixture, "a");
    int64_t first = put(fixture->store, key, "1", 0);
    int64_t second = put(fixture->store, key, "2", first);
    put(fixture->store, key, "3", second);
    struct error error = ERROR_INIT;
    assert_done(store_compact(fixture->store, second, &error));
    cleanup(store_items_clear)
    struct store_items items = STORE_ITEMS_INIT;
    assert_false(store_range(fixture->store, fixture->prefix, fixture->prefix_end, 0, first, &items,
                             NULL, NULL, &error));
    assert_int_equal(error.code, 410);
    error_clear(&error);
    assert_done(store_range(fixture->store, fixture->prefix, fixture->prefix_end, 0, second, &items,
                            NULL, NULL, &error));
    assert_int_equal(items.count, 1);
    assert_string_equal(items.list[0].value, "2");
    assert_value(fixture->store, key, "3");
    assert_false(store_compact(fixture->store, second + 1000, &error));
    assert_int_equal(error.code, 400);
    error_clear(&error);
}

/* ---- watching ---- */

static void a_watch_tells_every_change_once_and_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    struct recorder recorder;
    recorder_init(&recorder);
    int64_t after = current_revision(fixture->store);
    assert_done(store_watch(fixture->store, after, recorder_watcher(&recorder), &error));
    int64_t last = 0;
    for (int i = 0; i < 100; i++) {
        cleanup(free_char)
        char *value = format("%d", i);
        put(fixture->store, key_of(fixture, "a"), value, STORE_ANY);
        last = put(fixture->store, i % 2 == 0 ? "/foreign/key" : "zzz", value, STORE_ANY);
    }
    last = delete_key(fixture->store, key_of(fixture, "a"), STORE_ANY);
    recorder_wait_revision(&recorder, last);
    assert_int_equal(recorder.count, 201);
    assert_true(recorder.began);
    assert_true(recorder.in_order);
    for (size_t i = 0; i < 200; i++) {
        const struct change *change = &recorder.changes[i];
        assert_int_equal(change->revision, after + 1 + (int64_t)i);
        assert_string_equal(change->key, i % 2 == 0   ? key_of(fixture, "a")
                                         : i % 4 == 1 ? "/foreign/key"
                                                      : "zzz");
        assert_int_equal(atoi(change->value), i / 2);
    }
    assert_null(recorder.changes[200].value);
    assert_int_equal(recorder.lost, 0);
    store_close(steal(fixture->store));
    recorder_free(&recorder);
}

static void a_watch_resumes_from_a_revision_without_loss_or_repetition(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    int64_t revisions[20];
    for (int i = 0; i < 10; i++) {
        revisions[i] = put(fixture->store, key_of(fixture, "a"), "x", STORE_ANY);
    }
    reopen(fixture);
    struct recorder recorder;
    recorder_init(&recorder);
    assert_done(store_watch(fixture->store, revisions[4], recorder_watcher(&recorder), &error));
    for (int i = 10; i < 20; i++) {
        revisions[i] = put(fixture->store, key_of(fixture, "a"), "x", STORE_ANY);
    }
    recorder_wait_revision(&recorder, revisions[19]);
    assert_int_equal(recorder.count, 15);
    for (size_t i = 0; i < 15; i++) {
        assert_int_equal(recorder.changes[i].revision, revisions[5 + i]);
    }
    store_close(steal(fixture->store));
    recorder_free(&recorder);
}

static void a_watch_from_a_compacted_revision_is_lost_and_may_start_over(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    int64_t first = put(fixture->store, key_of(fixture, "a"), "1", 0);
    int64_t second = put(fixture->store, key_of(fixture, "a"), "2", STORE_ANY);
    /* A delete at the very revision of the compaction leaves no trace in etcd. */
    int64_t third = delete_key(fixture->store, key_of(fixture, "a"), STORE_ANY);
    int64_t fourth = put(fixture->store, key_of(fixture, "b"), "1", 0);
    assert_done(store_compact(fixture->store, third, &error));
    const int64_t too_old[] = {first, second};
    for (size_t i = 0; i < array_length(too_old); i++) {
        struct recorder recorder;
        recorder_init(&recorder);
        assert_done(store_watch(fixture->store, too_old[i], recorder_watcher(&recorder), &error));
        recorder_wait_lost(&recorder);
        assert_int_equal(recorder.lost_code, 410);
        assert_int_equal(recorder.count, 0);
        recorder_free(&recorder);
    }
    struct recorder recorder;
    recorder_init(&recorder);
    assert_done(store_watch(fixture->store, third, recorder_watcher(&recorder), &error));
    recorder_wait_revision(&recorder, fourth);
    assert_int_equal(recorder.count, 1);
    assert_int_equal(recorder.lost, 0);
    store_close(steal(fixture->store));
    recorder_free(&recorder);
}

static void a_watch_survives_compaction_behind_it(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    struct recorder recorder;
    recorder_init(&recorder);
    int64_t after = current_revision(fixture->store);
    assert_done(store_watch(fixture->store, after, recorder_watcher(&recorder), &error));
    for (int i = 0; i < 5; i++) {
        int64_t revision = put(fixture->store, key_of(fixture, "a"), "x", STORE_ANY);
        recorder_wait_revision(&recorder, revision);
        assert_done(store_compact(fixture->store, revision, &error));
    }
    assert_int_equal(recorder.count, 5);
    assert_int_equal(recorder.lost, 0);
    store_close(steal(fixture->store));
    recorder_free(&recorder);
}

/* ---- many at once ---- */

struct contest {
    struct store *store;
    const char *key;
    int rounds;
    _Atomic int won, failed;
};

/* Adds one to a number in the store, 'rounds' times, by compare and swap. */
static void *contend(void *argument)
{
    struct contest *contest = argument;
    for (int round = 0; round < contest->rounds;) {
        struct error error = ERROR_INIT;
        struct store_item item = {0};
        bool found = false, conflict = false;
        int64_t revision;
        if (!store_get(contest->store, contest->key, &item, &found, &error)) {
            contest->failed++;
            error_clear(&error);
            return NULL;
        }
        char text[24];
        snprintf(text, sizeof(text), "%d", (found ? atoi(item.value) : 0) + 1);
        const struct store_write write = {.key = contest->key,
                                          .value = text,
                                          .value_length = strlen(text),
                                          .expected = found ? item.mod_revision : 0};
        store_item_clear(&item);
        if (!store_commit(contest->store, &write, &revision, &item, &conflict, &error)) {
            contest->failed++;
            error_clear(&error);
            return NULL;
        }
        store_item_clear(&item);
        if (!conflict) {
            contest->won++;
            round++;
        }
    }
    return NULL;
}

static void compare_and_swap_from_many_threads_loses_no_update(void **state)
{
    struct fixture *fixture = *state;
    enum { thread_count = 12, rounds = 20 };
    struct contest contest = {
        .store = fixture->store, .key = key_of(fixture, "counter"), .rounds = rounds};
    pthread_t threads[thread_count];
    for (int i = 0; i < thread_count; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, contend, &contest), 0);
    }
    for (int i = 0; i < thread_count; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(contest.failed, 0);
    assert_int_equal(contest.won, thread_count * rounds);
    assert_value(fixture->store, contest.key, "240");
}

struct filler {
    struct fixture *fixture;
    int from, to;
    _Atomic int *failed;
};

static void *fill(void *argument)
{
    struct filler *filler = argument;
    for (int i = filler->from; i < filler->to; i++) {
        char key[64], value[2000];
        snprintf(key, sizeof(key), "%s%05d", filler->fixture->prefix, i);
        memset(value, 'a' + i % 26, sizeof(value));
        const struct store_write write = {
            .key = key, .value = value, .value_length = sizeof(value) - (size_t)i % 100};
        int64_t revision;
        *filler->failed += try_write(filler->fixture->store, &write, &revision) != 0;
    }
    return NULL;
}

static void fill_with_threads(struct fixture *fixture, int count)
{
    enum { thread_count = 16 };
    _Atomic int failed = 0;
    pthread_t threads[thread_count];
    struct filler fillers[thread_count];
    for (int i = 0; i < thread_count; i++) {
        fillers[i] = (struct filler){.fixture = fixture,
                                     .from = count / thread_count * i,
                                     .to = count / thread_count * (i + 1),
                                     .failed = &failed};
        assert_int_equal(pthread_create(&threads[i], NULL, fill, &fillers[i]), 0);
    }
    for (int i = 0; i < thread_count; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(failed, 0);
}

static void ten_thousand_keys_are_watched_and_read_back(void **state)
{
    struct fixture *fixture = *state;
    enum { count = 10000 };
    struct error error = ERROR_INIT;
    struct recorder recorder;
    recorder_init(&recorder);
    int64_t after = current_revision(fixture->store);
    assert_done(store_watch(fixture->store, after, recorder_watcher(&recorder), &error));
    fill_with_threads(fixture, count);
    recorder_wait_revision(&recorder, after + count);
    assert_int_equal(recorder.count, count);
    assert_true(recorder.in_order);
    cleanup(store_items_clear)
    struct store_items items = STORE_ITEMS_INIT;
    int64_t total;
    assert_done(store_range(fixture->store, fixture->prefix, fixture->prefix_end, 0, 0, &items,
                            NULL, &total, &error));
    assert_int_equal(total, count);
    assert_int_equal(items.count, count);
    for (int i = 0; i < count; i++) {
        assert_int_equal(atoi(items.list[i].key + strlen(fixture->prefix)), i);
        assert_int_equal(items.list[i].value_length, 2000 - i % 100);
        assert_int_equal(items.list[i].value[1000], 'a' + i % 26);
    }
    store_close(steal(fixture->store));
    recorder_free(&recorder);
}

struct churner {
    struct fixture *fixture;
    _Atomic bool stop;
    _Atomic int written, failed;
};

/* Changes, deletes and adds keys until told to stop. */
static void *churn(void *argument)
{
    struct churner *churner = argument;
    for (unsigned int i = 0; !churner->stop; i++) {
        char key[64];
        snprintf(key, sizeof(key), "%s%05u", churner->fixture->prefix, i * 7919 % 6400);
        struct store_write write = {
            .key = key, .value = "churned", .value_length = 7, .expected = STORE_ANY};
        write.operation = i % 3 == 0 ? STORE_DELETE : STORE_PUT;
        int64_t revision;
        int code = try_write(churner->fixture->store, &write, &revision);
        churner->failed += code != 0 && code != 409;
        churner->written++;
    }
    return NULL;
}

static void a_range_in_parts_is_of_one_revision_while_others_write(void **state)
{
    struct fixture *fixture = *state;
    enum { count = 3200 };
    fill_with_threads(fixture, count);
    struct error error = ERROR_INIT;
    int64_t then = current_revision(fixture->store);
    struct churner churner = {.fixture = fixture};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, churn, &churner), 0);
    int64_t until = milliseconds() + wait_seconds * 1000;
    for (int round = 0; round < 3 || churner.written < 100; round++) {
        assert_true(milliseconds() < until);
        cleanup(store_items_clear)
        struct store_items old = STORE_ITEMS_INIT;
        cleanup(store_items_clear)
        struct store_items now = STORE_ITEMS_INIT;
        cleanup(store_items_clear)
        struct store_items again = STORE_ITEMS_INIT;
        int64_t at_revision, total;
        assert_done(store_range(fixture->store, fixture->prefix, fixture->prefix_end, 0, then, &old,
                                NULL, &total, &error));
        assert_int_equal(old.count, count);
        assert_int_equal(total, count);
        assert_done(store_range(fixture->store, fixture->prefix, fixture->prefix_end, 0, 0, &now,
                                &at_revision, &total, &error));
        assert_int_equal(now.count, total);
        assert_done(store_range(fixture->store, fixture->prefix, fixture->prefix_end, 0,
                                at_revision, &again, NULL, NULL, &error));
        assert_int_equal(now.count, again.count);
        for (size_t i = 0; i < now.count; i++) {
            assert_string_equal(now.list[i].key, again.list[i].key);
            assert_int_equal(now.list[i].mod_revision, again.list[i].mod_revision);
            assert_true(now.list[i].mod_revision <= at_revision);
        }
    }
    churner.stop = true;
    pthread_join(thread, NULL);
    assert_int_equal(churner.failed, 0);
}

static void values_of_a_megabyte_and_more_pass_through(void **state)
{
    struct fixture *fixture = *state;
    enum { length = 1400 * 1000, count = 8 };
    struct error error = ERROR_INIT;
    struct recorder recorder;
    recorder_init(&recorder);
    int64_t after = current_revision(fixture->store);
    char *value = allocate(length);
    memset(value, 'v', length);
    int64_t last = 0;
    for (int i = 0; i < count; i++) {
        cleanup(free_char)
        char *name = format("%d", i);
        value[length - 1] = (char)('0' + i);
        last = put_bytes(fixture->store, key_of(fixture, name), value, length);
    }
    free(value);
    /* Begun late, so that the changes come together in one message. */
    assert_done(store_watch(fixture->store, after, recorder_watcher(&recorder), &error));
    recorder_wait_revision(&recorder, last);
    assert_int_equal(recorder.count, count);
    assert_int_equal(strlen(recorder.changes[3].value), length);
    cleanup(store_items_clear)
    struct store_items items = STORE_ITEMS_INIT;
    assert_done(store_range(fixture->store, fixture->prefix, fixture->prefix_end, 0, 0, &items,
                            NULL, NULL, &error));
    assert_int_equal(items.count, count);
    for (int i = 0; i < count; i++) {
        assert_int_equal(items.list[i].value_length, length);
        assert_int_equal(items.list[i].value[length - 1], '0' + i);
    }
    store_close(steal(fixture->store));
    recorder_free(&recorder);
}

/* ---- time to live, opening again ---- */

static int64_t put_for(struct fixture *fixture, const char *name, int64_t seconds)
{
    const struct store_write write = {.key = key_of(fixture, name),
                                      .value = "x",
                                      .value_length = 1,
                                      .expected = STORE_ANY,
                                      .ttl_seconds = seconds};
    return must_write(fixture->store, &write);
}

static void a_key_with_a_time_to_live_deletes_itself_and_not_too_early(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    struct recorder recorder;
    recorder_init(&recorder);
    int64_t after = current_revision(fixture->store);
    assert_done(store_watch(fixture->store, after, recorder_watcher(&recorder), &error));
    int64_t began = milliseconds();
    put_for(fixture, "short", 2);
    put_for(fixture, "renewed", 2);
    put_for(fixture, "kept", 2);
    put_for(fixture, "kept", 0);
    put_for(fixture, "long", 3600);
    sleep_ms(1000);
    int64_t renewed = milliseconds();
    put_for(fixture, "renewed", 2);
    wait_until_gone(fixture->store, key_of(fixture, "short"));
    assert_true(milliseconds() - began >= 2000);
    wait_until_gone(fixture->store, key_of(fixture, "renewed"));
    assert_true(milliseconds() - renewed >= 2000);
    assert_true(exists(fixture->store, key_of(fixture, "kept")));
    assert_true(exists(fixture->store, key_of(fixture, "long")));
    recorder_wait_count(&recorder, key_of(fixture, "short"), 2);
    recorder_wait_count(&recorder, key_of(fixture, "renewed"), 3);
    store_close(steal(fixture->store));
    recorder_free(&recorder);
}

static void a_time_to_live_goes_on_while_the_store_is_closed(void **state)
{
    struct fixture *fixture = *state;
    int64_t began = milliseconds();
    put_for(fixture, "a", 2);
    reopen(fixture);
    assert_true(exists(fixture->store, key_of(fixture, "a")) || milliseconds() - began >= 2000);
    wait_until_gone(fixture->store, key_of(fixture, "a"));
    assert_true(milliseconds() - began >= 2000);
}

static void opening_again_finds_everything(void **state)
{
    struct fixture *fixture = *state;
    put(fixture->store, key_of(fixture, "a"), "1", 0);
    int64_t revision = put(fixture->store, key_of(fixture, "b"), "2", 0);
    reopen(fixture);
    assert_value(fixture->store, key_of(fixture, "a"), "1");
    assert_value(fixture->store, key_of(fixture, "b"), "2");
    assert_int_equal(current_revision(fixture->store), revision);
    assert_int_equal(put(fixture->store, key_of(fixture, "b"), "3", revision), revision + 1);
}

static void a_store_that_serves_is_healthy(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    assert_done(store_healthy(fixture->store, &error));
}

#define each(test) cmocka_unit_test_setup_teardown(test, set_up_sqlite, tear_down)

int run_common_tests(void)
{
    struct CMUnitTest tests[] = {
        each(what_was_put_is_read_back_with_its_revision),
        each(values_may_be_empty_or_hold_any_byte),
        each(a_deleted_key_is_gone_and_starts_anew_when_created_again),
        each(a_write_whose_condition_fails_answers_with_the_key_as_it_is),
        each(a_write_to_an_absent_key_that_must_exist_conflicts_with_nothing),
        each(an_unconditional_write_does_what_it_says),
        each(a_range_is_in_byte_order_without_its_end_and_counts_past_its_limit),
        each(an_empty_range_is_no_error),
        each(a_range_at_an_old_revision_shows_what_was_then),
        each(a_revision_in_the_future_is_a_bad_request),
        each(a_compacted_revision_is_expired_and_the_present_stays),
        each(a_watch_tells_every_change_once_and_in_order),
        each(a_watch_resumes_from_a_revision_without_loss_or_repetition),
        each(a_watch_from_a_compacted_revision_is_lost_and_may_start_over),
        each(a_watch_survives_compaction_behind_it),
        each(compare_and_swap_from_many_threads_loses_no_update),
        each(ten_thousand_keys_are_watched_and_read_back),
        each(a_range_in_parts_is_of_one_revision_while_others_write),
        each(values_of_a_megabyte_and_more_pass_through),
        each(a_key_with_a_time_to_live_deletes_itself_and_not_too_early),
        each(a_time_to_live_goes_on_while_the_store_is_closed),
        each(opening_again_finds_everything),
        each(a_store_that_serves_is_healthy),
    };
    int failed = cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
    for (size_t i = 0; i < array_length(tests); i++) {
        tests[i].setup_func = set_up_etcd;
    }
    return failed + cmocka_run_group_tests_name("etcd", tests, NULL, NULL);
}

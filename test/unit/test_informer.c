// SPDX-License-Identifier: Apache-2.0
/* Informers and indexes, fed by a server that answers by script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <pthread.h>

#include "common/alloc.h"
#include "common/informer.h"
#include "test/stub/api_stub.h"

#define OBJECT(name, version, more)                                                                \
    "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"" name                       \
    "\",\"namespace\":\"n\",\"uid\":\"uid-" name "\",\"resourceVersion\":\"" version "\"" more     \
    "}}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define LIST_END(version)                                                                          \
    EVENT("BOOKMARK",                                                                              \
          "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":"             \
          "\"" version "\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}")

static const struct api_resource pods = {"v1", "pods", "Pod", true};

struct fixture {
    struct api_stub *stub;
    struct loop *loop;
    struct client *client;
    struct informer_factory *factory;
    struct informer *informer;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct buffer log; /* "+a ~a -a ": what the handler was told. */
};

static void tell(void *argument, const struct cached_object *old, const struct cached_object *new)
{
    struct fixture *fixture = argument;
    pthread_mutex_lock(&fixture->lock);
    buffer_addf(&fixture->log, "%c%s ",
                old == NULL   ? '+'
                : new == NULL ? '-'
                              : '~',
                (new != NULL ? new : old)->name);
    pthread_cond_signal(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
}

static int set_up(void **state)
{
    struct fixture *fixture = allocate_struct(struct fixture);
    struct client_config config = CLIENT_CONFIG_INIT;
    struct client_options options = {.user_agent = "tester"};
    fixture->stub = api_stub_start();
    fixture->loop = loop_new();
    config.server = duplicate(api_stub_url(fixture->stub));
    fixture->client = client_new(fixture->loop, &config, &options, NULL);
    fixture->factory = informer_factory_new(fixture->client);
    fixture->informer = informer_factory_get(fixture->factory, &pods, NULL, NULL);
    pthread_mutex_init(&fixture->lock, NULL);
    pthread_cond_init(&fixture->changed, NULL);
    informer_add_handler(fixture->informer, tell, fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    informer_factory_stop(fixture->factory);
    api_stub_release(fixture->stub);
    loop_stop(fixture->loop);
    informer_factory_free(fixture->factory);
    client_free(fixture->client);
    loop_free(fixture->loop);
    api_stub_stop(fixture->stub);
    buffer_free(&fixture->log);
    free(fixture);
    return 0;
}

static void wait_for_log(struct fixture *fixture, const char *expected)
{
    pthread_mutex_lock(&fixture->lock);
    while (strlen(buffer_text(&fixture->log)) < strlen(expected)) {
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    }
    assert_string_equal(buffer_text(&fixture->log), expected);
    pthread_mutex_unlock(&fixture->lock);
}

static void stream(struct fixture *fixture, const char *text, bool stays)
{
    api_stub_answer(fixture->stub,
                    (struct api_stub_answer){.code = 200, .body = text, .keeps_open = stays});
}

static void run(struct fixture *fixture)
{
    informer_factory_start(fixture->factory);
    assert_true(informer_factory_wait(fixture->factory));
}

/* The request with that number has this in its path. */
static void assert_asked(struct fixture *fixture, size_t number, const char *part)
{
    api_stub_wait(fixture->stub, number + 1);
    cleanup(free_char)
    char *request = api_stub_request(fixture->stub, number);
    if (strstr(request, part) == NULL) {
        print_error("%s\n", request);
    }
    assert_non_null(strstr(request, part));
}

/* ---- tests ---- */

static void the_first_list_and_later_changes_are_seen(void **state)
{
    struct fixture *fixture = *state;
    stream(fixture,
           EVENT("ADDED", OBJECT("a", "1", "")) EVENT("ADDED", OBJECT("b", "2", "")) LIST_END("5")
               EVENT("MODIFIED", OBJECT("a", "6", "")) EVENT("DELETED", OBJECT("b", "7", "")),
           true);
    run(fixture);
    wait_for_log(fixture, "+a +b ~a -b ");
    assert_asked(fixture, 0, "sendInitialEvents=true");
    assert_int_equal(indexer_count(informer_indexer(fixture->informer)), 1);
    cleanup(cached_object_release)
    struct cached_object *object = informer_get(fixture->informer, "n", "a");
    assert_int_equal(object->resource_version, 6);
    assert_string_equal(object->key, "n/a");
    assert_string_equal(object->uid, "uid-a");
}

static void it_is_not_synced_before_the_list_has_ended(void **state)
{
    struct fixture *fixture = *state;
    stream(fixture, EVENT("ADDED", OBJECT("a", "1", "")), true);
    informer_factory_start(fixture->factory);
    wait_for_log(fixture, "+a ");
    assert_false(informer_has_synced(fixture->informer));
}

static void a_stream_that_ends_is_resumed_where_it_was(void **state)
{
    struct fixture *fixture = *state;
    stream(fixture, EVENT("ADDED", OBJECT("a", "1", "")) LIST_END("5"), false);
    stream(fixture, EVENT("ADDED", OBJECT("b", "8", "")), true);
    run(fixture);
    wait_for_log(fixture, "+a +b ");
    assert_asked(fixture, 1, "resourceVersion=5");
}

static void a_bookmark_moves_the_place_to_resume_from(void **state)
{
    struct fixture *fixture = *state;
    stream(fixture,
           LIST_END("5")
               EVENT("BOOKMARK", "{\"kind\":\"Pod\",\"metadata\":{\"resourceVersion\":\"9\"}}"),
           false);
    stream(fixture, "", true);
    run(fixture);
    assert_asked(fixture, 1, "resourceVersion=9");
}

static void an_expired_version_starts_over_and_finds_what_is_gone(void **state)
{
    struct fixture *fixture = *state;
    stream(fixture,
           EVENT("ADDED", OBJECT("a", "1", "")) EVENT("ADDED", OBJECT("b", "2", "")) LIST_END("5")
               EVENT("ERROR", "{\"kind\":\"Status\",\"code\":410,\"message\":\"too old\"}"),
           false);
    stream(fixture,
           EVENT("ADDED", OBJECT("a", "1", "")) EVENT("ADDED", OBJECT("c", "11", ""))
               LIST_END("12"),
           true);
    run(fixture);
    wait_for_log(fixture, "+a +b +c -b "); /* 'a' is as it was: nobody is told. */
    assert_asked(fixture, 1, "sendInitialEvents=true");
}

static void a_refused_resume_with_410_starts_over(void **state)
{
    struct fixture *fixture = *state;
    stream(fixture, EVENT("ADDED", OBJECT("a", "1", "")) LIST_END("5"), false);
    api_stub_answer(fixture->stub, (struct api_stub_answer){.code = 410, .body = "{}"});
    stream(fixture, LIST_END("12"), true);
    run(fixture);
    wait_for_log(fixture, "+a -a ");
    assert_asked(fixture, 2, "sendInitialEvents=true");
}

static void a_broken_list_is_not_half_a_list(void **state)
{
    struct fixture *fixture = *state;
    stream(fixture, EVENT("ADDED", OBJECT("a", "1", "")), false);
    stream(fixture, EVENT("ADDED", OBJECT("b", "2", "")) LIST_END("5"), true);
    run(fixture);
    wait_for_log(fixture, "+a +b -a ");
    assert_asked(fixture, 1, "sendInitialEvents=true");
}

static void one_made_anew_is_deleted_and_added(void **state)
{
    struct fixture *fixture = *state;
    stream(fixture,
           EVENT("ADDED", OBJECT("a", "1", "")) LIST_END("5") EVENT(
               "MODIFIED", "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\",\"namespace\":\"n\","
                           "\"uid\":\"another\",\"resourceVersion\":\"6\"}}"),
           true);
    run(fixture);
    wait_for_log(fixture, "+a -a +a ");
}

static void a_factory_shares_informers_of_the_same_kind(void **state)
{
    static const struct informer_options filtered = {.field_selector = "a%3Db"};
    struct fixture *fixture = *state;
    static const struct api_resource same = {"v1", "pods", "Pod", true};
    assert_ptr_equal(informer_factory_get(fixture->factory, &same, NULL, NULL), fixture->informer);
    assert_ptr_not_equal(informer_factory_get(fixture->factory, &pods, NULL, &filtered),
                         fixture->informer);
}

static void indexes_follow_the_objects(void **state)
{
    struct fixture *fixture = *state;
    struct indexer *indexer = informer_indexer(fixture->informer);
    indexer_add_index(indexer, "owner", index_by_owner);
    stream(fixture,
           EVENT("ADDED", OBJECT("a", "1",
                                 ",\"ownerReferences\":[{\"uid\":\"o1\",\"kind\":\"ReplicaSet\","
                                 "\"name\":\"r\",\"controller\":true}]"))
               EVENT("ADDED", OBJECT("b", "2",
                                     ",\"ownerReferences\":[{\"uid\":\"o1\",\"kind\":"
                                     "\"ReplicaSet\",\"name\":\"r\"}]")) LIST_END("5"),
           true);
    run(fixture);
    assert_int_equal(indexer_count_of(indexer, "owner", "o1"), 1); /* Only a controller owns. */
    assert_int_equal(indexer_count_of(indexer, "namespace", "n"), 2);
    cleanup(cached_list_free)
    struct cached_list found = CACHED_LIST_INIT;
    indexer_find(indexer, "owner", "o1", &found);
    assert_string_equal(found.items[0]->name, "a");
    assert_string_equal(found.items[0]->owner_kind, "ReplicaSet");
}

/* ---- the indexer by itself ---- */

static struct cached_object *make(const char *name, const char *value, int version)
{
    static const struct cached_object_class plain;
    cleanup(free_char)
    char *text =
        format("{\"metadata\":{\"name\":\"%s\",\"resourceVersion\":\"%d\",\"labels\":{\"color\":"
               "\"%s\"}}}",
               name, version, value);
    return cached_object_new(&plain, text, strlen(text));
}

static void by_color(const struct cached_object *object, struct index_values *values)
{
    cleanup(free_char)
    char *color = cached_object_label_value(object, "color");
    index_values_add(values, color != NULL ? color : "");
}

static void put(struct indexer *indexer, const char *name, const char *color, int version)
{
    cached_object_unref(indexer_put(indexer, make(name, color, version), 1));
}

static void an_object_moves_from_one_index_value_to_another(void **state)
{
    (void)state;
    struct indexer *indexer = indexer_new();
    indexer_add_index(indexer, "color", by_color);
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "o%d", i);
        put(indexer, name, "red", 1);
    }
    for (int i = 0; i < 100; i += 2) {
        char name[16];
        snprintf(name, sizeof name, "o%d", i);
        put(indexer, name, "blue", 2);
    }
    assert_int_equal(indexer_count_of(indexer, "color", "red"), 50);
    assert_int_equal(indexer_count_of(indexer, "color", "blue"), 50);
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "o%d", i);
        cached_object_unref(indexer_remove(indexer, name));
    }
    assert_int_equal(indexer_count_of(indexer, "color", "red"), 0);
    assert_int_equal(indexer_count(indexer), 0);
    indexer_free(indexer);
}

static void objects_are_selected_by_label(void **state)
{
    (void)state;
    struct indexer *indexer = indexer_new();
    struct selector *selector = selector_parse_labels("color in (red, green)", NULL);
    put(indexer, "a", "red", 1);
    put(indexer, "b", "blue", 1);
    cleanup(cached_list_free)
    struct cached_list found = CACHED_LIST_INIT;
    indexer_select(indexer, NULL, selector, &found);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.items[0]->name, "a");
    selector_free(selector);
    indexer_free(indexer);
}

static void a_digest_outlives_the_text(void **state)
{
    (void)state;
    struct cached_object *object = make("a", "red", 7);
    struct cached_object *stripped = cached_object_strip(object);
    cached_object_unref(object);
    assert_string_equal(stripped->name, "a");
    assert_string_equal(stripped->key, "a");
    assert_string_equal(stripped->text, "");
    assert_int_equal(stripped->resource_version, 7);
    cached_object_unref(stripped);
}

/* ---- the end ---- */

struct visit {
    struct fixture *fixture;
    atomic_bool lasts;
};

static void visit_long(void *argument, const struct cached_object *old,
                       const struct cached_object *new)
{
    struct visit *visit = argument;
    atomic_store(&visit->lasts, true);
    tell(visit->fixture, old, new);
    usleep(20000); /* Long enough to be met by a stop that doesn't wait. */
    atomic_store(&visit->lasts, false);
}

static void a_stop_waits_for_the_handlers(void **state)
{
    struct fixture *fixture = *state;
    struct visit visit = {.fixture = fixture};
    informer_add_handler(fixture->informer, visit_long, &visit); /* Beside tell(). */
    stream(fixture, EVENT("ADDED", OBJECT("a", "1", "")), true);
    informer_factory_start(fixture->factory);
    wait_for_log(fixture, "+a +a ");
    informer_factory_stop(fixture->factory);
    assert_false(atomic_load(&visit.lasts));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define fixture_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        fixture_test(the_first_list_and_later_changes_are_seen),
        fixture_test(it_is_not_synced_before_the_list_has_ended),
        fixture_test(a_stream_that_ends_is_resumed_where_it_was),
        fixture_test(a_bookmark_moves_the_place_to_resume_from),
        fixture_test(an_expired_version_starts_over_and_finds_what_is_gone),
        fixture_test(a_refused_resume_with_410_starts_over),
        fixture_test(a_broken_list_is_not_half_a_list),
        fixture_test(one_made_anew_is_deleted_and_added),
        fixture_test(a_factory_shares_informers_of_the_same_kind),
        fixture_test(a_stop_waits_for_the_handlers),
        fixture_test(indexes_follow_the_objects),
        cmocka_unit_test(an_object_moves_from_one_index_value_to_another),
        cmocka_unit_test(objects_are_selected_by_label),
        cmocka_unit_test(a_digest_outlives_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

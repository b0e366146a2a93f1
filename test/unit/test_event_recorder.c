// SPDX-License-Identifier: Apache-2.0
/* How events are condensed before they are written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/event_recorder.h"
#include "test/stub/api_stub.h"

static const struct event_target web = {
    .api_version = "v1", .kind = "Pod", .namespace = "n", .name = "web", .uid = "u"};

struct fixture {
    struct api_stub *stub;
    struct loop *loop;
    struct client *client;
    struct event_recorder *recorder;
};

static int set_up(void **state)
{
    struct fixture *fixture = allocate_struct(struct fixture);
    struct client_config config = CLIENT_CONFIG_INIT;
    struct client_options options = {.user_agent = "tester"};
    fixture->stub = api_stub_start();
    fixture->loop = loop_new();
    config.server = duplicate(api_stub_url(fixture->stub));
    fixture->client = client_new(fixture->loop, &config, &options, NULL);
    fixture->recorder = event_recorder_new(fixture->client, "tester", NULL);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    event_recorder_free(fixture->recorder);
    client_free(fixture->client);
    loop_free(fixture->loop);
    api_stub_stop(fixture->stub);
    free(fixture);
    return 0;
}

static void expect_answers(struct fixture *fixture, int code, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        api_stub_answer(fixture->stub, (struct api_stub_answer){.code = code, .body = "{}"});
    }
}

/* The request with this number: "METHOD path" and then its body. */
static json_t *written(struct fixture *fixture, size_t number, const char *method)
{
    api_stub_wait(fixture->stub, number + 1);
    cleanup(free_char)
    char *request = api_stub_request(fixture->stub, number);
    assert_int_equal(strncmp(request, method, strlen(method)), 0);
    const char *body = strchr(request, '{');
    assert_non_null(body);
    return json_loads(body, 0, NULL);
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* ---- tests ---- */

static void an_event_says_what_upstreams_say(void **state)
{
    struct fixture *fixture = *state;
    expect_answers(fixture, 201, 1);
    event_record(fixture->recorder, &web, "Normal", "Started", "Started %s", "it");
    cleanup(json_release)
    json_t *event = written(fixture, 0, "POST /api/v1/namespaces/n/events ");
    assert_string_equal(text_of(event, "message"), "Started it");
    assert_string_equal(text_of(event, "reason"), "Started");
    assert_string_equal(text_of(event, "type"), "Normal");
    assert_string_equal(text_of(event, "reportingComponent"), "tester");
    assert_string_equal(json_path_string(event, "source", "component"), "tester");
    assert_string_equal(json_path_string(event, "involvedObject", "uid"), "u");
    assert_int_equal(json_integer_value(json_object_get(event, "count")), 1);
    assert_int_equal(strncmp(json_path_string(event, "metadata", "name"), "web.", 4), 0);
}

static void a_message_may_hold_what_json_escapes(void **state)
{
    struct fixture *fixture = *state;
    static const struct event_target other = {.kind = "Node", .name = "a\"b"};
    struct event_target target = web;
    target.related = &other;
    target.host = "h\\i";
    expect_answers(fixture, 201, 1);
    event_record(fixture->recorder, &target, "Normal", "Started", "\"%s\"\n\t\001", "\xc3\xa4");
    cleanup(json_release)
    json_t *event = written(fixture, 0, "POST ");
    assert_string_equal(text_of(event, "message"), "\"\xc3\xa4\"\n\t\001");
    assert_string_equal(json_path_string(event, "related", "name"), "a\"b");
    assert_string_equal(json_path_string(event, "source", "host"), "h\\i");
    assert_string_equal(text_of(event, "reportingInstance"), "h\\i");
}

/* An event of each of so many pods. */
static void record_starts(struct event_recorder *recorder, int count)
{
    for (int i = 0; i < count; i++) {
        cleanup(free_char)
        char *name = format("pod-%d", i);
        struct event_target target = web;
        target.name = name;
        event_record(recorder, &target, "Normal", "Started", "Started");
    }
}

/* Also when that happens with all of them waiting: one does not end within another. */
static void a_client_that_closes_lets_all_events_go(void **state)
{
    struct fixture *fixture = *state;
    enum { event_count = 4000 };
    client_close(fixture->client);
    record_starts(fixture->recorder, event_count);
    event_recorder_free(steal(fixture->recorder));
    assert_int_equal(api_stub_count(fixture->stub), 0);
}

/* It frees the recorder, as the checker of leaks sees. */
static void what_is_not_answered_in_time_is_left_to_the_clients_end(void **state)
{
    struct fixture *fixture = *state;
    enum { event_count = 10 };
    for (int i = 0; i < 2; i++) {
        api_stub_answer(fixture->stub, (struct api_stub_answer){201, "{", NULL, true});
    }
    record_starts(fixture->recorder, event_count);
    api_stub_wait(fixture->stub, 2); /* One a lane. */
    event_recorder_free(steal(fixture->recorder));
    client_close(fixture->client);
    assert_int_equal(api_stub_count(fixture->stub), 2);
}

static void the_same_again_raises_the_count_of_the_first(void **state)
{
    struct fixture *fixture = *state;
    expect_answers(fixture, 201, 3);
    for (int i = 0; i < 3; i++) {
        event_record(fixture->recorder, &web, "Warning", "Failed", "no");
    }
    cleanup(json_release)
    json_t *first = written(fixture, 0, "POST ");
    cleanup(free_char)
    char *path = format("PATCH /api/v1/namespaces/n/events/%s ",
                        json_path_string(first, "metadata", "name"));
    cleanup(json_release)
    json_t *second = written(fixture, 1, path);
    cleanup(json_release)
    json_t *third = written(fixture, 2, path);
    assert_int_equal(json_integer_value(json_object_get(second, "count")), 2);
    assert_int_equal(json_integer_value(json_object_get(third, "count")), 3);
}

static void a_first_that_has_expired_is_written_anew(void **state)
{
    struct fixture *fixture = *state;
    expect_answers(fixture, 201, 1);
    expect_answers(fixture, 404, 1);
    expect_answers(fixture, 201, 1);
    event_record(fixture->recorder, &web, "Warning", "Failed", "no");
    event_record(fixture->recorder, &web, "Warning", "Failed", "no");
    cleanup(json_release)
    json_t *patch = written(fixture, 1, "PATCH ");
    cleanup(json_release)
    json_t *event = written(fixture, 2, "POST ");
    assert_int_equal(json_integer_value(json_object_get(event, "count")), 2);
    assert_non_null(patch);
}

static void ten_different_messages_become_one(void **state)
{
    struct fixture *fixture = *state;
    expect_answers(fixture, 201, 12);
    for (int i = 0; i < 12; i++) {
        event_record(fixture->recorder, &web, "Normal", "Created", "pod %d", i);
    }
    cleanup(json_release)
    json_t *ninth = written(fixture, 8, "POST ");
    cleanup(json_release)
    json_t *tenth = written(fixture, 9, "POST ");
    cleanup(json_release)
    json_t *last = written(fixture, 11, "PATCH ");
    assert_string_equal(text_of(ninth, "message"), "pod 8");
    assert_string_equal(text_of(tenth, "message"), "(combined from similar events): pod 9");
    assert_string_equal(text_of(last, "message"), "(combined from similar events): pod 11");
    assert_int_equal(json_integer_value(json_object_get(last, "count")), 3);
}

static void one_object_gets_twenty_five_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct event_target other = web;
    expect_answers(fixture, 201, 100);
    for (int i = 0; i < 40; i++) {
        event_record(fixture->recorder, &web, "Normal", "Same", "same");
    }
    api_stub_wait(fixture->stub, 25);
    other.uid = "another"; /* Nobody else pays for it. */
    event_record(fixture->recorder, &other, "Normal", "Same", "same");
    cleanup(json_release)
    json_t *event = written(fixture, 25, "POST ");
    assert_string_equal(json_path_string(event, "involvedObject", "uid"), "another");
    assert_int_equal(api_stub_count(fixture->stub), 26);
}

static void what_is_refused_is_not_tried_again(void **state)
{
    struct fixture *fixture = *state;
    expect_answers(fixture, 403, 1);
    expect_answers(fixture, 201, 1);
    event_record(fixture->recorder, &web, "Normal", "First", "first");
    event_record(fixture->recorder, &web, "Normal", "Second", "second");
    cleanup(json_release)
    json_t *event = written(fixture, 1, "POST ");
    assert_string_equal(text_of(event, "reason"), "Second");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define fixture_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        fixture_test(an_event_says_what_upstreams_say),
        fixture_test(a_message_may_hold_what_json_escapes),
        fixture_test(a_client_that_closes_lets_all_events_go),
        fixture_test(what_is_not_answered_in_time_is_left_to_the_clients_end),
        fixture_test(the_same_again_raises_the_count_of_the_first),
        fixture_test(a_first_that_has_expired_is_written_anew),
        fixture_test(ten_different_messages_become_one),
        fixture_test(one_object_gets_twenty_five_at_once),
        fixture_test(what_is_refused_is_not_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

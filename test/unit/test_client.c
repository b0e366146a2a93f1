// SPDX-License-Identifier: Apache-2.0
/* The API client against a server that answers by script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/client.h"
#include "common/json.h"
#include "common/timestamp.h"
#include "test/stub/api_stub.h"

static const struct api_resource pods = {"v1", "pods", "Pod", true};
static const struct api_resource deployments = {"apps/v1", "deployments", "Deployment", true};
static const char pod_text[] =
    "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"}}";
static const char conflict_text[] =
    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":\"changed\","
    "\"reason\":\"Conflict\",\"details\":{\"name\":\"a\",\"kind\":\"pods\"},\"code\":409}";

struct fixture {
    struct api_stub *stub;
    struct loop *loop;
    struct client *client;
};

static void start_with(struct fixture *fixture, const struct client_options *options,
                       const char *token_file)
{
    struct client_config config = CLIENT_CONFIG_INIT;
    fixture->stub = api_stub_start();
    fixture->loop = loop_new();
    config.server = duplicate(api_stub_url(fixture->stub));
    config.token_file = token_file != NULL ? duplicate(token_file) : NULL;
    fixture->client = client_new(fixture->loop, &config, options, NULL);
    assert_non_null(fixture->client);
}

static struct fixture start(void)
{
    struct fixture fixture;
    start_with(&fixture, &(struct client_options){.user_agent = "tester"}, NULL);
    return fixture;
}

static void stop(struct fixture *fixture)
{
    api_stub_release(fixture->stub);
    client_free(fixture->client);
    loop_free(fixture->loop);
    api_stub_stop(fixture->stub);
}

static void assert_request(struct fixture *fixture, size_t number, const char *expected)
{
    cleanup(free_char)
    char *request = api_stub_request(fixture->stub, number);
    assert_string_equal(request, expected);
}

/* ---- paths ---- */

static void paths_are_those_of_the_api(void **state)
{
    (void)state;
    cleanup(free_char)
    char *one = client_path(&pods, "default", "a", "status");
    cleanup(free_char)
    char *all = client_path(&deployments, NULL, NULL, NULL);
    cleanup(free_char)
    char *odd = client_path(&deployments, "n", "a b/c%system:x", "");
    assert_string_equal(one, "/api/v1/namespaces/default/pods/a/status");
    assert_string_equal(all, "/apis/apps/v1/deployments");
    assert_string_equal(odd, "/apis/apps/v1/namespaces/n/deployments/a%20b%2Fc%25system:x");
}

/* ---- requests ---- */

static void a_get_gives_the_object(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 200, .body = pod_text});
    cleanup(json_release)
    json_t *pod = client_get(fixture.client, &pods, "default", "a", NULL);
    assert_string_equal(json_path_string(pod, "metadata", "name"), "a");
    assert_request(&fixture, 0, "GET /api/v1/namespaces/default/pods/a");
    cleanup(free_char)
    char *agent = api_stub_header(fixture.stub, 0, "User-Agent");
    assert_int_equal(strncmp(agent, "tester/v1.34", 12), 0);
}

static void an_error_carries_what_the_status_says(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 409, .body = conflict_text});
    assert_null(client_get(fixture.client, &pods, "default", "a", &error));
    assert_int_equal(error.code, 409);
    assert_string_equal(error.reason, "Conflict");
    assert_string_equal(error.message, "changed");
    assert_string_equal(error.name, "a");
}

static void a_server_that_is_not_there_is_unavailable(void **state)
{
    (void)state;
    struct fixture fixture = start();
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    api_stub_stop(fixture.stub);
    assert_null(client_get(fixture.client, &pods, "default", "a", &error));
    assert_int_equal(error.code, 503);
    assert_non_null(strstr(error.message, "GET http://127.0.0.1:"));
    client_free(fixture.client);
    loop_free(fixture.loop);
}

static void writes_carry_their_body_and_type(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    cleanup(json_release)
    json_t *patch = json_pack("{s:i}", "a", 1);
    for (int i = 0; i < 2; i++) {
        api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 200, .body = pod_text});
    }
    json_decref(
        client_patch(fixture.client, &pods, "n", "a", "status", client_merge_patch, patch, NULL));
    cleanup(json_release)
    json_t *options = client_delete_options("u", "Background");
    assert_true(client_delete(fixture.client, &pods, "n", "a", options, NULL));
    assert_request(&fixture, 0, "PATCH /api/v1/namespaces/n/pods/a/status {\"a\":1}");
    cleanup(free_char)
    char *type = api_stub_header(fixture.stub, 0, "Content-Type");
    assert_string_equal(type, "application/merge-patch+json");
    assert_request(&fixture, 1,
                   "DELETE /api/v1/namespaces/n/pods/a "
                   "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"preconditions\":{\"uid\":"
                   "\"u\"},\"propagationPolicy\":\"Background\"}");
}

/* ---- trying again ---- */

static void retry_after_is_honoured(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    int64_t before = timestamp_monotonic();
    api_stub_answer(fixture.stub,
                    (struct api_stub_answer){.code = 429, .body = "", .retry_after = "1"});
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 201, .body = pod_text});
    cleanup(json_release)
    json_t *body = json_pack("{s:s}", "kind", "Pod");
    cleanup(json_release)
    json_t *pod = client_create(fixture.client, &pods, "default", body, NULL);
    assert_non_null(pod);
    assert_true(timestamp_monotonic() - before >= INT64_C(1000000000));
    assert_request(&fixture, 1, "POST /api/v1/namespaces/default/pods {\"kind\":\"Pod\"}");
}

static void a_refusal_without_retry_after_is_final(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 500, .body = ""});
    assert_null(client_get(fixture.client, &pods, "default", "a", &error));
    assert_int_equal(error.code, 500);
    assert_int_equal(api_stub_count(fixture.stub), 1);
}

static void a_get_is_repeated_when_its_connection_breaks(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 0});
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 0});
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 200, .body = pod_text});
    cleanup(json_release)
    json_t *pod = client_get(fixture.client, &pods, "default", "a", NULL);
    assert_non_null(pod);
    assert_int_equal(api_stub_count(fixture.stub), 3);
}

/* Also on a connection that was used before, where curl would try again by itself. */
static void a_post_is_never_repeated(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(json_release)
    json_t *body = json_pack("{s:s}", "kind", "Pod");
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 200, .body = pod_text});
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 0});
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 201, .body = pod_text});
    json_decref(client_get(fixture.client, &pods, "default", "a", NULL));
    assert_null(client_create(fixture.client, &pods, "default", body, &error));
    assert_int_equal(error.code, 503);
    assert_int_equal(api_stub_count(fixture.stub), 2);
}

/* ---- limits ---- */

static void call_many(struct fixture *fixture, size_t count)
{
    struct client_call *calls = allocate_zero(count, sizeof *calls);
    for (size_t i = 0; i < count; i++) {
        api_stub_answer(fixture->stub, (struct api_stub_answer){.code = 200, .body = pod_text});
        calls[i].request.method = "GET";
        calls[i].request.path = format("/%zu", i);
    }
    client_call_all(fixture->client, calls, count);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(calls[i].result);
        json_decref(calls[i].result);
    }
    free(calls);
}

static void *call_ten(void *argument)
{
    call_many(argument, 10);
    return NULL;
}

/* The server answers nobody before four have come, and sees no fifth beside them. */
static void no_more_than_the_limit_are_in_flight(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture;
    pthread_t caller;
    start_with(&fixture, &(struct client_options){.user_agent = "t", .in_flight = 4}, NULL);
    for (int i = 0; i < 4; i++) {
        api_stub_answer(fixture.stub, (struct api_stub_answer){
                                          .code = 200, .body = pod_text, .keeps_open = true});
    }
    pthread_create(&caller, NULL, call_ten, &fixture);
    api_stub_wait(fixture.stub, 4);
    api_stub_release(fixture.stub);
    pthread_join(caller, NULL);
    assert_int_equal(api_stub_most_at_once(fixture.stub), 4);
    assert_int_equal(api_stub_count(fixture.stub), 10);
}

static void the_rate_is_limited_beyond_the_burst(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture;
    start_with(&fixture, &(struct client_options){.user_agent = "t", .qps = 20, .burst = 5}, NULL);
    int64_t before = timestamp_monotonic();
    call_many(&fixture, 15); /* Ten of them have to wait for 50 ms each. */
    assert_true(timestamp_monotonic() - before >= INT64_C(450000000));
}

/* ---- leadership ---- */

static void a_fence_lets_only_reads_pass(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(json_release)
    json_t *body = json_pack("{s:s}", "kind", "Pod");
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 200, .body = pod_text});
    client_fence(fixture.client, timestamp_monotonic() - 1);
    assert_null(client_create(fixture.client, &pods, "default", body, &error));
    assert_int_equal(error.code, 503);
    json_decref(client_get(fixture.client, &pods, "default", "a", NULL));
    assert_int_equal(api_stub_count(fixture.stub), 1);
    client_fence(fixture.client, INT64_MAX);
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 201, .body = pod_text});
    json_decref(client_create(fixture.client, &pods, "default", body, NULL));
    assert_int_equal(api_stub_count(fixture.stub), 2);
}

/* ---- credentials ---- */

static void a_token_file_is_read(void **state)
{
    (void)state;
    char path[] = "/tmp/coracle-token-XXXXXX";
    int file = mkstemp(path);
    assert_true(write(file, "secret\n", 7) == 7);
    close(file);
    cleanup(stop)
    struct fixture fixture;
    start_with(&fixture, &(struct client_options){.user_agent = "t"}, path);
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 200, .body = pod_text});
    json_decref(client_get(fixture.client, &pods, "default", "a", NULL));
    cleanup(free_char)
    char *header = api_stub_header(fixture.stub, 0, "Authorization");
    assert_string_equal(header, "Bearer secret");
    remove(path);
}

/* Gives "token-1", "token-2", … each to be renewed at once; the first has ended already. */
struct counting_source {
    struct client *client;
    int asked;
};

static void give_next(void *argument)
{
    struct counting_source *source = argument;
    cleanup(free_char)
    char *token = format("token-%d", ++source->asked);
    client_set_token(source->client, token, 0, source->asked == 1 ? 0 : 3600000);
}

static void assert_token(struct fixture *fixture, size_t number, const char *expected)
{
    cleanup(free_char)
    char *header = api_stub_header(fixture->stub, number, "Authorization");
    assert_string_equal(header, expected);
}

static void a_token_is_renewed_before_it_ends(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    struct counting_source source = {0};
    source.client = client_new_for_tokens(
        fixture.client, &(struct client_token_source){.ask = give_next, .argument = &source});
    for (int i = 0; i < 2; i++) {
        api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 200, .body = pod_text});
        json_decref(client_get(source.client, &pods, "default", "a", NULL));
    }
    assert_token(&fixture, 0, "Bearer token-2");
    assert_token(&fixture, 1, "Bearer token-3");
    client_free(source.client);
}

static void a_request_may_impersonate(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 200, .body = pod_text});
    json_decref(client_call(fixture.client,
                            (struct client_request){.method = "GET",
                                                    .path = client_path(&pods, "n", "a", NULL),
                                                    .user = "system:node:a",
                                                    .group = "system:nodes"},
                            NULL));
    cleanup(free_char)
    char *user = api_stub_header(fixture.stub, 0, "Impersonate-User");
    cleanup(free_char)
    char *group = api_stub_header(fixture.stub, 0, "Impersonate-Group");
    assert_string_equal(user, "system:node:a");
    assert_string_equal(group, "system:nodes");
}

static void a_server_may_stand_below_a_path(void **state)
{
    (void)state;
    struct api_stub *stub = api_stub_start();
    struct loop *loop = loop_new();
    struct client_config config = CLIENT_CONFIG_INIT;
    config.server = format("%s/cluster/", api_stub_url(stub));
    config.username = duplicate("ann");
    config.password = duplicate("pass");
    struct client *client =
        client_new(loop, &config, &(struct client_options){.user_agent = "t"}, NULL);
    api_stub_answer(stub, (struct api_stub_answer){.code = 200, .body = pod_text});
    json_decref(client_get(client, &pods, "default", "a", NULL));
    cleanup(free_char)
    char *line = api_stub_request(stub, 0);
    cleanup(free_char)
    char *credentials = api_stub_header(stub, 0, "Authorization");
    assert_string_equal(line, "GET /cluster/api/v1/namespaces/default/pods/a");
    assert_string_equal(credentials, "Basic YW5uOnBhc3M=");
    client_free(client);
    loop_free(loop);
    api_stub_stop(stub);
}

/* Neither a name nor a path becomes a field of its own. */
static void what_no_head_can_carry_is_not_sent(void **state)
{
    static const struct {
        const char *path, *user, *group;
    } rows[] = {
        {"/api HTTP/1.1\r\nX: y", NULL, NULL},
        {"/a b", NULL, NULL},
        {"/api", "ann\r\nX: y", "g"},
        {"/api", "ann", "g\nX: y"},
    };
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    for (size_t i = 0; i < array_length(rows); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        struct client_request request = {.method = "GET",
                                         .path = duplicate(rows[i].path),
                                         .user = rows[i].user,
                                         .group = rows[i].group};
        assert_null(client_call(fixture.client, request, &error));
        assert_int_equal(error.code, 400);
    }
    assert_int_equal(api_stub_count(fixture.stub), 0);
}

/* ---- watches ---- */

struct seen {
    struct fixture *fixture;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct buffer lines;
    int code; /* Of the error at its end. */
    bool ended;
};

static bool watch_event(void *argument, const char *line, size_t length)
{
    struct seen *seen = argument;
    buffer_add(&seen->lines, line, length);
    buffer_add_char(&seen->lines, '|');
    return true;
}

static void watch_ended(void *argument, const struct error *error)
{
    struct seen *seen = argument;
    pthread_mutex_lock(&seen->lock);
    seen->code = error->code;
    seen->ended = true;
    pthread_cond_signal(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static void begin_watch(void *argument)
{
    static const struct client_watch_handler handler = {watch_event, watch_ended};
    struct seen *seen = argument;
    client_watch_start(seen->fixture->client, duplicate("/watch"), NULL, 60000, &handler, seen);
}

static void watch_until_it_ends(struct fixture *fixture, struct seen *seen)
{
    *seen = (struct seen){
        .fixture = fixture, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    loop_post(fixture->loop, begin_watch, seen);
    api_stub_wait(fixture->stub, 1);
    api_stub_release(fixture->stub);
    pthread_mutex_lock(&seen->lock);
    while (!seen->ended) {
        pthread_cond_wait(&seen->changed, &seen->lock);
    }
    pthread_mutex_unlock(&seen->lock);
}

static void a_watch_gives_line_after_line(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    struct seen seen;
    api_stub_answer(
        fixture.stub,
        (struct api_stub_answer){.code = 200, .body = "{1}\n{2}\n\n{3}\n", .keeps_open = true});
    watch_until_it_ends(&fixture, &seen);
    assert_string_equal(buffer_text(&seen.lines), "{1}|{2}|{3}|");
    assert_int_equal(seen.code, 0);
    buffer_free(&seen.lines);
}

static void a_watch_that_is_refused_tells_why(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    struct seen seen;
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 409, .body = conflict_text});
    watch_until_it_ends(&fixture, &seen);
    assert_string_equal(buffer_text(&seen.lines), "");
    assert_int_equal(seen.code, 409);
    buffer_free(&seen.lines);
}

/* ---- requests from within a watch ---- */

static void ignore_answer(void *argument, struct client_response *response)
{
    (void)argument;
    (void)response;
}

static bool ask_on_event(void *argument, const char *line, size_t length)
{
    struct seen *seen = argument;
    (void)line;
    (void)length;
    client_send(seen->fixture->client,
                (struct client_request){.method = "GET", .path = duplicate("/asked")},
                ignore_answer, NULL);
    return true;
}

static void begin_asking_watch(void *argument)
{
    static const struct client_watch_handler handler = {ask_on_event, watch_ended};
    struct seen *seen = argument;
    client_watch_start(seen->fixture->client, duplicate("/watch"), NULL, 60000, &handler, seen);
}

static void an_event_may_ask_for_more(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    struct seen seen = {.fixture = &fixture,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .changed = PTHREAD_COND_INITIALIZER};
    api_stub_answer(fixture.stub,
                    (struct api_stub_answer){.code = 200, .body = "{1}\n", .keeps_open = true});
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 200, .body = "{}"});
    loop_post(fixture.loop, begin_asking_watch, &seen);
    api_stub_wait(fixture.stub, 2);
    cleanup(free_char)
    char *asked = api_stub_request(fixture.stub, 1);
    assert_string_equal(asked, "GET /asked");
    api_stub_release(fixture.stub);
    pthread_mutex_lock(&seen.lock);
    while (!seen.ended) {
        pthread_cond_wait(&seen.changed, &seen.lock);
    }
    pthread_mutex_unlock(&seen.lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_those_of_the_api),
        cmocka_unit_test(a_get_gives_the_object),
        cmocka_unit_test(an_error_carries_what_the_status_says),
        cmocka_unit_test(a_server_that_is_not_there_is_unavailable),
        cmocka_unit_test(writes_carry_their_body_and_type),
        cmocka_unit_test(retry_after_is_honoured),
        cmocka_unit_test(a_refusal_without_retry_after_is_final),
        cmocka_unit_test(a_get_is_repeated_when_its_connection_breaks),
        cmocka_unit_test(a_post_is_never_repeated),
        cmocka_unit_test(no_more_than_the_limit_are_in_flight),
        cmocka_unit_test(the_rate_is_limited_beyond_the_burst),
        cmocka_unit_test(a_fence_lets_only_reads_pass),
        cmocka_unit_test(a_token_file_is_read),
        cmocka_unit_test(a_token_is_renewed_before_it_ends),
        cmocka_unit_test(a_request_may_impersonate),
        cmocka_unit_test(a_server_may_stand_below_a_path),
        cmocka_unit_test(what_no_head_can_carry_is_not_sent),
        cmocka_unit_test(a_watch_gives_line_after_line),
        cmocka_unit_test(a_watch_that_is_refused_tells_why),
        cmocka_unit_test(an_event_may_ask_for_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* A pod's worker between a runtime that only notes what it is told and a scripted server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/json.h"
#include "node/pod_worker.h"
#include "test/stub/api_stub.h"

struct fixture {
    struct api_stub *stub;
    struct loop *loop;
    struct client *client;
    struct runtime runtime;
    struct worker_host host;
    struct pod_worker *worker;
    struct buffer told; /* What the runtime was told: "start c;stop c 30;" */
    bool has_address;
    const char *text; /* An argument for what runs on the loop. */
    int number;
    size_t requests; /* Those that the test has looked at. */
};

/* ---- the runtime and the node ---- */

static struct fixture *fixture_of(struct runtime *runtime)
{
    return container_of(runtime, struct fixture, runtime);
}

static void prepare(struct runtime *runtime, struct container *container, const json_t *pod,
                    const json_t *spec)
{
    (void)runtime;
    (void)container;
    (void)pod;
    (void)spec;
}

static void note_start(struct runtime *runtime, struct container *container)
{
    buffer_addf(&fixture_of(runtime)->told, "start %s;", container->name);
}

static void note_resume(struct runtime *runtime, struct container *container)
{
    buffer_addf(&fixture_of(runtime)->told, "resume %s;", container->name);
}

static void note_stop(struct runtime *runtime, struct container *container, int64_t grace_seconds)
{
    buffer_addf(&fixture_of(runtime)->told, "stop %s %d;", container->name, (int)grace_seconds);
}

static void adjust(struct runtime *runtime, struct container *container, const json_t *pod,
                   const json_t *spec)
{
    (void)runtime;
    (void)container;
    (void)pod;
    (void)spec;
}

static struct runtime_usage usage_of(struct runtime *runtime, const struct container *container)
{
    (void)runtime;
    (void)container;
    return (struct runtime_usage){0};
}

static void forget(struct runtime *runtime, struct container *container)
{
    (void)runtime;
    (void)container;
}

static char *take_address(struct worker_host *host)
{
    struct fixture *fixture = container_of(host, struct fixture, host);
    return fixture->has_address ? duplicate("10.0.0.9") : NULL;
}

static void note_address(struct worker_host *host, const char *address)
{
    (void)host;
    (void)address;
}

static void start(struct fixture *fixture)
{
    struct client_config config = CLIENT_CONFIG_INIT;
    *fixture = (struct fixture){.stub = api_stub_start(), .loop = loop_new(), .has_address = true};
    config.server = duplicate(api_stub_url(fixture->stub));
    fixture->client =
        client_new(fixture->loop, &config, &(struct client_options){.user_agent = "tester"}, NULL);
    fixture->runtime =
        (struct runtime){prepare, note_start, note_resume, note_stop, adjust, usage_of, forget};
    fixture->host = (struct worker_host){.client = fixture->client,
                                         .runtime = &fixture->runtime,
                                         .node_name = "n",
                                         .node_ip = "10.128.0.1",
                                         .take_address = take_address,
                                         .claim_address = note_address,
                                         .give_back_address = note_address};
}

static void drop(void *argument)
{
    struct fixture *fixture = argument;
    pod_worker_drop(fixture->worker);
}

static void stop(struct fixture *fixture)
{
    client_close(fixture->client);
    loop_call(fixture->loop, drop, fixture);
    client_free(fixture->client);
    loop_free(fixture->loop);
    api_stub_stop(fixture->stub);
    buffer_free(&fixture->told);
}

/* ---- what happens, on the loop's thread ---- */

static void bind_now(void *argument)
{
    struct fixture *fixture = argument;
    cleanup(json_release)
    json_t *pod = json_parse(fixture->text, strlen(fixture->text), NULL);
    assert_non_null(pod);
    if (fixture->worker == NULL) {
        fixture->worker = pod_worker_new(&fixture->host, pod);
    } else {
        pod_worker_update(fixture->worker, pod);
    }
}

static void look_for_step(void *argument)
{
    struct fixture *fixture = argument;
    fixture->number = loop_timer_is_set(&fixture->worker->step_timer);
}

/* Waits until the worker has drawn its conclusions. */
static void settle(struct fixture *fixture)
{
    do {
        loop_call(fixture->loop, look_for_step, fixture);
    } while (fixture->number);
}

/* The pod is seen like this. */
static void see(struct fixture *fixture, const char *pod)
{
    fixture->text = pod;
    loop_call(fixture->loop, bind_now, fixture);
    settle(fixture);
}

static struct container *container_named(const struct fixture *fixture)
{
    for (size_t i = 0; i < fixture->worker->container_count; i++) {
        if (strcmp(fixture->worker->containers[i].name, fixture->text) == 0) {
            return &fixture->worker->containers[i];
        }
    }
    fail_msg("no container %s", fixture->text);
    return NULL;
}

static void run_now(void *argument)
{
    struct container *container = container_named(argument);
    container_started(container);
    container_is_ready(container, true);
}

static void exit_now(void *argument)
{
    struct fixture *fixture = argument;
    container_exited(container_named(fixture), fixture->number);
}

static void runs(struct fixture *fixture, const char *name)
{
    fixture->text = name;
    loop_call(fixture->loop, run_now, fixture);
    settle(fixture);
}

static void exits(struct fixture *fixture, const char *name, int code)
{
    fixture->text = name;
    fixture->number = code;
    loop_call(fixture->loop, exit_now, fixture);
    settle(fixture);
}

static void wake_now(void *argument)
{
    struct fixture *fixture = argument;
    fixture->has_address = true;
    fixture->host.is_frozen = false;
    pod_worker_wake(fixture->worker);
}

static void compare_told(void *argument)
{
    struct fixture *fixture = argument;
    fixture->number = strcmp(buffer_text(&fixture->told), fixture->text);
    if (fixture->number != 0) {
        print_error("told: %s\n", buffer_text(&fixture->told));
    }
    fixture->told.length = 0;
}

/* What the runtime was told since the last time. */
static void assert_told(struct fixture *fixture, const char *expected)
{
    fixture->text = expected;
    loop_call(fixture->loop, compare_told, fixture);
    assert_int_equal(fixture->number, 0);
}

/* ---- what the server gets ---- */

static void answer(struct fixture *fixture, int code)
{
    api_stub_answer(fixture->stub, (struct api_stub_answer){.code = code, .body = "{}"});
}

/* The next request, which begins like this; its body, the caller's. */
static json_t *next_request(struct fixture *fixture, const char *line)
{
    api_stub_wait(fixture->stub, fixture->requests + 1);
    cleanup(free_char)
    char *request = api_stub_request(fixture->stub, fixture->requests++);
    if (strncmp(request, line, strlen(line)) != 0) {
        fail_msg("got %s", request);
    }
    const char *body = strchr(request, '{');
    return body != NULL ? json_parse(body, strlen(body), NULL) : NULL;
}

/* The next request writes a status; the caller's. */
static json_t *next_status(struct fixture *fixture)
{
    cleanup(json_release)
    json_t *patch = next_request(fixture, "PATCH /api/v1/namespaces/ns/pods/p/status ");
    assert_string_equal(json_path_string(patch, "metadata", "uid"), "u");
    return json_incref(json_object_get(patch, "status"));
}

static void assert_phase(const json_t *status, const char *phase)
{
    assert_string_equal(json_get_string(status, "phase"), phase);
}

/* The next status, answered with 200, has this phase. */
static void expect_phase(struct fixture *fixture, const char *phase)
{
    cleanup(json_release)
    json_t *status = next_status(fixture);
    assert_phase(status, phase);
}

static const json_t *state_of(const json_t *status, const char *list, size_t number)
{
    return json_object_get(json_array_get(json_object_get(status, list), number), "state");
}

#define METADATA "\"metadata\":{\"namespace\":\"ns\",\"name\":\"p\",\"uid\":\"u\",\"generation\":1"
#define DELETED ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"deletionGracePeriodSeconds\":"
#define SPEC "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}"

static const char simple[] = "{" METADATA "}," SPEC "}";
static const char simple_deleted[] = "{" METADATA DELETED "7}," SPEC "}";

/* ---- the tests ---- */

static void a_pod_without_an_address_waits_for_one(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    fixture.has_address = false;
    answer(&fixture, 200);
    answer(&fixture, 200);
    see(&fixture, simple);
    {
        cleanup(json_release)
        json_t *status = next_status(&fixture);
        assert_phase(status, "Pending");
        assert_null(json_object_get(status, "podIP"));
        assert_string_equal(
            json_path_string(state_of(status, "containerStatuses", 0), "waiting", "reason"),
            "ContainerCreating");
    }
    assert_told(&fixture, "");
    loop_call(fixture.loop, wake_now, &fixture);
    settle(&fixture);
    {
        cleanup(json_release)
        json_t *status = next_status(&fixture);
        assert_string_equal(json_get_string(status, "podIP"), "10.0.0.9");
    }
    assert_told(&fixture, "start c;");
    stop(&fixture);
}

static void the_last_status_is_written_before_the_deletion(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    for (int i = 0; i < 5; i++) {
        answer(&fixture, 200);
    }
    see(&fixture, simple);
    expect_phase(&fixture, "Pending");
    runs(&fixture, "c");
    expect_phase(&fixture, "Running");
    assert_told(&fixture, "start c;");
    see(&fixture, simple_deleted);
    see(&fixture, simple_deleted); /* Nobody is told twice. */
    exits(&fixture, "c", 0);
    expect_phase(&fixture, "Succeeded");
    assert_told(&fixture, "stop c 7;");
    cleanup(json_release)
    json_t *options = next_request(&fixture, "DELETE /api/v1/namespaces/ns/pods/p ");
    assert_int_equal(json_get_int(options, "gracePeriodSeconds", -1), 0);
    assert_string_equal(json_path_string(options, "preconditions", "uid"), "u");
    stop(&fixture);
}

static void a_pod_that_never_ran_fails_with_containers_of_unknown_status(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    for (int i = 0; i < 3; i++) {
        answer(&fixture, 200);
    }
    see(&fixture, simple);
    expect_phase(&fixture, "Pending");
    see(&fixture, simple_deleted);
    {
        cleanup(json_release)
        json_t *status = next_status(&fixture);
        assert_phase(status, "Failed");
        const json_t *ended =
            json_object_get(state_of(status, "containerStatuses", 0), "terminated");
        assert_string_equal(json_get_string(ended, "reason"), "ContainerStatusUnknown");
        assert_int_equal(json_get_int(ended, "exitCode", 0), 137);
    }
    json_decref(next_request(&fixture, "DELETE /api/v1/namespaces/ns/pods/p "));
    stop(&fixture);
}

static void an_ended_pod_of_a_former_process_is_deleted_without_another_status(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    answer(&fixture, 200);
    see(&fixture, "{" METADATA DELETED "30}," SPEC ",\"status\":{\"phase\":\"Succeeded\","
                  "\"startTime\":\"2026-01-01T00:00:00Z\"}}");
    json_decref(next_request(&fixture, "DELETE /api/v1/namespaces/ns/pods/p "));
    assert_told(&fixture, "");
    stop(&fixture);
}

static void what_a_former_process_ran_goes_on(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    answer(&fixture, 200);
    see(&fixture,
        "{" METADATA "}," SPEC ",\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.3\","
        "\"startTime\":\"2026-01-01T00:00:00Z\",\"containerStatuses\":[{\"name\":\"c\",\"ready\":"
        "true,\"restartCount\":4,\"containerID\":\"simulated://x\",\"state\":{\"running\":{"
        "\"startedAt\":\"2026-01-01T00:00:01Z\"}}}],\"conditions\":[{\"type\":\"Ready\",\"status\":"
        "\"True\",\"lastTransitionTime\":\"2026-01-01T00:00:02Z\"}]}}");
    cleanup(json_release)
    json_t *status = next_status(&fixture);
    const json_t *one = json_array_get(json_object_get(status, "containerStatuses"), 0);
    assert_phase(status, "Running");
    assert_string_equal(json_get_string(status, "podIP"), "10.0.0.3");
    assert_string_equal(json_get_string(status, "startTime"), "2026-01-01T00:00:00Z");
    assert_int_equal(json_get_int(one, "restartCount", 0), 4);
    assert_string_equal(json_get_string(one, "containerID"), "simulated://x");
    assert_string_equal(json_path_string(one, "state", "running", "startedAt"),
                        "2026-01-01T00:00:01Z");
    assert_string_equal(
        json_get_string(json_array_get(json_object_get(status, "conditions"), CONDITION_READY),
                        "lastTransitionTime"),
        "2026-01-01T00:00:02Z");
    assert_told(&fixture, "resume c;");
    stop(&fixture);
}

static void sidecars_start_first_and_end_last(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    for (int i = 0; i < 20; i++) {
        answer(&fixture, 200);
    }
    static const char spec[] =
        "\"spec\":{\"initContainers\":[{\"name\":\"i\"},{\"name\":\"s\",\"restartPolicy\":"
        "\"Always\"},{\"name\":\"t\",\"restartPolicy\":\"Always\"}],\"containers\":[{\"name\":"
        "\"c\"}]}";
    cleanup(free_char)
    char *pod = format("{" METADATA "},%s}", spec);
    cleanup(free_char)
    char *deleted = format("{" METADATA DELETED "5},%s}", spec);
    see(&fixture, pod);
    expect_phase(&fixture, "Pending");
    assert_told(&fixture, "start i;");
    runs(&fixture, "i");
    expect_phase(&fixture, "Pending");
    exits(&fixture, "i", 0);
    expect_phase(&fixture, "Pending");
    assert_told(&fixture, "start s;");
    runs(&fixture, "s");
    expect_phase(&fixture, "Pending");
    assert_told(&fixture, "start t;");
    runs(&fixture, "t");
    expect_phase(&fixture, "Pending");
    assert_told(&fixture, "start c;");
    runs(&fixture, "c");
    expect_phase(&fixture, "Running");
    see(&fixture, deleted);
    exits(&fixture, "c", 0);
    expect_phase(&fixture, "Running");
    assert_told(&fixture, "stop c 5;stop t 5;");
    exits(&fixture, "t", 0);
    expect_phase(&fixture, "Running");
    assert_told(&fixture, "stop s 5;");
    exits(&fixture, "s", 1); /* How a sidecar ends says nothing about the pod. */
    expect_phase(&fixture, "Succeeded");
    stop(&fixture);
}

static void the_reason_of_a_missed_deadline_comes_with_the_end(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    for (int i = 0; i < 4; i++) {
        answer(&fixture, 200);
    }
    see(&fixture, simple);
    expect_phase(&fixture, "Pending");
    runs(&fixture, "c");
    expect_phase(&fixture, "Running");
    see(&fixture,
        "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"p\",\"uid\":\"u\",\"generation\":2},"
        "\"spec\":{\"activeDeadlineSeconds\":0,\"containers\":[{\"name\":\"c\",\"image\":"
        "\"i\"}]}}");
    {
        cleanup(json_release)
        json_t *status = next_status(&fixture);
        assert_phase(status, "Running");
        assert_null(json_get_string(status, "reason"));
    }
    assert_told(&fixture, "start c;stop c 30;");
    exits(&fixture, "c", 0);
    cleanup(json_release)
    json_t *status = next_status(&fixture);
    assert_phase(status, "Failed");
    assert_string_equal(json_get_string(status, "reason"), "DeadlineExceeded");
    stop(&fixture);
}

static void a_status_that_could_not_be_written_is_written_again(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    answer(&fixture, 500);
    answer(&fixture, 409);
    answer(&fixture, 200);
    see(&fixture, simple);
    for (int i = 0; i < 3; i++) {
        expect_phase(&fixture, "Pending");
    }
    stop(&fixture);
}

static void a_frozen_node_writes_nothing_until_it_is_back(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    answer(&fixture, 200);
    fixture.host.is_frozen = true;
    see(&fixture, simple);
    runs(&fixture, "c");
    loop_call(fixture.loop, wake_now, &fixture);
    settle(&fixture);
    expect_phase(&fixture, "Running"); /* What was before has not been told. */
    stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_without_an_address_waits_for_one),
        cmocka_unit_test(the_last_status_is_written_before_the_deletion),
        cmocka_unit_test(a_pod_that_never_ran_fails_with_containers_of_unknown_status),
        cmocka_unit_test(an_ended_pod_of_a_former_process_is_deleted_without_another_status),
        cmocka_unit_test(what_a_former_process_ran_goes_on),
        cmocka_unit_test(sidecars_start_first_and_end_last),
        cmocka_unit_test(the_reason_of_a_missed_deadline_comes_with_the_end),
        cmocka_unit_test(a_status_that_could_not_be_written_is_written_again),
        cmocka_unit_test(a_frozen_node_writes_nothing_until_it_is_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

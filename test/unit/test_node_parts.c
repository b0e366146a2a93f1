// SPDX-License-Identifier: Apache-2.0
/* What a simulated node is made of: addresses, back-off, and what containers are told to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/json.h"
#include "node/ip_pool.h"
#include "node/node_report.h"
#include "node/pod_worker.h"
#include "node/restart_backoff.h"
#include "node/simulated_runtime.h"

/* ---- addresses ---- */

static void assert_takes(struct ip_pool *pool, const char *expected)
{
    cleanup(free_char)
    char *address = ip_pool_take(pool);
    if (expected == NULL) {
        assert_null(address);
    } else {
        assert_non_null(address);
        assert_string_equal(address, expected);
    }
}

static void addresses_are_given_out_in_turn(void **state)
{
    (void)state;
    struct ip_pool *pool = ip_pool_new("10.1.2.0/29");
    assert_takes(pool, "10.1.2.2"); /* .0 is the range's, .1 the node's. */
    assert_takes(pool, "10.1.2.3");
    ip_pool_give_back(pool, "10.1.2.2");
    assert_takes(pool, "10.1.2.4"); /* What came back waits longest. */
    assert_takes(pool, "10.1.2.5");
    assert_takes(pool, "10.1.2.6");
    assert_takes(pool, "10.1.2.2");
    assert_takes(pool, NULL); /* .7 is for broadcasts. */
    ip_pool_give_back(pool, "10.1.2.5");
    assert_takes(pool, "10.1.2.5");
    ip_pool_free(pool);
}

static void a_claimed_address_is_not_given_out(void **state)
{
    (void)state;
    struct ip_pool *pool = ip_pool_new("10.1.2.0/30");
    ip_pool_claim(pool, "10.9.9.9"); /* Of no concern. */
    ip_pool_claim(pool, "nonsense");
    ip_pool_claim(pool, "10.1.2.2");
    assert_takes(pool, NULL);
    ip_pool_give_back(pool, "10.9.9.9");
    assert_takes(pool, NULL);
    ip_pool_free(pool);
}

static void only_ranges_of_a_fit_size_are_taken(void **state)
{
    (void)state;
    static const char *const refused[] = {"",           "10.1.2.0",  "10.1.2.0/15", "10.1.2.0/31",
                                          "10.1.2/24",  "fd00::/64", "a/24",        "10.1.2.0/24x",
                                          "10.1.2.0/-8"};
    assert_null(ip_pool_new(NULL));
    for (size_t i = 0; i < array_length(refused); i++) {
        assert_null(ip_pool_new(refused[i]));
    }
    struct ip_pool *pool = ip_pool_new("10.1.255.255/16"); /* Any address of the range names it. */
    assert_takes(pool, "10.1.0.2");
    ip_pool_free(pool);
}

/* ---- back-off ---- */

static const int64_t second = INT64_C(1000000000);

static void each_restart_waits_twice_as_long_up_to_five_minutes(void **state)
{
    (void)state;
    static const int64_t expected_seconds[] = {0, 10, 20, 40, 80, 160, 300, 300};
    struct restart_backoff backoff = {0};
    int64_t now = 1000 * second;
    for (size_t i = 0; i < array_length(expected_seconds); i++) {
        int64_t ended = now;
        int64_t left_ms = restart_backoff_left_ms(&backoff, ended, now);
        assert_int_equal(left_ms, expected_seconds[i] * 1000);
        now += left_ms * 1000000;
        assert_int_equal(restart_backoff_left_ms(&backoff, ended, now), 0);
        restart_backoff_raise(&backoff, ended, now);
        now += 5 * second; /* It runs for a moment. */
    }
}

static void the_wait_counts_from_the_end_of_the_container(void **state)
{
    (void)state;
    struct restart_backoff backoff = {0};
    restart_backoff_raise(&backoff, second, second);
    assert_int_equal(restart_backoff_left_ms(&backoff, 100 * second, 103 * second), 7000);
    assert_int_equal(restart_backoff_left_ms(&backoff, 100 * second, 111 * second), 0);
}

static void ten_minutes_of_running_are_rewarded(void **state)
{
    (void)state;
    struct restart_backoff backoff = {0};
    restart_backoff_raise(&backoff, second, second);
    restart_backoff_raise(&backoff, 2 * second, 2 * second);
    assert_int_equal(restart_backoff_left_ms(&backoff, 602 * second, 602 * second), 20000);
    assert_int_equal(restart_backoff_left_ms(&backoff, 603 * second, 603 * second), 0);
    restart_backoff_raise(&backoff, 603 * second, 603 * second);
    assert_int_equal(backoff.delay_ms, 10000);
}

/* ---- simulations ---- */

static void a_simulation_is_read_word_by_word(void **state)
{
    (void)state;
    struct simulation simulation = {.times = -1, .stop_ms = 7};
    assert_true(
        simulation_parse("start=2s  ready=1m30s,run=500ms exit=255 times=3", &simulation, NULL));
    assert_int_equal(simulation.start_ms, 2000);
    assert_int_equal(simulation.ready_ms, 90000);
    assert_int_equal(simulation.run_ms, 500);
    assert_int_equal(simulation.exit_code, 255);
    assert_int_equal(simulation.times, 3);
    assert_int_equal(simulation.stop_ms, 7); /* What is not named stays. */
    assert_true(simulation_parse("ready=never run=forever", &simulation, NULL));
    assert_int_equal(simulation.ready_ms, -1);
    assert_int_equal(simulation.run_ms, -1);
    assert_true(simulation_parse("cpu=250m memory=64Mi", &simulation, NULL));
    assert_int_equal(simulation.usage.cpu_nano, 250000000);
    assert_int_equal(simulation.usage.memory_bytes, 64 << 20);
    assert_true(simulation_parse("", &simulation, NULL));
}

static void what_is_no_simulation_is_named(void **state)
{
    (void)state;
    static const char *const refused[] = {"cpu=",       "cpu=-1",     "cpu=much", "memory=x",
                                          "run",        "run=",       "run=-1s",  "run=never",
                                          "exit=256",   "exit=-1",    "exit=1x",  "times=",
                                          "stop=never", "start=soon", "sleep=1s", "=1s"};
    for (size_t i = 0; i < array_length(refused); i++) {
        struct simulation simulation = {0};
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        assert_false(simulation_parse(refused[i], &simulation, &error));
        assert_non_null(strstr(error.message, "is nothing to simulate"));
    }
}

/* ---- usage ---- */

static json_t *parse(const char *text)
{
    json_t *tree = json_parse(text, strlen(text), NULL);
    assert_non_null(tree);
    return tree;
}

/* A pod of one container c that asks for a CPU and 1Gi, with this annotation of it. */
static json_t *pod_of(const char *annotation)
{
    cleanup(free_char)
    char *text = format("{\"metadata\": {\"annotations\": {\"simulate.coracle.io/c\": \"%s\"}}, "
                        "\"spec\": {\"containers\": [{\"name\": \"c\", \"resources\": "
                        "{\"requests\": {\"cpu\": \"1\", \"memory\": \"1Gi\"}}}]}}",
                        annotation);
    return parse(text);
}

static void assert_usage(struct runtime *runtime, struct container *container,
                         const char *annotation, int64_t cpu_nano, int64_t memory_bytes)
{
    cleanup(json_release)
    json_t *pod = pod_of(annotation);
    runtime->adjust(runtime, container, pod,
                    json_array_get(json_path(pod, "spec", "containers"), 0));
    struct runtime_usage usage = runtime->usage(runtime, container);
    assert_int_equal(usage.cpu_nano, cpu_nano);
    assert_int_equal(usage.memory_bytes, memory_bytes);
}

static void a_load_can_be_changed_while_a_container_runs(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct runtime *runtime = simulated_runtime_new(loop);
    struct container container = {.name = "c"};
    cleanup(json_release)
    json_t *pod = pod_of("cpu=2");
    runtime->prepare(runtime, &container, pod,
                     json_array_get(json_path(pod, "spec", "containers"), 0));
    struct runtime_usage usage = runtime->usage(runtime, &container);
    assert_int_equal(usage.cpu_nano, 2000000000);
    assert_int_equal(usage.memory_bytes, 512 << 20); /* Half of what it asks for. */
    assert_usage(runtime, &container, "cpu=300m memory=1Mi", 300000000, 1 << 20);
    assert_usage(runtime, &container, "run=1s", 100000000, 512 << 20);
    runtime->forget(runtime, &container);
    simulated_runtime_free(runtime);
    loop_free(loop);
}

static struct runtime_usage some_usage(struct runtime *runtime, const struct container *container)
{
    (void)runtime;
    return strcmp(container->name, "huge") == 0 ? (struct runtime_usage){INT64_MAX, INT64_MAX}
                                                : (struct runtime_usage){7000, 2048};
}

static void a_report_tells_of_what_runs(void **state)
{
    (void)state;
    struct runtime runtime = {.usage = some_usage};
    struct worker_host host = {.runtime = &runtime};
    struct container containers[] = {{.name = "a", .state = CONTAINER_RUNNING},
                                     {.name = "b", .state = CONTAINER_TERMINATED}};
    struct pod_worker worker = {.host = &host,
                                .namespace = "n",
                                .name = "p",
                                .uid = "u",
                                .containers = containers,
                                .container_count = 2};
    struct pod_worker idle = worker;
    struct map workers = MAP_INIT;
    idle.containers = containers + 1;
    idle.container_count = 1;
    map_set(&workers, "n/p", &worker);
    map_set(&workers, "n/idle", &idle);
    cleanup(json_release)
    json_t *report = node_report("node-1", 1500000000, &workers);
    cleanup(free_char)
    char *text = json_text(report);
    assert_string_equal(
        text,
        "{\"kind\":\"NodeReport\",\"apiVersion\":\"metrics.coracle.io/v1\",\"metadata\":{"
        "\"name\":\"node-1\"},\"window\":\"1.5s\",\"usage\":{\"cpu\":\"50007000n\","
        "\"memory\":\"262146Ki\"},\"pods\":[{\"namespace\":\"n\",\"name\":\"p\",\"uid\":\"u\","
        "\"containers\":[{\"name\":\"a\",\"usage\":{\"cpu\":\"7000n\",\"memory\":\"2Ki\"}}]}]}");
    map_free(&workers, NULL);
}

static void no_load_is_too_large_to_tell(void **state)
{
    (void)state;
    struct runtime runtime = {.usage = some_usage};
    struct worker_host host = {.runtime = &runtime};
    struct container container = {.name = "huge", .state = CONTAINER_RUNNING};
    struct pod_worker worker = {.host = &host,
                                .namespace = "n",
                                .name = "p",
                                .uid = "u",
                                .containers = &container,
                                .container_count = 1};
    struct map workers = MAP_INIT;
    map_set(&workers, "n/p", &worker);
    cleanup(json_release)
    json_t *report = node_report("node-1", 1, &workers);
    assert_string_equal(json_path_string(report, "usage", "cpu"), "9223372036854775807n");
    assert_string_equal(json_get_string(report, "window"), "1ms");
    map_free(&workers, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_given_out_in_turn),
        cmocka_unit_test(a_claimed_address_is_not_given_out),
        cmocka_unit_test(only_ranges_of_a_fit_size_are_taken),
        cmocka_unit_test(each_restart_waits_twice_as_long_up_to_five_minutes),
        cmocka_unit_test(the_wait_counts_from_the_end_of_the_container),
        cmocka_unit_test(ten_minutes_of_running_are_rewarded),
        cmocka_unit_test(a_simulation_is_read_word_by_word),
        cmocka_unit_test(what_is_no_simulation_is_named),
        cmocka_unit_test(a_load_can_be_changed_while_a_container_runs),
        cmocka_unit_test(a_report_tells_of_what_runs),
        cmocka_unit_test(no_load_is_too_large_to_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

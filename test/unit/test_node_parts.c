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
#include "node/ip_pool.h"
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
    assert_true(simulation_parse("", &simulation, NULL));
}

static void what_is_no_simulation_is_named(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "run",     "run=",   "run=-1s",    "run=never",  "exit=256", "exit=-1",
        "exit=1x", "times=", "stop=never", "start=soon", "sleep=1s", "=1s"};
    for (size_t i = 0; i < array_length(refused); i++) {
        struct simulation simulation = {0};
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        assert_false(simulation_parse(refused[i], &simulation, &error));
        assert_non_null(strstr(error.message, "is nothing to simulate"));
    }
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

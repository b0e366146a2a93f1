// SPDX-License-Identifier: Apache-2.0
/* In which state zones are, and how fast their nodes are given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "controllers/node_zones.h"

static const int64_t second = INT64_C(1000000000);
static const struct zone_rates rates = {
    .normal = 0.1, .reduced = 0.01, .unhealthy_threshold = 0.55, .large_size = 50};

static void a_zone_is_judged_by_how_many_fail(void **state)
{
    (void)state;
    assert_int_equal(zone_state_of(10, 0, 0.55), ZONE_NORMAL);
    assert_int_equal(zone_state_of(1, 2, 0.55), ZONE_NORMAL); /* Two are never a disruption. */
    assert_int_equal(zone_state_of(3, 3, 0.55), ZONE_NORMAL);
    assert_int_equal(zone_state_of(2, 3, 0.55), ZONE_PARTIAL_DISRUPTION);
    assert_int_equal(zone_state_of(9, 11, 0.55), ZONE_PARTIAL_DISRUPTION);
    assert_int_equal(zone_state_of(0, 1, 0.55), ZONE_FULL_DISRUPTION);
    assert_int_equal(zone_state_of(0, 0, 0.55), ZONE_NORMAL);
}

static void only_a_large_zone_that_is_unhealthy_gives_up_nodes(void **state)
{
    (void)state;
    assert_true(zone_rate(&rates, ZONE_NORMAL, 3) == 0.1);
    assert_true(zone_rate(&rates, ZONE_PARTIAL_DISRUPTION, 50) == 0);
    assert_true(zone_rate(&rates, ZONE_PARTIAL_DISRUPTION, 51) == 0.01);
    assert_true(zone_rate(&rates, ZONE_FULL_DISRUPTION, 3) == 0.1);
}

static void a_limiter_lets_one_through_each_interval(void **state)
{
    (void)state;
    struct rate_limiter limiter;
    rate_limiter_init(&limiter, 0.1, 0);
    assert_true(rate_limiter_accept(&limiter, 0));
    assert_false(rate_limiter_accept(&limiter, 9 * second));
    assert_true(rate_limiter_accept(&limiter, 10 * second));
    assert_true(rate_limiter_accept(&limiter, 100 * second)); /* It saves up no more than one. */
    assert_false(rate_limiter_accept(&limiter, 105 * second));
}

static void a_changed_rate_gives_nothing_for_free(void **state)
{
    (void)state;
    struct rate_limiter limiter;
    rate_limiter_init(&limiter, 0.1, 0);
    rate_limiter_change(&limiter, 0, 0);
    assert_false(rate_limiter_accept(&limiter, 1000 * second));
    rate_limiter_change(&limiter, 0.1, 1000 * second);
    assert_false(rate_limiter_accept(&limiter, 1000 * second));
    assert_true(rate_limiter_accept(&limiter, 1010 * second));
}

/* ---- rounds ---- */

static void free_zones(struct zones **zones)
{
    zones_free(*zones);
}

static enum zones_event round_of(struct zones *zones, int64_t now, size_t ready, size_t not_ready)
{
    zones_begin(zones);
    for (size_t i = 0; i < ready + not_ready; i++) {
        zones_count(zones, "z", true, i < ready, now);
    }
    return zones_end(zones, now);
}

static void assert_next(struct zones *zones, int64_t now, const char *expected)
{
    cleanup(free_char)
    char *node = zones_next(zones, now);
    assert_string_equal(node != NULL ? node : "none", expected);
}

static void nodes_are_given_up_in_order_at_the_normal_rate(void **state)
{
    (void)state;
    cleanup(free_zones)
    struct zones *zones = zones_new(&rates);
    assert_int_equal(round_of(zones, 0, 8, 2), ZONES_STEADY);
    zones_enqueue(zones, "z", "a");
    zones_enqueue(zones, "z", "b");
    zones_enqueue(zones, "z", "a");
    assert_next(zones, 0, "a");
    assert_next(zones, second, "none");
    assert_true(zones_waiting(zones));
    assert_next(zones, 10 * second, "b");
    assert_false(zones_waiting(zones));
    assert_next(zones, 30 * second, "none");
}

static void a_node_that_recovers_waits_no_more(void **state)
{
    (void)state;
    cleanup(free_zones)
    struct zones *zones = zones_new(&rates);
    round_of(zones, 0, 8, 2);
    zones_enqueue(zones, "z", "a");
    zones_enqueue(zones, "z", "b");
    zones_dequeue(zones, "a");
    assert_next(zones, 0, "b");
    zones_dequeue(zones, "b");
    assert_next(zones, 20 * second, "none");
}

static void a_small_zone_that_mostly_fails_gives_up_nobody(void **state)
{
    (void)state;
    cleanup(free_zones)
    struct zones *zones = zones_new(&rates);
    round_of(zones, 0, 2, 3);
    zones_enqueue(zones, "z", "a");
    assert_next(zones, 1000 * second, "none");
    round_of(zones, 1000 * second, 3, 2);
    assert_next(zones, 1010 * second, "a");
}

static void a_large_zone_that_mostly_fails_gives_up_nodes_slowly(void **state)
{
    (void)state;
    cleanup(free_zones)
    struct zones *zones = zones_new(&rates);
    round_of(zones, 0, 20, 40);
    zones_enqueue(zones, "z", "a");
    zones_enqueue(zones, "z", "b");
    assert_next(zones, 0, "a");
    assert_next(zones, 99 * second, "none");
    assert_next(zones, 101 * second, "b");
}

static void when_all_zones_fail_nothing_is_given_up_until_one_recovers(void **state)
{
    (void)state;
    cleanup(free_zones)
    struct zones *zones = zones_new(&rates);
    assert_int_equal(round_of(zones, 0, 5, 0), ZONES_STEADY);
    assert_int_equal(round_of(zones, second, 0, 5), ZONES_ALL_FAILED);
    zones_enqueue(zones, "z", "a");
    assert_next(zones, 1000 * second, "none");
    assert_int_equal(round_of(zones, 1000 * second, 0, 5), ZONES_STEADY);
    assert_int_equal(round_of(zones, 1001 * second, 4, 1), ZONES_RECOVERED);
    assert_next(zones, 1001 * second, "none");
    assert_next(zones, 1011 * second, "a");
}

static void one_zone_that_fails_wholly_beside_a_healthy_one_is_given_up(void **state)
{
    (void)state;
    cleanup(free_zones)
    struct zones *zones = zones_new(&rates);
    for (int i = 0; i < 2; i++) {
        zones_begin(zones);
        zones_count(zones, "dead", true, false, 0);
        zones_count(zones, "alive", true, true, 0);
        assert_int_equal(zones_end(zones, 0), ZONES_STEADY);
    }
    zones_enqueue(zones, "dead", "a");
    assert_next(zones, 0, "a");
}

static void nodes_that_do_not_count_do_not_make_a_disruption(void **state)
{
    (void)state;
    cleanup(free_zones)
    struct zones *zones = zones_new(&rates);
    zones_begin(zones);
    zones_count(zones, "z", true, true, 0);
    for (int i = 0; i < 5; i++) {
        zones_count(zones, "z", false, false, 0);
    }
    assert_int_equal(zones_end(zones, 0), ZONES_STEADY);
    zones_enqueue(zones, "z", "a");
    assert_next(zones, 0, "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zone_is_judged_by_how_many_fail),
        cmocka_unit_test(only_a_large_zone_that_is_unhealthy_gives_up_nodes),
        cmocka_unit_test(a_limiter_lets_one_through_each_interval),
        cmocka_unit_test(a_changed_rate_gives_nothing_for_free),
        cmocka_unit_test(nodes_are_given_up_in_order_at_the_normal_rate),
        cmocka_unit_test(a_node_that_recovers_waits_no_more),
        cmocka_unit_test(a_small_zone_that_mostly_fails_gives_up_nobody),
        cmocka_unit_test(a_large_zone_that_mostly_fails_gives_up_nodes_slowly),
        cmocka_unit_test(when_all_zones_fail_nothing_is_given_up_until_one_recovers),
        cmocka_unit_test(one_zone_that_fails_wholly_beside_a_healthy_one_is_given_up),
        cmocka_unit_test(nodes_that_do_not_count_do_not_make_a_disruption),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* Which block of pod addresses is given to whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "controllers/cidr_set.h"

static struct cidr cidr_of(const char *text)
{
    struct cidr cidr;
    assert_true(cidr_parse(text, &cidr));
    return cidr;
}

static struct cidr_set *set_of(const char *range, int block_prefix)
{
    struct cidr cidr = cidr_of(range);
    struct cidr_set *set = cidr_set_new(&cidr, block_prefix, NULL);
    assert_non_null(set);
    return set;
}

static void free_set(struct cidr_set **set)
{
    cidr_set_free(*set);
}

static void assert_next(struct cidr_set *set, const char *expected)
{
    struct cidr block;
    char text[CIDR_TEXT_SIZE] = "none";
    if (cidr_set_allocate(set, &block)) {
        cidr_format(&block, text);
    }
    assert_string_equal(text, expected);
}

static void ranges_are_read_and_written(void **state)
{
    (void)state;
    static const char *const same[] = {"10.244.0.0/16", "0.0.0.0/0", "1.2.3.4/32",
                                       "fd00::/48",     "::/0",      "fd00::1/128"};
    static const char *const wrong[] = {"",         "10.0.0.0",    "10.0.0.0/",   "10.0.0.0/33",
                                        "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/8x", "fd00::/129",
                                        "/8"};
    char text[CIDR_TEXT_SIZE];
    for (size_t i = 0; i < array_length(same); i++) {
        struct cidr cidr = cidr_of(same[i]);
        cidr_format(&cidr, text);
        assert_string_equal(text, same[i]);
    }
    for (size_t i = 0; i < array_length(wrong); i++) {
        struct cidr cidr;
        assert_false(cidr_parse(wrong[i], &cidr));
    }
    struct cidr cidr = cidr_of("10.244.7.9/16");
    cidr_format(&cidr, text);
    assert_string_equal(text, "10.244.0.0/16");
}

static void blocks_come_in_order_until_none_is_left(void **state)
{
    (void)state;
    cleanup(free_set)
    struct cidr_set *set = set_of("10.244.0.0/22", 24);
    assert_next(set, "10.244.0.0/24");
    assert_next(set, "10.244.1.0/24");
    assert_next(set, "10.244.2.0/24");
    assert_next(set, "10.244.3.0/24");
    assert_next(set, "none");
}

static void a_released_block_is_the_last_to_come_again(void **state)
{
    (void)state;
    cleanup(free_set)
    struct cidr_set *set = set_of("10.244.0.0/22", 24);
    struct cidr first = cidr_of("10.244.0.0/24");
    assert_next(set, "10.244.0.0/24");
    assert_next(set, "10.244.1.0/24");
    assert_true(cidr_set_release(set, &first));
    assert_next(set, "10.244.2.0/24");
    assert_next(set, "10.244.3.0/24");
    assert_next(set, "10.244.0.0/24");
    assert_next(set, "none");
}

static void what_is_occupied_is_not_given_out(void **state)
{
    (void)state;
    cleanup(free_set)
    struct cidr_set *set = set_of("10.244.0.0/21", 24);
    struct cidr one = cidr_of("10.244.1.0/24"), wide = cidr_of("10.244.2.0/23"),
                narrow = cidr_of("10.244.5.128/25");
    assert_true(cidr_set_occupy(set, &one));
    assert_true(cidr_set_occupy(set, &wide));
    assert_true(cidr_set_occupy(set, &narrow));
    assert_next(set, "10.244.0.0/24");
    assert_next(set, "10.244.4.0/24");
    assert_next(set, "10.244.6.0/24");
    assert_next(set, "10.244.7.0/24");
    assert_next(set, "none");
}

static void a_block_that_two_have_is_free_after_both_are_gone(void **state)
{
    (void)state;
    cleanup(free_set)
    struct cidr_set *set = set_of("10.244.0.0/24", 24);
    struct cidr block = cidr_of("10.244.0.0/24");
    assert_true(cidr_set_occupy(set, &block));
    assert_true(cidr_set_occupy(set, &block));
    assert_true(cidr_set_release(set, &block));
    assert_next(set, "none");
    assert_true(cidr_set_release(set, &block));
    assert_false(cidr_set_release(set, &block));
    assert_next(set, "10.244.0.0/24");
}

static void foreign_ranges_occupy_nothing(void **state)
{
    (void)state;
    cleanup(free_set)
    struct cidr_set *set = set_of("10.244.0.0/24", 24);
    struct cidr below = cidr_of("10.243.255.0/24"), above = cidr_of("10.244.1.0/24"),
                other = cidr_of("::/0"), all = cidr_of("0.0.0.0/0");
    assert_false(cidr_set_occupy(set, &below));
    assert_false(cidr_set_occupy(set, &above));
    assert_false(cidr_set_occupy(set, &other));
    assert_next(set, "10.244.0.0/24");
    assert_true(cidr_set_release(set, &all));
    assert_true(cidr_set_occupy(set, &all));
    assert_next(set, "none");
}

static void blocks_of_ipv6_are_cut_too(void **state)
{
    (void)state;
    cleanup(free_set)
    struct cidr_set *set = set_of("fd00:10:244::/48", 64);
    assert_next(set, "fd00:10:244::/64");
    assert_next(set, "fd00:10:244:1::/64");
}

static void sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct cidr range = cidr_of("10.0.0.0/8"), whole = cidr_of("::/0");
    assert_null(cidr_set_new(&range, 7, &error));
    assert_null(cidr_set_new(&range, 25, &error));
    assert_null(cidr_set_new(&range, 33, &error));
    assert_int_equal(error.code, 400);
    cleanup(free_set)
    struct cidr_set *set = cidr_set_new(&whole, 0, &error);
    assert_next(set, "::/0");
    assert_next(set, "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_read_and_written),
        cmocka_unit_test(blocks_come_in_order_until_none_is_left),
        cmocka_unit_test(a_released_block_is_the_last_to_come_again),
        cmocka_unit_test(what_is_occupied_is_not_given_out),
        cmocka_unit_test(a_block_that_two_have_is_free_after_both_are_gone),
        cmocka_unit_test(foreign_ranges_occupy_nothing),
        cmocka_unit_test(blocks_of_ipv6_are_cut_too),
        cmocka_unit_test(sizes_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* Which node port a service gets that asks for none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/registry/kinds/service_ranges.h"

enum { ports_max = 8192 };

static void expect_first(uint32_t count, uint32_t lower)
{
    char used[ports_max] = {0};
    assert_int_equal(service_choose_port(used, count, 0), lower);
    for (uint32_t random = 0; random < 2 * count; random++) {
        assert_in_range(service_choose_port(used, count, random), lower, count - 1);
    }
}

static void the_lower_part_is_left_to_those_who_choose(void **state)
{
    (void)state;
    expect_first(16, 0);
    expect_first(17, 16);
    expect_first(512, 16);
    expect_first(2768, 86); /* The usual range, 30000-32767. */
    expect_first(4096, 128);
    expect_first(8192, 128);
}

static void so_is_that_of_a_range_of_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *range;
        uint32_t lower;
    } cases[] = {{"10.0.0.0/24", 16},  {"10.0.0.0/28", 0},   {"10.0.0.0/27", 16},
                 {"10.0.0.0/20", 256}, {"10.0.0.0/21", 128}, {"10.0.0.0/12", 256},
                 {"fd00::/124", 0},    {"fd00::/112", 256},  {"fd00::/64", 256}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ip_network range;
        assert_true(ip_network_parse(cases[i].range, &range));
        assert_int_equal(service_range_lower(&range), cases[i].lower);
    }
}

static void until_the_upper_part_is_used_up(void **state)
{
    (void)state;
    char used[32] = {0};
    memset(used + 16, 1, 16);
    used[20] = 0;
    assert_int_equal(service_choose_port(used, 32, 7), 20);
    used[20] = 1;
    used[0] = 1;
    assert_int_equal(service_choose_port(used, 32, 0), 1);
    assert_int_equal(service_choose_port(used, 32, 14), 15);
    memset(used, 1, sizeof used);
    assert_int_equal(service_choose_port(used, 32, 3), 32);
    assert_int_equal(service_choose_port(used, 16, 3), 16);
    assert_int_equal(service_choose_port(used + 31, 1, 0), 1);
}

static void each_free_one_may_be_chosen(void **state)
{
    (void)state;
    char used[40] = {0}, seen[40] = {0};
    used[17] = used[39] = 1;
    for (uint32_t random = 0; random < 22; random++) {
        seen[service_choose_port(used, 40, random)]++;
    }
    for (uint32_t i = 0; i < 40; i++) {
        assert_int_equal(seen[i], i >= 16 && i != 17 && i != 39);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lower_part_is_left_to_those_who_choose),
        cmocka_unit_test(so_is_that_of_a_range_of_addresses),
        cmocka_unit_test(until_the_upper_part_is_used_up),
        cmocka_unit_test(each_free_one_may_be_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

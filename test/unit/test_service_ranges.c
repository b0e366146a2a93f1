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
        cmocka_unit_test(until_the_upper_part_is_used_up),
        cmocka_unit_test(each_free_one_may_be_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/ip.h"

static struct ip_network network(const char *text)
{
    struct ip_network parsed;
    assert_true(ip_network_parse(text, &parsed));
    return parsed;
}

static struct ip_network address(const char *text)
{
    struct ip_network parsed;
    assert_true(ip_parse(text, &parsed));
    return parsed;
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",         "1.2.3", "1.2.3.4.5", "1.2.3.256", "1..2.3",
                                        "1.2.3.4 ", "abc",   "::g",       "1.2.3.4/8", ":"};
    struct ip_network parsed;
    for (size_t i = 0; i < array_length(wrong); i++) {
        assert_false(ip_parse(wrong[i], &parsed));
    }
    static const char *const networks[] = {"1.2.3.4", "1.2.3.4/",   "1.2.3.4/33", "::/129",
                                           "::/-1",   "1.2.3.4/8x", "/8"};
    for (size_t i = 0; i < array_length(networks); i++) {
        assert_false(ip_network_parse(networks[i], &parsed));
    }
}

static void a_network_begins_with_its_first_address(void **state)
{
    (void)state;
    char text[INET6_ADDRSTRLEN];
    struct ip_network four = network("10.1.2.3/12"), six = network("2001:db8::ff/64");
    ip_format(&four, text);
    assert_string_equal(text, "10.0.0.0");
    ip_format(&six, text);
    assert_string_equal(text, "2001:db8::");
    struct ip_network zeros = address("010.001.002.003");
    ip_format(&zeros, text);
    assert_string_equal(text, "10.1.2.3");
}

static void a_network_contains_what_is_within_it(void **state)
{
    (void)state;
    struct ip_network ten = network("10.0.0.0/12"), part = network("10.8.0.0/16"),
                      inside = address("10.15.255.255"), outside = address("10.16.0.0"),
                      six = address("a00::1"), any = network("::/0");
    assert_true(ip_network_contains(&ten, &part) && ip_network_contains(&ten, &inside));
    assert_false(ip_network_contains(&part, &ten));
    assert_false(ip_network_contains(&ten, &outside));
    assert_false(ip_network_contains(&ten, &six));
    assert_true(ip_network_contains(&any, &six));
}

static void addresses_are_counted_from_the_first(void **state)
{
    (void)state;
    char text[INET6_ADDRSTRLEN];
    struct ip_network four = network("10.0.0.0/16"), six = network("fd00::/64");
    struct ip_network at = ip_network_at(&four, 511);
    ip_format(&at, text);
    assert_string_equal(text, "10.0.1.255");
    assert_int_equal(ip_network_offset(&four, &at), 511);
    at = ip_network_at(&six, 0x10001);
    ip_format(&at, text);
    assert_string_equal(text, "fd00::1:1");
    assert_int_equal(ip_network_offset(&six, &at), 0x10001);
    struct ip_network outside = address("10.1.0.0");
    assert_true(ip_network_offset(&four, &outside) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(a_network_begins_with_its_first_address),
        cmocka_unit_test(a_network_contains_what_is_within_it),
        cmocka_unit_test(addresses_are_counted_from_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "controllers/address_pool.h"

static void ranges_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *family, *address;
        bool holds;
    } cases[] = {
        {"192.0.2.10-192.0.2.12", "IPv4", "192.0.2.9", false},
        {"192.0.2.10-192.0.2.12", "IPv4", "192.0.2.10", true},
        {"192.0.2.10-192.0.2.12", "IPv4", "192.0.2.12", true},
        {"192.0.2.10-192.0.2.12", "IPv4", "192.0.2.13", false},
        {"192.0.2.10-192.0.2.12", "IPv6", "192.0.2.10", false},
        {"198.51.100.0/30,192.0.2.1", "IPv4", "198.51.100.3", true},
        {"198.51.100.0/30,192.0.2.1", "IPv4", "192.0.2.1", true},
        {"198.51.100.0/30,192.0.2.1", "IPv4", "192.0.2.2", false},
        {"2001:db8::/120", "IPv6", "2001:db8::ff", true},
        {"2001:db8::/120", "IPv6", "2001:db8::100", false},
        {"::/0", "IPv6", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true},
        {"0.0.0.0/0", "IPv4", "255.255.255.255", true},
        {"", "IPv4", "192.0.2.1", false},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(address_pool_free)
        struct address_pool pool;
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        assert_true(address_pool_parse(cases[i].text, &pool, &error));
        assert_int_equal(address_pool_contains(&pool, cases[i].family, cases[i].address),
                         cases[i].holds);
    }
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "a",
        "192.0.2.12-192.0.2.10",
        "192.0.2.1-2001:db8::1",
        "192.0.2.1-",
        "192.0.2.0/33",
        "192.0.2.1/24-192.0.2.5",
        "192.0.2.1-192.0.2.2-192.0.2.3",
    };
    for (size_t i = 0; i < array_length(texts); i++) {
        struct address_pool pool;
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        assert_false(address_pool_parse(texts[i], &pool, &error));
        assert_non_null(strstr(error.message, texts[i]));
    }
}

static void free_addresses_are_found_in_order(void **state)
{
    (void)state;
    cleanup(address_pool_free)
    struct address_pool pool;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct map used = MAP_INIT;
    static const char *const expected[] = {"192.0.2.1", "192.0.2.9", "192.0.2.10"};
    assert_true(address_pool_parse("192.0.2.1,2001:db8::1,192.0.2.9-192.0.2.10", &pool, &error));
    for (size_t i = 0; i < array_length(expected); i++) {
        cleanup(free_char)
        char *found = address_pool_find_free(&pool, "IPv4", &used);
        assert_string_equal(found, expected[i]);
        map_set(&used, found, &used);
    }
    assert_null(address_pool_find_free(&pool, "IPv4", &used));
    cleanup(free_char)
    char *other = address_pool_find_free(&pool, "IPv6", &used);
    assert_string_equal(other, "2001:db8::1");
    map_free(&used, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_read),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(free_addresses_are_found_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

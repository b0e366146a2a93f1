// SPDX-License-Identifier: Apache-2.0
/* Times and durations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#define SECOND INT64_C(1000000000)

static void times_are_read_with_any_offset_and_decimals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t nanoseconds;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-01-31T12:00:00Z", 1769860800 * SECOND},
        {"2026-01-31T13:00:00+01:00", 1769860800 * SECOND},
        {"2026-01-31T06:30:00-05:30", 1769860800 * SECOND},
        {"2026-01-31T12:00:00.5Z", 1769860800 * SECOND + SECOND / 2},
        {"2026-01-31T12:00:00.123456789123Z", 1769860800 * SECOND + 123456789},
        {"1969-12-31T23:59:59.9Z", -SECOND / 10},
        {"2024-02-29T00:00:00Z", 1709164800 * SECOND},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        int64_t nanoseconds = 1;
        assert_true(timestamp_parse(cases[i].text, &nanoseconds));
        assert_int_equal(nanoseconds, cases[i].nanoseconds);
    }
}

static void what_is_no_time_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "now",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-01-31T12:00:60Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00Zz",
        "2026-01-31T12:00:00+0100",
        "226-01-31T12:00:00Z",
        "9999-01-01T00:00:00Z", /* Nanoseconds do not reach so far. */
    };
    int64_t nanoseconds;
    for (size_t i = 0; i < array_length(texts); i++) {
        if (timestamp_parse(texts[i], &nanoseconds)) {
            fail_msg("%s is taken for a time", texts[i]);
        }
    }
}

static void times_print_in_utc(void **state)
{
    (void)state;
    char text[TIMESTAMP_SIZE];
    timestamp_format(1769860800 * SECOND + 999999999, text);
    assert_string_equal(text, "2026-01-31T12:00:00Z");
    timestamp_format_micro(1769860800 * SECOND + 1234, text);
    assert_string_equal(text, "2026-01-31T12:00:00.000001Z");
    timestamp_format(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59Z");
}

static void canonical_times_reach_from_year_one_to_9999(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool micro;
        const char *canonical; /* NULL: no time. */
    } cases[] = {
        {"2026-01-31T13:00:00.5+01:00", false, "2026-01-31T12:00:00Z"},
        {"2026-01-31T13:00:00.5+01:00", true, "2026-01-31T12:00:00.500000Z"},
        {"9999-12-31T23:59:59Z", false, "9999-12-31T23:59:59Z"},
        {"0099-01-01T00:00:00Z", false, "0099-01-01T00:00:00Z"},
        {"0001-01-01T00:00:00Z", false, ""},
        {"0001-01-01T00:00:00.9Z", false, ""},
        {"0001-01-01T00:00:00.0000009Z", true, ""},
        {"0001-01-01T00:00:00.000001Z", true, "0001-01-01T00:00:00.000001Z"},
        {"0000-12-31T23:59:59Z", false, NULL},
        {"soon", false, NULL},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        char text[TIMESTAMP_SIZE];
        assert_int_equal(timestamp_canonical(cases[i].text, cases[i].micro, text),
                         cases[i].canonical != NULL);
        if (cases[i].canonical != NULL) {
            assert_string_equal(text, cases[i].canonical);
        }
    }
}

static void durations_are_read_and_printed_as_go_does(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t nanoseconds;
        const char *printed;
    } cases[] = {
        {"0", 0, "0s"},
        {"1h30m", 5400 * SECOND, "1h30m0s"},
        {"90s", 90 * SECOND, "1m30s"},
        {"300ms", 300000000, "300ms"},
        {"-1.5h", -5400 * SECOND, "-1h30m0s"},
        {"+5s", 5 * SECOND, "5s"},
        {"1.5s", 3 * SECOND / 2, "1.5s"},
        {"1us", 1000, "1µs"},
        {"1µs", 1000, "1µs"},
        {"1.001ms", 1001000, "1.001ms"},
        {"3ns", 3, "3ns"},
        {".5m", 30 * SECOND, "30s"},
        {"24h", 86400 * SECOND, "24h0m0s"},
        {"2540400h10m10s", 9145440610 * SECOND, "2540400h10m10s"},
        {"9223372036854775807ns", INT64_MAX, "2562047h47m16.854775807s"},
        {"-9223372036854775808ns", INT64_MIN, "-2562047h47m16.854775808s"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        char text[TIMESTAMP_SIZE];
        int64_t nanoseconds = 1;
        assert_true(duration_parse(cases[i].text, &nanoseconds));
        assert_int_equal(nanoseconds, cases[i].nanoseconds);
        duration_format(nanoseconds, text);
        assert_string_equal(text, cases[i].printed);
    }
}

static void what_is_no_duration_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "-", "5", "s", ".s", "1x", "1h 2m", "--1s", "3000000h", "9223372036854775808ns",
    };
    int64_t nanoseconds;
    for (size_t i = 0; i < array_length(texts); i++) {
        assert_false(duration_parse(texts[i], &nanoseconds));
    }
}

static void ages_get_coarser_as_they_grow(void **state)
{
    (void)state;
    const int64_t minute = 60, hour = 60 * minute, day = 24 * hour, year = 365 * day;
    const struct {
        int64_t seconds;
        const char *text;
    } cases[] = {
        {-5, "<invalid>"},
        {0, "0s"},
        {119, "119s"},
        {120, "2m"},
        {200, "3m20s"},
        {10 * minute + 5, "10m"},
        {179 * minute, "179m"},
        {4 * hour + 12 * minute, "4h12m"},
        {7 * hour, "7h"},
        {47 * hour, "47h"},
        {2 * day, "2d"},
        {6 * day + 3 * hour, "6d3h"},
        {8 * day + 5 * hour, "8d"},
        {2 * year + 45 * day, "2y45d"},
        {8 * year + day, "8y"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        char text[TIMESTAMP_SIZE];
        duration_format_human(cases[i].seconds * SECOND, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void clocks_move_forward(void **state)
{
    (void)state;
    int64_t first = timestamp_monotonic();
    assert_true(timestamp_monotonic() >= first);
    assert_true(timestamp_now() > 1700000000 * SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read_with_any_offset_and_decimals),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(times_print_in_utc),
        cmocka_unit_test(canonical_times_reach_from_year_one_to_9999),
        cmocka_unit_test(durations_are_read_and_printed_as_go_does),
        cmocka_unit_test(what_is_no_duration_is_refused),
        cmocka_unit_test(ages_get_coarser_as_they_grow),
        cmocka_unit_test(clocks_move_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* Quantities: parsing, canonical text and comparison. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/quantity.h"
static void check_canonical(const char *text, const char *expected)
{
    char canonical[QUANTITY_SIZE];
    const char *wrong = quantity_canonical(text, canonical);
    if (wrong != NULL) {
        fail_msg("%s: %s", text, wrong);
    }
    if (strcmp(canonical, expected) != 0) {
        fail_msg("%s: %s instead of %s", text, canonical, expected);
    }
}

static void quantities_take_their_canonical_form(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"0", "0"},
        {"0.0", "0"},
        {"00", "0"},
        {"0Ki", "0"},
        {"-0", "0"},
        {"1", "1"},
        {"1.5", "1500m"},
        {"0.1", "100m"},
        {".5", "500m"},
        {"1.", "1."},
        {"1000m", "1"},
        {"1000", "1k"},
        {"1000k", "1M"},
        {"12500k", "12500k"},
        {"1000000", "1M"},
        {"1.5Gi", "1536Mi"},
        {"1024Ki", "1Mi"},
        {"1024", "1024"},
        {"0.5Ki", "512"},
        {"1Ki", "1Ki"},
        {"2048Mi", "2Gi"},
        {"1025Ki", "1025Ki"},
        {"0.5", "500m"},
        {"1e3", "1e3"},
        {"12e6", "12e6"},
        {"1E3", "1E3"},
        {"100e1", "1e3"},
        {"1e-3", "1e-3"},
        {"1e-1", "100e-3"},
        {"1E", "1E"},
        {"-5", "-5"},
        {"-1.5Gi", "-1536Mi"},
        {"+5", "+5"},
        {"1n", "1n"},
        {"1000n", "1u"},
        {"0.001", "1m"},
        {"100.5", "100500m"},
        {"1Ei", "1Ei"},
        {"2000000000", "2G"},
        {"123456789", "123456789"},
        /* Upstream takes these for canonical and leaves them. */
        {"1.234", "1.234"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        check_canonical(cases[i][0], cases[i][1]);
    }
}

static void amounts_below_a_nano_round_up(void **state)
{
    (void)state;
    check_canonical("0.1n", "1n");
    check_canonical("0.0000000001", "1n");
    check_canonical("1.0000000001", "1000000001n");
    check_canonical("-0.1n", "-1n");
    check_canonical("1e-100", "1e-9");
}

static void huge_binary_amounts_are_capped(void **state)
{
    (void)state;
    check_canonical("8Ei", "9223372036854775807");
    check_canonical("100000Ei", "9223372036854775807");
    check_canonical("-8Ei", "-9223372036854775807");
    struct quantity quantity;
    assert_true(quantity_parse("99999999999999999999999999999999999999999999Ei", &quantity));
    assert_int_equal(quantity_value(&quantity), INT64_MAX);
    assert_true(quantity_parse("1e999999999999", &quantity));
    assert_int_equal(quantity_value(&quantity), INT64_MAX);
    assert_true(quantity_parse("-1e30", &quantity));
    assert_int_equal(quantity_value(&quantity), INT64_MIN);
}

static void large_decimal_amounts_are_exact(void **state)
{
    (void)state;
    check_canonical("18446744073709551616", "18446744073709551616");
    check_canonical("9223372036854775807", "9223372036854775807");
    check_canonical("1000E", "1e21");
}

static void what_is_no_quantity_is_refused(void **state)
{
    (void)state;
    static const char *const malformed[] = {"",   "a",   "1.2.3", "1 ",    " 1",
                                            "1Q", "0x1", "1e1.5", "1-2-3", "1Gi5x"};
    static const char *const suffixes[] = {"1ki", "1mm", "1e", "1ee3", "1GiB3", "1i", "1KI", "--1"};
    char canonical[QUANTITY_SIZE];
    struct quantity quantity;
    for (size_t i = 0; i < array_length(malformed); i++) {
        assert_false(quantity_parse(malformed[i], &quantity));
        assert_ptr_equal(quantity_canonical(malformed[i], canonical), quantity_parse_message);
    }
    for (size_t i = 0; i < array_length(suffixes); i++) {
        assert_false(quantity_parse(suffixes[i], &quantity));
        assert_non_null(quantity_canonical(suffixes[i], canonical));
    }
    assert_string_equal(quantity_canonical("1ki", canonical), "unable to parse quantity's suffix");
    assert_string_equal(quantity_parse_message, "quantities must match the regular expression "
                                                "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
}

static void canonical_texts_read_back_as_the_same_amount(void **state)
{
    (void)state;
    static const char *const suffixes[] = {"",  "n",  "u",  "m",  "k",  "M",
                                           "G", "Ki", "Mi", "Gi", "e3", "e-6"};
    uint64_t random = 42;
    for (int i = 0; i < 20000; i++) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        cleanup(free_char)
        char *text = format("%s%u.%u%s", random & 1 ? "-" : "", (unsigned)(random >> 40) % 100000,
                            (unsigned)(random >> 20) % 1000, suffixes[(random >> 60) % 12]);
        struct quantity first, second;
        char canonical[QUANTITY_SIZE], again[QUANTITY_SIZE];
        assert_true(quantity_parse(text, &first));
        quantity_format(&first, canonical);
        assert_true(quantity_parse(canonical, &second));
        assert_int_equal(quantity_compare(&first, &second), 0);
        quantity_format(&second, again);
        assert_string_equal(canonical, again);
    }
}

static void values_round_away_from_zero(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value, milli;
    } cases[] = {
        {"1", 1, 1000},        {"100m", 1, 100}, {"1500m", 2, 1500},
        {"-1500m", -2, -1500}, {"1u", 1, 1},     {"1Gi", 1073741824, 1073741824000},
        {"0", 0, 0},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        struct quantity quantity;
        assert_true(quantity_parse(cases[i].text, &quantity));
        assert_int_equal(quantity_value(&quantity), cases[i].value);
        assert_int_equal(quantity_milli_value(&quantity), cases[i].milli);
    }
}

static void amounts_compare_across_formats(void **state)
{
    (void)state;
    struct quantity a, b;
    assert_true(quantity_parse("1Ki", &a) && quantity_parse("1024", &b));
    assert_int_equal(quantity_compare(&a, &b), 0);
    assert_true(quantity_parse("1k", &b));
    assert_true(quantity_compare(&a, &b) > 0 && quantity_compare(&b, &a) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantities_take_their_canonical_form),
        cmocka_unit_test(amounts_below_a_nano_round_up),
        cmocka_unit_test(huge_binary_amounts_are_capped),
        cmocka_unit_test(large_decimal_amounts_are_exact),
        cmocka_unit_test(what_is_no_quantity_is_refused),
        cmocka_unit_test(canonical_texts_read_back_as_the_same_amount),
        cmocka_unit_test(values_round_away_from_zero),
        cmocka_unit_test(amounts_compare_across_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* Percent-encoding and queries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <string.h>

#include "apiserver/http/uri.h"
#include "common/alloc.h"

static void assert_decodes(const char *text, bool plus_is_space, const char *expected)
{
    cleanup(free_char)
    char *decoded = uri_decode(text, strlen(text), plus_is_space);
    if (expected == NULL) {
        assert_null(decoded);
    } else {
        assert_non_null(decoded);
        assert_string_equal(decoded, expected);
    }
}

static void escapes_are_decoded_once(void **state)
{
    (void)state;
    assert_decodes("", false, "");
    assert_decodes("plain-._~", false, "plain-._~");
    assert_decodes("%41%6a%4A", false, "AjJ");
    assert_decodes("a%2Fb%2fc", false, "a/b/c");
    assert_decodes("%2541", false, "%41");
    assert_decodes("%C3%A9%e2%82%ac%F0%9F%98%80", false, "é€😀");
    assert_decodes("é", false, "é");
}

static void a_plus_is_a_space_in_queries_only(void **state)
{
    (void)state;
    assert_decodes("a+b%2Bc", true, "a b+c");
    assert_decodes("a+b%2Bc", false, "a+b+c");
}

static void malformed_escapes_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"%", "a%", "a%4", "%4g", "%g4", "%%41", "% 41", "%-1"};
    for (size_t i = 0; i < array_length(texts); i++) {
        assert_decodes(texts[i], false, NULL);
    }
}

static void an_escape_that_the_length_cuts_is_refused(void **state)
{
    (void)state;
    assert_null(uri_decode("%41", 2, false));
    assert_null(uri_decode("%41", 1, false));
    cleanup(free_char)
    char *whole = uri_decode("%41%42", 3, false);
    assert_string_equal(whole, "A");
}

static void control_characters_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"%00", "a%00b", "%01", "%0D", "%1f", "%7F", "\x01"};
    for (size_t i = 0; i < array_length(texts); i++) {
        assert_decodes(texts[i], false, NULL);
    }
    assert_decodes("%09%0A", false, "\t\n");
}

static void only_well_formed_utf_8_is_clean(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "\x80",             /* Begins in the middle. */
        "\xc3",             /* Ends in the middle. */
        "\xe2\x82",         /* … of three. */
        "\xf0\x9f\x98",     /* … of four. */
        "\xc3(",            /* No continuation. */
        "\xc0\xaf",         /* A slash in two bytes. */
        "\xe0\x80\xaf",     /* … in three. */
        "\xf0\x80\x80\xaf", /* … in four. */
        "\xed\xa0\x80",     /* Half of a surrogate pair. */
        "\xf4\x90\x80\x80", /* Above the last character. */
        "\xf8\x88\x80\x80\x80",
        "\xff",
        "\xfe",
    };
    for (size_t i = 0; i < array_length(broken); i++) {
        assert_false(uri_is_clean_text(broken[i], strlen(broken[i])));
    }
    static const char *const good[] = {"",
                                       "a",
                                       "\xc2\x80",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    for (size_t i = 0; i < array_length(good); i++) {
        assert_true(uri_is_clean_text(good[i], strlen(good[i])));
    }
    assert_false(uri_is_clean_text("a\0b", 3));
}

/* The parameters as "name=value|name=value"; NULL if the query is refused. */
static void assert_query(const char *query, const char *expected)
{
    struct parameter *parameters;
    size_t count;
    bool valid = uri_parse_query(query, &parameters, &count);
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    for (size_t i = 0; i < count; i++) {
        buffer_addf(&text, "%s%s=%s", i ? "|" : "", parameters[i].name, parameters[i].value);
    }
    uri_free_parameters(parameters, count);
    assert_int_equal(valid, expected != NULL);
    assert_string_equal(buffer_text(&text), expected ? expected : "");
}

static void a_query_is_split_before_it_is_decoded(void **state)
{
    (void)state;
    assert_query("", "");
    assert_query("a=1", "a=1");
    assert_query("a=1&b=2&a=3", "a=1|b=2|a=3");
    assert_query("a", "a=");
    assert_query("a=", "a=");
    assert_query("=1", "=1");
    assert_query("&&a=1&", "a=1");
    assert_query("a=b=c", "a=b=c");
    assert_query("a%26b=c%3Dd+e", "a&b=c=d e");
    assert_query("labelSelector=app%3Dweb%2Ctier+in+%28a%29", "labelSelector=app=web,tier in (a)");
}

static void a_query_with_a_broken_part_is_refused_whole(void **state)
{
    (void)state;
    assert_query("a=%", NULL);
    assert_query("%=a", NULL);
    assert_query("a=1&b=%zz", NULL);
    assert_query("a=%00", NULL);
    assert_query("a=%ff&b=1", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_are_decoded_once),
        cmocka_unit_test(a_plus_is_a_space_in_queries_only),
        cmocka_unit_test(malformed_escapes_are_refused),
        cmocka_unit_test(an_escape_that_the_length_cuts_is_refused),
        cmocka_unit_test(control_characters_are_refused),
        cmocka_unit_test(only_well_formed_utf_8_is_clean),
        cmocka_unit_test(a_query_is_split_before_it_is_decoded),
        cmocka_unit_test(a_query_with_a_broken_part_is_refused_whole),
    };
    return cmocka_run_group_tests_name("uri", tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* Which regular expressions are well-formed, and what is said of others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/regexp.h"

static const char *const right[] = {
    "",
    "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    "a|b|",
    "|",
    "()",
    "(|a)*",
    "(?:a)(?P<name>b)(?<other_1>c)(?i)d(?i-s:e)(?s)",
    "a(?i)*",
    "^*",
    "a*?b+?c??d{2}?e{2,}f{2,3}",
    "a{,2}",
    "a{",
    "a{1",
    "a{01}",
    "{",
    "x{1000}",
    "(x{500}){2}",
    "(x{1000}|y{2})*",
    "x{0}",
    "[]a]",
    "[^]a]",
    "[a-]",
    "[-a]",
    "[a-b-c]",
    "[[:alpha:][:^digit:]]",
    "[[:x]",
    "[\\d\\pL\\p{^Greek}\\]\\x41-\\x{5a}]",
    "\\A\\b\\B\\z\\d\\D\\s\\S\\w\\W\\pN\\PN\\p{Lu}\\p{Any}\\p{Old_Italic}",
    "\\x4f\\x{10ffff}\\012\\0\\a\\f\\n\\r\\t\\v\\.\\-\\/\\_",
    "\\Q*+?{[\\E",
    "\\Qabc",
    "ä[ä-ü]",
};

static const struct {
    const char *text, *message;
} wrong[] = {
    {"(", "missing closing ): `(`"},
    {")", "unexpected ): `)`"},
    {"(a|b", "missing closing ): `(a|b`"},
    {"(a))b", "unexpected ): `(a))b`"},
    {"[a-z", "missing closing ]: `[a-z`"},
    {"([a-z)", "missing closing ]: `[a-z)`"},
    {"[]", "missing closing ]: `[]`"},
    {"[z-a]", "invalid character class range: `z-a`"},
    {"[a-\\x41]", "invalid character class range: `a-\\x41`"},
    {"[[:foo:]]", "invalid character class range: `[:foo:]`"},
    {"\\p{lower}", "invalid character class range: `\\p{lower}`"},
    {"\\pX", "invalid character class range: `\\pX`"},
    {"\\p{L", "invalid character class range: `\\p{L`"},
    {"\\p", "invalid character class range: `\\p`"},
    {"*a", "missing argument to repetition operator: `*`"},
    {"a|+", "missing argument to repetition operator: `+`"},
    {"(?:?)", "missing argument to repetition operator: `?`"},
    {"({2})", "missing argument to repetition operator: `{2}`"},
    {"\\Q\\E*", "missing argument to repetition operator: `*`"},
    {"a**", "invalid nested repetition operator: `**`"},
    {"a*?+", "invalid nested repetition operator: `*?+`"},
    {"a{2}{3}", "invalid nested repetition operator: `{2}{3}`"},
    {"x{1001}", "invalid repeat count: `{1001}`"},
    {"x{9876543210}", "invalid repeat count: `{9876543210}`"},
    {"x{1,9876543210}", "invalid repeat count: `{1,9876543210}`"},
    {"x{2,1}", "invalid repeat count: `{2,1}`"},
    {"(x{501}){2}", "invalid repeat count: `{2}`"},
    {"((((((((((x{2}){2}){2}){2}){2}){2}){2}){2}){2}){2})", "invalid repeat count: `{2}`"},
    {"(?=a)", "invalid or unsupported Perl syntax: `(?=`"},
    {"(?!a)", "invalid or unsupported Perl syntax: `(?!`"},
    {"(?i-)", "invalid or unsupported Perl syntax: `(?i-)`"},
    {"(?<!a)", "invalid named capture: `(?<!a)`"},
    {"(?P<x y>a)", "invalid named capture: `(?P<x y>`"},
    {"(?P<>a)", "invalid named capture: `(?P<>`"},
    {"(?P<name", "invalid named capture: `(?P<name`"},
    {"a\\", "trailing backslash at end of expression: ``"},
    {"\\1", "invalid escape sequence: `\\1`"},
    {"\\8", "invalid escape sequence: `\\8`"},
    {"\\C", "invalid escape sequence: `\\C`"},
    {"\\xg0", "invalid escape sequence: `\\xg`"},
    {"\\x{110000}", "invalid escape sequence: `\\x{110000`"},
    {"\\x{}", "invalid escape sequence: `\\x{}`"},
    {"[\\y]", "invalid escape sequence: `\\y`"},
    {"\\ä", "invalid escape sequence: `\\ä`"},
};

/* Nothing is there behind the text. */
static char *check(const char *text)
{
    size_t length = strlen(text);
    char *exact = allocate(length + (length == 0));
    memcpy(exact, text, length);
    char *message = regexp_check(exact, length);
    free(exact);
    return message;
}

static void what_is_right_is_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_length(right); i++) {
        cleanup(free_char)
        char *message = check(right[i]);
        if (message != NULL) {
            fail_msg("%s: %s", right[i], message);
        }
    }
}

static void what_is_wrong_is_told_as_go_tells_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_length(wrong); i++) {
        cleanup(free_char)
        char *message = check(wrong[i].text);
        cleanup(free_char)
        char *expected = format("error parsing regexp: %s", wrong[i].message);
        if (message == NULL || strcmp(message, expected) != 0) {
            fail_msg("%s: %s", wrong[i].text, message ? message : "accepted");
        }
    }
}

static void groups_nest_only_so_deep(void **state)
{
    (void)state;
    struct buffer text = BUFFER_INIT;
    for (int i = 0; i < 100000; i++) {
        buffer_add_char(&text, '(');
    }
    cleanup(free_char)
    char *message = regexp_check(text.bytes, text.length);
    assert_non_null(strstr(message, "expression nests too deeply"));
    buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right_is_accepted),
        cmocka_unit_test(what_is_wrong_is_told_as_go_tells_it),
        cmocka_unit_test(groups_nest_only_so_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

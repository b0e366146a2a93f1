// SPDX-License-Identifier: Apache-2.0
/* The quick reader makes the trees that jansson makes, and leaves to jansson what it may not judge.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/json_read.h"

static const struct json_read_limits unlimited = {JSON_LEVELS_MAX, SIZE_MAX, false};

/* From memory of its own, so that a sanitizer sees what is read behind the text. */
static json_t *read_limited(const char *text, size_t length, const struct json_read_limits *limits)
{
    char *exact = allocate(length + (length == 0));
    memcpy(exact, text, length);
    json_t *json = json_read(exact, length, limits);
    free(exact);
    return json;
}

static void assert_same(json_t *a, json_t *b, const char *text)
{
    cleanup(free_char)
    char *first = json_dumps(a, JSON_ENCODE_ANY);
    cleanup(free_char)
    char *second = json_dumps(b, JSON_ENCODE_ANY);
    if (!json_equal(a, b) || strcmp(first, second) != 0) {
        fail_msg("%s became %s, not %s", text, first, second);
    }
}

static void texts_become_the_trees_that_jansson_makes(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "null",
        " true",
        "false ",
        "0",
        "-0",
        "-1",
        "7",
        "999999999999999999",
        "-999999999999999999",
        "9223372036854775807",
        "-9223372036854775808",
        "0.5",
        "-1.25e3",
        "1E5",
        "\"\"",
        "\"plain\"",
        "\"exactly \"",
        "\"more than eight bytes\"",
        "\"a quote \\\" and the other escapes \\\\ \\/ \\b \\f \\n \\r \\t\"",
        "\"\\u0041\\u00e4\\u20AC\\ud7ff\\ue000\\uffff\"",
        "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\"",
        "\"\x7f\"",
        "[]",
        "{}",
        " [ ] ",
        "\t{\r\n}",
        "[1,[2,[3]],{}]",
        "{\"b\":1,\"a\":{\"c\":[]},\"\":2}",
        "{\"a\":1,\"b\":2,\"a\":3}",
        "{\"k:{\\\"type\\\":\\\"Ready\\\"}\":{\"k:{\\\"a\\\":1}\":\"\\n\",\"\xc3\xa4\":\"\\t\"}}",
    };
    for (size_t i = 0; i < array_length(texts); i++) {
        cleanup(json_release)
        json_t *read = read_limited(texts[i], strlen(texts[i]), &unlimited);
        cleanup(json_release)
        json_t *expected = json_loads(texts[i], JSON_DECODE_ANY, NULL);
        assert_non_null(expected);
        if (read == NULL) {
            fail_msg("%s is not read", texts[i]);
        }
        assert_same(read, expected, texts[i]);
    }
}

static void what_is_wrong_or_rare_is_left_to_jansson(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "nul",
        "True",
        "truefalse",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "--1",
        "1 2",
        "9223372036854775808",
        "1e999",
        "\"",
        "\"a",
        "\"\n\"",
        "\"\\x\"",
        "\"\\",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u0000\"",
        "\"\\ud83d\\ude00\"",
        "\"\\udc00\"",
        "\"\xff\"",
        "\"\xc3\"",
        "\"\xed\xa0\x80\"",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "]",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{1:1}",
        "{\"\xff\":1}",
        "{\"a\":1}}",
    };
    for (size_t i = 0; i < array_length(texts); i++) {
        cleanup(json_release)
        json_t *read = read_limited(texts[i], strlen(texts[i]), &unlimited);
        if (read != NULL) {
            fail_msg("%s is read", texts[i]);
        }
    }
    assert_null(read_limited("[1\0]", 4, &unlimited));
    assert_null(read_limited("1\0", 2, &unlimited));
}

static void texts_that_go_wrong_anywhere_are_never_read_otherwise(void **state)
{
    (void)state;
    static const char pod[] =
        "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\",\"labels\":{\"app\":\"b\xc3\xa4\"},"
        "\"managedFields\":[{\"fieldsV1\":{\"f:x\":{\"k:{\\\"type\\\":\\\"Ready\\\"}\":{}}}}]},"
        "\"spec\":{\"list\":[1,-20,3.5,true,null,\"long enough to be read by words\"],"
        "\"text\":\"\\u00e4\\n\"}}";
    static const char alphabet[] = "{}[]\",:\\u019-e.tn \x1f\xc3\xa4\x80";
    uint64_t random = 11;
    size_t read_count = 0;
    for (int i = 0; i < 60000; i++) {
        char text[sizeof pod];
        memcpy(text, pod, sizeof pod);
        size_t length = sizeof pod - 1;
        for (int change = 0; change <= i % 3; change++) {
            random = random * 6364136223846793005U + 1442695040888963407U;
            text[(random >> 33) % length] = alphabet[(random >> 20) % (sizeof alphabet - 1)];
        }
        length = i % 5 == 0 ? (random >> 40) % length : length;
        cleanup(json_release)
        json_t *read = read_limited(text, length, &unlimited);
        if (read != NULL) {
            cleanup(json_release)
            json_t *expected = json_loadb(text, length, JSON_DECODE_ANY, NULL);
            assert_non_null(expected);
            assert_same(read, expected, text);
            read_count++;
        }
    }
    assert_true(read_count > 1000);
}

static void limits_are_kept_to_the_last_one(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct json_read_limits limits;
        bool is_read;
    } cases[] = {
        {"[[1]]", {2, 3, true}, true},
        {"[[1]]", {1, 3, true}, false},
        {"[[1]]", {2, 2, true}, false},
        {"[[],[],{}]", {2, 4, true}, true},
        {"[[],[],{}]", {2, 3, true}, false},
        {"{\"a\":1,\"b\":1}", {1, 3, true}, true},
        {"{\"a\":1,\"b\":1}", {1, 2, true}, false},
        {"1", {0, 1, true}, true},
        {"[]", {0, 1, true}, false},
        {"{\"a\":1,\"a\":1}", {1, 3, false}, true},
        {"{\"a\":1,\"a\":1}", {1, 3, true}, false},
        {"{\"a\":1,\"\\u0061\":1}", {1, 3, true}, false},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *read = read_limited(cases[i].text, strlen(cases[i].text), &cases[i].limits);
        if ((read != NULL) != cases[i].is_read) {
            fail_msg("%zu: %s", i, cases[i].text);
        }
    }
}

static void plain_text_ends_at_the_first_character_that_is_not(void **state)
{
    (void)state;
    static const char others[] = "\"\\\x1f\x80\xff\n";
    for (size_t length = 0; length < 40; length++) {
        char text[40];
        memset(text, '~', sizeof text);
        assert_int_equal(json_plain_length(text, length), length);
        for (size_t place = 0; place < length; place++) {
            for (size_t i = 0; i < sizeof others; i++) {
                memset(text, ' ', sizeof text);
                text[place] = others[i];
                assert_int_equal(json_plain_length(text, length), place);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_become_the_trees_that_jansson_makes),
        cmocka_unit_test(what_is_wrong_or_rare_is_left_to_jansson),
        cmocka_unit_test(texts_that_go_wrong_anywhere_are_never_read_otherwise),
        cmocka_unit_test(limits_are_kept_to_the_last_one),
        cmocka_unit_test(plain_text_ends_at_the_first_character_that_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

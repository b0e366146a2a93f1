// SPDX-License-Identifier: Apache-2.0
/* YAML: what plain scalars mean, limits, and texts that read back the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/yaml.h"
static json_t *read_yaml(const char *text)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    json_t *json = yaml_parse(text, strlen(text), NULL, NULL, &error);
    if (json == NULL) {
        fail_msg("%s: %s", text, error.message);
    }
    return json;
}

static void check_json(const char *yaml, const char *json)
{
    cleanup(json_release)
    json_t *tree = read_yaml(yaml);
    cleanup(free_char)
    char *text = json_text(tree);
    if (strcmp(text, json) != 0) {
        fail_msg("%s: %s instead of %s", yaml, text, json);
    }
}

static void plain_scalars_resolve_as_in_kubernetes_tools(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "null"},
        {"~", "null"},
        {"null", "null"},
        {"Null", "null"},
        {"nULL", "\"nULL\""},
        {"true", "true"},
        {"True", "true"},
        {"tRUE", "\"tRUE\""},
        {"yes", "true"},
        {"no", "false"},
        {"On", "true"},
        {"OFF", "false"},
        {"y", "true"},
        {"N", "false"},
        {"1", "1"},
        {"-1", "-1"},
        {"+1", "1"},
        {"1_000", "1000"},
        {"0x1F", "31"},
        {"0XfF", "255"},
        {"-0x10", "-16"},
        {"0o14", "12"},
        {"014", "12"},
        {"0b101", "5"},
        {"-0b101", "-5"},
        {"08", "8"},
        {"0x", "\"0x\""},
        {"0xg", "\"0xg\""},
        {"-", "[null]"},
        {"1.5", "1.5"},
        {"1.0", "1"},
        {"1e3", "1000"},
        {"1.5e-3", "0.0015"},
        {".5", "0.5"},
        {"5.", "5"},
        {".", "\".\""},
        {"1e", "\"1e\""},
        {"e3", "\"e3\""},
        {"1.2.3", "\"1.2.3\""},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"9223372036854775808", "9223372036854775808"},
        {"2026-01-31", "\"2026-01-31\""},
        {"2026-01-31T12:00:00Z", "\"2026-01-31T12:00:00Z\""},
        {"1:30", "\"1:30\""},
        {"a b", "\"a b\""},
        {"'1'", "\"1\""},
        {"\"yes\"", "\"yes\""},
        {"!!str 1", "\"1\""},
        {"!!int \"5\"", "5"},
        {"!!binary aGk=", "\"hi\""},
        {"!custom 1", "\"1\""},
        {"|\n  a\n  b\n", "\"a\\nb\\n\""},
        {">-\n  a\n  b\n", "\"a b\""},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        check_json(cases[i][0], cases[i][1]);
    }
}

static void keys_become_strings(void **state)
{
    (void)state;
    check_json(
        "1: a\n0x10: b\ntrue: c\nno: d\n1.5: e\n'2': f\n",
        "{\"1\":\"a\",\"16\":\"b\",\"true\":\"c\",\"false\":\"d\",\"1.5\":\"e\",\"2\":\"f\"}");
}

static void anchors_aliases_and_merge_keys_are_resolved(void **state)
{
    (void)state;
    check_json("a: &x {b: 1, c: 2}\nd: *x\n", "{\"a\":{\"b\":1,\"c\":2},\"d\":{\"b\":1,\"c\":2}}");
    check_json("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}\n",
               "{\"a\":{\"b\":1,\"c\":2},\"d\":{\"b\":3,\"c\":2}}");
    check_json("a: &x {b: 1}\ne: &y {b: 2, c: 2}\nd: {<<: [*x, *y]}\n",
               "{\"a\":{\"b\":1},\"e\":{\"b\":2,\"c\":2},\"d\":{\"b\":1,\"c\":2}}");
    check_json("a: &x 1\nb: [*x, *x]\n", "{\"a\":1,\"b\":[1,1]}");
    check_json("'<<': 1\n", "{\"<<\":1}");
}

static void an_alias_is_no_part_of_what_it_names(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *tree = read_yaml("a: &x {b: 1}\nd: *x\n");
    json_object_set_new(json_object_get(tree, "a"), "b", json_integer(2));
    assert_int_equal(json_get_int(json_object_get(tree, "d"), "b", 0), 1);
}

static void count_duplicates(void *argument, const char *message)
{
    assert_string_equal(message, "line 3: key \"a\" already set in map");
    ++*(int *)argument;
}

static void of_duplicate_keys_the_last_counts(void **state)
{
    (void)state;
    static const char text[] = "a: 1\nb: 2\na: 3\n";
    int count = 0;
    cleanup(json_release)
    json_t *tree = yaml_parse(text, strlen(text), count_duplicates, &count, NULL);
    assert_int_equal(json_get_int(tree, "a", 0), 3);
    assert_int_equal(count, 1);
}

static void malformed_texts_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "a: b: c",      "a: [1",       "{a: 1",    "*x",          "a: *x",
        "\ta: 1",       "a: 1\n b: 2", "&x [*x]",  "'a",          "%YAML 9.9\n---\na",
        "? [a]\n: b\n", "~: a",        "a: .inf",  "a: .NaN",     "a: {<<: 1}",
        "!!binary a",   "a: !!int x",  "!!null x", "a: \xff\xfe", "@a",
    };
    for (size_t i = 0; i < array_length(texts); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        json_t *tree = yaml_parse(texts[i], strlen(texts[i]), NULL, NULL, &error);
        if (tree != NULL) {
            fail_msg("%s is accepted", texts[i]);
        }
        assert_int_equal(error.code, 400);
        assert_non_null(strstr(error.message, "yaml: "));
    }
}

static void errors_name_the_line(void **state)
{
    (void)state;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    static const char text[] = "a: 1\nb: *x\n";
    assert_null(yaml_parse(text, strlen(text), NULL, NULL, &error));
    assert_non_null(strstr(error.message, "line 2"));
}

static bool parses(const struct buffer *text)
{
    json_t *tree = yaml_parse(text->bytes, text->length, NULL, NULL, NULL);
    json_decref(tree);
    return tree != NULL;
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    cleanup(buffer_free)
    struct buffer deep = BUFFER_INIT, fine = BUFFER_INIT;
    for (int i = 0; i < 100000; i++) {
        buffer_add_char(&deep, '[');
    }
    assert_false(parses(&deep));
    for (int i = 0; i < 90; i++) {
        buffer_add_literal(&fine, "[");
    }
    for (int i = 0; i < 90; i++) {
        buffer_add_literal(&fine, "]");
    }
    assert_true(parses(&fine));
}

static void aliases_do_not_explode(void **state)
{
    (void)state;
    cleanup(buffer_free)
    struct buffer bomb = BUFFER_INIT;
    buffer_add_literal(&bomb, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 20; i++) {
        buffer_addf(&bomb, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1,
                    i - 1, i - 1, i - 1, i - 1);
    }
    assert_false(parses(&bomb));
}

static void aliases_do_not_nest_beyond_the_limit(void **state)
{
    (void)state;
    cleanup(buffer_free)
    struct buffer chain = BUFFER_INIT;
    buffer_add_literal(&chain, "a0: &a0 [x]\n");
    for (int i = 1; i < 300; i++) {
        buffer_addf(&chain, "a%d: &a%d [*a%d]\n", i, i, i - 1);
    }
    assert_false(parses(&chain));
}

struct documents {
    size_t count;
    size_t lines[4];
    char *texts[4];
};

static bool take_document(void *argument, json_t *tree, size_t line)
{
    struct documents *documents = argument;
    documents->lines[documents->count] = line;
    documents->texts[documents->count++] = json_text(tree);
    json_decref(tree);
    return documents->count < 4;
}

static void a_stream_gives_its_documents_one_by_one(void **state)
{
    (void)state;
    static const char text[] = "a: 1\n---\n---\nb: 2\n...\n# end\n";
    struct documents documents = {0};
    assert_true(yaml_parse_stream(text, strlen(text), take_document, &documents, NULL));
    assert_int_equal(documents.count, 3);
    assert_string_equal(documents.texts[0], "{\"a\":1}");
    assert_string_equal(documents.texts[1], "null");
    assert_string_equal(documents.texts[2], "{\"b\":2}");
    assert_int_equal(documents.lines[0], 1);
    assert_int_equal(documents.lines[2], 3);
    for (size_t i = 0; i < documents.count; i++) {
        free(documents.texts[i]);
    }
}

static void trees_print_in_block_style_with_sorted_keys(void **state)
{
    (void)state;
    static const char json[] =
        "{\"b\":[1,{\"y z\":null,\"x\":[[2]]},[]],\"a\":{\"c\":{},\"d\":\"text\"},\"e\":true,"
        "\"f\":0.1,\"g\":\"two\\nlines\\n\",\"h\":\"\",\"i\":\"5\",\"j\":\"yes\"}";
    cleanup(json_release)
    json_t *tree = json_parse(json, strlen(json), NULL);
    cleanup(buffer_free)
    struct buffer out = BUFFER_INIT;
    yaml_encode(tree, &out);
    assert_string_equal(out.bytes, "a:\n"
                                   "  c: {}\n"
                                   "  d: text\n"
                                   "b:\n"
                                   "- 1\n"
                                   "- x:\n"
                                   "  - - 2\n"
                                   "  y z: null\n"
                                   "- []\n"
                                   "e: true\n"
                                   "f: 0.1\n"
                                   "g: |\n"
                                   "  two\n"
                                   "  lines\n"
                                   "h: \"\"\n"
                                   "i: \"5\"\n"
                                   "j: \"yes\"\n");
}

static void check_round_trip(json_t *tree)
{
    cleanup(buffer_free)
    struct buffer out = BUFFER_INIT;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    yaml_encode(tree, &out);
    cleanup(json_release)
    json_t *again = yaml_parse(out.bytes, out.length, NULL, NULL, &error);
    if (again == NULL) {
        fail_msg("%s: %s", out.bytes, error.message);
    }
    if (!json_equal(tree, again)) {
        cleanup(free_char)
        char *before = json_text(tree), *after = json_text(again);
        fail_msg("%s\n%s\n%s", before, out.bytes, after);
    }
}

static void check_string(const char *text, size_t length)
{
    cleanup(json_release)
    json_t *tree = json_object();
    json_t *string = json_stringn(text, length);
    json_t *inside = json_array();
    json_array_append(inside, string);
    json_object_set(tree, "k", string);
    json_object_set_new(tree, "l", inside);
    if (strlen(text) == length) {
        json_object_set(tree, text, string);
    }
    check_round_trip(tree);
    check_round_trip(string);
    json_decref(string);
}

static void awkward_strings_read_back_the_same(void **state)
{
    (void)state;
    static const char *const strings[] = {
        "",
        " ",
        " a",
        "a ",
        "yes",
        "NO",
        "on",
        "null",
        "~",
        "true",
        "y",
        "1",
        "1e3",
        "0x1",
        "0o7",
        "1_0",
        "-1",
        "+1",
        ".5",
        ".inf",
        "-.inf",
        ".nan",
        "2026-01-31",
        "a: b",
        "a:",
        ":",
        "a #b",
        "#a",
        "a#b",
        "- a",
        "-",
        "---",
        "...",
        "? a",
        "?",
        "!a",
        "&a",
        "*a",
        "|",
        ">",
        "%a",
        "@a",
        "`a",
        "'a'",
        "\"a\"",
        "a'b",
        "{a}",
        "[a]",
        "a,b",
        "<<",
        "=",
        "a\nb",
        "a\n",
        "a\n\n",
        "\na",
        "\n",
        "\n\n",
        " a\nb",
        "a\n b",
        "a\n\nb\n",
        "\ta",
        "a\tb",
        "\ta\nb",
        "a\n\tb\n",
        "a\\b",
        "\x01",
        "a\x7f",
        "\xc2\x85",
        "a\xe2\x80\xa8z",
        "\xef\xbb\xbfz",
        "\xef\xbf\xbe",
        "\xc3\xa4",
        "\xf0\x9f\x98\x80",
        "a\r\nb",
        "a\r",
        "a\n ",
        "a\n \n",
        "a\n\n  b",
        "a: b\nc",
        "key: |\n  x\n",
        "a \nb",
    };
    for (size_t i = 0; i < array_length(strings); i++) {
        check_string(strings[i], strlen(strings[i]));
    }
    check_string("a\0b", 3);
}

static void random_strings_read_back_the_same(void **state)
{
    (void)state;
    static const char letters[] = "ab01 :#-\n\t'\"\\{}[],&*!|>%@?.~=<y\r";
    uint64_t random = 1;
    for (int i = 0; i < 20000; i++) {
        char text[8];
        size_t length = 0;
        random = random * 6364136223846793005U + 1442695040888963407U;
        for (uint64_t bits = random >> 20; length < (random >> 61) && length < 7; bits /= 35) {
            text[length++] = letters[bits % (sizeof letters - 1)];
        }
        text[length] = '\0';
        check_string(text, length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_scalars_resolve_as_in_kubernetes_tools),
        cmocka_unit_test(keys_become_strings),
        cmocka_unit_test(anchors_aliases_and_merge_keys_are_resolved),
        cmocka_unit_test(an_alias_is_no_part_of_what_it_names),
        cmocka_unit_test(of_duplicate_keys_the_last_counts),
        cmocka_unit_test(malformed_texts_are_refused),
        cmocka_unit_test(errors_name_the_line),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(aliases_do_not_explode),
        cmocka_unit_test(aliases_do_not_nest_beyond_the_limit),
        cmocka_unit_test(a_stream_gives_its_documents_one_by_one),
        cmocka_unit_test(trees_print_in_block_style_with_sorted_keys),
        cmocka_unit_test(awkward_strings_read_back_the_same),
        cmocka_unit_test(random_strings_read_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

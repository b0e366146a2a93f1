// SPDX-License-Identifier: Apache-2.0
/* JSON: parsing, the encoder, access to trees and scanning of text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <pthread.h>

#include "common/alloc.h"
#include "common/json.h"
static json_t *parse(const char *text)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    json_t *json = json_parse(text, strlen(text), &error);
    if (json == NULL) {
        fail_msg("%s: %s", text, error.message);
    }
    return json;
}

static void texts_encode_in_their_shortest_form(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {" { \"a\" : [ 1 , true , false , null ] } ", "{\"a\":[1,true,false,null]}"},
        {"{}", "{}"},
        {"[]", "[]"},
        {"\"\"", "\"\""},
        {"0.1", "0.1"},
        {"-0.5", "-0.5"},
        {"1.0", "1"},
        {"100.25", "100.25"},
        {"123456789.125", "123456789.125"},
        {"1e20", "100000000000000000000"},
        {"1e21", "1e+21"},
        {"0.000001", "0.000001"},
        {"3.141592653589793", "3.141592653589793"},
        {"5e-324", "5e-324"},
        {"1.7976931348623157e308", "1.7976931348623157e+308"},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"\"a\\/b\\u0041\\n\\t\\\"\\\\\"", "\"a/bA\\n\\t\\\"\\\\\""},
        {"\"\\u0000\\u001f\\u007f\"", "\"\\u0000\\u001f\x7f\""},
        {"\"\\u00e4\\ud83d\\ude00\"", "\"\xc3\xa4\xf0\x9f\x98\x80\""},
        {"{\"b\":1,\"a\":2}", "{\"b\":1,\"a\":2}"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *json = parse(cases[i][0]);
        cleanup(free_char)
        char *text = json_text(json);
        assert_string_equal(text, cases[i][1]);
    }
}

static void reals_read_back_the_same(void **state)
{
    (void)state;
    uint64_t random = 7;
    for (int i = 0; i < 20000; i++) {
        double real, again;
        random = random * 6364136223846793005U + 1442695040888963407U;
        memcpy(&real, &random, sizeof real);
        if (i % 2 == 0) {
            real = (double)(int64_t)(random >> 32) / 1000;
        }
        json_t *json = json_real(real);
        if (json == NULL) {
            continue; /* Not a number. */
        }
        cleanup(free_char)
        char *text = json_text(json);
        json_decref(json);
        cleanup(json_release)
        json_t *read = parse(text);
        again = json_number_value(read);
        assert_true(real == again);
    }
}

static void malformed_texts_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",         " ",       "{",   "{\"a\"}",  "{\"a\":}",     "{a:1}",
        "[1,]",     "{,}",     "1 2", "nul",      "01",           "+1",
        "1.",       ".5",      "'a'", "\"a",      "\"\\x\"",      "\"\\ud800\"",
        "\"a\nb\"", "// a\n1", "NaN", "\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"",
    };
    for (size_t i = 0; i < array_length(texts); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        json_t *json = json_parse(texts[i], strlen(texts[i]), &error);
        if (json != NULL) {
            fail_msg("%s is accepted", texts[i]);
        }
        assert_int_equal(error.code, 400);
    }
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    cleanup(buffer_free)
    struct buffer deep = BUFFER_INIT;
    for (int i = 0; i < 100000; i++) {
        buffer_add_char(&deep, '[');
    }
    assert_null(json_parse(deep.bytes, deep.length, NULL));
}

static void of_duplicate_members_the_last_counts(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *json = parse("{\"a\":1,\"b\":2,\"a\":3}");
    assert_int_equal(json_get_int(json, "a", 0), 3);
}

static void an_integer_out_of_range_becomes_real_and_leaves_others_alone(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *json = parse("[1, 9223372036854775808, -2, 1.5]");
    assert_true(json_is_integer(json_array_get(json, 0)));
    assert_true(json_is_real(json_array_get(json, 1)));
    assert_true(json_is_integer(json_array_get(json, 2)));
    assert_true(json_is_real(json_array_get(json, 3)));
}

static void collect(void *argument, const char *path)
{
    struct buffer *paths = argument;
    buffer_addf(paths, "%s%s", paths->length ? " " : "", path);
}

static void duplicates_are_told_with_their_paths(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":{\"b\":1, \"b\" : [ {\"c\":1,\"c\":{}} , 5, \"x\" ]},"
                               "\"d\":\"a\\\"b\",\"e\":[[],{}],\"a\":2,\"f\":{\"b\":1}}";
    cleanup(buffer_free)
    struct buffer paths = BUFFER_INIT;
    json_duplicates(text, strlen(text), collect, &paths);
    assert_string_equal(buffer_text(&paths), "a.b a.b[0].c a");
}

static void two_spellings_of_a_key_are_duplicates(void **state)
{
    (void)state;
    static const char text[] = "{\"ab\":1,\"\\u0061b\":{\"\\n\":1,\"\\u000a\":2,\"\\u0000\":3},"
                               "\"\\\\u0061b\":1}";
    cleanup(buffer_free)
    struct buffer paths = BUFFER_INIT;
    json_duplicates(text, strlen(text), collect, &paths);
    assert_string_equal(buffer_text(&paths), "ab ab.\n");
}

static void objects_without_duplicates_are_told_nothing_about(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":\"a\",\"b\":{\"a\":1},\"c\":[{\"a\":1},{\"a\":1}]}";
    cleanup(buffer_free)
    struct buffer paths = BUFFER_INIT;
    json_duplicates(text, strlen(text), collect, &paths);
    assert_string_equal(buffer_text(&paths), "");
}

static void bodies_say_whether_keys_stand_twice(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool has_duplicates;
    } cases[] = {
        {"{\"a\":\"a\",\"b\":{\"a\":1},\"c\":[{\"a\":1},{\"a\":1}]}", false},
        {"{\"b\":{\"a\":1,\"a\":2}}", true},
        {"[{\"ab\":1,\"\\u0061b\":2}]", true},
        {"{\"a\":1,\"a\":99999999999999999999}", true}, /* And a number that becomes a real. */
        {"{\"a\":99999999999999999999,\"a\":1}", true},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        bool has_duplicates = !cases[i].has_duplicates;
        cleanup(json_release)
        json_t *json =
            json_parse_body(cases[i].text, strlen(cases[i].text), &has_duplicates, &error);
        assert_non_null(json);
        assert_int_equal(has_duplicates, cases[i].has_duplicates);
    }
    static const char wrong[] = "{\"a\":1,\"a\":2,}";
    bool has_duplicates;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_null(json_parse_body(wrong, strlen(wrong), &has_duplicates, &error));
    assert_int_equal(error.code, 400);
}

static void members_are_reached_by_their_names(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *json = parse("{\"a\":{\"b\":\"c\",\"n\":5,\"t\":true,\"l\":[\"x\",1]}}");
    assert_string_equal(json_path_string(json, "a", "b"), "c");
    assert_null(json_path(json, "a", "x", "y"));
    assert_null(json_path(json, "a", "b", "c"));
    assert_null(json_path(NULL, "a"));
    const json_t *a = json_object_get(json, "a");
    assert_null(json_get_string(a, "n"));
    assert_int_equal(json_get_int(a, "n", 1), 5);
    assert_int_equal(json_get_int(a, "b", 1), 1);
    assert_true(json_get_bool(a, "t", false));
    assert_true(json_get_bool(a, "x", true));
    assert_true(json_array_has_string(json_object_get(a, "l"), "x"));
    assert_false(json_array_has_string(json_object_get(a, "l"), "1"));
}

static void a_missing_object_is_added(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *json = parse("{\"a\":null,\"b\":{\"c\":1}}");
    assert_true(json_is_object(json_get_or_add_object(json, "a")));
    assert_int_equal(json_object_size(json_get_or_add_object(json, "b")), 1);
    assert_true(json_is_object(json_get_or_add_object(json, "d")));
}

static bool span_is(struct json_span span, const char *text)
{
    return span.text != NULL && span.length == strlen(text) &&
           memcmp(span.text, text, span.length) == 0;
}

static void values_are_found_in_text(void **state)
{
    (void)state;
    static const char text[] =
        "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\\\"}\",\"labels\":{\"a\":\"b\"},\"x\":{}},"
        " \"spec\" : { \"nodeName\" : \"n\" , \"l\":[1,{\"nodeName\":2}],\"num\": 12 },\"s\":true}";
    static const char *const paths[] = {
        "metadata", "metadata.labels", "metadata.name", "spec.nodeName", "spec.num",
        "s",        "metadata.none",   "spec.l",        "kin",           "kind.x",
    };
    struct json_span spans[array_length(paths)];
    json_scan(text, strlen(text), paths, array_length(paths), spans);
    assert_true(span_is(spans[0], "{\"name\":\"a\\\"}\",\"labels\":{\"a\":\"b\"},\"x\":{}}"));
    assert_true(span_is(spans[1], "{\"a\":\"b\"}"));
    assert_true(span_is(spans[2], "\"a\\\"}\""));
    assert_true(span_is(spans[3], "\"n\""));
    assert_true(span_is(spans[4], "12"));
    assert_true(span_is(spans[5], "true"));
    assert_null(spans[6].text);
    assert_true(span_is(spans[7], "[1,{\"nodeName\":2}]"));
    assert_null(spans[8].text);
    assert_null(spans[9].text);
}

/* Finds what json_scan() finds, whatever the paths are, and wherever in the text they end. */
static void scanning_may_stop_when_all_is_met(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":{\"x\":{\"b\":1,\"q\":{\"r\":[{}]}},\"b\":{\"c\":2,\"y\":3}},\"d\":[3],\"ab\":4,"
        "\"e\":{\"f\":{}},\"g\":5}";
    static const char *const all[] = {"a",      "a.b", "a.b.c", "a.b.z", "a.x.b", "a.x.q.r",
                                      "a.none", "d",   "d.e",   "e.f.g", "g",     "none"};
    for (size_t set = 0; set < (size_t)1 << array_length(all); set++) {
        const char *paths[array_length(all)];
        struct json_span expected[array_length(all)], spans[array_length(all)];
        size_t count = 0;
        for (size_t i = 0; i < array_length(all); i++) {
            if ((set >> i & 1) != 0) {
                paths[count++] = all[i];
            }
        }
        json_scan(text, strlen(text), paths, count, expected);
        json_scan_until_met(text, strlen(text), paths, count, spans);
        for (size_t i = 0; i < count; i++) {
            assert_ptr_equal(spans[i].text, expected[i].text);
            assert_int_equal(spans[i].length, expected[i].length);
        }
    }
    static const char cut[] = "{\"a\":{\"b\":1,\"c\":2},\"d\":{\"b\":3";
    struct json_span span;
    json_scan_until_met(cut, strlen(cut), (const char *[]){"a.c"}, 1, &span);
    assert_memory_equal(span.text, "2},\"d\"", 6);
}

static void scanning_stays_inside_the_text(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":{\"b\":\"c\\\\\"},\"d\":[1,2,{\"e\":\"f\"}]}";
    static const char *const paths[] = {"a.b", "d", "x.y"};
    struct json_span spans[array_length(paths)];
    for (size_t length = 0; length <= strlen(text); length++) {
        cleanup(free_char)
        char *part = allocate(length + 1);
        char *exact = reallocate(duplicate_bytes(text, length), length ? length : 1);
        memcpy(part, exact, length);
        json_scan(exact, length, paths, array_length(paths), spans);
        free(exact);
    }
    assert_true(true);
}

static void keys_with_dots_or_nuls_are_no_path(void **state)
{
    (void)state;
    static const char text[] = "{\"a.b\":1,\"a\0\0\0\0\":2,\"a\":{\"b.c\":3,\"c\":4}}";
    static const char *const paths[] = {"a.b", "a.c", "a.b.c"};
    struct json_span spans[array_length(paths)];
    json_scan(text, sizeof text - 1, paths, array_length(paths), spans);
    assert_null(spans[0].text);
    assert_memory_equal(spans[1].text, "4", 1);
    assert_null(spans[2].text);
}

static bool take_members(void *argument, struct json_span key, struct json_span value)
{
    struct buffer *out = argument;
    buffer_add(out, key.text, key.length);
    buffer_add_char(out, '=');
    buffer_add(out, value.text, value.length);
    buffer_add_char(out, ';');
    return key.text[0] != 'z';
}

/* At every length up to some of what is looked at together. */
static void brackets_and_quotes_in_strings_are_no_ends(void **state)
{
    static const char *const paths[] = {"a", "aa.b", "aa.bb"};
    static const char filling[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    (void)state;
    for (int before = 0; before < 40; before++) {
        struct json_span spans[array_length(paths)];
        cleanup(free_char)
        char *text =
            format("{\"a\":[{\"%.*s\\\"]}\":\"%.*s\\\\\"},\"[\"],\"aa\":{\"bbb\":1,\"bb\":2}}",
                   before, filling, 40 - before, filling);
        json_scan(text, strlen(text), paths, array_length(paths), spans);
        assert_ptr_equal(spans[0].text, strchr(text, '['));
        assert_ptr_equal(spans[0].text + spans[0].length, strstr(text, ",\"aa\""));
        assert_null(spans[1].text);
        assert_ptr_equal(spans[2].text, strchr(text, '2'));
        assert_int_equal(spans[2].length, 1);
    }
}

static void scanning_goes_on_behind_an_object_that_it_looked_into(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\" : { \"x\":{\"b\":1} , \"b\" : {\"c\":2 } } , \"d\":[3],\"ab\":4, "
        "\"e\":{\"f\":{}},\"g\":5}";
    static const char *const paths[] = {"a.b", "a.b.c", "d.e", "d", "a.x.b", "e.f.g", "g"};
    static const char *const values[] = {"{\"c\":2 }", "2", NULL, "[3]", "1", NULL, "5"};
    struct json_span spans[array_length(paths)];
    json_scan(text, strlen(text), paths, array_length(paths), spans);
    for (size_t i = 0; i < array_length(paths); i++) {
        if (values[i] == NULL) {
            assert_null(spans[i].text);
            continue;
        }
        assert_int_equal(spans[i].length, strlen(values[i]));
        assert_memory_equal(spans[i].text, values[i], spans[i].length);
    }
}

static void members_are_scanned_in_order_until_told_to_stop(void **state)
{
    (void)state;
    static const char text[] = "{ \"a\" : 1 ,\"b\":[\"]\"],\"z\":{\"y\":1}, \"c\":2}";
    cleanup(buffer_free)
    struct buffer out = BUFFER_INIT;
    json_scan_members((struct json_span){text, strlen(text)}, take_members, &out);
    assert_string_equal(buffer_text(&out), "a=1;b=[\"]\"];z={\"y\":1};");
    json_scan_members((struct json_span){0}, take_members, &out);
    json_scan_members((struct json_span){"5", 1}, take_members, &out);
}

static void span_values_lose_their_quotes_and_escapes(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"\"a\"", "a"},
                                           {"\"a\\n\\u00e4\"", "a\n\xc3\xa4"},
                                           {"12", "12"},
                                           {"\"\"", ""},
                                           {"true", "true"}};
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(free_char)
        char *value = json_span_value((struct json_span){cases[i][0], strlen(cases[i][0])});
        assert_string_equal(value, cases[i][1]);
    }
    assert_null(json_span_value((struct json_span){0}));
}

static void what_was_taken_in_reads_again_as_it_is_encoded(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"a\":[1,\"b\",0.5]}",         "{\"a\":\"b\\u0000c\"}", "{\"a\":1e20}",
        "{\"a\":-98765432109876543210}", "\"\\ud83d\\ude00\"",
    };
    for (size_t i = 0; i < array_length(texts); i++) {
        cleanup(json_release)
        json_t *taken = parse(texts[i]);
        cleanup(free_char)
        char *text = json_text(taken);
        cleanup(json_release)
        json_t *known = json_parse_known(text, strlen(text));
        assert_true(json_equal(taken, known));
    }
}

static void *refer_often(void *argument)
{
    json_t *part = json_object_get(argument, "list");
    for (int i = 0; i < 1000; i++) {
        cleanup(json_release)
        json_t *object = json_object();
        json_object_set(object, "whole", argument);
        json_object_set(object, "part", part);
    }
    return NULL;
}

/* What ThreadSanitizer tells more of. */
static void threads_may_share_a_tree_that_is_kept_forever(void **state)
{
    (void)state;
    static json_t *shared; /* Where the checker of leaks finds it. */
    pthread_t thread;
    shared = parse("{\"list\": [1, \"text\"]}");
    json_keep_forever(shared);
    pthread_create(&thread, NULL, refer_often, shared);
    refer_often(shared);
    pthread_join(thread, NULL);
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    json_encode(shared, &text);
    assert_string_equal(buffer_text(&text), "{\"list\":[1,\"text\"]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_taken_in_reads_again_as_it_is_encoded),
        cmocka_unit_test(texts_encode_in_their_shortest_form),
        cmocka_unit_test(reals_read_back_the_same),
        cmocka_unit_test(malformed_texts_are_refused),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(of_duplicate_members_the_last_counts),
        cmocka_unit_test(an_integer_out_of_range_becomes_real_and_leaves_others_alone),
        cmocka_unit_test(duplicates_are_told_with_their_paths),
        cmocka_unit_test(two_spellings_of_a_key_are_duplicates),
        cmocka_unit_test(objects_without_duplicates_are_told_nothing_about),
        cmocka_unit_test(bodies_say_whether_keys_stand_twice),
        cmocka_unit_test(members_are_reached_by_their_names),
        cmocka_unit_test(a_missing_object_is_added),
        cmocka_unit_test(values_are_found_in_text),
        cmocka_unit_test(scanning_may_stop_when_all_is_met),
        cmocka_unit_test(scanning_stays_inside_the_text),
        cmocka_unit_test(keys_with_dots_or_nuls_are_no_path),
        cmocka_unit_test(brackets_and_quotes_in_strings_are_no_ends),
        cmocka_unit_test(scanning_goes_on_behind_an_object_that_it_looked_into),
        cmocka_unit_test(members_are_scanned_in_order_until_told_to_stop),
        cmocka_unit_test(threads_may_share_a_tree_that_is_kept_forever),
        cmocka_unit_test(span_values_lose_their_quotes_and_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

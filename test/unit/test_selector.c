// SPDX-License-Identifier: Apache-2.0
/* Label and field selectors: parsing and matching. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/error.h"
#include "common/json.h"
#include "common/selector.h"
static json_t *parse(const char *text)
{
    json_t *json = json_parse(text, strlen(text), NULL);
    assert_non_null(json);
    return json;
}

static void selector_release(struct selector **selector)
{
    selector_free(*selector);
}

struct match_case {
    const char *selector;
    const char *labels;
    bool matches;
};

static void check_matches(struct selector *(*parser)(const char *, struct error *),
                          const struct match_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        cleanup(selector_release)
        struct selector *selector = parser(cases[i].selector, &error);
        cleanup(json_release)
        json_t *labels = parse(cases[i].labels);
        if (selector == NULL) {
            fail_msg("%s: %s", cases[i].selector, error.message);
        }
        if (selector_matches_object(selector, labels) != cases[i].matches) {
            fail_msg("%s on %s", cases[i].selector, cases[i].labels);
        }
    }
}

static void label_selectors_match_as_upstream_does(void **state)
{
    (void)state;
    static const struct match_case cases[] = {
        {"", "{}", true},
        {"  ", "{\"a\":\"b\"}", true},
        {"a=b", "{\"a\":\"b\"}", true},
        {"a==b", "{\"a\":\"b\"}", true},
        {" a = b , c ", "{\"a\":\"b\",\"c\":\"\"}", true},
        {"a=b", "{\"a\":\"c\"}", false},
        {"a=b", "{}", false},
        {"a=", "{\"a\":\"\"}", true},
        {"a=", "{}", false},
        {"a!=b", "{}", true},
        {"a!=b", "{\"a\":\"b\"}", false},
        {"a", "{\"a\":\"\"}", true},
        {"a", "{}", false},
        {"!a", "{}", true},
        {"! a", "{\"a\":\"x\"}", false},
        {"a in (b,c)", "{\"a\":\"c\"}", true},
        {"a in(b,c)", "{\"a\":\"d\"}", false},
        {"a in (b)", "{}", false},
        {"a in ()", "{\"a\":\"\"}", true},
        {"a in (,b)", "{\"a\":\"\"}", true},
        {"a in (b,,c)", "{\"a\":\"\"}", true},
        {"a in (b,)", "{\"a\":\"\"}", true},
        {"a in (in,notin)", "{\"a\":\"notin\"}", true},
        {"a notin (b)", "{}", true},
        {"a notin (b)", "{\"a\":\"b\"}", false},
        {"a notin (b)", "{\"a\":\"c\"}", true},
        {"in in (in)", "{\"in\":\"in\"}", true},
        {"notin=in", "{\"notin\":\"in\"}", true},
        {"a>5", "{\"a\":\"6\"}", true},
        {"a>5", "{\"a\":\"5\"}", false},
        {"a>5", "{\"a\":\"x\"}", false},
        {"a>5", "{}", false},
        {"a<5", "{\"a\":\"-7\"}", true},
        {"x.io/a=b,c in (d,e),!f", "{\"x.io/a\":\"b\",\"c\":\"e\"}", true},
        {"x.io/a=b,c in (d,e),!f", "{\"x.io/a\":\"b\",\"c\":\"e\",\"f\":\"\"}", false},
        {"a=b,a!=c", "{\"a\":\"b\"}", true},
    };
    check_matches(selector_parse_labels, cases, array_length(cases));
}

static void malformed_label_selectors_are_refused_in_upstreams_words(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"a=b,", "found '', expected: identifier after ','"},
        {",a", "found ',', expected: !, identifier, or 'end of string'"},
        {"=b", "found '=', expected: !, identifier, or 'end of string'"},
        {"!", "unable to parse requirement: found '', expected: identifier"},
        {"a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"},
        {"a in b", "unable to parse requirement: found 'b' expected: '('"},
        {"a in (b", "unable to parse requirement: found '', expected: ',' or ')'"},
        {"a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"},
        {"a==b=c", "found '=', expected: ',' or 'end of string'"},
        {"a=(b)", "unable to parse requirement: found '(', expected: identifier"},
        {"a>x", "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' "
                "operators, the value must be an integer"},
        {"a/b/c=d", "unable to parse requirement: <nil>: Invalid value: \"a/b/c\": a valid label "
                    "key must consist of"},
        {"a=b$", "unable to parse requirement: values[0][a]: Invalid value: \"b$\": a valid label "
                 "must be an empty string"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        if (selector_parse_labels(cases[i][0], &error) != NULL) {
            fail_msg("%s is accepted", cases[i][0]);
        }
        assert_int_equal(error.code, 400);
        if (strncmp(error.message, cases[i][1], strlen(cases[i][1])) != 0) {
            fail_msg("%s: %s", cases[i][0], error.message);
        }
    }
}

static void an_absent_field_reads_as_empty(void **state)
{
    (void)state;
    static const struct match_case cases[] = {
        {"", "{}", true},
        {",", "{}", true},
        {"a=b", "{\"a\":\"b\"}", true},
        {"a==b", "{\"a\":\"b\"}", true},
        {"a!=b", "{\"a\":\"b\"}", false},
        {"a=", "{}", true},
        {"a!=", "{}", false},
        {"a=b,c!=d", "{\"a\":\"b\",\"c\":\"d\"}", false},
        {"a=b\\,c\\=d\\\\e", "{\"a\":\"b,c=d\\\\e\"}", true},
        {"metadata.name=x y", "{\"metadata.name\":\"x y\"}", true},
    };
    check_matches(selector_parse_fields, cases, array_length(cases));
}

static void malformed_field_selectors_are_refused_in_upstreams_words(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"a", "invalid selector: 'a'; can't understand 'a'"},
        {"x=y,a", "invalid selector: 'x=y,a'; can't understand 'a'"},
        {"a=b=c", "invalid field selector: unescaped character in value: 61"},
        {"a=\\b", "invalid field selector: invalid escape sequence: \\b"},
        {"a=b\\", "invalid field selector: invalid escape sequence: \\"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        assert_null(selector_parse_fields(cases[i][0], &error));
        assert_string_equal(error.message, cases[i][1]);
    }
}

static void no_selector_object_matches_nothing_and_an_empty_one_everything(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *empty = json_object(), *null = json_null();
    cleanup(selector_release)
    struct selector *nothing = selector_from_object(NULL, NULL);
    cleanup(selector_release)
    struct selector *none = selector_from_object(null, NULL);
    cleanup(selector_release)
    struct selector *everything = selector_from_object(empty, NULL);
    assert_false(selector_matches_object(nothing, empty));
    assert_false(selector_is_everything(nothing));
    assert_false(selector_matches_object(none, empty));
    assert_true(selector_matches_object(everything, empty));
    assert_true(selector_is_everything(everything));
}

static void selector_objects_combine_labels_and_expressions(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *object = parse("{\"matchLabels\":{\"a\":\"b\"},\"matchExpressions\":["
                           "{\"key\":\"c\",\"operator\":\"In\",\"values\":[\"d\",\"e\"]},"
                           "{\"key\":\"f\",\"operator\":\"DoesNotExist\"}]}");
    cleanup(selector_release)
    struct selector *selector = selector_from_object(object, NULL);
    assert_non_null(selector);
    cleanup(json_release)
    json_t *good = parse("{\"a\":\"b\",\"c\":\"d\"}");
    cleanup(json_release)
    json_t *bad = parse("{\"a\":\"b\",\"c\":\"d\",\"f\":\"\"}");
    assert_true(selector_matches_object(selector, good));
    assert_false(selector_matches_object(selector, bad));
}

static void wrong_operators_in_selector_objects_are_refused(void **state)
{
    (void)state;
    static const char *const objects[] = {
        "{\"matchExpressions\":[{\"key\":\"c\",\"operator\":\"Like\"}]}",
        "{\"matchExpressions\":[{\"key\":\"c\",\"operator\":\"In\"}]}",
        "{\"matchExpressions\":[{\"key\":\"c\",\"operator\":\"Exists\",\"values\":[\"a\"]}]}",
        "{\"matchExpressions\":[{\"key\":\"c\"}]}",
    };
    for (size_t i = 0; i < array_length(objects); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        cleanup(json_release)
        json_t *object = parse(objects[i]);
        assert_null(selector_from_object(object, &error));
        assert_int_equal(error.code, 400);
    }
}

static void a_selector_tells_what_it_asks_for(void **state)
{
    (void)state;
    cleanup(selector_release)
    struct selector *selector =
        selector_parse_fields("spec.x!=1,metadata.name=n,metadata.namespace!=m,spec.x!=2", NULL);
    assert_int_equal(selector_key_count(selector), 3);
    assert_string_equal(selector_key(selector, 0), "metadata.name");
    assert_string_equal(selector_key(selector, 2), "spec.x");
    assert_null(selector_key(selector, 3));
    assert_string_equal(selector_required_value(selector, "metadata.name"), "n");
    assert_null(selector_required_value(selector, "metadata.namespace"));
    assert_null(selector_required_value(selector, "spec.x"));
}

static const char *look_up_unterminated(const void *argument, const char *key, size_t *length)
{
    (void)argument;
    (void)key;
    *length = 2;
    return "bcdef";
}

static void values_need_no_end(void **state)
{
    (void)state;
    static const char nul[] = {'b', '\0'};
    cleanup(selector_release)
    struct selector *selector = selector_parse_labels("a in (b,bc,bcd)", NULL);
    cleanup(selector_release)
    struct selector *other = selector_parse_labels("a in (b,bcd)", NULL);
    assert_true(selector_matches(selector, look_up_unterminated, NULL));
    assert_false(selector_matches(other, look_up_unterminated, NULL));
    cleanup(json_release)
    json_t *labels = json_object();
    json_object_set_new(labels, "a", json_stringn(nul, sizeof nul));
    assert_false(selector_matches_object(other, labels));
}

static void a_map_selects_by_all_of_its_labels(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *map = parse("{\"a\":\"b\",\"c\":\"d\"}");
    cleanup(json_release)
    json_t *part = parse("{\"a\":\"b\"}");
    cleanup(selector_release)
    struct selector *selector = selector_from_map(map);
    assert_true(selector_matches_object(selector, map));
    assert_false(selector_matches_object(selector, part));
    assert_false(selector_matches_object(selector, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(label_selectors_match_as_upstream_does),
        cmocka_unit_test(malformed_label_selectors_are_refused_in_upstreams_words),
        cmocka_unit_test(an_absent_field_reads_as_empty),
        cmocka_unit_test(malformed_field_selectors_are_refused_in_upstreams_words),
        cmocka_unit_test(no_selector_object_matches_nothing_and_an_empty_one_everything),
        cmocka_unit_test(selector_objects_combine_labels_and_expressions),
        cmocka_unit_test(wrong_operators_in_selector_objects_are_refused),
        cmocka_unit_test(a_selector_tells_what_it_asks_for),
        cmocka_unit_test(values_need_no_end),
        cmocka_unit_test(a_map_selects_by_all_of_its_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

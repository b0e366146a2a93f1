// SPDX-License-Identifier: Apache-2.0
/* Node selectors, node affinity, taints and tolerations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/node_match.h"

static json_t *parse(const char *text)
{
    json_t *json = json_parse(text, strlen(text), NULL);
    assert_non_null(json);
    return json;
}

static const char labels_text[] = "{\"disk\":\"ssd\",\"cores\":\"8\",\"word\":\"many\"}";

/* A term with one expression, against a node "n1" with the labels above. */
static bool expression(const char *key, const char *op, const char *values)
{
    cleanup(free_char)
    char *text =
        format("{\"matchExpressions\":[{\"key\":\"%s\",\"operator\":\"%s\",\"values\":%s}]}", key,
               op, values);
    cleanup(json_release)
    json_t *term = parse(text), *labels = parse(labels_text);
    return node_match_term(term, "n1", labels);
}

static bool term(const char *text)
{
    cleanup(json_release)
    json_t *tree = parse(text);
    cleanup(json_release)
    json_t *labels = parse(labels_text);
    return node_match_term(tree, "n1", labels);
}

static void operators_compare_the_label(void **state)
{
    (void)state;
    assert_true(expression("disk", "In", "[\"hdd\",\"ssd\"]"));
    assert_false(expression("disk", "In", "[\"hdd\"]"));
    assert_false(expression("none", "In", "[\"\"]"));
    assert_true(expression("disk", "NotIn", "[\"hdd\"]"));
    assert_false(expression("disk", "NotIn", "[\"ssd\"]"));
    assert_true(expression("none", "NotIn", "[\"ssd\"]"));
    assert_true(expression("disk", "Exists", "[]"));
    assert_false(expression("none", "Exists", "[]"));
    assert_true(expression("none", "DoesNotExist", "[]"));
    assert_false(expression("disk", "DoesNotExist", "[]"));
    assert_false(expression("disk", "Like", "[\"ssd\"]"));
}

static void greater_and_less_compare_numbers(void **state)
{
    (void)state;
    assert_true(expression("cores", "Gt", "[\"7\"]"));
    assert_false(expression("cores", "Gt", "[\"8\"]"));
    assert_true(expression("cores", "Lt", "[\"10\"]")); /* As text it would be greater. */
    assert_false(expression("cores", "Lt", "[\"8\"]"));
    assert_false(expression("word", "Gt", "[\"1\"]"));
    assert_false(expression("none", "Lt", "[\"1\"]"));
    assert_false(expression("cores", "Lt", "[\"99999999999999999999\"]")); /* No int64. */
}

static void fields_match_the_name(void **state)
{
    (void)state;
    assert_true(term("{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\","
                     "\"values\":[\"n1\"]}]}"));
    assert_false(term("{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\","
                      "\"values\":[\"n2\"]}]}"));
    assert_true(term("{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"NotIn\","
                     "\"values\":[\"n2\"]}]}"));
    assert_false(term("{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\","
                      "\"values\":[\"n1\"]}],\"matchExpressions\":[{\"key\":\"none\","
                      "\"operator\":\"Exists\"}]}"));
}

static void an_empty_term_matches_nothing(void **state)
{
    (void)state;
    assert_false(term("{}"));
    assert_false(term("{\"matchExpressions\":[]}"));
}

static bool required(const char *selector, const char *affinity)
{
    cleanup(json_release)
    json_t *wanted = selector != NULL ? parse(selector) : NULL;
    cleanup(json_release)
    json_t *terms = affinity != NULL ? parse(affinity) : NULL;
    cleanup(json_release)
    json_t *labels = parse(labels_text);
    return node_match_required(wanted, terms, "n1", labels);
}

#define REQUIRED(terms)                                                                            \
    "{\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":[" terms "]}}"
#define HAS(key) "{\"matchExpressions\":[{\"key\":\"" key "\",\"operator\":\"Exists\"}]}"

static void selector_and_one_of_the_terms_must_match(void **state)
{
    (void)state;
    assert_true(required(NULL, NULL));
    assert_true(required("{\"disk\":\"ssd\"}", NULL));
    assert_false(required("{\"disk\":\"ssd\",\"none\":\"\"}", NULL));
    assert_true(required(NULL, REQUIRED(HAS("none") "," HAS("disk"))));
    assert_false(required(NULL, REQUIRED(HAS("none"))));
    assert_false(required("{\"disk\":\"hdd\"}", REQUIRED(HAS("disk"))));
    assert_false(required(NULL, REQUIRED("")));
}

static void weights_of_preferred_terms_add_up(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *affinity =
        parse("{\"preferredDuringSchedulingIgnoredDuringExecution\":["
              "{\"weight\":5,\"preference\":" HAS(
                  "disk") "},"
                          "{\"weight\":7,\"preference\":" HAS(
                              "none") "},"
                                      "{\"weight\":11,\"preference\":" HAS(
                                          "word") "},"
                                                  "{\"weight\":13,\"preference\":{}}]}");
    cleanup(json_release)
    json_t *labels = parse(labels_text);
    assert_int_equal(node_match_preference(affinity, "n1", labels), 16);
    assert_int_equal(node_match_preference(NULL, "n1", labels), 0);
}

static bool tolerates(const char *toleration, const char *taint)
{
    cleanup(free_char)
    char *list = format("[%s]", toleration);
    cleanup(json_release)
    json_t *tolerations = parse(list);
    cleanup(json_release)
    json_t *tree = parse(taint);
    return node_match_tolerates(tolerations, tree);
}

static void a_toleration_must_meet_key_value_and_effect(void **state)
{
    (void)state;
    static const char taint[] = "{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}";
    static const char bare[] = "{\"key\":\"k\",\"effect\":\"NoExecute\"}";
    assert_true(tolerates("{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}", taint));
    assert_true(tolerates("{\"key\":\"k\",\"operator\":\"Equal\",\"value\":\"v\"}", taint));
    assert_true(tolerates("{\"key\":\"k\",\"operator\":\"Exists\"}", taint));
    assert_true(tolerates("{\"operator\":\"Exists\"}", taint));
    assert_true(tolerates("{\"key\":\"k\"}", bare));
    assert_false(tolerates("{\"key\":\"k\"}", taint));
    assert_false(tolerates("{\"key\":\"other\",\"operator\":\"Exists\"}", taint));
    assert_false(tolerates("{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoExecute\"}", taint));
    assert_false(tolerates("{\"operator\":\"Exists\",\"effect\":\"NoExecute\"}", taint));
}

static void the_first_taint_that_nothing_tolerates_is_found(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *taints = parse("[{\"key\":\"a\",\"effect\":\"PreferNoSchedule\"},"
                           "{\"key\":\"b\",\"effect\":\"NoSchedule\"},"
                           "{\"key\":\"c\",\"effect\":\"NoExecute\"}]");
    cleanup(json_release)
    json_t *tolerations = parse("[{\"key\":\"b\",\"operator\":\"Exists\"}]");
    const json_t *found = node_match_untolerated(NULL, taints, "NoSchedule", "NoExecute");
    assert_string_equal(json_get_string(found, "key"), "b");
    found = node_match_untolerated(tolerations, taints, "NoSchedule", "NoExecute");
    assert_string_equal(json_get_string(found, "key"), "c");
    assert_null(node_match_untolerated(tolerations, taints, "NoSchedule", NULL));
    assert_int_equal(node_match_disliked(NULL, taints), 1);
    cleanup(json_release)
    json_t *all = parse("[{\"operator\":\"Exists\"}]");
    assert_int_equal(node_match_disliked(all, taints), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators_compare_the_label),
        cmocka_unit_test(greater_and_less_compare_numbers),
        cmocka_unit_test(fields_match_the_name),
        cmocka_unit_test(an_empty_term_matches_nothing),
        cmocka_unit_test(selector_and_one_of_the_terms_must_match),
        cmocka_unit_test(weights_of_preferred_terms_add_up),
        cmocka_unit_test(a_toleration_must_meet_key_value_and_effect),
        cmocka_unit_test(the_first_taint_that_nothing_tolerates_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

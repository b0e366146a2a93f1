// SPDX-License-Identifier: Apache-2.0
/* What a cluster role that gathers others comes to. */
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
#include "controllers/clusterrole_aggregation.h"

static json_t *tree(const char *text)
{
    json_t *parsed = yaml_parse(text, strlen(text), NULL, NULL, NULL);
    assert_non_null(parsed);
    return parsed;
}

static const char all_roles[] =
    "- {metadata: {name: a, labels: {to: x}}, rules: [{verbs: [get]}, {verbs: [list]}]}\n"
    "- {metadata: {name: b, labels: {to: x, and: yes-too}}, rules: [{verbs: [list]}, {verbs: "
    "[watch]}]}\n"
    "- {metadata: {name: c, labels: {to: z}}, rules: [{verbs: [delete]}]}\n"
    "- {metadata: {name: self, labels: {to: x}}, rules: [{verbs: ['*']}]}\n"
    "- {metadata: {name: empty, labels: {to: x}}, rules: null}\n";

/* The verbs of the rules, in order. */
static void assert_gathers(const char *selectors, const char *expected)
{
    cleanup(free_char)
    char *text =
        format("{metadata: {name: self}, aggregationRule: {clusterRoleSelectors: %s}}", selectors);
    cleanup(json_release)
    json_t *role = tree(text);
    cleanup(json_release)
    json_t *roles = tree(all_roles);
    cleanup(json_release)
    json_t *rules = clusterrole_aggregate(role, roles, NULL);
    cleanup(buffer_free)
    struct buffer verbs = BUFFER_INIT;
    size_t i;
    json_t *rule;
    json_array_foreach (rules, i, rule) {
        buffer_addf(&verbs, "%s ",
                    json_string_value(json_array_get(json_object_get(rule, "verbs"), 0)));
    }
    assert_non_null(rules);
    assert_string_equal(buffer_text(&verbs), expected);
}

static void the_rules_of_selected_roles_are_gathered_each_once_and_in_order(void **state)
{
    (void)state;
    assert_gathers("[{matchLabels: {to: x}}]", "get list watch ");
    assert_gathers("[{matchLabels: {to: z}}, {matchLabels: {and: yes-too}}]", "delete list watch ");
    assert_gathers("[{matchExpressions: [{key: to, operator: In, values: [z, q]}]}]", "delete ");
    assert_gathers("[{matchLabels: {to: nobody}}]", "");
    assert_gathers("[]", "");
}

static void a_selector_that_is_none_is_an_error(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *role = tree("{metadata: {name: self}, aggregationRule: {clusterRoleSelectors: "
                        "[{matchExpressions: [{key: to, operator: Near}]}]}}");
    cleanup(json_release)
    json_t *roles = tree(all_roles);
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_null(clusterrole_aggregate(role, roles, &error));
    assert_true(error_is_set(&error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rules_of_selected_roles_are_gathered_each_once_and_in_order),
        cmocka_unit_test(a_selector_that_is_none_is_an_error),
    };
    return cmocka_run_group_tests_name("clusterrole aggregation", tests, NULL, NULL);
}

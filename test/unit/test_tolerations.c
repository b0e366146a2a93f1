// SPDX-License-Identifier: Apache-2.0
/* How the tolerations of a pod and of its runtime class become one list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <string.h>

#include "apiserver/admission/tolerations.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/yaml.h"

static json_t *tree(const char *text)
{
    struct error error = ERROR_INIT;
    json_t *parsed = yaml_parse(text, strlen(text), NULL, NULL, &error);
    if (parsed == NULL) {
        fail_msg("%s: %s", text, error.message);
    }
    return parsed;
}

static void what_others_cover_is_left_out(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second, *merged;
    } cases[] = {
        {"[]", "[{key: a, operator: Exists}]", "[{key: a, operator: Exists}]"},
        {"[{key: a, operator: Exists}]", "[{key: a, operator: Exists}]",
         "[{key: a, operator: Exists}]"},
        {"[{key: a, operator: Equal, value: x}]", "[{key: a, operator: Exists}]",
         "[{key: a, operator: Exists}]"},
        {"[{operator: Exists}]", "[{key: a, operator: Equal, value: x, effect: NoExecute}]",
         "[{operator: Exists}]"},
        {"[{key: a, operator: Equal, value: x}]", "[{key: a, operator: Equal, value: y}]",
         "[{key: a, operator: Equal, value: x}, {key: a, operator: Equal, value: y}]"},
        {"[{key: a, operator: Exists, effect: NoSchedule}]",
         "[{key: a, operator: Exists, effect: NoExecute}]",
         "[{key: a, operator: Exists, effect: NoSchedule}, {key: a, operator: Exists, effect: "
         "NoExecute}]"},
        {"[{key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 5}]",
         "[{key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 9}]",
         "[{key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 9}]"},
        {"[{key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 5}]",
         "[{key: a, operator: Exists, effect: NoExecute}]",
         "[{key: a, operator: Exists, effect: NoExecute}]"},
        {"[{key: a, operator: Exists, effect: NoExecute}]",
         "[{key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 9}]",
         "[{key: a, operator: Exists, effect: NoExecute}]"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *first = tree(cases[i].first);
        cleanup(json_release)
        json_t *second = tree(cases[i].second);
        cleanup(json_release)
        json_t *expected = tree(cases[i].merged);
        cleanup(json_release)
        json_t *merged = tolerations_merge(first, second);
        if (!json_equal(merged, expected)) {
            cleanup(free_char)
            char *text = json_text(merged);
            fail_msg("%s and %s become %s", cases[i].first, cases[i].second, text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_others_cover_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

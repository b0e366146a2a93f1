// SPDX-License-Identifier: Apache-2.0
/* Sets of indexes, and what a Job's policies say of failures and successes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/job_indexes.h"
#include "controllers/job_policies.h"

static void assert_text(const struct job_indexes *indexes, const char *expected)
{
    cleanup(free_char)
    char *text = job_indexes_text(indexes);
    assert_string_equal(text, expected);
}

/* ---- indexes ---- */

static void indexes_are_read_and_written_as_intervals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", ""},
        {"0", "0"},
        {"1,3-5,7", "1,3-5,7"},
        {"1,2", "1,2"},
        {"1,2,3", "1-3"},
        {"3-5,1", "1,3-5"},
        {"1-3,2-6", "1-6"},
        {"8-20", "8,9"},
        {"12,3", "3"},
        {"x,3,-1,4-,5-4,6x,7", "3,7"},
        {"99999999999,2", "2"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(job_indexes_free)
        struct job_indexes indexes = JOB_INDEXES_INIT;
        job_indexes_parse(&indexes, cases[i].text, 10);
        assert_text(&indexes, cases[i].expected);
    }
}

/* Every way to add three indexes of six, against a set of bits. */
static void adding_keeps_order_and_joins_neighbours(void **state)
{
    (void)state;
    for (int code = 0; code < 6 * 6 * 6; code++) {
        cleanup(job_indexes_free)
        struct job_indexes indexes = JOB_INDEXES_INIT;
        unsigned bits = 0;
        for (int rest = code, i = 0; i < 3; i++, rest /= 6) {
            job_indexes_add(&indexes, rest % 6, rest % 6);
            bits |= 1U << (rest % 6);
        }
        for (int index = 0; index < 6; index++) {
            assert_int_equal(job_indexes_has(&indexes, index), bits >> index & 1);
        }
        assert_int_equal(job_indexes_total(&indexes), __builtin_popcount(bits));
        for (size_t i = 1; i < indexes.count; i++) {
            assert_true(indexes.intervals[i].first > indexes.intervals[i - 1].last + 1);
        }
    }
}

static void the_lowest_free_indexes_are_found(void **state)
{
    (void)state;
    int free[4];
    cleanup(job_indexes_free)
    struct job_indexes indexes = JOB_INDEXES_INIT;
    assert_int_equal(job_indexes_first_free(&indexes, 2, free, 4), 2);
    job_indexes_parse(&indexes, "0,2-4,6", 10);
    assert_int_equal(job_indexes_first_free(&indexes, 10, free, 4), 4);
    assert_int_equal(free[0], 1);
    assert_int_equal(free[1], 5);
    assert_int_equal(free[2], 7);
    assert_int_equal(free[3], 8);
    assert_int_equal(job_indexes_first_free(&indexes, 7, free, 4), 2);
    assert_int_equal(job_indexes_first_free(&indexes, 1, free, 4), 0);
}

/* ---- failures ---- */

/* A pod whose container "main" has ended with the code, and "setup" before it with 3. */
static json_t *failed_pod(int code)
{
    return json_pack("{s:{s:s, s:s}, s:{s:[{s:s, s:s}, {s:s, s:s}], s:[{s:s, s:{s:{s:i}}}], "
                     "s:[{s:s, s:{s:{s:i}}}]}}",
                     "metadata", "namespace", "n", "name", "p", "status", "conditions", "type",
                     "Ready", "status", "False", "type", "DisruptionTarget", "status", "True",
                     "containerStatuses", "name", "main", "state", "terminated", "exitCode", code,
                     "initContainerStatuses", "name", "setup", "state", "terminated", "exitCode",
                     3);
}

/* What the rules, as JSON, make of a pod that ended with that code. */
static void assert_action(const char *rules, int code, enum job_action expected,
                          const char *expected_message)
{
    cleanup(free_char)
    char *text =
        format("{\"backoffLimitPerIndex\": 1, \"podFailurePolicy\": {\"rules\": [%s]}}", rules);
    cleanup(json_release)
    json_t *spec = json_loads(text, 0, NULL), *pod = failed_pod(code);
    cleanup(free_char)
    char *message = NULL;
    assert_non_null(spec);
    assert_int_equal(job_failure_action(spec, pod, &message), expected);
    if (expected_message != NULL) {
        assert_string_equal(message, expected_message);
    } else {
        assert_null(message);
    }
}

static void the_first_rule_that_applies_decides(void **state)
{
    (void)state;
    static const char in[] = "{\"action\": \"FailJob\", \"onExitCodes\": {\"operator\": \"In\", "
                             "\"values\": [3, 42]}}";
    static const char of_main[] = "{\"action\": \"Ignore\", \"onExitCodes\": {\"containerName\": "
                                  "\"main\", \"operator\": \"NotIn\", \"values\": [1, 2]}}";
    static const char disrupted[] = "{\"action\": \"FailJob\", \"onPodConditions\": [{\"type\": "
                                    "\"DisruptionTarget\", \"status\": \"True\"}]}";
    static const char ready[] = "{\"action\": \"Ignore\", \"onPodConditions\": [{\"type\": "
                                "\"Ready\", \"status\": \"True\"}]}";
    static const char index[] = "{\"action\": \"FailIndex\", \"onExitCodes\": {\"operator\": "
                                "\"In\", \"values\": [42]}}";
    assert_action("", 1, JOB_COUNT, NULL);
    assert_action(in, 42, JOB_FAIL_JOB,
                  "Container main for pod n/p failed with exit code 42 matching FailJob rule at "
                  "index 0");
    /* No success counts, not even against NotIn; initialization containers do. */
    assert_action(in, 0, JOB_FAIL_JOB,
                  "Container setup for pod n/p failed with exit code 3 matching FailJob rule at "
                  "index 0");
    assert_action(of_main, 0, JOB_COUNT, NULL);
    assert_action(of_main, 2, JOB_COUNT, NULL);
    assert_action(of_main, 42, JOB_IGNORE, NULL);
    assert_action(ready, 1, JOB_COUNT, NULL);
    assert_action(index, 42, JOB_FAIL_INDEX, NULL);
    cleanup(free_char)
    char *second = format("%s, %s, %s", ready, disrupted, in);
    assert_action(second, 42, JOB_FAIL_JOB,
                  "Pod n/p has condition DisruptionTarget matching FailJob rule at index 1");
}

/* ---- success ---- */

static void assert_met(const char *rules, const char *succeeded, int expected)
{
    cleanup(free_char)
    char *text = format("{\"completions\": 10, \"successPolicy\": {\"rules\": [%s]}}", rules);
    cleanup(json_release)
    json_t *spec = json_loads(text, 0, NULL);
    cleanup(job_indexes_free)
    struct job_indexes indexes = JOB_INDEXES_INIT;
    assert_non_null(spec);
    job_indexes_parse(&indexes, succeeded, 10);
    assert_int_equal(job_success_rule(spec, &indexes), expected);
}

static void success_is_met_by_indexes_or_their_number(void **state)
{
    (void)state;
    assert_met("", "0-9", -1);
    assert_met("{\"succeededIndexes\": \"1,3-4\"}", "1,3", -1);
    assert_met("{\"succeededIndexes\": \"1,3-4\"}", "0-5", 0);
    assert_met("{\"succeededCount\": 3}", "2,5", -1);
    assert_met("{\"succeededCount\": 3}", "2,5,9", 0);
    assert_met("{\"succeededIndexes\": \"0-4\", \"succeededCount\": 2}", "4-9", -1);
    assert_met("{\"succeededIndexes\": \"0-4\", \"succeededCount\": 2}", "3-9", 0);
    assert_met("{\"succeededIndexes\": \"0\"}, {\"succeededCount\": 1}", "7", 1);
    assert_met("{\"succeededCount\": 0}", "", -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indexes_are_read_and_written_as_intervals),
        cmocka_unit_test(adding_keeps_order_and_joins_neighbours),
        cmocka_unit_test(the_lowest_free_indexes_are_found),
        cmocka_unit_test(the_first_rule_that_applies_decides),
        cmocka_unit_test(success_is_met_by_indexes_or_their_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* How many pods a budget lets go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"
#include "controllers/conditions.h"
#include "controllers/disruption_status.h"
#include "controllers/pod_view.h"

static const int64_t second = INT64_C(1000000000);
static const int64_t now = INT64_C(1700000000) * INT64_C(1000000000);

/* 'rule' is the JSON of members of the spec; 'status' that of the status. */
static json_t *budget_of(const char *rule, const char *status)
{
    cleanup(free_char)
    char *text = format("{\"metadata\":{\"name\":\"b\",\"generation\":3},\"spec\":{%s},"
                        "\"status\":%s}",
                        rule, status);
    json_t *budget = json_parse(text, strlen(text), NULL);
    assert_non_null(budget);
    return budget;
}

static void add_pod(struct cached_list *pods, const char *name, bool is_ready, bool is_deleting)
{
    cleanup(free_char)
    char *text = format("{\"metadata\":{\"name\":\"%s\",\"namespace\":\"n\"%s},\"status\":{"
                        "\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\"}]}}",
                        name, is_deleting ? ",\"deletionTimestamp\":\"2023-11-14T00:00:00Z\"" : "",
                        is_ready ? "True" : "False");
    cleanup(cached_object_release)
    struct cached_object *pod = cached_object_new(&pod_class, text, strlen(text));
    cached_list_add(pods, pod);
}

static json_int_t number(const json_t *status, const char *name)
{
    return json_get_int(status, name, -1);
}

static void assert_wish(const char *rule, json_int_t scale, size_t pods, json_int_t expected,
                        json_int_t desired)
{
    cleanup(json_release)
    json_t *budget = budget_of(rule, "{}");
    struct disruption_wish wish = disruption_wish(budget, scale, pods);
    assert_int_equal(wish.expected, expected);
    assert_int_equal(wish.desired, desired);
}

static void numbers_and_parts_are_taken_of_what_owners_want(void **state)
{
    (void)state;
    assert_wish("\"minAvailable\":2", 0, 5, 5, 2);
    assert_wish("\"minAvailable\":9", 0, 5, 5, 9);
    assert_wish("\"minAvailable\":\"50%\"", 7, 3, 7, 4); /* Rounded up. */
    assert_wish("\"minAvailable\":\"100%\"", 7, 3, 7, 7);
    assert_wish("\"maxUnavailable\":1", 7, 3, 7, 6);
    assert_wish("\"maxUnavailable\":\"30%\"", 10, 3, 10, 7);
    assert_wish("\"maxUnavailable\":\"30%\"", 7, 3, 7, 4); /* 2.1 may be missing: 3. */
    assert_wish("\"maxUnavailable\":9", 7, 3, 7, 0);
    assert_wish("\"unhealthyPodEvictionPolicy\":\"AlwaysAllow\"", 7, 3, 0, 0);
}

static void only_parts_need_the_owners(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        bool needs;
    } cases[] = {{"\"minAvailable\":2", false},
                 {"\"minAvailable\":\"20%\"", true},
                 {"\"maxUnavailable\":2", true}};
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *budget = budget_of(cases[i].rule, "{}");
        assert_int_equal(disruption_needs_scale(budget), cases[i].needs);
    }
}

static void healthy_pods_beyond_the_wish_may_go(void **state)
{
    (void)state;
    int64_t next_check;
    cleanup(json_release)
    json_t *budget = budget_of("\"minAvailable\":2", "{}");
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    add_pod(&pods, "a", true, false);
    add_pod(&pods, "b", true, false);
    add_pod(&pods, "c", true, false);
    add_pod(&pods, "d", false, false);
    add_pod(&pods, "e", true, true);
    cleanup(json_release)
    json_t *status =
        disruption_status(budget, &pods, (struct disruption_wish){5, 2}, now, &next_check, NULL);
    assert_int_equal(number(status, "currentHealthy"), 3);
    assert_int_equal(number(status, "desiredHealthy"), 2);
    assert_int_equal(number(status, "expectedPods"), 5);
    assert_int_equal(number(status, "disruptionsAllowed"), 1);
    assert_int_equal(number(status, "observedGeneration"), 3);
    assert_int_equal(next_check, 0);
    const json_t *condition =
        condition_find(json_object_get(status, "conditions"), "DisruptionAllowed");
    assert_string_equal(json_get_string(condition, "status"), "True");
    assert_string_equal(json_get_string(condition, "reason"), "SufficientPods");
    assert_string_equal(json_get_string(condition, "message"), "");
    assert_int_equal(number(condition, "observedGeneration"), 3);
}

static void too_few_pods_let_none_go(void **state)
{
    (void)state;
    int64_t next_check;
    cleanup(json_release)
    json_t *budget = budget_of("\"minAvailable\":2", "{}");
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    add_pod(&pods, "a", true, false);
    cleanup(json_release)
    json_t *status =
        disruption_status(budget, &pods, (struct disruption_wish){1, 2}, now, &next_check, NULL);
    assert_int_equal(number(status, "disruptionsAllowed"), 0);
    const json_t *condition =
        condition_find(json_object_get(status, "conditions"), "DisruptionAllowed");
    assert_string_equal(json_get_string(condition, "status"), "False");
    assert_string_equal(json_get_string(condition, "reason"), "InsufficientPods");
}

static void a_budget_that_expects_no_pods_lets_none_go(void **state)
{
    (void)state;
    int64_t next_check;
    cleanup(json_release)
    json_t *budget = budget_of("\"maxUnavailable\":1", "{}");
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    add_pod(&pods, "a", true, false);
    cleanup(json_release)
    json_t *status =
        disruption_status(budget, &pods, (struct disruption_wish){0, 0}, now, &next_check, NULL);
    assert_int_equal(number(status, "currentHealthy"), 1);
    assert_int_equal(number(status, "disruptionsAllowed"), 0);
}

static void an_evicted_pod_counts_as_gone_for_two_minutes(void **state)
{
    (void)state;
    char recent[TIMESTAMP_SIZE], old[TIMESTAMP_SIZE];
    timestamp_format(now - 20 * second, recent);
    timestamp_format(now - 121 * second, old);
    cleanup(free_char)
    char *before = format("{\"disruptedPods\":{\"a\":\"%s\",\"b\":\"%s\",\"gone\":\"%s\"}}", recent,
                          old, recent);
    int64_t next_check;
    cleanup(json_release)
    json_t *budget = budget_of("\"minAvailable\":1", before);
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    cleanup(cached_list_free)
    struct cached_list overdue = CACHED_LIST_INIT;
    add_pod(&pods, "a", true, false);
    add_pod(&pods, "b", true, false);
    cleanup(json_release)
    json_t *status = disruption_status(budget, &pods, (struct disruption_wish){2, 1}, now,
                                       &next_check, &overdue);
    assert_int_equal(number(status, "currentHealthy"), 1);
    assert_int_equal(number(status, "disruptionsAllowed"), 0);
    const json_t *disrupted = json_object_get(status, "disruptedPods");
    assert_int_equal(json_object_size(disrupted), 1);
    assert_string_equal(json_get_string(disrupted, "a"), recent);
    assert_true(next_check == now + 100 * second);
    assert_int_equal(overdue.count, 1);
    assert_string_equal(overdue.items[0]->name, "b");
}

static void a_failure_lets_none_go_and_says_why(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *budget =
        budget_of("\"maxUnavailable\":1", "{\"disruptionsAllowed\":2,\"currentHealthy\":4}");
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    error_internal(&error, "found no controllers for pod \"a\"");
    cleanup(json_release)
    json_t *status = disruption_status_failed(budget, &error);
    assert_int_equal(number(status, "disruptionsAllowed"), 0);
    assert_int_equal(number(status, "currentHealthy"), 4);
    const json_t *condition =
        condition_find(json_object_get(status, "conditions"), "DisruptionAllowed");
    assert_string_equal(json_get_string(condition, "reason"), "SyncFailed");
    assert_string_equal(json_get_string(condition, "message"),
                        "found no controllers for pod \"a\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_parts_are_taken_of_what_owners_want),
        cmocka_unit_test(only_parts_need_the_owners),
        cmocka_unit_test(healthy_pods_beyond_the_wish_may_go),
        cmocka_unit_test(too_few_pods_let_none_go),
        cmocka_unit_test(a_budget_that_expects_no_pods_lets_none_go),
        cmocka_unit_test(an_evicted_pod_counts_as_gone_for_two_minutes),
        cmocka_unit_test(a_failure_lets_none_go_and_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

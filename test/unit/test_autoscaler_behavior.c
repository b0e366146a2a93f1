// SPDX-License-Identifier: Apache-2.0
/* How fast an autoscaler's target may follow: windows, policies and limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/autoscaler_behavior.h"

static const int64_t second = 1000000000;
static const int64_t start = INT64_C(1000000) * 1000000000;

/* ---- helpers ---- */

static struct autoscaler_behavior behavior_of(const char *text)
{
    struct autoscaler_behavior behavior;
    cleanup(json_release)
    json_t *tree = json_parse(text, strlen(text), NULL);
    assert_non_null(tree);
    autoscaler_behavior_read(&behavior, tree, 300);
    return behavior;
}

static void assert_decision(const struct autoscaler_decision *decision, const char *name,
                            int32_t replicas, const char *stable, const char *limit)
{
    if (decision->replicas != replicas || strcmp(decision->stable_reason, stable) != 0 ||
        strcmp(decision->limit_reason, limit) != 0) {
        fail_msg("%s: %d replicas, %s, %s", name, (int)decision->replicas, decision->stable_reason,
                 decision->limit_reason);
    }
    assert_int_equal(decision->is_limited, strcmp(limit, "DesiredWithinRange") != 0);
}

/* A life: at each step some seconds have passed, the metrics ask for a number, and what is decided
 * is done. */
struct step {
    int after_seconds;
    int32_t desired, expected;
    const char *stable, *limit;
};

#define READY "ReadyForNewScale"
#define UP_STABLE "ScaleUpStabilized"
#define DOWN_STABLE "ScaleDownStabilized"
#define IN_RANGE "DesiredWithinRange"

static void live(const char *behavior_text, struct autoscaler_limits limits, int32_t current,
                 const struct step *steps, size_t count)
{
    struct autoscaler_history history = {0};
    struct autoscaler_behavior behavior = {0}, *given = NULL;
    int64_t now = start;
    if (behavior_text != NULL) {
        behavior = behavior_of(behavior_text);
        given = &behavior;
    }
    for (size_t i = 0; i < count; i++) {
        cleanup(free_char)
        char *name = format("step %zu", i);
        now += steps[i].after_seconds * second;
        autoscaler_history_begin(&history, current, now);
        struct autoscaler_decision decision = autoscaler_decide(
            &history, given, limits, current, steps[i].desired, 300 * second, now);
        assert_decision(&decision, name, steps[i].expected, steps[i].stable, steps[i].limit);
        if (decision.replicas != current) {
            autoscaler_history_note(&history, given, current, decision.replicas, now);
            current = decision.replicas;
        }
    }
    autoscaler_history_free(&history);
}

#define LIVE(behavior, min, max, current, ...)                                                     \
    do {                                                                                           \
        const struct step steps[] = {__VA_ARGS__};                                                 \
        live((behavior), (struct autoscaler_limits){(min), (max)}, (current), steps,               \
             array_length(steps));                                                                 \
    } while (0)

/* ---- without a behaviour ---- */

static void without_a_behavior_a_target_doubles_or_reaches_four(void **state)
{
    (void)state;
    static const struct {
        int32_t current, desired, min, max, expected;
        const char *limit;
    } cases[] = {
        {1, 10, 1, 20, 4, "ScaleUpLimit"},
        {2, 10, 1, 20, 4, "ScaleUpLimit"},
        {3, 10, 1, 20, 6, "ScaleUpLimit"},
        {10, 100, 1, 15, 15, "TooManyReplicas"},
        {10, 100, 1, 20, 20, "TooManyReplicas"},
        {10, 100, 1, 21, 20, "ScaleUpLimit"},
        {3, 6, 1, 6, 6, IN_RANGE},
        {3, 3, 1, 6, 3, IN_RANGE},
        {0, 0, 0, 6, 0, IN_RANGE},
        {5, 5, 6, 9, 6, "TooFewReplicas"},
        {INT32_MAX - 1, INT32_MAX, 1, INT32_MAX, INT32_MAX, IN_RANGE},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        struct autoscaler_history history = {0};
        cleanup(free_char)
        char *name = format("case %zu", i);
        struct autoscaler_decision decision = autoscaler_decide(
            &history, NULL, (struct autoscaler_limits){cases[i].min, cases[i].max},
            cases[i].current, cases[i].desired, 300 * second, start);
        assert_decision(&decision, name, cases[i].expected, READY, cases[i].limit);
        autoscaler_history_free(&history);
    }
}

static void without_a_behavior_pods_stay_for_five_minutes(void **state)
{
    (void)state;
    LIVE(NULL, 1, 100, 10, {0, 2, 10, DOWN_STABLE, IN_RANGE}, {15, 20, 20, READY, IN_RANGE},
         {15, 2, 20, DOWN_STABLE, IN_RANGE}, {285, 5, 20, DOWN_STABLE, IN_RANGE},
         {1, 3, 5, DOWN_STABLE, IN_RANGE}, {301, 1, 1, READY, IN_RANGE},
         {15, 0, 1, DOWN_STABLE, IN_RANGE}, {301, 0, 1, READY, "TooFewReplicas"});
}

/* ---- with one ---- */

static void what_is_not_said_is_as_by_default(void **state)
{
    (void)state;
    struct autoscaler_behavior behavior = behavior_of("{}");
    assert_int_equal(behavior.up.select, AUTOSCALER_MAX);
    assert_int_equal(behavior.up.window_seconds, 0);
    assert_int_equal(behavior.up.policy_count, 2);
    assert_int_equal(behavior.down.window_seconds, 300);
    assert_int_equal(behavior.down.policy_count, 1);
    behavior = behavior_of("{\"scaleDown\": {\"selectPolicy\": \"Disabled\", "
                           "\"stabilizationWindowSeconds\": 0, \"policies\": [{\"type\": \"Pods\", "
                           "\"value\": 3, \"periodSeconds\": 60}]}}");
    assert_int_equal(behavior.down.select, AUTOSCALER_DISABLED);
    assert_int_equal(behavior.down.window_seconds, 0);
    assert_int_equal(behavior.down.policy_count, 1);
    assert_false(behavior.down.policies[0].is_percent);
    assert_int_equal(behavior.down.policies[0].value, 3);
    assert_int_equal(behavior.down.policies[0].period_seconds, 60);
}

static void by_default_a_target_doubles_every_15_seconds_or_gains_four(void **state)
{
    (void)state;
    LIVE("{}", 1, 1000, 1, {0, 100, 5, READY, "ScaleUpLimit"}, {5, 100, 5, READY, "ScaleUpLimit"},
         {10, 100, 10, READY, "ScaleUpLimit"}, {15, 100, 20, READY, "ScaleUpLimit"},
         {15, 30, 30, READY, IN_RANGE});
}

#define UP(rules) "{\"scaleUp\": {" rules "}}"
#define DOWN(rules) "{\"scaleDown\": {\"stabilizationWindowSeconds\": 0, " rules "}}"
#define POLICY(type, value, period)                                                                \
    "{\"type\": \"" type "\", \"value\": " #value ", \"periodSeconds\": " #period "}"
#define SELECT(policy) "\"selectPolicy\": \"" policy "\", "
#define BOTH(a, b) "\"policies\": [" a ", " b "]"
#define ONE(a) "\"policies\": [" a "]"

static void policies_limit_the_way_up(void **state)
{
    (void)state;
    static const struct {
        const char *behavior;
        int32_t current, desired, max, expected;
        const char *limit;
    } cases[] = {
        {UP(ONE(POLICY("Pods", 1, 60))), 5, 9, 100, 6, "ScaleUpLimit"},
        {UP(ONE(POLICY("Percent", 10, 60))), 5, 9, 100, 6, "ScaleUpLimit"}, /* Rounded up. */
        {UP(ONE(POLICY("Percent", 200, 60))), 5, 100, 100, 15, "ScaleUpLimit"},
        {UP(ONE(POLICY("Percent", 200, 60))), 5, 100, 12, 12, "TooManyReplicas"},
        {UP(ONE(POLICY("Pods", 4, 60))), 5, 8, 100, 8, IN_RANGE},
        {UP(BOTH(POLICY("Pods", 1, 60), POLICY("Percent", 100, 60))), 5, 99, 100, 10,
         "ScaleUpLimit"},
        {UP(SELECT("Min") BOTH(POLICY("Pods", 1, 60), POLICY("Percent", 100, 60))), 5, 99, 100, 6,
         "ScaleUpLimit"},
        {UP(SELECT("Disabled") ONE(POLICY("Pods", 9, 60))), 5, 99, 100, 5, "ScaleUpLimit"},
        {UP(ONE(POLICY("Percent", 100, 60))), 0, 3, 100, 0, "ScaleUpLimit"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        LIVE(cases[i].behavior, 0, cases[i].max, cases[i].current,
             {0, cases[i].desired, cases[i].expected, READY, cases[i].limit});
    }
}

static void policies_limit_the_way_down(void **state)
{
    (void)state;
    static const struct {
        const char *behavior;
        int32_t current, desired, min, expected;
        const char *limit;
    } cases[] = {
        {DOWN(ONE(POLICY("Pods", 1, 60))), 5, 1, 1, 4, "ScaleDownLimit"},
        {DOWN(ONE(POLICY("Percent", 10, 60))), 5, 1, 1, 4, "ScaleDownLimit"}, /* Cut. */
        {DOWN(ONE(POLICY("Percent", 50, 60))), 5, 1, 1, 2, "ScaleDownLimit"},
        {DOWN(ONE(POLICY("Percent", 100, 60))), 5, 1, 3, 3, "TooFewReplicas"},
        {DOWN(ONE(POLICY("Pods", 9, 60))), 5, 2, 1, 2, IN_RANGE},
        {DOWN(BOTH(POLICY("Pods", 1, 60), POLICY("Percent", 60, 60))), 5, 1, 1, 2,
         "ScaleDownLimit"},
        {DOWN(SELECT("Min") BOTH(POLICY("Pods", 1, 60), POLICY("Percent", 60, 60))), 5, 1, 1, 4,
         "ScaleDownLimit"},
        {DOWN(SELECT("Disabled") ONE(POLICY("Pods", 9, 60))), 5, 1, 1, 5, "ScaleDownLimit"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        LIVE(cases[i].behavior, cases[i].min, 100, cases[i].current,
             {0, cases[i].desired, cases[i].expected, READY, cases[i].limit});
    }
}

static void a_policy_counts_what_changed_within_its_period(void **state)
{
    (void)state;
    LIVE(UP(ONE(POLICY("Pods", 2, 60))), 1, 100, 5, {0, 9, 7, READY, "ScaleUpLimit"},
         {30, 9, 7, READY, "ScaleUpLimit"}, {29, 9, 7, READY, "ScaleUpLimit"},
         {1, 9, 9, READY, IN_RANGE});
    LIVE(DOWN(ONE(POLICY("Pods", 2, 60))), 1, 100, 9, {0, 5, 7, READY, "ScaleDownLimit"},
         {59, 5, 7, READY, "ScaleDownLimit"}, {1, 5, 5, READY, IN_RANGE});
}

static void changes_in_the_other_direction_count_as_well(void **state)
{
    (void)state;
    static const char behavior[] = "{\"scaleUp\": {\"policies\": [" POLICY(
        "Pods", 4, 60) "]}, \"scaleDown\": "
                       "{\"stabilizationWindowSeconds\": 0, \"policies\": [" POLICY("Pods", 9,
                                                                                    60) "]}}";
    /* From 10 it went to 4; from 10, which was a minute ago, it may go up to 14. */
    LIVE(behavior, 1, 100, 10, {0, 4, 4, READY, IN_RANGE}, {30, 99, 14, READY, "ScaleUpLimit"});
}

static void windows_hold_in_both_directions(void **state)
{
    (void)state;
    static const char behavior[] = "{\"scaleUp\": {\"stabilizationWindowSeconds\": 60}, "
                                   "\"scaleDown\": {\"stabilizationWindowSeconds\": 120}}";
    LIVE(behavior, 1, 100, 5, {0, 8, 5, UP_STABLE, IN_RANGE}, {30, 7, 5, UP_STABLE, IN_RANGE},
         {30, 9, 7, UP_STABLE, IN_RANGE}, {31, 9, 9, READY, IN_RANGE},
         {1, 3, 9, DOWN_STABLE, IN_RANGE}, {118, 4, 9, DOWN_STABLE, IN_RANGE},
         {1, 4, 4, READY, IN_RANGE});
}

static void without_windows_each_recommendation_counts(void **state)
{
    (void)state;
    LIVE("{\"scaleDown\": {\"stabilizationWindowSeconds\": 0}}", 1, 100, 5,
         {0, 9, 9, READY, IN_RANGE}, {1, 2, 2, READY, IN_RANGE}, {1, 6, 6, READY, IN_RANGE});
}

static void the_messages_are_known(void **state)
{
    (void)state;
    struct autoscaler_history history = {0};
    struct autoscaler_limits limits = {1, 100};
    autoscaler_history_begin(&history, 9, start);
    struct autoscaler_decision decision =
        autoscaler_decide(&history, NULL, limits, 9, 2, 300 * second, start);
    assert_string_equal(decision.stable_message,
                        "recent recommendations were higher than current one, applying the highest "
                        "recent recommendation");
    assert_string_equal(decision.limit_message, "the desired count is within the acceptable range");
    decision = autoscaler_decide(&history, NULL, limits, 9, 50, 300 * second, start);
    assert_string_equal(decision.stable_message, "recommended size matches current size");
    assert_string_equal(
        decision.limit_message,
        "the desired replica count is increasing faster than the maximum scale rate");
    autoscaler_history_free(&history);
}

static void a_history_grows_no_longer_than_its_window(void **state)
{
    (void)state;
    struct autoscaler_history history = {0};
    struct autoscaler_behavior behavior =
        behavior_of("{\"scaleDown\": {\"stabilizationWindowSeconds\": 60}}");
    struct autoscaler_limits limits = {1, 100};
    for (int i = 0; i < 1000; i++) {
        int64_t now = start + i * 15 * second;
        int32_t before = 5 + i % 2, after = 6 - i % 2;
        autoscaler_decide(&history, &behavior, limits, before, after, 0, now);
        autoscaler_history_note(&history, &behavior, before, after, now);
    }
    assert_true(history.recommendations.count <= 6);
    assert_true(history.ups.count <= 2);
    assert_true(history.downs.count <= 2);
    autoscaler_history_free(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_behavior_a_target_doubles_or_reaches_four),
        cmocka_unit_test(without_a_behavior_pods_stay_for_five_minutes),
        cmocka_unit_test(what_is_not_said_is_as_by_default),
        cmocka_unit_test(by_default_a_target_doubles_every_15_seconds_or_gains_four),
        cmocka_unit_test(policies_limit_the_way_up),
        cmocka_unit_test(policies_limit_the_way_down),
        cmocka_unit_test(a_policy_counts_what_changed_within_its_period),
        cmocka_unit_test(changes_in_the_other_direction_count_as_well),
        cmocka_unit_test(windows_hold_in_both_directions),
        cmocka_unit_test(without_windows_each_recommendation_counts),
        cmocka_unit_test(the_messages_are_known),
        cmocka_unit_test(a_history_grows_no_longer_than_its_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* How many pods a metric asks for: the cases of the documented algorithm, as tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "controllers/autoscaler_calculator.h"

static const int64_t second = 1000000000;
static const int64_t now = INT64_C(100000) * 1000000000;

enum { pods_max = 64, minute = 60, nothing = -1 };

/*
 * Pods as words, each a letter with a metric's value and, behind a slash, a request other than
 * 1000: r300      runs, is ready and old u300      is young, and not ready l300      is old, and
 * has lost its readiness n300      is old, and has never been ready h300      has just become
 * ready: its metric is about the time before y300      is young, but ready for a whole window c300
 * has no condition Ready yet t300      nobody knows when it started k300      nobody knows whether
 * it is ready p, p300   waits to run f300      has failed; e300: has succeeded; d300: is being
 * deleted s300      is not found by the selector A pod without a number has no metric.
 */
static struct autoscaler_pod read_pod(const char *word)
{
    struct autoscaler_pod pod = {.name = word,
                                 .is_listed = *word != 's',
                                 .phase = POD_RUNNING,
                                 .has_condition = *word != 'c',
                                 .request = 1000};
    char *end;
    bool is_young = strchr("uhy", *word) != NULL;
    pod.is_unready = strchr("uln", *word) != NULL;
    pod.is_ready = pod.has_condition && !pod.is_unready && *word != 'k';
    pod.start_time = *word == 't' ? 0 : now - (is_young ? minute : 60 * minute) * second;
    pod.ready_since = *word == 'n'                   ? pod.start_time + second
                      : *word == 'h' || *word == 'l' ? now - 10 * second
                                                     : pod.start_time + 31 * second;
    pod.is_deleting = *word == 'd';
    pod.phase = *word == 'p'   ? POD_PENDING
                : *word == 'f' ? POD_FAILED
                : *word == 'e' ? POD_SUCCEEDED
                               : POD_RUNNING;
    pod.has_metric = word[1] >= '0' && word[1] <= '9';
    pod.value = strtoll(word + 1, &end, 10);
    if (*end == '/') {
        pod.request = strtoll(end + 1, NULL, 10);
    }
    pod.metric_time = now - second;
    pod.metric_window = 15 * second;
    return pod;
}

static size_t read_pods(char *text, struct autoscaler_pod pods[static pods_max])
{
    size_t count = 0;
    for (char *word; (word = strsep(&text, " ")) != NULL;) {
        if (*word != '\0') {
            assert_true(count < pods_max);
            pods[count++] = read_pod(word);
        }
    }
    return count;
}

static struct autoscaler_scene scene_of(const struct autoscaler_pod *pods, size_t count,
                                        int32_t current)
{
    return (struct autoscaler_scene){
        .pods = pods,
        .pod_count = count,
        .current = current,
        .tolerance = 0.1,
        .now = now,
        .cpu_initialization_period = 300 * second,
        .initial_readiness_delay = 30 * second,
    };
}

struct average_case {
    const char *name, *pods;
    int32_t current;
    int64_t target;
    int32_t expected;    /* nothing: an error … */
    int64_t measured;    /* Percent, or an average. */
    const char *message; /* … with these words. */
};

#define NO_METRICS "did not receive metrics for targeted pods (pods might be unready)"

static void check(const struct average_case *one, const struct autoscaler_proposal *proposal,
                  bool done, int64_t measured, struct error *error)
{
    if (done != (one->expected != nothing) ||
        (done && (proposal->replicas != one->expected || measured != one->measured)) ||
        (!done && strcmp(error->message, one->message) != 0)) {
        fail_msg("%s: %d replicas, measured %lld, %s", one->name,
                 done ? (int)proposal->replicas : nothing, (long long)measured,
                 done ? "no error" : error->message);
    }
    error_clear(error);
}

static void check_all(const struct average_case *cases, size_t count, bool is_cpu,
                      bool is_utilization)
{
    for (size_t i = 0; i < count; i++) {
        struct autoscaler_pod pods[pods_max];
        struct autoscaler_proposal proposal = {0};
        struct error error = ERROR_INIT;
        cleanup(free_char)
        char *text = duplicate(cases[i].pods);
        struct autoscaler_scene scene = scene_of(pods, read_pods(text, pods), cases[i].current);
        scene.is_cpu = is_cpu;
        bool done =
            is_utilization
                ? autoscaler_by_utilization(&scene, (int32_t)cases[i].target, &proposal, &error)
                : autoscaler_by_average(&scene, cases[i].target, &proposal, &error);
        check(&cases[i], &proposal, done, is_utilization ? proposal.utilization : proposal.value,
              &error);
    }
}

static void pods_follow_their_use_of_cpu(void **state)
{
    (void)state;
    static const struct average_case cases[] = {
        {"up", "r300 r500 r700", 3, 30, 5, 50, NULL},
        {"down", "r100 r300 r500 r250 r250", 5, 50, 3, 28, NULL},
        {"to nothing", "r0 r0", 2, 50, 0, 0, NULL},
        {"within the tolerance", "r1010/900 r1030/1000 r1020/1100", 3, 100, 3, 102, NULL},
        {"at the tolerance", "r1100", 1, 100, 1, 110, NULL},
        {"beyond the tolerance", "r1110", 1, 100, 2, 111, NULL},
        {"at the lower tolerance", "r450 r450", 2, 50, 2, 45, NULL},
        {"below the lower tolerance", "r440 r440 r440 r440 r440", 5, 50, 5, 44, NULL},
        {"below it, and many", "r440 r440 r440 r440 r440 r440 r440 r440 r440", 9, 50, 8, 44, NULL},
        {"requests differ", "r100/100 r0/900", 2, 10, 2, 10, NULL},
        {"as much as can be counted", "r9000000000000/1", 1, 1, INT32_MAX, INT32_MAX, NULL},
        {"the percentage is cut", "r999", 1, 90, 1, 99, NULL},
        {"an unready pod makes a smaller step", "u300 r500 r700", 3, 30, 4, 60, NULL},
        {"a hot pod makes a smaller step", "h300 r500 r700", 3, 30, 4, 60, NULL},
        {"pods that are failed do not count", "r500 r700 f f", 2, 30, 4, 60, NULL},
        {"nor do those that have succeeded", "r500 r700 e e", 2, 30, 4, 60, NULL},
        {"nor do those that are going", "r500 r700 d d900", 2, 30, 4, 60, NULL},
        {"unready pods hold it up", "r400 u500 u700", 3, 30, 3, 40, NULL},
        {"hot pods hold it up", "r400 h500 h700", 3, 30, 3, 40, NULL},
        {"unready pods do not turn it", "r400 u500 u700 u0", 4, 30, 4, 40, NULL},
        {"without the unready when down", "r100 r300 r500 u250 u250", 5, 50, 2, 30, NULL},
        {"without the pending when down", "r100 p p p p", 5, 50, 1, 10, NULL},
        {"without the hot when down", "r100 r300 r500 h250 h250", 5, 50, 2, 30, NULL},
        {"without the failed when down", "r100 r300 r500 r250 r250 f f", 5, 50, 3, 28, NULL},
        {"without the going when down", "r100 r300 r500 r250 r250 d9 d9", 5, 50, 3, 28, NULL},
        {"pending pods use nothing", "r1000 p p", 3, 50, 3, 100, NULL},
        {"pending pods and much use", "r4000 p p", 3, 50, 8, 400, NULL},
        {"metrics of others", "r4000 r9500 r3000 r7000 s3200 s2000", 4, 100, 24, 587, NULL},
        {"missing use all when down", "r400 r95 m m", 4, 100, 3, 24, NULL},
        {"missing use nothing when up", "r1900 m", 2, 100, 2, 190, NULL},
        {"missing and just right", "r1000 m", 2, 100, 2, 100, NULL},
        {"missing and a bit low", "r600 m", 2, 100, 2, 60, NULL},
        {"missing use the target above 100", "r1000 r1000 m", 3, 200, 2, 100, NULL},
        {"missing and low above 100", "r100 r100 m", 3, 300, 2, 10, NULL},
        {"missing and unready", "u100 r450 m", 3, 50, 3, 45, NULL},
        {"missing, unready, and high", "u100 r2000 m", 3, 50, 4, 200, NULL},
        {"missing, hot, and high", "h100 r2000 m", 3, 50, 4, 200, NULL},
        {"missing, unready, and low", "u100 r100 r100 m", 4, 50, 3, 10, NULL},
        {"a surge of a roll-out", "r100 r100 m", 2, 50, 2, 10, NULL},
        {"a pod that lost its readiness counts", "l300 r500 r700", 3, 30, 5, 50, NULL},
        {"one that never was ready does not", "n300 r500 r700", 3, 30, 4, 60, NULL},
        {"a young one counts after a window", "y300 r500 r700", 3, 30, 5, 50, NULL},
        {"one that says nothing does not count", "c300 r500 r700", 3, 30, 4, 60, NULL},
        {"nor one that has no start", "t300 r500 r700", 3, 30, 4, 60, NULL},
        {"one that nobody knows of does", "k300 r500 r700", 3, 30, 5, 50, NULL},
        {"no pods", "", 1, 30, nothing, 0,
         "no pods returned by selector while calculating replica count"},
        {"only others' metrics", "s500 s600", 1, 30, nothing, 0,
         "no pods returned by selector while calculating replica count"},
        {"no metrics", "m m", 2, 30, nothing, 0, NO_METRICS},
        {"only unready pods", "u300 p", 2, 30, nothing, 0, NO_METRICS},
        {"only pods that go", "d300 f300", 2, 30, nothing, 0, NO_METRICS},
        {"metrics of none of them", "m s500", 1, 30, nothing, 0,
         "no metrics returned matched known pods"},
        {"nothing requested", "r300/0", 1, 30, nothing, 0,
         "no metrics returned matched known pods"},
    };
    check_all(cases, array_length(cases), true, true);
}

static void memory_does_not_wait_for_readiness(void **state)
{
    (void)state;
    static const struct average_case cases[] = {
        {"unready pods count", "u300 r500 r700", 3, 30, 5, 50, NULL},
        {"hot pods count", "h300 r500 r700", 3, 30, 5, 50, NULL},
        {"pending pods do not", "p300 r500 r700", 3, 30, 4, 60, NULL},
    };
    check_all(cases, array_length(cases), false, true);
}

static void pods_follow_an_average(void **state)
{
    (void)state;
    static const struct average_case cases[] = {
        {"up", "r20000 r10000 r30000", 3, 15000, 4, 20000, NULL},
        {"unready pods count", "u50000 h10000 r30000", 3, 15000, 6, 30000, NULL},
        {"down", "r12000 r12000 r12000 r12000 r12000", 5, 20000, 3, 12000, NULL},
        {"within the tolerance", "r20000 r21000 r21000", 3, 20000, 3, 20666, NULL},
        {"missing use the target when down", "r100 r100 m", 3, 1000, 2, 100, NULL},
        {"missing use nothing when up", "r3000 m", 2, 1000, 3, 3000, NULL},
        {"missing and just right", "r1000 m", 2, 1000, 2, 1000, NULL},
        {"missing do not turn it", "r1500 m", 2, 1000, 2, 1500, NULL},
        {"pending pods use nothing", "r3000 p", 2, 1000, 3, 3000, NULL},
        {"metrics of others count", "r1000 s3000", 1, 1000, 2, 2000, NULL},
        {"a surge of a roll-out", "r10000 m m", 2, 17000, 2, 10000, NULL},
        {"no pods", "", 1, 30, nothing, 0,
         "no pods returned by selector while calculating replica count"},
        {"no metrics", "m", 1, 30, nothing, 0, NO_METRICS},
    };
    check_all(cases, array_length(cases), false, false);
}

static void an_average_of_cpu_waits_for_readiness(void **state)
{
    (void)state;
    static const struct average_case cases[] = {
        {"unready pods use nothing", "u300 r500 r700", 3, 300, 4, 600, NULL},
        {"unready pods hold it up", "r400 u500 u700", 3, 300, 3, 400, NULL},
        {"without the unready when down", "r100 r300 r500 u250 u250", 5, 500, 2, 300, NULL},
    };
    check_all(cases, array_length(cases), true, false);
}

static void ready_pods_follow_a_value(void **state)
{
    (void)state;
    static const struct {
        const char *pods;
        int32_t current;
        int64_t value, target;
        int32_t expected; /* nothing: an error. */
    } cases[] = {
        {"r r r", 3, 20000, 15000, 4},
        {"u r n", 3, 50000, 10000, 5},
        {"r", 1, 8600, 4400, 2},
        {"u r n", 3, 8600, 4400, 2},
        {"p f r", 3, 8600, 4400, 2},
        {"r r r r r", 5, 12000, 20000, 3},
        {"r r r r r", 5, 8600, 14334, 3},
        {"r r r", 3, 20666, 20000, 3},
        {"r r r", 3, 8600, 8888, 3},
        {"", 0, 8600, 4400, 2},
        {"", 0, 0, 4400, 0},
        {"r r", 2, 0, 4400, 0},
        {"", 1, 8600, 4400, nothing},
        {"r r", 2, INT64_MAX, 1, INT32_MAX},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        struct autoscaler_pod pods[pods_max];
        struct autoscaler_proposal proposal = {0};
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        cleanup(free_char)
        char *text = duplicate(cases[i].pods);
        struct autoscaler_scene scene = scene_of(pods, read_pods(text, pods), cases[i].current);
        bool done = autoscaler_by_value(&scene, cases[i].value, cases[i].target, &proposal, &error);
        if (done != (cases[i].expected != nothing) ||
            (done && proposal.replicas != cases[i].expected)) {
            fail_msg("case %zu: %d replicas, not %d", i, (int)proposal.replicas,
                     (int)cases[i].expected);
        }
        assert_true(!done || proposal.value == cases[i].value);
        assert_true(done ||
                    strcmp(error.message, "unable to calculate ready pods: no pods returned "
                                          "by selector while calculating replica count") == 0);
    }
}

static void pods_share_a_value(void **state)
{
    (void)state;
    static const struct {
        int32_t present;
        int64_t value, target;
        int32_t expected;
        int64_t share;
    } cases[] = {
        {3, 40000, 10000, 4, 13334},
        {3, 8600, 2150, 4, 2867},
        {5, 8600, 2867, 3, 1720},
        {3, 8600, 2900, 3, 2867},
        {4, 20166 * 4, 20000, 4, 20166},
        {1, 95000, 10000, 10, 95000},
        {0, 95000, 10000, 10, 0},
        {0, 0, 10000, 0, 0},
        {3, 0, 10000, 0, 0},
        {1, INT64_MAX, 1, INT32_MAX, INT64_MAX},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        struct autoscaler_proposal proposal;
        autoscaler_by_share(cases[i].present, 0.1, cases[i].value, cases[i].target, &proposal);
        if (proposal.replicas != cases[i].expected || proposal.value != cases[i].share) {
            fail_msg("case %zu: %d replicas of %lld", i, (int)proposal.replicas,
                     (long long)proposal.value);
        }
    }
}

static void the_tolerance_can_be_chosen(void **state)
{
    (void)state;
    struct autoscaler_pod pods[pods_max];
    struct autoscaler_proposal proposal;
    char text[] = "r1200 r1200";
    struct autoscaler_scene scene = scene_of(pods, read_pods(text, pods), 2);
    scene.tolerance = 0.2;
    assert_true(autoscaler_by_utilization(&scene, 100, &proposal, NULL));
    assert_int_equal(proposal.replicas, 2);
    scene.tolerance = 0.19;
    assert_true(autoscaler_by_utilization(&scene, 100, &proposal, NULL));
    assert_int_equal(proposal.replicas, 3);
}

/* The same load on any number of pods leads to the same number of them. */
static void the_answer_does_not_depend_on_where_one_is(void **state)
{
    (void)state;
    for (int32_t current = 1; current <= 60; current++) {
        struct autoscaler_pod pods[pods_max];
        struct autoscaler_proposal proposal;
        for (int32_t i = 0; i < current; i++) {
            pods[i] = read_pod("r0");
            pods[i].value = 24000 / current;
        }
        struct autoscaler_scene scene = scene_of(pods, (size_t)current, current);
        assert_true(autoscaler_by_average(&scene, 1000, &proposal, NULL));
        bool stays = current >= 22 && current <= 26;
        assert_in_range(proposal.replicas, stays ? (uint64_t)current : 23,
                        stays ? (uint64_t)current : 24);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pods_follow_their_use_of_cpu),
        cmocka_unit_test(memory_does_not_wait_for_readiness),
        cmocka_unit_test(pods_follow_an_average),
        cmocka_unit_test(an_average_of_cpu_waits_for_readiness),
        cmocka_unit_test(ready_pods_follow_a_value),
        cmocka_unit_test(pods_share_a_value),
        cmocka_unit_test(the_tolerance_can_be_chosen),
        cmocka_unit_test(the_answer_does_not_depend_on_where_one_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

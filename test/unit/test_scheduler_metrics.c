// SPDX-License-Identifier: Apache-2.0
/* Dashboards ask for these names. */
#include "test/unit/scheduler_harness.h"

#include "scheduler/scheduler_metrics.h"

#define SECOND INT64_C(1000000000)

struct told {
    struct metrics *registry;
    struct scheduler_metrics *metrics;
    struct buffer text;
};

static struct pod_class mine = {.scheduler_name = "mine"};

static int set_up(void **state)
{
    struct told *told = allocate_struct(struct told);
    told->registry = metrics_new();
    told->metrics = scheduler_metrics_new(told->registry);
    *state = told;
    return 0;
}

static int tear_down(void **state)
{
    struct told *told = *state;
    scheduler_metrics_free(told->metrics);
    metrics_free(told->registry);
    buffer_free(&told->text);
    free(told);
    return 0;
}

/* The line is among those that are served. */
static void assert_line(struct told *told, const char *line)
{
    buffer_free(&told->text);
    told->text = BUFFER_INIT;
    metrics_render(told->registry, &told->text);
    cleanup(free_char)
    char *whole = format("\n%s\n", line);
    if (strstr(buffer_text(&told->text), whole) == NULL) {
        fail_msg("no line '%s' in:\n%s", line, buffer_text(&told->text));
    }
}

static void attempts_are_counted_and_timed_by_their_result(void **state)
{
    struct told *told = *state;
    struct queued_pod pod = {.class = &mine, .attempts = 2, .added = 0, .tried = 5 * SECOND};
    scheduler_metrics_attempted(told->metrics, &pod, "scheduled", 5 * SECOND + SECOND / 200);
    assert_line(told, "scheduler_schedule_attempts_total{result=\"scheduled\",profile=\"mine\"} 1");
    assert_line(told, "scheduler_scheduling_attempt_duration_seconds_bucket{result=\"scheduled\","
                      "profile=\"mine\",le=\"0.004\"} 0");
    assert_line(told, "scheduler_scheduling_attempt_duration_seconds_bucket{result=\"scheduled\","
                      "profile=\"mine\",le=\"0.008\"} 1");
    assert_line(told, "scheduler_pod_scheduling_attempts_sum 2");
    assert_line(told, "scheduler_pod_scheduling_sli_duration_seconds_count{attempts=\"2\"} 1");
}

static void only_what_was_scheduled_counts_as_a_pods_end(void **state)
{
    struct told *told = *state;
    struct queued_pod pod = {.class = &mine, .attempts = 20};
    scheduler_metrics_attempted(told->metrics, &pod, "unschedulable", SECOND);
    scheduler_metrics_attempted(told->metrics, &pod, "error", SECOND);
    scheduler_metrics_attempted(told->metrics, &pod, "scheduled", SECOND);
    assert_line(told, "scheduler_schedule_attempts_total{result=\"unschedulable\",profile="
                      "\"mine\"} 1");
    assert_line(told, "scheduler_schedule_attempts_total{result=\"error\",profile=\"mine\"} 1");
    assert_line(told, "scheduler_pod_scheduling_attempts_count 1");
    assert_line(told, "scheduler_pod_scheduling_sli_duration_seconds_count{attempts=\"15+\"} 1");
}

static void plugins_are_timed_by_extension_point(void **state)
{
    struct told *told = *state;
    struct decider decider = {.filter_ns = SECOND, .score_ns = SECOND / 2};
    scheduler_metrics_decided(told->metrics, &decider, "mine", true);
    scheduler_metrics_decided(told->metrics, &decider, "mine", false);
    assert_line(told, "scheduler_framework_extension_point_duration_seconds_sum{extension_point="
                      "\"Score\",status=\"Success\",profile=\"mine\"} 0.5");
    assert_line(told, "scheduler_framework_extension_point_duration_seconds_count{extension_point="
                      "\"Filter\",status=\"Unschedulable\",profile=\"mine\"} 1");
    assert_line(told, "scheduler_scheduling_algorithm_duration_seconds_count 2");
}

static void the_queue_is_shown_as_it_is_and_what_came_into_it_once(void **state)
{
    struct told *told = *state;
    struct queue queue = {0};
    struct cached_object *pod = make_pod("p", "\"containers\":[]");
    queue_put(&queue, pod->key, pod->uid, class_of(pod));
    scheduler_metrics_show_queue(told->metrics, &queue);
    scheduler_metrics_show_queue(told->metrics, &queue);
    assert_line(told, "scheduler_pending_pods{queue=\"active\"} 1");
    assert_line(told, "scheduler_pending_pods{queue=\"gated\"} 0");
    assert_line(told, "scheduler_queue_incoming_pods_total{queue=\"active\",event="
                      "\"UnschedulablePodAdd\"} 1");
    queue_park(&queue, queue_pop(&queue), 1);
    scheduler_metrics_show_queue(told->metrics, &queue);
    assert_line(told, "scheduler_pending_pods{queue=\"active\"} 0");
    assert_line(told, "scheduler_pending_pods{queue=\"unschedulable\"} 1");
    assert_line(told, "scheduler_queue_incoming_pods_total{queue=\"unschedulable\",event="
                      "\"ScheduleAttemptFailure\"} 1");
    queue_clear(&queue);
    cached_object_unref(pod);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(attempts_are_counted_and_timed_by_their_result),
        TEST(only_what_was_scheduled_counts_as_a_pods_end),
        TEST(plugins_are_timed_by_extension_point),
        TEST(the_queue_is_shown_as_it_is_and_what_came_into_it_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

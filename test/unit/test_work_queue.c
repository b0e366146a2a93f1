// SPDX-License-Identifier: Apache-2.0
/* The work queue of controllers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "common/work_queue.h"

static void queue_release(struct work_queue **queue)
{
    work_queue_free(*queue);
}

static void assert_next(struct work_queue *queue, const char *expected)
{
    cleanup(free_char)
    char *key = work_queue_get(queue);
    assert_string_equal(key, expected);
}

static void keys_come_in_the_order_of_adding_and_once(void **state)
{
    (void)state;
    cleanup(queue_release)
    struct work_queue *queue = work_queue_new("q", NULL);
    work_queue_add(queue, "a");
    work_queue_add(queue, "b");
    work_queue_add(queue, "a");
    assert_int_equal(work_queue_length(queue), 2);
    assert_next(queue, "a");
    assert_next(queue, "b");
    assert_int_equal(work_queue_length(queue), 0);
}

static void a_key_that_is_worked_on_comes_again_after_it(void **state)
{
    (void)state;
    cleanup(queue_release)
    struct work_queue *queue = work_queue_new("q", NULL);
    work_queue_add(queue, "a");
    assert_next(queue, "a");
    work_queue_add(queue, "a");
    work_queue_add(queue, "a");
    assert_int_equal(work_queue_length(queue), 0);
    work_queue_done(queue, "a");
    assert_int_equal(work_queue_length(queue), 1);
    assert_next(queue, "a");
    work_queue_done(queue, "a");
    assert_int_equal(work_queue_length(queue), 0);
}

static void a_delayed_key_comes_after_its_time(void **state)
{
    (void)state;
    cleanup(queue_release)
    struct work_queue *queue = work_queue_new("q", NULL);
    int64_t before = timestamp_monotonic();
    work_queue_add_after(queue, "later", 60);
    work_queue_add_after(queue, "sooner", 30);
    work_queue_add(queue, "now");
    assert_next(queue, "now");
    assert_next(queue, "sooner");
    assert_true(timestamp_monotonic() - before >= 30 * INT64_C(1000000));
    assert_next(queue, "later");
    assert_true(timestamp_monotonic() - before >= 60 * INT64_C(1000000));
}

static void of_two_delays_the_earlier_counts(void **state)
{
    (void)state;
    cleanup(queue_release)
    struct work_queue *queue = work_queue_new("q", NULL);
    work_queue_add_after(queue, "a", 3600000);
    work_queue_add_after(queue, "a", 10);
    work_queue_add_after(queue, "a", 3600000);
    assert_next(queue, "a");
}

static void many_delays_come_in_order(void **state)
{
    (void)state;
    cleanup(queue_release)
    struct work_queue *queue = work_queue_new("q", NULL);
    for (int i = 0; i < 50; i++) {
        char key[16];
        int delay = (i * 37) % 50;
        snprintf(key, sizeof key, "%02d", delay);
        work_queue_add_after(queue, key, 20 + delay * 2);
    }
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "%02d", i);
        assert_next(queue, key);
    }
}

static void failures_are_counted_until_forgotten(void **state)
{
    (void)state;
    cleanup(queue_release)
    struct work_queue *queue = work_queue_new("q", NULL);
    for (int i = 1; i <= 3; i++) {
        work_queue_add_rate_limited(queue, "a");
        assert_int_equal(work_queue_failures(queue, "a"), i);
        assert_next(queue, "a");
        work_queue_done(queue, "a");
    }
    work_queue_forget(queue, "a");
    assert_int_equal(work_queue_failures(queue, "a"), 0);
}

static void each_failure_doubles_the_delay(void **state)
{
    (void)state;
    cleanup(queue_release)
    struct work_queue *queue = work_queue_new("q", NULL);
    int64_t before = timestamp_monotonic();
    for (int i = 0; i < 5; i++) { /* 5 + 10 + 20 + 40 + 80 ms */
        work_queue_add_rate_limited(queue, "a");
        assert_next(queue, "a");
        work_queue_done(queue, "a");
    }
    assert_true(timestamp_monotonic() - before >= 155 * INT64_C(1000000));
}

static void *get_one(void *queue)
{
    return work_queue_get(queue);
}

static void stopping_wakes_those_who_wait(void **state)
{
    (void)state;
    cleanup(queue_release)
    struct work_queue *queue = work_queue_new("q", NULL);
    pthread_t workers[3];
    for (int i = 0; i < 3; i++) {
        pthread_create(&workers[i], NULL, get_one, queue);
    }
    work_queue_stop(queue);
    for (int i = 0; i < 3; i++) {
        void *key;
        pthread_join(workers[i], &key);
        assert_null(key);
    }
}

struct count {
    struct work_queue *queue;
    pthread_mutex_t lock;
    int seen[10], held[10];
    bool overlapped;
};

static void *work(void *argument)
{
    struct count *count = argument;
    for (char *key; (key = work_queue_get(count->queue)) != NULL; free(key)) {
        int number = key[0] - '0';
        pthread_mutex_lock(&count->lock);
        count->seen[number]++;
        count->overlapped = count->overlapped || ++count->held[number] > 1;
        pthread_mutex_unlock(&count->lock);
        sched_yield();
        pthread_mutex_lock(&count->lock);
        count->held[number]--;
        pthread_mutex_unlock(&count->lock);
        work_queue_done(count->queue, key);
    }
    return NULL;
}

static void no_key_is_with_two_workers(void **state)
{
    (void)state;
    cleanup(queue_release)
    struct work_queue *queue = work_queue_new("q", NULL);
    struct count count = {.queue = queue, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t workers[4];
    for (int i = 0; i < 4; i++) {
        pthread_create(&workers[i], NULL, work, &count);
    }
    for (int i = 0; i < 20000; i++) {
        char key[2] = {(char)('0' + i % 10), '\0'};
        work_queue_add(queue, key);
    }
    while (work_queue_length(queue) > 0) {
        sched_yield();
    }
    work_queue_stop(queue);
    for (int i = 0; i < 4; i++) {
        pthread_join(workers[i], NULL);
    }
    assert_false(count.overlapped);
    for (int i = 0; i < 10; i++) {
        assert_true(count.seen[i] > 0);
    }
}

static void metrics_are_upstreams(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    struct work_queue_metrics *queue_metrics = work_queue_metrics_new(metrics);
    struct work_queue *queue = work_queue_new("q", queue_metrics);
    work_queue_add(queue, "a");
    work_queue_add(queue, "b");
    assert_next(queue, "a");
    work_queue_done(queue, "a");
    struct buffer text = BUFFER_INIT;
    metrics_render(metrics, &text);
    assert_non_null(strstr(buffer_text(&text), "workqueue_depth{name=\"q\"} 1\n"));
    assert_non_null(strstr(buffer_text(&text), "workqueue_adds_total{name=\"q\"} 2\n"));
    assert_non_null(
        strstr(buffer_text(&text), "workqueue_work_duration_seconds_count{name=\"q\"} 1\n"));
    buffer_free(&text);
    work_queue_free(queue);
    work_queue_metrics_free(queue_metrics);
    metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_come_in_the_order_of_adding_and_once),
        cmocka_unit_test(a_key_that_is_worked_on_comes_again_after_it),
        cmocka_unit_test(a_delayed_key_comes_after_its_time),
        cmocka_unit_test(of_two_delays_the_earlier_counts),
        cmocka_unit_test(many_delays_come_in_order),
        cmocka_unit_test(failures_are_counted_until_forgotten),
        cmocka_unit_test(each_failure_doubles_the_delay),
        cmocka_unit_test(stopping_wakes_those_who_wait),
        cmocka_unit_test(no_key_is_with_two_workers),
        cmocka_unit_test(metrics_are_upstreams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

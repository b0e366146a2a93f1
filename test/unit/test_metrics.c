// SPDX-License-Identifier: Apache-2.0
/* Metrics: what is counted stands in the text, whatever the labels hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/metrics.h"

static const char *const labels[] = {"verb", "resource", "code", NULL};

static char *rendered(struct metrics *metrics)
{
    struct buffer text = BUFFER_INIT;
    metrics_render(metrics, &text);
    return buffer_steal(&text);
}

static void assert_renders(struct metrics *metrics, const char *line)
{
    cleanup(free_char)
    char *text = rendered(metrics);
    if (strstr(text, line) == NULL) {
        fail_msg("no \"%s\" in:\n%s", line, text);
    }
}

static void a_counter_adds_up_for_each_combination_of_labels(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    struct metric *requests = metrics_counter(metrics, "requests_total", "Requests.", labels);
    metric_add(requests, 1, metric_labels("GET", "pods", "200"));
    metric_add(requests, 2, metric_labels("GET", "pods", "200"));
    metric_add(requests, 1, metric_labels("LIST", "pods", "200"));
    assert_renders(metrics, "# HELP requests_total Requests.\n# TYPE requests_total counter\n");
    assert_renders(metrics, "requests_total{verb=\"GET\",resource=\"pods\",code=\"200\"} 3\n");
    assert_renders(metrics, "requests_total{verb=\"LIST\",resource=\"pods\",code=\"200\"} 1\n");
    metrics_free(metrics);
}

static void a_histogram_counts_in_every_bucket_above_the_value(void **state)
{
    (void)state;
    static const double bounds[] = {0.5, 2};
    struct metrics *metrics = metrics_new();
    struct metric *times =
        metrics_histogram(metrics, "seconds", "Time.", metric_no_labels, bounds, 2);
    metric_observe(times, 0.5, metric_no_labels);
    metric_observe(times, 1, metric_no_labels);
    metric_observe(times, 9, metric_no_labels);
    assert_renders(metrics, "seconds_bucket{le=\"0.5\"} 1\nseconds_bucket{le=\"2\"} 2\n"
                            "seconds_bucket{le=\"+Inf\"} 3\nseconds_sum 10.5\nseconds_count 3\n");
    metrics_free(metrics);
}

static void buckets_have_their_labels_and_a_bound(void **state)
{
    (void)state;
    static const double bounds[] = {0.0001, 1e6};
    static const char *const verb[] = {"verb", NULL};
    struct metrics *metrics = metrics_new();
    struct metric *times = metrics_histogram(metrics, "seconds", "Time.", verb, bounds, 2);
    metric_observe(times, 0.25, metric_labels("GET"));
    assert_renders(metrics, "seconds_bucket{verb=\"GET\",le=\"0.0001\"} 0\n"
                            "seconds_bucket{verb=\"GET\",le=\"1e+06\"} 1\n"
                            "seconds_bucket{verb=\"GET\",le=\"+Inf\"} 1\n"
                            "seconds_sum{verb=\"GET\"} 0.25\nseconds_count{verb=\"GET\"} 1\n");
    metrics_free(metrics);
}

static void values_are_printed_as_short_as_they_are(void **state)
{
    static const struct {
        double value;
        const char *line;
    } cases[] = {{0, "g 0\n"},        {-3, "g -3\n"},
                 {0.5, "g 0.5\n"},    {123456789012345, "g 123456789012345\n"},
                 {1e15, "g 1e+15\n"}, {1.25e9, "g 1250000000\n"}};
    (void)state;
    struct metrics *metrics = metrics_new();
    struct metric *gauge = metrics_gauge(metrics, "g", "Gauge.", metric_no_labels);
    for (size_t i = 0; i < array_length(cases); i++) {
        metric_set(gauge, cases[i].value, metric_no_labels);
        assert_renders(metrics, cases[i].line);
    }
    metrics_free(metrics);
}

static void label_values_of_any_length_are_counted_and_cut(void **state)
{
    (void)state;
    char value[5000];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    struct metrics *metrics = metrics_new();
    struct metric *requests = metrics_counter(metrics, "requests_total", "Requests.", labels);
    metric_add(requests, 1, metric_labels(value, value, value));
    metric_add(requests, 1, metric_labels(value, value, value));
    assert_renders(metrics, "xxx\"} 2\n");
    cleanup(free_char)
    char *text = rendered(metrics);
    assert_null(strstr(text, value));
    metrics_free(metrics);
}

static void label_values_are_escaped(void **state)
{
    (void)state;
    static const char *const path[] = {"path", NULL};
    struct metrics *metrics = metrics_new();
    struct metric *gauge = metrics_gauge(metrics, "size", "Size.", path);
    metric_set(gauge, 4, metric_labels("a\"b\\c\nd"));
    assert_renders(metrics, "size{path=\"a\\\"b\\\\c\\nd\"} 4\n");
    metrics_free(metrics);
}

static void series_beyond_the_limit_count_as_other(void **state)
{
    (void)state;
    static const char *const path[] = {"path", NULL};
    struct metrics *metrics = metrics_new();
    struct metric *counter = metrics_counter(metrics, "reads_total", "Reads.", path);
    for (int i = 0; i < 4096 + 10; i++) {
        cleanup(free_char)
        char *name = format("%d", i);
        metric_add(counter, 1, metric_labels(name));
    }
    assert_renders(metrics, "reads_total{path=\"other\"} 10\n");
    metrics_free(metrics);
}

static void the_process_tells_about_itself(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    assert_renders(metrics, "\nprocess_cpu_seconds_total ");
    assert_renders(metrics, "\nprocess_resident_memory_bytes ");
    assert_renders(metrics, "\nprocess_open_fds ");
    assert_renders(metrics, "\nprocess_start_time_seconds ");
    metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_counter_adds_up_for_each_combination_of_labels),
        cmocka_unit_test(a_histogram_counts_in_every_bucket_above_the_value),
        cmocka_unit_test(buckets_have_their_labels_and_a_bound),
        cmocka_unit_test(values_are_printed_as_short_as_they_are),
        cmocka_unit_test(label_values_of_any_length_are_counted_and_cut),
        cmocka_unit_test(label_values_are_escaped),
        cmocka_unit_test(series_beyond_the_limit_count_as_other),
        cmocka_unit_test(the_process_tells_about_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

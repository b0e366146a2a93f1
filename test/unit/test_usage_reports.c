// SPDX-License-Identifier: Apache-2.0
/* What nodes say is in use: what counts as a report, whose pods it may speak of, and how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/registry/usage_reports.h"
#include "common/alloc.h"
#include "common/json.h"

static const int64_t second = 1000000000;

/* The node has the pod default/web with the uid u-1, and knows of another node's default/foreign.
 */
static bool has_pod(void *argument, const char *key, const char *uid, struct error *error)
{
    (void)argument;
    if (strcmp(key, "default/foreign") == 0) {
        return error_forbidden(error, "", "pods", "foreign", "not yours");
    }
    return strcmp(key, "default/web") == 0 && strcmp(uid, "u-1") == 0;
}

static struct usage_report *parse(const char *text, struct error *error)
{
    cleanup(json_release)
    json_t *tree = json_parse(text, strlen(text), NULL);
    assert_non_null(tree);
    return usage_report_new(tree, has_pod, NULL, error);
}

/* A report of nothing but the node itself. */
static struct usage_report *plain(const char *window)
{
    cleanup(free_char)
    char *text =
        format("{\"window\": \"%s\", \"usage\": {\"cpu\": \"1\", \"memory\": \"1Ki\"}}", window);
    return parse(text, NULL);
}

static void a_report_is_read(void **state)
{
    (void)state;
    cleanup(usage_report_release)
    struct usage_report *report = parse(
        "{\"window\": \"15s\", \"usage\": {\"cpu\": \"1500m\", \"memory\": \"2Mi\"}, \"pods\": "
        "[{\"namespace\": \"default\", \"name\": \"web\", \"uid\": \"u-1\", \"containers\": "
        "[{\"name\": \"a\", \"usage\": {\"cpu\": \"7n\", \"memory\": \"3\"}},"
        " {\"name\": \"b\", \"usage\": {\"cpu\": \"0\", \"memory\": \"1Ki\"}}]}]}",
        NULL);
    assert_non_null(report);
    assert_int_equal(report->window_ns, 15 * second);
    assert_int_equal(report->usage.cpu_nano, 1500000000);
    assert_int_equal(report->usage.memory_bytes, 2 << 20);
    const struct pod_usage *pod = usage_report_pod(report, "default/web", "u-1");
    assert_non_null(pod);
    assert_int_equal(pod->container_count, 2);
    assert_string_equal(pod->containers[0].name, "a");
    assert_int_equal(pod->containers[0].usage.cpu_nano, 7);
    assert_int_equal(pod->containers[0].usage.memory_bytes, 3);
    assert_string_equal(pod->containers[1].name, "b");
    assert_int_equal(pod->containers[1].usage.memory_bytes, 1024);
}

static void a_pod_is_known_by_its_uid_only(void **state)
{
    (void)state;
    static const char text[] =
        "{\"window\": \"15s\", \"usage\": {\"cpu\": \"1\", \"memory\": \"2Mi\"}, \"pods\": ["
        "{\"namespace\": \"default\", \"name\": \"web\", \"uid\": \"%s\", \"containers\": []}]}";
    cleanup(free_char)
    char *right = format(text, "u-1"), *wrong = format(text, "u-0");
    cleanup(usage_report_release)
    struct usage_report *report = parse(right, NULL), *former = parse(wrong, NULL);
    assert_non_null(usage_report_pod(report, "default/web", "u-1"));
    assert_null(usage_report_pod(report, "default/web", "u-2"));
    assert_null(usage_report_pod(report, "default/other", "u-1"));
    assert_int_equal(former->pods.count, 0);
}

static void a_pod_that_is_told_twice_counts_once(void **state)
{
    (void)state;
    static const char pod[] = "{\"namespace\": \"default\", \"name\": \"web\", \"uid\": \"u-1\"}";
    cleanup(free_char)
    char *text = format("{\"window\": \"15s\", \"usage\": {\"cpu\": \"1\", \"memory\": \"2Mi\"}, "
                        "\"pods\": [%s, %s]}",
                        pod, pod);
    cleanup(usage_report_release)
    struct usage_report *report = parse(text, NULL);
    assert_int_equal(report->pods.count, 1);
}

static void what_is_no_report_is_refused(void **state)
{
    (void)state;
#define POD(rest)                                                                                  \
    "{\"window\": \"1s\", \"usage\": {\"cpu\": \"1\", \"memory\": \"1\"}, \"pods\": [" rest "]}"
#define OWN "{\"namespace\": \"default\", \"name\": \"web\", \"uid\": \"u-1\", \"containers\": "
    static const struct {
        const char *text;
        int code;
    } cases[] = {
        {"{}", 400},
        {"{\"window\": \"soon\", \"usage\": {\"cpu\": \"1\", \"memory\": \"1\"}}", 400},
        {"{\"window\": \"0s\", \"usage\": {\"cpu\": \"1\", \"memory\": \"1\"}}", 400},
        {"{\"window\": \"11m\", \"usage\": {\"cpu\": \"1\", \"memory\": \"1\"}}", 400},
        {"{\"window\": \"1s\", \"usage\": {\"cpu\": \"1\"}}", 400},
        {"{\"window\": \"1s\", \"usage\": {\"cpu\": \"-1\", \"memory\": \"1\"}}", 400},
        {"{\"window\": \"1s\", \"usage\": {\"cpu\": \"lots\", \"memory\": \"1\"}}", 400},
        {POD("{}"), 400},
        {POD("{\"namespace\": \"default\", \"name\": \"web\"}"), 400},
        {POD(OWN "[{}]}"), 400},
        {POD(OWN "[{\"name\": \"\"}]}"), 400},
        {POD(OWN "[{\"name\": \"a\"}]}"), 400},
        {POD("{\"namespace\": \"default\", \"name\": \"foreign\", \"uid\": \"u-9\"}"), 403},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        assert_null(parse(cases[i].text, &error));
        assert_int_equal(error.code, cases[i].code);
    }
}

static void a_pod_has_no_end_of_containers(void **state)
{
    (void)state;
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    buffer_add_text(&text, "{\"window\": \"1s\", \"usage\": {\"cpu\": \"1\", \"memory\": \"1\"}, "
                           "\"pods\": [" OWN "[");
    for (int i = 0; i <= USAGE_CONTAINERS_MAX; i++) {
        buffer_addf(&text, "%s{\"name\": \"c%d\", \"usage\": {\"cpu\": \"1\", \"memory\": \"1\"}}",
                    i > 0 ? "," : "", i);
    }
    buffer_add_text(&text, "]}]}");
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_null(parse(buffer_text(&text), &error));
    assert_int_equal(error.code, 400);
}

static bool is_known(struct usage_reports *reports, const char *node, int64_t now)
{
    cleanup(usage_report_release)
    struct usage_report *report = usage_reports_get(reports, node, strlen(node), now);
    return report != NULL;
}

static void a_report_lasts_for_three_windows(void **state)
{
    (void)state;
    struct usage_reports *reports = usage_reports_new();
    usage_reports_put(reports, "slow", plain("30s"), 100 * second);
    usage_reports_put(reports, "quick", plain("1s"), 100 * second);
    assert_false(is_known(reports, "none", 100 * second));
    assert_true(is_known(reports, "quick", 114 * second)); /* Not less than 15 s. */
    assert_false(is_known(reports, "quick", 115 * second));
    assert_true(is_known(reports, "slow", 189 * second));
    assert_false(is_known(reports, "slow", 190 * second));
    usage_reports_free(reports);
}

static void the_latest_report_counts(void **state)
{
    (void)state;
    struct usage_reports *reports = usage_reports_new();
    usage_reports_put(reports, "a", plain("1s"), 100 * second);
    cleanup(usage_report_release)
    struct usage_report *held = usage_reports_get(reports, "a", 1, 100 * second);
    usage_reports_put(reports, "a", plain("2s"), 110 * second);
    cleanup(usage_report_release)
    struct usage_report *latest = usage_reports_get(reports, "a", 1, 124 * second);
    assert_int_equal(held->window_ns, second); /* Whoever reads goes on undisturbed. */
    assert_int_equal(latest->window_ns, 2 * second);
    usage_reports_free(reports);
}

static void silent_nodes_take_no_memory(void **state)
{
    (void)state;
    struct usage_reports *reports = usage_reports_new();
    for (int i = 0; i < 1000; i++) {
        cleanup(free_char)
        char *node = format("node-%d", i);
        usage_reports_put(reports, node, plain("1s"), 100 * second);
    }
    assert_int_equal(usage_reports_count(reports), 1000);
    usage_reports_put(reports, "node-7", plain("1s"), 120 * second);
    assert_int_equal(usage_reports_count(reports), 1);
    assert_true(is_known(reports, "node-7", 120 * second));
    usage_reports_free(reports);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_is_read),
        cmocka_unit_test(a_pod_is_known_by_its_uid_only),
        cmocka_unit_test(a_pod_that_is_told_twice_counts_once),
        cmocka_unit_test(what_is_no_report_is_refused),
        cmocka_unit_test(a_pod_has_no_end_of_containers),
        cmocka_unit_test(a_report_lasts_for_three_windows),
        cmocka_unit_test(the_latest_report_counts),
        cmocka_unit_test(silent_nodes_take_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

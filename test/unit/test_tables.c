// SPDX-License-Identifier: Apache-2.0
/* Tables: what kubectl shows of each kind, with the words that people know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/views/columns.h"
#include "apiserver/views/render.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

static struct scheme *scheme;

static int set_up(void **state)
{
    (void)state;
    scheme = scheme_builtin();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scheme_unref(scheme);
    return 0;
}

/* The row of an object of this kind, as JSON; the caller's. */
static char *row(const char *group, const char *version, const char *plural, const char *members)
{
    const struct resource *resource = scheme_resource_find(scheme, group, version, plural);
    assert_non_null(resource);
    struct object_class *class = object_class_new(scheme_storage_resource(scheme, resource));
    cleanup(free_char)
    char *text = format("{\"kind\":\"%s\",\"apiVersion\":\"%s%s%s\",%s}", resource->kind, group,
                        group[0] ? "/" : "", version, members);
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct object *object = object_new(class, "ns/a", text, strlen(text), 1, &error);
    if (object == NULL) {
        fail_msg("%s: %s", text, error.message);
    }
    cleanup(buffer_free)
    struct buffer cells = BUFFER_INIT;
    table_cells(object, resource, &cells);
    object_unref(object);
    object_class_free(class);
    return duplicate(buffer_text(&cells));
}

struct row_case {
    const char *group, *version, *plural, *members, *cells;
};

static void check_rows(const struct row_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cleanup(free_char)
        char *cells = row(cases[i].group, cases[i].version, cases[i].plural, cases[i].members);
        assert_string_equal(cells, cases[i].cells);
    }
}

#define META "\"metadata\":{\"name\":\"a\",\"namespace\":\"ns\"}"

static void every_column_knows_how_it_is_computed(void **state)
{
    (void)state;
    for (size_t i = 0; i < scheme_resource_count(scheme); i++) {
        const struct resource *resource = scheme_resource(scheme, i);
        for (size_t at = 0; at < resource->column_count; at++) {
            const struct resource_column *column = &resource->columns[at];
            if (column->value[0] != '.' && column_find(column->value) == NULL) {
                fail_msg("%s: %s has the value %s", resource->plural, column->name, column->value);
            }
        }
    }
    assert_null(column_find("nothing"));
    assert_null(column_find(""));
    assert_null(column_find("ag"));
    assert_null(column_find("ages .a"));
}

static void every_kind_has_a_row_for_the_barest_object(void **state)
{
    (void)state;
    for (size_t i = 0; i < scheme_resource_count(scheme); i++) {
        const struct resource *resource = scheme_resource(scheme, i);
        if (resource->virtual || resource->column_count == 0) {
            continue;
        }
        cleanup(free_char)
        char *cells = row(resource->group, resource->version, resource->plural, META);
        cleanup(json_release)
        json_t *parsed = json_parse(cells, strlen(cells), NULL);
        assert_int_equal(json_array_size(parsed), resource->column_count);
        for (size_t at = 0; at < resource->column_count; at++) {
            const json_t *cell = json_array_get(parsed, at);
            const char *type = resource->columns[at].type;
            /* Upstream shows numbers in columns of strings (a ConfigMap's data), and words in
             * those of booleans (a CronJob's "<unset>"). */
            bool fits = json_is_integer(cell) || (strcmp(type, "integer") != 0 &&
                                                  (json_is_string(cell) || json_is_boolean(cell)));
            if (!fits) {
                fail_msg("%s: %s is %s, not %s", resource->plural, resource->columns[at].name,
                         cells, type);
            }
        }
    }
}

static void columns_are_described_as_upstream_describes_them(void **state)
{
    (void)state;
    cleanup(buffer_free)
    struct buffer out = BUFFER_INIT;
    table_columns(scheme_resource_find(scheme, "", "v1", "pods"), &out);
    cleanup(json_release)
    json_t *columns = json_parse(out.bytes, out.length, NULL);
    static const struct {
        const char *name;
        int priority;
    } wanted[] = {
        {"Name", 0}, {"Ready", 0}, {"Status", 0},         {"Restarts", 0},       {"Age", 0},
        {"IP", 1},   {"Node", 1},  {"Nominated Node", 1}, {"Readiness Gates", 1}};
    assert_int_equal(json_array_size(columns), array_length(wanted));
    for (size_t i = 0; i < array_length(wanted); i++) {
        const json_t *column = json_array_get(columns, i);
        assert_string_equal(json_get_string(column, "name"), wanted[i].name);
        assert_int_equal(json_get_int(column, "priority", -1), wanted[i].priority);
        assert_non_null(json_get_string(column, "description"));
    }
    assert_string_equal(json_get_string(json_array_get(columns, 0), "format"), "name");
    assert_string_equal(json_get_string(json_array_get(columns, 1), "format"), "");
}

/* A pod of two containers with this status. */
#define POD(status)                                                                                \
    META ",\"spec\":{\"containers\":[{\"name\":\"x\"},{\"name\":\"y\"}]},\"status\":{" status "}"
#define TAIL ",\"<unknown>\",\"<none>\",\"<none>\",\"<none>\",\"<none>\"]"

static void pods_tell_what_their_containers_do(void **state)
{
    (void)state;
    static const struct {
        const char *members, *cells;
    } cases[] = {
        {POD("\"phase\":\"Pending\""), "[\"a\",\"0/2\",\"Pending\",\"0\"" TAIL},
        {POD("\"phase\":\"Running\",\"containerStatuses\":[{\"ready\":true,\"restartCount\":3,"
             "\"state\":{\"running\":{}}},{\"restartCount\":3}]"),
         "[\"a\",\"1/2\",\"Running\",\"6\"" TAIL},
        {POD("\"phase\":\"Running\",\"containerStatuses\":[{\"restartCount\":1,\"state\":{"
             "\"waiting\":{\"reason\":\"CrashLoopBackOff\"}}}]"),
         "[\"a\",\"0/2\",\"CrashLoopBackOff\",\"1\"" TAIL},
        {POD("\"phase\":\"Failed\",\"containerStatuses\":[{\"state\":{\"terminated\":{\"exitCode\":"
             "3}}}]"),
         "[\"a\",\"0/2\",\"ExitCode:3\",\"0\"" TAIL},
        {POD("\"phase\":\"Failed\",\"containerStatuses\":[{\"state\":{\"terminated\":{\"signal\":9,"
             "\"exitCode\":137}}}]"),
         "[\"a\",\"0/2\",\"Signal:9\",\"0\"" TAIL},
        {POD("\"phase\":\"Succeeded\",\"containerStatuses\":[{\"state\":{\"terminated\":{"
             "\"reason\":\"Completed\",\"exitCode\":0}}}]"),
         "[\"a\",\"0/2\",\"Completed\",\"0\"" TAIL},
        {POD("\"phase\":\"Failed\",\"reason\":\"Evicted\""),
         "[\"a\",\"0/2\",\"Evicted\",\"0\"" TAIL},
        {POD("\"phase\":\"Pending\",\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\""
             ",\"reason\":\"SchedulingGated\"}]"),
         "[\"a\",\"0/2\",\"SchedulingGated\",\"0\"" TAIL},
        {"\"metadata\":{\"name\":\"a\",\"namespace\":\"ns\",\"deletionTimestamp\":"
         "\"2020-01-01T00:00:00Z\"},\"status\":{\"phase\":\"Running\"}",
         "[\"a\",\"0/0\",\"Terminating\",\"0\"" TAIL},
        {META ",\"spec\":{\"initContainers\":[{\"name\":\"i\"},{\"name\":\"j\"}],\"containers\":[{"
              "\"name\":\"x\"}]},\"status\":{\"phase\":\"Pending\",\"initContainerStatuses\":[{"
              "\"name\":\"i\",\"state\":{\"terminated\":{\"exitCode\":0}}},{\"name\":\"j\","
              "\"started\":true,\"restartCount\":2,\"state\":{\"running\":{}}}]}",
         "[\"a\",\"0/1\",\"Init:1/2\",\"2\"" TAIL},
        {META ",\"spec\":{\"initContainers\":[{\"name\":\"i\"},{\"name\":\"s\",\"restartPolicy\":"
              "\"Always\"}],\"containers\":[{\"name\":\"x\"}]},\"status\":{\"phase\":\"Running\","
              "\"initContainerStatuses\":[{\"name\":\"i\",\"restartCount\":5,\"state\":{"
              "\"terminated\":{\"exitCode\":0}}},{\"name\":\"s\",\"ready\":true,\"started\":true,"
              "\"restartCount\":2,\"state\":{\"running\":{}}}],\"containerStatuses\":[{\"name\":"
              "\"x\",\"ready\":true,\"state\":{\"running\":{}}}]}",
         "[\"a\",\"2/2\",\"Running\",\"2\"" TAIL},
        {POD("\"phase\":\"Running\",\"containerStatuses\":[{\"state\":{\"terminated\":{"
             "\"reason\":\"Completed\",\"exitCode\":0}}},{\"ready\":true,\"state\":{"
             "\"running\":{}}}],\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]"),
         "[\"a\",\"1/2\",\"NotReady\",\"0\"" TAIL},
        {META ",\"spec\":{\"initContainers\":[{\"name\":\"i\"}],\"containers\":[{\"name\":\"x\"}]},"
              "\"status\":{\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\","
              "\"state\":{\"terminated\":{\"exitCode\":1,\"reason\":\"Error\"}}}]}",
         "[\"a\",\"0/1\",\"Init:Error\",\"0\"" TAIL},
        {META ",\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":\"x\"}],\"readinessGates\":"
              "[{\"conditionType\":\"g\"}]},\"status\":{\"phase\":\"Running\",\"podIPs\":[{\"ip\":"
              "\"10.1.1.1\"}],\"podIP\":\"10.1.1.1\",\"nominatedNodeName\":\"n2\",\"conditions\":[{"
              "\"type\":\"g\",\"status\":\"True\"}]}",
         "[\"a\",\"0/1\",\"Running\",\"0\",\"<unknown>\",\"10.1.1.1\",\"n1\",\"n2\",\"1/1\"]"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(free_char)
        char *cells = row("", "v1", "pods", cases[i].members);
        assert_string_equal(cells, cases[i].cells);
    }
}

static void the_kinds_of_every_day_show_what_people_know(void **state)
{
    (void)state;
    static const struct row_case cases[] = {
        {"", "v1", "configmaps", META ",\"data\":{\"a\":\"1\"},\"binaryData\":{\"b\":\"\"}",
         "[\"a\",2,\"<unknown>\"]"},
        {"", "v1", "secrets", META ",\"type\":\"Opaque\",\"data\":{\"a\":\"\"}",
         "[\"a\",\"Opaque\",1,\"<unknown>\"]"},
        {"", "v1", "namespaces", "\"metadata\":{\"name\":\"a\"},\"status\":{\"phase\":\"Active\"}",
         "[\"a\",\"Active\",\"<unknown>\"]"},
        {"", "v1", "services",
         META ",\"spec\":{\"type\":\"NodePort\",\"clusterIP\":\"10.0.0.2\",\"ports\":[{\"port\":80,"
              "\"nodePort\":30001,\"protocol\":\"TCP\"},{\"port\":53,\"protocol\":\"UDP\"}],"
              "\"selector\":{\"app\":\"web\"}}",
         "[\"a\",\"NodePort\",\"10.0.0.2\",\"<none>\",\"80:30001/TCP,53/UDP\",\"<unknown>\","
         "\"app=web\"]"},
        {"", "v1", "services",
         META ",\"spec\":{\"type\":\"LoadBalancer\",\"clusterIP\":\"10.0.0.2\"}",
         "[\"a\",\"LoadBalancer\",\"10.0.0.2\",\"<pending>\",\"<none>\",\"<unknown>\",\"<none>\"]"},
        {"", "v1", "services",
         META ",\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"x.example\"}",
         "[\"a\",\"ExternalName\",\"<none>\",\"x.example\",\"<none>\",\"<unknown>\",\"<none>\"]"},
        {"apps", "v1", "deployments",
         META ",\"spec\":{\"replicas\":3,\"selector\":{\"matchLabels\":{\"app\":\"web\"}},"
              "\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"},{\"name\":"
              "\"d\",\"image\":\"j\"}]}}},\"status\":{\"readyReplicas\":1,\"updatedReplicas\":2,"
              "\"availableReplicas\":1}",
         "[\"a\",\"1/3\",2,1,\"<unknown>\",\"c,d\",\"i,j\",\"app=web\"]"},
        {"apps", "v1", "replicasets",
         META ",\"spec\":{\"replicas\":3},\"status\":{\"replicas\":2,\"readyReplicas\":1}",
         "[\"a\",3,2,1,\"<unknown>\",\"\",\"\",\"<none>\"]"},
    };
    check_rows(cases, array_length(cases));
}

static void an_age_is_short_for_people_and_unknown_without_a_time(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *age;
    } cases[] = {{5, "5s"}, {300, "5m"}, {3 * 3600 + 30, "3h"}, {30 * 86400, "30d"}};
    for (size_t i = 0; i < array_length(cases); i++) {
        char text[TIMESTAMP_SIZE];
        timestamp_format(timestamp_now() - cases[i].seconds * INT64_C(1000000000), text);
        cleanup(json_release)
        json_t *time = json_string(text);
        cleanup(json_release)
        json_t *age = column_age(time, "never");
        if (cases[i].seconds >= 300) { /* Shorter ones change while the test runs. */
            assert_string_equal(json_string_value(age), cases[i].age);
        } else {
            assert_int_equal(json_string_value(age)[json_string_length(age) - 1], 's');
        }
    }
    cleanup(json_release)
    json_t *absent = column_age(NULL, "never");
    assert_string_equal(json_string_value(absent), "never");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_column_knows_how_it_is_computed),
        cmocka_unit_test(every_kind_has_a_row_for_the_barest_object),
        cmocka_unit_test(columns_are_described_as_upstream_describes_them),
        cmocka_unit_test(pods_tell_what_their_containers_do),
        cmocka_unit_test(the_kinds_of_every_day_show_what_people_know),
        cmocka_unit_test(an_age_is_short_for_people_and_unknown_without_a_time),
    };
    return cmocka_run_group_tests_name("tables", tests, set_up, tear_down);
}

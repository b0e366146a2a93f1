// SPDX-License-Identifier: Apache-2.0
/* Kinds that are seen in two versions: what goes from the stored one to the other and back is what
 * it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/registry/kinds.h"
#include "common/alloc.h"
#include "common/json.h"

static json_t *parse(const char *text)
{
    json_t *tree = json_parse(text, strlen(text), NULL);
    assert_non_null(tree);
    return tree;
}

/* Takes an object to the other view, which 'looks_right' judges, and back. */
static void go_there_and_back(const char *group, const char *version, const char *plural,
                              const char *text, void (*looks_right)(const json_t *view))
{
    struct scheme *scheme = scheme_builtin();
    const struct resource *view = scheme_resource_find(scheme, group, version, plural);
    assert_non_null(view);
    const struct kind *kind = kind_find(scheme_storage_resource(scheme, view));
    cleanup(json_release)
    json_t *stored = parse(text);
    cleanup(json_release)
    json_t *object = json_deep_copy(stored);
    kind->from_storage(object, view);
    looks_right(object);
    kind->to_storage(object, view);
    cleanup(free_char)
    char *before = json_text(stored);
    cleanup(free_char)
    char *after = json_text(object);
    if (!json_equal(stored, object)) {
        fail_msg("%s\nbecame\n%s", before, after);
    }
    scheme_unref(scheme);
}

static void looks_like_v1(const json_t *view)
{
    const json_t *spec = json_object_get(view, "spec");
    assert_int_equal(json_get_int(spec, "targetCPUUtilizationPercentage", 0), 50);
    assert_int_equal(
        json_get_int(json_object_get(view, "status"), "currentCPUUtilizationPercentage", 0), 25);
    assert_null(json_object_get(spec, "metrics"));
    assert_null(json_object_get(spec, "behavior"));
    static const char *const kept[] = {"metrics", "behavior", "conditions", "current-metrics"};
    for (size_t i = 0; i < array_length(kept); i++) {
        cleanup(free_char)
        char *name = format("autoscaling.alpha.kubernetes.io/%s", kept[i]);
        assert_non_null(json_path_string(view, "metadata", "annotations", name));
    }
    cleanup(json_release)
    json_t *metrics = parse(json_path_string(view, "metadata", "annotations",
                                             "autoscaling.alpha.kubernetes.io/metrics"));
    cleanup(json_release)
    json_t *memory = parse("{\"type\":\"Resource\",\"resource\":{\"name\":\"memory\","
                           "\"targetAverageValue\":\"1Gi\"}}");
    assert_true(json_equal(json_array_get(metrics, 0), memory));
    cleanup(json_release)
    json_t *second_cpu = parse("{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\","
                               "\"targetAverageUtilization\":70}}");
    assert_true(json_equal(json_array_get(metrics, 3), second_cpu));
    cleanup(json_release)
    json_t *hits = parse("{\"name\":\"web\",\"kind\":\"Service\"}");
    assert_true(json_equal(json_path(json_array_get(metrics, 2), "object", "target"), hits));
}

static void an_autoscaler_loses_nothing_as_v1(void **state)
{
    (void)state;
    go_there_and_back(
        "autoscaling", "v1", "horizontalpodautoscalers",
        "{\"metadata\":{\"name\":\"a\",\"annotations\":{\"mine\":\"b\"}},\"spec\":{"
        "\"scaleTargetRef\":{\"kind\":\"Deployment\",\"name\":\"web\"},\"minReplicas\":1,"
        "\"maxReplicas\":5,\"metrics\":["
        "{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":"
        "\"Utilization\",\"averageUtilization\":50}}},"
        "{\"type\":\"Resource\",\"resource\":{\"name\":\"memory\",\"target\":{\"type\":"
        "\"AverageValue\",\"averageValue\":\"1Gi\"}}},"
        "{\"type\":\"Pods\",\"pods\":{\"metric\":{\"name\":\"hits\",\"selector\":{\"matchLabels\":{"
        "\"a\":\"b\"}}},\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"10\"}}},"
        "{\"type\":\"Object\",\"object\":{\"describedObject\":{\"kind\":\"Service\",\"name\":"
        "\"web\"},\"metric\":{\"name\":\"hits\"},\"target\":{\"type\":\"Value\",\"value\":\"9\"}}},"
        "{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":"
        "\"Utilization\",\"averageUtilization\":70}}},"
        "{\"type\":\"External\",\"external\":{\"metric\":{\"name\":\"queue\"},\"target\":{\"type\":"
        "\"AverageValue\",\"averageValue\":\"3\"}}}],"
        "\"behavior\":{\"scaleDown\":{\"stabilizationWindowSeconds\":60}}},"
        "\"status\":{\"currentReplicas\":2,\"desiredReplicas\":3,"
        "\"currentMetrics\":[{\"type\":\"Resource\",\"resource\":{\"name\":\"memory\",\"current\":{"
        "\"averageValue\":\"2Gi\"}}},{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\","
        "\"current\":{\"averageValue\":\"250m\",\"averageUtilization\":25}}}],"
        "\"conditions\":[{\"type\":\"AbleToScale\",\"status\":\"True\"}]}}",
        looks_like_v1);
}

static void looks_like_events(const json_t *view)
{
    assert_string_equal(json_get_string(view, "note"), "It runs.");
    assert_string_equal(json_path_string(view, "regarding", "name"), "web");
    assert_string_equal(json_get_string(view, "reportingController"), "example.com/web");
    assert_null(json_object_get(view, "message"));
    assert_null(json_object_get(view, "involvedObject"));
    assert_int_equal(json_get_int(view, "deprecatedCount", 0), 3);
}

static void an_event_loses_nothing_in_its_own_group(void **state)
{
    (void)state;
    go_there_and_back(
        "events.k8s.io", "v1", "events",
        "{\"metadata\":{\"name\":\"a\"},\"involvedObject\":{\"kind\":\"Pod\",\"name\":\"web\"},"
        "\"message\":\"It runs.\",\"reason\":\"Started\",\"type\":\"Normal\",\"count\":3,"
        "\"source\":{\"component\":\"c\",\"host\":\"h\"},\"firstTimestamp\":"
        "\"2026-01-01T00:00:00Z\",\"lastTimestamp\":\"2026-01-02T00:00:00Z\","
        "\"eventTime\":\"2026-01-01T00:00:00.000001Z\",\"action\":\"Start\","
        "\"related\":{\"kind\":\"Node\",\"name\":\"n\"},"
        "\"series\":{\"count\":2,\"lastObservedTime\":\"2026-01-02T00:00:00.000000Z\"},"
        "\"reportingComponent\":\"example.com/web\",\"reportingInstance\":\"web-1\"}",
        looks_like_events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_autoscaler_loses_nothing_as_v1),
        cmocka_unit_test(an_event_loses_nothing_in_its_own_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

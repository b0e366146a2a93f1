// SPDX-License-Identifier: Apache-2.0
/* What objects take of a quota, and which they count for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/quota.h"

static json_t *parse(const char *text)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    json_t *tree = json_parse(text, strlen(text), &error);
    if (tree == NULL) {
        fail_msg("%s: %s", text, error.message);
    }
    return tree;
}

static void kinds_count_for_their_resources(void **state)
{
    (void)state;
    static const struct {
        const char *group, *plural, *resource;
        bool tracks;
    } cases[] = {
        {"", "pods", "pods", true},
        {"", "pods", "count/pods", true},
        {"", "pods", "requests.cpu", true},
        {"", "pods", "limits.ephemeral-storage", true},
        {"", "pods", "requests.example.com/gpu", true},
        {"", "pods", "limits.example.com/gpu", false},
        {"", "pods", "hugepages-2Mi", true},
        {"", "pods", "requests.storage", false},
        {"", "pods", "services", false},
        {"", "services", "services.nodeports", true},
        {"", "persistentvolumeclaims", "requests.storage", true},
        {"", "persistentvolumeclaims", "gold.storageclass.storage.k8s.io/requests.storage", true},
        {"", "persistentvolumeclaims", "gold.storageclass.storage.k8s.io/pods", false},
        {"", "secrets", "secrets", true},
        {"", "endpoints", "endpoints", false},
        {"", "endpoints", "count/endpoints", true},
        {"apps", "deployments", "count/deployments.apps", true},
        {"apps", "deployments", "count/deployments", false},
        {"metrics.k8s.io", "pods", "pods", false},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        if (quota_tracks(cases[i].group, cases[i].plural, cases[i].resource) != cases[i].tracks) {
            fail_msg("%s %s %s", cases[i].group, cases[i].plural, cases[i].resource);
        }
    }
}

static void objects_take_what_they_ask_for(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"pods", "{}", "count/pods=1,pods=1"},
        {"pods", "{\"status\":{\"phase\":\"Failed\"}}", "count/pods=1"},
        {"pods",
         "{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\",\"hugepages-2Mi\":"
         "\"4Mi\",\"example.com/gpu\":\"2\"},\"limits\":{\"cpu\":\"2\"}}}]}}",
         "count/pods=1,cpu=1,hugepages-2Mi=4Mi,limits.cpu=2,pods=1,requests.cpu=1,"
         "requests.example.com/gpu=2,requests.hugepages-2Mi=4Mi"},
        /* Its grace period ended twice over before "now". */
        {"pods",
         "{\"metadata\":{\"deletionTimestamp\":\"2020-01-01T00:00:00Z\","
         "\"deletionGracePeriodSeconds\":30}}",
         "count/pods=1"},
        {"pods",
         "{\"metadata\":{\"deletionTimestamp\":\"2020-01-01T00:01:00Z\","
         "\"deletionGracePeriodSeconds\":30}}",
         "count/pods=1,pods=1"},
        {"services", "{\"spec\":{\"type\":\"ClusterIP\",\"ports\":[{}]}}",
         "count/services=1,services=1,services.loadbalancers=0,services.nodeports=0"},
        {"services", "{\"spec\":{\"type\":\"LoadBalancer\",\"ports\":[{},{}]}}",
         "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2"},
        {"services",
         "{\"spec\":{\"type\":\"LoadBalancer\",\"allocateLoadBalancerNodePorts\":false,"
         "\"ports\":[{},{\"nodePort\":30000}]}}",
         "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1"},
        {"persistentvolumeclaims",
         "{\"spec\":{\"storageClassName\":\"g\",\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}"
         ","
         "\"status\":{\"allocatedResources\":{\"storage\":\"2Gi\"}}}",
         "count/persistentvolumeclaims=1,g.storageclass.storage.k8s.io/persistentvolumeclaims=1,"
         "g.storageclass.storage.k8s.io/requests.storage=2Gi,persistentvolumeclaims=1,"
         "requests.storage=2Gi"},
        {"configmaps", "{}", "configmaps=1,count/configmaps=1"},
    };
    const int64_t now = INT64_C(1577836860000000000); /* 2020-01-01T00:01:00Z */
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *object = parse(cases[i][1]);
        cleanup(amounts_clear)
        struct amounts usage = AMOUNTS_INIT;
        quota_add_usage("", cases[i][0], object, now, &usage);
        cleanup(free_char)
        char *text = quota_text(&usage);
        assert_string_equal(text, cases[i][2]);
    }
}

static void scopes_choose_objects(void **state)
{
    (void)state;
    static const char *const pod = "pods", *const claim = "persistentvolumeclaims";
    static const char best_effort[] = "\"scopes\":[\"BestEffort\"]";
    static const char crossing[] = "\"scopes\":[\"CrossNamespacePodAffinity\"]";
    static const char high[] = "\"scopeSelector\":{\"matchExpressions\":[{\"scopeName\":"
                               "\"PriorityClass\",\"operator\":\"In\",\"values\":[\"high\"]}]}";
    static const char not_high[] =
        "\"scopeSelector\":{\"matchExpressions\":[{\"scopeName\":"
        "\"PriorityClass\",\"operator\":\"NotIn\",\"values\":[\"high\"]}]"
        "}";
    static const char fast[] =
        "\"scopeSelector\":{\"matchExpressions\":[{\"scopeName\":\"VolumeAttributesClass\","
        "\"operator\":\"In\",\"values\":[\"fast\"]}]}";
    const struct {
        const char *plural, *scopes, *object;
        bool matches;
    } cases[] = {
        {pod, "\"scopes\":[]", "{}", true},
        {pod, "\"scopes\":[\"Terminating\"]", "{\"spec\":{\"activeDeadlineSeconds\":1}}", true},
        {pod, "\"scopes\":[\"Terminating\"]", "{\"spec\":{}}", false},
        {pod, "\"scopes\":[\"NotTerminating\"]", "{\"spec\":{}}", true},
        {pod, best_effort, "{}", true},
        {pod, best_effort,
         "{\"spec\":{\"containers\":[{\"resources\":{\"limits\":{\"cpu\":\"1\"}}}]}}", false},
        {pod, best_effort,
         "{\"spec\":{\"containers\":[{\"resources\":{\"limits\":{\"a.b/c\":\"1\"}}}]}}", true},
        {pod, "\"scopes\":[\"BestEffort\",\"Terminating\"]", "{}", false},
        {pod, high, "{\"spec\":{\"priorityClassName\":\"high\"}}", true},
        {pod, high, "{\"spec\":{}}", false},
        {pod, not_high, "{\"spec\":{}}", true},
        {pod, crossing, "{\"spec\":{}}", false},
        {pod, crossing,
         "{\"spec\":{\"affinity\":{\"podAntiAffinity\":{"
         "\"preferredDuringSchedulingIgnoredDuringExecution\":[{\"podAffinityTerm\":{"
         "\"namespaces\":[\"x\"]}}]}}}}",
         true},
        {claim, best_effort, "{}", false},
        {claim, fast, "{\"spec\":{\"volumeAttributesClassName\":\"fast\"}}", true},
        {claim, fast, "{\"status\":{\"currentVolumeAttributesClassName\":\"fast\"}}", true},
        {claim, fast, "{}", false},
        {"configmaps", best_effort, "{}", false},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(free_char)
        char *text = format("{\"spec\":{%s}}", cases[i].scopes);
        cleanup(json_release)
        json_t *quota = parse(text);
        cleanup(json_release)
        json_t *object = parse(cases[i].object);
        if (quota_scopes_match(quota, "", cases[i].plural, object) != cases[i].matches) {
            fail_msg("%s %s", text, cases[i].object);
        }
    }
}

static void containers_say_what_is_limited(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"{\"pods\":\"1\",\"requests.ephemeral-storage\":\"1\"}",
         "{\"containers\":[{\"name\":\"a\"}]}", "fine"},
        {"{\"requests.memory\":\"1\",\"cpu\":\"1\"}",
         "{\"containers\":[{\"name\":\"b\"},{\"name\":\"a\"},{\"name\":\"c\",\"resources\":{"
         "\"requests\":{\"cpu\":\"1\"}}}],\"initContainers\":[{\"name\":\"i\"}]}",
         "must specify cpu for: a,b,i; requests.memory for: a,b,c,i"},
        {"{\"cpu\":\"1\"}",
         "{\"resources\":{\"requests\":{\"cpu\":\"1\"}},\"containers\":[{\"name\":\"b\"}]}",
         "fine"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(free_char)
        char *text = format("{\"spec\":%s}", cases[i][1]);
        cleanup(json_release)
        json_t *hard = parse(cases[i][0]);
        cleanup(json_release)
        json_t *pod = parse(text);
        cleanup(free_char)
        char *missing = quota_missing(hard, "", "pods", pod);
        assert_string_equal(missing != NULL ? missing : "fine", cases[i][2]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_count_for_their_resources),
        cmocka_unit_test(objects_take_what_they_ask_for),
        cmocka_unit_test(scopes_choose_objects),
        cmocka_unit_test(containers_say_what_is_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

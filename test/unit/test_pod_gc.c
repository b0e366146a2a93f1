// SPDX-License-Identifier: Apache-2.0
/* Which pods the garbage collector gives up, and what it says of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "controllers/pod_gc.h"
#include "controllers/pod_view.h"

static const int64_t second = 1000000000;

static void add_pod(struct cached_list *pods, const char *name, const char *created,
                    const char *reason)
{
    cleanup(free_char)
    char *text = format("{\"metadata\":{\"name\":\"%s\",\"namespace\":\"n\",\"uid\":\"u-%s\","
                        "\"generation\":3,\"creationTimestamp\":\"%s\"},\"status\":{\"phase\":"
                        "\"Failed\",\"reason\":\"%s\"}}",
                        name, name, created, reason);
    cleanup(cached_object_release)
    struct cached_object *pod = cached_object_new(&pod_class, text, strlen(text));
    assert_non_null(pod);
    cached_list_add(pods, pod);
}

static void evicted_pods_go_first_then_the_oldest(void **state)
{
    (void)state;
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    add_pod(&pods, "young", "2026-01-03T00:00:00Z", "");
    add_pod(&pods, "b", "2026-01-01T00:00:00Z", "");
    add_pod(&pods, "a", "2026-01-01T00:00:00Z", "");
    add_pod(&pods, "evicted", "2026-01-04T00:00:00Z", "Evicted");
    pod_gc_sort(&pods);
    static const char *const expected[] = {"evicted", "a", "b", "young"};
    for (size_t i = 0; i < array_length(expected); i++) {
        assert_string_equal(pods.items[i]->name, expected[i]);
    }
}

static void a_missing_node_waits_for_forty_seconds(void **state)
{
    (void)state;
    cleanup(pod_gc_quarantine_free)
    struct pod_gc_quarantine quarantine = {MAP_INIT};
    assert_false(pod_gc_quarantine_is_over(&quarantine, "n1", 100 * second));
    assert_false(pod_gc_quarantine_is_over(&quarantine, "n1", 139 * second));
    assert_true(pod_gc_quarantine_is_over(&quarantine, "n1", 140 * second));
    assert_false(pod_gc_quarantine_is_over(&quarantine, "n2", 140 * second));
}

static bool is_n1(void *argument, const char *node)
{
    (void)argument;
    return strcmp(node, "n1") == 0;
}

static void a_node_that_was_there_meanwhile_waits_anew(void **state)
{
    (void)state;
    cleanup(pod_gc_quarantine_free)
    struct pod_gc_quarantine quarantine = {MAP_INIT};
    assert_false(pod_gc_quarantine_is_over(&quarantine, "n1", 100 * second));
    assert_false(pod_gc_quarantine_is_over(&quarantine, "n2", 100 * second));
    pod_gc_quarantine_end(&quarantine, is_n1, NULL);
    assert_false(pod_gc_quarantine_is_over(&quarantine, "n1", 150 * second));
    assert_true(pod_gc_quarantine_is_over(&quarantine, "n2", 150 * second));
}

static bool is_out(const char *text)
{
    cleanup(json_release)
    json_t *node = json_loads(text, 0, NULL);
    assert_non_null(node);
    return pod_gc_is_out_of_service(node);
}

static void a_node_is_out_of_service_when_tainted_and_not_ready(void **state)
{
    (void)state;
    assert_true(
        is_out("{\"spec\":{\"taints\":[{\"key\":\"node.kubernetes.io/out-of-service\"}]},"
               "\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"Unknown\"}]}}"));
    assert_false(is_out("{\"spec\":{\"taints\":[{\"key\":\"node.kubernetes.io/out-of-service\"}]},"
                        "\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}"));
    assert_false(is_out("{\"spec\":{\"taints\":[{\"key\":\"other\"}]}}"));
    assert_false(is_out("{}"));
}

static void a_pod_of_a_node_that_is_gone_says_so(void **state)
{
    (void)state;
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    add_pod(&pods, "p", "2026-01-01T00:00:00Z", "");
    cleanup(json_release)
    json_t *patch = pod_gc_failure(pods.items[0], true, 0);
    cleanup(json_release)
    json_t *expected = json_pack(
        "{s:{s:s}, s:{s:s, s:[{s:s, s:s, s:s, s:s, s:s, s:i}]}}", "metadata", "uid", "u-p",
        "status", "phase", "Failed", "conditions", "type", "DisruptionTarget", "status", "True",
        "reason", "DeletionByPodGC", "message", "PodGC: node no longer exists",
        "lastTransitionTime", "1970-01-01T00:00:00Z", "observedGeneration", 3);
    assert_true(json_equal(patch, expected));
    cleanup(json_release)
    json_t *plain = pod_gc_failure(pods.items[0], false, 0);
    assert_null(json_object_get(json_object_get(plain, "status"), "conditions"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evicted_pods_go_first_then_the_oldest),
        cmocka_unit_test(a_missing_node_waits_for_forty_seconds),
        cmocka_unit_test(a_node_that_was_there_meanwhile_waits_anew),
        cmocka_unit_test(a_node_is_out_of_service_when_tainted_and_not_ready),
        cmocka_unit_test(a_pod_of_a_node_that_is_gone_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

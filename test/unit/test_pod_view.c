// SPDX-License-Identifier: Apache-2.0
/* What controllers see of a pod. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "controllers/pod_view.h"

static struct cached_object *pod_of(const char *text)
{
    struct cached_object *pod = cached_object_new(&pod_class, text, strlen(text));
    assert_non_null(pod);
    return pod;
}

static void a_bare_pod_has_empty_strings_and_no_ports(void **state)
{
    (void)state;
    cleanup(cached_object_release)
    struct cached_object *pod = pod_of("{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"}}");
    const struct pod_view *view = pod_view(pod);
    assert_int_equal(view->phase, POD_PENDING);
    assert_string_equal(view->node_name, "");
    assert_string_equal(view->hostname, "");
    assert_string_equal(view->subdomain, "");
    assert_string_equal(view->addresses, "");
    assert_int_equal(view->port_count, 0);
}

static void all_addresses_follow_each_other(void **state)
{
    (void)state;
    cleanup(cached_object_release)
    struct cached_object *pod = pod_of(
        "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"nodeName\":\"n1\",\"hostname\":\"h\","
        "\"subdomain\":\"s\"},\"status\":{\"podIP\":\"10.0.0.1\",\"podIPs\":[{\"ip\":\"10.0.0.1\"},"
        "{\"ip\":\"fd00::1\"}]}}");
    const struct pod_view *view = pod_view(pod);
    const char *address = view->addresses;
    assert_string_equal(address, "10.0.0.1");
    address += strlen(address) + 1;
    assert_string_equal(address, "fd00::1");
    address += strlen(address) + 1;
    assert_string_equal(address, "");
    assert_string_equal(view->node_name, "n1");
    assert_string_equal(view->hostname, "h");
    assert_string_equal(view->subdomain, "s");
}

static void claims_are_those_it_names_and_those_made_for_it(void **state)
{
    (void)state;
    cleanup(cached_object_release)
    struct cached_object *pod =
        pod_of("{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"},\"spec\":{\"volumes\":["
               "{\"name\":\"a\",\"persistentVolumeClaim\":{\"claimName\":\"data\"}},"
               "{\"name\":\"b\",\"emptyDir\":{}},{\"name\":\"c\",\"ephemeral\":{}}]}}");
    const char *claim = pod_view(pod)->claims;
    assert_string_equal(claim, "data");
    claim += strlen(claim) + 1;
    assert_string_equal(claim, "p-c");
    claim += strlen(claim) + 1;
    assert_string_equal(claim, "");
}

static void a_lone_pod_ip_is_its_address(void **state)
{
    (void)state;
    cleanup(cached_object_release)
    struct cached_object *pod =
        pod_of("{\"metadata\":{\"name\":\"p\"},\"status\":{\"podIP\":\"10.0.0.1\"}}");
    assert_string_equal(pod_view(pod)->addresses, "10.0.0.1");
}

static void named_ports_of_containers_and_sidecars_are_kept(void **state)
{
    (void)state;
    cleanup(cached_object_release)
    struct cached_object *pod = pod_of(
        "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"initContainers\":["
        "{\"ports\":[{\"name\":\"once\",\"containerPort\":1}]},"
        "{\"restartPolicy\":\"Always\",\"ports\":[{\"name\":\"side\",\"containerPort\":2}]}],"
        "\"containers\":[{\"ports\":[{\"containerPort\":3},"
        "{\"name\":\"dns\",\"containerPort\":53,\"protocol\":\"UDP\"}]}]}}");
    const struct pod_view *view = pod_view(pod);
    assert_int_equal(view->port_count, 2);
    assert_string_equal(view->ports[0].name, "dns");
    assert_string_equal(view->ports[0].protocol, "UDP");
    assert_int_equal(view->ports[0].number, 53);
    assert_string_equal(view->ports[1].name, "side");
    assert_string_equal(view->ports[1].protocol, "TCP");
    assert_int_equal(view->ports[1].number, 2);
}

static void what_its_status_and_metadata_say_is_kept(void **state)
{
    (void)state;
    cleanup(cached_object_release)
    struct cached_object *pod = pod_of(
        "{\"metadata\":{\"name\":\"p\",\"deletionTimestamp\":\"1970-01-01T00:00:05Z\","
        "\"annotations\":{\"controller.kubernetes.io/pod-deletion-cost\":\"-7\","
        "\"batch.kubernetes.io/job-completion-index\":\"3\"},"
        "\"finalizers\":[\"a/b\",\"batch.kubernetes.io/job-tracking\"]},"
        "\"status\":{\"phase\":\"Failed\",\"reason\":\"Evicted\","
        "\"startTime\":\"1970-01-01T00:00:01Z\",\"conditions\":["
        "{\"type\":\"ContainersReady\",\"status\":\"False\"},"
        "{\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":\"1970-01-01T00:00:02Z\"},"
        "{\"type\":\"DisruptionTarget\",\"status\":\"True\",\"reason\":\"PreemptionByScheduler\","
        "\"lastTransitionTime\":\"1970-01-01T00:00:03Z\"}],"
        "\"containerStatuses\":[{\"restartCount\":2},{\"restartCount\":4}],"
        "\"initContainerStatuses\":[{\"restartCount\":9}]}}");
    const struct pod_view *view = pod_view(pod);
    assert_int_equal(view->phase, POD_FAILED);
    assert_true(view->is_evicted);
    assert_true(view->is_ready);
    assert_false(view->is_unready);
    assert_true(view->is_job_tracked);
    assert_int_equal(view->start_time, INT64_C(1000000000));
    assert_int_equal(view->ready_since, INT64_C(2000000000));
    assert_int_equal(view->disrupted_since, INT64_C(3000000000));
    assert_int_equal(view->deletion_time, INT64_C(5000000000));
    assert_int_equal(view->deletion_cost, -7);
    assert_int_equal(view->job_index, 3);
    assert_int_equal(view->restarts, 4);
    assert_int_equal(view->total_restarts, 15);
}

static void a_disruption_that_a_kubelet_tells_of_is_its_own_doing(void **state)
{
    (void)state;
    cleanup(cached_object_release)
    struct cached_object *pod =
        pod_of("{\"metadata\":{\"name\":\"p\"},\"status\":{\"phase\":\"Odd\",\"conditions\":["
               "{\"type\":\"DisruptionTarget\",\"status\":\"True\",\"reason\":"
               "\"TerminationByKubelet\",\"lastTransitionTime\":\"1970-01-01T00:00:03Z\"},"
               "{\"type\":\"Ready\",\"status\":\"False\"}]}}");
    assert_int_equal(pod_view(pod)->phase, POD_UNKNOWN);
    assert_int_equal(pod_view(pod)->disrupted_since, 0);
    assert_int_equal(pod_view(pod)->job_index, -1);
    assert_true(pod_view(pod)->is_unready);
}

static void the_node_that_its_affinity_names_is_where_it_belongs(void **state)
{
    (void)state;
    static const char affinity[] =
        "\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":"
        "{\"nodeSelectorTerms\":[{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\","
        "\"values\":[\"n7\"]}]}]}}}";
    cleanup(free_char)
    char *waiting = format("{\"metadata\":{\"name\":\"p\"},\"spec\":{%s}}", affinity);
    cleanup(free_char)
    char *bound =
        format("{\"metadata\":{\"name\":\"p\"},\"spec\":{\"nodeName\":\"n1\",%s}}", affinity);
    cleanup(cached_object_release)
    struct cached_object *first = pod_of(waiting);
    cleanup(cached_object_release)
    struct cached_object *second = pod_of(bound);
    assert_string_equal(pod_view(first)->target_node, "n7");
    assert_false(pod_view(first)->is_scheduled);
    assert_string_equal(pod_view(second)->target_node, "n1");
    assert_true(pod_view(second)->is_scheduled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bare_pod_has_empty_strings_and_no_ports),
        cmocka_unit_test(all_addresses_follow_each_other),
        cmocka_unit_test(claims_are_those_it_names_and_those_made_for_it),
        cmocka_unit_test(a_lone_pod_ip_is_its_address),
        cmocka_unit_test(named_ports_of_containers_and_sidecars_are_kept),
        cmocka_unit_test(what_its_status_and_metadata_say_is_kept),
        cmocka_unit_test(a_disruption_that_a_kubelet_tells_of_is_its_own_doing),
        cmocka_unit_test(the_node_that_its_affinity_names_is_where_it_belongs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

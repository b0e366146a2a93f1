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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bare_pod_has_empty_strings_and_no_ports),
        cmocka_unit_test(all_addresses_follow_each_other),
        cmocka_unit_test(claims_are_those_it_names_and_those_made_for_it),
        cmocka_unit_test(a_lone_pod_ip_is_its_address),
        cmocka_unit_test(named_ports_of_containers_and_sidecars_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

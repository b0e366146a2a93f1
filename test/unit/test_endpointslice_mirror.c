// SPDX-License-Identifier: Apache-2.0
/* The slices that stand for Endpoints made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/endpointslice_mirror.h"

static json_t *endpoints_of(const char *subsets)
{
    cleanup(free_char)
    char *text = format("{\"apiVersion\":\"v1\",\"kind\":\"Endpoints\",\"metadata\":{\"name\":"
                        "\"db\",\"namespace\":\"n\",\"uid\":\"u\",\"labels\":{\"a\":\"b\"},"
                        "\"annotations\":{\"c\":\"d\",\"endpoints.kubernetes.io/"
                        "last-change-trigger-time\":\"x\"}},\"subsets\":%s}",
                        subsets);
    json_t *endpoints = json_parse(text, strlen(text), NULL);
    assert_non_null(endpoints);
    return endpoints;
}

static json_t *slices_of(const char *subsets, size_t max, struct mirror_losses *losses)
{
    cleanup(json_release)
    json_t *endpoints = endpoints_of(subsets);
    return mirror_slices(endpoints, max, losses);
}

static void assert_member(const json_t *slice, const char *name, const char *expected)
{
    cleanup(json_release)
    json_t *wanted = json_loads(expected, JSON_DECODE_ANY, NULL);
    assert_non_null(wanted);
    cleanup(free_char)
    char *text = json_text(json_object_get(slice, name));
    if (!json_equal(json_object_get(slice, name), wanted)) {
        assert_string_equal(text, expected);
    }
}

static void a_subset_becomes_a_slice(void **state)
{
    (void)state;
    struct mirror_losses losses;
    cleanup(json_release)
    json_t *slices =
        slices_of("[{\"addresses\":[{\"ip\":\"10.0.0.1\",\"hostname\":\"h\",\"nodeName\":\"n1\"}],"
                  "\"notReadyAddresses\":[{\"ip\":\"10.0.0.2\",\"targetRef\":{\"kind\":\"X\"}}],"
                  "\"ports\":[{\"port\":5432,\"protocol\":\"TCP\"}]}]",
                  1000, &losses);
    assert_int_equal(json_array_size(slices), 1);
    const json_t *slice = json_array_get(slices, 0);
    assert_member(slice, "endpoints",
                  "[{\"addresses\":[\"10.0.0.1\"],\"conditions\":{\"ready\":true},\"hostname\":"
                  "\"h\",\"nodeName\":\"n1\"},{\"addresses\":[\"10.0.0.2\"],\"conditions\":"
                  "{\"ready\":false},\"targetRef\":{\"kind\":\"X\"}}]");
    assert_member(slice, "ports", "[{\"name\":\"\",\"port\":5432,\"protocol\":\"TCP\"}]");
    assert_member(slice, "addressType", "\"IPv4\"");
    const json_t *metadata = json_object_get(slice, "metadata");
    assert_member(metadata, "annotations", "{\"c\":\"d\"}");
    assert_member(metadata, "labels",
                  "{\"a\":\"b\",\"kubernetes.io/service-name\":\"db\",\"endpointslice.kubernetes."
                  "io/managed-by\":\"endpointslicemirroring-controller.k8s.io\"}");
    assert_member(metadata, "generateName", "\"db-\"");
    assert_int_equal(losses.skipped, 0);
}

static void each_family_gets_a_slice(void **state)
{
    (void)state;
    struct mirror_losses losses;
    cleanup(json_release)
    json_t *slices = slices_of("[{\"addresses\":[{\"ip\":\"10.0.0.1\"},{\"ip\":\"fd00:0::1\"}],"
                               "\"ports\":[{\"port\":1}]}]",
                               1000, &losses);
    assert_int_equal(json_array_size(slices), 2);
    assert_member(json_array_get(slices, 1), "addressType", "\"IPv6\"");
    assert_member(json_array_get(slices, 1), "endpoints",
                  "[{\"addresses\":[\"fd00::1\"],\"conditions\":{\"ready\":true}}]");
}

static void subsets_of_the_same_addresses_become_one_slice(void **state)
{
    (void)state;
    struct mirror_losses losses;
    cleanup(json_release)
    json_t *slices = slices_of(
        "[{\"addresses\":[{\"ip\":\"10.0.0.1\"}],\"ports\":[{\"name\":\"a\",\"port\":1}]},"
        "{\"addresses\":[{\"ip\":\"10.0.0.1\"}],\"ports\":[{\"name\":\"b\",\"port\":2}]}]",
        1000, &losses);
    assert_int_equal(json_array_size(slices), 1);
    assert_member(json_array_get(slices, 0), "ports",
                  "[{\"name\":\"a\",\"port\":1,\"protocol\":\"TCP\"},{\"name\":\"b\",\"port\":2,"
                  "\"protocol\":\"TCP\"}]");
}

static void an_address_that_is_ready_and_not_ready_is_not_ready(void **state)
{
    (void)state;
    struct mirror_losses losses;
    cleanup(json_release)
    json_t *slices = slices_of("[{\"addresses\":[{\"ip\":\"10.0.0.1\"}],\"ports\":[{\"port\":1}]},"
                               "{\"notReadyAddresses\":[{\"ip\":\"10.0.0.1\"}],"
                               "\"ports\":[{\"port\":1}]}]",
                               1000, &losses);
    assert_int_equal(json_array_size(slices), 1);
    assert_member(json_array_get(slices, 0), "endpoints",
                  "[{\"addresses\":[\"10.0.0.1\"],\"conditions\":{\"ready\":false}}]");
}

static void a_subset_without_ports_is_kept_beside_one_with_ports(void **state)
{
    (void)state;
    struct mirror_losses losses;
    cleanup(json_release)
    json_t *slices = slices_of("[{\"addresses\":[{\"ip\":\"10.0.0.1\"}]},"
                               "{\"addresses\":[{\"ip\":\"10.0.0.2\"}],\"ports\":[{\"port\":1}]}]",
                               1000, &losses);
    assert_int_equal(json_array_size(slices), 2);
    assert_member(json_array_get(slices, 0), "ports", "[]");
}

static void too_many_and_invalid_addresses_are_counted(void **state)
{
    (void)state;
    struct mirror_losses losses;
    cleanup(json_release)
    json_t *slices =
        slices_of("[{\"addresses\":[{\"ip\":\"10.0.0.1\"},{\"ip\":\"10.0.0.2\"},{\"ip\":\"-\"},"
                  "{\"ip\":\"10.0.0.3\"}],\"ports\":[{\"port\":1}]}]",
                  2, &losses);
    assert_int_equal(json_array_size(json_object_get(json_array_get(slices, 0), "endpoints")), 2);
    assert_int_equal(losses.invalid, 1);
    assert_int_equal(losses.skipped, 2);
}

static void no_subsets_have_no_slices(void **state)
{
    (void)state;
    struct mirror_losses losses;
    cleanup(json_release)
    json_t *slices = slices_of("[]", 1000, &losses);
    assert_int_equal(json_array_size(slices), 0);
}

static void a_label_and_the_leader_annotation_forbid_mirroring(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *endpoints = endpoints_of("[]");
    assert_true(mirror_is_wanted(endpoints));
    json_t *labels = json_path(endpoints, "metadata", "labels");
    json_object_set_new(labels, "endpointslice.kubernetes.io/skip-mirror", json_string("true"));
    assert_false(mirror_is_wanted(endpoints));
    json_object_set_new(labels, "endpointslice.kubernetes.io/skip-mirror", json_string("false"));
    assert_true(mirror_is_wanted(endpoints));
    json_object_set_new(json_path(endpoints, "metadata", "annotations"),
                        "control-plane.alpha.kubernetes.io/leader", json_string("{}"));
    assert_false(mirror_is_wanted(endpoints));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subset_becomes_a_slice),
        cmocka_unit_test(each_family_gets_a_slice),
        cmocka_unit_test(subsets_of_the_same_addresses_become_one_slice),
        cmocka_unit_test(an_address_that_is_ready_and_not_ready_is_not_ready),
        cmocka_unit_test(a_subset_without_ports_is_kept_beside_one_with_ports),
        cmocka_unit_test(too_many_and_invalid_addresses_are_counted),
        cmocka_unit_test(no_subsets_have_no_slices),
        cmocka_unit_test(a_label_and_the_leader_annotation_forbid_mirroring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

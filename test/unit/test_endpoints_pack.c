// SPDX-License-Identifier: Apache-2.0
/* How a service's pods are packed into the subsets of its Endpoints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/endpoints_pack.h"

static struct endpoints_pod pod(const char *ip, bool is_ready, const int *numbers)
{
    return (struct endpoints_pod){.ip = ip,
                                  .hostname = "",
                                  .node = "n1",
                                  .namespace = "default",
                                  .name = ip,
                                  .uid = ip,
                                  .is_ready = is_ready,
                                  .numbers = numbers};
}

/* The subsets in short: "ready-addresses/not-ready-addresses/ports" of each, joined by ';'. */
static char *short_form(const json_t *subsets)
{
    struct buffer text = BUFFER_INIT;
    size_t i, n;
    const json_t *subset, *item;
    json_array_foreach (subsets, i, subset) {
        buffer_add_text(&text, i > 0 ? ";" : "");
        json_array_foreach (json_object_get(subset, "addresses"), n, item) {
            buffer_addf(&text, "%s%s", n > 0 ? "," : "", json_get_string(item, "ip"));
        }
        buffer_add_char(&text, '/');
        json_array_foreach (json_object_get(subset, "notReadyAddresses"), n, item) {
            buffer_addf(&text, "%s%s", n > 0 ? "," : "", json_get_string(item, "ip"));
        }
        buffer_add_char(&text, '/');
        json_array_foreach (json_object_get(subset, "ports"), n, item) {
            buffer_addf(&text, "%s%d", n > 0 ? "," : "", (int)json_get_int(item, "port", 0));
        }
    }
    return buffer_steal(&text);
}

static json_t *two_ports(void)
{
    return json_pack("[{s:s, s:i}, {s:s, s:i}]", "name", "a", "port", 80, "name", "b", "port", 81);
}

static void assert_packed(struct endpoints_pod *pods, size_t count, const json_t *ports,
                          const char *expected)
{
    bool truncated = true;
    cleanup(json_release)
    json_t *subsets = endpoints_pack(pods, count, ports, 1000, &truncated);
    cleanup(free_char)
    char *text = short_form(subsets);
    assert_string_equal(text, expected);
    assert_false(truncated);
}

static void no_pods_have_no_subsets(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *ports = two_ports();
    assert_packed(NULL, 0, ports, "");
    assert_packed(NULL, 0, NULL, "");
}

static void ports_of_the_same_pods_share_a_subset(void **state)
{
    (void)state;
    static const int numbers[] = {80, 81};
    cleanup(json_release)
    json_t *ports = two_ports();
    struct endpoints_pod pods[] = {pod("10.0.0.2", true, numbers), pod("10.0.0.1", true, numbers),
                                   pod("10.0.0.3", false, numbers)};
    assert_packed(pods, 3, ports, "10.0.0.1,10.0.0.2/10.0.0.3/80,81");
}

static void ports_of_different_pods_stand_apart(void **state)
{
    (void)state;
    static const int one[] = {80, 81}, other[] = {90, 81};
    cleanup(json_release)
    json_t *ports = two_ports();
    struct endpoints_pod pods[] = {pod("10.0.0.1", true, one), pod("10.0.0.2", true, other)};
    assert_packed(pods, 2, ports, "10.0.0.1//80;10.0.0.2//90;10.0.0.1,10.0.0.2//81");
}

static void a_pod_without_the_port_is_left_out_of_it(void **state)
{
    (void)state;
    static const int both[] = {80, 81}, none[] = {0, 0};
    cleanup(json_release)
    json_t *ports = two_ports();
    struct endpoints_pod pods[] = {pod("10.0.0.1", true, both), pod("10.0.0.2", true, none)};
    assert_packed(pods, 2, ports, "10.0.0.1//80,81");
}

static void a_service_without_ports_still_tells_its_pods(void **state)
{
    (void)state;
    struct endpoints_pod pods[] = {pod("10.0.0.1", true, NULL), pod("10.0.0.2", false, NULL)};
    assert_packed(pods, 2, NULL, "10.0.0.1/10.0.0.2/");
}

/* As many pods as asked for, the first of them ready, and how many of each kind are told when there
 * is room for 'max'. */
static void count_told(size_t count, size_t ready, size_t max, size_t *told_ready,
                       size_t *told_not_ready, bool *truncated)
{
    static const int numbers[] = {80};
    char(*ips)[16] = allocate_zero(count, sizeof *ips);
    struct endpoints_pod *pods = allocate_zero(count, sizeof *pods);
    for (size_t i = 0; i < count; i++) {
        snprintf(ips[i], sizeof ips[i], "10.0.%u.%u", (unsigned)i / 250 % 256, (unsigned)i % 250);
        pods[i] = pod(ips[i], i < ready, numbers);
    }
    cleanup(json_release)
    json_t *ports = json_pack("[{s:i}]", "port", 80);
    cleanup(json_release)
    json_t *subsets = endpoints_pack(pods, count, ports, max, truncated);
    *told_ready = json_array_size(json_object_get(json_array_get(subsets, 0), "addresses"));
    *told_not_ready =
        json_array_size(json_object_get(json_array_get(subsets, 0), "notReadyAddresses"));
    free(ips);
    free(pods);
}

static void ready_addresses_come_before_others_when_there_are_too_many(void **state)
{
    (void)state;
    size_t ready, not_ready;
    bool truncated;
    count_told(1000, 500, 1000, &ready, &not_ready, &truncated);
    assert_false(truncated);
    count_told(1001, 500, 1000, &ready, &not_ready, &truncated);
    assert_true(truncated);
    assert_int_equal(ready, 500);
    assert_int_equal(not_ready, 500);
    count_told(1500, 1200, 1000, &ready, &not_ready, &truncated);
    assert_true(truncated);
    assert_int_equal(ready, 1000);
    assert_int_equal(not_ready, 0);
}

static void subsets_give_up_their_shares_and_are_never_empty(void **state)
{
    (void)state;
    static const int one[] = {80}, other[] = {90};
    cleanup(json_release)
    json_t *ports = json_pack("[{s:i}]", "port", 80);
    struct endpoints_pod pods[] = {pod("10.0.0.1", true, one), pod("10.0.0.2", true, one),
                                   pod("10.0.0.3", true, one), pod("10.0.0.4", true, other)};
    bool truncated;
    cleanup(json_release)
    json_t *subsets = endpoints_pack(pods, 4, ports, 2, &truncated);
    cleanup(free_char)
    char *text = short_form(subsets);
    assert_true(truncated);
    assert_string_equal(text, "10.0.0.1,10.0.0.2//80");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_pods_have_no_subsets),
        cmocka_unit_test(ports_of_the_same_pods_share_a_subset),
        cmocka_unit_test(ports_of_different_pods_stand_apart),
        cmocka_unit_test(a_pod_without_the_port_is_left_out_of_it),
        cmocka_unit_test(a_service_without_ports_still_tells_its_pods),
        cmocka_unit_test(ready_addresses_come_before_others_when_there_are_too_many),
        cmocka_unit_test(subsets_give_up_their_shares_and_are_never_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

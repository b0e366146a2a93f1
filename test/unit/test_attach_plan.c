// SPDX-License-Identifier: Apache-2.0
/* What may be attached where, and when it may be taken away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/attach_plan.h"

static json_t *parse(const char *text)
{
    json_t *json = json_parse(text, strlen(text), NULL);
    assert_non_null(json);
    return json;
}

static void names_are_upstreams(void **state)
{
    (void)state;
    cleanup(free_char)
    char *name = attach_name("vol", "driver", "node");
    /* Of "voldrivernode". */
    assert_string_equal(name,
                        "csi-4af94228ee9d441e02225497584706bfc975bdb4d2db3571d8c5db2668c1e969");
    cleanup(free_char)
    char *volume = attach_volume_name("disks.example.com", "1");
    assert_string_equal(volume, "kubernetes.io/csi/disks.example.com^1");
}

static void access_modes_say_whether_nodes_may_share(void **state)
{
    static const struct {
        const char *modes;
        bool shared;
    } cases[] = {
        {"[]", true},
        {"[\"ReadWriteOnce\"]", false},
        {"[\"ReadWriteOncePod\"]", false},
        {"[\"ReadWriteOnce\",\"ReadOnlyMany\"]", true},
        {"[\"ReadWriteMany\"]", true},
    };
    (void)state;
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(free_char)
        char *text = format("{\"spec\":{\"accessModes\":%s}}", cases[i].modes);
        cleanup(json_release)
        json_t *volume = parse(text);
        assert_int_equal(attach_is_shared(volume), cases[i].shared);
    }
}

static void a_pod_needs_its_volumes_until_nothing_runs(void **state)
{
#define DELETED "\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}"
#define CONTAINER(container_state)                                                                 \
    "\"status\":{\"containerStatuses\":[{\"state\":{" container_state "}}]}"
    static const struct {
        const char *pod;
        bool over;
    } cases[] = {
        {"{}", false},
        {"{\"status\":{\"phase\":\"Running\"}}", false},
        {"{\"status\":{\"phase\":\"Failed\"}}", true},
        {"{" DELETED "}", true},
        {"{" DELETED "," CONTAINER("\"running\":{}") "}", false},
        {"{" DELETED "," CONTAINER("\"terminated\":{}") "}", true},
        {"{" CONTAINER("\"terminated\":{}") "}", false},
    };
    (void)state;
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *pod = parse(cases[i].pod);
        assert_int_equal(attach_is_over(pod), cases[i].over);
    }
}

static void a_volume_goes_when_its_node_has_let_go_of_it(void **state)
{
#define IN_USE "\"volumesInUse\":[\"v\"]"
#define READY(value) "\"conditions\":[{\"type\":\"Ready\",\"status\":\"" value "\"}]"
    static const struct {
        const char *node;
        bool has_waited;
        enum attach_detach decision;
    } cases[] = {
        {"{}", false, DETACH_NOW},
        {"{\"status\":{\"volumesInUse\":[\"w\"]," READY("True") "}}", false, DETACH_NOW},
        {"{\"status\":{" IN_USE "," READY("True") "}}", false, DETACH_UNMOUNTED},
        {"{\"status\":{" IN_USE "," READY("True") "}}", true, DETACH_UNMOUNTED},
        {"{\"status\":{" IN_USE "," READY("Unknown") "}}", false, DETACH_LATER},
        {"{\"status\":{" IN_USE "," READY("Unknown") "}}", true, DETACH_NOW},
        {"{\"spec\":{\"taints\":[{\"key\":\"node.kubernetes.io/"
         "out-of-service\"}]},\"status\":{" IN_USE "}}",
         false, DETACH_NOW},
    };
    (void)state;
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *node = parse(cases[i].node);
        assert_int_equal(attach_may_go(node, "v", cases[i].has_waited ? attach_patience : 0),
                         cases[i].decision);
    }
    assert_int_equal(attach_may_go(NULL, "v", 0), DETACH_NOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_upstreams),
        cmocka_unit_test(access_modes_say_whether_nodes_may_share),
        cmocka_unit_test(a_pod_needs_its_volumes_until_nothing_runs),
        cmocka_unit_test(a_volume_goes_when_its_node_has_let_go_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* When a node counts as lost, and which taints its conditions call for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"
#include "controllers/conditions.h"
#include "controllers/node_health.h"
#include "controllers/node_taints.h"

static const int64_t second = INT64_C(1000000000);
static const int64_t wall = INT64_C(1700000000) * INT64_C(1000000000);

/* Its heartbeats are by a clock of its own, which is wrong. */
static json_t *node_of(const char *ready, const char *heartbeat)
{
    char creation[TIMESTAMP_SIZE];
    timestamp_format(wall, creation);
    json_t *node = json_pack("{s:{s:s, s:s}, s:{s:[]}}", "metadata", "name", "n",
                             "creationTimestamp", creation, "status", "conditions");
    if (ready != NULL) {
        json_array_append_new(json_path(node, "status", "conditions"),
                              json_pack("{s:s, s:s, s:s}", "type", "Ready", "status", ready,
                                        "lastHeartbeatTime", heartbeat));
        json_array_append_new(
            json_path(node, "status", "conditions"),
            json_pack("{s:s, s:s}", "type", "NetworkUnavailable", "status", "False"));
    }
    return node;
}

static struct node_verdict observe_at(struct node_health *health, json_t *node, int64_t renew_time,
                                      int64_t seconds)
{
    const struct node_clock clock = {.now = seconds * second,
                                     .wall = wall + seconds * second,
                                     .grace = 50 * second,
                                     .startup_grace = 60 * second};
    return node_health_observe(health, node, renew_time, &clock);
}

static bool is_lost_at(struct node_health *health, const char *heartbeat, int64_t renew_time,
                       int64_t seconds)
{
    cleanup(json_release)
    json_t *node = node_of("True", heartbeat);
    return observe_at(health, node, renew_time, seconds).changed;
}

static const char *text_of(const json_t *node, const char *type, const char *name)
{
    const char *text =
        json_get_string(condition_find(json_path(node, "status", "conditions"), type), name);
    return text != NULL ? text : "";
}

static void a_silent_node_is_lost_after_the_grace_period(void **state)
{
    (void)state;
    struct node_health health = {0};
    assert_false(is_lost_at(&health, "2001-01-01T00:00:00Z", 0, 100));
    assert_false(is_lost_at(&health, "2001-01-01T00:00:00Z", 0, 150));
    assert_true(is_lost_at(&health, "2001-01-01T00:00:00Z", 0, 151));
}

static void a_heartbeat_of_any_time_is_a_sign_of_life(void **state)
{
    (void)state;
    struct node_health health = {0};
    assert_false(is_lost_at(&health, "2001-01-01T00:00:00Z", 0, 100));
    assert_false(is_lost_at(&health, "1999-01-01T00:00:00Z", 0, 140));
    assert_false(is_lost_at(&health, "1999-01-01T00:00:00Z", 0, 190));
    assert_true(is_lost_at(&health, "1999-01-01T00:00:00Z", 0, 191));
}

static void a_renewed_lease_is_a_sign_of_life(void **state)
{
    (void)state;
    struct node_health health = {0};
    assert_false(is_lost_at(&health, "2001-01-01T00:00:00Z", 5, 100));
    assert_false(is_lost_at(&health, "2001-01-01T00:00:00Z", 6, 149));
    assert_false(is_lost_at(&health, "2001-01-01T00:00:00Z", 6, 199));
    assert_true(is_lost_at(&health, "2001-01-01T00:00:00Z", 6, 200));
}

static void what_a_lost_kubelet_said_becomes_unknown(void **state)
{
    (void)state;
    struct node_health health = {0};
    cleanup(json_release)
    json_t *node = node_of("True", "2001-01-01T00:00:00Z");
    observe_at(&health, node, 0, 100);
    struct node_verdict verdict = observe_at(&health, node, 0, 200);
    assert_true(verdict.changed);
    assert_int_equal(verdict.seen, NODE_READY);
    assert_int_equal(verdict.current, NODE_UNKNOWN);
    assert_string_equal(text_of(node, "Ready", "status"), "Unknown");
    assert_string_equal(text_of(node, "Ready", "reason"), "NodeStatusUnknown");
    assert_string_equal(text_of(node, "Ready", "message"), "Kubelet stopped posting node status.");
    assert_string_equal(text_of(node, "Ready", "lastHeartbeatTime"), "2001-01-01T00:00:00Z");
    assert_string_equal(text_of(node, "PIDPressure", "reason"), "NodeStatusNeverUpdated");
    assert_string_equal(text_of(node, "NetworkUnavailable", "status"), "False");
    node_health_wrote(&health, node);
    verdict = observe_at(&health, node, 0, 205);
    assert_false(verdict.changed);
    assert_int_equal(verdict.seen, NODE_UNKNOWN);
}

static void a_node_never_heard_of_counts_from_its_creation(void **state)
{
    (void)state;
    struct node_health health = {0};
    cleanup(json_release)
    json_t *node = node_of(NULL, NULL);
    assert_false(observe_at(&health, node, 0, 60).changed);
    struct node_verdict verdict = observe_at(&health, node, 0, 61);
    assert_true(verdict.changed && verdict.has_condition);
    assert_string_equal(text_of(node, "Ready", "reason"), "NodeStatusNeverUpdated");
    assert_string_equal(text_of(node, "Ready", "message"), "Kubelet never posted node status.");
    assert_string_equal(text_of(node, "DiskPressure", "status"), "Unknown");
    node_health_wrote(&health, node);
    assert_false(observe_at(&health, node, 0, 66).changed);
}

static void a_write_that_failed_is_tried_again_at_once(void **state)
{
    (void)state;
    struct node_health health = {0};
    for (int64_t seconds = 61; seconds < 70; seconds += 5) {
        cleanup(json_release)
        json_t *node = node_of(NULL, NULL);
        assert_true(observe_at(&health, node, 0, seconds).changed);
    }
}

/* ---- taints ---- */

static void assert_taints(const char *conditions, const char *spec, const char *expected)
{
    cleanup(json_release)
    json_t *node =
        json_pack("{s:o, s:{s:o}}", "spec", json_parse(spec, strlen(spec), NULL), "status",
                  "conditions", json_parse(conditions, strlen(conditions), NULL));
    struct taint_changes changes = node_taints_by_condition(node);
    cleanup(json_release)
    json_t *taints = node_taints_changed(node, &changes);
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    size_t i;
    const json_t *taint;
    json_array_foreach (taints, i, taint) {
        buffer_addf(&text, "%s%s:%s", i > 0 ? " " : "", json_get_string(taint, "key"),
                    json_get_string(taint, "effect"));
    }
    assert_string_equal(taints == NULL ? "as they are" : buffer_text(&text), expected);
}

static void conditions_call_for_taints(void **state)
{
    (void)state;
    assert_taints("[{\"type\":\"Ready\",\"status\":\"True\"}]", "{}", "as they are");
    assert_taints("[{\"type\":\"Ready\",\"status\":\"False\"},"
                  "{\"type\":\"DiskPressure\",\"status\":\"True\"}]",
                  "{\"unschedulable\":true}",
                  "node.kubernetes.io/not-ready:NoSchedule "
                  "node.kubernetes.io/disk-pressure:NoSchedule "
                  "node.kubernetes.io/unschedulable:NoSchedule");
    assert_taints("[]", "{}", "as they are");
}

static void taints_that_are_no_longer_true_go_and_others_stay(void **state)
{
    (void)state;
    assert_taints("[{\"type\":\"Ready\",\"status\":\"Unknown\"}]",
                  "{\"taints\":[{\"key\":\"mine\",\"effect\":\"NoSchedule\"},"
                  "{\"key\":\"node.kubernetes.io/not-ready\",\"effect\":\"NoSchedule\"},"
                  "{\"key\":\"node.kubernetes.io/not-ready\",\"effect\":\"NoExecute\"}]}",
                  "mine:NoSchedule node.kubernetes.io/not-ready:NoExecute "
                  "node.kubernetes.io/unreachable:NoSchedule");
    assert_taints("[{\"type\":\"Ready\",\"status\":\"True\"}]",
                  "{\"taints\":[{\"key\":\"node.kubernetes.io/not-ready\","
                  "\"effect\":\"NoSchedule\"}]}",
                  "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_silent_node_is_lost_after_the_grace_period),
        cmocka_unit_test(a_heartbeat_of_any_time_is_a_sign_of_life),
        cmocka_unit_test(a_renewed_lease_is_a_sign_of_life),
        cmocka_unit_test(what_a_lost_kubelet_said_becomes_unknown),
        cmocka_unit_test(a_node_never_heard_of_counts_from_its_creation),
        cmocka_unit_test(a_write_that_failed_is_tried_again_at_once),
        cmocka_unit_test(conditions_call_for_taints),
        cmocka_unit_test(taints_that_are_no_longer_true_go_and_others_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* What the ReplicaSet controller decides: which pods go first, and what the status says. */
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
#include "controllers/pod_view.h"
#include "controllers/replicaset.h"

static const int64_t second = INT64_C(1000000000);

/* What a test says of a pod; what is 0 is absent. */
struct pod {
    const char *name, *node, *phase;
    bool is_ready;
    int64_t age, ready_for; /* Seconds. */
    int cost, restarts;
};

static const int64_t now = INT64_C(1800000000) * INT64_C(1000000000);

static json_t *ago(int64_t seconds)
{
    char text[TIMESTAMP_SIZE];
    timestamp_format(now - seconds * second, text);
    return json_string(text);
}

static void add_pod(struct cached_list *pods, struct pod pod)
{
    cleanup(free_char)
    char *cost = format("%d", pod.cost);
    cleanup(json_release)
    json_t *object =
        json_pack("{s:{s:s, s:s, s:s, s:o, s:{s:s}, s:{s:s}}, s:{}, s:{s:s, s:[{s:s, s:s, s:o}], "
                  "s:[{s:i}]}}",
                  "metadata", "name", pod.name, "namespace", "default", "uid", pod.name,
                  "creationTimestamp", ago(pod.age), "labels", "app", "web", "annotations",
                  "controller.kubernetes.io/pod-deletion-cost", cost, "spec", "status", "phase",
                  pod.phase != NULL ? pod.phase : "Running", "conditions", "type", "Ready",
                  "status", pod.is_ready ? "True" : "False", "lastTransitionTime",
                  ago(pod.ready_for), "containerStatuses", "restartCount", pod.restarts);
    if (pod.node != NULL) {
        json_object_set_new(json_object_get(object, "spec"), "nodeName", json_string(pod.node));
    }
    cleanup(free_char)
    char *text = json_text(object);
    cleanup(cached_object_release)
    struct cached_object *cached = cached_object_new(&pod_class, text, strlen(text));
    assert_non_null(cached);
    cached_list_add(pods, cached);
}

/* Of two pods, in whichever order they come, the first is given up. */
static void assert_goes_first(struct pod first, struct pod second_one, int crowd_first,
                              int crowd_second)
{
    struct map crowds = MAP_INIT;
    if (crowd_first > 0) {
        map_set(&crowds, first.node, (void *)(intptr_t)crowd_first);
        map_set(&crowds, second_one.node, (void *)(intptr_t)crowd_second);
    }
    for (int order = 0; order < 2; order++) {
        cleanup(cached_list_free)
        struct cached_list pods = CACHED_LIST_INIT;
        add_pod(&pods, order == 0 ? first : second_one);
        add_pod(&pods, order == 0 ? second_one : first);
        replicaset_rank_for_deletion(&pods, &crowds, now);
        assert_string_equal(pods.items[0]->name, first.name);
    }
    map_free(&crowds, NULL);
}

/* Each rule against pods that all later rules would order the other way. */
static void pods_are_given_up_in_the_documented_order(void **state)
{
    (void)state;
    /* Not scheduled before scheduled. */
    assert_goes_first((struct pod){.name = "a", .phase = "Running", .is_ready = true},
                      (struct pod){.name = "b", .node = "n", .phase = "Pending"}, 0, 0);
    /* Pending before running. */
    assert_goes_first((struct pod){.name = "a", .node = "n", .phase = "Pending", .is_ready = true},
                      (struct pod){.name = "b", .node = "n"}, 0, 0);
    /* Not ready before ready. */
    assert_goes_first((struct pod){.name = "a", .node = "n", .cost = 100},
                      (struct pod){.name = "b", .node = "n", .is_ready = true}, 0, 0);
    /* The cheaper one. */
    assert_goes_first((struct pod){.name = "a", .node = "n", .is_ready = true, .cost = -1},
                      (struct pod){.name = "b", .node = "m", .is_ready = true}, 1, 5);
    /* The one on the more crowded node. */
    assert_goes_first((struct pod){.name = "a", .node = "n", .is_ready = true, .ready_for = 100000},
                      (struct pod){.name = "b", .node = "m", .is_ready = true, .ready_for = 1}, 5,
                      2);
    /* The one that has been ready for a much shorter time. */
    assert_goes_first(
        (struct pod){.name = "a", .node = "n", .is_ready = true, .ready_for = 10, .age = 100000},
        (struct pod){.name = "b",
                     .node = "n",
                     .is_ready = true,
                     .ready_for = 100000,
                     .restarts = 5,
                     .age = 100000},
        0, 0);
    /* The one with more restarts. */
    assert_goes_first((struct pod){.name = "a", .node = "n", .restarts = 5, .age = 100000},
                      (struct pod){.name = "b", .node = "n", .restarts = 1, .age = 10}, 0, 0);
    /* The much younger one. */
    assert_goes_first((struct pod){.name = "a", .node = "n", .age = 10},
                      (struct pod){.name = "b", .node = "n", .age = 100000}, 0, 0);
}

static void pods_of_about_the_same_age_are_equals(void **state)
{
    (void)state;
    /* Their uids, which are random, decide. */
    assert_goes_first((struct pod){.name = "a", .node = "n", .age = 1001},
                      (struct pod){.name = "b", .node = "n", .age = 1000}, 0, 0);
    assert_goes_first((struct pod){.name = "a", .node = "n", .age = 1000},
                      (struct pod){.name = "b", .node = "n", .age = 1001}, 0, 0);
}

/* ---- the status ---- */

static json_t *set_of(json_int_t replicas, json_int_t min_ready)
{
    return json_pack("{s:{s:s, s:i}, s:{s:I, s:I, s:{s:{s:{s:s}}}}, s:{s:i}}", "metadata", "name",
                     "web", "generation", 4, "spec", "replicas", replicas, "minReadySeconds",
                     min_ready, "template", "metadata", "labels", "app", "web", "status",
                     "replicas", 0);
}

static void ready_and_available_pods_are_counted(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *set = set_of(3, 60);
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    int64_t next_check;
    add_pod(&pods, (struct pod){.name = "a"});
    add_pod(&pods, (struct pod){.name = "b", .is_ready = true, .ready_for = 10});
    add_pod(&pods, (struct pod){.name = "c", .is_ready = true, .ready_for = 20});
    add_pod(&pods, (struct pod){.name = "d", .is_ready = true, .ready_for = 60});
    cleanup(json_release)
    json_t *status = replicaset_status(set, &pods, now, NULL, &next_check);
    assert_int_equal(json_get_int(status, "replicas", -1), 4);
    assert_int_equal(json_get_int(status, "fullyLabeledReplicas", -1), 4);
    assert_int_equal(json_get_int(status, "readyReplicas", -1), 3);
    assert_int_equal(json_get_int(status, "availableReplicas", -1), 1);
    assert_int_equal(json_get_int(status, "observedGeneration", -1), 4);
    assert_true(next_check == now + 40 * second);
}

static void counts_of_nothing_are_left_out(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *set = set_of(0, 0);
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    int64_t next_check;
    cleanup(json_release)
    json_t *status = replicaset_status(set, &pods, now, NULL, &next_check);
    cleanup(free_char)
    char *text = json_text(status);
    assert_string_equal(text, "{\"replicas\":0,\"observedGeneration\":4}");
    assert_true(next_check == 0);
}

static void a_failure_is_a_condition_until_it_is_over(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *set = set_of(1, 0);
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    cleanup(error_clear)
    struct error failure = ERROR_INIT;
    int64_t next_check;
    error_bad_request(&failure, "no room");
    json_t *status = replicaset_status(set, &pods, now, &failure, &next_check);
    const json_t *condition =
        condition_find(json_object_get(status, "conditions"), "ReplicaFailure");
    assert_non_null(condition);
    assert_string_equal(json_get_string(condition, "reason"), "FailedCreate");
    assert_string_equal(json_get_string(condition, "message"), "no room");
    assert_string_equal(json_get_string(condition, "status"), "True");
    json_object_set_new(set, "status", status);
    cleanup(json_release)
    json_t *after = replicaset_status(set, &pods, now, NULL, &next_check);
    assert_null(json_object_get(after, "conditions"));
}

static void too_many_pods_that_can_not_go_are_a_failure_to_delete(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *set = set_of(0, 0);
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    cleanup(error_clear)
    struct error failure = ERROR_INIT;
    int64_t next_check;
    add_pod(&pods, (struct pod){.name = "a"});
    error_bad_request(&failure, "not now");
    cleanup(json_release)
    json_t *status = replicaset_status(set, &pods, now, &failure, &next_check);
    const json_t *condition =
        condition_find(json_object_get(status, "conditions"), "ReplicaFailure");
    assert_string_equal(json_get_string(condition, "reason"), "FailedDelete");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pods_are_given_up_in_the_documented_order),
        cmocka_unit_test(pods_of_about_the_same_age_are_equals),
        cmocka_unit_test(ready_and_available_pods_are_counted),
        cmocka_unit_test(counts_of_nothing_are_left_out),
        cmocka_unit_test(a_failure_is_a_condition_until_it_is_over),
        cmocka_unit_test(too_many_pods_that_can_not_go_are_a_failure_to_delete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

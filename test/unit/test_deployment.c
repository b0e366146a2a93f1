// SPDX-License-Identifier: Apache-2.0
/* What the Deployment controller decides, from what it sees. */
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
#include "controllers/deployment_rollback.h"
#include "controllers/deployment_rollout.h"
#include "controllers/deployment_status.h"
#include "controllers/deployment_template.h"

static const int64_t second = INT64_C(1000000000);

static json_t *parse(const char *text)
{
    json_t *json = json_parse(text, strlen(text), NULL);
    assert_non_null(json);
    return json;
}

/* A Deployment of this size; 'strategy' is the JSON of spec.strategy. */
static json_t *deployment_of(json_int_t replicas, const char *strategy)
{
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:i}, s:{s:I, s:i, s:o, s:o, s:{s:{s:s}}}, "
                     "s:{}}",
                     "apiVersion", "apps/v1", "kind", "Deployment", "metadata", "name", "web",
                     "namespace", "default", "uid", "u1", "generation", 2, "spec", "replicas",
                     replicas, "progressDeadlineSeconds", 60, "strategy", parse(strategy),
                     "template", parse("{\"spec\":{\"image\":\"new\"}}"), "selector", "matchLabels",
                     "app", "web", "status");
}

static const char rolling[] = "{\"type\":\"RollingUpdate\",\"rollingUpdate\":"
                              "{\"maxSurge\":\"25%\",\"maxUnavailable\":\"25%\"}}";
static const char recreating[] = "{\"type\":\"Recreate\"}";

/* A ReplicaSet: 'age' orders them, the larger the older. */
static json_t *set_of(const char *image, int age, json_int_t replicas, json_int_t available)
{
    char created[TIMESTAMP_SIZE];
    timestamp_format((1700000000 - age) * second, created);
    cleanup(free_char)
    char *name = format("web-%s", image);
    return json_pack("{s:{s:s, s:s}, s:{s:I, s:{s:{s:s}}}, s:{s:I, s:I, s:I}}", "metadata", "name",
                     name, "creationTimestamp", created, "spec", "replicas", replicas, "template",
                     "spec", "image", image, "status", "replicas", replicas, "readyReplicas",
                     available, "availableReplicas", available);
}

struct fixture {
    json_t *deployment;
    struct rollout rollout;
};

static struct fixture fixture_of(json_int_t replicas, const char *strategy)
{
    struct fixture fixture = {.deployment = deployment_of(replicas, strategy)};
    rollout_load(&fixture.rollout, fixture.deployment);
    return fixture;
}

static void add_set(struct fixture *fixture, const char *image, int age, json_int_t replicas,
                    json_int_t available)
{
    rollout_add(&fixture->rollout, set_of(image, age, replicas, available));
    rollout_find_new(&fixture->rollout, json_path(fixture->deployment, "spec", "template"));
}

static void fixture_free(struct fixture *fixture)
{
    rollout_free(&fixture->rollout);
    json_decref(fixture->deployment);
}

static struct rollout_set *set_named(struct fixture *fixture, const char *image)
{
    for (size_t i = 0; i < fixture->rollout.count; i++) {
        if (strcmp(json_path_string(fixture->rollout.sets[i].object, "metadata", "name") + 4,
                   image) == 0) {
            return &fixture->rollout.sets[i];
        }
    }
    fail_msg("no set %s", image);
    return NULL;
}

static json_int_t target_of(struct fixture *fixture, const char *image)
{
    return set_named(fixture, image)->target;
}

/* ---- the limits ---- */

static void assert_limits(json_int_t replicas, const char *surge, const char *missing,
                          json_int_t max_surge, json_int_t max_unavailable)
{
    cleanup(free_char)
    char *strategy = format("{\"type\":\"RollingUpdate\",\"rollingUpdate\":"
                            "{\"maxSurge\":%s,\"maxUnavailable\":%s}}",
                            surge, missing);
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(replicas, strategy);
    assert_int_equal(fixture.rollout.max_surge, max_surge);
    assert_int_equal(fixture.rollout.max_unavailable, max_unavailable);
}

static void surge_rounds_up_and_unavailability_down(void **state)
{
    (void)state;
    assert_limits(3, "\"25%\"", "\"25%\"", 1, 0);
    assert_limits(10, "\"25%\"", "\"25%\"", 3, 2);
    assert_limits(10, "2", "1", 2, 1);
    assert_limits(3000, "\"100%\"", "\"50%\"", 3000, 1500);
}

static void limits_that_allow_nothing_allow_one_missing(void **state)
{
    (void)state;
    assert_limits(3, "0", "\"10%\"", 0, 1);
    assert_limits(3, "\"0%\"", "0", 0, 1);
}

static void no_more_can_be_missing_than_there_are(void **state)
{
    (void)state;
    assert_limits(3, "0", "10", 0, 3);
    assert_limits(0, "0", "0", 0, 0);
}

/* ---- rolling ---- */

static void the_first_set_gets_all_replicas(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(10, rolling);
    assert_int_equal(rollout_new_replicas(&fixture.rollout), 10);
}

static void a_new_set_starts_with_the_surge(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(10, rolling);
    add_set(&fixture, "old", 9, 10, 10);
    assert_null(fixture.rollout.new);
    assert_int_equal(rollout_new_replicas(&fixture.rollout), 3);
}

static void old_pods_go_as_far_as_availability_allows(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(10, rolling);
    add_set(&fixture, "old", 9, 10, 10);
    add_set(&fixture, "new", 1, 3, 0);
    rollout_step_rolling(&fixture.rollout);
    assert_int_equal(target_of(&fixture, "new"), 3);
    assert_int_equal(target_of(&fixture, "old"), 8);
}

static void the_new_set_grows_into_the_room_that_old_ones_left(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(10, rolling);
    add_set(&fixture, "old", 9, 8, 8);
    add_set(&fixture, "new", 1, 3, 0);
    rollout_step_rolling(&fixture.rollout);
    assert_int_equal(target_of(&fixture, "new"), 5);
    assert_int_equal(target_of(&fixture, "old"), 8);
}

static void unavailable_new_pods_hold_old_ones(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(10, rolling);
    add_set(&fixture, "old", 9, 8, 8);
    add_set(&fixture, "new", 1, 5, 0);
    rollout_step_rolling(&fixture.rollout);
    assert_false(rollout_has_targets(&fixture.rollout));
}

static void old_pods_that_are_not_available_go_first(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(10, rolling);
    add_set(&fixture, "older", 9, 4, 4);
    add_set(&fixture, "broken", 5, 4, 0);
    add_set(&fixture, "new", 1, 5, 5);
    rollout_step_rolling(&fixture.rollout);
    assert_int_equal(target_of(&fixture, "broken"), 0);
    /* 9 are available and 8 must be. */
    assert_int_equal(target_of(&fixture, "older"), 3);
}

static void a_set_that_is_too_large_shrinks(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(3, rolling);
    add_set(&fixture, "new", 1, 5, 5);
    rollout_step_rolling(&fixture.rollout);
    assert_int_equal(target_of(&fixture, "new"), 3);
}

/* Plays a rollout to its end with pods that become available at once. */
static void a_rollout_ends_and_never_breaks_its_limits(void **state)
{
    (void)state;
    for (json_int_t replicas = 1; replicas <= 40; replicas++) {
        cleanup(fixture_free)
        struct fixture fixture = fixture_of(replicas, rolling);
        add_set(&fixture, "old", 9, replicas, replicas);
        add_set(&fixture, "new", 1, 0, 0);
        json_int_t steps = 0;
        for (;; steps++) {
            rollout_step_rolling(&fixture.rollout);
            if (!rollout_has_targets(&fixture.rollout)) {
                break;
            }
            json_int_t total = 0, available = 0;
            for (size_t i = 0; i < fixture.rollout.count; i++) {
                struct rollout_set *set = &fixture.rollout.sets[i];
                available += set->available < set->target ? set->available : set->target;
                set->replicas = set->available = set->target;
                total += set->replicas;
            }
            assert_in_range(total, 0, replicas + fixture.rollout.max_surge);
            assert_true(available >= replicas - fixture.rollout.max_unavailable);
            assert_in_range(steps, 0, 2 * replicas + 1);
        }
        assert_int_equal(target_of(&fixture, "new"), replicas);
        assert_int_equal(target_of(&fixture, "old"), 0);
    }
}

/* ---- Recreate ---- */

static void recreate_takes_all_old_pods_and_no_new_ones(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(3, recreating);
    add_set(&fixture, "old", 9, 3, 3);
    add_set(&fixture, "new", 1, 0, 0);
    rollout_step_down(&fixture.rollout);
    assert_int_equal(target_of(&fixture, "old"), 0);
    assert_int_equal(target_of(&fixture, "new"), 0);
    assert_int_equal(rollout_new_replicas(&fixture.rollout), 3);
    assert_int_equal(fixture.rollout.max_surge, 0);
}

/* ---- scaling ---- */

static void scaled_for(struct fixture *fixture, const char *image, json_int_t desired,
                       json_int_t max)
{
    struct rollout_set *set = set_named(fixture, image);
    assert_true(replicas_annotate(set->object, desired, max));
    assert_false(replicas_annotate(set->object, desired, max));
    rollout_set_replace(set, json_incref(set->object));
}

static void a_size_that_active_sets_do_not_know_is_a_scaling(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(10, rolling);
    add_set(&fixture, "old", 9, 0, 0);
    add_set(&fixture, "new", 1, 5, 5);
    scaled_for(&fixture, "old", 3, 4);
    assert_false(rollout_needs_scaling(&fixture.rollout));
    scaled_for(&fixture, "new", 5, 7);
    assert_true(rollout_needs_scaling(&fixture.rollout));
    rollout_scale(&fixture.rollout);
    assert_int_equal(target_of(&fixture, "new"), 10);
    assert_int_equal(target_of(&fixture, "old"), 0);
}

/* The example of the Kubernetes documentation: 10 replicas, maxSurge 3, maxUnavailable 2; a broken
 * image left 8 old and 5 new pods; the Deployment is scaled to 15. */
static void scaling_in_the_midst_of_a_rollout_is_proportional(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture =
        fixture_of(15, "{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":3,"
                       "\"maxUnavailable\":2}}");
    add_set(&fixture, "old", 9, 8, 8);
    add_set(&fixture, "new", 1, 5, 0);
    scaled_for(&fixture, "old", 10, 13);
    scaled_for(&fixture, "new", 10, 13);
    rollout_scale(&fixture.rollout);
    assert_int_equal(target_of(&fixture, "old"), 11);
    assert_int_equal(target_of(&fixture, "new"), 7);
}

static void scaling_down_in_the_midst_of_a_rollout_is_proportional(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture =
        fixture_of(5, "{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":0,"
                      "\"maxUnavailable\":2}}");
    add_set(&fixture, "old", 9, 8, 8);
    add_set(&fixture, "new", 1, 2, 0);
    scaled_for(&fixture, "old", 10, 10);
    scaled_for(&fixture, "new", 10, 10);
    rollout_scale(&fixture.rollout);
    assert_int_equal(target_of(&fixture, "old"), 4);
    assert_int_equal(target_of(&fixture, "new"), 1);
}

static void scaling_to_zero_empties_every_set(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(0, rolling);
    add_set(&fixture, "old", 9, 7, 7);
    add_set(&fixture, "new", 1, 6, 0);
    rollout_scale(&fixture.rollout);
    assert_int_equal(target_of(&fixture, "old"), 0);
    assert_int_equal(target_of(&fixture, "new"), 0);
}

static void what_rounding_leaves_goes_to_the_largest(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture =
        fixture_of(10, "{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":0,"
                       "\"maxUnavailable\":1}}");
    add_set(&fixture, "a", 9, 3, 3);
    add_set(&fixture, "b", 5, 3, 3);
    add_set(&fixture, "new", 1, 3, 3);
    scaled_for(&fixture, "a", 9, 9);
    scaled_for(&fixture, "b", 9, 9);
    scaled_for(&fixture, "new", 9, 9);
    rollout_scale(&fixture.rollout);
    /* Of equals that grow, the youngest counts as the largest. */
    assert_int_equal(target_of(&fixture, "a"), 3);
    assert_int_equal(target_of(&fixture, "b"), 3);
    assert_int_equal(target_of(&fixture, "new"), 4);
}

static void old_sets_go_when_the_new_one_is_saturated(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(5, rolling);
    add_set(&fixture, "old", 9, 2, 2);
    add_set(&fixture, "new", 1, 5, 5);
    scaled_for(&fixture, "new", 5, 7);
    rollout_scale(&fixture.rollout);
    assert_int_equal(target_of(&fixture, "old"), 0);
    assert_int_equal(target_of(&fixture, "new"), 5);
}

/* ---- templates and revisions ---- */

static void a_hash_is_spelled_without_vowels(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *a = parse("{\"metadata\":{\"labels\":{\"a\":\"b\",\"c\":\"d\"}},\"spec\":{\"x\":1}}");
    cleanup(json_release)
    json_t *b = parse("{\"spec\":{\"x\":1},\"metadata\":{\"labels\":{\"c\":\"d\",\"a\":\"b\"}}}");
    char first[TEMPLATE_HASH_SIZE], other[TEMPLATE_HASH_SIZE];
    template_hash(a, -1, first);
    template_hash(b, -1, other);
    assert_string_equal(first, other);
    assert_true(strlen(first) > 0);
    assert_int_equal(strspn(first, "456789bcdf"), strlen(first));
    template_hash(a, 0, other);
    assert_string_not_equal(first, other);
    template_hash(a, 1, first);
    assert_string_not_equal(first, other);
}

static void templates_are_compared_without_their_hash(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool equal;
    } cases[] = {
        {"{\"spec\":{\"x\":1}}",
         "{\"metadata\":{\"labels\":{\"pod-template-hash\":\"h\"}},\"spec\":{\"x\":1}}", true},
        {"{\"metadata\":{\"labels\":{\"a\":\"b\"}}}",
         "{\"metadata\":{\"creationTimestamp\":null,\"labels\":{\"a\":\"b\","
         "\"pod-template-hash\":\"h\"}}}",
         true},
        {"{\"metadata\":{\"labels\":{\"a\":\"b\"}}}", "{\"metadata\":{\"labels\":{\"a\":\"c\"}}}",
         false},
        {"{\"metadata\":{\"annotations\":{\"a\":\"b\"}}}", "{\"metadata\":{}}", false},
        {"{\"spec\":{\"x\":1}}", "{\"spec\":{\"x\":2}}", false},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *a = parse(cases[i].a);
        cleanup(json_release)
        json_t *b = parse(cases[i].b);
        assert_int_equal(template_equals(a, b), cases[i].equal);
        assert_int_equal(template_equals(b, a), cases[i].equal);
    }
}

static void a_replicaset_carries_the_hash_thrice(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *deployment = deployment_of(3, rolling);
    cleanup(json_release)
    json_t *set = template_replicaset(deployment, 2);
    const char *hash = json_path_string(set, "metadata", "labels", "pod-template-hash");
    cleanup(free_char)
    char *name = format("web-%s", hash);
    assert_string_equal(json_path_string(set, "metadata", "name"), name);
    assert_string_equal(
        json_path_string(set, "spec", "selector", "matchLabels", "pod-template-hash"), hash);
    assert_string_equal(json_path_string(set, "spec", "selector", "matchLabels", "app"), "web");
    assert_string_equal(
        json_path_string(set, "spec", "template", "metadata", "labels", "pod-template-hash"), hash);
    assert_int_equal(json_get_int(json_object_get(set, "spec"), "replicas", -1), 2);
    assert_null(json_path(deployment, "spec", "template", "metadata"));
}

static void revisions_rise_and_leave_a_history(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *deployment =
        parse("{\"metadata\":{\"annotations\":{\"kubernetes.io/change-cause\":\"a new image\","
              "\"kubectl.kubernetes.io/last-applied-configuration\":\"{}\","
              "\"deployment.kubernetes.io/revision\":\"7\"}}}");
    cleanup(json_release)
    json_t *set = parse("{\"metadata\":{\"name\":\"web-x\"}}");
    assert_true(revision_annotate(set, deployment, 1));
    assert_false(revision_annotate(set, deployment, 1));
    assert_int_equal(revision_of(set), 1);
    const json_t *annotations = json_path(set, "metadata", "annotations");
    assert_string_equal(json_get_string(annotations, "kubernetes.io/change-cause"), "a new image");
    assert_int_equal(json_object_size(annotations), 2);
    assert_true(revision_annotate(set, deployment, 3));
    assert_true(revision_annotate(set, deployment, 5));
    assert_false(revision_annotate(set, deployment, 4));
    assert_int_equal(revision_of(set), 5);
    assert_string_equal(json_get_string(annotations, "deployment.kubernetes.io/revision-history"),
                        "1,3");
}

static void a_long_history_forgets_its_beginning(void **state)
{
    (void)state;
    static const char name[] = "deployment.kubernetes.io/revision-history";
    cleanup(json_release)
    json_t *deployment = parse("{\"metadata\":{}}");
    cleanup(json_release)
    json_t *set = parse("{\"metadata\":{}}");
    for (json_int_t revision = 1; revision < 1000; revision++) {
        revision_annotate(set, deployment, revision);
        const char *history = json_path_string(set, "metadata", "annotations", name);
        assert_in_range(history != NULL ? strlen(history) : 0, 0, 2000);
    }
    const char *history = json_path_string(set, "metadata", "annotations", name);
    assert_string_equal(history + strlen(history) - 8, ",997,998");
    assert_int_not_equal(history[0], ',');
}

static void the_history_keeps_the_latest_unused_sets(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(3, rolling);
    add_set(&fixture, "c", 7, 0, 0);
    add_set(&fixture, "a", 9, 0, 0);
    add_set(&fixture, "b", 8, 1, 1);
    add_set(&fixture, "new", 1, 3, 3);
    annotate(set_named(&fixture, "a")->object, revision_annotation, "2");
    annotate(set_named(&fixture, "b")->object, revision_annotation, "1");
    annotate(set_named(&fixture, "c")->object, revision_annotation, "10");
    struct rollout_set *found[4];
    assert_int_equal(rollout_find_expired(&fixture.rollout, 3, found), 0);
    /* The lowest revision has a pod and stays. */
    assert_int_equal(rollout_find_expired(&fixture.rollout, 2, found), 0);
    assert_int_equal(rollout_find_expired(&fixture.rollout, 1, found), 1);
    assert_ptr_equal(found[0], set_named(&fixture, "a"));
    assert_int_equal(rollout_find_expired(&fixture.rollout, 0, found), 2);
}

/* ---- the status ---- */

static void assert_condition(const json_t *status, const char *type, const char *value,
                             const char *reason, const char *message)
{
    const json_t *condition = condition_find(json_object_get(status, "conditions"), type);
    assert_non_null(condition);
    assert_string_equal(json_get_string(condition, "status"), value);
    assert_string_equal(json_get_string(condition, "reason"), reason);
    assert_string_equal(json_get_string(condition, "message"), message);
}

/* The status after a rollout's step at this moment; it becomes the Deployment's. */
static json_t *status_at(struct fixture *fixture, int64_t now)
{
    json_t *status = deployment_status(fixture->deployment, &fixture->rollout, now);
    deployment_status_add_progress(status, fixture->deployment, &fixture->rollout, now);
    json_object_set_new(fixture->deployment, "status", status);
    return status;
}

static void counts_are_sums_and_zeros_are_left_out(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(10, rolling);
    add_set(&fixture, "old", 9, 8, 8);
    add_set(&fixture, "new", 1, 5, 0);
    const json_t *status = status_at(&fixture, 100 * second);
    assert_int_equal(json_get_int(status, "replicas", 0), 13);
    assert_int_equal(json_get_int(status, "updatedReplicas", 0), 5);
    assert_int_equal(json_get_int(status, "readyReplicas", 0), 8);
    assert_int_equal(json_get_int(status, "availableReplicas", 0), 8);
    assert_int_equal(json_get_int(status, "unavailableReplicas", 0), 5);
    assert_int_equal(json_get_int(status, "observedGeneration", 0), 2);
    assert_condition(status, "Available", "True", "MinimumReplicasAvailable",
                     "Deployment has minimum availability.");
    assert_null(json_object_get(status, "collisionCount"));
    set_named(&fixture, "old")->available = 7;
    status = status_at(&fixture, 100 * second);
    assert_condition(status, "Available", "False", "MinimumReplicasUnavailable",
                     "Deployment does not have minimum availability.");
}

static void progress_is_told_until_the_rollout_is_complete(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(3, rolling);
    add_set(&fixture, "new", 1, 3, 0);
    const json_t *status = status_at(&fixture, 100 * second);
    assert_condition(status, "Progressing", "True", "ReplicaSetUpdated",
                     "ReplicaSet \"web-new\" is progressing.");
    set_named(&fixture, "new")->available = 1;
    status = status_at(&fixture, 110 * second);
    const json_t *progress = condition_find(json_object_get(status, "conditions"), "Progressing");
    assert_string_equal(json_get_string(progress, "lastUpdateTime"), "1970-01-01T00:01:50Z");
    assert_string_equal(json_get_string(progress, "lastTransitionTime"), "1970-01-01T00:01:40Z");
    set_named(&fixture, "new")->available = 3;
    status = status_at(&fixture, 120 * second);
    assert_condition(status, "Progressing", "True", "NewReplicaSetAvailable",
                     "ReplicaSet \"web-new\" has successfully progressed.");
    assert_true(deployment_is_complete(fixture.deployment, status));
    /* Pods that are lost later are no rollout, and no deadline runs. */
    set_named(&fixture, "new")->available = 0;
    status = status_at(&fixture, 1000 * second);
    assert_condition(status, "Progressing", "True", "NewReplicaSetAvailable",
                     "ReplicaSet \"web-new\" has successfully progressed.");
    assert_int_equal(deployment_next_check(fixture.deployment, status, 1000 * second), 0);
}

static void no_progress_for_too_long_is_a_failure(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(3, rolling);
    add_set(&fixture, "new", 1, 3, 0);
    const json_t *status = status_at(&fixture, 100 * second);
    assert_int_equal(deployment_next_check(fixture.deployment, status, 130 * second), 161 * second);
    status = status_at(&fixture, 160 * second);
    assert_condition(status, "Progressing", "True", "ReplicaSetUpdated",
                     "ReplicaSet \"web-new\" is progressing.");
    status = status_at(&fixture, 161 * second);
    assert_condition(status, "Progressing", "False", "ProgressDeadlineExceeded",
                     "ReplicaSet \"web-new\" has timed out progressing.");
    assert_int_equal(deployment_next_check(fixture.deployment, status, 162 * second), 0);
    /* A pod that comes up after all is progress again. */
    set_named(&fixture, "new")->available = 1;
    status = status_at(&fixture, 170 * second);
    assert_condition(status, "Progressing", "True", "ReplicaSetUpdated",
                     "ReplicaSet \"web-new\" is progressing.");
}

static void without_a_deadline_there_is_no_condition_progressing(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(3, rolling);
    add_set(&fixture, "new", 1, 3, 0);
    status_at(&fixture, 100 * second);
    json_object_set_new(json_object_get(fixture.deployment, "spec"), "progressDeadlineSeconds",
                        json_integer(INT32_MAX));
    const json_t *status = status_at(&fixture, 200 * second);
    assert_null(condition_find(json_object_get(status, "conditions"), "Progressing"));
    assert_int_equal(deployment_next_check(fixture.deployment, status, 200 * second), 0);
}

static void a_pause_is_a_reason_and_stops_the_clock(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(3, rolling);
    add_set(&fixture, "new", 1, 3, 0);
    status_at(&fixture, 100 * second);
    json_t *spec = json_object_get(fixture.deployment, "spec");
    json_object_set_new(spec, "paused", json_true());
    deployment_note_pause(fixture.deployment, 110 * second);
    assert_condition(json_object_get(fixture.deployment, "status"), "Progressing", "Unknown",
                     "DeploymentPaused", "Deployment is paused");
    json_object_set_new(spec, "paused", json_false());
    deployment_note_pause(fixture.deployment, 500 * second);
    assert_condition(json_object_get(fixture.deployment, "status"), "Progressing", "Unknown",
                     "DeploymentResumed", "Deployment is resumed");
    const json_t *status = status_at(&fixture, 510 * second);
    assert_condition(status, "Progressing", "Unknown", "DeploymentResumed",
                     "Deployment is resumed");
    status = status_at(&fixture, 561 * second);
    assert_condition(status, "Progressing", "False", "ProgressDeadlineExceeded",
                     "ReplicaSet \"web-new\" has timed out progressing.");
    json_object_set_new(spec, "paused", json_true());
    deployment_note_pause(fixture.deployment, 570 * second);
    assert_condition(status, "Progressing", "False", "ProgressDeadlineExceeded",
                     "ReplicaSet \"web-new\" has timed out progressing.");
}

static void a_failing_set_makes_the_deployment_fail(void **state)
{
    (void)state;
    cleanup(fixture_free)
    struct fixture fixture = fixture_of(3, rolling);
    add_set(&fixture, "new", 1, 3, 0);
    json_t *set_status = json_object_get(set_named(&fixture, "new")->object, "status");
    json_object_set_new(set_status, "conditions",
                        parse("[{\"type\":\"ReplicaFailure\",\"status\":\"True\","
                              "\"reason\":\"FailedCreate\",\"message\":\"no\","
                              "\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]"));
    const json_t *status = status_at(&fixture, 100 * second);
    assert_condition(status, "ReplicaFailure", "True", "FailedCreate", "no");
    json_object_del(set_status, "conditions");
    status = status_at(&fixture, 110 * second);
    assert_null(condition_find(json_object_get(status, "conditions"), "ReplicaFailure"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(surge_rounds_up_and_unavailability_down),
        cmocka_unit_test(limits_that_allow_nothing_allow_one_missing),
        cmocka_unit_test(no_more_can_be_missing_than_there_are),
        cmocka_unit_test(the_first_set_gets_all_replicas),
        cmocka_unit_test(a_new_set_starts_with_the_surge),
        cmocka_unit_test(old_pods_go_as_far_as_availability_allows),
        cmocka_unit_test(the_new_set_grows_into_the_room_that_old_ones_left),
        cmocka_unit_test(unavailable_new_pods_hold_old_ones),
        cmocka_unit_test(old_pods_that_are_not_available_go_first),
        cmocka_unit_test(a_set_that_is_too_large_shrinks),
        cmocka_unit_test(a_rollout_ends_and_never_breaks_its_limits),
        cmocka_unit_test(recreate_takes_all_old_pods_and_no_new_ones),
        cmocka_unit_test(a_size_that_active_sets_do_not_know_is_a_scaling),
        cmocka_unit_test(scaling_in_the_midst_of_a_rollout_is_proportional),
        cmocka_unit_test(scaling_down_in_the_midst_of_a_rollout_is_proportional),
        cmocka_unit_test(scaling_to_zero_empties_every_set),
        cmocka_unit_test(what_rounding_leaves_goes_to_the_largest),
        cmocka_unit_test(old_sets_go_when_the_new_one_is_saturated),
        cmocka_unit_test(a_hash_is_spelled_without_vowels),
        cmocka_unit_test(templates_are_compared_without_their_hash),
        cmocka_unit_test(a_replicaset_carries_the_hash_thrice),
        cmocka_unit_test(revisions_rise_and_leave_a_history),
        cmocka_unit_test(a_long_history_forgets_its_beginning),
        cmocka_unit_test(the_history_keeps_the_latest_unused_sets),
        cmocka_unit_test(counts_are_sums_and_zeros_are_left_out),
        cmocka_unit_test(progress_is_told_until_the_rollout_is_complete),
        cmocka_unit_test(no_progress_for_too_long_is_a_failure),
        cmocka_unit_test(without_a_deadline_there_is_no_condition_progressing),
        cmocka_unit_test(a_pause_is_a_reason_and_stops_the_clock),
        cmocka_unit_test(a_failing_set_makes_the_deployment_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* What the Job controller decides: which pods to make and remove, when a job is over, and that each
 * pod is counted once, wherever the process is killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/conditions.h"
#include "controllers/job_round.h"
#include "controllers/pod_view.h"

static const int64_t second = INT64_C(1000000000);
static const int64_t now = INT64_C(1800000000) * INT64_C(1000000000);

/* ---- a job and its pods ---- */

static json_t *ago(int seconds)
{
    char text[TIMESTAMP_SIZE];
    timestamp_format(now - seconds * second, text);
    return json_string(text);
}

/* 'spec' and 'status' are members as JSON. */
static json_t *make_job(const char *spec, const char *status)
{
    cleanup(free_char)
    char *text =
        format("{\"kind\": \"Job\", \"apiVersion\": \"batch/v1\", \"metadata\": {\"name\": "
               "\"job\", \"namespace\": \"n\", \"uid\": \"u\"}, \"spec\": {\"template\": "
               "{\"spec\": {\"restartPolicy\": \"OnFailure\", \"containers\": [{\"name\": "
               "\"c\"}]}}%s%s}, \"status\": {%s}}",
               spec[0] != '\0' ? ", " : "", spec, status);
    json_error_t why;
    json_t *job = json_loads(text, 0, &why);
    if (job == NULL) {
        fail_msg("%s: %s", why.text, text);
    }
    return job;
}

/* What a test says of a pod; what is 0 is absent. */
struct pod {
    const char *name, *phase; /* Running unless given. */
    int index;                /* From 1, as 0 is absent. */
    int failures;             /* Of its index before it. */
    int ended_ago, restarts;
    bool is_ready, is_deleting, is_let_go; /* Without the finalizer. */
};

static void add_pod(struct cached_list *pods, struct pod pod)
{
    cleanup(json_release)
    json_t *object = json_pack(
        "{s:{s:s, s:s, s:s, s:o, s:{}, s:[]}, s:{s:s}, s:{s:s, s:[{s:s, s:s, s:o}], s:[{s:s, s:i, "
        "s:{}}]}}",
        "metadata", "name", pod.name, "namespace", "n", "uid", pod.name, "creationTimestamp",
        ago(100), "annotations", "finalizers", "spec", "nodeName", "node", "status", "phase",
        pod.phase != NULL ? pod.phase : "Running", "conditions", "type", "Ready", "status",
        pod.is_ready ? "True" : "False", "lastTransitionTime", ago(pod.ended_ago),
        "containerStatuses", "name", "c", "restartCount", pod.restarts, "state");
    json_t *metadata = json_object_get(object, "metadata");
    json_t *annotations = json_object_get(metadata, "annotations");
    if (!pod.is_let_go) {
        json_array_append_new(json_object_get(metadata, "finalizers"),
                              json_string(pod_job_finalizer));
    }
    if (pod.is_deleting) {
        json_object_set_new(metadata, "deletionTimestamp", ago(0));
    }
    if (pod.index > 0) {
        json_object_set_new(annotations, pod_job_index_annotation,
                            json_sprintf("%d", pod.index - 1));
    }
    if (pod.failures > 0) {
        json_object_set_new(annotations, "batch.kubernetes.io/job-index-failure-count",
                            json_sprintf("%d", pod.failures));
    }
    cleanup(free_char)
    char *text = json_text(object);
    cleanup(cached_object_release)
    struct cached_object *cached = cached_object_new(&pod_class, text, strlen(text));
    assert_non_null(cached);
    cached_list_add(pods, cached);
}

struct scene {
    struct cached_list pods;
    struct job_round round;
    struct job_plan plan;
};

/* Looks at a job with these pods (up to one without a name) and plans. */
static void look(struct scene *scene, const char *spec, const char *status, const struct pod *pods,
                 struct job_backoff backoff)
{
    *scene = (struct scene){.pods = CACHED_LIST_INIT};
    for (; pods != NULL && pods->name != NULL; pods++) {
        add_pod(&scene->pods, *pods);
    }
    job_round_start(&scene->round, make_job(spec, status), &scene->pods, NULL, NULL, backoff,
                    10 * second, now);
    job_round_judge(&scene->round);
    if (scene->round.verdict.type == NULL) {
        job_round_plan(&scene->round, &scene->plan);
    }
}

static void scene_free(struct scene *scene)
{
    job_plan_free(&scene->plan);
    job_round_free(&scene->round);
    cached_list_free(&scene->pods);
}

#define PODS(...) ((const struct pod[]){__VA_ARGS__, {0}})
#define NO_BACKOFF ((struct job_backoff){0})

/* How many pods are made and removed. */
static void assert_plan(const char *spec, const char *status, const struct pod *pods, size_t create,
                        size_t remove)
{
    cleanup(scene_free)
    struct scene scene;
    look(&scene, spec, status, pods, NO_BACKOFF);
    assert_null(scene.round.verdict.type);
    assert_int_equal(scene.plan.create, create);
    assert_int_equal(scene.plan.remove.count, remove);
}

/* ---- how many pods ---- */

static void as_many_pods_run_as_are_missing_and_allowed(void **state)
{
    (void)state;
    static const char five[] = "\"completions\": 5, \"parallelism\": 2";
    const struct pod done = {.name = "done", .phase = "Succeeded"};
    assert_plan(five, "", NULL, 2, 0);
    assert_plan(five, "", PODS({.name = "a"}), 1, 0);
    assert_plan(five, "\"succeeded\": 4", NULL, 1, 0);
    assert_plan(five, "\"succeeded\": 3", PODS(done), 1, 0);
    assert_plan(five, "", PODS({.name = "a"}, {.name = "b"}, {.name = "c"}), 0, 1);
    assert_plan("\"completions\": 5, \"parallelism\": 0", "", PODS({.name = "a"}), 0, 1);
    assert_plan("\"completions\": 5000, \"parallelism\": 5000", "", NULL, JOB_BURST, 0);
    /* Without a number: until the first success, and then what runs runs on. */
    assert_plan("\"parallelism\": 3", "", PODS({.name = "a"}), 2, 0);
    assert_plan("\"parallelism\": 3", "", PODS({.name = "a"}, done), 0, 0);
    assert_plan("\"completions\": 5, \"suspend\": true", "", PODS({.name = "a"}, {.name = "b"}), 0,
                2);
    /* A success that is counted already, or being counted, is no new one. */
    assert_plan(five, "\"succeeded\": 1",
                PODS({.name = "a", .phase = "Succeeded", .is_let_go = true}), 2, 0);
    assert_plan("\"completions\": 2, \"parallelism\": 2",
                "\"uncountedTerminatedPods\": {\"succeeded\": [\"done\"]}", PODS(done), 1, 0);
}

static void pods_that_are_ending_are_replaced_as_the_policy_says(void **state)
{
    (void)state;
    const struct pod ending = {.name = "a", .is_deleting = true};
    assert_plan("\"completions\": 2, \"parallelism\": 1, \"podReplacementPolicy\": \"Failed\"", "",
                PODS(ending), 0, 0);
    /* Counted as failed; what is left of the time after a failure counts from its end. */
    cleanup(scene_free)
    struct scene scene;
    look(&scene, "\"podReplacementPolicy\": \"TerminatingOrFailed\"", "", PODS(ending), NO_BACKOFF);
    assert_int_equal(scene.round.failed, 1);
    assert_int_equal(scene.round.terminating, 1);
}

static void each_index_has_one_pod(void **state)
{
    (void)state;
    static const char spec[] =
        "\"completions\": 5, \"parallelism\": 5, \"completionMode\": \"Indexed\"";
    cleanup(scene_free)
    struct scene scene;
    look(&scene, spec, "\"completedIndexes\": \"0\", \"succeeded\": 1",
         PODS({.name = "three", .index = 4}, {.name = "one", .index = 2, .phase = "Succeeded"}),
         NO_BACKOFF);
    assert_int_equal(scene.plan.create, 2);
    assert_int_equal(scene.plan.indexes[0], 2);
    assert_int_equal(scene.plan.indexes[1], 4);
    cleanup(json_release)
    json_t *pod = job_round_make_pod(&scene.round, &scene.plan, 1);
    assert_string_equal(json_path_string(pod, "metadata", "generateName"), "job-4-");
    assert_string_equal(json_path_string(pod, "spec", "hostname"), "job-4");
    assert_string_equal(json_path_string(pod, "metadata", "labels", pod_job_index_annotation), "4");
    assert_true(json_array_has_string(json_path(pod, "metadata", "finalizers"), pod_job_finalizer));
    /* The template is not touched. */
    assert_null(json_path(scene.round.spec, "template", "spec", "hostname"));
    /* Doubles go, the less advanced ones first; so do pods of no index that the job has. */
    assert_plan(spec, "",
                PODS({.name = "a", .index = 1, .is_ready = true}, {.name = "b", .index = 1},
                     {.name = "c", .index = 9}, {.name = "d"}, {.name = "e", .index = 2}),
                0, 3);
}

/* ---- waiting ---- */

static void failures_delay_the_next_pod_longer_each_time(void **state)
{
    (void)state;
    static const struct {
        int failures, ago;
        int64_t expected_ms;
    } cases[] = {
        {1, 0, 10000},  {1, 4, 6000},   {1, 10, 0},        {2, 0, 20000},
        {5, 0, 160000}, {7, 0, 600000}, {1000, 0, 600000}, {7, 600, 0},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(scene_free)
        struct scene scene;
        look(&scene, "\"backoffLimit\": 5000", "", NULL,
             (struct job_backoff){cases[i].failures, now - cases[i].ago * second});
        assert_int_equal(scene.plan.create, cases[i].expected_ms == 0);
        assert_int_equal(scene.round.wake_ms, cases[i].expected_ms + (cases[i].expected_ms > 0));
    }
}

static void a_success_forgives_the_failures_before_it(void **state)
{
    (void)state;
    cleanup(scene_free)
    struct scene scene;
    look(&scene, "\"completions\": 9, \"parallelism\": 1", "",
         PODS({.name = "a", .phase = "Failed", .ended_ago = 30},
              {.name = "b", .phase = "Succeeded", .ended_ago = 20},
              {.name = "c", .phase = "Failed", .ended_ago = 8},
              {.name = "d", .phase = "Failed", .ended_ago = 5}),
         (struct job_backoff){4, now - 60 * second});
    assert_int_equal(scene.round.backoff.failures, 2);
    assert_int_equal(scene.round.backoff.last_failure, now - 5 * second);
    assert_int_equal(scene.round.wake_ms, 15001);
}

static void each_index_waits_for_itself_and_hands_on_its_failures(void **state)
{
    (void)state;
    cleanup(scene_free)
    struct scene scene;
    look(&scene,
         "\"completions\": 3, \"parallelism\": 3, \"completionMode\": \"Indexed\", "
         "\"backoffLimit\": 100, \"backoffLimitPerIndex\": 3",
         "",
         PODS({.name = "a", .index = 1, .phase = "Failed", .failures = 1, .ended_ago = 5},
              {.name = "b", .index = 2, .phase = "Failed", .failures = 1, .ended_ago = 25},
              {.name = "c", .index = 2, .phase = "Failed", .ended_ago = 70}),
         NO_BACKOFF);
    assert_int_equal(scene.plan.create, 2);
    assert_int_equal(scene.plan.indexes[0], 1);
    assert_int_equal(scene.plan.indexes[1], 2);
    assert_int_equal(scene.round.wake_ms, 15001);
    cleanup(json_release)
    json_t *pod = job_round_make_pod(&scene.round, &scene.plan, 0);
    assert_string_equal(json_path_string(pod, "metadata", "annotations",
                                         "batch.kubernetes.io/job-index-failure-count"),
                        "2");
    /* Those two are held until their successors exist; the older one is not. */
    cleanup(cached_list_free)
    struct cached_list done = CACHED_LIST_INIT;
    struct map uids = MAP_INIT;
    job_round_track(&scene.round, &done, &uids);
    map_free(&uids, NULL);
    assert_int_equal(done.count, 1);
    assert_string_equal(done.items[0]->name, "c");
}

/* ---- the end ---- */

static void assert_verdict(const char *spec, const char *status, const struct pod *pods,
                           const char *type, const char *reason)
{
    cleanup(scene_free)
    struct scene scene;
    look(&scene, spec, status, pods, NO_BACKOFF);
    job_round_settle(&scene.round, scene.round.verdict.type == NULL);
    if (type == NULL) {
        assert_null(scene.round.verdict.type);
        return;
    }
    assert_non_null(scene.round.verdict.type);
    assert_string_equal(scene.round.verdict.type, type);
    assert_string_equal(scene.round.verdict.reason, reason);
}

static void a_job_ends_for_the_first_reason_that_holds(void **state)
{
    (void)state;
    static const char each[] = "\"completions\": 2, \"completionMode\": \"Indexed\", "
                               "\"backoffLimit\": 100, \"backoffLimitPerIndex\": 0";
    const struct pod failed = {.name = "f", .phase = "Failed"};
    const struct pod done = {.name = "d", .phase = "Succeeded"};
    assert_verdict("\"completions\": 1", "", PODS(done), "SuccessCriteriaMet",
                   "CompletionsReached");
    assert_verdict("\"completions\": 1", "", PODS(done, {.name = "r"}), NULL, NULL);
    assert_verdict("\"parallelism\": 2", "", PODS(done), "SuccessCriteriaMet",
                   "CompletionsReached");
    assert_verdict("\"backoffLimit\": 1", "", PODS(failed), NULL, NULL);
    assert_verdict("\"backoffLimit\": 1", "\"failed\": 1", PODS(failed), "FailureTarget",
                   "BackoffLimitExceeded");
    assert_verdict("\"backoffLimit\": 2", "", PODS({.name = "r", .restarts = 2}), "FailureTarget",
                   "BackoffLimitExceeded");
    assert_verdict("\"activeDeadlineSeconds\": 60", "\"startTime\": \"2020-01-01T00:00:00Z\"", NULL,
                   "FailureTarget", "DeadlineExceeded");
    assert_verdict("\"activeDeadlineSeconds\": 60, \"suspend\": true",
                   "\"startTime\": \"2020-01-01T00:00:00Z\"", NULL, NULL, NULL);
    assert_verdict(each, "", PODS({.name = "f", .index = 1, .phase = "Failed"}), NULL, NULL);
    assert_verdict(each, "\"completedIndexes\": \"1\"",
                   PODS({.name = "f", .index = 1, .phase = "Failed"}), "FailureTarget",
                   "FailedIndexes");
    /* What a former round has said stays said. */
    assert_verdict("\"backoffLimit\": 0",
                   "\"conditions\": [{\"type\": \"SuccessCriteriaMet\", \"status\": \"True\", "
                   "\"reason\": \"SuccessPolicy\"}]",
                   PODS(failed), "SuccessCriteriaMet", "SuccessPolicy");
    assert_verdict("",
                   "\"conditions\": [{\"type\": \"FailureTarget\", \"status\": \"True\", "
                   "\"reason\": \"DeadlineExceeded\"}]",
                   PODS(done), "Failed", "DeadlineExceeded");
}

static void a_job_is_not_over_while_pods_are_ending(void **state)
{
    (void)state;
    for (int is_ending = 0; is_ending < 2; is_ending++) {
        cleanup(scene_free)
        struct scene scene;
        cleanup(cached_list_free)
        struct cached_list done = CACHED_LIST_INIT;
        struct map uids = MAP_INIT;
        look(&scene, "",
             "\"failed\": 1, \"conditions\": [{\"type\": \"FailureTarget\", \"status\": \"True\", "
             "\"reason\": \"DeadlineExceeded\", \"message\": \"m\"}]",
             PODS({.name = "a",
                   .is_let_go = true,
                   .is_deleting = true,
                   .phase = is_ending ? "Running" : "Failed"}),
             NO_BACKOFF);
        job_round_track(&scene.round, &done, &uids);
        map_free(&uids, NULL);
        assert_int_equal(job_round_finish(&scene.round), !is_ending);
        assert_int_equal(
            condition_is_true(json_object_get(scene.round.status, "conditions"), "Failed"),
            !is_ending);
    }
}

static void resuming_starts_the_clock_anew(void **state)
{
    (void)state;
    cleanup(scene_free)
    struct scene scene;
    look(&scene, "\"activeDeadlineSeconds\": 60",
         "\"conditions\": [{\"type\": \"Suspended\", \"status\": \"True\"}]", NULL, NO_BACKOFF);
    job_round_settle(&scene.round, true);
    cleanup(json_release)
    json_t *start = ago(0);
    assert_true(json_equal(json_object_get(scene.round.status, "startTime"), start));
    assert_string_equal(scene.round.suspension, "Resumed");
    assert_false(condition_is_true(json_object_get(scene.round.status, "conditions"), "Suspended"));
}

/* ---- counting, killed anywhere ---- */

enum { world_pods = 6 };

/* What the server has. */
struct world {
    json_t *job;
    struct pod pods[world_pods];
};

/* One round against the world, which is killed after so many writes. Returns whether the job is
 * over. */
static bool play_round(struct world *world, int *steps)
{
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    cleanup(cached_list_free)
    struct cached_list done = CACHED_LIST_INIT;
    for (size_t i = 0; i < world_pods; i++) {
        add_pod(&pods, world->pods[i]);
    }
    cleanup(job_round_free)
    struct job_round round;
    struct map uids = MAP_INIT;
    job_round_start(&round, json_deep_copy(world->job), &pods, NULL, NULL, NO_BACKOFF, second, now);
    job_round_judge(&round);
    job_round_settle(&round, true);
    job_round_track(&round, &done, &uids);
    bool alive = true;
    if (round.needs_write && (alive = (*steps)-- > 0)) {
        json_decref(world->job);
        world->job = json_deep_copy(round.job);
    }
    for (size_t i = 0; alive && i < done.count; i++) {
        if (!(alive = (*steps)-- > 0)) {
            break;
        }
        for (size_t n = 0; n < world_pods; n++) {
            if (strcmp(world->pods[n].name, done.items[i]->name) == 0) {
                world->pods[n].is_let_go = true;
            }
        }
        map_remove(&uids, done.items[i]->uid);
    }
    job_round_count(&round, &uids);
    map_free(&uids, NULL);
    bool is_over = alive && job_round_finish(&round);
    if (alive && (*steps)-- > 0) {
        json_decref(world->job);
        world->job = json_deep_copy(round.job);
        return is_over;
    }
    return false;
}

/* However the process is killed, and killed again, in the end the counts are right. */
static void each_pod_is_counted_once_wherever_the_process_is_killed(void **state)
{
    (void)state;
    for (int first = 0; first < 12; first++) {
        for (int next = 0; next < 12; next++) {
            for (int is_indexed = 0; is_indexed < 2; is_indexed++) {
                struct world world = {
                    make_job(is_indexed ? "\"completions\": 4, \"completionMode\": \"Indexed\""
                                        : "\"completions\": 4",
                             ""),
                    {{.name = "a", .index = 1, .phase = "Succeeded"},
                     {.name = "b", .index = 2, .phase = "Failed"},
                     {.name = "c", .index = 2, .phase = "Succeeded"},
                     {.name = "d", .index = 3, .phase = "Succeeded"},
                     {.name = "e", .index = 4, .phase = "Failed"},
                     {.name = "f", .index = 4, .phase = "Succeeded"}}};
                int steps[] = {first, next, 1000, 1000};
                bool has_finished = false;
                for (size_t i = 0; i < array_length(steps) && !has_finished; i++) {
                    has_finished = play_round(&world, &steps[i]);
                }
                const json_t *status = json_object_get(world.job, "status");
                assert_true(has_finished);
                assert_int_equal(json_get_int(status, "succeeded", 0), 4);
                assert_int_equal(json_get_int(status, "failed", 0), 2);
                assert_true(condition_is_true(json_object_get(status, "conditions"), "Complete"));
                for (size_t i = 0; i < world_pods; i++) {
                    assert_true(world.pods[i].is_let_go);
                }
                json_decref(world.job);
            }
        }
    }
}

static void no_more_uids_are_noted_than_fit(void **state)
{
    (void)state;
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    cleanup(cached_list_free)
    struct cached_list done = CACHED_LIST_INIT;
    for (int i = 0; i < JOB_UNCOUNTED_MAX + 20; i++) {
        cleanup(free_char)
        char *name = format("pod-%d", i);
        add_pod(&pods, (struct pod){.name = name, .phase = "Succeeded"});
    }
    cleanup(job_round_free)
    struct job_round round;
    struct map uids = MAP_INIT;
    job_round_start(&round, make_job("\"completions\": 520", ""), &pods, NULL, NULL, NO_BACKOFF,
                    second, now);
    job_round_judge(&round);
    job_round_settle(&round, true);
    job_round_track(&round, &done, &uids);
    assert_int_equal(done.count, JOB_UNCOUNTED_MAX);
    for (size_t i = 0; i < done.count; i++) {
        map_remove(&uids, done.items[i]->uid);
    }
    job_round_count(&round, &uids);
    map_free(&uids, NULL);
    assert_int_equal(json_get_int(round.status, "succeeded", 0), JOB_UNCOUNTED_MAX);
    assert_false(job_round_finish(&round));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_pods_run_as_are_missing_and_allowed),
        cmocka_unit_test(pods_that_are_ending_are_replaced_as_the_policy_says),
        cmocka_unit_test(each_index_has_one_pod),
        cmocka_unit_test(failures_delay_the_next_pod_longer_each_time),
        cmocka_unit_test(a_success_forgives_the_failures_before_it),
        cmocka_unit_test(each_index_waits_for_itself_and_hands_on_its_failures),
        cmocka_unit_test(a_job_ends_for_the_first_reason_that_holds),
        cmocka_unit_test(a_job_is_not_over_while_pods_are_ending),
        cmocka_unit_test(resuming_starts_the_clock_anew),
        cmocka_unit_test(each_pod_is_counted_once_wherever_the_process_is_killed),
        cmocka_unit_test(no_more_uids_are_noted_than_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
#include "controllers/job_round.h"

#include <limits.h>
#include <string.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/conditions.h"
#include "controllers/job_parts.h"
#include "controllers/job_policies.h"
#include "controllers/pod_view.h"

static const int64_t second = INT64_C(1000000000);

/* What a uid in status.uncountedTerminatedPods was noted as. */
static char as_succeeded, as_failed;

/* ---- parts that the other files share ---- */

bool job_pod_is_valid(const struct job_round *round, const struct job_pod *pod)
{
    int index = pod_view(pod->object)->job_index;
    return !round->is_indexed || (index >= 0 && index < round->completions);
}

const json_t *job_pod_tree(struct job_pod *pod)
{
    if (pod->tree == NULL) {
        pod->tree = cached_object_tree(pod->object);
    }
    return pod->tree;
}

bool job_pod_is_noted(const struct job_round *round, const struct job_pod *pod, bool failed)
{
    return map_get(&round->uncounted, pod->object->uid) == (failed ? &as_failed : &as_succeeded);
}

static int64_t time_at(const json_t *object, const char *name)
{
    const char *text = json_get_string(object, name);
    int64_t time = 0;
    return text != NULL && timestamp_parse(text, &time) ? time : 0;
}

/* When its last container ended; 0 unless all have. */
static int64_t containers_end(const json_t *pod)
{
    size_t i;
    const json_t *status;
    int64_t end = 0;
    json_array_foreach (json_path(pod, "status", "containerStatuses"), i, status) {
        int64_t finished = time_at(json_path(status, "state", "terminated"), "finishedAt");
        if (finished == 0) {
            return 0;
        }
        end = finished > end ? finished : end;
    }
    return end;
}

int64_t job_pod_end(struct job_pod *pod)
{
    const struct pod_view *view = pod_view(pod->object);
    int64_t end = containers_end(job_pod_tree(pod));
    if (end == 0 && !view->is_ready) {
        end = view->ready_since;
    }
    if (end == 0 && view->deletion_time != 0) {
        json_int_t grace = json_get_int(json_object_get(job_pod_tree(pod), "metadata"),
                                        "deletionGracePeriodSeconds", 0);
        end = view->deletion_time - grace * second;
    }
    return end != 0 ? end : pod->object->creation;
}

void job_set_condition(json_t *status, const char *type, const char *value, const char *reason,
                       const char *message, int64_t now)
{
    char time[TIMESTAMP_SIZE];
    timestamp_format(now, time);
    json_t *conditions = json_object_get(status, "conditions");
    if (!json_is_array(conditions)) {
        json_object_set_new(status, "conditions", conditions = json_array());
    }
    json_t *condition = condition_find(conditions, type);
    if (condition == NULL) {
        json_array_append_new(conditions, condition = json_object());
    }
    cleanup(json_release)
    json_t *members =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", type, "status", value, "lastProbeTime",
                  time, "lastTransitionTime", time, "reason", reason, "message", message);
    json_object_update(condition, members);
}

/* ---- what there is ---- */

/* Returns how many there are. */
static int note_uncounted(struct job_round *round, const char *name, char *as)
{
    size_t i;
    const json_t *uid;
    const json_t *list =
        json_object_get(json_get_or_add_object(round->status, "uncountedTerminatedPods"), name);
    json_array_foreach (list, i, uid) {
        if (json_is_string(uid)) {
            map_set(&round->uncounted, json_string_value(uid), as);
        }
    }
    return (int)json_array_size(list);
}

static void read_spec(struct job_round *round)
{
    json_int_t completions = json_get_int(round->spec, "completions", -1);
    const char *mode = json_get_string(round->spec, "completionMode");
    const char *policy = json_get_string(round->spec, "podReplacementPolicy");
    round->completions = completions > INT_MAX ? INT_MAX : (int)completions;
    round->parallelism = (int)json_get_int(round->spec, "parallelism", 1);
    round->is_suspended = json_get_bool(round->spec, "suspend", false);
    round->is_indexed = mode != NULL && strcmp(mode, "Indexed") == 0 && completions >= 0;
    round->has_index_limit =
        round->is_indexed && json_is_integer(json_object_get(round->spec, "backoffLimitPerIndex"));
    round->replaces_only_failed =
        json_is_object(json_object_get(round->spec, "podFailurePolicy")) ||
        (policy != NULL && strcmp(policy, "Failed") == 0);
}

static int compare_indexes(const void *a, const void *b)
{
    const struct job_pod *one = a, *other = b;
    int first = pod_view(one->object)->job_index, last = pod_view(other->object)->job_index;
    return first < last ? -1 : first > last;
}

static void read_pods(struct job_round *round, const struct cached_list *pods,
                      const struct map *adopted, const struct map *released)
{
    round->pods = allocate_zero(pods->count + 1, sizeof *round->pods);
    round->count = pods->count;
    for (size_t i = 0; i < pods->count; i++) {
        struct cached_object *object = pods->items[i];
        const struct pod_view *view = pod_view(object);
        bool has_ended = view->phase == POD_SUCCEEDED || view->phase == POD_FAILED;
        round->pods[i] = (struct job_pod){
            .object = object,
            .is_tracked = (view->is_job_tracked ||
                           (adopted != NULL && map_get(adopted, object->uid) != NULL)) &&
                          (released == NULL || map_get(released, object->uid) == NULL),
            .is_failed = view->phase == POD_FAILED ||
                         (!round->replaces_only_failed && object->is_deleting && !has_ended),
        };
        round->active += pod_is_active(object);
        round->ready += pod_is_active(object) && view->is_ready;
        round->terminating += object->is_deleting && !has_ended;
    }
    if (round->is_indexed) {
        qsort(round->pods, round->count, sizeof *round->pods, compare_indexes);
    }
}

static bool is_newly_succeeded(const struct job_round *round, const struct job_pod *pod)
{
    return pod->is_tracked && pod_view(pod->object)->phase == POD_SUCCEEDED &&
           !job_pod_is_noted(round, pod, false) && job_pod_is_valid(round, pod);
}

static bool is_newly_failed(const struct job_round *round, const struct job_pod *pod)
{
    return pod->is_tracked && pod->is_failed && !job_pod_is_noted(round, pod, true) &&
           job_pod_is_valid(round, pod);
}

/* A success forgives the failures before it. */
static void update_backoff(struct job_round *round)
{
    int64_t last_success = 0, last_failure = 0;
    int failures = 0;
    for (size_t i = 0; i < round->count; i++) {
        if (is_newly_succeeded(round, &round->pods[i])) {
            int64_t end = job_pod_end(&round->pods[i]);
            last_success = end > last_success ? end : last_success;
        }
    }
    for (size_t i = 0; i < round->count; i++) {
        if (is_newly_failed(round, &round->pods[i])) {
            int64_t end = job_pod_end(&round->pods[i]);
            failures += end > last_success;
            last_failure = end > last_success && end > last_failure ? end : last_failure;
        }
    }
    if (last_success != 0) {
        round->backoff = (struct job_backoff){0};
    }
    if (failures > 0) {
        round->backoff.failures += failures;
        round->backoff.last_failure = last_failure;
    }
}

static void count_ended(struct job_round *round, int noted_succeeded, int noted_failed)
{
    int succeeded = 0, failed = 0, all_failed = 0;
    for (size_t i = 0; i < round->count; i++) {
        struct job_pod *pod = &round->pods[i];
        succeeded += is_newly_succeeded(round, pod);
        if (is_newly_failed(round, pod)) {
            all_failed++;
            failed += job_failure_action(round->spec, job_pod_tree(pod), NULL) != JOB_IGNORE;
        }
    }
    round->succeeded =
        (int)json_get_int(round->status, "succeeded", 0) + succeeded + noted_succeeded;
    round->failed = (int)json_get_int(round->status, "failed", 0) + failed + noted_failed;
    if (all_failed > 0 || (succeeded > 0 && round->backoff.failures > 0)) {
        update_backoff(round);
    }
}

void job_round_start(struct job_round *round, json_t *job, const struct cached_list *pods,
                     const struct map *adopted, const struct map *released,
                     struct job_backoff backoff, int64_t base_backoff, int64_t now)
{
    *round = (struct job_round){.now = now, .base_backoff = base_backoff, .backoff = backoff};
    job_round_take_job(round, job);
    read_spec(round);
    int succeeded = note_uncounted(round, "succeeded", &as_succeeded);
    int failed = note_uncounted(round, "failed", &as_failed);
    read_pods(round, pods, adopted, released);
    count_ended(round, succeeded, failed);
    if (json_get_string(round->status, "startTime") == NULL && !round->is_suspended) {
        char time[TIMESTAMP_SIZE];
        timestamp_format(now, time);
        json_object_set_new(round->status, "startTime", json_string(time));
    }
}

void job_round_free(struct job_round *round)
{
    for (size_t i = 0; i < round->count; i++) {
        json_decref(round->pods[i].tree);
    }
    free(round->pods);
    map_free(&round->uncounted, NULL);
    job_indexes_free(&round->counted_indexes);
    job_indexes_free(&round->succeeded_indexes);
    job_indexes_free(&round->failed_indexes);
    free(round->verdict.reason);
    free(round->verdict.message);
    json_decref(round->job);
}

void job_round_take_job(struct job_round *round, json_t *job)
{
    json_decref(round->job);
    round->job = job;
    round->spec = json_object_get(job, "spec");
    round->status = json_get_or_add_object(job, "status");
}

/* ---- has it come to its end? ---- */

static void decide(struct job_round *round, const char *type, const char *reason, char *message)
{
    free(round->verdict.reason);
    free(round->verdict.message);
    round->verdict = (struct job_verdict){type, duplicate(reason), message};
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_get_string(object, name);
    return text != NULL ? text : "";
}

/* A former round has said so. */
static bool was_decided(struct job_round *round)
{
    const json_t *conditions = json_object_get(round->status, "conditions");
    const char *type = condition_is_true(conditions, "SuccessCriteriaMet") ? "SuccessCriteriaMet"
                       : condition_is_true(conditions, "FailureTarget")    ? "FailureTarget"
                                                                           : NULL;
    if (type == NULL) {
        return false;
    }
    const json_t *condition = condition_find(conditions, type);
    decide(round, strcmp(type, "FailureTarget") == 0 ? "Failed" : type,
           text_of(condition, "reason"), duplicate(text_of(condition, "message")));
    return true;
}

static bool fails_by_policy(struct job_round *round)
{
    bool has_policy = json_is_object(json_object_get(round->spec, "podFailurePolicy"));
    for (size_t i = 0; has_policy && i < round->count; i++) {
        char *message = NULL;
        struct job_pod *pod = &round->pods[i];
        if (pod->is_failed &&
            job_failure_action(round->spec, job_pod_tree(pod), &message) == JOB_FAIL_JOB) {
            decide(round, "FailureTarget", "PodFailurePolicy", message);
            return true;
        }
    }
    return false;
}

/* Containers that are started again within their pod count as failures, too. */
static bool restarts_too_often(const struct job_round *round)
{
    const char *policy = json_path_string(round->spec, "template", "spec", "restartPolicy");
    json_int_t limit = json_get_int(round->spec, "backoffLimit", 6), restarts = 0;
    if (policy == NULL || strcmp(policy, "OnFailure") != 0) {
        return false;
    }
    for (size_t i = 0; i < round->count; i++) {
        const struct pod_view *view = pod_view(round->pods[i].object);
        if (view->phase == POD_RUNNING || view->phase == POD_PENDING) {
            restarts += view->total_restarts;
        }
    }
    return limit == 0 ? restarts > 0 : restarts >= limit;
}

void job_round_wake(struct job_round *round, int64_t delay_ns)
{
    int64_t delay_ms = delay_ns / 1000000 + 1;
    round->wake_ms = round->wake_ms == 0 || delay_ms < round->wake_ms ? delay_ms : round->wake_ms;
}

static bool is_past_deadline(struct job_round *round)
{
    json_int_t deadline = json_get_int(round->spec, "activeDeadlineSeconds", -1);
    int64_t start = time_at(round->status, "startTime");
    if (deadline < 0 || round->is_suspended || start == 0) {
        return false;
    }
    deadline = deadline < INT_MAX ? deadline : INT_MAX;
    int64_t left = start + deadline * second - round->now;
    if (left > 0) {
        job_round_wake(round, left);
    }
    return left <= 0;
}

static void read_indexes(struct job_round *round)
{
    job_indexes_parse(&round->counted_indexes, json_get_string(round->status, "completedIndexes"),
                      round->completions);
    job_indexes_add_all(&round->succeeded_indexes, &round->counted_indexes);
    job_indexes_parse(&round->failed_indexes, json_get_string(round->status, "failedIndexes"),
                      round->completions);
    json_int_t limit = json_get_int(round->spec, "backoffLimitPerIndex", 0);
    for (size_t i = 0; i < round->count; i++) {
        struct job_pod *pod = &round->pods[i];
        int index = pod_view(pod->object)->job_index;
        if (!pod->is_tracked || !job_pod_is_valid(round, pod)) {
            continue;
        }
        if (pod_view(pod->object)->phase == POD_SUCCEEDED) {
            job_indexes_add(&round->succeeded_indexes, index, index);
        }
        if (round->has_index_limit && pod->is_failed) {
            enum job_action action = job_failure_action(round->spec, job_pod_tree(pod), NULL);
            if (action == JOB_FAIL_INDEX ||
                (action != JOB_IGNORE && job_pod_failures(pod, false) >= limit)) {
                job_indexes_add(&round->failed_indexes, index, index);
            }
        }
    }
    round->succeeded = job_indexes_total(&round->succeeded_indexes);
}

static void judge_indexes(struct job_round *round)
{
    json_int_t most = json_get_int(round->spec, "maxFailedIndexes", -1);
    int failed = job_indexes_total(&round->failed_indexes);
    if (round->verdict.type == NULL && most >= 0 && failed > most) {
        decide(round, "FailureTarget", "MaxFailedIndexesExceeded",
               duplicate("Job has exceeded the specified maximal number of failed indexes"));
    } else if (round->verdict.type == NULL && failed > 0 &&
               failed + round->succeeded >= round->completions) {
        decide(round, "FailureTarget", "FailedIndexes", duplicate("Job has failed indexes"));
    }
    int rule = job_success_rule(round->spec, &round->succeeded_indexes);
    if (round->verdict.type == NULL && rule >= 0) {
        decide(round, "SuccessCriteriaMet", "SuccessPolicy",
               format("Matched rules at index %d", rule));
    }
}

void job_round_judge(struct job_round *round)
{
    if (!was_decided(round) && !fails_by_policy(round)) {
        if (round->failed > json_get_int(round->spec, "backoffLimit", 6) ||
            restarts_too_often(round)) {
            decide(round, "FailureTarget", "BackoffLimitExceeded",
                   duplicate("Job has reached the specified backoff limit"));
        } else if (is_past_deadline(round)) {
            decide(round, "FailureTarget", "DeadlineExceeded",
                   duplicate("Job was active longer than specified deadline"));
        }
    }
    if (round->is_indexed) {
        read_indexes(round);
        judge_indexes(round);
    }
    if (round->has_index_limit) {
        job_round_keep_last_failures(round);
    }
}

void job_round_postpone(struct job_round *round)
{
    round->verdict.type = NULL;
}

/* ---- after the pods were made or removed ---- */

static void settle_suspension(struct job_round *round)
{
    const json_t *conditions = json_object_get(round->status, "conditions");
    bool was_suspended = condition_is_true(conditions, "Suspended");
    if (round->is_suspended == was_suspended) {
        return;
    }
    round->suspension = round->is_suspended ? "Suspended" : "Resumed";
    job_set_condition(round->status, "Suspended", round->is_suspended ? "True" : "False",
                      round->is_suspended ? "JobSuspended" : "JobResumed",
                      round->is_suspended ? "Job suspended" : "Job resumed", round->now);
    if (!round->is_suspended) { /* Its deadline counts from now. */
        char time[TIMESTAMP_SIZE];
        timestamp_format(round->now, time);
        json_object_set_new(round->status, "startTime", json_string(time));
    }
    round->needs_write = true;
}

void job_round_settle(struct job_round *round, bool has_planned)
{
    bool is_complete =
        round->active == 0 &&
        (round->completions < 0 ? round->succeeded > 0 : round->succeeded >= round->completions);
    if (round->verdict.type != NULL) {
        return;
    }
    if (is_complete) {
        decide(round, "SuccessCriteriaMet", "CompletionsReached",
               duplicate("Reached expected number of succeeded pods"));
    } else if (has_planned) {
        settle_suspension(round);
    }
}

// SPDX-License-Identifier: Apache-2.0
/* Counting a Job's pods, each once; see controllers/job_round.h. */
#include <string.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/conditions.h"
#include "controllers/job_parts.h"
#include "controllers/job_policies.h"
#include "controllers/pod_view.h"

static bool is_verdict(const struct job_round *round, const char *type)
{
    return round->verdict.type != NULL && strcmp(round->verdict.type, type) == 0;
}

/* A count that is left out while it is 0, as most are. */
static void set_count(json_t *status, const char *name, json_int_t count)
{
    if (count == 0) {
        json_object_del(status, name);
    } else {
        json_object_set_new(status, name, json_integer(count));
    }
}

static void set_text(struct job_round *round, const char *name, const char *text)
{
    const char *old = json_get_string(round->status, name);
    if (old == NULL || strcmp(old, text) != 0) {
        json_object_set_new(round->status, name, json_string(text));
        round->needs_write = true;
    }
}

/* ---- noting ---- */

static bool may_lose_finalizer(const struct job_round *round, const struct job_pod *pod)
{
    bool is_over = json_path(round->job, "metadata", "deletionTimestamp") != NULL ||
                   round->verdict.type != NULL || pod_view(pod->object)->phase == POD_SUCCEEDED;
    return is_over || (pod->is_failed && !pod->is_kept);
}

static json_t *uncounted(const struct job_round *round, const char *name)
{
    json_t *lists = json_get_or_add_object(round->status, "uncountedTerminatedPods");
    if (!json_is_array(json_object_get(lists, name))) {
        json_object_set_new(lists, name, json_array());
    }
    return json_object_get(lists, name);
}

static void note(struct job_round *round, const struct job_pod *pod, const char *list)
{
    json_array_append_new(uncounted(round, list), json_string(pod->object->uid));
    round->needs_write = true;
}

/* Returns whether its index is new among those that have succeeded. */
static bool note_success(struct job_round *round, const struct job_pod *pod)
{
    int index = pod_view(pod->object)->job_index;
    if (!round->is_indexed) {
        if (!job_pod_is_noted(round, pod, false)) {
            note(round, pod, "succeeded");
        }
        return false;
    }
    if (!job_pod_is_valid(round, pod) || job_indexes_has(&round->counted_indexes, index)) {
        return false;
    }
    job_indexes_add(&round->counted_indexes, index, index);
    round->needs_write = true;
    return true;
}

/* Notes the pod as what it was; returns whether its index is new. */
static bool note_end(struct job_round *round, struct job_pod *pod)
{
    bool fails = round->verdict.type != NULL && !is_verdict(round, "SuccessCriteriaMet");
    if (pod_view(pod->object)->phase == POD_SUCCEEDED && !job_pod_is_noted(round, pod, true)) {
        return note_success(round, pod);
    }
    /* When the job has failed, what was ended with it has failed, too. */
    if ((pod->is_failed || fails) && !job_pod_is_noted(round, pod, true) &&
        job_pod_is_valid(round, pod) &&
        job_failure_action(round->spec, job_pod_tree(pod), NULL) != JOB_IGNORE) {
        note(round, pod, "failed");
    }
    return false;
}

static void note_ends(struct job_round *round, struct cached_list *done)
{
    size_t indexes = 0;
    for (size_t i = 0; i < round->count; i++) {
        struct job_pod *pod = &round->pods[i];
        if (!pod->is_tracked || !may_lose_finalizer(round, pod)) {
            continue;
        }
        cached_list_add(done, pod->object);
        indexes += note_end(round, pod);
        size_t noted = json_array_size(uncounted(round, "succeeded")) +
                       json_array_size(uncounted(round, "failed"));
        if (noted + indexes >= JOB_UNCOUNTED_MAX) {
            round->is_cut_short = true; /* What is written brings the job again. */
            break;
        }
    }
}

/* An empty list is left out. */
static void drop_empty_lists(struct job_round *round)
{
    static const char *const names[] = {"succeeded", "failed"};
    json_t *lists = json_get_or_add_object(round->status, "uncountedTerminatedPods");
    for (size_t i = 0; i < array_length(names); i++) {
        if (json_array_size(json_object_get(lists, names[i])) == 0) {
            json_object_del(lists, names[i]);
        }
    }
}

static void write_indexes(struct job_round *round)
{
    cleanup(free_char)
    char *completed = job_indexes_text(&round->counted_indexes);
    if (completed[0] != '\0') {
        set_text(round, "completedIndexes", completed);
    } else if (json_object_del(round->status, "completedIndexes") == 0) {
        round->needs_write = true;
    }
    set_count(round->status, "succeeded", job_indexes_total(&round->counted_indexes));
    if (round->has_index_limit) {
        cleanup(free_char)
        char *failed = job_indexes_text(&round->failed_indexes);
        set_text(round, "failedIndexes", failed);
    }
}

static void write_numbers(struct job_round *round)
{
    json_t *status = round->status;
    round->needs_write = round->needs_write || json_get_int(status, "active", 0) != round->active ||
                         json_get_int(status, "ready", -1) != round->ready ||
                         json_get_int(status, "terminating", -1) != round->terminating;
    set_count(status, "active", round->active);
    json_object_set_new(status, "ready", json_integer(round->ready));
    json_object_set_new(status, "terminating", json_integer(round->terminating));
}

/* The condition that announces the end, while the pods still are to be counted; the one that
 * declares it is to follow. */
static void announce(struct job_round *round)
{
    const json_t *conditions = json_object_get(round->status, "conditions");
    const char *type = round->verdict.type;
    if (type == NULL || strcmp(type, "Failed") == 0) {
        return;
    }
    if (!condition_is_true(conditions, type)) {
        job_set_condition(round->status, type, "True", round->verdict.reason,
                          round->verdict.message, round->now);
        round->needs_write = true;
    }
    round->verdict.type = strcmp(type, "FailureTarget") == 0 ? "Failed" : "Complete";
}

void job_round_track(struct job_round *round, struct cached_list *done, struct map *uids)
{
    for (size_t i = 0; i < round->count; i++) {
        if (round->pods[i].is_tracked) {
            map_set(uids, round->pods[i].object->uid, round);
        }
    }
    job_round_count(round, uids);
    write_numbers(round);
    note_ends(round, done);
    drop_empty_lists(round);
    if (round->is_indexed) {
        write_indexes(round);
    }
    announce(round);
}

/* ---- counting ---- */

static void count_list(struct job_round *round, const char *name, const struct map *uids)
{
    size_t i;
    json_t *uid;
    json_t *lists = json_get_or_add_object(round->status, "uncountedTerminatedPods");
    const json_t *list = json_object_get(lists, name);
    json_t *rest = json_array();
    json_array_foreach (list, i, uid) {
        if (json_is_string(uid) && map_get(uids, json_string_value(uid)) != NULL) {
            json_array_append(rest, uid);
        }
    }
    size_t gone = json_array_size(list) - json_array_size(rest);
    if (gone > 0) {
        set_count(round->status, name, json_get_int(round->status, name, 0) + (json_int_t)gone);
        round->needs_write = true;
    }
    json_object_set_new(lists, name, rest);
}

void job_round_count(struct job_round *round, const struct map *uids)
{
    count_list(round, "succeeded", uids);
    count_list(round, "failed", uids);
    drop_empty_lists(round);
}

bool job_round_finish(struct job_round *round)
{
    const json_t *lists = json_object_get(round->status, "uncountedTerminatedPods");
    if (round->verdict.type == NULL || json_object_size(lists) > 0 || round->terminating > 0 ||
        round->is_cut_short) {
        return false;
    }
    job_set_condition(round->status, round->verdict.type, "True", round->verdict.reason,
                      round->verdict.message, round->now);
    if (is_verdict(round, "Complete")) {
        char time[TIMESTAMP_SIZE];
        timestamp_format(round->now, time);
        json_object_set_new(round->status, "completionTime", json_string(time));
    }
    round->needs_write = true;
    return true;
}

// SPDX-License-Identifier: Apache-2.0
/* Which pods of a Job to remove, and which to make. */
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "controllers/job_parts.h"
#include "controllers/job_policies.h"
#include "controllers/pod_control.h"
#include "controllers/pod_view.h"

static const char failures_annotation[] = "batch.kubernetes.io/job-index-failure-count";
static const char ignored_annotation[] = "batch.kubernetes.io/job-index-ignored-failure-count";
static const char index_variable[] = "JOB_COMPLETION_INDEX";

enum {
    longest_backoff = 60,   /* In units of the first: ten minutes of ten seconds. */
    generated_name_max = 58 /* Of metadata.generateName, as more would be cut off. */
};

/* ---- failures of one index ---- */

static int annotated(const json_t *pod, const char *name)
{
    char *end;
    const char *text = json_get_string(json_path(pod, "metadata", "annotations"), name);
    long count = text != NULL && *text != '\0' ? strtol(text, &end, 10) : 0;
    return count > 0 && count <= INT32_MAX && *end == '\0' ? (int)count : 0;
}

int job_pod_failures(struct job_pod *pod, bool with_ignored)
{
    const json_t *tree = job_pod_tree(pod);
    return annotated(tree, failures_annotation) +
           (with_ignored ? annotated(tree, ignored_annotation) : 0);
}

static void add_active_indexes(const struct job_round *round, struct job_indexes *indexes)
{
    for (size_t i = 0; i < round->count; i++) {
        int index = pod_view(round->pods[i].object)->job_index;
        if (index >= 0 && pod_is_active(round->pods[i].object)) {
            job_indexes_add(indexes, index, index);
        }
    }
}

void job_round_keep_last_failures(struct job_round *round)
{
    cleanup(job_indexes_free)
    struct job_indexes settled = JOB_INDEXES_INIT;
    struct job_pod *kept = NULL;
    job_indexes_add_all(&settled, &round->succeeded_indexes);
    job_indexes_add_all(&settled, &round->failed_indexes);
    add_active_indexes(round, &settled); /* They know already. */
    for (size_t i = 0; i < round->count; i++) {
        struct job_pod *pod = &round->pods[i];
        int index = pod_view(pod->object)->job_index;
        if (!pod->is_tracked || !pod->is_failed || !job_pod_is_valid(round, pod) ||
            job_indexes_has(&settled, index)) {
            continue;
        }
        bool is_same = kept != NULL && pod_view(kept->object)->job_index == index;
        if (is_same && (job_pod_failures(pod, true) < job_pod_failures(kept, true) ||
                        job_pod_end(pod) < job_pod_end(kept))) {
            continue;
        }
        if (is_same) {
            kept->is_kept = false;
        }
        kept = pod;
        kept->is_kept = true;
    }
}

static struct job_pod *find_kept(const struct job_round *round, int index)
{
    for (size_t i = 0; round->has_index_limit && i < round->count; i++) {
        if (round->pods[i].is_kept && pod_view(round->pods[i].object)->job_index == index) {
            return &round->pods[i];
        }
    }
    return NULL;
}

/* ---- waiting ---- */

/* How long a pod is not replaced yet after that many failures, 0 when it may be now. */
static int64_t time_left(const struct job_round *round, struct job_backoff backoff)
{
    int64_t delay = round->base_backoff, longest = round->base_backoff * longest_backoff;
    if (backoff.failures == 0) {
        return 0;
    }
    for (int i = 1; i < backoff.failures && delay < longest; i++) {
        delay *= 2;
    }
    delay = delay < longest ? delay : longest;
    int64_t left = backoff.last_failure + delay - round->now;
    return left > 0 ? left : 0;
}

/* Takes out the indexes whose time has not come. */
static void drop_waiting_indexes(struct job_round *round, struct job_plan *plan)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->create; i++) {
        struct job_pod *kept = find_kept(round, plan->indexes[i]);
        int64_t left = kept == NULL
                           ? 0
                           : time_left(round, (struct job_backoff){job_pod_failures(kept, true) + 1,
                                                                   job_pod_end(kept)});
        if (left > 0) {
            job_round_wake(round, left);
        } else {
            plan->indexes[count++] = plan->indexes[i];
        }
    }
    plan->create = count;
}

/* ---- removing ---- */

static int compare_for_deletion(const void *a, const void *b)
{
    const struct cached_object *const *one = a, *const *other = b;
    return pod_compare_for_deletion(*one, 0, *other, 0, 0);
}

void job_round_active(const struct job_round *round, struct cached_list *pods)
{
    for (size_t i = 0; i < round->count; i++) {
        if (pod_is_active(round->pods[i].object)) {
            cached_list_add(pods, round->pods[i].object);
        }
    }
}

static void sort_for_deletion(struct cached_object **pods, size_t count)
{
    if (count > 1) {
        qsort(pods, count, sizeof(struct cached_object *), compare_for_deletion);
    }
}

/* Of several pods of an index the last to be deleted stays; those of no index that the job has go.
 * 'active' is in the order of the indexes. */
static void remove_misfits(const struct job_round *round, struct cached_list *active,
                           struct cached_list *left, struct cached_list *remove)
{
    for (size_t i = 0, end; i < active->count; i = end) {
        int index = pod_view(active->items[i])->job_index;
        for (end = i + 1; end < active->count && pod_view(active->items[end])->job_index == index;
             end++) {
        }
        bool stays = index >= 0 && index < round->completions;
        sort_for_deletion(active->items + i, end - i);
        for (size_t n = i; n < end; n++) {
            cached_list_add(stays && n == end - 1 ? left : remove, active->items[n]);
        }
    }
}

static void plan_removal(const struct job_round *round, size_t at_least, struct job_plan *plan)
{
    cleanup(cached_list_free)
    struct cached_list active = CACHED_LIST_INIT;
    cleanup(cached_list_free)
    struct cached_list left = CACHED_LIST_INIT;
    job_round_active(round, &active);
    if (round->is_indexed) {
        remove_misfits(round, &active, &left, &plan->remove);
    }
    struct cached_list *rest = round->is_indexed ? &left : &active;
    sort_for_deletion(rest->items, rest->count);
    for (size_t i = 0; i < rest->count && plan->remove.count < at_least; i++) {
        cached_list_add(&plan->remove, rest->items[i]);
    }
}

/* ---- the plan ---- */

static int wanted(const struct job_round *round)
{
    if (round->is_suspended) {
        return 0;
    }
    if (round->completions < 0) { /* The first success ends it: nothing new is begun then. */
        return round->succeeded > 0 ? round->active : round->parallelism;
    }
    int missing = round->completions - round->succeeded;
    missing = missing < round->parallelism ? missing : round->parallelism;
    return missing > 0 ? missing : 0;
}

static void plan_indexes(struct job_round *round, struct job_plan *plan)
{
    cleanup(job_indexes_free)
    struct job_indexes taken = JOB_INDEXES_INIT;
    job_indexes_add_all(&taken, &round->succeeded_indexes);
    job_indexes_add_all(&taken, &round->failed_indexes);
    add_active_indexes(round, &taken);
    for (size_t i = 0; round->replaces_only_failed && i < round->count; i++) {
        const struct cached_object *pod = round->pods[i].object;
        const struct pod_view *view = pod_view(pod);
        if (pod->is_deleting && view->job_index >= 0 && view->phase != POD_SUCCEEDED &&
            view->phase != POD_FAILED) {
            job_indexes_add(&taken, view->job_index, view->job_index);
        }
    }
    plan->indexes = allocate((plan->create + 1) * sizeof *plan->indexes);
    plan->create = job_indexes_first_free(&taken, round->completions, plan->indexes, plan->create);
    if (round->has_index_limit) {
        drop_waiting_indexes(round, plan);
    }
}

void job_round_plan(struct job_round *round, struct job_plan *plan)
{
    *plan = (struct job_plan){0};
    int want = wanted(round), surplus = round->active - want;
    plan_removal(round, surplus > 0 ? (size_t)surplus : 0, plan);
    int terminating = round->replaces_only_failed ? round->terminating : 0;
    int missing = want - round->active - terminating;
    if (plan->remove.count > 0 || round->is_suspended || missing <= 0) {
        return; /* One or the other in one round. */
    }
    int64_t left = round->has_index_limit ? 0 : time_left(round, round->backoff);
    if (left > 0) {
        job_round_wake(round, left);
        return;
    }
    plan->create = (size_t)(missing < JOB_BURST ? missing : JOB_BURST);
    if (round->is_indexed) {
        plan_indexes(round, plan);
    }
}

void job_plan_free(struct job_plan *plan)
{
    cached_list_free(&plan->remove);
    free(plan->indexes);
}

void job_round_removed(struct job_round *round, const struct cached_list *pods)
{
    for (size_t i = 0; i < pods->count; i++) {
        round->ready -= pod_view(pods->items[i])->is_ready;
    }
    round->active -= (int)pods->count;
    round->terminating += (int)pods->count;
}

void job_round_created(struct job_round *round, size_t count)
{
    round->active += (int)count;
}

/* ---- the pods to make ---- */

static void add_variable(json_t *containers)
{
    size_t i, n;
    json_t *container, *variable;
    json_array_foreach (containers, i, container) {
        bool is_there = false;
        json_array_foreach (json_object_get(container, "env"), n, variable) {
            const char *name = json_get_string(variable, "name");
            is_there = is_there || (name != NULL && strcmp(name, index_variable) == 0);
        }
        if (is_there) {
            continue;
        }
        if (!json_is_array(json_object_get(container, "env"))) {
            json_object_set_new(container, "env", json_array());
        }
        json_array_append_new(
            json_object_get(container, "env"),
            json_pack("{s:s, s:{s:{s:o}}}", "name", index_variable, "valueFrom", "fieldRef",
                      "fieldPath",
                      json_sprintf("metadata.labels['%s']", pod_job_index_annotation)));
    }
}

/* Its successor is to know how often the index has failed. */
static void hand_on_failures(const struct job_round *round, int index, json_t *annotations)
{
    struct job_pod *kept = find_kept(round, index);
    int failures = 0, ignored = 0;
    if (kept != NULL) {
        bool is_ignored = job_failure_action(round->spec, job_pod_tree(kept), NULL) == JOB_IGNORE;
        failures = job_pod_failures(kept, false) + !is_ignored;
        ignored = job_pod_failures(kept, true) - job_pod_failures(kept, false) + is_ignored;
    }
    json_object_set_new(annotations, failures_annotation, json_sprintf("%d", failures));
    if (ignored > 0) {
        json_object_set_new(annotations, ignored_annotation, json_sprintf("%d", ignored));
    }
}

static void add_index(const struct job_round *round, int index, json_t *template)
{
    json_t *metadata = json_get_or_add_object(template, "metadata");
    json_t *annotations = json_get_or_add_object(metadata, "annotations");
    json_t *spec = json_get_or_add_object(template, "spec");
    json_object_set_new(annotations, pod_job_index_annotation, json_sprintf("%d", index));
    json_object_set_new(json_get_or_add_object(metadata, "labels"), pod_job_index_annotation,
                        json_sprintf("%d", index));
    json_object_set_new(
        spec, "hostname",
        json_sprintf("%s-%d", json_path_string(round->job, "metadata", "name"), index));
    add_variable(json_object_get(spec, "initContainers"));
    add_variable(json_object_get(spec, "containers"));
    if (round->has_index_limit) {
        hand_on_failures(round, index, annotations);
    }
}

/* "job-7-"; of a long name its beginning. */
static json_t *name_prefix(const struct job_round *round, int index)
{
    const char *name = json_path_string(round->job, "metadata", "name");
    cleanup(free_char)
    char *end = format("-%d-", index);
    size_t room = generated_name_max - strlen(end);
    return json_sprintf("%.*s%s", (int)room, name, end);
}

json_t *job_round_make_pod(const struct job_round *round, const struct job_plan *plan,
                           size_t position)
{
    cleanup(json_release)
    json_t *template = json_deep_copy(json_object_get(round->spec, "template"));
    json_t *metadata = json_get_or_add_object(template, "metadata");
    json_t *finalizers = json_object_get(metadata, "finalizers");
    if (!json_is_array(finalizers)) {
        json_object_set_new(metadata, "finalizers", finalizers = json_array());
    }
    if (!json_array_has_string(finalizers, pod_job_finalizer)) {
        json_array_append_new(finalizers, json_string(pod_job_finalizer));
    }
    if (plan->indexes != NULL) {
        add_index(round, plan->indexes[position], template);
    }
    json_t *pod = pod_control_make(round->job, template);
    if (plan->indexes != NULL) {
        json_object_set_new(json_object_get(pod, "metadata"), "generateName",
                            name_prefix(round, plan->indexes[position]));
    }
    return pod;
}

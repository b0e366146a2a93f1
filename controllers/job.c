// SPDX-License-Identifier: Apache-2.0
/*
 * Job: runs pods until enough of them have succeeded, or too many have failed.
 *
 * sync(): claim the pods; decide what follows from them (controllers/job_round.h); make or remove
 * pods; write to the status which pods have ended; let these go by taking their finalizer away;
 * count them.
 *
 * Keys are jobs, and "pod:namespace/name" of pods that have a job's finalizer and no job any more
 * that would take it away.
 */
#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/expectations.h"
#include "controllers/job_round.h"
#include "controllers/job_view.h"
#include "controllers/own_writes.h"
#include "controllers/owner.h"
#include "controllers/pod_control.h"
#include "controllers/pod_view.h"
#include "controllers/resources.h"
#include "controllers/workload.h"

static const char orphan_prefix[] = "pod:";

enum {
    own_write_check_ms = 1000, /* Its event brings the job again; this is for one that is lost. */
};

struct job_state {
    struct controller *controller;
    struct workload workload;
    struct expectations *expectations; /* Pods made and removed. */
    struct expectations *releases;     /* Finalizers taken away, as if deletions. */
    /* A round must not work on a status older than what it wrote itself: it would count pods twice
     * or make some again. */
    struct own_writes *writes;
    pthread_mutex_t lock; /* Guards what follows. */
    struct map backoffs;  /* struct job_backoff by the job's key. */
};

/* ---- what changed ---- */

static bool is_of_job(const struct cached_object *pod)
{
    return strcmp(pod->owner_kind, "Job") == 0;
}

static void add_orphan(struct job_state *state, const struct cached_object *pod)
{
    cleanup(free_char)
    char *key = format("%s%s", orphan_prefix, pod->key);
    controller_add(state->controller, key);
}

/* Nobody else takes the finalizer away from pods of a job that is gone or over. */
static bool needs_job(struct job_state *state, const struct cached_object *pod)
{
    cleanup(free_char)
    char *key = format("%s/%s", pod->namespace, pod->owner_name);
    cleanup(cached_object_release)
    struct cached_object *job = indexer_get(informer_indexer(state->workload.owners), key);
    return job == NULL || strcmp(job->uid, pod->owner_uid) != 0 ||
           job_view(job)->end != JOB_UNFINISHED;
}

static bool is_unfinished(const struct cached_object *job, const struct cached_object *pod)
{
    (void)pod;
    return job_view(job)->end == JOB_UNFINISHED;
}

static void job_pod_changed(struct job_state *state, const struct cached_object *old,
                            const struct cached_object *new)
{
    const struct cached_object *pod = new != NULL ? new : old;
    cleanup(free_char)
    char *key = format("%s/%s", pod->namespace, pod->owner_name);
    if (old == NULL) {
        expectations_saw_creation(state->expectations, key);
    }
    if (new == NULL || new->is_deleting) {
        expectations_saw_deletion(state->expectations, key, pod->uid);
    }
    if (new == NULL || !pod_view(new)->is_job_tracked) {
        expectations_saw_deletion(state->releases, key, pod->uid);
    } else if (needs_job(state, new)) {
        add_orphan(state, new);
    }
    workload_add_with_pods(&state->workload, key, pod->owner_uid);
}

static void pod_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct job_state *state = argument;
    const struct cached_object *pod = new != NULL ? new : old;
    if (is_of_job(pod)) {
        job_pod_changed(state, old, new);
    }
    if (old != NULL && is_of_job(old) && strcmp(old->owner_uid, pod->owner_uid) != 0) {
        controller_add_owner(state->controller, old, "Job");
    }
    if (new == NULL || new->owner_uid[0] != '\0') {
        return;
    }
    if (pod_view(new)->is_job_tracked) {
        add_orphan(state, new);
    }
    if (!new->is_deleting) {
        workload_add_possible_owners(&state->workload, new, is_unfinished);
    }
}

static void add_orphans_of(struct job_state *state, const struct cached_object *job)
{
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    indexer_find(informer_indexer(state->workload.pods), "owner", job->uid, &pods);
    for (size_t i = 0; i < pods.count; i++) {
        if (pod_view(pods.items[i])->is_job_tracked) {
            add_orphan(state, pods.items[i]);
        }
    }
}

static void forget(struct job_state *state, const char *key)
{
    expectations_forget(state->expectations, key);
    expectations_forget(state->releases, key);
    own_writes_forget(state->writes, key);
    pthread_mutex_lock(&state->lock);
    free(map_remove(&state->backoffs, key));
    pthread_mutex_unlock(&state->lock);
}

static void job_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct job_state *state = argument;
    const struct cached_object *job = new != NULL ? new : old;
    if (new == NULL || job_view(new)->end != JOB_UNFINISHED) {
        add_orphans_of(state, job);
    }
    controller_add_object(state->controller, job);
}

/* ---- finalizers ---- */

static struct client_request release_request(const struct cached_object *pod)
{
    cleanup(json_release)
    json_t *patch = json_pack("{s:{s:s, s:[s]}}", "metadata", "uid", pod->uid,
                              "$deleteFromPrimitiveList/finalizers", pod_job_finalizer);
    return client_patch_request(&resource_pods, pod->namespace, pod->name, NULL,
                                client_strategic_merge_patch, patch);
}

/* Takes the finalizer away from the pods, all at once, and puts into 'released' those that do not
 * have it any more. */
static bool release_pods(struct job_state *state, const char *key, const struct cached_list *pods,
                         struct cached_list *released, struct error *error)
{
    struct client_call *calls = allocate_zero(pods->count + 1, sizeof *calls);
    bool succeeded = true;
    for (size_t i = 0; i < pods->count; i++) {
        expectations_expect_deletion(state->releases, key, pods->items[i]->uid);
        calls[i].request = release_request(pods->items[i]);
    }
    client_call_all(state->controller->client, calls, pods->count);
    for (size_t i = 0; i < pods->count; i++) {
        bool is_gone = calls[i].result == NULL && calls[i].error.code == 404;
        if (calls[i].result == NULL) {
            expectations_saw_deletion(state->releases, key, pods->items[i]->uid);
        }
        if (calls[i].result != NULL || is_gone) {
            cached_list_add(released, pods->items[i]);
        } else if (succeeded) {
            succeeded = error_move(error, &calls[i].error);
        }
        json_decref(calls[i].result);
        error_clear(&calls[i].error);
    }
    free(calls);
    return succeeded;
}

/* Whether a job that exists is still to count the pod. It is asked for where it counts: this
 * informer may be behind the pods'. */
static bool has_open_job(struct job_state *state, const struct cached_object *pod, bool *has,
                         struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    *has = false;
    if (pod->owner_uid[0] == '\0') {
        return true;
    }
    *has = true;
    if (!is_of_job(pod) || !needs_job(state, pod)) {
        return true;
    }
    cleanup(json_release)
    json_t *job = client_get(state->controller->client, &resource_jobs, pod->namespace,
                             pod->owner_name, &why);
    const char *uid = json_path_string(job, "metadata", "uid");
    if (job == NULL && why.code != 404) {
        return error_move(error, &why);
    }
    struct job_view view = job != NULL ? job_view_of(job) : (struct job_view){0};
    bool is_it = uid != NULL && strcmp(uid, pod->owner_uid) == 0;
    *has = is_it && (view.is_foreign || view.end == JOB_UNFINISHED);
    return true;
}

static bool sync_orphan(struct job_state *state, const char *key, struct error *error)
{
    bool has_job;
    cleanup(cached_object_release)
    struct cached_object *pod = indexer_get(informer_indexer(state->workload.pods), key);
    if (pod == NULL || !pod_view(pod)->is_job_tracked) {
        return true;
    }
    if (!has_open_job(state, pod, &has_job, error)) {
        return false;
    }
    if (has_job) {
        return true;
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *released = client_call(state->controller->client, release_request(pod), &why);
    return released != NULL || why.code == 404 || error_move(error, &why);
}

/* ---- making and removing pods ---- */

static bool remove_pods(struct job_state *state, const char *key, struct job_round *round,
                        const struct cached_list *pods, struct error *error)
{
    cleanup(cached_list_free)
    struct cached_list released = CACHED_LIST_INIT;
    /* Without the finalizer first: what is given up does not count as failed. */
    bool succeeded = release_pods(state, key, pods, &released, error);
    if (!pod_control_delete(state->controller, round->job, released.items, released.count,
                            state->expectations, key, succeeded ? error : NULL)) {
        return false;
    }
    job_round_removed(round, &released);
    return succeeded;
}

static bool make_pods(struct job_state *state, const char *key, struct job_round *round,
                      const struct job_plan *plan, struct error *error)
{
    json_t **pods = allocate_zero(plan->create, sizeof(json_t *));
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    size_t created;
    for (size_t i = 0; i < plan->create; i++) {
        /* Without indexes all are equal. */
        pods[i] = plan->indexes != NULL || i == 0 ? job_round_make_pod(round, plan, i)
                                                  : json_incref(pods[0]);
    }
    bool succeeded = pod_control_create_all(state->controller, round->job, pods, plan->create,
                                            state->expectations, key, &created, &why);
    for (size_t i = 0; i < plan->create; i++) {
        json_decref(pods[i]);
    }
    free(pods);
    job_round_created(round, created);
    return succeeded || pod_control_is_namespace_terminating(&why) || error_move(error, &why);
}

static bool manage(struct job_state *state, const char *key, struct job_round *round,
                   struct error *error)
{
    cleanup(job_plan_free)
    struct job_plan plan;
    job_round_plan(round, &plan);
    if (plan.remove.count > 0) {
        return remove_pods(state, key, round, &plan.remove, error);
    }
    return plan.create == 0 || make_pods(state, key, round, &plan, error);
}

/* The job is to end: its pods are, too. They keep their finalizer until they are counted. */
static bool end_pods(struct job_state *state, const char *key, struct job_round *round,
                     struct error *error)
{
    cleanup(cached_list_free)
    struct cached_list active = CACHED_LIST_INIT;
    job_round_active(round, &active);
    if (!pod_control_delete(state->controller, round->job, active.items, active.count,
                            state->expectations, key, error)) {
        job_round_postpone(round);
        return false;
    }
    job_round_removed(round, &active);
    return true;
}

static bool act(struct job_state *state, const char *key, struct job_round *round, bool may_act,
                struct error *error)
{
    bool is_deleting = json_path(round->job, "metadata", "deletionTimestamp") != NULL;
    if (round->verdict.type != NULL && !may_act) {
        job_round_postpone(round);
        return true;
    }
    if (round->verdict.type != NULL) {
        return end_pods(state, key, round, error);
    }
    bool plans = may_act && !is_deleting;
    bool managed = !plans || manage(state, key, round, error);
    job_round_settle(round, plans);
    return managed;
}

/* ---- counting ---- */

static bool write_status(struct job_state *state, const char *key, struct job_round *round,
                         struct error *error)
{
    if (!round->needs_write) {
        return true;
    }
    json_t *written =
        client_update(state->controller->client, &resource_jobs, "status", round->job, error);
    if (written == NULL) {
        return false;
    }
    own_writes_note(state->writes, key, written);
    job_round_take_job(round, written);
    round->needs_write = false;
    pthread_mutex_lock(&state->lock);
    struct job_backoff *backoff = map_get(&state->backoffs, key);
    if (backoff == NULL) {
        backoff = allocate_struct(struct job_backoff);
        map_set(&state->backoffs, key, backoff);
    }
    *backoff = round->backoff;
    pthread_mutex_unlock(&state->lock);
    return true;
}

static void tell_end(struct job_state *state, const struct job_round *round)
{
    struct event_recorder *events = state->controller->events;
    if (strcmp(round->verdict.type, "Complete") != 0) {
        event_record_about(events, round->job, "Warning", round->verdict.reason, "%s",
                           round->verdict.message);
        return;
    }
    if (round->completions >= 0 &&
        json_get_int(round->status, "succeeded", 0) > round->completions) {
        event_record_about(events, round->job, "Warning", "TooManySucceededPods",
                           "Too many succeeded pods running after completion count reached");
    }
    event_record_about(events, round->job, "Normal", "Completed", "Job completed");
}

static bool track(struct job_state *state, const char *key, struct job_round *round,
                  struct error *error)
{
    cleanup(cached_list_free)
    struct cached_list done = CACHED_LIST_INIT;
    cleanup(cached_list_free)
    struct cached_list released = CACHED_LIST_INIT;
    struct map uids = MAP_INIT;
    job_round_track(round, &done, &uids);
    if (!write_status(state, key, round, error)) {
        map_free(&uids, NULL);
        return false;
    }
    if (round->suspension != NULL) {
        event_record_about(state->controller->events, round->job, "Normal", round->suspension,
                           "Job %s", round->is_suspended ? "suspended" : "resumed");
    }
    bool succeeded = release_pods(state, key, &done, &released, error);
    for (size_t i = 0; i < released.count; i++) {
        map_remove(&uids, released.items[i]->uid);
    }
    job_round_count(round, &uids);
    map_free(&uids, NULL);
    bool has_ended = succeeded && job_round_finish(round);
    if (!write_status(state, key, round, succeeded ? error : NULL)) {
        return false;
    }
    if (has_ended) {
        tell_end(state, round);
    }
    return succeeded;
}

/* ---- sync ---- */

/* Those that have just got a finalizer. */
static void find_adopted(const struct cached_object *job, const struct cached_list *pods,
                         struct map *adopted)
{
    for (size_t i = 0; i < pods->count; i++) {
        if (strcmp(pods->items[i]->owner_uid, job->uid) != 0) {
            map_set(adopted, pods->items[i]->uid, adopted);
        }
    }
}

/* Those of the pods that are losing their finalizer. */
static void find_released(struct job_state *state, const char *key, const struct cached_list *pods,
                          struct map *released)
{
    for (size_t i = 0; i < pods->count; i++) {
        if (expectations_expects_deletion(state->releases, key, pods->items[i]->uid)) {
            map_set(released, pods->items[i]->uid, released);
        }
    }
}

static struct job_backoff backoff_of(struct job_state *state, const char *key)
{
    pthread_mutex_lock(&state->lock);
    const struct job_backoff *backoff = map_get(&state->backoffs, key);
    struct job_backoff copy = backoff != NULL ? *backoff : (struct job_backoff){0};
    pthread_mutex_unlock(&state->lock);
    return copy;
}

static bool work_on(struct job_state *state, const struct cached_object *cached,
                    struct error *error)
{
    const char *key = cached->key;
    struct map adopted = MAP_INIT, released = MAP_INIT;
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    cleanup(json_release)
    json_t *job = cached_object_tree(cached);
    /* Asked before the pods are read: what is seen in between only adds to what is known. */
    int64_t wait_ms = expectations_wait_ms(state->expectations, key);
    if (!workload_claim_pods(&state->workload, cached, job, NULL, pod_job_finalizer, &pods,
                             error)) {
        return false;
    }
    find_adopted(cached, &pods, &adopted);
    find_released(state, key, &pods, &released);
    cleanup(job_round_free)
    struct job_round round;
    cleanup(error_clear)
    struct error failure = ERROR_INIT;
    job_round_start(&round, steal(job), &pods, &adopted, &released, backoff_of(state, key),
                    state->controller->settings->job_pod_failure_backoff, timestamp_now());
    map_free(&adopted, NULL);
    map_free(&released, NULL);
    job_round_judge(&round);
    bool acted = act(state, key, &round, wait_ms == 0, &failure);
    if (round.wake_ms > 0) {
        controller_add_after(state->controller, key, round.wake_ms);
    }
    if (wait_ms > 0) {
        controller_add_after(state->controller, key, wait_ms);
    }
    return track(state, key, &round, error) && (acted || error_move(error, &failure));
}

static bool sync_job(void *argument, const char *key, struct error *error)
{
    struct job_state *state = argument;
    if (strncmp(key, orphan_prefix, strlen(orphan_prefix)) == 0) {
        return sync_orphan(state, key + strlen(orphan_prefix), error);
    }
    cleanup(cached_object_release)
    struct cached_object *job = indexer_get(informer_indexer(state->workload.owners), key);
    if (job == NULL || job_view(job)->end != JOB_UNFINISHED) {
        forget(state, key);
        return true;
    }
    if (job_view(job)->is_foreign) {
        return true;
    }
    if (!own_writes_are_seen(state->writes, key, informer_indexer(state->workload.owners))) {
        controller_add_after(state->controller, key, own_write_check_ms);
        return true;
    }
    /* Again: what was written may have come after the first look. */
    cleanup(cached_object_release)
    struct cached_object *fresh = indexer_get(informer_indexer(state->workload.owners), key);
    return fresh == NULL || job_view(fresh)->end != JOB_UNFINISHED || work_on(state, fresh, error);
}

/* ---- life ---- */

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct job_state *state = allocate_struct(struct job_state);
    state->controller = controller;
    state->expectations = expectations_new();
    state->releases = expectations_new();
    state->writes = own_writes_new();
    pthread_mutex_init(&state->lock, NULL);
    struct informer *jobs = job_informer(controller->informers);
    struct informer *pods = pod_informer(controller->informers);
    state->workload = (struct workload){controller, &resource_jobs, jobs, pods};
    informer_add_handler(pods, pod_changed, state);
    informer_add_handler(jobs, job_changed, state);
    return state;
}

static void stop(void *argument)
{
    struct job_state *state = argument;
    expectations_free(state->expectations);
    expectations_free(state->releases);
    own_writes_free(state->writes);
    map_free(&state->backoffs, free);
    pthread_mutex_destroy(&state->lock);
    free(state);
}

const struct controller_type job_controller = {
    .name = "job-controller",
    .alias = "job",
    .account = "job-controller",
    .workers = 5,
    .start = start,
    .sync = sync_job,
    .stop = stop,
};

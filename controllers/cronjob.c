// SPDX-License-Identifier: Apache-2.0
/*
 * CronJob: starts a Job at each time of a schedule.
 *
 * sync(): note which of its jobs have ended or vanished; start the run that is due, unless another
 * one forbids it; write the status; delete old jobs beyond the limits of the history.
 *
 * No run is started twice: its job's name is made of its time, so there can be but one, and a job
 * that is there already is taken for the run that a former process started and could not note. What
 * ended is deleted only when the status says that it was started.
 *
 * Keys are CronJobs, and "schedule:namespace/name" of one whose schedule has changed: it begins
 * with the next time, and not with what it would have missed.
 */
#include <string.h>
#include <time.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/cronjob_times.h"
#include "controllers/job_view.h"
#include "controllers/own_writes.h"
#include "controllers/owner.h"
#include "controllers/pod_control.h"
#include "controllers/resources.h"

static const char schedule_prefix[] = "schedule:";

enum { own_write_check_ms = 1000 };

struct cronjob_state {
    struct controller *controller;
    struct informer *cron_jobs, *jobs;
    /* So that a status older than what was written itself is not taken for the truth. */
    struct own_writes *writes;
};

/* One look at a CronJob. */
struct round {
    struct cronjob_state *state;
    const char *key;
    json_t *cron_job, *spec, *status; /* Owned; the others within it. */
    struct cached_list jobs;          /* Its own. */
    struct cronjob_clock clock;
    struct time_zone *named_zone; /* Of spec.timeZone. */
    int64_t now;
    bool has_changed; /* The status. */
};

#define tell(round, type, reason, ...)                                                             \
    event_record_about((round)->state->controller->events, (round)->cron_job, (type), (reason),    \
                       __VA_ARGS__)

static void round_free(struct round *round)
{
    json_decref(round->cron_job);
    cached_list_free(&round->jobs);
    time_zone_free(round->clock.zone);
    time_zone_free(round->named_zone);
}

/* ---- what changed ---- */

static void job_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct cronjob_state *state = argument;
    controller_add_owner(state->controller, new != NULL ? new : old, "CronJob");
    if (old != NULL && new != NULL && strcmp(old->owner_uid, new->owner_uid) != 0) {
        controller_add_owner(state->controller, old, "CronJob");
    }
}

static bool has_other_times(const struct cached_object *old, const struct cached_object *new)
{
    static const char *const paths[] = {"spec.schedule", "spec.timeZone"};
    struct json_span before[2], after[2];
    json_scan(old->text, old->length, paths, 2, before);
    json_scan(new->text, new->length, paths, 2, after);
    for (size_t i = 0; i < 2; i++) {
        if (before[i].length != after[i].length ||
            (after[i].length > 0 && memcmp(before[i].text, after[i].text, after[i].length) != 0)) {
            return true;
        }
    }
    return false;
}

static void cron_job_changed(void *argument, const struct cached_object *old,
                             const struct cached_object *new)
{
    struct cronjob_state *state = argument;
    if (old != NULL && new != NULL && has_other_times(old, new)) {
        cleanup(free_char)
        char *key = format("%s%s", schedule_prefix, new->key);
        controller_add(state->controller, key);
        return;
    }
    controller_add_object(state->controller, new != NULL ? new : old);
}

/* ---- the list of jobs that run ---- */

static json_t *active_list(const struct round *round)
{
    json_t *list = json_object_get(round->status, "active");
    if (!json_is_array(list)) {
        json_object_set_new(round->status, "active", list = json_array());
    }
    return list;
}

/* The position of the job with that value in its reference; SIZE_MAX when there is none. */
static size_t find_active(const struct round *round, const char *member, const char *value)
{
    size_t i;
    const json_t *reference;
    json_array_foreach (active_list(round), i, reference) {
        const char *text = json_get_string(reference, member);
        if (text != NULL && strcmp(text, value) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

static void remove_active(struct round *round, const char *uid)
{
    size_t at = find_active(round, "uid", uid);
    if (at != SIZE_MAX) {
        json_array_remove(active_list(round), at);
        round->has_changed = true;
    }
}

static void note_start(struct round *round, int64_t time, const json_t *job)
{
    char text[TIMESTAMP_SIZE];
    const json_t *metadata = json_object_get(job, "metadata");
    const char *uid = json_get_string(metadata, "uid");
    timestamp_format(time, text);
    json_object_set_new(round->status, "lastScheduleTime", json_string(text));
    round->has_changed = true;
    if (job_view_of(job).end == JOB_UNFINISHED && uid != NULL &&
        find_active(round, "uid", uid) == SIZE_MAX) {
        json_array_append_new(active_list(round),
                              json_pack("{s:s, s:s, s:s, s:s, s:s, s:s*}", "kind", "Job",
                                        "namespace", json_get_string(metadata, "namespace"), "name",
                                        json_get_string(metadata, "name"), "uid", uid, "apiVersion",
                                        "batch/v1", "resourceVersion",
                                        json_get_string(metadata, "resourceVersion")));
    }
}

/* ---- what became of its jobs ---- */

static void note_success(struct round *round, int64_t time)
{
    char text[TIMESTAMP_SIZE];
    int64_t last = 0;
    const char *before = json_get_string(round->status, "lastSuccessfulTime");
    if (time == 0 || (before != NULL && timestamp_parse(before, &last) && last >= time)) {
        return;
    }
    timestamp_format(time, text);
    json_object_set_new(round->status, "lastSuccessfulTime", json_string(text));
    round->has_changed = true;
}

static void see_job(struct round *round, const struct cached_object *job)
{
    const struct job_view *view = job_view(job);
    bool is_active = find_active(round, "uid", job->uid) != SIZE_MAX;
    if (!is_active && view->end == JOB_UNFINISHED) {
        tell(round, "Warning", "UnexpectedJob",
             "Saw a job that the controller did not create or forgot: %s", job->name);
    } else if (is_active && view->end != JOB_UNFINISHED) {
        remove_active(round, job->uid);
        tell(round, "Normal", "SawCompletedJob", "Saw completed job: %s, condition: %s", job->name,
             view->end == JOB_COMPLETE ? "Complete" : "Failed");
    }
    if (view->end == JOB_COMPLETE) {
        note_success(round, view->completion_time);
    }
}

static bool is_known(const struct round *round, const char *uid)
{
    for (size_t i = 0; i < round->jobs.count; i++) {
        if (strcmp(round->jobs.items[i]->uid, uid) == 0) {
            return true;
        }
    }
    return false;
}

/* Asks the server for a job that should be there, as the informer may be late. '*job' is the
 * caller's, NULL when it is gone. */
static bool get_job(struct round *round, const char *name, json_t **job, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    const char *namespace = json_path_string(round->cron_job, "metadata", "namespace");
    *job = client_get(round->state->controller->client, &resource_jobs, namespace, name, &why);
    return *job != NULL || why.code == 404 || error_move(error, &why);
}

static bool drop_missing(struct round *round, struct error *error)
{
    json_t *list = active_list(round);
    for (size_t i = json_array_size(list); i-- > 0;) {
        const json_t *reference = json_array_get(list, i);
        const char *uid = json_get_string(reference, "uid");
        const char *name = json_get_string(reference, "name");
        cleanup(json_release)
        json_t *job = NULL;
        if (uid == NULL || name == NULL || is_known(round, uid)) {
            continue;
        }
        if (!get_job(round, name, &job, error)) {
            return false;
        }
        if (job == NULL) {
            tell(round, "Normal", "MissingJob", "Active job went missing: %s", name);
            json_array_remove(list, i);
            round->has_changed = true;
        }
    }
    return true;
}

/* ---- the schedule ---- */

static bool load_zones(struct round *round, const char *schedule, struct error *error)
{
    const char *name = json_get_string(round->spec, "timeZone");
    cleanup(free_char)
    char *own = cron_schedule_zone(schedule);
    if (name != NULL) {
        round->named_zone = time_zone_load(name, error);
        if (round->named_zone == NULL) {
            tell(round, "Warning", "UnknownTimeZone", "invalid timeZone: \"%s\": %s", name,
                 error->message);
            return false;
        }
    }
    round->clock.zone = time_zone_load(own != NULL ? own : name, error);
    if (round->clock.zone == NULL) {
        tell(round, "Warning", "UnparseableSchedule",
             "unparseable schedule: \"%s\" : provided bad location %s: %s", schedule, own,
             error->message);
    }
    return round->clock.zone != NULL;
}

/* Learns when to start; if that can't be known, events say why, and nothing more can be done until
 * somebody mends the schedule. */
static bool read_clock(struct round *round)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    const char *schedule = json_get_string(round->spec, "schedule");
    schedule = schedule != NULL ? schedule : "";
    if (!load_zones(round, schedule, &why)) {
        return false;
    }
    if (strstr(schedule, "TZ") != NULL) {
        tell(round, "Warning", "UnsupportedSchedule",
             "CRON_TZ or TZ used in schedule \"%s\" is not officially supported, see "
             "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more "
             "details",
             schedule);
    }
    if (!cron_schedule_parse(schedule, &round->clock.schedule, &why)) {
        tell(round, "Warning", "UnparseableSchedule", "unparseable schedule: \"%s\" : %s", schedule,
             why.message);
        return false;
    }
    return true;
}

/* ---- starting a run ---- */

static bool has_policy(const struct round *round, const char *policy)
{
    const char *present = json_get_string(round->spec, "concurrencyPolicy");
    return present != NULL && strcmp(present, policy) == 0;
}

static bool delete_job(struct round *round, const char *name, const char *uid, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *options = client_delete_options(uid, "Background");
    if (!client_delete(round->state->controller->client, &resource_jobs,
                       json_path_string(round->cron_job, "metadata", "namespace"), name, options,
                       &why)) {
        if (why.code == 404) {
            return true;
        }
        tell(round, "Warning", "FailedDelete", "Deleted job: %s", why.message);
        return error_move(error, &why);
    }
    tell(round, "Normal", "SuccessfulDelete", "Deleted job %s", name);
    return true;
}

static bool replace_active(struct round *round, struct error *error)
{
    json_t *list = active_list(round);
    for (size_t i = json_array_size(list); i-- > 0;) {
        const json_t *reference = json_array_get(list, i);
        const char *uid = json_get_string(reference, "uid");
        const char *name = json_get_string(reference, "name");
        if (uid != NULL && name != NULL && !delete_job(round, name, uid, error)) {
            return false;
        }
        json_array_remove(list, i);
        round->has_changed = true;
    }
    return true;
}

/* A job of the run's name is there: ours, or somebody's who keeps us from starting it. */
static bool take_existing(struct round *round, const char *name, int64_t time, struct error *error)
{
    cleanup(json_release)
    json_t *job = NULL;
    if (!get_job(round, name, &job, error)) {
        return false;
    }
    if (job != NULL && owner_controls(round->cron_job, job)) {
        note_start(round, time, job);
    }
    return job != NULL || error_unavailable(error, "job %s came and went", name);
}

static bool start_run(struct round *round, int64_t time, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *job = cronjob_make_job(round->cron_job, round->named_zone, time);
    const json_t *metadata = json_object_get(job, "metadata");
    const char *name = json_get_string(metadata, "name");
    cleanup(json_release)
    json_t *created = client_create(round->state->controller->client, &resource_jobs,
                                    json_get_string(metadata, "namespace"), job, &why);
    if (created != NULL) {
        tell(round, "Normal", "SuccessfulCreate", "Created job %s", name);
        note_start(round, time, created);
        return true;
    }
    if (why.code == 409 && strcmp(why.reason, "AlreadyExists") == 0) {
        return take_existing(round, name, time, error);
    }
    if (!pod_control_is_namespace_terminating(&why)) {
        tell(round, "Warning", "FailedCreate", "Error creating job: %s", why.message);
    }
    return error_move(error, &why);
}

/* The status says that this run was started. */
static bool was_started(const struct round *round, const char *name, int64_t time)
{
    int64_t last = 0;
    const char *text = json_get_string(round->status, "lastScheduleTime");
    return find_active(round, "name", name) != SIZE_MAX ||
           (text != NULL && timestamp_parse(text, &last) && last == time);
}

static bool is_there(const struct round *round, const char *name)
{
    for (size_t i = 0; i < round->jobs.count; i++) {
        if (strcmp(round->jobs.items[i]->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void tell_missed(struct round *round, int64_t time)
{
    char text[64];
    time_t seconds = (time_t)(time / INT64_C(1000000000));
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S +0000", &parts);
    tell(round, "Warning", "MissSchedule", "Missed scheduled time to start a job: %s", text);
}

static bool start_due(struct round *round, const struct cronjob_due *due, struct error *error)
{
    cleanup(free_char)
    char *name = cronjob_job_name(round->cron_job, due->time);
    if (due->is_many) {
        tell(round, "Warning", "TooManyMissedTimes",
             "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check "
             "clock skew");
    }
    if (due->is_late) {
        tell_missed(round, due->time);
        return true;
    }
    if (was_started(round, name, due->time)) {
        return true;
    }
    if (is_there(round, name)) { /* A former process did, and could not note it. */
        return take_existing(round, name, due->time, error);
    }
    if (has_policy(round, "Forbid") && json_array_size(active_list(round)) > 0) {
        tell(round, "Normal", "JobAlreadyActive",
             "Not starting job because prior execution is running and concurrency policy is "
             "Forbid");
        return true;
    }
    return (!has_policy(round, "Replace") || replace_active(round, error)) &&
           start_run(round, due->time, error);
}

static bool run(struct round *round, struct error *error)
{
    struct cronjob_due due;
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (json_get_bool(round->spec, "suspend", false) || !read_clock(round)) {
        return true;
    }
    if (!cronjob_find_due(round->cron_job, &round->clock, round->now, &due, &why)) {
        tell(round, "Warning", "InvalidSchedule", "invalid schedule: %s : %s",
             json_get_string(round->spec, "schedule"), why.message);
        return true;
    }
    bool started = due.time == 0 || start_due(round, &due, error);
    controller_add_after(round->state->controller, round->key,
                         cronjob_next_ms(round->cron_job, &round->clock, round->now));
    return started;
}

/* ---- sync ---- */

static bool write_status(struct round *round, struct error *error)
{
    if (!round->has_changed) {
        return true;
    }
    if (json_array_size(active_list(round)) == 0) {
        json_object_del(round->status, "active");
    }
    cleanup(json_release)
    json_t *written = client_update(round->state->controller->client, &resource_cronjobs, "status",
                                    round->cron_job, error);
    if (written != NULL) {
        own_writes_note(round->state->writes, round->key, written);
    }
    return written != NULL;
}

static bool clean_up(struct round *round, struct error *error)
{
    static const struct {
        enum job_end end;
        const char *limit;
    } histories[] = {{JOB_COMPLETE, "successfulJobsHistoryLimit"},
                     {JOB_FAILED, "failedJobsHistoryLimit"}};
    cleanup(cached_list_free)
    struct cached_list surplus = CACHED_LIST_INIT;
    bool succeeded = true;
    for (size_t i = 0; i < array_length(histories); i++) {
        json_int_t limit = json_get_int(round->spec, histories[i].limit, -1);
        if (limit >= 0) {
            cronjob_surplus(&round->jobs, histories[i].end, limit, &surplus);
        }
    }
    for (size_t i = 0; i < surplus.count; i++) {
        succeeded = delete_job(round, surplus.items[i]->name, surplus.items[i]->uid,
                               succeeded ? error : NULL) &&
                    succeeded;
    }
    return succeeded;
}

static bool work_on(struct round *round, struct error *error)
{
    cleanup(error_clear)
    struct error failure = ERROR_INIT;
    for (size_t i = 0; i < round->jobs.count; i++) {
        see_job(round, round->jobs.items[i]);
    }
    bool is_deleting = json_path(round->cron_job, "metadata", "deletionTimestamp") != NULL;
    bool succeeded = drop_missing(round, &failure) && (is_deleting || run(round, &failure));
    /* What was done so far is to be known, whatever came of the rest. */
    return write_status(round, error) && (succeeded || error_move(error, &failure)) &&
           (is_deleting || clean_up(round, error));
}

static void begin(struct round *round, struct cronjob_state *state,
                  const struct cached_object *cached)
{
    *round = (struct round){.state = state,
                            .key = cached->key,
                            .cron_job = cached_object_tree(cached),
                            .now = timestamp_now()};
    round->spec = json_object_get(round->cron_job, "spec");
    round->status = json_get_or_add_object(round->cron_job, "status");
}

/* The schedule is new: the next time is waited for. */
static void wait_for_next(struct cronjob_state *state, const char *key)
{
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(state->cron_jobs), key);
    if (cached == NULL) {
        return;
    }
    cleanup(round_free)
    struct round round;
    begin(&round, state, cached);
    if (read_clock(&round)) {
        controller_add_after(state->controller, key,
                             cronjob_next_ms(round.cron_job, &round.clock, round.now));
    }
}

static bool sync_cronjob(void *argument, const char *key, struct error *error)
{
    struct cronjob_state *state = argument;
    struct indexer *cron_jobs = informer_indexer(state->cron_jobs);
    if (strncmp(key, schedule_prefix, strlen(schedule_prefix)) == 0) {
        wait_for_next(state, key + strlen(schedule_prefix));
        return true;
    }
    if (!own_writes_are_seen(state->writes, key, cron_jobs)) {
        controller_add_after(state->controller, key, own_write_check_ms);
        return true;
    }
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(cron_jobs, key);
    if (cached == NULL) {
        own_writes_forget(state->writes, key);
        return true;
    }
    cleanup(round_free)
    struct round round;
    begin(&round, state, cached);
    indexer_find(informer_indexer(state->jobs), "owner", cached->uid, &round.jobs);
    return work_on(&round, error);
}

/* ---- life ---- */

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct cronjob_state *state = allocate_struct(struct cronjob_state);
    state->controller = controller;
    state->writes = own_writes_new();
    state->jobs = job_informer(controller->informers);
    state->cron_jobs = informer_factory_get(controller->informers, &resource_cronjobs, NULL, NULL);
    informer_add_handler(state->jobs, job_changed, state);
    informer_add_handler(state->cron_jobs, cron_job_changed, state);
    return state;
}

static void stop(void *argument)
{
    struct cronjob_state *state = argument;
    own_writes_free(state->writes);
    free(state);
}

const struct controller_type cronjob_controller = {
    .name = "cronjob-controller",
    .alias = "cronjob",
    .account = "cronjob-controller",
    .workers = 5,
    .start = start,
    .sync = sync_cronjob,
    .stop = stop,
};

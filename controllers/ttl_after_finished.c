// SPDX-License-Identifier: Apache-2.0
/*
 * ttl-after-finished-controller: deletes a Job that has come to its end, with its pods, after
 * spec.ttlSecondsAfterFinished.
 *
 * What the informer says only tells when to look; the job is read again before it is deleted, as
 * its time may have been prolonged in between.
 */
#include "common/alloc.h"
#include "common/log.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/job_view.h"
#include "controllers/resources.h"

static const int64_t second = INT64_C(1000000000);

struct ttl_state {
    struct controller *controller;
    struct informer *jobs;
};

static bool has_time_to_live(const struct job_view *job)
{
    return job->end != JOB_UNFINISHED && job->ttl_seconds >= 0;
}

static void job_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct ttl_state *state = argument;
    (void)old;
    if (new != NULL && !new->is_deleting && has_time_to_live(job_view(new))) {
        controller_add_object(state->controller, new);
    }
}

/* Whether its time is over; if not, the job comes again when it is. */
static bool is_expired(struct ttl_state *state, const char *key, const struct job_view *job)
{
    if (!has_time_to_live(job)) {
        return false;
    }
    int64_t now = timestamp_now(), left = job->ended_at + job->ttl_seconds * second - now;
    if (job->ended_at > now) {
        log_warning("job %s has ended in the future: the clocks of this cluster differ", key);
    }
    if (left > 0) {
        controller_add_after(state->controller, key, left / 1000000 + 1);
    }
    return left <= 0;
}

static bool delete_job(struct ttl_state *state, const char *key, const json_t *job,
                       struct error *error)
{
    const json_t *metadata = json_object_get(job, "metadata");
    struct job_view view = job_view_of(job);
    if (json_object_get(metadata, "deletionTimestamp") != NULL || !is_expired(state, key, &view)) {
        return true;
    }
    cleanup(json_release)
    json_t *options = client_delete_options(json_get_string(metadata, "uid"), "Foreground");
    return client_delete(state->controller->client, &resource_jobs,
                         json_get_string(metadata, "namespace"), json_get_string(metadata, "name"),
                         options, error);
}

static bool sync_ttl(void *argument, const char *key, struct error *error)
{
    struct ttl_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(state->jobs), key);
    if (cached == NULL || cached->is_deleting || !is_expired(state, key, job_view(cached))) {
        return true;
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *fresh = client_get(state->controller->client, &resource_jobs, cached->namespace,
                               cached->name, &why);
    return (fresh != NULL && delete_job(state, key, fresh, &why)) || why.code == 404 ||
           error_move(error, &why);
}

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct ttl_state *state = allocate_struct(struct ttl_state);
    state->controller = controller;
    state->jobs = job_informer(controller->informers);
    informer_add_handler(state->jobs, job_changed, state);
    return state;
}

const struct controller_type ttl_after_finished_controller = {
    .name = "ttl-after-finished-controller",
    .alias = "ttl-after-finished",
    .account = "ttl-after-finished-controller",
    .workers = 5,
    .start = start,
    .sync = sync_ttl,
    .stop = free,
};

// SPDX-License-Identifier: Apache-2.0
#include "controllers/job_view.h"

#include <string.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/conditions.h"
#include "controllers/resources.h"

static const char own_name[] = "kubernetes.io/job-controller";

static int64_t time_at(const json_t *object, const char *name)
{
    const char *text = json_get_string(object, name);
    int64_t time = 0;
    return text != NULL && timestamp_parse(text, &time) ? time : 0;
}

struct job_view job_view_of(const json_t *job)
{
    const json_t *spec = json_object_get(job, "spec"), *status = json_object_get(job, "status");
    const json_t *conditions = json_object_get(status, "conditions");
    const char *manager = json_get_string(spec, "managedBy");
    struct job_view view = {
        .start_time = time_at(status, "startTime"),
        .completion_time = time_at(status, "completionTime"),
        .ttl_seconds = json_get_int(spec, "ttlSecondsAfterFinished", -1),
        .is_foreign = manager != NULL && strcmp(manager, own_name) != 0,
    };
    view.end = condition_is_true(conditions, "Complete") ? JOB_COMPLETE
               : condition_is_true(conditions, "Failed") ? JOB_FAILED
                                                         : JOB_UNFINISHED;
    if (view.end != JOB_UNFINISHED) {
        const char *type = view.end == JOB_COMPLETE ? "Complete" : "Failed";
        view.ended_at = time_at(condition_find(conditions, type), "lastTransitionTime");
    }
    return view;
}

static void *digest(const struct cached_object *object)
{
    cleanup(json_release)
    json_t *job = cached_object_tree(object);
    struct job_view *view = allocate_struct(struct job_view);
    *view = job_view_of(job);
    return view;
}

static const struct cached_object_class job_class = {.digest = digest, .digest_free = free};

struct informer *job_informer(struct informer_factory *informers)
{
    struct informer *jobs = informer_factory_get(informers, &resource_jobs, &job_class, NULL);
    indexer_add_index(informer_indexer(jobs), "owner", index_by_owner);
    return jobs;
}

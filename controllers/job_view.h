// SPDX-License-Identifier: Apache-2.0
/* What controllers look at in a Job, parsed once when it arrives: the digest of the one job
 * informer of the process. */
#ifndef CONTROLLERS_JOB_VIEW_H
#define CONTROLLERS_JOB_VIEW_H

#include "common/informer.h"

enum job_end { JOB_UNFINISHED, JOB_COMPLETE, JOB_FAILED };

/* Times are nanoseconds since 1970, 0 when absent. */
struct job_view {
    enum job_end end;
    int64_t ended_at; /* When the condition that says so became true. */
    int64_t start_time, completion_time;
    int64_t ttl_seconds; /* spec.ttlSecondsAfterFinished; -1 when absent. */
    bool is_foreign;     /* By spec.managedBy some other controller's. */
};

/* Of an object that is a Job. */
struct job_view job_view_of(const json_t *job);

/* The job informer, with the indexes "namespace" and "owner". */
struct informer *job_informer(struct informer_factory *informers);

static inline const struct job_view *job_view(const struct cached_object *job)
{
    return job->digest;
}

#endif

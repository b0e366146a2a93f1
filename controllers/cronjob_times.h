// SPDX-License-Identifier: Apache-2.0
/* When a CronJob's runs are due, and what they are. Pure functions. Times are nanoseconds since
 * 1970. */
#ifndef CONTROLLERS_CRONJOB_TIMES_H
#define CONTROLLERS_CRONJOB_TIMES_H

#include "common/cached_object.h"
#include "common/cron_schedule.h"
#include "controllers/job_view.h"

/* When to start. */
struct cronjob_clock {
    struct cron_schedule schedule;
    struct time_zone *zone;
};

/* The run that is due: the latest of those since the last one that was started (or since the
 * CronJob was made, or the deadline for starting). */
struct cronjob_due {
    int64_t time; /* 0: none. */
    bool is_late; /* Later than spec.startingDeadlineSeconds allows. */
    bool is_many; /* More than a hundred were missed. */
};

/* False when the schedule has no such times. */
bool cronjob_find_due(const json_t *cron_job, const struct cronjob_clock *clock, int64_t now,
                      struct cronjob_due *due, struct error *error);
/* In how many milliseconds the next run is to be looked for. */
int64_t cronjob_next_ms(const json_t *cron_job, const struct cronjob_clock *clock, int64_t now);

/* Two attempts at one run make the same name, of which there can be but one job. The caller's. */
char *cronjob_job_name(const json_t *cron_job, int64_t time);
/* The job of the run; 'zone' (NULL: UTC) is spec.timeZone. The caller's. */
json_t *cronjob_make_job(const json_t *cron_job, const struct time_zone *zone, int64_t time);

/* Of the jobs those that ended so and are more than 'limit', the oldest. */
void cronjob_surplus(const struct cached_list *jobs, enum job_end end, json_int_t limit,
                     struct cached_list *surplus);

#endif

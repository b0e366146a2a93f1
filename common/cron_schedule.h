// SPDX-License-Identifier: Apache-2.0
/* Schedules of crontab as CronJobs have them: five fields with lists, ranges, steps and names, or a
 * word for them: "@hourly", "@every 1h30m". */
#ifndef COMMON_CRON_SCHEDULE_H
#define COMMON_CRON_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/time_zone.h"

/* The times at which to start: each field is a set of bits, bit n for the value n. */
struct cron_schedule {
    uint64_t minutes, hours;
    uint64_t days;             /* Of the month, from 1. */
    uint64_t months;           /* From 1. */
    uint64_t weekdays;         /* From 0, Sunday. */
    bool any_day, any_weekday; /* The field says "*": then the other one alone decides; else a day
                                * is right when either field has it. */
    int64_t every_seconds;     /* Above 0: so often, whatever the fields say. */
};

/* Words its errors (400) as the library that upstream parses schedules with. A schedule may begin
 * with "TZ=zone " or "CRON_TZ=zone ", which is skipped. */
bool cron_schedule_parse(const char *text, struct cron_schedule *schedule, struct error *error);
/* The zone that the schedule begins with; the caller's, NULL when it names none. */
char *cron_schedule_zone(const char *text);

/* The first time after 'after' (nanoseconds since 1970) at which to start. What a change of the
 * clocks leaves out is left out, what it repeats comes twice. False when there is none in the next
 * five years. */
bool cron_schedule_next(const struct cron_schedule *schedule, const struct time_zone *zone,
                        int64_t after, int64_t *next);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "controllers/cronjob_times.h"

#include <string.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/owner.h"

static const int64_t second = INT64_C(1000000000);
static const char timestamp_annotation[] = "batch.kubernetes.io/cronjob-scheduled-timestamp";

enum {
    many_missed = 100,
    slack_ms = 100, /* So that the time has come for certain. */
};

/* ---- times ---- */

static int64_t time_at(const json_t *object, const char *name)
{
    const char *text = json_get_string(object, name);
    int64_t time = 0;
    return text != NULL && timestamp_parse(text, &time) ? time : 0;
}

/* The last time of the schedule after 'since' that is not after 'now'; there is one. What the
 * schedule says does not depend on where one begins to ask, so only the end of a long absence is
 * walked through. */
static int64_t last_before(const struct cronjob_clock *clock, int64_t since, int64_t now)
{
    int64_t every = clock->schedule.every_seconds * second, time, last = since;
    if (every > 0) {
        return since + (now - since) / every * every;
    }
    for (int64_t window = 3600 * second;; window *= 8) {
        int64_t from = now - since > window ? now - window : since;
        if ((cron_schedule_next(&clock->schedule, clock->zone, from, &time) && time <= now) ||
            from == since) {
            break;
        }
    }
    while (time <= now) {
        last = time;
        if (!cron_schedule_next(&clock->schedule, clock->zone, last, &time)) {
            break;
        }
    }
    return last;
}

/* What is due, of what came after 'since'. */
static bool find_since(const struct cronjob_clock *clock, int64_t since, int64_t now,
                       struct cronjob_due *due, struct error *error)
{
    int64_t first, following;
    *due = (struct cronjob_due){0};
    if (!cron_schedule_next(&clock->schedule, clock->zone, since, &first) ||
        (first <= now && !cron_schedule_next(&clock->schedule, clock->zone, first, &following))) {
        return error_bad_request(error,
                                 "time difference between two schedules is less than 1 second");
    }
    if (now < first) {
        return true;
    }
    due->time = now < following ? first : last_before(clock, first, now);
    due->is_many = now >= following && (now - first) / (following - first) + 1 > many_missed;
    return true;
}

static int64_t last_start(const json_t *cron_job)
{
    int64_t last = time_at(json_object_get(cron_job, "status"), "lastScheduleTime");
    return last != 0 ? last : time_at(json_object_get(cron_job, "metadata"), "creationTimestamp");
}

bool cronjob_find_due(const json_t *cron_job, const struct cronjob_clock *clock, int64_t now,
                      struct cronjob_due *due, struct error *error)
{
    json_int_t deadline =
        json_get_int(json_object_get(cron_job, "spec"), "startingDeadlineSeconds", -1);
    int64_t since = last_start(cron_job);
    bool has_deadline = deadline >= 0 && deadline < now / second;
    if (has_deadline && now - deadline * second > since) {
        since = now - deadline * second;
    }
    if (!find_since(clock, since, now, due, error)) {
        return false;
    }
    due->is_late = due->time != 0 && has_deadline && due->time + deadline * second < now;
    return true;
}

int64_t cronjob_next_ms(const json_t *cron_job, const struct cronjob_clock *clock, int64_t now)
{
    struct cronjob_due due;
    int64_t since = last_start(cron_job), next;
    if (!find_since(clock, since, now, &due, NULL)) {
        since = now;
    } else if (due.time != 0) {
        since = due.time;
    }
    if (!cron_schedule_next(&clock->schedule, clock->zone, since, &next)) {
        return INT64_C(86400000); /* For years there is none. */
    }
    return (next > now ? next - now : 0) / 1000000 + slack_ms;
}

/* ---- jobs ---- */

char *cronjob_job_name(const json_t *cron_job, int64_t time)
{
    return format("%s-%lld", json_path_string(cron_job, "metadata", "name"),
                  (long long)(time / (60 * second)));
}

/* "2026-01-31T13:00:00+01:00" */
static json_t *local_timestamp(const struct time_zone *zone, int64_t time)
{
    char text[TIMESTAMP_SIZE];
    int offset = zone != NULL ? time_zone_offset(zone, time / second) : 0;
    int minutes = (offset < 0 ? -offset : offset) / 60;
    timestamp_format(time + offset * second, text);
    return offset == 0 ? json_string(text)
                       : json_sprintf("%.19s%c%02d:%02d", text, offset < 0 ? '-' : '+',
                                      minutes / 60, minutes % 60);
}

json_t *cronjob_make_job(const json_t *cron_job, const struct time_zone *zone, int64_t time)
{
    const json_t *template = json_path(cron_job, "spec", "jobTemplate");
    const json_t *metadata = json_object_get(template, "metadata");
    json_t *labels = json_object_get(metadata, "labels");
    json_t *annotations = json_copy(json_object_get(metadata, "annotations"));
    cleanup(free_char)
    char *name = cronjob_job_name(cron_job, time);
    annotations = annotations != NULL ? annotations : json_object();
    json_object_set_new(annotations, timestamp_annotation, local_timestamp(zone, time));
    json_t *job = json_pack("{s:s, s:s, s:{s:s, s:s, s:o, s:[o]}, s:O}", "apiVersion", "batch/v1",
                            "kind", "Job", "metadata", "name", name, "namespace",
                            json_path_string(cron_job, "metadata", "namespace"), "annotations",
                            annotations, "ownerReferences", owner_reference(cron_job), "spec",
                            json_object_get(template, "spec"));
    if (labels != NULL) {
        json_object_set(json_object_get(job, "metadata"), "labels", labels);
    }
    return job;
}

/* The one that was started first before; those that never were behind them. */
static int compare_starts(const void *a, const void *b)
{
    const struct cached_object *const *one = a, *const *other = b;
    int64_t first = job_view(*one)->start_time, last = job_view(*other)->start_time;
    if (first != last) {
        return first == 0 || last == 0 ? (first == 0) - (last == 0) : first < last ? -1 : 1;
    }
    return strcmp((*one)->name, (*other)->name);
}

void cronjob_surplus(const struct cached_list *jobs, enum job_end end, json_int_t limit,
                     struct cached_list *surplus)
{
    cleanup(cached_list_free)
    struct cached_list ended = CACHED_LIST_INIT;
    for (size_t i = 0; i < jobs->count; i++) {
        if (job_view(jobs->items[i])->end == end && !jobs->items[i]->is_deleting) {
            cached_list_add(&ended, jobs->items[i]);
        }
    }
    if (ended.count > 1) {
        qsort(ended.items, ended.count, sizeof(struct cached_object *), compare_starts);
    }
    for (size_t i = 0; (json_int_t)(i + 1) <= (json_int_t)ended.count - limit; i++) {
        cached_list_add(surplus, ended.items[i]);
    }
}

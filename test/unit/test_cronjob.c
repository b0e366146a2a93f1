// SPDX-License-Identifier: Apache-2.0
/* Which run of a CronJob is due, when the next is to be looked for, and what its job is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/cronjob_times.h"

static const int64_t second = INT64_C(1000000000);

static int64_t at(const char *text)
{
    int64_t time;
    assert_true(timestamp_parse(text, &time));
    return time;
}

/* One that was made at noon; 'last' (NULL: never) is when it was started. */
static json_t *make_cron_job(const char *last, int deadline)
{
    json_t *cron_job = json_pack(
        "{s:s, s:s, s:{s:s, s:s, s:s, s:s}, s:{s:{s:{s:{s:s}, s:{s:s}}, s:{s:i}}}, s:{s:s*}}",
        "kind", "CronJob", "apiVersion", "batch/v1", "metadata", "name", "night", "namespace", "n",
        "uid", "u", "creationTimestamp", "2026-11-20T12:00:00Z", "spec", "jobTemplate", "metadata",
        "labels", "a", "b", "annotations", "c", "d", "spec", "backoffLimit", 7, "status",
        "lastScheduleTime", last);
    if (deadline > 0) {
        json_object_set_new(json_object_get(cron_job, "spec"), "startingDeadlineSeconds",
                            json_integer(deadline));
    }
    return cron_job;
}

struct expected {
    const char *time; /* NULL: none. */
    bool is_late, is_many;
    int64_t next_ms;
};

static void assert_due(const char *schedule, const char *last, int deadline, const char *now,
                       struct expected expected)
{
    cleanup(json_release)
    json_t *cron_job = make_cron_job(last, deadline);
    struct cronjob_clock clock;
    cleanup(time_zone_release)
    struct time_zone *zone = time_zone_load("UTC", NULL);
    struct cronjob_due due;
    clock.zone = zone;
    assert_true(cron_schedule_parse(schedule, &clock.schedule, NULL));
    assert_true(cronjob_find_due(cron_job, &clock, at(now), &due, NULL));
    assert_int_equal(due.time, expected.time != NULL ? at(expected.time) : 0);
    assert_int_equal(due.is_late, expected.is_late);
    assert_int_equal(due.is_many, expected.is_many);
    assert_int_equal(cronjob_next_ms(cron_job, &clock, at(now)), expected.next_ms);
}

static void the_latest_run_since_the_last_start_is_due(void **state)
{
    (void)state;
    /* None yet since it was made, then the first, then the last of several. */
    assert_due("*/10 * * * *", NULL, 0, "2026-11-20T12:09:59Z",
               (struct expected){NULL, 0, 0, 1100});
    assert_due("*/10 * * * *", NULL, 0, "2026-11-20T12:10:00Z",
               (struct expected){"2026-11-20T12:10:00Z", 0, 0, 600100});
    assert_due("*/10 * * * *", "2026-11-20T12:10:00Z", 0, "2026-11-20T12:10:00Z",
               (struct expected){NULL, 0, 0, 600100});
    assert_due("*/10 * * * *", NULL, 0, "2026-11-20T14:15:00Z",
               (struct expected){"2026-11-20T14:10:00Z", 0, 0, 300100});
    assert_due("@every 90s", NULL, 0, "2026-11-20T12:05:00Z",
               (struct expected){"2026-11-20T12:04:30Z", 0, 0, 60100});
}

static void a_long_absence_is_one_missed_run_and_costs_no_walk_through_it(void **state)
{
    (void)state;
    /* A hundred are not many, one more is. */
    assert_due("* * * * *", NULL, 0, "2026-11-20T13:40:30Z",
               (struct expected){"2026-11-20T13:40:00Z", 0, 0, 30100});
    assert_due("* * * * *", NULL, 0, "2026-11-20T13:41:30Z",
               (struct expected){"2026-11-20T13:41:00Z", 0, 1, 30100});
    assert_due("* * * * *", "1990-01-01T00:00:00Z", 0, "2026-11-20T13:41:30Z",
               (struct expected){"2026-11-20T13:41:00Z", 0, 1, 30100});
    assert_due("0 0 1 1 *", "1990-01-01T00:00:00Z", 0, "2026-12-31T23:59:59Z",
               (struct expected){"2026-01-01T00:00:00Z", 0, 0, 1100});
    assert_due("@every 1s", "1990-01-01T00:00:00Z", 0, "2026-11-20T13:41:30Z",
               (struct expected){"2026-11-20T13:41:30Z", 0, 1, 1100});
}

static void a_deadline_forgets_what_is_older(void **state)
{
    (void)state;
    assert_due("*/10 * * * *", NULL, 60, "2026-11-20T12:15:00Z",
               (struct expected){NULL, 0, 0, 300100});
    assert_due("*/10 * * * *", NULL, 600, "2026-11-20T18:15:00Z",
               (struct expected){"2026-11-20T18:10:00Z", 0, 0, 300100});
    assert_due("* * * * *", "1990-01-01T00:00:00Z", 600, "2026-11-20T18:15:00Z",
               (struct expected){"2026-11-20T18:15:00Z", 0, 0, 60100});
}

static void a_time_that_never_comes_is_an_error(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *cron_job = make_cron_job(NULL, 0);
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(time_zone_release)
    struct time_zone *zone = time_zone_load("UTC", NULL);
    struct cronjob_clock clock = {.zone = zone};
    struct cronjob_due due;
    assert_true(cron_schedule_parse("0 0 30 2 *", &clock.schedule, NULL));
    assert_false(cronjob_find_due(cron_job, &clock, at("2026-11-20T18:15:00Z"), &due, &error));
    assert_string_equal(error.message,
                        "time difference between two schedules is less than 1 second");
}

static void a_runs_job_is_named_after_its_minute_and_tells_its_time(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *cron_job = make_cron_job(NULL, 0);
    cleanup(time_zone_release)
    struct time_zone *zone = time_zone_load("America/New_York", NULL);
    int64_t time = at("2026-07-01T10:30:20Z");
    cleanup(json_release)
    json_t *job = cronjob_make_job(cron_job, zone, time);
    cleanup(json_release)
    json_t *expected = json_pack(
        "{s:s, s:s, s:{s:s, s:s, s:{s:s, s:s}, s:[{s:s, s:s, s:s, s:s, s:b, s:b}], s:{s:s}}, "
        "s:{s:i}}",
        "kind", "Job", "apiVersion", "batch/v1", "metadata", "name", "night-29715030", "namespace",
        "n", "annotations", "c", "d", "batch.kubernetes.io/cronjob-scheduled-timestamp",
        "2026-07-01T06:30:20-04:00", "ownerReferences", "apiVersion", "batch/v1", "kind", "CronJob",
        "name", "night", "uid", "u", "controller", 1, "blockOwnerDeletion", 1, "labels", "a", "b",
        "spec", "backoffLimit", 7);
    assert_true(json_equal(job, expected));
    assert_int_equal(time / (60 * second), 29715030);
    /* Without a zone it is UTC; the template stays as it is. */
    cleanup(json_release)
    json_t *other = cronjob_make_job(cron_job, NULL, time);
    assert_string_equal(json_path_string(other, "metadata", "annotations",
                                         "batch.kubernetes.io/cronjob-scheduled-timestamp"),
                        "2026-07-01T10:30:20Z");
    assert_int_equal(
        json_object_size(json_path(cron_job, "spec", "jobTemplate", "metadata", "annotations")), 1);
}

/* ---- history ---- */

static void *digest(const struct cached_object *object)
{
    cleanup(json_release)
    json_t *job = cached_object_tree(object);
    struct job_view *view = allocate_struct(struct job_view);
    *view = job_view_of(job);
    return view;
}

static const struct cached_object_class job_class = {.digest = digest, .digest_free = free};

static void add_job(struct cached_list *jobs, const char *name, const char *end, const char *start)
{
    cleanup(free_char)
    char *text = format("{\"metadata\": {\"name\": \"%s\"}, \"status\": {\"startTime\": \"%s\", "
                        "\"conditions\": [{\"type\": \"%s\", \"status\": \"True\"}]}}",
                        name, start, end);
    cleanup(cached_object_release)
    struct cached_object *job = cached_object_new(&job_class, text, strlen(text));
    assert_non_null(job);
    cached_list_add(jobs, job);
}

static void the_oldest_beyond_the_limit_are_surplus(void **state)
{
    (void)state;
    cleanup(cached_list_free)
    struct cached_list jobs = CACHED_LIST_INIT;
    add_job(&jobs, "third", "Complete", "2026-01-03T00:00:00Z");
    add_job(&jobs, "running", "Suspended", "2026-01-01T00:00:00Z");
    add_job(&jobs, "first", "Complete", "2026-01-01T00:00:00Z");
    add_job(&jobs, "bad", "Failed", "2026-01-01T00:00:00Z");
    add_job(&jobs, "second", "Complete", "2026-01-02T00:00:00Z");
    static const char *const order[] = {"first", "second", "third"};
    for (int limit = 0; limit < 5; limit++) {
        cleanup(cached_list_free)
        struct cached_list surplus = CACHED_LIST_INIT;
        cronjob_surplus(&jobs, JOB_COMPLETE, limit, &surplus);
        assert_int_equal(surplus.count, limit < 3 ? 3 - limit : 0);
        for (size_t i = 0; i < surplus.count; i++) {
            assert_string_equal(surplus.items[i]->name, order[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_latest_run_since_the_last_start_is_due),
        cmocka_unit_test(a_long_absence_is_one_missed_run_and_costs_no_walk_through_it),
        cmocka_unit_test(a_deadline_forgets_what_is_older),
        cmocka_unit_test(a_time_that_never_comes_is_an_error),
        cmocka_unit_test(a_runs_job_is_named_after_its_minute_and_tells_its_time),
        cmocka_unit_test(the_oldest_beyond_the_limit_are_surplus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

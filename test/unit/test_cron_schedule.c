// SPDX-License-Identifier: Apache-2.0
/* Schedules of crontab. What is refused, and how, stands in test/validation/jobs.yaml. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/cron_schedule.h"
#include "common/timestamp.h"

#define BIT(n) (UINT64_C(1) << (n))

static struct cron_schedule parse(const char *text)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct cron_schedule schedule;
    if (!cron_schedule_parse(text, &schedule, &error)) {
        fail_msg("%s: %s", text, error.message);
    }
    return schedule;
}

static void each_field_has_its_values(void **state)
{
    (void)state;
    struct cron_schedule schedule = parse("5,10 1-3 */10 feb SUN-tue");
    assert_true(schedule.minutes == (BIT(5) | BIT(10)));
    assert_true(schedule.hours == (BIT(1) | BIT(2) | BIT(3)));
    assert_true(schedule.days == (BIT(1) | BIT(11) | BIT(21) | BIT(31)));
    assert_true(schedule.months == BIT(2));
    assert_true(schedule.weekdays == (BIT(0) | BIT(1) | BIT(2)));
    assert_false(schedule.any_day);
    assert_false(schedule.any_weekday);
}

static void a_star_is_any_day_but_not_with_a_step(void **state)
{
    (void)state;
    assert_true(parse("0 0 * * 1").any_day);
    assert_false(parse("0 0 */2 * *").any_day);
    assert_true(parse("0 0 1 * ?").any_weekday);
}

static void a_step_behind_one_value_runs_to_the_end(void **state)
{
    (void)state;
    assert_true(parse("50/5 * * * *").minutes == (BIT(50) | BIT(55)));
}

static void words_stand_for_fields(void **state)
{
    (void)state;
    struct cron_schedule weekly = parse("@weekly"), same = parse("0 0 * * 0");
    assert_memory_equal(&weekly, &same, sizeof same);
}

static void an_interval_has_whole_seconds(void **state)
{
    (void)state;
    assert_int_equal(parse("@every 1h30m").every_seconds, 5400);
    assert_int_equal(parse("@every 1.5m").every_seconds, 90);
    assert_int_equal(parse("@every 10ms").every_seconds, 1);
}

static void a_zone_before_it_is_skipped(void **state)
{
    (void)state;
    assert_true(parse("CRON_TZ=Europe/Berlin 7 * * * *").minutes == BIT(7));
}

/* Seconds since 1970 of a time in UTC. */
static int64_t at(const char *text)
{
    int64_t time;
    assert_true(timestamp_parse(text, &time));
    return time;
}

/* The times after 'from' are these, to a NULL. */
static void assert_times(const char *text, const char *zone_name, const char *from,
                         const char *const *times)
{
    struct cron_schedule schedule = parse(text);
    cleanup(time_zone_release)
    struct time_zone *zone = time_zone_load(zone_name, NULL);
    assert_non_null(zone);
    int64_t time = at(from);
    for (; *times != NULL; times++) {
        char shown[TIMESTAMP_SIZE];
        assert_true(cron_schedule_next(&schedule, zone, time, &time));
        timestamp_format(time, shown);
        assert_string_equal(shown, *times);
    }
}

#define TIMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void times_follow_each_other(void **state)
{
    (void)state;
    assert_times("*/20 9,17 * * *", "UTC", "2026-11-21T09:40:00Z",
                 TIMES("2026-11-21T17:00:00Z", "2026-11-21T17:20:00Z", "2026-11-21T17:40:00Z",
                       "2026-11-22T09:00:00Z"));
    assert_times("0 0 29 2 *", "UTC", "2026-11-21T09:40:00Z", TIMES("2028-02-29T00:00:00Z"));
    assert_times("0 0 13 * 5", "UTC", "2026-11-10T00:00:00Z",
                 TIMES("2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z"));
    assert_times("0 0 */2 * 5", "UTC", "2026-11-10T00:00:00Z",
                 TIMES("2026-11-11T00:00:00Z", "2026-11-13T00:00:00Z", "2026-11-15T00:00:00Z"));
    assert_times("@every 90s", "UTC", "2026-11-21T09:40:10.5Z",
                 TIMES("2026-11-21T09:41:40Z", "2026-11-21T09:43:10Z"));
    assert_times("* * * * *", "UTC", "2026-11-21T09:40:00.1Z", TIMES("2026-11-21T09:41:00Z"));
}

static void a_zone_shifts_them(void **state)
{
    (void)state;
    assert_times("30 12 * * *", "Asia/Kolkata", "2026-11-21T00:00:00Z",
                 TIMES("2026-11-21T07:00:00Z"));
    assert_times("0 12 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z",
                 TIMES("2026-03-28T11:00:00Z", "2026-03-29T10:00:00Z"));
}

static void what_a_change_of_the_clocks_skips_is_skipped_and_what_it_repeats_repeated(void **state)
{
    (void)state;
    assert_times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z",
                 TIMES("2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"));
    assert_times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
                 TIMES("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"));
    /* Half an hour, and a day without its midnight. */
    assert_times("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T15:45:00Z",
                 TIMES("2026-10-04T15:15:00Z"));
    assert_times("30 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z",
                 TIMES("2026-04-24T21:30:00Z"));
    /* After the changes that the file lists, by its rule. */
    assert_times("0 12 * * *", "America/New_York", "2060-07-01T00:00:00Z",
                 TIMES("2060-07-01T16:00:00Z"));
    assert_times("0 12 * * *", "Australia/Sydney", "2060-12-31T12:00:00Z",
                 TIMES("2061-01-01T01:00:00Z"));
}

static void a_day_that_never_comes_has_no_time(void **state)
{
    (void)state;
    struct cron_schedule schedule = parse("0 0 31 2 *");
    cleanup(time_zone_release)
    struct time_zone *zone = time_zone_load("UTC", NULL);
    int64_t time;
    assert_false(cron_schedule_next(&schedule, zone, at("2026-01-01T00:00:00Z"), &time));
}

static void zones_have_names_and_no_paths(void **state)
{
    (void)state;
    static const char *const names[] = {"Europe/Nowhere", "", "/etc/localtime", "../../etc/passwd"};
    for (size_t i = 0; i < array_length(names); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        assert_null(time_zone_load(names[i], &error));
    }
    assert_null(time_zone_parse("TZif2", 5));
    cleanup(free_char)
    char *zone = cron_schedule_zone("CRON_TZ=Europe/Berlin 7 * * * *");
    assert_string_equal(zone, "Europe/Berlin");
    assert_null(cron_schedule_zone("7 * * * *"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_field_has_its_values),
        cmocka_unit_test(a_star_is_any_day_but_not_with_a_step),
        cmocka_unit_test(a_step_behind_one_value_runs_to_the_end),
        cmocka_unit_test(words_stand_for_fields),
        cmocka_unit_test(an_interval_has_whole_seconds),
        cmocka_unit_test(a_zone_before_it_is_skipped),
        cmocka_unit_test(times_follow_each_other),
        cmocka_unit_test(a_zone_shifts_them),
        cmocka_unit_test(what_a_change_of_the_clocks_skips_is_skipped_and_what_it_repeats_repeated),
        cmocka_unit_test(a_day_that_never_comes_has_no_time),
        cmocka_unit_test(zones_have_names_and_no_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

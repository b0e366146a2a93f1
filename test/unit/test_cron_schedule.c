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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_field_has_its_values),
        cmocka_unit_test(a_star_is_any_day_but_not_with_a_step),
        cmocka_unit_test(a_step_behind_one_value_runs_to_the_end),
        cmocka_unit_test(words_stand_for_fields),
        cmocka_unit_test(an_interval_has_whole_seconds),
        cmocka_unit_test(a_zone_before_it_is_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

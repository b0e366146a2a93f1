// SPDX-License-Identifier: Apache-2.0
/* What keeps a controller from acting on a view that does not show what it did. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/expectations.h"

static void release(struct expectations **expectations)
{
    expectations_free(*expectations);
}

static void creations_are_waited_for_one_by_one(void **state)
{
    (void)state;
    cleanup(release)
    struct expectations *expectations = expectations_new();
    assert_int_equal(expectations_wait_ms(expectations, "k"), 0);
    expectations_expect_creations(expectations, "k", 2);
    assert_int_not_equal(expectations_wait_ms(expectations, "k"), 0);
    assert_int_equal(expectations_wait_ms(expectations, "other"), 0);
    expectations_saw_creation(expectations, "k");
    assert_int_not_equal(expectations_wait_ms(expectations, "k"), 0);
    expectations_saw_creation(expectations, "k");
    assert_int_equal(expectations_wait_ms(expectations, "k"), 0);
    expectations_saw_creation(expectations, "k"); /* One that nobody expected. */
    expectations_expect_creations(expectations, "k", 1);
    assert_int_not_equal(expectations_wait_ms(expectations, "k"), 0);
}

static void deletions_are_told_apart(void **state)
{
    (void)state;
    cleanup(release)
    struct expectations *expectations = expectations_new();
    expectations_expect_deletion(expectations, "k", "a");
    expectations_expect_deletion(expectations, "k", "b");
    expectations_saw_deletion(expectations, "k", "a");
    expectations_saw_deletion(expectations, "k", "a");
    assert_int_not_equal(expectations_wait_ms(expectations, "k"), 0);
    expectations_saw_deletion(expectations, "k", "b");
    assert_int_equal(expectations_wait_ms(expectations, "k"), 0);
}

static void what_is_in_doubt_is_given_up_after_its_time(void **state)
{
    (void)state;
    cleanup(release)
    struct expectations *expectations = expectations_new();
    int64_t start = timestamp_monotonic();
    expectations_expect_creations(expectations, "k", 1);
    expectations_doubt(expectations, "k", 20);
    assert_in_range(expectations_wait_ms(expectations, "k"), 1, 20);
    while (expectations_wait_ms(expectations, "k") > 0) {
    }
    assert_true(timestamp_monotonic() - start >= 20 * INT64_C(1000000));
}

static void what_is_forgotten_is_not_waited_for(void **state)
{
    (void)state;
    cleanup(release)
    struct expectations *expectations = expectations_new();
    expectations_expect_creations(expectations, "k", 5);
    expectations_forget(expectations, "k");
    assert_int_equal(expectations_wait_ms(expectations, "k"), 0);
}

static void a_batch_that_went_well_is_remembered_beyond_what_was_expected(void **state)
{
    (void)state;
    cleanup(release)
    struct expectations *expectations = expectations_new();
    assert_int_equal(expectations_batch(expectations, "k"), 1);
    expectations_expect_creations(expectations, "k", 1);
    expectations_set_batch(expectations, "k", 64);
    expectations_saw_creation(expectations, "k");
    assert_int_equal(expectations_wait_ms(expectations, "k"), 0);
    assert_int_equal(expectations_wait_ms(expectations, "k"), 0);
    assert_int_equal(expectations_batch(expectations, "k"), 64);
    assert_int_equal(expectations_batch(expectations, "other"), 1);
    expectations_set_batch(expectations, "k", 0);
    assert_int_equal(expectations_batch(expectations, "k"), 1);
}

/* What is given up because its time has passed is not waited for later, either. */
static void a_remembered_batch_keeps_nothing_else(void **state)
{
    (void)state;
    cleanup(release)
    struct expectations *expectations = expectations_new();
    expectations_set_batch(expectations, "k", 64);
    expectations_expect_creations(expectations, "k", 2);
    expectations_expect_deletion(expectations, "k", "uid");
    expectations_doubt(expectations, "k", 0);
    assert_int_equal(expectations_wait_ms(expectations, "k"), 0);
    expectations_expect_creations(expectations, "k", 1);
    expectations_saw_creation(expectations, "k");
    assert_int_equal(expectations_wait_ms(expectations, "k"), 0);
    assert_false(expectations_expects_deletion(expectations, "k", "uid"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creations_are_waited_for_one_by_one),
        cmocka_unit_test(deletions_are_told_apart),
        cmocka_unit_test(what_is_in_doubt_is_given_up_after_its_time),
        cmocka_unit_test(what_is_forgotten_is_not_waited_for),
        cmocka_unit_test(a_batch_that_went_well_is_remembered_beyond_what_was_expected),
        cmocka_unit_test(a_remembered_batch_keeps_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

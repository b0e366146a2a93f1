// SPDX-License-Identifier: Apache-2.0
/* How endpoints are laid out in slices, and how slices are compared with what they are to hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "controllers/endpointslice_plan.h"

enum { many = 1000 };

/* Endpoints first … first + count - 1, all as they should be. */
static struct endpoint_hash *endpoints(uint64_t first, size_t count)
{
    static struct endpoint_hash pool[20][many];
    static size_t at;
    struct endpoint_hash *list = pool[at++ % array_length(pool)];
    assert_true(count <= many);
    for (size_t i = 0; i < count; i++) {
        list[i] = (struct endpoint_hash){first + i, 1};
    }
    return list;
}

static const struct slice_change *change_of(const struct slice_plan *plan, size_t slice)
{
    for (size_t i = 0; i < plan->change_count; i++) {
        if (plan->changes[i].slice == slice) {
            return &plan->changes[i];
        }
    }
    return NULL;
}

static void new_endpoints_fill_new_slices(void **state)
{
    (void)state;
    cleanup(slice_plan_free)
    struct slice_plan plan = SLICE_PLAN_INIT;
    slice_plan_make(&plan, NULL, 0, endpoints(1, 250), 250, 100);
    assert_int_equal(plan.change_count, 3);
    assert_int_equal(plan.deletion_count, 0);
    size_t total = 0;
    for (size_t i = 0; i < plan.change_count; i++) {
        assert_true(plan.changes[i].slice == SLICE_NEW);
        total += plan.changes[i].count;
    }
    assert_int_equal(plan.changes[0].count, 100);
    assert_int_equal(total, 250);
}

static void what_is_right_is_not_written(void **state)
{
    (void)state;
    cleanup(slice_plan_free)
    struct slice_plan plan = SLICE_PLAN_INIT;
    const struct slice_seen seen[] = {{endpoints(1, 60), 60, false},
                                      {endpoints(61, 40), 40, false}};
    slice_plan_make(&plan, seen, 2, endpoints(1, 100), 100, 100);
    assert_int_equal(plan.change_count, 0);
    assert_int_equal(plan.deletion_count, 0);
}

static void a_changed_endpoint_rewrites_its_slice_alone(void **state)
{
    (void)state;
    cleanup(slice_plan_free)
    struct slice_plan plan = SLICE_PLAN_INIT;
    const struct slice_seen seen[] = {{endpoints(1, 100), 100, false},
                                      {endpoints(101, 100), 100, false}};
    struct endpoint_hash *wished = endpoints(1, 200);
    wished[150].content = 2;
    slice_plan_make(&plan, seen, 2, wished, 200, 100);
    assert_int_equal(plan.change_count, 1);
    assert_int_equal(plan.changes[0].slice, 1);
    assert_int_equal(plan.changes[0].count, 100);
}

static void a_slice_that_is_written_anyhow_takes_in_new_endpoints(void **state)
{
    (void)state;
    cleanup(slice_plan_free)
    struct slice_plan plan = SLICE_PLAN_INIT;
    /* The first loses endpoint 1; the second would have room, too. */
    const struct slice_seen seen[] = {{endpoints(1, 50), 50, false},
                                      {endpoints(51, 90), 90, false}};
    slice_plan_make(&plan, seen, 2, endpoints(2, 144), 144, 100);
    assert_int_equal(plan.change_count, 1);
    assert_int_equal(plan.changes[0].slice, 0);
    assert_int_equal(plan.changes[0].count, 54);
}

static void the_rest_goes_into_the_fullest_slice_with_room_for_all_of_it(void **state)
{
    (void)state;
    cleanup(slice_plan_free)
    struct slice_plan plan = SLICE_PLAN_INIT;
    const struct slice_seen seen[] = {{endpoints(1, 10), 10, false},
                                      {endpoints(11, 80), 80, false},
                                      {endpoints(91, 95), 95, false}};
    slice_plan_make(&plan, seen, 3, endpoints(1, 195), 195, 100);
    assert_int_equal(plan.change_count, 1);
    assert_int_equal(plan.changes[0].slice, 1);
    assert_int_equal(plan.changes[0].count, 90);
}

static void the_rest_is_not_spread_over_several_slices(void **state)
{
    (void)state;
    cleanup(slice_plan_free)
    struct slice_plan plan = SLICE_PLAN_INIT;
    const struct slice_seen seen[] = {{endpoints(1, 80), 80, false},
                                      {endpoints(81, 80), 80, false}};
    slice_plan_make(&plan, seen, 2, endpoints(1, 190), 190, 100);
    assert_int_equal(plan.change_count, 1);
    assert_true(plan.changes[0].slice == SLICE_NEW);
    assert_int_equal(plan.changes[0].count, 30);
}

static void a_slice_that_lost_all_its_endpoints_is_deleted(void **state)
{
    (void)state;
    cleanup(slice_plan_free)
    struct slice_plan plan = SLICE_PLAN_INIT;
    const struct slice_seen seen[] = {{endpoints(1, 3), 3, false}, {endpoints(4, 3), 3, false}};
    slice_plan_make(&plan, seen, 2, endpoints(4, 3), 3, 100);
    assert_int_equal(plan.change_count, 0);
    assert_int_equal(plan.deletion_count, 1);
    assert_int_equal(plan.deletions[0], 0);
}

static void wrong_labels_rewrite_a_slice_as_it_is(void **state)
{
    (void)state;
    cleanup(slice_plan_free)
    struct slice_plan plan = SLICE_PLAN_INIT;
    const struct slice_seen seen[] = {{endpoints(1, 3), 3, true}};
    slice_plan_make(&plan, seen, 1, endpoints(1, 3), 3, 100);
    assert_int_equal(plan.change_count, 1);
    assert_int_equal(plan.changes[0].count, 3);
}

static void an_endpoint_stands_in_one_slice_only(void **state)
{
    (void)state;
    cleanup(slice_plan_free)
    struct slice_plan plan = SLICE_PLAN_INIT;
    const struct slice_seen seen[] = {{endpoints(1, 3), 3, false}, {endpoints(3, 3), 3, false}};
    slice_plan_make(&plan, seen, 2, endpoints(1, 5), 5, 100);
    assert_int_equal(plan.change_count, 1);
    const struct slice_change *change = change_of(&plan, 1);
    assert_non_null(change);
    assert_int_equal(change->count, 2);
}

static void each_endpoint_is_placed_exactly_once(void **state)
{
    (void)state;
    cleanup(slice_plan_free)
    struct slice_plan plan = SLICE_PLAN_INIT;
    const struct slice_seen seen[] = {{endpoints(1, 100), 100, false},
                                      {endpoints(500, 70), 70, false},
                                      {endpoints(101, 100), 100, false}};
    slice_plan_make(&plan, seen, 3, endpoints(51, 400), 400, 100);
    unsigned char times[400] = {0};
    for (size_t i = 100; i < 200; i++) {
        times[i - 50]++; /* The third is right and stays. */
    }
    for (size_t i = 0; i < plan.change_count; i++) {
        assert_true(plan.changes[i].count <= 100);
        assert_false(plan.changes[i].slice == 2);
        for (size_t n = 0; n < plan.changes[i].count; n++) {
            times[plan.changes[i].members[n]]++;
        }
    }
    for (size_t i = 0; i < 400; i++) {
        assert_int_equal(times[i], 1);
    }
    assert_int_equal(plan.deletion_count, 1);
    assert_int_equal(plan.deletions[0], 1);
}

static const struct endpoint some_endpoint = {
    .address = "10.0.0.1",
    .hostname = "h",
    .node = "n1",
    .zone = "a",
    .pod_namespace = "default",
    .pod_name = "web-1",
    .pod_uid = "1-2-3",
    .hint_zone = "a",
    .hint_node = "",
    .is_ready = true,
    .is_serving = true,
};

static void an_endpoint_read_back_is_the_same(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *json = endpoint_json(&some_endpoint);
    struct endpoint_hash made = endpoint_hash(&some_endpoint);
    struct endpoint_hash read = endpoint_hash_of_json(json);
    assert_true(made.identity == read.identity);
    assert_true(made.content == read.content);
}

static void readiness_changes_the_content_and_not_the_identity(void **state)
{
    (void)state;
    struct endpoint other = some_endpoint;
    other.is_ready = false;
    assert_true(endpoint_hash(&other).identity == endpoint_hash(&some_endpoint).identity);
    assert_false(endpoint_hash(&other).content == endpoint_hash(&some_endpoint).content);
    other = some_endpoint;
    other.pod_name = "web-2";
    assert_false(endpoint_hash(&other).identity == endpoint_hash(&some_endpoint).identity);
}

static void an_endpoint_with_something_foreign_is_rewritten(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *json = endpoint_json(&some_endpoint);
    json_array_append_new(json_object_get(json, "addresses"), json_string("10.0.0.2"));
    assert_true(endpoint_hash_of_json(json).content == 0);
}

static void the_order_of_ports_does_not_matter(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *a = json_pack("[{s:s, s:i, s:s}, {s:s, s:i, s:s}]", "name", "x", "port", 1, "protocol",
                          "TCP", "name", "y", "port", 2, "protocol", "TCP");
    cleanup(json_release)
    json_t *b = json_pack("[{s:s, s:i, s:s}, {s:s, s:i, s:s}]", "name", "y", "port", 2, "protocol",
                          "TCP", "name", "x", "port", 1, "protocol", "TCP");
    assert_true(endpoint_ports_hash(a) == endpoint_ports_hash(b));
    json_object_set_new(json_array_get(b, 0), "port", json_integer(3));
    assert_false(endpoint_ports_hash(a) == endpoint_ports_hash(b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_endpoints_fill_new_slices),
        cmocka_unit_test(what_is_right_is_not_written),
        cmocka_unit_test(a_changed_endpoint_rewrites_its_slice_alone),
        cmocka_unit_test(a_slice_that_is_written_anyhow_takes_in_new_endpoints),
        cmocka_unit_test(the_rest_goes_into_the_fullest_slice_with_room_for_all_of_it),
        cmocka_unit_test(the_rest_is_not_spread_over_several_slices),
        cmocka_unit_test(a_slice_that_lost_all_its_endpoints_is_deleted),
        cmocka_unit_test(wrong_labels_rewrite_a_slice_as_it_is),
        cmocka_unit_test(an_endpoint_stands_in_one_slice_only),
        cmocka_unit_test(each_endpoint_is_placed_exactly_once),
        cmocka_unit_test(an_endpoint_read_back_is_the_same),
        cmocka_unit_test(readiness_changes_the_content_and_not_the_identity),
        cmocka_unit_test(an_endpoint_with_something_foreign_is_rewritten),
        cmocka_unit_test(the_order_of_ports_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

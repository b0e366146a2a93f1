// SPDX-License-Identifier: Apache-2.0
/* What a pod asks for, in the scheduler's integers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "scheduler/resource_amounts.h"

#define REQUESTS(list) "{\"resources\":{\"requests\":{" list "}}}"
#define CPU(amount) REQUESTS("\"cpu\":\"" amount "\"")
#define MEMORY(amount) REQUESTS("\"memory\":\"" amount "\"")
#define STORAGE REQUESTS("\"cpu\":\"1\",\"memory\":\"1M\",\"ephemeral-storage\":\"2k\"")
#define HUGE REQUESTS("\"cpu\":\"9E\",\"memory\":\"8E\",\"x/y\":\"9E\"")
#define SIDECAR(list) "{\"restartPolicy\":\"Always\",\"resources\":{\"requests\":{" list "}}}"

struct asked {
    struct resource_amounts amounts, assumed;
};

/* For cleanup(). */
static void clear(struct asked *asked)
{
    resource_amounts_clear(&asked->amounts);
    resource_amounts_clear(&asked->assumed);
}

/* What a pod with these containers, init containers and further members of its spec asks for. */
static struct asked ask(const char *containers, const char *init_containers, const char *more)
{
    struct asked asked = {RESOURCE_AMOUNTS_INIT, RESOURCE_AMOUNTS_INIT};
    cleanup(free_char)
    char *spec = format("{\"containers\":[%s],\"initContainers\":[%s]%s}", containers,
                        init_containers, more);
    cleanup(json_release)
    json_t *tree = json_parse(spec, strlen(spec), NULL);
    assert_non_null(tree);
    resource_amounts_of_pod(tree, &asked.amounts, &asked.assumed);
    return asked;
}

static void containers_add_up(void **state)
{
    (void)state;
    cleanup(clear)
    struct asked asked = ask(REQUESTS("\"cpu\":\"250m\",\"memory\":\"1Gi\"") "," STORAGE, "", "");
    assert_int_equal(asked.amounts.milli_cpu, 1250);
    assert_int_equal(asked.amounts.memory, (INT64_C(1) << 30) + 1000000);
    assert_int_equal(asked.amounts.ephemeral_storage, 2000);
    assert_int_equal(asked.amounts.extended_count, 0);
}

static void parts_of_a_unit_round_up(void **state)
{
    (void)state;
    cleanup(clear)
    struct asked asked = ask(REQUESTS("\"cpu\":\"100u\",\"memory\":\"1500m\""), "", "");
    assert_int_equal(asked.amounts.milli_cpu, 1);
    assert_int_equal(asked.amounts.memory, 2);
}

static void the_larger_of_init_containers_and_containers_counts(void **state)
{
    (void)state;
    cleanup(clear)
    struct asked asked =
        ask(REQUESTS("\"cpu\":\"1\",\"memory\":\"1k\""), CPU("3") "," MEMORY("5k"), "");
    assert_int_equal(asked.amounts.milli_cpu, 3000);
    assert_int_equal(asked.amounts.memory, 5000);
}

static void sidecars_add_to_what_runs_beside_and_after_them(void **state)
{
    (void)state;
    cleanup(clear)
    struct asked asked = ask(CPU("1"), CPU("4") "," SIDECAR("\"cpu\":\"2\"") "," CPU("3"), "");
    assert_int_equal(asked.amounts.milli_cpu, 5000); /* The last one beside the sidecar. */
    cleanup(clear)
    struct asked running = ask(CPU("2"), SIDECAR("\"cpu\":\"2\""), "");
    assert_int_equal(running.amounts.milli_cpu, 4000);
}

static void overhead_is_added_to_all(void **state)
{
    (void)state;
    cleanup(clear)
    struct asked asked = ask(CPU("1"), CPU("2"), ",\"overhead\":{\"cpu\":\"250m\"}");
    assert_int_equal(asked.amounts.milli_cpu, 2250);
}

static void what_is_given_for_the_pod_stands_above_its_containers(void **state)
{
    (void)state;
    cleanup(clear)
    struct asked asked =
        ask(REQUESTS("\"cpu\":\"1\",\"memory\":\"7k\""), "",
            ",\"resources\":{\"requests\":{\"cpu\":\"3\"}},\"overhead\":{\"cpu\":\"1\"}");
    assert_int_equal(asked.amounts.milli_cpu, 4000);
    assert_int_equal(asked.amounts.memory, 7000);
}

static void extended_resources_are_known_by_name(void **state)
{
    (void)state;
    cleanup(clear)
    struct asked asked =
        ask(REQUESTS("\"x/gpu\":\"2\"") "," REQUESTS("\"x/gpu\":\"1\",\"hugepages-2Mi\":\"4Mi\""),
            "", "");
    uint32_t gpu = resource_names_find("x/gpu");
    assert_string_equal(resource_names_text(gpu), "x/gpu");
    assert_int_equal(resource_names_find("x/gpu"), gpu);
    assert_int_equal(resource_amounts_extended(&asked.amounts, gpu), 3);
    assert_int_equal(
        resource_amounts_extended(&asked.amounts, resource_names_find("hugepages-2Mi")), 4 << 20);
    assert_int_equal(resource_amounts_extended(&asked.amounts, resource_names_find("x/none")), 0);
}

static void who_asks_for_nothing_is_assumed_to_need_a_little(void **state)
{
    (void)state;
    cleanup(clear)
    struct asked asked = ask("{}," CPU("1") "," MEMORY("0"), "", "");
    assert_int_equal(asked.amounts.milli_cpu, 1000);
    assert_int_equal(asked.amounts.memory, 0);
    assert_int_equal(asked.assumed.milli_cpu, 1200);
    assert_int_equal(asked.assumed.memory, 400 << 20); /* Nothing is something that was said. */
}

static void amounts_beyond_all_measure_do_not_overflow(void **state)
{
    (void)state;
    cleanup(clear)
    struct asked asked = ask(HUGE "," HUGE, "", ",\"overhead\":{\"memory\":\"9E\"}");
    assert_true(asked.amounts.memory == RESOURCE_AMOUNT_MAX);
    assert_true(asked.amounts.milli_cpu == RESOURCE_AMOUNT_MAX);
    assert_true(resource_amounts_extended(&asked.amounts, resource_names_find("x/y")) ==
                RESOURCE_AMOUNT_MAX);
}

static void what_was_added_can_be_taken_off(void **state)
{
    (void)state;
    cleanup(clear)
    struct asked asked = ask(REQUESTS("\"cpu\":\"1\",\"memory\":\"2\",\"x/y\":\"3\""), "", "");
    struct resource_amounts sum = RESOURCE_AMOUNTS_INIT;
    resource_amounts_add(&sum, &asked.amounts, 1);
    resource_amounts_add(&sum, &asked.amounts, 1);
    resource_amounts_add(&sum, &asked.amounts, -1);
    assert_int_equal(sum.milli_cpu, 1000);
    assert_int_equal(sum.memory, 2);
    assert_int_equal(resource_amounts_extended(&sum, resource_names_find("x/y")), 3);
    resource_amounts_clear(&sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(containers_add_up),
        cmocka_unit_test(parts_of_a_unit_round_up),
        cmocka_unit_test(the_larger_of_init_containers_and_containers_counts),
        cmocka_unit_test(sidecars_add_to_what_runs_beside_and_after_them),
        cmocka_unit_test(overhead_is_added_to_all),
        cmocka_unit_test(what_is_given_for_the_pod_stands_above_its_containers),
        cmocka_unit_test(extended_resources_are_known_by_name),
        cmocka_unit_test(who_asks_for_nothing_is_assumed_to_need_a_little),
        cmocka_unit_test(amounts_beyond_all_measure_do_not_overflow),
        cmocka_unit_test(what_was_added_can_be_taken_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

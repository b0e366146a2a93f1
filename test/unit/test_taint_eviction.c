// SPDX-License-Identifier: Apache-2.0
/* How long pods may stay on tainted nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/taint_eviction.h"

static json_t *parse(const char *text)
{
    json_t *json = json_parse(text, strlen(text), NULL);
    assert_non_null(json);
    return json;
}

static int64_t delay(const char *tolerations, const char *taints)
{
    cleanup(json_release)
    json_t *tolerated = tolerations != NULL ? parse(tolerations) : NULL;
    cleanup(json_release)
    json_t *list = parse(taints);
    return taint_eviction_delay(tolerated, list);
}

#define NO_EXECUTE(key) "{\"key\":\"" key "\",\"effect\":\"NoExecute\"}"
#define FOR_SECONDS(key, seconds)                                                                  \
    "{\"key\":\"" key "\",\"operator\":\"Exists\",\"effect\":\"NoExecute\","                       \
    "\"tolerationSeconds\":" seconds "}"

static void without_taints_that_execute_a_pod_stays(void **state)
{
    (void)state;
    assert_int_equal(delay(NULL, "[]"), TAINT_EVICTION_NEVER);
    assert_int_equal(delay(NULL, "[{\"key\":\"a\",\"effect\":\"NoSchedule\"}]"),
                     TAINT_EVICTION_NEVER);
}

static void one_taint_that_is_not_tolerated_means_now(void **state)
{
    (void)state;
    assert_int_equal(delay(NULL, "[" NO_EXECUTE("a") "]"), 0);
    assert_int_equal(
        delay("[" FOR_SECONDS("a", "300") "]", "[" NO_EXECUTE("a") "," NO_EXECUTE("b") "]"), 0);
}

static void the_least_time_counts(void **state)
{
    (void)state;
    assert_int_equal(delay("[" FOR_SECONDS("a", "300") "," FOR_SECONDS("b", "60") "]",
                           "[" NO_EXECUTE("a") "," NO_EXECUTE("b") "]"),
                     60);
    assert_int_equal(delay("[" FOR_SECONDS("a", "300") ",{\"key\":\"b\",\"operator\":\"Exists\"}]",
                           "[" NO_EXECUTE("a") "," NO_EXECUTE("b") "]"),
                     300);
}

static void a_toleration_that_no_taint_needs_does_not_count(void **state)
{
    (void)state;
    assert_int_equal(
        delay("[" FOR_SECONDS("a", "300") "," FOR_SECONDS("b", "60") "]", "[" NO_EXECUTE("a") "]"),
        300);
}

static void a_time_of_zero_or_less_means_now(void **state)
{
    (void)state;
    assert_int_equal(delay("[" FOR_SECONDS("a", "0") "]", "[" NO_EXECUTE("a") "]"), 0);
    assert_int_equal(delay("[" FOR_SECONDS("a", "-5") "]", "[" NO_EXECUTE("a") "]"), 0);
}

static void who_tolerates_all_for_ever_stays(void **state)
{
    (void)state;
    assert_int_equal(
        delay("[{\"operator\":\"Exists\"}]", "[" NO_EXECUTE("a") "," NO_EXECUTE("b") "]"),
        TAINT_EVICTION_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_taints_that_execute_a_pod_stays),
        cmocka_unit_test(one_taint_that_is_not_tolerated_means_now),
        cmocka_unit_test(the_least_time_counts),
        cmocka_unit_test(a_toleration_that_no_taint_needs_does_not_count),
        cmocka_unit_test(a_time_of_zero_or_less_means_now),
        cmocka_unit_test(who_tolerates_all_for_ever_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

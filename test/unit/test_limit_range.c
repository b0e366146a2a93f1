// SPDX-License-Identifier: Apache-2.0
/* What a LimitRange gives and forbids, and what a pod asks for in all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/admission/limit_range.h"
#include "common/alloc.h"
#include "common/amounts.h"
#include "common/json.h"

static json_t *parse(const char *text)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    json_t *tree = json_parse(text, strlen(text), &error);
    if (tree == NULL) {
        fail_msg("%s: %s", text, error.message);
    }
    return tree;
}

static void a_pod_asks_for_its_peak(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *requests;
    } cases[] = {
        {"{}", "{}"},
        {"{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\"}}},"
         "{\"resources\":{\"requests\":{\"cpu\":\"500m\",\"memory\":\"1Gi\"}}}]}",
         "{\"cpu\":\"1500m\",\"memory\":\"1Gi\"}"},
        {"{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\"}}}],"
         "\"initContainers\":[{\"resources\":{\"requests\":{\"cpu\":\"3\"}}}]}",
         "{\"cpu\":\"3\"}"},
        /* The init container runs beside the sidecar before it, not beside the one after it. */
        {"{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\"}}}],\"initContainers\":["
         "{\"restartPolicy\":\"Always\",\"resources\":{\"requests\":{\"cpu\":\"1\"}}},"
         "{\"resources\":{\"requests\":{\"cpu\":\"3\"}}},"
         "{\"restartPolicy\":\"Always\",\"resources\":{\"requests\":{\"cpu\":\"1\"}}}]}",
         "{\"cpu\":\"4\"}"},
        {"{\"resources\":{\"requests\":{\"cpu\":\"7\"}},"
         "\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\",\"memory\":\"1Gi\"}}}]}",
         "{\"cpu\":\"7\",\"memory\":\"1Gi\"}"},
        {"{\"overhead\":{\"cpu\":\"250m\"},"
         "\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\"}}}]}",
         "{\"cpu\":\"1250m\"}"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *spec = parse(cases[i].spec);
        cleanup(amounts_clear)
        struct amounts amounts = AMOUNTS_INIT;
        amounts_of_pod_with_overhead(spec, "requests", &amounts);
        cleanup(json_release)
        json_t *tree = amounts_tree(&amounts);
        cleanup(free_char)
        char *text = json_text(tree);
        assert_string_equal(text, cases[i].requests);
    }
}

static void defaults_fill_what_is_missing(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *range =
        parse("{\"spec\":{\"limits\":[{\"type\":\"Pod\",\"default\":{\"memory\":\"1\"}},"
              "{\"type\":\"Container\",\"default\":{\"cpu\":\"2\"},"
              "\"defaultRequest\":{\"cpu\":\"1\",\"a\":\"1\"}}]}}");
    cleanup(json_release)
    json_t *pod = parse("{\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":"
                        "{\"limits\":{\"cpu\":\"3\"}}}]}}");
    limit_range_apply(range, pod);
    cleanup(free_char)
    char *text = json_text(pod);
    assert_string_equal(text,
                        "{\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":"
                        "{\"cpu\":\"3\"},\"requests\":{\"cpu\":\"1\",\"a\":\"1\"}}}]},"
                        "\"metadata\":{\"annotations\":{\"kubernetes.io/limit-ranger\":"
                        "\"LimitRanger plugin set: a, cpu request for container c\"}}}");
}

/* One limit, the resources of the one container, and what is said of it. */
static void each_limit_has_its_sentence(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"\"min\":{\"cpu\":\"1\"}", "{}",
         "minimum cpu usage per Container is 1.  No request is specified"},
        {"\"min\":{\"cpu\":\"1\"}", "{\"requests\":{\"cpu\":\"999m\"}}",
         "minimum cpu usage per Container is 1, but request is 999m"},
        {"\"min\":{\"cpu\":\"1\"}", "{\"requests\":{\"cpu\":\"1\"},\"limits\":{\"cpu\":\"100m\"}}",
         "minimum cpu usage per Container is 1, but limit is 100m"},
        {"\"min\":{\"cpu\":\"1\"}", "{\"requests\":{\"cpu\":\"1\"}}", NULL},
        {"\"max\":{\"cpu\":\"1\"}", "{\"requests\":{\"cpu\":\"1\"}}",
         "maximum cpu usage per Container is 1.  No limit is specified"},
        {"\"max\":{\"cpu\":\"1\"}", "{\"limits\":{\"cpu\":\"2\"}}",
         "maximum cpu usage per Container is 1, but limit is 2"},
        {"\"max\":{\"cpu\":\"1\"}", "{\"requests\":{\"cpu\":\"2\"},\"limits\":{\"cpu\":\"1\"}}",
         "maximum cpu usage per Container is 1, but request is 2"},
        {"\"maxLimitRequestRatio\":{\"cpu\":\"2\"}", "{\"limits\":{\"cpu\":\"1\"}}",
         "cpu max limit to request ratio per Container is 2, but no request is specified or "
         "request "
         "is 0"},
        {"\"maxLimitRequestRatio\":{\"cpu\":\"2\"}", "{\"requests\":{\"cpu\":\"1\"}}",
         "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is "
         "0"},
        {"\"maxLimitRequestRatio\":{\"cpu\":\"1500m\"}",
         "{\"requests\":{\"cpu\":\"1\"},\"limits\":{\"cpu\":\"2\"}}",
         "cpu max limit to request ratio per Container is 1500m, but provided ratio is 2.000000"},
        {"\"maxLimitRequestRatio\":{\"cpu\":\"2\"}",
         "{\"requests\":{\"cpu\":\"1\"},\"limits\":{\"cpu\":\"2\"}}", NULL},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(free_char)
        char *range_text =
            format("{\"spec\":{\"limits\":[{\"type\":\"Container\",%s}]}}", cases[i][0]);
        cleanup(free_char)
        char *pod_text = format("{\"spec\":{\"containers\":[{\"resources\":%s}]}}", cases[i][1]);
        cleanup(json_release)
        json_t *range = parse(range_text);
        cleanup(json_release)
        json_t *pod = parse(pod_text);
        cleanup(free_char)
        char *why = limit_range_refuse_pod(range, pod);
        assert_string_equal(why ? why : "fine", cases[i][2] ? cases[i][2] : "fine");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_asks_for_its_peak),
        cmocka_unit_test(defaults_fill_what_is_missing),
        cmocka_unit_test(each_limit_has_its_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

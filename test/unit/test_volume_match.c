// SPDX-License-Identifier: Apache-2.0
/* Which of some volumes a claim gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/volume_match.h"

/* Members of the volume's spec, and of the whole. */
#define VOLUME(size, more, whole)                                                                  \
    "{\"metadata\":{},\"spec\":{\"capacity\":{\"storage\":\"" size                                 \
    "\"},\"accessModes\":[\"ReadWriteOnce\"]" more "},\"status\":{\"phase\":\"Available\"}" whole  \
    "}"
#define CLAIM(more)                                                                                \
    "{\"metadata\":{\"namespace\":\"n\",\"name\":\"c\",\"uid\":\"u\"},\"spec\":{"                  \
    "\"accessModes\":[\"ReadWriteOnce\"],"                                                         \
    "\"resources\":{\"requests\":{\"storage\":\"2Gi\"}}" more "}}"
#define FOR(namespace, name, uid)                                                                  \
    ",\"claimRef\":{\"namespace\":\"" namespace "\",\"name\":\"" name "\"" uid "}"

enum { none = -1 };

static void the_smallest_that_suits_is_chosen(void **state)
{
    (void)state;
    static const struct {
        const char *claim;
        bool may_choose;
        const char *volumes[3];
        int chosen;
    } cases[] = {
        {CLAIM(""), true, {VOLUME("1Gi", "", ""), VOLUME("9Gi", "", ""), VOLUME("3Gi", "", "")}, 2},
        {CLAIM(""), true, {VOLUME("1Gi", "", "")}, none},
        {CLAIM(""), true, {VOLUME("2147483648", "", "")}, 0},
        {CLAIM(""), false, {VOLUME("3Gi", "", "")}, none},
        {CLAIM(""), false, {VOLUME("3Gi", "", ""), VOLUME("9Gi", FOR("n", "c", ""), "")}, 1},
        {CLAIM(""), true, {VOLUME("3Gi", "", ""), VOLUME("9Gi", FOR("n", "c", ""), "")}, 1},
        {CLAIM(""), true, {VOLUME("3Gi", FOR("n", "d", ""), "")}, none},
        {CLAIM(""), true, {VOLUME("3Gi", FOR("m", "c", ""), "")}, none},
        {CLAIM(""), true, {VOLUME("3Gi", FOR("n", "c", ",\"uid\":\"other\""), "")}, none},
        {CLAIM(""), true, {VOLUME("3Gi", FOR("n", "c", ",\"uid\":\"u\""), "")}, 0},
        {CLAIM(""), true, {VOLUME("1Gi", FOR("n", "c", ""), "")}, none},
        {CLAIM(""), true, {VOLUME("3Gi", ",\"storageClassName\":\"x\"", "")}, none},
        {CLAIM(",\"storageClassName\":\"x\""),
         true,
         {VOLUME("3Gi", "", ""), VOLUME("3Gi", ",\"storageClassName\":\"x\"", "")},
         1},
        {CLAIM(",\"volumeMode\":\"Block\""),
         true,
         {VOLUME("3Gi", "", ""), VOLUME("3Gi", ",\"volumeMode\":\"Block\"", "")},
         1},
        {CLAIM(",\"selector\":{\"matchLabels\":{\"a\":\"b\"}}"),
         true,
         {VOLUME("3Gi", "", ""), VOLUME("9Gi", "", ",\"metadata\":{\"labels\":{\"a\":\"b\"}}")},
         1},
        {CLAIM(""), true, {VOLUME("3Gi", "", ",\"status\":{\"phase\":\"Released\"}")}, none},
        {CLAIM(""),
         true,
         {VOLUME("3Gi", "", ",\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}")},
         none},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *claim = json_loads(cases[i].claim, 0, NULL);
        assert_non_null(claim);
        json_t *volumes[3];
        size_t count = 0;
        for (; count < 3 && cases[i].volumes[count] != NULL; count++) {
            volumes[count] = json_loads(cases[i].volumes[count], 0, NULL);
            assert_non_null(volumes[count]);
        }
        size_t best = volume_find_best(volumes, count, claim, cases[i].may_choose);
        assert_int_equal(best < count ? (int)best : none, cases[i].chosen);
        while (count > 0) {
            json_decref(volumes[--count]);
        }
    }
}

static void a_volume_asked_for_by_name_may_not_do(void **state)
{
    (void)state;
    static const struct {
        const char *volume, *claim, *why;
    } cases[] = {
        {VOLUME("2Gi", "", ""), CLAIM(""), NULL},
        {VOLUME("1Gi", "", ""), CLAIM(""), "requested PV is too small"},
        {VOLUME("2Gi", ",\"storageClassName\":\"x\"", ""), CLAIM(""),
         "storageClassName does not match"},
        {VOLUME("2Gi", ",\"volumeMode\":\"Block\"", ""), CLAIM(""), "incompatible volumeMode"},
        {VOLUME("2Gi", ",\"volumeAttributesClassName\":\"fast\"", ""), CLAIM(""),
         "volumeAttributesClassName does not match"},
        {VOLUME("2Gi", ",\"volumeAttributesClassName\":\"fast\"", ""),
         CLAIM(",\"volumeAttributesClassName\":\"fast\""), NULL},
        {VOLUME("2Gi", "", ",\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}"),
         CLAIM(""), "the volume is marked for deletion"},
        {VOLUME("2Gi", ",\"accessModes\":[\"ReadOnlyMany\"]", ""), CLAIM(""),
         "incompatible accessMode"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *volume = json_loads(cases[i].volume, 0, NULL);
        cleanup(json_release)
        json_t *claim = json_loads(cases[i].claim, 0, NULL);
        const char *why = volume_mismatch(volume, claim);
        if (cases[i].why == NULL) {
            assert_null(why);
        } else {
            assert_non_null(why);
            assert_string_equal(why, cases[i].why);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_that_suits_is_chosen),
        cmocka_unit_test(a_volume_asked_for_by_name_may_not_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

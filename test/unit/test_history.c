// SPDX-License-Identifier: Apache-2.0
/* Revisions: their names, their order, and which are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/history.h"

static json_t *template_of(const char *image)
{
    return json_pack("{s:{s:{s:s}}, s:{s:s}}", "metadata", "labels", "app", "web", "spec", "image",
                     image);
}

static json_t *owner_of(const char *image)
{
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:{s:s}}, s:{s:o}}", "apiVersion", "apps/v1",
                     "kind", "StatefulSet", "metadata", "name", "web", "namespace", "default",
                     "uid", "u", "annotations", "kubernetes.io/change-cause", "why", "spec",
                     "template", template_of(image));
}

static json_t *revision_of_number(const char *name, const char *image, json_int_t number)
{
    cleanup(json_release)
    json_t *from = template_of(image);
    return json_pack("{s:{s:s}, s:o, s:I}", "metadata", "name", name, "data", history_data(from),
                     "revision", number);
}

static void a_revision_brings_its_template_back(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *owner = owner_of("a");
    cleanup(json_release)
    json_t *from = template_of("a");
    cleanup(json_release)
    json_t *data = history_data(from);
    cleanup(json_release)
    json_t *revision = history_revision(owner, data, "hash", "x", 7);
    cleanup(json_release)
    json_t *back = history_template(revision);
    assert_true(json_equal(back, from));
    assert_string_equal(json_path_string(data, "spec", "template", "$patch"), "replace");
    assert_string_equal(history_name(revision), "web-x");
    assert_int_equal(history_number(revision), 7);
    assert_string_equal(json_path_string(revision, "metadata", "labels", "app"), "web");
    assert_string_equal(json_path_string(revision, "metadata", "labels", "hash"), "x");
    assert_string_equal(
        json_path_string(revision, "metadata", "annotations", "kubernetes.io/change-cause"), "why");
    assert_true(history_keeps(revision, data));
}

/* FNV-1 of the compact text with sorted members and the count behind it. */
static void a_hash_is_of_the_data_and_the_collisions(void **state)
{
    (void)state;
    char hash[TEMPLATE_HASH_SIZE], other[TEMPLATE_HASH_SIZE];
    cleanup(json_release)
    json_t *data = json_pack("{s:i, s:i}", "b", 1, "a", 2);
    cleanup(json_release)
    json_t *same = json_pack("{s:i, s:i}", "a", 2, "b", 1);
    history_hash(data, 0, hash);
    history_hash(same, 0, other);
    assert_string_equal(hash, other);
    history_hash(data, 1, other);
    assert_string_not_equal(hash, other);
    assert_int_equal(strspn(hash, "bcdfghjklmnpqrstvwxz2456789"), strlen(hash));
}

static void the_last_equal_revision_is_found(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *history =
        json_pack("[o, o, o]", revision_of_number("web-1", "a", 1),
                  revision_of_number("web-2", "a", 2), revision_of_number("web-3", "b", 4));
    cleanup(json_release)
    json_t *from = template_of("a");
    cleanup(json_release)
    json_t *data = history_data(from);
    assert_string_equal(history_name(history_find(history, data)), "web-2");
    assert_int_equal(history_next(history), 5);
    cleanup(json_release)
    json_t *empty = json_array();
    assert_int_equal(history_next(empty), 1);
    assert_null(history_find(empty, data));
}

static void the_oldest_that_nobody_needs_go(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *history = json_pack(
        "[o, o, o, o]", revision_of_number("web-1", "a", 1), revision_of_number("web-2", "b", 2),
        revision_of_number("web-3", "c", 3), revision_of_number("web-4", "d", 4));
    struct map live = MAP_INIT;
    map_set(&live, "web-1", history);
    cleanup(json_release)
    json_t *some = history_surplus(history, &live, 2);
    assert_int_equal(json_array_size(some), 1);
    assert_string_equal(history_name(json_array_get(some, 0)), "web-2");
    cleanup(json_release)
    json_t *all = history_surplus(history, &live, 0);
    assert_int_equal(json_array_size(all), 3);
    cleanup(json_release)
    json_t *none = history_surplus(history, &live, 10);
    assert_int_equal(json_array_size(none), 0);
    map_free(&live, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_revision_brings_its_template_back),
        cmocka_unit_test(a_hash_is_of_the_data_and_the_collisions),
        cmocka_unit_test(the_last_equal_revision_is_found),
        cmocka_unit_test(the_oldest_that_nobody_needs_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

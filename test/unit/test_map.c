// SPDX-License-Identifier: Apache-2.0
/* The hash map from strings to pointers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/map.h"
static void map_cleanup(struct map *map)
{
    map_free(map, NULL);
}

static void an_empty_map_holds_nothing(void **state)
{
    (void)state;
    struct map map = MAP_INIT;
    const char *key;
    void *value;
    size_t at = 0;
    assert_null(map_get(&map, "a"));
    assert_null(map_remove(&map, "a"));
    assert_false(map_next(&map, &at, &key, &value));
    map_free(&map, NULL);
}

static void a_set_value_is_found_and_a_second_one_replaces_it(void **state)
{
    (void)state;
    int first, second;
    cleanup(map_cleanup)
    struct map map = MAP_INIT;
    assert_null(map_set(&map, "a", &first));
    assert_ptr_equal(map_get(&map, "a"), &first);
    assert_ptr_equal(map_set(&map, "a", &second), &first);
    assert_ptr_equal(map_get(&map, "a"), &second);
    assert_int_equal(map.count, 1);
}

static void keys_are_copied_and_may_be_empty(void **state)
{
    (void)state;
    int value;
    char key[] = "ab";
    cleanup(map_cleanup)
    struct map map = MAP_INIT;
    map_set(&map, key, &value);
    map_set(&map, "", &value);
    key[0] = 'x';
    assert_ptr_equal(map_get(&map, "ab"), &value);
    assert_ptr_equal(map_get(&map, ""), &value);
    assert_null(map_get(&map, key));
}

static void keys_need_no_end(void **state)
{
    (void)state;
    int value;
    cleanup(map_cleanup)
    struct map map = MAP_INIT;
    map_set(&map, "ab", &value);
    assert_ptr_equal(map_get_bytes(&map, "abc", 2), &value);
    assert_null(map_get_bytes(&map, "abc", 1));
    assert_null(map_get_bytes(&map, "abc", 3));
}

static void it_behaves_as_a_list_of_pairs_would(void **state)
{
    (void)state;
    enum { keys = 500 };
    static int values[keys];
    void *expected[keys] = {0};
    size_t count = 0;
    uint64_t random = 3;
    cleanup(map_cleanup)
    struct map map = MAP_INIT;
    for (int i = 0; i < 100000; i++) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        int which = (int)((random >> 33) % keys);
        cleanup(free_char)
        char *key = format("key-%d", which);
        if (random >> 63) {
            assert_ptr_equal(map_set(&map, key, &values[which]), expected[which]);
            count += expected[which] == NULL;
            expected[which] = &values[which];
        } else {
            assert_ptr_equal(map_remove(&map, key), expected[which]);
            count -= expected[which] != NULL;
            expected[which] = NULL;
        }
        assert_int_equal(map.count, count);
    }
    for (int i = 0; i < keys; i++) {
        cleanup(free_char)
        char *key = format("key-%d", i);
        assert_ptr_equal(map_get(&map, key), expected[i]);
    }
}

static void an_iteration_meets_each_entry_once(void **state)
{
    (void)state;
    enum { keys = 1000 };
    static int values[keys];
    const char *key;
    void *value;
    size_t met = 0;
    cleanup(map_cleanup)
    struct map map = MAP_INIT;
    for (int i = 0; i < keys; i++) {
        cleanup(free_char)
        char *name = format("%d", i);
        map_set(&map, name, &values[i]);
    }
    for (size_t at = 0; map_next(&map, &at, &key, &value);) {
        int *number = value;
        assert_int_equal(atoi(key), number - values);
        assert_int_equal((*number)++, 0);
        met++;
    }
    assert_int_equal(met, keys);
}

static void values_are_freed_with_the_map(void **state)
{
    (void)state;
    struct map map = MAP_INIT;
    map_set(&map, "a", duplicate("x"));
    map_set(&map, "b", duplicate("y"));
    map_free(&map, free);
    assert_int_equal(map.count, 0);
    map_set(&map, "a", duplicate("x"));
    map_free(&map, free);
}

static void equal_bytes_have_equal_hashes(void **state)
{
    (void)state;
    assert_true(hash_bytes("abc", 3) == hash_bytes("abcd", 3));
    assert_true(hash_bytes("abc", 3) != hash_bytes("abd", 3));
}

static void borrowed_keys_are_replaced_with_their_values(void **state)
{
    (void)state;
    char names[300][16];
    struct map map = {.borrows_keys = true};
    for (int i = 0; i < 300; i++) {
        snprintf(names[i], sizeof names[i], "%d", i);
        assert_null(map_set(&map, names[i], names[i]));
    }
    char again[] = "7";
    assert_ptr_equal(map_set(&map, again, again), names[7]);
    memset(names[7], 0, sizeof names[7]); /* Nobody reads it any more. */
    assert_ptr_equal(map_get(&map, "7"), again);
    assert_ptr_equal(map_remove(&map, names[8]), names[8]);
    assert_null(map_get(&map, "8"));
    assert_int_equal(map.count, 299);
    for (int i = 9; i < 300; i++) {
        assert_ptr_equal(map_get(&map, names[i]), names[i]);
    }
    map_free(&map, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_holds_nothing),
        cmocka_unit_test(a_set_value_is_found_and_a_second_one_replaces_it),
        cmocka_unit_test(keys_are_copied_and_may_be_empty),
        cmocka_unit_test(keys_need_no_end),
        cmocka_unit_test(it_behaves_as_a_list_of_pairs_would),
        cmocka_unit_test(an_iteration_meets_each_entry_once),
        cmocka_unit_test(values_are_freed_with_the_map),
        cmocka_unit_test(equal_bytes_have_equal_hashes),
        cmocka_unit_test(borrowed_keys_are_replaced_with_their_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* Trees come and go in several threads, also freed by others than those that made them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/json.h"
#include "common/json_memory.h"

enum { rounds = 60, values = 300, threads_count = 4 };

static json_t *make_tree(int seed)
{
    json_t *tree = json_object();
    for (int i = 0; i < values; i++) {
        char key[32];
        snprintf(key, sizeof key, "key-%d", i);
        json_object_set_new(
            tree, key,
            json_pack("{s:i, s:s, s:[i, i]}", "seed", seed, "text", key, "list", i, seed));
    }
    return tree;
}

static bool is_whole(const json_t *tree, int seed)
{
    bool whole = json_object_size(tree) == values;
    for (int i = 0; whole && i < values; i++) {
        char key[32];
        snprintf(key, sizeof key, "key-%d", i);
        const json_t *member = json_object_get(tree, key);
        whole = json_get_int(member, "seed", -1) == seed &&
                strcmp(json_get_string(member, "text"), key) == 0 &&
                json_integer_value(json_array_get(json_object_get(member, "list"), 1)) == seed;
    }
    return whole;
}

static json_t *_Atomic handed_over;

static void *work(void *argument)
{
    bool *right = argument;
    for (int i = 0; *right && i < rounds; i++) {
        json_t *tree = make_tree(i);
        *right = is_whole(tree, i);
        json_decref(atomic_exchange(&handed_over, tree)); /* Often one that another thread made. */
    }
    return NULL;
}

static void trees_are_freed_by_other_threads(void **state)
{
    (void)state;
    pthread_t threads[threads_count];
    bool right[threads_count];
    for (int i = 0; i < threads_count; i++) {
        right[i] = true;
        assert_int_equal(pthread_create(&threads[i], NULL, work, &right[i]), 0);
    }
    for (int i = 0; i < threads_count; i++) {
        pthread_join(threads[i], NULL);
        assert_true(right[i]);
    }
    json_decref(atomic_exchange(&handed_over, NULL));
}

/* What is kept must be taken again, and large blocks be no trouble. */
static void blocks_of_all_sizes_hold_what_was_put_in(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        for (size_t length = 0; length < 5000; length += 7) {
            cleanup(buffer_free)
            struct buffer text = BUFFER_INIT;
            for (size_t i = 0; i < length; i++) {
                buffer_add_char(&text, (char)('a' + i % 26));
            }
            cleanup(json_release)
            json_t *string = json_string(buffer_text(&text));
            assert_int_equal(json_string_length(string), length);
            assert_string_equal(json_string_value(string), buffer_text(&text));
        }
    }
}

int main(void)
{
    json_memory_use();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_are_freed_by_other_threads),
        cmocka_unit_test(blocks_of_all_sizes_hold_what_was_put_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

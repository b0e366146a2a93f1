// SPDX-License-Identifier: Apache-2.0
/* Trees come and go in several threads, also freed by others than those that made them. */
#include <malloc.h>
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

/* What was freed fits what is asked for next, of whatever size: nothing more is taken. (Sanitizers
 * keep memory their own way, and show no use of it here.) */
static void the_same_trees_again_take_no_more_memory(void **state)
{
    (void)state;
    size_t before = 0;
    for (int round = 0; round < 2000; round++) {
        char text[48];
        memset(text, 'x', sizeof text);
        for (size_t length = 0; length < sizeof text; length++) {
            json_decref(json_stringn(text, length));
        }
        if (round == 0) {
            before = mallinfo2().uordblks;
        }
    }
    assert_int_equal(mallinfo2().uordblks, before);
}

enum { many = 3000, some = 100 };

/* Takes blocks and gives them back. How much less the C library has lent out at the end. */
static size_t given_up(size_t size, size_t count)
{
    json_malloc_t take;
    json_free_t give_back;
    void *blocks[many];
    json_get_alloc_funcs(&take, &give_back);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = take(size);
    }
    size_t lent = mallinfo2().uordblks;
    for (size_t i = 0; i < count; i++) {
        give_back(blocks[i]);
    }
    return lent - mallinfo2().uordblks;
}

static void blocks_that_nobody_wants_leave_room_for_others(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return; /* Nothing is kept. */
#endif
    assert_true(given_up(200, many) > 0); /* More than may be kept. */
    assert_int_equal(given_up(60, some), 0);
    assert_int_equal(given_up(120, some), 0);
}

int main(void)
{
    json_memory_use();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_are_freed_by_other_threads),
        cmocka_unit_test(the_same_trees_again_take_no_more_memory),
        cmocka_unit_test(blocks_of_all_sizes_hold_what_was_put_in),
        cmocka_unit_test(blocks_that_nobody_wants_leave_room_for_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

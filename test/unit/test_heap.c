// SPDX-License-Identifier: Apache-2.0
/* The priority queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/heap.h"

struct thing {
    int rank;
    struct heap_node node;
};

static int rank_of(const struct heap_node *node)
{
    return container_of(node, struct thing, node)->rank;
}

static bool is_before(const struct heap_node *a, const struct heap_node *b)
{
    return rank_of(a) < rank_of(b);
}

static void an_empty_heap_has_no_first(void **state)
{
    (void)state;
    struct heap heap = HEAP_INIT(is_before);
    struct thing thing = {0};
    assert_null(heap_first(&heap));
    heap_remove(&heap, &thing.node); /* It is in none. */
    heap_clear(&heap);
}

static void things_come_in_order_whatever_is_taken_out_between(void **state)
{
    enum { count = 1000 };
    (void)state;
    struct heap heap = HEAP_INIT(is_before);
    struct thing *things = allocate_zero(count, sizeof *things);
    srandom(1);
    for (int i = 0; i < count; i++) {
        things[i].rank = (int)(random() % 500);
        heap_insert(&heap, &things[i].node);
    }
    for (int i = 0; i < count; i += 3) {
        heap_remove(&heap, &things[i].node);
        assert_false(heap_holds(&things[i].node));
    }
    for (int i = 0; i < count; i += 6) {
        heap_insert(&heap, &things[i].node);
        assert_true(heap_holds(&things[i].node));
    }
    int last = -1;
    size_t seen = 0;
    for (struct heap_node *first; (first = heap_first(&heap)) != NULL; seen++) {
        assert_true(rank_of(first) >= last);
        last = rank_of(first);
        heap_remove(&heap, first);
    }
    assert_int_equal(seen, count - 334 + 167);
    heap_clear(&heap);
    free(things);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_heap_has_no_first),
        cmocka_unit_test(things_come_in_order_whatever_is_taken_out_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

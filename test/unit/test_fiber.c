// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/fiber.h"

enum { fiber_count = 200 };

/* A function that waits for some completions, one after another, and counts. */
struct walk {
    struct completion *_Atomic at; /* What it waits for now. */
    int steps;
    int taken;
    bool blocked;
    atomic_int woken;
};

static void go(void *argument)
{
    struct walk *walk = argument;
    while (walk->taken < walk->steps) {
        struct completion completion;
        completion_init(&completion);
        atomic_store(&walk->at, &completion);
        completion_wait(&completion);
        walk->taken++;
    }
}

static void wake(void *argument)
{
    struct walk *walk = argument;
    atomic_fetch_add(&walk->woken, 1);
}

static void signal_walk(struct walk *walk)
{
    completion_signal(atomic_load(&walk->at));
}

static void a_function_that_never_waits_ends_at_once(void **state)
{
    (void)state;
    struct walk walk = {.steps = 0};
    struct fiber *fiber = fiber_new(go, &walk);
    assert_true(fiber_run(fiber));
    fiber_free(fiber);
}

static void what_happens_after_parking_wakes(void **state)
{
    (void)state;
    struct walk walk = {.steps = 2};
    struct fiber *fiber = fiber_new(go, &walk);
    assert_false(fiber_run(fiber));
    assert_true(fiber_waits(fiber));
    assert_true(fiber_park(fiber, wake, &walk));
    assert_int_equal(atomic_load(&walk.woken), 0);
    signal_walk(&walk);
    assert_int_equal(atomic_load(&walk.woken), 1);
    assert_false(fiber_run(fiber));
    assert_int_equal(walk.taken, 1);
    assert_true(fiber_park(fiber, wake, &walk));
    signal_walk(&walk);
    assert_int_equal(atomic_load(&walk.woken), 2);
    assert_true(fiber_run(fiber));
    assert_int_equal(walk.taken, 2);
    fiber_free(fiber);
}

static void what_happens_before_parking_does_not_wake(void **state)
{
    (void)state;
    struct walk walk = {.steps = 1};
    struct fiber *fiber = fiber_new(go, &walk);
    assert_false(fiber_run(fiber));
    signal_walk(&walk);
    assert_false(fiber_waits(fiber));
    assert_false(fiber_park(fiber, wake, &walk));
    assert_int_equal(atomic_load(&walk.woken), 0);
    assert_true(fiber_run(fiber));
    fiber_free(fiber);
}

static void signal_and_wait(void *argument)
{
    struct walk *walk = argument;
    struct completion completion;
    completion_init(&completion);
    completion_signal(&completion);
    completion_wait(&completion);
    walk->taken++;
}

static void what_has_happened_is_not_waited_for(void **state)
{
    (void)state;
    struct walk walk = {0};
    struct fiber *fiber = fiber_new(signal_and_wait, &walk);
    assert_true(fiber_run(fiber));
    fiber_free(fiber);
    signal_and_wait(&walk);
    assert_int_equal(walk.taken, 2);
}

static void block(void *argument)
{
    struct walk *walk = argument;
    walk->blocked = !fiber_refuses_to_block();
}

static void only_a_fiber_refuses_to_block(void **state)
{
    (void)state;
    struct walk walk = {0};
    struct fiber *fiber = fiber_new(block, &walk);
    assert_true(fiber_run(fiber));
    assert_false(walk.blocked);
    assert_true(fiber_was_refused(fiber));
    fiber_free(fiber);
    block(&walk);
    assert_true(walk.blocked);
    fiber = fiber_new(go, &walk); /* The next one on that stack begins anew. */
    assert_true(fiber_run(fiber));
    assert_false(fiber_was_refused(fiber));
    fiber_free(fiber);
}

/* ---- many fibers, signalled by another thread ---- */

struct crowd {
    struct walk walks[fiber_count];
    struct fiber *fibers[fiber_count];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t ready[fiber_count], ready_count;
};

struct member {
    struct crowd *crowd;
    size_t number;
};

static void make_ready(void *argument)
{
    struct member *member = argument;
    struct crowd *crowd = member->crowd;
    pthread_mutex_lock(&crowd->lock);
    crowd->ready[crowd->ready_count++] = member->number;
    pthread_cond_signal(&crowd->changed);
    pthread_mutex_unlock(&crowd->lock);
}

static void *signal_all(void *argument)
{
    struct crowd *crowd = argument;
    for (int left = fiber_count * 10; left > 0;) {
        for (size_t i = 0; i < fiber_count; i++) {
            struct completion *at = atomic_exchange(&crowd->walks[i].at, NULL);
            if (at != NULL) {
                completion_signal(at);
                left--;
            }
        }
    }
    return NULL;
}

/* True when it has ended. */
static bool advance(struct member *member)
{
    struct fiber *fiber = member->crowd->fibers[member->number];
    while (!fiber_run(fiber)) {
        if (fiber_park(fiber, make_ready, member)) {
            return false;
        }
    }
    fiber_free(fiber);
    return true;
}

static size_t next_ready(struct crowd *crowd)
{
    pthread_mutex_lock(&crowd->lock);
    while (crowd->ready_count == 0) {
        pthread_cond_wait(&crowd->changed, &crowd->lock);
    }
    size_t number = crowd->ready[--crowd->ready_count];
    pthread_mutex_unlock(&crowd->lock);
    return number;
}

static void many_wait_at_the_same_time(void **state)
{
    (void)state;
    struct crowd *crowd = allocate_struct(struct crowd);
    struct member members[fiber_count];
    pthread_mutex_init(&crowd->lock, NULL);
    pthread_cond_init(&crowd->changed, NULL);
    pthread_t signaller;
    size_t left = fiber_count;
    for (size_t i = 0; i < fiber_count; i++) {
        members[i] = (struct member){crowd, i};
        crowd->walks[i].steps = 10;
        crowd->fibers[i] = fiber_new(go, &crowd->walks[i]);
    }
    assert_int_equal(pthread_create(&signaller, NULL, signal_all, crowd), 0);
    for (size_t i = 0; i < fiber_count; i++) {
        left -= advance(&members[i]);
    }
    while (left > 0) {
        left -= advance(&members[next_ready(crowd)]);
    }
    pthread_join(signaller, NULL);
    for (size_t i = 0; i < fiber_count; i++) {
        assert_int_equal(crowd->walks[i].taken, 10);
    }
    pthread_cond_destroy(&crowd->changed);
    pthread_mutex_destroy(&crowd->lock);
    free(crowd);
}

static void *signal_later(void *argument)
{
    struct walk *walk = argument;
    struct completion *at;
    while ((at = atomic_exchange(&walk->at, NULL)) == NULL) {
        continue;
    }
    completion_signal(at);
    return NULL;
}

static void a_thread_waits_as_well(void **state)
{
    (void)state;
    struct walk walk = {.steps = 1};
    pthread_t signaller;
    assert_int_equal(pthread_create(&signaller, NULL, signal_later, &walk), 0);
    go(&walk);
    pthread_join(signaller, NULL);
    assert_int_equal(walk.taken, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_function_that_never_waits_ends_at_once),
        cmocka_unit_test(what_happens_after_parking_wakes),
        cmocka_unit_test(what_happens_before_parking_does_not_wake),
        cmocka_unit_test(what_has_happened_is_not_waited_for),
        cmocka_unit_test(only_a_fiber_refuses_to_block),
        cmocka_unit_test(many_wait_at_the_same_time),
        cmocka_unit_test(a_thread_waits_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* Which pending pod is tried when. */
#include "test/unit/scheduler_harness.h"

#include "scheduler/plugin.h"
#include "scheduler/queue.h"

#define SECOND INT64_C(1000000000)
#define PRIORITY(number) "\"priority\":" number ",\"containers\":[]"
#define PLAIN PRIORITY("0")
#define GATED "\"schedulingGates\":[{\"name\":\"g\"}],\"containers\":[]"

static int64_t now;

static int64_t tell_now(void)
{
    return now;
}

static int set_up(void **state)
{
    struct queue *queue = allocate_struct(struct queue);
    queue->clock = tell_now;
    now = 1000 * SECOND;
    *state = queue;
    return 0;
}

static int tear_down(void **state)
{
    struct queue *queue = *state;
    queue_clear(queue);
    free(queue);
    return 0;
}

/* Puts it a moment after all before. */
static void put(struct queue *queue, const char *name, const char *spec)
{
    struct cached_object *pod = make_pod(name, spec);
    now++;
    queue_put(queue, pod->key, pod->uid, class_of(pod));
    cached_object_unref(pod);
}

static struct queued_pod *pop(struct queue *queue, const char *name)
{
    struct queued_pod *pod = queue_pop(queue);
    assert_non_null(pod);
    assert_string_equal(pod->key + strlen("ns/"), name);
    return pod;
}

static void pop_for_good(struct queue *queue, const char *name)
{
    queued_pod_free(pop(queue, name));
}

/* The bit of the plugin of that name. */
static uint32_t plugin(const char *name)
{
    uint32_t bit = 1;
    for (size_t i = 0; plugins[i] != NULL; i++, bit <<= 1) {
        if (strcmp(plugins[i]->name, name) == 0) {
            return bit;
        }
    }
    fail_msg("no plugin %s", name);
    return 0;
}

static void park(struct queue *queue, const char *name, const char *rejecting)
{
    queue_park(queue, pop(queue, name), plugin(rejecting));
}

static void note(struct queue *queue, unsigned event)
{
    queue_note_event(queue, event);
    queue_wake(queue, now);
}

static void more_important_pods_go_first_then_older_ones(void **state)
{
    struct queue *queue = *state;
    put(queue, "a", PRIORITY("5"));
    put(queue, "b", PRIORITY("-1"));
    put(queue, "c", PRIORITY("7"));
    put(queue, "d", PRIORITY("5"));
    put(queue, "e", PRIORITY("7"));
    pop_for_good(queue, "c");
    pop_for_good(queue, "e");
    pop_for_good(queue, "a");
    pop_for_good(queue, "d");
    pop_for_good(queue, "b");
    assert_null(queue_pop(queue));
}

static void any_order_of_many_comes_out_sorted(void **state)
{
    struct queue *queue = *state;
    for (int i = 0; i < 500; i++) {
        char name[32], spec[64];
        snprintf(name, sizeof name, "p%d", i);
        snprintf(spec, sizeof spec, "\"priority\":%d,\"containers\":[]", i * 7919 % 31);
        put(queue, name, spec);
    }
    for (int i = 0; i < 500; i += 3) {
        char key[32];
        snprintf(key, sizeof key, "ns/p%d", i);
        queue_remove(queue, key);
    }
    int32_t priority = INT32_MAX;
    int64_t added = 0;
    size_t count = 0;
    for (struct queued_pod *pod; (pod = queue_pop(queue)) != NULL; count++) {
        assert_true(pod->class->priority < priority ||
                    (pod->class->priority == priority && pod->added > added));
        priority = pod->class->priority;
        added = pod->added;
        queued_pod_free(pod);
    }
    assert_int_equal(count, 333);
}

static void a_status_that_changed_leaves_a_pod_where_it_is(void **state)
{
    struct queue *queue = *state;
    put(queue, "a", PLAIN);
    park(queue, "a", "NodeResourcesFit");
    put(queue, "a", PLAIN);
    assert_int_equal(queue->counts[QUEUE_UNSCHEDULABLE], 1);
    assert_null(queue_pop(queue));
}

static void a_pod_that_changed_is_tried_again(void **state)
{
    struct queue *queue = *state;
    put(queue, "a", PLAIN);
    park(queue, "a", "NodeAffinity");
    put(queue, "a", "\"tolerations\":[{\"operator\":\"Exists\"}],\"containers\":[]");
    pop_for_good(queue, "a");
}

static void a_namesake_starts_afresh(void **state)
{
    struct queue *queue = *state;
    put(queue, "a", PLAIN);
    park(queue, "a", "NodeAffinity");
    struct cached_object *other = make_pod("b", PLAIN);
    queue_put(queue, "ns/a", other->uid, class_of(other));
    cached_object_unref(other);
    struct queued_pod *pod = queue_pop(queue);
    assert_string_equal(pod->uid, "u-b");
    assert_int_equal(pod->attempts, 1);
    queued_pod_free(pod);
}

static void a_pod_given_back_gives_way_to_its_namesake(void **state)
{
    struct queue *queue = *state;
    put(queue, "a", PLAIN);
    struct queued_pod *old = queue_pop(queue);
    struct cached_object *other = make_pod("b", PLAIN);
    queue_put(queue, "ns/a", other->uid, class_of(other));
    cached_object_unref(other);
    queue_park(queue, old, plugin("NodeAffinity"));
    assert_int_equal(queue->counts[QUEUE_UNSCHEDULABLE], 0);
    struct queued_pod *pod = queue_pop(queue);
    assert_string_equal(pod->uid, "u-b");
    queued_pod_free(pod);
}

static void gated_pods_wait_for_their_gates(void **state)
{
    struct queue *queue = *state;
    put(queue, "a", GATED);
    assert_int_equal(queue->counts[QUEUE_GATED], 1);
    note(queue, EVENT_NODE | EVENT_POD_LEFT);
    now += 3600 * SECOND;
    assert_true(queue_wake(queue, now) == INT64_MAX);
    assert_null(queue_pop(queue));
    put(queue, "a", PLAIN);
    assert_int_equal(queue->counts[QUEUE_GATED], 0);
    pop_for_good(queue, "a");
}

static void only_events_that_may_help_wake_a_parked_pod(void **state)
{
    struct queue *queue = *state;
    put(queue, "affinity", PRIORITY("2"));
    put(queue, "resources", PRIORITY("1"));
    park(queue, "affinity", "NodeAffinity");
    park(queue, "resources", "NodeResourcesFit");
    note(queue, EVENT_POD_LEFT);
    assert_int_equal(queue->counts[QUEUE_UNSCHEDULABLE], 1);
    pop_for_good(queue, "resources");
    assert_null(queue_pop(queue));
    note(queue, EVENT_NODE);
    pop_for_good(queue, "affinity");
}

static void one_of_several_rejecting_plugins_is_enough(void **state)
{
    struct queue *queue = *state;
    put(queue, "a", PLAIN);
    queue_park(queue, queue_pop(queue), plugin("NodeAffinity") | plugin("NodePorts"));
    note(queue, EVENT_POD_LEFT);
    pop_for_good(queue, "a");
}

static void a_pod_that_no_node_was_asked_for_waits_for_any_event(void **state)
{
    struct queue *queue = *state;
    put(queue, "a", PLAIN);
    queue_park(queue, queue_pop(queue), 0);
    queue_wake(queue, now + 20 * SECOND);
    assert_int_equal(queue->counts[QUEUE_UNSCHEDULABLE], 1);
    note(queue, EVENT_NODE);
    pop_for_good(queue, "a");
}

static void after_five_minutes_a_parked_pod_is_tried_anyway(void **state)
{
    struct queue *queue = *state;
    put(queue, "a", PLAIN);
    park(queue, "a", "NodeAffinity");
    int64_t parked = now;
    assert_true(queue_wake(queue, now) == parked + 300 * SECOND);
    queue_wake(queue, now = parked + 300 * SECOND - 1);
    assert_null(queue_pop(queue));
    queue_wake(queue, now = parked + 300 * SECOND);
    assert_int_equal(queue->incoming[QUEUE_ACTIVE][CAUSE_TIMEOUT], 1);
    pop_for_good(queue, "a");
}

static void time_to_back_off_doubles_up_to_ten_seconds(void **state)
{
    struct queue *queue = *state;
    static const int seconds[] = {1, 2, 4, 8, 10, 10};
    put(queue, "a", PLAIN);
    for (size_t i = 0; i < array_length(seconds); i++) {
        queue_back_off(queue, pop(queue, "a"));
        int64_t at = queue_wake(queue, now);
        assert_int_equal(at, (now + seconds[i] * SECOND) / SECOND * SECOND);
        assert_null(queue_pop(queue)); /* After an error it waits, with nothing else to do. */
        assert_true(queue_wake(queue, at - 1) == at);
        now = at;
        queue_wake(queue, now);
    }
    pop_for_good(queue, "a");
}

static void woken_pods_back_off_behind_those_that_are_active(void **state)
{
    struct queue *queue = *state;
    put(queue, "a", PRIORITY("9"));
    park(queue, "a", "NodeResourcesFit");
    put(queue, "b", PLAIN);
    note(queue, EVENT_POD_LEFT);
    assert_int_equal(queue->counts[QUEUE_BACKOFF], 1);
    pop_for_good(queue, "b");
    pop_for_good(queue, "a"); /* Its time has not come, but there is no other. */
    assert_int_equal(queue->incoming[QUEUE_ACTIVE][CAUSE_NO_OTHER], 1);
}

static void of_pods_that_back_off_together_the_more_important_goes_first(void **state)
{
    struct queue *queue = *state;
    put(queue, "high", PRIORITY("9"));
    put(queue, "low", PRIORITY("1"));
    struct queued_pod *high = pop(queue, "high");
    park(queue, "low", "NodeResourcesFit");
    now++;
    queue_park(queue, high, plugin("NodeResourcesFit"));
    note(queue, EVENT_POD_LEFT);
    pop_for_good(queue, "high");
    pop_for_good(queue, "low");
}

static void parts_are_counted(void **state)
{
    struct queue *queue = *state;
    put(queue, "a", PRIORITY("3"));
    put(queue, "b", PRIORITY("2"));
    put(queue, "c", PRIORITY("1"));
    put(queue, "d", GATED);
    park(queue, "a", "NodeAffinity");
    queue_back_off(queue, pop(queue, "b"));
    for (int part = 0; part < QUEUE_PARTS; part++) {
        assert_int_equal(queue->counts[part], 1);
    }
    assert_int_equal(queue->incoming[QUEUE_ACTIVE][CAUSE_POD_ADD], 3);
    assert_int_equal(queue->incoming[QUEUE_UNSCHEDULABLE][CAUSE_ATTEMPT_FAILED], 1);
    queue_remove(queue, "ns/a");
    queue_remove(queue, "ns/b");
    queue_remove(queue, "ns/c");
    queue_remove(queue, "ns/d");
    for (int part = 0; part < QUEUE_PARTS; part++) {
        assert_int_equal(queue->counts[part], 0);
    }
    assert_null(queue->oldest);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(more_important_pods_go_first_then_older_ones),
        TEST(any_order_of_many_comes_out_sorted),
        TEST(a_status_that_changed_leaves_a_pod_where_it_is),
        TEST(a_pod_that_changed_is_tried_again),
        TEST(a_namesake_starts_afresh),
        TEST(a_pod_given_back_gives_way_to_its_namesake),
        TEST(gated_pods_wait_for_their_gates),
        TEST(only_events_that_may_help_wake_a_parked_pod),
        TEST(one_of_several_rejecting_plugins_is_enough),
        TEST(a_pod_that_no_node_was_asked_for_waits_for_any_event),
        TEST(after_five_minutes_a_parked_pod_is_tried_anyway),
        TEST(time_to_back_off_doubles_up_to_ten_seconds),
        TEST(woken_pods_back_off_behind_those_that_are_active),
        TEST(of_pods_that_back_off_together_the_more_important_goes_first),
        TEST(parts_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

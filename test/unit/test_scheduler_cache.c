// SPDX-License-Identifier: Apache-2.0
/* What the scheduler knows of nodes and of the pods that stand on them. */
#include "test/unit/scheduler_harness.h"

#define ROOM "\"cpu\":\"4\",\"pods\":\"110\""

static int set_up(void **state)
{
    *state = node_cache_new();
    return 0;
}

static int tear_down(void **state)
{
    free_cache(*state);
    return 0;
}

static const struct node *find(const struct node_cache *cache, const char *name)
{
    return map_get(&cache->nodes_by_name, name);
}

static void assert_on(const struct node_cache *cache, const char *name, int64_t pods,
                      int64_t milli_cpu)
{
    const struct node *node = find(cache, name);
    assert_non_null(node);
    assert_int_equal(node->pod_count, pods);
    assert_int_equal(node->requested.milli_cpu, milli_cpu);
}

static void a_placed_pod_takes_up_what_it_asks_for(void **state)
{
    struct node_cache *cache = *state;
    struct cached_object *pod = make_pod("p", CPU("250m"));
    put_node(cache, "n", "", "", ROOM);
    assert_false(place(cache, pod, "n"));
    assert_on(cache, "n", 1, 250);
    assert_false(place(cache, pod, "n")); /* Seen again. */
    assert_on(cache, "n", 1, 250);
    assert_true(node_cache_unplace(cache, pod->key, pod->uid));
    assert_on(cache, "n", 0, 0);
    assert_false(node_cache_unplace(cache, pod->key, pod->uid));
    cached_object_unref(pod);
}

static void an_assumed_pod_is_confirmed_where_it_was_expected(void **state)
{
    struct node_cache *cache = *state;
    struct cached_object *pod = make_pod("p", CPU("1"));
    put_node(cache, "n", "", "", ROOM);
    node_cache_place(cache, pod->key, pod->uid, class_of(pod), "n", true, false);
    assert_true(node_cache_find_pod(cache, pod->key)->is_assumed);
    uint64_t freed = cache->freed;
    assert_false(place(cache, pod, "n"));
    assert_false(node_cache_find_pod(cache, pod->key)->is_assumed);
    assert_int_equal(cache->freed, freed);
    assert_on(cache, "n", 1, 1000);
    cached_object_unref(pod);
}

static void or_moved_to_where_it_really_is(void **state)
{
    struct node_cache *cache = *state;
    struct cached_object *pod = make_pod("p", CPU("1"));
    put_node(cache, "a", "", "", ROOM);
    put_node(cache, "b", "", "", ROOM);
    node_cache_place(cache, pod->key, pod->uid, class_of(pod), "a", true, false);
    uint64_t freed = cache->freed;
    assert_true(place(cache, pod, "b"));
    assert_true(cache->freed > freed);
    assert_on(cache, "a", 0, 0);
    assert_on(cache, "b", 1, 1000);
    cached_object_unref(pod);
}

static void a_pod_that_asks_for_less_now_makes_room(void **state)
{
    struct node_cache *cache = *state;
    struct cached_object *more = make_pod("p", CPU("2")), *less = make_pod("p", CPU("1"));
    put_node(cache, "n", "", "", ROOM);
    place(cache, more, "n");
    assert_true(place(cache, less, "n"));
    assert_on(cache, "n", 1, 1000);
    cached_object_unref(more);
    cached_object_unref(less);
}

static void an_end_of_another_of_that_name_changes_nothing(void **state)
{
    struct node_cache *cache = *state;
    struct cached_object *pod = make_pod("p", CPU("1"));
    place(cache, pod, "n");
    assert_false(node_cache_unplace(cache, pod->key, "another"));
    assert_on(cache, "n", 1, 1000);
    assert_true(node_cache_unplace(cache, pod->key, NULL));
    cached_object_unref(pod);
}

static void a_node_that_went_is_remembered_while_pods_are_on_it(void **state)
{
    struct node_cache *cache = *state;
    struct cached_object *pod = make_pod("p", CPU("1"));
    put_node(cache, "n", "", "", ROOM);
    place(cache, pod, "n");
    node_cache_remove_node(cache, "n");
    assert_int_equal(cache->node_count, 0);
    assert_false(find(cache, "n")->exists);
    put_node(cache, "n", "", "", ROOM); /* It comes back. */
    assert_int_equal(cache->node_count, 1);
    assert_on(cache, "n", 1, 1000);
    node_cache_remove_node(cache, "n");
    node_cache_unplace(cache, pod->key, NULL);
    assert_null(find(cache, "n"));
    cached_object_unref(pod);
}

static void pods_may_be_seen_before_their_node(void **state)
{
    struct node_cache *cache = *state;
    struct cached_object *pod = make_pod("p", CPU("1"));
    place(cache, pod, "n");
    assert_int_equal(cache->node_count, 0);
    put_node(cache, "n", "", "", ROOM);
    assert_on(cache, "n", 1, 1000);
    cached_object_unref(pod);
}

static void places_of_nodes_that_went_are_used_again(void **state)
{
    struct node_cache *cache = *state;
    put_node(cache, "a", "", "", ROOM);
    put_node(cache, "b", "", "", ROOM);
    uint32_t index = find(cache, "a")->index, generation = find(cache, "b")->generation;
    node_cache_remove_node(cache, "a");
    put_node(cache, "c", "", "", ROOM);
    assert_int_equal(find(cache, "c")->index, index);
    assert_true(find(cache, "c")->generation > generation);
    assert_int_equal(cache->node_slots, 2);
}

static void only_a_change_that_matters_is_one(void **state)
{
    struct node_cache *cache = *state;
    static const char taints[] = "\"taints\":[{\"key\":\"k\",\"effect\":\"NoSchedule\"}]";
    assert_true(put_node(cache, "n", "\"labels\":{\"a\":\"b\"}", taints, ROOM));
    uint32_t generation = find(cache, "n")->generation;
    uint64_t freed = cache->freed;
    assert_false(put_node(cache, "n", "\"labels\":{\"a\":\"b\"},\"resourceVersion\":\"9\"", taints,
                          "\"pods\":\"110\",\"cpu\":\"4000m\""));
    assert_int_equal(find(cache, "n")->generation, generation);
    assert_int_equal(cache->freed, freed);
    assert_true(put_node(cache, "n", "\"labels\":{\"a\":\"c\"}", taints, ROOM));
    assert_true(put_node(cache, "n", "\"labels\":{\"a\":\"c\"}", "", ROOM));
    assert_true(put_node(cache, "n", "\"labels\":{\"a\":\"c\"}", "\"unschedulable\":true", ROOM));
    assert_true(put_node(cache, "n", "", "\"unschedulable\":true", ROOM));
    assert_true(put_node(cache, "n", "", "\"unschedulable\":true", ROOM ",\"x/y\":\"1\""));
    assert_true(put_node(cache, "n", "", "\"unschedulable\":true", ROOM ",\"x/y\":\"2\""));
    assert_true(put_node(cache, "n", "", "\"unschedulable\":true", ROOM));
    assert_true(cache->freed > freed);
}

static void ports_are_counted_and_given_back(void **state)
{
    struct node_cache *cache = *state;
    struct cached_object *one = make_pod("one", HOST_PORT("80")),
                         *two = make_pod("two", HOST_PORT("80"));
    place(cache, one, "n"); /* Two on one port: not this scheduler's doing. */
    place(cache, two, "n");
    assert_int_equal(find(cache, "n")->port_count, 1);
    node_cache_unplace(cache, one->key, NULL);
    assert_int_equal(find(cache, "n")->port_count, 1);
    place(cache, one, "other");
    node_cache_unplace(cache, two->key, NULL);
    assert_null(find(cache, "n"));
    assert_int_equal(find(cache, "other")->port_count, 1);
    cached_object_unref(one);
    cached_object_unref(two);
}

/* ---- groups ---- */

static struct cached_object *labelled(const char *name, const char *app)
{
    cleanup(free_char)
    char *labels = format("\"labels\":{\"app\":\"%s\"}", app);
    return make_pod_with(name, labels, "\"containers\":[{}]");
}

static struct spread_group *group_of(struct node_cache *cache, const char *namespace,
                                     const char *app)
{
    struct selector **selectors = allocate(sizeof *selectors);
    cleanup(json_release)
    json_t *labels = json_pack("{s:s}", "app", app);
    selectors[0] = selector_from_map(labels);
    return node_cache_group(cache, namespace, app, selectors, 1);
}

static uint32_t count_on(const struct node_cache *cache, const struct spread_group *group,
                         const char *node)
{
    uint32_t index = find(cache, node)->index;
    return index < group->count_capacity ? group->counts[index] : 0;
}

static void a_group_counts_its_pods_on_each_node(void **state)
{
    struct node_cache *cache = *state;
    struct cached_object *before = labelled("before", "web"), *other = labelled("other", "db"),
                         *after = labelled("after", "web");
    place(cache, before, "a");
    place(cache, other, "a");
    struct spread_group *group = group_of(cache, "ns", "web");
    assert_int_equal(count_on(cache, group, "a"), 1);
    place(cache, after, "b");
    assert_int_equal(count_on(cache, group, "b"), 1);
    place(cache, after, "a"); /* Moved. */
    assert_int_equal(count_on(cache, group, "a"), 2);
    node_cache_unplace(cache, before->key, NULL);
    assert_int_equal(count_on(cache, group, "a"), 1);
    assert_ptr_equal(group_of(cache, "ns", "web"), group);
    node_cache_group_unref(cache, group);
    node_cache_group_unref(cache, group);
    assert_int_equal(cache->groups.count, 0);
    assert_int_equal(class_of(after)->group_count, 0);
    cached_object_unref(before);
    cached_object_unref(other);
    cached_object_unref(after);
}

static void a_group_is_of_one_namespace(void **state)
{
    struct node_cache *cache = *state;
    struct cached_object *pod = labelled("p", "web");
    place(cache, pod, "a");
    struct spread_group *group = group_of(cache, "elsewhere", "web");
    assert_int_equal(count_on(cache, group, "a"), 0);
    node_cache_group_unref(cache, group);
    cached_object_unref(pod);
}

static void pods_that_are_being_deleted_take_up_room_but_do_not_count(void **state)
{
    struct node_cache *cache = *state;
    struct cached_object *pod = labelled("p", "web"), *late = labelled("late", "web");
    place(cache, pod, "a");
    struct spread_group *group = group_of(cache, "ns", "web");
    node_cache_place(cache, pod->key, pod->uid, class_of(pod), "a", false, true);
    node_cache_place(cache, late->key, late->uid, class_of(late), "a", false, true);
    assert_int_equal(count_on(cache, group, "a"), 0);
    assert_on(cache, "a", 2, 0);
    node_cache_unplace(cache, late->key, NULL);
    node_cache_group_unref(cache, group);
    group = group_of(cache, "ns", "web"); /* Made while it is being deleted. */
    assert_int_equal(count_on(cache, group, "a"), 0);
    node_cache_group_unref(cache, group);
    cached_object_unref(pod);
    cached_object_unref(late);
}

/* ---- classes ---- */

static void pods_that_look_the_same_share_a_class(void **state)
{
    (void)state;
    struct cached_object *one = make_pod("one", CPU("1")), *two = make_pod("two", CPU("1")),
                         *other = make_pod("other", CPU("2"));
    assert_ptr_equal(class_of(one), class_of(two));
    assert_ptr_not_equal(class_of(one), class_of(other));
    cached_object_unref(one);
    cached_object_unref(two);
    cached_object_unref(other);
}

static void what_makes_no_difference_to_the_scheduler_makes_no_class(void **state)
{
    (void)state;
    struct cached_object *one = make_pod("one", "\"containers\":[{\"name\":\"a\"}]"),
                         *two = make_pod("two", "\"containers\":[{\"name\":\"b\"}]"),
                         *labels = make_pod_with("three", "\"labels\":{\"a\":\"b\"}",
                                                 "\"containers\":[{\"name\":\"a\"}]");
    assert_ptr_equal(class_of(one), class_of(two));
    assert_ptr_not_equal(class_of(one), class_of(labels));
    cached_object_unref(one);
    cached_object_unref(two);
    cached_object_unref(labels);
}

static void a_pending_pod_knows_what_it_was_told(void **state)
{
    (void)state;
#define CONDITIONED(node, status)                                                                  \
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\"},\"spec\":{\"nodeName\":\"" node "\"},"    \
    "\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"message\":\"no\"},"    \
    "{\"type\":\"PodScheduled\",\"status\":\"" status "\",\"message\":\"0/1 \\\"x\\\"\"}]}}"
    static const struct {
        const char *text, *told;
    } cases[] = {
        {CONDITIONED("", "False"), "0/1 \"x\""},
        {CONDITIONED("", "True"), NULL},
        {CONDITIONED("n", "False"), NULL},
        {"{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\"}}", NULL},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        struct cached_object *pod =
            cached_object_new(&pod_object_class, cases[i].text, strlen(cases[i].text));
        if (cases[i].told == NULL) {
            assert_null(pod_of(pod)->told);
        } else {
            assert_string_equal(pod_of(pod)->told, cases[i].told);
        }
        cached_object_unref(pod);
    }
}

static void classes_that_nobody_has_are_collected(void **state)
{
    struct node_cache *cache = *state;
    struct cached_object *pod = labelled("p", "web");
    place(cache, pod, "a");
    class_of(pod)->group = group_of(cache, "ns", "web");
    cached_object_unref(pod);
    pod_classes_collect(forget_class, cache);
    assert_int_equal(cache->groups.count, 1); /* It still stands there. */
    node_cache_unplace(cache, "ns/p", NULL);
    pod_classes_collect(forget_class, cache);
    assert_int_equal(cache->groups.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_placed_pod_takes_up_what_it_asks_for),
        TEST(an_assumed_pod_is_confirmed_where_it_was_expected),
        TEST(or_moved_to_where_it_really_is),
        TEST(a_pod_that_asks_for_less_now_makes_room),
        TEST(an_end_of_another_of_that_name_changes_nothing),
        TEST(a_node_that_went_is_remembered_while_pods_are_on_it),
        TEST(pods_may_be_seen_before_their_node),
        TEST(places_of_nodes_that_went_are_used_again),
        TEST(only_a_change_that_matters_is_one),
        TEST(ports_are_counted_and_given_back),
        TEST(a_group_counts_its_pods_on_each_node),
        TEST(a_group_is_of_one_namespace),
        TEST(pods_that_are_being_deleted_take_up_room_but_do_not_count),
        TEST(pods_that_look_the_same_share_a_class),
        TEST(what_makes_no_difference_to_the_scheduler_makes_no_class),
        TEST(a_pending_pod_knows_what_it_was_told),
        TEST(classes_that_nobody_has_are_collected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

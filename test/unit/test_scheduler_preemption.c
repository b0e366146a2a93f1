// SPDX-License-Identifier: Apache-2.0
/* Whom preemption chooses, and what is said when it does not help. */
#include "test/unit/scheduler_harness.h"

#include "scheduler/nominations.h"
#include "scheduler/preemption.h"

#define SPEC(priority, cpu) "\"priority\":" priority "," CPU(cpu)
#define CPUS(count) "\"cpu\":\"" count "\",\"pods\":\"110\""
#define NO_VICTIMS "No preemption victims found for incoming pod"

static int set_up(void **state)
{
    struct decider *decider = allocate_struct(struct decider);
    decider->cache = node_cache_new();
    *state = decider;
    return 0;
}

static int tear_down(void **state)
{
    struct decider *decider = *state;
    struct node_cache *cache = decider->cache;
    decider_clear(decider);
    free_cache(cache);
    free(decider);
    return 0;
}

/* A pod with these labels stands on the node since that second (0: it has not started). */
static struct placed_pod *stand(struct decider *decider, const char *name, const char *labels,
                                const char *spec, const char *node, int started)
{
    cleanup(free_char)
    char *metadata = format("\"labels\":{%s}", labels);
    struct cached_object *pod = make_pod_with(name, metadata, spec);
    place(decider->cache, pod, node);
    struct placed_pod *placed = node_cache_find_pod(decider->cache, pod->key);
    placed->started = started * INT64_C(1000000000);
    cached_object_unref(pod);
    return placed;
}

static void stands(struct decider *decider, const char *name, const char *spec, const char *node)
{
    stand(decider, name, "", spec, node, 1);
}

static void nominate(struct decider *decider, const char *name, const char *spec, const char *node)
{
    struct cached_object *pod = make_pod(name, spec);
    nominations_set(decider->cache, pod->key, pod->uid, class_of(pod), node);
    cached_object_unref(pod);
}

/* What comes of a pod "p" with this spec that fits nowhere: "node: victim victim", or why not. */
static void preempts_with(struct decider *decider, const char *spec,
                          const struct disruption_budgets *budgets, const char *expected)
{
    struct cached_object *pod = make_pod("p", spec);
    uint64_t changed = decider->cache->changed;
    assert_null(decider_choose(decider, class_of(pod), pod->key, pod->uid));
    struct preemption found = preemption_find(decider, class_of(pod), pod->key, pod->uid, budgets);
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    buffer_addf(&text, "%s", found.node != NULL ? found.node->name : found.why);
    for (size_t i = 0; i < found.count; i++) {
        buffer_addf(&text, "%s%s", i == 0 ? ": " : " ", found.victims[i]->key + strlen("ns/"));
    }
    assert_string_equal(buffer_text(&text), expected);
    assert_int_equal(decider->cache->changed, changed); /* It only looks. */
    preemption_clear(&found);
    cached_object_unref(pod);
}

static void preempts(struct decider *decider, const char *spec, const char *expected)
{
    struct disruption_budgets none = {0};
    preempts_with(decider, spec, &none, expected);
}

static void who_is_less_important_makes_way_and_no_more_than_need_be(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "n", "", "", CPUS("6"));
    stands(decider, "a", SPEC("1", "2"), "n");
    stands(decider, "b", SPEC("3", "2"), "n");
    stands(decider, "c", SPEC("2", "2"), "n");
    preempts(decider, SPEC("9", "1"), "n: a");
    preempts(decider, SPEC("9", "3"), "n: c a");
    preempts(decider, SPEC("9", "6"), "n: b c a");
    preempts(decider, SPEC("2", "1"), "n: a");
    preempts(decider, SPEC("2", "3"), "0/1 nodes are available: 1 Insufficient cpu.");
    preempts(decider, SPEC("1", "1"), "0/1 nodes are available: 1 " NO_VICTIMS ".");
}

/* After it the node is as before: the sums are those of the pods on it. */
static void looking_leaves_no_trace(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "n", "", "", CPUS("4"));
    stands(decider, "a", SPEC("1", "2"), "n");
    stands(decider, "b", "\"priority\":1," HOST_PORT("80"), "n");
    nominate(decider, "c", SPEC("9", "1"), "n");
    preempts(decider, SPEC("9", "2"), "n: a");
    preempts(decider, SPEC("9", "4"), "0/1 nodes are available: 1 Insufficient cpu.");
    const struct node *node = map_get(&decider->cache->nodes_by_name, "n");
    assert_int_equal(node->requested.milli_cpu, 2000);
    assert_int_equal(node->pod_count, 2);
    assert_int_equal(node->port_count, 1);
}

static void of_equals_those_stay_that_started_first(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "n", "", "", CPUS("6"));
    stand(decider, "young", "", SPEC("1", "2"), "n", 30);
    stand(decider, "new", "", SPEC("1", "2"), "n", 0);
    stand(decider, "old", "", SPEC("1", "2"), "n", 10);
    preempts(decider, SPEC("9", "2"), "n: new");
    preempts(decider, SPEC("9", "4"), "n: young new");
}

static void a_port_is_given_up_too(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "n", "", "", CPUS("6"));
    stands(decider, "holder", "\"priority\":1," HOST_PORT("80"), "n");
    stands(decider, "other", "\"priority\":0," HOST_PORT("81"), "n");
    preempts(decider, "\"priority\":9," HOST_PORT("80"), "n: holder");
}

static void nodes_that_pods_can_not_help_are_told_apart(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "cordoned", "", "\"unschedulable\":true", CPUS("4"));
    put_node(decider->cache, "small", "", "", CPUS("1"));
    put_node(decider->cache, "full", "", "", CPUS("4"));
    put_node(decider->cache, "none", "", "", "\"cpu\":\"4\",\"pods\":\"0\"");
    stands(decider, "a", SPEC("9", "4"), "full");
    stands(decider, "b", SPEC("1", "1"), "small");
    preempts(decider, SPEC("9", "2"),
             "0/4 nodes are available: 2 " NO_VICTIMS ", 2 Preemption is not helpful for "
             "scheduling.");
}

static void which_node(struct decider *decider, const char *expected)
{
    for (int i = 0; i < 20; i++) { /* Wherever the search begins. */
        preempts(decider, SPEC("9", "4"), expected);
    }
}

static void the_least_important_victims_decide_then_their_sum_number_and_age(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "a", "", "", CPUS("4"));
    put_node(decider->cache, "b", "", "", CPUS("4"));
    stands(decider, "a1", SPEC("5", "4"), "a");
    stands(decider, "b1", SPEC("4", "2"), "b");
    stands(decider, "b2", SPEC("4", "2"), "b");
    which_node(decider, "b: b1 b2"); /* Whose most important victim is less important. */
    put_node(decider->cache, "c", "", "", CPUS("4"));
    stands(decider, "c1", SPEC("4", "2"), "c");
    stands(decider, "c2", SPEC("3", "2"), "c");
    which_node(decider, "c: c1 c2"); /* The sum. */
    put_node(decider->cache, "d", "", "", CPUS("4"));
    stand(decider, "d1", "", SPEC("4", "4"), "d", 10);
    which_node(decider, "d: d1"); /* Fewer have the smaller sum. */
    put_node(decider->cache, "e", "", "", CPUS("4"));
    stand(decider, "e1", "", SPEC("4", "4"), "e", 20);
    which_node(decider, "e: e1"); /* Who ran for less long. */
}

static void a_budget_is_violated_only_where_nothing_else_helps(void **state)
{
    struct decider *decider = *state;
    struct cached_object *object = make_pod("budget", "");
    json_t *labels = json_pack("{s:s}", "app", "x");
    struct selector *selector = selector_from_map(labels);
    json_t *disrupted = json_object();
    struct disruption_budget list[] = {
        {.object = object, .selector = selector, .disrupted = disrupted, .allowed = 0}};
    struct disruption_budgets budgets = {list, 1};
    put_node(decider->cache, "a", "", "", CPUS("4"));
    stand(decider, "guarded", "\"app\":\"x\"", SPEC("1", "2"), "a", 1);
    stand(decider, "free", "\"app\":\"y\"", SPEC("2", "2"), "a", 1);
    preempts_with(decider, SPEC("9", "2"), &budgets, "a: free");
    preempts_with(decider, SPEC("9", "4"), &budgets, "a: free guarded");
    put_node(decider->cache, "b", "", "", CPUS("4"));
    stand(decider, "important", "", SPEC("8", "4"), "b", 1);
    preempts_with(decider, SPEC("9", "4"), &budgets, "b: important");
    json_object_set_new(disrupted, "guarded", json_string("2026-01-01T00:00:00Z"));
    preempts_with(decider, SPEC("9", "4"), &budgets, "a: free guarded");
    json_object_clear(disrupted);
    list[0].allowed = 1;
    preempts_with(decider, SPEC("9", "4"), &budgets, "a: free guarded");
    selector_free(selector);
    json_decref(labels);
    json_decref(disrupted);
    cached_object_unref(object);
}

static void who_never_preempts_does_not(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "n", "", "", CPUS("4"));
    stands(decider, "a", SPEC("1", "4"), "n");
    preempts(decider, "\"preemptionPolicy\":\"Never\"," SPEC("9", "4"),
             "not eligible due to preemptionPolicy=Never.");
    preempts(decider, "\"preemptionPolicy\":\"PreemptLowerPriority\"," SPEC("9", "4"), "n: a");
}

static void room_made_for_one_is_not_anothers_unless_that_is_more_important(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "n", "", "", CPUS("4"));
    stands(decider, "a", SPEC("1", "2"), "n");
    nominate(decider, "q", SPEC("5", "2"), "n");
    struct cached_object *equal = make_pod("p", SPEC("5", "2"));
    assert_null(decider_choose(decider, class_of(equal), equal->key, equal->uid));
    cached_object_unref(equal);
    struct cached_object *higher = make_pod("p", SPEC("6", "2"));
    assert_non_null(decider_choose(decider, class_of(higher), higher->key, higher->uid));
    cached_object_unref(higher);
    struct cached_object *itself = make_pod("q", SPEC("5", "2"));
    assert_non_null(decider_choose(decider, class_of(itself), itself->key, itself->uid));
    cached_object_unref(itself);
    preempts(decider, SPEC("5", "2"), "n: a");
    preempts(decider, SPEC("5", "3"), "0/1 nodes are available: 1 Insufficient cpu.");
}

static void who_waits_for_victims_to_leave_chooses_no_others(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "n", "", "", CPUS("4"));
    put_node(decider->cache, "other", "", "", CPUS("4"));
    stands(decider, "b", SPEC("8", "4"), "other");
    struct placed_pod *victim = stand(decider, "a", "", SPEC("1", "4"), "n", 1);
    nominate(decider, "p", SPEC("9", "4"), "n");
    preempts(decider, SPEC("9", "4"), "n: a");
    victim->is_deleting = true; /* By somebody else: that may take long. */
    preempts(decider, SPEC("9", "4"), "n: a");
    victim->is_preempted = true;
    preempts(decider, SPEC("9", "4"),
             "not eligible due to a terminating pod on the nominated node.");
    put_node(decider->cache, "n", "", "\"unschedulable\":true", CPUS("4"));
    preempts(decider, SPEC("9", "4"), "other: b");
    victim->is_deleting = false; /* As it was placed. */
}

static void what_did_not_help_is_asked_again_once_something_is_different(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "n", "", "", CPUS("4"));
    stands(decider, "a", SPEC("9", "4"), "n");
    preempts(decider, SPEC("9", "2"), "0/1 nodes are available: 1 " NO_VICTIMS ".");
    preempts(decider, SPEC("9", "2"), "0/1 nodes are available: 1 " NO_VICTIMS ".");
    put_node(decider->cache, "m", "", "", CPUS("4"));
    stands(decider, "b", SPEC("1", "4"), "m");
    preempts(decider, SPEC("9", "2"), "m: b");
}

/* Spreading is looked at as if the victims were gone. */
static void a_victim_makes_its_zone_less_full(void **state)
{
#define ZONE(name) "\"labels\":{\"zone\":\"" name "\"}"
#define SPREAD                                                                                     \
    ",\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":\"zone\","                     \
    "\"whenUnsatisfiable\":\"DoNotSchedule\",\"labelSelector\":{\"matchLabels\":{\"app\":\"x\"}}}" \
    "]"
    struct decider *decider = *state;
    struct disruption_budgets none = {0};
    put_node(decider->cache, "a", ZONE("a"), "", CPUS("4"));
    put_node(decider->cache, "b", ZONE("b"), "\"unschedulable\":true", CPUS("4"));
    stand(decider, "member", "\"app\":\"x\"", SPEC("3", "1"), "a", 1);
    stand(decider, "other", "\"app\":\"y\"", SPEC("1", "1"), "a", 1);
    struct cached_object *pod =
        make_pod_with("p", "\"labels\":{\"app\":\"x\"}", SPEC("9", "1") SPREAD);
    assert_null(decider_choose(decider, class_of(pod), pod->key, pod->uid));
    struct preemption found = preemption_find(decider, class_of(pod), pod->key, pod->uid, &none);
    assert_non_null(found.node);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.victims[0]->key, "ns/member");
    preemption_clear(&found);
    cached_object_unref(pod);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_is_less_important_makes_way_and_no_more_than_need_be,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(looking_leaves_no_trace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_equals_those_stay_that_started_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_port_is_given_up_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nodes_that_pods_can_not_help_are_told_apart, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            the_least_important_victims_decide_then_their_sum_number_and_age, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_budget_is_violated_only_where_nothing_else_helps, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_never_preempts_does_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            room_made_for_one_is_not_anothers_unless_that_is_more_important, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_waits_for_victims_to_leave_chooses_no_others, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            what_did_not_help_is_asked_again_once_something_is_different, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_victim_makes_its_zone_less_full, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

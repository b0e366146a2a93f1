// SPDX-License-Identifier: Apache-2.0
/* Which changes of the cluster let a pod be tried again that fitted nowhere, and which leave it. */
#include "test/unit/scheduler_harness.h"

#include "scheduler/cluster.h"
#include "scheduler/cycle.h"
#include "scheduler/nominations.h"

#define ROOM(cpu) "\"cpu\":\"" cpu "\",\"pods\":\"110\""
#define TAINTED "\"taints\":[{\"key\":\"k\",\"effect\":\"NoSchedule\"}]"
#define LABEL(name, value) "\"labels\":{\"" name "\":\"" value "\"}"
#define ASKS(priority, cpu) "\"priority\":" priority "," CPU(cpu)

struct world {
    struct decider decider;
    struct queue queue;
    struct cluster cluster;
};

static int set_up(void **state)
{
    struct world *world = allocate_struct(struct world);
    world->decider.cache = node_cache_new();
    world->cluster = (struct cluster){world->decider.cache, &world->queue};
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    struct node_cache *cache = world->decider.cache;
    queue_clear(&world->queue);
    decider_clear(&world->decider);
    nominations_clear(cache);
    free_cache(cache);
    free(world);
    return 0;
}

/* ---- what happens ---- */

static void node(struct world *world, const char *name, const char *metadata, const char *spec,
                 const char *allocatable)
{
    cleanup(json_release)
    json_t *object = make_node(name, metadata, spec, allocatable);
    cluster_put_node(&world->cluster, object);
}

/* The pod is seen with these members of its metadata and spec. */
static void see(struct world *world, const char *name, const char *metadata, const char *spec)
{
    struct cached_object *pod = make_pod_with(name, metadata, spec);
    cluster_pod_changed(&world->cluster, NULL, pod, true);
    cached_object_unref(pod);
}

#define ON(node, spec) "\"nodeName\":\"" node "\"," spec

static void leaves(struct world *world, const char *name)
{
    struct cached_object *pod = make_pod(name, "");
    cluster_pod_changed(&world->cluster, pod, NULL, true);
    cached_object_unref(pod);
}

/* The pod comes, is tried, and fits nowhere. */
static void waits(struct world *world, const char *name, const char *metadata, const char *spec)
{
    see(world, name, metadata, spec);
    struct queued_pod *pod = queue_pop(&world->queue);
    assert_non_null(pod);
    assert_string_equal(pod->key + strlen("ns/"), name);
    assert_null(decider_choose(&world->decider, pod->class, pod->key, pod->uid));
    queue_park(&world->queue, pod, pod->class->failed_plugins);
}

static bool is_tried(struct world *world, const char *name)
{
    cleanup(free_char)
    char *key = format("ns/%s", name);
    queue_wake(&world->queue, 0);
    const struct queued_pod *pod = map_get(&world->queue.pods, key);
    assert_non_null(pod);
    return pod->part != QUEUE_UNSCHEDULABLE;
}

static void left_alone(struct world *world)
{
    assert_false(is_tried(world, "p"));
}

static void tried_again(struct world *world)
{
    assert_true(is_tried(world, "p"));
}

/* ---- nodes ---- */

static void a_node_that_does_not_suit_is_no_reason(void **state)
{
    struct world *world = *state;
    node(world, "n", "", TAINTED, ROOM("4"));
    waits(world, "p", "", CPU("2") ",\"nodeSelector\":{\"disk\":\"ssd\"}");
    node(world, "other", "", "", ROOM("4"));
    node(world, "cordoned", LABEL("disk", "ssd"), "\"unschedulable\":true", ROOM("4"));
    node(world, "tainted", LABEL("disk", "ssd"), TAINTED, ROOM("4"));
    node(world, "small", LABEL("disk", "ssd"), "", ROOM("1"));
    node(world, "full", LABEL("disk", "ssd"), "", "\"cpu\":\"4\",\"pods\":\"0\"");
    left_alone(world);
    node(world, "right", LABEL("disk", "ssd"), "", ROOM("4"));
    tried_again(world);
}

static void a_node_that_changes_is_a_reason_once_it_suits(void **state)
{
    struct world *world = *state;
    node(world, "n", "", TAINTED, ROOM("1"));
    waits(world, "p", "", CPU("2"));
    node(world, "n", "", TAINTED, ROOM("1"));
    node(world, "n", LABEL("a", "b"), "", ROOM("1"));
    node(world, "n", LABEL("a", "b"), TAINTED, ROOM("4"));
    left_alone(world);
    node(world, "n", LABEL("a", "b"), "", ROOM("4"));
    tried_again(world);
}

/* What rejects it changes, one after the other, while it is not tried. */
static void what_else_is_in_the_way_is_not_forgotten(void **state)
{
    struct world *world = *state;
    node(world, "n", "", TAINTED, ROOM("4"));
    see(world, "a", "", ON("n", CPU("3")));
    waits(world, "p", "", CPU("2"));
    node(world, "n", "", "", ROOM("4"));
    left_alone(world);
    leaves(world, "a");
    tried_again(world);
}

static void the_first_node_is_a_reason_for_all(void **state)
{
    struct world *world = *state;
    waits(world, "p", "", CPU("2"));
    node(world, "n", "", TAINTED, ROOM("4"));
    tried_again(world);
}

/* ---- pods ---- */

static void who_leaves_must_leave_enough_where_it_counts(void **state)
{
    struct world *world = *state;
    node(world, "n", "", "", ROOM("4"));
    node(world, "cordoned", "", "\"unschedulable\":true", ROOM("4"));
    see(world, "small", "", ON("n", CPU("1")));
    see(world, "large", "", ON("n", CPU("3")));
    see(world, "elsewhere", "", ON("cordoned", CPU("4")));
    waits(world, "p", "", CPU("2"));
    leaves(world, "elsewhere");
    leaves(world, "small");
    left_alone(world);
    leaves(world, "large");
    tried_again(world);
}

static void two_who_leave_may_help_together(void **state)
{
    struct world *world = *state;
    node(world, "n", "", "", ROOM("4"));
    see(world, "a", "", ON("n", CPU("2")));
    see(world, "b", "", ON("n", CPU("2")));
    waits(world, "p", "", CPU("4"));
    leaves(world, "a");
    left_alone(world);
    leaves(world, "b");
    tried_again(world);
}

static void who_begins_to_end_takes_up_room_still(void **state)
{
    struct world *world = *state;
    node(world, "n", "", "", ROOM("4"));
    see(world, "a", "", ON("n", CPU("4")));
    waits(world, "p", "", CPU("2"));
    see(world, "a", "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"", ON("n", CPU("4")));
    left_alone(world);
    leaves(world, "a");
    tried_again(world);
}

static void who_asks_for_less_from_now_on_frees_room(void **state)
{
    struct world *world = *state;
    node(world, "n", "", "", ROOM("4"));
    see(world, "a", "", ON("n", CPU("4")));
    waits(world, "p", "", CPU("2"));
    see(world, "a", "", ON("n", CPU("2")));
    tried_again(world);
}

static void a_port_matters_to_those_who_want_it(void **state)
{
    struct world *world = *state;
    node(world, "n", "", "", ROOM("4"));
    see(world, "a", "", ON("n", HOST_PORT("80")));
    see(world, "b", "", ON("n", HOST_PORT("81")));
    waits(world, "p", "", HOST_PORT("80"));
    leaves(world, "b");
    left_alone(world);
    leaves(world, "a");
    tried_again(world);
}

static void who_comes_is_no_reason(void **state)
{
    struct world *world = *state;
    node(world, "n", "", "", ROOM("4"));
    see(world, "a", "", ON("n", CPU("3")));
    waits(world, "p", "", CPU("2"));
    see(world, "b", "", ON("n", CPU("1")));
    see(world, "a", "", ON("n", CPU("3")));
    left_alone(world);
}

/* ---- preemption ---- */

static void who_may_preempt_is_helped_by_what_others_are_not(void **state)
{
    struct world *world = *state;
    node(world, "n", "", "", ROOM("4"));
    see(world, "high", "", ON("n", ASKS("9", "2")));
    see(world, "low", "", ON("n", ASKS("1", "2")));
    waits(world, "p", "", ASKS("5", "4"));
    waits(world, "q", "", "\"preemptionPolicy\":\"Never\"," ASKS("5", "4"));
    leaves(world, "high");
    assert_false(is_tried(world, "q"));
    tried_again(world);
}

static void room_made_for_one_is_no_reason_for_another(void **state)
{
    struct world *world = *state;
    node(world, "n", "", "", ROOM("4"));
    see(world, "victim", "", ON("n", ASKS("1", "4")));
    waits(world, "p", "", ASKS("5", "4"));
    waits(world, "q", "", ASKS("5", "4"));
    const struct queued_pod *pod = map_get(&world->queue.pods, "ns/p");
    cluster_nominate(&world->cluster, pod->key, pod->uid, pod->class, "n");
    leaves(world, "victim");
    assert_false(is_tried(world, "q"));
    tried_again(world);
}

static void room_that_is_not_needed_any_more_is_others(void **state)
{
    struct world *world = *state;
    node(world, "n", "", "", ROOM("4"));
    node(world, "m", "", "", ROOM("4"));
    see(world, "victim", "", ON("m", ASKS("1", "4")));
    struct cached_object *pod = make_pod("q", ASKS("5", "4"));
    cluster_nominate(&world->cluster, pod->key, pod->uid, class_of(pod), "n");
    waits(world, "p", "", ASKS("5", "4"));
    cluster_nominate(&world->cluster, pod->key, pod->uid, class_of(pod), "n");
    left_alone(world);
    cluster_nominate(&world->cluster, pod->key, pod->uid, class_of(pod), "m");
    tried_again(world);
    cached_object_unref(pod);
}

/* ---- pods among pods ---- */

#define SPREAD                                                                                     \
    CPU("1")                                                                                       \
    ",\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":\"zone\","                     \
    "\"whenUnsatisfiable\":\"DoNotSchedule\",\"labelSelector\":{\"matchLabels\":{\"app\":\"x\"}}}" \
    "]"

/* A pod "p" that is refused because zone "a" has one of its group more than zone "b". */
static void waits_for_balance(struct world *world)
{
    node(world, "a", LABEL("zone", "a"), "", ROOM("4"));
    node(world, "b", LABEL("zone", "b"), "\"unschedulable\":true", ROOM("4"));
    see(world, "member", LABEL("app", "x"), ON("a", CPU("1")));
    see(world, "other", LABEL("app", "y"), ON("b", CPU("1")));
    waits(world, "p", LABEL("app", "x"), SPREAD);
}

static void who_is_to_be_spread_heeds_its_group_alone(void **state)
{
    struct world *world = *state;
    waits_for_balance(world);
    leaves(world, "other");
    left_alone(world);
    leaves(world, "member");
    tried_again(world);
}

static void a_member_that_begins_to_end_counts_no_more(void **state)
{
    struct world *world = *state;
    waits_for_balance(world);
    see(world, "member", "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"," LABEL("app", "x"),
        ON("a", CPU("1")));
    tried_again(world);
}

static void a_member_that_comes_evens_it_out(void **state)
{
    struct world *world = *state;
    waits_for_balance(world);
    see(world, "stranger", LABEL("app", "y"), ON("b", CPU("1")));
    left_alone(world);
    see(world, "second", LABEL("app", "x"), ON("b", CPU("1")));
    tried_again(world);
}

#define AWAY_FROM(app)                                                                             \
    CPU("1")                                                                                       \
    ",\"affinity\":{\"podAntiAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{"    \
    "\"topologyKey\":\"zone\",\"labelSelector\":{\"matchLabels\":{\"app\":\"" app "\"}}}]}}"

static void who_keeps_away_from_some_heeds_them_alone(void **state)
{
    struct world *world = *state;
    node(world, "a", LABEL("zone", "a"), "", ROOM("4"));
    see(world, "foe", LABEL("app", "x"), ON("a", CPU("1")));
    see(world, "friend", LABEL("app", "y"), ON("a", CPU("1")));
    waits(world, "p", LABEL("app", "z"), AWAY_FROM("x"));
    leaves(world, "friend");
    left_alone(world);
    leaves(world, "foe");
    tried_again(world);
}

static void who_is_kept_away_heeds_those_who_do(void **state)
{
    struct world *world = *state;
    node(world, "a", LABEL("zone", "a"), "", ROOM("4"));
    see(world, "foe", LABEL("app", "x"), ON("a", AWAY_FROM("z")));
    see(world, "friend", LABEL("app", "y"), ON("a", AWAY_FROM("x2")));
    waits(world, "p", LABEL("app", "z"), CPU("1"));
    leaves(world, "friend");
    left_alone(world);
    leaves(world, "foe");
    tried_again(world);
}

static void who_wants_company_heeds_those_who_come(void **state)
{
    struct world *world = *state;
    node(world, "a", LABEL("zone", "a"), "", ROOM("4"));
    waits(world, "p", LABEL("app", "z"),
          CPU("1") ",\"affinity\":{\"podAffinity\":{"
                   "\"requiredDuringSchedulingIgnoredDuringExecution\":[{\"topologyKey\":\"zone\","
                   "\"labelSelector\":{\"matchLabels\":{\"app\":\"x\"}}}]}}");
    see(world, "stranger", LABEL("app", "y"), ON("a", CPU("1")));
    left_alone(world);
    see(world, "company", LABEL("app", "x"), ON("a", CPU("1")));
    tried_again(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_node_that_does_not_suit_is_no_reason, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_node_that_changes_is_a_reason_once_it_suits, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_else_is_in_the_way_is_not_forgotten, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_first_node_is_a_reason_for_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_leaves_must_leave_enough_where_it_counts, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(two_who_leave_may_help_together, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_begins_to_end_takes_up_room_still, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_asks_for_less_from_now_on_frees_room, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_port_matters_to_those_who_want_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_comes_is_no_reason, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_may_preempt_is_helped_by_what_others_are_not, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(room_made_for_one_is_no_reason_for_another, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(room_that_is_not_needed_any_more_is_others, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_is_to_be_spread_heeds_its_group_alone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_member_that_begins_to_end_counts_no_more, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_member_that_comes_evens_it_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_keeps_away_from_some_heeds_them_alone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_is_kept_away_heeds_those_who_do, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_wants_company_heeds_those_who_come, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

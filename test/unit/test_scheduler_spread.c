// SPDX-License-Identifier: Apache-2.0
/* Where pods may stand, and would rather, by their own topologySpreadConstraints. */
#include "test/unit/scheduler_harness.h"

#include "scheduler/cycle.h"
#include "scheduler/queue.h"
#include "scheduler/spread_constraints.h"

#define ROOM "\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"110\""
#define ZONE "topology.kubernetes.io/zone"
#define WEB "\"labelSelector\":{\"matchLabels\":{\"app\":\"web\"}}"
#define UNEVEN "node(s) didn't match pod topology spread constraints"
#define UNLABELED UNEVEN " (missing required label)"
/* The spec of a pod with these constraints. */
#define SPREAD(constraints) "\"containers\":[{}],\"topologySpreadConstraints\":[" constraints "]"
#define REQUIRE(key, skew, more)                                                                   \
    "{\"topologyKey\":\"" key "\",\"maxSkew\":" skew ",\"whenUnsatisfiable\":\"DoNotSchedule\""    \
    "," more "}"
#define PREFER(key, skew, more)                                                                    \
    "{\"topologyKey\":\"" key "\",\"maxSkew\":" skew ",\"whenUnsatisfiable\":\"ScheduleAnyway\""   \
    "," more "}"

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

static void add_node(struct decider *decider, const char *name, const char *zone, const char *spec)
{
    cleanup(free_char)
    char *labels =
        zone != NULL ? format("\"labels\":{\"kubernetes.io/hostname\":\"%s\",\"" ZONE "\":\"%s\"}",
                              name, zone)
                     : format("\"labels\":{\"kubernetes.io/hostname\":\"%s\"}", name);
    put_node(decider->cache, name, labels, spec, ROOM);
}

/* As many pods with these labels stand on the node from now on. */
static void stand(struct decider *decider, const char *labels, const char *node, int count)
{
    static unsigned serial;
    cleanup(free_char)
    char *metadata = format("\"labels\":{%s}", labels);
    for (int i = 0; i < count; i++) {
        cleanup(free_char)
        char *name = format("s%u", ++serial);
        cleanup(cached_object_release)
        struct cached_object *pod = make_pod_with(name, metadata, "\"containers\":[{}]");
        place(decider->cache, pod, node);
    }
}

static void webs(struct decider *decider, const char *node, int count)
{
    stand(decider, "\"app\":\"web\"", node, count);
}

static struct cached_object *pod_of_labels(const char *labels, const char *spec)
{
    cleanup(free_char)
    char *metadata = format("\"labels\":{%s}", labels);
    return make_pod_with("p", metadata, spec);
}

/* The node that a pod with these labels gets, "" when none; it isn't placed. */
static const char *choose_as(struct decider *decider, const char *labels, const char *spec)
{
    cleanup(cached_object_release)
    struct cached_object *pod = pod_of_labels(labels, spec);
    const struct node *node = decider_choose(decider, class_of(pod), pod->key, pod->uid);
    return node != NULL ? node->name : "";
}

static const char *choose(struct decider *decider, const char *spec)
{
    return choose_as(decider, "\"app\":\"web\"", spec);
}

static void refused(struct decider *decider, const char *spec, const char *why)
{
    cleanup(cached_object_release)
    struct cached_object *pod = pod_of_labels("\"app\":\"web\"", spec);
    assert_null(decider_choose(decider, class_of(pod), pod->key, pod->uid));
    assert_string_equal(class_of(pod)->failure, why);
}

/* It may stand on this node, however much others are to be liked. */
static bool may_stand(struct decider *decider, const char *labels, const char *spec,
                      const char *name)
{
    cleanup(free_char)
    char *pinned =
        format("%s,\"affinity\":{\"nodeAffinity\":{"
               "\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\""
               ":[{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\","
               "\"values\":[\"%s\"]}]}]}}}",
               spec, name);
    return strcmp(choose_as(decider, labels, pinned), name) == 0;
}

static bool web_may_stand(struct decider *decider, const char *spec, const char *name)
{
    return may_stand(decider, "\"app\":\"web\"", spec, name);
}

/* Zones a, b and c with 3, 1 and 2 pods of the group; in a on two nodes. */
static void three_zones(struct decider *decider)
{
    add_node(decider, "a1", "a", "");
    add_node(decider, "a2", "a", "");
    add_node(decider, "b1", "b", "");
    add_node(decider, "c1", "c", "");
    webs(decider, "a1", 2);
    webs(decider, "a2", 1);
    webs(decider, "b1", 1);
    webs(decider, "c1", 2);
}

#define ANY_NODE ",\"nodeAffinityPolicy\":\"Ignore\""

static void the_skew_is_counted_with_the_pod_and_from_the_emptiest_domain(void **state)
{
    static const char one[] = SPREAD(REQUIRE(ZONE, "1", WEB ANY_NODE));
    static const char two[] = SPREAD(REQUIRE(ZONE, "2", WEB ANY_NODE));
    static const char three[] = SPREAD(REQUIRE(ZONE, "3", WEB ANY_NODE));
    three_zones(*state);
    assert_true(web_may_stand(*state, one, "b1"));
    assert_false(web_may_stand(*state, one, "c1"));
    assert_true(web_may_stand(*state, two, "c1"));
    assert_false(web_may_stand(*state, two, "a1"));
    assert_false(web_may_stand(*state, two, "a2"));
    assert_true(web_may_stand(*state, three, "a1"));
    assert_true(web_may_stand(*state, three, "a2"));
}

static void a_pod_that_its_selector_leaves_out_adds_nothing(void **state)
{
    static const char one[] = SPREAD(REQUIRE(ZONE, "1", WEB ANY_NODE));
    three_zones(*state);
    assert_true(may_stand(*state, "\"app\":\"db\"", one, "c1"));
    assert_false(may_stand(*state, "\"app\":\"db\"", one, "a1"));
}

static void pods_fill_domains_in_turn(void **state)
{
    struct decider *decider = *state;
    static const char spec[] = SPREAD(REQUIRE(ZONE, "1", WEB));
    add_node(decider, "a1", "a", "");
    add_node(decider, "b1", "b", "");
    add_node(decider, "c1", "c", "");
    char filled[10] = "";
    for (int i = 0; i < 9; i++) {
        const char *name = choose(decider, spec);
        filled[i] = name[0];
        webs(decider, name, 1);
    }
    for (int i = 0; i < 9; i += 3) {
        assert_int_equal(filled[i] + filled[i + 1] + filled[i + 2], 'a' + 'b' + 'c');
        assert_true(filled[i] != filled[i + 1] && filled[i + 1] != filled[i + 2]);
    }
}

static void what_is_being_deleted_or_elsewhere_does_not_count(void **state)
{
    struct decider *decider = *state;
    add_node(decider, "a1", "a", "");
    add_node(decider, "b1", "b", "");
    cleanup(cached_object_release)
    struct cached_object *pod = make_pod_with("going", "\"labels\":{\"app\":\"web\"}", "");
    node_cache_place(decider->cache, pod->key, pod->uid, class_of(pod), "a1", false, true);
    stand(decider, "\"app\":\"db\"", "a1", 3);
    static const char spec[] = SPREAD(REQUIRE(ZONE, "1", WEB ANY_NODE));
    assert_true(web_may_stand(decider, spec, "a1"));
    webs(decider, "a1", 1);
    assert_false(web_may_stand(decider, spec, "a1"));
}

static void a_node_without_the_key_is_refused_and_its_pods_do_not_count(void **state)
{
    struct decider *decider = *state;
    static const char both[] = SPREAD(REQUIRE(ZONE, "1", WEB) "," REQUIRE("rack", "1", WEB));
    add_node(decider, "bare", NULL, "");
    webs(decider, "bare", 5);
    refused(decider, SPREAD(REQUIRE(ZONE, "1", WEB)), "0/1 nodes are available: 1 " UNLABELED ".");
    add_node(decider, "a1", "a", "");
    assert_string_equal(choose(decider, SPREAD(REQUIRE(ZONE, "1", WEB))), "a1");
    refused(decider, both, "0/2 nodes are available: 2 " UNLABELED ".");
    /* What has one of two keys doesn't count for that one either: zone a is no emptier domain. */
    put_node(decider->cache, "b1", "\"labels\":{\"" ZONE "\":\"b\",\"rack\":\"1\"}", "", ROOM);
    webs(decider, "b1", 1);
    assert_string_equal(choose(decider, both), "b1");
}

static void fewer_domains_than_wanted_count_as_if_one_were_empty(void **state)
{
    struct decider *decider = *state;
    static const char three[] = SPREAD(REQUIRE(ZONE, "1", WEB ",\"minDomains\":3"));
    static const char two[] = SPREAD(REQUIRE(ZONE, "1", WEB ",\"minDomains\":2"));
    add_node(decider, "a1", "a", "");
    add_node(decider, "b1", "b", "");
    webs(decider, "a1", 1);
    webs(decider, "b1", 1);
    assert_string_not_equal(choose(decider, two), "");
    refused(decider, three, "0/2 nodes are available: 2 " UNEVEN ".");
    add_node(decider, "c1", "c", "");
    assert_string_equal(choose(decider, three), "c1");
}

static void nodes_that_the_pod_does_not_select_count_only_if_it_says_so(void **state)
{
    struct decider *decider = *state;
    add_node(decider, "a1", "a", "");
    add_node(decider, "b1", "b", "");
    webs(decider, "a1", 1);
    static const char selects[] = ",\"nodeSelector\":{\"" ZONE "\":\"a\"}";
    cleanup(free_char)
    char *honors = format("%s%s", SPREAD(REQUIRE(ZONE, "1", WEB)), selects);
    cleanup(free_char)
    char *ignores = format("%s%s", SPREAD(REQUIRE(ZONE, "1", WEB ANY_NODE)), selects);
    assert_string_equal(choose(decider, honors), "a1"); /* a is the only domain. */
    refused(decider, ignores,
            "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
            "1 " UNEVEN ".");
}

static void nodes_with_taints_count_unless_it_says_otherwise(void **state)
{
    struct decider *decider = *state;
    add_node(decider, "a1", "a", "");
    add_node(decider, "b1", "b", "\"taints\":[{\"key\":\"k\",\"effect\":\"NoSchedule\"}]");
    webs(decider, "a1", 1);
    refused(decider, SPREAD(REQUIRE(ZONE, "1", WEB)),
            "0/2 nodes are available: 1 " UNEVEN ", 1 node(s) had untolerated taint {k: }.");
    static const char honors[] = SPREAD(REQUIRE(ZONE, "1", WEB ",\"nodeTaintsPolicy\":\"Honor\""));
    assert_string_equal(choose(decider, honors), "a1");
    assert_string_equal(
        choose(decider,
               SPREAD(REQUIRE(ZONE, "1",
                              WEB
                              ",\"nodeTaintsPolicy\":\"Honor\"")) ","
                                                                  "\"tolerations\":[{\"key\":\"k\","
                                                                  "\"operator\":\"Exists\"}]"),
        "b1");
}

static void only_pods_that_agree_in_the_matched_labels_count(void **state)
{
    struct decider *decider = *state;
    static const char spec[] =
        SPREAD(REQUIRE(ZONE, "1", WEB ANY_NODE ",\"matchLabelKeys\":[\"hash\",\"absent\"]"));
    add_node(decider, "a1", "a", "");
    add_node(decider, "b1", "b", "");
    stand(decider, "\"app\":\"web\",\"hash\":\"old\"", "a1", 3);
    assert_true(may_stand(decider, "\"app\":\"web\",\"hash\":\"new\"", spec, "a1"));
    assert_false(may_stand(decider, "\"app\":\"web\",\"hash\":\"old\"", spec, "a1"));
    assert_false(may_stand(decider, "\"app\":\"web\"", spec, "a1"));
}

static void without_a_selector_no_pod_counts(void **state)
{
    struct decider *decider = *state;
    add_node(decider, "a1", "a", "");
    add_node(decider, "b1", "b", "");
    webs(decider, "a1", 5);
    assert_true(web_may_stand(
        decider, SPREAD(REQUIRE(ZONE, "1", "\"nodeAffinityPolicy\":\"Ignore\"")), "a1"));
    assert_true(
        web_may_stand(decider, SPREAD(REQUIRE(ZONE, "1", "\"labelSelector\":{}" ANY_NODE)), "a1"));
}

static void all_constraints_must_hold(void **state)
{
    struct decider *decider = *state;
    three_zones(decider);
    static const char spec[] =
        SPREAD(REQUIRE(ZONE, "3", WEB) "," REQUIRE("kubernetes.io/hostname", "1", WEB));
    webs(decider, "b1", 1); /* Zones: 3, 2, 2. Nodes: 2, 1, 2, 2. */
    assert_string_equal(choose(decider, spec), "a2");
    static const char stricter[] =
        SPREAD(REQUIRE(ZONE, "1", WEB) "," REQUIRE("kubernetes.io/hostname", "1", WEB));
    refused(decider, stricter, "0/4 nodes are available: 4 " UNEVEN ".");
}

static void a_changed_node_is_in_its_new_domain(void **state)
{
    struct decider *decider = *state;
    static const char spec[] = SPREAD(REQUIRE(ZONE, "1", WEB));
    add_node(decider, "a1", "a", "");
    add_node(decider, "b1", "b", "\"unschedulable\":true");
    webs(decider, "a1", 1);
    assert_string_equal(choose(decider, spec), "");
    add_node(decider, "b1", "a", "\"unschedulable\":true");
    assert_string_equal(choose(decider, spec), "a1"); /* The only domain now. */
    add_node(decider, "b1", "b", "\"unschedulable\":true");
    assert_string_equal(choose(decider, spec), "");
    node_cache_remove_node(decider->cache, "b1");
    assert_string_equal(choose(decider, spec), "a1");
}

static void domains_that_come_and_go_leave_nothing_behind(void **state)
{
    struct decider *decider = *state;
    cleanup(cached_object_release)
    struct cached_object *pod = pod_of_labels("\"app\":\"web\"", SPREAD(REQUIRE(ZONE, "1", WEB)));
    size_t most = 0;
    for (int i = 0; i < 500; i++) {
        cleanup(free_char)
        char *zone = format("z%d", i);
        add_node(decider, "n", zone, "");
        assert_non_null(decider_choose(decider, class_of(pod), pod->key, pod->uid));
        size_t count = class_of(pod)->spread->list[0].domains.count;
        most = count > most ? count : most;
    }
    assert_in_range(most, 1, 100);
}

static void preferred_spreading_gives_way_but_outweighs_what_is_left(void **state)
{
    struct decider *decider = *state;
    static const char spec[] = SPREAD(PREFER(ZONE, "1", WEB));
    add_node(decider, "a1", "a", "");
    add_node(decider, "b1", "b", "");
    webs(decider, "a1", 1);
    cleanup(cached_object_release)
    struct cached_object *other = make_pod("other", CPU("2"));
    place(decider->cache, other, "b1");
    assert_string_equal(choose(decider, spec), "b1");
    add_node(decider, "b1", "b", "\"unschedulable\":true");
    assert_string_equal(choose(decider, spec), "a1");
}

static void a_node_without_the_key_is_the_last_to_be_preferred(void **state)
{
    struct decider *decider = *state;
    add_node(decider, "bare", NULL, "");
    add_node(decider, "a1", "a", "");
    add_node(decider, "b1", "b", "");
    webs(decider, "a1", 1);
    webs(decider, "b1", 1);
    assert_string_not_equal(choose(decider, SPREAD(PREFER(ZONE, "1", WEB))), "bare");
    assert_string_equal(choose(decider, SPREAD(PREFER("kubernetes.io/hostname", "1", WEB))),
                        "bare");
    /* One key of two is not enough: the nodes with both go first, full as they are. */
    static const char both[] = SPREAD(PREFER("rack", "1", WEB) "," PREFER(ZONE, "5", WEB));
    put_node(decider->cache, "c1", "\"labels\":{\"" ZONE "\":\"c\",\"rack\":\"1\"}", "", ROOM);
    webs(decider, "c1", 9);
    assert_string_equal(choose(decider, both), "c1");
}

/* By itself the default spreading would choose the other node. */
static void own_constraints_stand_in_for_the_default_ones(void **state)
{
    struct decider *decider = *state;
    add_node(decider, "a1", "a", "");
    add_node(decider, "b1", "b", "");
    webs(decider, "a1", 1);
    stand(decider, "\"app\":\"db\"", "b1", 3);
    cleanup(cached_object_release)
    struct cached_object *pod = pod_of_labels(
        "\"app\":\"web\"",
        SPREAD(PREFER(ZONE, "1", "\"labelSelector\":{\"matchLabels\":{\"app\":\"db\"}}")));
    struct selector **selectors = allocate(sizeof(struct selector *));
    cleanup(json_release)
    json_t *labels = json_pack("{s:s}", "app", "web");
    selectors[0] = selector_from_map(labels);
    node_cache_know_class(decider->cache, class_of(pod));
    class_of(pod)->group = node_cache_group(decider->cache, "ns", "web", selectors, 1);
    const struct node *node = decider_choose(decider, class_of(pod), pod->key, pod->uid);
    assert_string_equal(node->name, "a1");
}

/* A pod that failed is asked again after one of the group came, and only then. */
static void a_pod_of_the_group_that_comes_may_help(void **state)
{
    struct decider *decider = *state;
    add_node(decider, "a1", "a", "");
    add_node(decider, "b1", "b", "\"unschedulable\":true");
    webs(decider, "a1", 1);
    cleanup(cached_object_release)
    struct cached_object *pod = pod_of_labels("\"app\":\"web\"", SPREAD(REQUIRE(ZONE, "1", WEB)));
    assert_null(decider_choose(decider, class_of(pod), pod->key, pod->uid));
    uint64_t joined = decider->cache->joined, freed = decider->cache->freed;
    stand(decider, "\"app\":\"db\"", "b1", 1);
    assert_int_equal(decider->cache->joined, joined);
    assert_int_equal(decider->cache->freed, freed);
    webs(decider, "b1", 1);
    assert_true(decider->cache->joined > joined);
    assert_non_null(decider_choose(decider, class_of(pod), pod->key, pod->uid));
}

static void events_wake_who_was_refused_for_other_pods_and_nobody_else(void **state)
{
    (void)state;
    static const unsigned events[] = {EVENT_NODE, EVENT_NODE_LEFT, EVENT_POD_LEFT, EVENT_POD_CAME};
    for (size_t i = 0; i < array_length(events); i++) {
        for (size_t n = 0; plugins[n] != NULL; n++) {
            struct queue queue = {0};
            cleanup(cached_object_release)
            struct cached_object *pod = make_pod("p", "\"containers\":[{}]");
            queue_put(&queue, pod->key, pod->uid, class_of(pod));
            queue_park(&queue, queue_pop(&queue), UINT32_C(1) << n);
            queue_note_event(&queue, events[i]);
            queue_wake(&queue, 0);
            bool is_spread = strcmp(plugins[n]->name, "PodTopologySpread") == 0 ||
                             strcmp(plugins[n]->name, "InterPodAffinity") == 0;
            bool is_woken = queue.counts[QUEUE_UNSCHEDULABLE] == 0;
            assert_true(is_woken || !is_spread);
            assert_false(is_woken && !is_spread &&
                         (events[i] == EVENT_POD_CAME || events[i] == EVENT_NODE_LEFT));
            queue_clear(&queue);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_skew_is_counted_with_the_pod_and_from_the_emptiest_domain),
        TEST(a_pod_that_its_selector_leaves_out_adds_nothing),
        TEST(pods_fill_domains_in_turn),
        TEST(what_is_being_deleted_or_elsewhere_does_not_count),
        TEST(a_node_without_the_key_is_refused_and_its_pods_do_not_count),
        TEST(fewer_domains_than_wanted_count_as_if_one_were_empty),
        TEST(nodes_that_the_pod_does_not_select_count_only_if_it_says_so),
        TEST(nodes_with_taints_count_unless_it_says_otherwise),
        TEST(only_pods_that_agree_in_the_matched_labels_count),
        TEST(without_a_selector_no_pod_counts),
        TEST(all_constraints_must_hold),
        TEST(a_changed_node_is_in_its_new_domain),
        TEST(domains_that_come_and_go_leave_nothing_behind),
        TEST(preferred_spreading_gives_way_but_outweighs_what_is_left),
        TEST(a_node_without_the_key_is_the_last_to_be_preferred),
        TEST(own_constraints_stand_in_for_the_default_ones),
        TEST(a_pod_of_the_group_that_comes_may_help),
        TEST(events_wake_who_was_refused_for_other_pods_and_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

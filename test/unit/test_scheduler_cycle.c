// SPDX-License-Identifier: Apache-2.0
/* Which node a pod gets, and what is said when it gets none. */
#include "test/unit/scheduler_harness.h"

#include "scheduler/cycle.h"
#include "scheduler/node_images.h"

#define ROOM "\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"110\""
#define PLAIN "\"containers\":[{}]"

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

/* The name of the node that a pod with this spec gets, "" when none; it isn't placed. */
static const char *choose(struct decider *decider, const char *spec)
{
    struct cached_object *pod = make_pod("p", spec);
    const struct node *node = decider_choose(decider, class_of(pod), pod->key, pod->uid);
    cached_object_unref(pod);
    return node != NULL ? node->name : "";
}

/* No node fits, and this is why. */
static void refused(struct decider *decider, const char *spec, const char *why)
{
    struct cached_object *pod = make_pod("p", spec);
    assert_null(decider_choose(decider, class_of(pod), pod->key, pod->uid));
    assert_string_equal(class_of(pod)->failure, why);
    cached_object_unref(pod);
}

static bool rejected_by(const struct pod_class *class, const char *name)
{
    for (size_t i = 0; plugins[i] != NULL; i++) {
        if (strcmp(plugins[i]->name, name) == 0) {
            return (class->failed_plugins >> i & 1) != 0;
        }
    }
    return false;
}

/* A pod stands on the node from now on. */
static void stand(struct decider *decider, const char *name, const char *spec, const char *node)
{
    struct cached_object *pod = make_pod(name, spec);
    place(decider->cache, pod, node);
    cached_object_unref(pod);
}

static void without_nodes_nothing_fits(void **state)
{
    refused(*state, PLAIN, "no nodes available to schedule pods");
}

static void a_node_that_pods_name_but_nobody_made_is_no_node(void **state)
{
    stand(*state, "ghost", PLAIN, "n");
    refused(*state, PLAIN, "no nodes available to schedule pods");
}

static void each_resource_that_is_short_is_named(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "a", "", "", "\"cpu\":\"1\",\"memory\":\"1Gi\",\"pods\":\"0\"");
    refused(decider,
            "\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"2\",\"memory\":\"2Gi\","
            "\"ephemeral-storage\":\"1\",\"example.com/gpu\":\"1\"}}}]",
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient ephemeral-storage, "
            "1 Insufficient example.com/gpu, 1 Insufficient memory, 1 Too many pods.");
}

static void what_pods_have_taken_up_is_not_there(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "a", "", "", ROOM);
    stand(decider, "first", CPU("3"), "a");
    assert_string_equal(choose(decider, CPU("1")), "a");
    refused(decider, CPU("1001m"), "0/1 nodes are available: 1 Insufficient cpu.");
    node_cache_unplace(decider->cache, "ns/first", NULL);
    assert_string_equal(choose(decider, CPU("1001m")), "a");
}

static void who_asks_for_nothing_fits_a_node_that_is_overcommitted(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "a", "", "", ROOM);
    stand(decider, "too-much", CPU("9"), "a");
    assert_string_equal(choose(decider, PLAIN), "a");
    refused(decider, CPU("1m"), "0/1 nodes are available: 1 Insufficient cpu.");
}

static void pods_are_counted(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "a", "", "", "\"pods\":\"2\"");
    stand(decider, "1", PLAIN, "a");
    assert_string_equal(choose(decider, PLAIN), "a");
    stand(decider, "2", PLAIN, "a");
    refused(decider, PLAIN, "0/1 nodes are available: 1 Too many pods.");
}

static void who_asks_for_more_than_anything_has_fits_nowhere(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "a", "", "", "\"memory\":\"7Ei\",\"pods\":\"9\"");
    refused(decider, "\"containers\":[{\"resources\":{\"requests\":{\"memory\":\"7.5Ei\"}}}]",
            "0/1 nodes are available: 1 Insufficient memory.");
}

static void every_kind_of_reason_in_upstreams_order(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "cordoned", "", "\"unschedulable\":true", ROOM);
    put_node(decider->cache, "tainted", "",
             "\"taints\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]", ROOM);
    put_node(decider->cache, "tainted2", "",
             "\"taints\":[{\"key\":\"k\",\"effect\":\"NoExecute\"}]", ROOM);
    put_node(decider->cache, "wrong", "", "", ROOM);
    put_node(decider->cache, "port", "\"labels\":{\"l\":\"1\"}", "", ROOM);
    put_node(decider->cache, "small", "\"labels\":{\"l\":\"1\"}", "", "\"pods\":\"0\"");
    stand(decider, "taker", HOST_PORT("80"), "port");
    refused(decider, HOST_PORT("80") ",\"nodeSelector\":{\"l\":\"1\"}",
            "0/6 nodes are available: 1 Too many pods, 1 node(s) didn't have free ports for the "
            "requested pod ports, 1 node(s) didn't match Pod's node affinity/selector, "
            "1 node(s) had untolerated taint {k: v}, 1 node(s) had untolerated taint {k: }, "
            "1 node(s) were unschedulable.");
}

static void nodes_that_a_pod_does_not_name_are_told_apart(void **state)
{
#define NAMED(name)                                                                                \
    PLAIN ",\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":"   \
          "{\"nodeSelectorTerms\":[{\"matchFields\":[{\"key\":\"metadata.name\","                  \
          "\"operator\":\"In\",\"values\":[\"" name "\"]}]}]}}}"
    struct decider *decider = *state;
    put_node(decider->cache, "a", "", "", "\"pods\":\"0\"");
    put_node(decider->cache, "b", "", "\"unschedulable\":true", ROOM);
    put_node(decider->cache, "c", "", "", ROOM);
    refused(decider, NAMED("a"),
            "0/3 nodes are available: 1 Too many pods, 2 node(s) didn't satisfy plugin(s) "
            "[NodeAffinity].");
    assert_string_equal(choose(decider, NAMED("c")), "c");
}

static void the_plugins_that_rejected_are_noted(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "a", "", "\"unschedulable\":true", ROOM);
    put_node(decider->cache, "b", "", "", "\"pods\":\"0\"");
    struct cached_object *pod = make_pod("p", PLAIN);
    assert_null(decider_choose(decider, class_of(pod), pod->key, pod->uid));
    assert_true(rejected_by(class_of(pod), "NodeUnschedulable"));
    assert_true(rejected_by(class_of(pod), "NodeResourcesFit"));
    assert_false(rejected_by(class_of(pod), "NodeAffinity"));
    cached_object_unref(pod);
}

static void who_tolerates_it_may_stand_on_a_cordoned_node(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "a", "",
             "\"unschedulable\":true,\"taints\":[{\"key\":\"node.kubernetes.io/unschedulable\","
             "\"effect\":\"NoSchedule\"}]",
             ROOM);
    refused(decider, PLAIN, "0/1 nodes are available: 1 node(s) were unschedulable.");
    assert_string_equal(choose(decider, PLAIN
                               ",\"tolerations\":[{\"key\":\"node.kubernetes.io/unschedulable\","
                               "\"operator\":\"Exists\"}]"),
                        "a");
}

static void ports_conflict_by_number_protocol_and_address(void **state)
{
#define PORT(more) "\"containers\":[{\"ports\":[{\"hostPort\":80" more "}]}]"
    struct decider *decider = *state;
    put_node(decider->cache, "a", "", "", ROOM);
    stand(decider, "taker", PORT(",\"hostIP\":\"10.0.0.1\""), "a");
    static const char why[] = "0/1 nodes are available: 1 node(s) didn't have free ports for the "
                              "requested pod ports.";
    refused(decider, PORT(""), why);
    refused(decider, PORT(",\"hostIP\":\"0.0.0.0\""), why);
    refused(decider, PORT(",\"hostIP\":\"10.0.0.1\",\"protocol\":\"TCP\""), why);
    assert_string_equal(choose(decider, PORT(",\"hostIP\":\"10.0.0.2\"")), "a");
    assert_string_equal(choose(decider, PORT(",\"protocol\":\"UDP\"")), "a");
    assert_string_equal(choose(decider, HOST_PORT("81")), "a");
}

static void a_sidecars_port_is_taken_but_not_an_init_containers(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "a", "", "", ROOM);
    stand(decider, "taker",
          PLAIN ",\"initContainers\":[{\"ports\":[{\"hostPort\":80}]},"
                "{\"restartPolicy\":\"Always\",\"ports\":[{\"hostPort\":81}]}]",
          "a");
    assert_string_equal(choose(decider, HOST_PORT("80")), "a");
    assert_string_equal(choose(decider, HOST_PORT("81")), "");
}

static void the_node_with_more_left_is_better(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "a", "", "", ROOM);
    put_node(decider->cache, "b", "", "", ROOM);
    stand(decider, "1", CPU("2"), "a");
    assert_string_equal(choose(decider, CPU("1")), "b");
    stand(decider, "2", CPU("3"), "b");
    assert_string_equal(choose(decider, CPU("1")), "a");
}

static void pods_that_ask_for_nothing_are_spread_too(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "a", "", "", ROOM);
    put_node(decider->cache, "b", "", "", ROOM);
    stand(decider, "1", PLAIN, "a");
    assert_string_equal(choose(decider, PLAIN), "b");
}

static void preferred_affinity_outweighs_what_is_left(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "a", "\"labels\":{\"disk\":\"ssd\"}", "", ROOM);
    put_node(decider->cache, "b", "", "", ROOM);
    stand(decider, "1", CPU("2"), "a");
    assert_string_equal(
        choose(decider, PLAIN ",\"affinity\":{\"nodeAffinity\":"
                              "{\"preferredDuringSchedulingIgnoredDuringExecution\":[{\"weight\":1,"
                              "\"preference\":{\"matchExpressions\":[{\"key\":\"disk\","
                              "\"operator\":\"Exists\"}]}}]}}"),
        "a");
}

static void taints_that_prefer_no_pods_are_avoided(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "a", "",
             "\"taints\":[{\"key\":\"k\",\"effect\":\"PreferNoSchedule\"}]", ROOM);
    put_node(decider->cache, "b", "", "", ROOM);
    stand(decider, "1", CPU("3"), "b");
    assert_string_equal(choose(decider, PLAIN), "b");
    assert_string_equal(
        choose(decider, PLAIN ",\"tolerations\":[{\"key\":\"k\",\"operator\":\"Exists\"}]"), "a");
}

static void hold_image(struct decider *decider, const char *node, const char *name, int mebibytes)
{
    cleanup(free_char)
    char *text = format("[{\"names\":[\"x@sha256:1\",\"%s\"],\"sizeBytes\":%lld}]", name,
                        (long long)mebibytes << 20);
    node_images_put(decider->cache, node_cache_node(decider->cache, node), text, strlen(text));
}

/* The plugin's score of the first node for a pod with these containers, -1 when all are equal. */
static int64_t image_score(struct decider *decider, const char *spec)
{
    int64_t scores[10];
    cleanup(cached_object_release)
    struct cached_object *pod = make_pod("p", spec);
    struct cycle cycle = {.cache = decider->cache,
                          .class = class_of(pod),
                          .nodes = decider->cache->nodes,
                          .node_count = decider->cache->node_slots};
    return plugin_image_locality.score(&cycle, scores) ? scores[0] : -1;
}

static void a_node_that_holds_the_image_is_better(void **state)
{
    static const char spec[] = "\"containers\":[{\"image\":\"r:5000/web\"}]";
    struct decider *decider = *state;
    put_node(decider->cache, "a", "", "", ROOM);
    put_node(decider->cache, "b", "", "", ROOM);
    assert_int_equal(image_score(decider, spec), -1);
    hold_image(decider, "a", "r:5000/web:latest", 1046);
    assert_int_equal(image_score(decider, spec), 51); /* 100 * (1046 / 2 - 23) / (1000 - 23) */
    assert_int_equal(image_score(decider, "\"initContainers\":[{\"image\":\"y:1\"}],"
                                          "\"containers\":[{\"image\":\"r:5000/web:latest\"}]"),
                     25); /* Of two images at most 2,000 MiB. */
    assert_int_equal(image_score(decider, "\"containers\":[{\"image\":\"web:1\"}]"), -1);
    assert_string_equal(choose(decider, spec), "a");
    hold_image(decider, "b", "r:5000/web:latest", 1046);
    assert_int_equal(image_score(decider, spec), 100);
    hold_image(decider, "b", "other:1", 1);
    hold_image(decider, "a", "other:1", 1);
    assert_int_equal(image_score(decider, spec), -1);
    assert_int_equal(image_score(decider, "\"containers\":[{\"image\":\"other:1\"}]"), 0);
    node_cache_remove_node(decider->cache, "a");
    node_cache_remove_node(decider->cache, "b");
    assert_int_equal(decider->cache->images.count, 0);
}

static void equals_get_the_same_chance(void **state)
{
    struct decider *decider = *state;
    int counts[3] = {0};
    put_node(decider->cache, "n0", "", "", ROOM);
    put_node(decider->cache, "n1", "", "", ROOM);
    put_node(decider->cache, "n2", "", "", ROOM);
    srandom(1);
    for (int i = 0; i < 300; i++) {
        counts[choose(decider, PLAIN)[1] - '0']++;
    }
    for (int i = 0; i < 3; i++) {
        assert_in_range(counts[i], 60, 140);
    }
}

/* How many of a cluster's nodes are looked at for one pod: fewer the larger it is. */
static size_t looked_at(size_t nodes, int64_t percentage)
{
    struct decider decider = {.cache = node_cache_new(),
                              .percentage_of_nodes_to_score = percentage};
    for (size_t i = 0; i < nodes; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%zu", i);
        put_node(decider.cache, name, "", "", ROOM);
    }
    assert_string_not_equal(choose(&decider, PLAIN), "");
    size_t count = decider.next_start == 0 ? nodes : decider.next_start;
    struct node_cache *cache = decider.cache;
    decider_clear(&decider);
    free_cache(cache);
    return count;
}

static void in_a_large_cluster_not_all_nodes_are_compared(void **state)
{
    (void)state;
    assert_int_equal(looked_at(99, 1), 99);
    assert_int_equal(looked_at(150, 0), 100);
    assert_int_equal(looked_at(1000, 0), 420); /* 50 % - 1,000 / 125 %. */
    assert_int_equal(looked_at(1000, 20), 200);
    assert_int_equal(looked_at(1000, 100), 1000);
}

static void the_search_goes_on_where_it_ended(void **state)
{
    struct decider *decider = *state;
    decider->percentage_of_nodes_to_score = 50;
    for (int i = 0; i < 200; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d", i);
        put_node(decider->cache, name, "", "", ROOM);
    }
    assert_in_range(atoi(choose(decider, PLAIN) + 1), 0, 99);
    assert_in_range(atoi(choose(decider, PLAIN) + 1), 100, 199);
    assert_in_range(atoi(choose(decider, PLAIN) + 1), 0, 99);
}

static void a_failure_is_found_once_for_all_of_a_class(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "a", "", "", "\"pods\":\"0\"");
    struct cached_object *one = make_pod("one", PLAIN), *two = make_pod("two", PLAIN);
    assert_ptr_equal(class_of(one), class_of(two));
    assert_null(decider_choose(decider, class_of(one), one->key, one->uid));
    const char *failure = class_of(one)->failure;
    assert_null(decider_choose(decider, class_of(two), two->key, two->uid));
    assert_ptr_equal(class_of(two)->failure, failure);
    put_node(decider->cache, "a", "", "", ROOM);
    assert_non_null(decider_choose(decider, class_of(two), two->key, two->uid));
    assert_null(class_of(two)->failure);
    cached_object_unref(one);
    cached_object_unref(two);
}

static void a_node_that_changed_is_asked_again(void **state)
{
    struct decider *decider = *state;
    put_node(decider->cache, "a", "\"labels\":{\"l\":\"1\"}", "", ROOM);
    assert_string_equal(choose(decider, PLAIN ",\"nodeSelector\":{\"l\":\"2\"}"), "");
    put_node(decider->cache, "a", "\"labels\":{\"l\":\"2\"}", "", ROOM);
    assert_string_equal(choose(decider, PLAIN ",\"nodeSelector\":{\"l\":\"2\"}"), "a");
    node_cache_remove_node(decider->cache, "a");
    put_node(decider->cache, "b", "", "", ROOM); /* In the place that became free. */
    assert_string_equal(choose(decider, PLAIN ",\"nodeSelector\":{\"l\":\"2\"}"), "");
}

/* A class whose pods are spread among those with the label app=web. */
static struct cached_object *spread_pod(struct decider *decider, const char *name)
{
    struct cached_object *pod =
        make_pod_with(name, "\"labels\":{\"app\":\"web\"}", "\"containers\":[{}]");
    struct pod_class *class = class_of(pod);
    node_cache_know_class(decider->cache, class);
    if (class->group == NULL) {
        struct selector **selectors = allocate(sizeof *selectors);
        json_t *labels = json_pack("{s:s}", "app", "web");
        selectors[0] = selector_from_map(labels);
        json_decref(labels);
        class->group = node_cache_group(decider->cache, "ns", "web", selectors, 1);
    }
    return pod;
}

static void pods_of_a_group_are_spread_over_nodes_and_zones(void **state)
{
#define ZONE(name) "\"labels\":{\"topology.kubernetes.io/zone\":\"" name "\"}"
    struct decider *decider = *state;
    put_node(decider->cache, "a1", ZONE("a"), "", ROOM);
    put_node(decider->cache, "a2", ZONE("a"), "", ROOM);
    put_node(decider->cache, "b1", ZONE("b"), "", ROOM);
    /* b1 has least left, but the group's pods are all in zone a. */
    stand(decider, "other", CPU("1"), "b1");
    struct cached_object *one = spread_pod(decider, "one"), *two = spread_pod(decider, "two");
    place(decider->cache, one, "a1");
    place(decider->cache, two, "a2");
    struct cached_object *three = spread_pod(decider, "three");
    const struct node *node = decider_choose(decider, class_of(three), three->key, three->uid);
    assert_string_equal(node->name, "b1");
    cached_object_unref(one);
    cached_object_unref(two);
    cached_object_unref(three);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_nodes_nothing_fits),
        TEST(a_node_that_pods_name_but_nobody_made_is_no_node),
        TEST(each_resource_that_is_short_is_named),
        TEST(what_pods_have_taken_up_is_not_there),
        TEST(who_asks_for_nothing_fits_a_node_that_is_overcommitted),
        TEST(pods_are_counted),
        TEST(who_asks_for_more_than_anything_has_fits_nowhere),
        TEST(every_kind_of_reason_in_upstreams_order),
        TEST(nodes_that_a_pod_does_not_name_are_told_apart),
        TEST(the_plugins_that_rejected_are_noted),
        TEST(who_tolerates_it_may_stand_on_a_cordoned_node),
        TEST(ports_conflict_by_number_protocol_and_address),
        TEST(a_sidecars_port_is_taken_but_not_an_init_containers),
        TEST(the_node_with_more_left_is_better),
        TEST(pods_that_ask_for_nothing_are_spread_too),
        TEST(preferred_affinity_outweighs_what_is_left),
        TEST(taints_that_prefer_no_pods_are_avoided),
        TEST(a_node_that_holds_the_image_is_better),
        TEST(equals_get_the_same_chance),
        TEST(in_a_large_cluster_not_all_nodes_are_compared),
        TEST(the_search_goes_on_where_it_ended),
        TEST(a_failure_is_found_once_for_all_of_a_class),
        TEST(a_node_that_changed_is_asked_again),
        TEST(pods_of_a_group_are_spread_over_nodes_and_zones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

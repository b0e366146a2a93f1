// SPDX-License-Identifier: Apache-2.0
/* What a node's resources are worth by each strategy, and what a profile changes. */
#include "test/unit/scheduler_harness.h"

#include "scheduler/cycle.h"
#include "scheduler/resource_scores.h"

#define GPU "example.com/gpu"

static struct node_cache *cache;

/* A node of 10 CPUs, 10 GiB, 100 GiB of storage and 4 GPUs, where others ask for 2 CPUs, 4 GiB, 10
 * GiB of storage and a GPU. */
static int set_up(void **state)
{
    cache = node_cache_new();
    put_node(
        cache, "n", "\"labels\":{\"use\":\"web\"}", "",
        "\"cpu\":\"10\",\"memory\":\"10Gi\",\"ephemeral-storage\":\"100Gi\",\"pods\":\"9\",\"" GPU
        "\":\"4\"");
    cleanup(cached_object_release)
    struct cached_object *pod = make_pod(
        "other", "\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"2\",\"memory\":\"4Gi\","
                 "\"ephemeral-storage\":\"10Gi\",\"" GPU "\":\"1\"}}}]");
    place(cache, pod, "n");
    *state = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free_cache(cache);
    return 0;
}

static struct cached_object *pod_asking(const char *requests)
{
    cleanup(free_char)
    char *spec = format("\"containers\":[{\"resources\":{\"requests\":{%s}}}]", requests);
    return make_pod("p", spec);
}

static int fit(const struct profile *profile, const char *requests)
{
    cleanup(cached_object_release)
    struct cached_object *pod = pod_asking(requests);
    return (int)resource_score_fit(profile, class_of(pod), cache->nodes[0]);
}

static int balance(const struct profile *profile, const char *requests)
{
    cleanup(cached_object_release)
    struct cached_object *pod = pod_asking(requests);
    return (int)resource_score_balance(profile, class_of(pod), cache->nodes[0]);
}

static void by_default_the_node_with_more_left_is_better(void **state)
{
    (void)state;
    assert_int_equal(fit(&profile_default, "\"cpu\":\"2\",\"memory\":\"2Gi\""), (60 + 40) / 2);
    assert_int_equal(fit(&profile_default, "\"cpu\":\"9\",\"memory\":\"2Gi\""), (0 + 40) / 2);
}

static void most_allocated_turns_it_round(void **state)
{
    (void)state;
    struct profile profile = profile_default;
    profile.strategy = MOST_ALLOCATED;
    assert_int_equal(fit(&profile, "\"cpu\":\"2\",\"memory\":\"2Gi\""), (40 + 60) / 2);
    assert_int_equal(fit(&profile, "\"cpu\":\"9\",\"memory\":\"2Gi\""), (100 + 60) / 2);
    profile.fit_resources.list[0].weight = 3;
    assert_int_equal(fit(&profile, "\"cpu\":\"2\",\"memory\":\"2Gi\""), (3 * 40 + 60) / 4);
}

static void a_shape_says_what_each_utilization_is_worth(void **state)
{
    (void)state;
    struct profile profile = profile_default;
    profile.strategy = REQUESTED_TO_CAPACITY_RATIO;
    profile.shape[0] = (struct shape_point){20, 0};
    profile.shape[1] = (struct shape_point){60, 100};
    profile.shape[2] = (struct shape_point){80, 50};
    profile.shape_count = 3;
    /* 40 % is 50, 50 % is 75; 62.5 is rounded. */
    assert_int_equal(fit(&profile, "\"cpu\":\"2\",\"memory\":\"1Gi\""), 63);
    /* What is worth nothing has no weight. */
    assert_int_equal(fit(&profile, "\"cpu\":\"0\",\"memory\":\"1Gi\""), 75);
    /* More than there is is as the whole. */
    assert_int_equal(fit(&profile, "\"cpu\":\"9\",\"memory\":\"9Gi\""), 50);
}

static void extended_resources_count_for_those_who_ask_for_them(void **state)
{
    (void)state;
    struct profile profile = profile_default;
    profile.fit_resources.list[profile.fit_resources.count++] = (struct weighted_resource){
        .kind = RESOURCE_EXTENDED, .extended = resource_names_find(GPU), .weight = 2};
    assert_int_equal(fit(&profile, "\"cpu\":\"2\",\"memory\":\"2Gi\""), 50);
    assert_int_equal(fit(&profile, "\"cpu\":\"2\",\"memory\":\"2Gi\",\"" GPU "\":\"3\""),
                     (60 + 40 + 2 * 0) / 4);
    profile.fit_resources.list[2].kind = RESOURCE_EPHEMERAL_STORAGE;
    assert_int_equal(fit(&profile, "\"cpu\":\"2\",\"memory\":\"2Gi\""), (60 + 40 + 2 * 90) / 4);
}

static void balance_is_about_the_resources_that_the_profile_names(void **state)
{
    (void)state;
    struct profile profile = profile_default;
    assert_int_equal(balance(&profile, "\"cpu\":\"2\""), 100);
    assert_int_equal(balance(&profile, "\"cpu\":\"4\""), 90);
    profile.balanced_resources.list[profile.balanced_resources.count++] =
        (struct weighted_resource){.kind = RESOURCE_EPHEMERAL_STORAGE, .weight = 1};
    /* 0.4, 0.4 and 0.1: the mean is 0.3, the deviation the root of 0.02. */
    assert_int_equal(balance(&profile, "\"cpu\":\"2\""), 85);
    profile.balanced_resources.count = 1;
    assert_int_equal(balance(&profile, "\"cpu\":\"8\""), 100);
}

static void ignored_resources_are_not_asked_for(void **state)
{
    (void)state;
    struct profile profile = profile_default;
    cleanup(json_release)
    json_t *resources = json_pack("[s]", "x.com/a");
    cleanup(json_release)
    json_t *groups = json_pack("[s]", "y.com");
    cleanup(cached_object_release)
    struct cached_object *pod = pod_asking("\"x.com/a\":\"1\",\"y.com/b\":\"1\"");
    struct cycle cycle = {.cache = cache, .class = class_of(pod)};
    class_of(pod)->profile = &profile;
    assert_false(plugin_node_resources_fit.fits(&cycle, cache->nodes[0]));
    profile.ignored_resources = resources;
    assert_false(plugin_node_resources_fit.fits(&cycle, cache->nodes[0]));
    profile.ignored_resource_groups = groups;
    assert_true(plugin_node_resources_fit.fits(&cycle, cache->nodes[0]));
    class_of(pod)->profile = NULL;
}

/* The name of the node that a pod with this spec gets, or why it gets none. */
static const char *chosen(struct decider *decider, const char *spec)
{
    static char text[200];
    cleanup(cached_object_release)
    struct cached_object *pod = make_pod("p", spec);
    const struct node *node = decider_choose(decider, class_of(pod), pod->key, pod->uid);
    snprintf(text, sizeof text, "%s", node != NULL ? node->name : class_of(pod)->failure);
    class_of(pod)->profile = NULL;
    return text;
}

static void each_scheduler_name_has_its_profile(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *affinity = json_pack(
        "{s:{s:[{s:[{s:s,s:s,s:[s]}]}]}}", "requiredDuringSchedulingIgnoredDuringExecution",
        "nodeSelectorTerms", "matchExpressions", "key", "use", "operator", "In", "values", "db");
    struct profile profiles[2] = {profile_default, profile_default};
    profiles[0].added_affinity = affinity;
    profiles[1].scheduler_name = "lax";
    memset(profiles[1].filters, 0, sizeof profiles[1].filters);
    memset(profiles[1].plain_filters, 0, sizeof profiles[1].plain_filters);
    profiles[1].filters[0] = profiles[1].plain_filters[0] = &plugin_node_affinity;
    struct decider decider = {.cache = cache, .profiles = profiles, .profile_count = 2};
    assert_string_equal(chosen(&decider, CPU("1")),
                        "0/1 nodes are available: 1 node(s) didn't match scheduler-enforced node "
                        "affinity.");
    assert_string_equal(chosen(&decider, CPU("99") ",\"schedulerName\":\"lax\""), "n");
    assert_string_equal(
        chosen(&decider, CPU("1") ",\"schedulerName\":\"lax\",\"nodeSelector\":{\"a\":\"b\"}"),
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.");
    decider_clear(&decider);
}

/* One plugin scores, with the profile's weight. */
static void weights_are_the_profiles(void **state)
{
    (void)state;
    put_node(cache, "tainted", "", "\"taints\":[{\"key\":\"k\",\"effect\":\"PreferNoSchedule\"}]",
             "\"cpu\":\"10\",\"memory\":\"10Gi\",\"pods\":\"9\"");
    struct profile profile = profile_default;
    memset(profile.scores, 0, sizeof profile.scores);
    profile.scores[0] = &plugin_taint_toleration;
    profile.scores[1] = &plugin_node_resources_fit;
    struct decider decider = {.cache = cache, .profiles = &profile, .profile_count = 1};
    assert_string_equal(chosen(&decider, CPU("1")), "n");
    profile.weights[1] = 20;
    assert_string_equal(chosen(&decider, CPU("1")), "tainted");
    decider_clear(&decider);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(by_default_the_node_with_more_left_is_better),
        TEST(most_allocated_turns_it_round),
        TEST(a_shape_says_what_each_utilization_is_worth),
        TEST(extended_resources_count_for_those_who_ask_for_them),
        TEST(balance_is_about_the_resources_that_the_profile_names),
        TEST(ignored_resources_are_not_asked_for),
        TEST(each_scheduler_name_has_its_profile),
        TEST(weights_are_the_profiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

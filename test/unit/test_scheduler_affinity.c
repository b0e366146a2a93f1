// SPDX-License-Identifier: Apache-2.0
/* Where pods may stand, and would rather, by the pods that stand there already. */
#include "test/unit/scheduler_harness.h"

#include "scheduler/affinity.h"
#include "scheduler/cycle.h"

#define ROOM "\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"110\""
#define PLAIN "\"containers\":[{}]"
#define ZONE "zone"
#define HOST "host"
#define APP(app) "\"labelSelector\":{\"matchLabels\":{\"app\":\"" app "\"}}"
#define TERM(key, more) "{\"topologyKey\":\"" key "\"," more "}"
#define AFFINITY(kind, required, preferred)                                                        \
    "\"containers\":[{}],\"affinity\":{\"" kind "\":{"                                             \
    "\"requiredDuringSchedulingIgnoredDuringExecution\":[" required "],"                           \
    "\"preferredDuringSchedulingIgnoredDuringExecution\":[" preferred "]}}"
#define NEAR(terms) AFFINITY("podAffinity", terms, "")
#define AWAY(terms) AFFINITY("podAntiAffinity", terms, "")
#define RATHER(weight, term) "{\"weight\":" weight ",\"podAffinityTerm\":" term "}"
#define RATHER_NEAR(terms) AFFINITY("podAffinity", "", terms)
#define RATHER_AWAY(terms) AFFINITY("podAntiAffinity", "", terms)
#define NO_COMPANY "node(s) didn't match pod affinity rules"
#define MEETS "node(s) didn't match pod anti-affinity rules"
#define FORBIDDEN "node(s) didn't satisfy existing pods anti-affinity rules"

static void add_node(struct decider *decider, const char *name, const char *zone)
{
    cleanup(free_char)
    char *labels = zone != NULL ? format("\"labels\":{\"host\":\"%s\",\"zone\":\"%s\"}", name, zone)
                                : format("\"labels\":{\"host\":\"%s\"}", name);
    put_node(decider->cache, name, labels, "", ROOM);
}

/* Nodes a1 and a2 in zone a, b1 in zone b, c1 in none. */
static int set_up(void **state)
{
    struct decider *decider = allocate_struct(struct decider);
    decider->cache = node_cache_new();
    add_node(decider, "a1", "a");
    add_node(decider, "a2", "a");
    add_node(decider, "b1", "b");
    add_node(decider, "c1", NULL);
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

static struct cached_object *pod_of_app(const char *namespace, const char *name, const char *app,
                                        const char *spec)
{
    cleanup(free_char)
    char *metadata = format("\"labels\":{\"app\":\"%s\"}", app);
    return make_pod_in(namespace, name, metadata, spec);
}

static void stand_in(struct decider *decider, const char *namespace, const char *name,
                     const char *app, const char *spec, const char *node)
{
    cleanup(cached_object_release)
    struct cached_object *pod = pod_of_app(namespace, name, app, spec);
    place(decider->cache, pod, node);
}

static void stand(struct decider *decider, const char *name, const char *app, const char *spec,
                  const char *node)
{
    stand_in(decider, "ns", name, app, spec, node);
}

static void leave(struct decider *decider, const char *key)
{
    assert_true(node_cache_unplace(decider->cache, key, NULL));
}

/* The nodes that a pod fits, in order, with blanks between. */
static const char *fitting(struct decider *decider, const char *app, const char *spec)
{
    static char found[100];
    cleanup(cached_object_release)
    struct cached_object *pod = pod_of_app("ns", "p", app, spec);
    struct cycle cycle = {.cache = decider->cache, .class = class_of(pod)};
    found[0] = '\0';
    plugin_inter_pod_affinity.prepare(&cycle);
    for (size_t i = 0; i < decider->cache->node_slots; i++) {
        const struct node *node = decider->cache->nodes[i];
        if (node != NULL && node->exists && plugin_inter_pod_affinity.fits(&cycle, node)) {
            snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s",
                     *found == '\0' ? "" : " ", node->name);
        }
    }
    return found;
}

/* The scores of all nodes, in order, with blanks between; "" when all are equal. */
static const char *scores(struct decider *decider, const char *app, const char *spec)
{
    static char found[100];
    int64_t list[10] = {0};
    cleanup(cached_object_release)
    struct cached_object *pod = pod_of_app("ns", "p", app, spec);
    struct cycle cycle = {.cache = decider->cache,
                          .class = class_of(pod),
                          .nodes = decider->cache->nodes,
                          .node_count = decider->cache->node_slots};
    found[0] = '\0';
    plugin_inter_pod_affinity.prepare(&cycle);
    if (plugin_inter_pod_affinity.score(&cycle, list)) {
        for (size_t i = 0; i < cycle.node_count; i++) {
            snprintf(found + strlen(found), sizeof found - strlen(found), "%s%d", i == 0 ? "" : " ",
                     (int)list[i]);
        }
    }
    return found;
}

static void required_affinity_asks_for_a_pod_in_the_same_domain(void **state)
{
    struct decider *decider = *state;
    assert_string_equal(fitting(decider, "web", NEAR(TERM(ZONE, APP("db")))), "");
    stand(decider, "db", "db", PLAIN, "a2");
    assert_string_equal(fitting(decider, "web", NEAR(TERM(ZONE, APP("db")))), "a1 a2");
    assert_string_equal(fitting(decider, "web", NEAR(TERM(HOST, APP("db")))), "a2");
    leave(decider, "ns/db");
    assert_string_equal(fitting(decider, "web", NEAR(TERM(ZONE, APP("db")))), "");
}

static void all_terms_must_select_the_same_pod(void **state)
{
    struct decider *decider = *state;
    stand(decider, "1", "db", PLAIN, "a1");
    stand(decider, "2", "web", PLAIN, "a1");
    assert_string_equal(
        fitting(decider, "x", NEAR(TERM(ZONE, APP("db")) "," TERM(ZONE, APP("web")))), "");
    assert_string_equal(
        fitting(decider, "x", NEAR(TERM(ZONE, APP("db")) "," TERM(HOST, APP("db")))), "a1");
}

static void who_asks_for_its_like_may_be_the_first(void **state)
{
    struct decider *decider = *state;
    assert_string_equal(fitting(decider, "web", NEAR(TERM(ZONE, APP("web")))), "a1 a2 b1");
    stand(decider, "1", "web", PLAIN, "b1");
    assert_string_equal(fitting(decider, "web", NEAR(TERM(ZONE, APP("web")))), "b1");
    leave(decider, "ns/1");
    stand(decider, "2", "web", PLAIN, "c1"); /* In no zone, so it doesn't count. */
    assert_string_equal(fitting(decider, "web", NEAR(TERM(ZONE, APP("web")))), "a1 a2 b1");
}

static void anti_affinity_keeps_away_from_others_and_others_away(void **state)
{
    struct decider *decider = *state;
    stand(decider, "1", "db", PLAIN, "a1");
    assert_string_equal(fitting(decider, "web", AWAY(TERM(ZONE, APP("db")))), "b1 c1");
    assert_string_equal(fitting(decider, "web", AWAY(TERM(HOST, APP("db")))), "a2 b1 c1");
    stand(decider, "2", "x", AWAY(TERM(ZONE, APP("web"))), "b1");
    assert_string_equal(fitting(decider, "web", PLAIN), "a1 a2 c1");
    assert_string_equal(fitting(decider, "other", PLAIN), "a1 a2 b1 c1");
    leave(decider, "ns/2");
    assert_string_equal(fitting(decider, "web", PLAIN), "a1 a2 b1 c1");
}

static void one_term_of_anti_affinity_is_enough(void **state)
{
    struct decider *decider = *state;
    stand(decider, "1", "db", PLAIN, "a1");
    stand(decider, "2", "web", PLAIN, "b1");
    assert_string_equal(
        fitting(decider, "x", AWAY(TERM(HOST, APP("db")) "," TERM(ZONE, APP("web")))), "a2 c1");
}

static void namespaces_are_the_pods_own_unless_named(void **state)
{
    struct decider *decider = *state;
    stand_in(decider, "other", "1", "db", PLAIN, "a1");
    assert_string_equal(fitting(decider, "x", AWAY(TERM(HOST, APP("db")))), "a1 a2 b1 c1");
    assert_string_equal(
        fitting(decider, "x", AWAY(TERM(HOST, APP("db") ",\"namespaces\":[\"other\"]"))),
        "a2 b1 c1");
    assert_string_equal(
        fitting(decider, "x", AWAY(TERM(HOST, APP("db") ",\"namespaceSelector\":{}"))), "a2 b1 c1");
}

static void namespaces_are_selected_by_their_labels_of_now(void **state)
{
    static const char spec[] =
        AWAY(TERM(HOST, APP("db") ",\"namespaceSelector\":{\"matchLabels\":{\"team\":\"red\"}}"));
    struct decider *decider = *state;
    cleanup(json_release)
    json_t *red = json_pack("{s:s}", "team", "red");
    cleanup(json_release)
    json_t *blue = json_pack("{s:s}", "team", "blue");
    stand_in(decider, "other", "1", "db", PLAIN, "a1");
    stand_in(decider, "other", "2", "db", spec, "b1");
    affinity_put_namespace(decider->cache, "ns", blue);
    affinity_put_namespace(decider->cache, "other", red);
    assert_string_equal(fitting(decider, "db", spec), "a2 c1");
    affinity_put_namespace(decider->cache, "other", blue);
    assert_string_equal(fitting(decider, "db", spec), "a1 a2 b1 c1");
    uint64_t freed = decider->cache->freed;
    assert_true(affinity_put_namespace(decider->cache, "ns", red));
    assert_true(decider->cache->freed > freed);
    assert_string_equal(fitting(decider, "db", spec), "a1 a2 c1");
    assert_false(affinity_put_namespace(decider->cache, "ns", red));
    assert_true(affinity_put_namespace(decider->cache, "ns", NULL));
    assert_string_equal(fitting(decider, "db", spec), "a1 a2 b1 c1");
}

static void what_is_being_deleted_counts(void **state)
{
    struct decider *decider = *state;
    cleanup(cached_object_release)
    struct cached_object *pod = pod_of_app("ns", "1", "db", PLAIN);
    node_cache_place(decider->cache, pod->key, pod->uid, class_of(pod), "a1", false, true);
    assert_string_equal(fitting(decider, "web", AWAY(TERM(HOST, APP("db")))), "a2 b1 c1");
}

static void pods_follow_their_node_into_another_domain(void **state)
{
    struct decider *decider = *state;
    stand(decider, "1", "db", AWAY(TERM(ZONE, APP("web"))), "a1");
    assert_string_equal(fitting(decider, "web", NEAR(TERM(ZONE, APP("db")))), "");
    assert_string_equal(fitting(decider, "x", NEAR(TERM(ZONE, APP("db")))), "a1 a2");
    add_node(decider, "a1", "b");
    assert_string_equal(fitting(decider, "web", PLAIN), "a2 c1");
    assert_string_equal(fitting(decider, "x", NEAR(TERM(ZONE, APP("db")))), "a1 b1");
    node_cache_remove_node(decider->cache, "a1");
    assert_string_equal(fitting(decider, "web", PLAIN), "a2 b1 c1");
    assert_string_equal(fitting(decider, "x", NEAR(TERM(ZONE, APP("db")))), "");
    add_node(decider, "a1", "c");
    assert_string_equal(fitting(decider, "x", NEAR(TERM(ZONE, APP("db")))), "a1");
}

static void preferred_terms_of_both_sides_are_added_up(void **state)
{
    struct decider *decider = *state;
    assert_string_equal(scores(decider, "web", RATHER_NEAR(RATHER("10", TERM(ZONE, APP("db"))))),
                        "");
    stand(decider, "1", "db", PLAIN, "a1");
    stand(decider, "2", "db", PLAIN, "b1");
    stand(decider, "3", "db", PLAIN, "b1");
    assert_string_equal(scores(decider, "web", RATHER_NEAR(RATHER("10", TERM(ZONE, APP("db"))))),
                        "50 50 100 0");
    assert_string_equal(scores(decider, "web", RATHER_AWAY(RATHER("10", TERM(HOST, APP("db"))))),
                        "50 100 0 100");
    assert_string_equal(scores(decider, "web", PLAIN), "");
    stand(decider, "4", "x", RATHER_NEAR(RATHER("30", TERM(HOST, APP("web")))), "a2");
    stand(decider, "5", "x", RATHER_AWAY(RATHER("30", TERM(HOST, APP("web")))), "c1");
    assert_string_equal(scores(decider, "web", PLAIN), "50 100 50 0");
    assert_string_equal(scores(decider, "other", PLAIN), "");
}

static void who_requires_a_pod_draws_it_a_little(void **state)
{
    struct decider *decider = *state;
    stand(decider, "1", "web", NEAR(TERM(HOST, APP("web"))), "a1");
    stand(decider, "2", "x", RATHER_NEAR(RATHER("4", TERM(HOST, APP("web")))), "b1");
    assert_string_equal(scores(decider, "web", PLAIN), "25 0 100 0");
}

/* Each kind of refusal has upstream's words, and a pod that comes or goes ends it. */
static void refusals_are_told_and_end(void **state)
{
    struct decider *decider = *state;
    node_cache_remove_node(decider->cache, "c1");
    stand(decider, "1", "x", AWAY(TERM(HOST, APP("web"))), "b1");
    stand(decider, "2", "foe", PLAIN, "a1");
    stand(decider, "3", "foe", PLAIN, "b1");
    stand(decider, "4", "friend", PLAIN, "b1");
    stand(decider, "5", "friend", PLAIN, "a1");
    cleanup(cached_object_release)
    struct cached_object *pod = pod_of_app(
        "ns", "p", "web",
        "\"containers\":[{}],\"affinity\":{\"podAffinity\":{"
        "\"requiredDuringSchedulingIgnoredDuringExecution\":[" TERM(
            HOST, APP("friend")) "]},"
                                 "\"podAntiAffinity\":{"
                                 "\"requiredDuringSchedulingIgnoredDuringExecution\":[" TERM(
                                     HOST, APP("foe")) "]}}");
    assert_null(decider_choose(decider, class_of(pod), pod->key, pod->uid));
    assert_string_equal(class_of(pod)->failure,
                        "0/3 nodes are available: 1 " NO_COMPANY ", 2 " MEETS ".");
    leave(decider, "ns/3");
    assert_null(decider_choose(decider, class_of(pod), pod->key, pod->uid));
    assert_string_equal(class_of(pod)->failure,
                        "0/3 nodes are available: 1 " NO_COMPANY ", 1 " MEETS ", 1 " FORBIDDEN ".");
    uint64_t joined = decider->cache->joined;
    stand(decider, "6", "stranger", PLAIN, "a2");
    assert_int_equal(decider->cache->joined, joined);
    assert_null(decider_choose(decider, class_of(pod), pod->key, pod->uid));
    stand(decider, "7", "friend", PLAIN, "a2");
    assert_true(decider->cache->joined > joined);
    const struct node *node = decider_choose(decider, class_of(pod), pod->key, pod->uid);
    assert_string_equal(node != NULL ? node->name : "", "a2");
}

/* What was counted for classes goes with them. */
static void nothing_is_kept_for_classes_that_are_gone(void **state)
{
    struct decider *decider = *state;
    struct node_cache *cache = decider->cache;
    stand(decider, "1", "web", AWAY(TERM(ZONE, APP("web")) "," TERM(HOST, APP("db"))), "a1");
    stand(decider, "2", "db", RATHER_NEAR(RATHER("4", TERM(HOST, APP("web")))), "b1");
    assert_int_equal(cache->affinity_sets.count, 2);
    assert_int_equal(cache->topologies.count, 2);
    leave(decider, "ns/1");
    pod_classes_collect(forget_class, cache);
    assert_int_equal(cache->affinity_sets.count, 1);
    assert_int_equal(cache->topologies.count, 1);
    leave(decider, "ns/2");
    pod_classes_collect(forget_class, cache);
    assert_int_equal(cache->affinity_sets.count, 0);
    assert_int_equal(cache->topologies.count, 0);
}

static void tallies_hold_any_numbers(void **state)
{
    (void)state;
    struct tally tally = {0};
    for (int32_t i = 0; i < 2000; i++) {
        tally_add(&tally, i * 7, i);
    }
    for (int32_t i = 0; i < 2000; i++) {
        assert_int_equal(tally_get(&tally, i * 7), i);
        assert_int_equal(tally_get(&tally, i * 7 + 1), 0);
        tally_add(&tally, i * 7, -i);
    }
    assert_int_equal(tally.present, 0);
    tally_add(&tally, 3, -5);
    assert_int_equal(tally_get(&tally, 3), -5);
    assert_true(tally.size <= 8192);
    tally_clear(&tally);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(required_affinity_asks_for_a_pod_in_the_same_domain),
        TEST(all_terms_must_select_the_same_pod),
        TEST(who_asks_for_its_like_may_be_the_first),
        TEST(anti_affinity_keeps_away_from_others_and_others_away),
        TEST(one_term_of_anti_affinity_is_enough),
        TEST(namespaces_are_the_pods_own_unless_named),
        TEST(namespaces_are_selected_by_their_labels_of_now),
        TEST(what_is_being_deleted_counts),
        TEST(pods_follow_their_node_into_another_domain),
        TEST(preferred_terms_of_both_sides_are_added_up),
        TEST(who_requires_a_pod_draws_it_a_little),
        TEST(refusals_are_told_and_end),
        TEST(nothing_is_kept_for_classes_that_are_gone),
        cmocka_unit_test(tallies_hold_any_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

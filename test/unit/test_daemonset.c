// SPDX-License-Identifier: Apache-2.0
/* What the DaemonSet controller decides: where pods belong, which are made and removed in a round,
 * and what the status says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/buffer.h"
#include "controllers/daemonset_backoff.h"
#include "controllers/daemonset_round.h"
#include "controllers/node_view.h"
#include "test/unit/pods_harness.h"

static json_t *parse(const char *text)
{
    cleanup(free_char)
    char *copy = duplicate(text);
    for (char *at = copy; *at != '\0'; at++) {
        *at = *at == '\'' ? '"' : *at;
    }
    json_t *json = json_parse(copy, strlen(copy), NULL);
    assert_non_null(json);
    return json;
}

/* A set with more of a spec, JSON with ' for ". Pods go to nodes with the label "fits". */
static json_t *set_of(const char *spec)
{
    cleanup(free_char)
    char *text = format("{'apiVersion':'apps/v1','kind':'DaemonSet','metadata':{'name':'agent',"
                        "'namespace':'default','uid':'u','generation':2,'annotations':"
                        "{'deprecated.daemonset.template.generation':'5'}},'spec':{%s%s'template':"
                        "{'spec':{'nodeSelector':{'fits':'yes'}}}}}",
                        spec, *spec != '\0' ? "," : "");
    return parse(text);
}

/* ---- what pods are made of ---- */

static void tolerations_keep_pods_on_nodes_in_trouble(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *set = parse("{'spec':{'template':{'spec':{'tolerations':[{'key':'mine'},{'key':"
                        "'node.kubernetes.io/not-ready','operator':'Exists','effect':'NoExecute',"
                        "'tolerationSeconds':300}]}}}}");
    cleanup(json_release)
    json_t *from = daemonset_template(set, "h");
    const json_t *tolerations = json_path(from, "spec", "tolerations");
    assert_int_equal(json_array_size(tolerations), 7);
    assert_string_equal(json_get_string(json_array_get(tolerations, 0), "key"), "mine");
    assert_null(json_object_get(json_array_get(tolerations, 1), "tolerationSeconds"));
    assert_null(json_path(from, "metadata", "labels", "pod-template-generation"));
    json_object_set_new(json_path(set, "spec", "template", "spec"), "hostNetwork", json_true());
    cleanup(json_release)
    json_t *host = daemonset_template(set, "h");
    assert_int_equal(json_array_size(json_path(host, "spec", "tolerations")), 8);
}

static void a_pod_is_for_its_node_alone(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *set = set_of("");
    cleanup(json_release)
    json_t *from = daemonset_template(set, "h");
    json_t *affinity = parse("{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':"
                             "{'nodeSelectorTerms':[{'matchExpressions':[]}]}},'podAffinity':{}}");
    json_object_set_new(json_object_get(from, "spec"), "affinity", affinity);
    cleanup(json_release)
    json_t *before = json_deep_copy(from);
    cleanup(json_release)
    json_t *pod = daemonset_make_pod(set, from, "n1");
    cleanup(json_release)
    json_t *expected =
        parse("{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':"
              "{'nodeSelectorTerms':[{'matchFields':[{'key':'metadata.name','operator':'In',"
              "'values':['n1']}]}]}},'podAffinity':{}}");
    assert_true(json_equal(json_path(pod, "spec", "affinity"), expected));
    assert_true(json_equal(from, before));
    assert_string_equal(json_path_string(pod, "metadata", "labels", "controller-revision-hash"),
                        "h");
    assert_string_equal(json_path_string(pod, "metadata", "labels", "pod-template-generation"),
                        "5");
}

static void fits(const char *labels, const char *taints, bool should_run, bool may_stay)
{
    cleanup(json_release)
    json_t *set = set_of("");
    cleanup(json_release)
    json_t *from = daemonset_template(set, "h");
    cleanup(json_release)
    json_t *label_map = parse(labels);
    cleanup(json_release)
    json_t *taint_list = parse(taints);
    struct daemonset_fit fit = daemonset_fit(from, "n1", label_map, taint_list);
    assert_int_equal(fit.should_run, should_run);
    assert_int_equal(fit.may_stay, may_stay);
}

static void nodes_fit_by_labels_and_taints(void **state)
{
    (void)state;
    fits("{'fits':'yes'}", "[]", true, true);
    fits("{'fits':'no'}", "[]", false, false);
    fits("{'fits':'yes'}", "[{'key':'a','effect':'NoSchedule'}]", false, true);
    fits("{'fits':'yes'}", "[{'key':'a','effect':'NoExecute'}]", false, false);
    fits("{'fits':'yes'}", "[{'key':'a','effect':'PreferNoSchedule'}]", true, true);
    fits("{'fits':'yes'}",
         "[{'key':'node.kubernetes.io/unschedulable','effect':'NoSchedule'},"
         "{'key':'node.kubernetes.io/unreachable','effect':'NoExecute'}]",
         true, true);
    fits("{'fits':'yes'}",
         "[{'key':'node.kubernetes.io/network-unavailable','effect':'NoSchedule'}]", false, true);
}

/* ---- rounds ---- */

/* What a test sees of a cluster; start with world_start(), which the round borrows from. */
struct world {
    json_t *set, *pod_template;
    struct cached_list nodes, pods;
    struct daemonset_round round;
};

/* Nodes as "a b:NoSchedule c:NoExecute d:unfit". */
static void add_nodes(struct world *world, const char *text)
{
    cleanup(free_char)
    char *copy = duplicate(text);
    char *rest = copy;
    for (char *word = strsep(&rest, " "); word != NULL && *word != '\0';
         word = strsep(&rest, " ")) {
        char *effect = strchr(word, ':');
        bool is_unfit = effect != NULL && strcmp(effect, ":unfit") == 0;
        if (effect != NULL) {
            *effect++ = '\0';
        }
        cleanup(free_char)
        char *object = format("{\"metadata\":{\"name\":\"%s\",\"labels\":{\"fits\":\"%s\"}},"
                              "\"spec\":{\"taints\":[%s%s%s]}}",
                              word, is_unfit ? "no" : "yes",
                              effect && !is_unfit ? "{\"key\":\"x\",\"effect\":\"" : "",
                              effect && !is_unfit ? effect : "", effect && !is_unfit ? "\"}" : "");
        cleanup(cached_object_release)
        struct cached_object *node = cached_object_new(&node_class, object, strlen(object));
        assert_non_null(node);
        cached_list_add(&world->nodes, node);
    }
}

/* Pods as "name@node:old,unready"; also failed, succeeded, going, young, waiting (for its node).
 * The first are the oldest. */
static void add_pods(struct world *world, const char *text)
{
    cleanup(free_char)
    char *copy = duplicate(text);
    char *rest = copy;
    int age = 1000;
    for (char *word = strsep(&rest, " "); word != NULL && *word != '\0';
         word = strsep(&rest, " ")) {
        char *node = strchr(word, '@');
        *node++ = '\0';
        char *what = strchr(node, ':');
        *what++ = '\0';
        bool is_waiting = strstr(what, "waiting") != NULL;
        bool has_ended = strstr(what, "failed") != NULL || strstr(what, "succeeded") != NULL;
        test_pod_add(&world->pods,
                     (struct test_pod){
                         .name = word,
                         .revision = strstr(what, "old") != NULL ? "old" : "new",
                         .node = is_waiting ? NULL : node,
                         .target = is_waiting ? node : NULL,
                         .phase = strstr(what, "failed") != NULL      ? "Failed"
                                  : strstr(what, "succeeded") != NULL ? "Succeeded"
                                  : is_waiting                        ? "Pending"
                                                                      : "Running",
                         .is_ready = !is_waiting && !has_ended && strstr(what, "unready") == NULL,
                         .is_deleting = strstr(what, "going") != NULL,
                         .ready_for = strstr(what, "young") != NULL ? 5 : 100,
                         .age = age--,
                     });
    }
}

static void world_start(struct world *world, const char *spec, const char *nodes, const char *pods)
{
    *world = (struct world){.set = set_of(spec)};
    world->pod_template = daemonset_template(world->set, "new");
    add_nodes(world, nodes);
    add_pods(world, pods);
    daemonset_round_start(&world->round, world->set, world->pod_template, "new", &world->nodes,
                          &world->pods, test_now);
}

static void world_end(struct world *world)
{
    daemonset_round_free(&world->round);
    json_decref(world->set);
    json_decref(world->pod_template);
    cached_list_free(&world->nodes);
    cached_list_free(&world->pods);
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "+a" a pod for a, "-p" pod p removed, "!p" pod p failed; sorted. */
static char *plan_text(const struct daemonset_plan *plan)
{
    char *words[64];
    size_t count = 0;
    for (size_t i = 0; i < plan->create_count; i++) {
        words[count++] = format("+%s", plan->create[i]);
    }
    for (size_t i = 0; i < plan->remove.count; i++) {
        words[count++] = format("-%s", plan->remove.items[i]->name);
    }
    for (size_t i = 0; i < plan->failed.count; i++) {
        words[count++] = format("!%s", plan->failed.items[i]->name);
    }
    qsort(words, count, sizeof words[0], compare_words);
    struct buffer text = BUFFER_INIT;
    for (size_t i = 0; i < count; i++) {
        buffer_addf(&text, "%s%s", i > 0 ? " " : "", words[i]);
        free(words[i]);
    }
    return buffer_steal(&text);
}

struct round_case {
    const char *what, *spec, *nodes, *pods, *plan;
};

static void check_rounds(const struct round_case *cases, size_t count, bool updates)
{
    for (size_t i = 0; i < count; i++) {
        struct world world;
        world_start(&world, cases[i].spec, cases[i].nodes, cases[i].pods);
        cleanup(daemonset_plan_free)
        struct daemonset_plan plan = {0};
        if (updates) {
            daemonset_round_update(&world.round, &plan);
        } else {
            daemonset_round_manage(&world.round, &plan);
        }
        cleanup(free_char)
        char *text = plan_text(&plan);
        world_end(&world);
        if (strcmp(text, cases[i].plan) != 0) {
            fail_msg("%s: \"%s\" instead of \"%s\"", cases[i].what, text, cases[i].plan);
        }
    }
}

#define SURGE "'updateStrategy':{'rollingUpdate':{'maxSurge':1,'maxUnavailable':0}}"

static void each_node_that_fits_has_one_pod(void **state)
{
    (void)state;
    static const struct round_case cases[] = {
        {"missing pods are made", "", "a b c", "p@a:new", "+b +c"},
        {"not where none should be", "", "a:NoSchedule b:unfit", "", ""},
        {"a pod may stay beside a new taint", "", "a:NoSchedule", "p@a:new", ""},
        {"it is driven out", "", "a:NoExecute b:unfit", "p@a:new q@b:new", "-p -q"},
        {"once", "", "b:unfit", "p@b:new,going", ""},
        {"one that waits for its node counts", "", "a", "p@a:new,waiting", ""},
        {"one that goes is waited for", "", "a", "p@a:new,going", ""},
        {"what has ended and goes is not", "", "a", "p@a:new,failed,going", "+a"},
        {"the oldest of several stays", "", "a", "p@a:new q@a:new r@a:new", "-q -r"},
        {"one that has its node stays", "", "a", "p@a:new,waiting q@a:new", "-p"},
        {"a failed one is replaced", "", "a", "p@a:new,failed", "!p"},
        {"and one that has succeeded", "", "a", "p@a:new,succeeded", "-p"},
        {"a pod for a node that is gone would wait for ever", "", "",
         "p@a:new,waiting q@a:new,unready", "-p"},
        {"a surge: the old one is ready, the new is not yet", SURGE, "a", "p@a:old q@a:new,unready",
         ""},
        {"a surge: the new one is available", SURGE, "a", "p@a:old q@a:new", "-p"},
        {"a surge: the old one is not ready", SURGE, "a", "p@a:old,unready q@a:new,unready", "-p"},
        {"a surge: no third", SURGE, "a", "p@a:old q@a:new,unready r@a:new,unready s@a:old",
         "-r -s"},
        {"a surge: one that goes is not waited for", SURGE, "a", "p@a:old,going", "+a"},
    };
    check_rounds(cases, array_length(cases), false);
}

static void updates_keep_within_their_limits(void **state)
{
    (void)state;
    static const struct round_case cases[] = {
        {"one at a time", "", "a b c", "p@a:old q@b:old r@c:old", "-p"},
        {"not while one is missing", "", "a b c", "p@a:old q@b:old", ""},
        {"not while a new one is not ready", "", "a b c", "p@a:old q@b:old r@c:new,unready", ""},
        {"nor while it is not available", "'minReadySeconds':60", "a b", "p@a:old r@b:new,young",
         ""},
        {"an old one that is not ready costs nothing", "", "a b c",
         "p@a:old q@b:old,unready r@c:new", "-q"},
        {"as many as allowed", "'updateStrategy':{'rollingUpdate':{'maxUnavailable':'50%'}}",
         "a b c", "p@a:old q@b:old r@c:old", "-p -q"},
        {"all are new", "", "a b", "p@a:new q@b:new", ""},
        {"by hand only", "'updateStrategy':{'type':'OnDelete'}", "a", "p@a:old,unready", ""},
        {"neither limit: one", "'updateStrategy':{'rollingUpdate':{'maxUnavailable':0}}", "a b",
         "p@a:old q@b:old", "-p"},
        {"a surge: one more", SURGE, "a b", "p@a:old q@b:old", "+a"},
        {"a surge: it is waited for", SURGE, "a b", "p@a:old n@a:new,unready q@b:old", ""},
        {"a surge: then the old one goes", SURGE, "a b", "p@a:old n@a:new q@b:old", "+b -p"},
        {"a surge: an old one that is not ready", SURGE, "a b c",
         "p@a:old n@a:new,unready q@b:old,unready r@c:old", "+b"},
        {"a surge: the old one stays where it should not be until there are enough", SURGE,
         "a:NoSchedule b", "p@a:old n@b:new,unready", ""},
        {"a surge: there are enough", SURGE, "a:NoSchedule b", "p@a:old n@b:new", "-p"},
    };
    check_rounds(cases, array_length(cases), true);
}

static void expect_status(const char *spec, const char *nodes, const char *pods,
                          const char *expected)
{
    struct world world;
    world_start(&world, spec, nodes, pods);
    int64_t next_check;
    cleanup(json_release)
    json_t *status = daemonset_round_status(&world.round, true, &next_check);
    world_end(&world);
    static const char *const names[] = {"desiredNumberScheduled", "currentNumberScheduled",
                                        "numberMisscheduled",     "numberReady",
                                        "updatedNumberScheduled", "numberAvailable",
                                        "numberUnavailable",      "observedGeneration"};
    struct buffer text = BUFFER_INIT;
    for (size_t i = 0; i < array_length(names); i++) {
        buffer_addf(&text, "%s%d", i > 0 ? " " : "", (int)json_get_int(status, names[i], 0));
    }
    cleanup(free_char)
    char *have = buffer_steal(&text);
    assert_string_equal(have, expected);
    assert_true((strstr(pods, "young") != NULL) == (next_check != 0));
}

static void the_status_counts_nodes(void **state)
{
    (void)state;
    expect_status("", "a b c:unfit d", "p@a:new q@b:old,unready r@c:new", "3 2 1 1 1 1 2 2");
    expect_status("'minReadySeconds':60", "a b", "p@a:new q@b:new,young", "2 2 0 2 2 1 1 2");
    expect_status("", "", "p@a:new", "0 0 0 0 0 0 0 2");
    /* The oldest counts. */
    expect_status(SURGE, "a", "p@a:old q@a:new,unready", "1 1 0 1 0 1 0 2");
}

static void failed_pods_stay_longer_each_time(void **state)
{
    (void)state;
    static const int64_t second = INT64_C(1000000000);
    struct daemonset_backoffs *backoffs = daemonset_backoffs_new();
    int64_t now = 5 * second;
    assert_int_equal(daemonset_back_off(backoffs, "a", now), 0);
    assert_int_equal(daemonset_back_off(backoffs, "a", now), second);
    assert_int_equal(daemonset_back_off(backoffs, "b", now), 0); /* Another node. */
    now += second;
    for (int64_t delay = 2 * second; delay < 900 * second; delay *= 2) {
        assert_int_equal(daemonset_back_off(backoffs, "a", now), 0);
        assert_int_equal(daemonset_back_off(backoffs, "a", now + second / 4), delay - second / 4);
        now += delay;
    }
    assert_int_equal(daemonset_back_off(backoffs, "a", now), 0);
    assert_int_equal(daemonset_back_off(backoffs, "a", now), 900 * second);
    now += 1801 * second;
    assert_int_equal(daemonset_back_off(backoffs, "a", now), 0);
    assert_int_equal(daemonset_back_off(backoffs, "a", now), second); /* It began anew. */
    daemonset_backoffs_free(backoffs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tolerations_keep_pods_on_nodes_in_trouble),
        cmocka_unit_test(a_pod_is_for_its_node_alone),
        cmocka_unit_test(nodes_fit_by_labels_and_taints),
        cmocka_unit_test(each_node_that_fits_has_one_pod),
        cmocka_unit_test(updates_keep_within_their_limits),
        cmocka_unit_test(the_status_counts_nodes),
        cmocka_unit_test(failed_pods_stay_longer_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

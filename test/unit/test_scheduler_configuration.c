// SPDX-License-Identifier: Apache-2.0
/* What a KubeSchedulerConfiguration makes of the profiles, and what is refused in it. */
#include "test/unit/scheduler_harness.h"

#include "common/yaml.h"
#include "scheduler/configuration.h"
#include "scheduler/cycle.h"

#define HEAD "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
#define WITH_PLUGINS(plugins) HEAD "profiles:\n- plugins: {" plugins "}\n"
#define WITH_ARGS(name, args)                                                                      \
    HEAD "profiles:\n- pluginConfig:\n  - name: " name "\n    args: {" args "}\n"

static struct service_options service;

static json_t *parse(const char *text)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    json_t *json = yaml_parse(text, strlen(text), NULL, NULL, &error);
    assert_non_null(json);
    return json;
}

static struct scheduler_configuration read_all(const char *text)
{
    struct scheduler_configuration configuration;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    service = (struct service_options){.leader_elect = true, .lease_name = "kube-scheduler"};
    if (!scheduler_configuration_parse(&configuration, parse(text), &service, &error)) {
        fail_msg("%s", error.message);
    }
    return configuration;
}

static void refused(const char *text, const char *why)
{
    struct scheduler_configuration configuration;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_false(scheduler_configuration_parse(&configuration, parse(text), NULL, &error));
    assert_string_equal(error.message, why);
}

/* The names of the plugins with blanks between, with their weights if there are any. */
static const char *names_of(const struct plugin *const *list, const int64_t *weights)
{
    static char text[600];
    text[0] = '\0';
    for (size_t i = 0; list[i] != NULL; i++) {
        size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, "%s%s", i > 0 ? " " : "", list[i]->name);
        length = strlen(text);
        if (weights != NULL) {
            snprintf(text + length, sizeof text - length, ":%d", (int)weights[i]);
        }
    }
    return text;
}

static void scores_are(const char *text, const char *expected)
{
    struct scheduler_configuration configuration = read_all(text);
    assert_string_equal(
        names_of(configuration.profiles[0].scores, configuration.profiles[0].weights), expected);
    scheduler_configuration_clear(&configuration);
}

static void filters_are(const char *text, const char *expected)
{
    struct scheduler_configuration configuration = read_all(text);
    assert_string_equal(names_of(configuration.profiles[0].filters, NULL), expected);
    scheduler_configuration_clear(&configuration);
}

static void an_empty_one_is_the_default(void **state)
{
    (void)state;
    struct scheduler_configuration configuration = read_all(HEAD);
    assert_int_equal(configuration.profile_count, 1);
    assert_string_equal(configuration.profiles[0].scheduler_name, "default-scheduler");
    assert_memory_equal(&configuration.profiles[0], &profile_default, sizeof profile_default);
    assert_int_equal(configuration.initial_backoff_s, 1);
    assert_int_equal(configuration.max_backoff_s, 10);
    assert_true(service.leader_elect);
    scheduler_configuration_clear(&configuration);
}

static void what_concerns_the_process_is_read(void **state)
{
    (void)state;
    struct scheduler_configuration configuration = read_all(
        HEAD
        "percentageOfNodesToScore: 40\npodInitialBackoffSeconds: 3\npodMaxBackoffSeconds: 20\n"
        "leaderElection: {leaderElect: false, leaseDuration: 30s, resourceName: mine}\n"
        "clientConnection: {kubeconfig: /etc/k, qps: 50, burst: 100}\n"
        "profiles:\n- {schedulerName: a, percentageOfNodesToScore: 7}\n- {schedulerName: b}\n");
    assert_int_equal(configuration.percentage_of_nodes_to_score, 40);
    assert_int_equal(configuration.initial_backoff_s, 3);
    assert_int_equal(configuration.max_backoff_s, 20);
    assert_false(service.leader_elect);
    assert_int_equal(service.lease_duration, INT64_C(30000000000));
    assert_string_equal(service.lease_name, "mine");
    assert_string_equal(service.kubeconfig, "/etc/k");
    assert_int_equal(service.qps, 50);
    assert_int_equal(configuration.profile_count, 2);
    assert_int_equal(configuration.profiles[0].percentage_of_nodes_to_score, 7);
    assert_int_equal(configuration.profiles[1].percentage_of_nodes_to_score, -1);
    assert_string_equal(configuration.profiles[1].scheduler_name, "b");
    scheduler_configuration_clear(&configuration);
}

#define ALL_SCORES                                                                                 \
    "TaintToleration:3 NodeAffinity:2 NodeResourcesFit:1 PodTopologySpread:2 InterPodAffinity:2 "  \
    "NodeResourcesBalancedAllocation:1 ImageLocality:1"
#define OTHER_SCORES                                                                               \
    "TaintToleration:3 NodeAffinity:2 PodTopologySpread:2 InterPodAffinity:2 "                     \
    "NodeResourcesBalancedAllocation:1 ImageLocality:1"

static void scores_have_places_and_weights(void **state)
{
    (void)state;
    scores_are(WITH_PLUGINS(""), ALL_SCORES);
    scores_are(WITH_PLUGINS("score: {disabled: [{name: NodeResourcesFit}]}"), OTHER_SCORES);
    scores_are(WITH_PLUGINS("score: {enabled: [{name: NodeResourcesFit, weight: 5}]}"),
               "NodeResourcesFit:5 " OTHER_SCORES);
    scores_are(WITH_PLUGINS("score: {disabled: [{name: '*'}], enabled: [{name: ImageLocality}, "
                            "{name: TaintToleration, weight: 4}]}"),
               "ImageLocality:1 TaintToleration:4");
    scores_are(WITH_PLUGINS("multiPoint: {disabled: [{name: '*'}], enabled: "
                            "[{name: ImageLocality, weight: 9}, {name: NodeAffinity}]}"),
               "ImageLocality:9 NodeAffinity:1");
    scores_are(WITH_PLUGINS("multiPoint: {enabled: [{name: NodeAffinity, weight: 8}], "
                            "disabled: [{name: TaintToleration}, {name: NodeResourcesFit}, "
                            "{name: PodTopologySpread}]}"),
               "NodeAffinity:8 InterPodAffinity:2 NodeResourcesBalancedAllocation:1 "
               "ImageLocality:1");
}

static void filters_are_those_that_are_enabled(void **state)
{
    (void)state;
    filters_are(WITH_PLUGINS(""), "NodeUnschedulable TaintToleration NodeAffinity NodePorts "
                                  "NodeResourcesFit VolumeRestrictions NodeVolumeLimits "
                                  "VolumeBinding VolumeZone PodTopologySpread InterPodAffinity");
    filters_are(WITH_PLUGINS("multiPoint: {disabled: [{name: NodePorts}, {name: ImageLocality}]}, "
                             "filter: {enabled: [{name: PodTopologySpread}], "
                             "disabled: [{name: NodeAffinity}]}"),
                "PodTopologySpread NodeUnschedulable TaintToleration NodeResourcesFit "
                "VolumeRestrictions NodeVolumeLimits VolumeBinding VolumeZone InterPodAffinity");
    struct scheduler_configuration configuration =
        read_all(WITH_PLUGINS("postFilter: {disabled: [{name: DefaultPreemption}]}"));
    assert_true(configuration.profiles[0].never_preempts);
    assert_string_equal(names_of(configuration.profiles[0].plain_filters, NULL),
                        "NodeUnschedulable TaintToleration NodeAffinity NodePorts "
                        "NodeResourcesFit PodTopologySpread InterPodAffinity");
    scheduler_configuration_clear(&configuration);
}

static void plugins_take_their_arguments(void **state)
{
    (void)state;
    struct scheduler_configuration configuration = read_all(
        HEAD "profiles:\n"
             "- pluginConfig:\n"
             "  - name: NodeResourcesFit\n"
             "    args:\n"
             "      apiVersion: kubescheduler.config.k8s.io/v1\n"
             "      kind: NodeResourcesFitArgs\n"
             "      ignoredResources: [x.com/a]\n"
             "      scoringStrategy:\n"
             "        type: RequestedToCapacityRatio\n"
             "        resources: [{name: x.com/gpu, weight: 3}, {name: cpu}]\n"
             "        requestedToCapacityRatio: {shape: [{utilization: 0, score: 0}, "
             "{utilization: 100, score: 10}]}\n"
             "  - {name: InterPodAffinity, args: {hardPodAffinityWeight: 0, "
             "ignorePreferredTermsOfExistingPods: true}}\n"
             "  - {name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: "
             "[{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}}\n"
             "  - {name: DefaultPreemption, args: {minCandidateNodesAbsolute: 5}}\n"
             "  - {name: VolumeBinding, args: {bindTimeoutSeconds: 7}}\n"
             "  - {name: NodeResourcesBalancedAllocation, args: {resources: [{name: cpu, weight: "
             "1}]}}\n");
    const struct profile *profile = &configuration.profiles[0];
    assert_int_equal(profile->strategy, REQUESTED_TO_CAPACITY_RATIO);
    assert_int_equal(profile->fit_resources.count, 2);
    assert_int_equal(profile->fit_resources.list[0].kind, RESOURCE_EXTENDED);
    assert_int_equal(profile->fit_resources.list[0].weight, 3);
    assert_int_equal(profile->shape_count, 2);
    assert_int_equal(profile->shape[1].score, 100);
    assert_int_equal(json_array_size(profile->ignored_resources), 1);
    assert_int_equal(profile->hard_pod_affinity_weight, 0);
    assert_true(profile->ignore_preferred_terms_of_existing_pods);
    assert_true(profile->spreads_by_list);
    assert_int_equal(json_array_size(profile->default_constraints), 1);
    assert_int_equal(profile->min_candidate_nodes_percentage, 10);
    assert_int_equal(profile->min_candidate_nodes_absolute, 5);
    assert_int_equal(profile->bind_timeout_s, 7);
    assert_int_equal(profile->balanced_resources.count, 1);
    scheduler_configuration_clear(&configuration);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"kind: KubeSchedulerConfiguration\napiVersion: kubescheduler.config.k8s.io/v1beta3",
         "no kind \"KubeSchedulerConfiguration\" is registered for version "
         "\"kubescheduler.config.k8s.io/v1beta3\": it must be KubeSchedulerConfiguration of "
         "kubescheduler.config.k8s.io/v1"},
        {HEAD "profile: []", "strict decoding error: unknown field \"profile\""},
        {HEAD "profiles: [{schedulername: x}]",
         "strict decoding error: unknown field \"profiles[0].schedulername\""},
        {HEAD "podMaxBackoffSeconds: x", "podMaxBackoffSeconds: must be an integer"},
        {HEAD "percentageOfNodesToScore: 101",
         "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]"},
        {HEAD "podInitialBackoffSeconds: 0",
         "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0"},
        {HEAD "podInitialBackoffSeconds: 20",
         "podMaxBackoffSeconds: Invalid value: 10: must be greater than or equal to "
         "PodInitialBackoffSeconds"},
        {HEAD "profiles: [{schedulerName: a}, {}]", "profiles[1].schedulerName: Required value"},
        {HEAD "profiles: [{schedulerName: a}, {schedulerName: a}]",
         "profiles[1].schedulerName: Duplicate value: \"a\""},
        {HEAD "parallelism: 0",
         "parallelism: Invalid value: 0: should be an integer value greater than zero"},
        {HEAD "extenders: [{urlPrefix: x}]", "extenders: Forbidden: extenders are not supported"},
        {HEAD "leaderElection: {leaseDuration: x}",
         "leaderElection.leaseDuration: Invalid value: \"x\": must be greater than zero"},
        {WITH_PLUGINS("scores: {}"),
         "strict decoding error: unknown field \"profiles[0].plugins.scores\""},
        {WITH_PLUGINS("score: {enabled: [{name: Foo}]}"),
         "profiles[0].plugins.score.enabled[0].name: plugin \"Foo\" does not exist"},
        {WITH_PLUGINS("score: {enabled: [{name: NodePorts}]}"),
         "profiles[0].plugins.score: plugin \"NodePorts\" does not extend score plugin"},
        {WITH_PLUGINS("filter: {enabled: [{name: NodePorts}, {name: NodePorts}]}"),
         "profiles[0].plugins.filter.enabled[1].name: plugin \"NodePorts\" already registered"},
        {WITH_ARGS("Foo", ""), "profiles[0].pluginConfig[0].args: plugin \"Foo\" does not exist"},
        {WITH_ARGS("InterPodAffinity", "hardPodAffinityWeight: 101"),
         "profiles[0].pluginConfig[0].args.hardPodAffinityWeight: Invalid value: 101: not in valid "
         "range [0-100]"},
        {WITH_ARGS("InterPodAffinity", "weight: 1"),
         "strict decoding error: unknown field \"profiles[0].pluginConfig[0].args.weight\""},
        {WITH_ARGS("NodeResourcesFit", "scoringStrategy: {type: Most}"),
         "profiles[0].pluginConfig[0].args.scoringStrategy.type: Unsupported value: \"Most\": "
         "supported values: \"LeastAllocated\", \"MostAllocated\", \"RequestedToCapacityRatio\""},
        {WITH_ARGS("NodeResourcesFit", "scoringStrategy: {type: RequestedToCapacityRatio}"),
         "profiles[0].pluginConfig[0].args.scoringStrategy.requestedToCapacityRatio.shape: "
         "Required value: at least one point must be specified"},
        {WITH_ARGS("PodTopologySpread", "defaultConstraints: [{maxSkew: 1, topologyKey: a, "
                                        "whenUnsatisfiable: DoNotSchedule}]"),
         "profiles[0].pluginConfig[0].args.defaultingType: Invalid value: \"System\": when "
         ".defaultConstraints are not empty"},
        {WITH_ARGS("DefaultPreemption",
                   "minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0"),
         "profiles[0].pluginConfig[0].args: Invalid value: cannot have both "
         "minCandidateNodesPercentage and minCandidateNodesAbsolute be zero"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        refused(cases[i].text, cases[i].why);
    }
}

/* A profile's default constraints hold for pods of a group that have none of their own. */
static void default_constraints_refuse_nodes(void **state)
{
    (void)state;
    struct scheduler_configuration configuration = read_all(
        WITH_ARGS("PodTopologySpread", "defaultingType: List, defaultConstraints: [{maxSkew: 1, "
                                       "topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]"));
    struct node_cache *cache = node_cache_new();
    struct decider decider = {
        .cache = cache, .profiles = configuration.profiles, .profile_count = 1};
    put_node(cache, "a", "\"labels\":{\"zone\":\"a\"}", "", "\"pods\":\"9\"");
    put_node(cache, "b", "\"labels\":{\"zone\":\"b\"}", "", "\"pods\":\"1\"");
    struct cached_object *pods[4];
    for (int i = 0; i < 4; i++) {
        static const char *const names[] = {"p0", "p1", "p2", "p3"};
        pods[i] = make_pod_with(names[i], "\"labels\":{\"app\":\"web\"}", "\"containers\":[{}]");
    }
    struct pod_class *class = class_of(pods[0]);
    struct selector **selectors = allocate(sizeof(struct selector *));
    cleanup(json_release)
    json_t *labels = json_pack("{s:s}", "app", "web");
    selectors[0] = selector_from_map(labels);
    node_cache_know_class(cache, class);
    class->group = node_cache_group(cache, "ns", "web", selectors, 1);
    for (int i = 0; i < 3; i++) {
        const struct node *node = decider_choose(&decider, class, pods[i]->key, pods[i]->uid);
        assert_non_null(node);
        place(cache, pods[i], node->name);
    }
    assert_null(decider_choose(&decider, class, pods[3]->key, pods[3]->uid));
    assert_string_equal(class->failure,
                        "0/2 nodes are available: 1 Too many pods, 1 node(s) didn't match pod "
                        "topology spread constraints.");
    for (int i = 0; i < 4; i++) {
        cached_object_unref(pods[i]);
    }
    decider_clear(&decider);
    free_cache(cache);
    scheduler_configuration_clear(&configuration);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one_is_the_default),
        cmocka_unit_test(what_concerns_the_process_is_read),
        cmocka_unit_test(scores_have_places_and_weights),
        cmocka_unit_test(filters_are_those_that_are_enabled),
        cmocka_unit_test(plugins_take_their_arguments),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(default_constraints_refuse_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* An autoscaler's metrics, asked of a scripted server: where each is asked for, what it leads to,
 * and what is said of one that can't be had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "controllers/autoscaler_metrics.h"
#include "controllers/autoscaler_round.h"
#include "controllers/conditions.h"
#include "controllers/label_selector_text.h"
#include "test/stub/api_stub.h"
#include "test/unit/pods_harness.h"

struct fixture {
    struct api_stub *stub;
    struct loop *loop;
    struct client *client;
    struct autoscaler_targets targets;
    struct cached_list pods;
    struct autoscaler_round round;
    json_t *autoscaler, *scale, *conditions;
    struct error partly, error;
};

/* ---- helpers ---- */

static json_t *parse(const char *text)
{
    json_t *tree = json_parse(text, strlen(text), NULL);
    if (tree == NULL) {
        fail_msg("no JSON: %s", text);
    }
    return tree;
}

/* Some ready pods of a target that has as many replicas, and these metrics. */
static void start(struct fixture *fixture, int pods, const char *metrics)
{
    struct client_config config = CLIENT_CONFIG_INIT;
    *fixture = (struct fixture){.stub = api_stub_start(), .loop = loop_new()};
    config.server = duplicate(api_stub_url(fixture->stub));
    fixture->client =
        client_new(fixture->loop, &config, &(struct client_options){.user_agent = "tester"}, NULL);
    autoscaler_targets_init(&fixture->targets, fixture->client);
    for (int i = 0; i < pods; i++) {
        cleanup(free_char)
        char *name = format("p%d", i);
        test_pod_add(&fixture->pods,
                     (struct test_pod){.name = name, .is_ready = true, .ready_for = 1000});
    }
    cleanup(free_char)
    char *text = format("{\"metadata\": {\"namespace\": \"n\", \"name\": \"web\"}, \"spec\": "
                        "{\"metrics\": [%s]}}",
                        metrics);
    fixture->autoscaler = parse(text);
    fixture->scale = json_pack("{s:{s:i}, s:{s:i, s:s}}", "spec", "replicas", pods, "status",
                               "replicas", pods, "selector", "app=web");
    fixture->conditions = json_array();
    fixture->round = (struct autoscaler_round){.targets = &fixture->targets,
                                               .autoscaler = fixture->autoscaler,
                                               .scale = fixture->scale,
                                               .pods = &fixture->pods,
                                               .tolerance = 0.1,
                                               .now = test_now,
                                               .conditions = fixture->conditions};
}

static void stop(struct fixture *fixture)
{
    autoscaler_round_clear(&fixture->round);
    autoscaler_targets_clear(&fixture->targets);
    cached_list_free(&fixture->pods);
    json_decref(fixture->autoscaler);
    json_decref(fixture->scale);
    json_decref(fixture->conditions);
    error_clear(&fixture->partly);
    error_clear(&fixture->error);
    client_free(fixture->client);
    loop_free(fixture->loop);
    api_stub_stop(fixture->stub);
}

static bool run(struct fixture *fixture)
{
    return autoscaler_round_run(&fixture->round, &fixture->partly, &fixture->error);
}

static void answer(struct fixture *fixture, int code, const char *body)
{
    api_stub_answer(fixture->stub, (struct api_stub_answer){.code = code, .body = body});
}

#define RESOURCE(plural, kind)                                                                     \
    "{\"resource\": \"" plural "\", \"responseKind\": {\"kind\": \"" kind                          \
    "\"}, \"scope\": \"Namespaced\", \"verbs\": [\"get\"]}"
#define GROUP(name, version, resources)                                                            \
    "{\"metadata\": {\"name\": \"" name "\"}, \"versions\": [{\"version\": \"" version             \
    "\", \"resources\": [" resources "]}]}"

/* What is served, with the API of custom metrics or without it. Two requests ask, in any order:
 * both get the whole. */
static void answer_discovery(struct fixture *fixture, bool with_custom)
{
    static const char with[] =
        "{\"items\": [" GROUP("", "v1", RESOURCE("services", "Service")) ", " GROUP(
            "networking.k8s.io", "v1",
            RESOURCE("ingresses", "Ingress")) ", " GROUP("custom.metrics.k8s.io", "v1beta2",
                                                         RESOURCE("pods/hits",
                                                                  "MetricValueList")) "]}";
    static const char without[] =
        "{\"items\": [" GROUP("", "v1", RESOURCE("services", "Service")) "]}";
    answer(fixture, 200, with_custom ? with : without);
    answer(fixture, 200, with_custom ? with : without);
}

static void assert_request(struct fixture *fixture, size_t number, const char *expected)
{
    cleanup(free_char)
    char *request = api_stub_request(fixture->stub, number);
    assert_string_equal(request, expected);
}

static void assert_status(struct fixture *fixture, size_t number, const char *expected)
{
    cleanup(json_release)
    json_t *wanted = parse(expected);
    const json_t *status = json_array_get(fixture->round.statuses, number);
    if (!json_equal(status, wanted)) {
        cleanup(free_char)
        char *text = json_text(status);
        fail_msg("%s", text);
    }
}

static void assert_active(struct fixture *fixture, const char *status, const char *reason,
                          const char *message)
{
    const json_t *condition = condition_find(fixture->conditions, "ScalingActive");
    assert_string_equal(json_get_string(condition, "status"), status);
    assert_string_equal(json_get_string(condition, "reason"), reason);
    assert_string_equal(json_get_string(condition, "message"), message);
}

/* ---- each kind of metric ---- */

#define METRIC(type, member, rest) "{\"type\": \"" type "\", \"" member "\": {" rest "}}"
#define HITS "\"metric\": {\"name\": \"hits\", \"selector\": {\"matchLabels\": {\"k\": \"v\"}}}"
#define AVERAGE(value) "\"target\": {\"type\": \"AverageValue\", \"averageValue\": \"" value "\"}"
#define VALUE(value) "\"target\": {\"type\": \"Value\", \"value\": \"" value "\"}"
#define CALCULATED "the HPA was able to successfully calculate a replica count from "

static void a_metric_of_pods_is_asked_for_all_at_once(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 2, METRIC("Pods", "pods", HITS ", " AVERAGE("10")));
    answer_discovery(&fixture, true);
    answer(&fixture, 200,
           "{\"items\": [{\"describedObject\": {\"name\": \"p0\"}, \"value\": \"35\"}, "
           "{\"describedObject\": {\"name\": \"p1\"}, \"value\": \"14500m\"}]}");
    assert_true(run(&fixture));
    assert_request(&fixture, 2,
                   "GET /apis/custom.metrics.k8s.io/v1beta2/namespaces/n/pods/*/hits?"
                   "labelSelector=app=web&metricLabelSelector=k=v");
    assert_int_equal(fixture.round.replicas, 5);
    assert_active(&fixture, "True", "ValidMetricFound", CALCULATED "pods metric hits");
    assert_status(&fixture, 0,
                  "{\"type\": \"Pods\", \"pods\": {" HITS
                  ", \"current\": {\"averageValue\": \"24750m\"}}}");
    stop(&fixture);
}

static void a_metric_of_an_object_is_weighed_as_a_whole(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 2,
          METRIC("Object", "object",
                 "\"describedObject\": {\"apiVersion\": \"networking.k8s.io/v1\", \"kind\": "
                 "\"Ingress\", \"name\": \"front\"}, " HITS ", " VALUE("2k")));
    answer_discovery(&fixture, true);
    answer(&fixture, 200, "{\"items\": [{\"value\": \"5k\"}]}");
    assert_true(run(&fixture));
    assert_request(&fixture, 2,
                   "GET /apis/custom.metrics.k8s.io/v1beta2/namespaces/n/"
                   "ingresses.networking.k8s.io/front/hits?metricLabelSelector=k=v");
    assert_int_equal(fixture.round.replicas, 5);
    assert_active(&fixture, "True", "ValidMetricFound", CALCULATED "Ingress metric hits");
    assert_status(&fixture, 0,
                  "{\"type\": \"Object\", \"object\": {\"describedObject\": {\"apiVersion\": "
                  "\"networking.k8s.io/v1\", \"kind\": \"Ingress\", \"name\": \"front\"}, " HITS
                  ", \"current\": {\"value\": \"5k\"}}}");
    stop(&fixture);
}

static void a_metric_of_an_object_can_be_shared(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 2,
          METRIC("Object", "object",
                 "\"describedObject\": {\"apiVersion\": \"v1\", \"kind\": \"Service\", \"name\": "
                 "\"s\"}, \"metric\": {\"name\": \"hits\"}, " AVERAGE("1k")));
    answer_discovery(&fixture, true);
    answer(&fixture, 200, "{\"items\": [{\"value\": \"5k\"}]}");
    assert_true(run(&fixture));
    assert_request(&fixture, 2,
                   "GET /apis/custom.metrics.k8s.io/v1beta2/namespaces/n/services/s/hits");
    assert_int_equal(fixture.round.replicas, 5);
    assert_active(&fixture, "True", "ValidMetricFound", CALCULATED "external metric hits(nil)");
    stop(&fixture);
}

static void a_namespace_is_asked_about_by_itself(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 1,
          METRIC("Object", "object",
                 "\"describedObject\": {\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"name\": "
                 "\"other\"}, \"metric\": {\"name\": \"hits\"}, " VALUE("1")));
    answer_discovery(&fixture, true);
    answer(&fixture, 200, "{\"items\": [{\"value\": \"3\"}]}");
    assert_true(run(&fixture));
    assert_request(&fixture, 2,
                   "GET /apis/custom.metrics.k8s.io/v1beta2/namespaces/n/metrics/hits");
    assert_int_equal(fixture.round.replicas, 3);
    stop(&fixture);
}

static void metrics_from_outside_are_summed(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 2,
          METRIC("External", "external", HITS ", " VALUE("10")) ", " METRIC(
              "External", "external", "\"metric\": {\"name\": \"queue\"}, " AVERAGE("5")));
    answer(&fixture, 200, "{\"items\": [{\"value\": \"12\"}, {\"value\": \"3\"}]}");
    answer(&fixture, 200, "{\"items\": [{\"value\": \"35\"}]}");
    assert_true(run(&fixture));
    assert_request(&fixture, 0,
                   "GET /apis/external.metrics.k8s.io/v1beta1/namespaces/n/hits?labelSelector="
                   "k=v");
    assert_request(&fixture, 1, "GET /apis/external.metrics.k8s.io/v1beta1/namespaces/n/queue");
    assert_int_equal(fixture.round.replicas, 7); /* The highest: 35 / 5, against 2 * 1.5. */
    assert_active(&fixture, "True", "ValidMetricFound", CALCULATED "external metric queue(nil)");
    assert_status(&fixture, 0,
                  "{\"type\": \"External\", \"external\": {" HITS
                  ", \"current\": {\"value\": \"15\"}}}");
    assert_status(&fixture, 1,
                  "{\"type\": \"External\", \"external\": {\"metric\": {\"name\": \"queue\"}, "
                  "\"current\": {\"averageValue\": \"17500m\"}}}");
    stop(&fixture);
}

#define USAGE(pod, a, b)                                                                           \
    "{\"metadata\": {\"namespace\": \"n\", \"name\": \"" pod "\"}, \"timestamp\": "                \
    "\"2027-01-15T08:00:00Z\", \"window\": \"15s\", \"containers\": [{\"name\": \"a\", \"usage\":" \
    " {\"memory\": \"" a "\"}}, {\"name\": \"b\", \"usage\": {\"memory\": \"" b "\"}}]}"

static void a_resource_is_summed_over_containers_or_taken_of_one(void **state)
{
    (void)state;
    static const char usage[] =
        "{\"items\": [" USAGE("p0", "100", "50") ", " USAGE("p1", "200", "50") "]}";
    struct fixture fixture;
    start(&fixture, 2,
          METRIC("Resource", "resource", "\"name\": \"memory\", " AVERAGE("100")) ", " METRIC(
              "ContainerResource", "containerResource",
              "\"name\": \"memory\", \"container\": \"a\", " AVERAGE("50")));
    answer(&fixture, 200, usage);
    answer(&fixture, 200, usage);
    assert_true(run(&fixture));
    assert_request(&fixture, 0,
                   "GET /apis/metrics.k8s.io/v1beta1/namespaces/n/pods?labelSelector=app=web");
    assert_int_equal(fixture.round.replicas, 6); /* 2 * 150 / 50, against 2 * 200 / 100. */
    assert_status(&fixture, 0,
                  "{\"type\": \"Resource\", \"resource\": {\"name\": \"memory\", \"current\": "
                  "{\"averageValue\": \"200\"}}}");
    assert_status(&fixture, 1,
                  "{\"type\": \"ContainerResource\", \"containerResource\": {\"name\": \"memory\", "
                  "\"container\": \"a\", \"current\": {\"averageValue\": \"150\"}}}");
    stop(&fixture);
}

/* ---- what can't be had ---- */

#define GENERIC                                                                                    \
    "{\"kind\": \"Status\", \"status\": \"Failure\", \"code\": 404, \"reason\": \"NotFound\", "    \
    "\"message\": \"the server could not find the requested resource\"}"
#define UNABLE "the HPA was unable to compute the replica count: "

static void what_fails_is_told_in_full(void **state)
{
    (void)state;
#define RESOURCE_API "unable to fetch metrics from resource metrics API: "
#define CUSTOM_API "unable to fetch metrics from custom metrics API: "
#define EXTERNAL_API "unable to fetch metrics from external metrics API: "
#define SUM "invalid metrics (1 invalid out of 1), first error is: "
#define SERVICE                                                                                    \
    "\"describedObject\": {\"kind\": \"Service\", \"apiVersion\": \"v1\", \"name\": \"s\"}, "
    static const struct {
        const char *metric;
        bool asks_discovery, with_custom;
        int code; /* 0: nothing is asked for. */
        const char *body, *reason, *message, *sum;
    } cases[] = {
        {METRIC("Resource", "resource", "\"name\": \"cpu\", " AVERAGE("1")), false, false, 404,
         GENERIC, "FailedGetResourceMetric",
         "failed to get cpu usage: unable to get metrics for resource cpu: " RESOURCE_API
         "the server could not find the requested resource (get pods.metrics.k8s.io)",
         SUM "failed to get cpu resource metric value: failed to get cpu usage: unable to get "
             "metrics for resource cpu: " RESOURCE_API
             "the server could not find the requested resource (get pods.metrics.k8s.io)"},
        {METRIC("Resource", "resource",
                "\"name\": \"cpu\", \"target\": {\"averageUtilization\": 50}"),
         false, false, 200, "{\"items\": []}", "FailedGetResourceMetric",
         "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics "
         "returned from resource metrics API",
         SUM
         "failed to get cpu resource metric value: failed to get cpu utilization: unable to get "
         "metrics for resource cpu: no metrics returned from resource metrics API"},
        {METRIC("Resource", "resource", "\"name\": \"cpu\", \"target\": {}"), false, false, 0, NULL,
         "FailedGetResourceMetric",
         "invalid resource metric source: neither an average utilization target nor an average "
         "value (usage) target was set",
         SUM "failed to get cpu resource metric value: invalid resource metric source: neither an "
             "average utilization target nor an average value (usage) target was set"},
        {METRIC("ContainerResource", "containerResource",
                "\"name\": \"memory\", \"container\": \"x\", " AVERAGE("1")),
         false, false, 200, "{\"items\": [" USAGE("p0", "1", "1") "]}",
         "FailedGetContainerResourceMetric",
         "failed to get memory usage: unable to get metrics for resource memory: failed to get "
         "container metrics: container x not present in metrics for pod n/p0",
         SUM
         "failed to get x container metric value: failed to get memory usage: unable to get "
         "metrics for resource memory: failed to get container metrics: container x not present "
         "in metrics for pod n/p0"},
        {METRIC("Pods", "pods", HITS ", " AVERAGE("1")), true, false, 0, NULL,
         "FailedGetPodsMetric",
         "unable to get metric hits: " CUSTOM_API
         "no custom metrics API (custom.metrics.k8s.io) registered",
         SUM "failed to get pods metric value: unable to get metric hits: " CUSTOM_API
             "no custom metrics API (custom.metrics.k8s.io) registered"},
        {METRIC("Pods", "pods", HITS ", " AVERAGE("1")), true, true, 200, "{\"items\": []}",
         "FailedGetPodsMetric",
         "unable to get metric hits: no metrics returned from custom metrics API",
         SUM "failed to get pods metric value: unable to get metric hits: no metrics returned from "
             "custom metrics API"},
        {METRIC("Object", "object", SERVICE HITS ", " VALUE("1")), true, true, 200,
         "{\"items\": []}", "FailedGetObjectMetric",
         "unable to get metric hits on Service n/s: " CUSTOM_API
         "the custom metrics API server returned 0 results when we asked for exactly one",
         SUM
         "failed to get object metric value: unable to get metric hits on Service n/s: " CUSTOM_API
         "the custom metrics API server returned 0 results when we asked for exactly one"},
        {METRIC("Object", "object", SERVICE HITS ", \"target\": {}"), false, false, 0, NULL,
         "FailedGetObjectMetric",
         "invalid object metric source: neither a value target nor an average value target was set",
         SUM "failed to get object metric value: invalid object metric source: neither a value "
             "target nor an average value target was set"},
        {METRIC("External", "external", "\"metric\": {\"name\": \"queue\"}, " VALUE("1")), false,
         false, 404, GENERIC, "FailedGetExternalMetric",
         "unable to get external metric n/queue/nil: " EXTERNAL_API
         "the server could not find the requested resource (get queue.external.metrics.k8s.io)",
         SUM
         "failed to get queue external metric value: failed to get external metric queue: "
         "unable to get external metric n/queue/nil: " EXTERNAL_API
         "the server could not find the requested resource (get queue.external.metrics.k8s.io)"},
        {METRIC("External", "external", "\"metric\": {\"name\": \"queue\"}, " AVERAGE("1")), false,
         false, 200, "{}", "FailedGetExternalMetric",
         "unable to get external metric n/queue/nil: no metrics returned from external metrics API",
         SUM
         "failed to get queue external metric value: failed to get queue external metric: unable "
         "to get external metric n/queue/nil: no metrics returned from external metrics API"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        struct fixture fixture;
        start(&fixture, 1, cases[i].metric);
        if (cases[i].asks_discovery) {
            answer_discovery(&fixture, cases[i].with_custom);
        }
        if (cases[i].code != 0) {
            answer(&fixture, cases[i].code, cases[i].body);
        }
        cleanup(free_char)
        char *message = format(UNABLE "%s", cases[i].message);
        assert_false(run(&fixture));
        assert_string_equal(fixture.error.message, cases[i].sum);
        assert_active(&fixture, "False", cases[i].reason, message);
        assert_status(&fixture, 0, "{\"type\": \"\"}");
        stop(&fixture);
    }
}

static void one_metric_is_enough_to_go_up_but_not_to_go_down(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool succeeds;
    } cases[] = {{"30", true}, {"20", true}, {"10", false}};
    for (size_t i = 0; i < array_length(cases); i++) {
        struct fixture fixture;
        start(&fixture, 2,
              METRIC("External", "external",
                     "\"metric\": {\"name\": \"lost\"}, " VALUE(
                         "1")) ", " METRIC("External", "external",
                                           "\"metric\": {\"name\": \"queue\"}, " AVERAGE("10")));
        cleanup(free_char)
        char *body = format("{\"items\": [{\"value\": \"%s\"}]}", cases[i].value);
        answer(&fixture, 404, GENERIC);
        answer(&fixture, 200, body);
        assert_int_equal(run(&fixture), cases[i].succeeds);
        const struct error *error = cases[i].succeeds ? &fixture.partly : &fixture.error;
        assert_non_null(strstr(error->message, "invalid metrics (1 invalid out of 2), first error "
                                               "is: failed to get lost external metric value"));
        const json_t *condition = condition_find(fixture.conditions, "ScalingActive");
        assert_string_equal(json_get_string(condition, "reason"),
                            cases[i].succeeds ? "ValidMetricFound" : "FailedGetExternalMetric");
        assert_status(&fixture, 0, "{\"type\": \"\"}");
        assert_string_equal(json_get_string(json_array_get(fixture.round.statuses, 1), "type"),
                            "External");
        stop(&fixture);
    }
}

/* ---- parts ---- */

static void a_pods_request_is_that_of_its_containers_unless_it_has_one_itself(void **state)
{
    (void)state;
#define CONTAINER(name, requests, rest)                                                            \
    "{\"name\": \"" name "\", \"resources\": {\"requests\": {" requests "}}" rest "}"
#define POD(rest) "{\"metadata\": {\"name\": \"p\"}, \"spec\": {" rest "}}"
    static const char pair[] =
        POD("\"containers\": [" CONTAINER("a", "\"cpu\": \"1\"", "") ", " CONTAINER(
            "b", "\"cpu\": \"250m\"",
            "") "], \"initContainers\": [" CONTAINER("s", "\"cpu\": \"2\"",
                                                     ", \"restartPolicy\": "
                                                     "\"Always\"") ", " CONTAINER("i",
                                                                                  "\"cpu\": \"9\"",
                                                                                  "") "]");
    static const char whole[] =
        POD("\"resources\": {\"requests\": {\"cpu\": \"7\"}}, \"containers\": [" CONTAINER(
            "a", "\"cpu\": \"1\"", "") "]");
    static const struct {
        const char *pod, *container;
        int64_t milli;
        const char *message;
    } cases[] = {
        {pair, "", 3250, NULL},
        {pair, "b", 250, NULL},
        {pair, "s", 2000, NULL},
        {pair, "x", 0, "container x not found in Pod p"},
        {pair, "i", 0, "container i not found in Pod p"},
        {whole, "", 7000, NULL},
        {whole, "a", 1000, NULL},
        {POD("\"containers\": [" CONTAINER("a", "\"memory\": \"1\"", "") "]"), "", 0,
         "missing request for cpu in container a of Pod p"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *pod = parse(cases[i].pod);
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        int64_t milli;
        bool found = autoscaler_pod_request(pod, "cpu", cases[i].container, &milli, &error);
        assert_int_equal(found, cases[i].message == NULL);
        if (found) {
            assert_int_equal(milli, cases[i].milli);
        } else {
            assert_string_equal(error.message, cases[i].message);
        }
    }
}

static void pods_that_lack_the_resource_have_no_sample(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *list = parse("{\"items\": [" USAGE(
        "p0", "1", "2") ", {\"metadata\": {\"name\": \"p1\"}, "
                        "\"containers\": []}, {\"metadata\": {\"name\": \"p2\"}, \"containers\": "
                        "[{\"name\": \"a\", \"usage\": {\"cpu\": \"1\"}}]}]}");
    cleanup(autoscaler_samples_free)
    struct autoscaler_samples samples = AUTOSCALER_SAMPLES_INIT;
    assert_true(autoscaler_samples_read(list, "memory", "", &samples, NULL));
    assert_int_equal(samples.count, 1);
    assert_string_equal(samples.list[0].pod, "p0");
    assert_int_equal(samples.list[0].value, 3000);
    assert_int_equal(samples.list[0].window, INT64_C(15) * 1000000000);
    assert_int_equal(samples.list[0].time, test_now);
}

static void selectors_are_shown_as_go_shows_them_and_asked_as_queries(void **state)
{
    (void)state;
    static const struct {
        const char *selector, *text, *query;
    } cases[] = {
        {"{\"matchLabels\": {\"b\": \"2\", \"a\": \"1\"}}",
         "&LabelSelector{MatchLabels:map[string]string{a: 1,b: "
         "2,},MatchExpressions:[]LabelSelectorRequirement{},}",
         "a=1,b=2"},
        {"{\"matchLabels\": {\"a\": \"1\"}, \"matchExpressions\": [{\"key\": \"k\", \"operator\": "
         "\"In\", \"values\": [\"x\", \"y\"]}, {\"key\": \"l\", \"operator\": \"Exists\"}]}",
         "&LabelSelector{MatchLabels:map[string]string{a: "
         "1,},MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:k,Operator:"
         "In"
         ",Values:[x y],},LabelSelectorRequirement{Key:l,Operator:Exists,Values:[],},},}",
         "a=1,k in (x,y),l"},
        {"{\"matchExpressions\": [{\"key\": \"k\", \"operator\": \"NotIn\", \"values\": [\"x\"]}, "
         "{\"key\": \"l\", \"operator\": \"DoesNotExist\"}]}",
         NULL, "k notin (x),!l"},
        {"null", "nil", ""},
        {"{}", NULL, ""},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *selector = json_loads(cases[i].selector, JSON_DECODE_ANY, NULL);
        cleanup(free_char)
        char *text = label_selector_text(selector);
        cleanup(free_char)
        char *query = label_selector_query(selector);
        assert_true(cases[i].text == NULL || strcmp(text, cases[i].text) == 0);
        assert_string_equal(query, cases[i].query);
    }
}

static void a_target_is_found_by_its_group_and_kind(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 1, "");
    answer_discovery(&fixture, true);
    cleanup(autoscaler_resource_clear)
    struct autoscaler_resource found = {0};
    assert_true(autoscaler_targets_find(&fixture.targets, "networking.k8s.io/v1beta1", "Ingress",
                                        &found, &fixture.error));
    assert_string_equal(found.group_version, "networking.k8s.io/v1");
    assert_int_equal(api_stub_count(fixture.stub), 2);
    static const struct {
        const char *version, *kind, *message;
    } missing[] = {
        {"a/b/c", "Service", "unexpected GroupVersion string: a/b/c"},
        {"apps/v1", "Service", "no matches for kind \"Service\" in group \"apps\""},
        {"v1", "Ingress", "no matches for kind \"Ingress\" in group \"\""},
    };
    for (size_t i = 0; i < array_length(missing); i++) {
        cleanup(autoscaler_resource_clear)
        struct autoscaler_resource none = {0};
        answer_discovery(&fixture, true); /* Asked again, unless that was a moment ago. */
        assert_false(autoscaler_targets_find(&fixture.targets, missing[i].version, missing[i].kind,
                                             &none, &fixture.error));
        assert_string_equal(fixture.error.message, missing[i].message);
        error_clear(&fixture.error);
    }
    stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_metric_of_pods_is_asked_for_all_at_once),
        cmocka_unit_test(a_metric_of_an_object_is_weighed_as_a_whole),
        cmocka_unit_test(a_metric_of_an_object_can_be_shared),
        cmocka_unit_test(a_namespace_is_asked_about_by_itself),
        cmocka_unit_test(metrics_from_outside_are_summed),
        cmocka_unit_test(a_resource_is_summed_over_containers_or_taken_of_one),
        cmocka_unit_test(what_fails_is_told_in_full),
        cmocka_unit_test(one_metric_is_enough_to_go_up_but_not_to_go_down),
        cmocka_unit_test(a_pods_request_is_that_of_its_containers_unless_it_has_one_itself),
        cmocka_unit_test(pods_that_lack_the_resource_have_no_sample),
        cmocka_unit_test(selectors_are_shown_as_go_shows_them_and_asked_as_queries),
        cmocka_unit_test(a_target_is_found_by_its_group_and_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

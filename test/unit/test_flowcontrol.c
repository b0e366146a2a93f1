// SPDX-License-Identifier: Apache-2.0
/* Whose turn it is: matching, hands of queues, fair queues in a time of our own, lent seats, and
 * the objects that every cluster has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/flowcontrol/flow_schema.h"
#include "apiserver/flowcontrol/keeper.h"
#include "apiserver/flowcontrol/queue_set.h"
#include "apiserver/flowcontrol/shuffle.h"
#include "common/alloc.h"
#include "common/json.h"

static const int64_t millisecond = 1000000;

/* ---- matching ---- */

struct asked {
    const char *user, *group;                /* The group may be NULL. */
    const char *verb, *api_group, *resource; /* Of a resource, else … */
    const char *subresource, *namespace;
    const char *path; /* … of a path. */
};

static bool schema_matches(const struct flow_schema *schema, const struct asked *asked)
{
    char *groups[] = {(char *)(uintptr_t)asked->group};
    struct request request = {
        .path = (char *)(uintptr_t)(asked->path ? asked->path : "/apis"),
        .user = {.name = (char *)(uintptr_t)asked->user,
                 .groups = groups,
                 .group_count = asked->group ? 1 : 0},
        .info = {.is_resource_request = asked->path == NULL,
                 .verb = (char *)(uintptr_t)asked->verb,
                 .group = (char *)(uintptr_t)asked->api_group,
                 .plural = (char *)(uintptr_t)asked->resource,
                 .subresource = (char *)(uintptr_t)(asked->subresource ? asked->subresource : ""),
                 .namespace = (char *)(uintptr_t)(asked->namespace ? asked->namespace : "")},
    };
    return flow_schema_matches(schema, &request);
}

static struct flow_schema *built_in(const char *name)
{
    cleanup(json_release)
    json_t *objects = keeper_objects(NULL);
    size_t i;
    json_t *object;
    json_array_foreach (objects, i, object) {
        if (strcmp(json_get_string(object, "kind"), "FlowSchema") == 0 &&
            strcmp(json_get_string(object, "name"), name) == 0) {
            json_object_set_new(object, "metadata", json_pack("{s:s}", "name", name));
            return flow_schema_new(object);
        }
    }
    fail_msg("no flow schema %s", name);
    return NULL;
}

static void requests_match_by_subject_verb_group_resource_and_scope(void **state)
{
    (void)state;
    static const char nodes[] = "system:nodes", leases[] = "coordination.k8s.io";
    static const char account[] = "system:serviceaccount:kube-system:job-controller";
    static const char other[] = "system:serviceaccount:kube-systems:job-controller";
    static const struct {
        const char *schema;
        struct asked asked;
        bool matches;
    } cases[] = {
        {"exempt", {"a", "system:masters", "delete", "apps", "deployments", NULL, "x", NULL}, true},
        {"exempt", {"a", "others", "delete", "apps", "deployments", NULL, "x", NULL}, false},
        {"exempt", {"a", "system:masters", "get", "", "", NULL, NULL, "/metrics"}, true},
        {"probes", {"a", "system:authenticated", "get", "", "", NULL, NULL, "/healthz"}, true},
        {"probes", {"a", "system:authenticated", "get", "", "", NULL, NULL, "/healthz/x"}, false},
        {"probes", {"a", "system:authenticated", "post", "", "", NULL, NULL, "/healthz"}, false},
        {"probes", {"a", "system:authenticated", "get", "", "pods", NULL, "x", NULL}, false},
        {"system-node-high", {"n", nodes, "patch", "", "nodes", "status", NULL, NULL}, true},
        {"system-node-high", {"n", nodes, "patch", "", "nodes", "proxy", NULL, NULL}, false},
        {"system-node-high", {"n", nodes, "get", "", "nodes", NULL, NULL, NULL}, true},
        {"system-node-high", {"n", nodes, "update", leases, "leases", NULL, "x", NULL}, true},
        {"system-node-high", {"n", nodes, "list", leases, "leases", NULL, NULL, NULL}, false},
        {"system-node-high", {"n", nodes, "get", "", "pods", NULL, "x", NULL}, false},
        {"kube-system-service-accounts", {account, NULL, "get", "", "pods", NULL, "x", NULL}, true},
        {"kube-system-service-accounts", {other, NULL, "get", "", "pods", NULL, "x", NULL}, false},
        {"endpoint-controller", {account, NULL, "get", "", "endpoints", NULL, "x", NULL}, false},
        {"kube-scheduler",
         {"system:kube-scheduler", NULL, "create", "", "pods", "binding", "x", NULL},
         true},
        {"kube-scheduler", {"scheduler", NULL, "get", "", "pods", NULL, "x", NULL}, false},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        struct flow_schema *schema = built_in(cases[i].schema);
        if (schema_matches(schema, &cases[i].asked) != cases[i].matches) {
            fail_msg("case %zu: %s should%s match", i, cases[i].schema,
                     cases[i].matches ? "" : " not");
        }
        flow_schema_free(schema);
    }
}

static void stars_stand_for_all_users_groups_and_the_rest_of_a_path(void **state)
{
    (void)state;
    static const struct {
        const char *subject, *path;
        bool matches;
    } cases[] = {
        {"{\"kind\":\"User\",\"user\":{\"name\":\"*\"}}", "/debug/x", true},
        {"{\"kind\":\"Group\",\"group\":{\"name\":\"*\"}}", "/debug/x/y", true},
        {"{\"kind\":\"User\",\"user\":{\"name\":\"b\"}}", "/debug/x", false},
        {"{\"kind\":\"User\",\"user\":{\"name\":\"a\"}}", "/debug", false},
        {"{\"kind\":\"User\",\"user\":{\"name\":\"a\"}}", "/debugger", false},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(free_char)
        char *text = format("{\"spec\":{\"rules\":[{\"subjects\":[%s],\"nonResourceRules\":[{"
                            "\"verbs\":[\"get\"],\"nonResourceURLs\":[\"/debug/*\"]}]}]}}",
                            cases[i].subject);
        cleanup(json_release)
        json_t *object = json_parse(text, strlen(text), NULL);
        struct flow_schema *schema = flow_schema_new(object);
        struct asked asked = {"a", "g", "get", "", "", NULL, NULL, cases[i].path};
        assert_int_equal(schema_matches(schema, &asked), cases[i].matches);
        flow_schema_free(schema);
    }
}

static void schemas_are_tried_by_precedence_then_by_name(void **state)
{
    (void)state;
    struct flow_schema a = {.name = (char[]){"a"}, .precedence = 9},
                       b = {.name = (char[]){"b"}, .precedence = 5},
                       c = {.name = (char[]){"c"}, .precedence = 5};
    struct flow_schema *schemas[] = {&a, &c, &b};
    qsort(schemas, 3, sizeof schemas[0], flow_schema_order);
    assert_ptr_equal(schemas[0], &b);
    assert_ptr_equal(schemas[1], &c);
    assert_ptr_equal(schemas[2], &a);
}

/* ---- hands ---- */

static void a_hand_is_of_different_queues_and_each_flows_own(void **state)
{
    (void)state;
    static const struct {
        unsigned deck, hand;
    } sizes[] = {{128, 6}, {16, 4}, {64, 6}, {8, 8}, {1, 1}};
    for (size_t i = 0; i < array_length(sizes); i++) {
        for (uint64_t seed = 1; seed < 500; seed++) {
            uint64_t hash = seed * UINT64_C(0x9e3779b97f4a7c15);
            unsigned hand[SHUFFLE_HAND_MAX], again[SHUFFLE_HAND_MAX];
            uint64_t seen[2] = {0};
            shuffle_deal(hash, sizes[i].deck, sizes[i].hand, hand);
            shuffle_deal(hash, sizes[i].deck, sizes[i].hand, again);
            for (unsigned card = 0; card < sizes[i].hand; card++) {
                assert_true(hand[card] < sizes[i].deck);
                assert_int_equal(hand[card], again[card]);
                uint64_t bit = UINT64_C(1) << hand[card] % 64;
                assert_true((seen[hand[card] / 64] & bit) == 0);
                seen[hand[card] / 64] |= bit;
            }
        }
    }
}

static void a_hash_names_cards_by_its_digits(void **state)
{
    (void)state;
    /* 9 of 10 is 9; then 0 of 9 left is 0; then 7 of 8 left (1 to 8) is 8. */
    unsigned hand[3];
    shuffle_deal(9 + 10 * (0 + 9 * 7), 10, 3, hand);
    assert_int_equal(hand[0], 9);
    assert_int_equal(hand[1], 0);
    assert_int_equal(hand[2], 8);
}

/* ---- fair queues ---- */

static void set_up(struct queue_set *set, unsigned queues, unsigned length, unsigned limit)
{
    *set = (struct queue_set){0};
    struct queue_set_options options = {
        .queues = queues, .hand_size = 1, .queue_length_limit = length};
    queue_set_configure(set, &options, 1);
    queue_set_limit(set, limit, 1);
}

static void without_queues_whoever_finds_no_seat_is_turned_away(void **state)
{
    (void)state;
    struct queue_set set;
    struct queued requests[3] = {{.seats = 1}, {.seats = 1}, {.seats = 1}};
    set_up(&set, 0, 0, 2);
    assert_int_equal(queue_set_arrive(&set, &requests[0], 1), ARRIVAL_EXECUTES);
    assert_int_equal(queue_set_arrive(&set, &requests[1], 1), ARRIVAL_EXECUTES);
    assert_int_equal(queue_set_arrive(&set, &requests[2], 1), ARRIVAL_CONCURRENCY_LIMIT);
    queue_set_leave(&set, &requests[0], 2);
    assert_int_equal(queue_set_arrive(&set, &requests[2], 2), ARRIVAL_EXECUTES);
    queue_set_clear(&set);
}

static void what_is_exempt_never_waits(void **state)
{
    (void)state;
    struct queue_set set = {0};
    struct queued requests[100] = {0};
    queue_set_configure(&set, &(struct queue_set_options){.exempt = true}, 1);
    queue_set_limit(&set, 0, 1);
    for (size_t i = 0; i < array_length(requests); i++) {
        requests[i].seats = 1;
        assert_int_equal(queue_set_arrive(&set, &requests[i], 1), ARRIVAL_EXECUTES);
    }
    queue_set_clear(&set);
}

static void a_full_queue_takes_no_more_and_who_waits_too_long_goes(void **state)
{
    (void)state;
    struct queue_set set;
    struct queued requests[4] = {{.seats = 1}, {.seats = 1}, {.seats = 1}, {.seats = 1}};
    set_up(&set, 1, 2, 1);
    assert_int_equal(queue_set_arrive(&set, &requests[0], 1), ARRIVAL_EXECUTES);
    assert_int_equal(queue_set_arrive(&set, &requests[1], 10), ARRIVAL_WAITS);
    assert_int_equal(queue_set_arrive(&set, &requests[2], 20), ARRIVAL_WAITS);
    assert_int_equal(queue_set_arrive(&set, &requests[3], 30), ARRIVAL_QUEUE_FULL);
    queue_set_expire(&set, 15, 40);
    assert_ptr_equal(queue_set_next_called(&set), &requests[1]);
    assert_int_equal(requests[1].state, QUEUED_TIMED_OUT);
    assert_null(queue_set_next_called(&set));
    queue_set_leave(&set, &requests[0], 50);
    assert_ptr_equal(queue_set_next_called(&set), &requests[2]);
    assert_int_equal(requests[2].state, QUEUED_EXECUTING);
    queue_set_leave(&set, &requests[2], 60);
    assert_int_equal(set.seats_in_use + set.waiting_seats + set.active_queues, 0);
    queue_set_clear(&set);
}

static void a_wide_request_takes_its_seats_and_one_too_wide_is_served_alone(void **state)
{
    (void)state;
    struct queue_set set;
    struct queued small = {.seats = 1}, wide = {.seats = 3}, huge = {.seats = 10};
    set_up(&set, 4, 10, 3);
    assert_int_equal(queue_set_arrive(&set, &small, 1), ARRIVAL_EXECUTES);
    assert_int_equal(queue_set_arrive(&set, &wide, 1), ARRIVAL_WAITS);
    queue_set_leave(&set, &small, 2);
    assert_ptr_equal(queue_set_next_called(&set), &wide);
    assert_int_equal(queue_set_arrive(&set, &huge, 3), ARRIVAL_WAITS);
    queue_set_leave(&set, &wide, 4);
    assert_ptr_equal(queue_set_next_called(&set), &huge);
    queue_set_clear(&set);
}

static void more_seats_call_who_waits(void **state)
{
    (void)state;
    struct queue_set set;
    struct queued one = {.seats = 1}, two = {.seats = 1};
    set_up(&set, 4, 10, 1);
    queue_set_arrive(&set, &one, 1);
    assert_int_equal(queue_set_arrive(&set, &two, 1), ARRIVAL_WAITS);
    queue_set_limit(&set, 2, 2);
    assert_ptr_equal(queue_set_next_called(&set), &two);
    queue_set_clear(&set);
}

enum { flood_size = 60, polite_size = 20 };

/* Serves one request after another, each for as long as its flow's take, until 'rounds' are done;
 * returns how much time the polite flow (1) got, in milliseconds. */
static int serve_in_turn(struct queue_set *set, struct queued *first, int rounds,
                         const int64_t took_ms[2])
{
    int64_t now = 1;
    int polite = 0;
    struct queued *served = first;
    for (int i = 0; i < rounds; i++) {
        now += took_ms[served->flow] * millisecond;
        polite += served->flow == 1 ? (int)took_ms[1] : 0;
        queue_set_leave(set, served, now);
        served = queue_set_next_called(set);
        assert_non_null(served);
        assert_null(queue_set_next_called(set));
    }
    return polite;
}

static void a_flood_does_not_keep_another_flow_from_its_half(void **state)
{
    (void)state;
    struct queue_set set;
    struct queued flood[flood_size], polite[polite_size];
    set_up(&set, 2, 100, 1);
    for (int i = 0; i < flood_size; i++) {
        flood[i] = (struct queued){.flow = 0, .seats = 1};
        queue_set_arrive(&set, &flood[i], 1);
    }
    for (int i = 0; i < polite_size; i++) {
        polite[i] = (struct queued){.flow = 1, .seats = 1};
        assert_int_equal(queue_set_arrive(&set, &polite[i], 1), ARRIVAL_WAITS);
    }
    int got = serve_in_turn(&set, &flood[0], 30, (int64_t[]){3, 3});
    assert_in_range(got, 14 * 3, 16 * 3);
    queue_set_clear(&set);
}

static void a_flow_of_long_requests_gets_no_more_time_than_one_of_short_ones(void **state)
{
    (void)state;
    struct queue_set set;
    struct queued flood[flood_size], polite[polite_size];
    set_up(&set, 2, 100, 1);
    for (int i = 0; i < flood_size; i++) {
        flood[i] = (struct queued){.flow = 0, .seats = 1};
        queue_set_arrive(&set, &flood[i], 1);
    }
    for (int i = 0; i < polite_size; i++) {
        polite[i] = (struct queued){.flow = 1, .seats = 1};
        queue_set_arrive(&set, &polite[i], 1);
    }
    /* 40 rounds: long ones are served about once for each four short ones. */
    int got = serve_in_turn(&set, &flood[0], 40, (int64_t[]){2, 8});
    assert_in_range(got, 7 * 8, 9 * 8);
    queue_set_clear(&set);
}

/* ---- seats ---- */

static void seats_are_shared_by_target_within_bounds(void **state)
{
    (void)state;
    static const struct {
        double total;
        struct seat_share shares[3];
        double expected[3];
    } cases[] = {
        {30, {{0, 100, 10, 0}, {0, 100, 20, 0}, {0, 100, 0, 0}}, {10, 20, 0}},
        {60, {{0, 100, 10, 0}, {0, 100, 20, 0}, {0, 100, 0, 0}}, {20, 40, 0}},
        {60, {{0, 15, 10, 0}, {0, 100, 20, 0}, {10, 100, 10, 0}}, {15, 30, 15}},
        {30, {{20, 100, 20, 0}, {0, 100, 20, 0}, {0, 0, 0, 0}}, {20, 10, 0}},
        {100, {{0, 10, 10, 0}, {0, 20, 20, 0}, {0, 5, 1, 0}}, {10, 20, 5}},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        struct seat_share shares[3];
        memcpy(shares, cases[i].shares, sizeof shares);
        seats_share(shares, 3, cases[i].total);
        for (size_t j = 0; j < 3; j++) {
            assert_float_equal(shares[j].seats, cases[i].expected[j], 0.05);
        }
    }
}

static void demand_is_averaged_over_time_and_falls_slowly(void **state)
{
    (void)state;
    const int64_t second = 1000 * millisecond;
    struct seat_demand demand = {.began_ns = second, .changed_ns = second};
    seat_demand_set(&demand, 10, 2 * second); /* One second of 0, then one of 10. */
    struct seat_demand_summary summary = seat_demand_finish(&demand, 3 * second);
    assert_float_equal(summary.high_watermark, 10, 1e-6);
    assert_float_equal(summary.average, 5, 1e-6);
    assert_float_equal(summary.deviation, 5, 1e-6);
    assert_float_equal(seat_demand_smooth(0, &summary), 10, 1e-6);
    assert_float_equal(seat_demand_smooth(100, &summary), 97.7 + 0.23, 1e-6);
    summary = seat_demand_finish(&demand, 4 * second); /* It goes on as it was. */
    assert_float_equal(summary.average, 10, 1e-6);
    assert_float_equal(summary.deviation, 0, 1e-6);
}

/* ---- what every cluster has ---- */

static json_t *parsed(const char *text)
{
    json_t *json = json_parse(text, strlen(text), NULL);
    assert_non_null(json);
    return json;
}

/* What becomes of an object; "" when nothing is to be done. */
static void assert_repair(const char *live, const char *wanted, const char *expected)
{
    cleanup(json_release)
    json_t *tree = parsed(live);
    cleanup(json_release)
    json_t *built = parsed(wanted);
    cleanup(json_release)
    json_t *better = keeper_repair(tree, built);
    cleanup(free_char)
    char *text = better ? json_text(better) : duplicate("");
    assert_string_equal(text, expected);
}

#define ANNOTATED(value)                                                                           \
    "{\"metadata\":{\"generation\":2,\"annotations\":{\"apf.kubernetes.io/autoupdate-spec\":"      \
    "\"" value "\"}},"

static void objects_are_put_right_unless_somebody_has_taken_them_over(void **state)
{
    (void)state;
    static const char suggested[] = "{\"spec\":{\"a\":1}}";
    static const char mandatory[] = "{\"mandatory\":true,\"spec\":{\"a\":1}}";
    assert_repair(ANNOTATED("true") "\"spec\":{\"a\":1}}", suggested, "");
    assert_repair(ANNOTATED("true") "\"spec\":{\"a\":2}}", suggested,
                  ANNOTATED("true") "\"spec\":{\"a\":1}}");
    assert_repair(ANNOTATED("false") "\"spec\":{\"a\":2}}", suggested, "");
    assert_repair(ANNOTATED("false") "\"spec\":{\"a\":2}}", mandatory,
                  ANNOTATED("true") "\"spec\":{\"a\":1}}");
    assert_repair("{\"metadata\":{\"generation\":1,\"annotations\":{}},\"spec\":{\"a\":2}}",
                  suggested,
                  "{\"metadata\":{\"generation\":1,\"annotations\":{"
                  "\"apf.kubernetes.io/autoupdate-spec\":\"true\"}},\"spec\":{\"a\":1}}");
    assert_repair("{\"metadata\":{\"generation\":2,\"annotations\":{}},\"spec\":{\"a\":2}}",
                  suggested, ANNOTATED("false") "\"spec\":{\"a\":2}}");
}

static void an_exempt_level_may_be_given_other_shares(void **state)
{
    (void)state;
    static const char wanted[] =
        "{\"mandatory\":true,\"spec\":{\"type\":\"Exempt\",\"exempt\":{\"lendablePercent\":0}}}";
    assert_repair(ANNOTATED("true") "\"spec\":{\"type\":\"Exempt\",\"exempt\":{"
                                    "\"lendablePercent\":9}}}",
                  wanted, "");
}

static void the_condition_dangling_is_put_right_and_keeps_its_time(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *schema = parsed("{\"spec\":{\"priorityLevelConfiguration\":{\"name\":\"x\"}}}");
    cleanup(json_release)
    json_t *there = keeper_set_dangling(schema, false);
    json_t *condition = json_array_get(json_path(there, "status", "conditions"), 0);
    assert_string_equal(json_get_string(condition, "status"), "False");
    assert_string_equal(json_get_string(condition, "reason"), "Found");
    assert_string_equal(json_get_string(condition, "message"),
                        "This FlowSchema references the PriorityLevelConfiguration object named "
                        "\"x\" and it exists");
    assert_null(keeper_set_dangling(there, false));
    cleanup(json_release)
    json_t *dangling = keeper_set_dangling(there, true);
    assert_int_equal(json_array_size(json_path(dangling, "status", "conditions")), 1);
    condition = json_array_get(json_path(dangling, "status", "conditions"), 0);
    assert_string_equal(json_get_string(condition, "status"), "True");
    assert_string_equal(json_get_string(condition, "reason"), "NotFound");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_match_by_subject_verb_group_resource_and_scope),
        cmocka_unit_test(stars_stand_for_all_users_groups_and_the_rest_of_a_path),
        cmocka_unit_test(schemas_are_tried_by_precedence_then_by_name),
        cmocka_unit_test(a_hand_is_of_different_queues_and_each_flows_own),
        cmocka_unit_test(a_hash_names_cards_by_its_digits),
        cmocka_unit_test(without_queues_whoever_finds_no_seat_is_turned_away),
        cmocka_unit_test(what_is_exempt_never_waits),
        cmocka_unit_test(a_full_queue_takes_no_more_and_who_waits_too_long_goes),
        cmocka_unit_test(a_wide_request_takes_its_seats_and_one_too_wide_is_served_alone),
        cmocka_unit_test(more_seats_call_who_waits),
        cmocka_unit_test(a_flood_does_not_keep_another_flow_from_its_half),
        cmocka_unit_test(a_flow_of_long_requests_gets_no_more_time_than_one_of_short_ones),
        cmocka_unit_test(seats_are_shared_by_target_within_bounds),
        cmocka_unit_test(demand_is_averaged_over_time_and_falls_slowly),
        cmocka_unit_test(objects_are_put_right_unless_somebody_has_taken_them_over),
        cmocka_unit_test(an_exempt_level_may_be_given_other_shares),
        cmocka_unit_test(the_condition_dangling_is_put_right_and_keeps_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

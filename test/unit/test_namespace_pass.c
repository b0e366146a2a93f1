// SPDX-License-Identifier: Apache-2.0
/* What the namespace controller concludes from what is left in a namespace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/conditions.h"
#include "controllers/discovery.h"
#include "controllers/namespace.h"
#include "controllers/resources.h"

static json_t *parse(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    return json;
}

static void assert_condition(const json_t *status, const char *type, const char *value,
                             const char *reason, const char *message)
{
    const json_t *condition = condition_find(json_object_get(status, "conditions"), type);
    assert_non_null(condition);
    assert_string_equal(json_get_string(condition, "status"), value);
    assert_string_equal(json_get_string(condition, "reason"), reason);
    assert_string_equal(json_get_string(condition, "message"), message);
}

static void an_empty_namespace_has_five_good_conditions(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *status = parse("{\"phase\": \"Terminating\"}");
    cleanup(namespace_pass_clear)
    struct namespace_pass pass = NAMESPACE_PASS_INIT;
    assert_true(namespace_set_conditions(status, &pass));
    assert_int_equal(json_array_size(json_object_get(status, "conditions")), 5);
    assert_condition(status, "NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered",
                     "All resources successfully discovered");
    assert_condition(status, "NamespaceDeletionGroupVersionParsingFailure", "False",
                     "ParsedGroupVersions", "All legacy kube types successfully parsed");
    assert_condition(status, "NamespaceDeletionContentFailure", "False", "ContentDeleted",
                     "All content successfully deleted, may be waiting on finalization");
    assert_condition(status, "NamespaceContentRemaining", "False", "ContentRemoved",
                     "All content successfully removed");
    assert_condition(status, "NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers",
                     "All content-preserving finalizers finished");
    assert_false(namespace_set_conditions(status, &pass));
}

static void what_remains_is_told_in_order_with_its_finalizers(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *status = json_object();
    cleanup(json_release)
    json_t *sets = parse("{\"items\": [{\"metadata\": {\"finalizers\": [\"b/x\", \"a/x\"]}},"
                         "{\"metadata\": {\"finalizers\": [\"b/x\"]}}]}");
    cleanup(json_release)
    json_t *maps = parse("{\"items\": [{\"metadata\": {\"finalizers\": [\"a/x\"]}}]}");
    cleanup(json_release)
    json_t *none = parse("{\"items\": []}");
    cleanup(namespace_pass_clear)
    struct namespace_pass pass = NAMESPACE_PASS_INIT;
    namespace_pass_count(&pass, "n", &resource_replicasets, sets, 0);
    namespace_pass_count(&pass, "n", &resource_configmaps, maps, 0);
    namespace_pass_count(&pass, "n", &resource_services, none, 0);
    namespace_set_conditions(status, &pass);
    assert_condition(status, "NamespaceContentRemaining", "True", "SomeResourcesRemain",
                     "Some resources are remaining: configmaps. has 1 resource instances, "
                     "replicasets.apps has 2 resource instances");
    assert_condition(status, "NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain",
                     "Some content in the namespace has finalizers remaining: a/x in 2 resource "
                     "instances, b/x in 2 resource instances");
    assert_condition(status, "NamespaceDeletionContentFailure", "False", "ContentDeleted",
                     "All content successfully deleted, may be waiting on finalization");
    assert_int_equal(pass.estimate, 15);
}

static void what_remains_without_a_reason_is_a_failure(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *status = json_object();
    cleanup(json_release)
    json_t *list = parse("{\"items\": [{\"metadata\": {}}]}");
    cleanup(namespace_pass_clear)
    struct namespace_pass pass = NAMESPACE_PASS_INIT;
    namespace_pass_count(&pass, "n", &resource_pods, list, 0);
    namespace_pass_count(&pass, "n", &resource_jobs, list, 0);
    namespace_set_conditions(status, &pass);
    assert_condition(status, "NamespaceDeletionContentFailure", "True", "ContentDeletionFailed",
                     "Failed to delete all resource types, 2 remaining: unexpected items still "
                     "remain in namespace: n for gvr: /v1, Resource=pods, unexpected items still "
                     "remain in namespace: n for gvr: batch/v1, Resource=jobs");
}

static void a_condition_turns_good_again(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *status = json_object();
    cleanup(namespace_pass_clear)
    struct namespace_pass bad = NAMESPACE_PASS_INIT;
    cleanup(namespace_pass_clear)
    struct namespace_pass good = NAMESPACE_PASS_INIT;
    bad.discovery_failure = duplicate("unreachable");
    namespace_set_conditions(status, &bad);
    assert_condition(status, "NamespaceDeletionDiscoveryFailure", "True", "DiscoveryFailed",
                     "unreachable");
    assert_true(namespace_set_conditions(status, &good));
    assert_condition(status, "NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered",
                     "All resources successfully discovered");
}

static void pods_are_waited_for_as_long_as_their_grace_period(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *pods = parse("{\"items\": [{\"spec\": {\"terminationGracePeriodSeconds\": 30}},"
                         "{\"spec\": {\"terminationGracePeriodSeconds\": 5}},"
                         "{\"spec\": {\"terminationGracePeriodSeconds\": 90},"
                         " \"status\": {\"phase\": \"Succeeded\"}}]}");
    assert_int_equal(namespace_pods_estimate(pods, 0), 30);
    assert_int_equal(namespace_pods_estimate(pods, 29), 30);
    assert_int_equal(namespace_pods_estimate(pods, 30), 0);
    assert_int_equal(namespace_pods_estimate(NULL, 0), 0);
}

static void discovery_tells_preferred_versions_verbs_and_what_is_stale(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *list =
        parse("{\"items\": [{\"metadata\": {\"name\": \"g\"}, \"versions\": ["
              "{\"version\": \"v2\", \"resources\": [{\"resource\": \"as\", \"scope\": "
              "\"Namespaced\", \"responseKind\": {\"kind\": \"A\"}, \"verbs\": [\"get\", "
              "\"list\"], \"subresources\": [{\"subresource\": \"status\"}, {\"subresource\": "
              "\"scale\"}]}]},"
              "{\"version\": \"v1\", \"resources\": [{\"resource\": \"as\", \"scope\": "
              "\"Namespaced\", \"responseKind\": {\"kind\": \"A\"}, \"verbs\": [\"get\"]},"
              "{\"resource\": \"bs\", \"scope\": \"Cluster\", \"responseKind\": {\"kind\": \"B\"},"
              " \"verbs\": [\"get\", \"delete\"]}]},"
              "{\"version\": \"v0\", \"freshness\": \"Stale\"}]}]}");
    cleanup(discovery_free)
    struct discovery discovery = DISCOVERY_INIT;
    discovery_add(&discovery, list);
    assert_int_equal(discovery.count, 3);
    assert_true(discovery_find(&discovery, "g/v2", "A")->is_preferred);
    assert_false(discovery_find(&discovery, "g/v1", "A")->is_preferred);
    assert_true(discovery_find(&discovery, "g/v1", "B")->is_preferred);
    assert_false(discovery_find(&discovery, "g/v1", "B")->resource.namespaced);
    assert_true(discovery_find(&discovery, "g/v2", "A")->has_scale);
    assert_false(discovery_find(&discovery, "g/v1", "A")->has_scale);
    assert_int_equal(discovery_find(&discovery, "g/v1", "B")->verbs,
                     DISCOVERY_GET | DISCOVERY_DELETE);
    assert_null(discovery_find(&discovery, "g/v2", "B"));
    cleanup(free_char)
    char *failure = discovery_failure(&discovery);
    assert_string_equal(failure, "unable to retrieve the complete list of server APIs: g/v0: "
                                 "stale GroupVersion discovery: g/v0");
}

static void merging_discoveries_keeps_what_is_referred_to(void **state)
{
    (void)state;
    static const char group[] =
        "{\"items\": [{\"metadata\": {\"name\": \"g\"}, \"versions\": [{\"version\": \"v1\", "
        "\"resources\": [{\"resource\": \"as\", \"scope\": \"Cluster\", \"responseKind\": "
        "{\"kind\": \"A\"}, \"verbs\": [\"get\"]}%s]}]}]}";
    static const char more[] = ", {\"resource\": \"bs\", \"scope\": \"Cluster\", "
                               "\"responseKind\": {\"kind\": \"B\"}, \"verbs\": [\"get\"]}";
    cleanup(free_char)
    char *before = format(group, "");
    cleanup(free_char)
    char *after = format(group, more);
    cleanup(json_release)
    json_t *before_json = parse(before);
    cleanup(json_release)
    json_t *after_json = parse(after);
    cleanup(discovery_free)
    struct discovery known = DISCOVERY_INIT;
    cleanup(discovery_free)
    struct discovery fresh = DISCOVERY_INIT;
    discovery_add(&known, before_json);
    const struct discovered *a = discovery_find(&known, "g/v1", "A");
    discovery_add(&fresh, after_json);
    discovery_merge(&known, &fresh);
    assert_int_equal(known.count, 2);
    assert_ptr_equal(discovery_find(&known, "g/v1", "A"), a);
    assert_non_null(discovery_find(&known, "g/v1", "B"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_namespace_has_five_good_conditions),
        cmocka_unit_test(what_remains_is_told_in_order_with_its_finalizers),
        cmocka_unit_test(what_remains_without_a_reason_is_a_failure),
        cmocka_unit_test(a_condition_turns_good_again),
        cmocka_unit_test(pods_are_waited_for_as_long_as_their_grace_period),
        cmocka_unit_test(discovery_tells_preferred_versions_verbs_and_what_is_stale),
        cmocka_unit_test(merging_discoveries_keeps_what_is_referred_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

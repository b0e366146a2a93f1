// SPDX-License-Identifier: Apache-2.0
/* RBAC: what rules allow and cover, what bindings give, and the policy of every cluster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/auth/policy.h"
#include "common/timestamp.h"
#include "test/unit/rbac_harness.h"

static void assert_reason(struct rbac *rbac, const char *name, const char *groups, const char *text,
                          bool allowed, const char *expected)
{
    cleanup(buffer_free)
    struct buffer reason = BUFFER_INIT;
    assert_int_equal(may(rbac, name, groups, text, &reason), allowed);
    assert_string_equal(buffer_text(&reason), expected);
}

/* ---- rules ---- */

static void a_rule_allows_what_it_names(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *asks, *refuses;
    } cases[] = {
        {"[{apiGroups: [''], resources: [pods], verbs: [get]}]", "get pods a/b", "list pods a/"},
        {"[{apiGroups: [''], resources: [pods], verbs: [get]}]", "get pods", "get pods.apps"},
        {"[{apiGroups: [''], resources: [pods], verbs: [get]}]", "get pods", "get pods/log a/b"},
        {"[{apiGroups: [''], resources: [pods], verbs: [get]}]", "get pods", "get Pods"},
        {"[{apiGroups: [''], resources: [pods/log], verbs: [get]}]", "get pods/log a/b",
         "get pods a/b"},
        {"[{apiGroups: ['*'], resources: ['*/scale'], verbs: [get]}]", "get deployments/scale.apps",
         "get deployments.apps"},
        {"[{apiGroups: ['*'], resources: ['*/scale'], verbs: [get]}]", "get x/scale.y",
         "get x/rescale.y"},
        {"[{apiGroups: ['*'], resources: ['*'], verbs: [get]}]", "get pods/exec a/b",
         "create pods/exec a/b"},
        {"[{apiGroups: ['*'], resources: ['pods/*'], verbs: [get]}]", "get pods/*", "get pods/log"},
        {"[{apiGroups: [apps], resources: [deployments], verbs: ['*']}]",
         "deletecollection deployments.apps", "get deployments"},
        {"[{apiGroups: [''], resources: [secrets], resourceNames: [b], verbs: [get]}]",
         "get secrets a/b", "get secrets a/c"},
        {"[{apiGroups: [''], resources: [secrets], resourceNames: [b], verbs: [create]}]",
         "create secrets a/b", "create secrets a/"},
        {"[{nonResourceURLs: [/healthz], verbs: [get]}]", "get /healthz", "get /healthz/"},
        {"[{nonResourceURLs: [/healthz], verbs: [get]}]", "get /healthz", "get /HEALTHZ"},
        {"[{nonResourceURLs: [/api/*], verbs: [get]}]", "get /api/v1", "get /api"},
        {"[{nonResourceURLs: [/api/*], verbs: [get]}]", "get /api/", "get /apis"},
        {"[{nonResourceURLs: ['*'], verbs: ['*']}]", "post /x/y", "get pods"},
        {"[{apiGroups: ['*'], resources: ['*'], verbs: ['*']}]", "get pods", "get /api"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        struct rbac *rbac = rbac_new();
        cleanup(free_char)
        char *role = format("{metadata: {name: r}, rules: %s}", cases[i].rule);
        put(rbac, "ClusterRole", role);
        put(rbac, "ClusterRoleBinding",
            "{metadata: {name: b}, roleRef: {kind: ClusterRole, name: r}, subjects: [{kind: User, "
            "name: jane}]}");
        if (!may(rbac, "jane", "", cases[i].asks, NULL) ||
            may(rbac, "jane", "", cases[i].refuses, NULL)) {
            fail_msg("case %zu: %s", i, cases[i].rule);
        }
        rbac_free(rbac);
    }
}

static void what_is_not_covered_is_told_in_upstreams_words(void **state)
{
    (void)state;
    static const struct {
        const char *owner, *wanted, *missing;
    } cases[] = {
        {"[]", "[]", ""},
        {"[]", "[{apiGroups: [''], resources: [pods], verbs: [get]}]",
         "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\"]}"},
        {"[{apiGroups: ['*'], resources: ['*'], verbs: ['*']}]",
         "[{apiGroups: [a, b], resources: [c, d/e], resourceNames: [f], verbs: ['*', g]}]", ""},
        {"[{apiGroups: ['*'], resources: ['*'], verbs: ['*']}]",
         "[{nonResourceURLs: [/metrics], verbs: [get]}]",
         "{NonResourceURLs:[\"/metrics\"], Verbs:[\"get\"]}"},
        {"[{nonResourceURLs: [/a/*], verbs: [get]}]",
         "[{nonResourceURLs: [/a/b, /a/*, /a*], verbs: [get]}]",
         "{NonResourceURLs:[\"/a*\"], Verbs:[\"get\"]}"},
        {"[{apiGroups: [''], resources: [pods], verbs: [get]}, "
         "{apiGroups: [''], resources: [pods], verbs: [list]}]",
         "[{apiGroups: [''], resources: [pods, nodes], verbs: [get, list, watch]}]",
         "{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\" \"list\" \"watch\"]}\n"
         "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"watch\"]}"},
        {"[{apiGroups: [''], resources: [secrets], resourceNames: [a], verbs: [get]}]",
         "[{apiGroups: [''], resources: [secrets], verbs: [get]}, "
         "{apiGroups: [''], resources: [secrets], resourceNames: [a, b], verbs: [get]}]",
         "{APIGroups:[\"\"], Resources:[\"secrets\"], ResourceNames:[\"b\"], Verbs:[\"get\"]}\n"
         "{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"},
        {"[{apiGroups: [apps], resources: ['*/scale'], verbs: [get]}]",
         "[{apiGroups: [apps], resources: [deployments/scale, '*/scale', '*'], verbs: [get]}]",
         "{APIGroups:[\"apps\"], Resources:[\"*\"], Verbs:[\"get\"]}"},
        {"[{apiGroups: [''], resources: [pods], verbs: [get, list]}]",
         "[{apiGroups: [''], resources: [pods], verbs: ['*']}]",
         "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"*\"]}"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *owner_tree = tree(cases[i].owner);
        cleanup(json_release)
        json_t *wanted_tree = tree(cases[i].wanted);
        struct rbac_rules owner = RBAC_RULES_INIT, wanted = owner, missing = owner;
        rbac_rules_compile(&owner, owner_tree);
        rbac_rules_compile(&wanted, wanted_tree);
        cleanup(buffer_free)
        struct buffer text = BUFFER_INIT;
        bool covered = rbac_rules_cover(&owner, &wanted, &missing);
        rbac_rules_describe(&missing, &text);
        assert_int_equal(covered, cases[i].missing[0] == '\0');
        assert_string_equal(buffer_text(&text), cases[i].missing);
        rbac_rules_clear(&owner);
        rbac_rules_clear(&wanted);
        rbac_rules_clear(&missing);
    }
}

/* As many verbs as resources as groups: a thousand million of single permissions. */
static void a_rule_too_large_to_take_apart_is_not_covered(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *list = json_array();
    for (int i = 0; i < 1000; i++) {
        json_array_append_new(list, json_sprintf("x%d", i));
    }
    cleanup(json_release)
    json_t *huge =
        json_pack("[{s:O, s:O, s:O}]", "verbs", list, "apiGroups", list, "resources", list);
    struct rbac_rules wanted = RBAC_RULES_INIT, owner = wanted, missing = wanted;
    rbac_rules_compile(&wanted, huge);
    assert_false(rbac_rules_cover(&owner, &wanted, &missing));
    assert_int_equal(missing.count, 1);
    assert_true(rbac_rules_cover(&wanted, &wanted, NULL)); /* Within one rule it is simple. */
    rbac_rules_clear(&wanted);
    rbac_rules_clear(&missing);
}

/* ---- bindings ---- */

static void a_binding_gives_its_subjects_a_role(void **state)
{
    (void)state;
    struct rbac *rbac = rbac_new();
    put(rbac, "ClusterRole",
        "{metadata: {name: reader}, rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}");
    put(rbac, "Role",
        "{metadata: {name: reader, namespace: a}, rules: [{apiGroups: [''], resources: [secrets], "
        "verbs: [get]}]}");
    put(rbac, "RoleBinding",
        "{metadata: {name: b, namespace: a}, roleRef: {kind: ClusterRole, name: reader}, subjects: "
        "[{kind: ServiceAccount, name: robot}, {kind: Group, name: devs}, {kind: User, name: "
        "jane}]}");
    put(rbac, "RoleBinding",
        "{metadata: {name: s, namespace: a}, roleRef: {kind: Role, name: reader}, subjects: "
        "[{kind: ServiceAccount, name: robot, namespace: z}]}");
    assert_reason(
        rbac, "jane", "", "get pods a/x", true,
        "RBAC: allowed by RoleBinding \"b/a\" of ClusterRole \"reader\" to User \"jane\"");
    assert_reason(rbac, "joe", "x devs", "get pods a/x", true,
                  "RBAC: allowed by RoleBinding \"b/a\" of ClusterRole \"reader\" to Group "
                  "\"devs\"");
    assert_reason(rbac, "system:serviceaccount:a:robot", "", "get pods a/x", true,
                  "RBAC: allowed by RoleBinding \"b/a\" of ClusterRole \"reader\" to "
                  "ServiceAccount \"robot/a\"");
    assert_reason(rbac, "system:serviceaccount:z:robot", "", "get secrets a/x", true,
                  "RBAC: allowed by RoleBinding \"s/a\" of Role \"reader\" to ServiceAccount "
                  "\"robot/z\"");
    assert_reason(rbac, "system:serviceaccount:a:robot", "", "get secrets a/x", false, "");
    assert_reason(rbac, "jane", "", "get pods b/x", false, "");
    assert_reason(rbac, "jane", "", "get pods", false, "");
    assert_reason(rbac, "devs", "jane", "get pods a/x", false, "");
    rbac_free(rbac);
}

static void a_role_that_is_missing_is_told_of_with_the_refusal(void **state)
{
    (void)state;
    struct rbac *rbac = rbac_new();
    put(rbac, "ClusterRoleBinding",
        "{metadata: {name: b}, roleRef: {kind: ClusterRole, name: foo}, subjects: [{kind: User, "
        "name: jane}, {kind: Group, name: devs}]}");
    put(rbac, "RoleBinding",
        "{metadata: {name: b, namespace: a}, roleRef: {kind: Role, name: bar}, subjects: [{kind: "
        "Group, name: devs}]}");
    assert_reason(rbac, "jane", "", "get pods a/x", false,
                  "RBAC: clusterrole.rbac.authorization.k8s.io \"foo\" not found");
    assert_reason(rbac, "jane", "devs", "get pods a/x", false,
                  "RBAC: [clusterrole.rbac.authorization.k8s.io \"foo\" not found, "
                  "role.rbac.authorization.k8s.io \"bar\" not found]");
    assert_reason(rbac, "joe", "", "get pods a/x", false, "");
    put(rbac, "ClusterRole",
        "{metadata: {name: foo}, rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}");
    assert_true(may(rbac, "jane", "", "get pods a/x", NULL));
    rbac_remove(rbac, "ClusterRole", "", "foo");
    assert_false(may(rbac, "jane", "", "get pods a/x", NULL));
    rbac_free(rbac);
}

static void a_change_replaces_what_was_before(void **state)
{
    (void)state;
    struct rbac *rbac = rbac_new();
    put(rbac, "ClusterRole",
        "{metadata: {name: r}, rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}");
    put(rbac, "ClusterRoleBinding",
        "{metadata: {name: b}, roleRef: {kind: ClusterRole, name: r}, subjects: [{kind: User, "
        "name: jane}, {kind: User, name: jane}]}");
    assert_true(may(rbac, "jane", "", "get pods", NULL));
    put(rbac, "ClusterRoleBinding",
        "{metadata: {name: b}, roleRef: {kind: ClusterRole, name: r}, subjects: [{kind: User, "
        "name: joe}]}");
    assert_false(may(rbac, "jane", "", "get pods", NULL));
    assert_true(may(rbac, "joe", "", "get pods", NULL));
    rbac_remove(rbac, "ClusterRoleBinding", "", "b");
    assert_false(may(rbac, "joe", "", "get pods", NULL));
    rbac_remove(rbac, "ClusterRoleBinding", "", "b");
    rbac_free(rbac);
}

static void the_rules_of_a_user_are_each_bindings_once(void **state)
{
    (void)state;
    struct rbac *rbac = rbac_new();
    put(rbac, "ClusterRole",
        "{metadata: {name: r}, rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}");
    put(rbac, "RoleBinding",
        "{metadata: {name: b, namespace: a}, roleRef: {kind: ClusterRole, name: r}, subjects: "
        "[{kind: User, name: jane}, {kind: Group, name: devs}, {kind: User, name: jane}]}");
    put(rbac, "RoleBinding",
        "{metadata: {name: c, namespace: a}, roleRef: {kind: Role, name: none}, subjects: "
        "[{kind: User, name: jane}]}");
    struct person person;
    person_init(&person, "jane", "devs");
    cleanup(rbac_rules_clear)
    struct rbac_rules rules = RBAC_RULES_INIT;
    cleanup(buffer_free)
    struct buffer problems = BUFFER_INIT;
    rbac_rules_for(rbac, &person.user, "a", &rules, &problems);
    assert_int_equal(rules.count, 1);
    assert_string_equal(buffer_text(&problems),
                        "role.rbac.authorization.k8s.io \"none\" not found");
    rbac_rules_for(rbac, &person.user, "", &rules, NULL);
    assert_int_equal(rules.count, 1);
    free(person.memory);
    rbac_free(rbac);
}

/* ---- how quick ---- */

/* 500 roles and 1,000 bindings beside the policy of every cluster; prints what a decision takes. */
static void decisions_among_many_policies_are_quick(void **state)
{
    (void)state;
    struct rbac *rbac = rbac_new();
    cleanup(json_release)
    json_t *objects = policy_objects(NULL);
    size_t at;
    json_t *object;
    json_array_foreach (objects, at, object) {
        rbac_put(rbac, json_get_string(object, "kind"), object);
    }
    for (int i = 0; i < 500; i++) {
        cleanup(free_char)
        char *role = format("{metadata: {name: role-%d, namespace: ns-%d}, rules: [{apiGroups: "
                            "['', apps], resources: [pods, r-%d, secrets], verbs: [get, list, "
                            "watch]}, {apiGroups: [batch], resources: [jobs], verbs: [create]}]}",
                            i, i % 50, i);
        put(rbac, "Role", role);
    }
    for (int i = 0; i < 1000; i++) {
        cleanup(free_char)
        char *binding = format("{metadata: {name: b-%d, namespace: ns-%d}, roleRef: {kind: Role, "
                               "name: role-%d}, subjects: [{kind: User, name: user-%d}, {kind: "
                               "Group, name: group-%d}]}",
                               i, i % 50, i % 500, i % 200, i % 20);
        put(rbac, "RoleBinding", binding);
    }
    static const struct {
        const char *name, *groups, *ask;
        bool allowed;
    } cases[] = {
        {"user-7", "group-7 system:authenticated", "get pods ns-7/x", true},
        {"user-7", "group-7 system:authenticated", "delete pods ns-7/x", false},
        {"system:kube-scheduler", "system:authenticated", "create pods/binding ns-7/x", true},
        {"system:serviceaccount:kube-system:generic-garbage-collector", "system:authenticated",
         "delete pods ns-7/x", true},
    };
    enum { decisions = 20000 };
    for (size_t i = 0; i < array_length(cases); i++) {
        struct person person;
        struct request_text ask;
        person_init(&person, cases[i].name, cases[i].groups);
        ask_init(&ask, &person.user, cases[i].ask);
        size_t allowed = 0;
        int64_t start = timestamp_monotonic();
        for (int n = 0; n < decisions; n++) {
            allowed += rbac_decide(rbac, &ask.attributes, NULL) == AUTHZ_ALLOW;
        }
        double each = (double)(timestamp_monotonic() - start) / decisions;
        print_message("%s: %s: %.0f ns a decision\n", cases[i].name, cases[i].ask, each);
        assert_int_equal(allowed, cases[i].allowed ? decisions : 0);
        free(person.memory);
    }
    rbac_free(rbac);
}

/* ---- the policy of every cluster ---- */

static void the_policy_of_every_cluster_says_who_may_what(void **state)
{
    (void)state;
    struct rbac *rbac = rbac_new();
    cleanup(json_release)
    json_t *objects = policy_objects(NULL);
    assert_non_null(objects);
    size_t at;
    json_t *object;
    json_array_foreach (objects, at, object) {
        rbac_put(rbac, json_get_string(object, "kind"), object);
    }
    static const struct {
        const char *name, *groups, *ask;
        bool allowed;
    } cases[] = {
        {"system:anonymous", "system:unauthenticated", "get /healthz", true},
        {"system:anonymous", "system:unauthenticated", "get /version", true},
        {"system:anonymous", "system:unauthenticated", "get /readyz/etcd", false},
        {"system:anonymous", "system:unauthenticated", "get /api", false},
        {"system:anonymous", "system:unauthenticated", "get /metrics", false},
        {"jane", "system:authenticated", "get /apis/apps", true},
        {"jane", "system:authenticated", "get /openapi/v3", true},
        {"jane", "system:authenticated", "create selfsubjectaccessreviews.authorization.k8s.io",
         true},
        {"jane", "system:authenticated", "create subjectaccessreviews.authorization.k8s.io", false},
        {"root", "system:masters", "delete everything", true},
        {"system:kube-scheduler", "",
         "update leases.coordination.k8s.io kube-system/kube-scheduler", true},
        {"system:kube-scheduler", "", "update leases.coordination.k8s.io kube-system/other", false},
        {"system:kube-scheduler", "", "list secrets", false},
        {"system:kube-controller-manager", "", "watch pods", true},
        {"system:kube-controller-manager", "", "create pods", false},
        {"system:serviceaccount:kube-system:replicaset-controller", "", "create pods", true},
        {"system:coracle-node", "", "watch pods", true},
        {"system:coracle-node", "", "patch nodes/status a", false},
        {"system:coracle-node", "", "impersonate groups system:nodes", true},
        {"system:coracle-node", "", "impersonate groups system:masters", false},
        {"system:coracle-node", "", "impersonate users system:node:a", false},
        {"system:serviceaccount:kube-system:namespace-controller", "", "delete x.y a/b", true},
        {"system:serviceaccount:kube-system:ttl-controller", "", "delete nodes a", false},
        {"system:node:a", "system:nodes", "get pods", false},
        {"system:serviceaccount:kube-system:token-cleaner", "", "delete secrets kube-system/t",
         true},
        {"system:serviceaccount:kube-system:token-cleaner", "", "delete secrets default/t", false},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        if (may(rbac, cases[i].name, cases[i].groups, cases[i].ask, NULL) != cases[i].allowed) {
            fail_msg("%s: %s", cases[i].name, cases[i].ask);
        }
    }
    rbac_free(rbac);
}

static void assert_reconciled(const char *live_text, const char *wanted_text, const char *expected)
{
    cleanup(json_release)
    json_t *live = tree(live_text);
    cleanup(json_release)
    json_t *wanted = tree(wanted_text);
    cleanup(json_release)
    json_t *result = expected != NULL ? tree(expected) : NULL;
    assert_int_equal(policy_reconcile(live, wanted), expected != NULL);
    if (expected != NULL && !json_equal(live, result)) {
        cleanup(free_char)
        char *text = json_text(live);
        fail_msg("%s", text);
    }
}

static void what_is_missing_is_added_and_more_stays(void **state)
{
    (void)state;
    const char *rule = "{apiGroups: [''], resources: [pods], verbs: [get]}";
    cleanup(free_char)
    char *wanted =
        format("{metadata: {labels: {l: '1'}, annotations: {n: '1'}}, rules: [%s]}", rule);
    cleanup(free_char)
    char *other = format("{metadata: {labels: {l: '2'}, annotations: {n: '1'}}, rules: "
                         "[{apiGroups: [''], resources: [nodes], verbs: [get]}, %s]}",
                         rule);
    assert_reconciled("{metadata: {labels: {l: '2'}}, rules: [{apiGroups: [''], resources: "
                      "[nodes], verbs: [get]}]}",
                      wanted, other);
    assert_reconciled(other, wanted, other);
    assert_reconciled("{metadata: {labels: {l: '1'}, annotations: {n: '1'}}, rules: [{apiGroups: "
                      "['*'], resources: ['*'], verbs: ['*']}]}",
                      wanted,
                      "{metadata: {labels: {l: '1'}, annotations: {n: '1'}}, rules: [{apiGroups: "
                      "['*'], resources: ['*'], verbs: ['*']}]}");
    assert_reconciled("{metadata: {annotations: {rbac.authorization.kubernetes.io/autoupdate: "
                      "'false'}}, rules: []}",
                      wanted, NULL);
    assert_reconciled(
        "{metadata: {labels: {}, annotations: {}}, subjects: [{kind: User, name: a}]}",
        "{metadata: {}, subjects: [{kind: User, name: b}, {kind: User, name: a}]}",
        "{metadata: {labels: {}, annotations: {}}, subjects: [{kind: User, name: a}, "
        "{kind: User, name: b}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_allows_what_it_names),
        cmocka_unit_test(what_is_not_covered_is_told_in_upstreams_words),
        cmocka_unit_test(a_rule_too_large_to_take_apart_is_not_covered),
        cmocka_unit_test(a_binding_gives_its_subjects_a_role),
        cmocka_unit_test(a_role_that_is_missing_is_told_of_with_the_refusal),
        cmocka_unit_test(a_change_replaces_what_was_before),
        cmocka_unit_test(the_rules_of_a_user_are_each_bindings_once),
        cmocka_unit_test(decisions_among_many_policies_are_quick),
        cmocka_unit_test(the_policy_of_every_cluster_says_who_may_what),
        cmocka_unit_test(what_is_missing_is_added_and_more_stays),
    };
    return cmocka_run_group_tests_name("rbac", tests, NULL, NULL);
}

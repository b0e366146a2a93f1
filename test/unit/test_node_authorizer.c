// SPDX-License-Identifier: Apache-2.0
/* What kubelets may ask for: the graph of what belongs to which node, and the decisions on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/auth/node_authorizer.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/schema.h"
#include "common/yaml.h"

/* ---- helpers ---- */

struct fixture {
    struct scheme *scheme;
    struct node_authorizer *authorizer;
    struct node_graph *graph;
    struct object_class *classes[4];
};

static const char *const groups[] = {"", "", "storage.k8s.io", "resource.k8s.io"};
static const char *const plurals[] = {"pods", "persistentvolumes", "volumeattachments",
                                      "resourceslices"};

static int set_up(void **state)
{
    struct fixture *fixture = allocate_struct(struct fixture);
    fixture->scheme = scheme_builtin();
    fixture->authorizer = node_authorizer_new(NULL);
    fixture->graph = node_authorizer_graph(fixture->authorizer);
    for (size_t i = 0; i < array_length(plurals); i++) {
        fixture->classes[i] =
            object_class_new(scheme_resource_find(fixture->scheme, groups[i], "v1", plurals[i]));
    }
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    node_authorizer_free(fixture->authorizer);
    for (size_t i = 0; i < array_length(plurals); i++) {
        object_class_free(fixture->classes[i]);
    }
    scheme_unref(fixture->scheme);
    free(fixture);
    return 0;
}

/* YAML of an object to the object at rest. 'key' is "namespace/name" or "name". */
static struct object *make(struct fixture *fixture, const char *plural, const char *key,
                           const char *rest)
{
    size_t kind = 0;
    while (strcmp(plurals[kind], plural) != 0) {
        kind++;
    }
    const char *slash = strchr(key, '/');
    cleanup(free_char)
    char *yaml =
        format("{kind: Any, apiVersion: v1, metadata: {name: %s, namespace: %.*s, uid: u-%s}, %s}",
               slash ? slash + 1 : key, slash ? (int)(slash - key) : 4, slash ? key : "none",
               slash ? slash + 1 : key, rest);
    struct error error = ERROR_INIT;
    cleanup(json_release)
    json_t *tree = yaml_parse(yaml, strlen(yaml), NULL, NULL, &error);
    if (tree == NULL) {
        fail_msg("%s: %s", yaml, error.message);
    }
    cleanup(free_char)
    char *text = json_text(tree);
    struct object *object = object_new(fixture->classes[kind], key, text, strlen(text), 1, &error);
    assert_non_null(object);
    return object;
}

static void put(struct fixture *fixture, const char *plural, const char *key, const char *rest)
{
    cleanup(object_release)
    struct object *object = make(fixture, plural, key, rest);
    node_graph_put(fixture->graph, plural, object);
}

static void take_away(struct fixture *fixture, const char *plural, const char *key)
{
    cleanup(object_release)
    struct object *object = make(fixture, plural, key, "spec: {}");
    node_graph_remove(fixture->graph, plural, object);
}

static bool has(struct fixture *fixture, const char *node, enum node_vertex type, const char *name)
{
    return node_graph_has(fixture->graph, node, type, "n", name);
}

/* ---- the graph ---- */

static void what_a_bound_pod_uses_belongs_to_its_node(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "pods", "n/p",
        "spec: {nodeName: a, serviceAccountName: acc, imagePullSecrets: [{name: pull}], "
        "resourceClaims: [{name: r, resourceClaimName: claim}], "
        "volumes: [{name: v1, secret: {secretName: s1}}, {name: v2, configMap: {name: c1}}, "
        "{name: v3, persistentVolumeClaim: {claimName: pvc}}, {name: v4, ephemeral: {}}, "
        "{name: v5, projected: {sources: [{secret: {name: s2}}, {configMap: {name: c2}}]}}, "
        "{name: v6, csi: {nodePublishSecretRef: {name: s3}}}, {name: v7, azureFile: {secretName: "
        "s4}}], "
        "containers: [{name: x, env: [{name: e, valueFrom: {secretKeyRef: {name: s5, key: k}}}, "
        "{name: f, valueFrom: {configMapKeyRef: {name: c3, key: k}}}], envFrom: [{secretRef: "
        "{name: "
        "s6}}, {configMapRef: {name: c4}}]}], "
        "initContainers: [{name: y, envFrom: [{secretRef: {name: s7}}]}]}");
    static const char *const secrets[] = {"pull", "s1", "s2", "s3", "s4", "s5", "s6", "s7"};
    static const char *const maps[] = {"c1", "c2", "c3", "c4"};
    for (size_t i = 0; i < array_length(secrets); i++) {
        assert_true(has(fixture, "a", NODE_SECRET, secrets[i]));
        assert_false(has(fixture, "b", NODE_SECRET, secrets[i]));
        assert_false(has(fixture, "a", NODE_CONFIG_MAP, secrets[i]));
        assert_false(node_graph_has(fixture->graph, "a", NODE_SECRET, "m", secrets[i]));
    }
    for (size_t i = 0; i < array_length(maps); i++) {
        assert_true(has(fixture, "a", NODE_CONFIG_MAP, maps[i]));
    }
    assert_true(has(fixture, "a", NODE_POD, "p"));
    assert_true(has(fixture, "a", NODE_VOLUME_CLAIM, "pvc"));
    assert_true(has(fixture, "a", NODE_VOLUME_CLAIM, "p-v4"));
    assert_true(has(fixture, "a", NODE_RESOURCE_CLAIM, "claim"));
    assert_true(has(fixture, "a", NODE_SERVICE_ACCOUNT, "acc"));
    take_away(fixture, "pods", "n/p");
    assert_false(has(fixture, "a", NODE_SECRET, "s1"));
    assert_false(has(fixture, "a", NODE_POD, "p"));
}

static void a_secret_belongs_to_a_node_until_its_last_pod_goes(void **state)
{
    struct fixture *fixture = *state;
    const char *uses = "spec: {nodeName: a, volumes: [{name: v, secret: {secretName: s}}]}";
    put(fixture, "pods", "n/one", uses);
    put(fixture, "pods", "n/two", uses);
    put(fixture, "pods", "n/one", uses); /* Seen twice, it counts once. */
    take_away(fixture, "pods", "n/one");
    assert_true(has(fixture, "a", NODE_SECRET, "s"));
    take_away(fixture, "pods", "n/two");
    assert_false(has(fixture, "a", NODE_SECRET, "s"));
    take_away(fixture, "pods", "n/two");
}

static void an_unbound_pod_gives_nobody_anything(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "pods", "n/p", "spec: {volumes: [{name: v, secret: {secretName: s}}]}");
    assert_false(has(fixture, "a", NODE_SECRET, "s"));
    assert_false(has(fixture, "", NODE_SECRET, "s"));
    put(fixture, "pods", "n/p",
        "spec: {nodeName: a, volumes: [{name: v, secret: {secretName: s}}]}");
    assert_true(has(fixture, "a", NODE_SECRET, "s"));
}

static void a_mirror_pod_gives_its_node_nothing_but_itself(void **state)
{
    struct fixture *fixture = *state;
    static const char text[] =
        "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"m\",\"namespace\":\"n\","
        "\"annotations\":{\"kubernetes.io/config.mirror\":\"x\"}},\"spec\":{\"nodeName\":\"a\","
        "\"volumes\":[{\"name\":\"v\",\"secret\":{\"secretName\":\"s\"}}]}}";
    cleanup(object_release)
    struct object *object = object_new(fixture->classes[0], "n/m", text, strlen(text), 1, NULL);
    assert_non_null(object);
    node_graph_put(fixture->graph, "pods", object);
    assert_true(has(fixture, "a", NODE_POD, "m"));
    assert_false(has(fixture, "a", NODE_SECRET, "s"));
}

static void an_ephemeral_container_brings_what_it_uses(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "pods", "n/p", "spec: {nodeName: a}");
    assert_false(has(fixture, "a", NODE_SECRET, "s"));
    put(fixture, "pods", "n/p",
        "spec: {nodeName: a, ephemeralContainers: [{name: e, envFrom: [{secretRef: {name: s}}]}]}");
    assert_true(has(fixture, "a", NODE_SECRET, "s"));
}

static void a_volume_and_its_secret_belong_where_its_claim_is_used(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "persistentvolumes", "pv",
        "spec: {claimRef: {namespace: 'n', name: pvc}, csi: {nodeStageSecretRef: {name: s, "
        "namespace: "
        "m}, controllerPublishSecretRef: {name: hidden, namespace: m}}}");
    put(fixture, "persistentvolumes", "other", "spec: {csi: {nodeStageSecretRef: {name: o}}}");
    assert_false(node_graph_has(fixture->graph, "a", NODE_VOLUME, "", "pv"));
    put(fixture, "pods", "n/p",
        "spec: {nodeName: a, volumes: [{name: v, persistentVolumeClaim: {claimName: pvc}}]}");
    assert_true(node_graph_has(fixture->graph, "a", NODE_VOLUME, "", "pv"));
    assert_true(node_graph_has(fixture->graph, "a", NODE_SECRET, "m", "s"));
    assert_false(node_graph_has(fixture->graph, "a", NODE_SECRET, "m", "hidden"));
    assert_false(node_graph_has(fixture->graph, "b", NODE_VOLUME, "", "pv"));
    assert_false(node_graph_has(fixture->graph, "a", NODE_VOLUME, "", "other"));
    take_away(fixture, "persistentvolumes", "pv");
    assert_false(node_graph_has(fixture->graph, "a", NODE_SECRET, "m", "s"));
}

/* ---- decisions ---- */

static void kubelets_are_told_what_they_may_not(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "pods", "n/p",
        "spec: {nodeName: a, serviceAccountName: acc, volumes: [{name: v, secret: {secretName: "
        "s}}]}");
    put(fixture, "resourceslices", "slice", "spec: {nodeName: a}");
    put(fixture, "volumeattachments", "va", "spec: {nodeName: a}");
    static const char allowed[] = "+";
    static const struct {
        const char *verb, *group, *resource, *subresource, *namespace, *name, *selector;
        const char *expected; /* The reason of a refusal. */
    } cases[] = {
        {"get", "", "secrets", "", "n", "s", NULL, allowed},
        {"list", "", "secrets", "", "n", "s", NULL, allowed},
        {"get", "", "secrets", "", "n", "t", NULL,
         "no relationship found between node 'a' and this object"},
        {"list", "", "secrets", "", "n", "", NULL, "No Object name found"},
        {"list", "", "secrets", "", "", "", NULL, "can only read namespaced object of this type"},
        {"update", "", "secrets", "", "n", "s", NULL, "can only read resources of this type"},
        {"get", "", "configmaps", "", "n", "s", NULL,
         "no relationship found between node 'a' and this object"},
        {"list", "", "persistentvolumes", "", "", "", NULL,
         "can only get individual resources of this type"},
        {"create", "", "serviceaccounts", "token", "n", "acc", NULL, allowed},
        {"create", "", "serviceaccounts", "token", "n", "other", NULL,
         "no relationship found between node 'a' and this object"},
        {"create", "", "serviceaccounts", "", "n", "", NULL,
         "can only create tokens for individual service accounts"},
        {"update", "coordination.k8s.io", "leases", "", "kube-node-lease", "a", NULL, allowed},
        {"update", "coordination.k8s.io", "leases", "", "kube-node-lease", "b", NULL,
         "can only access node lease with the same name as the requesting node"},
        {"get", "coordination.k8s.io", "leases", "", "kube-system", "a", NULL,
         "can only access leases in the \"kube-node-lease\" system namespace"},
        {"list", "coordination.k8s.io", "leases", "", "kube-node-lease", "", NULL,
         "can only get, create, update, patch, or delete a node lease"},
        {"update", "metrics.coracle.io", "nodereports", "", "", "b", NULL,
         "can only update the node report with the same name as the requesting node"},
        {"get", "metrics.coracle.io", "nodereports", "", "", "a", NULL,
         "can only update a node report"},
        {"update", "metrics.coracle.io", "nodereports", "", "", "a", NULL, allowed},
        {"update", "storage.k8s.io", "csinodes", "", "", "b", NULL,
         "can only access CSINode with the same name as the requesting node"},
        {"get", "storage.k8s.io", "volumeattachments", "", "", "va", NULL, allowed},
        {"get", "", "nodes", "", "a", "a", NULL, allowed},
        {"get", "", "nodes", "", "", "b", NULL,
         "node 'a' cannot read 'b', only its own Node object"},
        {"list", "", "nodes", "", "", "", NULL,
         "node 'a' cannot read all nodes, only its own Node object"},
        {"patch", "", "nodes", "status", "", "b", NULL, allowed}, /* NodeRestriction's business. */
        {"delete", "", "nodes", "", "", "a", NULL, ""},
        {"get", "", "pods", "", "n", "p", NULL, allowed},
        {"get", "", "pods", "", "n", "q", NULL,
         "no relationship found between node 'a' and this object"},
        {"list", "", "pods", "", "", "", "spec.nodeName=a", allowed},
        {"list", "", "pods", "", "", "", "spec.nodeName=b",
         "can only list/watch pods with spec.nodeName field selector"},
        {"watch", "", "pods", "", "", "", "spec.nodeName!=a",
         "can only list/watch pods with spec.nodeName field selector"},
        {"watch", "", "pods", "", "", "", NULL,
         "can only list/watch pods with spec.nodeName field selector"},
        {"watch", "", "pods", "", "n", "p", "metadata.name=p", allowed},
        {"create", "", "pods", "binding", "n", "p", NULL, ""},
        {"create", "", "pods", "eviction", "n", "p", NULL, allowed},
        {"get", "resource.k8s.io", "resourceslices", "", "", "slice", NULL, allowed},
        {"delete", "resource.k8s.io", "resourceslices", "", "", "x", NULL,
         "no relationship found between node 'a' and this object"},
        {"deletecollection", "resource.k8s.io", "resourceslices", "", "", "", NULL,
         "can only list/watch/deletecollection resourceslices with nodeName field selector"},
        {"deletecollection", "resource.k8s.io", "resourceslices", "", "", "", "spec.nodeName=a",
         allowed},
        {"list", "", "services", "", "", "", NULL, allowed},
        {"create", "", "services", "", "n", "", NULL, ""},
        {"create", "certificates.k8s.io", "certificatesigningrequests", "", "", "", NULL, allowed},
    };
    char *in_nodes[] = {"system:nodes"};
    struct user user = {.name = "system:node:a", .groups = in_nodes, .group_count = 1};
    for (size_t i = 0; i < array_length(cases); i++) {
        struct authz_attributes ask =
            AUTHZ_RESOURCE(&user, cases[i].verb, cases[i].group, cases[i].resource);
        ask.subresource = cases[i].subresource;
        ask.namespace = cases[i].namespace;
        ask.name = cases[i].name;
        ask.field_selector = cases[i].selector;
        cleanup(buffer_free)
        struct buffer reason = BUFFER_INIT;
        bool may = node_authorizer_decide(fixture->authorizer, &ask, &reason) == AUTHZ_ALLOW;
        const char *told = may ? allowed : buffer_text(&reason);
        if (strcmp(told, cases[i].expected) != 0) {
            fail_msg("case %zu, %s %s %s: %s", i, cases[i].verb, cases[i].resource, cases[i].name,
                     told);
        }
    }
}

static void only_kubelets_are_kubelets(void **state)
{
    struct fixture *fixture = *state;
    char *in_nodes[] = {"x", "system:nodes"}, *elsewhere[] = {"nodes"};
    struct user users[] = {
        {.name = "system:node:a", .groups = elsewhere, .group_count = 1},
        {.name = "a", .groups = in_nodes, .group_count = 2},
        {.name = "system:node", .groups = in_nodes, .group_count = 2},
    };
    for (size_t i = 0; i < array_length(users); i++) {
        struct authz_attributes ask = AUTHZ_RESOURCE(&users[i], "list", "", "services");
        cleanup(buffer_free)
        struct buffer reason = BUFFER_INIT;
        assert_int_equal(node_authorizer_decide(fixture->authorizer, &ask, &reason),
                         AUTHZ_NO_OPINION);
        assert_int_equal(reason.length, 0);
    }
    struct user nameless = {.name = "system:node:", .groups = in_nodes, .group_count = 2};
    struct authz_attributes ask = AUTHZ_RESOURCE(&nameless, "list", "", "services");
    cleanup(buffer_free)
    struct buffer reason = BUFFER_INIT;
    assert_int_equal(node_authorizer_decide(fixture->authorizer, &ask, &reason), AUTHZ_NO_OPINION);
    assert_string_equal(buffer_text(&reason), "unknown node for user \"system:node:\"");
}

#define each(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        each(what_a_bound_pod_uses_belongs_to_its_node),
        each(a_secret_belongs_to_a_node_until_its_last_pod_goes),
        each(an_unbound_pod_gives_nobody_anything),
        each(a_mirror_pod_gives_its_node_nothing_but_itself),
        each(an_ephemeral_container_brings_what_it_uses),
        each(a_volume_and_its_secret_belong_where_its_claim_is_used),
        each(kubelets_are_told_what_they_may_not),
        each(only_kubelets_are_kubelets),
    };
    return cmocka_run_group_tests_name("node authorizer", tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* RBAC: what rules allow and cover, and the index beside a plain model that looks at everything. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/auth/policy.h"
#include "apiserver/auth/rbac.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"
#include "common/yaml.h"

/* ---- helpers ---- */

/* YAML in one line, for tests' tables. */
static json_t *tree(const char *text)
{
    struct error error = ERROR_INIT;
    json_t *parsed = yaml_parse(text, strlen(text), NULL, NULL, &error);
    if (parsed == NULL) {
        fail_msg("%s: %s", text, error.message);
    }
    return parsed;
}

static void put(struct rbac *rbac, const char *kind, const char *text)
{
    cleanup(json_release)
    json_t *object = tree(text);
    rbac_put(rbac, kind, object);
}

/* A user whose groups are separated by spaces; borrowed texts. */
struct person {
    struct user user;
    char *memory;
    char *groups[8];
};

static void person_init(struct person *person, const char *name, const char *groups)
{
    *person = (struct person){.memory = duplicate(groups)};
    person->user = (struct user){.name = (char *)name, .groups = person->groups};
    char *rest = NULL;
    for (char *group = strtok_r(person->memory, " ", &rest); group != NULL;
         group = strtok_r(NULL, " ", &rest)) {
        person->groups[person->user.group_count++] = group;
    }
}

/* "verb resource[/subresource][.group] [namespace/][name]" or "verb /path". */
struct request_text {
    char memory[256];
    struct authz_attributes attributes;
};

static void ask_init(struct request_text *ask, const struct user *user, const char *text)
{
    snprintf(ask->memory, sizeof ask->memory, "%s", text);
    char *resource = strchr(ask->memory, ' ');
    *resource++ = '\0';
    ask->attributes = AUTHZ_RESOURCE(user, ask->memory, "", "");
    if (resource[0] == '/') {
        ask->attributes.is_resource = false;
        ask->attributes.path = resource;
        return;
    }
    char *object = strchr(resource, ' ');
    if (object != NULL) {
        *object++ = '\0';
        char *slash = strchr(object, '/');
        ask->attributes.name = slash != NULL ? slash + 1 : object;
        if (slash != NULL) {
            *slash = '\0';
            ask->attributes.namespace = object;
        }
    }
    char *group = strchr(resource, '.'), *slash = strchr(resource, '/');
    if (group != NULL) {
        *group = '\0';
        ask->attributes.group = group + 1;
    }
    if (slash != NULL) {
        *slash = '\0';
        ask->attributes.subresource = slash + 1;
    }
    ask->attributes.resource = resource;
}

static bool may(struct rbac *rbac, const char *name, const char *groups, const char *text,
                struct buffer *reason)
{
    struct person person;
    struct request_text ask;
    person_init(&person, name, groups);
    ask_init(&ask, &person.user, text);
    bool allowed = rbac_decide(rbac, &ask.attributes, reason) == AUTHZ_ALLOW;
    free(person.memory);
    return allowed;
}

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

/* ---- beside a model ---- */

static uint64_t seed;

static size_t dice(size_t sides)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(seed >> 33) % sides;
}

static const char *pick(const char *const *words, size_t count)
{
    return words[dice(count)];
}

static const char *const verb_words[] = {"get", "list", "create", "*"};
static const char *const group_words[] = {"", "apps", "*"};
static const char *const resource_words[] = {"pods",    "pods/log", "secrets",
                                             "*/scale", "*",        "deployments/scale"};
static const char *const name_words[] = {"", "x", "y"};
static const char *const namespaces[] = {"", "a", "b"};
static const char *const people[] = {"jane", "joe", "system:serviceaccount:a:robot"};
static const char *const group_names[] = {"devs", "ops"};
static const char *const role_names[] = {"r1", "r2", "r3", "r4"};
static const char *const binding_names[] = {"b1", "b2", "b3", "b4", "b5"};
#define PICK(words) pick(words, array_length(words))

static json_t *random_rules(void)
{
    json_t *rules = json_array();
    for (size_t count = 1 + dice(4); count > 0; count--) {
        json_t *rule = json_pack("{s:[s], s:[s], s:[s]}", "verbs", PICK(verb_words), "apiGroups",
                                 PICK(group_words), "resources", PICK(resource_words));
        const char *name = PICK(name_words);
        if (name[0] != '\0') {
            json_object_set_new(rule, "resourceNames", json_pack("[s]", name));
        }
        json_array_append_new(rules, rule);
    }
    return rules;
}

static json_t *random_subjects(void)
{
    json_t *subjects = json_array();
    for (size_t count = 1 + dice(3); count > 0; count--) {
        switch (dice(3)) {
        case 0:
            json_array_append_new(subjects,
                                  json_pack("{s:s, s:s}", "kind", "User", "name", PICK(people)));
            break;
        case 1:
            json_array_append_new(
                subjects, json_pack("{s:s, s:s}", "kind", "Group", "name", PICK(group_names)));
            break;
        default:
            json_array_append_new(subjects, json_pack("{s:s, s:s, s:s}", "kind", "ServiceAccount",
                                                      "name", "robot", "namespace", "a"));
        }
    }
    return subjects;
}

/* The model: all objects by kind and key. */
static json_t *model_objects(json_t *model, const char *kind)
{
    return json_get_or_add_object(model, kind);
}

static void random_change(struct rbac *rbac, json_t *model)
{
    const char *namespace = PICK(namespaces);
    bool binding = dice(2) == 0;
    const char *name = binding ? PICK(binding_names) : PICK(role_names);
    const char *kind = namespace[0] ? (binding ? "RoleBinding" : "Role")
                                    : (binding ? "ClusterRoleBinding" : "ClusterRole");
    cleanup(free_char)
    char *key = format("%s/%s", namespace, name);
    if (dice(4) == 0) {
        json_object_del(model_objects(model, kind), key);
        rbac_remove(rbac, kind, namespace, name);
        return;
    }
    json_t *object = json_pack("{s:{s:s, s:s}}", "metadata", "name", name, "namespace", namespace);
    if (binding) {
        const char *role_kind = namespace[0] && dice(2) == 0 ? "Role" : "ClusterRole";
        json_object_set_new(object, "subjects", random_subjects());
        json_object_set_new(object, "roleRef",
                            json_pack("{s:s, s:s}", "kind", role_kind, "name", PICK(role_names)));
    } else {
        json_object_set_new(object, "rules", random_rules());
    }
    rbac_put(rbac, kind, object);
    json_object_set_new(model_objects(model, kind), key, object);
}

static bool model_has(const json_t *list, const char *word)
{
    return json_array_has_string(list, "*") || json_array_has_string(list, word);
}

static bool model_rule_allows(const json_t *rule, const struct authz_attributes *ask)
{
    const json_t *names = json_object_get(rule, "resourceNames");
    const json_t *resources = json_object_get(rule, "resources");
    cleanup(free_char)
    char *whole = ask->subresource[0] ? format("%s/%s", ask->resource, ask->subresource)
                                      : duplicate(ask->resource);
    cleanup(free_char)
    char *of_any = format("*/%s", ask->subresource);
    return model_has(json_object_get(rule, "verbs"), ask->verb) &&
           model_has(json_object_get(rule, "apiGroups"), ask->group) &&
           (model_has(resources, whole) ||
            (ask->subresource[0] && json_array_has_string(resources, of_any))) &&
           (names == NULL || json_array_has_string(names, ask->name));
}

static bool model_binds(const json_t *binding, const struct user *user)
{
    size_t i;
    const json_t *subject;
    json_array_foreach (json_object_get(binding, "subjects"), i, subject) {
        const char *kind = json_get_string(subject, "kind");
        const char *name = json_get_string(subject, "name");
        if ((strcmp(kind, "User") == 0 && strcmp(name, user->name) == 0) ||
            (strcmp(kind, "Group") == 0 && user_in_group(user, name)) ||
            (strcmp(kind, "ServiceAccount") == 0 && strcmp(user->name, people[2]) == 0)) {
            return true;
        }
    }
    return false;
}

static bool model_binding_allows(json_t *model, const json_t *binding,
                                 const struct authz_attributes *ask)
{
    const char *kind = json_path_string(binding, "roleRef", "kind");
    bool cluster_role = strcmp(kind, "ClusterRole") == 0;
    cleanup(free_char)
    char *key =
        format("%s/%s", cluster_role ? "" : json_path_string(binding, "metadata", "namespace"),
               json_path_string(binding, "roleRef", "name"));
    const json_t *role = json_object_get(model_objects(model, kind), key);
    size_t i;
    const json_t *rule;
    json_array_foreach (json_object_get(role, "rules"), i, rule) {
        if (model_rule_allows(rule, ask)) {
            return true;
        }
    }
    return false;
}

static bool model_allows(json_t *model, const struct authz_attributes *ask)
{
    static const char *const kinds[] = {"ClusterRoleBinding", "RoleBinding"};
    for (size_t i = 0; i < array_length(kinds); i++) {
        const char *key;
        const json_t *binding;
        json_object_foreach (model_objects(model, kinds[i]), key, binding) {
            const char *namespace = json_path_string(binding, "metadata", "namespace");
            if ((i == 0 || strcmp(namespace, ask->namespace) == 0) &&
                model_binds(binding, ask->user) && model_binding_allows(model, binding, ask)) {
                return true;
            }
        }
    }
    return false;
}

static void the_index_decides_as_a_model_that_looks_at_everything(void **state)
{
    (void)state;
    static const char *const resources[] = {"pods", "secrets", "deployments"};
    static const char *const subresources[] = {"", "log", "scale"};
    size_t allowed = 0, asked = 0;
    for (uint64_t round = 1; round <= 60; round++) {
        seed = round;
        struct rbac *rbac = rbac_new();
        cleanup(json_release)
        json_t *model = json_object();
        for (int step = 0; step < 60; step++) {
            random_change(rbac, model);
            struct person person;
            person_init(&person, PICK(people), dice(2) ? "devs" : "devs ops");
            struct authz_attributes ask = AUTHZ_RESOURCE(&person.user, verb_words[dice(3)],
                                                         group_words[dice(2)], PICK(resources));
            ask.subresource = PICK(subresources);
            ask.namespace = PICK(namespaces);
            ask.name = PICK(name_words);
            bool expected = model_allows(model, &ask);
            if ((rbac_decide(rbac, &ask, NULL) == AUTHZ_ALLOW) != expected) {
                cleanup(free_char)
                char *text = json_text(model);
                fail_msg("round %d, step %d: %s %s/%s of %s in \"%s\": %s", (int)round, step,
                         ask.verb, ask.resource, ask.subresource, person.user.name, ask.namespace,
                         text);
            }
            asked++;
            allowed += expected;
            free(person.memory);
        }
        rbac_free(rbac);
    }
    /* Both answers are worth asking for. */
    assert_true(allowed > asked / 10);
    assert_true(allowed < asked * 9 / 10);
}

/* ---- many at once ---- */

struct readers {
    struct rbac *rbac;
    atomic_bool stop;
    atomic_size_t decisions, wrong;
};

static void *read_on(void *argument)
{
    struct readers *readers = argument;
    while (!atomic_load(&readers->stop)) {
        /* Jane is bound all the time, whatever happens around her; Joe never. */
        if (!may(readers->rbac, "jane", "devs", "get pods a/x", NULL) ||
            may(readers->rbac, "joe", "devs", "get pods a/x", NULL)) {
            atomic_fetch_add(&readers->wrong, 1);
        }
        atomic_fetch_add(&readers->decisions, 1);
    }
    return NULL;
}

static void decisions_go_on_while_policies_change(void **state)
{
    (void)state;
    struct readers readers = {.rbac = rbac_new()};
    pthread_t threads[3];
    put(readers.rbac, "ClusterRole",
        "{metadata: {name: r}, rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}");
    put(readers.rbac, "RoleBinding",
        "{metadata: {name: jane, namespace: a}, roleRef: {kind: ClusterRole, name: r}, subjects: "
        "[{kind: User, name: jane}]}");
    for (size_t i = 0; i < array_length(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers), 0);
    }
    for (int i = 0; i < 500 || atomic_load(&readers.decisions) < 500; i++) {
        put(readers.rbac, "ClusterRole",
            i % 2 ? "{metadata: {name: r}, rules: [{apiGroups: [''], resources: [pods], verbs: "
                    "[get]}]}"
                  : "{metadata: {name: r}, rules: [{apiGroups: ['*'], resources: [pods, nodes], "
                    "verbs: ['*']}]}");
        put(readers.rbac, "RoleBinding",
            "{metadata: {name: devs, namespace: a}, roleRef: {kind: Role, name: gone}, subjects: "
            "[{kind: Group, name: devs}]}");
        rbac_remove(readers.rbac, "RoleBinding", "a", "devs");
    }
    atomic_store(&readers.stop, true);
    for (size_t i = 0; i < array_length(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&readers.wrong), 0);
    rbac_free(readers.rbac);
}

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
        cmocka_unit_test(the_index_decides_as_a_model_that_looks_at_everything),
        cmocka_unit_test(decisions_go_on_while_policies_change),
        cmocka_unit_test(decisions_among_many_policies_are_quick),
        cmocka_unit_test(the_policy_of_every_cluster_says_who_may_what),
        cmocka_unit_test(what_is_missing_is_added_and_more_stays),
    };
    return cmocka_run_group_tests_name("rbac", tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* The RBAC index beside a plain model that looks at everything, and under many threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "test/unit/rbac_harness.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_index_decides_as_a_model_that_looks_at_everything),
        cmocka_unit_test(decisions_go_on_while_policies_change),
    };
    return cmocka_run_group_tests_name("rbac model", tests, NULL, NULL);
}

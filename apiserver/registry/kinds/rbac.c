// SPDX-License-Identifier: Apache-2.0
/*
 * Roles and bindings. Nobody gives others, or oneself, what one does not hold: who writes a role
 * must hold all that it says, or be allowed to "escalate" it; who binds a role must hold all that
 * it says, or be allowed to "bind" it.
 */
#include <string.h>

#include "apiserver/auth/rbac.h"
#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/defaults.h"
#include "apiserver/registry/validation/access.h"
#include "common/alloc.h"
#include "common/json.h"

static const char group[] = "rbac.authorization.k8s.io";

/* ---- nobody gives what one does not hold ---- */

static bool may(const struct write *write, const char *verb, const char *plural,
                const char *namespace, const char *name)
{
    struct authz_attributes attributes = AUTHZ_RESOURCE(&write->request->user, verb, group, plural);
    attributes.namespace = namespace;
    attributes.name = name;
    return authz_decide(write->registry->authz, &attributes, NULL, NULL) == AUTHZ_ALLOW;
}

static void describe_user(const struct user *user, struct buffer *out)
{
    buffer_add_literal(out, "user ");
    buffer_add_quoted(out, user->name);
    buffer_add_literal(out, " (groups=[");
    for (size_t i = 0; i < user->group_count; i++) {
        buffer_add_text(out, i > 0 ? " " : "");
        buffer_add_quoted(out, user->groups[i]);
    }
    buffer_add_literal(out, "])");
}

/* The writer holds all of these rules, in the namespace of what is written. */
static bool check_held(const struct write *write, const struct rbac_rules *rules,
                       struct error *error)
{
    const struct user *user = &write->request->user;
    cleanup(rbac_rules_clear)
    struct rbac_rules held = RBAC_RULES_INIT;
    cleanup(rbac_rules_clear)
    struct rbac_rules missing = RBAC_RULES_INIT;
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    cleanup(buffer_free)
    struct buffer problems = BUFFER_INIT;
    rbac_rules_for(authz_rbac(write->registry->authz), user, write->namespace, &held, &problems);
    if (rbac_rules_cover(&held, rules, &missing)) {
        return true;
    }
    describe_user(user, &text);
    buffer_add_literal(&text, " is attempting to grant RBAC permissions not currently held:\n");
    rbac_rules_describe(&missing, &text);
    if (problems.length > 0) {
        buffer_addf(&text, "; resolution errors: [%s]", problems.bytes);
    }
    return error_forbidden(error, group, write->resource->plural, write->name, "%s", text.bytes);
}

static bool holds_everything(const struct write *write)
{
    cleanup(json_release)
    json_t *json = json_pack("[{s:[s], s:[s], s:[s]}, {s:[s], s:[s]}]", "verbs", "*", "apiGroups",
                             "*", "resources", "*", "verbs", "*", "nonResourceURLs", "*");
    cleanup(rbac_rules_clear)
    struct rbac_rules everything = RBAC_RULES_INIT;
    rbac_rules_compile(&everything, json);
    return check_held(write, &everything, NULL);
}

/* The update lets the garbage collector do its work and changes nothing else. */
static bool is_for_garbage_collection(const struct write *write)
{
    static const char *const fields[] = {"finalizers", "ownerReferences", "managedFields",
                                         "resourceVersion"};
    if (write->live == NULL) {
        return false;
    }
    cleanup(json_release)
    json_t *before = json_deep_copy(write->live);
    cleanup(json_release)
    json_t *after = json_deep_copy(write->object);
    for (size_t i = 0; i < array_length(fields); i++) {
        json_object_del(json_object_get(before, "metadata"), fields[i]);
        json_object_del(json_object_get(after, "metadata"), fields[i]);
    }
    return json_equal(before, after);
}

/* ---- roles ---- */

static bool aggregates(const json_t *role)
{
    return json_is_object(json_object_get(role, "aggregationRule"));
}

static bool check_role(struct write *write, struct error *error)
{
    if (write->request == NULL || is_for_garbage_collection(write) ||
        may(write, "escalate", write->resource->plural, write->namespace,
            write->request->info.name)) {
        return true;
    }
    cleanup(rbac_rules_clear)
    struct rbac_rules rules = RBAC_RULES_INIT;
    rbac_rules_compile(&rules, json_object_get(write->object, "rules"));
    if (!check_held(write, &rules, error)) {
        return false;
    }
    /* What is gathered can be anything, now or later. */
    bool gathers = aggregates(write->object) || (write->live != NULL && aggregates(write->live));
    return !gathers || holds_everything(write) ||
           error_forbidden(error, group, write->resource->plural, write->name,
                           "must have cluster-admin privileges to use the aggregationRule");
}

/* ---- bindings ---- */

static const struct conditional_default binding_defaults[] = {
    {"subjects", "apiGroup", "\"rbac.authorization.k8s.io\"", "kind", "User|Group"},
    {0},
};

static bool check_binding(struct write *write, struct error *error)
{
    const char *kind = json_path_string(write->object, "roleRef", "kind");
    const char *name = json_path_string(write->object, "roleRef", "name");
    bool is_role = kind != NULL && strcmp(kind, "Role") == 0;
    const char *plural = is_role ? "roles" : "clusterroles";
    if (write->request == NULL || kind == NULL || name == NULL ||
        is_for_garbage_collection(write) || may(write, "bind", plural, write->namespace, name)) {
        return true;
    }
    cleanup(rbac_rules_clear)
    struct rbac_rules rules = RBAC_RULES_INIT;
    if (!rbac_rules_of_role(authz_rbac(write->registry->authz), is_role ? write->namespace : "",
                            name, &rules)) {
        return error_not_found(error, group, plural, name);
    }
    return check_held(write, &rules, error);
}

/* ---- the kinds ---- */

const struct kind kind_role = {
    .group = group,
    .plural = "roles",
    .prepare_create = check_role,
    .prepare_update = check_role,
    .validate = validate_role,
    .acknowledged_when_cached = true,
};

const struct kind kind_cluster_role = {
    .group = group,
    .plural = "clusterroles",
    .prepare_create = check_role,
    .prepare_update = check_role,
    .validate = validate_cluster_role,
    .acknowledged_when_cached = true,
};

const struct kind kind_role_binding = {
    .group = group,
    .plural = "rolebindings",
    .defaults = binding_defaults,
    .prepare_create = check_binding,
    .prepare_update = check_binding,
    .validate = validate_role_binding,
    .acknowledged_when_cached = true,
};

const struct kind kind_cluster_role_binding = {
    .group = group,
    .plural = "clusterrolebindings",
    .defaults = binding_defaults,
    .prepare_create = check_binding,
    .prepare_update = check_binding,
    .validate = validate_cluster_role_binding,
    .acknowledged_when_cached = true,
};

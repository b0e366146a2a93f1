// SPDX-License-Identifier: Apache-2.0
/* Small hooks of other groups. */
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "common/alloc.h"
#include "common/json.h"

static void set_default(json_t *object, const char *name, json_t *value)
{
    if (json_object_get(object, name) == NULL) {
        json_object_set_new(object, name, value);
    } else {
        json_decref(value);
    }
}

/* ---- network policies ---- */

/* Ingress always, egress if there are rules for it. */
static void network_policy_fill_defaults(json_t *object)
{
    json_t *spec = json_object_get(object, "spec");
    if (spec != NULL && json_array_size(json_object_get(spec, "policyTypes")) == 0) {
        json_t *types = json_pack("[s]", "Ingress");
        if (json_array_size(json_object_get(spec, "egress")) > 0) {
            json_array_append_new(types, json_string("Egress"));
        }
        json_object_set_new(spec, "policyTypes", types);
    }
}

const struct kind kind_network_policy = {
    .group = "networking.k8s.io",
    .plural = "networkpolicies",
    .fill_defaults = network_policy_fill_defaults,
};

/* ---- role bindings ---- */

static void binding_fill_defaults(json_t *object)
{
    json_t *role = json_object_get(object, "roleRef");
    if (json_string_length(json_object_get(role, "apiGroup")) == 0 && role != NULL) {
        json_object_set_new(role, "apiGroup", json_string("rbac.authorization.k8s.io"));
    }
    json_t *subjects = json_object_get(object, "subjects");
    for (size_t i = 0; i < json_array_size(subjects); i++) {
        json_t *subject = json_array_get(subjects, i);
        const char *kind = json_get_string(subject, "kind");
        if (kind != NULL && (strcmp(kind, "User") == 0 || strcmp(kind, "Group") == 0) &&
            json_string_length(json_object_get(subject, "apiGroup")) == 0) {
            json_object_set_new(subject, "apiGroup", json_string("rbac.authorization.k8s.io"));
        }
    }
}

/* A binding speaks of one role for ever. */
static void binding_validate(const struct write *write, struct field_errors *errors)
{
    const json_t *role = json_object_get(write->object, "roleRef");
    const json_t *live = write->live ? json_object_get(write->live, "roleRef") : NULL;
    if (role != NULL && live != NULL && !json_equal(role, live)) {
        field_error(errors, FIELD_INVALID, FIELD(NULL, "roleRef"), role, "cannot change roleRef");
    }
}

const struct kind kind_role_binding = {
    .group = "rbac.authorization.k8s.io",
    .plural = "rolebindings",
    .fill_defaults = binding_fill_defaults,
    .validate = binding_validate,
};

const struct kind kind_cluster_role_binding = {
    .group = "rbac.authorization.k8s.io",
    .plural = "clusterrolebindings",
    .fill_defaults = binding_fill_defaults,
    .validate = binding_validate,
};

/* ---- custom resource definitions ---- */

static void definition_fill_defaults(json_t *object)
{
    json_t *names = json_path(object, "spec", "names");
    const char *kind = json_get_string(names, "kind");
    if (kind == NULL) {
        return;
    }
    if (json_object_get(names, "singular") == NULL) {
        cleanup(free_char)
        char *singular = duplicate(kind);
        for (char *c = singular; *c != '\0'; c++) {
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
        }
        json_object_set_new(names, "singular", json_string(singular));
    }
    if (json_object_get(names, "listKind") == NULL) {
        json_object_set_new(names, "listKind", json_sprintf("%sList", kind));
    }
    set_default(json_object_get(object, "spec"), "conversion",
                json_pack("{s:s}", "strategy", "None"));
}

static bool definition_prepare_create(struct write *write, struct error *error)
{
    (void)error;
    json_t *stored = json_array();
    json_t *versions = json_path(write->object, "spec", "versions");
    for (size_t i = 0; i < json_array_size(versions); i++) {
        json_t *version = json_array_get(versions, i);
        if (json_get_bool(version, "storage", false)) {
            json_array_append(stored, json_object_get(version, "name"));
        }
    }
    json_object_set_new(write->object, "status",
                        json_pack("{s:o, s:{s:s, s:s}, s:[]}", "storedVersions", stored,
                                  "acceptedNames", "plural", "", "kind", "", "conditions"));
    return true;
}

const struct kind kind_custom_resource_definition = {
    .group = "apiextensions.k8s.io",
    .plural = "customresourcedefinitions",
    .fill_defaults = definition_fill_defaults,
    .prepare_create = definition_prepare_create,
    .needs_revision = true,
};

/* ---- certificate requests ---- */

/* Who asks is taken from the request, whatever the body says. */
static bool request_prepare_create(struct write *write, struct error *error)
{
    (void)error;
    if (write->request == NULL) {
        return true;
    }
    const struct user *user = &write->request->user;
    json_t *spec = json_get_or_add_object(write->object, "spec");
    json_t *groups = json_array();
    for (size_t i = 0; i < user->group_count; i++) {
        json_array_append_new(groups, json_string(user->groups[i]));
    }
    json_object_set_new(spec, "username", json_string(user->name));
    json_object_set_new(spec, "groups", groups);
    json_object_del(spec, "uid");
    json_object_del(spec, "extra");
    if (user->uid != NULL && user->uid[0] != '\0') {
        json_object_set_new(spec, "uid", json_string(user->uid));
    }
    if (user->extra != NULL) {
        json_object_set(spec, "extra", user->extra);
    }
    return true;
}

static bool request_prepare_update(struct write *write, struct error *error)
{
    (void)error;
    json_t *spec = json_object_get(write->live, "spec");
    if (spec != NULL) {
        json_object_set(write->object, "spec", spec);
    }
    return true;
}

const struct kind kind_certificate_request = {
    .group = "certificates.k8s.io",
    .plural = "certificatesigningrequests",
    .prepare_create = request_prepare_create,
    .prepare_update = request_prepare_update,
};

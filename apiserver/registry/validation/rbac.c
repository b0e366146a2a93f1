// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "apiserver/registry/validation/access.h"
#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/selectors.h"
#include "common/alloc.h"
#include "common/json.h"

static const char group[] = "rbac.authorization.k8s.io";

/* ---- roles ---- */

static bool has_some(const json_t *rule, const char *member)
{
    return json_array_size(json_object_get(rule, member)) > 0;
}

static void require(const json_t *rule, const char *member, const char *detail,
                    const struct field_path *path, struct field_errors *errors)
{
    if (!has_some(rule, member)) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, member), NULL, "%s", detail);
    }
}

static void validate_rule(const json_t *rule, bool namespaced, const struct field_path *path,
                          struct field_errors *errors)
{
    const json_t *paths = json_object_get(rule, "nonResourceURLs");
    const struct field_path *paths_path = FIELD(path, "nonResourceURLs");
    require(rule, "verbs", "verbs must contain at least one value", path, errors);
    if (json_array_size(paths) == 0) {
        require(rule, "apiGroups", "resource rules must supply at least one api group", path,
                errors);
        require(rule, "resources", "resource rules must supply at least one resource", path,
                errors);
        return;
    }
    if (namespaced) {
        field_error(errors, FIELD_INVALID, paths_path, paths,
                    "namespaced rules cannot apply to non-resource URLs");
    }
    if (has_some(rule, "apiGroups") || has_some(rule, "resources") ||
        has_some(rule, "resourceNames")) {
        field_error(errors, FIELD_INVALID, paths_path, paths,
                    "rules cannot apply to both regular resources and non-resource URLs");
    }
}

static void validate_rules(const struct write *write, bool namespaced, struct field_errors *errors)
{
    const json_t *rules = json_object_get(write->object, "rules");
    const struct field_path *path = FIELD(NULL, "rules");
    for (size_t i = 0; i < json_array_size(rules); i++) {
        validate_rule(json_array_get(rules, i), namespaced, FIELD_INDEX(path, i), errors);
    }
}

void validate_role(const struct write *write, struct field_errors *errors)
{
    validate_rules(write, true, errors);
}

void validate_cluster_role(const struct write *write, struct field_errors *errors)
{
    const json_t *aggregation = json_object_get(write->object, "aggregationRule");
    const json_t *selectors = json_object_get(aggregation, "clusterRoleSelectors");
    const struct field_path *path = FIELD(FIELD(NULL, "aggregationRule"), "clusterRoleSelectors");
    validate_rules(write, false, errors);
    if (aggregation != NULL && json_array_size(selectors) == 0) {
        field_error(errors, FIELD_REQUIRED, path, NULL,
                    "at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    for (size_t i = 0; i < json_array_size(selectors); i++) {
        validate_label_selector(json_array_get(selectors, i), FIELD_INDEX(path, i), errors);
    }
}

/* ---- bindings ---- */

/* 'kind' stands in upstream's message. */
static void validate_person(const json_t *subject, const char *kind, const struct field_path *path,
                            struct field_errors *errors)
{
    static const char *const groups[] = {group, NULL};
    if (check_text(subject, "name")[0] == '\0') {
        cleanup(free_char)
        char *message = format("%s name cannot be empty", kind);
        check_invalid_text("", message, FIELD(path, "name"), errors);
    }
    if (!check_is(subject, "apiGroup", group)) {
        check_not_supported(check_text(subject, "apiGroup"), groups, FIELD(path, "apiGroup"),
                            errors);
    }
}

static void validate_subject(const json_t *subject, bool namespaced, const struct field_path *path,
                             struct field_errors *errors)
{
    static const char *const kinds[] = {"ServiceAccount", "User", "Group", NULL};
    static const char *const no_group[] = {"", NULL};
    const char *kind = check_text(subject, "kind");
    if (strcmp(kind, "User") == 0) {
        validate_person(subject, "user", path, errors);
    } else if (strcmp(kind, "Group") == 0) {
        validate_person(subject, "group", path, errors);
    } else if (strcmp(kind, "ServiceAccount") == 0) {
        check_subdomain(json_object_get(subject, "name"), FIELD(path, "name"), errors);
        if (check_text(subject, "apiGroup")[0] != '\0') {
            check_not_supported(check_text(subject, "apiGroup"), no_group, FIELD(path, "apiGroup"),
                                errors);
        }
        if (!namespaced && check_text(subject, "namespace")[0] == '\0') {
            field_error(errors, FIELD_REQUIRED, FIELD(path, "namespace"), NULL, NULL);
        }
    } else {
        check_not_supported(kind, kinds, FIELD(path, "kind"), errors);
    }
}

/* A binding speaks of one role for ever. */
static void validate_binding(const struct write *write, bool namespaced,
                             const char *const *role_kinds, struct field_errors *errors)
{
    const json_t *role = json_object_get(write->object, "roleRef");
    const json_t *subjects = json_object_get(write->object, "subjects");
    const struct field_path *role_path = FIELD(NULL, "roleRef");
    const struct field_path *subjects_path = FIELD(NULL, "subjects");
    if (!check_one_of(check_text(role, "kind"), role_kinds)) {
        check_not_supported(check_text(role, "kind"), role_kinds, FIELD(role_path, "kind"), errors);
    }
    for (size_t i = 0; i < json_array_size(subjects); i++) {
        validate_subject(json_array_get(subjects, i), namespaced, FIELD_INDEX(subjects_path, i),
                         errors);
    }
    if (write->live != NULL && !check_equal(role, json_object_get(write->live, "roleRef"))) {
        field_error(errors, FIELD_INVALID, role_path, role, "cannot change roleRef");
    }
}

void validate_role_binding(const struct write *write, struct field_errors *errors)
{
    static const char *const kinds[] = {"Role", "ClusterRole", NULL};
    validate_binding(write, true, kinds, errors);
}

void validate_cluster_role_binding(const struct write *write, struct field_errors *errors)
{
    static const char *const kinds[] = {"ClusterRole", NULL};
    validate_binding(write, false, kinds, errors);
}

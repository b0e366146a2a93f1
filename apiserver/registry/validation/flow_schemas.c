// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/flow_control.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

enum { PRECEDENCE_MAX = 10000 };

static const struct field_path spec_path = {.name = "spec"};

/* ---- subjects ---- */

/* What a subject of each kind has, and the others have not. */
static const struct {
    const char *kind, *member;
} subject_kinds[] = {
    {"ServiceAccount", "serviceAccount"},
    {"User", "user"},
    {"Group", "group"},
};

/* "*" is all accounts of the namespace. */
static void validate_account(const json_t *account, const struct field_path *path,
                             struct field_errors *errors)
{
    if (!check_is(account, "name", "*")) {
        check_subdomain(json_object_get(account, "name"), FIELD(path, "name"), errors);
    }
    if (check_text(account, "namespace")[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "namespace"), NULL,
                    "must specify namespace for service account");
    }
    check_label(json_object_get(account, "namespace"), FIELD(path, "namespace"), errors);
}

static void validate_subject(const json_t *subject, const struct field_path *path,
                             struct field_errors *errors)
{
    const char *kind = check_text(subject, "kind");
    for (size_t i = 0; i < array_length(subject_kinds); i++) {
        const char *member = subject_kinds[i].member;
        bool wanted = strcmp(kind, subject_kinds[i].kind) == 0, there = check_has(subject, member);
        if (wanted && !there) {
            field_error(errors, FIELD_REQUIRED, FIELD(path, member), NULL,
                        "%s is required when subject kind is '%s'", member, subject_kinds[i].kind);
        } else if (!wanted && there) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(path, member), NULL,
                        "%s is forbidden when subject kind is not '%s'", member,
                        subject_kinds[i].kind);
        } else if (wanted && i == 0) {
            validate_account(json_object_get(subject, member), FIELD(path, member), errors);
        }
    }
}

/* ---- rules ---- */

static void require(const json_t *rule, const char *member, const char *detail,
                    const struct field_path *path, struct field_errors *errors)
{
    if (json_array_size(json_object_get(rule, member)) == 0) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, member), NULL, "%s", detail);
    }
}

/* "*" stands alone. 'others' stands in upstream's message. True when it is there. */
static bool validate_wildcard(const json_t *rule, const char *member, const char *others,
                              const struct field_path *path, struct field_errors *errors)
{
    const json_t *list = json_object_get(rule, member);
    bool all = json_array_has_string(list, "*");
    if (all && json_array_size(list) > 1) {
        field_error(errors, FIELD_INVALID, FIELD(path, member), list,
                    "if '*' is present, must not specify other %s", others);
    }
    return all;
}

static void validate_verbs(const json_t *rule, const struct field_path *path,
                           struct field_errors *errors)
{
    static const char *const supported[] = {"create", "delete", "deletecollection", "get",   "list",
                                            "patch",  "proxy",  "update",           "watch", NULL};
    const json_t *verbs = json_object_get(rule, "verbs");
    require(rule, "verbs", "verbs must contain at least one value", path, errors);
    bool known = validate_wildcard(rule, "verbs", "verbs", path, errors);
    for (size_t i = 0; !known && i < json_array_size(verbs); i++) {
        if (!check_one_of(json_string_value(json_array_get(verbs, i)), supported)) {
            field_error_not_supported(errors, FIELD(path, "verbs"), verbs, supported);
            return;
        }
    }
}

static void validate_namespaces(const json_t *rule, const struct field_path *path,
                                struct field_errors *errors)
{
    const json_t *list = json_object_get(rule, "namespaces");
    const struct field_path *here = FIELD(path, "namespaces");
    if (json_array_size(list) == 0 && !json_get_bool(rule, "clusterScope", false)) {
        field_error(errors, FIELD_REQUIRED, here, NULL,
                    "resource rules that are not cluster scoped must supply at least one "
                    "namespace");
    }
    if (validate_wildcard(rule, "namespaces", "namespaces", path, errors)) {
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *name = json_array_get(list, i);
        const char *message = names_check_dns_label(json_string_value(name));
        if (message != NULL) {
            field_error(errors, FIELD_INVALID, FIELD_INDEX(here, i), name,
                        "each member of this list must be '*' or a DNS-1123 label; %s", message);
        }
    }
}

static void validate_resource_rule(const json_t *rule, const struct field_path *path,
                                   struct field_errors *errors)
{
    validate_verbs(rule, path, errors);
    require(rule, "apiGroups", "resource rules must supply at least one api group", path, errors);
    validate_wildcard(rule, "apiGroups", "api groups", path, errors);
    require(rule, "resources", "resource rules must supply at least one resource", path, errors);
    validate_wildcard(rule, "resources", "resources", path, errors);
    validate_namespaces(rule, path, errors);
}

static const char *complaint_about_path(const char *path)
{
    const char *star = strchr(path, '*');
    if (path[0] == '\0') {
        return "must not be empty";
    }
    if (path[0] != '/') {
        return "must start with slash";
    }
    if (strchr(path, ' ') != NULL) {
        return "must not contain white-space";
    }
    if (strstr(path, "//") != NULL) {
        return "must not contain double slash";
    }
    return star != NULL && (star[1] != '\0' || star[-1] != '/')
               ? "wildcard can only do suffix matching"
               : NULL;
}

static void validate_path_rule(const json_t *rule, const struct field_path *path,
                               struct field_errors *errors)
{
    const json_t *list = json_object_get(rule, "nonResourceURLs");
    const struct field_path *here = FIELD(path, "nonResourceURLs");
    validate_verbs(rule, path, errors);
    require(rule, "nonResourceURLs", "nonResourceURLs must contain at least one value", path,
            errors);
    if (validate_wildcard(rule, "nonResourceURLs", "non-resource URLs", path, errors)) {
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *text = json_array_get(list, i);
        check_message(text, complaint_about_path(json_string_value(text)), FIELD_INDEX(here, i),
                      errors);
    }
}

static void validate_rule(const json_t *rule, const struct field_path *path,
                          struct field_errors *errors)
{
    const json_t *subjects = json_object_get(rule, "subjects");
    const json_t *resources = json_object_get(rule, "resourceRules");
    const json_t *paths = json_object_get(rule, "nonResourceRules");
    require(rule, "subjects", "subjects must contain at least one value", path, errors);
    for (size_t i = 0; i < json_array_size(subjects); i++) {
        validate_subject(json_array_get(subjects, i), FIELD_INDEX(FIELD(path, "subjects"), i),
                         errors);
    }
    if (json_array_size(resources) + json_array_size(paths) == 0) {
        field_error(errors, FIELD_REQUIRED, path, NULL,
                    "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    for (size_t i = 0; i < json_array_size(resources); i++) {
        validate_resource_rule(json_array_get(resources, i),
                               FIELD_INDEX(FIELD(path, "resourceRules"), i), errors);
    }
    for (size_t i = 0; i < json_array_size(paths); i++) {
        validate_path_rule(json_array_get(paths, i),
                           FIELD_INDEX(FIELD(path, "nonResourceRules"), i), errors);
    }
}

/* ---- those that every cluster has ---- */

#define ALL_REQUESTS                                                                               \
    "\"resourceRules\":[{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"],"           \
    "\"clusterScope\":true,\"namespaces\":[\"*\"]}],"                                              \
    "\"nonResourceRules\":[{\"verbs\":[\"*\"],\"nonResourceURLs\":[\"*\"]}]"

static const struct {
    const char *name, *spec;
} fixed[] = {
    {"exempt", "{\"priorityLevelConfiguration\":{\"name\":\"exempt\"},\"matchingPrecedence\":1,"
               "\"rules\":[{\"subjects\":[{\"kind\":\"Group\",\"group\":{\"name\":"
               "\"system:masters\"}}]," ALL_REQUESTS "}]}"},
    {"catch-all",
     "{\"priorityLevelConfiguration\":{\"name\":\"catch-all\"},\"matchingPrecedence\":10000,"
     "\"distinguisherMethod\":{\"type\":\"ByUser\"},\"rules\":[{\"subjects\":[{\"kind\":\"Group\","
     "\"group\":{\"name\":\"system:unauthenticated\"}},{\"kind\":\"Group\",\"group\":{\"name\":"
     "\"system:authenticated\"}}]," ALL_REQUESTS "}]}"},
};

static void validate_fixed(const char *name, const json_t *spec, struct field_errors *errors)
{
    for (size_t i = 0; i < array_length(fixed); i++) {
        if (strcmp(fixed[i].name, name) != 0) {
            continue;
        }
        cleanup(json_release)
        json_t *wanted = json_loads(fixed[i].spec, 0, NULL);
        if (!check_equal(spec, wanted)) {
            field_error(errors, FIELD_INVALID, &spec_path, spec,
                        "spec of '%s' must equal the fixed value", name);
        }
    }
}

/* ---- the whole ---- */

void validate_flow_conditions(const json_t *object, struct field_errors *errors)
{
    const json_t *conditions = json_path(object, "status", "conditions");
    const struct field_path *path = FIELD(FIELD(NULL, "status"), "conditions");
    struct map seen = MAP_INIT;
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        const char *type = check_text(json_array_get(conditions, i), "type");
        const struct field_path *here = FIELD(FIELD_INDEX(path, i), "type");
        if (map_set(&seen, type, &seen) != NULL) {
            check_duplicate_text(type, here, errors);
        }
        if (type[0] == '\0') {
            field_error(errors, FIELD_REQUIRED, here, NULL, "must not be empty");
        }
    }
    map_free(&seen, NULL);
}

static void validate_precedence(const json_t *spec, const char *name, struct field_errors *errors)
{
    const json_t *precedence = json_object_get(spec, "matchingPrecedence");
    const struct field_path *path = FIELD(&spec_path, "matchingPrecedence");
    json_int_t number = json_integer_value(precedence);
    if (number <= 0) {
        field_error(errors, FIELD_INVALID, path, precedence, "must be a positive value");
    } else if (number > PRECEDENCE_MAX) {
        field_error(errors, FIELD_INVALID, path, precedence, "must not be greater than %d",
                    PRECEDENCE_MAX);
    } else if (number == 1 && strcmp(name, "exempt") != 0) {
        field_error(errors, FIELD_INVALID, path, precedence,
                    "only the schema named 'exempt' may have matchingPrecedence 1");
    }
}

void validate_flow_schema(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *level = json_path(spec, "priorityLevelConfiguration", "name");
    const json_t *rules = json_object_get(spec, "rules");
    const char *name = check_text(json_object_get(write->object, "metadata"), "name");
    const struct field_path *level_path =
        FIELD(FIELD(&spec_path, "priorityLevelConfiguration"), "name");
    validate_flow_conditions(write->object, errors);
    if (write->subresource[0] != '\0') {
        return;
    }
    validate_precedence(spec, name, errors);
    if (json_string_length(level) == 0) {
        field_error(errors, FIELD_REQUIRED, level_path, NULL, "must reference a priority level");
    }
    check_subdomain(level, level_path, errors);
    for (size_t i = 0; i < json_array_size(rules); i++) {
        validate_rule(json_array_get(rules, i), FIELD_INDEX(FIELD(&spec_path, "rules"), i), errors);
    }
    validate_fixed(name, spec, errors);
}

// SPDX-License-Identifier: Apache-2.0
/* ResourceQuotas: what is limited, and which pods and claims count. */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/config.h"
#include "apiserver/registry/validation/resources.h"
#include "common/alloc.h"
#include "common/json.h"

static const struct field_path spec_path = {.name = "spec"};

static const char *const quota_resources[] = {"cpu",
                                              "memory",
                                              "ephemeral-storage",
                                              "requests.cpu",
                                              "requests.memory",
                                              "requests.storage",
                                              "requests.ephemeral-storage",
                                              "limits.cpu",
                                              "limits.memory",
                                              "limits.ephemeral-storage",
                                              "pods",
                                              "resourcequotas",
                                              "services",
                                              "replicationcontrollers",
                                              "secrets",
                                              "persistentvolumeclaims",
                                              "configmaps",
                                              "services.nodeports",
                                              "services.loadbalancers",
                                              NULL};

static bool is_quota_resource(const char *name)
{
    return check_one_of(name, quota_resources) || resource_is_huge_page(name) ||
           resource_is_huge_page_request(name);
}

static void validate_amounts(const json_t *amounts, const struct field_path *path,
                             struct field_errors *errors)
{
    const char *name;
    json_t *amount;
    json_object_foreach ((json_t *)amounts, name, amount) {
        const struct field_path *here = FIELD_KEY(path, name);
        validate_resource_name(name, here, errors);
        if (strchr(name, '/') == NULL && !is_quota_resource(name)) {
            check_invalid_text(name, "must be a standard resource for quota", here, errors);
        }
        validate_amount(name, amount, here, errors);
    }
}

/* ---- scopes ---- */

static const char *const scopes[] = {"Terminating",
                                     "NotTerminating",
                                     "BestEffort",
                                     "NotBestEffort",
                                     "PriorityClass",
                                     "CrossNamespacePodAffinity",
                                     "VolumeAttributesClass",
                                     NULL};

/* The scope has something to do with the resource. */
static bool fits(const char *scope, const char *resource)
{
    static const char *const of_pods[] = {
        "pods",          "cpu",          "memory",          "limits.cpu",
        "limits.memory", "requests.cpu", "requests.memory", NULL};
    static const char *const of_claims[] = {"persistentvolumeclaims", "requests.storage", NULL};
    if (strcmp(scope, "BestEffort") == 0) {
        return strcmp(resource, "pods") == 0;
    }
    if (strcmp(scope, "VolumeAttributesClass") == 0) {
        return check_one_of(resource, of_claims);
    }
    return !check_one_of(scope, scopes) || check_one_of(resource, of_pods);
}

/* Of all that is limited, each that has nothing to do with the scope is told. */
static void validate_fit(const json_t *spec, const char *scope, const json_t *shown,
                         const struct field_path *path, struct field_errors *errors)
{
    const char *name;
    json_t *amount;
    json_object_foreach (json_object_get(spec, "hard"), name, amount) {
        if (is_quota_resource(name) && !fits(scope, name)) {
            field_error(errors, FIELD_INVALID, path, shown,
                        "unsupported scope applied to resource");
        }
    }
}

/* Nothing is in both of two scopes that are each other's opposite. */
static void validate_opposites(const struct map *seen, const json_t *spec,
                               const struct field_path *path, struct field_errors *errors)
{
    static const char *const pairs[][2] = {{"BestEffort", "NotBestEffort"},
                                           {"Terminating", "NotTerminating"}};
    const json_t *shown = json_object_get(spec, "scopes");
    for (size_t i = 0; i < array_length(pairs); i++) {
        if (map_get(seen, pairs[i][0]) != NULL && map_get(seen, pairs[i][1]) != NULL) {
            cleanup(json_release)
            json_t *none = json_null();
            field_error(errors, FIELD_INVALID, path, shown ? shown : none, "conflicting scopes");
        }
    }
}

static void validate_scopes(const json_t *spec, struct field_errors *errors)
{
    const json_t *list = json_object_get(spec, "scopes");
    const struct field_path *path = FIELD(&spec_path, "scopes");
    struct map seen = MAP_INIT;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *scope = json_string_value(json_array_get(list, i));
        if (!check_one_of(scope, scopes)) {
            field_error(errors, FIELD_INVALID, path, list, "unsupported scope");
        }
        validate_fit(spec, scope, list, path, errors);
        map_set(&seen, scope, &seen);
    }
    validate_opposites(&seen, spec, path, errors);
    map_free(&seen, NULL);
}

static void validate_requirement(const json_t *requirement, const struct field_path *path,
                                 struct field_errors *errors)
{
    static const char *const existing[] = {
        "BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity",
        NULL};
    static const char *const some[] = {"In", "NotIn", NULL};
    static const char *const none[] = {"Exists", "DoesNotExist", NULL};
    const char *operator= check_text(requirement, "operator");
    const json_t *values = json_object_get(requirement, "values");
    if (check_one_of(check_text(requirement, "scopeName"), existing) &&
        strcmp(operator, "Exists") != 0) {
        check_invalid_text(operator,
                           "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
                           "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                           "ResourceQuotaScopeNotBestEffort or "
                           "ResourceQuotaScopeCrossNamespacePodAffinity",
                           FIELD(path, "operator"), errors);
    }
    if (check_one_of(operator, some) && json_array_size(values) == 0) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "values"), NULL,
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope "
                    "selector");
    } else if (check_one_of(operator, none) && json_array_size(values) > 0) {
        field_error(errors, FIELD_INVALID, FIELD(path, "values"), values,
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope "
                    "selector");
    } else if (!check_one_of(operator, some) && !check_one_of(operator, none)) {
        check_invalid_text(operator, "not a valid selector operator", FIELD(path, "operator"),
                           errors);
    }
}

static void validate_scope_selector(const json_t *spec, struct field_errors *errors)
{
    const json_t *selector = json_object_get(spec, "scopeSelector");
    const json_t *list = json_object_get(selector, "matchExpressions");
    /* No index: upstream has none. */
    const struct field_path *path = FIELD(FIELD(&spec_path, "scopeSelector"), "matchExpressions");
    struct map seen = MAP_INIT;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *requirement = json_array_get(list, i);
        const char *scope = check_text(requirement, "scopeName");
        if (!check_one_of(scope, scopes)) {
            check_invalid_text(scope, "unsupported scope", FIELD(path, "scopeName"), errors);
        }
        validate_fit(spec, scope, selector, path, errors);
        validate_requirement(requirement, path, errors);
        map_set(&seen, scope, &seen);
    }
    validate_opposites(&seen, spec, path, errors);
    map_free(&seen, NULL);
}

/* In any order, and however often each is named. */
static bool same_scopes(const json_t *a, const json_t *b)
{
    struct map of_a = MAP_INIT, of_b = MAP_INIT;
    check_collect(&of_a, a, NULL);
    check_collect(&of_b, b, NULL);
    bool same = of_a.count == of_b.count;
    for (size_t i = 0; same && i < json_array_size(a); i++) {
        same = map_get(&of_b, json_string_value(json_array_get(a, i))) != NULL;
    }
    map_free(&of_a, NULL);
    map_free(&of_b, NULL);
    return same;
}

void validate_resource_quota(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *status = json_object_get(write->object, "status");
    const json_t *list = json_object_get(spec, "scopes");
    const struct field_path *status_path = FIELD(NULL, "status");
    if (strcmp(write->subresource, "status") == 0) {
        validate_amounts(json_object_get(status, "hard"), FIELD(status_path, "hard"), errors);
        validate_amounts(json_object_get(status, "used"), FIELD(status_path, "used"), errors);
    }
    if (write->subresource[0] != '\0') {
        return;
    }
    validate_amounts(json_object_get(spec, "hard"), FIELD(&spec_path, "hard"), errors);
    validate_scopes(spec, errors);
    validate_scope_selector(spec, errors);
    if (write->live != NULL && !same_scopes(list, json_path(write->live, "spec", "scopes"))) {
        cleanup(json_release)
        json_t *none = json_null();
        field_error(errors, FIELD_INVALID, FIELD(&spec_path, "scopes"), list ? list : none,
                    "field is immutable");
    }
}

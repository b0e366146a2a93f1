// SPDX-License-Identifier: Apache-2.0
#include "apiserver/admission/quota_limits.h"

#include <string.h>

#include "apiserver/admission/configuration.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/quota.h"

struct quota_limits {
    json_t *list; /* Of {apiGroup, resource, matchContains, matchScopes}. */
};

static bool check_scopes(const json_t *limit, const char *limit_path, struct error *error)
{
    static const struct configuration_member members[] = {
        {"scopeName", JSON_STRING}, {"operator", JSON_STRING}, {"values", JSON_ARRAY}, {NULL, 0}};
    size_t i;
    const json_t *scope;
    json_array_foreach (json_object_get(limit, "matchScopes"), i, scope) {
        cleanup(free_char)
        char *path = format("%s.matchScopes[%zu]", limit_path, i);
        if (!configuration_check(scope, path, members, error) ||
            !configuration_check_texts(scope, path, "values", error)) {
            return false;
        }
        if (json_string_length(json_object_get(scope, "scopeName")) == 0) {
            return error_bad_request(error, "%s.scopeName: Required value", path);
        }
    }
    return true;
}

static bool check_limit(const json_t *limit, size_t index, struct error *error)
{
    static const struct configuration_member members[] = {{"apiGroup", JSON_STRING},
                                                          {"resource", JSON_STRING},
                                                          {"matchContains", JSON_ARRAY},
                                                          {"matchScopes", JSON_ARRAY},
                                                          {NULL, 0}};
    cleanup(free_char)
    char *path = format("limitedResources[%zu]", index);
    if (!configuration_check(limit, path, members, error) ||
        !configuration_check_texts(limit, path, "matchContains", error) ||
        !check_scopes(limit, path, error)) {
        return false;
    }
    const char *resource = json_get_string(limit, "resource");
    return (resource != NULL && resource[0] != '\0') ||
           error_bad_request(error, "%s.resource: Required value", path);
}

struct quota_limits *quota_limits_new(const json_t *json, struct error *error)
{
    static const struct configuration_member members[] = {{"apiVersion", JSON_STRING},
                                                          {"kind", JSON_STRING},
                                                          {"limitedResources", JSON_ARRAY},
                                                          {NULL, 0}};
    if (!configuration_check(json, "", members, error)) {
        return NULL;
    }
    json_t *list = json_object_get(json, "limitedResources");
    size_t i;
    json_t *limit;
    json_array_foreach (list, i, limit) {
        if (!check_limit(limit, i, error)) {
            return NULL;
        }
    }
    struct quota_limits *limits = allocate_struct(struct quota_limits);
    limits->list = json_incref(list);
    return limits;
}

void quota_limits_free(struct quota_limits *limits)
{
    if (limits != NULL) {
        json_decref(limits->list);
        free(limits);
    }
}

static bool is_about(const json_t *limit, const char *group, const char *plural)
{
    const char *limited = json_get_string(limit, "apiGroup");
    return strcmp(limited ? limited : "", group) == 0 &&
           strcmp(json_get_string(limit, "resource"), plural) == 0;
}

bool quota_limits_apply(const struct quota_limits *limits, const char *group, const char *plural,
                        const char *resource)
{
    size_t i, j;
    const json_t *limit, *part;
    json_array_foreach (limits != NULL ? limits->list : NULL, i, limit) {
        if (!is_about(limit, group, plural)) {
            continue;
        }
        json_array_foreach (json_object_get(limit, "matchContains"), j, part) {
            if (strstr(resource, json_string_value(part)) != NULL) {
                return true;
            }
        }
    }
    return false;
}

json_t *quota_limits_scopes(const struct quota_limits *limits, const char *group,
                            const char *plural, const json_t *object)
{
    json_t *found = json_array();
    size_t i;
    const json_t *limit;
    json_array_foreach (limits != NULL ? limits->list : NULL, i, limit) {
        if (is_about(limit, group, plural)) {
            quota_find_scopes(json_object_get(limit, "matchScopes"), group, plural, object, found);
        }
    }
    return found;
}

// SPDX-License-Identifier: Apache-2.0
#include "apiserver/audit/policy.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/yaml.h"

const char *const audit_level_names[AUDIT_LEVEL_COUNT] = {"None", "Metadata", "Request",
                                                          "RequestResponse"};
const char *const audit_stage_names[AUDIT_STAGE_COUNT] = {"RequestReceived", "ResponseStarted",
                                                          "ResponseComplete", "Panic"};

enum { rules_max = 10000 };

struct rule {
    enum audit_level level;
    unsigned omitted_stages;
    bool omits_managed_fields;
    /* Lists of strings, and of GroupResources; borrowed from the tree, NULL or empty: any. */
    const json_t *users, *groups, *verbs, *resources, *namespaces, *paths;
};

struct audit_policy {
    json_t *tree;
    struct rule *rules;
    size_t rule_count;
};

/* ---- reading ---- */

struct reader {
    struct error *error;
    const char *place; /* "rules[3]." */
};

static bool wrong(const struct reader *reader, const char *field, const char *what,
                  const char *text)
{
    return error_bad_request(reader->error, "%s%s: %s%s%s%s", reader->place, field, what,
                             text ? " \"" : "", text ? text : "", text ? "\"" : "");
}

static bool knows_fields(const struct reader *reader, const json_t *object,
                         const char *const *known)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)object, name, value) {
        size_t i = 0;
        while (known[i] != NULL && strcmp(known[i], name) != 0) {
            i++;
        }
        if (known[i] == NULL) {
            return wrong(reader, name, "unknown field", NULL);
        }
    }
    return true;
}

/* A list of strings, or nothing. */
static bool take_list(const struct reader *reader, const json_t *object, const char *name,
                      const json_t **list)
{
    *list = json_object_get(object, name);
    if (json_is_null(*list)) {
        *list = NULL;
    }
    if (*list != NULL && !json_is_array(*list)) {
        return wrong(reader, name, "must be a list of strings", NULL);
    }
    for (size_t i = 0; i < json_array_size(*list); i++) {
        if (!json_is_string(json_array_get(*list, i))) {
            return wrong(reader, name, "must be a list of strings", NULL);
        }
    }
    return true;
}

static bool find_name(const char *const *names, size_t count, const char *name, size_t *found)
{
    for (*found = 0; *found < count; (*found)++) {
        if (strcmp(names[*found], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool take_stages(const struct reader *reader, const json_t *object, unsigned *stages)
{
    const json_t *list;
    if (!take_list(reader, object, "omitStages", &list)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        size_t stage;
        if (!find_name(audit_stage_names, AUDIT_STAGE_COUNT, name, &stage)) {
            return wrong(reader, "omitStages",
                         "allowed stages are RequestReceived, ResponseStarted, ResponseComplete "
                         "and Panic, not",
                         name);
        }
        *stages |= 1U << stage;
    }
    return true;
}

static bool take_boolean(const struct reader *reader, const json_t *object, const char *name,
                         bool *value)
{
    const json_t *given = json_object_get(object, name);
    if (given == NULL || json_is_null(given)) {
        return true;
    }
    *value = json_is_true(given);
    return json_is_boolean(given) || wrong(reader, name, "must be true or false", NULL);
}

static bool take_level(const struct reader *reader, const json_t *object, enum audit_level *level)
{
    const char *name = json_get_string(object, "level");
    size_t found;
    if (name == NULL || name[0] == '\0') {
        return wrong(reader, "level", "Required value", NULL);
    }
    if (!find_name(audit_level_names, AUDIT_LEVEL_COUNT, name, &found)) {
        return wrong(reader, "level", "must be None, Metadata, Request or RequestResponse, not",
                     name);
    }
    *level = (enum audit_level)found;
    return true;
}

static bool check_resources(const struct reader *reader, const json_t *resources)
{
    static const char *const known[] = {"group", "resources", "resourceNames", NULL};
    if (resources != NULL && !json_is_null(resources) && !json_is_array(resources)) {
        return wrong(reader, "resources", "must be a list", NULL);
    }
    for (size_t i = 0; i < json_array_size(resources); i++) {
        const json_t *one = json_array_get(resources, i), *plurals, *names;
        const json_t *group = json_object_get(one, "group");
        cleanup(free_char)
        char *place = format("%sresources[%zu].", reader->place, i);
        const struct reader inner = {.place = place, .error = reader->error};
        if (!json_is_object(one)) {
            return wrong(reader, "resources", "must be a list of objects", NULL);
        }
        if (group != NULL && !json_is_string(group)) {
            return wrong(&inner, "group", "must be a string", NULL);
        }
        if (!knows_fields(&inner, one, known) || !take_list(&inner, one, "resources", &plurals) ||
            !take_list(&inner, one, "resourceNames", &names)) {
            return false;
        }
        if (group != NULL && strchr(json_string_value(group), '/') != NULL) {
            return wrong(&inner, "group", "must not have a version:", json_string_value(group));
        }
        if (json_array_size(names) > 0 && json_array_size(plurals) == 0) {
            return wrong(&inner, "resourceNames",
                         "using resourceNames requires at least one resource", NULL);
        }
    }
    return true;
}

static bool check_paths(const struct reader *reader, const struct rule *rule)
{
    if (json_array_size(rule->paths) > 0 &&
        (json_array_size(rule->resources) > 0 || json_array_size(rule->namespaces) > 0)) {
        return wrong(reader, "nonResourceURLs",
                     "rules cannot apply to both regular resources and non-resource URLs", NULL);
    }
    for (size_t i = 0; i < json_array_size(rule->paths); i++) {
        const char *path = json_string_value(json_array_get(rule->paths, i));
        const char *star = strchr(path, '*');
        if (strcmp(path, "*") == 0) {
            continue;
        }
        if (path[0] != '/') {
            return wrong(reader, "nonResourceURLs",
                         "non-resource URL rules must begin with a '/' character, unlike", path);
        }
        if (star != NULL && star[1] != '\0') {
            return wrong(reader, "nonResourceURLs",
                         "non-resource URL wildcards '*' must be the final character of the rule, "
                         "unlike in",
                         path);
        }
    }
    return true;
}

static bool read_rule(const struct reader *reader, const json_t *object, struct rule *rule)
{
    static const char *const known[] = {
        "level",           "users",      "userGroups",        "verbs", "resources", "namespaces",
        "nonResourceURLs", "omitStages", "omitManagedFields", NULL};
    rule->resources = json_object_get(object, "resources");
    return (json_is_object(object) || wrong(reader, "level", "Required value", NULL)) &&
           knows_fields(reader, object, known) && take_level(reader, object, &rule->level) &&
           take_stages(reader, object, &rule->omitted_stages) &&
           take_boolean(reader, object, "omitManagedFields", &rule->omits_managed_fields) &&
           take_list(reader, object, "users", &rule->users) &&
           take_list(reader, object, "userGroups", &rule->groups) &&
           take_list(reader, object, "verbs", &rule->verbs) &&
           take_list(reader, object, "namespaces", &rule->namespaces) &&
           take_list(reader, object, "nonResourceURLs", &rule->paths) &&
           check_resources(reader, rule->resources) && check_paths(reader, rule);
}

static bool check_head(const struct reader *reader, const json_t *tree)
{
    static const char *const known[] = {"kind",       "apiVersion",        "metadata", "rules",
                                        "omitStages", "omitManagedFields", NULL};
    const char *kind = json_get_string(tree, "kind"),
               *version = json_get_string(tree, "apiVersion");
    if (kind == NULL || strcmp(kind, "Policy") != 0) {
        return wrong(reader, "kind", "must be Policy", NULL);
    }
    if (version == NULL || strcmp(version, "audit.k8s.io/v1") != 0) {
        return wrong(reader, "apiVersion", "must be audit.k8s.io/v1", NULL);
    }
    return knows_fields(reader, tree, known);
}

static bool read_rules(struct audit_policy *policy, struct error *error)
{
    const json_t *rules = json_object_get(policy->tree, "rules");
    const struct reader reader = {.place = "", .error = error};
    struct rule common = {0};
    if (!check_head(&reader, policy->tree) ||
        !take_stages(&reader, policy->tree, &common.omitted_stages) ||
        !take_boolean(&reader, policy->tree, "omitManagedFields", &common.omits_managed_fields)) {
        return false;
    }
    if (json_array_size(rules) == 0 || json_array_size(rules) > rules_max) {
        return wrong(&reader, "rules", "must be a list of one rule or more", NULL);
    }
    policy->rules = allocate_zero(json_array_size(rules), sizeof *policy->rules);
    for (size_t i = 0; i < json_array_size(rules); i++) {
        policy->rules[i] = common;
        cleanup(free_char)
        char *place = format("rules[%zu].", i);
        const struct reader inner = {.place = place, .error = error};
        if (!read_rule(&inner, json_array_get(rules, i), &policy->rules[i])) {
            return false;
        }
        policy->rule_count++;
    }
    return true;
}

struct audit_policy *audit_policy_parse(const char *text, size_t length, struct error *error)
{
    struct audit_policy *policy = allocate_struct(struct audit_policy);
    policy->tree = yaml_parse(text, length, NULL, NULL, error);
    if (policy->tree == NULL || !read_rules(policy, error)) {
        audit_policy_free(policy);
        return NULL;
    }
    return policy;
}

void audit_policy_free(struct audit_policy *policy)
{
    if (policy != NULL) {
        json_decref(policy->tree);
        free(policy->rules);
        free(policy);
    }
}

/* ---- matching ---- */

static bool is_any_or_has(const json_t *list, const char *text)
{
    return json_array_size(list) == 0 || json_array_has_string(list, text);
}

static bool has_group_of(const json_t *groups, const struct user *user)
{
    for (size_t i = 0; i < user->group_count; i++) {
        if (json_array_has_string(groups, user->groups[i])) {
            return true;
        }
    }
    return json_array_size(groups) == 0;
}

/* "pods", "pods/log", "*", a star before or after a slash. */
static bool names_resource(const char *pattern, const struct request_info *info)
{
    const char *slash = strchr(pattern, '/');
    if (strcmp(pattern, "*") == 0) {
        return true;
    }
    if (slash == NULL) {
        return info->subresource[0] == '\0' && strcmp(pattern, info->plural) == 0;
    }
    size_t length = (size_t)(slash - pattern);
    bool plural_fits = strlen(info->plural) == length && memcmp(pattern, info->plural, length) == 0;
    if (strcmp(slash + 1, "*") == 0 && plural_fits) {
        return true; /* As upstream, the object itself as well. */
    }
    return info->subresource[0] != '\0' && strcmp(slash + 1, info->subresource) == 0 &&
           (plural_fits || (length == 1 && pattern[0] == '*'));
}

static bool covers(const json_t *group_resources, const struct request_info *info)
{
    const char *group = json_get_string(group_resources, "group");
    const json_t *plurals = json_object_get(group_resources, "resources");
    if (strcmp(group ? group : "", info->group) != 0) {
        return false;
    }
    bool named = is_any_or_has(json_object_get(group_resources, "resourceNames"), info->name);
    for (size_t i = 0; named && i < json_array_size(plurals); i++) {
        if (names_resource(json_string_value(json_array_get(plurals, i)), info)) {
            return true;
        }
    }
    return json_array_size(plurals) == 0;
}

static bool matches_resource(const struct rule *rule, const struct request_info *info)
{
    if (!info->is_resource_request || !is_any_or_has(rule->namespaces, info->namespace)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(rule->resources); i++) {
        if (covers(json_array_get(rule->resources, i), info)) {
            return true;
        }
    }
    return json_array_size(rule->resources) == 0;
}

static bool matches_path(const struct rule *rule, const struct request *request)
{
    for (size_t i = 0; !request->info.is_resource_request && i < json_array_size(rule->paths);
         i++) {
        const char *path = json_string_value(json_array_get(rule->paths, i));
        size_t length = strlen(path);
        bool open = length > 0 && path[length - 1] == '*';
        if (open ? strncmp(path, request->path, length - 1) == 0
                 : strcmp(path, request->path) == 0) {
            return true;
        }
    }
    return false;
}

static bool matches(const struct rule *rule, const struct request *request)
{
    if (!is_any_or_has(rule->users, request->user.name) ||
        !has_group_of(rule->groups, &request->user) ||
        !is_any_or_has(rule->verbs, request->info.verb)) {
        return false;
    }
    if (json_array_size(rule->namespaces) > 0 || json_array_size(rule->resources) > 0) {
        return matches_resource(rule, &request->info);
    }
    return json_array_size(rule->paths) == 0 || matches_path(rule, request);
}

struct audit_choice audit_policy_choose(const struct audit_policy *policy,
                                        const struct request *request)
{
    for (size_t i = 0; i < policy->rule_count; i++) {
        const struct rule *rule = &policy->rules[i];
        if (matches(rule, request)) {
            return (struct audit_choice){rule->level, rule->omitted_stages,
                                         rule->omits_managed_fields};
        }
    }
    return (struct audit_choice){.level = AUDIT_NONE};
}

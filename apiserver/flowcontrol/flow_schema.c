// SPDX-License-Identifier: Apache-2.0
#include "apiserver/flowcontrol/flow_schema.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

enum subject_kind { SUBJECT_USER, SUBJECT_GROUP, SUBJECT_SERVICE_ACCOUNT };

struct subject {
    enum subject_kind kind;
    char *name;    /* Of the user or group; of an account the user's name … */
    bool any;      /* … or, where all of a namespace are meant, the beginning of it. */
    size_t length; /* Of that. */
};

struct strings {
    char **texts;
    size_t count;
    bool any; /* "*" is among them. */
};

struct resource_rule {
    struct strings verbs, groups, resources, namespaces;
    bool cluster_scope;
};

struct path_rule {
    struct strings verbs, paths;
};

struct flow_rule {
    struct subject *subjects;
    struct resource_rule *resources;
    struct path_rule *paths;
    size_t subject_count, resource_count, path_count;
};

/* ---- making ---- */

static struct strings strings_of(const json_t *array)
{
    struct strings strings = {.texts = allocate_zero(json_array_size(array) + 1, sizeof(char *))};
    size_t i;
    json_t *text;
    json_array_foreach (array, i, text) {
        const char *value = json_string_value(text);
        strings.texts[strings.count++] = duplicate(value ? value : "");
        strings.any |= value != NULL && strcmp(value, "*") == 0;
    }
    return strings;
}

static void strings_clear(struct strings *strings)
{
    for (size_t i = 0; i < strings->count; i++) {
        free(strings->texts[i]);
    }
    free(strings->texts);
}

static const char *text_or_empty(const char *text)
{
    return text ? text : "";
}

static struct subject subject_of(const json_t *json)
{
    const char *kind = text_or_empty(json_get_string(json, "kind"));
    struct subject subject = {.kind = SUBJECT_USER};
    if (strcmp(kind, "ServiceAccount") == 0) {
        const char *name = text_or_empty(json_path_string(json, "serviceAccount", "name"));
        subject.kind = SUBJECT_SERVICE_ACCOUNT;
        subject.any = strcmp(name, "*") == 0;
        subject.name = format("system:serviceaccount:%s:%s",
                              text_or_empty(json_path_string(json, "serviceAccount", "namespace")),
                              subject.any ? "" : name);
    } else {
        bool group = strcmp(kind, "Group") == 0;
        subject.kind = group ? SUBJECT_GROUP : SUBJECT_USER;
        subject.name =
            duplicate(text_or_empty(json_path_string(json, group ? "group" : "user", "name")));
        subject.any = strcmp(subject.name, "*") == 0;
    }
    subject.length = strlen(subject.name);
    return subject;
}

static struct flow_rule rule_of(const json_t *json)
{
    const json_t *subjects = json_object_get(json, "subjects");
    const json_t *resources = json_object_get(json, "resourceRules");
    const json_t *paths = json_object_get(json, "nonResourceRules");
    struct flow_rule rule = {
        .subjects = allocate_zero(json_array_size(subjects) + 1, sizeof *rule.subjects),
        .resources = allocate_zero(json_array_size(resources) + 1, sizeof *rule.resources),
        .paths = allocate_zero(json_array_size(paths) + 1, sizeof *rule.paths),
    };
    size_t i;
    json_t *one;
    json_array_foreach (subjects, i, one) {
        rule.subjects[rule.subject_count++] = subject_of(one);
    }
    json_array_foreach (resources, i, one) {
        rule.resources[rule.resource_count++] = (struct resource_rule){
            .verbs = strings_of(json_object_get(one, "verbs")),
            .groups = strings_of(json_object_get(one, "apiGroups")),
            .resources = strings_of(json_object_get(one, "resources")),
            .namespaces = strings_of(json_object_get(one, "namespaces")),
            .cluster_scope = json_get_bool(one, "clusterScope", false),
        };
    }
    json_array_foreach (paths, i, one) {
        rule.paths[rule.path_count++] = (struct path_rule){
            .verbs = strings_of(json_object_get(one, "verbs")),
            .paths = strings_of(json_object_get(one, "nonResourceURLs")),
        };
    }
    return rule;
}

static void rule_clear(struct flow_rule *rule)
{
    for (size_t i = 0; i < rule->subject_count; i++) {
        free(rule->subjects[i].name);
    }
    for (size_t i = 0; i < rule->resource_count; i++) {
        struct resource_rule *resource = &rule->resources[i];
        strings_clear(&resource->verbs);
        strings_clear(&resource->groups);
        strings_clear(&resource->resources);
        strings_clear(&resource->namespaces);
    }
    for (size_t i = 0; i < rule->path_count; i++) {
        strings_clear(&rule->paths[i].verbs);
        strings_clear(&rule->paths[i].paths);
    }
    free(rule->subjects);
    free(rule->resources);
    free(rule->paths);
}

struct flow_schema *flow_schema_new(const json_t *object)
{
    struct flow_schema *schema = allocate_struct(struct flow_schema);
    const json_t *spec = json_object_get(object, "spec");
    const json_t *rules = json_object_get(spec, "rules");
    const char *method = text_or_empty(json_path_string(spec, "distinguisherMethod", "type"));
    schema->name = duplicate(text_or_empty(json_path_string(object, "metadata", "name")));
    schema->level_name =
        duplicate(text_or_empty(json_path_string(spec, "priorityLevelConfiguration", "name")));
    snprintf(schema->uid, sizeof schema->uid, "%s",
             text_or_empty(json_path_string(object, "metadata", "uid")));
    schema->precedence = json_get_int(spec, "matchingPrecedence", 1000);
    schema->distinguisher = strcmp(method, "ByUser") == 0        ? FLOWS_BY_USER
                            : strcmp(method, "ByNamespace") == 0 ? FLOWS_BY_NAMESPACE
                                                                 : FLOWS_ALIKE;
    schema->rules = allocate_zero(json_array_size(rules) + 1, sizeof *schema->rules);
    size_t i;
    json_t *rule;
    json_array_foreach (rules, i, rule) {
        schema->rules[schema->rule_count++] = rule_of(rule);
    }
    return schema;
}

void flow_schema_free(struct flow_schema *schema)
{
    if (schema == NULL) {
        return;
    }
    for (size_t i = 0; i < schema->rule_count; i++) {
        rule_clear(&schema->rules[i]);
    }
    free(schema->rules);
    free(schema->name);
    free(schema->level_name);
    free(schema);
}

int flow_schema_order(const void *a, const void *b)
{
    const struct flow_schema *one = *(const struct flow_schema *const *)a;
    const struct flow_schema *other = *(const struct flow_schema *const *)b;
    if (one->precedence != other->precedence) {
        return one->precedence < other->precedence ? -1 : 1;
    }
    return strcmp(one->name, other->name);
}

/* ---- matching ---- */

static bool holds(const struct strings *strings, const char *text)
{
    if (strings->any) {
        return true;
    }
    for (size_t i = 0; i < strings->count; i++) {
        if (strcmp(strings->texts[i], text) == 0) {
            return true;
        }
    }
    return false;
}

static bool subject_matches(const struct subject *subject, const struct user *user)
{
    switch (subject->kind) {
    case SUBJECT_GROUP:
        return subject->any || user_in_group(user, subject->name);
    case SUBJECT_SERVICE_ACCOUNT:
        return subject->any ? strncmp(user->name, subject->name, subject->length) == 0
                            : strcmp(user->name, subject->name) == 0;
    default:
        return subject->any || strcmp(user->name, subject->name) == 0;
    }
}

/* "pods" or "pods/status". */
static bool resource_matches(const struct strings *resources, const struct request_info *info)
{
    if (info->subresource[0] == '\0' || resources->any) {
        return holds(resources, info->plural);
    }
    size_t length = strlen(info->plural);
    for (size_t i = 0; i < resources->count; i++) {
        const char *text = resources->texts[i];
        if (strncmp(text, info->plural, length) == 0 && text[length] == '/' &&
            strcmp(text + length + 1, info->subresource) == 0) {
            return true;
        }
    }
    return false;
}

static bool resource_rule_matches(const struct resource_rule *rule, const struct request_info *info)
{
    return holds(&rule->verbs, info->verb) && holds(&rule->groups, info->group) &&
           resource_matches(&rule->resources, info) &&
           (info->namespace[0] == '\0' ? rule->cluster_scope
                                       : holds(&rule->namespaces, info->namespace));
}

/* "/healthz", or all below "/healthz/" by "/healthz/" and a star. */
static bool path_matches(const struct strings *paths, const char *path)
{
    if (holds(paths, path)) {
        return true;
    }
    for (size_t i = 0; i < paths->count; i++) {
        size_t length = strlen(paths->texts[i]);
        if (length >= 2 && strcmp(paths->texts[i] + length - 2, "/*") == 0 &&
            strncmp(path, paths->texts[i], length - 1) == 0) {
            return true;
        }
    }
    return false;
}

static bool rule_matches(const struct flow_rule *rule, const struct request *request)
{
    bool subject = false;
    for (size_t i = 0; i < rule->subject_count && !subject; i++) {
        subject = subject_matches(&rule->subjects[i], &request->user);
    }
    const struct request_info *info = &request->info;
    for (size_t i = 0; subject && info->is_resource_request && i < rule->resource_count; i++) {
        if (resource_rule_matches(&rule->resources[i], info)) {
            return true;
        }
    }
    for (size_t i = 0; subject && !info->is_resource_request && i < rule->path_count; i++) {
        if (holds(&rule->paths[i].verbs, info->verb) &&
            path_matches(&rule->paths[i].paths, request->path)) {
            return true;
        }
    }
    return false;
}

bool flow_schema_matches(const struct flow_schema *schema, const struct request *request)
{
    for (size_t i = 0; i < schema->rule_count; i++) {
        if (rule_matches(&schema->rules[i], request)) {
            return true;
        }
    }
    return false;
}

const char *flow_distinguisher_of(enum flow_distinguisher distinguisher,
                                  const struct request *request)
{
    return distinguisher == FLOWS_BY_USER        ? request->user.name
           : distinguisher == FLOWS_BY_NAMESPACE ? request->info.namespace
                                                 : "";
}

// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/rbac_rule.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/map.h"

static const uint64_t any = UINT64_MAX;

/* ---- texts ---- */

static void texts_add(struct rbac_texts *texts, const char *text)
{
    texts->list = reallocate(texts->list, (texts->count + 1) * sizeof *texts->list);
    texts->list[texts->count++] = duplicate(text);
}

static void texts_take(struct rbac_texts *texts, const json_t *json)
{
    size_t count = json_array_size(json);
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(json, i));
        if (text != NULL) {
            texts_add(texts, text);
        }
    }
}

static void texts_copy(struct rbac_texts *texts, const struct rbac_texts *from)
{
    for (size_t i = 0; i < from->count; i++) {
        texts_add(texts, from->list[i]);
    }
}

static void texts_clear(struct rbac_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++) {
        free(texts->list[i]);
    }
    free(texts->list);
    *texts = (struct rbac_texts){0};
}

static bool texts_have(const struct rbac_texts *texts, const char *text)
{
    for (size_t i = 0; i < texts->count; i++) {
        if (strcmp(texts->list[i], text) == 0) {
            return true;
        }
    }
    return false;
}

static bool texts_equal(const struct rbac_texts *one, const struct rbac_texts *other)
{
    if (one->count != other->count) {
        return false;
    }
    for (size_t i = 0; i < one->count; i++) {
        if (strcmp(one->list[i], other->list[i]) != 0) {
            return false;
        }
    }
    return true;
}

/* ---- rules ---- */

static uint64_t bit_of(const char *text, size_t length)
{
    return UINT64_C(1) << (hash_bytes(text, length) & 63);
}

static uint64_t bits_of(const struct rbac_texts *texts)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < texts->count; i++) {
        const char *text = texts->list[i];
        bits |= strcmp(text, "*") == 0 ? any : bit_of(text, strlen(text));
    }
    return bits;
}

static void set_bits(struct rbac_rule *rule)
{
    rule->verb_bits = bits_of(&rule->verbs);
    rule->group_bits = bits_of(&rule->groups);
    rule->resource_bits = bits_of(&rule->resources);
}

static struct rbac_rule *add_empty(struct rbac_rules *rules)
{
    rules->list = grow(rules->list, rules->count, &rules->capacity, sizeof *rules->list);
    struct rbac_rule *rule = &rules->list[rules->count++];
    *rule = (struct rbac_rule){0};
    return rule;
}

void rbac_rules_compile(struct rbac_rules *rules, const json_t *json)
{
    size_t i;
    const json_t *one;
    json_array_foreach (json, i, one) {
        struct rbac_rule *rule = add_empty(rules);
        texts_take(&rule->verbs, json_object_get(one, "verbs"));
        texts_take(&rule->groups, json_object_get(one, "apiGroups"));
        texts_take(&rule->resources, json_object_get(one, "resources"));
        texts_take(&rule->names, json_object_get(one, "resourceNames"));
        texts_take(&rule->urls, json_object_get(one, "nonResourceURLs"));
        set_bits(rule);
    }
}

void rbac_rules_add(struct rbac_rules *rules, const struct rbac_rule *rule)
{
    struct rbac_rule *copy = add_empty(rules);
    texts_copy(&copy->verbs, &rule->verbs);
    texts_copy(&copy->groups, &rule->groups);
    texts_copy(&copy->resources, &rule->resources);
    texts_copy(&copy->names, &rule->names);
    texts_copy(&copy->urls, &rule->urls);
    set_bits(copy);
}

void rbac_rules_clear(struct rbac_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        struct rbac_rule *rule = &rules->list[i];
        texts_clear(&rule->verbs);
        texts_clear(&rule->groups);
        texts_clear(&rule->resources);
        texts_clear(&rule->names);
        texts_clear(&rule->urls);
    }
    free(rules->list);
    *rules = RBAC_RULES_INIT;
}

static void set_texts(json_t *json, const char *name, const struct rbac_texts *texts)
{
    if (texts->count == 0) {
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < texts->count; i++) {
        json_array_append_new(list, json_string(texts->list[i]));
    }
    json_object_set_new(json, name, list);
}

json_t *rbac_rule_json(const struct rbac_rule *rule)
{
    json_t *json = json_object();
    set_texts(json, "verbs", &rule->verbs);
    set_texts(json, "apiGroups", &rule->groups);
    set_texts(json, "resources", &rule->resources);
    set_texts(json, "resourceNames", &rule->names);
    set_texts(json, "nonResourceURLs", &rule->urls);
    return json;
}

/* ---- what a rule allows ---- */

/* "*" before the slash of a subresource. */
static bool is_any_with(const char *resource, const char *subresource)
{
    return resource[0] == '*' && resource[1] == '/' && strcmp(resource + 2, subresource) == 0;
}

void rbac_question_prepare(struct rbac_question *question)
{
    question->verb_bits = bit_of(question->verb, strlen(question->verb));
    if (question->path != NULL) {
        return;
    }
    question->group_bits = bit_of(question->group, strlen(question->group));
    question->resource_bits = bit_of(question->resource, strlen(question->resource));
    if (question->subresource[0] != '\0') {
        char with_any[64];
        int length = snprintf(with_any, sizeof with_any, "*/%s", question->subresource);
        question->resource_bits |=
            (size_t)length < sizeof with_any ? bit_of(with_any, (size_t)length) : any;
    }
}

static bool resource_matches(const struct rbac_rule *rule, const struct rbac_question *question)
{
    for (size_t i = 0; i < rule->resources.count; i++) {
        const char *resource = rule->resources.list[i];
        if (strcmp(resource, "*") == 0 || strcmp(resource, question->resource) == 0 ||
            (question->subresource[0] != '\0' && is_any_with(resource, question->subresource))) {
            return true;
        }
    }
    return false;
}

/* A rule's path covers another: the same, or what begins with it where it ends in stars. */
static bool url_covers(const char *url, const char *path)
{
    size_t length = strlen(url);
    if (strcmp(url, path) == 0) {
        return true;
    }
    if (length == 0 || url[length - 1] != '*') {
        return false;
    }
    while (length > 0 && url[length - 1] == '*') {
        length--;
    }
    return strncmp(url, path, length) == 0;
}

static bool any_url_covers(const struct rbac_texts *urls, const char *path)
{
    for (size_t i = 0; i < urls->count; i++) {
        if (url_covers(urls->list[i], path)) {
            return true;
        }
    }
    return false;
}

static bool has_or_any(const struct rbac_texts *texts, const char *text)
{
    return texts_have(texts, "*") || texts_have(texts, text);
}

bool rbac_rule_allows(const struct rbac_rule *rule, const struct rbac_question *question)
{
    if ((rule->verb_bits & question->verb_bits) == 0) {
        return false;
    }
    if (question->path != NULL) {
        return has_or_any(&rule->verbs, question->verb) &&
               any_url_covers(&rule->urls, question->path);
    }
    return (rule->group_bits & question->group_bits) != 0 &&
           (rule->resource_bits & question->resource_bits) != 0 &&
           has_or_any(&rule->verbs, question->verb) && has_or_any(&rule->groups, question->group) &&
           resource_matches(rule, question) &&
           (rule->names.count == 0 || texts_have(&rule->names, question->name));
}

/* ---- what rules cover ---- */

enum {
    grains_max = 100000, /* Of one question; who asks for more is not taken at his word. */
    missing_max = 4096,  /* More is not told. */
};

/* One verb on one resource or path. 'resource' and 'url' exclude each other. */
struct grain {
    const char *verb, *group, *resource, *name, *url;
};

static bool resource_covers(const struct rbac_texts *resources, const char *resource)
{
    const char *slash = strchr(resource, '/');
    if (has_or_any(resources, resource)) {
        return true;
    }
    for (size_t i = 0; slash != NULL && i < resources->count; i++) {
        if (is_any_with(resources->list[i], slash + 1)) {
            return true;
        }
    }
    return false;
}

static bool rule_covers(const struct rbac_rule *rule, const struct grain *grain)
{
    if (!has_or_any(&rule->verbs, grain->verb)) {
        return false;
    }
    if (grain->resource == NULL) {
        return any_url_covers(&rule->urls, grain->url) && rule->names.count == 0;
    }
    return has_or_any(&rule->groups, grain->group) &&
           resource_covers(&rule->resources, grain->resource) &&
           (rule->names.count == 0 ||
            (grain->name != NULL && texts_have(&rule->names, grain->name)));
}

/* The whole of a rule is within one other. */
static bool rule_covers_rule(const struct rbac_rule *owner, const struct rbac_rule *rule)
{
    bool covered = owner->names.count == 0;
    for (size_t i = 0; covered && i < rule->verbs.count; i++) {
        covered = has_or_any(&owner->verbs, rule->verbs.list[i]);
    }
    for (size_t i = 0; covered && i < rule->groups.count; i++) {
        covered = has_or_any(&owner->groups, rule->groups.list[i]);
    }
    for (size_t i = 0; covered && i < rule->resources.count; i++) {
        covered = resource_covers(&owner->resources, rule->resources.list[i]);
    }
    for (size_t i = 0; covered && i < rule->urls.count; i++) {
        covered = any_url_covers(&owner->urls, rule->urls.list[i]);
    }
    return covered;
}

static bool check_grain(const struct rbac_rules *owner, const struct grain *grain,
                        struct rbac_rules *missing)
{
    for (size_t i = 0; i < owner->count; i++) {
        if (rule_covers(&owner->list[i], grain)) {
            return true;
        }
    }
    if (missing == NULL || missing->count >= missing_max) {
        return false;
    }
    struct rbac_rule *rule = add_empty(missing);
    texts_add(&rule->verbs, grain->verb);
    if (grain->url != NULL) {
        texts_add(&rule->urls, grain->url);
    } else {
        texts_add(&rule->groups, grain->group);
        texts_add(&rule->resources, grain->resource);
        if (grain->name != NULL) {
            texts_add(&rule->names, grain->name);
        }
    }
    set_bits(rule);
    return false;
}

static bool check_resource(const struct rbac_rules *owner, const struct rbac_rule *rule,
                           struct grain grain, struct rbac_rules *missing)
{
    bool covered = true;
    for (size_t verb = 0; verb < rule->verbs.count; verb++) {
        grain.verb = rule->verbs.list[verb];
        for (size_t name = 0; name < rule->names.count || name == 0; name++) {
            grain.name = rule->names.count > 0 ? rule->names.list[name] : NULL;
            covered = check_grain(owner, &grain, missing) && covered;
        }
    }
    return covered;
}

static bool check_rule(const struct rbac_rules *owner, const struct rbac_rule *rule,
                       struct rbac_rules *missing)
{
    bool covered = true;
    for (size_t group = 0; group < rule->groups.count; group++) {
        for (size_t i = 0; i < rule->resources.count; i++) {
            struct grain grain = {.group = rule->groups.list[group],
                                  .resource = rule->resources.list[i]};
            covered = check_resource(owner, rule, grain, missing) && covered;
        }
    }
    for (size_t url = 0; url < rule->urls.count; url++) {
        for (size_t verb = 0; verb < rule->verbs.count; verb++) {
            struct grain grain = {.url = rule->urls.list[url], .verb = rule->verbs.list[verb]};
            covered = check_grain(owner, &grain, missing) && covered;
        }
    }
    return covered;
}

static bool any_covers_rule(const struct rbac_rules *owner, const struct rbac_rule *rule)
{
    for (size_t i = 0; i < owner->count; i++) {
        if (rule_covers_rule(&owner->list[i], rule)) {
            return true;
        }
    }
    return false;
}

static size_t count_grains(const struct rbac_rule *rule)
{
    size_t names = rule->names.count > 0 ? rule->names.count : 1;
    return rule->verbs.count *
           (rule->groups.count * rule->resources.count * names + rule->urls.count);
}

bool rbac_rules_cover(const struct rbac_rules *owner, const struct rbac_rules *wanted,
                      struct rbac_rules *missing)
{
    bool covered = true;
    size_t left = grains_max;
    for (size_t i = 0; i < wanted->count; i++) {
        const struct rbac_rule *rule = &wanted->list[i];
        size_t grains = count_grains(rule);
        if (any_covers_rule(owner, rule)) {
            continue;
        }
        if (grains > left) {
            covered = false;
            if (missing != NULL && missing->count < missing_max) {
                rbac_rules_add(missing, rule);
            }
            continue;
        }
        left -= grains;
        covered = check_rule(owner, rule, missing) && covered;
    }
    return covered;
}

/* ---- in words ---- */

/* One group, one resource, at most one name and no path. */
static bool is_simple(const struct rbac_rule *rule)
{
    return rule->groups.count == 1 && rule->resources.count == 1 && rule->names.count <= 1 &&
           rule->urls.count == 0;
}

/* The same rules, those that differ in their verbs alone put together. */
static void compact(const struct rbac_rules *rules, struct rbac_rules *out)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct rbac_rule *rule = &rules->list[i];
        struct rbac_rule *same = NULL;
        for (size_t k = 0; is_simple(rule) && k < out->count && same == NULL; k++) {
            struct rbac_rule *other = &out->list[k];
            if (is_simple(other) && texts_equal(&rule->groups, &other->groups) &&
                texts_equal(&rule->resources, &other->resources) &&
                texts_equal(&rule->names, &other->names)) {
                same = other;
            }
        }
        if (same == NULL) {
            rbac_rules_add(out, rule);
            continue;
        }
        for (size_t verb = 0; verb < rule->verbs.count; verb++) {
            if (!texts_have(&same->verbs, rule->verbs.list[verb])) {
                texts_add(&same->verbs, rule->verbs.list[verb]);
            }
        }
    }
}

static void describe_texts(const char *name, const struct rbac_texts *texts, struct buffer *out)
{
    if (texts->count == 0) {
        return;
    }
    buffer_addf(out, "%s%s:[", out->length > 1 ? ", " : "", name);
    for (size_t i = 0; i < texts->count; i++) {
        buffer_add_text(out, i > 0 ? " " : "");
        buffer_add_quoted(out, texts->list[i]);
    }
    buffer_add_char(out, ']');
}

static char *describe(const struct rbac_rule *rule)
{
    struct buffer out = BUFFER_INIT;
    buffer_add_char(&out, '{');
    describe_texts("APIGroups", &rule->groups, &out);
    describe_texts("Resources", &rule->resources, &out);
    describe_texts("NonResourceURLs", &rule->urls, &out);
    describe_texts("ResourceNames", &rule->names, &out);
    describe_texts("Verbs", &rule->verbs, &out);
    buffer_add_char(&out, '}');
    return buffer_steal(&out);
}

static int compare_texts(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

void rbac_rules_describe(const struct rbac_rules *rules, struct buffer *out)
{
    cleanup(rbac_rules_clear)
    struct rbac_rules compacted = RBAC_RULES_INIT;
    compact(rules, &compacted);
    char **lines = allocate_zero(compacted.count + 1, sizeof *lines);
    for (size_t i = 0; i < compacted.count; i++) {
        lines[i] = describe(&compacted.list[i]);
    }
    qsort(lines, compacted.count, sizeof *lines, compare_texts);
    const char *last = NULL;
    for (size_t i = 0; i < compacted.count; i++) {
        if (last == NULL || strcmp(last, lines[i]) != 0) {
            buffer_addf(out, "%s%s", last != NULL ? "\n" : "", lines[i]);
        }
        last = lines[i];
    }
    for (size_t i = 0; i < compacted.count; i++) {
        free(lines[i]);
    }
    free(lines);
}

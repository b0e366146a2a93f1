// SPDX-License-Identifier: Apache-2.0
#include "common/selector.h"

#include <ctype.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

enum operation { IN, NOT_IN, EXISTS, NOT_EXISTS, GREATER, LESS };

struct requirement {
    char *key;
    enum operation operation;
    char **values;
    size_t count, capacity;
};

struct selector {
    struct requirement *list;
    size_t count, capacity;
    bool nothing; /* Matches no object at all. */
};

/* ---- building ---- */

static struct selector *selector_new(void)
{
    return allocate_struct(struct selector);
}

static struct requirement *add(struct selector *selector, char *key, enum operation operation)
{
    selector->list =
        grow(selector->list, selector->count, &selector->capacity, sizeof *selector->list);
    struct requirement *requirement = &selector->list[selector->count++];
    *requirement = (struct requirement){.key = key, .operation = operation};
    return requirement;
}

static void add_value(struct requirement *requirement, char *value)
{
    requirement->values =
        grow(requirement->values, requirement->count, &requirement->capacity, sizeof(char *));
    requirement->values[requirement->count++] = value;
}

void selector_free(struct selector *selector)
{
    if (selector == NULL) {
        return;
    }
    for (size_t i = 0; i < selector->count; i++) {
        for (size_t at = 0; at < selector->list[i].count; at++) {
            free(selector->list[i].values[at]);
        }
        free(selector->list[i].values);
        free(selector->list[i].key);
    }
    free(selector->list);
    free(selector);
}

/* ---- label selectors ---- */

struct parser {
    const char *at;
    const char *text;
    struct error *error;
};

static bool fail(const struct parser *parser, const char *found, const char *expected)
{
    return error_bad_request(parser->error, "unable to parse requirement: found '%s', expected: %s",
                             found, expected);
}

static void skip_space(struct parser *parser)
{
    while (isspace((unsigned char)*parser->at)) {
        parser->at++;
    }
}

static bool is_special(char c)
{
    return c == '\0' || strchr("=!(),><", c) != NULL || isspace((unsigned char)c);
}

/* The next word, "" when a special character stands there. The caller's. */
static char *take_word(struct parser *parser)
{
    skip_space(parser);
    const char *start = parser->at;
    while (!is_special(*parser->at)) {
        parser->at++;
    }
    return duplicate_bytes(start, (size_t)(parser->at - start));
}

static bool take_char(struct parser *parser, char c)
{
    skip_space(parser);
    if (*parser->at != c) {
        return false;
    }
    parser->at++;
    return true;
}

static bool check_key(const struct parser *parser, const char *key)
{
    cleanup(free_char)
    char *message = names_check_qualified(key);
    return message == NULL ||
           error_bad_request(parser->error,
                             "unable to parse requirement: <nil>: Invalid value: "
                             "\"%s\": %s",
                             key, message);
}

static bool check_value(const struct parser *parser, const char *key, const char *value)
{
    const char *message = names_check_label_value(value);
    return message == NULL ||
           error_bad_request(
               parser->error,
               "unable to parse requirement: values[0][%s]: Invalid value: \"%s\": %s", key, value,
               message);
}

/* "(a,b,c)" */
static bool take_set(struct parser *parser, struct requirement *requirement)
{
    if (!take_char(parser, '(')) {
        char found[2] = {*parser->at, 0};
        return fail(parser, found, "'('");
    }
    do {
        char *value = take_word(parser);
        add_value(requirement, value);
        if (!check_value(parser, requirement->key, value)) {
            return false;
        }
    } while (take_char(parser, ','));
    char found[2] = {*parser->at, 0};
    return take_char(parser, ')') || fail(parser, found, "',', or ')'");
}

static bool take_single(struct parser *parser, struct requirement *requirement)
{
    char *value = take_word(parser);
    add_value(requirement, value);
    bool numeric = requirement->operation == GREATER || requirement->operation == LESS;
    char *end;
    strtoll(value, &end, 10);
    if (numeric && (value[0] == '\0' || *end != '\0')) {
        return error_bad_request(
            parser->error,
            "unable to parse requirement: values[0][%s]: Invalid value: \"%s\": "
            "for 'Gt', 'Lt' operators, the value must be an integer",
            requirement->key, value);
    }
    return check_value(parser, requirement->key, value);
}

static bool take_operation(struct parser *parser, struct selector *selector, char *key)
{
    skip_space(parser);
    if (*parser->at == '\0' || *parser->at == ',') {
        add(selector, key, EXISTS);
        return true;
    }
    if (take_char(parser, '!')) {
        struct requirement *requirement = add(selector, key, NOT_IN);
        char found[2] = {*parser->at, 0};
        return *parser->at == '=' ? (parser->at++, take_single(parser, requirement))
                                  : fail(parser, found, "'='");
    }
    if (take_char(parser, '=')) {
        parser->at += *parser->at == '=';
        return take_single(parser, add(selector, key, IN));
    }
    if (*parser->at == '>' || *parser->at == '<') {
        enum operation operation = *parser->at++ == '>' ? GREATER : LESS;
        return take_single(parser, add(selector, key, operation));
    }
    cleanup(free_char)
    char *word = take_word(parser);
    bool in = strcmp(word, "in") == 0;
    struct requirement *requirement = add(selector, key, in ? IN : NOT_IN);
    if (!in && strcmp(word, "notin") != 0) {
        return fail(parser, word, "in, notin, =, ==, !=, gt, lt");
    }
    return take_set(parser, requirement);
}

static bool take_requirement(struct parser *parser, struct selector *selector)
{
    bool absent = take_char(parser, '!');
    char *key = take_word(parser);
    if (key[0] == '\0') {
        char found[2] = {*parser->at, 0};
        free(key);
        return fail(parser, found, absent ? "identifier" : "!, identifier, or 'end of string'");
    }
    if (!check_key(parser, key)) {
        free(key);
        return false;
    }
    if (absent) {
        add(selector, key, NOT_EXISTS);
        return true;
    }
    return take_operation(parser, selector, key);
}

struct selector *selector_parse_labels(const char *text, struct error *error)
{
    struct parser parser = {text, text, error};
    struct selector *selector = selector_new();
    skip_space(&parser);
    bool good = true;
    while (good && *parser.at != '\0') {
        good = take_requirement(&parser, selector);
        skip_space(&parser);
        if (good && *parser.at == ',') {
            parser.at++;
            skip_space(&parser);
            good = *parser.at != '\0' || fail(&parser, "", "identifier after ','");
        } else if (good && *parser.at != '\0') {
            char found[2] = {*parser.at, 0};
            good = fail(&parser, found, "',' or 'end of string'");
        }
    }
    if (!good) {
        selector_free(selector);
        return NULL;
    }
    return selector;
}

/* ---- field selectors ---- */

/* The text up to one of 'stops', with backslash escapes resolved. The caller's. */
static char *take_escaped(const char **at, const char *stops)
{
    struct buffer text = BUFFER_INIT;
    while (**at != '\0' && strchr(stops, **at) == NULL) {
        if (**at == '\\' && (*at)[1] != '\0') {
            (*at)++;
        }
        buffer_add_char(&text, *(*at)++);
    }
    return buffer_steal(&text);
}

struct selector *selector_parse_fields(const char *text, struct error *error)
{
    struct selector *selector = selector_new();
    const char *at = text;
    while (*at != '\0') {
        if (*at == ',') {
            at++;
            continue;
        }
        char *key = take_escaped(&at, "=!,");
        bool not_equal = at[0] == '!' && at[1] == '=';
        bool equal = at[0] == '=';
        if (!not_equal && !equal) {
            error_bad_request(error, "invalid selector: '%s'; can't understand '%s'", text, key);
            free(key);
            selector_free(selector);
            return NULL;
        }
        at += not_equal ? 2 : at[1] == '=' ? 2 : 1;
        add_value(add(selector, key, not_equal ? NOT_IN : IN), take_escaped(&at, ","));
    }
    return selector;
}

/* ---- from objects ---- */

struct selector *selector_from_map(const json_t *labels)
{
    struct selector *selector = selector_new();
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)labels, key, value) {
        const char *text = json_string_value(value);
        add_value(add(selector, duplicate(key), IN), duplicate(text ? text : ""));
    }
    return selector;
}

static bool add_expression(struct selector *selector, const json_t *expression, struct error *error)
{
    static const struct {
        const char *name;
        enum operation operation;
    } operators[] = {
        {"In", IN}, {"NotIn", NOT_IN}, {"Exists", EXISTS}, {"DoesNotExist", NOT_EXISTS}};
    const char *key = json_get_string(expression, "key");
    const char *name = json_get_string(expression, "operator");
    const json_t *values = json_object_get(expression, "values");
    for (size_t i = 0; name != NULL && key != NULL && i < array_length(operators); i++) {
        if (strcmp(operators[i].name, name) != 0) {
            continue;
        }
        struct requirement *requirement = add(selector, duplicate(key), operators[i].operation);
        for (size_t at = 0; at < json_array_size(values); at++) {
            const char *value = json_string_value(json_array_get(values, at));
            add_value(requirement, duplicate(value ? value : ""));
        }
        return true;
    }
    return error_bad_request(error, "\"%s\" is not a valid label selector operator",
                             name ? name : "");
}

struct selector *selector_from_object(const json_t *label_selector, struct error *error)
{
    struct selector *selector = selector_from_map(json_object_get(label_selector, "matchLabels"));
    const json_t *expressions = json_object_get(label_selector, "matchExpressions");
    selector->nothing = !json_is_object(label_selector);
    for (size_t i = 0; i < json_array_size(expressions); i++) {
        if (!add_expression(selector, json_array_get(expressions, i), error)) {
            selector_free(selector);
            return NULL;
        }
    }
    return selector;
}

/* ---- matching ---- */

static bool has_value(const struct requirement *requirement, const char *value, size_t length)
{
    for (size_t i = 0; i < requirement->count; i++) {
        if (strlen(requirement->values[i]) == length &&
            memcmp(requirement->values[i], value, length) == 0) {
            return true;
        }
    }
    return false;
}

static bool compare_number(const struct requirement *requirement, const char *value, size_t length)
{
    cleanup(free_char)
    char *text = duplicate_bytes(value, length);
    char *end;
    long long number = strtoll(text, &end, 10);
    if (length == 0 || *end != '\0') {
        return false;
    }
    long long bound = strtoll(requirement->values[0], NULL, 10);
    return requirement->operation == GREATER ? number > bound : number < bound;
}

static bool requirement_matches(const struct requirement *requirement, selector_lookup lookup,
                                const void *argument)
{
    size_t length = 0;
    const char *value = lookup(argument, requirement->key, &length);
    switch (requirement->operation) {
    case IN:
        return value != NULL && has_value(requirement, value, length);
    case NOT_IN:
        return value == NULL || !has_value(requirement, value, length);
    case EXISTS:
        return value != NULL;
    case NOT_EXISTS:
        return value == NULL;
    case GREATER:
    case LESS:
        return value != NULL && compare_number(requirement, value, length);
    }
    return false;
}

bool selector_is_everything(const struct selector *selector)
{
    return selector->count == 0 && !selector->nothing;
}

bool selector_matches(const struct selector *selector, selector_lookup lookup, const void *argument)
{
    if (selector->nothing) {
        return false;
    }
    for (size_t i = 0; i < selector->count; i++) {
        if (!requirement_matches(&selector->list[i], lookup, argument)) {
            return false;
        }
    }
    return true;
}

static const char *lookup_member(const void *argument, const char *key, size_t *length)
{
    const json_t *value = json_object_get(argument, key);
    *length = json_string_length(value);
    return json_string_value(value);
}

bool selector_matches_object(const struct selector *selector, const json_t *labels)
{
    return selector_matches(selector, lookup_member, labels);
}

size_t selector_key_count(const struct selector *selector)
{
    return selector->count;
}

const char *selector_key(const struct selector *selector, size_t index)
{
    return selector->list[index].key;
}

const char *selector_required_value(const struct selector *selector, const char *key)
{
    for (size_t i = 0; i < selector->count; i++) {
        const struct requirement *requirement = &selector->list[i];
        if (requirement->operation == IN && requirement->count == 1 &&
            strcmp(requirement->key, key) == 0) {
            return requirement->values[0];
        }
    }
    return NULL;
}

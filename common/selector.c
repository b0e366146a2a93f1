// SPDX-License-Identifier: Apache-2.0
#include "common/selector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

enum operation {
    OPERATION_IN, /* Also = and ==, with one value. */
    OPERATION_NOT_IN,
    OPERATION_EXISTS,
    OPERATION_DOES_NOT_EXIST,
    OPERATION_GREATER,
    OPERATION_LESS,
};

struct requirement {
    char *key;
    char **values; /* Sorted, each once. */
    size_t value_count, value_capacity;
    enum operation operation;
    int64_t number; /* Of OPERATION_GREATER and OPERATION_LESS. */
};

struct selector {
    struct requirement *requirements; /* Sorted by key. */
    size_t count, capacity;
    bool is_nothing;      /* Matches no set at all. */
    bool absent_is_empty; /* Of fields: an absent one reads as "". */
};

/* ---- building ---- */

static void requirement_clear(struct requirement *requirement)
{
    for (size_t i = 0; i < requirement->value_count; i++) {
        free(requirement->values[i]);
    }
    free(requirement->values);
    free(requirement->key);
    *requirement = (struct requirement){0};
}

void selector_free(struct selector *selector)
{
    if (selector == NULL) {
        return;
    }
    for (size_t i = 0; i < selector->count; i++) {
        requirement_clear(&selector->requirements[i]);
    }
    free(selector->requirements);
    free(selector);
}

static void selector_cleanup(struct selector **selector)
{
    selector_free(*selector);
}

/* Puts the value at its place in the sorted list, unless it is there. */
static void add_value(struct requirement *requirement, const char *value, size_t length)
{
    cleanup(free_char)
    char *copy = duplicate_bytes(value, length);
    size_t low = 0, high = requirement->value_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(requirement->values[middle], copy);
        if (order == 0) {
            return;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    requirement->values = grow(requirement->values, requirement->value_count,
                               &requirement->value_capacity, sizeof *requirement->values);
    memmove(requirement->values + low + 1, requirement->values + low,
            (requirement->value_count - low) * sizeof *requirement->values);
    requirement->values[low] = steal(copy);
    requirement->value_count++;
}

/* Takes over the requirement, keeping the order by key. */
static void add_requirement(struct selector *selector, struct requirement *requirement)
{
    selector->requirements = grow(selector->requirements, selector->count, &selector->capacity,
                                  sizeof *selector->requirements);
    size_t at = selector->count++;
    for (; at > 0 && strcmp(selector->requirements[at - 1].key, requirement->key) > 0; at--) {
        selector->requirements[at] = selector->requirements[at - 1];
    }
    selector->requirements[at] = *requirement;
    *requirement = (struct requirement){0};
}

/* As strconv.ParseInt(text, 10, 64). */
static bool parse_integer(const char *text, size_t length, int64_t *number)
{
    char digits[24];
    char *end;
    size_t sign = length > 0 && (text[0] == '-' || text[0] == '+') ? 1 : 0;
    if (length == sign || length >= sizeof digits ||
        strspn(text + sign, "0123456789") < length - sign) {
        return false;
    }
    memcpy(digits, text, length);
    digits[length] = '\0';
    errno = 0;
    *number = strtoll(digits, &end, 10);
    return errno == 0;
}

/* ---- label selectors: tokens ---- */

enum token {
    TOKEN_ERROR,
    TOKEN_END,
    TOKEN_CLOSE,
    TOKEN_COMMA,
    TOKEN_NOT,
    TOKEN_EQUALS, /* = or == */
    TOKEN_GREATER,
    TOKEN_IDENTIFIER,
    TOKEN_IN,
    TOKEN_LESS,
    TOKEN_NOT_EQUALS,
    TOKEN_NOT_IN,
    TOKEN_OPEN,
};

struct lexer {
    const char *at;
    enum token token; /* The present one … */
    const char *text; /* … and its text. */
    size_t length;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static const struct operator_token {
    const char *text;
    enum token token;
} operator_tokens[] = {
    /* Longer ones first. */
    {"==", TOKEN_EQUALS}, {"!=", TOKEN_NOT_EQUALS}, {"=", TOKEN_EQUALS},
    {"!", TOKEN_NOT},     {">", TOKEN_GREATER},     {"<", TOKEN_LESS},
    {"(", TOKEN_OPEN},    {")", TOKEN_CLOSE},       {",", TOKEN_COMMA},
};

static bool read_operator(struct lexer *lexer)
{
    for (size_t i = 0; i < array_length(operator_tokens); i++) {
        size_t length = strlen(operator_tokens[i].text);
        if (strncmp(lexer->at, operator_tokens[i].text, length) == 0) {
            lexer->token = operator_tokens[i].token;
            lexer->length = length;
            lexer->at += length;
            return true;
        }
    }
    return false;
}

static void next_token(struct lexer *lexer)
{
    while (is_space(*lexer->at)) {
        lexer->at++;
    }
    lexer->text = lexer->at;
    lexer->length = 0;
    if (*lexer->at == '\0') {
        lexer->token = TOKEN_END;
        return;
    }
    if (read_operator(lexer)) {
        return;
    }
    lexer->length = strcspn(lexer->at, "=!(),>< \t\r\n");
    lexer->at += lexer->length;
    lexer->token = lexer->length == 2 && strncmp(lexer->text, "in", 2) == 0      ? TOKEN_IN
                   : lexer->length == 5 && strncmp(lexer->text, "notin", 5) == 0 ? TOKEN_NOT_IN
                                                                                 : TOKEN_IDENTIFIER;
}

/* In the place of a key or value, "in" and "notin" are words like others. */
static bool at_word(const struct lexer *lexer)
{
    return lexer->token == TOKEN_IDENTIFIER || lexer->token == TOKEN_IN ||
           lexer->token == TOKEN_NOT_IN;
}

static bool unexpected(const struct lexer *lexer, const char *expected, struct error *error)
{
    return error_bad_request(error, "found '%.*s', expected: %s", (int)lexer->length, lexer->text,
                             expected);
}

/* ---- label selectors: grammar ---- */

static bool invalid(struct error *error, const char *path, const char *value, const char *detail)
{
    cleanup(json_release)
    json_t *string = json_string(value);
    cleanup(free_char)
    char *quoted = json_text(string);
    return error_bad_request(error, "%s: Invalid value: %s: %s", path, quoted, detail);
}

static bool check_values(struct requirement *requirement, struct error *error)
{
    for (size_t i = 0; i < requirement->value_count; i++) {
        const char *value = requirement->values[i];
        bool compares =
            requirement->operation == OPERATION_GREATER || requirement->operation == OPERATION_LESS;
        if (compares && !parse_integer(value, strlen(value), &requirement->number)) {
            cleanup(free_char)
            char *path = format("values[%zu]", i);
            return invalid(error, path, value,
                           "for 'Gt', 'Lt' operators, the value must be an integer");
        }
        const char *wrong = names_check_label_value(value);
        if (wrong != NULL) {
            cleanup(free_char)
            char *path = format("values[%zu][%s]", i, requirement->key);
            return invalid(error, path, value, wrong);
        }
    }
    return true;
}

static bool read_key(struct lexer *lexer, struct requirement *requirement, struct error *error)
{
    bool negated = lexer->token == TOKEN_NOT;
    if (negated) {
        next_token(lexer);
    }
    if (!at_word(lexer)) {
        return unexpected(lexer, "identifier", error);
    }
    requirement->key = duplicate_bytes(lexer->text, lexer->length);
    requirement->operation = negated ? OPERATION_DOES_NOT_EXIST : OPERATION_EXISTS;
    next_token(lexer);
    cleanup(free_char)
    char *wrong = names_check_qualified(requirement->key);
    return wrong == NULL || invalid(error, "<nil>", requirement->key, wrong);
}

static bool read_operation(struct lexer *lexer, struct requirement *requirement,
                           struct error *error)
{
    static const struct {
        enum token token;
        enum operation operation;
    } operations[] = {
        {TOKEN_IN, OPERATION_IN},           {TOKEN_EQUALS, OPERATION_IN},
        {TOKEN_GREATER, OPERATION_GREATER}, {TOKEN_LESS, OPERATION_LESS},
        {TOKEN_NOT_IN, OPERATION_NOT_IN},   {TOKEN_NOT_EQUALS, OPERATION_NOT_IN},
    };
    for (size_t i = 0; i < array_length(operations); i++) {
        if (operations[i].token == lexer->token) {
            requirement->operation = operations[i].operation;
            next_token(lexer);
            return true;
        }
    }
    return unexpected(lexer, "in, notin, =, ==, !=, gt, lt", error);
}

/* The words between '(' and ')'; between two commas stands the empty word. */
static bool read_value_list(struct lexer *lexer, struct requirement *requirement,
                            struct error *error)
{
    while (true) {
        if (at_word(lexer)) {
            add_value(requirement, lexer->text, lexer->length);
            next_token(lexer);
        } else if (lexer->token == TOKEN_COMMA || lexer->token == TOKEN_CLOSE) {
            add_value(requirement, "", 0);
        } else {
            return unexpected(lexer, "',', ')' or identifier", error);
        }
        if (lexer->token == TOKEN_CLOSE) {
            next_token(lexer);
            return true;
        }
        if (lexer->token != TOKEN_COMMA) {
            return unexpected(lexer, "',' or ')'", error);
        }
        next_token(lexer);
    }
}

static bool read_values(struct lexer *lexer, enum token operator_token,
                        struct requirement *requirement, struct error *error)
{
    if (operator_token == TOKEN_IN || operator_token == TOKEN_NOT_IN) {
        if (lexer->token != TOKEN_OPEN) {
            return error_bad_request(error, "found '%.*s' expected: '('", (int)lexer->length,
                                     lexer->text);
        }
        next_token(lexer);
        return read_value_list(lexer, requirement, error);
    }
    if (lexer->token == TOKEN_END || lexer->token == TOKEN_COMMA) {
        add_value(requirement, "", 0);
        return true;
    }
    if (!at_word(lexer)) {
        return unexpected(lexer, "identifier", error);
    }
    add_value(requirement, lexer->text, lexer->length);
    next_token(lexer);
    return true;
}

static bool read_requirement(struct lexer *lexer, struct requirement *requirement,
                             struct error *error)
{
    if (!read_key(lexer, requirement, error)) {
        return false;
    }
    if (lexer->token == TOKEN_END || lexer->token == TOKEN_COMMA) {
        return true; /* "key" or "!key" */
    }
    enum token operator_token = lexer->token;
    return read_operation(lexer, requirement, error) &&
           read_values(lexer, operator_token, requirement, error) &&
           check_values(requirement, error);
}

static bool read_requirements(struct lexer *lexer, struct selector *selector, struct error *error)
{
    if (lexer->token == TOKEN_END) {
        return true;
    }
    if (!at_word(lexer) && lexer->token != TOKEN_NOT) {
        return unexpected(lexer, "!, identifier, or 'end of string'", error);
    }
    while (true) {
        cleanup(requirement_clear)
        struct requirement requirement = {0};
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        if (!read_requirement(lexer, &requirement, &why)) {
            return error_wrap(error, &why, "unable to parse requirement");
        }
        add_requirement(selector, &requirement);
        if (lexer->token == TOKEN_END) {
            return true;
        }
        if (lexer->token != TOKEN_COMMA) {
            return unexpected(lexer, "',' or 'end of string'", error);
        }
        next_token(lexer);
        if (!at_word(lexer) && lexer->token != TOKEN_NOT) {
            return unexpected(lexer, "identifier after ','", error);
        }
    }
}

struct selector *selector_parse_labels(const char *text, struct error *error)
{
    struct lexer lexer = {.at = text};
    cleanup(selector_cleanup)
    struct selector *selector = allocate_struct(struct selector);
    next_token(&lexer);
    return read_requirements(&lexer, selector, error) ? steal(selector) : NULL;
}

/* ---- field selectors ---- */

/* The term that begins here ends before the next comma without a backslash. */
static size_t term_length(const char *text)
{
    size_t length = 0;
    while (text[length] != '\0' && text[length] != ',') {
        length += text[length] == '\\' && text[length + 1] != '\0' ? 2 : 1;
    }
    return length;
}

/* Takes "\,", "\=" and "\\" for what they mean. NULL when something else is escaped or one of
 * them is not. The caller's. */
static char *unescape(const char *text, size_t length, struct error *error)
{
    cleanup(buffer_free)
    struct buffer plain = BUFFER_INIT;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == ',' || c == '=') {
            error_bad_request(error, "invalid field selector: unescaped character in value: %d", c);
            return NULL;
        }
        if (c == '\\') {
            c = i + 1 < length ? text[++i] : '\0';
            if (c != ',' && c != '=' && c != '\\') {
                error_bad_request(error, "invalid field selector: invalid escape sequence: %.2s",
                                  (const char[3]){'\\', c, '\0'});
                return NULL;
            }
        }
        buffer_add_char(&plain, c);
    }
    return buffer_steal(&plain);
}

/* Where the first operator of the term stands; NULL when there is none. */
static const char *find_operator(const char *term, size_t length, enum operation *operation,
                                 size_t *operator_length)
{
    for (size_t i = 0; i < length; i++) {
        bool twice = i + 1 < length && term[i + 1] == '=';
        if (term[i] == '=' || (term[i] == '!' && twice)) {
            *operation = term[i] == '!' ? OPERATION_NOT_IN : OPERATION_IN;
            *operator_length = twice ? 2 : 1;
            return term + i;
        }
    }
    return NULL;
}

/* 'text' is the whole selector, for the message. */
static bool add_term(struct selector *selector, const char *text, const char *term, size_t length,
                     struct error *error)
{
    cleanup(requirement_clear)
    struct requirement requirement = {0};
    size_t operator_length = 0;
    const char *at = find_operator(term, length, &requirement.operation, &operator_length);
    if (at == NULL) {
        return error_bad_request(error, "invalid selector: '%s'; can't understand '%.*s'", text,
                                 (int)length, term);
    }
    const char *value = at + operator_length;
    cleanup(free_char)
    char *plain = unescape(value, (size_t)(term + length - value), error);
    if (plain == NULL) {
        return false;
    }
    requirement.key = duplicate_bytes(term, (size_t)(at - term));
    add_value(&requirement, plain, strlen(plain));
    add_requirement(selector, &requirement);
    return true;
}

struct selector *selector_parse_fields(const char *text, struct error *error)
{
    cleanup(selector_cleanup)
    struct selector *selector = allocate_struct(struct selector);
    selector->absent_is_empty = true;
    for (const char *term = text; *term != '\0';) {
        size_t length = term_length(term);
        if (length > 0 && !add_term(selector, text, term, length, error)) {
            return NULL;
        }
        term += length + (term[length] == ',' ? 1 : 0);
    }
    return steal(selector);
}

/* ---- selectors in objects ---- */

static void add_equality(struct selector *selector, const char *key, const char *value)
{
    struct requirement requirement = {.key = duplicate(key), .operation = OPERATION_IN};
    add_value(&requirement, value, strlen(value));
    add_requirement(selector, &requirement);
}

static void add_map(struct selector *selector, const json_t *labels)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)labels, key, value) {
        add_equality(selector, key, json_is_string(value) ? json_string_value(value) : "");
    }
}

struct selector *selector_from_map(const json_t *labels)
{
    struct selector *selector = allocate_struct(struct selector);
    add_map(selector, labels);
    return selector;
}

static bool add_expression(struct selector *selector, const json_t *expression, struct error *error)
{
    static const struct {
        const char *name;
        enum operation operation;
        bool has_values;
    } operators[] = {
        {"In", OPERATION_IN, true},
        {"NotIn", OPERATION_NOT_IN, true},
        {"Exists", OPERATION_EXISTS, false},
        {"DoesNotExist", OPERATION_DOES_NOT_EXIST, false},
    };
    const char *key = json_get_string(expression, "key");
    const char *name = json_get_string(expression, "operator");
    const json_t *values = json_object_get(expression, "values");
    for (size_t i = 0; i < array_length(operators); i++) {
        if (name == NULL || strcmp(operators[i].name, name) != 0) {
            continue;
        }
        if (operators[i].has_values != (json_array_size(values) > 0)) {
            return error_bad_request(
                error, operators[i].has_values
                           ? "values: Invalid value: []: for 'in', 'notin' operators, values set "
                             "can't be empty"
                           : "values: Invalid value: []: values set must be empty for exists and "
                             "does not exist");
        }
        struct requirement requirement = {.key = duplicate(key ? key : ""),
                                          .operation = operators[i].operation};
        for (size_t j = 0; j < json_array_size(values); j++) {
            const json_t *value = json_array_get(values, j);
            add_value(&requirement, json_is_string(value) ? json_string_value(value) : "",
                      json_string_length(value));
        }
        add_requirement(selector, &requirement);
        return true;
    }
    return error_bad_request(error, "\"%s\" is not a valid label selector operator",
                             name ? name : "");
}

struct selector *selector_from_object(const json_t *label_selector, struct error *error)
{
    cleanup(selector_cleanup)
    struct selector *selector = allocate_struct(struct selector);
    if (!json_is_object(label_selector)) {
        selector->is_nothing = true;
        return steal(selector);
    }
    add_map(selector, json_object_get(label_selector, "matchLabels"));
    const json_t *expressions = json_object_get(label_selector, "matchExpressions");
    for (size_t i = 0; i < json_array_size(expressions); i++) {
        if (!add_expression(selector, json_array_get(expressions, i), error)) {
            return NULL;
        }
    }
    return steal(selector);
}

/* ---- matching ---- */

bool selector_is_everything(const struct selector *selector)
{
    return selector->count == 0 && !selector->is_nothing;
}

/* 'value' need not end with NUL. */
static int compare(const char *candidate, const char *value, size_t length)
{
    size_t candidate_length = strlen(candidate);
    size_t shared = candidate_length < length ? candidate_length : length;
    int order = memcmp(candidate, value, shared);
    return order != 0 ? order : (candidate_length > length) - (candidate_length < length);
}

static bool has_value(const struct requirement *requirement, const char *value, size_t length)
{
    size_t low = 0, high = requirement->value_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare(requirement->values[middle], value, length);
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

static bool requirement_matches(const struct requirement *requirement, const char *value,
                                size_t length)
{
    int64_t number;
    switch (requirement->operation) {
    case OPERATION_IN:
        return value != NULL && has_value(requirement, value, length);
    case OPERATION_NOT_IN:
        return value == NULL || !has_value(requirement, value, length);
    case OPERATION_EXISTS:
        return value != NULL;
    case OPERATION_DOES_NOT_EXIST:
        return value == NULL;
    case OPERATION_GREATER:
        return value != NULL && parse_integer(value, length, &number) &&
               number > requirement->number;
    case OPERATION_LESS:
        return value != NULL && parse_integer(value, length, &number) &&
               number < requirement->number;
    }
    return false;
}

bool selector_matches(const struct selector *selector, selector_lookup lookup, const void *argument)
{
    if (selector->is_nothing) {
        return false;
    }
    for (size_t i = 0; i < selector->count; i++) {
        const struct requirement *requirement = &selector->requirements[i];
        size_t length = 0;
        const char *value = lookup(argument, requirement->key, &length);
        if (value == NULL && selector->absent_is_empty) {
            value = "";
            length = 0;
        }
        if (!requirement_matches(requirement, value, length)) {
            return false;
        }
    }
    return true;
}

static const char *look_up_member(const void *argument, const char *key, size_t *length)
{
    const json_t *value = json_object_get(argument, key);
    *length = json_string_length(value);
    return json_string_value(value);
}

bool selector_matches_object(const struct selector *selector, const json_t *labels)
{
    return selector_matches(selector, look_up_member, labels);
}

/* ---- looking inside ---- */

/* The requirements stand in the order of their keys: the first of each run counts. */
static bool begins_run(const struct selector *selector, size_t i)
{
    return i == 0 || strcmp(selector->requirements[i].key, selector->requirements[i - 1].key) != 0;
}

size_t selector_key_count(const struct selector *selector)
{
    size_t count = 0;
    for (size_t i = 0; i < selector->count; i++) {
        count += begins_run(selector, i) ? 1 : 0;
    }
    return count;
}

const char *selector_key(const struct selector *selector, size_t index)
{
    for (size_t i = 0; i < selector->count; i++) {
        if (begins_run(selector, i) && index-- == 0) {
            return selector->requirements[i].key;
        }
    }
    return NULL;
}

const char *selector_required_value(const struct selector *selector, const char *key)
{
    for (size_t i = 0; i < selector->count; i++) {
        const struct requirement *requirement = &selector->requirements[i];
        if (strcmp(requirement->key, key) == 0 && requirement->operation == OPERATION_IN &&
            requirement->value_count == 1) {
            return requirement->values[0];
        }
    }
    return NULL;
}

json_t *selector_requirements(const struct selector *selector)
{
    static const char *const names[] = {[OPERATION_IN] = "In",
                                        [OPERATION_NOT_IN] = "NotIn",
                                        [OPERATION_EXISTS] = "Exists",
                                        [OPERATION_DOES_NOT_EXIST] = "DoesNotExist"};
    json_t *list = json_array();
    for (size_t i = 0; i < selector->count; i++) {
        const struct requirement *requirement = &selector->requirements[i];
        if (requirement->operation == OPERATION_GREATER ||
            requirement->operation == OPERATION_LESS) {
            continue;
        }
        json_t *shown = json_pack("{s:s, s:s}", "key", requirement->key, "operator",
                                  names[requirement->operation]);
        json_t *values = json_array();
        for (size_t j = 0; j < requirement->value_count; j++) {
            json_array_append_new(values, json_string(requirement->values[j]));
        }
        if (json_array_size(values) > 0) {
            json_object_set(shown, "values", values);
        }
        json_decref(values);
        json_array_append_new(list, shown);
    }
    return list;
}

// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/validation/selectors.h"

#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

enum values_wanted { VALUES_SOME, VALUES_NONE, VALUES_ONE };

struct operator_rule {
    const char *operator;
    enum values_wanted values;
};

static const struct operator_rule label_operators[] = {
    {"In", VALUES_SOME},           {"NotIn", VALUES_SOME}, {"Exists", VALUES_NONE},
    {"DoesNotExist", VALUES_NONE}, {NULL, VALUES_SOME},
};
static const struct operator_rule node_operators[] = {
    {"In", VALUES_SOME},           {"NotIn", VALUES_SOME}, {"Exists", VALUES_NONE},
    {"DoesNotExist", VALUES_NONE}, {"Gt", VALUES_ONE},     {"Lt", VALUES_ONE},
    {NULL, VALUES_SOME},
};

static void validate_operator(const struct operator_rule *rules, const json_t *requirement,
                              const struct field_path *path, struct field_errors *errors)
{
    const char *text = check_text(requirement, "operator");
    size_t count = json_array_size(json_object_get(requirement, "values"));
    const struct field_path *values = FIELD(path, "values");
    while (rules->operator!= NULL && strcmp(rules->operator, text) != 0) {
        rules++;
    }
    if (rules->operator== NULL) {
        check_invalid_text(text, "not a valid selector operator", FIELD(path, "operator"), errors);
    } else if (rules->values == VALUES_SOME && count == 0) {
        field_error(errors, FIELD_REQUIRED, values, NULL,
                    "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (rules->values == VALUES_NONE && count > 0) {
        field_error(errors, FIELD_FORBIDDEN, values, NULL,
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else if (rules->values == VALUES_ONE && count != 1) {
        field_error(errors, FIELD_REQUIRED, values, NULL,
                    "must be specified single value when `operator` is 'Lt' or 'Gt'");
    }
}

/* A key that is given has been looked at by its format. */
static void validate_key(const json_t *requirement, const struct field_path *path,
                         struct field_errors *errors)
{
    if (check_text(requirement, "key")[0] == '\0') {
        cleanup(free_char)
        char *message = names_check_qualified("");
        check_invalid_text("", message, FIELD(path, "key"), errors);
    }
}

static void validate_values(const json_t *requirement, const char *(*check)(const char *text),
                            const struct field_path *path, struct field_errors *errors)
{
    const json_t *values = json_object_get(requirement, "values");
    const struct field_path *here = FIELD(path, "values");
    for (size_t i = 0; i < json_array_size(values); i++) {
        const json_t *value = json_array_get(values, i);
        cleanup(free_char)
        char *copy = json_without_nul(value);
        check_message(value, check(copy ? copy : json_string_value(value)), FIELD_INDEX(here, i),
                      errors);
    }
}

void validate_label_selector(const json_t *selector, const struct field_path *path,
                             struct field_errors *errors)
{
    const json_t *expressions = json_object_get(selector, "matchExpressions");
    const struct field_path *list = FIELD(path, "matchExpressions");
    names_validate_labels(json_object_get(selector, "matchLabels"), FIELD(path, "matchLabels"),
                          errors);
    for (size_t i = 0; i < json_array_size(expressions); i++) {
        const json_t *requirement = json_array_get(expressions, i);
        const struct field_path *here = FIELD_INDEX(list, i);
        validate_operator(label_operators, requirement, here, errors);
        validate_key(requirement, here, errors);
        validate_values(requirement, names_check_label_value, here, errors);
    }
}

static bool is_label_operator(const json_t *requirement)
{
    const struct operator_rule *rule = label_operators;
    while (rule->operator!= NULL && !check_is(requirement, "operator", rule->operator)) {
        rule++;
    }
    return rule->operator!= NULL;
}

void validate_asked_label(const json_t *requirement, const struct field_path *path,
                          struct field_errors *errors)
{
    const char *key = check_text(requirement, "key");
    cleanup(free_char)
    char *message = names_check_qualified(key);
    if (is_label_operator(requirement)) {
        validate_operator(label_operators, requirement, path, errors);
    }
    if (message != NULL) {
        check_invalid_text(key, message, FIELD(path, "key"), errors);
    }
    validate_values(requirement, names_check_label_value, path, errors);
}

void validate_asked_field(const json_t *requirement, const struct field_path *path,
                          struct field_errors *errors)
{
    if (check_text(requirement, "key")[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "key"), NULL, "must be specified");
    }
    if (is_label_operator(requirement)) {
        validate_operator(label_operators, requirement, path, errors);
    }
}

bool selector_is_empty(const json_t *selector)
{
    return json_object_size(json_object_get(selector, "matchLabels")) == 0 &&
           json_array_size(json_object_get(selector, "matchExpressions")) == 0;
}

/* ---- nodes ---- */

/* Of a node's fields only its name can be asked for, and one name at a time. */
static void validate_field(const json_t *requirement, const struct field_path *path,
                           struct field_errors *errors)
{
    static const char *const operators[] = {"In", "NotIn", NULL};
    const char *text = check_text(requirement, "operator");
    if (!check_one_of(text, operators)) {
        check_invalid_text(text, "not a valid selector operator", FIELD(path, "operator"), errors);
    } else if (json_array_size(json_object_get(requirement, "values")) != 1) {
        field_error(
            errors, FIELD_REQUIRED, FIELD(path, "values"), NULL,
            "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
    }
    if (!check_is(requirement, "key", "metadata.name")) {
        check_invalid_text(check_text(requirement, "key"), "not a valid field selector key",
                           FIELD(path, "key"), errors);
    } else {
        validate_values(requirement, names_check_dns_subdomain, path, errors);
    }
}

void validate_node_selector_term(const json_t *term, bool strict, const struct field_path *path,
                                 struct field_errors *errors)
{
    const json_t *expressions = json_object_get(term, "matchExpressions");
    const json_t *fields = json_object_get(term, "matchFields");
    const struct field_path *expressions_path = FIELD(path, "matchExpressions");
    const struct field_path *fields_path = FIELD(path, "matchFields");
    for (size_t i = 0; i < json_array_size(expressions); i++) {
        const json_t *requirement = json_array_get(expressions, i);
        const struct field_path *here = FIELD_INDEX(expressions_path, i);
        validate_operator(node_operators, requirement, here, errors);
        validate_key(requirement, here, errors);
        if (strict) {
            validate_values(requirement, names_check_label_value, here, errors);
        }
    }
    for (size_t i = 0; i < json_array_size(fields); i++) {
        validate_field(json_array_get(fields, i), FIELD_INDEX(fields_path, i), errors);
    }
}

void validate_node_selector(const json_t *selector, bool strict, const struct field_path *path,
                            struct field_errors *errors)
{
    const json_t *terms = json_object_get(selector, "nodeSelectorTerms");
    const struct field_path *list = FIELD(path, "nodeSelectorTerms");
    if (json_array_size(terms) == 0) {
        field_error(errors, FIELD_REQUIRED, list, NULL,
                    "must have at least one node selector term");
    }
    for (size_t i = 0; i < json_array_size(terms); i++) {
        validate_node_selector_term(json_array_get(terms, i), strict, FIELD_INDEX(list, i), errors);
    }
}

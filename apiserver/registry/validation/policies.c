// SPDX-License-Identifier: Apache-2.0
/* Admission policies. Their expressions are not compiled: whether they are right shows in use. */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/extensions.h"
#include "apiserver/registry/validation/selectors.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

enum { AUDIT_ANNOTATIONS_MAX = 20, VALUE_EXPRESSION_MAX = 5 * 1024 };

static const struct field_path spec_path = {.name = "spec"};

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n\v\f")] == '\0';
}

/* ---- which requests ---- */

static void validate_rules(const json_t *rules, const struct field_path *path,
                           struct field_errors *errors)
{
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const json_t *rule = json_array_get(rules, i);
        const json_t *list = json_object_get(rule, "resourceNames");
        const struct field_path *here = FIELD_INDEX(path, i);
        const struct field_path *names_path = FIELD(here, "resourceNames");
        struct map seen = MAP_INIT;
        for (size_t j = 0; j < json_array_size(list); j++) {
            const char *name = json_string_value(json_array_get(list, j));
            check_invalid_text(name, names_check_path_segment(name), FIELD_INDEX(names_path, j),
                               errors);
            if (map_set(&seen, name, &seen) != NULL) {
                check_duplicate_text(name, FIELD_INDEX(names_path, j), errors);
            }
        }
        map_free(&seen, NULL);
        validate_webhook_rule(rule, here, errors);
    }
}

static void validate_match_resources(const json_t *match, const struct field_path *path,
                                     struct field_errors *errors)
{
    static const char *const selectors[] = {"namespaceSelector", "objectSelector"};
    static const char *const lists[] = {"resourceRules", "excludeResourceRules"};
    for (size_t i = 0; match != NULL && i < array_length(selectors); i++) {
        validate_label_selector(json_object_get(match, selectors[i]), FIELD(path, selectors[i]),
                                errors);
        validate_rules(json_object_get(match, lists[i]), FIELD(path, lists[i]), errors);
    }
}

/* ---- policies ---- */

static void validate_param_kind(const json_t *param, const struct field_path *path,
                                struct field_errors *errors)
{
    const char *version = check_text(param, "apiVersion"), *kind = check_text(param, "kind");
    const char *slash = strchr(version, '/');
    const struct field_path *version_path = FIELD(path, "apiVersion");
    if (slash != NULL && strchr(slash + 1, '/') != NULL) {
        cleanup(free_char)
        char *message = format("unexpected GroupVersion string: %s", version);
        check_invalid_text(version, message, version_path, errors);
    } else if (version[0] != '\0') {
        cleanup(free_char)
        char *group = duplicate_bytes(version, slash ? (size_t)(slash - version) : 0);
        const char *name = slash ? slash + 1 : version;
        if (group[0] != '\0') {
            check_invalid_text(group, names_check_dns_subdomain(group), version_path, errors);
        }
        check_invalid_text(name[0] != '\0' ? name : version,
                           name[0] != '\0' ? names_check_dns1035_label(name)
                                           : "version must be specified",
                           version_path, errors);
    }
    if (kind[0] != '\0') {
        cleanup(free_char)
        char *lower = duplicate(kind);
        for (char *at = lower; *at != '\0'; at++) {
            *at = (char)(*at >= 'A' && *at <= 'Z' ? *at - 'A' + 'a' : *at);
        }
        const char *message = names_check_dns1035_label(lower);
        cleanup(free_char)
        char *detail =
            message ? format("may have mixed case, but should otherwise match: %s", message) : NULL;
        check_invalid_text(kind, detail, FIELD(path, "kind"), errors);
    }
}

/* A CEL identifier that is no word of the language. */
static bool is_identifier(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char *const reserved[] = {
        "true",      "false",  "null",     "in",   "as",     "break", "const", "continue",
        "else",      "for",    "function", "if",   "import", "let",   "loop",  "package",
        "namespace", "return", "var",      "void", "while",  NULL};
    size_t length = strspn(text, letters);
    while (text[length] != '\0' && (strchr(letters, text[length]) != NULL ||
                                    (length > 0 && strchr("0123456789", text[length])))) {
        length++;
    }
    return length > 0 && text[length] == '\0' && !check_one_of(text, reserved);
}

static void validate_variables(const json_t *variables, struct field_errors *errors)
{
    const struct field_path *path = FIELD(&spec_path, "variables");
    for (size_t i = 0; i < json_array_size(variables); i++) {
        const json_t *variable = json_array_get(variables, i);
        const char *name = check_text(variable, "name");
        const struct field_path *here = FIELD_INDEX(path, i);
        if (is_blank(name)) {
            field_error(errors, FIELD_REQUIRED, FIELD(here, "name"), NULL, "name is not specified");
        } else if (!is_identifier(name)) {
            check_invalid_text(name, "name is not a valid CEL identifier", FIELD(here, "name"),
                               errors);
        }
        if (is_blank(check_text(variable, "expression"))) {
            field_error(errors, FIELD_REQUIRED, FIELD(here, "expression"), NULL,
                        "expression is not specified");
        }
    }
}

static bool has_line_breaks(const char *text)
{
    text += strspn(text, " \t\r\n");
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]) != NULL) {
        length--;
    }
    return strcspn(text, "\r\n") < length;
}

static void validate_validation(const json_t *validation, const struct field_path *path,
                                struct field_errors *errors)
{
    const char *message = check_text(validation, "message");
    const char *expression = check_text(validation, "messageExpression");
    if (is_blank(check_text(validation, "expression"))) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "expression"), NULL,
                    "expression is not specified");
    }
    if (expression[0] != '\0' && is_blank(expression)) {
        check_invalid_text(expression, "must be non-empty if specified",
                           FIELD(path, "messageExpression"), errors);
    }
    if (message[0] != '\0' && is_blank(message)) {
        check_invalid_text(message, "message must be non-empty if specified",
                           FIELD(path, "message"), errors);
    } else if (has_line_breaks(message)) {
        check_invalid_text(message, "message must not contain line breaks", FIELD(path, "message"),
                           errors);
    }
}

static void validate_audit_annotations(const json_t *list, const char *policy,
                                       struct field_errors *errors)
{
    const struct field_path *path = FIELD(&spec_path, "auditAnnotations");
    struct map seen = MAP_INIT;
    if (json_array_size(list) > AUDIT_ANNOTATIONS_MAX) {
        field_error(errors, FIELD_INVALID, path, list,
                    "must not have more than %d auditAnnotations", AUDIT_ANNOTATIONS_MAX);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *annotation = json_array_get(list, i);
        const char *key = check_text(annotation, "key");
        const char *expression = check_text(annotation, "valueExpression");
        const struct field_path *here = FIELD_INDEX(path, i);
        cleanup(free_char)
        char *whole = format("%s/%s", policy, key);
        cleanup(free_char)
        char *message = names_check_qualified(whole);
        check_invalid_text(whole, message, FIELD(here, "key"), errors);
        if (is_blank(expression)) {
            field_error(errors, FIELD_REQUIRED, FIELD(here, "valueExpression"), NULL,
                        "valueExpression is not specified");
        } else if (strlen(expression) > VALUE_EXPRESSION_MAX) {
            field_error(errors, FIELD_REQUIRED, FIELD(here, "valueExpression"), NULL,
                        "must not exceed %d bytes in length", VALUE_EXPRESSION_MAX);
        }
        if (map_set(&seen, key, &seen) != NULL) {
            check_duplicate_text(key, FIELD(here, "key"), errors);
        }
    }
    map_free(&seen, NULL);
}

void validate_admission_policy(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *match = json_object_get(spec, "matchConstraints");
    const json_t *param = json_object_get(spec, "paramKind");
    const json_t *validations = json_object_get(spec, "validations");
    const json_t *annotations = json_object_get(spec, "auditAnnotations");
    const struct field_path *match_path = FIELD(&spec_path, "matchConstraints");
    if (write->subresource[0] != '\0') {
        check_conditions(json_path(write->object, "status", "conditions"),
                         FIELD(FIELD(NULL, "status"), "conditions"), errors);
        return;
    }
    if (param != NULL) {
        validate_param_kind(param, FIELD(&spec_path, "paramKind"), errors);
    }
    validate_match_resources(match, match_path, errors);
    if (match != NULL && json_array_size(json_object_get(match, "resourceRules")) == 0) {
        field_error(errors, FIELD_REQUIRED, FIELD(match_path, "resourceRules"), NULL, NULL);
    }
    validate_match_conditions(json_object_get(spec, "matchConditions"),
                              FIELD(&spec_path, "matchConditions"), errors);
    validate_variables(json_object_get(spec, "variables"), errors);
    if (json_array_size(validations) + json_array_size(annotations) == 0) {
        static const char detail[] =
            "validations or auditAnnotations must contain at least one item";
        field_error(errors, FIELD_REQUIRED, FIELD(&spec_path, "validations"), NULL, detail);
        field_error(errors, FIELD_REQUIRED, FIELD(&spec_path, "auditAnnotations"), NULL, detail);
    }
    for (size_t i = 0; i < json_array_size(validations); i++) {
        validate_validation(json_array_get(validations, i),
                            FIELD_INDEX(FIELD(&spec_path, "validations"), i), errors);
    }
    validate_audit_annotations(
        annotations, check_text(json_object_get(write->object, "metadata"), "name"), errors);
}

/* ---- bindings ---- */

static void validate_param_ref(const json_t *param, const struct field_path *path,
                               struct field_errors *errors)
{
    static const char detail[] = "name and selector are mutually exclusive";
    const char *name = check_text(param, "name");
    const json_t *selector = json_object_get(param, "selector");
    if (name[0] != '\0') {
        check_invalid_text(name, names_check_path_segment(name), FIELD(path, "name"), errors);
    }
    if (name[0] != '\0' && selector != NULL) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "name"), NULL, detail);
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "selector"), NULL, detail);
    } else if (name[0] == '\0' && selector == NULL) {
        field_error(errors, FIELD_REQUIRED, path, NULL,
                    "one of name or selector must be specified");
    }
    validate_label_selector(selector, FIELD(path, "selector"), errors);
    if (!check_has(param, "parameterNotFoundAction")) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "parameterNotFoundAction"), NULL, NULL);
    }
}

void validate_admission_policy_binding(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *param = json_object_get(spec, "paramRef");
    const json_t *actions = json_object_get(spec, "validationActions");
    const struct field_path *actions_path = FIELD(&spec_path, "validationActions");
    check_subdomain(json_object_get(spec, "policyName"), FIELD(&spec_path, "policyName"), errors);
    if (param != NULL) {
        validate_param_ref(param, FIELD(&spec_path, "paramRef"), errors);
    }
    /* Upstream's spelling of the path. */
    validate_match_resources(json_object_get(spec, "matchResources"),
                             FIELD(&spec_path, "matchResouces"), errors);
    if (json_array_has_string(actions, "Deny") && json_array_has_string(actions, "Warn")) {
        field_error(errors, FIELD_INVALID, actions_path, actions,
                    "must not contain both Deny and Warn (repeating the same validation failure "
                    "information in the API response and headers serves no purpose)");
    }
    if (json_array_size(actions) == 0) {
        field_error(errors, FIELD_REQUIRED, actions_path, NULL,
                    "at least one validation action is required");
    }
}

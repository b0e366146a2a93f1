// SPDX-License-Identifier: Apache-2.0
/* What failures of a job's pods mean, and when a job has succeeded. */
#include <stdlib.h>
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/workloads.h"
#include "common/alloc.h"
#include "common/json.h"

enum {
    RULES_MAX = 20,
    EXIT_CODES_MAX = 255,
    CONDITIONS_MAX = 20,
    INDEXES_TEXT_MAX = 64 * 1024,
};

static void check_count(const json_t *list, size_t most, const struct field_path *path,
                        struct field_errors *errors)
{
    size_t count = json_array_size(list);
    if (count > most) {
        cleanup(json_release)
        json_t *shown = json_integer((json_int_t)count);
        field_error(errors, FIELD_TOO_MANY, path, shown, "must have at most %zu items", most);
    }
}

/* ---- failures ---- */

static bool template_has_container(const json_t *spec, const char *name)
{
    static const char *const lists[] = {"containers", "initContainers"};
    for (size_t list = 0; list < array_length(lists); list++) {
        const json_t *containers = json_path(spec, "template", "spec", lists[list]);
        for (size_t i = 0; i < json_array_size(containers); i++) {
            if (check_is(json_array_get(containers, i), "name", name)) {
                return true;
            }
        }
    }
    return false;
}

static void validate_values(const json_t *values, bool in, const struct field_path *path,
                            struct field_errors *errors)
{
    bool is_ordered = true, seen[256] = {false};
    for (size_t i = 0; i < json_array_size(values); i++) {
        const json_t *value = json_array_get(values, i);
        json_int_t code = json_integer_value(value);
        bool twice = false;
        if (in && code == 0) {
            field_error(errors, FIELD_INVALID, FIELD_INDEX(path, i), value,
                        "must not be 0 for the In operator");
        }
        if (code >= 0 && code < (json_int_t)array_length(seen)) {
            twice = seen[code];
            seen[code] = true;
        } else {
            for (size_t before = 0; before < i && before < EXIT_CODES_MAX; before++) {
                twice = twice || json_integer_value(json_array_get(values, before)) == code;
            }
        }
        if (twice) {
            field_error(errors, FIELD_DUPLICATE, FIELD_INDEX(path, i), value, NULL);
        }
        is_ordered =
            is_ordered && (i == 0 || json_integer_value(json_array_get(values, i - 1)) <= code);
    }
    if (!is_ordered) {
        field_error(errors, FIELD_INVALID, path, values, "must be ordered");
    }
}

static void validate_exit_codes(const json_t *spec, const json_t *codes,
                                const struct field_path *path, struct field_errors *errors)
{
    const char *container = json_get_string(codes, "containerName");
    const json_t *values = json_object_get(codes, "values");
    const struct field_path *values_path = FIELD(path, "values");
    if (container != NULL && !template_has_container(spec, container)) {
        check_invalid_text(
            container, "must be one of the container or initContainer names in the pod template",
            FIELD(path, "containerName"), errors);
    }
    if (json_array_size(values) == 0) {
        cleanup(json_release)
        json_t *none = json_null();
        field_error(errors, FIELD_INVALID, values_path, values ? values : none,
                    "at least one value is required");
    }
    check_count(values, EXIT_CODES_MAX, values_path, errors);
    validate_values(values, check_is(codes, "operator", "In"), values_path, errors);
}

static void validate_failure_rule(const json_t *spec, const json_t *rule,
                                  const struct field_path *path, struct field_errors *errors)
{
    const json_t *codes = json_object_get(rule, "onExitCodes");
    const json_t *conditions = json_object_get(rule, "onPodConditions");
    bool has_conditions = json_array_size(conditions) > 0;
    if (check_is(rule, "action", "FailIndex") && !check_has(spec, "backoffLimitPerIndex")) {
        field_error(errors, FIELD_INVALID, FIELD(path, "action"), json_object_get(rule, "action"),
                    "requires the backoffLimitPerIndex to be set");
    }
    if (codes != NULL) {
        validate_exit_codes(spec, codes, FIELD(path, "onExitCodes"), errors);
    }
    check_count(conditions, CONDITIONS_MAX, FIELD(path, "onPodConditions"), errors);
    if ((codes != NULL) == has_conditions) {
        field_error(errors, FIELD_INVALID, path, NULL, "%s",
                    codes ? "specifying both OnExitCodes and OnPodConditions is not supported"
                          : "specifying one of OnExitCodes and OnPodConditions is required");
    }
}

void validate_pod_failure_policy(const json_t *spec, const struct field_path *path,
                                 struct field_errors *errors)
{
    const json_t *rules = json_path(spec, "podFailurePolicy", "rules");
    const struct field_path *list = FIELD(path, "rules");
    check_count(rules, RULES_MAX, list, errors);
    for (size_t i = 0; i < json_array_size(rules) && i < RULES_MAX; i++) {
        validate_failure_rule(spec, json_array_get(rules, i), FIELD_INDEX(list, i), errors);
    }
}

/* ---- successes ---- */

/* An index at '*text', which is moved behind it. False with the reason in '*why', the caller's. */
static bool parse_index(const char **text, json_int_t completions, json_int_t *index, char **why)
{
    size_t length = strcspn(*text, ",-");
    cleanup(free_char)
    char *number = duplicate_bytes(*text, length);
    if (length == 0 || length > 18 || number[strspn(number, "0123456789")] != '\0') {
        *why = format("cannot convert string to integer for index: \"%s\"", number);
        return false;
    }
    *index = strtoll(number, NULL, 10);
    if (*index >= completions) {
        *why = format("too large index: \"%s\"", number);
        return false;
    }
    *text += length;
    return true;
}

bool check_job_indexes(const char *text, json_int_t completions, json_int_t *total, char **why)
{
    json_int_t last = -1;
    *total = 0;
    for (;;) {
        json_int_t first, end;
        const char *interval = text;
        if (!parse_index(&text, completions, &first, why)) {
            return false;
        }
        end = first;
        bool is_span = *text == '-';
        if (is_span) {
            text++;
            size_t length = strcspn(interval, ",");
            if (memchr(text, '-', length - (size_t)(text - interval)) != NULL) {
                *why = format("the fragment \"%.*s\" violates the requirement that an index "
                              "interval can have at most two parts separated by '-'",
                              (int)length, interval);
                return false;
            }
            if (!parse_index(&text, completions, &end, why)) {
                return false;
            }
        }
        if ((is_span && first >= end) || first <= last) {
            bool within = is_span && first >= end;
            *why = format("non-increasing order, previous: %" JSON_INTEGER_FORMAT
                          ", current: %" JSON_INTEGER_FORMAT,
                          within ? first : last, within ? end : first);
            return false;
        }
        *total += end - first + 1;
        last = end;
        if (*text == '\0') {
            return true;
        }
        text++;
    }
}

static void validate_success_rule(const json_t *rule, json_int_t completions,
                                  const struct field_path *path, struct field_errors *errors)
{
    const json_t *indexes = json_object_get(rule, "succeededIndexes");
    const json_t *count = json_object_get(rule, "succeededCount");
    const struct field_path *indexes_path = FIELD(path, "succeededIndexes");
    const struct field_path *count_path = FIELD(path, "succeededCount");
    json_int_t total = 0;
    cleanup(free_char)
    char *why = NULL;
    if (indexes == NULL && count == NULL) {
        field_error(errors, FIELD_REQUIRED, path, NULL,
                    "at least one of succeededCount or succeededIndexes must be specified");
    }
    if (json_string_length(indexes) > INDEXES_TEXT_MAX) {
        field_error(errors, FIELD_TOO_LONG, indexes_path, NULL, "may not be more than %d bytes",
                    INDEXES_TEXT_MAX);
    }
    if (json_string_length(indexes) > 0 &&
        !check_job_indexes(json_string_value(indexes), completions, &total, &why)) {
        total = 0;
        field_error(errors, FIELD_INVALID, indexes_path, indexes,
                    "error parsing succeededIndexes: %s", why);
    }
    if (count != NULL && json_integer_value(count) > completions) {
        field_error(errors, FIELD_INVALID, count_path, count,
                    "must be less than or equal to %" JSON_INTEGER_FORMAT
                    " (the number of specified completions)",
                    completions);
    }
    if (count != NULL && indexes != NULL && json_integer_value(count) > total) {
        field_error(errors, FIELD_INVALID, count_path, count,
                    "must be less than or equal to %" JSON_INTEGER_FORMAT
                    " (the number of indexes in the specified succeededIndexes field)",
                    total);
    }
}

void validate_success_policy(const json_t *spec, const struct field_path *path,
                             struct field_errors *errors)
{
    const json_t *policy = json_object_get(spec, "successPolicy");
    const json_t *rules = json_object_get(policy, "rules");
    const struct field_path *list = FIELD(path, "rules");
    if (!check_is(spec, "completionMode", "Indexed")) {
        field_error(errors, FIELD_INVALID, path, policy, "requires indexed completion mode");
        return;
    }
    if (json_array_size(rules) == 0) {
        field_error(errors, FIELD_REQUIRED, list, NULL,
                    "at least one rules must be specified when the successPolicy is specified");
    }
    check_count(rules, RULES_MAX, list, errors);
    for (size_t i = 0; i < json_array_size(rules) && i < RULES_MAX; i++) {
        validate_success_rule(json_array_get(rules, i), json_get_int(spec, "completions", 0),
                              FIELD_INDEX(list, i), errors);
    }
}

// SPDX-License-Identifier: Apache-2.0
#include "controllers/job_policies.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

static bool has_text(const json_t *object, const char *name, const char *text)
{
    const char *present = json_get_string(object, name);
    return present != NULL && strcmp(present, text) == 0;
}

/* ---- failures ---- */

static bool has_value(const json_t *values, json_int_t code)
{
    size_t i;
    const json_t *value;
    json_array_foreach (values, i, value) {
        if (json_integer_value(value) == code) {
            return true;
        }
    }
    return false;
}

/* The first container that has ended with a code that the rule is about. Borrowed. */
static const json_t *find_container(const json_t *statuses, const json_t *rule)
{
    size_t i;
    const json_t *status;
    const char *name = json_get_string(rule, "containerName");
    bool is_in = has_text(rule, "operator", "In");
    json_array_foreach (statuses, i, status) {
        const json_t *terminated = json_path(status, "state", "terminated");
        json_int_t code = json_get_int(terminated, "exitCode", 0);
        if (terminated != NULL && code != 0 && (name == NULL || has_text(status, "name", name)) &&
            has_value(json_object_get(rule, "values"), code) == is_in) {
            return status;
        }
    }
    return NULL;
}

/* The first condition of the pod that is as one of the patterns has it. Borrowed. */
static const json_t *find_condition(const json_t *conditions, const json_t *patterns)
{
    size_t i, n;
    const json_t *condition, *pattern;
    json_array_foreach (conditions, i, condition) {
        json_array_foreach (patterns, n, pattern) {
            const char *type = json_get_string(pattern, "type");
            const char *status = json_get_string(pattern, "status");
            if (type != NULL && has_text(condition, "type", type) &&
                has_text(condition, "status", status != NULL ? status : "True")) {
                return condition;
            }
        }
    }
    return NULL;
}

/* The rule applies to the pod; '*why' is what there is to say of that. */
static bool applies(const json_t *rule, const json_t *pod, size_t number, char **why)
{
    const json_t *codes = json_object_get(rule, "onExitCodes");
    const json_t *status = json_object_get(pod, "status");
    const char *namespace = json_path_string(pod, "metadata", "namespace");
    const char *name = json_path_string(pod, "metadata", "name");
    const char *action = json_get_string(rule, "action");
    if (!json_is_object(codes)) {
        const json_t *condition = find_condition(json_object_get(status, "conditions"),
                                                 json_object_get(rule, "onPodConditions"));
        *why = condition == NULL
                   ? NULL
                   : format("Pod %s/%s has condition %s matching %s rule at index "
                            "%zu",
                            namespace, name, json_get_string(condition, "type"), action, number);
        return condition != NULL;
    }
    const json_t *container = find_container(json_object_get(status, "containerStatuses"), codes);
    if (container == NULL) {
        container = find_container(json_object_get(status, "initContainerStatuses"), codes);
    }
    *why = container == NULL
               ? NULL
               : format("Container %s for pod %s/%s failed with exit code %lld matching %s rule at "
                        "index %zu",
                        json_get_string(container, "name"), namespace, name,
                        (long long)json_get_int(json_path(container, "state", "terminated"),
                                                "exitCode", 0),
                        action, number);
    return container != NULL;
}

enum job_action job_failure_action(const json_t *spec, const json_t *pod, char **message)
{
    size_t i;
    const json_t *rule;
    bool has_index_limit = json_is_integer(json_object_get(spec, "backoffLimitPerIndex"));
    json_array_foreach (json_path(spec, "podFailurePolicy", "rules"), i, rule) {
        cleanup(free_char)
        char *why = NULL;
        if (!applies(rule, pod, i, &why)) {
            continue;
        }
        if (has_text(rule, "action", "FailJob")) {
            if (message != NULL) {
                *message = steal(why);
            }
            return JOB_FAIL_JOB;
        }
        if (has_text(rule, "action", "FailIndex") && has_index_limit) {
            return JOB_FAIL_INDEX;
        }
        return has_text(rule, "action", "Ignore") ? JOB_IGNORE : JOB_COUNT;
    }
    return JOB_COUNT;
}

/* ---- success ---- */

static bool is_met(const json_t *rule, const struct job_indexes *succeeded, int completions)
{
    const char *text = json_get_string(rule, "succeededIndexes");
    const json_t *wanted = json_object_get(rule, "succeededCount");
    if (text == NULL) {
        return json_is_integer(wanted) &&
               job_indexes_total(succeeded) >= json_integer_value(wanted);
    }
    cleanup(job_indexes_free)
    struct job_indexes indexes = JOB_INDEXES_INIT;
    job_indexes_parse(&indexes, text, completions);
    int common = job_indexes_common(&indexes, succeeded);
    return indexes.count > 0 && (common == job_indexes_total(&indexes) ||
                                 (json_is_integer(wanted) && common >= json_integer_value(wanted)));
}

int job_success_rule(const json_t *spec, const struct job_indexes *succeeded)
{
    size_t i;
    const json_t *rule;
    int completions = (int)json_get_int(spec, "completions", 0);
    json_array_foreach (json_path(spec, "successPolicy", "rules"), i, rule) {
        if (succeeded->count > 0 && is_met(rule, succeeded, completions)) {
            return (int)i;
        }
    }
    return -1;
}

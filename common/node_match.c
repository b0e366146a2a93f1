// SPDX-License-Identifier: Apache-2.0
#include "common/node_match.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

static bool equal(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

/* ---- selectors ---- */

static bool parse_number(const char *text, long long *number)
{
    char *end;
    if (text == NULL || *text == '\0') {
        return false;
    }
    errno = 0;
    *number = strtoll(text, &end, 10);
    return *end == '\0' && errno == 0;
}

static bool compare_numbers(const char *value, const json_t *values, bool greater)
{
    long long have, wanted;
    return json_array_size(values) == 1 && parse_number(value, &have) &&
           parse_number(json_string_value(json_array_get(values, 0)), &wanted) &&
           (greater ? have > wanted : have < wanted);
}

/* One requirement against the value that its key has (NULL: none). */
static bool matches_requirement(const json_t *requirement, const char *value)
{
    const char *op = json_get_string(requirement, "operator");
    const json_t *values = json_object_get(requirement, "values");
    if (op == NULL) {
        return false;
    }
    if (strcmp(op, "In") == 0) {
        return value != NULL && json_array_has_string(values, value);
    }
    if (strcmp(op, "NotIn") == 0) {
        return value == NULL || !json_array_has_string(values, value);
    }
    if (strcmp(op, "Exists") == 0) {
        return value != NULL;
    }
    if (strcmp(op, "DoesNotExist") == 0) {
        return value == NULL;
    }
    if (strcmp(op, "Gt") == 0 || strcmp(op, "Lt") == 0) {
        return value != NULL && compare_numbers(value, values, op[0] == 'G');
    }
    return false;
}

bool node_match_term(const json_t *term, const char *node_name, const json_t *labels)
{
    const json_t *expressions = json_object_get(term, "matchExpressions");
    const json_t *fields = json_object_get(term, "matchFields");
    size_t i;
    const json_t *requirement;
    json_array_foreach (expressions, i, requirement) {
        const char *key = json_get_string(requirement, "key");
        if (!matches_requirement(requirement, json_get_string(labels, key != NULL ? key : ""))) {
            return false;
        }
    }
    json_array_foreach (fields, i, requirement) {
        bool by_name = equal(json_get_string(requirement, "key"), "metadata.name");
        if (!matches_requirement(requirement, by_name ? node_name : NULL)) {
            return false;
        }
    }
    return json_array_size(expressions) + json_array_size(fields) > 0;
}

bool node_match_required(const json_t *node_selector, const json_t *node_affinity,
                         const char *node_name, const json_t *labels)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)node_selector, key, value) {
        const char *have = json_get_string(labels, key);
        if (have == NULL || !equal(have, json_string_value(value))) {
            return false;
        }
    }
    const json_t *required =
        json_object_get(node_affinity, "requiredDuringSchedulingIgnoredDuringExecution");
    if (!json_is_object(required)) {
        return true;
    }
    size_t i;
    const json_t *term;
    json_array_foreach (json_object_get(required, "nodeSelectorTerms"), i, term) {
        if (node_match_term(term, node_name, labels)) {
            return true;
        }
    }
    return false;
}

int64_t node_match_preference(const json_t *node_affinity, const char *node_name,
                              const json_t *labels)
{
    int64_t sum = 0;
    size_t i;
    const json_t *preferred;
    json_array_foreach (
        json_object_get(node_affinity, "preferredDuringSchedulingIgnoredDuringExecution"), i,
        preferred) {
        const json_t *term = json_object_get(preferred, "preference");
        if (node_match_term(term, node_name, labels)) {
            sum += json_get_int(preferred, "weight", 0);
        }
    }
    return sum;
}

/* ---- taints ---- */

static bool tolerates(const json_t *toleration, const json_t *taint)
{
    const char *effect = json_get_string(toleration, "effect");
    const char *key = json_get_string(toleration, "key");
    const char *op = json_get_string(toleration, "operator");
    if (effect != NULL && *effect != '\0' && !equal(effect, json_get_string(taint, "effect"))) {
        return false;
    }
    if (key != NULL && *key != '\0' && !equal(key, json_get_string(taint, "key"))) {
        return false;
    }
    if (op != NULL && strcmp(op, "Exists") == 0) {
        return true;
    }
    return (op == NULL || *op == '\0' || strcmp(op, "Equal") == 0) && key != NULL && *key != '\0' &&
           equal(json_get_string(toleration, "value"), json_get_string(taint, "value"));
}

const json_t *node_match_toleration(const json_t *tolerations, const json_t *taint)
{
    size_t i;
    const json_t *toleration;
    json_array_foreach (tolerations, i, toleration) {
        if (tolerates(toleration, taint)) {
            return toleration;
        }
    }
    return NULL;
}

bool node_match_tolerates(const json_t *tolerations, const json_t *taint)
{
    return node_match_toleration(tolerations, taint) != NULL;
}

const json_t *node_match_untolerated(const json_t *tolerations, const json_t *taints,
                                     const char *effect, const char *other_effect)
{
    size_t i;
    const json_t *taint;
    json_array_foreach (taints, i, taint) {
        const char *has = json_get_string(taint, "effect");
        bool counts = equal(has, effect) || (other_effect != NULL && equal(has, other_effect));
        if (counts && !node_match_tolerates(tolerations, taint)) {
            return taint;
        }
    }
    return NULL;
}

int node_match_disliked(const json_t *tolerations, const json_t *taints)
{
    int count = 0;
    size_t i;
    const json_t *taint;
    json_array_foreach (taints, i, taint) {
        count += equal(json_get_string(taint, "effect"), "PreferNoSchedule") &&
                 !node_match_tolerates(tolerations, taint);
    }
    return count;
}

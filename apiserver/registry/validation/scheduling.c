// SPDX-License-Identifier: Apache-2.0
/* Where a pod may run: affinities, tolerations, spreading over places, gates. */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pods.h"
#include "apiserver/registry/validation/selectors.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/map.h"
#include "common/names.h"

static const char required[] = "requiredDuringSchedulingIgnoredDuringExecution";
static const char preferred[] = "preferredDuringSchedulingIgnoredDuringExecution";

/* ---- labels that pods are compared by ---- */

static void validate_label_keys(const json_t *keys, const json_t *selector,
                                const struct field_path *path, struct field_errors *errors)
{
    if (json_array_size(keys) > 0 && selector == NULL) {
        field_error(errors, FIELD_FORBIDDEN, path, NULL,
                    "must not be specified when labelSelector is not set");
    }
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const json_t *key = json_array_get(keys, i);
        cleanup(free_char)
        char *message = names_check_qualified(json_string_value(key));
        check_message(key, message, FIELD_INDEX(path, i), errors);
    }
}

static void validate_term_keys(const json_t *term, const struct field_path *path,
                               struct field_errors *errors)
{
    const json_t *selector = json_object_get(term, "labelSelector");
    const json_t *match = json_object_get(term, "matchLabelKeys");
    const json_t *mismatch = json_object_get(term, "mismatchLabelKeys");
    const struct field_path *match_path = FIELD(path, "matchLabelKeys");
    validate_label_keys(match, selector, match_path, errors);
    validate_label_keys(mismatch, selector, FIELD(path, "mismatchLabelKeys"), errors);
    struct map others = MAP_INIT;
    check_collect(&others, mismatch, NULL);
    for (size_t i = 0; i < json_array_size(match); i++) {
        const json_t *key = json_array_get(match, i);
        if (map_get(&others, json_string_value(key)) != NULL) {
            field_error(errors, FIELD_INVALID, FIELD_INDEX(match_path, i), key,
                        "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
    map_free(&others, NULL);
}

/* ---- affinities ---- */

static void validate_pod_term(const json_t *term, const struct field_path *path,
                              struct field_errors *errors)
{
    const json_t *namespaces = json_object_get(term, "namespaces");
    validate_label_selector(json_object_get(term, "labelSelector"), FIELD(path, "labelSelector"),
                            errors);
    validate_label_selector(json_object_get(term, "namespaceSelector"),
                            FIELD(path, "namespaceSelector"), errors);
    for (size_t i = 0; i < json_array_size(namespaces); i++) {
        const json_t *name = json_array_get(namespaces, i);
        check_message(name, names_check_dns_label(json_string_value(name)),
                      FIELD(path, "namespace"), errors);
    }
    validate_term_keys(term, path, errors);
    if (check_text(term, "topologyKey")[0] == '\0') {
        cleanup(free_char)
        char *message = names_check_qualified("");
        field_error(errors, FIELD_REQUIRED, FIELD(path, "topologyKey"), NULL, "can not be empty");
        check_invalid_text("", message, FIELD(path, "topologyKey"), errors);
    }
}

static void validate_weight(const json_t *term, const struct field_path *path,
                            struct field_errors *errors)
{
    json_int_t weight = json_get_int(term, "weight", 0);
    if (weight < 1 || weight > 100) {
        cleanup(json_release)
        json_t *shown = json_integer(weight);
        field_error(errors, FIELD_INVALID, FIELD(path, "weight"), shown,
                    "must be in the range 1-100");
    }
}

static void validate_pod_affinity(const json_t *affinity, const struct field_path *path,
                                  struct field_errors *errors)
{
    const json_t *terms = json_object_get(affinity, required);
    const json_t *weighted = json_object_get(affinity, preferred);
    const struct field_path *terms_path = FIELD(path, required);
    const struct field_path *weighted_path = FIELD(path, preferred);
    for (size_t i = 0; i < json_array_size(terms); i++) {
        validate_pod_term(json_array_get(terms, i), FIELD_INDEX(terms_path, i), errors);
    }
    for (size_t i = 0; i < json_array_size(weighted); i++) {
        const json_t *term = json_array_get(weighted, i);
        const struct field_path *here = FIELD_INDEX(weighted_path, i);
        validate_weight(term, here, errors);
        validate_pod_term(json_object_get(term, "podAffinityTerm"), FIELD(here, "podAffinityTerm"),
                          errors);
    }
}

static void validate_node_affinity(const json_t *affinity, const struct field_path *path,
                                   struct field_errors *errors)
{
    const json_t *selector = json_object_get(affinity, required);
    const json_t *weighted = json_object_get(affinity, preferred);
    const struct field_path *weighted_path = FIELD(path, preferred);
    if (selector != NULL) {
        validate_node_selector(selector, true, FIELD(path, required), errors);
    }
    for (size_t i = 0; i < json_array_size(weighted); i++) {
        const json_t *term = json_array_get(weighted, i);
        const struct field_path *here = FIELD_INDEX(weighted_path, i);
        validate_weight(term, here, errors);
        validate_node_selector_term(json_object_get(term, "preference"), false,
                                    FIELD(here, "preference"), errors);
    }
}

static void validate_affinity(const json_t *affinity, const struct field_path *path,
                              struct field_errors *errors)
{
    if (affinity == NULL) {
        return;
    }
    validate_node_affinity(json_object_get(affinity, "nodeAffinity"), FIELD(path, "nodeAffinity"),
                           errors);
    validate_pod_affinity(json_object_get(affinity, "podAffinity"), FIELD(path, "podAffinity"),
                          errors);
    validate_pod_affinity(json_object_get(affinity, "podAntiAffinity"),
                          FIELD(path, "podAntiAffinity"), errors);
}

/* ---- tolerations ---- */

static void validate_toleration(const json_t *toleration, const struct field_path *path,
                                struct field_errors *errors)
{
    static const char *const members[] = {"key", "operator", "value", "effect",
                                          "tolerationSeconds"};
    const json_t *values[array_length(members)];
    const char *texts[array_length(members)];
    check_members(toleration, members, values);
    for (size_t i = 0; i < array_length(members); i++) {
        texts[i] = json_is_string(values[i]) ? json_string_value(values[i]) : "";
    }
    const char *key = texts[0], *operator= texts[1], *value = texts[2], *effect = texts[3];
    const struct field_path *operator_path = FIELD(path, "operator");
    bool exists = strcmp(operator, "Exists") == 0;
    if (key[0] == '\0' && !exists) {
        check_invalid_text(operator,
                           "operator must be Exists when `key` is empty, which means \"match all "
                           "values and all keys\"",
                           operator_path, errors);
    }
    if (values[4] != NULL && strcmp(effect, "NoExecute") != 0) {
        check_invalid_text(effect, "effect must be 'NoExecute' when `tolerationSeconds` is set",
                           FIELD(path, "effect"), errors);
    }
    if (exists && value[0] != '\0') {
        check_invalid_text(value, "value must be empty when `operator` is 'Exists'", operator_path,
                           errors);
    } else if (operator[0] == '\0' || strcmp(operator, "Equal") == 0) {
        check_invalid_text(value, names_check_label_value(value), operator_path, errors);
    }
}

/* ---- spreading ---- */

/* How often a selector speaks of a label, as a pod's own label has been added to it: "a in (b)". */
static size_t count_uses(const json_t *selector, const char *label)
{
    const json_t *expressions = json_object_get(selector, "matchExpressions");
    size_t uses = check_has(json_object_get(selector, "matchLabels"), label) ? 2 : 0;
    for (size_t i = 0; i < json_array_size(expressions); i++) {
        const json_t *expression = json_array_get(expressions, i);
        bool added = check_is(expression, "operator", "In") &&
                     json_array_size(json_object_get(expression, "values")) == 1;
        if (check_is(expression, "key", label)) {
            uses += added ? 1 : 2;
        }
    }
    return uses;
}

/* In a pod, what matchLabelKeys names has been added to the selector (kinds/pod_create.c). */
static void validate_counted_labels(const json_t *constraint, bool is_pod,
                                    const struct field_path *path, struct field_errors *errors)
{
    enum { keys_max = 100 }; /* More than anybody has, and few enough to compare all. */
    const json_t *selector = json_object_get(constraint, "labelSelector");
    const json_t *keys = json_object_get(constraint, "matchLabelKeys");
    const struct field_path *keys_path = FIELD(path, "matchLabelKeys");
    validate_label_keys(keys, selector, keys_path, errors);
    for (size_t i = 0; i < json_array_size(keys) && i < keys_max; i++) {
        const json_t *key = json_array_get(keys, i);
        if (count_uses(selector, json_string_value(key)) > (size_t)is_pod) {
            field_error(errors, FIELD_INVALID, FIELD_INDEX(keys_path, i), key,
                        "exists in both matchLabelKeys and labelSelector");
        }
    }
    validate_label_selector(selector, FIELD(path, "labelSelector"), errors);
}

static void validate_constraint(const json_t *constraint, bool is_pod,
                                const struct field_path *path, struct field_errors *errors)
{
    const json_t *domains = json_object_get(constraint, "minDomains");
    const char *action = check_text(constraint, "whenUnsatisfiable");
    check_positive(json_object_get(constraint, "maxSkew"), FIELD(path, "maxSkew"), errors);
    if (check_text(constraint, "topologyKey")[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "topologyKey"), NULL, "can not be empty");
    }
    if (domains != NULL) {
        check_positive(domains, FIELD(path, "minDomains"), errors);
        if (strcmp(action, "DoNotSchedule") != 0) {
            field_error(errors, FIELD_INVALID, FIELD(path, "minDomains"), domains,
                        "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not %s",
                        action);
        }
    }
    validate_counted_labels(constraint, is_pod, path, errors);
}

/* One constraint for each place and consequence. It is the earlier one that is reported. */
static void validate_distinct(const json_t *constraints, const struct field_path *path,
                              struct field_errors *errors)
{
    struct map seen = MAP_INIT;
    for (size_t i = json_array_size(constraints); i-- > 0;) {
        const json_t *constraint = json_array_get(constraints, i);
        cleanup(free_char)
        char *key = format("{%s, %s}", check_text(constraint, "topologyKey"),
                           check_text(constraint, "whenUnsatisfiable"));
        if (map_set(&seen, key, &seen) != NULL) {
            check_duplicate_text(
                key, FIELD(FIELD_INDEX(path, i), "{topologyKey, whenUnsatisfiable}"), errors);
        }
    }
    map_free(&seen, NULL);
}

/* ---- gates ---- */

static void validate_gates(const json_t *gates, const struct field_path *path,
                           struct field_errors *errors)
{
    struct map seen = MAP_INIT;
    for (size_t i = 0; i < json_array_size(gates); i++) {
        const char *name = check_text(json_array_get(gates, i), "name");
        const struct field_path *here = FIELD_INDEX(path, i);
        cleanup(free_char)
        char *message = names_check_qualified(name);
        check_invalid_text(name, message, here, errors);
        if (map_set(&seen, name, &seen) != NULL) {
            check_duplicate_text(name, here, errors);
        }
    }
    map_free(&seen, NULL);
}

void validate_tolerations(const json_t *tolerations, const struct field_path *path,
                          struct field_errors *errors)
{
    for (size_t i = 0; i < json_array_size(tolerations); i++) {
        validate_toleration(json_array_get(tolerations, i), FIELD_INDEX(path, i), errors);
    }
}

void validate_scheduling(const json_t *spec, bool is_pod, const struct field_path *path,
                         struct field_errors *errors)
{
    const json_t *constraints = json_object_get(spec, "topologySpreadConstraints");
    const struct field_path *constraints_path = FIELD(path, "topologySpreadConstraints");
    names_validate_labels(json_object_get(spec, "nodeSelector"), FIELD(path, "nodeSelector"),
                          errors);
    validate_affinity(json_object_get(spec, "affinity"), FIELD(path, "affinity"), errors);
    validate_tolerations(json_object_get(spec, "tolerations"), FIELD(path, "tolerations"), errors);
    for (size_t i = 0; i < json_array_size(constraints); i++) {
        validate_constraint(json_array_get(constraints, i), is_pod,
                            FIELD_INDEX(constraints_path, i), errors);
    }
    validate_distinct(constraints, constraints_path, errors);
    validate_gates(json_object_get(spec, "schedulingGates"), FIELD(path, "schedulingGates"),
                   errors);
}

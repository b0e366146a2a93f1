// SPDX-License-Identifier: Apache-2.0
/* Namespaces, leases and disruption budgets. */
#include "apiserver/registry/validation/cluster.h"

#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/selectors.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

static const struct field_path spec_path = {.name = "spec"};

/* ---- namespaces ---- */

static void validate_finalizer(const json_t *finalizer, const struct field_path *path,
                               struct field_errors *errors)
{
    static const char *const known[] = {"kubernetes", "orphan", "foregroundDeletion", NULL};
    const char *text = json_string_value(finalizer) ? json_string_value(finalizer) : "";
    cleanup(free_char)
    char *message = names_check_qualified(text);
    check_message(finalizer, message, path, errors);
    if (strchr(text, '/') == NULL && !check_one_of(text, known)) {
        field_error(errors, FIELD_INVALID, path, finalizer,
                    "name is neither a standard finalizer name nor is it fully qualified");
    }
}

static void validate_namespace_phase(const json_t *object, struct field_errors *errors)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const char *phase = check_text(json_object_get(object, "status"), "phase");
    bool ends = check_has(metadata, "deletionTimestamp");
    if (strcmp(phase, ends ? "Terminating" : "Active") != 0) {
        check_invalid_text(phase,
                           ends ? "may only be 'Terminating' if `deletionTimestamp` is not empty"
                                : "may only be 'Active' if `deletionTimestamp` is empty",
                           FIELD(FIELD(NULL, "status"), "Phase"), errors);
    }
}

void validate_namespace(const struct write *write, struct field_errors *errors)
{
    const json_t *finalizers = json_path(write->object, "spec", "finalizers");
    const struct field_path *path = FIELD(&spec_path, "finalizers");
    bool finalizes = strcmp(write->subresource, "finalize") == 0;
    if (strcmp(write->subresource, "status") == 0) {
        validate_namespace_phase(write->object, errors);
    }
    for (size_t i = 0; (finalizes || write->live == NULL) && i < json_array_size(finalizers); i++) {
        validate_finalizer(json_array_get(finalizers, i), finalizes ? FIELD_INDEX(path, i) : path,
                           errors);
    }
}

/* ---- leases ---- */

void validate_lease(const struct write *write, struct field_errors *errors)
{
    static const char *const strategies[] = {"OldestEmulationVersion", NULL};
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *strategy = json_object_get(spec, "strategy");
    const json_t *duration = json_object_get(spec, "leaseDurationSeconds");
    const char *text = check_text(spec, "strategy");
    const struct field_path *path = FIELD(&spec_path, "strategy");
    if (duration != NULL && json_integer_value(duration) <= 0) {
        field_error(errors, FIELD_INVALID, FIELD(&spec_path, "leaseDurationSeconds"), duration,
                    "must be greater than 0");
    }
    if (strategy != NULL && strchr(text, '/') != NULL) {
        cleanup(free_char)
        char *message = names_check_qualified(text);
        check_message(strategy, message, path, errors);
    } else if (strategy != NULL && !check_one_of(text, strategies)) {
        /* The step stands twice upstream as well. */
        check_not_supported(text, strategies, FIELD(path, "strategy"), errors);
    }
    if (check_text(spec, "preferredHolder")[0] != '\0' && text[0] == '\0') {
        field_error(errors, FIELD_FORBIDDEN, FIELD(&spec_path, "preferredHolder"), NULL,
                    "may only be specified if `strategy` is defined");
    }
}

/* ---- disruption budgets ---- */

void validate_disruption_budget(const struct write *write, struct field_errors *errors)
{
    static const char *const numbers[] = {"minAvailable", "maxUnavailable"};
    static const char *const counters[] = {"disruptionsAllowed", "currentHealthy", "desiredHealthy",
                                           "expectedPods", NULL};
    const json_t *spec = json_object_get(write->object, "spec");
    if (write->subresource[0] != '\0') {
        check_counters(json_object_get(write->object, "status"), counters, errors);
        check_conditions(json_path(write->object, "status", "conditions"),
                         FIELD(FIELD(NULL, "status"), "conditions"), errors);
        return;
    }
    if (check_has(spec, numbers[0]) && check_has(spec, numbers[1])) {
        field_error(errors, FIELD_INVALID, &spec_path, spec,
                    "minAvailable and maxUnavailable cannot be both set");
    }
    for (size_t i = 0; i < array_length(numbers); i++) {
        const json_t *value = json_object_get(spec, numbers[i]);
        check_int_or_percent(value, FIELD(&spec_path, numbers[i]), errors);
        check_at_most_100_percent(value, FIELD(&spec_path, numbers[i]), errors);
    }
    validate_label_selector(json_object_get(spec, "selector"), FIELD(&spec_path, "selector"),
                            errors);
}

// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/resources.h"
#include "apiserver/registry/validation/selectors.h"
#include "apiserver/registry/validation/storage.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

static const struct field_path spec_path = {.name = "spec"};
static const struct field_path status_path = {.name = "status"};
static const char class_annotation[] = "volume.beta.kubernetes.io/storage-class";
static const char attributes_class[] = "volumeAttributesClassName";

/* ---- what it starts with ---- */

/* 'live' has a source with a group: what that is called was not always checked. */
static bool has_group(const json_t *live)
{
    return json_path(live, "dataSource", "apiGroup") != NULL ||
           json_path(live, "dataSourceRef", "apiGroup") != NULL;
}

static void validate_source(const json_t *source, bool lenient, const struct field_path *path,
                            struct field_errors *errors)
{
    const char *group = check_text(source, "apiGroup"), *kind = check_text(source, "kind");
    if (source == NULL) {
        return;
    }
    if (group[0] == '\0' && strcmp(kind, "PersistentVolumeClaim") != 0) {
        check_invalid_text(kind,
                           "must be 'PersistentVolumeClaim' when referencing the default apiGroup",
                           path, errors);
    }
    if (!lenient) {
        check_subdomain(json_object_get(source, "apiGroup"), FIELD(path, "apiGroup"), errors);
    }
    check_label(json_object_get(source, "namespace"), FIELD(path, "namespace"), errors);
}

/* The old name and the new one say the same. */
static void validate_sources_match(const json_t *spec, const struct field_path *path,
                                   struct field_errors *errors)
{
    static const char *const members[] = {"apiGroup", "kind", "name"};
    const json_t *source = json_object_get(spec, "dataSource");
    const json_t *reference = json_object_get(spec, "dataSourceRef");
    for (size_t i = 0; source != NULL && reference != NULL && i < array_length(members); i++) {
        if (!check_equal(json_object_get(source, members[i]),
                         json_object_get(reference, members[i]))) {
            cleanup(json_release)
            json_t *shown = json_object();
            field_error(errors, FIELD_INVALID, path, shown, "must match dataSourceRef");
            return;
        }
    }
}

/* ---- the spec ---- */

static void validate_size(const json_t *spec, const struct field_path *path,
                          struct field_errors *errors)
{
    const json_t *size = json_path(spec, "resources", "requests", "storage");
    const struct field_path *here = FIELD_KEY(FIELD(path, "resources"), "storage");
    if (size == NULL) {
        field_error(errors, FIELD_REQUIRED, here, NULL, NULL);
    } else if (resource_amount(size).nano <= 0) {
        field_error(errors, FIELD_INVALID, here, size, "must be greater than zero");
    }
}

/* What was accepted once stays accepted. */
static void validate_claim_selector(const json_t *selector, const json_t *live,
                                    const struct field_path *path, struct field_errors *errors)
{
    if (live == NULL || !json_equal(selector, live)) {
        validate_label_selector(selector, path, errors);
    }
}

static void validate_spec(const json_t *spec, const json_t *live, const struct field_path *path,
                          struct field_errors *errors)
{
    const json_t *selector = json_object_get(spec, "selector");
    validate_access_modes(json_object_get(spec, "accessModes"),
                          "at least 1 access mode is required", FIELD(path, "accessModes"), errors);
    validate_claim_selector(selector, json_object_get(live, "selector"), FIELD(path, "selector"),
                            errors);
    validate_size(spec, path, errors);
    validate_source(json_object_get(spec, "dataSource"), has_group(live), FIELD(path, "dataSource"),
                    errors);
    validate_source(json_object_get(spec, "dataSourceRef"), has_group(live),
                    FIELD(path, "dataSourceRef"), errors);
    validate_sources_match(spec, path, errors);
    check_subdomain(json_object_get(spec, attributes_class), FIELD(path, attributes_class), errors);
}

void validate_volume_claim_spec(const json_t *spec, const struct field_path *path,
                                struct field_errors *errors)
{
    validate_spec(spec, NULL, path, errors);
}

/* ---- updates ---- */

static json_t *annotated_class(const json_t *claim)
{
    return json_path(claim, "metadata", "annotations", class_annotation);
}

/* The class was named by an annotation once, which the field may take over. */
static bool class_is_upgraded(const json_t *claim, const json_t *live)
{
    const json_t *before = annotated_class(live), *now = annotated_class(claim);
    const json_t *class = json_path(claim, "spec", "storageClassName");
    return before != NULL && json_path(live, "spec", "storageClassName") == NULL && class != NULL &&
           json_equal(class, before) && (now == NULL || json_equal(now, before));
}

/* A claim that came before there was a default class may get one. */
static bool class_is_given(const json_t *claim, const json_t *live)
{
    const json_t *before = annotated_class(live);
    const json_t *class = json_path(claim, "spec", "storageClassName");
    return json_path(live, "spec", "storageClassName") == NULL && class != NULL &&
           (before == NULL || json_equal(class, before));
}

static void copy_member(json_t *to, const json_t *from, const char *name)
{
    json_t *value = json_object_get(from, name);
    if (value != NULL) {
        json_object_set(to, name, value);
    } else {
        json_object_del(to, name);
    }
}

/* The spec as it is compared with the old one: what may change is put back. The caller's. */
static json_t *compared_spec(const json_t *claim, const json_t *live)
{
    const json_t *before = json_object_get(live, "spec");
    json_t *spec = json_deep_copy(json_object_get(claim, "spec"));
    bool bound = check_is(json_object_get(claim, "status"), "phase", "Bound");
    if (check_text(before, "volumeName")[0] == '\0') {
        copy_member(spec, before, "volumeName");
    }
    if (class_is_upgraded(claim, live) || class_is_given(claim, live)) {
        copy_member(spec, before, "storageClassName");
    }
    if (bound && json_path(spec, "resources", "requests") != NULL) {
        copy_member(json_path(spec, "resources", "requests"),
                    json_path(before, "resources", "requests"), "storage");
    }
    if (bound && check_has(spec, attributes_class)) {
        copy_member(spec, before, attributes_class);
    }
    return spec;
}

/* A claim whose growth failed may become smaller again, but not as small as it is. */
static void validate_size_update(const json_t *claim, const json_t *live,
                                 struct field_errors *errors)
{
    struct quantity now =
        resource_amount(json_path(claim, "spec", "resources", "requests", "storage"));
    struct quantity before =
        resource_amount(json_path(live, "spec", "resources", "requests", "storage"));
    struct quantity size = resource_amount(json_path(live, "status", "capacity", "storage"));
    if (quantity_compare(&now, &before) < 0 && quantity_compare(&now, &size) <= 0) {
        field_error(errors, FIELD_FORBIDDEN,
                    FIELD(FIELD(FIELD(&spec_path, "resources"), "requests"), "storage"), NULL,
                    "field can not be less than status.capacity");
    }
}

static void validate_attributes_update(const json_t *spec, const json_t *live,
                                       struct field_errors *errors)
{
    const json_t *now = json_object_get(spec, attributes_class);
    const json_t *before = json_object_get(live, attributes_class);
    if (before == NULL || json_string_length(now) > 0) {
        return;
    }
    if (now == NULL) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(&spec_path, attributes_class), NULL,
                    "update from non-nil value to nil is forbidden");
    } else if (json_string_length(before) > 0) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(&spec_path, attributes_class), NULL,
                    "update from non-nil value to an empty string is forbidden");
    }
}

static void validate_update(const json_t *claim, const json_t *live, struct field_errors *errors)
{
    const json_t *spec = json_object_get(claim, "spec"), *before = json_object_get(live, "spec");
    cleanup(json_release)
    json_t *compared = compared_spec(claim, live);
    if (!class_is_upgraded(claim, live)) {
        check_immutable(annotated_class(claim), annotated_class(live),
                        FIELD(FIELD(FIELD(NULL, "metadata"), "annotations"), class_annotation),
                        errors);
    }
    if (!json_equal(compared, before)) {
        field_error(errors, FIELD_FORBIDDEN, &spec_path, NULL,
                    "spec is immutable after creation except resources.requests and "
                    "volumeAttributesClassName for bound claims");
    }
    validate_size_update(claim, live, errors);
    check_immutable(json_object_get(spec, "volumeMode"), json_object_get(before, "volumeMode"),
                    FIELD(NULL, "volumeMode"), errors);
    validate_attributes_update(spec, before, errors);
}

/* ---- the status ---- */

static bool validate_resource_key(const char *name, const struct field_path *path,
                                  struct field_errors *errors)
{
    static const char *const supported[] = {"storage", NULL};
    cleanup(free_char)
    char *message = names_check_qualified(name);
    bool foreign = message == NULL && resource_is_native(name) && strcmp(name, "storage") != 0;
    check_invalid_text(name, message, path, errors);
    if (foreign) {
        check_not_supported(name, supported, path, errors);
    }
    return message == NULL && !foreign;
}

static bool validate_basic_amount(const json_t *amount, const struct field_path *path,
                                  struct field_errors *errors)
{
    struct quantity quantity = resource_amount(amount);
    if (quantity_value(&quantity) < 0) {
        cleanup(json_release)
        json_t *shown = json_integer(quantity_value(&quantity));
        field_error(errors, FIELD_INVALID, path, shown, "must be a valid resource quantity");
        return false;
    }
    return true;
}

static void validate_resize_states(const json_t *states, struct field_errors *errors)
{
    static const char *const supported[] = {
        "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress",
        "NodeResizeInfeasible",       "NodeResizePending",          NULL};
    const struct field_path *path = FIELD(&status_path, "allocatedResourceStatus");
    const char *name;
    json_t *state;
    json_object_foreach ((json_t *)states, name, state) {
        validate_resource_key(name, path, errors);
        if (!check_one_of(json_string_value(state), supported)) {
            check_not_supported(name, supported, path, errors);
        }
    }
}

static void validate_status(const json_t *status, struct field_errors *errors)
{
    const struct field_path *capacity = FIELD(&status_path, "capacity");
    const struct field_path *allocated = FIELD(&status_path, "allocatedResources");
    const char *name;
    json_t *amount;
    json_object_foreach (json_object_get(status, "capacity"), name, amount) {
        validate_basic_amount(amount, FIELD_KEY(capacity, name), errors);
    }
    json_object_foreach (json_object_get(status, "allocatedResources"), name, amount) {
        if (validate_resource_key(name, allocated, errors)) {
            validate_basic_amount(amount, FIELD_KEY(allocated, name), errors);
        }
    }
    validate_resize_states(json_object_get(status, "allocatedResourceStatuses"), errors);
}

void validate_volume_claim(const struct write *write, struct field_errors *errors)
{
    if (strcmp(write->subresource, "status") == 0) {
        validate_status(json_object_get(write->object, "status"), errors);
    }
    if (write->subresource[0] != '\0') {
        return;
    }
    validate_spec(json_object_get(write->object, "spec"), json_object_get(write->live, "spec"),
                  &spec_path, errors);
    if (write->live != NULL) {
        validate_update(write->object, write->live, errors);
    }
}

// SPDX-License-Identifier: Apache-2.0
/* Claims of devices, templates of them, and classes. */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/devices.h"
#include "apiserver/registry/validation/selectors.h"
#include "apiserver/registry/validation/volume_sources.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

enum {
    LIST_MAX = 32, /* Requests, constraints, settings, selectors, results. */
    ALTERNATIVES_MAX = 8,
    TOLERATIONS_MAX = 16,
    CONSUMERS_MAX = 256,
    TEXT_MAX = 10 * 1024, /* Of an expression, or of settings. */
};

/* ---- requests ---- */

static void validate_selectors(const json_t *selectors, const struct field_path *path,
                               struct field_errors *errors)
{
    if (!validate_device_count(selectors, LIST_MAX, path, errors)) {
        return;
    }
    for (size_t i = 0; i < json_array_size(selectors); i++) {
        const json_t *cel = json_object_get(json_array_get(selectors, i), "cel");
        const struct field_path *here = FIELD(FIELD_INDEX(path, i), "cel");
        if (cel == NULL) {
            field_error(errors, FIELD_REQUIRED, here, NULL, NULL);
        } else if (strlen(check_text(cel, "expression")) > TEXT_MAX) {
            field_error(errors, FIELD_TOO_LONG, FIELD(here, "expression"), NULL,
                        "may not be more than %d bytes", TEXT_MAX);
        }
    }
}

static void validate_toleration(const json_t *toleration, const struct field_path *path,
                                struct field_errors *errors)
{
    const char *key = check_text(toleration, "key"), *value = check_text(toleration, "value");
    bool exists = check_is(toleration, "operator", "Exists");
    cleanup(free_char)
    char *message = key[0] != '\0' ? names_check_qualified(key) : NULL;
    check_invalid_text(key, message, FIELD(path, "key"), errors);
    if (key[0] == '\0' && !exists) {
        check_invalid_text(check_text(toleration, "operator"),
                           "operator must be Exists when `key` is empty, which means \"match all "
                           "values and all keys\"",
                           FIELD(path, "operator"), errors);
    }
    if (exists && value[0] != '\0') {
        check_invalid_text(value, "must be empty for operator `Exists`", FIELD(path, "value"),
                           errors);
    } else {
        check_invalid_text(value, names_check_label_value(value), FIELD(path, "value"), errors);
    }
}

/* What is wanted of one class; 'request' is the whole or an alternative. */
static void validate_wanted(const json_t *request, const struct field_path *path,
                            struct field_errors *errors)
{
    const json_t *count = json_object_get(request, "count");
    const json_t *tolerations = json_object_get(request, "tolerations");
    const struct field_path *tolerations_path = FIELD(path, "tolerations");
    bool all = check_is(request, "allocationMode", "All");
    validate_selectors(json_object_get(request, "selectors"), FIELD(path, "selectors"), errors);
    if (all && json_integer_value(count) != 0) {
        field_error(errors, FIELD_INVALID, FIELD(path, "count"), count,
                    "must not be specified when allocationMode is 'All'");
    } else if (!all) {
        check_positive(count, FIELD(path, "count"), errors);
    }
    validate_device_count(tolerations, TOLERATIONS_MAX, tolerations_path, errors);
    for (size_t i = 0; i < json_array_size(tolerations); i++) {
        validate_toleration(json_array_get(tolerations, i), FIELD_INDEX(tolerations_path, i),
                            errors);
    }
}

static void validate_alternatives(const json_t *list, const struct field_path *path,
                                  struct field_errors *errors)
{
    struct map seen = MAP_INIT;
    validate_device_count(list, ALTERNATIVES_MAX, path, errors);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *name = check_text(one, "name");
        const struct field_path *here = FIELD_INDEX(path, i);
        check_label(json_object_get(one, "name"), FIELD(here, "name"), errors);
        if (map_set(&seen, name, &seen) != NULL) {
            check_duplicate_text(name, FIELD(here, "name"), errors);
        }
        validate_wanted(one, here, errors);
    }
    map_free(&seen, NULL);
}

static void validate_request(const json_t *request, const struct field_path *path,
                             struct field_errors *errors)
{
    const json_t *exactly = json_object_get(request, "exactly");
    const json_t *list = json_object_get(request, "firstAvailable");
    bool has_list = json_array_size(list) > 0;
    check_label(json_object_get(request, "name"), FIELD(path, "name"), errors);
    if (exactly == NULL && !has_list) {
        field_error(errors, FIELD_REQUIRED, path, NULL,
                    "exactly one of `exactly` or `firstAvailable` is required");
    } else if (exactly != NULL && has_list) {
        cleanup(json_release)
        json_t *none = json_null();
        field_error(errors, FIELD_INVALID, path, none,
                    "exactly one of `exactly` or `firstAvailable` is required, but multiple fields "
                    "are set");
    } else if (has_list) {
        validate_alternatives(list, FIELD(path, "firstAvailable"), errors);
    } else {
        validate_wanted(exactly, FIELD(path, "exactly"), errors);
    }
}

/* ---- what refers to requests ---- */

/* "request", and "request/alternative". */
static void collect_requests(const json_t *requests, struct map *known)
{
    for (size_t i = 0; i < json_array_size(requests); i++) {
        const json_t *request = json_array_get(requests, i);
        const json_t *list = json_object_get(request, "firstAvailable");
        map_set(known, check_text(request, "name"), known);
        for (size_t j = 0; j < json_array_size(list); j++) {
            cleanup(free_char)
            char *name = format("%s/%s", check_text(request, "name"),
                                check_text(json_array_get(list, j), "name"));
            map_set(known, name, known);
        }
    }
}

static void validate_reference(const char *name, const struct map *known,
                               const struct field_path *path, struct field_errors *errors)
{
    if (map_get(known, name) == NULL) {
        check_invalid_text(name,
                           "must be the name of a request in the claim or the name of a request "
                           "and a subrequest separated by '/'",
                           path, errors);
    }
}

static void validate_references(const json_t *list, const struct map *known,
                                const struct field_path *path, struct field_errors *errors)
{
    struct map seen = MAP_INIT;
    validate_device_count(list, LIST_MAX, path, errors);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        validate_reference(name, known, FIELD_INDEX(path, i), errors);
        if (map_set(&seen, name, &seen) != NULL) {
            check_duplicate_text(name, FIELD_INDEX(path, i), errors);
        }
    }
    map_free(&seen, NULL);
}

static void validate_constraint(const json_t *constraint, const struct map *known,
                                const struct field_path *path, struct field_errors *errors)
{
    static const char *const members[] = {"matchAttribute", "distinctAttribute"};
    validate_references(json_object_get(constraint, "requests"), known, FIELD(path, "requests"),
                        errors);
    for (size_t i = 0; i < array_length(members); i++) {
        if (check_has(constraint, members[i])) {
            validate_device_property(check_text(constraint, members[i]), true,
                                     FIELD(path, members[i]), errors);
            return;
        }
    }
    field_error(errors, FIELD_REQUIRED, FIELD(path, members[0]), NULL, NULL);
}

void validate_device_data(const json_t *data, const struct field_path *path,
                          struct field_errors *errors)
{
    if (!json_is_object(data)) {
        field_error(errors, FIELD_INVALID, path, NULL, "must be a valid JSON object");
        return;
    }
    cleanup(free_char)
    char *text = json_text(data);
    if (strlen(text) > TEXT_MAX) {
        field_error(errors, FIELD_TOO_LONG, path, NULL, "may not be more than %d bytes", TEXT_MAX);
    }
}

static void validate_settings(const json_t *config, const struct field_path *path,
                              struct field_errors *errors)
{
    const json_t *opaque = json_object_get(config, "opaque");
    const json_t *parameters = json_object_get(opaque, "parameters");
    const struct field_path *here = FIELD(path, "opaque");
    if (opaque == NULL) {
        field_error(errors, FIELD_REQUIRED, here, NULL, NULL);
        return;
    }
    validate_csi_driver_name(json_object_get(opaque, "driver"), FIELD(here, "driver"), errors);
    if (parameters != NULL) {
        validate_device_data(parameters, FIELD(here, "parameters"), errors);
    }
}

/* What comes with the devices: the class's settings, and the claim's own. */
static void validate_given_settings(const json_t *allocation, const struct field_path *path,
                                    struct field_errors *errors)
{
    static const char *const sources[] = {"FromClaim", "FromClass", NULL};
    const json_t *config = json_path(allocation, "devices", "config");
    const struct field_path *list = FIELD(FIELD(path, "devices"), "config");
    validate_device_count(config, 2 * LIST_MAX, list, errors);
    for (size_t i = 0; i < json_array_size(config); i++) {
        const json_t *settings = json_array_get(config, i);
        const char *source = check_text(settings, "source");
        const struct field_path *here = FIELD_INDEX(list, i);
        if (source[0] == '\0') {
            field_error(errors, FIELD_REQUIRED, FIELD(here, "source"), NULL, NULL);
        } else if (!check_one_of(source, sources)) {
            check_not_supported(source, sources, FIELD(here, "source"), errors);
        }
        validate_settings(settings, here, errors);
    }
}

static void validate_requests(const json_t *requests, const struct field_path *path,
                              struct field_errors *errors)
{
    struct map seen = MAP_INIT;
    validate_device_count(requests, LIST_MAX, path, errors);
    for (size_t i = 0; i < json_array_size(requests); i++) {
        const json_t *request = json_array_get(requests, i);
        const char *name = check_text(request, "name");
        const struct field_path *here = FIELD_INDEX(path, i);
        validate_request(request, here, errors);
        if (map_set(&seen, name, &seen) != NULL) {
            check_duplicate_text(name, FIELD(here, "name"), errors);
        }
    }
    map_free(&seen, NULL);
}

static void validate_claim_spec(const json_t *spec, const struct field_path *path,
                                struct field_errors *errors)
{
    const json_t *devices = json_object_get(spec, "devices");
    const json_t *constraints = json_object_get(devices, "constraints");
    const json_t *config = json_object_get(devices, "config");
    const struct field_path *here = FIELD(path, "devices");
    const struct field_path *constraints_path = FIELD(here, "constraints");
    const struct field_path *config_path = FIELD(here, "config");
    struct map known = MAP_INIT;
    collect_requests(json_object_get(devices, "requests"), &known);
    validate_requests(json_object_get(devices, "requests"), FIELD(here, "requests"), errors);
    validate_device_count(constraints, LIST_MAX, constraints_path, errors);
    for (size_t i = 0; i < json_array_size(constraints); i++) {
        validate_constraint(json_array_get(constraints, i), &known,
                            FIELD_INDEX(constraints_path, i), errors);
    }
    validate_device_count(config, LIST_MAX, config_path, errors);
    for (size_t i = 0; i < json_array_size(config); i++) {
        const json_t *settings = json_array_get(config, i);
        const struct field_path *at = FIELD_INDEX(config_path, i);
        validate_references(json_object_get(settings, "requests"), &known, FIELD(at, "requests"),
                            errors);
        validate_settings(settings, at, errors);
    }
    map_free(&known, NULL);
}

/* ---- the status of a claim ---- */

static void validate_consumers(const json_t *list, const struct field_path *path,
                               struct field_errors *errors)
{
    static const char *const members[] = {"resource", "name", "uid"};
    struct map seen = MAP_INIT;
    validate_device_count(list, CONSUMERS_MAX, path, errors);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *consumer = json_array_get(list, i);
        const struct field_path *here = FIELD_INDEX(path, i);
        for (size_t j = 0; j < array_length(members); j++) {
            if (check_text(consumer, members[j])[0] == '\0') {
                field_error(errors, FIELD_REQUIRED, FIELD(here, members[j]), NULL, NULL);
            }
        }
        const char *uid = check_text(consumer, "uid");
        if (map_set(&seen, uid, &seen) != NULL) {
            check_duplicate_text(uid, FIELD(here, "uid"), errors);
        }
    }
    map_free(&seen, NULL);
}

static void validate_allocation(const json_t *claim, const json_t *allocation,
                                const struct field_path *path, struct field_errors *errors)
{
    const json_t *results = json_path(allocation, "devices", "results");
    const json_t *selector = json_object_get(allocation, "nodeSelector");
    const struct field_path *list = FIELD(FIELD(path, "devices"), "results");
    struct map known = MAP_INIT;
    collect_requests(json_path(claim, "spec", "devices", "requests"), &known);
    validate_device_count(results, LIST_MAX, list, errors);
    for (size_t i = 0; i < json_array_size(results); i++) {
        const json_t *result = json_array_get(results, i);
        const struct field_path *here = FIELD_INDEX(list, i);
        validate_reference(check_text(result, "request"), &known, FIELD(here, "request"), errors);
        validate_csi_driver_name(json_object_get(result, "driver"), FIELD(here, "driver"), errors);
        validate_pool_name(json_object_get(result, "pool"), FIELD(here, "pool"), errors);
        check_invalid_text(check_text(result, "device"),
                           names_check_dns_label(check_text(result, "device")),
                           FIELD(here, "device"), errors);
    }
    validate_given_settings(allocation, path, errors);
    if (selector != NULL) {
        validate_node_selector(selector, true, FIELD(path, "nodeSelector"), errors);
    }
    map_free(&known, NULL);
}

/* While the claim is going, nobody new comes to use it. */
static bool has_new_consumers(const json_t *now, const json_t *before)
{
    struct map old = MAP_INIT;
    bool has = false;
    check_collect(&old, before, "uid");
    for (size_t i = 0; i < json_array_size(now); i++) {
        has = has || map_get(&old, check_text(json_array_get(now, i), "uid")) == NULL;
    }
    map_free(&old, NULL);
    return has;
}

static void validate_claim_status(const struct write *write, struct field_errors *errors)
{
    const json_t *status = json_object_get(write->object, "status");
    const json_t *live = json_object_get(write->live, "status");
    const json_t *consumers = json_object_get(status, "reservedFor");
    const json_t *allocation = json_object_get(status, "allocation");
    const struct field_path *path = FIELD(NULL, "status");
    const struct field_path *consumers_path = FIELD(path, "reservedFor");
    const struct field_path *allocation_path = FIELD(path, "allocation");
    validate_consumers(consumers, consumers_path, errors);
    if (json_array_size(consumers) > 0 && allocation == NULL) {
        field_error(errors, FIELD_FORBIDDEN, consumers_path, NULL,
                    "may not be specified when `allocated` is not set");
    } else if (json_path(write->object, "metadata", "deletionTimestamp") != NULL &&
               has_new_consumers(consumers, json_object_get(live, "reservedFor"))) {
        field_error(errors, FIELD_FORBIDDEN, consumers_path, NULL,
                    "new entries may not be added while `deallocationRequested` or "
                    "`deletionTimestamp` are set");
    }
    if (allocation != NULL && check_has(live, "allocation")) {
        check_immutable(allocation, json_object_get(live, "allocation"), allocation_path, errors);
    } else if (allocation != NULL) {
        validate_allocation(write->object, allocation, allocation_path, errors);
    }
    validate_device_status(status, path, errors);
}

/* ---- access as an administrator ---- */

static bool is_administration(const struct write *write)
{
    const struct resource *namespaces = registry_resource(write->registry, "", "namespaces");
    cleanup(object_release)
    struct object *object = registry_get(write->registry, namespaces, "", write->namespace);
    cleanup(json_release)
    json_t *namespace = object ? object_tree(object) : NULL;
    return check_is(json_path(namespace, "metadata", "labels"),
                    "resource.kubernetes.io/admin-access", "true");
}

/* Devices that others use are for namespaces that are marked for that. 'step' leads from an element
 * to what asks; NULL: it does itself. */
static void validate_administration(const struct write *write, const json_t *list, const char *step,
                                    const struct field_path *path, struct field_errors *errors)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *element = json_array_get(list, i);
        const json_t *asking = step ? json_object_get(element, step) : element;
        if (!json_get_bool(asking, "adminAccess", false)) {
            continue;
        }
        if (!is_administration(write)) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(FIELD_INDEX(path, i), "adminAccess"), NULL,
                        "admin access to devices requires the `resource.kubernetes.io/"
                        "admin-access: true` label on the containing namespace");
        }
        return; /* The first one speaks for all. */
    }
}

/* Of a claim's spec; of a template's, upstream tells the same path. */
static void validate_administration_of(const struct write *write, const json_t *spec,
                                       struct field_errors *errors)
{
    validate_administration(write, json_path((json_t *)spec, "devices", "requests"), "exactly",
                            FIELD(FIELD(FIELD(NULL, "spec"), "devices"), "requests"), errors);
}

/* What was allocated never changes. */
static void validate_given_administration(const struct write *write, struct field_errors *errors)
{
    const json_t *devices = json_path(write->object, "status", "allocation", "devices");
    const struct field_path *path =
        FIELD(FIELD(FIELD(FIELD(NULL, "status"), "allocation"), "devices"), "results");
    if (json_path(write->live, "status", "allocation") == NULL) {
        validate_administration(write, json_object_get(devices, "results"), NULL, path, errors);
    }
}

/* ---- the kinds ---- */

void validate_resource_claim(const struct write *write, struct field_errors *errors)
{
    if (strcmp(write->subresource, "status") == 0) {
        validate_claim_status(write, errors);
        validate_given_administration(write, errors);
    } else if (write->live == NULL) { /* The spec never changes. */
        const json_t *spec = json_object_get(write->object, "spec");
        validate_claim_spec(spec, FIELD(NULL, "spec"), errors);
        validate_administration_of(write, spec, errors);
    }
}

void validate_resource_claim_template(const struct write *write, struct field_errors *errors)
{
    static const char *const allowed[] = {"annotations", "labels", NULL};
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *metadata = json_object_get(spec, "metadata");
    const struct field_path *path = FIELD(NULL, "spec");
    const struct field_path *metadata_path = FIELD(path, "metadata");
    const char *key;
    json_t *value;
    if (write->live != NULL) {
        return;
    }
    json_object_foreach ((json_t *)metadata, key, value) {
        if (!check_one_of(key, allowed) && !json_is_null(value)) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(metadata_path, key), NULL, "cannot be set");
        }
    }
    names_validate_labels(json_object_get(metadata, "labels"), FIELD(metadata_path, "labels"),
                          errors);
    names_validate_annotations(json_object_get(metadata, "annotations"),
                               FIELD(metadata_path, "annotations"), errors);
    validate_claim_spec(json_object_get(spec, "spec"), FIELD(path, "spec"), errors);
    validate_administration_of(write, json_object_get(spec, "spec"), errors);
}

void validate_device_class(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *config = json_object_get(spec, "config");
    const struct field_path *path = FIELD(NULL, "spec");
    const struct field_path *config_path = FIELD(path, "config");
    validate_selectors(json_object_get(spec, "selectors"), FIELD(path, "selectors"), errors);
    validate_device_count(config, LIST_MAX, config_path, errors);
    for (size_t i = 0; i < json_array_size(config); i++) {
        validate_settings(json_array_get(config, i), FIELD_INDEX(config_path, i), errors);
    }
}

// SPDX-License-Identifier: Apache-2.0
/* Classes of volumes, attachments, and what CSI drivers tell of themselves. */
#include "apiserver/registry/validation/storage.h"

#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/selectors.h"
#include "apiserver/registry/validation/volume_sources.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"
#include "common/quantity.h"

enum {
    PARAMETERS_MAX = 512,
    PARAMETERS_BYTES_MAX = 256 * 1024,
    ERROR_BYTES_MAX = 1024,
    NODE_ID_MAX = 256,
};

/* ---- what classes have in common ---- */

static void validate_provisioner(const json_t *object, const char *member,
                                 struct field_errors *errors)
{
    cleanup(free_char)
    char *name = duplicate(check_text(object, member));
    for (char *at = name; *at != '\0'; at++) {
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at - 'A' + 'a' : *at);
    }
    if (name[0] != '\0') {
        cleanup(free_char)
        char *message = names_check_qualified(name);
        check_invalid_text(name, message, FIELD(NULL, member), errors);
    }
}

static size_t map_bytes(const json_t *map)
{
    size_t size = 0;
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)map, key, value) {
        size += strlen(key) + json_string_length(value);
    }
    return size;
}

static void validate_parameters(const json_t *parameters, bool needed, struct field_errors *errors)
{
    const struct field_path *path = FIELD(NULL, "parameters");
    if (json_object_size(parameters) > PARAMETERS_MAX) {
        field_error(errors, FIELD_TOO_LONG, path, NULL, "may not be more than %d bytes",
                    PARAMETERS_MAX);
        return;
    }
    if (check_has(parameters, "")) {
        check_invalid_text("", "field can not be empty.", path, errors);
    }
    if (map_bytes(parameters) > PARAMETERS_BYTES_MAX) {
        field_error(errors, FIELD_TOO_LONG, path, NULL, "may not be more than %d bytes",
                    PARAMETERS_BYTES_MAX);
    }
    if (needed && json_object_size(parameters) == 0) {
        field_error(errors, FIELD_REQUIRED, path, NULL, "must contain at least one key/value pair");
    }
}

static void forbid_change(const struct write *write, const char *member,
                          struct field_errors *errors)
{
    if (write->live != NULL && !check_equal(json_object_get(write->object, member),
                                            json_object_get(write->live, member))) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(NULL, member), NULL,
                    "updates to %s are forbidden.", member);
    }
}

/* ---- storage classes ---- */

/* What the term says, in one order, so that two can be compared. The caller's. */
static char *validate_topology(const json_t *term, const struct field_path *path,
                               struct field_errors *errors)
{
    const json_t *list = json_object_get(term, "matchLabelExpressions");
    cleanup(json_release)
    json_t *keys = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *requirement = json_array_get(list, i);
        const json_t *values = json_object_get(requirement, "values");
        const char *key = check_text(requirement, "key");
        const struct field_path *here = FIELD_INDEX(FIELD(path, "matchLabelExpressions"), i);
        cleanup(json_release)
        json_t *seen = json_object();
        for (size_t j = 0; j < json_array_size(values); j++) {
            const char *value = json_string_value(json_array_get(values, j));
            if (check_has(seen, value)) {
                check_duplicate_text(value, FIELD_INDEX(FIELD(here, "values"), j), errors);
            }
            json_object_set_new(seen, value, json_true());
        }
        if (check_has(keys, key)) {
            check_duplicate_text(key, FIELD(here, "key"), errors);
        }
        cleanup(free_char)
        char *message = key[0] != '\0' ? names_check_qualified(key) : NULL;
        check_invalid_text(key, message, FIELD(here, "key"), errors);
        json_object_set(keys, key, seen);
    }
    return json_dumps(keys, JSON_SORT_KEYS | JSON_COMPACT);
}

void validate_storage_class(const struct write *write, struct field_errors *errors)
{
    const json_t *topologies = json_object_get(write->object, "allowedTopologies");
    const struct field_path *path = FIELD(NULL, "allowedTopologies");
    struct map seen = MAP_INIT;
    validate_provisioner(write->object, "provisioner", errors);
    validate_parameters(json_object_get(write->object, "parameters"), false, errors);
    for (size_t i = 0; i < json_array_size(topologies); i++) {
        const struct field_path *here = FIELD_INDEX(path, i);
        cleanup(free_char)
        char *term = validate_topology(json_array_get(topologies, i), here, errors);
        if (map_set(&seen, term, &seen) != NULL) {
            check_duplicate_text("", FIELD(here, "matchLabelExpressions"), errors);
        }
    }
    map_free(&seen, NULL);
    forbid_change(write, "parameters", errors);
    forbid_change(write, "provisioner", errors);
    forbid_change(write, "reclaimPolicy", errors);
}

void validate_volume_attributes_class(const struct write *write, struct field_errors *errors)
{
    validate_provisioner(write->object, "driverName", errors);
    validate_parameters(json_object_get(write->object, "parameters"), true, errors);
    forbid_change(write, "driverName", errors);
    forbid_change(write, "parameters", errors);
}

/* ---- attachments ---- */

static void validate_attached(const json_t *source, const struct field_path *path,
                              struct field_errors *errors)
{
    const json_t *name = json_object_get(source, "persistentVolumeName");
    const json_t *spec = json_object_get(source, "inlineVolumeSpec");
    const struct field_path *name_path = FIELD(path, "persistentVolumeName");
    if ((name == NULL) == (spec == NULL)) {
        field_error(errors, name ? FIELD_FORBIDDEN : FIELD_REQUIRED, path, NULL,
                    "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
    } else if (name == NULL) {
        validate_inline_volume_spec(spec, FIELD(path, "inlineVolumeSpec"), errors);
    } else if (json_string_length(name) == 0) {
        field_error(errors, FIELD_REQUIRED, name_path, NULL,
                    "must specify non empty persistentVolumeName");
    } else {
        check_subdomain(name, name_path, errors);
    }
}

static void validate_volume_error(const json_t *error, const struct field_path *path,
                                  struct field_errors *errors)
{
    const json_t *code = json_object_get(error, "errorCode");
    if (strlen(check_text(error, "message")) > ERROR_BYTES_MAX) {
        field_error(errors, FIELD_TOO_LONG, FIELD(path, "message"), NULL,
                    "may not be more than %d bytes", PARAMETERS_BYTES_MAX);
    }
    if (json_integer_value(code) < 0) {
        field_error(errors, FIELD_INVALID, FIELD(path, "errorCode"), code,
                    "must be between 0 and 2147483647, inclusive");
    }
}

static void validate_attachment_status(const json_t *status, struct field_errors *errors)
{
    static const struct field_path path = {.name = "status"};
    if (map_bytes(json_object_get(status, "attachmentMetadata")) > PARAMETERS_BYTES_MAX) {
        field_error(errors, FIELD_TOO_LONG, FIELD(&path, "attachmentMetadata"), NULL,
                    "may not be more than %d bytes", PARAMETERS_BYTES_MAX);
    }
    validate_volume_error(json_object_get(status, "attachError"), FIELD(&path, "attachError"),
                          errors);
    validate_volume_error(json_object_get(status, "detachError"), FIELD(&path, "detachError"),
                          errors);
}

void validate_volume_attachment(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const struct field_path *path = FIELD(NULL, "spec");
    validate_attachment_status(json_object_get(write->object, "status"), errors);
    if (write->subresource[0] != '\0') {
        return;
    }
    validate_csi_driver_name(json_object_get(spec, "attacher"), FIELD(path, "attacher"), errors);
    validate_attached(json_object_get(spec, "source"), FIELD(path, "source"), errors);
    check_subdomain(json_object_get(spec, "nodeName"), FIELD(path, "nodeName"), errors);
}

/* ---- drivers ---- */

static void validate_token_requests(const json_t *requests, const struct field_path *path,
                                    struct field_errors *errors)
{
    struct map seen = MAP_INIT;
    for (size_t i = 0; i < json_array_size(requests); i++) {
        const json_t *request = json_array_get(requests, i);
        const json_t *seconds = json_object_get(request, "expirationSeconds");
        const struct field_path *here = FIELD_INDEX(path, i);
        const struct field_path *seconds_path = FIELD(here, "expirationSeconds");
        const char *audience = check_text(request, "audience");
        if (map_set(&seen, audience, &seen) != NULL) {
            check_duplicate_text(audience, FIELD(here, "audience"), errors);
        } else if (seconds != NULL && json_integer_value(seconds) < 600) {
            field_error(errors, FIELD_INVALID, seconds_path, seconds,
                        "may not specify a duration less than 10 minutes");
        } else if (json_integer_value(seconds) > INT64_C(1) << 32) {
            field_error(errors, FIELD_INVALID, seconds_path, seconds,
                        "may not specify a duration larger than 2^32 seconds");
        }
    }
    map_free(&seen, NULL);
}

void validate_csi_driver(const struct write *write, struct field_errors *errors)
{
    static const char *const modes[] = {"Persistent", "Ephemeral", NULL};
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *live = json_object_get(write->live, "spec");
    const json_t *period = json_object_get(spec, "nodeAllocatableUpdatePeriodSeconds");
    const json_t *list = json_object_get(spec, "volumeLifecycleModes");
    const struct field_path *path = FIELD(NULL, "spec");
    validate_token_requests(json_object_get(spec, "tokenRequests"), FIELD(path, "tokenRequests"),
                            errors);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *mode = json_string_value(json_array_get(list, i));
        if (!check_one_of(mode, modes)) {
            check_not_supported(mode, modes, FIELD(path, "volumeLifecycleModes"), errors);
        }
    }
    if (period != NULL && json_integer_value(period) < 10) {
        field_error(errors, FIELD_INVALID, FIELD(path, "nodeAllocatableUpdatePeriodSeconds"),
                    period, "must be greater than or equal to 10 seconds");
    }
    if (live != NULL) {
        check_immutable(json_object_get(spec, "attachRequired"),
                        json_object_get(live, "attachRequired"), FIELD(path, "attachedRequired"),
                        errors);
        check_immutable(list, json_object_get(live, "volumeLifecycleModes"),
                        FIELD(path, "volumeLifecycleModes"), errors);
    }
}

/* ---- what nodes tell of their drivers ---- */

static void validate_node_driver(const json_t *driver, const struct field_path *path,
                                 struct field_errors *errors)
{
    const json_t *keys = json_object_get(driver, "topologyKeys");
    struct map seen = MAP_INIT;
    validate_csi_driver_name(json_object_get(driver, "name"), FIELD(path, "name"), errors);
    if (strlen(check_text(driver, "nodeID")) > NODE_ID_MAX) {
        field_error(errors, FIELD_INVALID, FIELD(path, "nodeID"), json_object_get(driver, "nodeID"),
                    "must be %d characters or less", NODE_ID_MAX);
    }
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const char *key = json_string_value(json_array_get(keys, i));
        cleanup(free_char)
        char *message = names_check_qualified(key);
        if (key[0] == '\0') {
            field_error(errors, FIELD_REQUIRED, path, NULL, NULL);
        }
        if (map_set(&seen, key, &seen) != NULL) {
            check_duplicate_text(key, path, errors);
        }
        check_invalid_text(key, message, path, errors);
    }
    map_free(&seen, NULL);
}

/* A driver that is there may only tell of another number of volumes. */
static void validate_node_driver_update(const json_t *now, const json_t *before,
                                        struct field_errors *errors)
{
    cleanup(json_release)
    json_t *new = json_copy((json_t *)now);
    cleanup(json_release)
    json_t *old = json_copy((json_t *)before);
    json_object_del(new, "allocatable");
    json_object_del(old, "allocatable");
    check_immutable(new, old, FIELD(FIELD(NULL, "spec"), "drivers"), errors);
}

void validate_csi_node(const struct write *write, struct field_errors *errors)
{
    const json_t *drivers = json_path(write->object, "spec", "drivers");
    const json_t *live = json_path(write->live, "spec", "drivers");
    const struct field_path *path = FIELD(FIELD(NULL, "spec"), "drivers");
    struct map before = MAP_INIT;
    check_collect(&before, live, "name");
    for (size_t i = 0; i < json_array_size(drivers); i++) {
        const json_t *driver = json_array_get(drivers, i);
        const json_t *old = map_get(&before, check_text(driver, "name"));
        validate_node_driver(driver, FIELD_INDEX(path, i), errors);
        if (old != NULL) {
            validate_node_driver_update(driver, old, errors);
        }
    }
    map_free(&before, NULL);
}

void validate_csi_storage_capacity(const struct write *write, struct field_errors *errors)
{
    const json_t *amount = json_object_get(write->object, "capacity");
    const json_t *class = json_object_get(write->object, "storageClassName");
    struct quantity quantity;
    validate_label_selector(json_object_get(write->object, "nodeTopology"),
                            FIELD(NULL, "nodeTopology"), errors);
    check_subdomain(class, FIELD(NULL, "storageClassName"), errors);
    if (quantity_parse(check_text(write->object, "capacity"), &quantity) && quantity.nano < 0) {
        field_error(errors, FIELD_INVALID, FIELD(NULL, "capacity"), amount,
                    "must be greater than or equal to 0");
    }
}

// SPDX-License-Identifier: Apache-2.0
/* ResourceSlices: what devices there are, and on which nodes. */
#include <regex.h>
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/devices.h"
#include "apiserver/registry/validation/selectors.h"
#include "apiserver/registry/validation/volume_sources.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

enum { DEVICES_MAX = 128, PROPERTIES_MAX = 32, VALUE_MAX = 64, TAINTS_MAX = 4 };

static const struct field_path spec_path = {.name = "spec"};

/* ---- where ---- */

/* Adds the name of each way in which 'object' says which nodes, and what is wrong with it. */
static size_t validate_nodes(const json_t *object, struct buffer *ways,
                             const struct field_path *path, struct field_errors *errors)
{
    static const char *const flags[] = {"allNodes", "perDeviceNodeSelection"};
    const json_t *node = json_object_get(object, "nodeName");
    const json_t *selector = json_object_get(object, "nodeSelector");
    size_t count = 0;
    if (node != NULL && json_string_length(node) == 0) {
        field_error(errors, FIELD_INVALID, FIELD(path, "nodeName"), node,
                    "must be either unset or set to a non-empty string");
    } else if (node != NULL) {
        check_subdomain(node, FIELD(path, "nodeName"), errors);
        buffer_addf(ways, "%s`nodeName`", count++ > 0 ? ", " : "");
    }
    if (selector != NULL) {
        const json_t *terms = json_object_get(selector, "nodeSelectorTerms");
        validate_node_selector(selector, true, FIELD(path, "nodeSelector"), errors);
        if (json_array_size(terms) != 1) {
            cleanup(json_release)
            json_t *none = json_null();
            field_error(errors, FIELD_INVALID,
                        FIELD(FIELD(path, "nodeSelector"), "nodeSelectorTerms"),
                        terms ? terms : none, "must have exactly one node selector term");
        }
        buffer_addf(ways, "%s`nodeSelector`", count++ > 0 ? ", " : "");
    }
    for (size_t i = 0; i < array_length(flags); i++) {
        const json_t *flag = json_object_get(object, flags[i]);
        if (json_is_false(flag)) {
            field_error(errors, FIELD_INVALID, FIELD(path, flags[i]), flag,
                        "must be either unset or set to true");
        } else if (flag != NULL) {
            buffer_addf(ways, "%s`%s`", count++ > 0 ? ", " : "", flags[i]);
        }
    }
    return count;
}

/* ---- a device ---- */

/* A version as semver.org has it. */
static bool is_version(const char *text)
{
    static const char pattern[] =
        "^(0|[1-9][0-9]*)\\.(0|[1-9][0-9]*)\\.(0|[1-9][0-9]*)"
        "(-[0-9A-Za-z-]+(\\.[0-9A-Za-z-]+)*)?(\\+[0-9A-Za-z-]+(\\.[0-9A-Za-z-]+)*)?$";
    regex_t compiled;
    if (regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        return false;
    }
    bool found = regexec(&compiled, text, 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

static void validate_attribute(const json_t *attribute, const struct field_path *path,
                               struct field_errors *errors)
{
    static const char *const texts[] = {"string", "version"};
    const json_t *version = json_object_get(attribute, "version");
    if (json_object_size(attribute) == 0) {
        field_error(errors, FIELD_REQUIRED, path, NULL, "exactly one value must be specified");
    } else if (json_object_size(attribute) > 1) {
        field_error(errors, FIELD_INVALID, path, attribute, "exactly one value must be specified");
    }
    for (size_t i = 0; i < array_length(texts); i++) {
        if (strlen(check_text(attribute, texts[i])) > VALUE_MAX) {
            field_error(errors, FIELD_TOO_LONG, FIELD(path, texts[i]), NULL,
                        "may not be more than %d bytes", VALUE_MAX);
        }
    }
    if (version != NULL && !is_version(json_string_value(version))) {
        field_error(errors, FIELD_INVALID, FIELD(path, "version"), version,
                    "must be a string compatible with semver.org spec 2.0.0");
    }
}

static void validate_properties(const json_t *device, const struct field_path *path,
                                struct field_errors *errors)
{
    const json_t *attributes = json_object_get(device, "attributes");
    const json_t *capacity = json_object_get(device, "capacity");
    const struct field_path *attributes_path = FIELD(path, "attributes");
    const struct field_path *capacity_path = FIELD(path, "capacity");
    size_t count = json_object_size(attributes) + json_object_size(capacity);
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)attributes, name, value) {
        validate_device_property(name, false, FIELD_KEY(attributes_path, name), errors);
        validate_attribute(value, FIELD_KEY(attributes_path, name), errors);
    }
    json_object_foreach ((json_t *)capacity, name, value) {
        validate_device_property(name, false, FIELD_KEY(capacity_path, name), errors);
    }
    if (count > PROPERTIES_MAX) {
        cleanup(json_release)
        json_t *shown = json_integer((json_int_t)count);
        field_error(errors, FIELD_INVALID, path, shown,
                    "the total number of attributes and capacities must not exceed %d",
                    PROPERTIES_MAX);
    }
}

static void validate_device_nodes(const json_t *device, bool each, const struct field_path *path,
                                  struct field_errors *errors)
{
    static const char detail[] =
        "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
        "`perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    cleanup(buffer_free)
    struct buffer ways = BUFFER_INIT;
    size_t count = validate_nodes(device, &ways, path, errors);
    if (!each && count > 0) {
        cleanup(json_release)
        json_t *none = json_null();
        field_error(errors, FIELD_INVALID, path, none,
                    "`nodeName`, `nodeSelector` and `allNodes` can only be set if "
                    "`perDeviceNodeSelection` is set to true in the ResourceSlice spec");
    } else if (each && count == 0) {
        field_error(errors, FIELD_REQUIRED, path, NULL, detail);
    } else if (each && count > 1) {
        cleanup(free_char)
        char *shown = format("{%s}", buffer_text(&ways));
        check_invalid_text(shown, detail, path, errors);
    }
}

static void validate_devices(const json_t *spec, struct field_errors *errors)
{
    const json_t *devices = json_object_get(spec, "devices");
    const struct field_path *path = FIELD(&spec_path, "devices");
    bool each = json_get_bool(spec, "perDeviceNodeSelection", false);
    struct map seen = MAP_INIT;
    validate_device_count(devices, DEVICES_MAX, path, errors);
    for (size_t i = 0; i < json_array_size(devices); i++) {
        const json_t *device = json_array_get(devices, i);
        const json_t *taints = json_object_get(device, "taints");
        const char *name = check_text(device, "name");
        const struct field_path *here = FIELD_INDEX(path, i);
        if (map_set(&seen, name, &seen) != NULL) {
            check_duplicate_text(name, FIELD(here, "name"), errors);
        }
        validate_properties(device, here, errors);
        validate_device_nodes(device, each, here, errors);
        validate_device_count(taints, TAINTS_MAX, FIELD(here, "taints"), errors);
        for (size_t j = 0; j < json_array_size(taints); j++) {
            const char *value = check_text(json_array_get(taints, j), "value");
            check_invalid_text(value, names_check_label_value(value),
                               FIELD(FIELD_INDEX(FIELD(here, "taints"), j), "value"), errors);
        }
    }
    map_free(&seen, NULL);
}

/* ---- the slice ---- */

static void validate_pool(const json_t *pool, const json_t *live, struct field_errors *errors)
{
    const json_t *name = json_object_get(pool, "name");
    const json_t *generation = json_object_get(pool, "generation");
    const json_t *count = json_object_get(pool, "resourceSliceCount");
    const struct field_path *path = FIELD(&spec_path, "pool");
    validate_pool_name(name, FIELD(path, "name"), errors);
    if (json_integer_value(generation) < 0) {
        field_error(errors, FIELD_INVALID, FIELD(path, "generation"), generation,
                    "must be greater than or equal to 0");
    }
    check_positive(count, FIELD(path, "resourceSliceCount"), errors);
    if (live != NULL) {
        check_immutable(name, json_object_get(live, "name"), FIELD(path, "name"), errors);
    }
}

void validate_resource_slice(const struct write *write, struct field_errors *errors)
{
    static const char detail[] = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, "
                                 "`perDeviceNodeSelection` is required";
    const json_t *spec = json_object_get(write->object, "spec");
    cleanup(buffer_free)
    struct buffer ways = BUFFER_INIT;
    validate_csi_driver_name(json_object_get(spec, "driver"), FIELD(&spec_path, "driver"), errors);
    validate_pool(json_object_get(spec, "pool"), json_path(write->live, "spec", "pool"), errors);
    size_t count = validate_nodes(spec, &ways, &spec_path, errors);
    if (count == 0) {
        field_error(errors, FIELD_REQUIRED, &spec_path, NULL, "%s", detail);
    } else if (count > 1) {
        cleanup(free_char)
        char *shown = format("{%s}", buffer_text(&ways));
        cleanup(free_char)
        char *message = format("%s, but multiple fields are set", detail);
        check_invalid_text(shown, message, &spec_path, errors);
    }
    validate_devices(spec, errors);
}

// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/validation/classes.h"

#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pods.h"
#include "apiserver/registry/validation/resources.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

/* ---- priorities ---- */

static const char system_prefix[] = "system-";
enum { PRIORITY_MAX = 1000000000 };

static const struct {
    const char *name;
    json_int_t value;
} system_classes[] = {
    {"system-node-critical", 2000001000},
    {"system-cluster-critical", 2000000000},
};

/* Why the class is none of the system's own; the caller's, NULL when it is one. */
static char *complaint_about_system_class(const json_t *class, const char *name)
{
    for (size_t i = 0; i < array_length(system_classes); i++) {
        if (strcmp(system_classes[i].name, name) != 0) {
            continue;
        }
        if (json_get_int(class, "value", 0) != system_classes[i].value) {
            return format("value of %s PriorityClass must be %lld", name,
                          (long long)system_classes[i].value);
        }
        return json_get_bool(class, "globalDefault", false)
                   ? format("globalDefault of %s PriorityClass must be false", name)
                   : NULL;
    }
    return format("%s is not a known system priority class", name);
}

void validate_priority_class(const struct write *write, struct field_errors *errors)
{
    const char *name = check_text(json_object_get(write->object, "metadata"), "name");
    json_int_t value = json_get_int(write->object, "value", 0);
    const struct field_path *value_path = FIELD(NULL, "value");
    if (write->live != NULL) {
        if (value != json_get_int(write->live, "value", 0)) {
            field_error(errors, FIELD_FORBIDDEN, value_path, NULL,
                        "may not be changed in an update.");
        }
        return;
    }
    if (check_starts_with(name, system_prefix)) {
        cleanup(free_char)
        char *complaint = complaint_about_system_class(write->object, name);
        if (complaint != NULL) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(FIELD(NULL, "metadata"), "name"), NULL,
                        "priority class names with 'system-' prefix are reserved for system use "
                        "only. error: %s",
                        complaint);
        }
    } else if (value > PRIORITY_MAX) {
        field_error(errors, FIELD_FORBIDDEN, value_path, NULL,
                    "maximum allowed value of a user defined priority is %d", PRIORITY_MAX);
    }
}

/* ---- runtimes ---- */

void validate_runtime_class(const struct write *write, struct field_errors *errors)
{
    const json_t *scheduling = json_object_get(write->object, "scheduling");
    const json_t *fixed = json_path(write->object, "overhead", "podFixed");
    const struct field_path *path = FIELD(NULL, "scheduling");
    if (fixed != NULL) {
        cleanup(json_release)
        json_t *limits = json_pack("{s:O}", "limits", fixed);
        validate_resource_requirements(limits, validate_container_resource_name, NULL,
                                       FIELD(NULL, "overhead"), errors);
    }
    names_validate_labels(json_object_get(scheduling, "nodeSelector"), FIELD(path, "nodeSelector"),
                          errors);
    validate_tolerations(json_object_get(scheduling, "tolerations"), FIELD(path, "tolerations"),
                         errors);
}

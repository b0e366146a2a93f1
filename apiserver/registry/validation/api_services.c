// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/extensions.h"
#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"
#include "common/names.h"

static const struct field_path spec_path = {.name = "spec"};

static void validate_priority(const json_t *spec, const char *member, int most,
                              struct field_errors *errors)
{
    json_int_t priority = json_get_int(spec, member, 0);
    if (priority <= 0 || priority > most) {
        cleanup(json_release)
        json_t *shown = json_integer(priority);
        field_error(errors, FIELD_INVALID, FIELD(&spec_path, member), shown,
                    "must be positive and less than %d", most);
    }
}

/* Without a service it is this server that serves the group, which needs no authority. */
static void validate_local(const json_t *spec, struct field_errors *errors)
{
    const json_t *bundle = json_object_get(spec, "caBundle");
    if (json_string_length(bundle) > 0) {
        size_t length = 0;
        free(base64_decode(json_string_value(bundle), json_string_length(bundle), &length));
        cleanup(free_char)
        char *shown = format("%zu bytes", length);
        check_invalid_text(shown, "local APIServices may not have a caBundle",
                           FIELD(&spec_path, "caBundle"), errors);
    }
    if (json_get_bool(spec, "insecureSkipTLSVerify", false)) {
        field_error(errors, FIELD_INVALID, FIELD(&spec_path, "insecureSkipTLSVerify"),
                    json_object_get(spec, "insecureSkipTLSVerify"),
                    "local APIServices may not have insecureSkipTLSVerify");
    }
}

static void validate_service(const json_t *spec, const json_t *service, struct field_errors *errors)
{
    static const char *const members[] = {"namespace", "name"};
    const struct field_path *path = FIELD(&spec_path, "service");
    for (size_t i = 0; i < array_length(members); i++) {
        if (check_text(service, members[i])[0] == '\0') {
            field_error(errors, FIELD_REQUIRED, FIELD(path, members[i]), NULL, NULL);
        }
    }
    if (json_get_bool(spec, "insecureSkipTLSVerify", false) &&
        check_text(spec, "caBundle")[0] != '\0') {
        field_error(errors, FIELD_INVALID, FIELD(&spec_path, "insecureSkipTLSVerify"),
                    json_object_get(spec, "insecureSkipTLSVerify"),
                    "may not be true if caBundle is present");
    }
}

static void validate_conditions(const json_t *conditions, struct field_errors *errors)
{
    static const char *const supported[] = {"True", "False", "Unknown", NULL};
    const struct field_path *path = FIELD(FIELD(NULL, "status"), "conditions");
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        const char *status = check_text(json_array_get(conditions, i), "status");
        if (!check_one_of(status, supported)) {
            check_not_supported(status, supported, FIELD(FIELD_INDEX(path, i), "status"), errors);
        }
    }
}

void validate_api_service(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *service = json_object_get(spec, "service");
    const char *group = check_text(spec, "group"), *version = check_text(spec, "version");
    const char *name = check_text(json_object_get(write->object, "metadata"), "name");
    if (write->subresource[0] != '\0') {
        validate_conditions(json_path(write->object, "status", "conditions"), errors);
        return;
    }
    cleanup(free_char)
    char *required_name = format("%s.%s", version, group);
    if (strcmp(name, required_name) != 0) {
        cleanup(free_char)
        char *message = format("must be `spec.version+\".\"+spec.group`: \"%s\"", required_name);
        check_invalid_text(name, message, FIELD(FIELD(NULL, "metadata"), "name"), errors);
    }
    if (group[0] == '\0' && strcmp(version, "v1") != 0) {
        field_error(errors, FIELD_REQUIRED, FIELD(&spec_path, "group"), NULL,
                    "only v1 may have an empty group and it better be legacy kube");
    }
    check_subdomain(json_object_get(spec, "group"), FIELD(&spec_path, "group"), errors);
    check_invalid_text(version, names_check_dns1035_label(version), FIELD(&spec_path, "version"),
                       errors);
    validate_priority(spec, "groupPriorityMinimum", 20000, errors);
    validate_priority(spec, "versionPriority", 1000, errors);
    if (service == NULL) {
        validate_local(spec, errors);
    } else {
        validate_service(spec, service, errors);
    }
}

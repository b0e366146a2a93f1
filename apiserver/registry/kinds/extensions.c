// SPDX-License-Identifier: Apache-2.0
/* What extends the API: webhooks, policies, definitions, API services. */
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/defaults.h"
#include "apiserver/registry/validation/extensions.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

/* ---- admission ---- */

static const char admission[] = "admissionregistration.k8s.io";

const struct kind kind_mutating_webhook_configuration = {
    .group = admission,
    .plural = "mutatingwebhookconfigurations",
    .validate = validate_webhook_configuration,
    .acknowledged_when_cached = true,
};

const struct kind kind_validating_webhook_configuration = {
    .group = admission,
    .plural = "validatingwebhookconfigurations",
    .validate = validate_webhook_configuration,
    .acknowledged_when_cached = true,
};

const struct kind kind_validating_admission_policy = {
    .group = admission,
    .plural = "validatingadmissionpolicies",
    .validate = validate_admission_policy,
};

const struct kind kind_validating_admission_policy_binding = {
    .group = admission,
    .plural = "validatingadmissionpolicybindings",
    .validate = validate_admission_policy_binding,
};

/* ---- API services ---- */

/* What this server serves itself is always there. */
static bool api_service_prepare_create(struct write *write, struct error *error)
{
    (void)error;
    char now[TIMESTAMP_SIZE];
    if (json_path(write->object, "spec", "service") != NULL) {
        return true;
    }
    timestamp_format(timestamp_now(), now);
    json_object_set_new(write->object, "status",
                        json_pack("{s:[{s:s, s:s, s:s, s:s, s:s}]}", "conditions", "type",
                                  "Available", "status", "True", "lastTransitionTime", now,
                                  "reason", "Local", "message",
                                  "Local APIServices are always available"));
    return true;
}

const struct kind kind_api_service = {
    .group = "apiregistration.k8s.io",
    .plural = "apiservices",
    .prepare_create = api_service_prepare_create,
    .validate = validate_api_service,
};

/* ---- custom resource definitions ---- */

static void definition_fill_defaults(json_t *object)
{
    json_t *names = json_path(object, "spec", "names");
    const char *kind = json_get_string(names, "kind");
    if (kind == NULL) {
        return;
    }
    cleanup(free_char)
    char *singular = duplicate(kind);
    for (char *c = singular; *c != '\0'; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    }
    default_set(names, "singular", json_string(singular));
    default_set(names, "listKind", json_sprintf("%sList", kind));
}

static bool definition_prepare_create(struct write *write, struct error *error)
{
    (void)error;
    json_t *stored = json_array();
    json_t *versions = json_path(write->object, "spec", "versions");
    for (size_t i = 0; i < json_array_size(versions); i++) {
        json_t *version = json_array_get(versions, i);
        if (json_get_bool(version, "storage", false)) {
            json_array_append(stored, json_object_get(version, "name"));
        }
    }
    json_object_set_new(write->object, "status",
                        json_pack("{s:o, s:{s:s, s:s}, s:[]}", "storedVersions", stored,
                                  "acceptedNames", "plural", "", "kind", "", "conditions"));
    return true;
}

/* Objects are stored in a new storage version from now on, beside those that were before. */
static bool definition_prepare_update(struct write *write, struct error *error)
{
    (void)error;
    const json_t *versions = json_path(write->object, "spec", "versions");
    json_t *status = json_deep_copy(json_object_get(write->object, "status")); /* The live one's. */
    json_t *stored = json_object_get(status, "storedVersions");
    json_object_set_new(write->object, "status", status ? status : json_object());
    for (size_t i = 0; write->subresource[0] == '\0' && i < json_array_size(versions); i++) {
        const json_t *version = json_array_get(versions, i);
        const char *name = json_get_string(version, "name");
        if (json_get_bool(version, "storage", false) && name != NULL && stored != NULL &&
            !json_array_has_string(stored, name)) {
            json_array_append_new(stored, json_string(name));
        }
    }
    return true;
}

const struct kind kind_custom_resource_definition = {
    .group = "apiextensions.k8s.io",
    .plural = "customresourcedefinitions",
    .fill_defaults = definition_fill_defaults,
    .prepare_create = definition_prepare_create,
    .prepare_update = definition_prepare_update,
    .validate = validate_definition,
    .needs_revision = true,
};

// SPDX-License-Identifier: Apache-2.0
/* Small hooks of other groups. */
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/defaults.h"
#include "apiserver/registry/validation/classes.h"
#include "apiserver/registry/validation/warnings.h"
#include "common/alloc.h"
#include "common/json.h"

/* ---- network policies ---- */

/* Ingress always, egress if there are rules for it. */
static const struct conditional_default network_policy_defaults[] = {
    {"spec", "policyTypes", "[\"Ingress\",\"Egress\"]", "egress", default_when_present},
    {"spec", "policyTypes", "[\"Ingress\"]", NULL, NULL},
    {0},
};

const struct kind kind_network_policy = {
    .group = "networking.k8s.io",
    .plural = "networkpolicies",
    .defaults = network_policy_defaults,
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

const struct kind kind_custom_resource_definition = {
    .group = "apiextensions.k8s.io",
    .plural = "customresourcedefinitions",
    .fill_defaults = definition_fill_defaults,
    .prepare_create = definition_prepare_create,
    .needs_revision = true,
};

/* ---- classes ---- */

const struct kind kind_priority_class = {
    .group = "scheduling.k8s.io",
    .plural = "priorityclasses",
    .validate = validate_priority_class,
};

const struct kind kind_runtime_class = {
    .group = "node.k8s.io",
    .plural = "runtimeclasses",
    .validate = validate_runtime_class,
    .warn = warn_about_runtime_class,
};

/* ---- device claims and slices ---- */

static const struct conditional_default claim_defaults[] = {
    {"spec.devices.requests.exactly", "count", "1", "allocationMode", "ExactCount"},
    {"spec.devices.requests.firstAvailable", "count", "1", "allocationMode", "ExactCount"},
    {0},
};

static const struct conditional_default claim_template_defaults[] = {
    {"spec.spec.devices.requests.exactly", "count", "1", "allocationMode", "ExactCount"},
    {"spec.spec.devices.requests.firstAvailable", "count", "1", "allocationMode", "ExactCount"},
    {0},
};

static const struct conditional_default slice_defaults[] = {
    {"spec.devices.taints", "timeAdded", NULL, NULL, NULL},
    {0},
};

const struct kind kind_resource_claim = {
    .group = "resource.k8s.io",
    .plural = "resourceclaims",
    .defaults = claim_defaults,
};

const struct kind kind_resource_claim_template = {
    .group = "resource.k8s.io",
    .plural = "resourceclaimtemplates",
    .defaults = claim_template_defaults,
};

const struct kind kind_resource_slice = {
    .group = "resource.k8s.io",
    .plural = "resourceslices",
    .defaults = slice_defaults,
};

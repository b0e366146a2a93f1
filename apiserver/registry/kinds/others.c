// SPDX-License-Identifier: Apache-2.0
/* Small hooks of other groups. */
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/defaults.h"
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

/* ---- certificate requests ---- */

/* Who asks is taken from the request, whatever the body says. */
static bool request_prepare_create(struct write *write, struct error *error)
{
    (void)error;
    if (write->request == NULL) {
        return true;
    }
    const struct user *user = &write->request->user;
    json_t *spec = json_get_or_add_object(write->object, "spec");
    json_t *groups = json_array();
    for (size_t i = 0; i < user->group_count; i++) {
        json_array_append_new(groups, json_string(user->groups[i]));
    }
    json_object_set_new(spec, "username", json_string(user->name));
    json_object_set_new(spec, "groups", groups);
    json_object_del(spec, "uid");
    json_object_del(spec, "extra");
    if (user->uid != NULL && user->uid[0] != '\0') {
        json_object_set_new(spec, "uid", json_string(user->uid));
    }
    if (user->extra != NULL) {
        json_object_set(spec, "extra", user->extra);
    }
    return true;
}

static bool request_prepare_update(struct write *write, struct error *error)
{
    (void)error;
    json_t *spec = json_object_get(write->live, "spec");
    if (spec != NULL) {
        json_object_set(write->object, "spec", spec);
    }
    return true;
}

const struct kind kind_certificate_request = {
    .group = "certificates.k8s.io",
    .plural = "certificatesigningrequests",
    .prepare_create = request_prepare_create,
    .prepare_update = request_prepare_update,
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

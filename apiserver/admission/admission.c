// SPDX-License-Identifier: Apache-2.0
#include "apiserver/admission/admission.h"

#include <string.h>

#include "apiserver/admission/configuration.h"
#include "common/alloc.h"
#include "common/buffer.h"

/* In the order in which they are asked; one a line. */
/* clang-format off */
static const struct admission_plugin *const plugins[] = {
    &admission_always_admit,
    &admission_namespace_auto_provision,
    &admission_namespace_lifecycle,
    &admission_namespace_exists,
    &admission_limit_anti_affinity,
    &admission_limit_ranger,
    &admission_service_account,
    &admission_node_restriction,
    &admission_taint_nodes_by_condition,
    &admission_always_pull_images,
    &admission_pod_security,
    &admission_pod_node_selector,
    &admission_priority,
    &admission_default_toleration_seconds,
    &admission_pod_toleration_restriction,
    &admission_extended_resource_toleration,
    &admission_default_storage_class,
    &admission_storage_protection,
    &admission_owner_references,
    &admission_persistent_volume_claim_resize,
    &admission_runtime_class,
    &admission_certificate_approval,
    &admission_cluster_trust_bundle_attest,
    &admission_certificate_signing,
    &admission_certificate_subject_restriction,
    &admission_default_ingress_class,
    &admission_deny_service_external_ips,
    &admission_pod_topology_labels,
    &admission_mutating_webhook,
    &admission_validating_webhook,
    &admission_event_rate_limit,
    &admission_resource_quota,
    &admission_always_deny,
};
/* clang-format on */

/* ---- which are enabled ---- */

/* Upstream's that are not there yet: one may do without them, but not rely on them. */
static bool check_missing(const char *name, size_t length, bool enable, struct error *error)
{
    static const char *const missing[] = {"ImagePolicyWebhook", "MutatingAdmissionPolicy",
                                          "ValidatingAdmissionPolicy"};
    for (size_t i = 0; i < array_length(missing); i++) {
        if (strlen(missing[i]) == length && memcmp(missing[i], name, length) == 0) {
            return !enable || error_bad_request(
                                  error, "enable-admission-plugins plugin \"%s\" is not there yet",
                                  missing[i]);
        }
    }
    return error_bad_request(error, "%s-admission-plugins plugin \"%.*s\" is unknown; see --help",
                             enable ? "enable" : "disable", (int)length, name);
}

/* Sets or clears the bits of the plugins in a list. */
static bool apply_list(const char *list, bool enable, uint64_t *enabled, struct error *error)
{
    _Static_assert(array_length(plugins) <= 64, "a bit each");
    for (const char *name = list != NULL ? list : ""; *name != '\0';) {
        size_t length = strcspn(name, ","), i = 0;
        while (i < array_length(plugins) && (strlen(plugins[i]->name) != length ||
                                             memcmp(plugins[i]->name, name, length) != 0)) {
            i++;
        }
        if (i == array_length(plugins) && !check_missing(name, length, enable, error)) {
            return false;
        }
        uint64_t bit = i < array_length(plugins) ? UINT64_C(1) << i : 0;
        *enabled = enable ? *enabled | bit : *enabled & ~bit;
        name += length + (name[length] == ',');
    }
    return true;
}

/* A limit that nobody has set is none. */
static bool check_configured(const struct admission_options *options, struct error *error)
{
    for (size_t i = 0; i < array_length(plugins); i++) {
        bool enabled = (options->enabled & (UINT64_C(1) << i)) != 0;
        if (plugins[i] == &admission_event_rate_limit && enabled &&
            options->event_rate_limit == NULL) {
            return error_bad_request(error, "the admission plugin EventRateLimit needs a "
                                            "configuration: --admission-control-config-file");
        }
    }
    return true;
}

bool admission_configure(struct admission_options *options, struct error *error)
{
    options->enabled = 0;
    for (size_t i = 0; i < array_length(plugins); i++) {
        if (plugins[i]->is_on_by_default) {
            options->enabled |= UINT64_C(1) << i;
        }
    }
    if (!apply_list(options->disable, false, &options->enabled, error) ||
        !apply_list(options->enable, true, &options->enabled, error)) {
        return false;
    }
    if (!admission_configuration_read(options, options->configuration_file, error) ||
        !check_configured(options, error)) {
        admission_configuration_clear(options);
        return false;
    }
    return true;
}

char *admission_names(void)
{
    cleanup(buffer_free)
    struct buffer names = BUFFER_INIT;
    for (size_t i = 0; i < array_length(plugins); i++) {
        buffer_addf(&names, "%s%s", i > 0 ? ", " : "", plugins[i]->name);
    }
    return buffer_steal(&names);
}

/* ---- the chain ---- */

static bool is_asked(const struct write *write, size_t plugin)
{
    return write->request != NULL &&
           (write->registry->admission.enabled & (UINT64_C(1) << plugin)) != 0;
}

bool admission_admit(struct write *write, struct error *error)
{
    for (size_t i = 0; i < array_length(plugins); i++) {
        if (is_asked(write, i) && plugins[i]->admit != NULL && !plugins[i]->admit(write, error)) {
            return false;
        }
    }
    return true;
}

bool admission_admit_again(struct write *write, struct error *error)
{
    for (size_t i = 0; i < array_length(plugins); i++) {
        bool is_other = plugins[i] != &admission_mutating_webhook;
        if (is_other && is_asked(write, i) && plugins[i]->admit != NULL &&
            !plugins[i]->admit(write, error)) {
            return false;
        }
    }
    return true;
}

bool admission_validate(const struct write *write, struct error *error)
{
    for (size_t i = 0; i < array_length(plugins); i++) {
        if (is_asked(write, i) && plugins[i]->validate != NULL &&
            !plugins[i]->validate(write, error)) {
            return false;
        }
    }
    return true;
}

bool admission_admit_body(struct write *write, struct error *error)
{
    for (size_t i = 0; i < array_length(plugins); i++) {
        if (plugins[i]->sees_bodies && is_asked(write, i) && plugins[i]->admit != NULL &&
            !plugins[i]->admit(write, error)) {
            return false;
        }
    }
    return true;
}

bool admission_validate_body(const struct write *write, struct error *error)
{
    for (size_t i = 0; i < array_length(plugins); i++) {
        if (plugins[i]->sees_bodies && is_asked(write, i) && plugins[i]->validate != NULL &&
            !plugins[i]->validate(write, error)) {
            return false;
        }
    }
    return true;
}

bool admission_is_about(const struct write *write, const char *group, const char *plural)
{
    return write->subresource[0] == '\0' && strcmp(write->storage->plural, plural) == 0 &&
           strcmp(write->storage->group, group) == 0;
}

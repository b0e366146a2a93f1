// SPDX-License-Identifier: Apache-2.0
#include "apiserver/admission/configuration.h"

#include <string.h>

#include "apiserver/admission/event_rate_limit.h"
#include "apiserver/admission/pod_node_selector.h"
#include "apiserver/admission/pod_security_configuration.h"
#include "apiserver/admission/pod_toleration_restriction.h"
#include "apiserver/admission/quota_limits.h"
#include "apiserver/admission/webhook_credentials.h"
#include "common/alloc.h"
#include "common/json.h"

/* ---- plugins ---- */

static bool read_event_rate_limit(struct admission_options *options, const json_t *json,
                                  struct error *error)
{
    event_rate_limit_free(options->event_rate_limit);
    return (options->event_rate_limit = event_rate_limit_new(json, error)) != NULL;
}

static bool read_pod_security(struct admission_options *options, const json_t *json,
                              struct error *error)
{
    pod_security_configuration_free(options->pod_security);
    return (options->pod_security = pod_security_configuration_new(json, error)) != NULL;
}

static bool read_quota(struct admission_options *options, const json_t *json, struct error *error)
{
    quota_limits_free(options->quota_limits);
    return (options->quota_limits = quota_limits_new(json, error)) != NULL;
}

static bool read_mutating(struct admission_options *options, const json_t *json,
                          struct error *error)
{
    webhook_credentials_free(options->mutating_credentials);
    options->mutating_credentials = NULL;
    return webhook_credentials_read(json, &options->mutating_credentials, error);
}

static bool read_validating(struct admission_options *options, const json_t *json,
                            struct error *error)
{
    webhook_credentials_free(options->validating_credentials);
    options->validating_credentials = NULL;
    return webhook_credentials_read(json, &options->validating_credentials, error);
}

static bool read_tolerations(struct admission_options *options, const json_t *json,
                             struct error *error)
{
    if (!pod_toleration_restriction_check(json, error)) {
        return false;
    }
    json_decref(options->tolerations);
    options->tolerations = json_incref((json_t *)json);
    return true;
}

/* A namespace's name, or clusterDefaultNodeSelector, and labels each. */
static bool read_node_selectors(struct admission_options *options, const json_t *json,
                                struct error *error)
{
    static const char part[] = "podNodeSelectorPluginConfig";
    static const struct configuration_member members[] = {{part, JSON_OBJECT}, {NULL, 0}};
    if (!configuration_check(json, "", members, error)) {
        return false;
    }
    const char *name;
    json_t *selector;
    json_object_foreach (json_object_get(json, part), name, selector) {
        cleanup(json_release)
        json_t *labels = json_is_string(selector)
                             ? pod_node_selector_labels(json_string_value(selector), error)
                             : NULL;
        if (labels == NULL) {
            return error_bad_request(error, "%s.%s: must be labels: a=b,c=d", part, name);
        }
    }
    json_decref(options->node_selectors);
    options->node_selectors = json_incref(json_object_get(json, part));
    return true;
}

/* Those of no version are told apart by nothing but the plugin's name. */
static const struct {
    const char *plugin, *api_version, *kind;
    bool (*read)(struct admission_options *options, const json_t *json, struct error *error);
} readers[] = {
    {"EventRateLimit", "eventratelimit.admission.k8s.io/v1alpha1", "Configuration",
     read_event_rate_limit},
    {"MutatingAdmissionWebhook", "apiserver.config.k8s.io/v1", "WebhookAdmissionConfiguration",
     read_mutating},
    {"MutatingAdmissionWebhook", "apiserver.config.k8s.io/v1alpha1", "WebhookAdmission",
     read_mutating},
    {"PodNodeSelector", NULL, NULL, read_node_selectors},
    {"PodSecurity", "pod-security.admission.config.k8s.io/v1", "PodSecurityConfiguration",
     read_pod_security},
    {"PodSecurity", "pod-security.admission.config.k8s.io/v1beta1", "PodSecurityConfiguration",
     read_pod_security},
    {"PodTolerationRestriction", "podtolerationrestriction.admission.k8s.io/v1alpha1",
     "Configuration", read_tolerations},
    {"ResourceQuota", "apiserver.config.k8s.io/v1", "ResourceQuotaConfiguration", read_quota},
    {"ResourceQuota", "resourcequota.admission.k8s.io/v1beta1", "Configuration", read_quota},
    {"ResourceQuota", "resourcequota.admission.k8s.io/v1alpha1", "Configuration", read_quota},
    {"ValidatingAdmissionWebhook", "apiserver.config.k8s.io/v1", "WebhookAdmissionConfiguration",
     read_validating},
    {"ValidatingAdmissionWebhook", "apiserver.config.k8s.io/v1alpha1", "WebhookAdmission",
     read_validating},
};

static bool is_text(const json_t *object, const char *name, const char *expected)
{
    const char *text = json_get_string(object, name);
    return text != NULL && strcmp(text, expected) == 0;
}

static bool read_plugin(struct admission_options *options, const char *name, const json_t *json,
                        struct error *error)
{
    bool takes_any = false;
    for (size_t i = 0; i < array_length(readers); i++) {
        if (strcmp(readers[i].plugin, name) != 0) {
            continue;
        }
        takes_any = true;
        if (readers[i].api_version == NULL ||
            (is_text(json, "apiVersion", readers[i].api_version) &&
             is_text(json, "kind", readers[i].kind))) {
            return readers[i].read(options, json, error);
        }
    }
    const char *version = json_get_string(json, "apiVersion"),
               *kind = json_get_string(json, "kind");
    return takes_any
               ? error_bad_request(error, "no configuration of %s is kind \"%s\" of \"%s\"", name,
                                   kind ? kind : "", version ? version : "")
               : error_bad_request(error, "the plugin \"%s\" takes no configuration here", name);
}

/* ---- files ---- */

/* Beside the file that names it, unless it is absolute. */
static char *path_beside(const char *file, const char *path)
{
    const char *slash = strrchr(file, '/');
    return path[0] == '/' || slash == NULL ? duplicate(path)
                                           : format("%.*s/%s", (int)(slash - file), file, path);
}

/* What a plugin's entry says, from wherever it says it. The caller's. */
static json_t *configuration_of(const json_t *entry, const char *file, struct error *error)
{
    const char *path = json_get_string(entry, "path");
    json_t *in_place = json_object_get(entry, "configuration");
    bool has_path = path != NULL && path[0] != '\0',
         has_both = has_path && json_is_object(in_place);
    if (has_both || (!has_path && !json_is_object(in_place))) {
        error_bad_request(error, "one of path and configuration is needed");
        return NULL;
    }
    if (!has_path) {
        return json_incref(in_place);
    }
    cleanup(free_char)
    char *beside = path_beside(file, path);
    return configuration_read_yaml(beside, error);
}

static bool read_entry(struct admission_options *options, const json_t *entry, const char *file,
                       struct error *error)
{
    const char *name = json_get_string(entry, "name");
    if (name == NULL || name[0] == '\0') {
        return error_bad_request(error, "name: Required value");
    }
    cleanup(json_release)
    json_t *json = configuration_of(entry, file, error);
    return json != NULL && read_plugin(options, name, json, error);
}

static bool read_all(struct admission_options *options, const json_t *json, const char *file,
                     struct error *error)
{
    static const struct configuration_member members[] = {
        {"apiVersion", JSON_STRING}, {"kind", JSON_STRING}, {"plugins", JSON_ARRAY}, {NULL, 0}};
    static const struct configuration_member plugin_members[] = {
        {"name", JSON_STRING}, {"path", JSON_STRING}, {"configuration", JSON_OBJECT}, {NULL, 0}};
    if (!configuration_check(json, "", members, error)) {
        return false;
    }
    if (!is_text(json, "kind", "AdmissionConfiguration") ||
        !is_text(json, "apiVersion", "apiserver.config.k8s.io/v1")) {
        return error_bad_request(
            error, "must be kind AdmissionConfiguration of apiserver.config.k8s.io/v1");
    }
    size_t i;
    json_t *entry;
    json_array_foreach (json_object_get(json, "plugins"), i, entry) {
        cleanup(free_char)
        char *path = format("plugins[%zu]", i);
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        if (!configuration_check(entry, path, plugin_members, error)) {
            return false;
        }
        if (!read_entry(options, entry, file, &why)) {
            return error_wrap(error, &why, "%s", path);
        }
    }
    return true;
}

bool admission_configuration_read(struct admission_options *options, const char *path,
                                  struct error *error)
{
    if (path == NULL) {
        return true;
    }
    cleanup(json_release)
    json_t *json = configuration_read_yaml(path, error);
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    return json != NULL && (read_all(options, json, path, &why) ||
                            error_wrap(error, &why, "--admission-control-config-file: %s", path));
}

void admission_configuration_clear(struct admission_options *options)
{
    event_rate_limit_free(options->event_rate_limit);
    pod_security_configuration_free(options->pod_security);
    quota_limits_free(options->quota_limits);
    json_decref(options->node_selectors);
    json_decref(options->tolerations);
    webhook_credentials_free(options->mutating_credentials);
    webhook_credentials_free(options->validating_credentials);
}

// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/authz_plan.h"

#include <string.h>

#include "common/alloc.h"
#include "common/configuration.h"
#include "common/json.h"
#include "common/names.h"
#include "common/timestamp.h"

static const char *const mode_names[MODE_COUNT] = {"AlwaysAllow", "AlwaysDeny", "Node", "RBAC",
                                                   "Webhook"};

void authz_plan_clear(struct authz_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        free(plan->steps[i].name);
        free(plan->steps[i].config_file);
    }
    plan->count = 0;
}

bool authz_plan_has(const struct authz_plan *plan, enum authz_mode mode)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->steps[i].mode == mode) {
            return true;
        }
    }
    return false;
}

static enum authz_mode find_mode(const char *name, size_t length)
{
    size_t mode = 0;
    while (mode < MODE_COUNT &&
           (strlen(mode_names[mode]) != length || memcmp(mode_names[mode], name, length) != 0)) {
        mode++;
    }
    return (enum authz_mode)mode;
}

/* ---- flags ---- */

static bool add_mode(struct authz_plan *plan, const struct authz_options *options, const char *name,
                     size_t length, struct error *error)
{
    enum authz_mode mode = find_mode(name, length);
    if (mode == MODE_COUNT) {
        return error_bad_request(error, "authorization-mode \"%.*s\" is not a valid mode",
                                 (int)length, name);
    }
    if (authz_plan_has(plan, mode)) {
        return error_bad_request(
            error, "authorization-mode \"%s\" has mode specified more than once", mode_names[mode]);
    }
    plan->steps[plan->count++] = (struct authz_plan_step){
        .mode = mode,
        .webhook = {.config_file = options->webhook_config_file,
                    .is_v1 = strcmp(options->webhook_version, "v1") == 0,
                    .authorized_ttl_ns = options->webhook_authorized_ttl_ns,
                    .unauthorized_ttl_ns = options->webhook_unauthorized_ttl_ns}};
    return true;
}

static bool take_flags(struct authz_plan *plan, const struct authz_options *options,
                       struct error *error)
{
    const char *list = options->modes != NULL ? options->modes : "Node,RBAC";
    for (const char *name = list; *name != '\0';) {
        size_t length = strcspn(name, ",");
        if (!add_mode(plan, options, name, length, error)) {
            return false;
        }
        name += length + (name[length] == ',');
    }
    if (plan->count == 0) {
        return error_bad_request(error, "at least one authorization-mode must be passed");
    }
    if (authz_plan_has(plan, MODE_WEBHOOK) != (options->webhook_config_file != NULL)) {
        return options->webhook_config_file != NULL
                   ? error_bad_request(error, "cannot specify --authorization-webhook-config-file "
                                              "without mode Webhook")
                   : error_bad_request(error, "authorization-mode Webhook's authorization config "
                                              "file not passed");
    }
    return strcmp(options->webhook_version, "v1") == 0 ||
           strcmp(options->webhook_version, "v1beta1") == 0 ||
           error_bad_request(error, "--authorization-webhook-version must be v1 or v1beta1");
}

/* ---- a configuration ---- */

static bool is_text(const json_t *object, const char *name, const char *expected)
{
    const char *text = json_get_string(object, name);
    return text != NULL && strcmp(text, expected) == 0;
}

/* A duration in '*ns', which keeps what it holds when there is none. */
static bool take_duration(const json_t *webhook, const char *path, const char *name, int64_t *ns,
                          struct error *error)
{
    const char *text = json_get_string(webhook, name);
    return text == NULL || (duration_parse(text, ns) && *ns > 0) ||
           error_bad_request(error, "%s.%s: Invalid value: \"%s\": must be greater than zero", path,
                             name, text);
}

static bool take_times(struct webhook_authorizer_options *options, const json_t *webhook,
                       const char *path, struct error *error)
{
    static const int64_t most_ns = INT64_C(30) * 1000000000;
    int64_t timeout_ns = 0;
    options->authorized_ttl_ns = INT64_C(300) * 1000000000;
    options->unauthorized_ttl_ns = INT64_C(30) * 1000000000;
    if (!take_duration(webhook, path, "timeout", &timeout_ns, error) ||
        !take_duration(webhook, path, "authorizedTTL", &options->authorized_ttl_ns, error) ||
        !take_duration(webhook, path, "unauthorizedTTL", &options->unauthorized_ttl_ns, error)) {
        return false;
    }
    if (timeout_ns == 0 || timeout_ns > most_ns) {
        return error_bad_request(error,
                                 timeout_ns == 0
                                     ? "%s.timeout: Required value"
                                     : "%s.timeout: Invalid value: must be less than or equal to "
                                       "30s",
                                 path);
    }
    options->timeout_ms = (int)(timeout_ns / 1000000);
    if (!json_get_bool(webhook, "cacheAuthorizedRequests", true)) {
        options->authorized_ttl_ns = 0;
    }
    if (!json_get_bool(webhook, "cacheUnauthorizedRequests", true)) {
        options->unauthorized_ttl_ns = 0;
    }
    return true;
}

static bool take_connection(struct authz_plan_step *step, const json_t *info, const char *path,
                            struct error *error)
{
    static const struct configuration_member members[] = {
        {"type", JSON_STRING}, {"kubeConfigFile", JSON_STRING}, {NULL, 0}};
    const char *file = json_get_string(info, "kubeConfigFile");
    if (!configuration_check(info, path, members, error)) {
        return false;
    }
    if (is_text(info, "type", "InClusterConfig")) {
        return file == NULL ||
               error_bad_request(error,
                                 "%s.kubeConfigFile: Invalid value: can only be set when "
                                 "type=KubeConfigFile",
                                 path);
    }
    if (!is_text(info, "type", "KubeConfigFile")) {
        return error_bad_request(error, "%s.type: must be InClusterConfig or KubeConfigFile", path);
    }
    if (file == NULL || file[0] != '/') {
        return error_bad_request(error, "%s.kubeConfigFile: must be an absolute path", path);
    }
    step->config_file = duplicate(file);
    step->webhook.config_file = step->config_file;
    return true;
}

static bool take_webhook(struct authz_plan_step *step, const json_t *webhook, const char *path,
                         struct error *error)
{
    static const struct configuration_member members[] = {
        {"timeout", JSON_STRING},
        {"authorizedTTL", JSON_STRING},
        {"unauthorizedTTL", JSON_STRING},
        {"cacheAuthorizedRequests", JSON_TRUE},
        {"cacheUnauthorizedRequests", JSON_TRUE},
        {"subjectAccessReviewVersion", JSON_STRING},
        {"matchConditionSubjectAccessReviewVersion", JSON_STRING},
        {"failurePolicy", JSON_STRING},
        {"connectionInfo", JSON_OBJECT},
        {"matchConditions", JSON_ARRAY},
        {NULL, 0}};
    if (!configuration_check(webhook, path, members, error) ||
        !take_times(&step->webhook, webhook, path, error)) {
        return false;
    }
    step->webhook.is_v1 = is_text(webhook, "subjectAccessReviewVersion", "v1");
    if (!step->webhook.is_v1 && !is_text(webhook, "subjectAccessReviewVersion", "v1beta1")) {
        return error_bad_request(error, "%s.subjectAccessReviewVersion: must be v1 or v1beta1",
                                 path);
    }
    step->webhook.denies_on_failure = is_text(webhook, "failurePolicy", "Deny");
    if (!step->webhook.denies_on_failure && !is_text(webhook, "failurePolicy", "NoOpinion")) {
        return error_bad_request(error, "%s.failurePolicy: must be NoOpinion or Deny", path);
    }
    if (json_array_size(json_object_get(webhook, "matchConditions")) > 0) {
        return error_bad_request(
            error, "%s.matchConditions: this server can't evaluate expressions yet", path);
    }
    cleanup(free_char)
    char *info = format("%s.connectionInfo", path);
    return take_connection(step, json_object_get(webhook, "connectionInfo"), info, error);
}

static bool has_name(const struct authz_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (strcmp(plan->steps[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Adds the authorizer, whose webhook is read next, to the plan. */
static bool take_authorizer(struct authz_plan *plan, const json_t *json, const char *path,
                            struct error *error)
{
    static const struct configuration_member members[] = {
        {"type", JSON_STRING}, {"name", JSON_STRING}, {"webhook", JSON_OBJECT}, {NULL, 0}};
    if (!configuration_check(json, path, members, error)) {
        return false;
    }
    const char *type = json_get_string(json, "type"), *name = json_get_string(json, "name");
    enum authz_mode mode = type != NULL ? find_mode(type, strlen(type)) : MODE_COUNT;
    if (mode == MODE_COUNT) {
        return error_bad_request(error, "%s.type: Unsupported value: \"%s\"", path,
                                 type ? type : "");
    }
    if (mode != MODE_WEBHOOK && authz_plan_has(plan, mode)) {
        return error_bad_request(error, "%s.type: Duplicate value: \"%s\"", path, type);
    }
    if (name == NULL || names_check_dns_subdomain(name) != NULL) {
        return error_bad_request(error, "%s.name: must be a DNS subdomain", path);
    }
    if (has_name(plan, name)) {
        return error_bad_request(error, "%s.name: Duplicate value: \"%s\"", path, name);
    }
    const json_t *webhook = json_object_get(json, "webhook");
    if (json_is_object(webhook) != (mode == MODE_WEBHOOK)) {
        return error_bad_request(error,
                                 mode == MODE_WEBHOOK
                                     ? "%s.webhook: Required value: required when type=Webhook"
                                     : "%s.webhook: may only be specified when type=Webhook",
                                 path);
    }
    struct authz_plan_step *step = &plan->steps[plan->count++];
    *step = (struct authz_plan_step){.mode = mode, .name = duplicate(name)};
    cleanup(free_char)
    char *webhook_path = format("%s.webhook", path);
    return mode != MODE_WEBHOOK || take_webhook(step, webhook, webhook_path, error);
}

static bool take_configuration(struct authz_plan *plan, const json_t *json, struct error *error)
{
    static const struct configuration_member members[] = {
        {"apiVersion", JSON_STRING}, {"kind", JSON_STRING}, {"authorizers", JSON_ARRAY}, {NULL, 0}};
    const json_t *list = json_object_get(json, "authorizers");
    if (!configuration_check(json, "", members, error)) {
        return false;
    }
    if (!is_text(json, "kind", "AuthorizationConfiguration") ||
        !(is_text(json, "apiVersion", "apiserver.config.k8s.io/v1") ||
          is_text(json, "apiVersion", "apiserver.config.k8s.io/v1beta1"))) {
        return error_bad_request(
            error, "must be kind AuthorizationConfiguration of apiserver.config.k8s.io/v1");
    }
    if (json_array_size(list) == 0 || json_array_size(list) > authz_steps_max) {
        return error_bad_request(error, "authorizers: Required value: at least one authorization "
                                        "mode must be defined, and at most 16");
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        cleanup(free_char)
        char *path = format("authorizers[%zu]", i);
        if (!take_authorizer(plan, json_array_get(list, i), path, error)) {
            return false;
        }
    }
    return true;
}

static bool take_file(struct authz_plan *plan, const struct authz_options *options,
                      struct error *error)
{
    if (options->modes != NULL || options->webhook_config_file != NULL) {
        return error_bad_request(error, "--authorization-config can not be specified when "
                                        "--authorization-mode or --authorization-webhook-* flags "
                                        "are specified");
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *json = configuration_read_yaml(options->config_file, error);
    return json != NULL &&
           (take_configuration(plan, json, &why) ||
            error_wrap(error, &why, "--authorization-config: %s", options->config_file));
}

bool authz_plan_make(struct authz_plan *plan, const struct authz_options *options,
                     struct error *error)
{
    *plan = (struct authz_plan){0};
    return options->config_file != NULL ? take_file(plan, options, error)
                                        : take_flags(plan, options, error);
}

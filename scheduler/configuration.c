// SPDX-License-Identifier: Apache-2.0
#include "scheduler/configuration.h"

#include <inttypes.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

void scheduler_configuration_default(struct scheduler_configuration *configuration,
                                     const char *scheduler_name)
{
    *configuration = (struct scheduler_configuration){
        .profile_count = 1, .initial_backoff_s = 1, .max_backoff_s = 10};
    configuration->profiles[0] = profile_default;
    configuration->profiles[0].scheduler_name = scheduler_name;
}

void scheduler_configuration_clear(struct scheduler_configuration *configuration)
{
    json_decref(configuration->json);
    *configuration = (struct scheduler_configuration){0};
}

bool scheduler_configuration_check_range(const json_t *object, const char *path, const char *name,
                                         int64_t least, int64_t most, struct error *error)
{
    const json_t *value = json_object_get(object, name);
    int64_t number = json_get_int(object, name, least);
    return !json_is_integer(value) || (number >= least && number <= most) ||
           error_bad_request(error,
                             "%s%s%s: Invalid value: %" PRId64 ": not in valid range [%" PRId64
                             "-%" PRId64 "]",
                             path, *path != '\0' ? "." : "", name, number, least, most);
}

/* ---- the service ---- */

/* A duration such as "15s", absent as well. */
static bool read_duration(const json_t *object, const char *name, int64_t *nanoseconds,
                          struct error *error)
{
    const char *text = json_get_string(object, name);
    return text == NULL || (duration_parse(text, nanoseconds) && *nanoseconds > 0) ||
           error_bad_request(error,
                             "leaderElection.%s: Invalid value: \"%s\": must be greater than zero",
                             name, text);
}

static void read_text(const json_t *object, const char *name, const char **text)
{
    const char *value = json_get_string(object, name);
    *text = value != NULL && *value != '\0' ? value : *text;
}

static bool read_leader_election(const json_t *json, struct service_options *options,
                                 struct error *error)
{
    static const struct configuration_member members[] = {
        {"leaderElect", JSON_TRUE},         {"leaseDuration", JSON_STRING},
        {"renewDeadline", JSON_STRING},     {"retryPeriod", JSON_STRING},
        {"resourceLock", JSON_STRING},      {"resourceName", JSON_STRING},
        {"resourceNamespace", JSON_STRING}, {NULL, 0},
    };
    if (json == NULL || json_is_null(json)) {
        return true;
    }
    const char *lock = json_get_string(json, "resourceLock");
    if (!configuration_check(json, "leaderElection", members, error)) {
        return false;
    }
    if (lock != NULL && strcmp(lock, "leases") != 0) {
        return error_bad_request(error,
                                 "leaderElection.resourceLock: Invalid value: \"%s\": "
                                 "resourceLock value must be \"leases\"",
                                 lock);
    }
    options->leader_elect = json_get_bool(json, "leaderElect", true);
    read_text(json, "resourceName", &options->lease_name);
    read_text(json, "resourceNamespace", &options->lease_namespace);
    return read_duration(json, "leaseDuration", &options->lease_duration, error) &&
           read_duration(json, "renewDeadline", &options->renew_deadline, error) &&
           read_duration(json, "retryPeriod", &options->retry_period, error);
}

static bool read_client_connection(const json_t *json, struct service_options *options,
                                   struct error *error)
{
    static const struct configuration_member members[] = {
        {"kubeconfig", JSON_STRING},  {"acceptContentTypes", JSON_STRING},
        {"contentType", JSON_STRING}, {"qps", JSON_INTEGER},
        {"burst", JSON_INTEGER},      {NULL, 0},
    };
    if (json == NULL || json_is_null(json)) {
        return true;
    }
    if (!configuration_check(json, "clientConnection", members, error)) {
        return false;
    }
    read_text(json, "kubeconfig", &options->kubeconfig);
    options->qps = json_get_int(json, "qps", options->qps);
    options->burst = json_get_int(json, "burst", options->burst);
    return true;
}

/* ---- profiles ---- */

static bool is_taken(const struct scheduler_configuration *configuration, const char *name)
{
    for (size_t i = 0; i < configuration->profile_count; i++) {
        if (strcmp(configuration->profiles[i].scheduler_name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool read_profile(struct scheduler_configuration *configuration, const json_t *json,
                         bool is_only, const char *path, struct error *error)
{
    static const struct configuration_member members[] = {
        {"schedulerName", JSON_STRING},
        {"percentageOfNodesToScore", JSON_INTEGER},
        {"plugins", JSON_OBJECT},
        {"pluginConfig", JSON_ARRAY},
        {NULL, 0},
    };
    struct profile *profile = &configuration->profiles[configuration->profile_count];
    cleanup(free_char)
    char *plugins = format("%s.plugins", path);
    cleanup(free_char)
    char *arguments = format("%s.pluginConfig", path);
    if (!configuration_check(json, path, members, error) ||
        !scheduler_configuration_check_range(json, path, "percentageOfNodesToScore", 0, 100,
                                             error)) {
        return false;
    }
    const char *name = json_get_string(json, "schedulerName");
    name = name == NULL && is_only ? "default-scheduler" : name;
    if (name == NULL || *name == '\0') {
        return error_bad_request(error, "%s.schedulerName: Required value", path);
    }
    if (is_taken(configuration, name)) {
        return error_bad_request(error, "%s.schedulerName: Duplicate value: \"%s\"", path, name);
    }
    *profile = profile_default;
    profile->scheduler_name = name;
    profile->percentage_of_nodes_to_score = json_get_int(json, "percentageOfNodesToScore", -1);
    configuration->profile_count++;
    return scheduler_configuration_plugins(profile, json_object_get(json, "plugins"), plugins,
                                           error) &&
           scheduler_configuration_arguments(profile, json_object_get(json, "pluginConfig"),
                                             arguments, error);
}

static bool read_profiles(struct scheduler_configuration *configuration, const json_t *list,
                          struct error *error)
{
    size_t i;
    const json_t *json;
    if (json_array_size(list) == 0) {
        configuration->profiles[0] = profile_default;
        configuration->profile_count = 1;
        return true;
    }
    if (json_array_size(list) > PROFILES_MAX) {
        return error_bad_request(error, "profiles: Too many: %zu: must have at most %d items",
                                 json_array_size(list), PROFILES_MAX);
    }
    json_array_foreach (list, i, json) {
        cleanup(free_char)
        char *path = format("profiles[%zu]", i);
        if (!read_profile(configuration, json, json_array_size(list) == 1, path, error)) {
            return false;
        }
    }
    return true;
}

/* ---- the document ---- */

static bool check_kind(const json_t *json, struct error *error)
{
    const char *version = json_get_string(json, "apiVersion"),
               *kind = json_get_string(json, "kind");
    return (version != NULL && strcmp(version, "kubescheduler.config.k8s.io/v1") == 0 &&
            kind != NULL && strcmp(kind, "KubeSchedulerConfiguration") == 0) ||
           error_bad_request(error,
                             "no kind \"%s\" is registered for version \"%s\": it must be "
                             "KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1",
                             kind != NULL ? kind : "", version != NULL ? version : "");
}

static bool read_backoff(struct scheduler_configuration *configuration, const json_t *json,
                         struct error *error)
{
    configuration->initial_backoff_s = json_get_int(json, "podInitialBackoffSeconds", 1);
    configuration->max_backoff_s = json_get_int(json, "podMaxBackoffSeconds", 10);
    if (configuration->initial_backoff_s <= 0) {
        return error_bad_request(
            error, "podInitialBackoffSeconds: Invalid value: %" PRId64 ": must be greater than 0",
            configuration->initial_backoff_s);
    }
    return (configuration->max_backoff_s >= configuration->initial_backoff_s &&
            configuration->max_backoff_s <= 86400) ||
           error_bad_request(error,
                             "podMaxBackoffSeconds: Invalid value: %" PRId64
                             ": must be greater than or equal to PodInitialBackoffSeconds",
                             configuration->max_backoff_s);
}

static bool read_document(struct scheduler_configuration *configuration,
                          struct service_options *options, struct error *error)
{
    static const struct configuration_member members[] = {
        {"apiVersion", JSON_STRING},
        {"kind", JSON_STRING},
        {"parallelism", JSON_INTEGER},
        {"leaderElection", JSON_OBJECT},
        {"clientConnection", JSON_OBJECT},
        {"enableProfiling", JSON_TRUE},
        {"enableContentionProfiling", JSON_TRUE},
        {"percentageOfNodesToScore", JSON_INTEGER},
        {"podInitialBackoffSeconds", JSON_INTEGER},
        {"podMaxBackoffSeconds", JSON_INTEGER},
        {"profiles", JSON_ARRAY},
        {"extenders", JSON_ARRAY},
        {"delayCacheUntilActive", JSON_TRUE},
        {NULL, 0},
    };
    const json_t *json = configuration->json;
    if (!check_kind(json, error) || !configuration_check(json, "", members, error) ||
        !scheduler_configuration_check_range(json, "", "percentageOfNodesToScore", 0, 100, error) ||
        !read_backoff(configuration, json, error)) {
        return false;
    }
    int64_t parallelism = json_get_int(json, "parallelism", 1);
    if (parallelism <= 0) {
        return error_bad_request(error,
                                 "parallelism: Invalid value: %" PRId64
                                 ": should be an integer value greater than zero",
                                 parallelism);
    }
    if (json_array_size(json_object_get(json, "extenders")) > 0) {
        return error_bad_request(error, "extenders: Forbidden: extenders are not supported");
    }
    configuration->percentage_of_nodes_to_score = json_get_int(json, "percentageOfNodesToScore", 0);
    return read_profiles(configuration, json_object_get(json, "profiles"), error) &&
           read_leader_election(json_object_get(json, "leaderElection"), options, error) &&
           read_client_connection(json_object_get(json, "clientConnection"), options, error);
}

bool scheduler_configuration_parse(struct scheduler_configuration *configuration, json_t *json,
                                   struct service_options *options, struct error *error)
{
    struct service_options ignored = {0};
    *configuration = (struct scheduler_configuration){.json = json};
    bool succeeded = read_document(configuration, options != NULL ? options : &ignored, error);
    if (!succeeded) {
        scheduler_configuration_clear(configuration);
    }
    return succeeded;
}

// SPDX-License-Identifier: Apache-2.0
#include "apiserver/admission/pod_security_configuration.h"

#include "apiserver/admission/configuration.h"
#include "common/alloc.h"
#include "common/json.h"

static bool read_standard(const json_t *defaults, const char *mode,
                          struct pod_security_standard *standard, struct error *error)
{
    cleanup(free_char)
    char *version_name = format("%s-version", mode);
    const char *level = json_get_string(defaults, mode);
    const char *version = json_get_string(defaults, version_name);
    *standard = (struct pod_security_standard){POD_SECURITY_PRIVILEGED, POD_SECURITY_LATEST};
    if (level != NULL && level[0] != '\0' && !pod_security_parse_level(level, &standard->level)) {
        return error_bad_request(error,
                                 "defaults.%s: Invalid value: \"%s\": must be one of privileged, "
                                 "baseline, restricted",
                                 mode, level);
    }
    return version == NULL || version[0] == '\0' ||
           pod_security_parse_version(version, &standard->minor) ||
           error_bad_request(error,
                             "defaults.%s: Invalid value: \"%s\": must be \"latest\" or \"v1.x\"",
                             version_name, version);
}

static bool read_defaults(const json_t *defaults, struct pod_security_policy *policy,
                          struct error *error)
{
    static const struct configuration_member members[] = {{"enforce", JSON_STRING},
                                                          {"enforce-version", JSON_STRING},
                                                          {"audit", JSON_STRING},
                                                          {"audit-version", JSON_STRING},
                                                          {"warn", JSON_STRING},
                                                          {"warn-version", JSON_STRING},
                                                          {NULL, 0}};
    return (defaults == NULL || json_is_null(defaults) ||
            configuration_check(defaults, "defaults", members, error)) &&
           read_standard(defaults, "enforce", &policy->enforce, error) &&
           read_standard(defaults, "audit", &policy->audit, error) &&
           read_standard(defaults, "warn", &policy->warn, error);
}

static bool check_exemptions(const json_t *exemptions, struct error *error)
{
    static const struct configuration_member members[] = {{"usernames", JSON_ARRAY},
                                                          {"runtimeClasses", JSON_ARRAY},
                                                          {"namespaces", JSON_ARRAY},
                                                          {NULL, 0}};
    if (exemptions == NULL || json_is_null(exemptions)) {
        return true;
    }
    return configuration_check(exemptions, "exemptions", members, error) &&
           configuration_check_texts(exemptions, "exemptions", "usernames", error) &&
           configuration_check_texts(exemptions, "exemptions", "runtimeClasses", error) &&
           configuration_check_texts(exemptions, "exemptions", "namespaces", error);
}

struct pod_security_configuration *pod_security_configuration_new(const json_t *json,
                                                                  struct error *error)
{
    static const struct configuration_member members[] = {{"apiVersion", JSON_STRING},
                                                          {"kind", JSON_STRING},
                                                          {"defaults", JSON_OBJECT},
                                                          {"exemptions", JSON_OBJECT},
                                                          {NULL, 0}};
    struct pod_security_policy policy;
    const json_t *exemptions = json_object_get(json, "exemptions");
    if (!configuration_check(json, "", members, error) ||
        !read_defaults(json_object_get(json, "defaults"), &policy, error) ||
        !check_exemptions(exemptions, error)) {
        return NULL;
    }
    struct pod_security_configuration *configuration =
        allocate_struct(struct pod_security_configuration);
    configuration->defaults = policy;
    configuration->usernames = json_incref(json_object_get(exemptions, "usernames"));
    configuration->runtime_classes = json_incref(json_object_get(exemptions, "runtimeClasses"));
    configuration->namespaces = json_incref(json_object_get(exemptions, "namespaces"));
    return configuration;
}

void pod_security_configuration_free(struct pod_security_configuration *configuration)
{
    if (configuration != NULL) {
        json_decref(configuration->usernames);
        json_decref(configuration->runtime_classes);
        json_decref(configuration->namespaces);
        free(configuration);
    }
}

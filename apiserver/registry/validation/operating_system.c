// SPDX-License-Identifier: Apache-2.0
/* What pods for Linux or Windows can't have, and processes of a Windows host. */
#include <ctype.h>
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pods.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

/* ---- settings of the other system ---- */

static void forbid_all(const json_t *object, const char *const *fields, const char *why,
                       const struct field_path *path, struct field_errors *errors)
{
    for (; *fields != NULL; fields++) {
        const json_t *value = json_object_get(object, *fields);
        if (value != NULL && !json_is_null(value)) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(path, *fields), NULL, "%s", why);
        }
    }
}

static const char *const of_windows[] = {"windowsOptions", NULL};
static const char *const of_linux_pod[] = {"appArmorProfile",
                                           "fsGroup",
                                           "fsGroupChangePolicy",
                                           "runAsGroup",
                                           "runAsUser",
                                           "seLinuxChangePolicy",
                                           "seLinuxOptions",
                                           "seccompProfile",
                                           "supplementalGroups",
                                           "supplementalGroupsPolicy",
                                           "sysctls",
                                           NULL};
static const char *const of_linux_spec[] = {"hostIPC", "hostPID", "hostUsers",
                                            "shareProcessNamespace", NULL};
static const char *const of_linux_container[] = {"allowPrivilegeEscalation",
                                                 "appArmorProfile",
                                                 "capabilities",
                                                 "privileged",
                                                 "procMount",
                                                 "readOnlyRootFilesystem",
                                                 "runAsGroup",
                                                 "runAsUser",
                                                 "seLinuxOptions",
                                                 "seccompProfile",
                                                 NULL};

static void forbid_in_containers(const json_t *spec, const char *const *fields, const char *why,
                                 const struct field_path *path, struct field_errors *errors)
{
    for (size_t list = 0; pod_container_lists[list] != NULL; list++) {
        const json_t *containers = json_object_get(spec, pod_container_lists[list]);
        const struct field_path *list_path = FIELD(path, pod_container_lists[list]);
        for (size_t i = 0; i < json_array_size(containers); i++) {
            forbid_all(json_object_get(json_array_get(containers, i), "securityContext"), fields,
                       why, FIELD(FIELD_INDEX(list_path, i), "securityContext"), errors);
        }
    }
}

/* ---- processes of the host ---- */

static void validate_host_process(const json_t *spec, const struct field_path *path,
                                  struct field_errors *errors)
{
    const json_t *of_pod = json_path(spec, "securityContext", "windowsOptions", "hostProcess");
    size_t all = 0, on_host = 0;
    for (size_t list = 0; pod_container_lists[list] != NULL; list++) {
        const json_t *containers = json_object_get(spec, pod_container_lists[list]);
        const struct field_path *list_path = FIELD(path, pod_container_lists[list]);
        for (size_t i = 0; i < json_array_size(containers); i++) {
            const json_t *own = json_path(json_array_get(containers, i), "securityContext",
                                          "windowsOptions", "hostProcess");
            const struct field_path *here = FIELD(FIELD_INDEX(list_path, i), "securityContext");
            if (of_pod != NULL && own != NULL && json_is_true(of_pod) != json_is_true(own)) {
                field_error(errors, FIELD_INVALID,
                            FIELD(FIELD(here, "windowsOptions"), "hostProcess"), own,
                            "pod hostProcess value must be identical if both are specified, was %s",
                            json_is_true(of_pod) ? "true" : "false");
            }
            all++;
            on_host += json_is_true(own ? own : of_pod);
        }
    }
    if (on_host > 0 && on_host != all) {
        check_invalid_text("",
                           "If pod contains any hostProcess containers then all containers must be "
                           "HostProcess containers",
                           path, errors);
    }
    if (on_host > 0 && !json_get_bool(spec, "hostNetwork", false)) {
        cleanup(json_release)
        json_t *shown = json_false();
        field_error(errors, FIELD_INVALID, FIELD(path, "hostNetwork"), shown,
                    "hostNetwork must be true if pod contains any hostProcess containers");
    }
}

void validate_operating_system(const json_t *spec, const struct field_path *path,
                               struct field_errors *errors)
{
    static const char *const known[] = {"linux", "windows", NULL};
    static const char not_linux[] = "windows options cannot be set for a linux pod";
    static const char not_windows[] = "cannot be set for a windows pod";
    const json_t *security = json_object_get(spec, "securityContext");
    const struct field_path *security_path = FIELD(path, "securityContext");
    const char *name = check_text(json_object_get(spec, "os"), "name");
    validate_host_process(spec, path, errors);
    if (name[0] == '\0') {
        if (check_has(spec, "os")) {
            field_error(errors, FIELD_REQUIRED, FIELD(FIELD(path, "os"), "name"), NULL,
                        "cannot be empty");
        }
    } else if (strcmp(name, "linux") == 0) {
        forbid_all(security, of_windows, not_linux, security_path, errors);
        forbid_in_containers(spec, of_windows, not_linux, path, errors);
    } else if (strcmp(name, "windows") == 0) {
        forbid_all(security, of_linux_pod, not_windows, security_path, errors);
        forbid_all(spec, of_linux_spec, not_windows, path, errors);
        forbid_in_containers(spec, of_linux_container, not_windows, path, errors);
    } else {
        check_not_supported(name, known, FIELD(path, "os"), errors);
    }
}

/* ---- Windows options ---- */

enum { credential_spec_max = 64 * 1024, domain_max = 256, user_max = 104 };

static bool is_net_bios_name(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length <= 15 && text[0] != '.' && strpbrk(text, "\\/:*?\"<>|") == NULL;
}

static bool is_dns_name(const char *text)
{
    cleanup(free_char)
    char *lower = duplicate(text);
    for (char *at = lower; *at != '\0'; at++) {
        *at = (char)tolower((unsigned char)*at);
    }
    return names_check_dns_subdomain(lower) == NULL;
}

static bool has_control_characters(const char *text)
{
    for (; *text != '\0'; text++) {
        if (iscntrl((unsigned char)*text)) {
            return true;
        }
    }
    return false;
}

/* "DOMAIN\user", or the user alone. */
static void validate_user_name(const json_t *value, const struct field_path *path,
                               struct field_errors *errors)
{
    const char *text = json_string_value(value);
    const char *slash = strchr(text, '\\');
    const char *user = slash ? slash + 1 : text;
    if (text[0] == '\0' || has_control_characters(text) || strchr(user, '\\') != NULL) {
        check_message(value,
                      text[0] == '\0' ? "runAsUserName cannot be an empty string"
                      : has_control_characters(text)
                          ? "runAsUserName cannot contain control characters"
                          : "runAsUserName cannot contain more than one backslash",
                      path, errors);
        return;
    }
    cleanup(free_char)
    char *domain = duplicate_bytes(text, slash ? (size_t)(slash - text) : 0);
    const struct {
        bool wrong;
        const char *message;
    } rules[] = {
        {strlen(domain) >= domain_max,
         "runAsUserName's Domain length must be under 256 characters"},
        {slash != NULL && !is_net_bios_name(domain) && !is_dns_name(domain),
         "runAsUserName's Domain doesn't match the NetBios nor the DNS format"},
        {user[0] == '\0', "runAsUserName's User cannot be empty"},
        {strlen(user) > user_max,
         "runAsUserName's User length must not be longer than 104 characters"},
        {user[0] != '\0' && user[strspn(user, ". ")] == '\0',
         "runAsUserName's User cannot contain only periods or spaces"},
        {strpbrk(user, "\"/\\:;|=,+*?<>@[]") != NULL,
         "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"},
    };
    for (size_t i = 0; i < array_length(rules); i++) {
        check_message(value, rules[i].wrong ? rules[i].message : NULL, path, errors);
    }
}

void validate_windows_options(const json_t *options, const struct field_path *path,
                              struct field_errors *errors)
{
    const json_t *name = json_object_get(options, "gmsaCredentialSpecName");
    const json_t *text = json_object_get(options, "gmsaCredentialSpec");
    const json_t *user = json_object_get(options, "runAsUserName");
    if (json_is_string(name)) {
        check_message(name, names_check_dns_subdomain(json_string_value(name)),
                      FIELD(path, "gmsaCredentialSpecName"), errors);
    }
    if (json_is_string(text)) {
        size_t length = json_string_length(text);
        check_message(text,
                      length == 0 ? "gmsaCredentialSpec cannot be an empty string"
                      : length > credential_spec_max
                          ? "gmsaCredentialSpec size must be under 64 KiB"
                          : NULL,
                      FIELD(path, "gmsaCredentialSpec"), errors);
    }
    if (json_is_string(user)) {
        validate_user_name(user, FIELD(path, "runAsUserName"), errors);
    }
}

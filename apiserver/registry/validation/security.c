// SPDX-License-Identifier: Apache-2.0
/* Security settings of pods and containers: privileges, profiles, kernel parameters. */
#include <ctype.h>
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pods.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/map.h"

/* ---- profiles ---- */

static void validate_seccomp(const json_t *profile, const struct field_path *path,
                             struct field_errors *errors)
{
    const json_t *file = json_object_get(profile, "localhostProfile");
    const struct field_path *here = FIELD(path, "localhostProfile");
    if (check_is(profile, "type", "Localhost")) {
        if (file == NULL) {
            field_error(errors, FIELD_REQUIRED, here, NULL,
                        "must be set when seccomp type is Localhost");
        }
        check_descending_path(file, here, errors);
    } else if (file != NULL) {
        field_error(errors, FIELD_INVALID, here, profile,
                    "can only be set when seccomp type is Localhost");
    }
}

enum { app_armor_profile_max = 4095 };

static void validate_app_armor(const json_t *profile, const struct field_path *path,
                               struct field_errors *errors)
{
    const json_t *name = json_object_get(profile, "localhostProfile");
    const char *text = check_text(profile, "localhostProfile");
    size_t length = strlen(text);
    const struct field_path *here = FIELD(path, "localhostProfile");
    if (!check_is(profile, "type", "Localhost")) {
        check_message(name, name ? "can only be set when AppArmor type is Localhost" : NULL, here,
                      errors);
        return;
    }
    if (length == 0) {
        field_error(errors, FIELD_REQUIRED, here, NULL,
                    "must be set when AppArmor type is Localhost");
    } else if (isspace((unsigned char)text[0]) || isspace((unsigned char)text[length - 1])) {
        field_error(errors, FIELD_INVALID, here, name, "must not be padded with whitespace");
    }
    if (length > app_armor_profile_max) {
        field_error(errors, FIELD_TOO_LONG, here, NULL, "may not be more than %d bytes",
                    app_armor_profile_max);
    }
}

static void validate_profiles(const json_t *security, const struct field_path *path,
                              struct field_errors *errors)
{
    if (json_object_size(security) == 0) {
        return; /* As it is with most. */
    }
    validate_seccomp(json_object_get(security, "seccompProfile"), FIELD(path, "seccompProfile"),
                     errors);
    validate_app_armor(json_object_get(security, "appArmorProfile"), FIELD(path, "appArmorProfile"),
                       errors);
    validate_windows_options(json_object_get(security, "windowsOptions"),
                             FIELD(path, "windowsOptions"), errors);
}

/* ---- kernel parameters ---- */

static bool is_sysctl_inner(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Segments of letters and digits with dots or slashes between. */
static bool is_sysctl_name(const char *text)
{
    if (strlen(text) > 253) {
        return false;
    }
    for (;;) {
        size_t length = strcspn(text, "./");
        if (length == 0 || !is_sysctl_inner(text[0]) || !is_sysctl_inner(text[length - 1])) {
            return false;
        }
        for (size_t i = 0; i < length; i++) {
            if (!is_sysctl_inner(text[i]) && text[i] != '-' && text[i] != '_') {
                return false;
            }
        }
        if (text[length] == '\0') {
            return true;
        }
        text += length + 1;
    }
}

/* What belongs to a namespace of the kernel that the pod shares with its node. */
static const struct {
    const char *prefix, *setting;
} namespaced_sysctls[] = {
    {"net.", "hostNetwork"},   {"net/", "hostNetwork"},   {"kernel.shm", "hostIPC"},
    {"kernel/shm", "hostIPC"}, {"kernel.msg", "hostIPC"}, {"kernel/msg", "hostIPC"},
    {"kernel.sem", "hostIPC"}, {"kernel/sem", "hostIPC"}, {"fs.mqueue.", "hostIPC"},
    {"fs/mqueue/", "hostIPC"},
};

static void validate_sysctls(const json_t *spec, const json_t *sysctls,
                             const struct field_path *path, struct field_errors *errors)
{
    struct map seen = MAP_INIT;
    for (size_t i = 0; i < json_array_size(sysctls); i++) {
        const json_t *name = json_object_get(json_array_get(sysctls, i), "name");
        const char *text = json_string_value(name) ? json_string_value(name) : "";
        const struct field_path *here = FIELD(FIELD_INDEX(path, i), "name");
        if (text[0] != '\0' && !is_sysctl_name(text)) {
            field_error(errors, FIELD_INVALID, here, name,
                        "must have at most 253 characters and match regex "
                        "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
        } else if (text[0] != '\0' && map_set(&seen, text, &seen) != NULL) {
            field_error(errors, FIELD_DUPLICATE, here, name, NULL);
        }
        for (size_t at = 0; at < array_length(namespaced_sysctls); at++) {
            if (check_starts_with(text, namespaced_sysctls[at].prefix) &&
                json_get_bool(spec, namespaced_sysctls[at].setting, false)) {
                field_error(errors, FIELD_INVALID, here, name,
                            "may not be specified when '%s' is true",
                            namespaced_sysctls[at].setting);
            }
        }
    }
    map_free(&seen, NULL);
}

/* ---- pods ---- */

/* A pod with users of its own can't share the node's other namespaces. */
static void validate_host_users(const json_t *spec, const struct field_path *path,
                                struct field_errors *errors)
{
    static const struct {
        const char *setting, *name_in_error;
    } shared[] = {{"hostNetwork", "hostNetwork"}, {"hostPID", "HostPID"}, {"hostIPC", "HostIPC"}};
    for (size_t i = 0; i < array_length(shared); i++) {
        if (json_get_bool(spec, shared[i].setting, false)) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(path, shared[i].name_in_error), NULL,
                        "when `pod.Spec.HostUsers` is false");
        }
    }
}

void validate_pod_security_context(const struct pod_view *view, const struct field_path *path,
                                   struct field_errors *errors)
{
    const json_t *security = json_object_get(view->spec, "securityContext");
    const json_t *shares = json_object_get(view->spec, "shareProcessNamespace");
    const struct field_path *here = FIELD(path, "securityContext");
    if (json_is_true(shares) && json_get_bool(view->spec, "hostPID", false)) {
        field_error(errors, FIELD_INVALID, FIELD(here, "shareProcessNamespace"), shares,
                    "ShareProcessNamespace and HostPID cannot both be enabled");
    }
    validate_sysctls(view->spec, json_object_get(security, "sysctls"), FIELD(here, "sysctls"),
                     errors);
    validate_profiles(security, here, errors);
    if (!view->host_users) {
        validate_host_users(view->spec, path, errors);
    }
}

/* ---- containers ---- */

static void validate_escalation(const json_t *security, const struct field_path *path,
                                struct field_errors *errors)
{
    if (!json_is_false(json_object_get(security, "allowPrivilegeEscalation"))) {
        return;
    }
    if (json_get_bool(security, "privileged", false)) {
        field_error(errors, FIELD_INVALID, path, security,
                    "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    }
    if (json_array_has_string(json_path(security, "capabilities", "add"), "CAP_SYS_ADMIN")) {
        field_error(errors, FIELD_INVALID, path, security,
                    "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` "
                    "CAP_SYS_ADMIN");
    }
}

void validate_container_security_context(const struct pod_view *view, const json_t *container,
                                         const struct field_path *path, struct field_errors *errors)
{
    const json_t *security = json_object_get(container, "securityContext");
    const struct field_path *here = FIELD(path, "securityContext");
    if (security == NULL) {
        return;
    }
    if (view->host_users && check_is(security, "procMount", "Unmasked")) {
        field_error(errors, FIELD_INVALID, FIELD(here, "procMount"),
                    json_object_get(security, "procMount"),
                    "`hostUsers` must be false to use `Unmasked`");
    }
    validate_escalation(security, here, errors);
    validate_profiles(security, here, errors);
}

/* ---- annotations that came before the fields ---- */

static const char seccomp_pod[] = "seccomp.security.alpha.kubernetes.io/pod";
static const char seccomp_container[] = "container.seccomp.security.alpha.kubernetes.io/";
static const char app_armor[] = "container.apparmor.security.beta.kubernetes.io/";
static const char deletion_cost[] = "controller.kubernetes.io/pod-deletion-cost";

/* The names of all containers, gathered when somebody first asks. */
struct container_names {
    const json_t *spec;
    bool gathered;
    struct map names;
};

static bool has_container(struct container_names *containers, const char *name)
{
    for (size_t list = 0; !containers->gathered && pod_container_lists[list] != NULL; list++) {
        check_collect(&containers->names,
                      json_object_get(containers->spec, pod_container_lists[list]), "name");
    }
    containers->gathered = true;
    return map_get(&containers->names, name) != NULL;
}

static void validate_seccomp_annotation(const char *text, const struct field_path *path,
                                        struct field_errors *errors)
{
    static const char *const known[] = {"runtime/default", "docker/default", "unconfined", NULL};
    if (check_starts_with(text, "localhost/")) {
        cleanup(json_release)
        json_t *file = json_string(text + strlen("localhost/"));
        check_descending_path(file, path, errors);
    } else if (!check_one_of(text, known)) {
        check_invalid_text(text, "must be a valid seccomp profile", path, errors);
    }
}

static void validate_app_armor_annotation(const char *key, const char *text,
                                          struct container_names *containers,
                                          const struct field_path *path,
                                          struct field_errors *errors)
{
    static const char *const known[] = {"", "runtime/default", "unconfined", NULL};
    const char *container = key + strlen(app_armor);
    if (!has_container(containers, container)) {
        check_invalid_text(container, "container not found", path, errors);
    }
    if (!check_one_of(text, known) && !check_starts_with(text, "localhost/")) {
        cleanup(free_char)
        char *message = format("invalid AppArmor profile name: \"%s\"", text);
        check_invalid_text(text, message, path, errors);
    }
}

/* Go's strconv.ParseInt in 32 bits, without a leading plus or zero. */
static bool is_deletion_cost(const char *text)
{
    char *end;
    long long number = strtoll(text, &end, 10);
    const char *digits = text[0] == '-' ? text + 1 : text;
    return isdigit((unsigned char)digits[0]) && *end == '\0' &&
           (digits[0] != '0' || strcmp(text, "0") == 0) && number >= INT32_MIN &&
           number <= INT32_MAX;
}

void validate_pod_annotations(const json_t *annotations, const json_t *spec,
                              const struct field_path *path, struct field_errors *errors)
{
    struct container_names containers = {.spec = spec};
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)annotations, key, value) {
        const char *text = json_string_value(value) ? json_string_value(value) : "";
        if (strcmp(key, seccomp_pod) == 0 || check_starts_with(key, seccomp_container)) {
            validate_seccomp_annotation(text, FIELD(path, key), errors);
        } else if (check_starts_with(key, app_armor)) {
            validate_app_armor_annotation(key, text, &containers, FIELD_KEY(path, key), errors);
        } else if (strcmp(key, deletion_cost) == 0 && !is_deletion_cost(text)) {
            check_invalid_text(text, "must be a 32bit integer", FIELD_KEY(path, key), errors);
        }
    }
    map_free(&containers.names, NULL);
}

/* An annotation and the field of the same meaning say the same. */
static void validate_match(const char *annotation, const json_t *profile, const char *what,
                           const struct field_path *path, struct field_errors *errors)
{
    const char *type = check_text(profile, "type");
    const char *name = check_text(profile, "localhostProfile");
    bool same_type =
        strcmp(type, "Unconfined") == 0 ? strcmp(annotation, "unconfined") == 0
        : strcmp(type, "RuntimeDefault") == 0
            ? strcmp(annotation, "runtime/default") == 0 ||
                  (strcmp(what, "seccomp") == 0 && strcmp(annotation, "docker/default") == 0)
            : check_starts_with(annotation, "localhost/");
    if (!same_type) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "type"), NULL,
                    "%s type in annotation and field must match", what);
    } else if (strcmp(type, "Localhost") == 0 &&
               strcmp(annotation + strlen("localhost/"), name) != 0) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "localhostProfile"), NULL,
                    "%s profile in annotation and field must match", what);
    }
}

static void match_container(const json_t *pod, const json_t *container,
                            const struct field_path *path, struct field_errors *errors)
{
    const json_t *annotations = json_path(pod, "metadata", "annotations");
    const json_t *security = json_object_get(container, "securityContext");
    const json_t *pod_security = json_path(pod, "spec", "securityContext");
    const json_t *seccomp = json_object_get(security, "seccompProfile");
    const json_t *confined = json_object_get(security, "appArmorProfile");
    const struct field_path *here = FIELD(path, "securityContext");
    const char *name = check_text(container, "name");
    cleanup(free_char)
    char *seccomp_key = format("%s%s", seccomp_container, name);
    cleanup(free_char)
    char *app_armor_key = format("%s%s", app_armor, name);
    confined = confined ? confined : json_object_get(pod_security, "appArmorProfile");
    if (seccomp != NULL && check_has(annotations, seccomp_key)) {
        validate_match(check_text(annotations, seccomp_key), seccomp, "seccomp",
                       FIELD(here, "seccompProfile"), errors);
    }
    if (confined != NULL && check_has(annotations, app_armor_key) &&
        !check_is(json_path(pod, "spec", "os"), "name", "windows")) {
        validate_match(check_text(annotations, app_armor_key), confined, "apparmor",
                       FIELD(here, "appArmorProfile"), errors);
    }
}

void validate_profile_annotations_match(const json_t *pod, struct field_errors *errors)
{
    const json_t *annotations = json_path(pod, "metadata", "annotations");
    const json_t *spec = json_object_get(pod, "spec");
    const json_t *seccomp = json_path(spec, "securityContext", "seccompProfile");
    const struct field_path *path = FIELD(NULL, "spec");
    if (json_object_size(annotations) == 0) {
        return;
    }
    if (seccomp != NULL && check_has(annotations, seccomp_pod)) {
        validate_match(check_text(annotations, seccomp_pod), seccomp, "seccomp",
                       FIELD(FIELD(path, "securityContext"), "seccompProfile"), errors);
    }
    for (size_t list = 0; pod_container_lists[list] != NULL; list++) {
        const json_t *containers = json_object_get(spec, pod_container_lists[list]);
        const struct field_path *list_path = FIELD(path, pod_container_lists[list]);
        for (size_t i = 0; i < json_array_size(containers); i++) {
            match_container(pod, json_array_get(containers, i), FIELD_INDEX(list_path, i), errors);
        }
    }
}

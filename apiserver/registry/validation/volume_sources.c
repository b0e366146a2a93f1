// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/validation/volume_sources.h"

#include <regex.h>
#include <string.h>
#include <strings.h>

#include "apiserver/registry/validation/check.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

void volume_host_path(const json_t *source, const struct field_path *path,
                      struct field_errors *errors)
{
    if (check_has_backsteps(check_text(source, "path"))) {
        field_error(errors, FIELD_INVALID, FIELD(path, "path"), json_object_get(source, "path"),
                    "must not contain '..'");
    }
}

void volume_nfs(const json_t *source, const struct field_path *path, struct field_errors *errors)
{
    const char *text = check_text(source, "path");
    if (text[0] != '/') {
        check_invalid_text(text, "must be an absolute path", FIELD(path, "path"), errors);
    }
}

/* ---- disks ---- */

static bool matches(const char *text, const char *pattern)
{
    regex_t compiled;
    if (regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        return false;
    }
    bool found = regexec(&compiled, text, 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

static const struct {
    const char *prefix, *pattern;
} iscsi_names[] = {
    {"iqn", "^iqn\\.[0-9]{4}-[0-9]{2}\\.[[:alnum:].-]+:[^,;*&$|[:space:]]+$"},
    {"eui", "^eui.[[:alnum:]]{16}$"},
    {"naa", "^naa.[[:alnum:]]{32}$"},
};

static void validate_iscsi_name(const json_t *name, const struct field_path *path,
                                struct field_errors *errors)
{
    const char *text = json_string_value(name);
    if (json_string_length(name) == 0) {
        return;
    }
    for (size_t i = 0; i < array_length(iscsi_names); i++) {
        if (check_starts_with(text, iscsi_names[i].prefix)) {
            check_message(name,
                          matches(text, iscsi_names[i].pattern) ? NULL : "must be valid format",
                          path, errors);
            return;
        }
    }
    check_message(name, "must be valid format starting with iqn, eui, or naa", path, errors);
}

void volume_iscsi(const json_t *source, const struct field_path *path, struct field_errors *errors)
{
    validate_iscsi_name(json_object_get(source, "iqn"), FIELD(path, "iqn"), errors);
    validate_iscsi_name(json_object_get(source, "initiatorName"), FIELD(path, "initiatorname"),
                        errors);
    if ((json_get_bool(source, "chapAuthDiscovery", false) ||
         json_get_bool(source, "chapAuthSession", false)) &&
        !check_has(source, "secretRef")) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "secretRef"), NULL, NULL);
    }
}

void volume_fibre_channel(const json_t *source, const struct field_path *path,
                          struct field_errors *errors)
{
    const json_t *names = json_object_get(source, "targetWWNs");
    const json_t *lun = json_object_get(source, "lun");
    bool by_target = json_array_size(names) > 0;
    bool by_volume = json_array_size(json_object_get(source, "wwids")) > 0;
    if (!by_target && !by_volume) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "targetWWNs"), NULL,
                    "must specify either targetWWNs or wwids, but not both");
    } else if (by_target && by_volume) {
        field_error(errors, FIELD_INVALID, FIELD(path, "targetWWNs"), names,
                    "targetWWNs and wwids can not be specified simultaneously");
    }
    if (by_target && lun == NULL) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "lun"), NULL,
                    "lun is required if targetWWNs is specified");
    } else if (by_target && (json_integer_value(lun) < 0 || json_integer_value(lun) > 255)) {
        field_error(errors, FIELD_INVALID, FIELD(path, "lun"), lun,
                    "must be between 0 and 255, inclusive");
    }
}

void volume_flocker(const json_t *source, const struct field_path *path,
                    struct field_errors *errors)
{
    const char *name = check_text(source, "datasetName");
    bool by_uuid = check_text(source, "datasetUUID")[0] != '\0';
    if (name[0] == '\0' && !by_uuid) {
        field_error(errors, FIELD_REQUIRED, path, NULL,
                    "one of datasetName and datasetUUID is required");
    } else if (name[0] != '\0' && by_uuid) {
        check_invalid_text("resource",
                           "datasetName and datasetUUID can not be specified simultaneously", path,
                           errors);
    }
    if (strchr(name, '/') != NULL) {
        check_invalid_text(name, "must not contain '/'", FIELD(path, "datasetName"), errors);
    }
}

void volume_quobyte(const json_t *source, const struct field_path *path,
                    struct field_errors *errors)
{
    if (check_text(source, "registry")[0] == '\0') {
        return; /* Reported as missing. */
    }
    if (strlen(check_text(source, "tenant")) >= 65) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "tenant"), NULL,
                    "must be a UUID and may not exceed a length of 64 characters");
    } else if (!matches(check_text(source, "registry"), "^[^:,]*:[^:,]*(,[^:,]*:[^:,]*)*$")) {
        field_error(errors, FIELD_INVALID, FIELD(path, "registry"),
                    json_object_get(source, "registry"),
                    "must be a host:port pair or multiple pairs separated by commas");
    }
}

void volume_azure_disk(const json_t *source, const struct field_path *path,
                       struct field_errors *errors)
{
    static const char *const managed[] = {"/subscriptions/{sub-id}/resourcegroups/{group-name}/"
                                          "providers/microsoft.compute/disks/{disk-id}",
                                          NULL};
    static const char *const blobs[] = {
        "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd", NULL};
    const char *address = check_text(source, "diskURI");
    bool is_managed = check_is(source, "kind", "Managed");
    if (!check_starts_with(address, is_managed ? "/subscriptions/" : "https://")) {
        check_not_supported(address, is_managed ? managed : blobs, FIELD(path, "diskURI"), errors);
    }
}

void volume_flex(const json_t *source, const struct field_path *path, struct field_errors *errors)
{
    const struct field_path *options = FIELD(path, "options");
    const char *key;
    json_t *value;
    json_object_foreach (json_object_get(source, "options"), key, value) {
        cleanup(free_char)
        char *name = format(".%.*s", (int)strcspn(key, "/"), key);
        const char *io = strrchr(name, '.');
        size_t length = strlen(name);
        if (io != NULL &&
            ((length >= 14 && strcasecmp(name + length - 14, ".kubernetes.io") == 0) ||
             (length >= 7 && strcasecmp(name + length - 7, ".k8s.io") == 0))) {
            check_invalid_text(key, "kubernetes.io and k8s.io namespaces are reserved",
                               FIELD_KEY(options, key), errors);
        }
    }
}

void volume_scale_io(const json_t *source, const struct field_path *path,
                     struct field_errors *errors)
{
    if (check_text(source, "volumeName")[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "volumeName"), NULL, NULL);
    }
}

void volume_storage_os(const json_t *source, const struct field_path *path,
                       struct field_errors *errors)
{
    if (check_text(source, "volumeName")[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "volumeName"), NULL, NULL);
    }
    check_label(json_object_get(source, "volumeName"), FIELD(path, "volumeName"), errors);
    check_label(json_object_get(source, "volumeNamespace"), FIELD(path, "volumeNamespace"), errors);
}

void volume_secret_name(const json_t *source, const char *member, const struct field_path *path,
                        struct field_errors *errors)
{
    const json_t *secret = json_object_get(source, member);
    if (secret != NULL && check_text(secret, "name")[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, FIELD(FIELD(path, member), "name"), NULL, NULL);
    }
}

void validate_csi_driver_name(const json_t *name, const struct field_path *path,
                              struct field_errors *errors)
{
    const char *driver = json_string_value(name);
    if (driver == NULL || driver[0] == '\0') {
        return; /* Reported as missing. */
    }
    if (strlen(driver) > 63) {
        field_error(errors, FIELD_TOO_LONG, path, NULL, "may not be more than %d bytes", 63);
    }
    cleanup(free_char)
    char *lower = duplicate(driver);
    for (char *at = lower; *at != '\0'; at++) {
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at - 'A' + 'a' : *at);
    }
    check_invalid_text(driver, names_check_dns_subdomain(lower), path, errors);
}

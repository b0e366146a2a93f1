// SPDX-License-Identifier: Apache-2.0
/* Volumes: where each comes from. What a source must hold at all is in its schema. */
#include <regex.h>
#include <string.h>
#include <strings.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pods.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"
#include "common/quantity.h"

typedef void (*source_check)(const json_t *source, const struct field_path *path,
                             struct field_errors *errors);

/* ---- directories and mounts ---- */

static void validate_empty_dir(const json_t *source, const struct field_path *path,
                               struct field_errors *errors)
{
    struct quantity limit;
    if (quantity_parse(check_text(source, "sizeLimit"), &limit) && limit.nano < 0) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "sizeLimit"), NULL,
                    "SizeLimit field must be a valid resource quantity");
    }
}

static void validate_host_path(const json_t *source, const struct field_path *path,
                               struct field_errors *errors)
{
    if (check_has_backsteps(check_text(source, "path"))) {
        field_error(errors, FIELD_INVALID, FIELD(path, "path"), json_object_get(source, "path"),
                    "must not contain '..'");
    }
}

static void validate_git_repo(const json_t *source, const struct field_path *path,
                              struct field_errors *errors)
{
    check_descending_path(json_object_get(source, "directory"), FIELD(path, "directory"), errors);
}

static void validate_nfs(const json_t *source, const struct field_path *path,
                         struct field_errors *errors)
{
    const char *text = check_text(source, "path");
    if (text[0] != '/') {
        check_invalid_text(text, "must be an absolute path", FIELD(path, "path"), errors);
    }
}

static void validate_entries(const json_t *source, const struct field_path *path,
                             struct field_errors *errors)
{
    validate_default_mode(source, path, errors);
    validate_key_paths(source, path, errors);
}

static void validate_fields(const json_t *source, const struct field_path *path,
                            struct field_errors *errors)
{
    validate_default_mode(source, path, errors);
    validate_downward_api(source, path, errors);
}

static void validate_projections(const json_t *source, const struct field_path *path,
                                 struct field_errors *errors)
{
    validate_default_mode(source, path, errors);
    validate_projected(source, path, errors);
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

static void validate_iscsi(const json_t *source, const struct field_path *path,
                           struct field_errors *errors)
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

static void validate_fibre_channel(const json_t *source, const struct field_path *path,
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

static void validate_flocker(const json_t *source, const struct field_path *path,
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

static void validate_quobyte(const json_t *source, const struct field_path *path,
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

static void validate_azure_disk(const json_t *source, const struct field_path *path,
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

static void validate_flex(const json_t *source, const struct field_path *path,
                          struct field_errors *errors)
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

static void validate_scale_io(const json_t *source, const struct field_path *path,
                              struct field_errors *errors)
{
    if (check_text(source, "volumeName")[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "volumeName"), NULL, NULL);
    }
}

static void validate_storage_os(const json_t *source, const struct field_path *path,
                                struct field_errors *errors)
{
    if (check_text(source, "volumeName")[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "volumeName"), NULL, NULL);
    }
    check_label(json_object_get(source, "volumeName"), FIELD(path, "volumeName"), errors);
    check_label(json_object_get(source, "volumeNamespace"), FIELD(path, "volumeNamespace"), errors);
}

/* ---- drivers, claims, images ---- */

static void validate_secret_name(const json_t *source, const char *member,
                                 const struct field_path *path, struct field_errors *errors)
{
    const json_t *secret = json_object_get(source, member);
    if (secret != NULL && check_text(secret, "name")[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, FIELD(FIELD(path, member), "name"), NULL, NULL);
    }
}

static void validate_cinder(const json_t *source, const struct field_path *path,
                            struct field_errors *errors)
{
    validate_secret_name(source, "secretRef", path, errors);
}

static void validate_csi(const json_t *source, const struct field_path *path,
                         struct field_errors *errors)
{
    const char *driver = check_text(source, "driver");
    const struct field_path *here = FIELD(path, "driver");
    if (strlen(driver) > 63) {
        field_error(errors, FIELD_TOO_LONG, here, NULL, "may not be more than %d bytes", 63);
    }
    cleanup(free_char)
    char *lower = duplicate(driver);
    for (char *at = lower; *at != '\0'; at++) {
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at - 'A' + 'a' : *at);
    }
    if (driver[0] != '\0') {
        check_invalid_text(driver, names_check_dns_subdomain(lower), here, errors);
    }
    validate_secret_name(source, "nodePublishSecretRef", path, errors);
}

/* Of the metadata of a claim that is made for a pod, only this is the user's. */
static void validate_ephemeral(const json_t *source, const struct field_path *path,
                               struct field_errors *errors)
{
    static const char *const allowed[] = {"annotations", "labels", NULL};
    const json_t *template = json_object_get(source, "volumeClaimTemplate");
    const json_t *metadata = json_object_get(template, "metadata");
    const struct field_path *here = FIELD(FIELD(path, "volumeClaimTemplate"), "metadata");
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)metadata, key, value) {
        if (!check_one_of(key, allowed) && !json_is_null(value)) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(here, key), NULL, "cannot be set");
        }
    }
    names_validate_labels(json_object_get(metadata, "labels"), FIELD(here, "labels"), errors);
    names_validate_annotations(json_object_get(metadata, "annotations"), FIELD(here, "annotations"),
                               errors);
}

/* ---- which source ---- */

/* In the order in which upstream looks for them: the first one counts. */
static const struct {
    const char *name;
    source_check validate;     /* NULL: its schema says it all. */
    const char *name_in_error; /* When it is one too many; NULL: its own. */
} sources[] = {
    {"emptyDir", validate_empty_dir, NULL},
    {"hostPath", validate_host_path, NULL},
    {"gitRepo", validate_git_repo, NULL},
    {"gcePersistentDisk", NULL, NULL},
    {"awsElasticBlockStore", NULL, NULL},
    {"secret", validate_entries, NULL},
    {"nfs", validate_nfs, NULL},
    {"iscsi", validate_iscsi, NULL},
    {"glusterfs", NULL, NULL},
    {"flocker", validate_flocker, NULL},
    {"persistentVolumeClaim", NULL, NULL},
    {"rbd", NULL, NULL},
    {"cinder", validate_cinder, NULL},
    {"cephfs", NULL, "cephFS"},
    {"quobyte", validate_quobyte, NULL},
    {"downwardAPI", validate_fields, "downwarAPI"},
    {"fc", validate_fibre_channel, NULL},
    {"flexVolume", validate_flex, NULL},
    {"configMap", validate_entries, NULL},
    {"azureFile", NULL, NULL},
    {"vsphereVolume", NULL, NULL},
    {"photonPersistentDisk", NULL, NULL},
    {"portworxVolume", NULL, NULL},
    {"azureDisk", validate_azure_disk, NULL},
    {"storageos", validate_storage_os, NULL},
    {"projected", validate_projections, NULL},
    {"scaleIO", validate_scale_io, NULL},
    {"csi", validate_csi, NULL},
    {"ephemeral", validate_ephemeral, NULL},
    {"image", NULL, NULL},
};

/* What a source may be depends on the volume's name, or on the pod's. */
static void validate_named(const struct pod_view *view, const json_t *volume,
                           const struct field_path *path, struct field_errors *errors)
{
    const char *name = check_text(volume, "name"), *pod = check_text(view->metadata, "name");
    const json_t *iscsi = json_object_get(volume, "iscsi");
    const json_t *image = json_object_get(volume, "image");
    if (check_has(iscsi, "initiatorName") &&
        strlen(name) + 1 + strlen(check_text(iscsi, "targetPortal")) > 64) {
        check_invalid_text(name,
                           "Total length of <volume name>:<iscsi.targetPortal> must be under 64 "
                           "characters if iscsi.initiatorName is specified.",
                           FIELD(path, "name"), errors);
    }
    if (check_has(volume, "ephemeral") && pod[0] != '\0' && name[0] != '\0') {
        cleanup(free_char)
        char *claim = format("%s-%s", pod, name);
        const char *message = names_check_dns_subdomain(claim);
        if (message != NULL) {
            field_error(errors, FIELD_INVALID, FIELD(path, "name"), json_object_get(volume, "name"),
                        "PVC name \"%s\": %s", claim, message);
        }
    }
    if (image != NULL && pod_view_is_pod(view) && check_text(image, "reference")[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, FIELD(FIELD(path, "image"), "reference"), NULL, NULL);
    }
}

void validate_volume_source(const struct pod_view *view, const json_t *volume,
                            const struct field_path *path, struct field_errors *errors)
{
    bool found = false;
    for (size_t i = 0; i < array_length(sources); i++) {
        const json_t *source = json_object_get(volume, sources[i].name);
        if (source == NULL) {
            continue;
        }
        const char *in_error =
            sources[i].name_in_error ? sources[i].name_in_error : sources[i].name;
        if (found) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(path, in_error), NULL,
                        "may not specify more than 1 volume type");
        } else if (sources[i].validate != NULL) {
            sources[i].validate(source, FIELD(path, sources[i].name), errors);
        }
        found = true;
    }
    if (!found) {
        field_error(errors, FIELD_REQUIRED, path, NULL, "must specify a volume type");
    }
    validate_named(view, volume, path, errors);
}

/* The names of the claims that will be made for the pod; none while it has no name. */
static void collect_made_claims(const struct pod_view *view, struct map *made)
{
    const json_t *volumes = json_object_get(view->spec, "volumes");
    const char *pod = check_text(view->metadata, "name");
    for (size_t i = 0; i < json_array_size(volumes) && pod[0] != '\0'; i++) {
        json_t *volume = json_array_get(volumes, i);
        if (check_has(volume, "ephemeral")) {
            cleanup(free_char)
            char *claim = format("%s-%s", pod, check_text(volume, "name"));
            map_set(made, claim, volume);
        }
    }
}

/* A claim that is made for the pod is not there to be named. */
static void validate_claim(const json_t *volume, const struct map *made,
                           const struct field_path *path, struct field_errors *errors)
{
    const json_t *claim = json_path(volume, "persistentVolumeClaim", "claimName");
    if (claim != NULL && map_get(made, json_string_value(claim)) != NULL) {
        field_error(errors, FIELD_INVALID, FIELD(FIELD(path, "persistentVolumeClaim"), "claimName"),
                    claim, "must not reference a PVC that gets created for an ephemeral volume");
    }
}

void validate_volumes(struct pod_view *view, const struct field_path *path,
                      struct field_errors *errors)
{
    const json_t *volumes = json_object_get(view->spec, "volumes");
    const struct field_path *list = FIELD(path, "volumes");
    struct map made = MAP_INIT;
    collect_made_claims(view, &made);
    for (size_t i = 0; i < json_array_size(volumes); i++) {
        json_t *volume = json_array_get(volumes, i);
        const struct field_path *here = FIELD_INDEX(list, i);
        validate_volume_source(view, volume, here, errors);
        if (!check_any_below(errors, here)) {
            map_set(&view->volumes, check_text(volume, "name"), volume);
        }
        validate_claim(volume, &made, here, errors);
    }
    map_free(&made, NULL);
}

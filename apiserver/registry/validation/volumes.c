// SPDX-License-Identifier: Apache-2.0
/* Volumes: where each comes from. What a source must hold at all is in its schema. */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pods.h"
#include "apiserver/registry/validation/storage.h"
#include "apiserver/registry/validation/volume_sources.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"
#include "common/quantity.h"

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

static void validate_git_repo(const json_t *source, const struct field_path *path,
                              struct field_errors *errors)
{
    check_descending_path(json_object_get(source, "directory"), FIELD(path, "directory"), errors);
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

/* ---- drivers, claims, images ---- */

static void validate_cinder(const json_t *source, const struct field_path *path,
                            struct field_errors *errors)
{
    volume_secret_name(source, "secretRef", path, errors);
}

static void validate_csi(const json_t *source, const struct field_path *path,
                         struct field_errors *errors)
{
    validate_csi_driver_name(json_object_get(source, "driver"), FIELD(path, "driver"), errors);
    volume_secret_name(source, "nodePublishSecretRef", path, errors);
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
    if (template != NULL) {
        validate_volume_claim_spec(json_object_get(template, "spec"),
                                   FIELD(FIELD(path, "volumeClaimTemplate"), "spec"), errors);
    }
}

/* ---- which source ---- */

/* In the order in which upstream looks for them: the first one counts. */
static const struct {
    const char *name;
    source_check validate;     /* NULL: its schema says it all. */
    const char *name_in_error; /* When it is one too many; NULL: its own. */
} sources[] = {
    {"emptyDir", validate_empty_dir, NULL},
    {"hostPath", volume_host_path, NULL},
    {"gitRepo", validate_git_repo, NULL},
    {"gcePersistentDisk", NULL, NULL},
    {"awsElasticBlockStore", NULL, NULL},
    {"secret", validate_entries, NULL},
    {"nfs", volume_nfs, NULL},
    {"iscsi", volume_iscsi, NULL},
    {"glusterfs", NULL, NULL},
    {"flocker", volume_flocker, NULL},
    {"persistentVolumeClaim", NULL, NULL},
    {"rbd", NULL, NULL},
    {"cinder", validate_cinder, NULL},
    {"cephfs", NULL, "cephFS"},
    {"quobyte", volume_quobyte, NULL},
    {"downwardAPI", validate_fields, "downwarAPI"},
    {"fc", volume_fibre_channel, NULL},
    {"flexVolume", volume_flex, NULL},
    {"configMap", validate_entries, NULL},
    {"azureFile", NULL, NULL},
    {"vsphereVolume", NULL, NULL},
    {"photonPersistentDisk", NULL, NULL},
    {"portworxVolume", NULL, NULL},
    {"azureDisk", volume_azure_disk, NULL},
    {"storageos", volume_storage_os, NULL},
    {"projected", validate_projections, NULL},
    {"scaleIO", volume_scale_io, NULL},
    {"csi", validate_csi, NULL},
    {"ephemeral", validate_ephemeral, NULL},
    {"image", NULL, NULL},
};

static size_t source_index(const char *member)
{
    size_t i = 0;
    while (i < array_length(sources) &&
           (sources[i].name[0] != member[0] || strcmp(sources[i].name, member) != 0)) {
        i++;
    }
    return i;
}

/* A bit for each source that the volume has. */
static uint32_t present_sources(const json_t *volume)
{
    _Static_assert(array_length(sources) < 32, "a bit each, and one for all else");
    const char *member;
    json_t *value;
    uint32_t present = 0;
    json_object_foreach ((json_t *)volume, member, value) {
        present |= UINT32_C(1) << source_index(member);
    }
    return present;
}

/* What a source may be depends on the volume's name, or on the pod's. */
static void validate_named(const struct pod_view *view, const json_t *volume,
                           const struct field_path *path, struct field_errors *errors)
{
    static const char *const members[] = {"name", "iscsi", "ephemeral", "image"};
    const json_t *values[array_length(members)];
    check_members(volume, members, values);
    const char *name = json_string_value(values[0]) ? json_string_value(values[0]) : "";
    const json_t *iscsi = values[1], *ephemeral = values[2], *image = values[3];
    if (check_has(iscsi, "initiatorName") &&
        strlen(name) + 1 + strlen(check_text(iscsi, "targetPortal")) > 64) {
        check_invalid_text(name,
                           "Total length of <volume name>:<iscsi.targetPortal> must be under 64 "
                           "characters if iscsi.initiatorName is specified.",
                           FIELD(path, "name"), errors);
    }
    const char *pod = ephemeral ? check_text(view->metadata, "name") : "";
    if (pod[0] != '\0' && name[0] != '\0') {
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
    uint32_t present = present_sources(volume);
    bool found = false;
    for (size_t i = 0; i < array_length(sources); i++) {
        if ((present >> i & 1) == 0) {
            continue;
        }
        const char *in_error =
            sources[i].name_in_error ? sources[i].name_in_error : sources[i].name;
        if (found) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(path, in_error), NULL,
                        "may not specify more than 1 volume type");
        } else if (sources[i].validate != NULL) {
            sources[i].validate(json_object_get(volume, sources[i].name),
                                FIELD(path, sources[i].name), errors);
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

// SPDX-License-Identifier: Apache-2.0
#include "controllers/volume_provision.h"

#include <string.h>

#include "common/alloc.h"
#include "common/random.h"
#include "controllers/resources.h"
#include "controllers/volume_match.h"

#define PROVISIONED_BY "pv.kubernetes.io/provisioned-by"

static const char host_path[] = "kubernetes.io/host-path";
static const char *const provisioner_annotations[] = {
    "volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"};

static bool is_ours(const struct controller *controller, const char *provisioner)
{
    return controller->settings->enable_hostpath_provisioner && strcmp(provisioner, host_path) == 0;
}

/* ---- making ---- */

/* Tells whom the claim waits for. */
static bool address(struct controller *controller, json_t **claim, const char *provisioner,
                    struct error *error)
{
    json_t *annotations =
        json_get_or_add_object(json_get_or_add_object(*claim, "metadata"), "annotations");
    const char *present = json_get_string(annotations, provisioner_annotations[0]);
    if (present != NULL && strcmp(present, provisioner) == 0) {
        return true;
    }
    for (size_t i = 0; i < array_length(provisioner_annotations); i++) {
        json_object_set_new(annotations, provisioner_annotations[i], json_string(provisioner));
    }
    json_t *written =
        client_update(controller->client, &resource_persistent_volume_claims, NULL, *claim, error);
    if (written == NULL) {
        return false;
    }
    json_decref(*claim);
    *claim = written;
    return true;
}

static void set_if_there(json_t *object, const char *name, json_t *value)
{
    if (value != NULL) {
        json_object_set(object, name, value);
    }
}

static json_t *make_volume(const json_t *claim, const json_t *class)
{
    const json_t *metadata = json_object_get(claim, "metadata");
    const json_t *spec = json_object_get(claim, "spec");
    char id[RANDOM_UUID_SIZE];
    random_uuid(id);
    cleanup(free_char)
    char *name = format("pvc-%s", json_get_string(metadata, "uid"));
    cleanup(free_char)
    char *path = format("/tmp/hostpath_pv/%s", id);
    json_t *volume = json_pack(
        "{s:s, s:s, s:{s:s, s:{s:s, s:s}}, s:{s:{s:O}, s:{s:s, s:s}, s:s, s:{s:s, s:s, s:O, s:O, "
        "s:O}}}",
        "kind", "PersistentVolume", "apiVersion", "v1", "metadata", "name", name, "annotations",
        PROVISIONED_BY, host_path, "pv.kubernetes.io/bound-by-controller", "yes", "spec",
        "capacity", "storage", json_path(spec, "resources", "requests", "storage"), "hostPath",
        "path", path, "type", "", "storageClassName", volume_class(claim), "claimRef", "kind",
        "PersistentVolumeClaim", "apiVersion", "v1", "namespace",
        json_object_get(metadata, "namespace"), "name", json_object_get(metadata, "name"), "uid",
        json_object_get(metadata, "uid"));
    json_t *volume_spec = json_object_get(volume, "spec");
    set_if_there(volume_spec, "accessModes", json_object_get(spec, "accessModes"));
    set_if_there(volume_spec, "volumeMode", json_object_get(spec, "volumeMode"));
    set_if_there(volume_spec, "mountOptions", json_object_get(class, "mountOptions"));
    set_if_there(volume_spec, "persistentVolumeReclaimPolicy",
                 json_object_get(class, "reclaimPolicy"));
    return volume;
}

/* The volume names the claim, which then finds it. */
static bool provision_here(struct controller *controller, const json_t *claim, const json_t *class,
                           struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (json_path(claim, "spec", "selector") != NULL) {
        event_record_about(controller->events, claim, "Warning", "ProvisioningFailed",
                           "Failed to provision volume with StorageClass \"%s\": "
                           "claim.Spec.Selector is not supported",
                           volume_class(claim));
        return true;
    }
    cleanup(json_release)
    json_t *volume = make_volume(claim, class);
    cleanup(json_release)
    json_t *made =
        client_create(controller->client, &resource_persistent_volumes, NULL, volume, &why);
    if (made == NULL) {
        return why.code == 409 || error_move(error, &why); /* It is there, and comes to be seen. */
    }
    event_record_about(controller->events, claim, "Normal", "ProvisioningSucceeded",
                       "Successfully provisioned volume %s using %s",
                       json_path_string(made, "metadata", "name"), host_path);
    return true;
}

bool volume_provision(struct controller *controller, json_t **claim, const json_t *class,
                      struct error *error)
{
    const char *provisioner = json_get_string(class, "provisioner");
    if (provisioner == NULL) {
        event_record_about(controller->events, *claim, "Warning", "ProvisioningFailed",
                           "storageclass.storage.k8s.io \"%s\" not found", volume_class(*claim));
        return true;
    }
    if (strcmp(provisioner, "kubernetes.io/no-provisioner") == 0) {
        event_record_about(controller->events, *claim, "Normal", "FailedBinding",
                           "no persistent volumes available for this claim and no storage class "
                           "is set");
        return true;
    }
    if (!address(controller, claim, provisioner, error)) {
        return false;
    }
    if (is_ours(controller, provisioner)) {
        return provision_here(controller, *claim, class, error);
    }
    event_record_about(controller->events, *claim, "Normal", "ExternalProvisioning",
                       "Waiting for a volume to be created either by the external provisioner "
                       "'%s' or manually by the system administrator. If volume creation is "
                       "delayed, please verify that the provisioner is running and correctly "
                       "registered.",
                       provisioner);
    return true;
}

bool volume_is_made_here(const struct controller *controller, const json_t *volume)
{
    const char *provisioner = json_path_string(volume, "metadata", "annotations", PROVISIONED_BY);
    return provisioner != NULL && is_ours(controller, provisioner);
}

/* ---- reclaiming ---- */

bool volume_was_provisioned(const json_t *volume)
{
    const char *policy = json_path_string(volume, "spec", "persistentVolumeReclaimPolicy");
    return json_path(volume, "metadata", "annotations", PROVISIONED_BY) != NULL && policy != NULL &&
           strcmp(policy, "Delete") == 0;
}

static bool delete_volume(struct controller *controller, const json_t *volume, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    const json_t *metadata = json_object_get(volume, "metadata");
    cleanup(json_release)
    json_t *options = client_delete_options(json_get_string(metadata, "uid"), NULL);
    return json_object_get(metadata, "deletionTimestamp") != NULL ||
           client_delete(controller->client, &resource_persistent_volumes, NULL,
                         json_get_string(metadata, "name"), options, &why) ||
           why.code == 404 || error_move(error, &why);
}

static bool fail(struct controller *controller, json_t **volume, const char *reason,
                 const char *message, struct error *error)
{
    const char *phase = json_path_string(*volume, "status", "phase");
    if (phase != NULL && strcmp(phase, "Failed") == 0) {
        return true;
    }
    json_t *status = json_get_or_add_object(*volume, "status");
    json_object_set_new(status, "phase", json_string("Failed"));
    json_object_set_new(status, "message", json_string(message));
    json_t *written =
        client_update(controller->client, &resource_persistent_volumes, "status", *volume, error);
    if (written == NULL) {
        return false;
    }
    json_decref(*volume);
    *volume = written;
    event_record_about(controller->events, written, "Warning", reason, "%s", message);
    return true;
}

bool volume_reclaim(struct controller *controller, json_t **volume, struct error *error)
{
    const char *policy = json_path_string(*volume, "spec", "persistentVolumeReclaimPolicy");
    const char *provisioner = json_path_string(*volume, "metadata", "annotations", PROVISIONED_BY);
    if (policy == NULL || strcmp(policy, "Retain") == 0) {
        return true;
    }
    if (strcmp(policy, "Recycle") == 0) {
        return fail(controller, volume, "VolumeFailedRecycle",
                    "No recycler plugin found for the volume!", error);
    }
    if (provisioner != NULL && is_ours(controller, provisioner)) {
        return delete_volume(controller, *volume, error);
    }
    bool is_in_tree = provisioner == NULL && json_path(*volume, "spec", "csi") == NULL;
    if (is_in_tree) {
        return fail(controller, volume, "VolumeFailedDelete",
                    "error getting deleter volume plugin for volume: no volume plugin matched",
                    error);
    }
    event_record_about(controller->events, *volume, "Normal", "ExternalDeleter",
                       "Waiting for a volume to be deleted either by the external provisioner "
                       "'%s' or manually by the system administrator",
                       provisioner != NULL ? provisioner : "");
    return true;
}

// SPDX-License-Identifier: Apache-2.0
#include "controllers/volume_provision.h"

#include <string.h>

#include "common/alloc.h"
#include "common/random.h"
#include "common/volume_migration.h"
#include "controllers/resources.h"
#include "controllers/volume_match.h"
#include "controllers/volume_reclaim.h"

#define SELECTED_NODE "volume.kubernetes.io/selected-node"

static const char *const provisioner_annotations[] = {
    "volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"};

/* ---- making ---- */

static bool write_claim(struct controller *controller, json_t **claim, struct error *error)
{
    json_t *written =
        client_update(controller->client, &resource_persistent_volume_claims, NULL, *claim, error);
    if (written == NULL) {
        return false;
    }
    json_decref(*claim);
    *claim = written;
    return true;
}

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
    return write_claim(controller, claim, error);
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
        "{s:s, s:s, s:{s:s, s:{s:s, s:s, s:s}}, s:{s:{s:O}, s:{s:s, s:s}, s:s, s:{s:s, s:s, s:O, "
        "s:O, s:O}}}",
        "kind", "PersistentVolume", "apiVersion", "v1", "metadata", "name", name, "annotations",
        "kubernetes.io/createdby", "hostpath-dynamic-provisioner", volume_provisioned_by,
        volume_host_path, "pv.kubernetes.io/bound-by-controller", "yes", "spec", "capacity",
        "storage", json_path(spec, "resources", "requests", "storage"), "hostPath", "path", path,
        "type", "", "storageClassName", volume_class(claim), "claimRef", "kind",
        "PersistentVolumeClaim", "apiVersion", "v1", "namespace",
        json_object_get(metadata, "namespace"), "name", json_object_get(metadata, "name"), "uid",
        json_object_get(metadata, "uid"));
    json_t *volume_spec = json_object_get(volume, "spec");
    set_if_there(volume_spec, "accessModes", json_object_get(spec, "accessModes"));
    set_if_there(volume_spec, "volumeMode", json_object_get(spec, "volumeMode"));
    set_if_there(volume_spec, "persistentVolumeReclaimPolicy",
                 json_object_get(class, "reclaimPolicy"));
    volume_hold(volume);
    return volume;
}

static void tell_failure(struct controller *controller, const json_t *claim, const char *message)
{
    event_record_about(controller->events, claim, "Warning", "ProvisioningFailed", "%s", message);
}

/* Why the class and the claim ask for what can't be had here, whatever the node; the caller's, NULL
 * when they don't. */
static char *find_obstacle(const struct controller *controller, const json_t *claim,
                           const json_t *class)
{
    const json_t *options = json_object_get(class, "mountOptions");
    if (json_path(claim, "spec", "dataSource") != NULL) {
        return format("plugin \"%s\" is not a CSI plugin. Only CSI plugin can provision a claim "
                      "with a datasource",
                      volume_host_path);
    }
    if (json_array_size(options) > 0) {
        cleanup(buffer_free)
        struct buffer list = BUFFER_INIT;
        size_t i;
        const json_t *option;
        json_array_foreach (options, i, option) {
            buffer_addf(&list, "%s%s", i > 0 ? " " : "", json_string_value(option));
        }
        return format("Mount options are not supported by the provisioner but StorageClass \"%s\" "
                      "has mount options [%s]",
                      volume_class(claim), buffer_text(&list));
    }
    return controller->settings->enable_hostpath_provisioner
               ? NULL
               : format("Failed to create provisioner: provisioning in volume plugin \"%s\" is "
                        "disabled",
                        volume_host_path);
}

/* Why no volume can be made for the claim where the scheduler wants it; the caller's, NULL when it
 * can. */
static char *find_failure(const json_t *claim, struct informer *nodes)
{
    const char *node = json_path_string(claim, "metadata", "annotations", SELECTED_NODE);
    const char *mode = json_path_string(claim, "spec", "volumeMode");
    cleanup(cached_object_release)
    struct cached_object *found = node != NULL ? indexer_get(informer_indexer(nodes), node) : NULL;
    bool is_block = mode != NULL && strcmp(mode, "Block") == 0;
    if (node != NULL && found == NULL) {
        return format("Failed to get target node: node \"%s\" not found", node);
    }
    if (is_block || json_path(claim, "spec", "selector") != NULL) {
        return format("Failed to provision volume with StorageClass \"%s\": %s%s",
                      volume_class(claim), is_block ? volume_host_path : "claim.Spec.Selector is",
                      is_block ? " does not support block volume provisioning" : " not supported");
    }
    return NULL;
}

/* Has the scheduler choose again. */
static bool give_back(struct controller *controller, json_t **claim, struct error *error)
{
    json_t *annotations = json_path(*claim, "metadata", "annotations");
    return json_object_del(annotations, SELECTED_NODE) != 0 ||
           write_claim(controller, claim, error);
}

/* The volume names the claim, which then finds it. */
static bool create_volume(struct controller *controller, const json_t *claim, const json_t *class,
                          struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
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
                       json_path_string(made, "metadata", "name"), volume_host_path);
    return true;
}

static bool provision_here(struct controller *controller, json_t **claim, const json_t *class,
                           struct informer *nodes, struct error *error)
{
    cleanup(free_char)
    char *obstacle = find_obstacle(controller, *claim, class);
    cleanup(free_char)
    char *failure = obstacle == NULL ? find_failure(*claim, nodes) : NULL;
    if (obstacle != NULL || failure != NULL) {
        tell_failure(controller, *claim, obstacle != NULL ? obstacle : failure);
        return obstacle != NULL || give_back(controller, claim, error);
    }
    return address(controller, claim, volume_host_path, error) &&
           create_volume(controller, *claim, class, error);
}

bool volume_provision(struct controller *controller, json_t **claim, const json_t *class,
                      struct informer *nodes, struct error *error)
{
    const char *provisioner = json_get_string(class, "provisioner");
    if (provisioner != NULL && strcmp(provisioner, volume_host_path) == 0) {
        return provision_here(controller, claim, class, nodes, error);
    }
    if (provisioner == NULL || volume_is_in_tree(provisioner)) {
        cleanup(free_char)
        char *message =
            provisioner == NULL
                ? format("storageclass.storage.k8s.io \"%s\" not found", volume_class(*claim))
                : format("no volume plugin matched name: %s", provisioner);
        tell_failure(controller, *claim, message);
        return true;
    }
    if (!address(controller, claim, volume_migrated_driver(provisioner), error)) {
        return false;
    }
    event_record_about(controller->events, *claim, "Normal", "ExternalProvisioning",
                       "Waiting for a volume to be created either by the external provisioner "
                       "'%s' or manually by the system administrator. If volume creation is "
                       "delayed, please verify that the provisioner is running and correctly "
                       "registered.",
                       volume_migrated_driver(provisioner));
    return true;
}

bool volume_is_made_here(const struct controller *controller, const json_t *volume)
{
    const char *provisioner =
        json_path_string(volume, "metadata", "annotations", volume_provisioned_by);
    return controller->settings->enable_hostpath_provisioner && provisioner != NULL &&
           strcmp(provisioner, volume_host_path) == 0;
}

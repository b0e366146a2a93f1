// SPDX-License-Identifier: Apache-2.0
#include "controllers/volume_reclaim.h"

#include <string.h>

#include "common/alloc.h"
#include "common/quantity.h"
#include "common/volume_migration.h"
#include "controllers/finalizers.h"
#include "controllers/pod_view.h"
#include "controllers/resources.h"

const char volume_host_path[] = "kubernetes.io/host-path";
const char volume_provisioned_by[] = "pv.kubernetes.io/provisioned-by";

static const char holding_finalizer[] = "kubernetes.io/pv-controller";
/* The external provisioners' own. */
static const char foreign_finalizer[] = "external-provisioner.volume.kubernetes.io/finalizer";
static const char recycler_prefix[] = "recycler-for-";

/* ---- who made it ---- */

bool volume_is_in_tree(const char *provisioner)
{
    return volume_migrated_driver(provisioner) == provisioner &&
           strncmp(provisioner, "kubernetes.io/", strlen("kubernetes.io/")) == 0;
}

static const char *provisioner_of(const json_t *volume)
{
    return json_path_string(volume, "metadata", "annotations", volume_provisioned_by);
}

static bool has_policy(const json_t *volume, const char *policy)
{
    const char *present = json_path_string(volume, "spec", "persistentVolumeReclaimPolicy");
    return present != NULL && strcmp(present, policy) == 0;
}

bool volume_was_provisioned(const json_t *volume)
{
    return provisioner_of(volume) != NULL && has_policy(volume, "Delete");
}

bool volume_hold(json_t *volume)
{
    const char *provisioner = provisioner_of(volume);
    if (provisioner == NULL) {
        return false;
    }
    if (!volume_is_in_tree(provisioner)) { /* Its driver holds it in its own name. */
        return volume_migrated_driver(provisioner) != provisioner &&
               finalizer_set(volume, holding_finalizer, false);
    }
    bool has_changed = finalizer_set(volume, holding_finalizer, has_policy(volume, "Delete"));
    return finalizer_set(volume, foreign_finalizer, false) || has_changed;
}

/* ---- deleting ---- */

/* Takes on what the server made of it. */
static bool put(struct controller *controller, const char *subresource, json_t **volume,
                struct error *error)
{
    json_t *written = client_update(controller->client, &resource_persistent_volumes, subresource,
                                    *volume, error);
    if (written == NULL) {
        return false;
    }
    json_decref(*volume);
    *volume = written;
    return true;
}

static bool delete_volume(struct controller *controller, json_t **volume, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (finalizer_set(*volume, holding_finalizer, false) &&
        !put(controller, NULL, volume, &why)) { /* When it was the last, it is gone by now. */
        return why.code == 404 || error_move(error, &why);
    }
    const json_t *metadata = json_object_get(*volume, "metadata");
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
    if (!put(controller, "status", volume, error)) {
        return false;
    }
    event_record_about(controller->events, *volume, "Warning", reason, "%s", message);
    return true;
}

/* Why it can't be deleted; the caller's, NULL when it can. A folder is not removed: it is a node's.
 */
static char *find_obstacle(const json_t *volume)
{
    const char *provisioner = provisioner_of(volume);
    const char *path = json_path_string(volume, "spec", "hostPath", "path");
    bool is_shared = json_path(volume, "spec", "nfs") != NULL;
    if (provisioner != NULL && strcmp(provisioner, volume_host_path) != 0) {
        return format("no volume plugin matched name: %s", provisioner);
    }
    if (path != NULL) {
        const char *folder = strstr(path, "/tmp/");
        return folder != NULL && folder[strlen("/tmp/")] != '\0'
                   ? NULL
                   : format("host_path deleter only supports /tmp/.+ but received provided %s",
                            path);
    }
    return format("error getting deleter volume plugin for volume \"%s\": %s",
                  json_path_string(volume, "metadata", "name"),
                  is_shared ? "no deletable volume plugin matched" : "no volume plugin matched");
}

static bool delete_or_fail(struct controller *controller, json_t **volume, struct error *error)
{
    const char *provisioner = provisioner_of(*volume);
    if (provisioner != NULL && !volume_is_in_tree(provisioner)) {
        return true; /* Its driver deletes it. */
    }
    cleanup(free_char)
    char *obstacle = find_obstacle(*volume);
    return obstacle == NULL ? delete_volume(controller, volume, error)
                            : fail(controller, volume, "VolumeFailedDelete", obstacle, error);
}

/* ---- recycling ---- */

const char *volume_of_recycler(const struct cached_object *pod)
{
    size_t length = strlen(recycler_prefix);
    return strcmp(pod->namespace, "default") == 0 &&
                   strncmp(pod->name, recycler_prefix, length) == 0
               ? pod->name + length
               : NULL;
}

/* "a,b" of the pods that still use the claim there was; the caller's, NULL when there are none. */
static char *find_users(struct informer *pods, const json_t *volume)
{
    const json_t *reference = json_path(volume, "spec", "claimRef");
    cleanup(free_char)
    char *key = format("%s/%s", json_get_string(reference, "namespace"),
                       json_get_string(reference, "name"));
    cleanup(cached_list_free)
    struct cached_list users = CACHED_LIST_INIT;
    cleanup(buffer_free)
    struct buffer names = BUFFER_INIT;
    indexer_find(informer_indexer(pods), "claim", key, &users);
    for (size_t i = 0; i < users.count; i++) {
        if (pod_view(users.items[i])->phase != POD_SUCCEEDED &&
            pod_view(users.items[i])->phase != POD_FAILED) {
            buffer_addf(&names, "%s%s/%s", names.length > 0 ? "," : "", users.items[i]->namespace,
                        users.items[i]->name);
        }
    }
    return names.length > 0 ? buffer_steal(&names) : NULL;
}

/* A minimum, and half a minute for each GiB where that is more. */
static json_int_t seconds_for(const json_t *volume, json_int_t minimum)
{
    const char *text = json_path_string(volume, "spec", "capacity", "storage");
    struct quantity size = {0};
    int64_t bytes = 0;
    if (text != NULL && quantity_parse(text, &size)) {
        bytes = quantity_value(&size);
    }
    json_int_t seconds = bytes / (INT64_C(1) << 30) * 30;
    return seconds > minimum ? seconds : minimum;
}

/* 'kind' is the member of its spec that says what the volume is. */
static json_t *make_recycler(const json_t *volume, const char *kind, json_int_t least_seconds)
{
    cleanup(free_char)
    char *name = format("%s%s", recycler_prefix, json_path_string(volume, "metadata", "name"));
    return json_pack(
        "{s:s, s:s, s:{s:s, s:s}, s:{s:I, s:s, s:[{s:s, s:O}], s:[{s:s, s:s, s:[s], s:[s, s], "
        "s:[{s:s, s:s}]}]}}",
        "kind", "Pod", "apiVersion", "v1", "metadata", "name", name, "namespace", "default", "spec",
        "activeDeadlineSeconds", seconds_for(volume, least_seconds), "restartPolicy", "Never",
        "volumes", "name", "vol", kind, json_path(volume, "spec", kind), "containers", "name",
        "pv-recycler", "image", "registry.k8s.io/build-image/debian-base:bookworm-v1.0.4",
        "command", "/bin/sh", "args", "-c",
        "test -e /scrub && find /scrub -mindepth 1 -delete && test -z \"$(ls -A /scrub)\" || exit "
        "1",
        "volumeMounts", "name", "vol", "mountPath", "/scrub");
}

/* The pod has ended: it goes, so that the next time there is another. */
static bool finish_recycling(struct controller *controller, json_t **volume,
                             const struct cached_object *pod, bool *is_clean, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *tree = cached_object_tree(pod);
    const char *said = json_path_string(tree, "status", "message");
    cleanup(json_release)
    json_t *options = client_delete_options(pod->uid, NULL);
    if (!client_delete(controller->client, &resource_pods, pod->namespace, pod->name, options,
                       &why) &&
        why.code != 404) {
        return error_move(error, &why);
    }
    *is_clean = pod_view(pod)->phase == POD_SUCCEEDED;
    if (*is_clean) {
        event_record_about(controller->events, *volume, "Normal", "VolumeRecycled",
                           "Volume recycled");
        return true;
    }
    cleanup(free_char)
    char *message = format("Recycle failed: %s",
                           said != NULL ? said : "pod failed, pod.Status.Message unknown");
    return fail(controller, volume, "VolumeFailedRecycle", message, error) &&
           error_internal(error, "volume \"%s\": %s", json_path_string(*volume, "metadata", "name"),
                          message);
}

/* The informer may show a volume as released that was recycled a moment ago, whose pod is gone:
 * only the server knows. What has changed comes here again by itself. */
static bool is_unchanged(struct controller *controller, const json_t *volume, bool *unchanged,
                         struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *now = client_get(controller->client, &resource_persistent_volumes, NULL,
                             json_path_string(volume, "metadata", "name"), &why);
    const char *seen = json_path_string(volume, "metadata", "resourceVersion");
    *unchanged = now != NULL && seen != NULL &&
                 strcmp(json_path_string(now, "metadata", "resourceVersion"), seen) == 0;
    return now != NULL || why.code == 404 || error_move(error, &why);
}

/* A pod empties it. */
static bool recycle(struct controller *controller, json_t **volume, struct informer *pods,
                    bool *is_clean, struct error *error)
{
    bool is_shared = json_path(*volume, "spec", "nfs") != NULL;
    if (!is_shared && json_path(*volume, "spec", "hostPath") == NULL) {
        return fail(controller, volume, "VolumeFailedRecycle",
                    "No recycler plugin found for the volume!", error);
    }
    cleanup(free_char)
    char *users = find_users(pods, *volume);
    if (users != NULL) {
        event_record_about(controller->events, *volume, "Normal", "RecyclerPod",
                           "Volume is used by pods: %s", users);
        return true;
    }
    cleanup(json_release)
    json_t *recycler =
        is_shared ? make_recycler(*volume, "nfs", 300) : make_recycler(*volume, "hostPath", 60);
    cleanup(free_char)
    char *key = format("default/%s", json_path_string(recycler, "metadata", "name"));
    cleanup(cached_object_release)
    struct cached_object *pod = indexer_get(informer_indexer(pods), key);
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (pod != NULL) {
        bool has_ended = !pod->is_deleting && (pod_view(pod)->phase == POD_SUCCEEDED ||
                                               pod_view(pod)->phase == POD_FAILED);
        return !has_ended || finish_recycling(controller, volume, pod, is_clean, error);
    }
    bool unchanged;
    if (!is_unchanged(controller, *volume, &unchanged, error)) {
        return false;
    }
    if (!unchanged) {
        return true;
    }
    cleanup(json_release)
    json_t *made = client_create(controller->client, &resource_pods, "default", recycler, &why);
    return made != NULL || why.code == 409 || error_move(error, &why);
}

bool volume_reclaim(struct controller *controller, json_t **volume, struct informer *pods,
                    bool *is_clean, struct error *error)
{
    *is_clean = false;
    return has_policy(*volume, "Recycle")  ? recycle(controller, volume, pods, is_clean, error)
           : has_policy(*volume, "Delete") ? delete_or_fail(controller, volume, error)
                                           : true;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * ephemeral-volume-controller: makes the claims of generic ephemeral volumes, each the pod's own
 * and named after the pod and the volume; they go with the pod by garbage collection. A claim of
 * that name that is somebody else's is left alone, and the pod told so.
 */
#include <string.h>

#include "common/alloc.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/owner.h"
#include "controllers/pod_view.h"
#include "controllers/resources.h"

struct ephemeral_state {
    struct controller *controller;
    struct informer *pods, *claims;
};

/* What a pod says of its volumes stays as it is. */
static void pod_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct ephemeral_state *state = argument;
    if (old == NULL && new != NULL && pod_view(new)->claims[0] != '\0') {
        controller_add_object(state->controller, new);
    }
}

static void claim_changed(void *argument, const struct cached_object *old,
                          const struct cached_object *new)
{
    struct ephemeral_state *state = argument;
    if (new == NULL) {
        controller_add_owner(state->controller, old, "Pod");
    }
}

static json_t *make_claim(const json_t *pod, const json_t *volume, const char *name)
{
    const json_t *template = json_path(volume, "ephemeral", "volumeClaimTemplate");
    const json_t *metadata = json_object_get(template, "metadata");
    return json_pack("{s:s, s:s, s:{s:s, s:O, s:O*, s:O*, s:[o]}, s:O*}", "apiVersion", "v1",
                     "kind", "PersistentVolumeClaim", "metadata", "name", name, "namespace",
                     json_path(pod, "metadata", "namespace"), "labels",
                     json_object_get(metadata, "labels"), "annotations",
                     json_object_get(metadata, "annotations"), "ownerReferences",
                     owner_reference(pod), "spec", json_object_get(template, "spec"));
}

static bool check_claim(const struct cached_object *claim, const struct cached_object *pod,
                        struct error *error)
{
    return strcmp(claim->owner_uid, pod->uid) == 0 ||
           error_set(error, 409, "Conflict", "PVC %s was not created for pod %s (pod is not owner)",
                     claim->key, pod->key);
}

static bool sync_volume(struct ephemeral_state *state, const struct cached_object *cached,
                        const json_t *pod, const json_t *volume, struct error *error)
{
    cleanup(free_char)
    char *name = format("%s-%s", cached->name, json_get_string(volume, "name"));
    cleanup(cached_object_release)
    struct cached_object *present = informer_get(state->claims, cached->namespace, name);
    if (present != NULL) {
        return check_claim(present, cached, error);
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *claim = make_claim(pod, volume, name);
    cleanup(json_release)
    json_t *made = client_create(state->controller->client, &resource_persistent_volume_claims,
                                 cached->namespace, claim, &why);
    return made != NULL || error_wrap(error, &why, "create PVC %s", name);
}

static bool sync_pod(void *argument, const char *key, struct error *error)
{
    struct ephemeral_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(state->pods), key);
    if (cached == NULL || cached->is_deleting) {
        return true;
    }
    cleanup(json_release)
    json_t *pod = cached_object_tree(cached);
    size_t i;
    const json_t *volume;
    json_array_foreach (json_path(pod, "spec", "volumes"), i, volume) {
        if (json_is_object(json_object_get(volume, "ephemeral")) &&
            !sync_volume(state, cached, pod, volume, error)) {
            event_record_about(state->controller->events, pod, "Warning", "FailedBinding",
                               "ephemeral volume %s: %s", json_get_string(volume, "name"),
                               error->message);
            return false;
        }
    }
    return true;
}

static void *start_ephemeral(struct controller *controller, struct error *error)
{
    (void)error;
    struct ephemeral_state *state = allocate_struct(struct ephemeral_state);
    state->controller = controller;
    state->pods = pod_informer(controller->informers);
    state->claims =
        informer_factory_get(controller->informers, &resource_persistent_volume_claims, NULL, NULL);
    informer_add_handler(state->pods, pod_changed, state);
    informer_add_handler(state->claims, claim_changed, state);
    return state;
}

const struct controller_type ephemeral_volume_controller = {
    .name = "ephemeral-volume-controller",
    .alias = "ephemeral-volume",
    .event_source = "ephemeral_volume",
    .account = "ephemeral-volume-controller",
    .workers = 5,
    .start = start_ephemeral,
    .sync = sync_pod,
    .stop = free,
};

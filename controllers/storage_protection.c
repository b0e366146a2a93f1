// SPDX-License-Identifier: Apache-2.0
/*
 * Storage that is in use stays: claims that pods use, and volumes that are bound. Both are held by
 * a finalizer, which admission gives them when they are made and which these two controllers give
 * to those that lack it, and take away when what is being deleted is not used any more. Keys are
 * those of claims and of volumes.
 *
 * That the informer knows no pod of a claim doesn't mean that there is none: before a claim is let
 * go, the API server is asked.
 */
#include "controllers/storage_protection.h"

#include <string.h>

#include "common/alloc.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/finalizers.h"
#include "controllers/pod_view.h"
#include "controllers/resources.h"

const char storage_claim_finalizer[] = "kubernetes.io/pvc-protection";
const char storage_volume_finalizer[] = "kubernetes.io/pv-protection";
const char storage_attributes_finalizer[] = "kubernetes.io/vac-protection";

/* ---- decisions ---- */

/* What runs in it has ended, or is given up: its kubelet is done, or it was deleted by force. */
static bool is_shut_down(const json_t *pod)
{
    const json_t *metadata = json_object_get(pod, "metadata");
    const json_t *grace = json_object_get(metadata, "deletionGracePeriodSeconds");
    return json_object_get(metadata, "deletionTimestamp") != NULL && json_is_integer(grace) &&
           json_integer_value(grace) == 0;
}

static bool is_made_for(const json_t *claim, const json_t *pod)
{
    const char *uid = json_path_string(pod, "metadata", "uid");
    size_t i;
    const json_t *owner;
    json_array_foreach (json_path((json_t *)claim, "metadata", "ownerReferences"), i, owner) {
        const char *owner_uid = json_get_string(owner, "uid");
        if (json_get_bool(owner, "controller", false) && uid != NULL && owner_uid != NULL &&
            strcmp(uid, owner_uid) == 0) {
            return true;
        }
    }
    return false;
}

static bool uses_ephemeral(const json_t *pod, const json_t *volume, const json_t *claim,
                           const char *claim_name)
{
    if (!json_is_object(json_object_get(volume, "ephemeral")) || is_shut_down(pod)) {
        return false;
    }
    const char *pod_name = json_path_string(pod, "metadata", "name");
    const char *volume_name = json_get_string(volume, "name");
    cleanup(free_char)
    char *name = format("%s-%s", pod_name ? pod_name : "", volume_name ? volume_name : "");
    return strcmp(name, claim_name) == 0 && is_made_for(claim, pod);
}

bool storage_pod_uses_claim(const json_t *pod, const json_t *claim)
{
    const char *node = json_path_string(pod, "spec", "nodeName");
    const char *claim_name = json_path_string(claim, "metadata", "name");
    size_t i;
    const json_t *volume;
    if (node == NULL || node[0] == '\0' || claim_name == NULL) {
        return false;
    }
    json_array_foreach (json_path((json_t *)pod, "spec", "volumes"), i, volume) {
        const char *named = json_path_string(volume, "persistentVolumeClaim", "claimName");
        if ((named != NULL && strcmp(named, claim_name) == 0) ||
            uses_ephemeral(pod, volume, claim, claim_name)) {
            return true;
        }
    }
    return false;
}

bool storage_volume_is_used(const json_t *volume)
{
    const char *phase = json_path_string(volume, "status", "phase");
    return phase != NULL && strcmp(phase, "Bound") == 0;
}

enum storage_protection storage_decide(const json_t *object, const char *finalizer, bool in_use)
{
    bool is_deleting = json_path((json_t *)object, "metadata", "deletionTimestamp") != NULL;
    bool is_held = finalizer_is_held(object, finalizer);
    return is_deleting && is_held && !in_use ? STORAGE_TO_LET_GO
           : !is_deleting && !is_held        ? STORAGE_TO_HOLD
                                             : STORAGE_STAYS;
}

/* ---- what all do ---- */

bool storage_carry_out(const struct controller *controller, const struct api_resource *resource,
                       json_t *object, const char *finalizer, enum storage_protection decision,
                       struct error *error)
{
    if (decision == STORAGE_STAYS ||
        !finalizer_set(object, finalizer, decision == STORAGE_TO_HOLD)) {
        return true;
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *written = client_update(controller->client, resource, NULL, object, &why);
    return written != NULL || why.code == 404 || error_move(error, &why);
}

struct storage_state {
    struct controller *controller;
    struct informer *objects; /* Claims, or volumes. */
    struct informer *pods;    /* NULL with volumes. */
};

/* ---- claims ---- */

static void add_claims(const struct storage_state *state, const struct cached_object *pod)
{
    for (const char *name = pod_view(pod)->claims; *name != '\0'; name += strlen(name) + 1) {
        cleanup(free_char)
        char *key = format("%s/%s", pod->namespace, name);
        controller_add(state->controller, key);
    }
}

/* A pod that has a node and runs can't help a claim to go. */
static bool may_let_go(const struct cached_object *pod)
{
    return !pod_is_active(pod) || !pod_view(pod)->is_scheduled;
}

static void pod_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    if (new != NULL && may_let_go(new)) {
        add_claims(argument, new);
    }
    /* It is gone, or another one of its name has come. */
    if (old != NULL && (new == NULL || strcmp(old->uid, new->uid) != 0)) {
        add_claims(argument, old);
    }
}

static bool is_used_as_seen(const struct storage_state *state, const char *key, const json_t *claim)
{
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    bool used = false;
    indexer_find(informer_indexer(state->pods), "claim", key, &pods);
    for (size_t i = 0; i < pods.count && !used; i++) {
        cleanup(json_release)
        json_t *pod = cached_object_tree(pods.items[i]);
        used = storage_pod_uses_claim(pod, claim);
    }
    return used;
}

/* Looks at one page of the pods there are; '*token' is where the next begins, NULL at the end. */
static bool find_on_page(const struct storage_state *state, const json_t *claim, char **token,
                         bool *used, struct error *error)
{
    enum { page_size = 500 };
    cleanup(free_char)
    char *path =
        client_path(&resource_pods, json_path_string(claim, "metadata", "namespace"), NULL, NULL);
    cleanup(free_char)
    char *from = steal(*token);
    struct client_request request = {
        .method = "GET",
        .path = format("%s?limit=%d&continue=%s", path, page_size, from != NULL ? from : "")};
    cleanup(json_release)
    json_t *list = client_call(state->controller->client, request, error);
    const char *next = json_path_string(list, "metadata", "continue");
    size_t i;
    const json_t *pod;
    json_array_foreach (json_object_get(list, "items"), i, pod) {
        *used = *used || storage_pod_uses_claim(pod, claim);
    }
    *token = next != NULL && next[0] != '\0' ? duplicate(next) : NULL;
    return list != NULL;
}

/* Asks the API server; false only with an error. */
static bool find_user(const struct storage_state *state, const json_t *claim, bool *used,
                      struct error *error)
{
    cleanup(free_char)
    char *token = NULL;
    do {
        if (!find_on_page(state, claim, &token, used, error)) {
            return false;
        }
    } while (token != NULL && !*used);
    return true;
}

static bool sync_claim(void *argument, const char *key, struct error *error)
{
    const struct storage_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *present = indexer_get(informer_indexer(state->objects), key);
    cleanup(json_release)
    json_t *claim = present ? cached_object_tree(present) : NULL;
    if (claim == NULL) {
        return true;
    }
    bool used = present->is_deleting && is_used_as_seen(state, key, claim);
    enum storage_protection decision = storage_decide(claim, storage_claim_finalizer, used);
    if (decision == STORAGE_TO_LET_GO) {
        if (!find_user(state, claim, &used, error)) {
            return false;
        }
        decision = storage_decide(claim, storage_claim_finalizer, used);
    }
    return storage_carry_out(state->controller, &resource_persistent_volume_claims, claim,
                             storage_claim_finalizer, decision, error);
}

static void *start_claims(struct controller *controller, struct error *error)
{
    (void)error;
    struct storage_state *state = allocate_struct(struct storage_state);
    state->controller = controller;
    state->objects =
        informer_factory_get(controller->informers, &resource_persistent_volume_claims, NULL, NULL);
    state->pods = pod_informer(controller->informers);
    informer_add_handler(state->objects, controller_handle_object, controller);
    informer_add_handler(state->pods, pod_changed, state);
    return state;
}

/* ---- volumes ---- */

static bool sync_volume(void *argument, const char *key, struct error *error)
{
    const struct storage_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *present = indexer_get(informer_indexer(state->objects), key);
    cleanup(json_release)
    json_t *volume = present ? cached_object_tree(present) : NULL;
    return volume == NULL ||
           storage_carry_out(
               state->controller, &resource_persistent_volumes, volume, storage_volume_finalizer,
               storage_decide(volume, storage_volume_finalizer, storage_volume_is_used(volume)),
               error);
}

static void *start_volumes(struct controller *controller, struct error *error)
{
    (void)error;
    struct storage_state *state = allocate_struct(struct storage_state);
    state->controller = controller;
    state->objects =
        informer_factory_get(controller->informers, &resource_persistent_volumes, NULL, NULL);
    informer_add_handler(state->objects, controller_handle_object, controller);
    return state;
}

const struct controller_type claim_protection_controller = {
    .name = "persistentvolumeclaim-protection-controller",
    .alias = "pvc-protection",
    .account = "pvc-protection-controller",
    .workers = 1,
    .start = start_claims,
    .sync = sync_claim,
    .stop = free,
};

const struct controller_type volume_protection_controller = {
    .name = "persistentvolume-protection-controller",
    .alias = "pv-protection",
    .account = "pv-protection-controller",
    .workers = 1,
    .start = start_volumes,
    .sync = sync_volume,
    .stop = free,
};

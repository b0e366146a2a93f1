// SPDX-License-Identifier: Apache-2.0
/*
 * persistentvolume-binder-controller: brings claims and volumes together, has volumes provided for
 * claims that find none, and does with a volume whose claim has gone what its policy says.
 *
 * A binding is two references, the volume's (spec.claimRef) written first: whoever finds only that
 * one goes on from there. Every write is on condition of what was read, so two claims can't get one
 * volume. Keys are "claim:namespace/name" and "volume:name"; there is one worker.
 */
#include <string.h>

#include "common/alloc.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/node_view.h"
#include "controllers/pod_view.h"
#include "controllers/resources.h"
#include "controllers/volume_class.h"
#include "controllers/volume_match.h"
#include "controllers/volume_provision.h"
#include "controllers/volume_reclaim.h"

#define BOUND_BY_US "pv.kubernetes.io/bound-by-controller"
#define BIND_COMPLETED "pv.kubernetes.io/bind-completed"
#define SELECTED_NODE "volume.kubernetes.io/selected-node"

struct binder_state {
    struct controller *controller;
    struct informer *claims, *volumes, *classes, *pods, *nodes;
};

/* ---- keys ---- */

static void add_claim(struct binder_state *state, const char *name)
{
    cleanup(free_char)
    char *key = format("claim:%s", name);
    controller_add(state->controller, key);
}

static void add_volume(struct binder_state *state, const char *name)
{
    cleanup(free_char)
    char *key = format("volume:%s", name);
    controller_add(state->controller, key);
}

static void index_by_volume(const struct cached_object *claim, struct index_values *values)
{
    cleanup(free_char)
    char *name = cached_object_value(claim, "spec.volumeName");
    index_values_add(values, name != NULL ? name : "");
}

/* Claims that no volume has been found for. */
static void index_pending(const struct cached_object *claim, struct index_values *values)
{
    cleanup(free_char)
    char *name = cached_object_value(claim, "spec.volumeName");
    index_values_add(values, name == NULL || name[0] == '\0' ? "pending" : "");
}

static void index_by_claim(const struct cached_object *volume, struct index_values *values)
{
    cleanup(free_char)
    char *namespace = cached_object_value(volume, "spec.claimRef.namespace");
    cleanup(free_char)
    char *name = cached_object_value(volume, "spec.claimRef.name");
    if (namespace != NULL && name != NULL) {
        cleanup(free_char)
        char *key = format("%s/%s", namespace, name);
        index_values_add(values, key);
    }
}

/* Volumes that are nobody's, by their class. */
static void index_free(const struct cached_object *volume, struct index_values *values)
{
    cleanup(json_release)
    json_t *tree = cached_object_tree(volume);
    if (json_path(tree, "spec", "claimRef") == NULL) {
        cleanup(free_char)
        char *class = format("class:%s", volume_class(tree));
        index_values_add(values, class);
    }
}

static void claim_changed(void *argument, const struct cached_object *old,
                          const struct cached_object *new)
{
    struct binder_state *state = argument;
    const struct cached_object *claim = new != NULL ? new : old;
    cleanup(free_char)
    char *volume = cached_object_value(claim, "spec.volumeName");
    cleanup(cached_list_free)
    struct cached_list volumes = CACHED_LIST_INIT;
    add_claim(state, claim->key);
    if (volume != NULL && volume[0] != '\0') {
        add_volume(state, volume);
    }
    indexer_find(informer_indexer(state->volumes), "claim", claim->key, &volumes);
    for (size_t i = 0; i < volumes.count; i++) {
        add_volume(state, volumes.items[i]->name);
    }
}

static void add_claims(struct binder_state *state, const char *index, const char *value)
{
    cleanup(cached_list_free)
    struct cached_list claims = CACHED_LIST_INIT;
    indexer_find(informer_indexer(state->claims), index, value, &claims);
    for (size_t i = 0; i < claims.count; i++) {
        add_claim(state, claims.items[i]->key);
    }
}

static void volume_changed(void *argument, const struct cached_object *old,
                           const struct cached_object *new)
{
    struct binder_state *state = argument;
    const struct cached_object *volume = new != NULL ? new : old;
    cleanup(free_char)
    char *namespace = cached_object_value(volume, "spec.claimRef.namespace");
    cleanup(free_char)
    char *name = cached_object_value(volume, "spec.claimRef.name");
    add_volume(state, volume->name);
    add_claims(state, "volume", volume->name);
    if (name != NULL && namespace != NULL) {
        cleanup(free_char)
        char *claim = format("%s/%s", namespace, name);
        add_claim(state, claim);
    } else {
        add_claims(state, "pending", "pending");
    }
}

static void class_changed(void *argument, const struct cached_object *old,
                          const struct cached_object *new)
{
    struct binder_state *state = argument;
    (void)old;
    if (new != NULL) {
        add_claims(state, "pending", "pending");
    }
}

/* A volume that was to be emptied is so, or can't be; or a pod that has gone may have been the last
 * to use one. */
static void pod_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct binder_state *state = argument;
    const struct cached_object *pod = new != NULL ? new : old;
    if (volume_of_recycler(pod) != NULL) {
        add_volume(state, volume_of_recycler(pod));
    }
    if (pod_is_active(pod) && new != NULL) {
        return;
    }
    for (const char *name = pod_view(pod)->claims; *name != '\0'; name += strlen(name) + 1) {
        cleanup(free_char)
        char *claim = format("%s/%s", pod->namespace, name);
        cleanup(cached_list_free)
        struct cached_list volumes = CACHED_LIST_INIT;
        indexer_find(informer_indexer(state->volumes), "claim", claim, &volumes);
        for (size_t i = 0; i < volumes.count; i++) {
            add_volume(state, volumes.items[i]->name);
        }
    }
}

/* ---- writing ---- */

/* Puts the object, or its status, and takes on what the server made of it. */
static bool put(struct binder_state *state, const struct api_resource *resource,
                const char *subresource, json_t **object, struct error *error)
{
    json_t *written =
        client_update(state->controller->client, resource, subresource, *object, error);
    if (written == NULL) {
        return false;
    }
    json_decref(*object);
    *object = written;
    return true;
}

static bool is_phase(const json_t *object, const char *phase)
{
    const char *present = json_path_string(object, "status", "phase");
    return present != NULL && strcmp(present, phase) == 0;
}

static bool set_volume_phase(struct binder_state *state, json_t **volume, const char *phase,
                             struct error *error)
{
    if (is_phase(*volume, phase)) {
        return true;
    }
    json_t *status = json_get_or_add_object(*volume, "status");
    json_object_set_new(status, "phase", json_string(phase));
    json_object_del(status, "message");
    return put(state, &resource_persistent_volumes, "status", volume, error);
}

/* 'volume' NULL: the claim has no capacity. */
static bool set_claim_phase(struct binder_state *state, json_t **claim, const char *phase,
                            const json_t *volume, struct error *error)
{
    static const char *const members[] = {"accessModes", "capacity"};
    json_t *status = json_get_or_add_object(*claim, "status");
    bool had_phase = is_phase(*claim, phase);
    cleanup(json_release)
    json_t *before = json_copy(status);
    json_object_set_new(status, "phase", json_string(phase));
    for (size_t i = 0; i < array_length(members); i++) {
        json_t *value = json_path(volume, "spec", members[i]);
        /* What has grown since is the expansion's to tell. */
        if (volume == NULL) {
            json_object_del(status, members[i]);
        } else if (json_object_get(before, members[i]) == NULL || !had_phase) {
            json_object_set(status, members[i], value);
        }
    }
    return json_equal(before, status) ||
           put(state, &resource_persistent_volume_claims, "status", claim, error);
}

static void tell(struct binder_state *state, const json_t *object, const char *type,
                 const char *reason, const char *message)
{
    event_record_about(state->controller->events, object, type, reason, "%s", message);
}

static bool lose_claim(struct binder_state *state, json_t **claim, const char *reason,
                       const char *message, struct error *error)
{
    if (is_phase(*claim, "Lost")) {
        return true;
    }
    if (!set_claim_phase(state, claim, "Lost", NULL, error)) {
        return false;
    }
    tell(state, *claim, "Warning", reason, message);
    return true;
}

/* ---- binding ---- */

/* NULL when the claim names none. */
static const char *volume_named(const json_t *claim)
{
    const char *name = json_path_string(claim, "spec", "volumeName");
    return name != NULL && *name != '\0' ? name : NULL;
}

static json_t *annotations_of(json_t *object)
{
    return json_get_or_add_object(json_get_or_add_object(object, "metadata"), "annotations");
}

static bool has_annotation(const json_t *object, const char *name)
{
    return json_path(object, "metadata", "annotations", name) != NULL;
}

static json_t *reference_to(const json_t *claim)
{
    const json_t *metadata = json_object_get(claim, "metadata");
    return json_pack("{s:s, s:s, s:O, s:O, s:O, s:O}", "kind", "PersistentVolumeClaim",
                     "apiVersion", "v1", "namespace", json_object_get(metadata, "namespace"),
                     "name", json_object_get(metadata, "name"), "uid",
                     json_object_get(metadata, "uid"), "resourceVersion",
                     json_object_get(metadata, "resourceVersion"));
}

static bool bind_volume(struct binder_state *state, json_t **volume, const json_t *claim,
                        struct error *error)
{
    if (volume_is_bound_to(*volume, claim)) {
        return true;
    }
    if (!volume_is_for(*volume, claim)) { /* Else somebody chose it: it stays his when unbound. */
        json_object_set_new(annotations_of(*volume), BOUND_BY_US, json_string("yes"));
    }
    json_object_set_new(json_object_get(*volume, "spec"), "claimRef", reference_to(claim));
    return put(state, &resource_persistent_volumes, NULL, volume, error);
}

static bool bind_claim(struct binder_state *state, json_t **claim, const json_t *volume,
                       struct error *error)
{
    json_t *name = json_path(volume, "metadata", "name");
    json_t *spec = json_object_get(*claim, "spec");
    bool is_named = volume_named(*claim) != NULL;
    if (is_named && has_annotation(*claim, BIND_COMPLETED)) {
        return true;
    }
    if (!is_named) {
        json_object_set(spec, "volumeName", name);
        json_object_set_new(annotations_of(*claim), BOUND_BY_US, json_string("yes"));
    }
    json_object_set_new(annotations_of(*claim), BIND_COMPLETED, json_string("yes"));
    return put(state, &resource_persistent_volume_claims, NULL, claim, error);
}

static bool bind_both(struct binder_state *state, json_t **claim, json_t **volume,
                      struct error *error)
{
    return bind_volume(state, volume, *claim, error) &&
           set_volume_phase(state, volume, "Bound", error) &&
           bind_claim(state, claim, *volume, error) &&
           set_claim_phase(state, claim, "Bound", *volume, error);
}

/* ---- claims without a volume ---- */

static json_t *tree_of(struct informer *informer, const char *key)
{
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(informer), key);
    return cached != NULL ? cached_object_tree(cached) : NULL;
}

/* Those that name the claim, and those of its class that are free: trees, to be given up with
 * drop_trees(). */
static json_t **find_candidates(struct binder_state *state, const char *key, const json_t *claim,
                                size_t *count)
{
    cleanup(free_char)
    char *class = format("class:%s", volume_class(claim));
    cleanup(cached_list_free)
    struct cached_list list = CACHED_LIST_INIT;
    indexer_find(informer_indexer(state->volumes), "claim", key, &list);
    indexer_find(informer_indexer(state->volumes), "free", class, &list);
    json_t **trees = allocate_zero(list.count + 1, sizeof(json_t *));
    for (size_t i = 0; i < list.count; i++) {
        trees[i] = cached_object_tree(list.items[i]);
    }
    *count = list.count;
    return trees;
}

static void drop_trees(json_t **trees, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_decref(trees[i]);
    }
    free(trees);
}

/* The volume that suits best; the caller's, NULL when there is none. */
static json_t *find_volume(struct binder_state *state, const char *key, const json_t *claim,
                           bool may_choose)
{
    size_t count;
    json_t **trees = find_candidates(state, key, claim, &count);
    size_t best = volume_find_best(trees, count, claim, may_choose);
    json_t *found = best < count ? json_incref(trees[best]) : NULL;
    drop_trees(trees, count);
    return found;
}

/* The class binds claims only once a pod that uses them has a node; which volume suits that node is
 * the scheduler's to say. */
static bool is_late(const json_t *class)
{
    const char *mode = json_get_string(class, "volumeBindingMode");
    return mode != NULL && strcmp(mode, "WaitForFirstConsumer") == 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(struct cached_object *const *)a)->name,
                  (*(struct cached_object *const *)b)->name);
}

/* Pods that name the claim and have no node yet, "a,b"; the caller's. */
static char *waiting_pods(struct binder_state *state, const char *key, size_t *count)
{
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    cleanup(buffer_free)
    struct buffer names = BUFFER_INIT;
    *count = 0;
    indexer_find(informer_indexer(state->pods), "claim", key, &pods);
    if (pods.count > 1) {
        qsort(pods.items, pods.count, sizeof(struct cached_object *), compare_names);
    }
    for (size_t i = 0; i < pods.count; i++) {
        if (!pod_view(pods.items[i])->is_scheduled && pod_is_active(pods.items[i])) {
            buffer_addf(&names, "%s%s", (*count)++ > 0 ? "," : "", pods.items[i]->name);
        }
    }
    return buffer_steal(&names);
}

static void tell_of_wait(struct binder_state *state, const char *key, const json_t *claim)
{
    size_t count;
    cleanup(free_char)
    char *names = waiting_pods(state, key, &count);
    if (count == 0) {
        tell(state, claim, "Normal", "WaitForFirstConsumer",
             "waiting for first consumer to be created before binding");
        return;
    }
    cleanup(free_char)
    char *message = format("waiting for pod%s %s to be scheduled", count > 1 ? "s" : "", names);
    tell(state, claim, "Normal", "WaitForPodScheduled", message);
}

/* Nothing suits: one is to be made, or the claim waits. */
static bool want_volume(struct binder_state *state, const char *key, json_t **claim,
                        const json_t *class, struct error *error)
{
    bool done = true;
    if (is_late(class) && !has_annotation(*claim, SELECTED_NODE)) {
        tell_of_wait(state, key, *claim);
    } else if (volume_class(*claim)[0] != '\0') {
        done = volume_provision(state->controller, claim, class, state->nodes, error);
    } else {
        tell(state, *claim, "Normal", "FailedBinding",
             "no persistent volumes available for this claim and no storage class is set");
    }
    return set_claim_phase(state, claim, "Pending", NULL, done ? error : NULL) && done;
}

/* A claim that was made before there was a class by default gets it now: '*given'. */
static bool give_class(struct binder_state *state, json_t **claim, bool *given, struct error *error)
{
    cleanup(free_char)
    char *name = volume_class_is_open(*claim) ? volume_class_default(state->classes) : NULL;
    *given = name != NULL;
    if (name == NULL) {
        return true;
    }
    json_object_set_new(json_object_get(*claim, "spec"), "storageClassName", json_string(name));
    return put(state, &resource_persistent_volume_claims, NULL, claim, error);
}

static bool sync_unbound(struct binder_state *state, const char *key, json_t **claim,
                         struct error *error)
{
    cleanup(json_release)
    json_t *class =
        volume_class(*claim)[0] != '\0' ? tree_of(state->classes, volume_class(*claim)) : NULL;
    cleanup(json_release)
    json_t *volume = find_volume(state, key, *claim, !is_late(class));
    if (volume != NULL) {
        return bind_both(state, claim, &volume, error);
    }
    bool given;
    return give_class(state, claim, &given, error) &&
           (given || want_volume(state, key, claim, class, error));
}

/* ---- claims that name their volume ---- */

static bool sync_named(struct binder_state *state, json_t **claim, json_t **volume,
                       struct error *error)
{
    const json_t *reference = json_path(*volume, "spec", "claimRef");
    if (volume_is_for(*volume, *claim)) {
        return bind_both(state, claim, volume, error);
    }
    const char *why = volume_mismatch(*volume, *claim);
    const char *name = json_path_string(*volume, "metadata", "name");
    cleanup(free_char)
    char *going = json_path(*volume, "metadata", "deletionTimestamp") != NULL
                      ? format("the volume is marked for deletion \"%s\"", name)
                      : NULL;
    why = going != NULL ? going : why;
    cleanup(free_char)
    char *message =
        reference != NULL
            ? format("volume \"%s\" already bound to a different claim.", name)
            : format("Cannot bind to requested volume \"%s\": %s", name, why != NULL ? why : "");
    if (reference == NULL && why == NULL) {
        return bind_both(state, claim, volume, error);
    }
    tell(state, *claim, "Warning", reference != NULL ? "FailedBinding" : "VolumeMismatch", message);
    return set_claim_phase(state, claim, "Pending", NULL, error);
}

static bool sync_completed(struct binder_state *state, json_t **claim, json_t **volume,
                           struct error *error)
{
    if (*volume == NULL) {
        bool named = volume_named(*claim) != NULL;
        return lose_claim(state, claim, "ClaimLost",
                          named ? "Bound claim has lost its PersistentVolume. Data on the volume "
                                  "is lost!"
                                : "Bound claim has lost reference to PersistentVolume. Data on the "
                                  "volume is lost!",
                          error);
    }
    if (json_path(*volume, "spec", "claimRef") != NULL && !volume_is_for(*volume, *claim)) {
        return lose_claim(state, claim, "ClaimMisbound",
                          "Two claims are bound to the same volume, this one is bound incorrectly",
                          error);
    }
    return bind_both(state, claim, volume, error);
}

static bool sync_claim(struct binder_state *state, const char *key, struct error *error)
{
    cleanup(json_release)
    json_t *claim = tree_of(state->claims, key);
    if (claim == NULL) {
        return true;
    }
    const char *name = volume_named(claim);
    cleanup(json_release)
    json_t *volume = name != NULL ? tree_of(state->volumes, name) : NULL;
    if (has_annotation(claim, BIND_COMPLETED)) {
        return sync_completed(state, &claim, &volume, error);
    }
    if (json_path(claim, "metadata", "deletionTimestamp") != NULL) {
        return true;
    }
    if (name == NULL) {
        return sync_unbound(state, key, &claim, error);
    }
    return volume != NULL ? sync_named(state, &claim, &volume, error)
                          : set_claim_phase(state, &claim, "Pending", NULL, error);
}

/* ---- volumes ---- */

/* Free again, or, when it named the claim from the beginning, waiting for it. */
static bool unbind(struct binder_state *state, json_t **volume, struct error *error)
{
    json_t *spec = json_object_get(*volume, "spec");
    if (has_annotation(*volume, BOUND_BY_US)) {
        json_object_del(spec, "claimRef");
        json_object_del(annotations_of(*volume), BOUND_BY_US);
    } else {
        json_object_del(json_object_get(spec, "claimRef"), "uid");
        json_object_del(json_object_get(spec, "claimRef"), "resourceVersion");
    }
    return put(state, &resource_persistent_volumes, NULL, volume, error) &&
           set_volume_phase(state, volume, "Available", error);
}

/* The claim that the volume names, asked for where it counts before it is said to be gone. The
 * caller's. */
static bool find_claim(struct binder_state *state, const json_t *volume, json_t **claim,
                       struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    const json_t *reference = json_path(volume, "spec", "claimRef");
    cleanup(free_char)
    char *key = format("%s/%s", json_get_string(reference, "namespace"),
                       json_get_string(reference, "name"));
    *claim = tree_of(state->claims, key);
    if (*claim == NULL || !volume_is_for(volume, *claim)) {
        json_decref(*claim);
        *claim = client_get(state->controller->client, &resource_persistent_volume_claims,
                            json_get_string(reference, "namespace"),
                            json_get_string(reference, "name"), &why);
    }
    if (*claim != NULL && !volume_is_for(volume, *claim)) {
        json_decref(*claim); /* A namesake. */
        *claim = NULL;
    }
    return *claim != NULL || why.code == 0 || why.code == 404 || error_move(error, &why);
}

static bool reclaim(struct binder_state *state, json_t **volume, struct error *error)
{
    bool is_clean;
    return volume_reclaim(state->controller, volume, state->pods, &is_clean, error) &&
           (!is_clean || unbind(state, volume, error));
}

static bool sync_bound_volume(struct binder_state *state, json_t **volume, const json_t *claim,
                              struct error *error)
{
    const char *name = json_path_string(*volume, "metadata", "name");
    const char *wanted = volume_named(claim);
    if (claim == NULL) {
        if (!is_phase(*volume, "Failed") && !set_volume_phase(state, volume, "Released", error)) {
            return false;
        }
        return reclaim(state, volume, error);
    }
    if (wanted == NULL) { /* The claim's turn comes by itself. */
        return true;
    }
    if (strcmp(wanted, name) == 0) {
        return set_volume_phase(state, volume, "Bound", error);
    }
    if (volume_was_provisioned(*volume)) {
        return set_volume_phase(state, volume, "Released", error) && reclaim(state, volume, error);
    }
    return unbind(state, volume, error);
}

static bool sync_volume(struct binder_state *state, const char *name, struct error *error)
{
    cleanup(json_release)
    json_t *volume = tree_of(state->volumes, name);
    const char *uid = json_path_string(volume, "spec", "claimRef", "uid");
    if (volume == NULL) {
        return true;
    }
    if (json_path(volume, "metadata", "deletionTimestamp") == NULL && volume_hold(volume)) {
        return put(state, &resource_persistent_volumes, NULL, &volume, error);
    }
    if (uid == NULL || *uid == '\0') {
        return json_path(volume, "metadata", "deletionTimestamp") != NULL ||
               set_volume_phase(state, &volume, "Available", error);
    }
    cleanup(json_release)
    json_t *claim = NULL;
    return find_claim(state, volume, &claim, error) &&
           sync_bound_volume(state, &volume, claim, error);
}

/* ---- the controller ---- */

static bool sync_binder(void *argument, const char *key, struct error *error)
{
    struct binder_state *state = argument;
    const char *name = strchr(key, ':') + 1;
    return key[0] == 'c' ? sync_claim(state, name, error) : sync_volume(state, name, error);
}

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct binder_state *state = allocate_struct(struct binder_state);
    struct informer_factory *informers = controller->informers;
    state->controller = controller;
    state->claims = informer_factory_get(informers, &resource_persistent_volume_claims, NULL, NULL);
    state->volumes = informer_factory_get(informers, &resource_persistent_volumes, NULL, NULL);
    state->classes = informer_factory_get(informers, &resource_storage_classes, NULL, NULL);
    state->pods = pod_informer(informers);
    state->nodes = node_informer(informers);
    indexer_add_index(informer_indexer(state->claims), "volume", index_by_volume);
    indexer_add_index(informer_indexer(state->claims), "pending", index_pending);
    indexer_add_index(informer_indexer(state->volumes), "claim", index_by_claim);
    indexer_add_index(informer_indexer(state->volumes), "free", index_free);
    informer_add_handler(state->claims, claim_changed, state);
    informer_add_handler(state->volumes, volume_changed, state);
    informer_add_handler(state->classes, class_changed, state);
    informer_add_handler(state->pods, pod_changed, state);
    return state;
}

const struct controller_type volume_binder_controller = {
    .name = "persistentvolume-binder-controller",
    .alias = "persistentvolume-binder",
    .account = "persistent-volume-binder",
    .workers = 1,
    .start = start,
    .sync = sync_binder,
    .stop = free,
};

// SPDX-License-Identifier: Apache-2.0
/*
 * persistentvolume-attach-detach-controller: has volumes of CSI drivers attached to the nodes where
 * pods need them, and detached where none does any more. It says so by VolumeAttachments, which the
 * driver's attacher brings about, and tells the node in status.volumesAttached what it may mount;
 * before a volume is taken away, it is taken from there, and the node must have let go of it
 * (status.volumesInUse), unless it is gone, out of service, or unwell for too long.
 *
 * A volume that only one node may have is attached to the next when the one before has lost it;
 * till then the pods that wait for it are told who has it.
 *
 * Keys are names of nodes; there is one worker.
 */
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/map.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/attach_plan.h"
#include "controllers/controller.h"
#include "controllers/node_view.h"
#include "controllers/pod_view.h"
#include "controllers/resources.h"
#include "controllers/volume_match.h"

struct attach_state {
    struct controller *controller;
    struct informer *nodes, *pods, *claims, *volumes, *attachments, *drivers;
    struct map unneeded; /* The worker's: since when (int64_t), by the attachment's name. */
};

/* A volume that pods on a node need. */
struct need {
    json_t *volume;
    const char *name, *driver, *handle; /* In 'volume'. */
    struct cached_list pods;
    struct cached_object *attachment; /* NULL: there is none. */
};

/* One node's turn. */
struct turn {
    struct attach_state *state;
    const char *node_name;
    json_t *node; /* NULL: it is gone. */
    struct need *needs;
    size_t count, capacity;
    json_t *report;               /* What is attached, for the node's status. */
    struct cached_list to_detach; /* Attachments. */
};

/* ---- what changes matter to which nodes ---- */

static void index_by_node(const struct cached_object *attachment, struct index_values *values)
{
    cleanup(free_char)
    char *name = cached_object_value(attachment, "spec.nodeName");
    index_values_add(values, name != NULL ? name : "");
}

static void index_by_volume(const struct cached_object *attachment, struct index_values *values)
{
    cleanup(free_char)
    char *name = cached_object_value(attachment, "spec.source.persistentVolumeName");
    index_values_add(values, name != NULL ? name : "");
}

static void add_nodes_of_claim(struct attach_state *state, const char *key)
{
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    indexer_find(informer_indexer(state->pods), "claim", key, &pods);
    for (size_t i = 0; i < pods.count; i++) {
        if (pod_view(pods.items[i])->is_scheduled) {
            controller_add(state->controller, pod_view(pods.items[i])->node_name);
        }
    }
}

static void pod_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct attach_state *state = argument;
    const struct pod_view *view = pod_view(new != NULL ? new : old);
    if (view->claims[0] != '\0' && view->is_scheduled) {
        controller_add(state->controller, view->node_name);
    }
}

static void claim_changed(void *argument, const struct cached_object *old,
                          const struct cached_object *new)
{
    (void)old;
    if (new != NULL) {
        add_nodes_of_claim(argument, new->key);
    }
}

static void add_nodes_of_volume(struct attach_state *state, const struct cached_object *volume)
{
    cleanup(free_char)
    char *namespace = cached_object_value(volume, "spec.claimRef.namespace");
    cleanup(free_char)
    char *name = cached_object_value(volume, "spec.claimRef.name");
    if (namespace != NULL && name != NULL) {
        cleanup(free_char)
        char *key = format("%s/%s", namespace, name);
        add_nodes_of_claim(state, key);
    }
}

static void volume_changed(void *argument, const struct cached_object *old,
                           const struct cached_object *new)
{
    (void)old;
    if (new != NULL) {
        add_nodes_of_volume(argument, new);
    }
}

/* When one is gone, another node may have the volume. */
static void attachment_changed(void *argument, const struct cached_object *old,
                               const struct cached_object *new)
{
    struct attach_state *state = argument;
    cleanup(free_char)
    char *node_name = cached_object_value(new != NULL ? new : old, "spec.nodeName");
    if (node_name != NULL) {
        controller_add(state->controller, node_name);
    }
    if (new == NULL) {
        cleanup(free_char)
        char *name = cached_object_value(old, "spec.source.persistentVolumeName");
        cleanup(cached_object_release)
        struct cached_object *volume =
            name != NULL ? indexer_get(informer_indexer(state->volumes), name) : NULL;
        if (volume != NULL) {
            add_nodes_of_volume(state, volume);
        }
    }
}

static bool same_span(struct json_span a, struct json_span b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.text, b.text, a.length) == 0);
}

/* Nodes write often, and seldom anything that matters here. */
static void node_changed(void *argument, const struct cached_object *old,
                         const struct cached_object *new)
{
    static const char *const paths[] = {"metadata.annotations", "spec.taints",
                                        "status.volumesInUse", "status.volumesAttached"};
    struct attach_state *state = argument;
    struct json_span before[array_length(paths)], after[array_length(paths)];
    bool differs = false;
    if (old == NULL || new == NULL) {
        controller_add(state->controller, old != NULL ? old->name : new->name);
        return;
    }
    json_scan(old->text, old->length, paths, array_length(paths), before);
    json_scan(new->text, new->length, paths, array_length(paths), after);
    for (size_t i = 0; i < array_length(paths); i++) {
        differs = differs || !same_span(before[i], after[i]);
    }
    if (differs) {
        controller_add(state->controller, new->name);
    }
}

/* ---- what is needed ---- */

static json_t *tree_of(struct informer *informer, const char *key)
{
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(informer), key);
    return cached != NULL ? cached_object_tree(cached) : NULL;
}

/* The volume that is bound to the claim; the caller's, NULL when there is none. */
static json_t *volume_of(struct attach_state *state, const char *claim_key)
{
    cleanup(json_release)
    json_t *claim = tree_of(state->claims, claim_key);
    const char *phase = json_path_string(claim, "status", "phase");
    const char *name = json_path_string(claim, "spec", "volumeName");
    if (name == NULL || phase == NULL || strcmp(phase, "Bound") != 0) {
        return NULL;
    }
    json_t *volume = tree_of(state->volumes, name);
    if (volume != NULL && !volume_is_bound_to(volume, claim)) {
        json_decref(volume);
        return NULL;
    }
    return volume;
}

static bool is_attachable(struct attach_state *state, const char *driver)
{
    cleanup(json_release)
    json_t *object = tree_of(state->drivers, driver);
    return json_get_bool(json_object_get(object, "spec"), "attachRequired", true);
}

/* Consumes the volume. */
static void add_need(struct turn *turn, json_t *volume, const struct cached_object *pod)
{
    const json_t *csi = json_path(volume, "spec", "csi");
    const char *name = json_path_string(volume, "metadata", "name");
    const char *driver = json_get_string(csi, "driver");
    const char *handle = json_get_string(csi, "volumeHandle");
    if (driver == NULL || handle == NULL || !is_attachable(turn->state, driver)) {
        json_decref(volume);
        return;
    }
    for (size_t i = 0; i < turn->count; i++) {
        if (strcmp(turn->needs[i].name, name) == 0) {
            cached_list_add(&turn->needs[i].pods, pod);
            json_decref(volume);
            return;
        }
    }
    turn->needs = grow(turn->needs, turn->count, &turn->capacity, sizeof *turn->needs);
    struct need *need = &turn->needs[turn->count++];
    *need = (struct need){.volume = volume, .name = name, .driver = driver, .handle = handle};
    cached_list_add(&need->pods, pod);
}

static void find_needs(struct turn *turn)
{
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    indexer_find(informer_indexer(turn->state->pods), "node", turn->node_name, &pods);
    for (size_t i = 0; i < pods.count; i++) {
        const struct cached_object *pod = pods.items[i];
        const char *name = pod_view(pod)->claims;
        if (*name == '\0') {
            continue;
        }
        cleanup(json_release)
        json_t *tree = cached_object_tree(pod);
        for (; *name != '\0' && !attach_is_over(tree); name += strlen(name) + 1) {
            cleanup(free_char)
            char *key = format("%s/%s", pod->namespace, name);
            json_t *volume = volume_of(turn->state, key);
            if (volume != NULL) {
                add_need(turn, volume, pod);
            }
        }
    }
}

/* ---- telling pods ---- */

static void tell_pods(const struct turn *turn, const struct need *need, const char *type,
                      const char *reason, const char *message)
{
    for (size_t i = 0; i < need->pods.count; i++) {
        struct event_target target = event_target_of_cached(&resource_pods, need->pods.items[i]);
        event_record(turn->state->controller->events, &target, type, reason, "%s", message);
    }
}

/* Names of pods on other nodes that need the volume; the caller's. */
static char *others_with(const struct turn *turn, const struct need *need)
{
    const json_t *reference = json_path(need->volume, "spec", "claimRef");
    cleanup(free_char)
    char *key = format("%s/%s", json_get_string(reference, "namespace"),
                       json_get_string(reference, "name"));
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    cleanup(buffer_free)
    struct buffer names = BUFFER_INIT;
    indexer_find(informer_indexer(turn->state->pods), "claim", key, &pods);
    for (size_t i = 0; i < pods.count; i++) {
        const struct pod_view *view = pod_view(pods.items[i]);
        if (view->is_scheduled && strcmp(view->node_name, turn->node_name) != 0) {
            buffer_addf(&names, "%s%s", names.length > 0 ? ", " : "", pods.items[i]->name);
        }
    }
    return buffer_steal(&names);
}

static void tell_who_has_it(const struct turn *turn, const struct need *need)
{
    cleanup(free_char)
    char *names = others_with(turn, need);
    cleanup(free_char)
    char *message =
        names != NULL && *names != '\0'
            ? format("Multi-Attach error for volume \"%s\" Volume is already used by pod(s) %s",
                     need->name, names)
            : format("Multi-Attach error for volume \"%s\" Volume is already exclusively attached "
                     "to one node and can't be attached to another",
                     need->name);
    tell_pods(turn, need, "Warning", "FailedAttachVolume", message);
}

/* ---- attaching ---- */

static bool is_elsewhere(const struct turn *turn, const struct need *need)
{
    cleanup(cached_list_free)
    struct cached_list attachments = CACHED_LIST_INIT;
    bool elsewhere = false;
    indexer_find(informer_indexer(turn->state->attachments), "volume", need->name, &attachments);
    for (size_t i = 0; i < attachments.count; i++) {
        cleanup(free_char)
        char *node_name = cached_object_value(attachments.items[i], "spec.nodeName");
        elsewhere = elsewhere || (node_name != NULL && strcmp(node_name, turn->node_name) != 0);
    }
    return elsewhere;
}

static bool attach(const struct turn *turn, const struct need *need, struct error *error)
{
    struct attach_state *state = turn->state;
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(free_char)
    char *name = attach_name(need->handle, need->driver, turn->node_name);
    if (!attach_is_shared(need->volume) && is_elsewhere(turn, need)) {
        tell_who_has_it(turn, need);
        return true;
    }
    free(map_remove(&state->unneeded, name));
    cleanup(json_release)
    json_t *attachment = json_pack("{s:s, s:s, s:{s:s}, s:{s:s, s:s, s:{s:s}}}", "apiVersion",
                                   "storage.k8s.io/v1", "kind", "VolumeAttachment", "metadata",
                                   "name", name, "spec", "attacher", need->driver, "nodeName",
                                   turn->node_name, "source", "persistentVolumeName", need->name);
    cleanup(json_release)
    json_t *made = client_create(state->controller->client, &resource_volume_attachments, NULL,
                                 attachment, &why);
    return made != NULL || why.code == 409 || error_move(error, &why);
}

static bool is_reported(const struct turn *turn, const char *volume_name)
{
    size_t i;
    const json_t *entry;
    json_array_foreach (json_path(turn->node, "status", "volumesAttached"), i, entry) {
        const char *name = json_get_string(entry, "name");
        if (name != NULL && strcmp(name, volume_name) == 0) {
            return true;
        }
    }
    return false;
}

static void report(const struct turn *turn, const char *volume_name)
{
    json_array_append_new(turn->report,
                          json_pack("{s:s, s:s}", "name", volume_name, "devicePath", ""));
}

/* An attachment is there, and the attacher may have done its part. */
static void follow_attachment(const struct turn *turn, const struct need *need)
{
    cleanup(json_release)
    json_t *attachment = cached_object_tree(need->attachment);
    const json_t *status = json_object_get(attachment, "status");
    const char *failure = json_path_string(status, "attachError", "message");
    cleanup(free_char)
    char *volume_name = attach_volume_name(need->driver, need->handle);
    if (json_get_bool(status, "attached", false)) {
        report(turn, volume_name);
        if (!is_reported(turn, volume_name)) {
            cleanup(free_char)
            char *message = format("AttachVolume.Attach succeeded for volume \"%s\" ", need->name);
            tell_pods(turn, need, "Normal", "SuccessfulAttachVolume", message);
        }
    } else if (failure != NULL) {
        cleanup(free_char)
        char *message =
            format("AttachVolume.Attach failed for volume \"%s\" : %s", need->name, failure);
        tell_pods(turn, need, "Warning", "FailedAttachVolume", message);
    }
}

/* ---- detaching ---- */

static int64_t waited_for(struct attach_state *state, const char *name)
{
    int64_t now = timestamp_monotonic();
    int64_t *since = map_get(&state->unneeded, name);
    if (since == NULL) {
        since = allocate_zero(1, sizeof *since);
        *since = now;
        map_set(&state->unneeded, name, since);
    }
    return now - *since;
}

static void look_at_unneeded(struct turn *turn, struct cached_object *cached)
{
    struct attach_state *state = turn->state;
    cleanup(json_release)
    json_t *attachment = cached_object_tree(cached);
    const char *name = json_path_string(attachment, "spec", "source", "persistentVolumeName");
    cleanup(json_release)
    json_t *volume = name != NULL ? tree_of(state->volumes, name) : NULL;
    const json_t *csi = json_path(volume, "spec", "csi");
    const char *driver = json_get_string(csi, "driver"),
               *handle = json_get_string(csi, "volumeHandle");
    cleanup(free_char)
    char *volume_name =
        attach_volume_name(driver != NULL ? driver : "", handle != NULL ? handle : "");
    int64_t waited = waited_for(state, cached->name);
    enum attach_detach decision = attach_may_go(turn->node, volume_name, waited);
    if (decision == DETACH_NOW) {
        cached_list_add(&turn->to_detach, cached);
        return;
    }
    if (json_get_bool(json_object_get(attachment, "status"), "attached", false)) {
        report(turn, volume_name);
    }
    if (decision == DETACH_LATER) {
        controller_add_after(state->controller, turn->node_name,
                             (attach_patience - waited) / 1000000 + 1);
    }
}

static bool detach(const struct turn *turn, const struct cached_object *attachment,
                   struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *options = client_delete_options(attachment->uid, NULL);
    free(map_remove(&turn->state->unneeded, attachment->name));
    return client_delete(turn->state->controller->client, &resource_volume_attachments, NULL,
                         attachment->name, options, &why) ||
           why.code == 404 || error_move(error, &why);
}

/* ---- a node ---- */

/* This controller made it, and not somebody else for his own purposes. */
static struct need *need_of(const struct turn *turn, const struct cached_object *attachment)
{
    for (size_t i = 0; i < turn->count; i++) {
        struct need *need = &turn->needs[i];
        cleanup(free_char)
        char *name = attach_name(need->handle, need->driver, turn->node_name);
        if (strcmp(name, attachment->name) == 0) {
            return need;
        }
    }
    return NULL;
}

static void look_at_attachments(struct turn *turn)
{
    cleanup(cached_list_free)
    struct cached_list attachments = CACHED_LIST_INIT;
    indexer_find(informer_indexer(turn->state->attachments), "node", turn->node_name, &attachments);
    for (size_t i = 0; i < attachments.count; i++) {
        struct cached_object *attachment = attachments.items[i];
        struct need *need = need_of(turn, attachment);
        if (need != NULL) {
            need->attachment = cached_object_ref(attachment);
            free(map_remove(&turn->state->unneeded, attachment->name));
        }
        if (attachment->is_deleting || strncmp(attachment->name, "csi-", 4) != 0) {
            continue;
        }
        if (need != NULL) {
            follow_attachment(turn, need);
        } else {
            look_at_unneeded(turn, attachment);
        }
    }
}

static bool write_report(const struct turn *turn, struct error *error)
{
    const json_t *present = json_path(turn->node, "status", "volumesAttached");
    bool is_same = json_array_size(turn->report) == 0
                       ? json_array_size(present) == 0
                       : present != NULL && json_equal(present, turn->report);
    if (turn->node == NULL || is_same) {
        return true;
    }
    cleanup(json_release)
    json_t *patch =
        json_pack("{s:{s:o}}", "status", "volumesAttached",
                  json_array_size(turn->report) > 0 ? json_incref(turn->report) : json_null());
    cleanup(json_release)
    json_t *written = client_patch(turn->state->controller->client, &resource_nodes, NULL,
                                   turn->node_name, "status", client_merge_patch, patch, error);
    return written != NULL;
}

/* Detaching comes before attaching, so that a volume can go from one to the other. */
static bool act(const struct turn *turn, struct error *error)
{
    bool done = write_report(turn, error);
    for (size_t i = 0; done && i < turn->to_detach.count; i++) {
        done = detach(turn, turn->to_detach.items[i], error);
    }
    for (size_t i = 0; done && i < turn->count; i++) {
        done = turn->needs[i].attachment != NULL || attach(turn, &turn->needs[i], error);
    }
    return done;
}

static void turn_clear(struct turn *turn)
{
    for (size_t i = 0; i < turn->count; i++) {
        json_decref(turn->needs[i].volume);
        cached_list_free(&turn->needs[i].pods);
        cached_object_unref(turn->needs[i].attachment);
    }
    free(turn->needs);
    cached_list_free(&turn->to_detach);
    json_decref(turn->report);
    json_decref(turn->node);
}

static bool sync_node(void *argument, const char *key, struct error *error)
{
    struct attach_state *state = argument;
    cleanup(turn_clear)
    struct turn turn = {.state = state, .node_name = key, .report = json_array()};
    turn.node = tree_of(state->nodes, key);
    if (turn.node != NULL && !attach_is_managed(turn.node)) {
        return true;
    }
    if (turn.node != NULL) { /* Nothing new is attached to what is gone. */
        find_needs(&turn);
    }
    look_at_attachments(&turn);
    return act(&turn, error);
}

static void *start_attach(struct controller *controller, struct error *error)
{
    (void)error;
    struct attach_state *state = allocate_struct(struct attach_state);
    struct informer_factory *informers = controller->informers;
    state->controller = controller;
    state->nodes = node_informer(informers);
    state->pods = pod_informer(informers);
    state->claims = informer_factory_get(informers, &resource_persistent_volume_claims, NULL, NULL);
    state->volumes = informer_factory_get(informers, &resource_persistent_volumes, NULL, NULL);
    state->attachments = informer_factory_get(informers, &resource_volume_attachments, NULL, NULL);
    state->drivers = informer_factory_get(informers, &resource_csi_drivers, NULL, NULL);
    indexer_add_index(informer_indexer(state->attachments), "node", index_by_node);
    indexer_add_index(informer_indexer(state->attachments), "volume", index_by_volume);
    informer_add_handler(state->nodes, node_changed, state);
    informer_add_handler(state->pods, pod_changed, state);
    informer_add_handler(state->claims, claim_changed, state);
    informer_add_handler(state->volumes, volume_changed, state);
    informer_add_handler(state->attachments, attachment_changed, state);
    return state;
}

static void stop_attach(void *argument)
{
    struct attach_state *state = argument;
    map_free(&state->unneeded, free);
    free(state);
}

const struct controller_type attach_detach_controller = {
    .name = "persistentvolume-attach-detach-controller",
    .alias = "attachdetach",
    .event_source = "attachdetach-controller",
    .account = "attachdetach-controller",
    .workers = 1,
    .start = start_attach,
    .sync = sync_node,
    .stop = stop_attach,
};

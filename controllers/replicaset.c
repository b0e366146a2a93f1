// SPDX-License-Identifier: Apache-2.0
/*
 * ReplicaSet: keeps as many pods of a template as spec.replicas says. A ReplicationController is
 * the same under its older name, with a plain map for a selector.
 *
 * sync(): claim the pods that match the selector; create or delete the difference, unless what was
 * done before has not been seen yet; write what there is to the status.
 */
#include <string.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/conditions.h"
#include "controllers/controller.h"
#include "controllers/expectations.h"
#include "controllers/owner.h"
#include "controllers/pod_control.h"
#include "controllers/pod_view.h"
#include "controllers/replicaset.h"
#include "controllers/resources.h"
#include "controllers/workload.h"

enum {
    burst_replicas = 500, /* Pods created or deleted in one sync. */
};

struct replicaset_state {
    struct workload workload;
    struct expectations *expectations;
};

/* ---- what changed ---- */

static char *owner_key(const struct replicaset_state *state, const struct cached_object *pod)
{
    return strcmp(pod->owner_kind, state->workload.resource->kind) == 0
               ? format("%s/%s", pod->namespace, pod->owner_name)
               : NULL;
}

static void pod_came(struct replicaset_state *state, const struct cached_object *pod)
{
    cleanup(free_char)
    char *key = owner_key(state, pod);
    if (key != NULL) {
        expectations_saw_creation(state->expectations, key);
        workload_add_with_pods(&state->workload, key, pod->owner_uid);
    } else if (pod->owner_uid[0] == '\0' && !pod->is_deleting) {
        workload_add_possible_owners(&state->workload, pod, NULL);
    }
}

static void pod_went(struct replicaset_state *state, const struct cached_object *pod)
{
    cleanup(free_char)
    char *key = owner_key(state, pod);
    if (key != NULL) {
        expectations_saw_deletion(state->expectations, key, pod->uid);
        workload_add_with_pods(&state->workload, key, pod->owner_uid);
    }
}

static void pod_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct replicaset_state *state = argument;
    if (old == NULL) {
        pod_came(state, new);
    }
    if (new == NULL || (new->is_deleting && (old == NULL || !old->is_deleting))) {
        pod_went(state, new != NULL ? new : old); /* A pod that is going counts as gone. */
    }
    if (old == NULL || new == NULL) {
        return;
    }
    if (strcmp(old->owner_uid, new->owner_uid) != 0) {
        controller_add_owner(state->workload.controller, old, state->workload.resource->kind);
    }
    cleanup(free_char)
    char *key = owner_key(state, new);
    if (key != NULL) {
        workload_add_with_pods(&state->workload, key, new->owner_uid);
    }
    if (new->owner_uid[0] == '\0' && !new->is_deleting) {
        workload_add_possible_owners(&state->workload, new, NULL);
    }
}

static void replicaset_changed(void *argument, const struct cached_object *old,
                               const struct cached_object *new)
{
    struct replicaset_state *state = argument;
    if (new == NULL) {
        expectations_forget(state->expectations, old->key);
    }
    controller_add_object(state->workload.controller, new != NULL ? new : old);
}

/* ---- which pods to give up ---- */

struct ranked {
    struct cached_object *pod;
    int crowd;
    int64_t now;
};

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *first = a, *second = b;
    return pod_compare_for_deletion(first->pod, first->crowd, second->pod, second->crowd,
                                    first->now);
}

/* The active pods of all ReplicaSets with the same owner (those of one Deployment), by node. */
static void count_crowds(struct replicaset_state *state, const struct cached_object *set,
                         struct map *crowds)
{
    cleanup(cached_list_free)
    struct cached_list sets = CACHED_LIST_INIT;
    if (set->owner_uid[0] != '\0') {
        indexer_find(informer_indexer(state->workload.owners), "owner", set->owner_uid, &sets);
    } else {
        cached_list_add(&sets, set);
    }
    for (size_t i = 0; i < sets.count; i++) {
        cleanup(cached_list_free)
        struct cached_list pods = CACHED_LIST_INIT;
        indexer_find(informer_indexer(state->workload.pods), "owner", sets.items[i]->uid, &pods);
        for (size_t n = 0; n < pods.count; n++) {
            const char *node = pod_view(pods.items[n])->node_name;
            if (pod_is_active(pods.items[n]) && node[0] != '\0') {
                intptr_t count = (intptr_t)map_get(crowds, node);
                map_set(crowds, node, (void *)(count + 1));
            }
        }
    }
}

void replicaset_rank_for_deletion(struct cached_list *pods, const struct map *crowds, int64_t now)
{
    struct ranked *ranked = allocate_zero(pods->count + 1, sizeof *ranked);
    for (size_t i = 0; i < pods->count; i++) {
        intptr_t crowd = (intptr_t)map_get(crowds, pod_view(pods->items[i])->node_name);
        ranked[i] = (struct ranked){pods->items[i], (int)crowd, now};
    }
    qsort(ranked, pods->count, sizeof *ranked, compare_ranked);
    for (size_t i = 0; i < pods->count; i++) {
        pods->items[i] = ranked[i].pod;
    }
    free(ranked);
}

/* ---- the step ---- */

static bool scale_down(struct replicaset_state *state, const struct cached_object *cached,
                       const json_t *set, struct cached_list *active, size_t surplus,
                       struct error *error)
{
    if (surplus < active->count) {
        struct map crowds = MAP_INIT;
        count_crowds(state, cached, &crowds);
        replicaset_rank_for_deletion(active, &crowds, timestamp_now());
        map_free(&crowds, NULL);
    }
    return pod_control_delete(state->workload.controller, set, active->items, surplus,
                              state->expectations, cached->key, error);
}

/* Brings the number of pods nearer to what is asked for. */
static bool manage(struct replicaset_state *state, const struct cached_object *cached,
                   const json_t *set, struct cached_list *active, struct error *error)
{
    json_int_t replicas = json_get_int(json_object_get(set, "spec"), "replicas", 1);
    json_int_t missing = replicas - (json_int_t)active->count;
    json_int_t step = missing < 0 ? -missing : missing;
    size_t count = (size_t)(step < burst_replicas ? step : burst_replicas);
    if (missing == 0) {
        return true;
    }
    if (missing < 0) {
        return scale_down(state, cached, set, active, count, error);
    }
    cleanup(json_release)
    json_t *pod = pod_control_make(set, json_path(set, "spec", "template"));
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    return pod_control_create(state->workload.controller, set, pod, count, state->expectations,
                              cached->key, &why) ||
           pod_control_is_namespace_terminating(&why) || error_move(error, &why);
}

/* ---- the status ---- */

static void set_failure(json_t *status, json_int_t missing, const struct error *failure)
{
    bool fails = failure != NULL && error_is_set(failure);
    json_t *conditions = json_object_get(status, "conditions");
    if (fails && condition_find(conditions, "ReplicaFailure") == NULL) {
        conditions = conditions != NULL ? json_incref(conditions) : json_array();
        condition_set(conditions, "ReplicaFailure", "True",
                      missing > 0 ? "FailedCreate" : "FailedDelete", failure->message, false);
        json_object_set_new(status, "conditions", conditions);
    } else if (!fails && condition_remove(conditions, "ReplicaFailure") &&
               json_array_size(conditions) == 0) {
        json_object_del(status, "conditions");
    }
}

json_t *replicaset_status(const json_t *set, const struct cached_list *active, int64_t now,
                          const struct error *failure, int64_t *next_check)
{
    const json_t *spec = json_object_get(set, "spec");
    struct selector *template_labels =
        selector_from_map(json_path(spec, "template", "metadata", "labels"));
    json_int_t min_ready = json_get_int(spec, "minReadySeconds", 0);
    json_int_t labeled = 0, ready = 0, available = 0;
    *next_check = 0;
    for (size_t i = 0; i < active->count; i++) {
        const struct cached_object *pod = active->items[i];
        const struct pod_view *view = pod_view(pod);
        int64_t becomes_available = view->ready_since + min_ready * 1000000000;
        labeled += selector_matches(template_labels, cached_object_label, pod);
        ready += view->is_ready;
        if (pod_is_available(pod, min_ready, now)) {
            available++;
        } else if (view->is_ready && (*next_check == 0 || becomes_available < *next_check)) {
            *next_check = becomes_available;
        }
    }
    selector_free(template_labels);
    json_t *old = json_object_get(set, "status");
    json_t *status = old != NULL ? json_deep_copy(old) : json_object();
    const struct {
        const char *name;
        json_int_t value;
    } counts[] = {{"fullyLabeledReplicas", labeled},
                  {"readyReplicas", ready},
                  {"availableReplicas", available}};
    json_object_set_new(status, "replicas", json_integer((json_int_t)active->count));
    for (size_t i = 0; i < array_length(counts); i++) {
        if (counts[i].value != 0) {
            json_object_set_new(status, counts[i].name, json_integer(counts[i].value));
        } else {
            json_object_del(status, counts[i].name);
        }
    }
    json_object_set_new(
        status, "observedGeneration",
        json_integer(json_get_int(json_object_get(set, "metadata"), "generation", 0)));
    set_failure(status, json_get_int(spec, "replicas", 1) - (json_int_t)active->count, failure);
    return status;
}

/* ---- sync ---- */

static bool counts(const struct cached_object *set, const struct cached_object *pod)
{
    (void)set;
    return pod_is_active(pod);
}

static bool sync_replicaset(void *argument, const char *key, struct error *error)
{
    struct replicaset_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(state->workload.owners), key);
    if (cached == NULL) {
        expectations_forget(state->expectations, key);
        return true;
    }
    /* Asked before the pods are read: what is seen in between only adds to what is known. */
    int64_t wait_ms = expectations_wait_ms(state->expectations, key);
    cleanup(json_release)
    json_t *set = cached_object_tree(cached);
    cleanup(cached_list_free)
    struct cached_list active = CACHED_LIST_INIT;
    if (wait_ms > 0) {
        controller_add_after(state->workload.controller, key, wait_ms);
    }
    if (!workload_claim_pods(&state->workload, cached, set, counts, NULL, &active, error)) {
        return false;
    }
    cleanup(error_clear)
    struct error failure = ERROR_INIT;
    int64_t next_check, now = timestamp_now();
    bool managed =
        wait_ms > 0 || cached->is_deleting || manage(state, cached, set, &active, &failure);
    cleanup(json_release)
    json_t *status = replicaset_status(set, &active, now, &failure, &next_check);
    if (!workload_write_status(state->workload.controller, state->workload.resource, set, status,
                               NULL, NULL, error)) {
        return false;
    }
    if (next_check != 0) {
        controller_add_after(state->workload.controller, key, (next_check - now) / 1000000 + 1);
    }
    return managed || error_move(error, &failure);
}

/* ---- life ---- */

static void *start_with(struct controller *controller, const struct api_resource *resource)
{
    struct replicaset_state *state = allocate_struct(struct replicaset_state);
    struct informer *sets = informer_factory_get(controller->informers, resource, NULL, NULL);
    struct informer *pods = pod_informer(controller->informers);
    state->workload = (struct workload){controller, resource, sets, pods};
    state->expectations = expectations_new();
    indexer_add_index(informer_indexer(sets), "owner", index_by_owner);
    informer_add_handler(pods, pod_changed, state);
    informer_add_handler(sets, replicaset_changed, state);
    return state;
}

static void *start_replicasets(struct controller *controller, struct error *error)
{
    (void)error;
    return start_with(controller, &resource_replicasets);
}

static void *start_replicationcontrollers(struct controller *controller, struct error *error)
{
    (void)error;
    return start_with(controller, &resource_replicationcontrollers);
}

static void stop(void *argument)
{
    struct replicaset_state *state = argument;
    expectations_free(state->expectations);
    free(state);
}

const struct controller_type replicaset_controller = {
    .name = "replicaset-controller",
    .alias = "replicaset",
    .account = "replicaset-controller",
    .workers = 5,
    .start = start_replicasets,
    .sync = sync_replicaset,
    .stop = stop,
};

const struct controller_type replicationcontroller_controller = {
    .name = "replicationcontroller-controller",
    .alias = "replicationcontroller",
    .event_source = "replication-controller",
    .account = "replication-controller",
    .workers = 5,
    .start = start_replicationcontrollers,
    .sync = sync_replicaset,
    .stop = stop,
};

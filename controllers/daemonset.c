// SPDX-License-Identifier: Apache-2.0
/*
 * DaemonSet: a pod on each node that fits.
 *
 * sync(): claim the pods and revisions that match the selector; find or make the revision of the
 * template; see which nodes should have a pod (controllers/daemonset_round.h); make and remove
 * pods, unless what was done before has not been seen yet; write what there is to the status.
 *
 * The scheduler binds the pods, each to the one node that its affinity names: so a pod waits for
 * room on its node as any other, and none is ever on a node that this process only imagined.
 */
#include <string.h>

#include "common/alloc.h"
#include "common/event_recorder.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/daemonset_backoff.h"
#include "controllers/daemonset_history.h"
#include "controllers/daemonset_round.h"
#include "controllers/expectations.h"
#include "controllers/history.h"
#include "controllers/node_view.h"
#include "controllers/own_writes.h"
#include "controllers/owner.h"
#include "controllers/pod_control.h"
#include "controllers/pod_view.h"
#include "controllers/resources.h"
#include "controllers/workload.h"

enum {
    burst_replicas = 250, /* Pods created or deleted in one sync. */
    own_write_check_ms = 100,
};

struct daemonset_state {
    struct controller *controller;
    struct workload workload;
    struct informer *nodes, *revisions;
    struct expectations *expectations;
    struct own_writes *set_writes, *revision_writes;
    struct daemonset_backoffs *backoffs; /* By the set's uid, its generation and the node. */
};

/* ---- what changed ---- */

static void own_pod_changed(struct daemonset_state *state, const struct cached_object *old,
                            const struct cached_object *new)
{
    const struct cached_object *pod = new != NULL ? new : old;
    cleanup(free_char)
    char *key = format("%s/%s", pod->namespace, pod->owner_name);
    if (old == NULL) {
        expectations_saw_creation(state->expectations, key);
    }
    if (new == NULL || new->is_deleting) {
        expectations_saw_deletion(state->expectations, key, pod->uid);
    }
    workload_add_with_pods(&state->workload, key, pod->owner_uid);
}

static void pod_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct daemonset_state *state = argument;
    const struct cached_object *pod = new != NULL ? new : old;
    if (strcmp(pod->owner_kind, "DaemonSet") == 0) {
        own_pod_changed(state, old, new);
    }
    if (old != NULL && strcmp(old->owner_uid, pod->owner_uid) != 0) {
        controller_add_owner(state->controller, old, "DaemonSet");
    }
    if (new != NULL &&new->owner_uid[0] == '\0' && !new->is_deleting) {
        workload_add_possible_owners(&state->workload, new, NULL);
    }
}

/* A node's status says nothing about where pods belong. */
static bool means_the_same(const struct cached_object *old, const struct cached_object *new)
{
    const struct node_view *before = node_view(old), *after = node_view(new);
    return (before->labels == after->labels || json_equal(before->labels, after->labels)) &&
           (before->taints == after->taints || json_equal(before->taints, after->taints));
}

static void node_changed(void *argument, const struct cached_object *old,
                         const struct cached_object *new)
{
    struct daemonset_state *state = argument;
    if (old != NULL && new != NULL && means_the_same(old, new)) {
        return;
    }
    size_t nodes = indexer_count(informer_indexer(state->nodes));
    cleanup(cached_list_free)
    struct cached_list sets = CACHED_LIST_INIT;
    indexer_select(informer_indexer(state->workload.owners), NULL, NULL, &sets);
    for (size_t i = 0; i < sets.count; i++) {
        workload_add_soon(&state->workload, sets.items[i]->key, nodes);
    }
}

static void revision_changed(void *argument, const struct cached_object *old,
                             const struct cached_object *new)
{
    struct daemonset_state *state = argument;
    controller_add_owner(state->controller, new != NULL ? new : old, "DaemonSet");
}

static void forget(struct daemonset_state *state, const char *key)
{
    expectations_forget(state->expectations, key);
    own_writes_forget(state->set_writes, key);
    own_writes_forget(state->revision_writes, key);
}

static void daemonset_changed(void *argument, const struct cached_object *old,
                              const struct cached_object *new)
{
    struct daemonset_state *state = argument;
    if (new == NULL) {
        expectations_forget(state->expectations, old->key);
    }
    controller_add_object(state->controller, new != NULL ? new : old);
}

/* ---- pods that failed ---- */

/* Adds those failed pods to what is removed that have been left alone for long enough. */
static void judge_failed(struct daemonset_state *state, const struct cached_object *cached,
                         const json_t *set, struct daemonset_plan *plan)
{
    json_int_t generation = json_get_int(json_object_get(set, "status"), "observedGeneration", 0);
    for (size_t i = 0; i < plan->failed.count; i++) {
        const struct cached_object *pod = plan->failed.items[i];
        const char *node = pod_view(pod)->target_node;
        cleanup(free_char)
        char *key = format("%s/%lld/%s", cached->uid, (long long)generation, node);
        int64_t left = daemonset_back_off(state->backoffs, key, timestamp_monotonic());
        if (left > 0) {
            controller_add_after(state->controller, cached->key, left / 1000000 + 1);
            continue;
        }
        event_record_about(state->controller->events, set, "Warning", "FailedDaemonPod",
                           "Found failed daemon pod %s on node %s, will try to kill it", pod->key,
                           node);
        cached_list_add(&plan->remove, pod);
    }
    for (size_t i = 0; i < plan->succeeded.count; i++) {
        const struct cached_object *pod = plan->succeeded.items[i];
        event_record_about(state->controller->events, set, "Normal", "SucceededDaemonPod",
                           "Found succeeded daemon pod %s on node %s, will try to delete it",
                           pod->key, pod_view(pod)->target_node);
    }
}

/* ---- making and removing pods ---- */

static size_t at_most(size_t count, size_t limit)
{
    return count < limit ? count : limit;
}

static bool carry_out(struct daemonset_state *state, const char *key, const json_t *set,
                      const json_t *pod_template, const struct daemonset_plan *plan,
                      struct error *error)
{
    size_t count = at_most(plan->create_count, burst_replicas), created;
    json_t **pods = allocate_zero(count + 1, sizeof(json_t *));
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    for (size_t i = 0; i < count; i++) {
        pods[i] = daemonset_make_pod(set, pod_template, plan->create[i]);
    }
    bool succeeded = count == 0 || pod_control_create_all(state->controller, set, pods, count,
                                                          state->expectations, key, &created, &why);
    for (size_t i = 0; i < count; i++) {
        json_decref(pods[i]);
    }
    free(pods);
    if (!succeeded && pod_control_is_namespace_terminating(&why)) {
        error_clear(&why);
        succeeded = true;
    }
    succeeded = pod_control_delete(state->controller, set, plan->remove.items,
                                   at_most(plan->remove.count, burst_replicas), state->expectations,
                                   key, succeeded ? &why : NULL) &&
                succeeded;
    return succeeded || error_move(error, &why);
}

static bool manage(struct daemonset_state *state, const struct cached_object *cached,
                   const json_t *set, const json_t *pod_template,
                   const struct daemonset_round *round, struct error *error)
{
    cleanup(daemonset_plan_free)
    struct daemonset_plan plan = {0};
    daemonset_round_manage(round, &plan);
    judge_failed(state, cached, set, &plan);
    if (plan.create_count == 0 && plan.remove.count == 0) {
        daemonset_round_update(round, &plan);
    }
    return carry_out(state, cached->key, set, pod_template, &plan, error);
}

/* ---- sync ---- */

static bool work_on(struct daemonset_state *state, const struct cached_object *cached,
                    struct error *error)
{
    const char *key = cached->key;
    /* Asked before the pods are read: what is seen in between only adds to what is known. */
    int64_t wait_ms = expectations_wait_ms(state->expectations, key);
    int64_t next_check, now = timestamp_now();
    cleanup(json_release)
    json_t *set = cached_object_tree(cached);
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    cleanup(cached_list_free)
    struct cached_list nodes = CACHED_LIST_INIT;
    cleanup(daemonset_history_free)
    struct daemonset_history history = {0};
    if (!workload_claim_pods(&state->workload, cached, set, NULL, NULL, &pods, error) ||
        !daemonset_history_find(state->controller, cached, set, informer_indexer(state->revisions),
                                &pods, state->revision_writes, &history, error)) {
        return false;
    }
    indexer_select(informer_indexer(state->nodes), NULL, NULL, &nodes);
    cleanup(json_release)
    json_t *pod_template = daemonset_template(set, history.hash);
    cleanup(daemonset_round_free)
    struct daemonset_round round;
    daemonset_round_start(&round, set, pod_template, history.hash, &nodes, &pods, now);
    cleanup(error_clear)
    struct error failure = ERROR_INIT;
    if (wait_ms > 0) {
        controller_add_after(state->controller, key, wait_ms);
    }
    bool managed = wait_ms > 0 ||
                   (manage(state, cached, set, pod_template, &round, &failure) &&
                    daemonset_history_truncate(state->controller, set, &pods, &history, &failure));
    cleanup(json_release)
    json_t *status = daemonset_round_status(&round, wait_ms == 0, &next_check);
    if (!workload_write_status(state->controller, &resource_daemonsets, set, status,
                               state->set_writes, key, error)) {
        return false;
    }
    if (next_check != 0) {
        controller_add_after(state->controller, key, (next_check - now) / 1000000 + 1);
    }
    return managed || error_move(error, &failure);
}

static bool selects_all(struct daemonset_state *state, const struct cached_object *cached)
{
    cleanup(json_release)
    json_t *set = cached_object_tree(cached);
    if (json_object_size(json_path(set, "spec", "selector")) > 0) {
        return false;
    }
    event_record_about(state->controller->events, set, "Warning", "SelectingAll",
                       "This daemon set is selecting all pods. A non-empty selector is required.");
    return true;
}

static bool sync_daemonset(void *argument, const char *key, struct error *error)
{
    struct daemonset_state *state = argument;
    bool are_seen =
        own_writes_are_seen(state->set_writes, key, informer_indexer(state->workload.owners)) &
        own_writes_are_seen(state->revision_writes, key, informer_indexer(state->revisions));
    cleanup(cached_object_release)
    struct cached_object *set = indexer_get(informer_indexer(state->workload.owners), key);
    if (set == NULL) {
        forget(state, key);
        return true;
    }
    if (set->is_deleting || selects_all(state, set)) {
        return true;
    }
    if (!are_seen) {
        controller_add_after(state->controller, key, own_write_check_ms);
        return true;
    }
    return work_on(state, set, error);
}

/* ---- life ---- */

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct daemonset_state *state = allocate_struct(struct daemonset_state);
    state->controller = controller;
    state->expectations = expectations_new();
    state->set_writes = own_writes_new();
    state->revision_writes = own_writes_new();
    state->backoffs = daemonset_backoffs_new();
    struct informer *sets =
        informer_factory_get(controller->informers, &resource_daemonsets, NULL, NULL);
    struct informer *pods = pod_informer(controller->informers);
    state->workload = (struct workload){controller, &resource_daemonsets, sets, pods};
    state->nodes = node_informer(controller->informers);
    state->revisions = history_informer(controller->informers);
    informer_add_handler(pods, pod_changed, state);
    informer_add_handler(state->nodes, node_changed, state);
    informer_add_handler(state->revisions, revision_changed, state);
    informer_add_handler(sets, daemonset_changed, state);
    return state;
}

static void stop(void *argument)
{
    struct daemonset_state *state = argument;
    expectations_free(state->expectations);
    own_writes_free(state->set_writes);
    own_writes_free(state->revision_writes);
    daemonset_backoffs_free(state->backoffs);
    free(state);
}

const struct controller_type daemonset_controller = {
    .name = "daemonset-controller",
    .alias = "daemonset",
    .account = "daemon-set-controller",
    .workers = 2,
    .start = start,
    .sync = sync_daemonset,
    .stop = stop,
};

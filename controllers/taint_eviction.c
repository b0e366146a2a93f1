// SPDX-License-Identifier: Apache-2.0
/*
 * Taint eviction: pods go from nodes with NoExecute taints that they don't tolerate, or tolerate
 * only for a while.
 *
 * Keys are pods. A pod that may stay for a while gets a stay: since when, and until when; its key
 * comes again at the end. What changes meanwhile (taints, tolerations) is measured from the same
 * beginning, so that neither one taint's giving way to another nor an update of the pod grants more
 * time. A stay ends with the taints.
 */
#include "controllers/taint_eviction.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/map.h"
#include "common/node_match.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/condition_patch.h"
#include "controllers/controller.h"
#include "controllers/node_view.h"
#include "controllers/pod_view.h"
#include "controllers/resources.h"

static const int64_t second_ns = INT64_C(1000000000);
static const char no_execute[] = "NoExecute";

/* Of one pod; belongs to the worker that has its key. Times are monotonic nanoseconds. */
struct stay {
    char *uid;
    int64_t since, until;
    bool is_over; /* The pod was deleted; only its going is waited for. */
};

struct eviction_state {
    struct controller *controller;
    struct informer *pods, *nodes;
    pthread_mutex_t lock;
    struct map stays; /* By pod. With the lock. */
};

/* ---- the decision ---- */

int64_t taint_eviction_delay(const json_t *tolerations, const json_t *taints)
{
    size_t i;
    const json_t *taint;
    int64_t least = TAINT_EVICTION_NEVER;
    json_array_foreach (taints, i, taint) {
        const char *effect = json_get_string(taint, "effect");
        if (effect == NULL || strcmp(effect, no_execute) != 0) {
            continue;
        }
        const json_t *toleration = node_match_toleration(tolerations, taint);
        const json_t *seconds = json_object_get(toleration, "tolerationSeconds");
        if (toleration == NULL) {
            return 0;
        }
        if (json_is_integer(seconds)) {
            json_int_t value = json_integer_value(seconds);
            value = value > 0 ? value : 0;
            least = least == TAINT_EVICTION_NEVER || value < least ? value : least;
        }
    }
    return least;
}

/* ---- stays ---- */

static struct stay *find_stay(struct eviction_state *state, const char *key)
{
    pthread_mutex_lock(&state->lock);
    struct stay *stay = map_get(&state->stays, key);
    pthread_mutex_unlock(&state->lock);
    return stay;
}

static void free_stay(void *argument)
{
    struct stay *stay = argument;
    free(stay->uid);
    free(stay);
}

/* False when there was none that could still be ended. */
static bool end_stay(struct eviction_state *state, const char *key)
{
    pthread_mutex_lock(&state->lock);
    struct stay *stay = map_remove(&state->stays, key);
    pthread_mutex_unlock(&state->lock);
    if (stay == NULL) {
        return false;
    }
    bool was_pending = !stay->is_over;
    free_stay(stay);
    return was_pending;
}

static struct stay *begin_stay(struct eviction_state *state, const struct cached_object *pod)
{
    struct stay *stay = allocate_struct(struct stay);
    stay->uid = duplicate(pod->uid);
    stay->since = timestamp_monotonic();
    pthread_mutex_lock(&state->lock);
    map_set(&state->stays, pod->key, stay);
    pthread_mutex_unlock(&state->lock);
    return stay;
}

/* ---- the step ---- */

/* As upstream: without the uid, so that the event is found by the pod's name after its end. */
static void tell(struct eviction_state *state, const char *key, const char *what)
{
    cleanup(free_char)
    char *namespace = NULL;
    cleanup(free_char)
    char *name = NULL;
    controller_split_key(key, &namespace, &name);
    const struct event_target target = {
        .api_version = "v1", .kind = "Pod", .namespace = namespace, .name = name};
    event_record(state->controller->events, &target, "Normal", "TaintManagerEviction", "%s Pod %s",
                 what, key);
}

static void cancel(struct eviction_state *state, const char *key)
{
    if (end_stay(state, key)) {
        tell(state, key, "Cancelling deletion of");
    }
}

/* Tells in the pod's status why it goes. */
static bool write_condition(struct eviction_state *state, const struct cached_object *pod,
                            struct error *error)
{
    cleanup(json_release)
    json_t *written =
        client_call(state->controller->client,
                    condition_patch_request(&resource_pods, pod, "DisruptionTarget", "True",
                                            "DeletionByTaintManager",
                                            "Taint manager: deleting due to NoExecute taint"),
                    error);
    return written != NULL;
}

static bool delete_pod(struct eviction_state *state, const struct cached_object *pod,
                       struct stay *stay, struct error *error)
{
    cleanup(json_release)
    json_t *options = client_delete_options(pod->uid, NULL);
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    bool deleted = write_condition(state, pod, &why) &&
                   client_delete(state->controller->client, &resource_pods, pod->namespace,
                                 pod->name, options, &why);
    stay->is_over = deleted || why.code == 404;
    return stay->is_over || error_move(error, &why);
}

static struct json_span taints_of(const struct cached_object *node)
{
    static const char *const path[] = {"spec.taints"};
    struct json_span taints = {0};
    if (node != NULL) {
        json_scan(node->text, node->length, path, 1, &taints);
    }
    return taints;
}

/* The pod's tolerations against the node's taints. */
static int64_t delay_of(const struct cached_object *pod, const struct cached_object *node)
{
    struct json_span taints = taints_of(node);
    if (taints.text == NULL) {
        return TAINT_EVICTION_NEVER; /* Of nearly all nodes; the pod need not be parsed. */
    }
    cleanup(json_release)
    json_t *list = json_parse(taints.text, taints.length, NULL);
    cleanup(json_release)
    json_t *tree = cached_object_tree(pod);
    return taint_eviction_delay(json_path(tree, "spec", "tolerations"), list);
}

static bool evict_when_due(struct eviction_state *state, const struct cached_object *pod,
                           struct stay *stay, struct error *error)
{
    int64_t left = stay->until - timestamp_monotonic();
    if (left > 0) {
        controller_add_after(state->controller, pod->key, left / 1000000 + 1);
        return true;
    }
    tell(state, pod->key, "Marking for deletion");
    return delete_pod(state, pod, stay, error);
}

static bool sync_stay(void *argument, const char *key, struct error *error)
{
    struct eviction_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *pod = indexer_get(informer_indexer(state->pods), key);
    struct stay *stay = find_stay(state, key);
    if (stay != NULL && (pod == NULL || strcmp(stay->uid, pod->uid) != 0)) {
        cancel(state, key);
        stay = NULL;
    }
    if (pod == NULL || pod->is_deleting || !pod_view(pod)->is_scheduled ||
        (stay != NULL && stay->is_over)) {
        return true;
    }
    cleanup(cached_object_release)
    struct cached_object *node =
        indexer_get(informer_indexer(state->nodes), pod_view(pod)->node_name);
    if (node == NULL) {
        return stay == NULL || evict_when_due(state, pod, stay, error);
    }
    int64_t delay = delay_of(pod, node);
    if (delay == TAINT_EVICTION_NEVER) {
        cancel(state, key);
        return true;
    }
    if (stay == NULL) {
        stay = begin_stay(state, pod);
    }
    /* More than three hundred years don't fit. */
    int64_t longest = (INT64_MAX - stay->since) / second_ns;
    stay->until = stay->since + (delay < longest ? delay : longest) * second_ns;
    return evict_when_due(state, pod, stay, error);
}

/* ---- what changed ---- */

static void pod_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct eviction_state *state = argument;
    if (old == NULL || new == NULL || old->generation != new->generation ||
        strcmp(old->uid, new->uid) != 0 ||
        strcmp(pod_view(old)->node_name, pod_view(new)->node_name) != 0) {
        controller_add_object(state->controller, new != NULL ? new : old);
    }
}

static void node_changed(void *argument, const struct cached_object *old,
                         const struct cached_object *new)
{
    struct eviction_state *state = argument;
    struct json_span before = taints_of(old), after = taints_of(new);
    if (new == NULL ||
        (before.length == after.length &&
         (after.text == NULL || memcmp(before.text, after.text, after.length) == 0))) {
        return;
    }
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    indexer_find(informer_indexer(state->pods), "node", new->name, &pods);
    for (size_t i = 0; i < pods.count; i++) {
        controller_add_object(state->controller, pods.items[i]);
    }
}

/* ---- life ---- */

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct eviction_state *state = allocate_struct(struct eviction_state);
    state->controller = controller;
    pthread_mutex_init(&state->lock, NULL);
    state->pods = pod_informer(controller->informers);
    state->nodes = node_informer(controller->informers);
    informer_add_handler(state->pods, pod_changed, state);
    informer_add_handler(state->nodes, node_changed, state);
    return state;
}

static void stop(void *argument)
{
    struct eviction_state *state = argument;
    map_free(&state->stays, free_stay);
    pthread_mutex_destroy(&state->lock);
    free(state);
}

const struct controller_type taint_eviction_controller = {
    .name = "taint-eviction-controller",
    .account = "node-controller",
    .workers = 8,
    .start = start,
    .sync = sync_stay,
    .stop = stop,
};

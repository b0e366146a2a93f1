// SPDX-License-Identifier: Apache-2.0
/*
 * Deletes pods that nobody else would: of those that have come to their end the oldest beyond
 * --terminated-pod-gc-threshold; those of nodes that no longer exist, or that are out of service
 * while the pods wait for their end; and those that were deleted before they had a node.
 *
 * It has one key, for which it looks at all pods every 20 seconds.
 */
#include "controllers/pod_gc.h"

#include <string.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/conditions.h"
#include "controllers/controller.h"
#include "controllers/node_view.h"
#include "controllers/pod_view.h"
#include "controllers/resources.h"

enum { period_ms = 20000, batch_max = 500 };

static const int64_t quarantine_ns = INT64_C(40000000000);
static const char the_key[] = "pods";

struct pod_gc_state {
    struct controller *controller;
    struct informer *pods, *nodes;
    struct pod_gc_quarantine quarantine; /* The one worker's. */
};

/* What one pass is about to delete. */
struct pass {
    struct pod_gc_state *state;
    struct cached_list doomed, orphans;
    struct map verdicts; /* Of nodes, by name: the addresses below. */
};

static char node_is_gone, node_is_out, node_is_fine;

/* ---- decisions ---- */

static int compare_for_sort(const void *a, const void *b)
{
    struct cached_object *const *first = a, *const *second = b;
    bool evicted = pod_view(*first)->is_evicted, other_evicted = pod_view(*second)->is_evicted;
    if (evicted != other_evicted) {
        return evicted ? -1 : 1;
    }
    if ((*first)->creation != (*second)->creation) {
        return (*first)->creation < (*second)->creation ? -1 : 1;
    }
    return strcmp((*first)->name, (*second)->name);
}

void pod_gc_sort(struct cached_list *pods)
{
    if (pods->count > 1) {
        qsort(pods->items, pods->count, sizeof *pods->items, compare_for_sort);
    }
}

void pod_gc_quarantine_free(struct pod_gc_quarantine *quarantine)
{
    map_free(&quarantine->since, free);
}

bool pod_gc_quarantine_is_over(struct pod_gc_quarantine *quarantine, const char *node, int64_t now)
{
    int64_t *since = map_get(&quarantine->since, node);
    if (since == NULL) {
        since = allocate(sizeof *since);
        *since = now;
        map_set(&quarantine->since, node, since);
    }
    return now - *since >= quarantine_ns;
}

void pod_gc_quarantine_end(struct pod_gc_quarantine *quarantine,
                           bool (*is_settled)(void *argument, const char *node), void *argument)
{
    struct map kept = MAP_INIT;
    const char *node;
    void *since;
    for (size_t at = 0; map_next(&quarantine->since, &at, &node, &since);) {
        if (is_settled(argument, node)) {
            free(since);
        } else {
            map_set(&kept, node, since);
        }
    }
    map_free(&quarantine->since, NULL);
    quarantine->since = kept;
}

bool pod_gc_is_out_of_service(const json_t *node)
{
    if (condition_is_true(json_path(node, "status", "conditions"), "Ready")) {
        return false;
    }
    size_t i;
    const json_t *taint;
    json_array_foreach (json_path(node, "spec", "taints"), i, taint) {
        const char *key = json_get_string(taint, "key");
        if (key != NULL && strcmp(key, "node.kubernetes.io/out-of-service") == 0) {
            return true;
        }
    }
    return false;
}

json_t *pod_gc_failure(const struct cached_object *pod, bool is_orphan, int64_t now)
{
    json_t *patch =
        json_pack("{s:{s:s}, s:{s:s}}", "metadata", "uid", pod->uid, "status", "phase", "Failed");
    if (is_orphan) {
        char time[TIMESTAMP_SIZE];
        timestamp_format(now, time);
        json_t *condition = json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "DisruptionTarget",
                                      "status", "True", "reason", "DeletionByPodGC", "message",
                                      "PodGC: node no longer exists", "lastTransitionTime", time);
        if (pod->generation != 0) {
            json_object_set_new(condition, "observedGeneration", json_integer(pod->generation));
        }
        json_object_set_new(json_object_get(patch, "status"), "conditions",
                            json_pack("[o]", condition));
    }
    return patch;
}

/* ---- nodes ---- */

/* An informer may lag behind: the server is asked before pods are given up for good. */
static bool is_really_gone(struct pod_gc_state *state, const char *node)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *found = client_get(state->controller->client, &resource_nodes, NULL, node, &why);
    return found == NULL && why.code == 404;
}

static const char *judge(struct pass *pass, const char *name)
{
    struct pod_gc_state *state = pass->state;
    cleanup(cached_object_release)
    struct cached_object *node = informer_get(state->nodes, NULL, name);
    if (node != NULL) {
        cleanup(json_release)
        json_t *tree = cached_object_tree(node);
        return pod_gc_is_out_of_service(tree) ? &node_is_out : &node_is_fine;
    }
    return pod_gc_quarantine_is_over(&state->quarantine, name, timestamp_monotonic()) &&
                   is_really_gone(state, name)
               ? &node_is_gone
               : &node_is_fine;
}

static const char *verdict_of(struct pass *pass, const char *node)
{
    char *verdict = map_get(&pass->verdicts, node);
    if (verdict == NULL) {
        verdict = (char *)judge(pass, node);
        map_set(&pass->verdicts, node, verdict);
    }
    return verdict;
}

/* A node that no pod is bound to any more is of no interest either. */
static bool node_is_settled(void *argument, const char *name)
{
    struct pod_gc_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *node = informer_get(state->nodes, NULL, name);
    return node != NULL || indexer_count_of(informer_indexer(state->pods), "node", name) == 0;
}

/* ---- a pass ---- */

static void add_ended(struct pass *pass, struct cached_list *ended)
{
    int64_t threshold = pass->state->controller->settings->terminated_pod_gc_threshold;
    if (threshold <= 0 || ended->count <= (size_t)threshold) {
        return;
    }
    pod_gc_sort(ended);
    for (size_t i = 0; i < ended->count - (size_t)threshold; i++) {
        cached_list_add(&pass->doomed, ended->items[i]);
    }
}

static void look_at_pods(struct pass *pass)
{
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    cleanup(cached_list_free)
    struct cached_list ended = CACHED_LIST_INIT;
    indexer_select(informer_indexer(pass->state->pods), NULL, NULL, &pods);
    for (size_t i = 0; i < pods.count; i++) {
        const struct cached_object *pod = pods.items[i];
        const struct pod_view *view = pod_view(pod);
        const char *verdict =
            view->is_scheduled ? verdict_of(pass, view->node_name) : &node_is_fine;
        if (verdict == &node_is_gone) {
            cached_list_add(&pass->orphans, pod);
        } else if (pod->is_deleting && (!view->is_scheduled || verdict == &node_is_out)) {
            cached_list_add(&pass->doomed, pod);
        } else if (view->phase == POD_SUCCEEDED || view->phase == POD_FAILED) {
            cached_list_add(&ended, pod);
        }
    }
    add_ended(pass, &ended);
}

/* Sends the calls; those that failed for another reason than that the pod is gone are told. */
static bool send_all(struct client *client, struct client_call *calls, size_t count,
                     struct error *error)
{
    client_call_all(client, calls, count);
    bool succeeded = true;
    for (size_t i = 0; i < count; i++) {
        if (error_is_set(&calls[i].error) && calls[i].error.code != 404) {
            succeeded = error_move(error, &calls[i].error);
        }
        json_decref(calls[i].result);
        error_clear(&calls[i].error);
    }
    return succeeded;
}

static struct client_request deletion_of(const struct cached_object *pod)
{
    cleanup(json_release)
    json_t *options = client_delete_options(pod->uid, NULL);
    json_object_set_new(options, "gracePeriodSeconds", json_integer(0));
    struct client_request request =
        client_delete_request(&resource_pods, pod->namespace, pod->name, pod->uid);
    buffer_reset(&request.body);
    json_encode(options, &request.body);
    return request;
}

/* Up to batch_max pods: first they are marked as failed, so that whoever watches learns how they
 * ended, then deleted at once. */
static bool end_pods(struct client *client, struct cached_object *const *pods, size_t count,
                     bool are_orphans, struct error *error)
{
    struct client_call *calls = allocate_zero(count + 1, sizeof *calls);
    size_t call_count = 0;
    for (size_t i = 0; i < count; i++) {
        enum pod_phase phase = pod_view(pods[i])->phase;
        if (phase != POD_SUCCEEDED && phase != POD_FAILED) {
            cleanup(json_release)
            json_t *patch = pod_gc_failure(pods[i], are_orphans, timestamp_now());
            calls[call_count++].request =
                client_patch_request(&resource_pods, pods[i]->namespace, pods[i]->name, "status",
                                     client_strategic_merge_patch, patch);
        }
    }
    bool succeeded = send_all(client, calls, call_count, error);
    memset(calls, 0, count * sizeof *calls);
    for (size_t i = 0; i < count && succeeded; i++) {
        calls[i].request = deletion_of(pods[i]);
    }
    succeeded = succeeded && send_all(client, calls, count, error);
    free(calls);
    return succeeded;
}

static bool end_list(struct client *client, const struct cached_list *pods, bool are_orphans,
                     struct error *error)
{
    bool succeeded = true;
    for (size_t at = 0; at < pods->count; at += batch_max) {
        size_t count = pods->count - at < batch_max ? pods->count - at : batch_max;
        succeeded = end_pods(client, pods->items + at, count, are_orphans, error) && succeeded;
    }
    return succeeded;
}

static bool sync_pods(void *argument, const char *key, struct error *error)
{
    struct pod_gc_state *state = argument;
    struct client *client = state->controller->client;
    struct pass pass = {.state = state};
    controller_add_after(state->controller, key, period_ms);
    pod_gc_quarantine_end(&state->quarantine, node_is_settled, state);
    look_at_pods(&pass);
    bool succeeded = end_list(client, &pass.doomed, false, error);
    succeeded = end_list(client, &pass.orphans, true, error) && succeeded;
    cached_list_free(&pass.doomed);
    cached_list_free(&pass.orphans);
    map_free(&pass.verdicts, NULL);
    return succeeded;
}

/* ---- life ---- */

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct pod_gc_state *state = allocate_struct(struct pod_gc_state);
    state->controller = controller;
    state->pods = pod_informer(controller->informers);
    state->nodes = node_informer(controller->informers);
    controller_add(controller, the_key);
    return state;
}

static void stop(void *argument)
{
    struct pod_gc_state *state = argument;
    pod_gc_quarantine_free(&state->quarantine);
    free(state);
}

const struct controller_type pod_gc_controller = {
    .name = "pod-garbage-collector-controller",
    .alias = "podgc",
    .account = "pod-garbage-collector",
    .workers = 1,
    .start = start,
    .sync = sync_pods,
    .stop = stop,
};

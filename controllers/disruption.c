// SPDX-License-Identifier: Apache-2.0
/*
 * Disruption: keeps the status of PodDisruptionBudgets, from which the API server knows whether a
 * pod may be evicted.
 *
 * Keys are budgets. A key that begins with a slash is a pod whose condition DisruptionTarget
 * announced an end that did not come: after two minutes it is taken back.
 *
 * When the numbers can't be known, nothing may go: the status says so, and why.
 *
 * One worker, so that the owners' scales are looked up by one thread.
 */
#include <string.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/condition_patch.h"
#include "controllers/controller.h"
#include "controllers/disruption_status.h"
#include "controllers/label_selector_text.h"
#include "controllers/owner_scale.h"
#include "controllers/pod_view.h"
#include "controllers/resources.h"
#include "controllers/workload.h"

struct disruption {
    struct controller *controller;
    struct informer *budgets, *pods;
    struct owner_scale *owners;
};

static struct selector *selector_of(const struct cached_object *budget, struct error *error)
{
    cleanup(json_release)
    json_t *tree = cached_object_tree(budget);
    return selector_from_object(json_path(tree, "spec", "selector"), error);
}

/* ---- what changed ---- */

static void add_budgets_of(struct disruption *state, const struct cached_object *pod)
{
    cleanup(cached_list_free)
    struct cached_list budgets = CACHED_LIST_INIT;
    indexer_find(informer_indexer(state->budgets), "namespace", pod->namespace, &budgets);
    for (size_t i = 0; i < budgets.count; i++) {
        struct selector *selector = selector_of(budgets.items[i], NULL);
        if (selector != NULL && selector_matches(selector, cached_object_label, pod)) {
            controller_add_object(state->controller, budgets.items[i]);
        }
        selector_free(selector);
    }
}

static bool same_labels(const struct cached_object *a, const struct cached_object *b)
{
    return a->labels.length == b->labels.length &&
           (a->labels.text == NULL ||
            memcmp(a->labels.text, b->labels.text, a->labels.length) == 0);
}

static void add_announced(struct disruption *state, const struct cached_object *pod)
{
    int64_t since = pod_view(pod)->disrupted_since;
    if (since == 0 || !pod_is_active(pod)) {
        return;
    }
    int64_t left = since + disruption_deletion_timeout - timestamp_now();
    cleanup(free_char)
    char *key = format("/%s", pod->key);
    controller_add_after(state->controller, key, left > 0 ? left / 1000000 + 1 : 0);
}

static void pod_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct disruption *state = argument;
    bool both = old != NULL && new != NULL;
    if (both && same_labels(old, new) &&
        old->is_deleting == new->is_deleting &&pod_view(old)->is_ready ==
            pod_view(new)->is_ready &&strcmp(old->owner_uid, new->owner_uid) == 0 &&
        pod_view(old)->disrupted_since == pod_view(new)->disrupted_since) {
        return;
    }
    if (new != NULL) {
        add_budgets_of(state, new);
        add_announced(state, new);
    }
    if (old != NULL && (new == NULL || !same_labels(old, new))) {
        add_budgets_of(state, old);
    }
}

/* ---- events ---- */

static void tell(struct disruption *state, const json_t *budget, const char *type,
                 const char *reason, const char *text)
{
    event_record_about(state->controller->events, budget, type, reason, "%s", text);
}

static void tell_unmanaged(struct disruption *state, const json_t *budget)
{
    cleanup(free_char)
    char *selector = label_selector_text(json_path(budget, "spec", "selector"));
    cleanup(free_char)
    char *text = format(
        "Pods selected by this PodDisruptionBudget (selector: %s) were found to be unmanaged. As a "
        "result, the status of the PDB cannot be calculated correctly, which may result in "
        "undefined behavior. To account for these pods please set \".spec.minAvailable\" field of "
        "the PDB to an integer value.",
        selector);
    tell(state, budget, "Warning", "UnmanagedPods", text);
}

static void tell_overdue(struct disruption *state, const struct cached_list *pods)
{
    for (size_t i = 0; i < pods->count; i++) {
        const struct cached_object *pod = pods->items[i];
        struct event_target target = event_target_of_cached(&resource_pods, pod);
        /* Upstream prints the namespace twice, and people search for its words. */
        event_record(state->controller->events, &target, "Warning", "NotDeleted",
                     "Pod was expected by PDB %s/%s to be deleted but it wasn't", pod->namespace,
                     pod->namespace);
    }
}

/* ---- the step ---- */

static bool write_status(struct disruption *state, json_t *budget, json_t *status,
                         struct error *error)
{
    return workload_write_status(state->controller, &resource_pod_disruption_budgets, budget,
                                 status, NULL, NULL, error);
}

static bool find_pods(struct disruption *state, const struct cached_object *cached,
                      struct cached_list *pods, struct error *error)
{
    struct selector *selector = selector_of(cached, error);
    if (selector == NULL) {
        return false;
    }
    indexer_select(informer_indexer(state->pods), cached->namespace, selector, pods);
    selector_free(selector);
    return true;
}

static bool find_wish(struct disruption *state, const json_t *budget,
                      const struct cached_list *pods, struct disruption_wish *wish,
                      struct error *error)
{
    json_int_t scale = 0;
    size_t unmanaged = 0;
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (disruption_needs_scale(budget) &&
        !owner_scale_of(state->owners, pods, &scale, &unmanaged, &why)) {
        cleanup(free_char)
        char *text = format("Failed to calculate the number of expected pods: %s", why.message);
        tell(state, budget, "Warning", "CalculateExpectedPodCountFailed", text);
        return error_move(error, &why);
    }
    if (unmanaged > 0) {
        tell_unmanaged(state, budget);
    }
    *wish = disruption_wish(budget, scale, pods->count);
    return true;
}

static bool update_budget(struct disruption *state, const struct cached_object *cached,
                          json_t *budget, json_t **status, struct error *error)
{
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    cleanup(cached_list_free)
    struct cached_list overdue = CACHED_LIST_INIT;
    struct disruption_wish wish = {0};
    int64_t next_check, now = timestamp_now();
    if (!find_pods(state, cached, &pods, error)) {
        return false;
    }
    if (pods.count == 0) {
        tell(state, budget, "Normal", "NoPods", "No matching pods found");
    }
    if (!find_wish(state, budget, &pods, &wish, error)) {
        return false;
    }
    *status = disruption_status(budget, &pods, wish, now, &next_check, &overdue);
    tell_overdue(state, &overdue);
    if (next_check != 0) {
        controller_add_after(state->controller, cached->key, (next_check - now) / 1000000 + 1);
    }
    return true;
}

static bool sync_budget(struct disruption *state, const char *key, struct error *error)
{
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(state->budgets), key);
    if (cached == NULL) {
        return true;
    }
    cleanup(json_release)
    json_t *budget = cached_object_tree(cached);
    cleanup(json_release)
    json_t *status = NULL;
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (update_budget(state, cached, budget, &status, &why)) {
        return write_status(state, budget, status, error);
    }
    status = disruption_status_failed(budget, &why);
    return write_status(state, budget, status, error) && error_move(error, &why);
}

/* The pod was to go, and has not. */
static bool sync_announced(struct disruption *state, const char *key, struct error *error)
{
    cleanup(cached_object_release)
    struct cached_object *pod = indexer_get(informer_indexer(state->pods), key);
    if (pod == NULL || pod_view(pod)->disrupted_since == 0 || !pod_is_active(pod)) {
        return true;
    }
    if (pod_view(pod)->disrupted_since + disruption_deletion_timeout > timestamp_now()) {
        add_announced(state, pod);
        return true;
    }
    cleanup(json_release)
    json_t *written = client_call(
        state->controller->client,
        condition_patch_request(&resource_pods, pod, "DisruptionTarget", "False", "", ""), error);
    return written != NULL || (error != NULL && error->code == 404);
}

static bool sync_key(void *argument, const char *key, struct error *error)
{
    return key[0] == '/' ? sync_announced(argument, key + 1, error)
                         : sync_budget(argument, key, error);
}

/* ---- life ---- */

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct disruption *state = allocate_struct(struct disruption);
    state->controller = controller;
    state->owners = owner_scale_new(controller);
    state->pods = pod_informer(controller->informers);
    state->budgets =
        informer_factory_get(controller->informers, &resource_pod_disruption_budgets, NULL, NULL);
    informer_add_handler(state->pods, pod_changed, state);
    informer_add_handler(state->budgets, controller_handle_object, controller);
    return state;
}

static void stop(void *argument)
{
    struct disruption *state = argument;
    owner_scale_free(state->owners);
    free(state);
}

const struct controller_type disruption_controller = {
    .name = "disruption-controller",
    .alias = "disruption",
    .account = "disruption-controller",
    .event_source = "controllermanager",
    .workers = 1,
    .start = start,
    .sync = sync_key,
    .stop = stop,
};

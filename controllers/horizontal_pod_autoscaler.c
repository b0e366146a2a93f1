// SPDX-License-Identifier: Apache-2.0
/*
 * HorizontalPodAutoscaler: changes the number of a target's pods as its metrics ask for.
 *
 * sync(), once a period and when the spec has changed: get the target's scale; ask all metrics how
 * many pods there should be; let that follow no faster than the behaviour allows; set it; write
 * what was seen to the status. What fails is in the conditions, and tried again with the next
 * period and no sooner.
 *
 * Several workers, so that one that waits for somebody's metrics API keeps nobody else waiting. A
 * history belongs to whoever works on its key.
 */
#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/log.h"
#include "common/map.h"
#include "common/selector.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/autoscaler_behavior.h"
#include "controllers/autoscaler_round.h"
#include "controllers/conditions.h"
#include "controllers/controller.h"
#include "controllers/pod_view.h"
#include "controllers/resources.h"

/* What is remembered of an autoscaler. */
struct memory {
    struct autoscaler_history history;
    struct selector *selector; /* Of its target, once seen; guarded by the state's lock. */
};

struct autoscaler_state {
    struct controller *controller;
    struct informer *autoscalers, *pods;
    struct autoscaler_targets targets;
    pthread_mutex_t lock;
    struct map memories; /* By key; guarded by the lock. */
};

/* One sync. */
struct pass {
    struct autoscaler_state *state;
    const char *key;
    struct memory *memory;
    json_t *autoscaler; /* Its status is changed in place. */
    json_t *scale;
    char *scale_path;
    int32_t current, min, max;
    struct autoscaler_behavior behavior;
    bool has_behavior;
    int32_t desired;
    char *reason; /* Of a change. */
    int64_t now;
};

static const struct controller_settings *settings_of(const struct pass *pass)
{
    return pass->state->controller->settings;
}

static json_t *status_of(const struct pass *pass)
{
    return json_get_or_add_object(pass->autoscaler, "status");
}

static void tell(const struct pass *pass, const char *type, const char *reason, const char *message)
{
    event_record_about(pass->state->controller->events, pass->autoscaler, type, reason, "%s",
                       message);
}

/* ---- conditions ---- */

static json_t *conditions_of(const struct pass *pass)
{
    json_t *status = status_of(pass), *conditions = json_object_get(status, "conditions");
    if (!json_is_array(conditions)) {
        conditions = json_array();
        json_object_set_new(status, "conditions", conditions);
    }
    return conditions;
}

static void set_condition(const struct pass *pass, const char *type, bool is_true,
                          const char *reason, const char *message)
{
    condition_set(conditions_of(pass), type, is_true ? "True" : "False", reason, message, false);
}

/* ---- the status ---- */

/* Of what is 0 or absent nothing is kept by the server. 'statuses' may be NULL. */
static void set_numbers(const struct pass *pass, int32_t desired, json_t *statuses)
{
    json_t *status = status_of(pass);
    json_object_set_new(status, "desiredReplicas", json_integer(desired));
    json_object_del(status, "currentReplicas");
    if (pass->current != 0) {
        json_object_set_new(status, "currentReplicas", json_integer(pass->current));
    }
    if (statuses != NULL && json_array_size(statuses) > 0) {
        json_object_set(status, "currentMetrics", statuses);
    } else {
        json_object_set_new(status, "currentMetrics", json_null());
    }
}

static int32_t desired_before(const struct pass *pass)
{
    return (int32_t)json_get_int(status_of(pass), "desiredReplicas", 0);
}

static bool write_status(const struct pass *pass, const json_t *before, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (json_equal(before, status_of(pass))) {
        return true;
    }
    cleanup(json_release)
    json_t *written =
        client_update(pass->state->controller->client, &resource_horizontal_pod_autoscalers,
                      "status", pass->autoscaler, &why);
    if (written != NULL) {
        return true;
    }
    if (why.code == 409 || why.code == 404) { /* It has changed meanwhile, or is gone. */
        return error_move(error, &why);
    }
    tell(pass, "Warning", "FailedUpdateStatus", why.message);
    return error_wrap(error, &why, "failed to update status for %s",
                      json_path_string(pass->autoscaler, "metadata", "name"));
}

/* ---- the target ---- */

static bool get_scale(struct pass *pass, struct error *error)
{
    const json_t *reference = json_path(pass->autoscaler, "spec", "scaleTargetRef");
    const char *namespace = json_path_string(pass->autoscaler, "metadata", "namespace");
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    pass->scale =
        autoscaler_scale_get(&pass->state->targets, namespace, reference, &pass->scale_path, &why);
    if (pass->scale == NULL) {
        cleanup(free_char)
        char *message = format(
            "the HPA controller was unable to get the target's current scale: %s", why.message);
        tell(pass, "Warning", "FailedGetScale", why.message);
        set_condition(pass, "AbleToScale", false, "FailedGetScale", message);
        return error_move(error, &why);
    }
    set_condition(pass, "AbleToScale", true, "SucceededGetScale",
                  "the HPA controller was able to get the target's current scale");
    pass->current = (int32_t)json_get_int(json_object_get(pass->scale, "spec"), "replicas", 0);
    return true;
}

/* ---- the selector ---- */

static bool refuse_selector(const struct pass *pass, const char *event, const char *condition,
                            const char *shown, struct error *error)
{
    tell(pass, "Warning", event, error->message);
    set_condition(pass, "ScalingActive", false, condition, shown != NULL ? shown : error->message);
    return false;
}

static bool finds_any(const struct selector *selector, const struct cached_list *pods)
{
    for (size_t i = 0; i < pods->count; i++) {
        if (selector_matches(selector, cached_object_label, pods->items[i])) {
            return true;
        }
    }
    return false;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The autoscalers whose targets have some of these pods: "[a/b a/c]"; NULL when it is this one
 * alone. The caller's. */
static char *find_rivals(const struct pass *pass, const struct cached_list *pods)
{
    struct map *memories = &pass->state->memories;
    size_t length = strcspn(pass->key, "/") + 1, count = 0;
    const char *key;
    void *value;
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    pthread_mutex_lock(&pass->state->lock);
    const char **keys = allocate_zero(memories->count + 1, sizeof(const char *));
    for (size_t at = 0; map_next(memories, &at, &key, &value);) {
        const struct memory *memory = value;
        if (strncmp(key, pass->key, length) == 0 && memory->selector != NULL &&
            finds_any(memory->selector, pods)) {
            keys[count++] = key;
        }
    }
    qsort(keys, count, sizeof *keys, compare_texts);
    for (size_t i = 0; i < count; i++) {
        buffer_addf(&text, "%s%s", i > 0 ? " " : "[", keys[i]);
    }
    pthread_mutex_unlock(&pass->state->lock);
    buffer_add_char(&text, ']');
    free(keys);
    return count > 1 ? buffer_steal(&text) : NULL;
}

/* Nobody but who works on the key changes it. */
static void note_selector(const struct pass *pass, struct selector *selector)
{
    pthread_mutex_lock(&pass->state->lock);
    struct selector *former = pass->memory->selector;
    pass->memory->selector = selector;
    pthread_mutex_unlock(&pass->state->lock);
    selector_free(former);
}

/* The pods of the target, unless they are another autoscaler's as well. */
static bool find_pods(struct pass *pass, struct cached_list *pods, struct error *error)
{
    const char *text = json_path_string(pass->scale, "status", "selector");
    const char *namespace = json_path_string(pass->autoscaler, "metadata", "namespace");
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (text == NULL || text[0] == '\0') {
        error_internal(error, "selector is required");
        return refuse_selector(pass, "SelectorRequired", "InvalidSelector",
                               "the HPA target's scale is missing a selector", error);
    }
    struct selector *selector = selector_parse_labels(text, &why);
    if (selector == NULL) {
        error_wrap(error, &why,
                   "couldn't convert selector into a corresponding internal selector object");
        return refuse_selector(pass, "InvalidSelector", "InvalidSelector", NULL, error);
    }
    note_selector(pass, selector);
    indexer_select(informer_indexer(pass->state->pods), namespace, selector, pods);
    cleanup(free_char)
    char *rivals = find_rivals(pass, pods);
    if (rivals != NULL) {
        error_internal(error, "pods by selector %s are controlled by multiple HPAs: %s", text,
                       rivals);
        return refuse_selector(pass, "AmbiguousSelector", "AmbiguousSelector", NULL, error);
    }
    return true;
}

/* ---- the decision ---- */

/* What the metrics ask for, as far as the behaviour allows. */
static void decide(struct pass *pass, const struct autoscaler_round *round)
{
    struct autoscaler_limits limits = {pass->min, pass->max};
    int32_t desired = round->replicas > 0 ? round->replicas : 0;
    if (desired > pass->current) {
        pass->reason = format("%s above target", round->metric);
    } else if (desired < pass->current) {
        pass->reason = duplicate("All metrics below target");
    }
    struct autoscaler_decision decision = autoscaler_decide(
        &pass->memory->history, pass->has_behavior ? &pass->behavior : NULL, limits, pass->current,
        desired, settings_of(pass)->autoscaler_downscale_stabilization, pass->now);
    set_condition(pass, "AbleToScale", true, decision.stable_reason, decision.stable_message);
    set_condition(pass, "ScalingLimited", decision.is_limited, decision.limit_reason,
                  decision.limit_message);
    pass->desired = decision.replicas;
}

/* False when the metrics can't be had. 'partly' is set when some can't. */
static bool ask_metrics(struct pass *pass, json_t **statuses, struct error *partly,
                        struct error *error)
{
    const struct controller_settings *settings = settings_of(pass);
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    cleanup(autoscaler_round_clear)
    struct autoscaler_round round = {
        .targets = &pass->state->targets,
        .events = pass->state->controller->events,
        .autoscaler = pass->autoscaler,
        .scale = pass->scale,
        .pods = &pods,
        .tolerance = settings->autoscaler_tolerance,
        .now = pass->now,
        .cpu_initialization_period = settings->autoscaler_cpu_initialization_period,
        .initial_readiness_delay = settings->autoscaler_initial_readiness_delay,
        .conditions = conditions_of(pass),
    };
    if (!find_pods(pass, &pods, error)) {
        return false;
    }
    bool done = autoscaler_round_run(&round, partly, error);
    *statuses = json_incref(round.statuses);
    if (done) {
        decide(pass, &round);
    }
    return done;
}

static bool choose(struct pass *pass, json_t **statuses, struct error *partly, struct error *error)
{
    pass->desired = pass->current;
    if (pass->current == 0 && pass->min != 0) {
        set_condition(pass, "ScalingActive", false, "ScalingDisabled",
                      "scaling is disabled since the replica count of the target is zero");
        return true;
    }
    if (pass->current > pass->max) {
        pass->reason = duplicate("Current number of replicas above Spec.MaxReplicas");
        pass->desired = pass->max;
        return true;
    }
    if (pass->current < pass->min) {
        pass->reason = duplicate("Current number of replicas below Spec.MinReplicas");
        pass->desired = pass->min;
        return true;
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (ask_metrics(pass, statuses, partly, &why)) {
        return true;
    }
    set_numbers(pass, desired_before(pass), *statuses);
    tell(pass, "Warning", "FailedComputeMetricsReplicas", why.message);
    return error_wrap(error, &why,
                      "failed to compute desired number of replicas based on listed metrics");
}

/* ---- the change ---- */

static bool rescale(struct pass *pass, const json_t *statuses, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(free_char)
    char *text = NULL;
    if (!autoscaler_scale_set(pass->state->controller->client, pass->scale_path, pass->scale,
                              pass->desired, &why)) {
        cleanup(free_char)
        char *message =
            format("the HPA controller was unable to update the target scale: %s", why.message);
        text = format("New size: %d; reason: %s; error: %s", (int)pass->desired, pass->reason,
                      why.message);
        tell(pass, "Warning", "FailedRescale", text);
        set_condition(pass, "AbleToScale", false, "FailedUpdateScale", message);
        set_numbers(pass, desired_before(pass), (json_t *)statuses);
        return error_wrap(error, &why, "failed to rescale");
    }
    char now[TIMESTAMP_SIZE];
    cleanup(free_char)
    char *message =
        format("the HPA controller was able to update the target scale to %d", (int)pass->desired);
    text = format("New size: %d; reason: %s", (int)pass->desired, pass->reason);
    tell(pass, "Normal", "SuccessfulRescale", text);
    set_condition(pass, "AbleToScale", true, "SucceededRescale", message);
    autoscaler_history_note(&pass->memory->history, pass->has_behavior ? &pass->behavior : NULL,
                            pass->current, pass->desired, pass->now);
    timestamp_format(pass->now, now);
    json_object_set_new(status_of(pass), "lastScaleTime", json_string(now));
    log_info("autoscaler %s: from %d to %d replicas, %s", pass->key, (int)pass->current,
             (int)pass->desired, pass->reason);
    return true;
}

static bool follow(struct pass *pass, struct error *error)
{
    cleanup(json_release)
    json_t *statuses = NULL;
    cleanup(error_clear)
    struct error partly = ERROR_INIT;
    if (!get_scale(pass, error)) {
        return false;
    }
    autoscaler_history_begin(&pass->memory->history, pass->current, pass->now);
    if (!choose(pass, &statuses, &partly, error) ||
        (pass->desired != pass->current && !rescale(pass, statuses, error))) {
        return false;
    }
    set_numbers(pass, pass->desired, statuses);
    return !error_is_set(&partly) || error_move(error, &partly);
}

/* ---- a sync ---- */

static void read_spec(struct pass *pass)
{
    const json_t *spec = json_object_get(pass->autoscaler, "spec");
    const json_t *behavior = json_object_get(spec, "behavior");
    pass->min = (int32_t)json_get_int(spec, "minReplicas", 1);
    pass->max = (int32_t)json_get_int(spec, "maxReplicas", 1);
    pass->has_behavior = json_is_object(behavior);
    autoscaler_behavior_read(
        &pass->behavior, behavior,
        (int32_t)(settings_of(pass)->autoscaler_downscale_stabilization / 1000000000));
}

static void pass_clear(struct pass *pass)
{
    json_decref(pass->autoscaler);
    json_decref(pass->scale);
    free(pass->scale_path);
    free(pass->reason);
}

static void memory_free(void *argument)
{
    struct memory *memory = argument;
    if (memory != NULL) {
        autoscaler_history_free(&memory->history);
        selector_free(memory->selector);
        free(memory);
    }
}

static struct memory *memory_of(struct autoscaler_state *state, const char *key)
{
    pthread_mutex_lock(&state->lock);
    struct memory *memory = map_get(&state->memories, key);
    if (memory == NULL) {
        memory = allocate_struct(struct memory);
        map_set(&state->memories, key, memory);
    }
    pthread_mutex_unlock(&state->lock);
    return memory;
}

static bool look_after(struct autoscaler_state *state, const char *key,
                       const struct cached_object *cached, struct error *error)
{
    cleanup(pass_clear)
    struct pass pass = {.state = state,
                        .key = key,
                        .memory = memory_of(state, key),
                        .autoscaler = cached_object_tree(cached),
                        .now = timestamp_now()};
    cleanup(json_release)
    json_t *before = json_deep_copy(status_of(&pass));
    read_spec(&pass);
    bool done = follow(&pass, error);
    return write_status(&pass, before, done ? error : NULL) && done;
}

static bool sync_autoscaler(void *argument, const char *key, struct error *error)
{
    struct autoscaler_state *state = argument;
    int64_t period = state->controller->settings->autoscaler_sync_period;
    cleanup(free_char)
    char *namespace = NULL, *name = NULL;
    (void)error;
    controller_split_key(key, &namespace, &name);
    cleanup(cached_object_release)
    struct cached_object *cached = informer_get(state->autoscalers, namespace, name);
    if (cached == NULL) {
        pthread_mutex_lock(&state->lock);
        struct memory *memory = map_remove(&state->memories, key);
        pthread_mutex_unlock(&state->lock);
        memory_free(memory);
        return true;
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (!look_after(state, key, cached, &why)) {
        log_debug("autoscaler %s: %s", key, why.message);
    }
    controller_add_after(state->controller, key, period / 1000000);
    return true;
}

/* ---- life ---- */

static bool has_same_spec(const struct cached_object *a, const struct cached_object *b)
{
    static const char *const paths[] = {"spec"};
    struct json_span of_a, of_b;
    json_scan(a->text, a->length, paths, 1, &of_a);
    json_scan(b->text, b->length, paths, 1, &of_b);
    return of_a.text != NULL && of_b.text != NULL && of_a.length == of_b.length &&
           memcmp(of_a.text, of_b.text, of_a.length) == 0;
}

static void autoscaler_changed(void *argument, const struct cached_object *old,
                               const struct cached_object *new)
{
    struct autoscaler_state *state = argument;
    if (old == NULL || new == NULL || !has_same_spec(old, new)) {
        controller_add_object(state->controller, new != NULL ? new : old);
    }
}

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct autoscaler_state *state = allocate_struct(struct autoscaler_state);
    state->controller = controller;
    autoscaler_targets_init(&state->targets, controller->client);
    pthread_mutex_init(&state->lock, NULL);
    state->pods = pod_informer(controller->informers);
    state->autoscalers = informer_factory_get(controller->informers,
                                              &resource_horizontal_pod_autoscalers, NULL, NULL);
    informer_add_handler(state->autoscalers, autoscaler_changed, state);
    return state;
}

static int64_t workers_of(const struct controller_settings *settings)
{
    return settings->autoscaler_syncs;
}

static void stop(void *argument)
{
    struct autoscaler_state *state = argument;
    autoscaler_targets_clear(&state->targets);
    map_free(&state->memories, memory_free);
    pthread_mutex_destroy(&state->lock);
    free(state);
}

const struct controller_type horizontal_pod_autoscaler_controller = {
    .name = "horizontal-pod-autoscaler-controller",
    .alias = "horizontalpodautoscaling",
    .event_source = "horizontal-pod-autoscaler",
    .account = "horizontal-pod-autoscaler",
    .workers_of = workers_of,
    .start = start,
    .sync = sync_autoscaler,
    .stop = stop,
};

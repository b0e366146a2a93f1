// SPDX-License-Identifier: Apache-2.0
/* Pods' columns, as kubectl has shown them for years: the status tells the most telling thing. */
#include <string.h>

#include "apiserver/views/columns.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

static bool is_text(const char *text, const char *wanted)
{
    return text != NULL && strcmp(text, wanted) == 0;
}

/* What the container statuses come to. */
struct sums {
    size_t ready, total;
    json_int_t restarts;
    int64_t last_restart; /* 0: never. */
};

static void add_restarts(struct sums *sums, const json_t *status)
{
    int64_t at;
    const char *ended = json_path_string(status, "lastState", "terminated", "finishedAt");
    sums->restarts += json_get_int(status, "restartCount", 0);
    if (ended != NULL && timestamp_parse(ended, &at) && at > sums->last_restart) {
        sums->last_restart = at;
    }
}

static bool has_condition(const json_t *object, const char *type)
{
    size_t i;
    const json_t *condition;
    json_array_foreach (json_path(object, "status", "conditions"), i, condition) {
        if (is_text(json_get_string(condition, "type"), type)) {
            return is_text(json_get_string(condition, "status"), "True");
        }
    }
    return false;
}

/* An init container that keeps running beside the containers. */
static bool is_sidecar(const json_t *container)
{
    return is_text(json_get_string(container, "restartPolicy"), "Always");
}

static bool is_sidecar_status(const json_t *object, const json_t *status)
{
    size_t i;
    const json_t *container;
    const char *name = json_get_string(status, "name");
    json_array_foreach (json_path(object, "spec", "initContainers"), i, container) {
        if (is_text(name, json_get_string(container, "name"))) {
            return is_sidecar(container);
        }
    }
    return false;
}

/* The pod is past this init container. */
static bool is_passed(const json_t *object, const json_t *status)
{
    const json_t *ended = json_path(status, "state", "terminated");
    return (ended != NULL && json_get_int(ended, "exitCode", 0) == 0) ||
           (json_get_bool(status, "started", false) && is_sidecar_status(object, status));
}

/* The init container that the pod is at, counting from 0; those there are when it is past them. */
static size_t init_position(const json_t *object)
{
    const json_t *statuses = json_path(object, "status", "initContainerStatuses");
    size_t i = 0;
    while (i < json_array_size(statuses) && is_passed(object, json_array_get(statuses, i))) {
        i++;
    }
    return i;
}

/* While a pod is being initialized only init containers count, and afterwards only sidecars of
 * them. */
static struct sums sum_up(const json_t *object)
{
    struct sums sums = {.total = json_array_size(json_path(object, "spec", "containers"))};
    const json_t *statuses = json_path(object, "status", "containerStatuses");
    const json_t *init = json_path(object, "status", "initContainerStatuses");
    size_t position = init_position(object), i;
    bool initializing = position < json_array_size(init) && !has_condition(object, "Initialized");
    const json_t *item;
    json_array_foreach (json_path(object, "spec", "initContainers"), i, item) {
        sums.total += is_sidecar(item);
    }
    for (i = 0; i < json_array_size(init) && i <= position; i++) {
        item = json_array_get(init, i);
        bool beside = is_sidecar_status(object, item);
        if (initializing || beside) {
            add_restarts(&sums, item);
        }
        sums.ready += beside && i < position && json_get_bool(item, "ready", false) &&
                      json_get_bool(item, "started", false);
    }
    json_array_foreach (statuses, i, item) {
        if (!initializing) {
            add_restarts(&sums, item);
            sums.ready +=
                json_get_bool(item, "ready", false) && json_path(item, "state", "running") != NULL;
        }
    }
    return sums;
}

json_t *column_pod_ready(const struct column_input *input)
{
    struct sums sums = sum_up(input->object);
    return json_sprintf("%zu/%zu", sums.ready, sums.total);
}

/* "Init:0/2", "Init:Error", or NULL when initialisation is over. */
static json_t *init_status(const json_t *object)
{
    const json_t *statuses = json_path(object, "status", "initContainerStatuses");
    size_t total = json_array_size(json_path(object, "spec", "initContainers"));
    size_t position = init_position(object);
    if (position >= json_array_size(statuses)) {
        return NULL;
    }
    const json_t *status = json_array_get(statuses, position);
    const json_t *ended = json_path(status, "state", "terminated");
    const char *waiting = json_path_string(status, "state", "waiting", "reason");
    if (ended != NULL) {
        const char *reason = json_get_string(ended, "reason");
        json_int_t signal = json_get_int(ended, "signal", 0);
        return reason && reason[0] ? json_sprintf("Init:%s", reason)
               : signal            ? json_sprintf("Init:Signal:%d", (int)signal)
                        : json_sprintf("Init:ExitCode:%d", (int)json_get_int(ended, "exitCode", 0));
    }
    return waiting && waiting[0] && strcmp(waiting, "PodInitializing") != 0
               ? json_sprintf("Init:%s", waiting)
               : json_sprintf("Init:%zu/%zu", position, total);
}

/* The reason of the first container that has one, else 'reason', which is consumed. */
static json_t *container_status(const json_t *object, json_t *reason)
{
    const json_t *statuses = json_path(object, "status", "containerStatuses");
    bool running = false;
    for (size_t i = json_array_size(statuses); i-- > 0;) {
        const json_t *status = json_array_get(statuses, i);
        const char *waiting = json_path_string(status, "state", "waiting", "reason");
        const json_t *ended = json_path(status, "state", "terminated");
        const char *ended_reason = json_get_string(ended, "reason");
        if (waiting != NULL && waiting[0] != '\0') {
            json_string_set(reason, waiting);
        } else if (ended_reason != NULL && ended_reason[0] != '\0') {
            json_string_set(reason, ended_reason);
        } else if (ended != NULL) {
            json_int_t signal = json_get_int(ended, "signal", 0);
            json_decref(reason);
            reason = signal ? json_sprintf("Signal:%d", (int)signal)
                            : json_sprintf("ExitCode:%d", (int)json_get_int(ended, "exitCode", 0));
        } else if (json_get_bool(status, "ready", false) &&
                   json_path(status, "state", "running") != NULL) {
            running = true;
        }
    }
    if (running && is_text(json_string_value(reason), "Completed")) {
        json_string_set(reason, has_condition(object, "Ready") ? "Running" : "NotReady");
    }
    return reason;
}

json_t *column_pod_status(const struct column_input *input)
{
    const json_t *object = input->object;
    const char *phase = json_path_string(object, "status", "phase");
    const char *reason = json_path_string(object, "status", "reason");
    const json_t *conditions = json_path(object, "status", "conditions");
    const char *shown = reason && reason[0] ? reason : phase ? phase : "";
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        const json_t *condition = json_array_get(conditions, i);
        if (is_text(json_get_string(condition, "type"), "PodScheduled") &&
            is_text(json_get_string(condition, "reason"), "SchedulingGated")) {
            shown = "SchedulingGated";
        }
    }
    if (json_path(object, "metadata", "deletionTimestamp") != NULL) {
        bool ended = is_text(phase, "Succeeded") || is_text(phase, "Failed");
        if (is_text(reason, "NodeLost")) {
            return json_string("Unknown");
        }
        if (!ended) {
            return json_string("Terminating");
        }
    }
    json_t *status = init_status(object);
    if (status == NULL) {
        return container_status(object, json_string(shown));
    }
    return has_condition(object, "Initialized") ? container_status(object, status) : status;
}

json_t *column_pod_restarts(const struct column_input *input)
{
    struct sums sums = sum_up(input->object);
    if (sums.restarts == 0 || sums.last_restart == 0) {
        return json_sprintf("%d", (int)sums.restarts);
    }
    char age[TIMESTAMP_SIZE];
    duration_format_human(timestamp_now() - sums.last_restart, age);
    return json_sprintf("%d (%s ago)", (int)sums.restarts, age);
}

json_t *column_pod_ip(const struct column_input *input)
{
    const json_t *addresses = json_path(input->object, "status", "podIPs");
    const char *address = json_get_string(json_array_get(addresses, 0), "ip");
    return json_string(address && address[0] ? address : "<none>");
}

json_t *column_pod_readiness_gates(const struct column_input *input)
{
    const json_t *gates = json_path(input->object, "spec", "readinessGates");
    const json_t *conditions = json_path(input->object, "status", "conditions");
    size_t met = 0;
    if (json_array_size(gates) == 0) {
        return json_string("<none>");
    }
    for (size_t i = 0; i < json_array_size(gates); i++) {
        const char *type = json_get_string(json_array_get(gates, i), "conditionType");
        for (size_t at = 0; type != NULL && at < json_array_size(conditions); at++) {
            const json_t *condition = json_array_get(conditions, at);
            met += is_text(json_get_string(condition, "type"), type) &&
                   is_text(json_get_string(condition, "status"), "True");
        }
    }
    return json_sprintf("%zu/%zu", met, json_array_size(gates));
}

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

json_t *column_pod_ready(const struct column_input *input)
{
    const json_t *statuses = json_path(input->object, "status", "containerStatuses");
    size_t ready = 0, total = json_array_size(json_path(input->object, "spec", "containers"));
    for (size_t i = 0; i < json_array_size(statuses); i++) {
        ready += json_get_bool(json_array_get(statuses, i), "ready", false);
    }
    return json_sprintf("%zu/%zu", ready, total);
}

/* "Init:0/2", "Init:Error", or NULL when initialisation is over. */
static json_t *init_status(const json_t *object)
{
    const json_t *statuses = json_path(object, "status", "initContainerStatuses");
    size_t total = json_array_size(json_path(object, "spec", "initContainers"));
    for (size_t i = 0; i < json_array_size(statuses); i++) {
        const json_t *status = json_array_get(statuses, i);
        const json_t *ended = json_path(status, "state", "terminated");
        const char *waiting = json_path_string(status, "state", "waiting", "reason");
        bool started = json_get_bool(status, "started", false);
        if ((ended != NULL && json_get_int(ended, "exitCode", 0) == 0) ||
            (started && json_path(status, "state", "running") != NULL)) {
            continue;
        }
        if (ended != NULL) {
            const char *reason = json_get_string(ended, "reason");
            json_int_t signal = json_get_int(ended, "signal", 0);
            return reason && reason[0] ? json_sprintf("Init:%s", reason)
                   : signal
                       ? json_sprintf("Init:Signal:%d", (int)signal)
                       : json_sprintf("Init:ExitCode:%d", (int)json_get_int(ended, "exitCode", 0));
        }
        return waiting && waiting[0] && strcmp(waiting, "PodInitializing") != 0
                   ? json_sprintf("Init:%s", waiting)
                   : json_sprintf("Init:%zu/%zu", i, total);
    }
    return NULL;
}

/* The reason of the first container, from behind, that has one. */
static json_t *container_status(const json_t *object, const char *otherwise)
{
    const json_t *statuses = json_path(object, "status", "containerStatuses");
    json_t *reason = json_string(otherwise);
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
        json_string_set(reason, "Running");
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
    json_t *init = init_status(object);
    return init ? init : container_status(object, shown);
}

json_t *column_pod_restarts(const struct column_input *input)
{
    const json_t *statuses = json_path(input->object, "status", "containerStatuses");
    json_int_t restarts = 0;
    int64_t last = 0;
    for (size_t i = 0; i < json_array_size(statuses); i++) {
        const json_t *status = json_array_get(statuses, i);
        const char *ended = json_path_string(status, "lastState", "terminated", "finishedAt");
        int64_t at;
        restarts += json_get_int(status, "restartCount", 0);
        if (ended != NULL && timestamp_parse(ended, &at) && at > last) {
            last = at;
        }
    }
    if (restarts == 0 || last == 0) {
        return json_sprintf("%d", (int)restarts);
    }
    char age[TIMESTAMP_SIZE];
    duration_format_human(timestamp_now() - last, age);
    return json_sprintf("%d (%s ago)", (int)restarts, age);
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

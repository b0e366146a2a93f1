// SPDX-License-Identifier: Apache-2.0
#include "node/pod_status.h"

#include <string.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/json.h"
#include "common/timestamp.h"

/* ---- phase and conditions ---- */

struct counts {
    size_t waiting, failed; /* Of the containers proper. */
    bool has_init_failed;
    bool is_init_pending; /* An init container has not come to its end. */
};

static bool has_completed(const struct container *container)
{
    return container->state == CONTAINER_TERMINATED && container->end.exit_code == 0;
}

static struct counts count_containers(const struct pod_worker *worker)
{
    struct counts counts = {0};
    for (size_t i = 0; i < worker->container_count; i++) {
        const struct container *container = &worker->containers[i];
        bool has_failed = container->state == CONTAINER_TERMINATED && container->end.exit_code != 0;
        if (container->role == ROLE_APP) {
            counts.waiting += container->state == CONTAINER_WAITING;
            counts.failed += has_failed;
        } else if (container->role == ROLE_INIT) {
            counts.has_init_failed = counts.has_init_failed || has_failed;
            counts.is_init_pending = counts.is_init_pending || !has_completed(container);
        }
    }
    return counts;
}

/* Containers that have ended and will run again count as running; sidecars do not count. */
static enum worker_phase phase_of(const struct pod_worker *worker)
{
    struct counts counts = count_containers(worker);
    if (worker->has_ended) {
        bool failed = worker->reason != NULL || counts.failed > 0 || counts.has_init_failed ||
                      counts.waiting > 0;
        return failed ? PHASE_FAILED : PHASE_SUCCEEDED;
    }
    return counts.is_init_pending || counts.waiting > 0 ? PHASE_PENDING : PHASE_RUNNING;
}

/* Once a container proper has run, the pod stays initialized, whatever becomes of its sidecars. */
static bool is_incomplete(const struct container *container)
{
    return container->role == ROLE_INIT      ? !has_completed(container)
           : container->role == ROLE_SIDECAR ? container->state != CONTAINER_RUNNING
                                             : false;
}

static bool is_initialized(const struct pod_worker *worker)
{
    bool all_complete = true;
    for (size_t i = 0; i < worker->container_count; i++) {
        const struct container *container = &worker->containers[i];
        if (container->role == ROLE_APP && container->id != NULL) {
            return true;
        }
        all_complete = all_complete && !is_incomplete(container);
    }
    return all_complete;
}

/* Adds to 'message' (NULL: nowhere) which gates are closed. */
static bool are_gates_open(const struct pod_worker *worker, struct buffer *message)
{
    size_t i, n;
    bool are_open = true;
    const json_t *gate, *condition;
    json_array_foreach (worker->readiness_gates, i, gate) {
        const char *wanted = json_get_string(gate, "conditionType"), *status = NULL;
        json_array_foreach (worker->gate_conditions, n, condition) {
            const char *type = json_get_string(condition, "type");
            if (wanted != NULL && type != NULL && strcmp(type, wanted) == 0) {
                status = json_get_string(condition, "status");
            }
        }
        if (status != NULL && strcmp(status, "True") == 0) {
            continue;
        }
        const char *separator = are_open ? "" : ", ";
        are_open = false;
        if (message != NULL && status == NULL) {
            buffer_addf(message,
                        "%scorresponding condition of pod readiness gate \"%s\" does not exist.",
                        separator, wanted);
        } else if (message != NULL) {
            buffer_addf(message,
                        "%sthe status of pod readiness gate \"%s\" is not \"True\", but %s",
                        separator, wanted, status);
        }
    }
    return are_open;
}

static bool are_containers_ready(const struct pod_worker *worker)
{
    for (size_t i = 0; i < worker->container_count; i++) {
        if (worker->containers[i].role != ROLE_INIT && !worker->containers[i].is_ready) {
            return false;
        }
    }
    return true;
}

static void set_condition(struct pod_worker *worker, enum worker_condition condition, bool status,
                          int64_t now)
{
    if (worker->conditions[condition].status != status ||
        worker->conditions[condition].since == 0) {
        worker->conditions[condition].status = status;
        worker->conditions[condition].since = now;
    }
}

void pod_status_update(struct pod_worker *worker, int64_t now)
{
    worker->phase = phase_of(worker);
    bool is_set_up = is_initialized(worker);
    bool are_ready = !worker->has_ended && is_set_up && are_containers_ready(worker);
    set_condition(worker, CONDITION_READY_TO_START, worker->address != NULL && !worker->has_ended,
                  now);
    set_condition(worker, CONDITION_INITIALIZED, is_set_up, now);
    set_condition(worker, CONDITION_CONTAINERS_READY, are_ready, now);
    set_condition(worker, CONDITION_READY, are_ready && are_gates_open(worker, NULL), now);
    set_condition(worker, CONDITION_SCHEDULED, true, now);
}

/* ---- the object ---- */

static void set_time(json_t *object, const char *name, int64_t time)
{
    char text[TIMESTAMP_SIZE];
    timestamp_format(time, text);
    json_object_set_new(object, name, json_string(text));
}

static json_t *ended_state(const struct container_end *end)
{
    json_t *terminated = json_pack("{s:i, s:s}", "exitCode", end->exit_code, "reason",
                                   end->exit_code == 0 ? "Completed" : "Error");
    set_time(terminated, "startedAt", end->started);
    set_time(terminated, "finishedAt", end->finished);
    if (end->id != NULL) {
        json_object_set_new(terminated, "containerID", json_string(end->id));
    }
    return json_pack("{s:o}", "terminated", terminated);
}

static json_t *waiting_state(const struct container *container)
{
    bool has_init_containers = container->worker->containers[0].role != ROLE_APP;
    return json_pack("{s:{s:s}}", "waiting", "reason",
                     has_init_containers ? "PodInitializing" : "ContainerCreating");
}

static json_t *crash_loop_state(const struct container *container)
{
    const struct pod_worker *worker = container->worker;
    char delay[TIMESTAMP_SIZE];
    duration_format(container->backoff.delay_ms * 1000000, delay);
    return json_pack("{s:{s:s, s:o}}", "waiting", "reason", "CrashLoopBackOff", "message",
                     json_sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", delay,
                                  container->name, worker->name, worker->namespace, worker->uid));
}

/* The pod has ended before this container of it ever ran. */
static json_t *never_ran_state(void)
{
    return json_pack("{s:{s:i, s:s, s:s}}", "terminated", "exitCode", 137, "reason",
                     "ContainerStatusUnknown", "message",
                     "The container could not be located when the pod was terminated");
}

static json_t *state_of(const struct container *container)
{
    const struct pod_worker *worker = container->worker;
    if (container->state == CONTAINER_RUNNING) {
        json_t *running = json_object();
        set_time(running, "startedAt", container->started_at);
        return json_pack("{s:o}", "running", running);
    }
    if (container->state == CONTAINER_WAITING) {
        return worker->has_ended && container->role == ROLE_APP &&
                       worker->conditions[CONDITION_INITIALIZED].status
                   ? never_ran_state()
                   : waiting_state(container);
    }
    return container->has_backed_off ? crash_loop_state(container) : ended_state(&container->end);
}

static json_t *last_state_of(const struct container *container)
{
    if (container->state == CONTAINER_TERMINATED && container->has_backed_off) {
        return ended_state(&container->end);
    }
    return container->has_last ? ended_state(&container->last) : json_object();
}

static json_t *container_status(const struct container *container)
{
    bool runs = container->state == CONTAINER_RUNNING;
    bool is_ready = container->role == ROLE_INIT
                        ? container->state == CONTAINER_TERMINATED && container->end.exit_code == 0
                        : container->is_ready;
    json_t *status =
        json_pack("{s:s, s:s, s:s, s:b, s:b, s:i, s:o, s:o}", "name", container->name, "image",
                  container->image, "imageID", container->id != NULL ? container->image : "",
                  "ready", is_ready, "started", runs, "restartCount", container->restarts, "state",
                  state_of(container), "lastState", last_state_of(container));
    if (container->id != NULL) {
        json_object_set_new(status, "containerID", json_string(container->id));
    }
    return status;
}

/* The containers' names that are not what they should be, for a message. */
static void list_names(const struct pod_worker *worker, bool init, struct buffer *names)
{
    for (size_t i = 0; i < worker->container_count; i++) {
        const struct container *container = &worker->containers[i];
        if (init ? is_incomplete(container)
                 : container->role != ROLE_INIT && !container->is_ready) {
            buffer_addf(names, "%s%s", names->length > 0 ? " " : "", container->name);
        }
    }
}

/* Why a condition is as it is: the reason or NULL, and the message in 'message'. */
static const char *explain(const struct pod_worker *worker, enum worker_condition condition,
                           struct buffer *message)
{
    bool is_ended = worker->phase == PHASE_SUCCEEDED || worker->phase == PHASE_FAILED;
    if (condition == CONDITION_INITIALIZED && worker->phase == PHASE_SUCCEEDED) {
        return "PodCompleted";
    }
    if (worker->conditions[condition].status || condition == CONDITION_READY_TO_START) {
        return NULL;
    }
    if (condition != CONDITION_INITIALIZED && is_ended) {
        return worker->phase == PHASE_SUCCEEDED ? "PodCompleted" : "PodFailed";
    }
    if (condition == CONDITION_READY && worker->conditions[CONDITION_CONTAINERS_READY].status) {
        are_gates_open(worker, message);
        return "ReadinessGatesNotReady";
    }
    cleanup(buffer_free)
    struct buffer names = BUFFER_INIT;
    list_names(worker, condition == CONDITION_INITIALIZED, &names);
    buffer_addf(message, "containers with %s status: [%s]",
                condition == CONDITION_INITIALIZED ? "incomplete" : "unready", buffer_text(&names));
    return condition == CONDITION_INITIALIZED ? "ContainersNotInitialized" : "ContainersNotReady";
}

static const char *const condition_types[CONDITION_COUNT] = {
    [CONDITION_READY_TO_START] = "PodReadyToStartContainers",
    [CONDITION_INITIALIZED] = "Initialized",
    [CONDITION_READY] = "Ready",
    [CONDITION_CONTAINERS_READY] = "ContainersReady",
    [CONDITION_SCHEDULED] = "PodScheduled",
};

static json_t *condition_of(const struct pod_worker *worker, enum worker_condition type)
{
    cleanup(buffer_free)
    struct buffer message = BUFFER_INIT;
    bool status = worker->conditions[type].status;
    const char *reason = explain(worker, type, &message);
    json_t *condition =
        json_pack("{s:s, s:s, s:n, s:I, s:s?, s:s?}", "type", condition_types[type], "status",
                  status ? "True" : "False", "lastProbeTime", "observedGeneration",
                  (json_int_t)worker->generation, "reason", reason, "message",
                  message.length > 0 ? buffer_text(&message) : NULL);
    set_time(condition, "lastTransitionTime", worker->conditions[type].since);
    return condition;
}

static json_t *conditions_of(const struct pod_worker *worker)
{
    json_t *list = json_array();
    for (size_t i = 0; i < CONDITION_COUNT; i++) {
        json_array_append_new(list, condition_of(worker, (enum worker_condition)i));
    }
    return list;
}

static void add_addresses(json_t *status, const struct pod_worker *worker)
{
    const char *node_ip = worker->host->node_ip;
    json_object_set_new(status, "hostIP", json_string(node_ip));
    json_object_set_new(status, "hostIPs", json_pack("[{s:s}]", "ip", node_ip));
    if (worker->address != NULL) {
        json_object_set_new(status, "podIP", json_string(worker->address));
        json_object_set_new(status, "podIPs", json_pack("[{s:s}]", "ip", worker->address));
    }
}

json_t *pod_status_build(const struct pod_worker *worker)
{
    static const char *const phases[] = {"Pending", "Running", "Succeeded", "Failed"};
    json_t *init = json_array(), *containers = json_array();
    json_t *status = json_pack("{s:s, s:o, s:s, s:I}", "phase", phases[worker->phase], "conditions",
                               conditions_of(worker), "qosClass", worker->qos_class,
                               "observedGeneration", (json_int_t)worker->generation);
    set_time(status, "startTime", worker->start_time);
    add_addresses(status, worker);
    for (size_t i = 0; i < worker->container_count; i++) {
        const struct container *container = &worker->containers[i];
        json_array_append_new(container->role == ROLE_APP ? containers : init,
                              container_status(container));
    }
    if (json_array_size(init) > 0) {
        json_object_set(status, "initContainerStatuses", init);
    }
    json_decref(init);
    json_object_set_new(status, "containerStatuses", containers);
    if (worker->reason != NULL && worker->has_ended) {
        json_object_set_new(status, "reason", json_string(worker->reason));
        json_object_set_new(status, "message", json_string(worker->message));
    }
    return status;
}

/* ---- what a former process has reported ---- */

static int64_t time_at(const json_t *object, const char *name)
{
    int64_t time = 0;
    const char *text = json_get_string(object, name);
    return text != NULL && timestamp_parse(text, &time) ? time : 0;
}

static void adopt_end(struct container_end *end, const json_t *terminated)
{
    const char *id = json_get_string(terminated, "containerID");
    *end = (struct container_end){(int)json_get_int(terminated, "exitCode", 0),
                                  time_at(terminated, "startedAt"),
                                  time_at(terminated, "finishedAt"), id ? duplicate(id) : NULL};
}

static void adopt_container(struct container *container, const json_t *status)
{
    struct runtime *runtime = container->worker->host->runtime;
    const json_t *running = json_path(status, "state", "running");
    const json_t *terminated = json_path(status, "state", "terminated");
    const json_t *last = json_path(status, "lastState", "terminated");
    const char *id = json_get_string(status, "containerID");
    container->restarts = (int)json_get_int(status, "restartCount", 0);
    container->id = id != NULL ? duplicate(id) : NULL;
    if (last != NULL) {
        adopt_end(&container->last, last);
        container->has_last = true;
    }
    if (running != NULL) {
        container->state = CONTAINER_RUNNING;
        container->is_ready = json_get_bool(status, "ready", false);
        container->started_at = time_at(running, "startedAt");
        runtime->resume(runtime, container);
    } else if (terminated != NULL) {
        container->state = CONTAINER_TERMINATED;
        adopt_end(&container->end, terminated);
    } else if (last != NULL) { /* It waited to be started again. */
        container->state = CONTAINER_TERMINATED;
        container->end = container->last;
        container->last = (struct container_end){0};
        container->has_last = false;
    }
}

static void adopt_list(struct pod_worker *worker, const json_t *statuses)
{
    size_t i;
    const json_t *status;
    json_array_foreach (statuses, i, status) {
        const char *name = json_get_string(status, "name");
        for (size_t n = 0; n < worker->container_count && name != NULL; n++) {
            if (strcmp(worker->containers[n].name, name) == 0) {
                adopt_container(&worker->containers[n], status);
            }
        }
    }
}

static void adopt_conditions(struct pod_worker *worker, const json_t *conditions)
{
    size_t i;
    const json_t *condition;
    json_array_foreach (conditions, i, condition) {
        const char *type = json_get_string(condition, "type");
        const char *status = json_get_string(condition, "status");
        for (size_t n = 0; n < CONDITION_COUNT && type != NULL && status != NULL; n++) {
            if (strcmp(type, condition_types[n]) == 0) {
                worker->conditions[n].status = strcmp(status, "True") == 0;
                worker->conditions[n].since = time_at(condition, "lastTransitionTime");
            }
        }
    }
}

void pod_status_adopt(struct pod_worker *worker, const json_t *status)
{
    const char *phase = json_get_string(status, "phase");
    const char *address = json_get_string(status, "podIP");
    adopt_conditions(worker, json_object_get(status, "conditions"));
    worker->start_time = time_at(status, "startTime");
    worker->has_ended =
        phase != NULL && (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0);
    if (worker->has_ended) {
        return;
    }
    adopt_list(worker, json_object_get(status, "initContainerStatuses"));
    adopt_list(worker, json_object_get(status, "containerStatuses"));
    if (address != NULL) {
        worker->address = duplicate(address);
        if (!worker->uses_host_network) {
            worker->host->claim_address(worker->host, address);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
/*
 * Everything that happens asks for a step; the step looks at the whole pod and does what is due.
 * The status is written when a step has left it different, one request at a time.
 */
#include "node/pod_worker.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/map.h"
#include "common/random.h"
#include "common/timestamp.h"
#include "node/mounts.h"
#include "node/pod_status.h"

enum {
    write_again_ms = 1000,
    write_after_ms = 10, /* What happens within this time is written at once. */
    default_grace_seconds = 30,
};

static const struct api_resource pods_resource = {"v1", "pods", "Pod", true};

static struct loop *loop_of(const struct pod_worker *worker)
{
    return client_loop(worker->host->client);
}

/* ---- the node's identity ---- */

const char nodes_group[] = "system:nodes";

void worker_host_send(const struct worker_host *host, struct client_request request,
                      client_done done, void *argument)
{
    request.user = host->user;
    request.group = nodes_group;
    client_send(host->client, request, done, argument);
}

/* ---- events ---- */

static void tell_of_pod(struct pod_worker *worker, const char *field_path, const char *type,
                        const char *reason, const char *message)
{
    if (worker->host->events == NULL || worker->host->is_frozen) {
        return;
    }
    struct event_target target = {.api_version = "v1",
                                  .kind = "Pod",
                                  .namespace = worker->namespace,
                                  .name = worker->name,
                                  .uid = worker->uid,
                                  .field_path = field_path,
                                  .host = worker->host->node_name,
                                  .user = worker->host->user,
                                  .group = nodes_group};
    event_record(worker->host->events, &target, type, reason, "%s", message);
}

/* About a container: spec.containers{name}. */
static void tell(struct container *container, const char *type, const char *reason,
                 const char *message)
{
    cleanup(free_char)
    char *path =
        format("spec.%s{%s}", container->role == ROLE_APP ? "containers" : "initContainers",
               container->name);
    tell_of_pod(container->worker, path, type, reason, message);
}

/* ---- steps ---- */

static void step(void *argument);

static void step_soon(struct pod_worker *worker)
{
    if (!worker->is_dropped && !loop_timer_is_set(&worker->step_timer)) {
        loop_timer_set(loop_of(worker), &worker->step_timer, 0, step, worker);
    }
}

/* One that ended is shown as ended, or as backed off, until it runs again. */
static void start_container(struct container *container)
{
    struct runtime *runtime = container->worker->host->runtime;
    container->is_starting = true;
    runtime->start(runtime, container);
}

static void start_again(struct container *container)
{
    restart_backoff_raise(&container->backoff, container->end.finished, timestamp_now());
    start_container(container);
}

static void backoff_is_over(void *argument)
{
    struct container *container = argument;
    start_again(container);
    step_soon(container->worker);
}

/* Starts what has ended again, now or after its back-off. */
static void restart_container(struct container *container, int64_t now)
{
    if (container->has_backed_off) {
        return;
    }
    int64_t left_ms = restart_backoff_left_ms(&container->backoff, container->end.finished, now);
    if (left_ms == 0) {
        start_again(container);
        return;
    }
    const struct pod_worker *worker = container->worker;
    cleanup(free_char)
    char *message = format("Back-off restarting failed container %s in pod %s_%s(%s)",
                           container->name, worker->name, worker->namespace, worker->uid);
    tell(container, "Warning", "BackOff", message);
    container->has_backed_off = true;
    loop_timer_set(loop_of(worker), &container->timer, left_ms, backoff_is_over, container);
}

static bool is_to_restart(const struct container *container)
{
    if (container->role == ROLE_SIDECAR) {
        return true;
    }
    switch (container->worker->restart_policy) {
    case RESTART_ALWAYS:
        return container->role == ROLE_APP || container->end.exit_code != 0;
    case RESTART_ON_FAILURE:
        return container->end.exit_code != 0;
    case RESTART_NEVER:
        break;
    }
    return false;
}

/* Lets a container begin or begin again. Returns whether it will not run any more. */
static bool drive(struct container *container, int64_t now)
{
    if (container->state == CONTAINER_TERMINATED && !container->is_starting) {
        if (container->new_image != NULL) {
            start_container(container);
        } else if (is_to_restart(container)) {
            restart_container(container, now);
        } else {
            return true;
        }
    } else if (container->state == CONTAINER_WAITING && !container->is_starting) {
        start_container(container);
    }
    return false;
}

/* Once a container proper has run, the pod stays initialized whatever sidecars do. */
static bool has_been_initialized(const struct pod_worker *worker)
{
    for (size_t i = 0; i < worker->container_count; i++) {
        if (worker->containers[i].role == ROLE_APP && worker->containers[i].id != NULL) {
            return true;
        }
    }
    return false;
}

static void drive_sidecars(struct pod_worker *worker, int64_t now)
{
    for (size_t i = 0; i < worker->container_count; i++) {
        if (worker->containers[i].role == ROLE_SIDECAR) {
            drive(&worker->containers[i], now);
        }
    }
}

/* Runs init containers in order. True when the containers may run; '*failed' when one of them has
 * failed for good. */
static bool run_init_containers(struct pod_worker *worker, int64_t now, bool *failed)
{
    if (has_been_initialized(worker)) {
        drive_sidecars(worker, now);
        return true;
    }
    for (size_t i = 0; i < worker->container_count; i++) {
        struct container *container = &worker->containers[i];
        if (container->role == ROLE_APP) {
            continue;
        }
        bool is_over = drive(container, now);
        if (container->role == ROLE_SIDECAR) {
            if (container->id == NULL) {
                return false; /* Those behind it wait until it runs for the first time. */
            }
        } else if (!is_over) {
            return false;
        } else if (container->end.exit_code != 0) {
            *failed = true;
            return false;
        }
    }
    return true;
}

static void stop_container(struct container *container, int64_t grace_seconds)
{
    struct worker_host *host = container->worker->host;
    loop_timer_cancel(client_loop(host->client), &container->timer);
    container->has_backed_off = false;
    if (container->state == CONTAINER_RUNNING) {
        if (!container->is_stopping) {
            cleanup(free_char)
            char *message =
                container->new_image != NULL
                    ? format("Container %s definition changed, will be restarted", container->name)
                    : format("Stopping container %s", container->name);
            tell(container, "Normal", "Killing", message);
            container->is_stopping = true;
            container->stop_grace_seconds = INT64_MAX;
        }
        if (grace_seconds < container->stop_grace_seconds) {
            container->stop_grace_seconds = grace_seconds;
            host->runtime->stop(host->runtime, container, grace_seconds);
        }
    } else if (container->is_starting) {
        host->runtime->forget(host->runtime, container);
        container->is_starting = false;
    }
}

/* Containers first, then sidecars from the last to the first. True when nothing runs any more. */
static bool stop_all(struct pod_worker *worker)
{
    bool any_runs = false;
    for (size_t i = worker->container_count; i-- > 0;) {
        struct container *container = &worker->containers[i];
        bool waits_for_others = container->role == ROLE_SIDECAR && any_runs;
        if (!waits_for_others) {
            stop_container(container, worker->grace_seconds);
        }
        any_runs = any_runs || container->state == CONTAINER_RUNNING;
    }
    return !any_runs;
}

/* True when all containers have ended for good. */
static bool run_containers(struct pod_worker *worker, int64_t now)
{
    bool all_over = true;
    for (size_t i = 0; i < worker->container_count; i++) {
        if (worker->containers[i].role == ROLE_APP) {
            all_over = drive(&worker->containers[i], now) && all_over;
        }
    }
    return all_over;
}

static bool has_address(struct pod_worker *worker)
{
    if (worker->address == NULL) {
        worker->address = worker->uses_host_network ? duplicate(worker->host->node_ip)
                                                    : worker->host->take_address(worker->host);
    }
    return worker->address != NULL;
}

/* The status goes on naming the address, as a kubelet's does. */
static void give_address_back(struct pod_worker *worker)
{
    if (worker->address != NULL && !worker->uses_host_network && !worker->has_given_address_back) {
        worker->has_given_address_back = true;
        worker->host->give_back_address(worker->host, worker->address);
    }
}

static void deadline_passed(void *argument)
{
    struct pod_worker *worker = argument;
    worker->is_stopping = true;
    worker->reason = "DeadlineExceeded";
    worker->message = "Pod was active on the node longer than the specified deadline";
    tell_of_pod(worker, NULL, "Normal", worker->reason, worker->message);
    step_soon(worker);
}

static void begin(struct pod_worker *worker, int64_t now)
{
    if (worker->start_time == 0) {
        worker->start_time = now;
    }
    if (worker->deadline_seconds >= 0 && !worker->is_stopping &&
        !loop_timer_is_set(&worker->deadline_timer)) {
        int64_t elapsed_ms = (now - worker->start_time) / 1000000;
        loop_timer_set(loop_of(worker), &worker->deadline_timer,
                       worker->deadline_seconds * 1000 - elapsed_ms, deadline_passed, worker);
    }
}

static void write_soon(struct pod_worker *worker, int64_t delay_ms);

/* What ran under a former process goes on. */
static bool has_begun(const struct pod_worker *worker)
{
    for (size_t i = 0; i < worker->container_count; i++) {
        if (worker->containers[i].id != NULL) {
            return true;
        }
    }
    return false;
}

static void take_step(struct pod_worker *worker, int64_t now)
{
    bool failed = false;
    begin(worker, now);
    if (worker->is_deleting || worker->is_stopping) {
        worker->is_stopping = true;
        worker->has_ended = stop_all(worker);
    } else if (!has_address(worker) || !(mounts_are_there(worker->mounts) || has_begun(worker))) {
        return;
    } else {
        bool all_over = run_init_containers(worker, now, &failed) && run_containers(worker, now);
        worker->is_stopping = all_over || failed;
        worker->has_ended = worker->is_stopping && stop_all(worker);
    }
}

static void step(void *argument)
{
    struct pod_worker *worker = argument;
    int64_t now = timestamp_now();
    if (!worker->has_ended) {
        take_step(worker, now);
    }
    if (worker->has_ended) {
        loop_timer_cancel(loop_of(worker), &worker->deadline_timer);
        give_address_back(worker);
        mounts_release(worker->mounts);
    }
    pod_status_update(worker, now);
    worker->is_dirty = true;
    write_soon(worker, write_after_ms);
}

/* ---- what the runtime tells ---- */

static char *new_id(void)
{
    char first[RANDOM_UUID_SIZE], second[RANDOM_UUID_SIZE];
    random_uuid(first);
    random_uuid(second);
    return format("simulated://%.8s%.4s%.8s%.4s", first, first + 9, second, second + 9);
}

void container_started(struct container *container)
{
    if (container->state == CONTAINER_TERMINATED) {
        free(container->last.id);
        container->last = container->end;
        container->end = (struct container_end){0};
        container->has_last = true;
        container->restarts++;
    }
    cleanup(free_char)
    char *pulled = format("Container image \"%s\" already present on machine", container->image);
    cleanup(free_char)
    char *created = format("Created container: %s", container->name);
    cleanup(free_char)
    char *started = format("Started container %s", container->name);
    tell(container, "Normal", "Pulled", pulled);
    tell(container, "Normal", "Created", created);
    tell(container, "Normal", "Started", started);
    if (container->new_image != NULL) {
        free(container->image);
        container->image = steal(container->new_image);
    }
    free(container->id);
    container->id = new_id();
    container->state = CONTAINER_RUNNING;
    container->is_starting = false;
    container->is_ready = false;
    container->has_backed_off = false;
    container->started_at = timestamp_now();
    step_soon(container->worker);
}

void container_is_ready(struct container *container, bool is_ready)
{
    container->is_ready = is_ready;
    step_soon(container->worker);
}

void container_exited(struct container *container, int exit_code)
{
    container->state = CONTAINER_TERMINATED;
    container->is_ready = false;
    container->is_stopping = false;
    free(container->end.id);
    container->end = (struct container_end){exit_code, container->started_at, timestamp_now(),
                                            container->id ? duplicate(container->id) : NULL};
    step_soon(container->worker);
}

/* ---- writing ---- */

static void worker_free(struct pod_worker *worker);
static void write_now(void *argument);

/* A conflict may be one of a moment. If it is not, another pod has the name, and the informer will
 * tell so. */
static bool may_succeed_later(int code)
{
    return code >= 500 || code == 429 || code == 409;
}

static void write_ended(struct pod_worker *worker, const struct client_response *response)
{
    worker->is_writing = false;
    if (worker->is_dropped) {
        worker_free(worker);
        return;
    }
    int code = response->error.code;
    if (may_succeed_later(code)) {
        loop_timer_set(loop_of(worker), &worker->write_timer,
                       write_again_ms + random() % write_again_ms, write_now, worker);
    } else {
        if (code != 0 && code != 404 && code != 422) {
            log_warning("pod %s/%s: %s", worker->namespace, worker->name, response->error.message);
        }
        write_soon(worker, 0);
    }
}

static void was_deleted(void *argument, struct client_response *response)
{
    struct pod_worker *worker = argument;
    if (may_succeed_later(response->error.code)) {
        worker->is_deleted = false; /* To be asked again. */
    }
    write_ended(worker, response);
}

static void status_was_written(void *argument, struct client_response *response)
{
    struct pod_worker *worker = argument;
    if (error_is_set(&response->error)) {
        worker->written = 0;
    }
    if (may_succeed_later(response->error.code)) {
        worker->is_dirty = true;
    }
    write_ended(worker, response);
}

/* The object may go: its containers have ended, and the status says so. */
static void delete_object(struct pod_worker *worker)
{
    cleanup(json_release)
    json_t *options = client_delete_options(worker->uid, NULL);
    json_object_set_new(options, "gracePeriodSeconds", json_integer(0));
    struct client_request request = {
        .method = "DELETE",
        .path = client_path(&pods_resource, worker->namespace, worker->name, NULL)};
    json_encode(options, &request.body);
    worker->is_writing = true;
    worker_host_send(worker->host, request, was_deleted, worker);
}

static void write_status(struct pod_worker *worker)
{
    cleanup(json_release)
    json_t *patch = json_pack("{s:{s:s}, s:o}", "metadata", "uid", worker->uid, "status",
                              pod_status_build(worker));
    struct client_request request =
        client_patch_request(&pods_resource, worker->namespace, worker->name, "status",
                             client_strategic_merge_patch, patch);
    uint64_t hash = hash_bytes(request.body.bytes, request.body.length);
    worker->is_dirty = false;
    if (hash == worker->written) { /* Nothing has changed in the end. */
        free(request.path);
        buffer_free(&request.body);
        write_soon(worker, 0);
        return;
    }
    worker->written = hash;
    worker->is_writing = true;
    worker_host_send(worker->host, request, status_was_written, worker);
}

static void write_now(void *argument)
{
    struct pod_worker *worker = argument;
    if (worker->is_writing || worker->host->is_frozen) {
        return;
    }
    if (worker->is_dirty) {
        write_status(worker);
    } else if (worker->is_deleting && worker->has_ended && !worker->is_deleted) {
        worker->is_deleted = true;
        delete_object(worker);
    }
}

static void write_soon(struct pod_worker *worker, int64_t delay_ms)
{
    if (!loop_timer_is_set(&worker->write_timer)) {
        loop_timer_set(loop_of(worker), &worker->write_timer, delay_ms, write_now, worker);
    }
}

/* ---- life ---- */

static void add_containers(struct pod_worker *worker, const json_t *pod, const char *list,
                           size_t *count)
{
    size_t i;
    const json_t *spec;
    json_array_foreach (json_path(pod, "spec", list), i, spec) {
        struct container *container = &worker->containers[(*count)++];
        const char *policy = json_get_string(spec, "restartPolicy");
        const char *name = json_get_string(spec, "name"), *image = json_get_string(spec, "image");
        container->worker = worker;
        container->name = duplicate(name != NULL ? name : "");
        container->image = duplicate(image != NULL ? image : "");
        container->role = strcmp(list, "containers") == 0                   ? ROLE_APP
                          : policy != NULL && strcmp(policy, "Always") == 0 ? ROLE_SIDECAR
                                                                            : ROLE_INIT;
        worker->host->runtime->prepare(worker->host->runtime, container, pod, spec);
    }
}

static void read_spec(struct pod_worker *worker, const json_t *pod)
{
    const json_t *spec = json_object_get(pod, "spec");
    const char *policy = json_get_string(spec, "restartPolicy");
    worker->restart_policy = policy == NULL || strcmp(policy, "Always") == 0 ? RESTART_ALWAYS
                             : strcmp(policy, "Never") == 0                  ? RESTART_NEVER
                                                                             : RESTART_ON_FAILURE;
    worker->uses_host_network = json_get_bool(spec, "hostNetwork", false);
    worker->deadline_seconds = -1;
    worker->grace_seconds =
        json_get_int(spec, "terminationGracePeriodSeconds", default_grace_seconds);
    worker->readiness_gates = json_incref(json_object_get(spec, "readinessGates"));
    worker->containers =
        allocate_zero(json_array_size(json_object_get(spec, "containers")) +
                          json_array_size(json_object_get(spec, "initContainers")) + 1,
                      sizeof *worker->containers);
    add_containers(worker, pod, "initContainers", &worker->container_count);
    add_containers(worker, pod, "containers", &worker->container_count);
}

/* A container with another image is replaced, whatever the restart policy says; one that waits for
 * its restart need not wait any longer. */
static void read_image(struct pod_worker *worker, const json_t *spec)
{
    const char *name = json_get_string(spec, "name"), *image = json_get_string(spec, "image");
    for (size_t i = 0; i < worker->container_count && name != NULL && image != NULL; i++) {
        struct container *container = &worker->containers[i];
        const char *known = container->new_image ? container->new_image : container->image;
        if (strcmp(container->name, name) != 0 || strcmp(known, image) == 0) {
            continue;
        }
        if (container->state == CONTAINER_RUNNING && container->role != ROLE_INIT) {
            free(container->new_image);
            container->new_image = duplicate(image);
            stop_container(container, worker->grace_seconds);
        } else {
            free(container->image);
            container->image = duplicate(image);
            container->backoff = (struct restart_backoff){0};
            if (loop_timer_is_set(&container->timer)) {
                loop_timer_cancel(loop_of(worker), &container->timer);
                container->has_backed_off = false;
            }
        }
    }
}

static void read_images(struct pod_worker *worker, const json_t *pod)
{
    static const char *const lists[] = {"initContainers", "containers"};
    for (size_t list = 0; list < array_length(lists) && !worker->is_stopping; list++) {
        size_t i;
        const json_t *spec;
        json_array_foreach (json_path(pod, "spec", lists[list]), i, spec) {
            read_image(worker, spec);
        }
    }
}

static void adjust_containers(struct pod_worker *worker, const json_t *pod)
{
    static const char *const lists[] = {"initContainers", "containers"};
    struct runtime *runtime = worker->host->runtime;
    size_t at = 0;
    for (size_t list = 0; list < array_length(lists); list++) {
        size_t i;
        const json_t *spec;
        json_array_foreach (json_path(pod, "spec", lists[list]), i, spec) {
            if (at < worker->container_count) { /* They neither come nor go. */
                runtime->adjust(runtime, &worker->containers[at++], pod, spec);
            }
        }
    }
}

static void read_deadline(struct pod_worker *worker, const json_t *pod)
{
    int64_t seconds = json_get_int(json_object_get(pod, "spec"), "activeDeadlineSeconds", -1);
    if (seconds != worker->deadline_seconds) {
        worker->deadline_seconds = seconds;
        loop_timer_cancel(loop_of(worker), &worker->deadline_timer);
    }
}

/* What may change in the object after the pod was bound. */
static void read_changes(struct pod_worker *worker, const json_t *pod)
{
    const json_t *metadata = json_object_get(pod, "metadata");
    worker->generation = json_get_int(metadata, "generation", 0);
    read_deadline(worker, pod);
    read_images(worker, pod);
    if (json_get_string(metadata, "deletionTimestamp") != NULL) {
        worker->is_deleting = true;
        worker->grace_seconds =
            json_get_int(metadata, "deletionGracePeriodSeconds", worker->grace_seconds);
    }
    if (worker->readiness_gates != NULL) {
        json_decref(worker->gate_conditions);
        worker->gate_conditions = json_incref(json_path(pod, "status", "conditions"));
    }
}

static void mounts_are_known(void *argument)
{
    step_soon(argument);
}

static void mount_has_failed(void *argument, const char *message)
{
    tell_of_pod(argument, NULL, "Warning", "FailedMount", message);
}

struct pod_worker *pod_worker_new(struct worker_host *host, const json_t *pod)
{
    const json_t *metadata = json_object_get(pod, "metadata");
    const json_t *status = json_object_get(pod, "status");
    const char *qos_class = json_get_string(status, "qosClass");
    struct pod_worker *worker = allocate_struct(struct pod_worker);
    worker->host = host;
    worker->namespace = duplicate(json_get_string(metadata, "namespace"));
    worker->name = duplicate(json_get_string(metadata, "name"));
    worker->uid = duplicate(json_get_string(metadata, "uid"));
    worker->qos_class = duplicate(qos_class != NULL ? qos_class : "BestEffort");
    read_spec(worker, pod);
    read_changes(worker, pod);
    pod_status_adopt(worker, status);
    if (worker->has_ended) { /* That has been told; nothing is left but to delete it. */
        write_soon(worker, 0);
    } else {
        worker->mounts = mounts_new(
            host, pod, (struct mounts_listener){mounts_are_known, mount_has_failed, worker});
        step_soon(worker);
    }
    return worker;
}

void pod_worker_update(struct pod_worker *worker, const json_t *pod)
{
    bool was_deleting = worker->is_deleting;
    read_changes(worker, pod);
    adjust_containers(worker, pod);
    if (!worker->has_ended) {
        step_soon(worker);
    } else if (worker->is_deleting && !was_deleting) {
        write_soon(worker, 0); /* Nothing to stop and nothing to report. */
    }
}

void pod_worker_wake(struct pod_worker *worker)
{
    if (!worker->has_ended) {
        step_soon(worker);
    } else {
        write_soon(worker, 0);
    }
}

static void container_free(struct container *container)
{
    struct runtime *runtime = container->worker->host->runtime;
    runtime->forget(runtime, container);
    free(container->name);
    free(container->image);
    free(container->new_image);
    free(container->id);
    free(container->end.id);
    free(container->last.id);
}

static void worker_free(struct pod_worker *worker)
{
    for (size_t i = 0; i < worker->container_count; i++) {
        container_free(&worker->containers[i]);
    }
    json_decref(worker->readiness_gates);
    json_decref(worker->gate_conditions);
    free(worker->containers);
    free(worker->namespace);
    free(worker->name);
    free(worker->uid);
    free(worker->qos_class);
    free(worker->address);
    free(worker);
}

void pod_worker_drop(struct pod_worker *worker)
{
    struct loop *loop = loop_of(worker);
    worker->is_dropped = true;
    loop_timer_cancel(loop, &worker->step_timer);
    loop_timer_cancel(loop, &worker->write_timer);
    loop_timer_cancel(loop, &worker->deadline_timer);
    for (size_t i = 0; i < worker->container_count; i++) {
        struct container *container = &worker->containers[i];
        loop_timer_cancel(loop, &container->timer);
        worker->host->runtime->forget(worker->host->runtime, container);
    }
    give_address_back(worker);
    mounts_drop(steal(worker->mounts));
    if (!worker->is_writing) {
        worker_free(worker);
    }
}

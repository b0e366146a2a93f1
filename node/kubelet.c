// SPDX-License-Identifier: Apache-2.0
#include "node/kubelet.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/map.h"
#include "common/timestamp.h"
#include "common/version.h"
#include "node/ip_pool.h"
#include "node/node_report.h"
#include "node/pod_worker.h"

enum { try_again_ms = 1000 };

static const char dead_annotation[] = "simulate.coracle.io/dead";
static const char managed_annotation[] = "volumes.kubernetes.io/controller-managed-attach-detach";
static const char lease_namespace[] = "kube-node-lease";
static const struct api_resource nodes_resource = {"v1", "nodes", "Node", false};
static const struct api_resource leases_resource = {"coordination.k8s.io/v1", "leases", "Lease",
                                                    true};

struct kubelet {
    struct worker_host host;
    const struct kubelet_options *options;
    char *name, *user, *address, *uid; /* 'uid' is the Node's, NULL until it is registered. */
    int64_t number;
    struct ip_pool *pool; /* NULL until the node has a range. */
    char *pod_cidr;
    struct map workers; /* By the pod's key. */
    bool knows_pods;    /* Those that were there before it, and their addresses. */
    bool is_dead;
    bool is_doubted;   /* Others say that it is not ready. */
    bool wants_report; /* It was registered by a former process: its status is to be written. */
    bool is_writing_status;
    bool is_managed;      /* Volumes are attached for it by the controller. */
    struct map volumes;   /* How many pods (size_t) use each, by name. */
    bool tells_volumes;   /* It has told of some, and they are to be told anew. */
    bool has_new_volumes; /* Since the status was written. */
    json_t *attached;     /* status.volumesAttached, NULL: nothing. */
    bool has_lease;
    int64_t last_report; /* When it was last told what is in use, by a monotonic clock. */
    struct loop_timer register_timer, lease_timer, status_timer, usage_timer;
};

static struct loop *loop_of(const struct kubelet *kubelet)
{
    return client_loop(kubelet->host.client);
}

/* ---- the Node object ---- */

static json_t *condition(const char *type, const char *status, const char *reason,
                         const char *message, bool is_new)
{
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    json_t *condition = json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", type, "status", status,
                                  "reason", reason, "message", message, "lastHeartbeatTime", now);
    if (is_new) {
        json_object_set_new(condition, "lastTransitionTime", json_string(now));
    }
    return condition;
}

/* What has not changed keeps the transition time that it has on the server. */
static json_t *node_conditions(bool are_new)
{
    return json_pack(
        "[o, o, o, o]",
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory",
                  "kubelet has sufficient memory available", are_new),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure",
                  "kubelet has no disk pressure", are_new),
        condition("PIDPressure", "False", "KubeletHasSufficientPID",
                  "kubelet has sufficient PID available", are_new),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status", are_new));
}

static json_t *capacity(const struct kubelet *kubelet)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "cpu", kubelet->options->cpu, "memory",
                     kubelet->options->memory, "pods", kubelet->options->pods, "ephemeral-storage",
                     "100Gi");
}

/* Also that none is left, once there were some. */
static json_t *volumes_in_use(struct kubelet *kubelet)
{
    json_t *list = json_array();
    const char *name;
    void *count;
    for (size_t at = 0; map_next(&kubelet->volumes, &at, &name, &count);) {
        json_array_append_new(list, json_string(name));
    }
    if (json_array_size(list) == 0) {
        json_decref(list);
        return json_null();
    }
    return list;
}

static json_t *node_status(const struct kubelet *kubelet, bool are_conditions_new)
{
    return json_pack(
        "{s:o, s:o, s:o, s:[{s:s, s:s}, {s:s, s:s}], s:{s:{s:i}}, s:{s:s, s:s, s:s, s:s, s:s, s:s, "
        "s:s, s:s, s:s, s:s}}",
        "capacity", capacity(kubelet), "allocatable", capacity(kubelet), "conditions",
        node_conditions(are_conditions_new), "addresses", "type", "InternalIP", "address",
        kubelet->address, "type", "Hostname", "address", kubelet->name, "daemonEndpoints",
        "kubeletEndpoint", "Port", 10250, "nodeInfo", "machineID", kubelet->name, "systemUUID",
        kubelet->name, "bootID", kubelet->name, "kernelVersion", "simulated", "osImage",
        "Simulated", "operatingSystem", "linux", "architecture", "amd64", "containerRuntimeVersion",
        "simulated://1", "kubeletVersion", version_git_version, "kubeProxyVersion", "");
}

static void add_own_labels(const struct kubelet *kubelet, json_t *labels)
{
    if (kubelet->options->zones > 0) {
        json_object_set_new(
            labels, "topology.kubernetes.io/zone",
            json_sprintf("zone-%lld",
                         (long long)((kubelet->number - 1) % kubelet->options->zones) + 1));
    }
    cleanup(free_char)
    char *copy = duplicate(kubelet->options->labels != NULL ? kubelet->options->labels : "");
    char *rest = copy;
    for (char *word; (word = strsep(&rest, ",")) != NULL;) {
        char *equals = strchr(word, '=');
        if (equals != NULL) {
            *equals = '\0';
            json_object_set_new(labels, word, json_string(equals + 1));
        }
    }
}

static json_t *node_object(const struct kubelet *kubelet)
{
    json_t *labels =
        json_pack("{s:s, s:s, s:s, s:s, s:s}", "beta.kubernetes.io/arch", "amd64",
                  "beta.kubernetes.io/os", "linux", "kubernetes.io/arch", "amd64",
                  "kubernetes.io/os", "linux", "kubernetes.io/hostname", kubelet->name);
    add_own_labels(kubelet, labels);
    return json_pack("{s:s, s:s, s:{s:s, s:o, s:{s:s}}, s:o}", "kind", "Node", "apiVersion", "v1",
                     "metadata", "name", kubelet->name, "labels", labels, "annotations",
                     managed_annotation, "true", "status", node_status(kubelet, true));
}

/* ---- registering ---- */

static void write_status(void *argument);
static void renew_lease(void *argument);
static void register_node(void *argument);
static void report_usage(void *argument);

/* Once it is known what others say of the node. */
static void report_if_wanted(struct kubelet *kubelet)
{
    if ((kubelet->wants_report || kubelet->is_doubted) && kubelet->uid != NULL &&
        !kubelet->is_dead) {
        kubelet->wants_report = false;
        loop_timer_set(loop_of(kubelet), &kubelet->status_timer, 0, write_status, kubelet);
    }
}

static void was_registered(void *argument, struct client_response *response)
{
    struct kubelet *kubelet = argument;
    int64_t report_ms = kubelet->options->status_report_ms;
    if (response->code == 409) { /* By a former process, which may have told other things. */
        kubelet->wants_report = true;
        report_if_wanted(kubelet);
    } else if (error_is_set(&response->error)) {
        log_warning("registering node %s: %s", kubelet->name, response->error.message);
        loop_timer_set(loop_of(kubelet), &kubelet->register_timer,
                       try_again_ms + random() % try_again_ms, register_node, kubelet);
        return;
    } else {
        log_debug("node %s is registered", kubelet->name);
    }
    /* Nodes that begin together do not go on together. */
    if (!loop_timer_is_set(&kubelet->status_timer)) {
        loop_timer_set(loop_of(kubelet), &kubelet->status_timer, random() % report_ms, write_status,
                       kubelet);
    }
    loop_timer_set(loop_of(kubelet), &kubelet->lease_timer, 0, renew_lease, kubelet);
    if (kubelet->options->usage_report_ms > 0) {
        kubelet->last_report = timestamp_monotonic();
        loop_timer_set(loop_of(kubelet), &kubelet->usage_timer,
                       random() % kubelet->options->usage_report_ms, report_usage, kubelet);
    }
}

static void register_node(void *argument)
{
    struct kubelet *kubelet = argument;
    cleanup(json_release)
    json_t *node = node_object(kubelet);
    worker_host_send(&kubelet->host, client_create_request(&nodes_resource, NULL, node),
                     was_registered, kubelet);
}

/* ---- status ---- */

static void status_was_written(void *argument, struct client_response *response)
{
    struct kubelet *kubelet = argument;
    int64_t delay_ms =
        kubelet->is_doubted || kubelet->has_new_volumes ? 0 : kubelet->options->status_report_ms;
    kubelet->is_writing_status = false;
    if (error_is_set(&response->error)) {
        log_debug("status of node %s: %s", kubelet->name, response->error.message);
        kubelet->is_doubted = true; /* Nobody knows which transitions were told. */
        delay_ms = response->code == 404 ? kubelet->options->status_report_ms
                                         : try_again_ms + random() % try_again_ms;
    }
    loop_timer_set(loop_of(kubelet), &kubelet->status_timer, delay_ms, write_status, kubelet);
}

static void write_status(void *argument)
{
    struct kubelet *kubelet = argument;
    if (kubelet->is_dead || kubelet->is_writing_status) {
        return;
    }
    cleanup(json_release)
    json_t *patch = json_pack("{s:o}", "status", node_status(kubelet, kubelet->is_doubted));
    if (kubelet->tells_volumes) {
        json_object_set_new(json_object_get(patch, "status"), "volumesInUse",
                            volumes_in_use(kubelet));
    }
    kubelet->has_new_volumes = false;
    kubelet->is_writing_status = true;
    kubelet->is_doubted = false;
    worker_host_send(&kubelet->host,
                     client_patch_request(&nodes_resource, NULL, kubelet->name, "status",
                                          client_strategic_merge_patch, patch),
                     status_was_written, kubelet);
}

/* ---- lease ---- */

/* The whole of what a kubelet says in it, so that nothing of it need be remembered: a merge patch
 * leaves alone what others wrote. */
static json_t *lease_object(const struct kubelet *kubelet)
{
    char now[TIMESTAMP_SIZE];
    timestamp_format_micro(timestamp_now(), now);
    json_t *lease =
        json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:I, s:s}}", "kind", "Lease", "apiVersion",
                  leases_resource.group_version, "metadata", "name", kubelet->name, "namespace",
                  lease_namespace, "spec", "holderIdentity", kubelet->name, "leaseDurationSeconds",
                  (json_int_t)kubelet->options->lease_seconds, "renewTime", now);
    if (kubelet->uid != NULL) {
        json_object_set_new(json_object_get(lease, "metadata"), "ownerReferences",
                            json_pack("[{s:s, s:s, s:s, s:s}]", "apiVersion", "v1", "kind", "Node",
                                      "name", kubelet->name, "uid", kubelet->uid));
    }
    return lease;
}

static void lease_was_written(void *argument, struct client_response *response)
{
    struct kubelet *kubelet = argument;
    int64_t delay_ms = kubelet->options->lease_seconds * 1000 / 4;
    if (error_is_set(&response->error)) {
        log_debug("lease of node %s: %s", kubelet->name, response->error.message);
        delay_ms = try_again_ms;
    } else if (!kubelet->has_lease) { /* Nodes that begin together do not go on together. */
        kubelet->has_lease = true;
        delay_ms = random() % delay_ms;
    }
    loop_timer_set(loop_of(kubelet), &kubelet->lease_timer,
                   delay_ms + random() % (delay_ms / 20 + 1), renew_lease, kubelet);
}

static void lease_was_renewed(void *argument, struct client_response *response)
{
    struct kubelet *kubelet = argument;
    if (response->code != 404) {
        lease_was_written(kubelet, response);
        return;
    }
    cleanup(json_release)
    json_t *lease = lease_object(kubelet);
    worker_host_send(&kubelet->host,
                     client_create_request(&leases_resource, lease_namespace, lease),
                     lease_was_written, kubelet);
}

static void renew_lease(void *argument)
{
    struct kubelet *kubelet = argument;
    if (kubelet->is_dead) {
        return; /* Goes on when the node is back. */
    }
    cleanup(json_release)
    json_t *lease = lease_object(kubelet);
    worker_host_send(&kubelet->host,
                     client_patch_request(&leases_resource, lease_namespace, kubelet->name, NULL,
                                          client_merge_patch, lease),
                     lease_was_renewed, kubelet);
}

/* ---- usage ---- */

static void usage_was_reported(void *argument, struct client_response *response)
{
    struct kubelet *kubelet = argument;
    if (error_is_set(&response->error)) {
        log_debug("report of node %s: %s", kubelet->name, response->error.message);
    }
    loop_timer_set(loop_of(kubelet), &kubelet->usage_timer, kubelet->options->usage_report_ms,
                   report_usage, kubelet);
}

static void report_usage(void *argument)
{
    struct kubelet *kubelet = argument;
    int64_t now = timestamp_monotonic(), since = now - kubelet->last_report;
    kubelet->last_report = now;
    if (kubelet->is_dead) { /* Goes on when the node is back. */
        loop_timer_set(loop_of(kubelet), &kubelet->usage_timer, kubelet->options->usage_report_ms,
                       report_usage, kubelet);
        return;
    }
    cleanup(json_release)
    json_t *report = node_report(kubelet->name, since, &kubelet->workers);
    worker_host_send(&kubelet->host, client_update_request(&node_reports_resource, NULL, report),
                     usage_was_reported, kubelet);
}

/* ---- addresses of pods ---- */

static struct kubelet *kubelet_of(struct worker_host *host)
{
    return container_of(host, struct kubelet, host);
}

static char *take_address(struct worker_host *host)
{
    struct kubelet *kubelet = kubelet_of(host);
    return kubelet->pool != NULL && kubelet->knows_pods ? ip_pool_take(kubelet->pool) : NULL;
}

static void claim_address(struct worker_host *host, const char *address)
{
    struct kubelet *kubelet = kubelet_of(host);
    if (kubelet->pool != NULL) {
        ip_pool_claim(kubelet->pool, address);
    }
}

static void give_back_address(struct worker_host *host, const char *address)
{
    struct kubelet *kubelet = kubelet_of(host);
    if (kubelet->pool != NULL) {
        ip_pool_give_back(kubelet->pool, address);
    }
}

static void wake_all(struct kubelet *kubelet)
{
    const char *key;
    void *worker;
    for (size_t at = 0; map_next(&kubelet->workers, &at, &key, &worker);) {
        pod_worker_wake(worker);
    }
}

/* The node has its range: pods of a former process keep their addresses, others get one. */
static void set_pod_cidr(struct kubelet *kubelet, const char *cidr)
{
    if (kubelet->pod_cidr != NULL && strcmp(kubelet->pod_cidr, cidr) == 0) {
        return;
    }
    ip_pool_free(kubelet->pool);
    free(kubelet->pod_cidr);
    kubelet->pod_cidr = duplicate(cidr);
    kubelet->pool = ip_pool_new(cidr);
    if (kubelet->pool == NULL) {
        log_warning("node %s: no addresses can be had from the range %s", kubelet->name, cidr);
        return;
    }
    const char *key;
    void *value;
    for (size_t at = 0; map_next(&kubelet->workers, &at, &key, &value);) {
        const struct pod_worker *worker = value;
        if (worker->address != NULL && !worker->has_given_address_back) {
            ip_pool_claim(kubelet->pool, worker->address);
        }
    }
    wake_all(kubelet);
}

/* ---- volumes ---- */

static void use_volume(struct worker_host *host, const char *name, int change)
{
    struct kubelet *kubelet = kubelet_of(host);
    size_t *users = map_get(&kubelet->volumes, name);
    if (users == NULL) {
        users = allocate_zero(1, sizeof *users);
        map_set(&kubelet->volumes, name, users);
    }
    *users += (size_t)change;
    if (*users > (change > 0 ? 1 : 0)) {
        return; /* Others use it as well. */
    }
    if (*users == 0) {
        free(map_remove(&kubelet->volumes, name));
    }
    kubelet->tells_volumes = kubelet->has_new_volumes = true;
    if (!kubelet->is_writing_status && kubelet->uid != NULL) {
        loop_timer_set(loop_of(kubelet), &kubelet->status_timer, 0, write_status, kubelet);
    }
}

static bool is_attached(struct worker_host *host, const char *name)
{
    const struct kubelet *kubelet = kubelet_of(host);
    size_t i;
    const json_t *volume;
    json_array_foreach (kubelet->attached, i, volume) {
        const char *attached = json_get_string(volume, "name");
        if (attached != NULL && strcmp(attached, name) == 0) {
            return true;
        }
    }
    return !kubelet->is_managed;
}

static void set_attached(struct kubelet *kubelet, const json_t *node)
{
    json_t *attached = json_path(node, "status", "volumesAttached");
    bool is_managed = json_path(node, "metadata", "annotations", managed_annotation) != NULL;
    bool is_same =
        kubelet->is_managed == is_managed &&
        (attached != NULL ? kubelet->attached != NULL && json_equal(attached, kubelet->attached)
                          : kubelet->attached == NULL);
    if (!is_same) {
        json_decref(kubelet->attached);
        kubelet->attached = json_incref(attached);
        kubelet->is_managed = is_managed;
        wake_all(kubelet);
    }
}

/* ---- events ---- */

static void set_dead(struct kubelet *kubelet, bool is_dead)
{
    if (kubelet->is_dead == is_dead) {
        return;
    }
    log_info("node %s %s", kubelet->name, is_dead ? "seems dead from now on" : "is back");
    kubelet->is_dead = is_dead;
    kubelet->host.is_frozen = is_dead;
    if (!is_dead) {
        loop_timer_set(loop_of(kubelet), &kubelet->lease_timer, 0, renew_lease, kubelet);
        loop_timer_set(loop_of(kubelet), &kubelet->status_timer, 0, write_status, kubelet);
        wake_all(kubelet);
    }
}

/* Somebody else says that it is not ready. */
static bool is_doubted(const json_t *conditions)
{
    size_t i;
    const json_t *one;
    json_array_foreach (conditions, i, one) {
        const char *type = json_get_string(one, "type"), *status = json_get_string(one, "status");
        if (type != NULL && status != NULL && strcmp(type, "Ready") == 0) {
            return strcmp(status, "True") != 0;
        }
    }
    return true;
}

void kubelet_node_changed(struct kubelet *kubelet, const struct cached_object *object)
{
    free(steal(kubelet->uid));
    if (object == NULL) {
        return;
    }
    kubelet->uid = duplicate(object->uid);
    cleanup(json_release)
    json_t *node = cached_object_tree(object);
    const char *dead = json_get_string(json_path(node, "metadata", "annotations"), dead_annotation);
    const char *cidr = json_path_string(node, "spec", "podCIDR");
    set_dead(kubelet, dead != NULL && strcmp(dead, "true") == 0);
    if (cidr != NULL && *cidr != '\0') {
        set_pod_cidr(kubelet, cidr);
    }
    set_attached(kubelet, node);
    kubelet->is_doubted = is_doubted(json_path(node, "status", "conditions"));
    report_if_wanted(kubelet);
}

static uint64_t hash_annotations(const struct cached_object *pod)
{
    struct json_span span;
    json_scan(pod->text, pod->length, (const char *[]){"metadata.annotations"}, 1, &span);
    return span.text != NULL ? hash_bytes(span.text, span.length) : 0;
}

static bool needs_update(const struct pod_worker *worker, const struct cached_object *pod,
                         uint64_t annotations)
{
    return pod->is_deleting || worker->annotations != annotations ||
           worker->readiness_gates != NULL || worker->generation != pod->generation;
}

void kubelet_pod_changed(struct kubelet *kubelet, const struct cached_object *object)
{
    struct pod_worker *worker = map_get(&kubelet->workers, object->key);
    if (worker != NULL && strcmp(worker->uid, object->uid) != 0) {
        kubelet_pod_gone(kubelet, object);
        worker = NULL;
    }
    uint64_t annotations = hash_annotations(object);
    if (worker != NULL && !needs_update(worker, object, annotations)) {
        return;
    }
    cleanup(json_release)
    json_t *pod = cached_object_tree(object);
    if (worker == NULL) {
        worker = pod_worker_new(&kubelet->host, pod);
        map_set(&kubelet->workers, object->key, worker);
    } else {
        pod_worker_update(worker, pod);
    }
    worker->annotations = annotations;
}

void kubelet_knows_pods(struct kubelet *kubelet)
{
    kubelet->knows_pods = true;
    wake_all(kubelet);
}

void kubelet_pod_gone(struct kubelet *kubelet, const struct cached_object *pod)
{
    struct pod_worker *worker = map_remove(&kubelet->workers, pod->key);
    if (worker != NULL) {
        pod_worker_drop(worker);
    }
}

/* ---- life ---- */

struct kubelet *kubelet_new(struct client *client, struct runtime *runtime, const char *name,
                            int64_t number, const struct kubelet_options *options)
{
    struct kubelet *kubelet = allocate_struct(struct kubelet);
    kubelet->options = options;
    kubelet->name = duplicate(name);
    kubelet->user = options->impersonates ? format("system:node:%s", name) : NULL;
    kubelet->number = number;
    kubelet->address = format("10.128.%d.%d", (int)(number / 250 % 256), (int)(number % 250) + 1);
    kubelet->host = (struct worker_host){
        .client = client,
        .runtime = runtime,
        .events = options->events,
        .node_name = kubelet->name,
        .user = kubelet->user,
        .node_ip = kubelet->address,
        .take_address = take_address,
        .claim_address = claim_address,
        .give_back_address = give_back_address,
        .use_volume = use_volume,
        .is_attached = is_attached,
    };
    register_node(kubelet);
    return kubelet;
}

const char *kubelet_node_name(const struct kubelet *kubelet)
{
    return kubelet->name;
}

void kubelet_free(struct kubelet *kubelet)
{
    struct loop *loop = loop_of(kubelet);
    const char *key;
    void *worker;
    loop_timer_cancel(loop, &kubelet->register_timer);
    loop_timer_cancel(loop, &kubelet->lease_timer);
    loop_timer_cancel(loop, &kubelet->usage_timer);
    for (size_t at = 0; map_next(&kubelet->workers, &at, &key, &worker);) {
        pod_worker_drop(worker);
    }
    loop_timer_cancel(loop, &kubelet->status_timer); /* Of volumes, too, whose pods were dropped. */
    map_free(&kubelet->workers, NULL);
    map_free(&kubelet->volumes, free);
    json_decref(kubelet->attached);
    ip_pool_free(kubelet->pool);
    free(kubelet->pod_cidr);
    free(kubelet->uid);
    free(kubelet->address);
    free(kubelet->user);
    free(kubelet->name);
    free(kubelet);
}

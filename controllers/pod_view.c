// SPDX-License-Identifier: Apache-2.0
#include "controllers/pod_view.h"

#include <string.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/owner.h"
#include "controllers/resources.h"

static const char deletion_cost_annotation[] = "controller.kubernetes.io/pod-deletion-cost";
const char pod_job_finalizer[] = "batch.kubernetes.io/job-tracking";
const char pod_job_index_annotation[] = "batch.kubernetes.io/job-completion-index";

static int64_t time_at(const json_t *object, const char *name)
{
    const char *text = json_get_string(object, name);
    int64_t time = 0;
    return text != NULL && timestamp_parse(text, &time) ? time : 0;
}

static enum pod_phase parse_phase(const char *text)
{
    static const char *const names[] = {"Pending", "Running", "Succeeded", "Failed"};
    for (size_t i = 0; i < array_length(names); i++) {
        if (text != NULL && strcmp(text, names[i]) == 0) {
            return (enum pod_phase)i;
        }
    }
    return text == NULL ? POD_PENDING : POD_UNKNOWN;
}

static bool has_text(const json_t *object, const char *name, const char *text)
{
    const char *present = json_get_string(object, name);
    return present != NULL && strcmp(present, text) == 0;
}

static void parse_conditions(struct pod_view *view, const json_t *conditions)
{
    size_t i;
    const json_t *condition;
    json_array_foreach (conditions, i, condition) {
        const char *type = json_get_string(condition, "type");
        const char *status = json_get_string(condition, "status");
        if (type != NULL && status != NULL && strcmp(type, "Ready") == 0) {
            view->is_ready = strcmp(status, "True") == 0;
            view->is_unready = strcmp(status, "False") == 0;
            view->ready_since = time_at(condition, "lastTransitionTime");
        }
        if (type != NULL && status != NULL && strcmp(type, "DisruptionTarget") == 0 &&
            strcmp(status, "True") == 0 && !has_text(condition, "reason", "TerminationByKubelet")) {
            view->disrupted_since = time_at(condition, "lastTransitionTime");
        }
    }
}

static void count_restarts(struct pod_view *view, const json_t *status)
{
    static const char *const lists[] = {"containerStatuses", "initContainerStatuses"};
    for (size_t n = 0; n < array_length(lists); n++) {
        size_t i;
        const json_t *container;
        json_array_foreach (json_object_get(status, lists[n]), i, container) {
            int restarts = (int)json_get_int(container, "restartCount", 0);
            view->restarts = n == 0 && restarts > view->restarts ? restarts : view->restarts;
            view->total_restarts += restarts;
        }
    }
}

static int parse_index(const char *text)
{
    char *end;
    long index = text != NULL && *text != '\0' ? strtol(text, &end, 10) : -1;
    return index >= 0 && index <= INT32_MAX && *end == '\0' ? (int)index : -1;
}

/* A decimal number that fits, without sign or zero in front; anything else counts as 0. */
static int parse_cost(const char *text)
{
    char *end;
    if (text == NULL || *text == '\0') {
        return 0;
    }
    long cost = strtol(text, &end, 10);
    return *end == '\0' && cost >= INT32_MIN && cost <= INT32_MAX ? (int)cost : 0;
}

/* ---- strings and ports ---- */

/* Puts copies of strings into one block behind a view. With 'at' NULL it only counts: what needs
 * how much room is found by the same code that fills it. */
struct packer {
    char *at;
    size_t size;
    struct pod_port *ports;
    size_t port_count;
};

static const char *pack(struct packer *packer, const char *text)
{
    const char *packed = packer->at;
    size_t size = text != NULL ? strlen(text) + 1 : 1;
    packer->size += size;
    if (packer->at != NULL) {
        memcpy(packer->at, text != NULL ? text : "", size);
        packer->at += size;
    }
    return packed;
}

static const char *pack_addresses(struct packer *packer, const json_t *status)
{
    const char *packed = packer->at;
    size_t i;
    const json_t *address;
    const json_t *list = json_object_get(status, "podIPs");
    json_array_foreach (list, i, address) {
        const char *ip = json_get_string(address, "ip");
        if (ip != NULL && ip[0] != '\0') {
            pack(packer, ip);
        }
    }
    if (json_array_size(list) == 0 && json_get_string(status, "podIP") != NULL) {
        pack(packer, json_get_string(status, "podIP"));
    }
    pack(packer, "");
    pack(packer, ""); /* So that two NULs end even an empty list. */
    return packed;
}

static const char *pack_claims(struct packer *packer, const json_t *pod)
{
    const char *packed = packer->at;
    const char *pod_name = json_path_string(pod, "metadata", "name");
    size_t i;
    const json_t *volume;
    json_array_foreach (json_path((json_t *)pod, "spec", "volumes"), i, volume) {
        const char *claim = json_path_string(volume, "persistentVolumeClaim", "claimName");
        const char *name = json_get_string(volume, "name");
        if (claim != NULL && claim[0] != '\0') {
            pack(packer, claim);
        } else if (json_is_object(json_object_get(volume, "ephemeral")) && name != NULL) {
            cleanup(free_char)
            char *made = format("%s-%s", pod_name ? pod_name : "", name);
            pack(packer, made);
        }
    }
    pack(packer, "");
    pack(packer, "");
    return packed;
}

static void pack_ports_of(struct packer *packer, const json_t *container)
{
    size_t i;
    const json_t *port;
    json_array_foreach (json_object_get(container, "ports"), i, port) {
        const char *name = json_get_string(port, "name");
        const char *protocol = json_get_string(port, "protocol");
        if (name == NULL) {
            continue;
        }
        struct pod_port packed = {.name = pack(packer, name),
                                  .protocol = pack(packer, protocol != NULL ? protocol : "TCP"),
                                  .number = (int)json_get_int(port, "containerPort", 0)};
        if (packer->ports != NULL) {
            packer->ports[packer->port_count] = packed;
        }
        packer->port_count++;
    }
}

static void pack_ports(struct packer *packer, const json_t *spec)
{
    size_t i;
    const json_t *container;
    json_array_foreach (json_object_get(spec, "containers"), i, container) {
        pack_ports_of(packer, container);
    }
    json_array_foreach (json_object_get(spec, "initContainers"), i, container) {
        const char *policy = json_get_string(container, "restartPolicy");
        if (policy != NULL && strcmp(policy, "Always") == 0) {
            pack_ports_of(packer, container);
        }
    }
}

/* The node that a pod of a DaemonSet is made for, as long as it has none. */
static const char *affine_node(const json_t *spec)
{
    const json_t *terms =
        json_path(spec, "affinity", "nodeAffinity",
                  "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms");
    size_t i;
    const json_t *term;
    json_array_foreach (terms, i, term) {
        const json_t *fields = json_object_get(term, "matchFields");
        const json_t *field = json_array_get(fields, 0);
        const json_t *values = json_object_get(field, "values");
        if (json_array_size(fields) == 1 && json_array_size(values) == 1 &&
            has_text(field, "key", "metadata.name") && has_text(field, "operator", "In")) {
            return json_string_value(json_array_get(values, 0));
        }
    }
    return NULL;
}

static void pack_all(struct pod_view *view, struct packer *packer, const json_t *pod)
{
    const json_t *spec = json_object_get(pod, "spec");
    const char *node = json_get_string(spec, "nodeName");
    bool is_scheduled = node != NULL && *node != '\0';
    view->node_name = pack(packer, node);
    view->target_node = is_scheduled ? view->node_name : pack(packer, affine_node(spec));
    view->hostname = pack(packer, json_get_string(spec, "hostname"));
    view->subdomain = pack(packer, json_get_string(spec, "subdomain"));
    view->addresses = pack_addresses(packer, json_object_get(pod, "status"));
    view->claims = pack_claims(packer, pod);
    pack_ports(packer, spec);
    view->port_count = packer->port_count;
}

static struct pod_view *view_with_room(const json_t *pod)
{
    struct pod_view unused;
    struct packer packer = {0};
    pack_all(&unused, &packer, pod);
    size_t head = sizeof unused + packer.port_count * sizeof unused.ports[0];
    struct pod_view *view = allocate_zero(1, head + packer.size);
    packer = (struct packer){.at = (char *)view + head, .ports = view->ports};
    pack_all(view, &packer, pod);
    return view;
}

/* ---- the digest ---- */

static void *digest(const struct cached_object *object)
{
    cleanup(json_release)
    json_t *pod = cached_object_tree(object);
    const json_t *metadata = json_object_get(pod, "metadata");
    const json_t *status = json_object_get(pod, "status");
    struct pod_view *view = view_with_room(pod);
    view->is_scheduled = view->node_name[0] != '\0';
    view->phase = parse_phase(json_get_string(status, "phase"));
    const char *reason = json_get_string(status, "reason");
    view->is_evicted =
        view->phase == POD_FAILED && reason != NULL && strcmp(reason, "Evicted") == 0;
    view->start_time = time_at(status, "startTime");
    view->deletion_time = time_at(metadata, "deletionTimestamp");
    view->deletion_cost = parse_cost(
        json_get_string(json_object_get(metadata, "annotations"), deletion_cost_annotation));
    view->job_index = parse_index(
        json_get_string(json_object_get(metadata, "annotations"), pod_job_index_annotation));
    view->is_job_tracked =
        json_array_has_string(json_object_get(metadata, "finalizers"), pod_job_finalizer);
    count_restarts(view, status);
    parse_conditions(view, json_object_get(status, "conditions"));
    return view;
}

static void index_by_node(const struct cached_object *pod, struct index_values *values)
{
    index_values_add(values, pod_view(pod)->node_name);
}

static void index_by_claim(const struct cached_object *pod, struct index_values *values)
{
    for (const char *name = pod_view(pod)->claims; *name != '\0'; name += strlen(name) + 1) {
        cleanup(free_char)
        char *key = format("%s/%s", pod->namespace, name);
        index_values_add(values, key);
    }
}

const struct cached_object_class pod_class = {.digest = digest, .digest_free = free};

struct informer *pod_informer(struct informer_factory *informers)
{
    struct informer *pods = informer_factory_get(informers, &resource_pods, &pod_class, NULL);
    struct indexer *indexer = informer_indexer(pods);
    indexer_add_index(indexer, "owner", index_by_owner);
    indexer_add_index(indexer, "node", index_by_node);
    indexer_add_index(indexer, "claim", index_by_claim);
    indexer_add_index(indexer, "orphan", owner_index_orphans);
    return pods;
}

bool pod_is_active(const struct cached_object *pod)
{
    const struct pod_view *view = pod_view(pod);
    return view->phase != POD_SUCCEEDED && view->phase != POD_FAILED && !pod->is_deleting;
}

bool pod_is_available(const struct cached_object *pod, int64_t min_ready_seconds, int64_t now)
{
    const struct pod_view *view = pod_view(pod);
    if (!view->is_ready) {
        return false;
    }
    return min_ready_seconds == 0 ||
           (view->ready_since != 0 && view->ready_since + min_ready_seconds * 1000000000 <= now);
}

/* On a logarithmic scale, so that pods of about the same age are equals and the random order of
 * their uids decides: otherwise one rollout's pods would all go together. */
static int age_rank(int64_t since, int64_t now)
{
    int rank = 0;
    for (int64_t age = now - since; age > 1; age /= 2) {
        rank++;
    }
    return rank;
}

static int compare_ages(int64_t a, int64_t b, int64_t now, const struct cached_object *pod_a,
                        const struct cached_object *pod_b)
{
    if (a == 0 || b == 0) {
        return a == 0 ? -1 : 1; /* No time: as if it were the youngest. */
    }
    int rank_a = age_rank(a, now), rank_b = age_rank(b, now);
    return rank_a != rank_b ? rank_a - rank_b : strcmp(pod_a->uid, pod_b->uid);
}

int pod_compare_for_deletion(const struct cached_object *a, int crowd_a,
                             const struct cached_object *b, int crowd_b, int64_t now)
{
    static const int phase_rank[] = {
        [POD_PENDING] = 0,   [POD_UNKNOWN] = 1, [POD_RUNNING] = 2,
        [POD_SUCCEEDED] = 2, [POD_FAILED] = 2,
    };
    const struct pod_view *view_a = pod_view(a), *view_b = pod_view(b);
    if (view_a->is_scheduled != view_b->is_scheduled) {
        return view_a->is_scheduled - view_b->is_scheduled;
    }
    if (phase_rank[view_a->phase] != phase_rank[view_b->phase]) {
        return phase_rank[view_a->phase] - phase_rank[view_b->phase];
    }
    if (view_a->is_ready != view_b->is_ready) {
        return view_a->is_ready - view_b->is_ready;
    }
    if (view_a->deletion_cost != view_b->deletion_cost) {
        return view_a->deletion_cost < view_b->deletion_cost ? -1 : 1;
    }
    if (crowd_a != crowd_b) {
        return crowd_b - crowd_a;
    }
    if (view_a->is_ready && view_a->ready_since != view_b->ready_since) {
        return compare_ages(view_a->ready_since, view_b->ready_since, now, a, b);
    }
    if (view_a->restarts != view_b->restarts) {
        return view_b->restarts - view_a->restarts;
    }
    return a->creation != b->creation ? compare_ages(a->creation, b->creation, now, a, b)
                                      : strcmp(a->uid, b->uid);
}

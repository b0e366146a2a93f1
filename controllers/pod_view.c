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

/* What is looked at, found in one pass over the text: of pods there are many events, and a tree of
 * a whole one costs ten times as much. */
enum span {
    SPAN_DELETION_TIMESTAMP,
    SPAN_ANNOTATIONS,
    SPAN_FINALIZERS,
    SPAN_NODE_NAME,
    SPAN_AFFINITY,
    SPAN_HOSTNAME,
    SPAN_SUBDOMAIN,
    SPAN_VOLUMES,
    SPAN_CONTAINERS,
    SPAN_INIT_CONTAINERS,
    SPAN_PHASE,
    SPAN_REASON,
    SPAN_START_TIME,
    SPAN_POD_IP,
    SPAN_POD_IPS,
    SPAN_CONDITIONS,
    SPAN_CONTAINER_STATUSES,
    SPAN_INIT_CONTAINER_STATUSES,
    SPAN_COUNT
};

static const char *const span_paths[SPAN_COUNT] = {
    "metadata.deletionTimestamp",
    "metadata.annotations",
    "metadata.finalizers",
    "spec.nodeName",
    "spec.affinity",
    "spec.hostname",
    "spec.subdomain",
    "spec.volumes",
    "spec.containers",
    "spec.initContainers",
    "status.phase",
    "status.reason",
    "status.startTime",
    "status.podIP",
    "status.podIPs",
    "status.conditions",
    "status.containerStatuses",
    "status.initContainerStatuses",
};

static bool is_text(struct json_span span, const char *text)
{
    size_t length = strlen(text);
    return span.text != NULL && span.text[0] == '"' && span.length == length + 2 &&
           memcmp(span.text + 1, text, length) == 0;
}

/* The caller's; NULL when it is no string. */
static char *string_of(struct json_span span)
{
    return span.text != NULL && span.text[0] == '"' ? json_span_value(span) : NULL;
}

static int int_of(struct json_span span)
{
    return span.text != NULL ? (int)strtol(span.text, NULL, 10) : 0;
}

static int64_t time_of(struct json_span span)
{
    cleanup(free_char)
    char *text = string_of(span);
    int64_t time = 0;
    return text != NULL && timestamp_parse(text, &time) ? time : 0;
}

static enum pod_phase parse_phase(struct json_span phase)
{
    static const char *const names[] = {"Pending", "Running", "Succeeded", "Failed"};
    for (size_t i = 0; i < array_length(names); i++) {
        if (is_text(phase, names[i])) {
            return (enum pod_phase)i;
        }
    }
    return phase.text == NULL ? POD_PENDING : POD_UNKNOWN;
}

static bool look_at_condition(void *argument, struct json_span condition)
{
    static const char *const paths[] = {"type", "status", "reason", "lastTransitionTime"};
    struct pod_view *view = argument;
    struct json_span spans[array_length(paths)];
    json_scan(condition.text, condition.length, paths, array_length(paths), spans);
    if (is_text(spans[0], "Ready")) {
        view->is_ready = is_text(spans[1], "True");
        view->is_unready = is_text(spans[1], "False");
        view->ready_since = time_of(spans[3]);
    }
    if (is_text(spans[0], "DisruptionTarget") && is_text(spans[1], "True") &&
        !is_text(spans[2], "TerminationByKubelet")) {
        view->disrupted_since = time_of(spans[3]);
    }
    return true;
}

static bool count_init_restarts(void *argument, struct json_span container)
{
    struct pod_view *view = argument;
    view->total_restarts += int_of(json_scan_member(container, "restartCount"));
    return true;
}

static bool count_restarts(void *argument, struct json_span container)
{
    struct pod_view *view = argument;
    int restarts = int_of(json_scan_member(container, "restartCount"));
    view->restarts = restarts > view->restarts ? restarts : view->restarts;
    view->total_restarts += restarts;
    return true;
}

static bool look_at_finalizer(void *argument, struct json_span finalizer)
{
    struct pod_view *view = argument;
    view->is_job_tracked = view->is_job_tracked || is_text(finalizer, pod_job_finalizer);
    return true;
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

static const char *pack_span(struct packer *packer, struct json_span span)
{
    cleanup(free_char)
    char *text = string_of(span);
    return pack(packer, text);
}

static bool pack_address(void *argument, struct json_span address)
{
    struct json_span ip = json_scan_member(address, "ip");
    if (ip.length > strlen("\"\"")) {
        pack_span(argument, ip);
    }
    return true;
}

static bool is_there(void *argument, struct json_span element)
{
    (void)element;
    *(bool *)argument = true;
    return false;
}

static const char *pack_addresses(struct packer *packer, const struct json_span *spans)
{
    const char *packed = packer->at;
    bool has_list = false;
    json_scan_elements(spans[SPAN_POD_IPS], is_there, &has_list);
    json_scan_elements(spans[SPAN_POD_IPS], pack_address, packer);
    if (!has_list && spans[SPAN_POD_IP].text != NULL) {
        pack_span(packer, spans[SPAN_POD_IP]);
    }
    pack(packer, "");
    pack(packer, ""); /* So that two NULs end even an empty list. */
    return packed;
}

struct claim_packer {
    struct packer *packer;
    const char *pod;
};

static bool pack_claim(void *argument, struct json_span volume)
{
    static const char *const paths[] = {"persistentVolumeClaim.claimName", "name", "ephemeral"};
    const struct claim_packer *claims = argument;
    struct json_span spans[array_length(paths)];
    json_scan(volume.text, volume.length, paths, array_length(paths), spans);
    cleanup(free_char)
    char *claim = string_of(spans[0]);
    cleanup(free_char)
    char *name = string_of(spans[1]);
    if (claim != NULL && claim[0] != '\0') {
        pack(claims->packer, claim);
    } else if (spans[2].text != NULL && spans[2].text[0] == '{' && name != NULL) {
        cleanup(free_char)
        char *made = format("%s-%s", claims->pod, name);
        pack(claims->packer, made);
    }
    return true;
}

static const char *pack_claims(struct packer *packer, struct json_span volumes, const char *pod)
{
    const char *packed = packer->at;
    struct claim_packer claims = {packer, pod};
    json_scan_elements(volumes, pack_claim, &claims);
    pack(packer, "");
    pack(packer, "");
    return packed;
}

static bool pack_port(void *argument, struct json_span port)
{
    static const char *const paths[] = {"name", "protocol", "containerPort"};
    struct packer *packer = argument;
    struct json_span spans[array_length(paths)];
    json_scan(port.text, port.length, paths, array_length(paths), spans);
    if (spans[0].text == NULL) {
        return true;
    }
    struct pod_port packed = {.name = pack_span(packer, spans[0]),
                              .protocol = spans[1].text != NULL ? pack_span(packer, spans[1])
                                                                : pack(packer, "TCP"),
                              .number = int_of(spans[2])};
    if (packer->ports != NULL) {
        packer->ports[packer->port_count] = packed;
    }
    packer->port_count++;
    return true;
}

static bool pack_ports(void *packer, struct json_span container)
{
    json_scan_elements(json_scan_member(container, "ports"), pack_port, packer);
    return true;
}

static bool pack_ports_of_sidecar(void *packer, struct json_span container)
{
    return !is_text(json_scan_member(container, "restartPolicy"), "Always") ||
           pack_ports(packer, container);
}

static bool has_text(const json_t *object, const char *name, const char *text)
{
    const char *present = json_get_string(object, name);
    return present != NULL && strcmp(present, text) == 0;
}

/* The node that a pod of a DaemonSet is made for, as long as it has none. */
static const char *affine_node(json_t *affinity)
{
    const json_t *terms =
        json_path(affinity, "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution",
                  "nodeSelectorTerms");
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

static const char *pack_affine_node(struct packer *packer, struct json_span affinity)
{
    cleanup(json_release)
    json_t *tree = affinity.text != NULL ? json_parse(affinity.text, affinity.length, NULL) : NULL;
    return pack(packer, affine_node(tree));
}

static void pack_all(struct pod_view *view, struct packer *packer, const struct cached_object *pod,
                     const struct json_span *spans)
{
    bool is_scheduled = spans[SPAN_NODE_NAME].length > strlen("\"\"");
    view->node_name = pack_span(packer, spans[SPAN_NODE_NAME]);
    view->target_node =
        is_scheduled ? view->node_name : pack_affine_node(packer, spans[SPAN_AFFINITY]);
    view->hostname = pack_span(packer, spans[SPAN_HOSTNAME]);
    view->subdomain = pack_span(packer, spans[SPAN_SUBDOMAIN]);
    view->addresses = pack_addresses(packer, spans);
    view->claims = pack_claims(packer, spans[SPAN_VOLUMES], pod->name);
    json_scan_elements(spans[SPAN_CONTAINERS], pack_ports, packer);
    json_scan_elements(spans[SPAN_INIT_CONTAINERS], pack_ports_of_sidecar, packer);
    view->port_count = packer->port_count;
}

static struct pod_view *view_with_room(const struct cached_object *pod,
                                       const struct json_span *spans)
{
    struct pod_view unused;
    struct packer packer = {0};
    pack_all(&unused, &packer, pod, spans);
    size_t head = sizeof unused + packer.port_count * sizeof unused.ports[0];
    struct pod_view *view = allocate_zero(1, head + packer.size);
    packer = (struct packer){.at = (char *)view + head, .ports = view->ports};
    pack_all(view, &packer, pod, spans);
    return view;
}

/* ---- the digest ---- */

static void look_at_annotations(struct pod_view *view, struct json_span annotations)
{
    cleanup(free_char)
    char *cost = string_of(json_scan_member(annotations, deletion_cost_annotation));
    cleanup(free_char)
    char *index = string_of(json_scan_member(annotations, pod_job_index_annotation));
    view->deletion_cost = parse_cost(cost);
    view->job_index = parse_index(index);
}

static void *digest(const struct cached_object *object)
{
    struct json_span spans[SPAN_COUNT];
    json_scan(object->text, object->length, span_paths, SPAN_COUNT, spans);
    struct pod_view *view = view_with_room(object, spans);
    view->is_scheduled = view->node_name[0] != '\0';
    view->phase = parse_phase(spans[SPAN_PHASE]);
    view->is_evicted = view->phase == POD_FAILED && is_text(spans[SPAN_REASON], "Evicted");
    view->start_time = time_of(spans[SPAN_START_TIME]);
    view->deletion_time = time_of(spans[SPAN_DELETION_TIMESTAMP]);
    look_at_annotations(view, spans[SPAN_ANNOTATIONS]);
    json_scan_elements(spans[SPAN_FINALIZERS], look_at_finalizer, view);
    json_scan_elements(spans[SPAN_CONTAINER_STATUSES], count_restarts, view);
    json_scan_elements(spans[SPAN_INIT_CONTAINER_STATUSES], count_init_restarts, view);
    json_scan_elements(spans[SPAN_CONDITIONS], look_at_condition, view);
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

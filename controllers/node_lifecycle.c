// SPDX-License-Identifier: Apache-2.0
/*
 * Node lifecycle: notices nodes that fall silent, and keeps new pods from nodes that are not well.
 *
 * Three kinds of keys. "/pass" is the round over all nodes, every --node-monitor-period: who was
 * not heard of for too long gets its conditions set to Unknown and its pods to not ready; who is
 * not ready waits in its zone for a NoExecute taint, which taint-eviction-controller acts on. While
 * nodes wait it comes again every tenth of a second to see whether one's turn has come. All that is
 * remembered of nodes and zones belongs to this key, and so to one worker at a time.
 *
 * A node's name: its NoSchedule taints and its labels follow its conditions and spec at once. A
 * pod's key: a pod that comes to a node which is not ready is not ready either.
 */
#include <string.h>

#include "common/alloc.h"
#include "common/map.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/condition_patch.h"
#include "controllers/conditions.h"
#include "controllers/controller.h"
#include "controllers/node_view.h"
#include "controllers/node_health.h"
#include "controllers/node_taints.h"
#include "controllers/node_zones.h"
#include "controllers/pod_view.h"
#include "controllers/resources.h"

static const char pass_key[] = "/pass";
static const char no_execute[] = "NoExecute";
enum {
    turn_ms = 100,
    batch_size = 256, /* Trees of so many nodes are there at once; each is large. */
};

/* What is remembered of a node. */
struct record {
    char *uid;
    struct node_health health;
    uint64_t round; /* The last in which it was there. */
};

struct lifecycle {
    struct controller *controller;
    struct informer *nodes, *leases, *pods;
    /* Of the pass: */
    struct map records; /* By node. */
    struct zones *zones;
    uint64_t round;
    int64_t next_round; /* Monotonic. */
};

/* A node in a round. */
struct visit {
    struct cached_object *cached; /* Borrowed. */
    json_t *node;                 /* While its batch is worked on. */
    char *zone;
    struct record *record; /* Borrowed. */
    struct node_verdict verdict;
    bool counts;     /* For the health of its zone. */
    bool is_tainted; /* It has one of the NoExecute taints that are put on here. */
    bool failed;     /* Its status could not be written: nothing follows from it in this round. */
};

/* ---- records ---- */

static void free_record(void *argument)
{
    struct record *record = argument;
    free(record->uid);
    free(record);
}

static void tell(struct lifecycle *state, const char *node, const char *uid, const char *reason,
                 const char *text)
{
    /* As upstream, the uid of an event about a node is the node's. */
    const struct event_target target = {
        .api_version = "v1", .kind = "Node", .name = node, .uid = uid};
    event_record(state->controller->events, &target, "Normal", reason, "Node %s %s", node, text);
}

static struct record *find_record(struct lifecycle *state, const struct cached_object *node)
{
    struct record *record = map_get(&state->records, node->name);
    if (record != NULL && strcmp(record->uid, node->uid) != 0) {
        zones_dequeue(state->zones, node->name);
        free_record(map_remove(&state->records, node->name));
        record = NULL;
    }
    if (record == NULL) {
        record = allocate_struct(struct record);
        record->uid = duplicate(node->uid);
        map_set(&state->records, node->name, record);
        cleanup(free_char)
        char *text = format("event: Registered Node %s in Controller", node->name);
        tell(state, node->name, node->uid, "RegisteredNode", text);
    }
    record->round = state->round;
    return record;
}

/* A map must not change while it is walked: one at a time, and again. */
static const char *find_gone(const struct lifecycle *state)
{
    const char *name;
    void *value;
    for (size_t at = 0; map_next(&state->records, &at, &name, &value);) {
        if (((const struct record *)value)->round != state->round) {
            return name;
        }
    }
    return NULL;
}

static void forget_gone(struct lifecycle *state)
{
    for (const char *gone; (gone = find_gone(state)) != NULL;) {
        cleanup(free_char)
        char *name = duplicate(gone);
        cleanup(free_char)
        char *text = format("event: Removing Node %s from Controller", name);
        struct record *record = map_remove(&state->records, name);
        tell(state, name, record->uid, "RemovingNode", text);
        zones_dequeue(state->zones, name);
        free_record(record);
    }
}

/* ---- observing ---- */

static char *zone_of(const json_t *node)
{
    static const char *const labels[][2] = {
        {"topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"},
        {"topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"},
    };
    const char *values[array_length(labels)];
    const json_t *map = json_path(node, "metadata", "labels");
    for (size_t i = 0; i < array_length(labels); i++) {
        const char *value = json_get_string(map, labels[i][0]);
        value = value != NULL ? value : json_get_string(map, labels[i][1]);
        values[i] = value != NULL ? value : "";
    }
    return format("%s/%s", values[0], values[1]);
}

static int64_t renew_time_of(struct lifecycle *state, const char *node)
{
    cleanup(cached_object_release)
    struct cached_object *lease = informer_get(state->leases, "kube-node-lease", node);
    int64_t time = 0;
    if (lease == NULL) {
        return 0;
    }
    cleanup(free_char)
    char *text = cached_object_value(lease, "spec.renewTime");
    return text != NULL && timestamp_parse(text, &time) ? time : 0;
}

static void observe(struct lifecycle *state, struct visit *visit, const struct node_clock *clock)
{
    visit->node = cached_object_tree(visit->cached);
    visit->zone = zone_of(visit->node);
    visit->counts = json_object_get(json_path(visit->node, "metadata", "labels"),
                                    "node.kubernetes.io/exclude-disruption") == NULL;
    visit->is_tainted = node_taints_has(visit->node, taint_unreachable, no_execute) ||
                        node_taints_has(visit->node, taint_not_ready, no_execute);
    visit->record = find_record(state, visit->cached);
    visit->verdict = node_health_observe(&visit->record->health, visit->node,
                                         renew_time_of(state, visit->cached->name), clock);
}

/* Those that changed, all at once. */
static void write_statuses(struct lifecycle *state, struct visit *visits, size_t count)
{
    struct client_call *calls = allocate_zero(count + 1, sizeof *calls);
    struct visit **written = allocate_zero(count + 1, sizeof(struct visit *));
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (visits[i].verdict.changed) {
            calls[used].request = client_update_request(&resource_nodes, "status", visits[i].node);
            written[used++] = &visits[i];
        }
    }
    client_call_all(state->controller->client, calls, used);
    for (size_t i = 0; i < used; i++) {
        written[i]->failed = calls[i].result == NULL;
        if (!written[i]->failed) {
            node_health_wrote(&written[i]->record->health, written[i]->node);
        }
        json_decref(calls[i].result);
        error_clear(&calls[i].error);
    }
    free(calls);
    free(written);
}

static void count_zones(struct lifecycle *state, const struct visit *visits, size_t count,
                        int64_t now)
{
    zones_begin(state->zones);
    for (size_t i = 0; i < count; i++) {
        zones_count(state->zones, visits[i].zone, visits[i].counts && !visits[i].failed,
                    visits[i].verdict.has_condition && visits[i].verdict.current == NODE_READY,
                    now);
    }
}

/* ---- NoExecute taints ---- */

/* A node that has changed meanwhile is left to the next round. */
static void set_no_execute(struct lifecycle *state, const struct cached_object *cached,
                           const char *add, const char *remove, const char *also_remove)
{
    const struct taint_changes changes = {
        .effect = no_execute, .add = {add}, .remove = {remove, also_remove}};
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(json_release)
    json_t *node = cached_object_tree(cached);
    node_taints_write(state->controller->client, node, &changes, &error);
}

static void clear_no_execute(struct lifecycle *state, const struct visit *visit)
{
    zones_dequeue(state->zones, visit->cached->name);
    if (visit->is_tainted) {
        set_no_execute(state, visit->cached, NULL, taint_unreachable, taint_not_ready);
    }
}

/* By what the node's status said before this round; one taint gives way to the other at once. */
static void decide_taint(struct lifecycle *state, const struct visit *visit)
{
    bool is_unknown = visit->verdict.seen == NODE_UNKNOWN;
    const char *key = is_unknown ? taint_unreachable : taint_not_ready;
    const char *other = is_unknown ? taint_not_ready : taint_unreachable;
    if (visit->verdict.seen == NODE_READY) {
        clear_no_execute(state, visit);
    } else if (visit->is_tainted) {
        set_no_execute(state, visit->cached, key, other, NULL);
    } else {
        zones_enqueue(state->zones, visit->zone, visit->cached->name);
    }
}

/* A node whose turn has come, as it is now. */
static void give_up(struct lifecycle *state, const char *name)
{
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(state->nodes), name);
    if (cached == NULL) {
        return;
    }
    cleanup(json_release)
    json_t *node = cached_object_tree(cached);
    enum node_readiness readiness = node_readiness(node);
    if (readiness == NODE_UNKNOWN) {
        set_no_execute(state, cached, taint_unreachable, taint_not_ready, NULL);
    } else if (readiness == NODE_NOT_READY) {
        set_no_execute(state, cached, taint_not_ready, taint_unreachable, NULL);
    }
}

static void give_up_nodes(struct lifecycle *state)
{
    for (char *name; (name = zones_next(state->zones, timestamp_monotonic())) != NULL;) {
        give_up(state, name);
        free(name);
    }
}

/* ---- pods of nodes that are not ready ---- */

/* Marks those of these pods that are ready, all at once. */
static bool mark_pods(struct lifecycle *state, const struct cached_list *pods)
{
    struct client_call *calls = allocate_zero(pods->count + 1, sizeof *calls);
    struct cached_object **marked = allocate_zero(pods->count + 1, sizeof *marked);
    size_t used = 0;
    bool all = true;
    for (size_t i = 0; i < pods->count; i++) {
        if (pod_view(pods->items[i])->is_ready) {
            calls[used].request = condition_patch_request(&resource_pods, pods->items[i], "Ready",
                                                          "False", NULL, NULL);
            marked[used++] = pods->items[i];
        }
    }
    client_call_all(state->controller->client, calls, used);
    for (size_t i = 0; i < used; i++) {
        bool is_gone = calls[i].error.code == 404;
        all = all && (calls[i].result != NULL || is_gone);
        if (!is_gone) {
            struct event_target target = event_target_of_cached(&resource_pods, marked[i]);
            event_record(state->controller->events, &target, "Warning", "NodeNotReady", "%s",
                         "Node is not ready");
        }
        json_decref(calls[i].result);
        error_clear(&calls[i].error);
    }
    free(calls);
    free(marked);
    return all;
}

static void follow_pods(struct lifecycle *state, struct visit *visit)
{
    const struct node_verdict *verdict = &visit->verdict;
    struct node_health *health = &visit->record->health;
    bool fell = verdict->seen == NODE_READY && verdict->current != NODE_READY;
    if (fell) {
        tell(state, visit->cached->name, visit->cached->uid, "NodeNotReady",
             "status is now: NodeNotReady");
    }
    bool marks = fell || (health->marks_pods && verdict->seen != NODE_READY);
    if (marks) {
        cleanup(cached_list_free)
        struct cached_list pods = CACHED_LIST_INIT;
        indexer_find(informer_indexer(state->pods), "node", visit->cached->name, &pods);
        marks = !mark_pods(state, &pods);
    }
    health->marks_pods = marks;
}

/* ---- the round ---- */

static void follow_zones(struct lifecycle *state, const struct visit *visits, size_t count,
                         int64_t now)
{
    enum zones_event event = zones_end(state->zones, now);
    for (size_t i = 0; i < count && event == ZONES_ALL_FAILED; i++) {
        clear_no_execute(state, &visits[i]);
    }
    for (size_t i = 0; i < count && event == ZONES_RECOVERED; i++) {
        visits[i].record->health.heard = now;
    }
}

static void look_at_batch(struct lifecycle *state, struct visit *visits, size_t count,
                          const struct node_clock *clock)
{
    for (size_t i = 0; i < count; i++) {
        observe(state, &visits[i], clock);
    }
    write_statuses(state, visits, count);
    for (size_t i = 0; i < count; i++) {
        json_decref(steal(visits[i].node));
    }
}

static void follow_all(struct lifecycle *state, struct visit *visits, size_t count, int64_t now)
{
    forget_gone(state);
    count_zones(state, visits, count, now);
    for (size_t i = 0; i < count; i++) {
        if (!visits[i].failed && visits[i].verdict.has_condition) {
            decide_taint(state, &visits[i]);
            follow_pods(state, &visits[i]);
        }
    }
    follow_zones(state, visits, count, now);
}

static void look_at_all(struct lifecycle *state)
{
    const struct controller_settings *settings = state->controller->settings;
    const struct node_clock clock = {.now = timestamp_monotonic(),
                                     .wall = timestamp_now(),
                                     .grace = settings->node_monitor_grace_period,
                                     .startup_grace = settings->node_startup_grace_period};
    cleanup(cached_list_free)
    struct cached_list nodes = CACHED_LIST_INIT;
    indexer_select(informer_indexer(state->nodes), NULL, NULL, &nodes);
    struct visit *visits = allocate_zero(nodes.count + 1, sizeof *visits);
    for (size_t i = 0; i < nodes.count; i++) {
        visits[i].cached = nodes.items[i];
    }
    state->round++;
    for (size_t i = 0; i < nodes.count; i += batch_size) {
        size_t left = nodes.count - i;
        look_at_batch(state, visits + i, left < batch_size ? left : batch_size, &clock);
    }
    follow_all(state, visits, nodes.count, clock.now);
    for (size_t i = 0; i < nodes.count; i++) {
        free(visits[i].zone);
    }
    free(visits);
}

static bool pass(struct lifecycle *state)
{
    int64_t now = timestamp_monotonic();
    if (now >= state->next_round) {
        look_at_all(state);
        state->next_round = now + state->controller->settings->node_monitor_period;
    }
    give_up_nodes(state);
    int64_t left = (state->next_round - timestamp_monotonic()) / 1000000 + 1;
    left = left < 0 ? 0 : left;
    bool soon = zones_waiting(state->zones) && left > turn_ms;
    controller_add_after(state->controller, pass_key, soon ? turn_ms : left);
    return true;
}

/* ---- one node, one pod ---- */

/* The labels that older programs look for; the newer ones say what is true. */
static json_t *missing_labels(const json_t *node)
{
    static const char *const pairs[][2] = {
        {"kubernetes.io/os", "beta.kubernetes.io/os"},
        {"kubernetes.io/arch", "beta.kubernetes.io/arch"},
    };
    const json_t *labels = json_path(node, "metadata", "labels");
    json_t *missing = json_object();
    for (size_t i = 0; i < array_length(pairs); i++) {
        json_t *value = json_object_get(labels, pairs[i][0]);
        if (value != NULL && !json_equal(value, json_object_get(labels, pairs[i][1]))) {
            json_object_set(missing, pairs[i][1], value);
        }
    }
    return missing;
}

static bool sync_node(struct lifecycle *state, const char *name, struct error *error)
{
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(state->nodes), name);
    if (cached == NULL) {
        return true;
    }
    cleanup(json_release)
    json_t *node = cached_object_tree(cached);
    struct taint_changes changes = node_taints_by_condition(node);
    if (!node_taints_write(state->controller->client, node, &changes, error)) {
        return error != NULL && error->code == 404;
    }
    cleanup(json_release)
    json_t *labels = missing_labels(node);
    if (json_object_size(labels) == 0) {
        return true;
    }
    cleanup(json_release)
    json_t *patch = json_pack("{s:{s:s, s:O}}", "metadata", "uid", cached->uid, "labels", labels);
    cleanup(json_release)
    json_t *written = client_patch(state->controller->client, &resource_nodes, NULL, name, NULL,
                                   client_merge_patch, patch, error);
    return written != NULL || (error != NULL && error->code == 404);
}

static bool sync_pod(struct lifecycle *state, const char *key, struct error *error)
{
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    cleanup(cached_object_release)
    struct cached_object *pod = indexer_get(informer_indexer(state->pods), key);
    if (pod == NULL || !pod_view(pod)->is_ready) {
        return true;
    }
    cleanup(cached_object_release)
    struct cached_object *cached =
        indexer_get(informer_indexer(state->nodes), pod_view(pod)->node_name);
    cleanup(json_release)
    json_t *node = cached != NULL ? cached_object_tree(cached) : NULL;
    if (node == NULL || condition_find(json_path(node, "status", "conditions"), "Ready") == NULL ||
        node_readiness(node) == NODE_READY) {
        return true;
    }
    cached_list_add(&pods, pod);
    return mark_pods(state, &pods) || error_internal(error, "the pod could not be marked");
}

static bool sync_key(void *argument, const char *key, struct error *error)
{
    struct lifecycle *state = argument;
    if (strcmp(key, pass_key) == 0) {
        return pass(state);
    }
    return strchr(key, '/') != NULL ? sync_pod(state, key, error) : sync_node(state, key, error);
}

/* ---- life ---- */

static void node_changed(void *argument, const struct cached_object *old,
                         const struct cached_object *new)
{
    struct lifecycle *state = argument;
    (void)old;
    if (new != NULL) {
        controller_add_object(state->controller, new);
    }
}

static void pod_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct lifecycle *state = argument;
    if (new != NULL && pod_view(new)->is_scheduled &&
        (old == NULL || strcmp(pod_view(old)->node_name, pod_view(new)->node_name) != 0)) {
        controller_add_object(state->controller, new);
    }
}

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    const struct controller_settings *settings = controller->settings;
    const struct zone_rates rates = {.normal = settings->node_eviction_rate,
                                     .reduced = settings->secondary_node_eviction_rate,
                                     .unhealthy_threshold = settings->unhealthy_zone_threshold,
                                     .large_size = settings->large_cluster_size_threshold};
    struct lifecycle *state = allocate_struct(struct lifecycle);
    state->controller = controller;
    state->zones = zones_new(&rates);
    state->pods = pod_informer(controller->informers);
    state->nodes = node_informer(controller->informers);
    state->leases = informer_factory_get(controller->informers, &resource_leases, NULL, NULL);
    informer_add_handler(state->nodes, node_changed, state);
    informer_add_handler(state->pods, pod_changed, state);
    controller_add(controller, pass_key);
    return state;
}

static void stop(void *argument)
{
    struct lifecycle *state = argument;
    zones_free(state->zones);
    map_free(&state->records, free_record);
    free(state);
}

const struct controller_type node_lifecycle_controller = {
    .name = "node-lifecycle-controller",
    .alias = "nodelifecycle",
    .account = "node-controller",
    .event_source = "node-controller",
    .workers = 8,
    .start = start,
    .sync = sync_key,
    .stop = stop,
};

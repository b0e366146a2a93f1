// SPDX-License-Identifier: Apache-2.0
/*
 * Pod addresses of nodes: each node gets a block of every range in --cluster-cidr as its
 * spec.podCIDR and spec.podCIDRs.
 *
 * What nodes have is noted as it is seen, before any worker starts, so that nothing is given out
 * twice. A block is given to a node's name first and written then: when nobody knows whether the
 * write took effect, the same block is written again. It is given back when the node is gone.
 *
 * One worker: blocks are given out in the order in which nodes came, and a node waits for none.
 */
#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/map.h"
#include "controllers/all.h"
#include "controllers/cidr_set.h"
#include "controllers/controller.h"
#include "controllers/node_view.h"
#include "controllers/resources.h"

enum { families_max = 2 };

/* What a node has, one range a family. */
struct holding {
    size_t count;
    struct cidr ranges[families_max];
};

struct ipam {
    struct controller *controller;
    struct informer *nodes;
    size_t set_count; /* 0: no ranges are to be given out. */
    pthread_mutex_t lock;
    /* With the lock: */
    struct cidr_set *sets[families_max];
    struct map holdings; /* By node: struct holding. */
    bool is_starved;     /* Some node got none. */
};

/* ---- what nodes have ---- */

static bool add_range(void *argument, struct json_span value)
{
    struct holding *holding = argument;
    cleanup(free_char)
    char *text = json_span_value(value);
    if (holding->count < families_max && cidr_parse(text, &holding->ranges[holding->count])) {
        holding->count++;
    }
    return true;
}

static struct holding holding_of(const struct cached_object *node)
{
    static const char *const path[] = {"spec.podCIDRs"};
    struct holding holding = {0};
    struct json_span ranges;
    json_scan(node->text, node->length, path, 1, &ranges);
    if (ranges.text != NULL) {
        json_scan_elements(ranges, add_range, &holding);
    }
    return holding;
}

static bool same_holding(const struct holding *a, const struct holding *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        same = a->ranges[i].first == b->ranges[i].first && a->ranges[i].bits == b->ranges[i].bits &&
               a->ranges[i].prefix == b->ranges[i].prefix;
    }
    return same;
}

/* Tells every set, for each looks only at its own family. With the lock. */
static void apply(struct ipam *ipam, const struct holding *holding,
                  bool (*change)(struct cidr_set *set, const struct cidr *range))
{
    for (size_t i = 0; i < holding->count; i++) {
        for (size_t n = 0; n < ipam->set_count; n++) {
            change(ipam->sets[n], &holding->ranges[i]); /* False: addresses of nobody's range. */
        }
    }
}

/* With the lock. */
static void release(struct ipam *ipam, const char *node)
{
    struct holding *old = map_remove(&ipam->holdings, node);
    if (old != NULL) {
        apply(ipam, old, cidr_set_release);
        free(old);
    }
}

/* With the lock. */
static void hold(struct ipam *ipam, const char *node, const struct holding *holding)
{
    struct holding *kept = allocate_struct(struct holding);
    *kept = *holding;
    apply(ipam, kept, cidr_set_occupy);
    release(ipam, node);
    map_set(&ipam->holdings, node, kept);
}

static void node_changed(void *argument, const struct cached_object *old,
                         const struct cached_object *new)
{
    struct ipam *ipam = argument;
    struct holding holding = {0};
    if (new != NULL) {
        holding = holding_of(new);
    }
    if (holding.count > 0) {
        pthread_mutex_lock(&ipam->lock);
        const struct holding *known = map_get(&ipam->holdings, new->name);
        if (known == NULL || !same_holding(known, &holding)) {
            hold(ipam, new->name, &holding);
        }
        pthread_mutex_unlock(&ipam->lock);
    } else {
        controller_add_object(ipam->controller, new != NULL ? new : old);
    }
}

/* ---- giving ---- */

/* The node's ranges, which may be those of an earlier try. False when one is exhausted. */
static bool reserve(struct ipam *ipam, const char *node, struct holding *holding)
{
    pthread_mutex_lock(&ipam->lock);
    const struct holding *known = map_get(&ipam->holdings, node);
    bool reserved = true;
    *holding = known != NULL ? *known : (struct holding){0};
    while (known == NULL && reserved && holding->count < ipam->set_count) {
        reserved = cidr_set_allocate(ipam->sets[holding->count], &holding->ranges[holding->count]);
        holding->count += reserved;
    }
    if (!reserved) {
        apply(ipam, holding, cidr_set_release);
        ipam->is_starved = true;
    } else if (known == NULL) {
        struct holding *kept = allocate_struct(struct holding);
        *kept = *holding;
        map_set(&ipam->holdings, node, kept);
    }
    pthread_mutex_unlock(&ipam->lock);
    return reserved;
}

static bool write_ranges(struct ipam *ipam, const struct cached_object *node,
                         const struct holding *holding, struct error *error)
{
    cleanup(json_release)
    json_t *ranges = json_array();
    for (size_t i = 0; i < holding->count; i++) {
        char text[CIDR_TEXT_SIZE];
        cidr_format(&holding->ranges[i], text);
        json_array_append_new(ranges, json_string(text));
    }
    /* The uid refuses a namesake that was made meanwhile; it comes as a key of its own. */
    cleanup(json_release)
    json_t *patch = json_pack("{s:{s:s}, s:{s:O, s:O}}", "metadata", "uid", node->uid, "spec",
                              "podCIDR", json_array_get(ranges, 0), "podCIDRs", ranges);
    cleanup(json_release)
    json_t *written = client_patch(ipam->controller->client, &resource_nodes, NULL, node->name,
                                   NULL, client_strategic_merge_patch, patch, error);
    return written != NULL;
}

static void tell(struct ipam *ipam, const struct cached_object *node, const char *status)
{
    struct event_target target = event_target_of_cached(&resource_nodes, node);
    event_record(ipam->controller->events, &target, "Normal", status, "Node %s status is now: %s",
                 node->name, status);
}

/* A node is gone: its ranges are free, and who waits for some comes again. */
static void give_back(struct ipam *ipam, const char *node)
{
    pthread_mutex_lock(&ipam->lock);
    release(ipam, node);
    bool was_starved = ipam->is_starved;
    ipam->is_starved = false;
    pthread_mutex_unlock(&ipam->lock);
    cleanup(cached_list_free)
    struct cached_list nodes = CACHED_LIST_INIT;
    if (was_starved) {
        indexer_select(informer_indexer(ipam->nodes), NULL, NULL, &nodes);
    }
    for (size_t i = 0; i < nodes.count; i++) {
        if (holding_of(nodes.items[i]).count == 0) {
            controller_add_object(ipam->controller, nodes.items[i]);
        }
    }
}

static bool sync_node_ranges(void *argument, const char *key, struct error *error)
{
    struct ipam *ipam = argument;
    cleanup(cached_object_release)
    struct cached_object *node = indexer_get(informer_indexer(ipam->nodes), key);
    if (node == NULL) {
        give_back(ipam, key);
        return true;
    }
    struct holding holding;
    if (ipam->set_count == 0 || holding_of(node).count > 0) {
        return true;
    }
    if (!reserve(ipam, key, &holding)) {
        tell(ipam, node, "CIDRNotAvailable");
        return error_internal(error, "no block of --cluster-cidr is left for node %s", key);
    }
    if (!write_ranges(ipam, node, &holding, error)) {
        tell(ipam, node, "CIDRAssignmentFailed");
        return false;
    }
    return true;
}

/* ---- life ---- */

static int block_prefix(const struct controller_settings *settings, const struct cidr *range)
{
    int64_t own = range->bits == 128 ? settings->node_cidr_mask_size_ipv6
                                     : settings->node_cidr_mask_size_ipv4;
    return (int)(own != 0                             ? own
                 : settings->node_cidr_mask_size != 0 ? settings->node_cidr_mask_size
                 : range->bits == 128                 ? 64
                                                      : 24);
}

/* One range of the list; those of services are never given to pods. */
static bool add_set(struct ipam *ipam, const char *text, struct error *error)
{
    const struct controller_settings *settings = ipam->controller->settings;
    struct cidr range, services;
    if (ipam->set_count == families_max || !cidr_parse(text, &range)) {
        return error_bad_request(error, "--cluster-cidr: %s is not one of at most two ranges",
                                 text);
    }
    struct cidr_set *set = cidr_set_new(&range, block_prefix(settings, &range), error);
    if (set == NULL) {
        return false;
    }
    if (cidr_parse(settings->service_cluster_ip_range, &services)) {
        cidr_set_occupy(set, &services);
    }
    ipam->sets[ipam->set_count++] = set;
    return true;
}

static bool add_sets(struct ipam *ipam, const char *list, struct error *error)
{
    bool added = true;
    while (added && *list != '\0') {
        size_t length = strcspn(list, ",");
        cleanup(free_char)
        char *text = duplicate_bytes(list, length);
        added = add_set(ipam, text, error);
        list += length + (list[length] == ',');
    }
    return added;
}

static void stop(void *argument)
{
    struct ipam *ipam = argument;
    for (size_t i = 0; i < ipam->set_count; i++) {
        cidr_set_free(ipam->sets[i]);
    }
    map_free(&ipam->holdings, free);
    pthread_mutex_destroy(&ipam->lock);
    free(ipam);
}

static void *start(struct controller *controller, struct error *error)
{
    struct ipam *ipam = allocate_struct(struct ipam);
    ipam->controller = controller;
    pthread_mutex_init(&ipam->lock, NULL);
    if (controller->settings->allocate_node_cidrs &&
        !add_sets(ipam, controller->settings->cluster_cidr, error)) {
        stop(ipam);
        return NULL;
    }
    ipam->nodes = node_informer(controller->informers);
    informer_add_handler(ipam->nodes, node_changed, ipam);
    return ipam;
}

const struct controller_type node_ipam_controller = {
    .name = "node-ipam-controller",
    .alias = "nodeipam",
    .account = "node-controller",
    .event_source = "cidrAllocator",
    .workers = 1,
    .start = start,
    .sync = sync_node_ranges,
    .stop = stop,
};

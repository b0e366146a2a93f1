// SPDX-License-Identifier: Apache-2.0
#include "scheduler/node_cache.h"

#include <string.h>

#include "common/alloc.h"
#include "common/quantity.h"
#include "common/selector.h"
#include "scheduler/affinity.h"
#include "scheduler/node_images.h"
#include "scheduler/nominations.h"
#include "scheduler/pod_volumes.h"
#include "scheduler/spread_constraints.h"

static const char zone_label[] = "topology.kubernetes.io/zone";

/* ---- life ---- */

struct node_cache *node_cache_new(void)
{
    struct node_cache *cache = allocate_struct(struct node_cache);
    cache->freed = cache->changed = 1; /* 0 is "never". */
    cache->volumes = volumes_new();
    cache->pods.borrows_keys = true;
    cache->nominations.borrows_keys = true;
    return cache;
}

static void clear_object(struct node *node)
{
    json_decref(node->labels);
    json_decref(node->taints);
    node->labels = node->taints = NULL;
    resource_amounts_clear(&node->allocatable);
}

static void node_free(struct node *node)
{
    clear_object(node);
    resource_amounts_clear(&node->requested);
    resource_amounts_clear(&node->assumed);
    for (size_t i = 0; i < node->port_count; i++) {
        free(node->ports[i].address);
    }
    free(node->ports);
    free(node->volume_users);
    free(node->images);
    free(node->name);
    free(node);
}

static void placed_free(void *argument)
{
    struct placed_pod *placed = argument;
    pod_class_unref(placed->class);
    free(placed->key);
    free(placed->uid);
    free(placed);
}

static void group_free(void *argument)
{
    struct spread_group *group = argument;
    for (size_t i = 0; i < group->selector_count; i++) {
        selector_free(group->selectors[i]);
    }
    free(group->selectors);
    free(group->counts);
    free(group->namespace);
    free(group->key);
    free(group);
}

void node_cache_free(struct node_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (size_t i = 0; i < cache->node_slots; i++) {
        if (cache->nodes[i] != NULL) {
            node_free(cache->nodes[i]);
        }
    }
    for (size_t i = 0; i < cache->zone_count; i++) {
        free(cache->zones[i]);
    }
    free(cache->zones);
    free(cache->nodes);
    map_free(&cache->nodes_by_name, NULL);
    nominations_clear(cache);
    map_free(&cache->pods, placed_free);
    map_free(&cache->groups, group_free);
    affinity_free_all(cache);
    node_images_free(cache);
    volumes_free(cache->volumes);
    free(cache);
}

/* ---- nodes ---- */

/* A free place in the array, so that indexes stay small. */
static uint32_t free_slot(struct node_cache *cache)
{
    for (size_t i = 0; i < cache->node_slots; i++) {
        if (cache->nodes[i] == NULL) {
            return (uint32_t)i;
        }
    }
    cache->nodes =
        grow(cache->nodes, cache->node_slots, &cache->node_capacity, sizeof(struct node *));
    cache->nodes[cache->node_slots] = NULL;
    return (uint32_t)cache->node_slots++;
}

struct node *node_cache_node(struct node_cache *cache, const char *name)
{
    struct node *node = map_get(&cache->nodes_by_name, name);
    if (node == NULL) {
        node = allocate_struct(struct node);
        node->usage = 1;
        node->name = duplicate(name);
        node->index = free_slot(cache);
        node->generation = ++cache->next_generation;
        node->zone = -1;
        cache->nodes[node->index] = node;
        map_set(&cache->nodes_by_name, name, node);
    }
    return node;
}

void node_cache_drop_if_empty(struct node_cache *cache, struct node *node)
{
    if (!node->exists && node->pod_count == 0 && node->nominated == NULL) {
        cache->nodes[node->index] = NULL;
        map_remove(&cache->nodes_by_name, node->name);
        node_free(node);
    }
}

/* A number for the node's zone; -1 when its labels name none. */
static int zone_of(struct node_cache *cache, const json_t *labels)
{
    const char *zone = json_get_string(labels, zone_label);
    if (zone == NULL) {
        return -1;
    }
    for (size_t i = 0; i < cache->zone_count; i++) {
        if (strcmp(cache->zones[i], zone) == 0) {
            return (int)i;
        }
    }
    cache->zones = grow(cache->zones, cache->zone_count, &cache->zone_capacity, sizeof(char *));
    cache->zones[cache->zone_count] = duplicate(zone);
    return (int)cache->zone_count++;
}

static bool same_amounts(const struct resource_amounts *a, const struct resource_amounts *b)
{
    if (a->milli_cpu != b->milli_cpu || a->memory != b->memory ||
        a->ephemeral_storage != b->ephemeral_storage || a->extended_count != b->extended_count) {
        return false;
    }
    for (uint32_t i = 0; i < a->extended_count; i++) {
        if (resource_amounts_extended(b, a->extended[i].name) != a->extended[i].value) {
            return false;
        }
    }
    return true;
}

static int64_t count_in(const json_t *list, const char *name)
{
    struct quantity quantity;
    const char *text = json_get_string(list, name);
    return text != NULL && quantity_parse(text, &quantity) ? quantity_value(&quantity) : 0;
}

static bool equal_or_absent(const json_t *a, const json_t *b)
{
    return (a == NULL && b == NULL) || (a != NULL && b != NULL && json_equal(a, b));
}

bool node_cache_put_node(struct node_cache *cache, const json_t *object)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const json_t *spec = json_object_get(object, "spec");
    const json_t *list = json_path(object, "status", "allocatable");
    struct node *node = node_cache_node(cache, json_get_string(metadata, "name"));
    struct resource_amounts allocatable = RESOURCE_AMOUNTS_INIT;
    json_t *labels = json_object_get(metadata, "labels"), *taints = json_object_get(spec, "taints");
    bool is_unschedulable = json_get_bool(spec, "unschedulable", false);
    int64_t allowed_pods = count_in(list, "pods");
    resource_amounts_add_list(&allocatable, list);
    resource_amounts_limit(&allocatable, RESOURCE_AMOUNT_MAX - 1);
    if (node->exists && node->is_unschedulable == is_unschedulable &&
        node->allowed_pods == allowed_pods && same_amounts(&node->allocatable, &allocatable) &&
        equal_or_absent(node->labels, labels) && equal_or_absent(node->taints, taints)) {
        resource_amounts_clear(&allocatable);
        return false; /* A heartbeat. */
    }
    clear_object(node);
    cache->node_count += !node->exists;
    node->exists = true;
    node->generation = ++cache->next_generation;
    node->labels = json_incref(labels);
    node->taints = json_incref(taints);
    node->is_unschedulable = is_unschedulable;
    node->allocatable = allocatable;
    node->allowed_pods = allowed_pods;
    node->zone = zone_of(cache, labels);
    node->has_hostname = json_get_string(labels, "kubernetes.io/hostname") != NULL;
    affinity_node_changed(cache, node);
    cache->changed++;
    cache->freed++;
    return true;
}

void node_cache_remove_node(struct node_cache *cache, const char *name)
{
    struct node *node = map_get(&cache->nodes_by_name, name);
    if (node != NULL && node->exists) {
        clear_object(node);
        node->exists = false;
        node->zone = -1;
        node_images_put(cache, node, "", 0);
        node->generation = ++cache->next_generation;
        affinity_node_changed(cache, node);
        cache->node_count--;
        cache->changed++;
        cache->freed++; /* What failed is to be told differently now. */
        node_cache_drop_if_empty(cache, node);
    }
}

/* ---- pods on nodes ---- */

static void use_port(struct node *node, const struct host_port *port, int change)
{
    for (size_t i = 0; i < node->port_count; i++) {
        struct used_port *used = &node->ports[i];
        if (used->port == port->port && strcmp(used->protocol, port->protocol) == 0 &&
            strcmp(used->address, port->address) == 0) { // NOLINT(clang-analyzer-unix.Malloc)
            used->count += change;
            if (used->count <= 0) {
                free(used->address);
                *used = node->ports[--node->port_count];
            }
            return;
        }
    }
    if (change > 0) {
        node->ports =
            grow(node->ports, node->port_count, &node->port_capacity, sizeof *node->ports);
        node->ports[node->port_count++] =
            (struct used_port){port->protocol, duplicate(port->address), port->port, 1};
    }
}

static void count_in_group(struct spread_group *group, const struct node *node, int change)
{
    if (node->index >= group->count_capacity) {
        size_t capacity = (node->index + 16) * 2;
        group->counts = reallocate(group->counts, capacity * sizeof *group->counts);
        memset(group->counts + group->count_capacity, 0,
               (capacity - group->count_capacity) * sizeof *group->counts);
        group->count_capacity = capacity;
    }
    group->counts[node->index] += (uint32_t)change;
}

static void count_in_groups(const struct placed_pod *placed, int change)
{
    for (size_t i = 0; i < placed->class->group_count && !placed->is_deleting; i++) {
        count_in_group(placed->class->groups[i], placed->node, change);
    }
}

static void list_on_node(struct placed_pod *placed)
{
    struct node *node = placed->node;
    placed->next = node->pods;
    if (placed->next != NULL) {
        placed->next->previous = placed;
    }
    node->pods = placed;
}

static void unlist(struct placed_pod *placed)
{
    *(placed->previous != NULL ? &placed->previous->next : &placed->node->pods) = placed->next;
    if (placed->next != NULL) {
        placed->next->previous = placed->previous;
    }
}

void node_cache_imagine(struct node *node, const struct pod_class *class, int change)
{
    resource_amounts_add(&node->requested, &class->requests, change);
    resource_amounts_add(&node->assumed, &class->assumed, change);
    node->usage += node->usage == UINT32_MAX ? 2 : 1;
    node->pod_count += change;
    for (size_t i = 0; i < class->host_port_count; i++) {
        use_port(node, &class->host_ports[i], change);
    }
    if (class->volumes != NULL) {
        pod_volumes_count(node, class, change);
    }
}

static void take_up(struct placed_pod *placed, int sign)
{
    node_cache_imagine(placed->node, placed->class, sign);
    count_in_groups(placed, sign);
    affinity_count_pod(placed, sign);
}

static void unplace(struct node_cache *cache, const char *key, struct placed_pod *placed)
{
    struct node *node = placed->node;
    map_remove(&cache->pods, key);
    take_up(placed, -1);
    unlist(placed);
    placed_free(placed);
    node_cache_drop_if_empty(cache, node);
    cache->changed++;
    cache->freed++;
}

static bool is_awaited(const struct placed_pod *placed)
{
    for (size_t i = 0; i < placed->class->group_count && !placed->is_deleting; i++) {
        if (placed->class->groups[i]->awaited > 0) {
            return true;
        }
    }
    for (size_t i = 0; i < placed->class->set_count; i++) {
        if (placed->class->sets[i]->awaited > 0) {
            return true;
        }
    }
    return false;
}

bool node_cache_place(struct node_cache *cache, const char *key, const char *uid,
                      struct pod_class *class, const char *node_name, bool is_assumed,
                      bool is_deleting)
{
    struct placed_pod *placed = map_get(&cache->pods, key);
    if (placed != NULL && placed->class == class && placed->is_deleting == is_deleting &&
        strcmp(placed->uid, uid) == 0 && strcmp(placed->node->name, node_name) == 0) {
        placed->is_assumed = placed->is_assumed && is_assumed;
        return false;
    }
    bool is_move = placed != NULL;
    pod_class_ref(class);
    if (is_move) {
        unplace(cache, key, placed);
    }
    node_cache_know_class(cache, class);
    placed = allocate_struct(struct placed_pod);
    *placed = (struct placed_pod){.class = class,
                                  .node = node_cache_node(cache, node_name),
                                  .key = duplicate(key),
                                  .uid = duplicate(uid),
                                  .is_assumed = is_assumed,
                                  .is_deleting = is_deleting};
    map_set(&cache->pods, placed->key, placed);
    cache->changed++;
    list_on_node(placed);
    take_up(placed, 1);
    if (is_awaited(placed)) {
        cache->joined++;
        cache->freed++;
    }
    return is_move;
}

bool node_cache_unplace(struct node_cache *cache, const char *key, const char *uid)
{
    struct placed_pod *placed = map_get(&cache->pods, key);
    if (placed == NULL || (uid != NULL && strcmp(placed->uid, uid) != 0)) {
        return false;
    }
    unplace(cache, key, placed);
    return true;
}

struct placed_pod *node_cache_find_pod(const struct node_cache *cache, const char *key)
{
    return map_get(&cache->pods, key);
}

/* ---- groups ---- */

static bool is_in_group(const struct spread_group *group, const struct pod_class *class)
{
    if (strcmp(group->namespace, class->namespace) != 0) {
        return false;
    }
    for (size_t i = 0; i < group->selector_count; i++) {
        if (!selector_matches_object(group->selectors[i], class->labels)) {
            return false;
        }
    }
    return true;
}

static void join_group(struct pod_class *class, struct spread_group *group)
{
    class->groups = grow(class->groups, class->group_count, &class->group_capacity,
                         sizeof(struct spread_group *));
    class->groups[class->group_count++] = group;
}

static void join_if_matching(struct pod_class *class, void *argument)
{
    struct spread_group *group = argument;
    if (class->is_known && is_in_group(group, class)) {
        join_group(class, group);
    }
}

static bool belongs(const struct pod_class *class, const struct spread_group *group)
{
    for (size_t i = 0; i < class->group_count; i++) {
        if (class->groups[i] == group) {
            return true;
        }
    }
    return false;
}

struct spread_group *node_cache_group(struct node_cache *cache, const char *namespace,
                                      const char *key, struct selector **selectors, size_t count)
{
    struct spread_group *group = map_get(&cache->groups, key);
    if (group != NULL) {
        for (size_t i = 0; i < count; i++) {
            selector_free(selectors[i]);
        }
        free(selectors);
        group->references++;
        return group;
    }
    group = allocate_struct(struct spread_group);
    *group = (struct spread_group){.key = duplicate(key),
                                   .namespace = duplicate(namespace),
                                   .selectors = selectors,
                                   .selector_count = count,
                                   .references = 1};
    map_set(&cache->groups, key, group);
    pod_classes_each(join_if_matching, group);
    const char *pod_key;
    void *value;
    for (size_t at = 0; map_next(&cache->pods, &at, &pod_key, &value);) {
        const struct placed_pod *placed = value;
        if (!placed->is_deleting && belongs(placed->class, group)) {
            count_in_group(group, placed->node, 1);
        }
    }
    return group;
}

static void leave_group(struct pod_class *class, void *argument)
{
    for (size_t i = 0; i < class->group_count; i++) {
        if (class->groups[i] == argument) {
            class->groups[i] = class->groups[--class->group_count];
            return;
        }
    }
}

void node_cache_group_unref(struct node_cache *cache, struct spread_group *group)
{
    if (group != NULL && --group->references == 0) {
        pod_classes_each(leave_group, group);
        map_remove(&cache->groups, group->key);
        group_free(group);
    }
}

void node_cache_know_class(struct node_cache *cache, struct pod_class *class)
{
    const char *key;
    void *value;
    if (class->is_known) {
        return;
    }
    class->is_known = true;
    for (size_t at = 0; map_next(&cache->groups, &at, &key, &value);) {
        if (is_in_group(value, class)) {
            join_group(class, value);
        }
    }
    affinity_know_class(cache, class);
    if (class->volumes != NULL) {
        pod_volumes_know(cache->volumes, class->volumes);
    }
}

void node_cache_forget_class(struct node_cache *cache, struct pod_class *class)
{
    node_cache_group_unref(cache, steal(class->group));
    spread_constraints_free(cache, steal(class->spread));
    affinity_forget_class(cache, class);
    pod_volumes_forget(cache->volumes, class->volumes);
}

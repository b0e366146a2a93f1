// SPDX-License-Identifier: Apache-2.0
#include "controllers/endpoints_pack.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/map.h"

/* One number of one of the service's ports, and the pods that have it. */
struct port_set {
    size_t port;
    int number;
    size_t *members; /* Positions among the sorted pods, rising. */
    size_t count, capacity;
    uint64_t hash; /* Of the members. */
    size_t leader; /* The first set with the same members, which has the subset. */
    size_t ready;  /* Members that are ready; only of leaders, as are those below. */
    size_t ready_max, not_ready_max; /* How many are told. */
};

struct port_sets {
    struct port_set *items;
    size_t count, capacity;
};

static int compare_pods(const void *a, const void *b)
{
    const struct endpoints_pod *first = a, *second = b;
    int order = strcmp(first->ip, second->ip);
    return order != 0 ? order : strcmp(first->uid, second->uid);
}

/* ---- which pods have which port ---- */

static struct port_set *set_of(struct port_sets *sets, size_t first, size_t port, int number)
{
    for (size_t i = first; i < sets->count; i++) {
        if (sets->items[i].number == number) {
            return &sets->items[i];
        }
    }
    sets->items = grow(sets->items, sets->count, &sets->capacity, sizeof *sets->items);
    struct port_set *set = &sets->items[sets->count++];
    *set = (struct port_set){.port = port, .number = number};
    return set;
}

static void add_member(struct port_set *set, size_t pod, bool is_ready)
{
    set->members = grow(set->members, set->count, &set->capacity, sizeof *set->members);
    set->members[set->count++] = pod;
    set->ready += is_ready;
}

static void collect(struct port_sets *sets, const struct endpoints_pod *pods, size_t count,
                    size_t port_count)
{
    for (size_t port = 0; port < port_count; port++) {
        size_t first = sets->count;
        for (size_t i = 0; i < count; i++) {
            if (pods[i].numbers[port] != 0) {
                add_member(set_of(sets, first, port, pods[i].numbers[port]), i, pods[i].is_ready);
            }
        }
    }
    if (port_count == 0 && count > 0) {
        struct port_set *set = set_of(sets, 0, 0, 0);
        for (size_t i = 0; i < count; i++) {
            add_member(set, i, pods[i].is_ready);
        }
    }
}

static void find_leaders(struct port_sets *sets)
{
    for (size_t i = 0; i < sets->count; i++) {
        struct port_set *set = &sets->items[i];
        set->hash = hash_bytes(set->members, set->count * sizeof *set->members);
        set->leader = i;
        for (size_t n = 0; n < i && set->leader == i; n++) {
            const struct port_set *other = &sets->items[n];
            if (other->hash == set->hash && other->count == set->count &&
                memcmp(other->members, set->members, set->count * sizeof *set->members) == 0) {
                set->leader = n;
            }
        }
        set->ready_max = set->ready;
        set->not_ready_max = set->count - set->ready;
    }
}

/* ---- too many ---- */

/* A subset's share of the room, rounded up, of what room is left. */
static size_t share_of(size_t own, size_t total, size_t room, size_t *left)
{
    size_t share = total > 0 ? (own * room + total - 1) / total : 0;
    share = share < *left ? share : *left;
    share = share < own ? share : own;
    *left -= share;
    return share;
}

static bool truncate_sets(struct port_sets *sets, size_t max)
{
    size_t ready = 0, not_ready = 0;
    for (size_t i = 0; i < sets->count; i++) {
        if (sets->items[i].leader == i) {
            ready += sets->items[i].ready_max;
            not_ready += sets->items[i].not_ready_max;
        }
    }
    if (ready + not_ready <= max) {
        return false;
    }
    bool ready_too = ready > max;
    size_t room = ready_too ? max : max - ready, left = room;
    for (size_t i = 0; i < sets->count; i++) {
        struct port_set *set = &sets->items[i];
        if (set->leader != i) {
            continue;
        }
        if (ready_too) {
            set->ready_max = share_of(set->ready_max, ready, room, &left);
            set->not_ready_max = 0;
        } else {
            set->not_ready_max = share_of(set->not_ready_max, not_ready, room, &left);
        }
    }
    return true;
}

/* ---- JSON ---- */

static json_t *address_json(const struct endpoints_pod *pod)
{
    if (pod->address != NULL) {
        return json_incref(pod->address);
    }
    json_t *address =
        json_pack("{s:s, s:{s:s, s:s, s:s, s:s}}", "ip", pod->ip, "targetRef", "kind", "Pod",
                  "namespace", pod->namespace, "name", pod->name, "uid", pod->uid);
    if (pod->hostname[0] != '\0') {
        json_object_set_new(address, "hostname", json_string(pod->hostname));
    }
    if (pod->node[0] != '\0') {
        json_object_set_new(address, "nodeName", json_string(pod->node));
    }
    return address;
}

static void set_addresses(json_t *subset, const char *name, const struct port_set *set,
                          const struct endpoints_pod *pods, bool is_ready, size_t max)
{
    json_t *addresses = json_array();
    for (size_t i = 0; i < set->count && json_array_size(addresses) < max; i++) {
        const struct endpoints_pod *pod = &pods[set->members[i]];
        if (pod->is_ready == is_ready) {
            json_array_append_new(addresses, address_json(pod));
        }
    }
    if (json_array_size(addresses) > 0) {
        json_object_set(subset, name, addresses);
    }
    json_decref(addresses);
}

static json_t *port_json(const json_t *service_port, int number)
{
    const char *name = json_get_string(service_port, "name");
    const char *protocol = json_get_string(service_port, "protocol");
    json_t *application = json_object_get(service_port, "appProtocol");
    json_t *port =
        json_pack("{s:i, s:s}", "port", number, "protocol", protocol != NULL ? protocol : "TCP");
    if (name != NULL && name[0] != '\0') {
        json_object_set_new(port, "name", json_string(name));
    }
    if (application != NULL) {
        json_object_set(port, "appProtocol", application);
    }
    return port;
}

static json_t *subset_json(const struct port_sets *sets, size_t leader,
                           const struct endpoints_pod *pods, const json_t *service_ports)
{
    const struct port_set *set = &sets->items[leader];
    json_t *subset = json_object();
    set_addresses(subset, "addresses", set, pods, true, set->ready_max);
    set_addresses(subset, "notReadyAddresses", set, pods, false, set->not_ready_max);
    json_t *ports = json_array();
    for (size_t i = leader; i < sets->count; i++) {
        const struct port_set *other = &sets->items[i];
        if (other->leader == leader && other->number > 0) {
            json_array_append_new(
                ports, port_json(json_array_get(service_ports, other->port), other->number));
        }
    }
    if (json_array_size(ports) > 0) {
        json_object_set(subset, "ports", ports);
    }
    json_decref(ports);
    return subset;
}

json_t *endpoints_pack(struct endpoints_pod *pods, size_t count, const json_t *ports, size_t max,
                       bool *truncated)
{
    struct port_sets sets = {0};
    if (count > 1) {
        qsort(pods, count, sizeof *pods, compare_pods);
    }
    collect(&sets, pods, count, json_array_size(ports));
    find_leaders(&sets);
    *truncated = truncate_sets(&sets, max);
    json_t *subsets = json_array();
    for (size_t i = 0; i < sets.count; i++) {
        const struct port_set *set = &sets.items[i];
        if (set->leader == i && set->ready_max + set->not_ready_max > 0) {
            json_array_append_new(subsets, subset_json(&sets, i, pods, ports));
        }
    }
    for (size_t i = 0; i < sets.count; i++) {
        free(sets.items[i].members);
    }
    free(sets.items);
    return subsets;
}

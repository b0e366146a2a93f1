// SPDX-License-Identifier: Apache-2.0
/*
 * Topologies: which domain each node is in by the value of a label, and numbers kept for each
 * domain. A topology is shared by all who count by its key, and follows the nodes: each of them is
 * looked up when it changes, not when a pod is scheduled.
 *
 * Threads: everything here is guarded by the scheduler's lock.
 */
#ifndef SCHEDULER_TOPOLOGY_H
#define SCHEDULER_TOPOLOGY_H

#include "common/map.h"

struct node;

struct topology {
    char *key;
    size_t references;
    int32_t *domains; /* Of the nodes, by their index; -1: in none, as all beyond the capacity. */
    size_t domain_capacity;
    struct map values;                 /* struct topology_domain by the label's value. */
    struct topology_domain **numbered; /* By number; NULL: free. */
    size_t count, capacity;
};

/* Without nodes. */
struct topology *topology_new(const char *key);
void topology_free(struct topology *topology);

/* The node has been made, changed or is about to go: whether that puts it into another domain. */
bool topology_is_outdated(const struct topology *topology, const struct node *node);
void topology_update(struct topology *topology, const struct node *node);

/* The number of the domain of the node with this index; -1: it is in none. */
static inline int32_t topology_domain(const struct topology *topology, uint32_t node_index)
{
    return node_index < topology->domain_capacity ? topology->domains[node_index] : -1;
}

/* ---- tallies ---- */

/* A number for each domain, most of them 0: open addressing by the domain's number, which is small,
 * so that they rarely collide. */
struct tally_slot {
    uint32_t domain; /* Plus one; 0: free. */
    int64_t value;
};

struct tally {
    struct tally_slot *slots;
    uint32_t size, used; /* Slots in all (a power of two or 0), and those that have a domain. */
    uint32_t present;    /* Domains whose value is not 0. */
};

void tally_add(struct tally *tally, int32_t domain, int64_t change);
void tally_clear(struct tally *tally);

static inline int64_t tally_get(const struct tally *tally, int32_t domain)
{
    if (tally->present == 0) {
        return 0;
    }
    uint32_t wanted = (uint32_t)domain + 1, at = wanted & (tally->size - 1);
    while (tally->slots[at].domain != wanted) {
        if (tally->slots[at].domain == 0) {
            return 0;
        }
        at = (at + 1) & (tally->size - 1);
    }
    return tally->slots[at].value;
}

#endif

// SPDX-License-Identifier: Apache-2.0
#include "scheduler/topology.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "scheduler/node_cache.h"

struct topology_domain {
    char *value;
    int32_t number;
    uint32_t nodes;
};

static void domain_free(void *argument)
{
    struct topology_domain *domain = argument;
    free(domain->value);
    free(domain);
}

struct topology *topology_new(const char *key)
{
    struct topology *topology = allocate_struct(struct topology);
    topology->key = duplicate(key);
    topology->values.borrows_keys = true;
    return topology;
}

void topology_free(struct topology *topology)
{
    map_free(&topology->values, domain_free);
    free(topology->domains);
    free(topology->numbered);
    free(topology->key);
    free(topology);
}

/* ---- domains ---- */

static const char *value_of(const struct topology *topology, const struct node *node)
{
    return node->exists ? json_get_string(node->labels, topology->key) : NULL;
}

/* The smallest that is free, so that numbers stay small. */
static int32_t free_number(struct topology *topology)
{
    if (topology->values.count == topology->count) {
        topology->numbered = grow(topology->numbered, topology->count, &topology->capacity,
                                  sizeof(struct topology_domain *));
        topology->numbered[topology->count++] = NULL;
        return (int32_t)topology->count - 1;
    }
    int32_t number = 0;
    while (topology->numbered[number] != NULL) {
        number++;
    }
    return number;
}

static int32_t join(struct topology *topology, const char *value)
{
    struct topology_domain *domain = map_get(&topology->values, value);
    if (domain == NULL) {
        domain = allocate_struct(struct topology_domain);
        domain->value = duplicate(value);
        domain->number = free_number(topology);
        topology->numbered[domain->number] = domain;
        map_set(&topology->values, domain->value, domain);
    }
    domain->nodes++;
    return domain->number;
}

static void leave(struct topology *topology, int32_t number)
{
    struct topology_domain *domain = topology->numbered[number];
    if (--domain->nodes == 0) {
        map_remove(&topology->values, domain->value);
        topology->numbered[number] = NULL;
        domain_free(domain);
    }
}

static void make_room(struct topology *topology, uint32_t index)
{
    if (index >= topology->domain_capacity) {
        size_t capacity = ((size_t)index + 16) * 2;
        topology->domains = reallocate(topology->domains, capacity * sizeof *topology->domains);
        for (size_t i = topology->domain_capacity; i < capacity; i++) {
            topology->domains[i] = -1;
        }
        topology->domain_capacity = capacity;
    }
}

bool topology_is_outdated(const struct topology *topology, const struct node *node)
{
    const char *value = value_of(topology, node);
    const struct topology_domain *domain = value != NULL ? map_get(&topology->values, value) : NULL;
    int32_t number = topology_domain(topology, node->index);
    return value == NULL ? number >= 0 : domain == NULL || domain->number != number;
}

void topology_update(struct topology *topology, const struct node *node)
{
    if (topology_is_outdated(topology, node)) {
        const char *value = value_of(topology, node);
        make_room(topology, node->index);
        int32_t *number = &topology->domains[node->index];
        if (*number >= 0) {
            leave(topology, *number);
        }
        *number = value != NULL ? join(topology, value) : -1;
    }
}

/* ---- tallies ---- */

static struct tally_slot *slot_of(const struct tally *tally, uint32_t wanted)
{
    uint32_t at = wanted & (tally->size - 1);
    while (tally->slots[at].domain != 0 && tally->slots[at].domain != wanted) {
        at = (at + 1) & (tally->size - 1);
    }
    return &tally->slots[at];
}

/* Into as many slots as those domains need that are not at 0. */
static void resize(struct tally *tally)
{
    const struct tally old = *tally;
    tally->size = 8;
    while (tally->size < old.present * 4) {
        tally->size *= 2;
    }
    tally->slots = allocate_zero(tally->size, sizeof *tally->slots);
    tally->used = 0;
    for (uint32_t i = 0; i < old.size; i++) {
        if (old.slots[i].value != 0) {
            *slot_of(tally, old.slots[i].domain) = old.slots[i];
            tally->used++;
        }
    }
    free(old.slots);
}

void tally_add(struct tally *tally, int32_t domain, int64_t change)
{
    if (tally->used * 2 >= tally->size) {
        resize(tally);
    }
    struct tally_slot *slot = slot_of(tally, (uint32_t)domain + 1);
    tally->used += slot->domain == 0;
    tally->present -= slot->value != 0;
    slot->domain = (uint32_t)domain + 1;
    slot->value += change;
    tally->present += slot->value != 0;
}

void tally_clear(struct tally *tally)
{
    free(tally->slots);
    *tally = (struct tally){0};
}

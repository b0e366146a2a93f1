// SPDX-License-Identifier: Apache-2.0
#include "controllers/node_zones.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/map.h"

struct zone {
    enum zone_state state;
    struct rate_limiter limiter;
    char **queue; /* Those that wait, the first first; what was dequeued stands nowhere. */
    size_t count, capacity;
    size_t ready, not_ready; /* In this round. */
};

struct zones {
    struct zone_rates rates;
    struct map zones;   /* By name: struct zone. */
    struct map waiting; /* By node: the struct zone in whose queue it stands. */
};

enum zone_state zone_state_of(size_t ready, size_t not_ready, double unhealthy_threshold)
{
    enum { few = 2 }; /* So many failing nodes are never a disruption. */
    if (ready == 0 && not_ready > 0) {
        return ZONE_FULL_DISRUPTION;
    }
    bool is_partial =
        not_ready > few && (double)not_ready / (double)(not_ready + ready) >= unhealthy_threshold;
    return is_partial ? ZONE_PARTIAL_DISRUPTION : ZONE_NORMAL;
}

double zone_rate(const struct zone_rates *rates, enum zone_state state, size_t size)
{
    if (state == ZONE_PARTIAL_DISRUPTION) {
        return (int64_t)size > rates->large_size ? rates->reduced : 0;
    }
    return rates->normal;
}

/* ---- rates ---- */

static void refill(struct rate_limiter *limiter, int64_t now)
{
    double passed = (double)(now - limiter->updated) * 1e-9;
    limiter->tokens += passed * limiter->per_second;
    limiter->tokens = limiter->tokens < 1 ? limiter->tokens : 1;
    limiter->updated = now;
}

void rate_limiter_init(struct rate_limiter *limiter, double per_second, int64_t now)
{
    *limiter = (struct rate_limiter){.per_second = per_second, .tokens = 1, .updated = now};
}

bool rate_limiter_accept(struct rate_limiter *limiter, int64_t now)
{
    refill(limiter, now);
    if (limiter->per_second <= 0 || limiter->tokens < 1) {
        return false;
    }
    limiter->tokens -= 1;
    return true;
}

void rate_limiter_change(struct rate_limiter *limiter, double per_second, int64_t now)
{
    refill(limiter, now);
    if (limiter->per_second <= 0) {
        limiter->tokens = 0; /* After a stop, nodes are given up one by one from the first. */
    }
    limiter->per_second = per_second;
}

/* ---- zones ---- */

struct zones *zones_new(const struct zone_rates *rates)
{
    struct zones *zones = allocate_struct(struct zones);
    zones->rates = *rates;
    return zones;
}

static void free_zone(void *argument)
{
    struct zone *zone = argument;
    for (size_t i = 0; i < zone->count; i++) {
        free(zone->queue[i]);
    }
    free(zone->queue);
    free(zone);
}

void zones_free(struct zones *zones)
{
    map_free(&zones->zones, free_zone);
    map_free(&zones->waiting, NULL);
    free(zones);
}

void zones_begin(struct zones *zones)
{
    const char *name;
    void *value;
    for (size_t at = 0; map_next(&zones->zones, &at, &name, &value);) {
        struct zone *zone = value;
        zone->ready = zone->not_ready = 0;
    }
}

void zones_count(struct zones *zones, const char *name, bool counts, bool is_ready, int64_t now)
{
    struct zone *zone = map_get(&zones->zones, name);
    if (zone == NULL) {
        zone = allocate_struct(struct zone);
        rate_limiter_init(&zone->limiter, zones->rates.normal, now);
        map_set(&zones->zones, name, zone);
    }
    zone->ready += counts && is_ready;
    zone->not_ready += counts && !is_ready;
}

/* Of the zones that have nodes; a zone without any is in no state. */
struct survey {
    bool all_fail, all_failed;
};

static struct survey survey(const struct zones *zones)
{
    struct survey survey = {.all_fail = true, .all_failed = true};
    const char *name;
    void *value;
    for (size_t at = 0; map_next(&zones->zones, &at, &name, &value);) {
        const struct zone *zone = value;
        if (zone->ready + zone->not_ready > 0) {
            survey.all_fail = survey.all_fail && zone->ready == 0;
            survey.all_failed = survey.all_failed && zone->state == ZONE_FULL_DISRUPTION;
        }
    }
    return survey;
}

/* A zone whose nodes are all gone starts anew when it gets some. */
static void set_state(const struct zones *zones, struct zone *zone, bool stop_all, bool renew,
                      int64_t now)
{
    size_t size = zone->ready + zone->not_ready;
    enum zone_state state =
        size == 0 ? ZONE_INITIAL
                  : zone_state_of(zone->ready, zone->not_ready, zones->rates.unhealthy_threshold);
    if (state != zone->state || stop_all || renew) {
        double rate = stop_all ? 0 : zone_rate(&zones->rates, state, size);
        rate_limiter_change(&zone->limiter, rate, now);
        zone->state = state;
    }
}

enum zones_event zones_end(struct zones *zones, int64_t now)
{
    struct survey found = survey(zones);
    if (found.all_fail && found.all_failed) {
        return ZONES_STEADY; /* As it was: no node is given up. */
    }
    const char *name;
    void *value;
    for (size_t at = 0; map_next(&zones->zones, &at, &name, &value);) {
        set_state(zones, value, found.all_fail, found.all_failed, now);
    }
    return found.all_fail ? ZONES_ALL_FAILED : found.all_failed ? ZONES_RECOVERED : ZONES_STEADY;
}

/* ---- the queues ---- */

void zones_enqueue(struct zones *zones, const char *name, const char *node)
{
    struct zone *zone = map_get(&zones->zones, name);
    if (zone == NULL || map_get(&zones->waiting, node) != NULL) {
        return; /* A zone that no round has counted yet will be by the next. */
    }
    zone->queue = grow(zone->queue, zone->count, &zone->capacity, sizeof *zone->queue);
    zone->queue[zone->count++] = duplicate(node);
    map_set(&zones->waiting, node, zone);
}

static char *take(struct zone *zone, size_t position)
{
    char *node = zone->queue[position];
    zone->count--;
    memmove(zone->queue + position, zone->queue + position + 1,
            (zone->count - position) * sizeof *zone->queue);
    return node;
}

void zones_dequeue(struct zones *zones, const char *node)
{
    struct zone *zone = map_remove(&zones->waiting, node);
    for (size_t i = 0; zone != NULL && i < zone->count; i++) {
        if (strcmp(zone->queue[i], node) == 0) {
            free(take(zone, i));
            return;
        }
    }
}

bool zones_waiting(const struct zones *zones)
{
    return zones->waiting.count > 0;
}

char *zones_next(struct zones *zones, int64_t now)
{
    const char *name;
    void *value;
    for (size_t at = 0; map_next(&zones->zones, &at, &name, &value);) {
        struct zone *zone = value;
        if (zone->count > 0 && rate_limiter_accept(&zone->limiter, now)) {
            char *node = take(zone, 0);
            map_remove(&zones->waiting, node);
            return node;
        }
    }
    return NULL;
}

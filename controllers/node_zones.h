// SPDX-License-Identifier: Apache-2.0
/*
 * Zones of nodes, and how fast nodes that are not ready are given up in each.
 *
 * When a few nodes of a zone fail, their pods move, one node after the other. When most of a zone
 * fails, the fault is more likely in between, and little or nothing is moved; when every node of
 * every zone seems to have failed it is this side that is cut off, and nothing is.
 *
 * Times are nanoseconds of any one clock. Not thread-safe.
 */
#ifndef CONTROLLERS_NODE_ZONES_H
#define CONTROLLERS_NODE_ZONES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zone_rates {
    double normal, reduced; /* Nodes a second: --node-eviction-rate, --secondary-… */
    double unhealthy_threshold;
    int64_t large_size;
};

enum zone_state { ZONE_INITIAL, ZONE_NORMAL, ZONE_PARTIAL_DISRUPTION, ZONE_FULL_DISRUPTION };

/* What a zone with so many nodes that are ready, and that are not, is said to be in. */
enum zone_state zone_state_of(size_t ready, size_t not_ready, double unhealthy_threshold);
/* Nodes a second in such a zone of 'size' nodes. */
double zone_rate(const struct zone_rates *rates, enum zone_state state, size_t size);

/* A token bucket that holds one. */
struct rate_limiter {
    double per_second; /* 0: never. */
    double tokens;
    int64_t updated;
};

void rate_limiter_init(struct rate_limiter *limiter, double per_second, int64_t now);
bool rate_limiter_accept(struct rate_limiter *limiter, int64_t now);
/* Another rate from now on; a token that was used up is not given again. */
void rate_limiter_change(struct rate_limiter *limiter, double per_second, int64_t now);

struct zones;

struct zones *zones_new(const struct zone_rates *rates);
void zones_free(struct zones *zones);

/* ---- one round of looking at all nodes ---- */

void zones_begin(struct zones *zones);
/* A node of this zone, which is there from now on. Nodes that are not to count for the zone's
 * health are only noted. */
void zones_count(struct zones *zones, const char *zone, bool counts, bool is_ready, int64_t now);

enum zones_event {
    ZONES_STEADY,
    ZONES_ALL_FAILED, /* Nothing is ready any more: take all NoExecute taints away. */
    ZONES_RECOVERED,  /* Something is ready again: take every node as seen just now. */
};

/* After all nodes: sets the zones' rates by their states. */
enum zones_event zones_end(struct zones *zones, int64_t now);

/* ---- nodes that wait to be given up ---- */

/* Does nothing when the node waits already. */
void zones_enqueue(struct zones *zones, const char *zone, const char *node);
void zones_dequeue(struct zones *zones, const char *node);
bool zones_waiting(const struct zones *zones);
/* The next node whose turn has come in any zone, the caller's; NULL: none. It waits no more. */
char *zones_next(struct zones *zones, int64_t now);

#endif

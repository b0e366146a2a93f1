// SPDX-License-Identifier: Apache-2.0
/*
 * PodTopologySpread, by the constraints that a pod has by default: the pods of the same services
 * and of the same owner are to be spread over nodes (maxSkew 3) and zones (maxSkew 5), as far as
 * other scores allow.
 */
#include <math.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/node_match.h"
#include "scheduler/plugin.h"

enum { node_skew = 3, zone_skew = 5 };

static uint32_t pods_on(const struct spread_group *group, const struct node *node)
{
    return node->index < group->count_capacity ? group->counts[node->index] : 0;
}

static bool is_eligible(const struct cycle *cycle, const struct node *node)
{
    const json_t *spec = cycle->class->spec;
    return node_match_required(json_object_get(spec, "nodeSelector"),
                               json_path(spec, "affinity", "nodeAffinity"), node->name,
                               node->labels);
}

/* The group's pods in each zone, on nodes where the pod might stand. */
static void count_zones(const struct cycle *cycle, int64_t *zones)
{
    const json_t *spec = cycle->class->spec;
    bool is_free = json_object_get(spec, "nodeSelector") == NULL &&
                   json_path(spec, "affinity", "nodeAffinity") == NULL;
    for (size_t i = 0; i < cycle->cache->node_slots; i++) {
        const struct node *node = cycle->cache->nodes[i];
        if (node != NULL && node->exists && node->zone >= 0 &&
            (is_free || is_eligible(cycle, node))) {
            zones[node->zone] += pods_on(cycle->class->group, node);
        }
    }
}

/* How many different zones the nodes that fit are in. */
static size_t zones_of_candidates(const struct cycle *cycle)
{
    size_t count = 0;
    bool *seen = allocate_zero(cycle->cache->zone_count + 1, sizeof *seen);
    for (size_t i = 0; i < cycle->node_count; i++) {
        int zone = cycle->nodes[i]->zone;
        if (zone >= 0 && !seen[zone]) {
            seen[zone] = true;
            count++;
        }
    }
    free(seen);
    return count;
}

/* Fewer pods score higher: from the sums to their distance from both ends. */
static void turn_around(int64_t *scores, size_t count)
{
    int64_t least = INT64_MAX, most = 0;
    for (size_t i = 0; i < count; i++) {
        least = scores[i] < least ? scores[i] : least;
        most = scores[i] > most ? scores[i] : most;
    }
    for (size_t i = 0; i < count; i++) {
        scores[i] = most == 0 ? SCORE_MAX : SCORE_MAX * (most + least - scores[i]) / most;
    }
}

static bool score(const struct cycle *cycle, int64_t *scores)
{
    const struct spread_group *group = cycle->class->group;
    if (group == NULL) {
        return false;
    }
    size_t zone_count = zones_of_candidates(cycle);
    int64_t *zones = allocate_zero(cycle->cache->zone_count + 1, sizeof *zones);
    double node_weight = log((double)cycle->node_count + 2);
    double zone_weight = log((double)zone_count + 2);
    if (zone_count > 0) {
        count_zones(cycle, zones);
    }
    for (size_t i = 0; i < cycle->node_count; i++) {
        const struct node *node = cycle->nodes[i];
        double sum = pods_on(group, node) * node_weight + (node_skew - 1);
        if (node->zone >= 0) {
            sum += (double)zones[node->zone] * zone_weight + (zone_skew - 1);
        }
        scores[i] = llround(sum);
    }
    free(zones);
    turn_around(scores, cycle->node_count);
    return true;
}

const struct plugin plugin_pod_topology_spread = {
    .name = "PodTopologySpread",
    .weight = 2,
    .score = score,
};

// SPDX-License-Identifier: Apache-2.0
/*
 * PodTopologySpread: a pod's own topologySpreadConstraints refuse nodes where the pods that they
 * count would lie too unevenly (DoNotSchedule), or prefer others to them (ScheduleAnyway). A pod
 * without any is spread by default: the pods of the same services and of the same owner over nodes
 * (maxSkew 3) and zones (maxSkew 5), as far as other scores allow.
 */
#include <math.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/node_match.h"
#include "scheduler/plugin.h"
#include "scheduler/profile.h"
#include "scheduler/spread_constraints.h"

enum { node_skew = 3, zone_skew = 5 };

/* ---- the pod's own constraints ---- */

static void prepare(const struct cycle *cycle)
{
    struct spread_constraints *constraints = spread_constraints_of(cycle->cache, cycle->class);
    for (size_t i = 0; constraints != NULL && i < constraints->count; i++) {
        if (constraints->list[i].is_required) {
            spread_constraint_count(cycle->cache, cycle->class, &constraints->list[i]);
        }
    }
}

/* NULL: it may stand there. */
static const char *why_not(const struct spread_constraint *constraint, const struct node *node)
{
    int32_t domain = constraint->places[node->index].domain;
    if (domain < 0) {
        return "node(s) didn't match pod topology spread constraints (missing required label)";
    }
    int64_t pods = constraint->pods[domain] > 0 ? constraint->pods[domain] : 0;
    return pods + constraint->matches_self - constraint->least > constraint->max_skew
               ? "node(s) didn't match pod topology spread constraints"
               : NULL;
}

static const char *refusal(const struct cycle *cycle, const struct node *node)
{
    const struct spread_constraints *constraints = cycle->class->spread;
    const char *why = NULL;
    for (size_t i = 0; constraints != NULL && i < constraints->count && why == NULL; i++) {
        if (constraints->list[i].is_required) {
            why = why_not(&constraints->list[i], node);
        }
    }
    return why;
}

static bool fits(const struct cycle *cycle, const struct node *node)
{
    return refusal(cycle, node) == NULL;
}

static bool is_needless(const struct cycle *cycle)
{
    return cycle->class->spread == NULL;
}

/* It lacks a topology key. */
static bool is_hopeless(const struct cycle *cycle, const struct node *node)
{
    const struct spread_constraints *constraints = cycle->class->spread;
    for (size_t i = 0; i < constraints->count; i++) {
        const struct spread_constraint *constraint = &constraints->list[i];
        if (constraint->is_required && why_not(constraint, node) != NULL) {
            return constraint->places[node->index].domain < 0;
        }
    }
    return false;
}

static void imagine(const struct cycle *cycle, const struct placed_pod *pod, int change)
{
    struct spread_constraints *constraints = cycle->class->spread;
    node_cache_know_class(cycle->cache, pod->class);
    for (size_t i = 0; constraints != NULL && i < constraints->count && !pod->is_deleting; i++) {
        if (constraints->list[i].is_required) {
            spread_constraint_imagine(&constraints->list[i], pod, change);
        }
    }
}

/* A pod matters to those that count it. */
static bool may_help(const struct pod_class *waiting, const struct cluster_change *change)
{
    const struct spread_constraints *constraints = waiting->spread;
    if (constraints != NULL && change->pod == NULL) {
        return true;
    }
    for (size_t i = 0; constraints != NULL && i < constraints->count; i++) {
        for (size_t n = 0; n < change->pod->group_count; n++) {
            if (constraints->list[i].is_required &&
                constraints->list[i].group == change->pod->groups[n]) {
                return true;
            }
        }
    }
    return false;
}

static void explain(const struct cycle *cycle, const struct node *node, struct reasons *reasons)
{
    reasons_add(reasons, "%s", refusal(cycle, node));
}

/* How many domains the nodes that fit are in. */
static size_t domains_of_candidates(const struct cycle *cycle,
                                    const struct spread_constraint *constraint)
{
    size_t count = 0;
    bool *seen = allocate_zero(constraint->domains.count + 1, sizeof *seen);
    for (size_t i = 0; i < cycle->node_count; i++) {
        const struct spread_place *place = &constraint->places[cycle->nodes[i]->index];
        if (place->has_all_keys && (constraint->is_of_nodes || !seen[place->domain])) {
            seen[place->domain] = true;
            count++;
        }
    }
    free(seen);
    return count;
}

/* A node that lacks a key is none to prefer: its sum becomes -1. */
static void add_constraint(const struct cycle *cycle, struct spread_constraint *constraint,
                           double *sums)
{
    spread_constraint_count(cycle->cache, cycle->class, constraint);
    double weight = log((double)domains_of_candidates(cycle, constraint) + 2);
    for (size_t i = 0; i < cycle->node_count; i++) {
        const struct node *node = cycle->nodes[i];
        const struct spread_place *place = &constraint->places[node->index];
        if (!place->has_all_keys) {
            sums[i] = -1;
            continue;
        }
        int64_t pods = constraint->is_of_nodes ? spread_group_pods(constraint->group, node)
                                               : constraint->pods[place->domain];
        sums[i] += (double)(pods > 0 ? pods : 0) * weight + (double)(constraint->max_skew - 1);
    }
}

/* llround() of what is not negative, without a call for each node. */
static int64_t rounded(double sum)
{
    int64_t whole = (int64_t)sum;
    return whole + (sum - (double)whole >= 0.5);
}

static int64_t distance(int64_t score, int64_t least, int64_t most)
{
    return score < 0 ? 0 : most == 0 ? SCORE_MAX : SCORE_MAX * (most + least - score) / most;
}

/* Fewer pods score higher: from the sums to their distance from both ends. Many nodes have as many
 * pods as the one before. */
static void turn_around(int64_t *scores, size_t count)
{
    int64_t least = INT64_MAX, most = 0, last = -1, last_distance = 0;
    for (size_t i = 0; i < count; i++) {
        least = scores[i] >= 0 && scores[i] < least ? scores[i] : least;
        most = scores[i] > most ? scores[i] : most;
    }
    for (size_t i = 0; i < count; i++) {
        if (scores[i] != last) {
            last = scores[i];
            last_distance = distance(last, least, most);
        }
        scores[i] = last_distance;
    }
}

static bool score_own(const struct cycle *cycle, int64_t *scores)
{
    struct spread_constraints *constraints = cycle->class->spread;
    double *sums = allocate_zero(cycle->node_count, sizeof *sums);
    bool any = false;
    for (size_t i = 0; i < constraints->count; i++) {
        if (!constraints->list[i].is_required) {
            add_constraint(cycle, &constraints->list[i], sums);
            any = true;
        }
    }
    for (size_t i = 0; i < cycle->node_count; i++) {
        scores[i] = llround(sums[i]);
    }
    free(sums);
    turn_around(scores, cycle->node_count);
    return any;
}

/* ---- the default ones ---- */

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
            zones[node->zone] += spread_group_pods(cycle->class->group, node);
        }
    }
}

/* How many different zones the nodes that fit are in; those in none count as one more. */
static size_t zones_of_candidates(const struct cycle *cycle)
{
    size_t count = 0;
    bool *seen = allocate_zero(cycle->cache->zone_count + 1, sizeof *seen);
    for (size_t i = 0; i < cycle->node_count; i++) {
        int zone = cycle->nodes[i]->zone + 1;
        if (!seen[zone]) {
            seen[zone] = true;
            count++;
        }
    }
    free(seen);
    return count;
}

static bool score(const struct cycle *cycle, int64_t *scores)
{
    const struct spread_group *group = cycle->class->group;
    if (cycle->class->spread != NULL) {
        return score_own(cycle, scores);
    }
    if (group == NULL || profile_of(cycle->class)->spreads_by_list) {
        return false;
    }
    size_t zone_count = zones_of_candidates(cycle);
    int64_t *zones = allocate_zero(cycle->cache->zone_count + 1, sizeof *zones);
    double node_weight = log((double)cycle->node_count + 2);
    double zone_weight = log((double)zone_count + 2);
    if (cycle->cache->zone_count > 0) {
        count_zones(cycle, zones);
    }
    for (size_t i = 0; i < cycle->node_count; i++) {
        const struct node *node = cycle->nodes[i];
        double sum =
            node->has_hostname ? spread_group_pods(group, node) * node_weight + (node_skew - 1) : 0;
        if (node->zone >= 0) {
            sum += (double)zones[node->zone] * zone_weight + (zone_skew - 1);
        }
        scores[i] = rounded(sum);
    }
    free(zones);
    turn_around(scores, cycle->node_count);
    return true;
}

const struct plugin plugin_pod_topology_spread = {
    .name = "PodTopologySpread",
    .weight = 2,
    .events = EVENT_NODE | EVENT_NODE_LEFT | EVENT_POD_LEFT | EVENT_POD_CAME | EVENT_POD_ENDING,
    .prepare = prepare,
    .fits = fits,
    .is_needless = is_needless,
    .is_hopeless = is_hopeless,
    .imagine = imagine,
    .may_help = may_help,
    .explain = explain,
    .score = score,
};

// SPDX-License-Identifier: Apache-2.0
/*
 * InterPodAffinity: a pod stands only where the pods are that its required affinity asks for, and
 * none that its anti-affinity forbids, nor one that forbids it; preferred terms, its own and those
 * of the pods that stand, say where it would rather. Whoever asks for pods like itself may be the
 * first of them.
 */
#include <string.h>

#include "common/alloc.h"
#include "scheduler/affinity.h"
#include "scheduler/plugin.h"
#include "scheduler/profile.h"

static void prepare(const struct cycle *cycle)
{
    node_cache_know_class(cycle->cache, cycle->class);
    affinity_refresh(cycle->cache);
}

/* ---- the filter ---- */

static const struct affinity_use *next_use(const struct pod_class *class, enum affinity_kind kind,
                                           size_t *at)
{
    while (class->affinity != NULL && *at < class->affinity->count) {
        const struct affinity_use *use = &class->affinity->list[(*at)++];
        if (use->kind == kind) {
            return use;
        }
    }
    return NULL;
}

/* No pod stands anywhere that the class asks for, but its own are such. */
static bool may_be_first(const struct pod_class *class)
{
    const struct affinity_use *use;
    for (size_t at = 0; (use = next_use(class, AFFINITY_ASKS, &at)) != NULL;) {
        if (use->counts->members.present > 0 || !affinity_has_class(use->set, class)) {
            return false;
        }
    }
    return true;
}

static bool has_company(const struct pod_class *class, const struct node *node)
{
    const struct affinity_use *use;
    bool all = true;
    for (size_t at = 0; (use = next_use(class, AFFINITY_ASKS, &at)) != NULL;) {
        int32_t domain = topology_domain(use->counts->topology, node->index);
        if (domain < 0) {
            return false;
        }
        all = all && tally_get(&use->counts->members, domain) > 0;
    }
    return all || may_be_first(class);
}

static bool is_there(const struct affinity_counts *counts, const struct tally *tally,
                     const struct node *node)
{
    if (tally->present == 0) {
        return false;
    }
    int32_t domain = topology_domain(counts->topology, node->index);
    return domain >= 0 && tally_get(tally, domain) > 0;
}

static bool meets_forbidden(const struct pod_class *class, const struct node *node)
{
    const struct affinity_use *use;
    for (size_t at = 0; (use = next_use(class, AFFINITY_FORBIDS, &at)) != NULL;) {
        if (is_there(use->counts, &use->counts->members, node)) {
            return true;
        }
    }
    return false;
}

static bool is_forbidden(const struct pod_class *class, const struct node *node)
{
    for (size_t i = 0; i < class->set_count; i++) {
        for (size_t n = 0; n < class->sets[i]->count; n++) {
            const struct affinity_counts *counts = class->sets[i]->counts[n];
            if (is_there(counts, &counts->forbids, node)) {
                return true;
            }
        }
    }
    return false;
}

static bool fits(const struct cycle *cycle, const struct node *node)
{
    return has_company(cycle->class, node) && !meets_forbidden(cycle->class, node) &&
           !is_forbidden(cycle->class, node);
}

static bool is_needless(const struct cycle *cycle)
{
    const struct pod_class *class = cycle->class;
    for (size_t i = 0; class->affinity != NULL && i < class->affinity->count; i++) {
        if (class->affinity->list[i].kind != AFFINITY_PREFERS) {
            return false;
        }
    }
    for (size_t i = 0; i < class->set_count; i++) {
        for (size_t n = 0; n < class->sets[i]->count; n++) {
            if (class->sets[i]->counts[n]->forbids.present > 0) {
                return false;
            }
        }
    }
    return true;
}

/* Company does not come by others leaving. */
static bool is_hopeless(const struct cycle *cycle, const struct node *node)
{
    return !has_company(cycle->class, node);
}

static void imagine(const struct cycle *cycle, const struct placed_pod *pod, int change)
{
    node_cache_know_class(cycle->cache, pod->class);
    affinity_count_pod(pod, change);
}

/* The first class has a required term that selects pods of the other. */
static bool is_about(const struct pod_class *class, const struct pod_class *other)
{
    for (size_t i = 0; class->affinity != NULL && i < class->affinity->count; i++) {
        const struct affinity_use *use = &class->affinity->list[i];
        if (use->kind != AFFINITY_PREFERS && affinity_has_class(use->set, other)) {
            return true;
        }
    }
    return false;
}

/* A pod matters to those it is about, and that are about it. */
static bool may_help(const struct pod_class *waiting, const struct cluster_change *change)
{
    return change->pod == NULL || is_about(waiting, change->pod) || is_about(change->pod, waiting);
}

static void explain(const struct cycle *cycle, const struct node *node, struct reasons *reasons)
{
    reasons_add(reasons, "%s",
                !has_company(cycle->class, node) ? "node(s) didn't match pod affinity rules"
                : meets_forbidden(cycle->class, node)
                    ? "node(s) didn't match pod anti-affinity rules"
                    : "node(s) didn't satisfy existing pods anti-affinity rules");
}

/* ---- the score ---- */

/* Notes in 'any' that there was something to add; the first clears the scores. */
static void add_tally(const struct cycle *cycle, const struct affinity_counts *counts,
                      const struct tally *tally, int64_t weight, int64_t *scores, bool *any)
{
    if (tally->present == 0 || weight == 0) {
        return;
    }
    if (!*any) {
        memset(scores, 0, cycle->node_count * sizeof *scores);
        *any = true;
    }
    for (size_t i = 0; i < cycle->node_count; i++) {
        int32_t domain = topology_domain(counts->topology, cycle->nodes[i]->index);
        scores[i] += domain >= 0 ? weight * tally_get(tally, domain) : 0;
    }
}

/* From the worst, 0, to the best, SCORE_MAX. */
static void stretch(int64_t *scores, size_t count)
{
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (size_t i = 0; i < count; i++) {
        least = scores[i] < least ? scores[i] : least;
        most = scores[i] > most ? scores[i] : most;
    }
    for (size_t i = 0; i < count; i++) {
        double part = most > least ? (double)(scores[i] - least) / (double)(most - least) : 0;
        scores[i] = (int64_t)(SCORE_MAX * part);
    }
}

static bool score(const struct cycle *cycle, int64_t *scores)
{
    const struct pod_class *class = cycle->class;
    const struct profile *profile = profile_of(class);
    const struct affinity_use *use;
    bool any = false;
    if (profile->ignore_preferred_terms_of_existing_pods &&
        (class->affinity == NULL || !class->affinity->has_preferences)) {
        return false;
    }
    for (size_t at = 0; (use = next_use(class, AFFINITY_PREFERS, &at)) != NULL;) {
        add_tally(cycle, use->counts, &use->counts->members, use->weight, scores, &any);
    }
    for (size_t i = 0; i < class->set_count; i++) {
        for (size_t n = 0; n < class->sets[i]->count; n++) {
            const struct affinity_counts *counts = class->sets[i]->counts[n];
            add_tally(cycle, counts, &counts->requires, profile->hard_pod_affinity_weight, scores,
                      &any);
            add_tally(cycle, counts, &counts->prefers, 1, scores, &any);
        }
    }
    if (any) {
        stretch(scores, cycle->node_count);
    }
    return any;
}

const struct plugin plugin_inter_pod_affinity = {
    .name = "InterPodAffinity",
    .weight = 2,
    .events = EVENT_NODE | EVENT_NODE_LEFT | EVENT_POD_LEFT | EVENT_POD_CAME,
    .prepare = prepare,
    .fits = fits,
    .is_needless = is_needless,
    .is_hopeless = is_hopeless,
    .imagine = imagine,
    .may_help = may_help,
    .explain = explain,
    .score = score,
};

// SPDX-License-Identifier: Apache-2.0
#include "scheduler/preemption.h"

#include <string.h>

#include "common/alloc.h"
#include "scheduler/nominations.h"
#include "scheduler/reasons.h"

struct candidate {
    struct node *node;
    struct placed_pod **victims; /* The most important first. */
    size_t count, violating;     /* Victims that a budget protects. */
};

/* ---- who may have to go ---- */

/* A pod that has not started yet counts as if it started now. */
static int64_t start_of(const struct placed_pod *pod)
{
    return pod->started > 0 ? pod->started : INT64_MAX;
}

static int compare_importance(const void *a, const void *b)
{
    const struct placed_pod *pod = *(struct placed_pod *const *)a;
    const struct placed_pod *other = *(struct placed_pod *const *)b;
    if (pod->class->priority != other->class->priority) {
        return pod->class->priority > other->class->priority ? -1 : 1;
    }
    if (start_of(pod) != start_of(other)) {
        return start_of(pod) < start_of(other) ? -1 : 1;
    }
    return strcmp(pod->key, other->key);
}

/* Pods on the node that are less important than the one in question, sorted. */
static struct placed_pod **less_important(const struct cycle *cycle, const struct node *node,
                                          size_t *count)
{
    struct placed_pod **pods = NULL;
    size_t capacity = 0;
    *count = 0;
    for (struct placed_pod *pod = node->pods; pod != NULL; pod = pod->next) {
        if (pod->class->priority < cycle->class->priority) {
            pods = grow(pods, *count, &capacity, sizeof(struct placed_pod *));
            pods[(*count)++] = pod;
        }
    }
    if (*count > 1) {
        qsort(pods, *count, sizeof(struct placed_pod *), compare_importance);
    }
    return pods;
}

static void imagine_all(const struct cycle *cycle, struct placed_pod *const *pods, size_t count,
                        int change)
{
    for (size_t i = 0; i < count; i++) {
        cycle_imagine(cycle, pods[i], change);
    }
}

/* Leaves in 'candidate' those of the pods, all imagined away, without which it does not fit. */
static void reprieve(const struct cycle *cycle, struct candidate *candidate,
                     const struct disruption_budgets *budgets)
{
    size_t count = candidate->count;
    bool *is_violating = allocate_zero(count, sizeof *is_violating);
    bool *stays = allocate_zero(count, sizeof *stays);
    disruption_budgets_judge(budgets, candidate->victims, count, is_violating);
    for (int violating = 1; violating >= 0; violating--) {
        for (size_t i = 0; i < count; i++) {
            if (is_violating[i] == (violating == 1)) {
                cycle_imagine(cycle, candidate->victims[i], 1);
                stays[i] = cycle_fits(cycle, candidate->node);
                if (!stays[i]) {
                    cycle_imagine(cycle, candidate->victims[i], -1);
                    candidate->violating += is_violating[i];
                }
            }
        }
    }
    candidate->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!stays[i]) {
            candidate->victims[candidate->count++] = candidate->victims[i];
        }
    }
    free(is_violating);
    free(stays);
}

/* Who would have to leave the node; false when that does not help, and why. */
static bool find_victims(const struct cycle *cycle, struct node *node,
                         const struct disruption_budgets *budgets, struct candidate *candidate,
                         struct reasons *reasons)
{
    size_t count;
    *candidate = (struct candidate){.node = node};
    candidate->victims = less_important(cycle, node, &count);
    if (count == 0) {
        reasons_add(reasons, "No preemption victims found for incoming pod");
        return false;
    }
    imagine_all(cycle, candidate->victims, count, -1);
    if (!cycle_fits(cycle, node)) {
        cycle_explain(cycle, node, reasons);
        imagine_all(cycle, candidate->victims, count, 1);
        free(steal(candidate->victims));
        return false;
    }
    candidate->count = count;
    reprieve(cycle, candidate, budgets);
    imagine_all(cycle, candidate->victims, candidate->count, 1);
    return candidate->count > 0;
}

/* ---- which node ---- */

static int64_t sum_of_priorities(const struct candidate *candidate)
{
    int64_t sum = 0;
    for (size_t i = 0; i < candidate->count; i++) {
        /* None is negative, so that fewer victims are never worse than more. */
        sum += candidate->victims[i]->class->priority + (INT64_C(1) << 31);
    }
    return sum;
}

static int compare_numbers(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

/* Less than 0: 'a' is the better one. The first victim is one of the most important, and of these
 * the one that started first. */
static int compare_candidates(const struct candidate *a, const struct candidate *b)
{
    int order = compare_numbers((int64_t)a->violating, (int64_t)b->violating);
    if (order == 0) {
        order = compare_numbers(a->victims[0]->class->priority, b->victims[0]->class->priority);
    }
    if (order == 0) {
        order = compare_numbers(sum_of_priorities(a), sum_of_priorities(b));
    }
    if (order == 0) {
        order = compare_numbers((int64_t)a->count, (int64_t)b->count);
    }
    return order != 0 ? order : compare_numbers(start_of(b->victims[0]), start_of(a->victims[0]));
}

/* Keeps the better of the two, and frees the other. */
static void keep_better(struct candidate *best, struct candidate *other)
{
    if (best->node == NULL || compare_candidates(other, best) < 0) {
        struct candidate worse = *best;
        *best = *other;
        *other = worse;
    }
    free(steal(other->victims));
}

static size_t candidates_to_compare(const struct profile *profile, size_t nodes)
{
    int64_t count = (int64_t)nodes * profile->min_candidate_nodes_percentage / 100;
    if (count < profile->min_candidate_nodes_absolute) {
        count = profile->min_candidate_nodes_absolute;
    }
    return count < (int64_t)nodes ? (size_t)count : nodes;
}

/* The nodes where it may help that pods leave, in decider->nodes. */
static size_t find_hopeful(const struct decider *decider, const struct cycle *cycle,
                           struct reasons *reasons)
{
    size_t count = 0;
    for (size_t i = 0; i < cycle->cache->node_slots; i++) {
        struct node *node = cycle->cache->nodes[i];
        if (node == NULL || !node->exists) {
            continue;
        }
        if (cycle_explain(cycle, node, NULL).is_hopeless) {
            reasons_add(reasons, "Preemption is not helpful for scheduling");
        } else {
            decider->nodes[count++] = node;
        }
    }
    return count;
}

/* Looks at nodes from a random one on, until there are enough that violate no budget. */
static struct candidate find_best(const struct decider *decider, const struct cycle *cycle,
                                  const struct disruption_budgets *budgets, struct reasons *reasons)
{
    size_t nodes = find_hopeful(decider, cycle, reasons), found = 0;
    size_t enough = candidates_to_compare(profile_of(cycle->class), nodes);
    size_t start = nodes > 0 ? (size_t)random() % nodes : 0;
    struct candidate best = {0}, candidate;
    bool any_harmless = false;
    for (size_t i = 0; i < nodes && !(any_harmless && found >= enough); i++) {
        if (find_victims(cycle, decider->nodes[(start + i) % nodes], budgets, &candidate,
                         reasons)) {
            any_harmless = any_harmless || candidate.violating == 0;
            keep_better(&best, &candidate);
            found++;
        } else {
            free(candidate.victims);
        }
    }
    return best;
}

/* ---- may it at all ---- */

/* Pods that gave way to it are still leaving the node where it is to stand. */
static bool is_waiting(const struct cycle *cycle)
{
    const struct nomination *nomination = nominations_find(cycle->cache, cycle->key);
    if (nomination == NULL || !nomination->node->exists ||
        cycle_explain(cycle, nomination->node, NULL).is_hopeless) {
        return false;
    }
    for (const struct placed_pod *pod = nomination->node->pods; pod != NULL; pod = pod->next) {
        if (pod->is_deleting && pod->is_preempted &&
            pod->class->priority < cycle->class->priority) {
            return true;
        }
    }
    return false;
}

struct preemption preemption_find(struct decider *decider, struct pod_class *class, const char *key,
                                  const char *uid, const struct disruption_budgets *budgets)
{
    struct cycle cycle = {.cache = decider->cache, .class = class, .key = key, .uid = uid};
    bool is_like_others = nominations_find(decider->cache, key) == NULL;
    if (class->never_preempts) {
        return (struct preemption){.why = duplicate("not eligible due to preemptionPolicy=Never."),
                                   .keeps_nomination = true};
    }
    if (is_like_others && class->unhelped_at == decider->cache->changed) {
        return (struct preemption){.why = duplicate(class->unhelped)};
    }
    if (cycle_prepare(&cycle, NULL) != 0) {
        size_t count = decider->cache->node_count;
        return (struct preemption){
            .why =
                format("0/%zu nodes are available: %zu Preemption is not helpful for scheduling.",
                       count, count)};
    }
    if (is_waiting(&cycle)) {
        return (struct preemption){
            .why = duplicate("not eligible due to a terminating pod on the nominated node."),
            .keeps_nomination = true};
    }
    struct reasons reasons = {0};
    decider_make_room(decider);
    struct candidate best = find_best(decider, &cycle, budgets, &reasons);
    struct preemption found = {.node = best.node, .victims = best.victims, .count = best.count};
    if (best.node == NULL) {
        found.why = reasons_text(&reasons, decider->cache->node_count);
        if (is_like_others) {
            free(class->unhelped);
            class->unhelped = duplicate(found.why);
            class->unhelped_at = decider->cache->changed;
        }
    }
    reasons_clear(&reasons);
    return found;
}

void preemption_clear(struct preemption *preemption)
{
    free(preemption->victims);
    free(preemption->why);
    *preemption = (struct preemption){0};
}

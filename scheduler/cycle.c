// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cycle.h"

#include <string.h>

#include "common/alloc.h"
#include "common/node_match.h"
#include "common/timestamp.h"
#include "scheduler/nominations.h"
#include "scheduler/profile.h"
#include "scheduler/reasons.h"

enum { fewest_nodes_to_find = 100, least_percentage = 5, plugins_max = 32 };

/* ---- static filters ---- */

static struct static_result ask_static(const struct cycle *cycle, const struct node *node)
{
    const struct plugin *const *filters = profile_filters(cycle->class);
    const json_t *spec = cycle->class->spec;
    struct static_result result = {.node_generation = node->generation, .fits = true};
    for (size_t i = 0; filters[i] != NULL && result.fits; i++) {
        if (filters[i]->is_static && filters[i]->fits != NULL) {
            result.fits = filters[i]->fits(cycle, node);
        }
    }
    if (result.fits) {
        result.preference =
            (int32_t)(node_match_preference(json_path(spec, "affinity", "nodeAffinity"), node->name,
                                            node->labels) +
                      node_match_preference(profile_of(cycle->class)->added_affinity, node->name,
                                            node->labels));
        result.disliked = node_match_disliked(json_object_get(spec, "tolerations"), node->taints);
    }
    return result;
}

static void make_room(struct pod_class *class, size_t count)
{
    if (class->static_result_count < count) {
        class->static_results =
            reallocate(class->static_results, count * sizeof *class->static_results);
        memset(class->static_results + class->static_result_count, 0,
               (count - class->static_result_count) * sizeof *class->static_results);
        class->static_result_count = count;
    }
}

struct static_result *plugin_ask_static(const struct cycle *cycle, const struct node *node)
{
    struct pod_class *class = cycle->class;
    if (node->index >= class->static_result_count) {
        make_room(class, cycle->cache->node_slots + 16);
    }
    struct static_result *result = &class->static_results[node->index];
    if (result->node_generation != node->generation) {
        *result = ask_static(cycle, node);
    }
    return result;
}

int64_t plugin_compute_usage_score(const struct cycle *cycle, const struct node *node,
                                   enum usage_score which,
                                   int64_t (*compute)(const struct profile *profile,
                                                      const struct pod_class *class,
                                                      const struct node *node))
{
    struct static_result *result = plugin_ask_static(cycle, node);
    result->scores[which].usage = node->usage;
    result->scores[which].score = (int32_t)compute(profile_of(cycle->class), cycle->class, node);
    return result->scores[which].score;
}

/* ---- what if ---- */

void cycle_imagine(const struct cycle *cycle, const struct placed_pod *pod, int change)
{
    const struct plugin *const *filters = profile_filters(cycle->class);
    node_cache_imagine(pod->node, pod->class, change);
    for (size_t i = 0; filters[i] != NULL; i++) {
        if (filters[i]->imagine != NULL) {
            filters[i]->imagine(cycle, pod, change);
        }
    }
}

/* Pods that are to stand on the node and that this one must not harm. Returns whether there are
 * any. */
static bool imagine_nominated(const struct cycle *cycle, struct node *node, int change)
{
    bool any = false;
    for (const struct nomination *nominated = node->nominated; nominated != NULL;
         nominated = nominated->next) {
        if (nominated->class->priority >= cycle->class->priority &&
            strcmp(nominated->key, cycle->key) != 0) {
            struct placed_pod pod = {
                .class = nominated->class, .node = node, .key = nominated->key};
            cycle_imagine(cycle, &pod, change);
            any = true;
        }
    }
    return any;
}

/* ---- one node ---- */

static const struct plugin *leaving_out(const struct cycle *cycle, const struct node *node)
{
    const struct plugin *const *filters = profile_filters(cycle->class);
    for (size_t i = 0; filters[i] != NULL; i++) {
        if (filters[i]->leaves_out != NULL && filters[i]->leaves_out(cycle, node)) {
            return filters[i];
        }
    }
    return NULL;
}

static const struct plugin *rejecting(const struct cycle *cycle, const struct node *node)
{
    const struct plugin *const *filters = profile_filters(cycle->class);
    bool skip_static = plugin_static_result(cycle, node)->fits;
    for (size_t i = 0; filters[i] != NULL; i++) {
        if (filters[i]->fits != NULL && !(filters[i]->is_static && skip_static) &&
            !filters[i]->fits(cycle, node)) {
            return filters[i];
        }
    }
    return NULL;
}

static uint32_t bit_of(const struct plugin *plugin)
{
    size_t i = 0;
    while (plugins[i] != plugin) {
        i++;
    }
    return UINT32_C(1) << i;
}

static bool is_hopeless(const struct cycle *cycle, const struct node *node,
                        const struct plugin *plugin)
{
    return plugin->is_hopeless != NULL ? plugin->is_hopeless(cycle, node) : plugin->is_static;
}

/* The first plugin that rejects the node tells why. */
static struct rejection explain(const struct cycle *cycle, const struct node *node,
                                struct reasons *reasons)
{
    const struct plugin *plugin = rejecting(cycle, node);
    if (plugin == NULL) {
        return (struct rejection){0};
    }
    if (reasons != NULL) {
        plugin->explain(cycle, node, reasons);
    }
    return (struct rejection){bit_of(plugin), is_hopeless(cycle, node, plugin)};
}

struct rejection cycle_explain(const struct cycle *cycle, struct node *node,
                               struct reasons *reasons)
{
    bool is_static_rejection = !plugin_static_result(cycle, node)->fits;
    const struct plugin *plugin = is_static_rejection ? leaving_out(cycle, node) : NULL;
    if (plugin != NULL) {
        if (reasons != NULL) {
            reasons_add(reasons, "node(s) didn't satisfy plugin(s) [%s]", plugin->name);
        }
        return (struct rejection){bit_of(plugin), true};
    }
    struct rejection rejection = {0};
    if (imagine_nominated(cycle, node, 1)) {
        rejection = explain(cycle, node, reasons);
        imagine_nominated(cycle, node, -1);
    }
    return rejection.plugin != 0 ? rejection : explain(cycle, node, reasons);
}

static bool fits_alone(const struct cycle *cycle, const struct node *node)
{
    const struct plugin *const *filters = profile_filters(cycle->class);
    for (size_t i = 0; filters[i] != NULL; i++) {
        if (!filters[i]->is_static && filters[i]->fits != NULL && !filters[i]->fits(cycle, node)) {
            return false;
        }
    }
    return true;
}

bool cycle_fits(const struct cycle *cycle, struct node *node)
{
    if (!plugin_static_result(cycle, node)->fits) {
        return false;
    }
    bool fits = true;
    if (node->nominated != NULL && imagine_nominated(cycle, node, 1)) {
        fits = fits_alone(cycle, node);
        imagine_nominated(cycle, node, -1);
    }
    return fits && fits_alone(cycle, node); /* Who is to come may also be missed. */
}

uint32_t cycle_prepare(const struct cycle *cycle, char **why)
{
    const struct plugin *const *filters = profile_filters(cycle->class);
    for (size_t i = 0; filters[i] != NULL; i++) {
        cleanup(free_char)
        char *reason = filters[i]->refuse != NULL ? filters[i]->refuse(cycle) : NULL;
        if (reason != NULL) {
            if (why != NULL) {
                *why = steal(reason);
            }
            return bit_of(filters[i]);
        }
    }
    for (size_t i = 0; filters[i] != NULL; i++) {
        if (filters[i]->prepare != NULL) {
            filters[i]->prepare(cycle);
        }
    }
    return 0;
}

/* Consumes the message. */
static void note_failure(const struct cycle *cycle, char *message, uint32_t rejecting_plugins)
{
    struct pod_class *class = cycle->class;
    free(class->failure);
    class->failure = message;
    class->failed_plugins = rejecting_plugins;
    class->failed_at = cycle->cache->freed;
}

static void explain_failure(const struct cycle *cycle)
{
    struct reasons reasons = {0};
    uint32_t rejecting = 0;
    for (size_t i = 0; i < cycle->cache->node_slots; i++) {
        struct node *node = cycle->cache->nodes[i];
        if (node != NULL && node->exists) {
            rejecting |= cycle_explain(cycle, node, &reasons).plugin;
        }
    }
    note_failure(cycle, reasons_text(&reasons, cycle->cache->node_count), rejecting);
    reasons_clear(&reasons);
}

/* Whether there is any use in asking nodes; if not, it is noted why. */
static bool prepare(const struct cycle *cycle)
{
    if (cycle->cache->node_count == 0) {
        note_failure(cycle, duplicate("no nodes available to schedule pods"), 0);
        return false;
    }
    cleanup(free_char)
    char *why = NULL;
    uint32_t refusing = cycle_prepare(cycle, &why);
    if (refusing != 0) {
        note_failure(cycle, format("0/%zu nodes are available: %s.", cycle->cache->node_count, why),
                     refusing);
    }
    return refusing == 0;
}

/* ---- the nodes that fit ---- */

/* How many nodes that fit are enough: in a large cluster the best of some is as good. */
static size_t nodes_to_find(const struct decider *decider, const struct profile *profile)
{
    size_t count = decider->cache->node_count;
    int64_t percentage = profile->percentage_of_nodes_to_score >= 0
                             ? profile->percentage_of_nodes_to_score
                             : decider->percentage_of_nodes_to_score;
    if (count < fewest_nodes_to_find || percentage >= 100) {
        return count;
    }
    if (percentage <= 0) {
        percentage = 50 - (int64_t)count / 125;
        percentage = percentage < least_percentage ? least_percentage : percentage;
    }
    size_t enough = count * (size_t)percentage / 100;
    return enough < fewest_nodes_to_find ? fewest_nodes_to_find : enough;
}

/* The filters that may reject a node for this pod and must be asked each time. */
struct needed_filters {
    const struct plugin *list[PROFILE_PLUGINS_MAX + 1]; /* Ends with NULL. */
    bool are_local; /* They look at the class and at what stands on the node, and no volumes. */
};

static void list_needed_filters(const struct cycle *cycle, struct needed_filters *needed)
{
    const struct plugin *const *filters = profile_filters(cycle->class);
    size_t count = 0;
    needed->are_local = cycle->class->volumes == NULL;
    for (size_t i = 0; filters[i] != NULL; i++) {
        if (!filters[i]->is_static && filters[i]->fits != NULL &&
            (filters[i]->is_needless == NULL || !filters[i]->is_needless(cycle))) {
            needed->list[count++] = filters[i];
            needed->are_local = needed->are_local && filters[i]->is_local;
        }
    }
    needed->list[count] = NULL;
}

static bool passes(const struct cycle *cycle, const struct node *node,
                   const struct needed_filters *needed)
{
    for (size_t i = 0; needed->list[i] != NULL; i++) {
        if (!needed->list[i]->fits(cycle, node)) {
            return false;
        }
    }
    return true;
}

/* Of the nodes that are asked for a pod of the class, one has changed since the last. */
static bool passes_as_before(const struct cycle *cycle, const struct node *node,
                             const struct needed_filters *needed)
{
    struct static_result *result = &cycle->class->static_results[node->index];
    if (!needed->are_local) {
        return passes(cycle, node, needed);
    }
    if (result->room_usage != node->usage) {
        result->room_usage = node->usage;
        result->has_room = passes(cycle, node, needed);
    }
    return result->has_room;
}

static void find_nodes(struct decider *decider, struct cycle *cycle)
{
    struct needed_filters needed;
    size_t slots = decider->cache->node_slots, at = decider->next_start % (slots > 0 ? slots : 1);
    size_t enough = nodes_to_find(decider, profile_of(cycle->class));
    list_needed_filters(cycle, &needed);
    cycle->nodes = decider->nodes;
    cycle->node_count = 0;
    cycle->is_indifferent = true;
    for (size_t asked = 0; asked < slots && cycle->node_count < enough; asked++) {
        struct node *node = decider->cache->nodes[at];
        at = at + 1 < slots ? at + 1 : 0;
        if (node == NULL || !node->exists) {
            continue;
        }
        const struct static_result *found = plugin_static_result(cycle, node);
        if (found->fits && (node->nominated != NULL ? cycle_fits(cycle, node)
                                                    : passes_as_before(cycle, node, &needed))) {
            cycle->nodes[cycle->node_count++] = node;
            cycle->is_indifferent =
                cycle->is_indifferent && found->preference == 0 && found->disliked == 0;
        }
    }
    decider->next_start = at;
}

/* ---- the best of them ---- */

/* Each of the equals with the same chance. */
static struct node *pick(const struct cycle *cycle, const int64_t *totals)
{
    int64_t most = totals[0];
    size_t equals = 0;
    for (size_t n = 0; n < cycle->node_count; n++) {
        equals = totals[n] > most ? 1 : equals + (totals[n] == most);
        most = totals[n] > most ? totals[n] : most;
    }
    size_t left = equals > 1 ? (size_t)random() % equals : 0, n = 0;
    while (totals[n] != most || left-- > 0) {
        n++;
    }
    return cycle->nodes[n];
}

static struct node *best_node(const struct decider *decider, const struct cycle *cycle)
{
    const struct profile *profile = profile_of(cycle->class);
    int64_t *totals = decider->totals, *scores = decider->scores;
    memset(totals, 0, cycle->node_count * sizeof *totals);
    for (size_t i = 0; profile->scores[i] != NULL; i++) {
        const struct plugin *plugin = profile->scores[i];
        int64_t weight = profile->weights[i] > 0 ? profile->weights[i] : plugin->weight;
        if (plugin->score == NULL || !plugin->score(cycle, scores)) {
            continue;
        }
        for (size_t n = 0; n < cycle->node_count; n++) {
            totals[n] += scores[n] * weight;
        }
    }
    return pick(cycle, totals);
}

static bool reserve(const struct cycle *cycle, struct node *node)
{
    const struct plugin *const *reserves = profile_of(cycle->class)->reserves;
    for (size_t i = 0; reserves[i] != NULL; i++) {
        if (reserves[i]->reserve != NULL && !reserves[i]->reserve(cycle, node)) {
            while (i-- > 0) {
                if (reserves[i]->unreserve != NULL) {
                    reserves[i]->unreserve(cycle, node);
                }
            }
            return false;
        }
    }
    return true;
}

/* ---- the interface ---- */

void decider_make_room(struct decider *decider)
{
    size_t slots = decider->cache->node_slots;
    if (decider->capacity < slots) {
        decider->capacity = slots * 2;
        decider->nodes = reallocate(decider->nodes, decider->capacity * sizeof(struct node *));
        decider->scores = reallocate(decider->scores, decider->capacity * sizeof *decider->scores);
        decider->totals = reallocate(decider->totals, decider->capacity * sizeof *decider->totals);
    }
}

void decider_clear(struct decider *decider)
{
    free(decider->nodes);
    free(decider->scores);
    free(decider->totals);
    *decider = (struct decider){0};
}

const struct profile *decider_profile(const struct decider *decider, const struct pod_class *class)
{
    for (size_t i = 0; i < decider->profile_count; i++) {
        if (strcmp(decider->profiles[i].scheduler_name, class->scheduler_name) == 0) {
            return &decider->profiles[i];
        }
    }
    return NULL;
}

/* The node where others made room for this pod, if it is the pod's turn there. */
static struct node *nominated_that_fits(const struct cycle *cycle)
{
    const struct nomination *nomination = nominations_find(cycle->cache, cycle->key);
    if (nomination == NULL || strcmp(nomination->uid, cycle->uid) != 0 ||
        !nomination->node->exists) {
        return NULL;
    }
    if (cycle_prepare(cycle, NULL) != 0 || !cycle_fits(cycle, nomination->node)) {
        return NULL;
    }
    free(steal(cycle->class->failure)); /* As below. */
    cycle->class->failed_at = 0;
    return nomination->node;
}

struct node *decider_choose(struct decider *decider, struct pod_class *class, const char *key,
                            const char *uid)
{
    struct cycle cycle = {.cache = decider->cache, .class = class, .key = key, .uid = uid};
    decider->filter_ns = decider->score_ns = 0;
    class->profile = decider_profile(decider, class);
    int64_t start = timestamp_monotonic();
    struct node *nominated = nominated_that_fits(&cycle);
    if (nominated != NULL) {
        decider->filter_ns = timestamp_monotonic() - start;
        return reserve(&cycle, nominated) ? nominated : NULL;
    }
    if (class->failed_at == decider->cache->freed) {
        return NULL;
    }
    decider_make_room(decider);
    if (!prepare(&cycle)) {
        return NULL;
    }
    find_nodes(decider, &cycle);
    int64_t found = timestamp_monotonic();
    decider->filter_ns = found - start;
    if (cycle.node_count == 0) {
        explain_failure(&cycle);
        return NULL;
    }
    free(steal(class->failure)); /* Whoever is told nothing now was not refused for it. */
    class->failed_at = 0;
    struct node *node = cycle.node_count == 1 ? cycle.nodes[0] : best_node(decider, &cycle);
    decider->score_ns = timestamp_monotonic() - found;
    return reserve(&cycle, node) ? node : NULL;
}

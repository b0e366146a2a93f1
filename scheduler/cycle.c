// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cycle.h"

#include <string.h>

#include "common/alloc.h"
#include "common/node_match.h"
#include "common/timestamp.h"

enum { fewest_nodes_to_find = 100, least_percentage = 5, plugins_max = 32 };

/* ---- static filters ---- */

static struct static_result ask_static(const struct cycle *cycle, const struct node *node)
{
    const json_t *spec = cycle->class->spec;
    struct static_result result = {.node_generation = node->generation, .fits = true};
    for (size_t i = 0; plugins[i] != NULL && result.fits; i++) {
        if (plugins[i]->is_static && plugins[i]->fits != NULL) {
            result.fits = plugins[i]->fits(cycle, node);
        }
    }
    if (result.fits) {
        result.preference = (int32_t)node_match_preference(
            json_path(spec, "affinity", "nodeAffinity"), node->name, node->labels);
        result.disliked = node_match_disliked(json_object_get(spec, "tolerations"), node->taints);
    }
    return result;
}

const struct static_result *plugin_static_result(const struct cycle *cycle, const struct node *node)
{
    struct pod_class *class = cycle->class;
    if (node->index >= class->static_result_count) {
        size_t count = cycle->cache->node_slots + 16;
        class->static_results =
            reallocate(class->static_results, count * sizeof *class->static_results);
        memset(class->static_results + class->static_result_count, 0,
               (count - class->static_result_count) * sizeof *class->static_results);
        class->static_result_count = count;
    }
    struct static_result *result = &class->static_results[node->index];
    if (result->node_generation != node->generation) {
        *result = ask_static(cycle, node);
    }
    return result;
}

/* ---- why not ---- */

struct reason {
    char *text;
    size_t count;
};

struct reasons {
    struct reason *list;
    size_t count, capacity;
};

void reasons_add(struct reasons *reasons, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    cleanup(free_char)
    char *reason = format_list(text, arguments);
    va_end(arguments);
    for (size_t i = 0; i < reasons->count; i++) {
        if (strcmp(reasons->list[i].text, reason) == 0) {
            reasons->list[i].count++;
            return;
        }
    }
    reasons->list = grow(reasons->list, reasons->count, &reasons->capacity, sizeof *reasons->list);
    reasons->list[reasons->count++] = (struct reason){steal(reason), 1};
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." */
static char *failure_text(const struct reasons *reasons, size_t node_count)
{
    if (node_count == 0) {
        return duplicate("no nodes available to schedule pods");
    }
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    char **parts = allocate_zero(reasons->count + 1, sizeof *parts);
    buffer_addf(&text, "0/%zu nodes are available", node_count);
    for (size_t i = 0; i < reasons->count; i++) {
        parts[i] = format("%zu %s", reasons->list[i].count, reasons->list[i].text);
    }
    qsort(parts, reasons->count, sizeof *parts, compare_texts);
    for (size_t i = 0; i < reasons->count; i++) {
        buffer_addf(&text, "%s%s", i == 0 ? ": " : ", ", parts[i]);
        free(parts[i]);
    }
    buffer_add_char(&text, '.');
    free(parts);
    return buffer_steal(&text);
}

/* The first plugin that rejects the node tells why. */
static void explain_node(const struct cycle *cycle, const struct node *node,
                         struct reasons *reasons, uint32_t *rejecting)
{
    for (size_t i = 0; plugins[i] != NULL; i++) {
        if (plugins[i]->leaves_out != NULL && plugins[i]->leaves_out(cycle, node)) {
            *rejecting |= UINT32_C(1) << i;
            reasons_add(reasons, "node(s) didn't satisfy plugin(s) [%s]", plugins[i]->name);
            return;
        }
    }
    for (size_t i = 0; plugins[i] != NULL; i++) {
        if (plugins[i]->fits != NULL && !plugins[i]->fits(cycle, node)) {
            *rejecting |= UINT32_C(1) << i;
            plugins[i]->explain(cycle, node, reasons);
            return;
        }
    }
}

static void explain_failure(const struct cycle *cycle)
{
    struct pod_class *class = cycle->class;
    struct reasons reasons = {0};
    class->failed_plugins = 0;
    for (size_t i = 0; i < cycle->cache->node_slots; i++) {
        const struct node *node = cycle->cache->nodes[i];
        if (node != NULL && node->exists) {
            explain_node(cycle, node, &reasons, &class->failed_plugins);
        }
    }
    free(class->failure);
    class->failure = failure_text(&reasons, cycle->cache->node_count);
    class->failed_at = cycle->cache->freed;
    for (size_t i = 0; i < reasons.count; i++) {
        free(reasons.list[i].text);
    }
    free(reasons.list);
}

/* ---- the nodes that fit ---- */

/* How many nodes that fit are enough: in a large cluster the best of some is as good. */
static size_t nodes_to_find(const struct decider *decider)
{
    size_t count = decider->cache->node_count;
    int64_t percentage = decider->percentage_of_nodes_to_score;
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

static void prepare(const struct cycle *cycle)
{
    for (size_t i = 0; plugins[i] != NULL; i++) {
        if (plugins[i]->prepare != NULL) {
            plugins[i]->prepare(cycle);
        }
    }
}

static bool node_fits(const struct cycle *cycle, const struct node *node)
{
    if (!plugin_static_result(cycle, node)->fits) {
        return false;
    }
    for (size_t i = 0; plugins[i] != NULL; i++) {
        if (!plugins[i]->is_static && plugins[i]->fits != NULL && !plugins[i]->fits(cycle, node)) {
            return false;
        }
    }
    return true;
}

static void find_nodes(struct decider *decider, struct cycle *cycle)
{
    size_t slots = decider->cache->node_slots, enough = nodes_to_find(decider), asked = 0;
    cycle->nodes = decider->nodes;
    cycle->node_count = 0;
    for (; asked < slots && cycle->node_count < enough; asked++) {
        struct node *node = decider->cache->nodes[(decider->next_start + asked) % slots];
        if (node != NULL && node->exists && node_fits(cycle, node)) {
            cycle->nodes[cycle->node_count++] = node;
        }
    }
    decider->next_start = slots > 0 ? (decider->next_start + asked) % slots : 0;
}

/* ---- the best of them ---- */

static struct node *best_node(const struct decider *decider, const struct cycle *cycle)
{
    int64_t *totals = decider->totals, *scores = decider->scores;
    memset(totals, 0, cycle->node_count * sizeof *totals);
    for (size_t i = 0; plugins[i] != NULL; i++) {
        if (plugins[i]->score == NULL || !plugins[i]->score(cycle, scores)) {
            continue;
        }
        for (size_t n = 0; n < cycle->node_count; n++) {
            totals[n] += scores[n] * plugins[i]->weight;
        }
    }
    size_t best = 0, equals = 1;
    for (size_t n = 1; n < cycle->node_count; n++) {
        if (totals[n] > totals[best]) {
            best = n;
            equals = 1;
        } else if (totals[n] == totals[best] && (size_t)random() % ++equals == 0) {
            best = n; /* Each of the equals with the same chance. */
        }
    }
    return cycle->nodes[best];
}

static bool reserve(const struct cycle *cycle, struct node *node)
{
    for (size_t i = 0; plugins[i] != NULL; i++) {
        if (plugins[i]->reserve != NULL && !plugins[i]->reserve(cycle, node)) {
            while (i-- > 0) {
                if (plugins[i]->unreserve != NULL) {
                    plugins[i]->unreserve(cycle, node);
                }
            }
            return false;
        }
    }
    return true;
}

/* ---- the interface ---- */

static void make_room(struct decider *decider)
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

struct node *decider_choose(struct decider *decider, struct pod_class *class, const char *key,
                            const char *uid)
{
    struct cycle cycle = {.cache = decider->cache, .class = class, .key = key, .uid = uid};
    decider->filter_ns = decider->score_ns = 0;
    if (class->failed_at == decider->cache->freed) {
        return NULL;
    }
    int64_t start = timestamp_monotonic();
    make_room(decider);
    prepare(&cycle);
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

// SPDX-License-Identifier: Apache-2.0
/* NodeResourcesFit: what the pod asks for must be left on the node. Of those where it is, nodes
 * with more left are better (LeastAllocated), by CPU and memory in equal parts; containers that ask
 * for nothing count as if they asked for a little. */
#include "scheduler/plugin.h"

static bool has_room(int64_t wanted, int64_t allocatable, int64_t requested)
{
    return wanted <= 0 || wanted <= allocatable - requested;
}

static bool has_extended(const struct pod_class *class, const struct node *node, uint32_t i)
{
    uint32_t name = class->requests.extended[i].name;
    return has_room(class->requests.extended[i].value,
                    resource_amounts_extended(&node->allocatable, name),
                    resource_amounts_extended(&node->requested, name));
}

static bool fits(const struct cycle *cycle, const struct node *node)
{
    const struct resource_amounts *wanted = &cycle->class->requests;
    const struct resource_amounts *total = &node->allocatable, *used = &node->requested;
    if (node->pod_count + 1 > node->allowed_pods ||
        !has_room(wanted->milli_cpu, total->milli_cpu, used->milli_cpu) ||
        !has_room(wanted->memory, total->memory, used->memory) ||
        !has_room(wanted->ephemeral_storage, total->ephemeral_storage, used->ephemeral_storage)) {
        return false;
    }
    for (uint32_t i = 0; i < wanted->extended_count; i++) {
        if (!has_extended(cycle->class, node, i)) {
            return false;
        }
    }
    return true;
}

/* More than the whole node has. */
static bool is_hopeless(const struct cycle *cycle, const struct node *node)
{
    const struct resource_amounts *wanted = &cycle->class->requests, *total = &node->allocatable;
    bool is_too_much = wanted->milli_cpu > total->milli_cpu || wanted->memory > total->memory ||
                       wanted->ephemeral_storage > total->ephemeral_storage;
    for (uint32_t i = 0; i < wanted->extended_count && !is_too_much; i++) {
        is_too_much =
            wanted->extended[i].value > resource_amounts_extended(total, wanted->extended[i].name);
    }
    return is_too_much;
}

static void explain(const struct cycle *cycle, const struct node *node, struct reasons *reasons)
{
    const struct resource_amounts *wanted = &cycle->class->requests;
    const struct resource_amounts *total = &node->allocatable, *used = &node->requested;
    if (node->pod_count + 1 > node->allowed_pods) {
        reasons_add(reasons, "Too many pods");
    }
    if (!has_room(wanted->milli_cpu, total->milli_cpu, used->milli_cpu)) {
        reasons_add(reasons, "Insufficient cpu");
    }
    if (!has_room(wanted->memory, total->memory, used->memory)) {
        reasons_add(reasons, "Insufficient memory");
    }
    if (!has_room(wanted->ephemeral_storage, total->ephemeral_storage, used->ephemeral_storage)) {
        reasons_add(reasons, "Insufficient ephemeral-storage");
    }
    for (uint32_t i = 0; i < wanted->extended_count; i++) {
        if (!has_extended(cycle->class, node, i)) {
            reasons_add(reasons, "Insufficient %s", resource_names_text(wanted->extended[i].name));
        }
    }
}

/* The share that is left, in SCORE_MAX parts. */
static int64_t left_over(int64_t allocatable, int64_t requested)
{
    return requested > allocatable ? 0 : (allocatable - requested) * SCORE_MAX / allocatable;
}

static bool score(const struct cycle *cycle, int64_t *scores)
{
    const struct resource_amounts *wanted = &cycle->class->assumed;
    for (size_t i = 0; i < cycle->node_count; i++) {
        const struct node *node = cycle->nodes[i];
        int64_t sum = 0, parts = 0;
        if (node->allocatable.milli_cpu > 0) {
            sum +=
                left_over(node->allocatable.milli_cpu, node->assumed.milli_cpu + wanted->milli_cpu);
            parts++;
        }
        if (node->allocatable.memory > 0) {
            sum += left_over(node->allocatable.memory, node->assumed.memory + wanted->memory);
            parts++;
        }
        scores[i] = parts > 0 ? sum / parts : 0;
    }
    return true;
}

const struct plugin plugin_node_resources_fit = {
    .name = "NodeResourcesFit",
    .weight = 1,
    .events = EVENT_NODE | EVENT_POD_LEFT,
    .fits = fits,
    .is_hopeless = is_hopeless,
    .explain = explain,
    .score = score,
};

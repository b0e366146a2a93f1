// SPDX-License-Identifier: Apache-2.0
/* NodeResourcesFit: what the pod asks for must be left on the node. Of those where it is, nodes are
 * better by the profile's strategy: by default those with more left, by CPU and memory in equal
 * parts; containers that ask for nothing count as if they asked for a little. */
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "scheduler/plugin.h"
#include "scheduler/resource_scores.h"

static bool has_room(int64_t wanted, int64_t allocatable, int64_t requested)
{
    return wanted <= 0 || wanted <= allocatable - requested;
}

/* The profile leaves this extended resource to others, by its name or by the domain in it. */
static bool is_ignored(const struct profile *profile, uint32_t name)
{
    if (profile->ignored_resources == NULL && profile->ignored_resource_groups == NULL) {
        return false;
    }
    char group[256];
    const char *text = resource_names_text(name);
    snprintf(group, sizeof group, "%.*s", (int)strcspn(text, "/"), text);
    return json_array_has_string(profile->ignored_resources, text) ||
           json_array_has_string(profile->ignored_resource_groups, group);
}

static bool has_extended(const struct pod_class *class, const struct node *node, uint32_t i)
{
    uint32_t name = class->requests.extended[i].name;
    return is_ignored(profile_of(class), name) ||
           has_room(class->requests.extended[i].value,
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

static bool score(const struct cycle *cycle, int64_t *scores)
{
    for (size_t i = 0; i < cycle->node_count; i++) {
        scores[i] = plugin_usage_score(cycle, cycle->nodes[i], USAGE_SCORE_FIT, resource_score_fit);
    }
    return true;
}

const struct plugin plugin_node_resources_fit = {
    .name = "NodeResourcesFit",
    .weight = 1,
    .is_local = true,
    .events = EVENT_NODE | EVENT_POD_LEFT,
    .fits = fits,
    .is_hopeless = is_hopeless,
    .explain = explain,
    .score = score,
};

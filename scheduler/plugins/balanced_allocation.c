// SPDX-License-Identifier: Apache-2.0
/* NodeResourcesBalancedAllocation: a node is better the nearer its shares of CPU and memory (or
 * what else the profile names) in use would be to each other. */
#include "scheduler/plugin.h"
#include "scheduler/resource_scores.h"

/* It would stand as balanced anywhere. */
static bool asks_for_none(const struct profile *profile, const struct pod_class *class)
{
    static const struct node empty;
    for (size_t i = 0; i < profile->balanced_resources.count; i++) {
        const struct weighted_resource *resource = &profile->balanced_resources.list[i];
        if (resource_share_of(resource, class, &empty, false).requested > 0) {
            return false;
        }
    }
    return true;
}

static bool score(const struct cycle *cycle, int64_t *scores)
{
    const struct profile *profile = profile_of(cycle->class);
    if (asks_for_none(profile, cycle->class)) {
        return false;
    }
    for (size_t i = 0; i < cycle->node_count; i++) {
        scores[i] =
            plugin_usage_score(cycle, cycle->nodes[i], USAGE_SCORE_BALANCE, resource_score_balance);
    }
    return true;
}

const struct plugin plugin_balanced_allocation = {
    .name = "NodeResourcesBalancedAllocation",
    .weight = 1,
    .score = score,
};

// SPDX-License-Identifier: Apache-2.0
/* NodeResourcesBalancedAllocation: a node is better the nearer its shares of CPU and memory in use
 * would be to each other. */
#include "scheduler/plugin.h"

static double share(int64_t requested, int64_t allocatable)
{
    double part = (double)requested / (double)allocatable;
    return part > 1 ? 1 : part;
}

static bool score(const struct cycle *cycle, int64_t *scores)
{
    const struct resource_amounts *wanted = &cycle->class->requests;
    if (wanted->milli_cpu == 0 && wanted->memory == 0) {
        return false; /* It would stand as balanced anywhere. */
    }
    for (size_t i = 0; i < cycle->node_count; i++) {
        const struct node *node = cycle->nodes[i];
        double deviation = 0;
        if (node->allocatable.milli_cpu > 0 && node->allocatable.memory > 0) {
            double cpu =
                share(node->requested.milli_cpu + wanted->milli_cpu, node->allocatable.milli_cpu);
            double memory =
                share(node->requested.memory + wanted->memory, node->allocatable.memory);
            deviation = (cpu > memory ? cpu - memory : memory - cpu) / 2;
        }
        scores[i] = (int64_t)((1 - deviation) * SCORE_MAX);
    }
    return true;
}

const struct plugin plugin_balanced_allocation = {
    .name = "NodeResourcesBalancedAllocation",
    .weight = 1,
    .score = score,
};

// SPDX-License-Identifier: Apache-2.0
#include "scheduler/plugin.h"
#include "scheduler/profile.h"

/* In the order in which they are asked by default, which is upstream's. NodeName has no place here:
 * a pod that names a node is that node's already and never comes into the queue. */
#define BEFORE_VOLUMES                                                                             \
    &plugin_scheduling_gates, &plugin_node_unschedulable, &plugin_taint_toleration,                \
        &plugin_node_affinity, &plugin_node_ports, &plugin_node_resources_fit
#define AFTER_VOLUMES                                                                              \
    &plugin_pod_topology_spread, &plugin_inter_pod_affinity, &plugin_balanced_allocation,          \
        &plugin_image_locality
#define PLUGINS_IN_ORDER                                                                           \
    BEFORE_VOLUMES, &plugin_volume_restrictions, &plugin_node_volume_limits,                       \
        &plugin_volume_binding, &plugin_volume_zone, AFTER_VOLUMES

const struct plugin *const plugins[] = {PLUGINS_IN_ORDER, NULL};

#define CPU_AND_MEMORY                                                                             \
    {                                                                                              \
        .list = {{.kind = RESOURCE_CPU, .weight = 1}, {.kind = RESOURCE_MEMORY, .weight = 1}},     \
        .count = 2,                                                                                \
    }

const struct profile profile_default = {
    .scheduler_name = "default-scheduler",
    .percentage_of_nodes_to_score = -1,
    .filters = {PLUGINS_IN_ORDER},
    .plain_filters = {BEFORE_VOLUMES, AFTER_VOLUMES},
    .scores = {PLUGINS_IN_ORDER},
    .reserves = {PLUGINS_IN_ORDER},
    .fit_resources = CPU_AND_MEMORY,
    .balanced_resources = CPU_AND_MEMORY,
    .bind_timeout_s = 600,
    .hard_pod_affinity_weight = 1,
    .min_candidate_nodes_percentage = 10,
    .min_candidate_nodes_absolute = 100,
};

const struct profile *profile_of(const struct pod_class *class)
{
    return class->profile != NULL ? class->profile : &profile_default;
}

const struct plugin *const *profile_filters(const struct pod_class *class)
{
    const struct profile *profile = profile_of(class);
    return class->volumes != NULL ? profile->filters : profile->plain_filters;
}

void plugin_normalize(int64_t *scores, size_t count, bool reverse)
{
    int64_t most = 0;
    for (size_t i = 0; i < count; i++) {
        most = scores[i] > most ? scores[i] : most;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t part = most > 0 ? scores[i] * SCORE_MAX / most : 0;
        scores[i] = reverse ? SCORE_MAX - part : part;
    }
}

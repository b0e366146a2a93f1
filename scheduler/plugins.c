// SPDX-License-Identifier: Apache-2.0
#include "scheduler/plugin.h"

/* Upstream's NodeName has no place here: a pod that names a node is that node's already and never
 * comes into the queue. */
const struct plugin *const plugins[] = {
    &plugin_scheduling_gates,
    &plugin_node_unschedulable,
    &plugin_taint_toleration,
    &plugin_node_affinity,
    &plugin_node_ports,
    &plugin_node_resources_fit,
    &plugin_pod_topology_spread,
    &plugin_inter_pod_affinity,
    &plugin_balanced_allocation,
    &plugin_image_locality,
    NULL,
};

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

// SPDX-License-Identifier: Apache-2.0
/* NodeUnschedulable: no new pods on a node that has been cordoned, but for those that tolerate it.
 */
#include "common/node_match.h"
#include "scheduler/plugin.h"

static bool fits(const struct cycle *cycle, const struct node *node)
{
    if (!node->is_unschedulable) {
        return true;
    }
    json_t *taint =
        json_pack("{s:s, s:s}", "key", "node.kubernetes.io/unschedulable", "effect", "NoSchedule");
    bool tolerated =
        node_match_tolerates(json_object_get(cycle->class->spec, "tolerations"), taint);
    json_decref(taint);
    return tolerated;
}

static void explain(const struct cycle *cycle, const struct node *node, struct reasons *reasons)
{
    (void)cycle;
    (void)node;
    reasons_add(reasons, "node(s) were unschedulable");
}

const struct plugin plugin_node_unschedulable = {
    .name = "NodeUnschedulable",
    .is_static = true,
    .events = EVENT_NODE,
    .fits = fits,
    .explain = explain,
};

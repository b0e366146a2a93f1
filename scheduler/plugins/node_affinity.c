// SPDX-License-Identifier: Apache-2.0
/* NodeAffinity: spec.nodeSelector and the required terms of spec.affinity.nodeAffinity say where a
 * pod may stand, the preferred terms where it would rather. */
#include "common/json.h"
#include "common/node_match.h"
#include "scheduler/plugin.h"

static bool fits(const struct cycle *cycle, const struct node *node)
{
    const json_t *spec = cycle->class->spec;
    return node_match_required(json_object_get(spec, "nodeSelector"),
                               json_path(spec, "affinity", "nodeAffinity"), node->name,
                               node->labels);
}

static void explain(const struct cycle *cycle, const struct node *node, struct reasons *reasons)
{
    (void)cycle;
    (void)node;
    reasons_add(reasons, "node(s) didn't match Pod's node affinity/selector");
}

static bool score(const struct cycle *cycle, int64_t *scores)
{
    bool any = false;
    for (size_t i = 0; i < cycle->node_count; i++) {
        scores[i] = plugin_static_result(cycle, cycle->nodes[i])->preference;
        any = any || scores[i] != 0;
    }
    plugin_normalize(scores, cycle->node_count, false);
    return any;
}

const struct plugin plugin_node_affinity = {
    .name = "NodeAffinity",
    .is_static = true,
    .weight = 2,
    .events = EVENT_NODE,
    .fits = fits,
    .explain = explain,
    .score = score,
};

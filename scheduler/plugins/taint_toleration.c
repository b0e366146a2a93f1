// SPDX-License-Identifier: Apache-2.0
/* TaintToleration: a node's taints keep away what does not tolerate them; those that only prefer to
 * be avoided lower the node's score. */
#include "common/json.h"
#include "common/node_match.h"
#include "scheduler/plugin.h"

static const json_t *untolerated(const struct cycle *cycle, const struct node *node)
{
    return node_match_untolerated(json_object_get(cycle->class->spec, "tolerations"), node->taints,
                                  "NoSchedule", "NoExecute");
}

static bool fits(const struct cycle *cycle, const struct node *node)
{
    return untolerated(cycle, node) == NULL;
}

static void explain(const struct cycle *cycle, const struct node *node, struct reasons *reasons)
{
    const json_t *taint = untolerated(cycle, node);
    const char *key = json_get_string(taint, "key"), *value = json_get_string(taint, "value");
    reasons_add(reasons, "node(s) had untolerated taint {%s: %s}", key != NULL ? key : "",
                value != NULL ? value : "");
}

static bool score(const struct cycle *cycle, int64_t *scores)
{
    bool any = false;
    for (size_t i = 0; !cycle->is_indifferent && i < cycle->node_count; i++) {
        scores[i] = plugin_static_result(cycle, cycle->nodes[i])->disliked;
        any = any || scores[i] != 0;
    }
    if (any) {
        plugin_normalize(scores, cycle->node_count, true);
    }
    return any;
}

const struct plugin plugin_taint_toleration = {
    .name = "TaintToleration",
    .is_static = true,
    .weight = 3,
    .events = EVENT_NODE,
    .fits = fits,
    .explain = explain,
    .score = score,
};

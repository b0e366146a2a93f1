// SPDX-License-Identifier: Apache-2.0
/* NodeAffinity: spec.nodeSelector and the required terms of spec.affinity.nodeAffinity say where a
 * pod may stand, the preferred terms where it would rather. */
#include <string.h>

#include "common/json.h"
#include "common/node_match.h"
#include "scheduler/plugin.h"
#include "scheduler/profile.h"

/* A required term names nodes, but not this one. */
static bool names_others(const json_t *term, const char *node_name)
{
    bool others = false;
    size_t i;
    const json_t *field;
    json_array_foreach (json_object_get(term, "matchFields"), i, field) {
        const char *key = json_get_string(field, "key"), *op = json_get_string(field, "operator");
        others = others || (key != NULL && strcmp(key, "metadata.name") == 0 && op != NULL &&
                            strcmp(op, "In") == 0 &&
                            !json_array_has_string(json_object_get(field, "values"), node_name));
    }
    return others;
}

/* As the terms of a DaemonSet's pods do. */
static bool leaves_out(const struct cycle *cycle, const struct node *node)
{
    const json_t *terms =
        json_path(cycle->class->spec, "affinity", "nodeAffinity",
                  "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms");
    size_t i;
    const json_t *term;
    json_array_foreach (terms, i, term) {
        if (!names_others(term, node->name)) {
            return false;
        }
    }
    return json_array_size(terms) > 0;
}

/* What the configuration asks of nodes for all pods. */
static bool is_ruled_out(const struct cycle *cycle, const struct node *node)
{
    const json_t *added = profile_of(cycle->class)->added_affinity;
    return added != NULL && !node_match_required(NULL, added, node->name, node->labels);
}

static bool fits(const struct cycle *cycle, const struct node *node)
{
    const json_t *spec = cycle->class->spec;
    return !is_ruled_out(cycle, node) &&
           node_match_required(json_object_get(spec, "nodeSelector"),
                               json_path(spec, "affinity", "nodeAffinity"), node->name,
                               node->labels);
}

static void explain(const struct cycle *cycle, const struct node *node, struct reasons *reasons)
{
    reasons_add(reasons, "%s",
                is_ruled_out(cycle, node) ? "node(s) didn't match scheduler-enforced node affinity"
                                          : "node(s) didn't match Pod's node affinity/selector");
}

static bool score(const struct cycle *cycle, int64_t *scores)
{
    bool any = false;
    for (size_t i = 0; !cycle->is_indifferent && i < cycle->node_count; i++) {
        scores[i] = plugin_static_result(cycle, cycle->nodes[i])->preference;
        any = any || scores[i] != 0;
    }
    if (any) {
        plugin_normalize(scores, cycle->node_count, false);
    }
    return any;
}

const struct plugin plugin_node_affinity = {
    .name = "NodeAffinity",
    .is_static = true,
    .weight = 2,
    .events = EVENT_NODE,
    .leaves_out = leaves_out,
    .fits = fits,
    .explain = explain,
    .score = score,
};

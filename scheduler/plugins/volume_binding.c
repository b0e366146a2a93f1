// SPDX-License-Identifier: Apache-2.0
/* VolumeBinding: a pod stands where its claims' volumes are, or can be found or made; see
 * volume_plan.h, and volume_binder.h for what follows. */
#include "common/alloc.h"
#include "scheduler/plugin.h"
#include "scheduler/volume_plan.h"

static bool fits(const struct cycle *cycle, const struct node *node)
{
    return cycle->class->volumes == NULL || volume_plan_judge(cycle, node, NULL) == 0;
}

static void explain(const struct cycle *cycle, const struct node *node, struct reasons *reasons)
{
    static const struct {
        unsigned reason;
        const char *text;
    } texts[] = {
        {REASON_NODE_CONFLICT, "node(s) didn't match PersistentVolume's node affinity"},
        {REASON_BIND_CONFLICT, "node(s) didn't find available persistent volumes to bind"},
        {REASON_NO_SPACE, "node(s) did not have enough free storage"},
        {REASON_NO_VOLUME,
         "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"},
    };
    unsigned judged = volume_plan_judge(cycle, node, NULL);
    for (size_t i = 0; i < array_length(texts); i++) {
        if (judged & texts[i].reason) {
            reasons_add(reasons, "%s", texts[i].text);
        }
    }
}

static bool is_hopeless(const struct cycle *cycle, const struct node *node)
{
    (void)cycle;
    (void)node;
    return true;
}

static bool may_help(const struct pod_class *waiting, const struct cluster_change *change)
{
    return change->volume == NULL || (change->volume->kind != CHANGE_DETACHED &&
                                      pod_volumes_concern(waiting, change->volume));
}

static bool reserve(const struct cycle *cycle, struct node *node)
{
    return volume_plan_reserve(cycle, node);
}

static void unreserve(const struct cycle *cycle, struct node *node)
{
    (void)node;
    struct volume_plan *plan = volume_plan_take(cycle->cache->volumes, cycle->key);
    if (plan != NULL) {
        volume_plan_end(cycle->cache->volumes, plan);
    }
}

const struct plugin plugin_volume_binding = {
    .name = "VolumeBinding",
    .is_about_volumes = true,
    .events = EVENT_NODE | EVENT_VOLUME,
    .refuse = volume_plan_prepare,
    .fits = fits,
    .is_hopeless = is_hopeless,
    .may_help = may_help,
    .explain = explain,
    .reserve = reserve,
    .unreserve = unreserve,
};

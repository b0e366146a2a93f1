// SPDX-License-Identifier: Apache-2.0
/* VolumeRestrictions: a claim that is for one pod (ReadWriteOncePod) has one anywhere, and some
 * kinds of disks that pods name themselves can't be on a node twice. */
#include "common/alloc.h"
#include "scheduler/plugin.h"
#include "scheduler/pod_volumes.h"

static char *refuse(const struct cycle *cycle)
{
    struct pod_volumes *pod_volumes = cycle->class->volumes;
    if (pod_volumes == NULL) {
        return NULL;
    }
    pod_volumes_know(cycle->cache->volumes, pod_volumes);
    for (size_t i = 0; i < pod_volumes->claim_count; i++) {
        const struct pod_claim *named = &pod_volumes->claims[i];
        if (!named->is_ephemeral && !named->claim->exists) {
            return format("persistentvolumeclaim \"%s\" not found", named->claim->name);
        }
    }
    return NULL;
}

static bool has_disk(const struct node *node, const json_t *disk)
{
    size_t n;
    const json_t *other;
    for (size_t i = 0; i < node->volume_user_count; i++) {
        const struct volume_user *user = &node->volume_users[i];
        json_array_foreach (user->class->volumes->disks, n, other) {
            if (user->count > 0 && pod_volumes_disks_conflict(disk, other)) {
                return true;
            }
        }
    }
    return false;
}

static bool has_free_disks(const struct cycle *cycle, const struct node *node)
{
    size_t i;
    const json_t *disk;
    json_array_foreach (cycle->class->volumes->disks, i, disk) {
        if (has_disk(node, disk)) {
            return false;
        }
    }
    return true;
}

static bool is_used_by_another(const struct cycle *cycle)
{
    const struct pod_volumes *pod_volumes = cycle->class->volumes;
    for (size_t i = 0; i < pod_volumes->claim_count; i++) {
        const struct pod_claim *named = &pod_volumes->claims[i];
        if (!named->is_ephemeral && named->claim->users > 0 &&
            (named->claim->shape.modes & MODE_READ_WRITE_ONCE_POD)) {
            return true;
        }
    }
    return false;
}

static bool fits(const struct cycle *cycle, const struct node *node)
{
    return cycle->class->volumes == NULL ||
           (has_free_disks(cycle, node) && !is_used_by_another(cycle));
}

static void explain(const struct cycle *cycle, const struct node *node, struct reasons *reasons)
{
    reasons_add(reasons, "%s",
                !has_free_disks(cycle, node)
                    ? "node(s) had no available disk"
                    : "node has pod using PersistentVolumeClaim with the same name and "
                      "ReadWriteOncePod access mode");
}

static bool may_help(const struct pod_class *waiting, const struct cluster_change *change)
{
    if (change->event == EVENT_VOLUME) {
        return change->volume->kind == CHANGE_CLAIM && pod_volumes_concern(waiting, change->volume);
    }
    return change->pod == NULL || pod_volumes_meet(waiting, change->pod);
}

const struct plugin plugin_volume_restrictions = {
    .name = "VolumeRestrictions",
    .is_about_volumes = true,
    .events = EVENT_NODE | EVENT_POD_LEFT | EVENT_VOLUME,
    .refuse = refuse,
    .fits = fits,
    .may_help = may_help,
    .explain = explain,
};

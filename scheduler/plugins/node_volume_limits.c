// SPDX-License-Identifier: Apache-2.0
/* NodeVolumeLimits: a node takes so many volumes of a CSI driver as its CSINode says. A volume
 * counts once, whether pods there use it or it is still attached. */
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "scheduler/plugin.h"
#include "scheduler/pod_volumes.h"

/* Volumes by what they are called outside; text is borrowed. */
struct handles {
    struct handle {
        const char *driver, *handle;
    } * list;
    size_t count, capacity;
};

static void add(struct handles *handles, const char *driver, const char *handle)
{
    for (size_t i = 0; i < handles->count; i++) {
        if (strcmp(handles->list[i].handle, handle) == 0 &&
            strcmp(handles->list[i].driver, driver) == 0) {
            return;
        }
    }
    handles->list = grow(handles->list, handles->count, &handles->capacity, sizeof *handles->list);
    handles->list[handles->count++] = (struct handle){driver, handle};
}

static void add_volume(struct handles *handles, const struct volume *volume,
                       const struct volume_node *node)
{
    if (volume->driver[0] != '\0' &&
        (volume->plugin == NULL || volume_node_migrates(node, volume->plugin))) {
        add(handles, volume->driver, volume->handle);
    }
}

/* What isn't there yet will be one of its class's driver. */
static void add_claim(struct handles *handles, const struct volumes *volumes,
                      const struct claim *claim, const struct volume_node *node)
{
    if (claim == NULL || !claim->exists) {
        return;
    }
    const struct volume *volume = map_get(&volumes->volumes, claim->volume_name);
    if (volume != NULL) {
        add_volume(handles, volume, node);
        return;
    }
    const struct storage_class *class = map_get(&volumes->classes, claim->shape.class_name);
    if (class == NULL) {
        return;
    }
    const char *driver = volume_migrated_driver(class->provisioner);
    if (driver == class->provisioner || volume_node_migrates(node, class->provisioner)) {
        add(handles, driver, claim->key);
    }
}

static void add_class(struct handles *handles, const struct volumes *volumes,
                      const struct pod_class *class, const struct volume_node *node)
{
    size_t i;
    const json_t *disk;
    for (i = 0; i < class->volumes->claim_count; i++) {
        add_claim(handles, volumes, class->volumes->claims[i].claim, node);
    }
    json_array_foreach (class->volumes->disks, i, disk) {
        const char *driver, *handle, *plugin = volume_migration(disk, &driver, &handle);
        if (plugin != NULL && volume_node_migrates(node, plugin)) {
            add(handles, driver, handle);
        }
    }
}

static void add_used(struct handles *handles, const struct volumes *volumes,
                     const struct node *node, const struct volume_node *volume_node)
{
    for (size_t i = 0; i < node->volume_user_count; i++) {
        if (node->volume_users[i].count > 0) {
            add_class(handles, volumes, node->volume_users[i].class, volume_node);
        }
    }
    for (const struct volume_attachment *attachment = volume_node->attachments; attachment != NULL;
         attachment = attachment->next) {
        const struct volume *volume = map_get(&volumes->volumes, attachment->volume_name);
        if (volume != NULL && volume->plugin == NULL) {
            add(handles, attachment->driver, volume->handle);
        }
    }
}

static int64_t count_of(const struct handles *handles, const char *driver)
{
    int64_t count = 0;
    for (size_t i = 0; i < handles->count; i++) {
        count += strcmp(handles->list[i].driver, driver) == 0;
    }
    return count;
}

static bool exceeds(const struct volume_node *node, const struct handles *before,
                    const struct handles *after)
{
    for (size_t i = 0; i < node->limit_count; i++) {
        const struct volume_limit *limit = &node->limits[i];
        int64_t count = count_of(after, limit->driver);
        if (count > limit->count && count > count_of(before, limit->driver)) {
            return true;
        }
    }
    return false;
}

static bool fits(const struct cycle *cycle, const struct node *node)
{
    const struct volumes *volumes = cycle->cache->volumes;
    if (cycle->class->volumes == NULL) {
        return true;
    }
    const struct volume_node *volume_node = map_get(&volumes->nodes, node->name);
    if (volume_node == NULL || volume_node->limit_count == 0) {
        return true;
    }
    struct handles before = {0}, after = {0};
    add_used(&before, volumes, node, volume_node);
    for (size_t i = 0; i < before.count; i++) {
        after.list = grow(after.list, after.count, &after.capacity, sizeof *after.list);
        after.list[after.count++] = before.list[i];
    }
    add_class(&after, volumes, cycle->class, volume_node);
    bool fits = !exceeds(volume_node, &before, &after);
    free(before.list);
    free(after.list);
    return fits;
}

static char *refuse(const struct cycle *cycle)
{
    if (cycle->class->volumes != NULL) {
        pod_volumes_know(cycle->cache->volumes, cycle->class->volumes);
    }
    return NULL;
}

static void explain(const struct cycle *cycle, const struct node *node, struct reasons *reasons)
{
    (void)cycle;
    (void)node;
    reasons_add(reasons, "node(s) exceed max volume count");
}

static bool may_help(const struct pod_class *waiting, const struct cluster_change *change)
{
    if (change->event == EVENT_VOLUME) {
        return (change->volume->kind == CHANGE_CLAIM || change->volume->kind == CHANGE_CSI_NODE ||
                change->volume->kind == CHANGE_DETACHED) &&
               pod_volumes_concern(waiting, change->volume);
    }
    return change->pod == NULL || change->pod->volumes != NULL;
}

const struct plugin plugin_node_volume_limits = {
    .name = "NodeVolumeLimits",
    .is_about_volumes = true,
    .events = EVENT_NODE | EVENT_POD_LEFT | EVENT_VOLUME,
    .refuse = refuse,
    .fits = fits,
    .may_help = may_help,
    .explain = explain,
};

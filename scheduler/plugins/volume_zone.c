// SPDX-License-Identifier: Apache-2.0
/* VolumeZone: volumes that say by labels in which zones and regions they are. Nodes that say
 * nothing of theirs take all. */
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "scheduler/plugin.h"
#include "scheduler/pod_volumes.h"

static const struct {
    const char *label, *newer;
} topologies[] = {
    {"failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"},
    {"failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"},
    {"topology.kubernetes.io/zone", "topology.kubernetes.io/zone"},
    {"topology.kubernetes.io/region", "topology.kubernetes.io/region"},
};

static char *refuse_claim(const struct volumes *volumes, const struct claim *claim)
{
    if (claim->name[0] == '\0') {
        return duplicate("PersistentVolumeClaim had no name");
    }
    if (!claim->exists) {
        return format("persistentvolumeclaim \"%s\" not found", claim->name);
    }
    if (claim->volume_name[0] != '\0') {
        return map_get(&volumes->volumes, claim->volume_name) != NULL
                   ? NULL
                   : format("persistentvolume \"%s\" not found", claim->volume_name);
    }
    const char *class_name = claim->shape.class_name;
    if (class_name[0] == '\0') {
        return duplicate("PersistentVolumeClaim had no pv name and storageClass name");
    }
    if (map_get(&volumes->classes, class_name) == NULL) {
        return format("storageclass.storage.k8s.io \"%s\" not found", class_name);
    }
    return volumes_claim_is_late(volumes, claim) ? NULL : duplicate("PersistentVolume had no name");
}

static char *refuse(const struct cycle *cycle)
{
    struct pod_volumes *pod_volumes = cycle->class->volumes;
    char *why = NULL;
    if (pod_volumes == NULL) {
        return NULL;
    }
    pod_volumes_know(cycle->cache->volumes, pod_volumes);
    for (size_t i = 0; i < pod_volumes->claim_count && why == NULL; i++) {
        if (!pod_volumes->claims[i].is_ephemeral) {
            why = refuse_claim(cycle->cache->volumes, pod_volumes->claims[i].claim);
        }
    }
    return why;
}

/* A volume in several zones has them joined by "__". */
static bool holds(const char *zones, const char *zone)
{
    size_t length = strlen(zone);
    for (const char *at = zones; at != NULL;) {
        const char *end = strstr(at, "__");
        if ((end != NULL ? (size_t)(end - at) : strlen(at)) == length &&
            strncmp(at, zone, length) == 0) {
            return true;
        }
        at = end != NULL ? end + 2 : NULL;
    }
    return false;
}

static bool names_none(const struct node *node)
{
    for (size_t i = 0; i < array_length(topologies); i++) {
        if (json_get_string(node->labels, topologies[i].label) != NULL) {
            return false;
        }
    }
    return true;
}

static bool is_in_zone(const struct volume *volume, const struct node *node)
{
    for (size_t i = 0; i < array_length(topologies); i++) {
        const char *zones = json_get_string(volume->labels, topologies[i].label);
        const char *zone = json_get_string(node->labels, topologies[i].label);
        zone = zone != NULL ? zone : json_get_string(node->labels, topologies[i].newer);
        if (zones != NULL && (zone == NULL || !holds(zones, zone))) {
            return false;
        }
    }
    return true;
}

static bool fits(const struct cycle *cycle, const struct node *node)
{
    const struct pod_volumes *pod_volumes = cycle->class->volumes;
    for (size_t i = 0; pod_volumes != NULL && i < pod_volumes->claim_count; i++) {
        const struct pod_claim *named = &pod_volumes->claims[i];
        const struct volume *volume =
            !named->is_ephemeral && named->claim->volume_name[0] != '\0'
                ? map_get(&cycle->cache->volumes->volumes, named->claim->volume_name)
                : NULL;
        if (volume != NULL && volume->labels != NULL && !is_in_zone(volume, node)) {
            return names_none(node);
        }
    }
    return true;
}

static bool is_hopeless(const struct cycle *cycle, const struct node *node)
{
    (void)cycle;
    (void)node;
    return true;
}

static void explain(const struct cycle *cycle, const struct node *node, struct reasons *reasons)
{
    (void)cycle;
    (void)node;
    reasons_add(reasons, "node(s) had no available volume zone");
}

static bool may_help(const struct pod_class *waiting, const struct cluster_change *change)
{
    return change->volume == NULL ||
           ((change->volume->kind == CHANGE_CLAIM || change->volume->kind == CHANGE_VOLUME ||
             change->volume->kind == CHANGE_CLASS) &&
            pod_volumes_concern(waiting, change->volume));
}

const struct plugin plugin_volume_zone = {
    .name = "VolumeZone",
    .is_about_volumes = true,
    .events = EVENT_NODE | EVENT_VOLUME,
    .refuse = refuse,
    .fits = fits,
    .is_hopeless = is_hopeless,
    .may_help = may_help,
    .explain = explain,
};

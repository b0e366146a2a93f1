// SPDX-License-Identifier: Apache-2.0
#include "controllers/node_taints.h"

#include <string.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/conditions.h"
#include "controllers/resources.h"

const char taint_not_ready[] = "node.kubernetes.io/not-ready";
const char taint_unreachable[] = "node.kubernetes.io/unreachable";

static const char no_schedule[] = "NoSchedule";

static const struct {
    const char *condition, *status, *key;
} by_condition[] = {
    {"Ready", "False", taint_not_ready},
    {"Ready", "Unknown", taint_unreachable},
    {"MemoryPressure", "True", "node.kubernetes.io/memory-pressure"},
    {"DiskPressure", "True", "node.kubernetes.io/disk-pressure"},
    {"NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"},
    {"PIDPressure", "True", "node.kubernetes.io/pid-pressure"},
    {NULL, NULL, "node.kubernetes.io/unschedulable"}, /* By spec.unschedulable. */
};

_Static_assert(array_length(by_condition) < array_length((struct taint_changes){0}.add),
               "all of them fit into the changes, with their end");

static bool has_text(const json_t *object, const char *name, const char *text)
{
    const char *present = json_get_string(object, name);
    return present != NULL && strcmp(present, text) == 0;
}

static bool is_taint(const json_t *taint, const char *key, const char *effect)
{
    return has_text(taint, "key", key) && has_text(taint, "effect", effect);
}

bool node_taints_has(const json_t *node, const char *key, const char *effect)
{
    size_t i;
    const json_t *taint;
    json_array_foreach (json_path(node, "spec", "taints"), i, taint) {
        if (is_taint(taint, key, effect)) {
            return true;
        }
    }
    return false;
}

static bool is_called_for(const json_t *node, size_t i)
{
    if (by_condition[i].condition == NULL) {
        return json_get_bool(json_object_get(node, "spec"), "unschedulable", false);
    }
    const json_t *condition =
        condition_find(json_path(node, "status", "conditions"), by_condition[i].condition);
    return condition != NULL && has_text(condition, "status", by_condition[i].status);
}

struct taint_changes node_taints_by_condition(const json_t *node)
{
    struct taint_changes changes = {.effect = no_schedule};
    size_t added = 0, removed = 0;
    for (size_t i = 0; i < array_length(by_condition); i++) {
        bool has = node_taints_has(node, by_condition[i].key, no_schedule);
        bool wanted = is_called_for(node, i);
        if (wanted && !has) {
            changes.add[added++] = by_condition[i].key;
        } else if (has && !wanted) {
            changes.remove[removed++] = by_condition[i].key;
        }
    }
    return changes;
}

static bool removes(const struct taint_changes *changes, const json_t *taint)
{
    for (size_t i = 0; changes->remove[i] != NULL; i++) {
        if (is_taint(taint, changes->remove[i], changes->effect)) {
            return true;
        }
    }
    return false;
}

json_t *node_taints_changed(const json_t *node, const struct taint_changes *changes)
{
    size_t i;
    json_t *taint;
    cleanup(json_release)
    json_t *taints = json_array();
    const json_t *old = json_path(node, "spec", "taints");
    json_array_foreach (old, i, taint) {
        if (!removes(changes, taint)) {
            json_array_append(taints, taint);
        }
    }
    bool changed = json_array_size(taints) != json_array_size(old);
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    for (i = 0; changes->add[i] != NULL; i++) {
        if (!node_taints_has(node, changes->add[i], changes->effect)) {
            json_array_append_new(taints, json_pack("{s:s, s:s, s:s}", "key", changes->add[i],
                                                    "effect", changes->effect, "timeAdded", now));
            changed = true;
        }
    }
    return changed ? steal(taints) : NULL;
}

bool node_taints_write(struct client *client, const json_t *node,
                       const struct taint_changes *changes, struct error *error)
{
    cleanup(json_release)
    json_t *taints = node_taints_changed(node, changes);
    if (taints == NULL) {
        return true;
    }
    const json_t *metadata = json_object_get(node, "metadata");
    cleanup(json_release)
    json_t *patch =
        json_pack("{s:{s:O, s:O}, s:{s:O}}", "metadata", "uid", json_object_get(metadata, "uid"),
                  "resourceVersion", json_object_get(metadata, "resourceVersion"), "spec", "taints",
                  json_array_size(taints) > 0 ? taints : json_null());
    cleanup(json_release)
    json_t *written = client_patch(client, &resource_nodes, NULL, json_get_string(metadata, "name"),
                                   NULL, client_merge_patch, patch, error);
    return written != NULL;
}

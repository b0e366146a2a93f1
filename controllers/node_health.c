// SPDX-License-Identifier: Apache-2.0
#include "controllers/node_health.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"
#include "controllers/conditions.h"

static json_t *conditions_of(const json_t *node)
{
    return json_path(node, "status", "conditions");
}

static int64_t time_at(const json_t *object, const char *name)
{
    const char *text = json_get_string(object, name);
    int64_t time = 0;
    return text != NULL && timestamp_parse(text, &time) ? time : 0;
}

enum node_readiness node_readiness(const json_t *node)
{
    const char *status = json_get_string(condition_find(conditions_of(node), "Ready"), "status");
    return status == NULL                 ? NODE_UNKNOWN
           : strcmp(status, "True") == 0  ? NODE_READY
           : strcmp(status, "False") == 0 ? NODE_NOT_READY
                                          : NODE_UNKNOWN;
}

/* A node that never told anything counts from its creation. */
static void note(struct node_health *health, const json_t *node, int64_t renew_time,
                 const struct node_clock *clock)
{
    const json_t *ready = condition_find(conditions_of(node), "Ready");
    int64_t heartbeat = time_at(ready, "lastHeartbeatTime");
    if (!health->is_known && ready == NULL) {
        int64_t creation = time_at(json_object_get(node, "metadata"), "creationTimestamp");
        health->heard = clock->now - (clock->wall - creation);
    } else if (!health->is_known || health->had_condition != (ready != NULL) ||
               (ready != NULL && heartbeat != health->heartbeat)) {
        health->heard = clock->now;
    }
    health->is_known = true;
    health->had_condition = ready != NULL;
    health->heartbeat = heartbeat;
    if (renew_time > health->renew_time) {
        health->renew_time = renew_time;
        health->heard = clock->now;
    }
}

static void add_condition(json_t *node, const char *type, const char *now)
{
    json_t *status = json_get_or_add_object(node, "status");
    json_t *conditions = json_object_get(status, "conditions");
    if (!json_is_array(conditions)) {
        conditions = json_array();
        json_object_set_new(status, "conditions", conditions);
    }
    const char *creation = json_path_string(node, "metadata", "creationTimestamp");
    json_array_append_new(
        conditions, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", type, "status", "Unknown",
                              "lastHeartbeatTime", creation != NULL ? creation : now,
                              "lastTransitionTime", now, "reason", "NodeStatusNeverUpdated",
                              "message", "Kubelet never posted node status."));
}

static void doubt_condition(json_t *condition, const char *now)
{
    const char *status = json_get_string(condition, "status");
    if (status != NULL && strcmp(status, "Unknown") == 0) {
        return;
    }
    json_object_set_new(condition, "status", json_string("Unknown"));
    json_object_set_new(condition, "reason", json_string("NodeStatusUnknown"));
    json_object_set_new(condition, "message", json_string("Kubelet stopped posting node status."));
    json_object_set_new(condition, "lastTransitionTime", json_string(now));
}

/* All that a kubelet tells. NetworkUnavailable is told by others. */
static void doubt_conditions(json_t *node, int64_t wall)
{
    static const char *const types[] = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};
    char now[TIMESTAMP_SIZE];
    timestamp_format(wall, now);
    for (size_t i = 0; i < array_length(types); i++) {
        json_t *condition = condition_find(conditions_of(node), types[i]);
        if (condition == NULL) {
            add_condition(node, types[i], now);
        } else {
            doubt_condition(condition, now);
        }
    }
}

struct node_verdict node_health_observe(struct node_health *health, json_t *node,
                                        int64_t renew_time, const struct node_clock *clock)
{
    const json_t *ready = condition_find(conditions_of(node), "Ready");
    struct node_verdict verdict = {.seen = node_readiness(node), .has_condition = ready != NULL};
    note(health, node, renew_time, clock);
    int64_t grace = ready != NULL ? clock->grace : clock->startup_grace;
    bool is_lost = clock->now - health->heard > grace;
    if (is_lost && (ready == NULL || verdict.seen != NODE_UNKNOWN)) {
        doubt_conditions(node, clock->wall);
        verdict.has_condition = verdict.changed = true;
    }
    verdict.current = node_readiness(node);
    return verdict;
}

void node_health_wrote(struct node_health *health, const json_t *node)
{
    health->had_condition = true;
    health->heartbeat = time_at(condition_find(conditions_of(node), "Ready"), "lastHeartbeatTime");
}

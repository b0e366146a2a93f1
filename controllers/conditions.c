// SPDX-License-Identifier: Apache-2.0
#include "controllers/conditions.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

static size_t position_of(const json_t *conditions, const char *type)
{
    size_t i;
    const json_t *condition;
    json_array_foreach (conditions, i, condition) {
        const char *name = json_get_string(condition, "type");
        if (name != NULL && strcmp(name, type) == 0) {
            break;
        }
    }
    return i;
}

json_t *condition_find(const json_t *conditions, const char *type)
{
    return json_array_get(conditions, position_of(conditions, type));
}

static bool has_text(const json_t *object, const char *name, const char *text)
{
    const char *present = json_get_string(object, name);
    return strcmp(present != NULL ? present : "", text != NULL ? text : "") == 0;
}

bool condition_is_true(const json_t *conditions, const char *type)
{
    const json_t *condition = condition_find(conditions, type);
    return condition != NULL && has_text(condition, "status", "True");
}

bool condition_set(json_t *conditions, const char *type, const char *status, const char *reason,
                   const char *message, bool with_update_time)
{
    json_t *old = condition_find(conditions, type);
    if (old != NULL && has_text(old, "status", status) && has_text(old, "reason", reason) &&
        has_text(old, "message", message)) {
        return false;
    }
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    json_t *new =
        json_pack("{s:s, s:s, s:s}", "type", type, "status", status, "lastTransitionTime", now);
    if (old != NULL && has_text(old, "status", status)) {
        json_object_set(new, "lastTransitionTime", json_object_get(old, "lastTransitionTime"));
    }
    if (with_update_time) {
        json_object_set_new(new, "lastUpdateTime", json_string(now));
    }
    if (reason != NULL) {
        json_object_set_new(new, "reason", json_string(reason));
    }
    if (message != NULL) {
        json_object_set_new(new, "message", json_string(message));
    }
    if (old != NULL) {
        json_array_set_new(conditions, position_of(conditions, type), new);
    } else {
        json_array_append_new(conditions, new);
    }
    return true;
}

bool condition_remove(json_t *conditions, const char *type)
{
    return json_array_remove(conditions, position_of(conditions, type)) == 0;
}

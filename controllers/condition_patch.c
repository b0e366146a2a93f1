// SPDX-License-Identifier: Apache-2.0
#include "controllers/condition_patch.h"

#include "common/alloc.h"
#include "common/timestamp.h"

struct client_request condition_patch_request(const struct api_resource *resource,
                                              const struct cached_object *object, const char *type,
                                              const char *status, const char *reason,
                                              const char *message)
{
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    json_t *condition =
        json_pack("{s:s, s:s, s:s}", "type", type, "status", status, "lastTransitionTime", now);
    if (reason != NULL) {
        json_object_set_new(condition, "reason",
                            reason[0] != '\0' ? json_string(reason) : json_null());
    }
    if (message != NULL) {
        json_object_set_new(condition, "message",
                            message[0] != '\0' ? json_string(message) : json_null());
    }
    if (object->generation > 0) {
        json_object_set_new(condition, "observedGeneration", json_integer(object->generation));
    }
    cleanup(json_release)
    json_t *patch = json_pack("{s:{s:s}, s:{s:[o]}}", "metadata", "uid", object->uid, "status",
                              "conditions", condition);
    return client_patch_request(resource, object->namespace, object->name, "status",
                                client_strategic_merge_patch, patch);
}

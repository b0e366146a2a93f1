// SPDX-License-Identifier: Apache-2.0
#include "controllers/attach_plan.h"

#include <openssl/sha.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

const int64_t attach_patience = INT64_C(360) * 1000000000;

char *attach_name(const char *handle, const char *driver, const char *node_name)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    char hex[2 * SHA256_DIGEST_LENGTH + 1];
    cleanup(free_char)
    char *text = format("%s%s%s", handle, driver, node_name);
    SHA256((const unsigned char *)text, strlen(text), hash);
    for (size_t i = 0; i < sizeof hash; i++) {
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    }
    return format("csi-%s", hex);
}

char *attach_volume_name(const char *driver, const char *handle)
{
    return format("kubernetes.io/csi/%s^%s", driver, handle);
}

bool attach_is_shared(const json_t *volume)
{
    const json_t *modes = json_path(volume, "spec", "accessModes");
    return json_array_size(modes) == 0 || json_array_has_string(modes, "ReadWriteMany") ||
           json_array_has_string(modes, "ReadOnlyMany");
}

static bool runs(const json_t *pod)
{
    size_t i;
    const json_t *status;
    json_array_foreach (json_path(pod, "status", "containerStatuses"), i, status) {
        const json_t *state = json_object_get(status, "state");
        if (json_object_get(state, "terminated") == NULL &&
            json_object_get(state, "waiting") == NULL) {
            return true;
        }
    }
    return false;
}

bool attach_is_over(const json_t *pod)
{
    const char *phase = json_path_string(pod, "status", "phase");
    bool has_ended =
        phase != NULL && (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0);
    return has_ended || (json_path(pod, "metadata", "deletionTimestamp") != NULL && !runs(pod));
}

bool attach_is_managed(const json_t *node)
{
    return json_path(node, "metadata", "annotations",
                     "volumes.kubernetes.io/controller-managed-attach-detach") != NULL;
}

static bool is_out_of_service(const json_t *node)
{
    size_t i;
    const json_t *taint;
    json_array_foreach (json_path(node, "spec", "taints"), i, taint) {
        const char *key = json_get_string(taint, "key");
        if (key != NULL && strcmp(key, "node.kubernetes.io/out-of-service") == 0) {
            return true;
        }
    }
    return false;
}

static bool is_well(const json_t *node)
{
    size_t i;
    const json_t *condition;
    json_array_foreach (json_path(node, "status", "conditions"), i, condition) {
        const char *type = json_get_string(condition, "type");
        const char *status = json_get_string(condition, "status");
        if (type != NULL && strcmp(type, "Ready") == 0) {
            return status != NULL && strcmp(status, "True") == 0;
        }
    }
    return false;
}

enum attach_detach attach_may_go(const json_t *node, const char *volume_name, int64_t waited)
{
    if (!json_array_has_string(json_path(node, "status", "volumesInUse"), volume_name) ||
        is_out_of_service(node)) {
        return DETACH_NOW;
    }
    return is_well(node) ? DETACH_UNMOUNTED : waited >= attach_patience ? DETACH_NOW : DETACH_LATER;
}

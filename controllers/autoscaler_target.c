// SPDX-License-Identifier: Apache-2.0
#include "controllers/autoscaler_target.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

static const int64_t second = 1000000000;

enum { lifetime_seconds = 30, shortest_seconds = 1 };

/* ---- what is served ---- */

void autoscaler_targets_clear(struct autoscaler_targets *targets)
{
    discovery_free(&targets->discovery);
}

/* Reads it unless what is known is younger than that. */
static bool refresh(struct autoscaler_targets *targets, int64_t seconds, struct error *error)
{
    int64_t now = timestamp_monotonic();
    if (targets->read != 0 && now - targets->read < seconds * second) {
        return true;
    }
    struct discovery fresh = DISCOVERY_INIT;
    if (!discovery_read(targets->client, &fresh, error)) {
        discovery_free(&fresh);
        return false;
    }
    discovery_free(&targets->discovery);
    targets->discovery = fresh;
    targets->read = now;
    return true;
}

static size_t group_length(const char *group_version)
{
    const char *slash = strchr(group_version, '/');
    return slash != NULL ? (size_t)(slash - group_version) : 0;
}

static bool is_of_group(const struct api_resource *resource, const char *group, size_t length)
{
    return group_length(resource->group_version) == length &&
           strncmp(resource->group_version, group, length) == 0;
}

/* One that can be scaled before others; so that a kind that is served twice, as nodes are by
 * metrics.k8s.io under another, is no obstacle. */
static const struct api_resource *find(const struct discovery *discovery, const char *group,
                                       size_t length, const char *kind)
{
    const struct discovered *found = NULL;
    for (size_t i = 0; i < discovery->count; i++) {
        const struct discovered *one = discovery->items[i];
        if (strcmp(one->resource.kind, kind) == 0 && is_of_group(&one->resource, group, length) &&
            (found == NULL || (one->has_scale && !found->has_scale))) {
            found = one;
        }
    }
    return found != NULL ? &found->resource : NULL;
}

const struct api_resource *autoscaler_targets_find(struct autoscaler_targets *targets,
                                                   const char *api_version, const char *kind,
                                                   struct error *error)
{
    size_t length = group_length(api_version);
    const char *slash = strchr(api_version, '/');
    if (slash != NULL && strchr(slash + 1, '/') != NULL) {
        error_internal(error, "unexpected GroupVersion string: %s", api_version);
        return NULL;
    }
    for (int64_t seconds = lifetime_seconds;; seconds = shortest_seconds) {
        if (!refresh(targets, seconds, error)) {
            return NULL;
        }
        const struct api_resource *found = find(&targets->discovery, api_version, length, kind);
        if (found != NULL) {
            return found;
        }
        if (seconds == shortest_seconds) {
            error_set(error, 404, "NotFound", "no matches for kind \"%s\" in group \"%.*s\"", kind,
                      (int)length, api_version);
            return NULL;
        }
    }
}

const char *autoscaler_targets_version(struct autoscaler_targets *targets, const char *group,
                                       struct error *error)
{
    if (!refresh(targets, lifetime_seconds, error)) {
        return NULL;
    }
    for (size_t i = 0; i < targets->discovery.count; i++) {
        const struct api_resource *resource = &targets->discovery.items[i]->resource;
        if (is_of_group(resource, group, strlen(group))) {
            return resource->group_version;
        }
    }
    return NULL;
}

/* ---- scales ---- */

json_t *autoscaler_scale_get(struct autoscaler_targets *targets, const char *namespace,
                             const json_t *reference, char **path, struct error *error)
{
    const char *version = json_get_string(reference, "apiVersion");
    const char *kind = json_get_string(reference, "kind");
    const char *name = json_get_string(reference, "name");
    *path = NULL;
    const struct api_resource *resource = autoscaler_targets_find(
        targets, version != NULL ? version : "", kind != NULL ? kind : "", error);
    if (resource == NULL) {
        return NULL;
    }
    *path = client_path(resource, namespace, name, "scale");
    return client_call(targets->client,
                       (struct client_request){.method = "GET", .path = duplicate(*path)}, error);
}

bool autoscaler_scale_set(struct client *client, const char *path, const json_t *scale,
                          int32_t replicas, struct error *error)
{
    cleanup(json_release)
    json_t *wanted = json_deep_copy(scale);
    struct client_request request = {.method = "PUT", .path = duplicate(path)};
    json_object_set_new(json_get_or_add_object(wanted, "spec"), "replicas", json_integer(replicas));
    json_encode(wanted, &request.body);
    cleanup(json_release)
    json_t *answer = client_call(client, request, error);
    return answer != NULL;
}

// SPDX-License-Identifier: Apache-2.0
#include "controllers/autoscaler_target.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

static const int64_t second = 1000000000;

enum { lifetime_seconds = 30, shortest_seconds = 1 };

/* ---- what is served ---- */

void autoscaler_targets_init(struct autoscaler_targets *targets, struct client *client)
{
    *targets = (struct autoscaler_targets){.client = client};
    pthread_mutex_init(&targets->lock, NULL);
}

void autoscaler_targets_clear(struct autoscaler_targets *targets)
{
    discovery_free(&targets->discovery);
    pthread_mutex_destroy(&targets->lock);
}

void autoscaler_resource_clear(struct autoscaler_resource *resource)
{
    free(resource->group_version);
    free(resource->plural);
    free(resource->kind);
    *resource = (struct autoscaler_resource){0};
}

/* Reads it unless what is known is younger than that. Two that find it old may both read it. */
static bool refresh(struct autoscaler_targets *targets, int64_t seconds, struct error *error)
{
    int64_t now = timestamp_monotonic();
    pthread_mutex_lock(&targets->lock);
    bool is_young = targets->read != 0 && now - targets->read < seconds * second;
    pthread_mutex_unlock(&targets->lock);
    struct discovery fresh = DISCOVERY_INIT;
    if (is_young) {
        return true;
    }
    if (!discovery_read(targets->client, &fresh, error)) {
        discovery_free(&fresh);
        return false;
    }
    pthread_mutex_lock(&targets->lock);
    struct discovery former = targets->discovery;
    targets->discovery = fresh;
    targets->read = now;
    pthread_mutex_unlock(&targets->lock);
    discovery_free(&former);
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

/* One that can be scaled before others of the same kind and group. */
static bool find(struct autoscaler_targets *targets, const char *group, size_t length,
                 const char *kind, struct autoscaler_resource *resource)
{
    const struct discovered *found = NULL;
    pthread_mutex_lock(&targets->lock);
    for (size_t i = 0; i < targets->discovery.count; i++) {
        const struct discovered *one = targets->discovery.items[i];
        if (strcmp(one->resource.kind, kind) == 0 && is_of_group(&one->resource, group, length) &&
            (found == NULL || (one->has_scale && !found->has_scale))) {
            found = one;
        }
    }
    if (found != NULL) {
        *resource = (struct autoscaler_resource){duplicate(found->resource.group_version),
                                                 duplicate(found->resource.plural),
                                                 duplicate(found->resource.kind)};
    }
    pthread_mutex_unlock(&targets->lock);
    return found != NULL;
}

bool autoscaler_targets_find(struct autoscaler_targets *targets, const char *api_version,
                             const char *kind, struct autoscaler_resource *resource,
                             struct error *error)
{
    size_t length = group_length(api_version);
    const char *slash = strchr(api_version, '/');
    *resource = (struct autoscaler_resource){0};
    if (slash != NULL && strchr(slash + 1, '/') != NULL) {
        return error_internal(error, "unexpected GroupVersion string: %s", api_version);
    }
    return (refresh(targets, lifetime_seconds, error) &&
            find(targets, api_version, length, kind, resource)) ||
           (!error_is_set(error) && refresh(targets, shortest_seconds, error) &&
            find(targets, api_version, length, kind, resource)) ||
           (!error_is_set(error) &&
            error_set(error, 404, "NotFound", "no matches for kind \"%s\" in group \"%.*s\"", kind,
                      (int)length, api_version));
}

char *autoscaler_targets_version(struct autoscaler_targets *targets, const char *group,
                                 struct error *error)
{
    char *version = NULL;
    if (!refresh(targets, lifetime_seconds, error)) {
        return NULL;
    }
    pthread_mutex_lock(&targets->lock);
    for (size_t i = 0; i < targets->discovery.count && version == NULL; i++) {
        const struct api_resource *resource = &targets->discovery.items[i]->resource;
        if (is_of_group(resource, group, strlen(group))) {
            version = duplicate(resource->group_version);
        }
    }
    pthread_mutex_unlock(&targets->lock);
    return version;
}

/* ---- scales ---- */

json_t *autoscaler_scale_get(struct autoscaler_targets *targets, const char *namespace,
                             const json_t *reference, char **path, struct error *error)
{
    const char *version = json_get_string(reference, "apiVersion");
    const char *kind = json_get_string(reference, "kind");
    const char *name = json_get_string(reference, "name");
    *path = NULL;
    cleanup(autoscaler_resource_clear)
    struct autoscaler_resource found = {0};
    if (!autoscaler_targets_find(targets, version != NULL ? version : "", kind != NULL ? kind : "",
                                 &found, error)) {
        return NULL;
    }
    const struct api_resource resource = {found.group_version, found.plural, found.kind, true};
    *path = client_path(&resource, namespace, name, "scale");
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

// SPDX-License-Identifier: Apache-2.0
#include "controllers/owner_scale.h"

#include <string.h>

#include "common/alloc.h"
#include "common/map.h"
#include "common/timestamp.h"
#include "controllers/discovery.h"
#include "controllers/resources.h"

enum { known_count = 3 };

static const struct {
    const char *kind, *group_prefix; /* Of the apiVersion. */
    const struct api_resource *resource;
} known[known_count] = {
    {"ReplicaSet", "apps/", &resource_replicasets},
    {"StatefulSet", "apps/", &resource_statefulsets},
    {"ReplicationController", "v1", &resource_replicationcontrollers},
};

struct owner_scale {
    struct controller *controller;
    struct informer *informers[known_count], *deployments;
    struct discovery discovery; /* Of other kinds; read when first needed, and now and then. */
    int64_t discovered;
};

/* An owner and what it wants. */
struct scale {
    char *uid;
    json_int_t replicas;
};

struct owner_scale *owner_scale_new(struct controller *controller)
{
    struct owner_scale *owners = allocate_struct(struct owner_scale);
    owners->controller = controller;
    for (size_t i = 0; i < known_count; i++) {
        owners->informers[i] =
            informer_factory_get(controller->informers, known[i].resource, NULL, NULL);
    }
    owners->deployments =
        informer_factory_get(controller->informers, &resource_deployments, NULL, NULL);
    return owners;
}

void owner_scale_free(struct owner_scale *owners)
{
    discovery_free(&owners->discovery);
    free(owners);
}

static json_int_t replicas_of(const struct cached_object *object)
{
    cleanup(json_release)
    json_t *tree = cached_object_tree(object);
    return json_get_int(json_object_get(tree, "spec"), "replicas", 1);
}

/* The object of this name if it is the very one. */
static struct cached_object *find(struct informer *informer, const char *namespace,
                                  const char *name, const char *uid)
{
    struct cached_object *object = informer_get(informer, namespace, name);
    if (object != NULL && strcmp(object->uid, uid) != 0) {
        cached_object_unref(object);
        return NULL;
    }
    return object;
}

/* False: not there. */
static bool scale_of_known(struct owner_scale *owners, size_t which,
                           const struct cached_object *pod, struct scale *scale)
{
    cleanup(cached_object_release)
    struct cached_object *owner =
        find(owners->informers[which], pod->namespace, pod->owner_name, pod->owner_uid);
    if (owner != NULL && strcmp(owner->owner_kind, "Deployment") == 0) {
        struct cached_object *deployment =
            find(owners->deployments, owner->namespace, owner->owner_name, owner->owner_uid);
        cached_object_unref(owner);
        owner = deployment;
    }
    if (owner == NULL) {
        return false;
    }
    *scale = (struct scale){duplicate(owner->uid), replicas_of(owner)};
    return true;
}

/* ---- other kinds ---- */

static const struct discovered *discover(struct owner_scale *owners, const char *api_version,
                                         const char *kind, struct error *error)
{
    static const int64_t lifetime = INT64_C(60) * 1000000000;
    int64_t now = timestamp_monotonic();
    if (owners->discovered == 0 || now - owners->discovered > lifetime) {
        cleanup(discovery_free)
        struct discovery fresh = DISCOVERY_INIT;
        if (!discovery_read(owners->controller->client, &fresh, error)) {
            return NULL;
        }
        discovery_free(&owners->discovery);
        owners->discovery = fresh;
        fresh = DISCOVERY_INIT;
        owners->discovered = now;
    }
    return discovery_find(&owners->discovery, api_version, kind);
}

static bool tell_of_no_scale(const struct api_resource *resource, struct error *error)
{
    const char *slash = strchr(resource->group_version, '/');
    return error_internal(error, "%s%s%.*s does not implement the scale subresource",
                          resource->plural, slash != NULL ? "." : "",
                          slash != NULL ? (int)(slash - resource->group_version) : 0,
                          resource->group_version);
}

static bool scale_of_other(struct owner_scale *owners, const struct cached_object *pod,
                           const char *api_version, struct scale *scale, bool *absent,
                           struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    const struct discovered *kind = discover(owners, api_version, pod->owner_kind, &why);
    *absent = kind == NULL && !error_is_set(&why);
    if (kind == NULL) {
        return error_is_set(&why) && error_move(error, &why);
    }
    struct client_request request = {
        .method = "GET",
        .path = client_path(&kind->resource, pod->namespace, pod->owner_name, "scale")};
    cleanup(json_release)
    json_t *answer = client_call(owners->controller->client, request, &why);
    if (answer == NULL && why.code == 404) { /* Either its kind has no scale, or it is gone. */
        *absent = kind->has_scale;
        return !*absent && tell_of_no_scale(&kind->resource, error);
    }
    if (answer == NULL) {
        return error_move(error, &why);
    }
    const char *uid = json_path_string(answer, "metadata", "uid");
    *absent = uid == NULL || strcmp(uid, pod->owner_uid) != 0;
    if (*absent) {
        return false;
    }
    *scale = (struct scale){duplicate(uid),
                            json_get_int(json_object_get(answer, "spec"), "replicas", 0)};
    return true;
}

/* ---- the sum ---- */

/* The apiVersion in the pod's controller reference; the caller's, NULL: it has none. */
static char *owner_api_version(const struct cached_object *pod)
{
    cleanup(json_release)
    json_t *tree = cached_object_tree(pod);
    size_t i;
    const json_t *reference;
    json_array_foreach (json_path(tree, "metadata", "ownerReferences"), i, reference) {
        const char *version = json_get_string(reference, "apiVersion");
        if (json_get_bool(reference, "controller", false) && version != NULL) {
            return duplicate(version);
        }
    }
    return NULL;
}

static bool scale_of(struct owner_scale *owners, const struct cached_object *pod,
                     struct scale *scale, struct error *error)
{
    cleanup(free_char)
    char *version = owner_api_version(pod);
    bool absent = true, found = false;
    for (size_t i = 0; version != NULL && i < known_count; i++) {
        if (strcmp(pod->owner_kind, known[i].kind) == 0 &&
            strncmp(version, known[i].group_prefix, strlen(known[i].group_prefix)) == 0) {
            return scale_of_known(owners, i, pod, scale) ||
                   error_internal(error, "found no controllers for pod \"%s\"", pod->name);
        }
    }
    if (version != NULL) {
        found = scale_of_other(owners, pod, version, scale, &absent, error);
    }
    return found ||
           (absent && error_internal(error, "found no controllers for pod \"%s\"", pod->name));
}

bool owner_scale_of(struct owner_scale *owners, const struct cached_list *pods, json_int_t *sum,
                    size_t *unmanaged, struct error *error)
{
    /* Owners by the uid that pods name, and those that were counted: two ReplicaSets of a
     * Deployment count once. */
    struct map seen = MAP_INIT, counted = MAP_INIT;
    bool all = true;
    *sum = 0;
    *unmanaged = 0;
    for (size_t i = 0; i < pods->count && all; i++) {
        const struct cached_object *pod = pods->items[i];
        struct scale scale = {0};
        if (pod->owner_uid[0] == '\0') {
            ++*unmanaged;
        } else if (map_set(&seen, pod->owner_uid, owners) == NULL) {
            all = scale_of(owners, pod, &scale, error);
            if (all && map_set(&counted, scale.uid, owners) == NULL) {
                *sum += scale.replicas;
            }
            free(scale.uid);
        }
    }
    map_free(&seen, NULL);
    map_free(&counted, NULL);
    return all;
}

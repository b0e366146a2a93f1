// SPDX-License-Identifier: Apache-2.0
/*
 * ComponentStatus, which is observed when it is asked for and never stored.
 *
 * Upstream probes the components' health ports on the API server's own host. Here they may run
 * anywhere, so that the lease by which each leads tells whether it lives.
 */
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/read.h"
#include "apiserver/views/render.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

struct component {
    const char *name;
    const char *lease; /* In kube-system; NULL: the store itself is asked. */
};

static const struct component components[] = {
    {"controller-manager", "kube-controller-manager"},
    {"scheduler", "kube-scheduler"},
    {"etcd-0", NULL},
};

/* Whether somebody holds the lease and renewed it within its duration. */
static bool check_lease(struct registry *registry, const char *name, struct error *error)
{
    const struct resource *leases = registry_resource(registry, "coordination.k8s.io", "leases");
    cleanup(object_release)
    struct object *object = registry_get(registry, leases, "kube-system", name);
    if (object == NULL) {
        return error_unavailable(error, "nobody holds the lease kube-system/%s", name);
    }
    cleanup(json_release)
    json_t *lease = object_tree(object);
    const json_t *spec = json_object_get(lease, "spec");
    const char *holder = json_get_string(spec, "holderIdentity");
    const char *renewed = json_get_string(spec, "renewTime");
    int64_t seconds = json_get_int(spec, "leaseDurationSeconds", 0), then;
    if (holder == NULL || holder[0] == '\0' || renewed == NULL ||
        !timestamp_parse(renewed, &then)) {
        return error_unavailable(error, "nobody holds the lease kube-system/%s", name);
    }
    return (timestamp_now() - then) / 1000000000 < seconds ||
           error_unavailable(error, "the lease kube-system/%s was last renewed at %s", name,
                             renewed);
}

static json_t *status_of(struct registry *registry, const struct component *component)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    bool healthy = component->lease != NULL ? check_lease(registry, component->lease, &why)
                                            : store_healthy(registry->store, &why);
    return json_pack("{s:s, s:s, s:{s:s}, s:[{s:s, s:s, s:s}]}", "kind", "ComponentStatus",
                     "apiVersion", "v1", "metadata", "name", component->name, "conditions", "type",
                     "Healthy", "status", healthy ? "True" : "False", "message",
                     healthy ? "ok" : why.message);
}

/* The status as an object at rest without a revision, as the renderer takes it. */
static struct object *observe(struct registry *registry, const struct object_class *class,
                              const struct component *component, struct error *error)
{
    cleanup(json_release)
    json_t *status = status_of(registry, component);
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    object_encode(status, &text);
    return object_new(class, component->name, text.bytes, text.length, 0, error);
}

static void serve_get(struct registry *registry, const struct object_class *class,
                      struct renderer *renderer, struct request *request, struct response *response,
                      struct error *error)
{
    for (size_t i = 0; i < array_length(components); i++) {
        if (strcmp(components[i].name, request->info.name) != 0) {
            continue;
        }
        cleanup(object_release)
        struct object *object = observe(registry, class, &components[i], error);
        if (object != NULL) {
            render_object(renderer, request, response, 200, object, 0);
        }
        return;
    }
    error_set(error, 500, "", "Component not found: %s", request->info.name);
}

static void serve_list(struct registry *registry, const struct object_class *class,
                       struct renderer *renderer, struct request *request,
                       struct response *response, struct error *error)
{
    cleanup(list_query_clear)
    struct list_query query = {0};
    struct object *objects[array_length(components)];
    size_t count = 0;
    bool done = list_query_parse(request, &query, error);
    for (size_t i = 0; done && i < array_length(components); i++) {
        objects[count] = observe(registry, class, &components[i], error);
        done = objects[count] != NULL;
        if (done && list_query_matches(&query, objects[count])) {
            count++;
        } else {
            object_unref(objects[count]);
        }
    }
    /* Keeps the references; the list is short, so that it is rendered before this returns. */
    struct snapshot *snapshot = snapshot_of_objects(objects, count, 0);
    if (!done) {
        snapshot_free(snapshot);
        return;
    }
    struct object **listed = allocate_zero(count, sizeof(struct object *));
    memcpy(listed, objects, count * sizeof(struct object *));
    struct list_metadata metadata = {.remaining = -1};
    render_list(renderer, request, response, snapshot, listed, count, &metadata);
}

static void serve(struct registry *registry, struct request *request, struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(renderer_clear)
    struct renderer renderer = {0};
    struct object_class *class = object_class_new(request->resource);
    if (renderer_init(&renderer, request, request->resource, &error)) {
        (request->info.name[0] ? serve_get : serve_list)(registry, class, &renderer, request,
                                                         response, &error);
    }
    if (error_is_set(&error)) {
        response_set_error(response, request, &error);
    }
    object_class_free(class);
}

const struct kind kind_component_status = {
    .group = "",
    .plural = "componentstatuses",
    .deprecation = "v1 ComponentStatus is deprecated in v1.19+",
    .serve_virtual = serve,
};

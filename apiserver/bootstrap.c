// SPDX-License-Identifier: Apache-2.0
#include "apiserver/bootstrap.h"

#include <string.h>

#include "apiserver/api_services.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/kinds/service.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

static bool wanted_object(struct write *write, void *argument, struct error *error)
{
    (void)error;
    write->object = object_tree(write->live_object);
    json_t *wanted = argument;
    const char *key;
    json_t *value;
    json_object_foreach (wanted, key, value) {
        if (json_object_get(write->object, key) == NULL || !json_is_object(value)) {
            json_object_set(write->object, key, value);
        } else {
            json_object_update(json_object_get(write->object, key), value);
        }
    }
    json_object_del(json_object_get(write->object, "metadata"), "resourceVersion");
    return true;
}

static bool create(struct registry *registry, const struct resource *resource,
                   const char *namespace, const char *name, json_t *contents, struct error *error)
{
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    write_begin(&write, registry, NULL, NULL, resource, WRITE_CREATE);
    write_address(&write, namespace, name);
    write.object = json_deep_copy(contents);
    cleanup(free_char)
    char *version = decode_api_version(resource->group, resource->version);
    json_object_set_new(write.object, "kind", json_string(resource->kind));
    json_object_set_new(write.object, "apiVersion", json_string(version));
    return registry_create(&write, &object, error);
}

static bool update(struct registry *registry, const struct resource *resource,
                   const char *subresource, const char *namespace, const char *name,
                   json_t *contents, struct error *error)
{
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    write_begin(&write, registry, NULL, NULL, resource, WRITE_UPDATE);
    write.subresource = subresource;
    write_address(&write, namespace, name);
    return registry_update(&write, wanted_object, contents, &object, NULL, error);
}

/* Makes sure that an object has these contents (consumed): creates it, or sets what differs. */
static bool ensure(struct registry *registry, const char *group, const char *plural,
                   const char *namespace, const char *name, json_t *contents, struct error *error)
{
    cleanup(json_release)
    json_t *wanted = contents;
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    const struct resource *resource = registry_resource(registry, group, plural);
    json_object_set_new(json_get_or_add_object(wanted, "metadata"), "name", json_string(name));
    cleanup(object_release)
    struct object *present = registry_get(registry, resource, namespace, name);
    bool done = present == NULL && create(registry, resource, namespace, name, wanted, &why);
    if (!done && present == NULL && why.code == 422 && cache_wait_current(registry->cache, NULL)) {
        /* Another server that starts just now may have been quicker in part. */
        present = registry_get(registry, resource, namespace, name);
    }
    if (!done && (present != NULL || why.code == 409)) {
        error_clear(&why);
        done = update(registry, resource, "", namespace, name, wanted, &why);
    }
    return done || error_wrap(error, &why, "making sure of %s %s", plural, name);
}

static bool ensure_namespaces(struct registry *registry, struct error *error)
{
    static const char *const names[] = {"default", "kube-system", "kube-public", "kube-node-lease"};
    for (size_t i = 0; i < array_length(names); i++) {
        if (!ensure(registry, "", "namespaces", "", names[i], json_object(), error)) {
            return false;
        }
    }
    return true;
}

static bool ensure_priority_classes(struct registry *registry, struct error *error)
{
    static const struct {
        const char *name;
        int value;
        const char *description;
    } classes[] = {
        {"system-node-critical", 2000001000,
         "Used for system critical pods that must not be moved from their current node."},
        {"system-cluster-critical", 2000000000,
         "Used for system critical pods that must run in the cluster, but can be moved to another "
         "node if necessary."},
    };
    for (size_t i = 0; i < array_length(classes); i++) {
        json_t *class = json_pack("{s:i, s:s}", "value", classes[i].value, "description",
                                  classes[i].description);
        if (!ensure(registry, "scheduling.k8s.io", "priorityclasses", "", classes[i].name, class,
                    error)) {
            return false;
        }
    }
    return true;
}

/* The range that services get their addresses from. One that is there stays as it is. */
static bool ensure_service_range(struct registry *registry, struct error *error)
{
    const struct resource *resource =
        registry_resource(registry, "networking.k8s.io", "servicecidrs");
    cleanup(object_release)
    struct object *present = registry_get(registry, resource, "", "kubernetes");
    if (present != NULL) {
        return true;
    }
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    cleanup(json_release)
    json_t *status =
        json_pack("{s:{s:[{s:s, s:s, s:s, s:s, s:s}]}}", "status", "conditions", "type", "Ready",
                  "status", "True", "reason", "", "message",
                  "Kubernetes default Service CIDR is ready", "lastTransitionTime", now);
    return ensure(registry, "networking.k8s.io", "servicecidrs", "", "kubernetes",
                  json_pack("{s:{s:o}}", "spec", "cidrs",
                            service_allocator_ranges(registry->services)),
                  error) &&
           update(registry, resource, "status", "", "kubernetes", status, error);
}

static bool ensure_kubernetes_service(struct registry *registry, struct error *error)
{
    cleanup(free_char)
    char *address = service_allocator_first(registry->services);
    json_t *labels =
        json_pack("{s:{s:{s:s, s:s}}, s:{s:s, s:s, s:[{s:s, s:s, s:i, s:i}]}}", "metadata",
                  "labels", "component", "apiserver", "provider", "kubernetes", "spec", "type",
                  "ClusterIP", "clusterIP", address, "ports", "name", "https", "protocol", "TCP",
                  "port", 443, "targetPort", registry->secure_port);
    if (!ensure(registry, "", "services", "default", "kubernetes", labels, error)) {
        return false;
    }
    json_t *endpoints =
        json_pack("{s:{s:{s:s}}, s:[{s:[{s:s}], s:[{s:s, s:i, s:s}]}]}", "metadata", "labels",
                  "endpointslice.kubernetes.io/skip-mirror", "true", "subsets", "addresses", "ip",
                  registry->advertise_address, "ports", "name", "https", "port",
                  registry->secure_port, "protocol", "TCP");
    if (!ensure(registry, "", "endpoints", "default", "kubernetes", endpoints, error)) {
        return false;
    }
    json_t *slice =
        json_pack("{s:{s:{s:s}}, s:s, s:[{s:[s], s:{s:b}}], s:[{s:s, s:i, s:s}]}", "metadata",
                  "labels", "kubernetes.io/service-name", "kubernetes", "addressType",
                  strchr(registry->advertise_address, ':') ? "IPv6" : "IPv4", "endpoints",
                  "addresses", registry->advertise_address, "conditions", "ready", 1, "ports",
                  "name", "https", "port", registry->secure_port, "protocol", "TCP");
    return ensure(registry, "discovery.k8s.io", "endpointslices", "default", "kubernetes", slice,
                  error);
}

bool bootstrap(struct registry *registry, struct error *error)
{
    return ensure_namespaces(registry, error) && ensure_priority_classes(registry, error) &&
           ensure_service_range(registry, error) &&
           service_allocator_start(registry->services, error) &&
           ensure_kubernetes_service(registry, error) && api_services_ensure(registry, error);
}

// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/service_address.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

static char *url_of(const char *host, json_int_t port)
{
    return format(strchr(host, ':') ? "https://[%s]:%d" : "https://%s:%d", host, (int)port);
}

static const json_t *find_port(const json_t *service, int number)
{
    const json_t *ports = json_path(service, "spec", "ports");
    for (size_t i = 0; i < json_array_size(ports); i++) {
        if (json_get_int(json_array_get(ports, i), "port", 0) == number) {
            return json_array_get(ports, i);
        }
    }
    return NULL;
}

/* ---- endpoints ---- */

/* The number of the port that bears the name of the service's; 0: none does. */
static json_int_t number_of(const json_t *ports, const char *wanted)
{
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const char *name = json_get_string(json_array_get(ports, i), "name");
        if (strcmp(name ? name : "", wanted) == 0) {
            return json_get_int(json_array_get(ports, i), "port", 0);
        }
    }
    return 0;
}

static void add_slice(const json_t *slice, const char *port_name, json_t *urls)
{
    json_int_t port = number_of(json_object_get(slice, "ports"), port_name);
    const json_t *endpoints = json_object_get(slice, "endpoints");
    for (size_t i = 0; port != 0 && i < json_array_size(endpoints); i++) {
        const json_t *endpoint = json_array_get(endpoints, i);
        const char *address =
            json_string_value(json_array_get(json_object_get(endpoint, "addresses"), 0));
        const json_t *ready = json_path(endpoint, "conditions", "ready");
        if (address != NULL && !json_is_false(ready)) {
            cleanup(free_char)
            char *url = url_of(address, port);
            json_array_append_new(urls, json_string(url));
        }
    }
}

static void add_slices(struct registry *registry, const char *namespace, const char *name,
                       const char *port_name, json_t *urls)
{
    const struct resource *slices =
        registry_resource(registry, "discovery.k8s.io", "endpointslices");
    cleanup(free_char)
    char *prefix = format("%s/", namespace);
    struct snapshot *snapshot = cache_snapshot(cache_table(registry->cache, slices), prefix);
    size_t length = strlen(name), own_length = 0;
    for (size_t i = 0; i < snapshot->count; i++) {
        const char *service =
            object_label(snapshot->objects[i], "kubernetes.io/service-name", &own_length);
        if (service != NULL && own_length == length && memcmp(service, name, length) == 0) {
            cleanup(json_release)
            json_t *slice = object_tree(snapshot->objects[i]);
            add_slice(slice, port_name, urls);
        }
    }
    snapshot_free(snapshot);
}

static json_t *find(struct registry *registry, const char *plural, const char *namespace,
                    const char *name)
{
    cleanup(object_release)
    struct object *object =
        registry_get(registry, registry_resource(registry, "", plural), namespace, name);
    return object != NULL ? object_tree(object) : NULL;
}

/* Endpoints that nobody has made slices of. */
static void add_endpoints(struct registry *registry, const char *namespace, const char *name,
                          const char *port_name, json_t *urls)
{
    cleanup(json_release)
    json_t *endpoints = find(registry, "endpoints", namespace, name);
    const json_t *subsets = json_object_get(endpoints, "subsets");
    for (size_t i = 0; i < json_array_size(subsets); i++) {
        const json_t *subset = json_array_get(subsets, i);
        const json_t *addresses = json_object_get(subset, "addresses");
        json_int_t port = number_of(json_object_get(subset, "ports"), port_name);
        for (size_t j = 0; port != 0 && j < json_array_size(addresses); j++) {
            cleanup(free_char)
            char *url = url_of(json_get_string(json_array_get(addresses, j), "ip"), port);
            json_array_append_new(urls, json_string(url));
        }
    }
}

char *service_address_find(struct registry *registry, const char *namespace, const char *name,
                           int port, unsigned turn, struct error *error)
{
    cleanup(json_release)
    json_t *service = find(registry, "services", namespace, name);
    if (service == NULL) {
        error_unavailable(error, "service \"%s\" not found", name);
        return NULL;
    }
    const char *type = json_path_string(service, "spec", "type");
    const char *external = json_path_string(service, "spec", "externalName");
    if (type != NULL && strcmp(type, "ExternalName") == 0 && external != NULL) {
        return url_of(external, port);
    }
    const json_t *found = find_port(service, port);
    if (found == NULL) {
        error_unavailable(error, "no service port %d found for service \"%s\"", port, name);
        return NULL;
    }
    const char *port_name = json_get_string(found, "name");
    port_name = port_name != NULL ? port_name : "";
    cleanup(json_release)
    json_t *urls = json_array();
    add_slices(registry, namespace, name, port_name, urls);
    if (json_array_size(urls) == 0) {
        add_endpoints(registry, namespace, name, port_name, urls);
    }
    if (json_array_size(urls) == 0) {
        error_unavailable(error, "no endpoints available for service \"%s\"", name);
        return NULL;
    }
    return duplicate(json_string_value(json_array_get(urls, turn % json_array_size(urls))));
}

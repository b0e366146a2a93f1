// SPDX-License-Identifier: Apache-2.0
#include "controllers/service_view.h"

#include <string.h>

#include "common/alloc.h"
#include "controllers/resources.h"

static char *label_value(const char *namespace, const char *key, const char *value)
{
    return format("%s/%s=%s", namespace, key, value);
}

static void *digest(const struct cached_object *object)
{
    cleanup(json_release)
    json_t *service = cached_object_tree(object);
    json_t *spec = json_object_get(service, "spec");
    json_t *labels = json_object_get(spec, "selector");
    const char *type = json_get_string(spec, "type");
    void *first = json_object_iter(labels); /* NULL of none or an empty one. */
    cleanup(free_char)
    char *label = first != NULL ? label_value(object->namespace, json_object_iter_key(first),
                                              json_string_value(json_object_iter_value(first)))
                                : duplicate("");
    struct service_view *view = allocate_zero(1, sizeof *view + strlen(label) + 1);
    strcpy(view->label, label);
    view->selector = first != NULL ? selector_from_map(labels) : NULL;
    view->is_load_balancer = type != NULL && strcmp(type, "LoadBalancer") == 0 &&
                             json_object_get(spec, "loadBalancerClass") == NULL;
    view->is_external_name = type != NULL && strcmp(type, "ExternalName") == 0;
    return view;
}

static void digest_free(void *digest)
{
    struct service_view *view = digest;
    selector_free(view->selector);
    free(view);
}

static void index_by_selector(const struct cached_object *service, struct index_values *values)
{
    index_values_add(values, service_view(service)->label);
}

struct informer *service_informer(struct informer_factory *informers)
{
    static const struct cached_object_class class = {.digest = digest, .digest_free = digest_free};
    struct informer *services = informer_factory_get(informers, &resource_services, &class, NULL);
    indexer_add_index(informer_indexer(services), "selector", index_by_selector);
    return services;
}

void service_find_of_pod(struct informer *services, const struct cached_object *pod,
                         struct cached_list *found)
{
    const struct indexer *indexer = informer_indexer(services);
    cleanup(json_release)
    json_t *labels = cached_object_labels(pod);
    const char *key;
    json_t *value;
    json_object_foreach (labels, key, value) {
        cleanup(free_char)
        char *label = label_value(pod->namespace, key, json_string_value(value));
        cleanup(cached_list_free)
        struct cached_list candidates = CACHED_LIST_INIT;
        indexer_find(indexer, "selector", label, &candidates);
        for (size_t i = 0; i < candidates.count; i++) {
            const struct service_view *view = service_view(candidates.items[i]);
            if (selector_matches(view->selector, cached_object_label, pod)) {
                cached_list_add(found, candidates.items[i]);
            }
        }
    }
}

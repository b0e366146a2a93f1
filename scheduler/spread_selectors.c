// SPDX-License-Identifier: Apache-2.0
#include "scheduler/spread_selectors.h"

#include <stdatomic.h>
#include <string.h>

#include "common/alloc.h"
#include "scheduler/spread_constraints.h"

static const struct api_resource services = {"v1", "services", "Service", true};

/* The kinds whose selector counts for the pods that they own. */
static const struct api_resource owner_resources[] = {
    {"apps/v1", "replicasets", "ReplicaSet", true},
    {"apps/v1", "statefulsets", "StatefulSet", true},
    {"v1", "replicationcontrollers", "ReplicationController", true},
};

struct spread_selectors {
    struct informer *services, *owners[array_length(owner_resources)];
    atomic_uint generation; /* Raised when a selector comes, changes or goes. */
};

/* ---- digests: spec.selector as text ---- */

static void *digest(const struct cached_object *object)
{
    struct json_span selector;
    json_scan(object->text, object->length, (const char *[]){"spec.selector"}, 1, &selector);
    return selector.text != NULL ? duplicate_bytes(selector.text, selector.length) : NULL;
}

static const struct cached_object_class selector_class = {
    .digest = digest, .digest_free = free, .drop_text = true};

static void selector_changed(void *argument, const struct cached_object *old,
                             const struct cached_object *new)
{
    struct spread_selectors *selectors = argument;
    const char *before = old != NULL ? old->digest : NULL, *after = new ? new->digest : NULL;
    if ((before == NULL) != (after == NULL) || (before != NULL && strcmp(before, after) != 0)) {
        atomic_fetch_add(&selectors->generation, 1);
    }
}

/* ---- collecting ---- */

struct collected {
    struct selector **list;
    size_t count, capacity;
    struct buffer key;
};

/* Adds the selector of that text: a map of labels if it is a service's (or a replication
 * controller's), else a LabelSelector. One that is empty or broken selects nothing. */
static void collect(struct collected *collected, const char *text, bool is_map, json_t *tree)
{
    struct selector *selector = is_map ? selector_from_map(tree) : selector_from_object(tree, NULL);
    if (selector == NULL || selector_is_everything(selector)) {
        selector_free(selector);
        return;
    }
    collected->list =
        grow(collected->list, collected->count, &collected->capacity, sizeof(struct selector *));
    collected->list[collected->count++] = selector;
    buffer_addf(&collected->key, "\n%s", text);
}

static json_t *parse(const struct cached_object *object)
{
    return object->digest != NULL ? json_parse(object->digest, strlen(object->digest), NULL) : NULL;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(struct cached_object *const *)a)->name,
                  (*(struct cached_object *const *)b)->name);
}

static void collect_services(struct spread_selectors *selectors, const struct pod_class *class,
                             struct collected *collected)
{
    cleanup(cached_list_free)
    struct cached_list found = CACHED_LIST_INIT;
    indexer_find(informer_indexer(selectors->services), "namespace", class->namespace, &found);
    if (found.count > 0) {
        qsort(found.items, found.count, sizeof(struct cached_object *), compare_names);
    }
    for (size_t i = 0; i < found.count; i++) {
        cleanup(json_release)
        json_t *tree = parse(found.items[i]);
        struct selector *selector = json_object_size(tree) > 0 ? selector_from_map(tree) : NULL;
        if (selector != NULL && selector_matches_object(selector, class->labels)) {
            collect(collected, found.items[i]->digest, true, tree);
        }
        selector_free(selector);
    }
}

static void collect_owner(struct spread_selectors *selectors, const struct pod_class *class,
                          struct collected *collected)
{
    for (size_t i = 0; i < array_length(owner_resources); i++) {
        if (strcmp(owner_resources[i].kind, class->owner_kind) != 0) {
            continue;
        }
        cleanup(cached_object_release)
        struct cached_object *owner =
            informer_get(selectors->owners[i], class->namespace, class->owner_name);
        cleanup(json_release)
        json_t *tree = owner != NULL ? parse(owner) : NULL;
        if (tree != NULL) {
            collect(collected, owner->digest, strcmp(owner_resources[i].group_version, "v1") == 0,
                    tree);
        }
    }
}

void spread_selectors_apply(struct spread_selectors *selectors, struct node_cache *cache,
                            struct pod_class *class)
{
    uint32_t generation = atomic_load(&selectors->generation);
    if (class->group_generation == generation ||
        json_array_size(json_object_get(class->spec, "topologySpreadConstraints")) > 0) {
        return; /* A pod's own constraints stand in for the default ones. */
    }
    struct collected collected = {0};
    buffer_add_text(&collected.key, class->namespace);
    collect_services(selectors, class, &collected);
    collect_owner(selectors, class, &collected);
    struct spread_group *old = class->group;
    node_cache_know_class(cache, class);
    class->group = collected.count > 0
                       ? node_cache_group(cache, class->namespace, buffer_text(&collected.key),
                                          collected.list, collected.count)
                       : NULL;
    class->group_generation = generation;
    if (class->group != old) {
        spread_constraints_free(cache, steal(class->spread)); /* Made for the old group. */
    }
    node_cache_group_unref(cache, old);
    buffer_free(&collected.key);
}

/* ---- life ---- */

struct spread_selectors *spread_selectors_new(struct informer_factory *informers)
{
    struct spread_selectors *selectors = allocate_struct(struct spread_selectors);
    selectors->generation = 1;
    selectors->services = informer_factory_get(informers, &services, &selector_class, NULL);
    informer_add_handler(selectors->services, selector_changed, selectors);
    for (size_t i = 0; i < array_length(owner_resources); i++) {
        selectors->owners[i] =
            informer_factory_get(informers, &owner_resources[i], &selector_class, NULL);
        informer_add_handler(selectors->owners[i], selector_changed, selectors);
    }
    return selectors;
}

void spread_selectors_free(struct spread_selectors *selectors)
{
    free(selectors);
}

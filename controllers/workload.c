// SPDX-License-Identifier: Apache-2.0
#include "controllers/workload.h"

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/owner.h"
#include "controllers/resources.h"

enum {
    objects_a_ms = 30,
    longest_gathering_ms = 100,
};

void workload_add_possible_owners(const struct workload *workload, const struct cached_object *pod,
                                  workload_fits *fits)
{
    cleanup(cached_list_free)
    struct cached_list owners = CACHED_LIST_INIT;
    indexer_find(informer_indexer(workload->owners), "namespace", pod->namespace, &owners);
    for (size_t i = 0; i < owners.count; i++) {
        if ((fits == NULL || fits(owners.items[i], pod)) && owner_selects(owners.items[i], pod)) {
            controller_add_object(workload->controller, owners.items[i]);
        }
    }
}

void workload_add_soon(const struct workload *workload, const char *key, size_t objects)
{
    int64_t delay_ms = (int64_t)objects / objects_a_ms;
    controller_add_after(workload->controller, key,
                         delay_ms < longest_gathering_ms ? delay_ms : longest_gathering_ms);
}

void workload_add_with_pods(const struct workload *workload, const char *key, const char *uid)
{
    workload_add_soon(workload, key,
                      indexer_count_of(informer_indexer(workload->pods), "owner", uid));
}

bool workload_claim_pods(const struct workload *workload, const struct cached_object *owner,
                         const json_t *tree, workload_fits *fits, const char *finalizer,
                         struct cached_list *pods, struct error *error)
{
    struct selector *selector = owner_selector(tree, error);
    if (selector == NULL) {
        return false;
    }
    cleanup(cached_list_free)
    struct cached_list candidates = CACHED_LIST_INIT;
    cleanup(cached_list_free)
    struct cached_list fitting = CACHED_LIST_INIT;
    struct indexer *indexer = informer_indexer(workload->pods);
    indexer_find(indexer, "owner", owner->uid, &candidates);
    indexer_find(indexer, "orphan", owner->namespace, &candidates);
    for (size_t i = 0; fits != NULL && i < candidates.count; i++) {
        if (fits(owner, candidates.items[i])) {
            cached_list_add(&fitting, candidates.items[i]);
        }
    }
    struct owner_claim claim = {
        workload->controller->client, workload->resource, tree, selector, &resource_pods, finalizer,
    };
    bool claimed = owner_claim(&claim, fits != NULL ? &fitting : &candidates, pods, error);
    selector_free(selector);
    return claimed;
}

bool workload_write_status(struct controller *controller, const struct api_resource *resource,
                           json_t *object, json_t *status, struct own_writes *writes,
                           const char *key, struct error *error)
{
    if (json_equal(json_object_get(object, "status"), status)) {
        return true;
    }
    json_object_set(object, "status", status);
    cleanup(json_release)
    json_t *written = client_update(controller->client, resource, "status", object, error);
    if (written != NULL && writes != NULL) {
        own_writes_note(writes, key, written);
    }
    return written != NULL;
}

// SPDX-License-Identifier: Apache-2.0
#include "scheduler/nominations.h"

#include <string.h>

#include "common/alloc.h"

static void unlist(const struct nomination *nomination)
{
    *(nomination->previous != NULL ? &nomination->previous->next : &nomination->node->nominated) =
        nomination->next;
    if (nomination->next != NULL) {
        nomination->next->previous = nomination->previous;
    }
}

static void list(struct nomination *nomination)
{
    nomination->next = nomination->node->nominated;
    if (nomination->next != NULL) {
        nomination->next->previous = nomination;
    }
    nomination->node->nominated = nomination;
}

static void nomination_free(void *argument)
{
    struct nomination *nomination = argument;
    pod_class_unref(nomination->class);
    free(nomination->key);
    free(nomination->uid);
    free(nomination);
}

void nominations_set(struct node_cache *cache, const char *key, const char *uid,
                     struct pod_class *class, const char *node_name)
{
    const struct nomination *old = nominations_find(cache, key);
    if (old != NULL && old->class == class && strcmp(old->uid, uid) == 0 &&
        strcmp(old->node->name, node_name) == 0) {
        return;
    }
    struct nomination *nomination = allocate_struct(struct nomination);
    *nomination = (struct nomination){.key = duplicate(key),
                                      .uid = duplicate(uid),
                                      .class = pod_class_ref(class),
                                      .node = node_cache_node(cache, node_name)};
    list(nomination); /* Before the old one goes, so that their node stays. */
    nominations_remove(cache, key, NULL);
    map_set(&cache->nominations, nomination->key, nomination);
    cache->changed++;
}

struct node *nominations_remove(struct node_cache *cache, const char *key, const char *uid)
{
    struct nomination *nomination = map_get(&cache->nominations, key);
    if (nomination == NULL || (uid != NULL && strcmp(nomination->uid, uid) != 0)) {
        return NULL;
    }
    struct node *node = nomination->node;
    const struct placed_pod *placed = node_cache_find_pod(cache, key);
    bool is_freed = node->exists && (placed == NULL || placed->node != node);
    map_remove(&cache->nominations, key);
    unlist(nomination);
    nomination_free(nomination);
    node_cache_drop_if_empty(cache, node);
    cache->changed++;
    cache->freed += is_freed;
    return is_freed ? node : NULL;
}

const struct nomination *nominations_find(const struct node_cache *cache, const char *key)
{
    return map_get(&cache->nominations, key);
}

void nominations_clear(struct node_cache *cache)
{
    map_free(&cache->nominations, nomination_free);
}

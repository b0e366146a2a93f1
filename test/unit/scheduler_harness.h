// SPDX-License-Identifier: Apache-2.0
/* Pods, nodes and classes for tests of the scheduler, made as its informers make them. */
#ifndef TEST_UNIT_SCHEDULER_HARNESS_H
#define TEST_UNIT_SCHEDULER_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/selector.h"
#include "scheduler/node_cache.h"

#define CPU(amount) "\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"" amount "\"}}}]"
#define HOST_PORT(port)                                                                            \
    "\"containers\":[{\"ports\":[{\"hostPort\":" port ",\"protocol\":\"TCP\"}]}]"

/* A pod with these members of its spec, and its metadata ("\"labels\":{}") or "". */
static inline struct cached_object *make_pod_in(const char *namespace, const char *name,
                                                const char *metadata, const char *spec)
{
    cleanup(free_char)
    char *text = format("{\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",\"uid\":\"u-%s\"%s%s},"
                        "\"spec\":{%s}}",
                        name, namespace, name, *metadata != '\0' ? "," : "", metadata, spec);
    struct cached_object *pod = cached_object_new(&pod_object_class, text, strlen(text));
    assert_non_null(pod);
    return pod;
}

/* In namespace "ns". */
static inline struct cached_object *make_pod_with(const char *name, const char *metadata,
                                                  const char *spec)
{
    return make_pod_in("ns", name, metadata, spec);
}

static inline struct cached_object *make_pod(const char *name, const char *spec)
{
    return make_pod_with(name, "", spec);
}

static inline struct pod_class *class_of(const struct cached_object *pod)
{
    return pod_of(pod)->class;
}

/* A Node with these members of metadata, spec and status.allocatable, each possibly "". */
static inline json_t *make_node(const char *name, const char *metadata, const char *spec,
                                const char *allocatable)
{
    cleanup(free_char)
    char *text = format("{\"metadata\":{\"name\":\"%s\"%s%s},\"spec\":{%s},"
                        "\"status\":{\"allocatable\":{%s}}}",
                        name, *metadata != '\0' ? "," : "", metadata, spec, allocatable);
    json_t *node = json_parse(text, strlen(text), NULL);
    assert_non_null(node);
    return node;
}

static inline bool put_node(struct node_cache *cache, const char *name, const char *metadata,
                            const char *spec, const char *allocatable)
{
    cleanup(json_release)
    json_t *node = make_node(name, metadata, spec, allocatable);
    return node_cache_put_node(cache, node);
}

/* Places the pod as bound, or as assumed. */
static inline bool place(struct node_cache *cache, const struct cached_object *pod,
                         const char *node)
{
    return node_cache_place(cache, pod->key, pod->uid, class_of(pod), node, false, false);
}

static inline void forget_class(struct pod_class *class, void *cache)
{
    node_cache_forget_class(cache, class);
}

/* Takes all pods off their nodes. */
static inline void unplace_all(struct node_cache *cache)
{
    const char *key;
    void *placed;
    char **keys = allocate_zero(cache->pods.count + 1, sizeof(char *));
    size_t count = 0;
    for (size_t at = 0; map_next(&cache->pods, &at, &key, &placed);) {
        keys[count++] = duplicate(key);
    }
    for (size_t i = 0; i < count; i++) {
        node_cache_unplace(cache, keys[i], NULL);
        free(keys[i]);
    }
    free(keys);
}

/* Frees the cache, and the classes that were only of its pods. */
static inline void free_cache(struct node_cache *cache)
{
    unplace_all(cache);
    pod_classes_collect(forget_class, cache);
    node_cache_free(cache);
}

#endif

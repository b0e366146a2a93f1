// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/node_graph.h"

#include <pthread.h>
#include <string.h>

#include "apiserver/auth/node_references.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/map.h"

/* Something that pods or volumes refer to. */
struct target {
    char *key;        /* Its type, namespace and name. */
    struct map users; /* Keys of what refers to it: struct use. */
    size_t references;
};

/* How many of a target's users are on one node; or, for a volume's targets, that volume. */
struct use {
    size_t count;
};

struct source {
    char *user; /* The node of a pod, or the volume's name. */
    uint64_t hash;
    struct target **targets;
    size_t count, capacity;
};

struct follower {
    struct cache_observer base;
    struct node_graph *graph;
    const char *plural;
};

struct node_graph {
    pthread_rwlock_t lock;     /* Guards the maps and all in them. */
    struct map pods;           /* "namespace/name" to struct source, of bound pods. */
    struct map volumes;        /* Name to struct source, of volumes with a claim. */
    struct map pod_targets;    /* What pods refer to; their users are nodes. */
    struct map volume_targets; /* What volumes refer to; their users are volumes. */
    struct map attachments;    /* Name to the node's (char *). */
    struct map slices;         /* The same. */
    struct follower followers[4];
};

static char *target_key(enum node_vertex type, const char *namespace, const char *name)
{
    return format("%d %s/%s", (int)type, namespace, name);
}

/* ---- sources and targets ---- */

static void free_target(void *argument)
{
    struct target *target = argument;
    map_free(&target->users, free);
    free(target->key);
    free(target);
}

static void free_source(void *argument)
{
    struct source *source = argument;
    free(source->targets);
    free(source->user);
    free(source);
}

/* With the lock held: the source refers to a target. */
static void link_target(struct map *targets, struct source *source, const char *key)
{
    struct target *target = map_get(targets, key);
    if (target == NULL) {
        target = allocate_struct(struct target);
        target->key = duplicate(key);
        map_set(targets, key, target);
    }
    struct use *use = map_get(&target->users, source->user);
    if (use == NULL) {
        use = allocate_struct(struct use);
        map_set(&target->users, source->user, use);
    }
    use->count++;
    target->references++;
    source->targets =
        grow(source->targets, source->count, &source->capacity, sizeof(struct target *));
    source->targets[source->count++] = target;
}

/* With the lock held. */
static void unlink_target(struct map *targets, const struct source *source, struct target *target)
{
    struct use *use = map_get(&target->users, source->user);
    if (--use->count == 0) {
        free(map_remove(&target->users, source->user));
    }
    if (--target->references == 0) {
        map_remove(targets, target->key);
        free_target(target);
    }
}

/* With the lock held: takes a source out with all it refers to. */
static void remove_source(struct map *sources, struct map *targets, const char *key)
{
    struct source *source = map_remove(sources, key);
    if (source == NULL) {
        return;
    }
    for (size_t i = 0; i < source->count; i++) {
        unlink_target(targets, source, source->targets[i]);
    }
    free_source(source);
}

/* Keys of targets, collected before the lock is taken. */
struct keys {
    char **list;
    size_t count, capacity;
};

static void collect(void *argument, enum node_vertex type, const char *namespace, const char *name)
{
    struct keys *keys = argument;
    keys->list = grow(keys->list, keys->count, &keys->capacity, sizeof *keys->list);
    keys->list[keys->count++] = target_key(type, namespace, name);
}

/* Replaces a source by one that refers to these keys (consumed). */
static void put_source(struct node_graph *graph, struct map *sources, struct map *targets,
                       const char *key, struct source source, struct keys *keys)
{
    struct source *kept = allocate_struct(struct source);
    *kept = source;
    pthread_rwlock_wrlock(&graph->lock);
    remove_source(sources, targets, key);
    for (size_t i = 0; i < keys->count; i++) {
        link_target(targets, kept, keys->list[i]);
    }
    map_set(sources, key, kept);
    pthread_rwlock_unlock(&graph->lock);
    for (size_t i = 0; i < keys->count; i++) {
        free(keys->list[i]);
    }
    free(keys->list);
}

static void drop_source(struct node_graph *graph, struct map *sources, struct map *targets,
                        const char *key)
{
    pthread_rwlock_wrlock(&graph->lock);
    remove_source(sources, targets, key);
    pthread_rwlock_unlock(&graph->lock);
}

/* ---- changes ---- */

/* The pod's place in the graph says all that the pod says. Read without the lock: the one thread
 * that asks is the one that writes. */
static bool is_as_before(const struct node_graph *graph, const struct object *pod, const char *node,
                         size_t length, uint64_t hash)
{
    const struct source *source = map_get(&graph->pods, pod->key);
    return source != NULL && source->hash == hash && strlen(source->user) == length &&
           memcmp(source->user, node, length) == 0;
}

static void put_pod(struct node_graph *graph, const struct object *pod)
{
    size_t length = 0;
    const char *node = object_field(pod, "spec.nodeName", &length);
    if (node == NULL || length == 0) {
        if (map_get(&graph->pods, pod->key) != NULL) {
            drop_source(graph, &graph->pods, &graph->pod_targets, pod->key);
        }
        return;
    }
    uint64_t hash = node_references_hash(pod);
    if (is_as_before(graph, pod, node, length, hash)) {
        return;
    }
    struct keys keys = {0};
    node_references_of_pod(pod, collect, &keys);
    put_source(graph, &graph->pods, &graph->pod_targets, pod->key,
               (struct source){.user = duplicate_bytes(node, length), .hash = hash}, &keys);
}

static void put_volume(struct node_graph *graph, const struct object *volume)
{
    struct keys keys = {0};
    node_references_of_volume(volume, collect, &keys);
    if (keys.count == 0) {
        drop_source(graph, &graph->volumes, &graph->volume_targets, volume->key);
        return;
    }
    put_source(graph, &graph->volumes, &graph->volume_targets, volume->key,
               (struct source){.user = duplicate(volume->key)}, &keys);
}

/* What names its node itself. */
static void put_named(struct node_graph *graph, struct map *map, const struct object *object)
{
    struct json_span span;
    json_scan(object->bytes, object->length, (const char *[]){"spec.nodeName"}, 1, &span);
    char *node = json_span_value(span);
    pthread_rwlock_wrlock(&graph->lock);
    free(node != NULL ? map_set(map, object->key, node) : map_remove(map, object->key));
    pthread_rwlock_unlock(&graph->lock);
}

static struct map *named_map(struct node_graph *graph, const char *plural)
{
    return strcmp(plural, "resourceslices") == 0 ? &graph->slices : &graph->attachments;
}

void node_graph_put(struct node_graph *graph, const char *plural, const struct object *object)
{
    if (strcmp(plural, "pods") == 0) {
        put_pod(graph, object);
    } else if (strcmp(plural, "persistentvolumes") == 0) {
        put_volume(graph, object);
    } else {
        put_named(graph, named_map(graph, plural), object);
    }
}

void node_graph_remove(struct node_graph *graph, const char *plural, const struct object *object)
{
    if (strcmp(plural, "pods") == 0) {
        drop_source(graph, &graph->pods, &graph->pod_targets, object->key);
    } else if (strcmp(plural, "persistentvolumes") == 0) {
        drop_source(graph, &graph->volumes, &graph->volume_targets, object->key);
    } else {
        pthread_rwlock_wrlock(&graph->lock);
        free(map_remove(named_map(graph, plural), object->key));
        pthread_rwlock_unlock(&graph->lock);
    }
}

static void changed(struct cache_observer *base, const struct object *object, bool deleted)
{
    struct follower *follower = container_of(base, struct follower, base);
    if (deleted) {
        node_graph_remove(follower->graph, follower->plural, object);
    } else {
        node_graph_put(follower->graph, follower->plural, object);
    }
}

/* ---- life ---- */

struct node_graph *node_graph_new(void)
{
    struct node_graph *graph = allocate_struct(struct node_graph);
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&graph->lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    return graph;
}

void node_graph_follow(struct node_graph *graph, struct cache *cache, const struct scheme *scheme)
{
    static const struct {
        const char *group, *plural;
    } kinds[] = {
        {"", "pods"},
        {"", "persistentvolumes"},
        {"storage.k8s.io", "volumeattachments"},
        {"resource.k8s.io", "resourceslices"},
    };
    for (size_t i = 0; i < array_length(kinds); i++) {
        const struct resource *resource =
            scheme_resource_find(scheme, kinds[i].group, "v1", kinds[i].plural);
        graph->followers[i] = (struct follower){
            .base = {.changed = changed}, .graph = graph, .plural = kinds[i].plural};
        cache_observe(cache_table(cache, resource), &graph->followers[i].base);
    }
}

void node_graph_free(struct node_graph *graph)
{
    if (graph == NULL) {
        return;
    }
    map_free(&graph->pods, free_source);
    map_free(&graph->volumes, free_source);
    map_free(&graph->pod_targets, free_target);
    map_free(&graph->volume_targets, free_target);
    map_free(&graph->attachments, free);
    map_free(&graph->slices, free);
    pthread_rwlock_destroy(&graph->lock);
    free(graph);
}

/* ---- asking ---- */

static bool is_text(const char *text, const char *expected)
{
    return text != NULL && strcmp(text, expected) == 0;
}

/* Some pod on the node refers to it. */
static bool pods_use(const struct node_graph *graph, const char *node, const char *key)
{
    const struct target *target = map_get(&graph->pod_targets, key);
    return target != NULL && map_get(&target->users, node) != NULL;
}

/* The claim that the volume is for is used on the node. */
static bool volume_is_used(const struct node_graph *graph, const char *node, const char *volume)
{
    const struct source *source = map_get(&graph->volumes, volume);
    /* What a volume refers to first is its claim. */
    return source != NULL && pods_use(graph, node, source->targets[0]->key);
}

static bool volumes_use(const struct node_graph *graph, const char *node, const char *key)
{
    const struct target *target = map_get(&graph->volume_targets, key);
    const char *volume;
    void *use;
    for (size_t at = 0; target != NULL && map_next(&target->users, &at, &volume, &use);) {
        if (volume_is_used(graph, node, volume)) {
            return true;
        }
    }
    return false;
}

static bool has(const struct node_graph *graph, const char *node, enum node_vertex type,
                const char *namespace, const char *name)
{
    cleanup(free_char)
    char *pod = format("%s/%s", namespace, name);
    cleanup(free_char)
    char *key = target_key(type, namespace, name);
    const struct source *source;
    switch (type) {
    case NODE_POD:
        source = map_get(&graph->pods, pod);
        return source != NULL && strcmp(source->user, node) == 0;
    case NODE_SECRET:
        return pods_use(graph, node, key) || volumes_use(graph, node, key);
    case NODE_VOLUME:
        return volume_is_used(graph, node, name);
    case NODE_ATTACHMENT:
        return is_text(map_get(&graph->attachments, name), node);
    case NODE_SLICE:
        return is_text(map_get(&graph->slices, name), node);
    default:
        return pods_use(graph, node, key);
    }
}

bool node_graph_has(struct node_graph *graph, const char *node, enum node_vertex type,
                    const char *namespace, const char *name)
{
    pthread_rwlock_rdlock(&graph->lock);
    bool found = has(graph, node, type, namespace, name);
    pthread_rwlock_unlock(&graph->lock);
    return found;
}

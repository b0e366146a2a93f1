// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cluster.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "scheduler/hints.h"
#include "scheduler/nominations.h"

static void note(const struct cluster *cluster, enum cluster_event event, struct node *node,
                 struct pod_class *class)
{
    hints_note(cluster->queue, cluster->cache,
               &(struct cluster_change){.event = event, .node = node, .pod = class});
}

/* ---- nodes ---- */

void cluster_put_node(const struct cluster *cluster, const json_t *node)
{
    if (node_cache_put_node(cluster->cache, node)) {
        const char *name = json_path_string(node, "metadata", "name");
        note(cluster, EVENT_NODE, node_cache_node(cluster->cache, name), NULL);
    }
}

void cluster_remove_node(const struct cluster *cluster, const char *name)
{
    node_cache_remove_node(cluster->cache, name);
    queue_note_event(cluster->queue, EVENT_NODE_LEFT);
}

/* ---- volumes ---- */

void cluster_volumes_changed(const struct cluster *cluster, const struct volume_change *change)
{
    cluster->cache->changed++;
    cluster->cache->freed++; /* What failed may be told differently now. */
    if (change != NULL) {
        hints_note(cluster->queue, cluster->cache,
                   &(struct cluster_change){.event = EVENT_VOLUME, .volume = change});
    }
}

/* ---- pods on nodes ---- */

void cluster_end_nomination(const struct cluster *cluster, const char *key)
{
    struct node *node = nominations_remove(cluster->cache, key, NULL);
    if (node != NULL) {
        note(cluster, EVENT_POD_LEFT, node, NULL);
    }
}

void cluster_nominate(const struct cluster *cluster, const char *key, const char *uid,
                      struct pod_class *class, const char *node_name)
{
    const struct nomination *known = nominations_find(cluster->cache, key);
    if (known != NULL && (known->class != class || strcmp(known->node->name, node_name) != 0)) {
        cluster_end_nomination(cluster, key); /* What was kept for it there is others'. */
    }
    nominations_set(cluster->cache, key, uid, class, node_name);
}

/* What it takes up is free again. */
static void unplace(const struct cluster *cluster, const char *key, const char *uid)
{
    const struct placed_pod *placed = node_cache_find_pod(cluster->cache, key);
    if (placed == NULL || strcmp(placed->uid, uid) != 0) {
        return;
    }
    struct pod_class *class = pod_class_ref(placed->class);
    struct node *node = placed->node->exists ? placed->node : NULL;
    node_cache_unplace(cluster->cache, key, uid);
    note(cluster, EVENT_POD_LEFT, node, class);
    pod_class_unref(class);
}

/* The pod that stood there before, if any, was another, looked otherwise or stood elsewhere: not
 * only that it is being deleted now. */
static bool differs(const struct placed_pod *before, const char *uid, const struct pod_class *class,
                    const char *node_name)
{
    return before != NULL && (before->class != class || strcmp(before->uid, uid) != 0 ||
                              strcmp(before->node->name, node_name) != 0);
}

static void place(const struct cluster *cluster, const char *key, const char *uid,
                  struct pod_class *class, const char *node_name, bool is_assumed, bool is_deleting)
{
    struct node_cache *cache = cluster->cache;
    uint64_t joined = cache->joined;
    const struct placed_pod *before = node_cache_find_pod(cache, key);
    if (differs(before, uid, class, node_name)) {
        unplace(cluster, key, before->uid);
    }
    bool is_ending = node_cache_place(cache, key, uid, class, node_name, is_assumed, is_deleting);
    struct node *node = node_cache_find_pod(cache, key)->node;
    if (is_ending) {
        note(cluster, EVENT_POD_ENDING, node, class);
    }
    if (cache->joined != joined) {
        note(cluster, EVENT_POD_CAME, node, class);
    }
    cluster_end_nomination(cluster, key);
}

void cluster_assume(const struct cluster *cluster, const struct queued_pod *pod,
                    const char *node_name)
{
    place(cluster, pod->key, pod->uid, pod->class, node_name, true, false);
}

void cluster_forget(const struct cluster *cluster, const struct queued_pod *pod)
{
    const struct placed_pod *placed = node_cache_find_pod(cluster->cache, pod->key);
    if (placed != NULL && placed->is_assumed) {
        unplace(cluster, pod->key, pod->uid);
    }
}

/* ---- pods as they are seen ---- */

/* Follows status.nominatedNodeName. What this scheduler decided but is not written yet stays. */
static void follow_nomination(const struct cluster *cluster, const struct cached_object *old,
                              const struct cached_object *new)
{
    const char *before =
        old != NULL && strcmp(old->uid, new->uid) == 0 ? pod_of(old)->nominated_node : NULL;
    const char *after = pod_of(new)->nominated_node;
    if (strcmp(before != NULL ? before : "", after != NULL ? after : "") == 0) {
        const struct nomination *known = nominations_find(cluster->cache, new->key);
        if (known == NULL || strcmp(known->uid, new->uid) != 0) {
            return;
        }
        after = known->node->name; /* The pod's class may be new. */
    }
    if (after == NULL) {
        cluster_end_nomination(cluster, new->key);
        return;
    }
    cleanup(free_char)
    char *node_name = duplicate(after); /* It may go with the old nomination. */
    cluster_nominate(cluster, new->key, new->uid, pod_of(new)->class, node_name);
}

static void pod_is_pending(const struct cluster *cluster, const struct cached_object *old,
                           const struct cached_object *new, bool is_ours)
{
    const struct placed_pod *placed = node_cache_find_pod(cluster->cache, new->key);
    if (placed != NULL && strcmp(placed->uid, new->uid) == 0) {
        return; /* Its binding is under way. */
    }
    if (is_ours && !new->is_deleting) {
        queue_put(cluster->queue, new->key, new->uid, pod_of(new)->class);
        follow_nomination(cluster, old, new);
    } else {
        queue_remove(cluster->queue, new->key);
        cluster_end_nomination(cluster, new->key);
    }
}

static void pod_stands(const struct cluster *cluster, const struct cached_object *object)
{
    const struct pod *pod = pod_of(object);
    queue_remove(cluster->queue, object->key);
    place(cluster, object->key, object->uid, pod->class, pod->node_name, false,
          object->is_deleting);
    struct placed_pod *placed = node_cache_find_pod(cluster->cache, object->key);
    placed->started = pod->started;
    placed->is_preempted = pod->is_preempted;
}

static void pod_left(const struct cluster *cluster, const struct cached_object *pod)
{
    queue_remove(cluster->queue, pod->key);
    cluster_end_nomination(cluster, pod->key);
    unplace(cluster, pod->key, pod->uid);
}

void cluster_pod_changed(const struct cluster *cluster, const struct cached_object *old,
                         const struct cached_object *new, bool is_ours)
{
    if (new == NULL || pod_of(new)->is_terminated) {
        pod_left(cluster, new != NULL ? new : old);
    } else if (pod_of(new)->node_name[0] == '\0') {
        pod_is_pending(cluster, old, new, is_ours);
    } else {
        pod_stands(cluster, new);
    }
}

// SPDX-License-Identifier: Apache-2.0
/*
 * What belongs to which node: pods by their binding, and through pods the secrets, config maps,
 * claims, volumes and accounts that they use; volume attachments and resource slices by themselves.
 *
 *     node <- pod <- secret, config map, resource claim, service account
 *     node <- pod <- volume claim <- volume <- secret
 *
 * It follows the cache change by change, see cache_observe(). A pod is looked into when it is
 * bound, and again only if something came to it that can bring more.
 *
 * Threads: one rwlock, as in rbac.h.
 */
#ifndef APISERVER_AUTH_NODE_GRAPH_H
#define APISERVER_AUTH_NODE_GRAPH_H

#include "apiserver/storage/cache.h"

enum node_vertex {
    NODE_POD,
    NODE_SECRET,
    NODE_CONFIG_MAP,
    NODE_VOLUME_CLAIM,
    NODE_RESOURCE_CLAIM,
    NODE_SERVICE_ACCOUNT,
    NODE_VOLUME,
    NODE_ATTACHMENT,
    NODE_SLICE,
};

struct node_graph;

struct node_graph *node_graph_new(void);
/* Takes in all that is in the cache and follows it. Once. */
void node_graph_follow(struct node_graph *graph, struct cache *cache, const struct scheme *scheme);
void node_graph_free(struct node_graph *graph); /* When no change comes any more. */

/* The object is there, or is changed; or it is gone. For the cache and for tests. 'plural' is one
 * of pods, persistentvolumes, volumeattachments and resourceslices. */
void node_graph_put(struct node_graph *graph, const char *plural, const struct object *object);
void node_graph_remove(struct node_graph *graph, const char *plural, const struct object *object);

/* Whether this object belongs to the node; 'namespace' is "" for what is in none. */
bool node_graph_has(struct node_graph *graph, const char *node, enum node_vertex type,
                    const char *namespace, const char *name);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "controllers/node_view.h"

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/resources.h"

static void *digest(const struct cached_object *object)
{
    cleanup(json_release)
    json_t *node = cached_object_tree(object);
    struct node_view *view = allocate_struct(struct node_view);
    view->labels = json_incref(json_path(node, "metadata", "labels"));
    view->taints = json_incref(json_path(node, "spec", "taints"));
    return view;
}

static void digest_free(void *digest)
{
    struct node_view *view = digest;
    json_decref(view->labels);
    json_decref(view->taints);
    free(view);
}

const struct cached_object_class node_class = {.digest = digest, .digest_free = digest_free};

struct informer *node_informer(struct informer_factory *informers)
{
    return informer_factory_get(informers, &resource_nodes, &node_class, NULL);
}

// SPDX-License-Identifier: Apache-2.0
#include "scheduler/volume_informers.h"

#include "common/alloc.h"
#include "common/json.h"
#include "scheduler/pod_volumes.h"

static const struct {
    struct api_resource resource;
    enum volume_change_kind change;
    void (*put)(struct volumes *volumes, const json_t *object);
    void (*remove)(struct volumes *volumes, const char *key);
} kinds[] = {
    {{"v1", "persistentvolumeclaims", "PersistentVolumeClaim", true},
     CHANGE_CLAIM,
     volumes_put_claim,
     volumes_remove_claim},
    {{"v1", "persistentvolumes", "PersistentVolume", false},
     CHANGE_VOLUME,
     volumes_put_volume,
     volumes_remove_volume},
    {{"storage.k8s.io/v1", "storageclasses", "StorageClass", false},
     CHANGE_CLASS,
     volumes_put_class,
     volumes_remove_class},
    {{"storage.k8s.io/v1", "csinodes", "CSINode", false},
     CHANGE_CSI_NODE,
     volumes_put_csi_node,
     volumes_remove_csi_node},
    {{"storage.k8s.io/v1", "csidrivers", "CSIDriver", false},
     CHANGE_DRIVER,
     volumes_put_driver,
     volumes_remove_driver},
    {{"storage.k8s.io/v1", "csistoragecapacities", "CSIStorageCapacity", true},
     CHANGE_CAPACITY,
     volumes_put_capacity,
     volumes_remove_capacity},
    {{"storage.k8s.io/v1", "volumeattachments", "VolumeAttachment", false},
     CHANGE_DETACHED,
     volumes_put_attachment,
     volumes_remove_attachment},
};

struct volume_informers {
    const struct cluster *cluster;
    void (*lock)(void *argument);
    void (*unlock)(void *argument);
    void *argument;
    struct handler {
        struct volume_informers *informers;
        size_t kind;
    } handlers[array_length(kinds)];
};

/* All is in the scheduler's own form. */
static const struct cached_object_class object_class = {.drop_text = true};

static const char *class_of(const json_t *object)
{
    const char *class = json_path_string(object, "spec", "storageClassName");
    class = class != NULL ? class : json_get_string(object, "storageClassName");
    return class != NULL ? class : "";
}

static void object_changed(void *argument, const struct cached_object *old,
                           const struct cached_object *new)
{
    const struct handler *handler = argument;
    struct volume_informers *informers = handler->informers;
    const struct cluster *cluster = informers->cluster;
    const struct cached_object *object = new != NULL ? new : old;
    cleanup(json_release)
    json_t *tree = new != NULL ? cached_object_tree(new) : NULL;
    struct volume_change change = {kinds[handler->kind].change, object->key, class_of(tree)};
    informers->lock(informers->argument);
    if (new != NULL) {
        kinds[handler->kind].put(cluster->cache->volumes, tree);
    } else {
        kinds[handler->kind].remove(cluster->cache->volumes, old->key);
    }
    /* What is gone helps nobody, but for what took up a place on a node. */
    bool may_help = (new == NULL) == (change.kind == CHANGE_DETACHED);
    cluster_volumes_changed(cluster, may_help ? &change : NULL);
    informers->unlock(informers->argument);
}

struct volume_informers *volume_informers_new(struct informer_factory *factory,
                                              const struct cluster *cluster,
                                              void (*lock)(void *argument),
                                              void (*unlock)(void *argument), void *argument)
{
    struct volume_informers *informers = allocate_struct(struct volume_informers);
    informers->cluster = cluster;
    informers->lock = lock;
    informers->unlock = unlock;
    informers->argument = argument;
    for (size_t i = 0; i < array_length(kinds); i++) {
        informers->handlers[i] = (struct handler){informers, i};
        informer_add_handler(informer_factory_get(factory, &kinds[i].resource, &object_class, NULL),
                             object_changed, &informers->handlers[i]);
    }
    return informers;
}

void volume_informers_free(struct volume_informers *informers)
{
    free(informers);
}

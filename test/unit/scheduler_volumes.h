// SPDX-License-Identifier: Apache-2.0
/* A scheduler's world for tests of what it makes of volumes: objects are put there as text, and
 * pods of namespace "ns" decided upon. */
#ifndef TEST_UNIT_SCHEDULER_VOLUMES_H
#define TEST_UNIT_SCHEDULER_VOLUMES_H

#include "test/unit/scheduler_harness.h"

#include "scheduler/cluster.h"
#include "scheduler/cycle.h"
#include "scheduler/volume_plan.h"

#define ROOM "\"cpu\":\"4\",\"pods\":\"110\""
#define LABELS(members) "\"labels\":{" members "}"
#define CLAIM(name)                                                                                \
    "\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"" name "\"}}]"
#define BOUND "\"annotations\":{\"pv.kubernetes.io/bind-completed\":\"yes\"}"

struct world {
    struct decider decider;
    struct queue queue;
    struct cluster cluster;
    struct volumes *volumes;
};

static inline int set_up(void **state)
{
    struct world *world = allocate_struct(struct world);
    world->decider.cache = node_cache_new();
    world->volumes = world->decider.cache->volumes;
    world->cluster = (struct cluster){world->decider.cache, &world->queue};
    *state = world;
    return 0;
}

static inline int tear_down(void **state)
{
    struct world *world = *state;
    struct node_cache *cache = world->decider.cache;
    queue_clear(&world->queue);
    decider_clear(&world->decider);
    volume_plans_clear(world->volumes);
    free_cache(cache);
    free(world);
    return 0;
}

/* ---- what there is ---- */

static inline void node(struct world *world, const char *name, const char *labels)
{
    cleanup(free_char)
    char *metadata = format("\"labels\":{\"kubernetes.io/hostname\":\"%s\"%s%s}", name,
                            *labels != '\0' ? "," : "", labels);
    cleanup(json_release)
    json_t *object = make_node(name, metadata, "", ROOM);
    cluster_put_node(&world->cluster, object);
}

static inline void put(struct world *world, void (*put_object)(struct volumes *, const json_t *),
                       const char *text)
{
    cleanup(json_release)
    json_t *object = json_parse(text, strlen(text), NULL);
    assert_non_null(object);
    put_object(world->volumes, object);
    cluster_volumes_changed(&world->cluster, NULL);
}

/* Each with members of its metadata and spec, possibly "". */
static inline void claim(struct world *world, const char *name, const char *metadata,
                         const char *spec)
{
    cleanup(free_char)
    char *text =
        format("{\"metadata\":{\"namespace\":\"ns\",\"name\":\"%s\",\"uid\":\"c-%s\"%s%s},"
               "\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":"
               "{\"storage\":\"2Gi\"}}%s%s}}",
               name, name, *metadata != '\0' ? "," : "", metadata, *spec != '\0' ? "," : "", spec);
    put(world, volumes_put_claim, text);
}

static inline void volume(struct world *world, const char *name, const char *metadata,
                          const char *size, const char *spec)
{
    cleanup(free_char)
    char *text =
        format("{\"metadata\":{\"name\":\"%s\"%s%s},\"spec\":{\"capacity\":{\"storage\":"
               "\"%s\"},\"accessModes\":[\"ReadWriteOnce\"]%s%s},"
               "\"status\":{\"phase\":\"Available\"}}",
               name, *metadata != '\0' ? "," : "", metadata, size, *spec != '\0' ? "," : "", spec);
    put(world, volumes_put_volume, text);
}

static inline void class(struct world *world, const char *name, const char *mode,
                         const char *members)
{
    cleanup(free_char)
    char *text = format("{\"metadata\":{\"name\":\"%s\"},\"volumeBindingMode\":\"%s\"%s%s}", name,
                        mode, *members != '\0' ? "," : "", members);
    put(world, volumes_put_class, text);
}

#define LATE "\"storageClassName\":\"late\""
#define ON_NODE(name)                                                                              \
    "\"nodeAffinity\":{\"required\":{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":"      \
    "\"kubernetes.io/hostname\",\"operator\":\"In\",\"values\":[\"" name "\"]}]}]}}"
#define NOTHING "\"provisioner\":\"kubernetes.io/no-provisioner\""
#define DISKS "\"provisioner\":\"disks.example.com\""

/* ---- what is decided ---- */

/* Where a pod of that spec is put, or why nowhere; good until the next call. */
static inline const char *decide(struct world *world, const char *name, const char *spec)
{
    static char text[400];
    struct cached_object *pod = make_pod(name, spec);
    struct node *chosen = decider_choose(&world->decider, class_of(pod), pod->key, pod->uid);
    snprintf(text, sizeof text, "%s",
             chosen != NULL                   ? chosen->name
             : class_of(pod)->failure != NULL ? class_of(pod)->failure
                                              : "");
    cached_object_unref(pod);
    return text;
}

static inline void stands(struct world *world, const char *name, const char *node_name,
                          const char *spec)
{
    cleanup(free_char)
    char *all = format("\"nodeName\":\"%s\",%s", node_name, spec);
    struct cached_object *pod = make_pod(name, all);
    cluster_pod_changed(&world->cluster, NULL, pod, true);
    cached_object_unref(pod);
}

static inline void leaves(struct world *world, const char *name)
{
    struct cached_object *pod = make_pod(name, "");
    cluster_pod_changed(&world->cluster, pod, NULL, true);
    cached_object_unref(pod);
}

/* What is planned for the pod: "claim=volume", or "claim+" for one that is to be made. */
static inline const char *planned(struct world *world, const char *key)
{
    static char text[200];
    const struct volume_plan *plan = map_get(&world->volumes->plans, key);
    text[0] = '\0';
    for (size_t i = 0; plan != NULL && i < plan->count; i++) {
        const char *chosen = plan->list[i].volume_name;
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s%s%s", i > 0 ? " " : "",
                 plan->list[i].claim->name, chosen != NULL ? "=" : "+",
                 chosen != NULL ? chosen : "");
    }
    return text;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif

// SPDX-License-Identifier: Apache-2.0
/* From stored FlowSchemas and PriorityLevelConfigurations to those that requests are matched with.
 *
 * The cache's observers only note what is there and wake the keeper; its thread does the rest. The
 * mandatory objects count as they are built in while they are not stored. */
#include <string.h>

#include "apiserver/flowcontrol/internal.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

static const char group[] = "flowcontrol.apiserver.k8s.io";

/* ---- following ---- */

static void object_changed(struct cache_observer *observer, const struct object *object,
                           bool deleted)
{
    struct followed *followed = container_of(observer, struct followed, observer);
    struct flowcontrol *flowcontrol = followed->flowcontrol;
    pthread_mutex_lock(&flowcontrol->objects_lock);
    struct object *before = deleted ? map_remove(&followed->objects, object->key)
                                    : map_set(&followed->objects, object->key,
                                              object_ref((struct object *)(uintptr_t)object));
    pthread_mutex_unlock(&flowcontrol->objects_lock);
    object_unref(before);
    keeper_wake(flowcontrol->keeper);
}

static void follow(struct flowcontrol *flowcontrol, struct followed *followed, const char *plural)
{
    struct registry *registry = flowcontrol->registry;
    followed->flowcontrol = flowcontrol;
    followed->observer.changed = object_changed;
    cache_observe(cache_table(registry->cache, registry_resource(registry, group, plural)),
                  &followed->observer);
}

void config_follow(struct flowcontrol *flowcontrol)
{
    follow(flowcontrol, &flowcontrol->level_objects, "prioritylevelconfigurations");
    follow(flowcontrol, &flowcontrol->schema_objects, "flowschemas");
}

json_t *config_trees(struct flowcontrol *flowcontrol, struct followed *followed)
{
    struct object **objects;
    size_t count = 0, at = 0;
    const char *key;
    void *value;
    pthread_mutex_lock(&flowcontrol->objects_lock);
    objects = allocate_zero(followed->objects.count + 1, sizeof(struct object *));
    while (map_next(&followed->objects, &at, &key, &value)) {
        objects[count++] = object_ref(value);
    }
    pthread_mutex_unlock(&flowcontrol->objects_lock);
    json_t *trees = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(trees, object_tree(objects[i]));
        object_unref(objects[i]);
    }
    free(objects);
    return trees;
}

static bool has_named(const json_t *trees, const char *name)
{
    size_t i;
    const json_t *tree;
    json_array_foreach (trees, i, tree) {
        const char *present = json_path_string(tree, "metadata", "name");
        if (present != NULL && strcmp(present, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Adds the mandatory objects that are not there. */
static void add_mandatory(json_t *trees, const char *kind)
{
    cleanup(json_release)
    json_t *built_in = keeper_objects(NULL);
    size_t i;
    json_t *entry;
    json_array_foreach (built_in, i, entry) {
        const char *name = json_get_string(entry, "name");
        if (json_get_bool(entry, "mandatory", false) &&
            strcmp(json_get_string(entry, "kind"), kind) == 0 && !has_named(trees, name)) {
            json_array_append_new(trees, json_pack("{s:{s:s}, s:O}", "metadata", "name", name,
                                                   "spec", json_object_get(entry, "spec")));
        }
    }
}

/* ---- applying ---- */

static void define_levels(struct flowcontrol *flowcontrol, const json_t *trees)
{
    for (size_t i = 0; i < flowcontrol->level_count; i++) {
        flowcontrol->levels[i]->defined = false;
    }
    size_t i;
    json_t *tree;
    json_array_foreach (trees, i, tree) {
        struct level_settings settings = level_settings_of(tree);
        const char *uid = json_path_string(tree, "metadata", "uid");
        levels_define(flowcontrol, json_path_string(tree, "metadata", "name"), uid ? uid : "",
                      &settings);
    }
    for (i = 0; i < flowcontrol->level_count; i++) {
        if (!flowcontrol->levels[i]->defined) {
            flowcontrol->levels[i]->settings.shares = 0;
        }
    }
}

static struct flow_stats *stats_of(struct flowcontrol *flowcontrol, const char *schema,
                                   const char *level)
{
    if (flowcontrol->stats.count >= flow_stats_max) {
        schema = level = "other";
    }
    cleanup(free_char)
    char *key = format("%s/%s", schema, level);
    struct flow_stats *stats = map_get(&flowcontrol->stats, key);
    if (stats == NULL) {
        stats = allocate_struct(struct flow_stats);
        stats->schema = duplicate(schema);
        stats->level = duplicate(level);
        map_set(&flowcontrol->stats, key, stats);
    }
    return stats;
}

static void stats_free(void *value)
{
    struct flow_stats *stats = value;
    free(stats->schema);
    free(stats->level);
    free(stats);
}

static void free_schemas(struct flow_schema **schemas, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        flow_schema_free(schemas[i]);
    }
    free(schemas);
}

/* Those that refer to a level that is there, in their order. */
static void set_schemas(struct flowcontrol *flowcontrol, struct flow_schema **schemas, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct flow_schema *schema = schemas[i];
        struct priority_level *level = levels_find(flowcontrol, schema->level_name);
        if (level == NULL || !level->defined) {
            flow_schema_free(schema);
            continue;
        }
        schema->level = level;
        schema->stats = stats_of(flowcontrol, schema->name, level->name);
        schemas[kept++] = schema;
    }
    flowcontrol->schemas = schemas;
    flowcontrol->schema_count = kept;
}

void config_apply(struct flowcontrol *flowcontrol)
{
    cleanup(json_release)
    json_t *levels = config_trees(flowcontrol, &flowcontrol->level_objects);
    cleanup(json_release)
    json_t *trees = config_trees(flowcontrol, &flowcontrol->schema_objects);
    add_mandatory(levels, "PriorityLevelConfiguration");
    add_mandatory(trees, "FlowSchema");
    size_t count = json_array_size(trees);
    struct flow_schema **schemas = allocate_zero(count + 1, sizeof(struct flow_schema *));
    for (size_t i = 0; i < count; i++) {
        schemas[i] = flow_schema_new(json_array_get(trees, i));
    }
    qsort(schemas, count, sizeof(struct flow_schema *), flow_schema_order);
    pthread_rwlock_wrlock(&flowcontrol->config_lock);
    struct flow_schema **before = flowcontrol->schemas;
    size_t before_count = flowcontrol->schema_count;
    define_levels(flowcontrol, levels);
    set_schemas(flowcontrol, schemas, count);
    levels_divide(flowcontrol, timestamp_monotonic());
    pthread_rwlock_unlock(&flowcontrol->config_lock);
    free_schemas(before, before_count);
}

static void unref(void *object)
{
    object_unref(object);
}

void config_free(struct flowcontrol *flowcontrol)
{
    free_schemas(flowcontrol->schemas, flowcontrol->schema_count);
    levels_free(flowcontrol);
    map_free(&flowcontrol->stats, stats_free);
    map_free(&flowcontrol->schema_objects.objects, unref);
    map_free(&flowcontrol->level_objects.objects, unref);
}

// SPDX-License-Identifier: Apache-2.0
#include "apiserver/flowcontrol/keeper.h"

#include <string.h>
#include <time.h>

#include "apiserver/flowcontrol/internal.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"

static const char group[] = "flowcontrol.apiserver.k8s.io";
static const char autoupdate[] = "apf.kubernetes.io/autoupdate-spec";

/* Between looking twice, so that servers that want different things don't wear the store out. */
enum { period_ms = 60000, pause_ms = 200, retry_ms = 1000 };

struct keeper {
    struct flowcontrol *flowcontrol;
    json_t *objects;
    pthread_mutex_t lock; /* Guards the next two. */
    pthread_cond_t wanted;
    bool stopping, woken;
    atomic_bool done;
    bool runs;
    pthread_t thread;
};

static const struct resource *resource_of(const struct keeper *keeper, const char *kind)
{
    return scheme_resource_of_kind(keeper->flowcontrol->registry->scheme, group, "v1", kind);
}

/* ---- one object ---- */

static bool create(struct keeper *keeper, const json_t *wanted, struct error *error)
{
    const char *kind = json_get_string(wanted, "kind"), *name = json_get_string(wanted, "name");
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    write_begin(&write, keeper->flowcontrol->registry, NULL, NULL, resource_of(keeper, kind),
                WRITE_CREATE);
    write_address(&write, "", name);
    write.object =
        json_pack("{s:s, s:s, s:{s:s, s:{s:s}}, s:o}", "kind", kind, "apiVersion",
                  "flowcontrol.apiserver.k8s.io/v1", "metadata", "name", name, "annotations",
                  autoupdate, "true", "spec", json_deep_copy(json_object_get(wanted, "spec")));
    return registry_create(&write, &object, error);
}

/* Makes of the live tree what it is to be; NULL: it is fine. */
struct change_of {
    json_t *(*better)(const json_t *live, const void *argument);
    const void *argument;
};

static bool transform(struct write *write, void *argument, struct error *error)
{
    (void)error;
    const struct change_of *change = argument;
    cleanup(json_release)
    json_t *live = object_tree(write->live_object);
    json_t *better = change->better(live, change->argument);
    write->object = better ? better : steal(live);
    json_object_del(json_object_get(write->object, "metadata"), "resourceVersion");
    return true;
}

static bool update(struct keeper *keeper, const struct resource *resource, const char *subresource,
                   const char *name, struct change_of *change, struct error *error)
{
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    write_begin(&write, keeper->flowcontrol->registry, NULL, NULL, resource, WRITE_UPDATE);
    write.subresource = subresource;
    write_address(&write, "", name);
    return registry_update(&write, transform, change, &object, NULL, error);
}

static bool delete_it(struct keeper *keeper, const struct resource *resource, const char *name,
                      struct error *error)
{
    struct delete_options options = {.grace_period_seconds = -1};
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    bool gone;
    write_begin(&write, keeper->flowcontrol->registry, NULL, NULL, resource, WRITE_DELETE);
    write_address(&write, "", name);
    return registry_delete(&write, &options, &object, &gone, error);
}

static json_t *repaired(const json_t *live, const void *wanted)
{
    return keeper_repair(live, wanted);
}

static json_t *with_condition(const json_t *live, const void *dangling)
{
    return keeper_set_dangling(live, *(const bool *)dangling);
}

/* ---- all of them ---- */

static bool ensure(struct keeper *keeper, const json_t *wanted, struct error *error)
{
    const char *name = json_get_string(wanted, "name");
    const struct resource *resource = resource_of(keeper, json_get_string(wanted, "kind"));
    cleanup(object_release)
    struct object *present = registry_get(keeper->flowcontrol->registry, resource, "", name);
    if (present == NULL) {
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        return create(keeper, wanted, &why) || why.code == 409 || error_move(error, &why);
    }
    cleanup(json_release)
    json_t *live = object_tree(present);
    cleanup(json_release)
    json_t *better = keeper_repair(live, wanted);
    struct change_of change = {repaired, wanted};
    return better == NULL || update(keeper, resource, "", name, &change, error);
}

static bool ensure_all(struct keeper *keeper, struct error *error)
{
    bool all = true;
    size_t i;
    const json_t *wanted;
    json_array_foreach (keeper->objects, i, wanted) {
        all = ensure(keeper, wanted, error) && all;
    }
    return all;
}

static bool is_wanted(const struct keeper *keeper, const char *kind, const char *name)
{
    size_t i;
    const json_t *wanted;
    json_array_foreach (keeper->objects, i, wanted) {
        if (strcmp(json_get_string(wanted, "kind"), kind) == 0 &&
            strcmp(json_get_string(wanted, "name"), name) == 0) {
            return true;
        }
    }
    return false;
}

/* What was built in once and is left to us, but is built in no more. */
static bool remove_unwanted(struct keeper *keeper, const json_t *trees, const char *kind,
                            struct error *error)
{
    bool all = true;
    size_t i;
    const json_t *tree;
    json_array_foreach (trees, i, tree) {
        const char *said = json_path_string(tree, "metadata", "annotations", autoupdate);
        const char *name = json_path_string(tree, "metadata", "name");
        if (said != NULL && strcmp(said, "true") == 0 && !is_wanted(keeper, kind, name)) {
            cleanup(error_clear)
            struct error why = ERROR_INIT;
            all = (delete_it(keeper, resource_of(keeper, kind), name, &why) || why.code == 404 ||
                   error_move(error, &why)) &&
                  all;
        }
    }
    return all;
}

static bool has_level(const json_t *levels, const char *name)
{
    size_t i;
    const json_t *level;
    json_array_foreach (levels, i, level) {
        if (name != NULL && strcmp(json_path_string(level, "metadata", "name"), name) == 0) {
            return true;
        }
    }
    return false;
}

static bool set_conditions(struct keeper *keeper, const json_t *schemas, const json_t *levels,
                           struct error *error)
{
    bool all = true;
    size_t i;
    const json_t *schema;
    json_array_foreach (schemas, i, schema) {
        bool dangling = !has_level(
            levels, json_path_string(schema, "spec", "priorityLevelConfiguration", "name"));
        cleanup(json_release)
        json_t *better = keeper_set_dangling(schema, dangling);
        struct change_of change = {with_condition, &dangling};
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        all = (better == NULL ||
               update(keeper, resource_of(keeper, "FlowSchema"), "status",
                      json_path_string(schema, "metadata", "name"), &change, &why) ||
               why.code == 404 || error_move(error, &why)) &&
              all;
    }
    return all;
}

static bool pass(struct keeper *keeper, struct error *error)
{
    struct flowcontrol *flowcontrol = keeper->flowcontrol;
    config_apply(flowcontrol);
    if (!ensure_all(keeper, error)) {
        return false;
    }
    cleanup(json_release)
    json_t *levels = config_trees(flowcontrol, &flowcontrol->level_objects);
    cleanup(json_release)
    json_t *schemas = config_trees(flowcontrol, &flowcontrol->schema_objects);
    atomic_store(&keeper->done, true);
    return remove_unwanted(keeper, schemas, "FlowSchema", error) &&
           remove_unwanted(keeper, levels, "PriorityLevelConfiguration", error) &&
           set_conditions(keeper, schemas, levels, error);
}

/* ---- the thread ---- */

/* Waits until that time, or until it is woken unless 'deaf'; false to stop. */
static bool wait_for(struct keeper *keeper, int milliseconds, bool deaf)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += milliseconds % 1000 * 1000000L;
    until.tv_sec += milliseconds / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&keeper->lock);
    int waited = 0;
    while (!keeper->stopping && (deaf || !keeper->woken) && waited == 0) {
        waited = pthread_cond_timedwait(&keeper->wanted, &keeper->lock, &until);
    }
    keeper->woken = keeper->woken && deaf;
    bool go_on = !keeper->stopping;
    pthread_mutex_unlock(&keeper->lock);
    return go_on;
}

static void *keeper_main(void *argument)
{
    struct keeper *keeper = argument;
    bool kept;
    do {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        kept = pass(keeper, &error);
        if (!kept) {
            log_warning("making sure of flow schemas and priority levels failed, trying again: %s",
                        error.message);
        }
    } while (wait_for(keeper, kept ? pause_ms : retry_ms, true) &&
             wait_for(keeper, kept ? period_ms : 0, false));
    return NULL;
}

void keeper_wake(struct keeper *keeper)
{
    if (keeper != NULL) {
        pthread_mutex_lock(&keeper->lock);
        keeper->woken = true;
        pthread_cond_signal(&keeper->wanted);
        pthread_mutex_unlock(&keeper->lock);
    }
}

bool keeper_is_done(const struct keeper *keeper)
{
    return keeper != NULL && atomic_load(&keeper->done);
}

bool keeper_start(struct flowcontrol *flowcontrol, struct error *error)
{
    json_t *objects = keeper_objects(error);
    if (objects == NULL) {
        return false;
    }
    struct keeper *keeper = allocate_struct(struct keeper);
    keeper->flowcontrol = flowcontrol;
    keeper->objects = objects;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_cond_init(&keeper->wanted, &monotonic);
    pthread_condattr_destroy(&monotonic);
    flowcontrol->keeper = keeper; /* Observers wake it. */
    config_follow(flowcontrol);
    config_apply(flowcontrol);
    keeper->runs = pthread_create(&keeper->thread, NULL, keeper_main, keeper) == 0;
    return keeper->runs || error_internal(error, "starting a thread failed");
}

void keeper_stop(struct keeper *keeper)
{
    if (keeper == NULL) {
        return;
    }
    pthread_mutex_lock(&keeper->lock);
    keeper->stopping = true;
    pthread_cond_signal(&keeper->wanted);
    pthread_mutex_unlock(&keeper->lock);
    if (keeper->runs) {
        pthread_join(keeper->thread, NULL);
        keeper->runs = false;
    }
}

void keeper_free(struct keeper *keeper)
{
    if (keeper == NULL) {
        return;
    }
    json_decref(keeper->objects);
    pthread_cond_destroy(&keeper->wanted);
    pthread_mutex_destroy(&keeper->lock);
    free(keeper);
}

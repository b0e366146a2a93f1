// SPDX-License-Identifier: Apache-2.0
#include "apiserver/api_services.h"

#include <stdatomic.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

static const char own_group[] = "apiregistration.k8s.io";
static const char managed_label[] = "kube-aggregator.kubernetes.io/automanaged";

/* ---- one of them ---- */

static json_t *wanted_spec(const struct scheme_group *group, size_t version)
{
    json_t *spec =
        json_pack("{s:s, s:i, s:i}", "version", group->versions[version], "groupPriorityMinimum",
                  group->priority, "versionPriority", group->version_priorities[version]);
    if (group->name[0] != '\0') {
        json_object_set_new(spec, "group", json_string(group->name));
    }
    return spec;
}

static bool create(struct registry *registry, const struct resource *resource, const char *name,
                   json_t *spec, struct error *error)
{
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    write_begin(&write, registry, NULL, NULL, resource, WRITE_CREATE);
    write_address(&write, "", name);
    write.object = json_pack("{s:s, s:s, s:{s:s, s:{s:s}}, s:O}", "apiVersion",
                             "apiregistration.k8s.io/v1", "kind", "APIService", "metadata", "name",
                             name, "labels", managed_label, "onstart", "spec", spec);
    return registry_create(&write, &object, error);
}

static bool renew(struct write *write, void *argument, struct error *error)
{
    (void)error;
    write->object = object_tree(write->live_object);
    if (json_path(write->object, "metadata", "labels", managed_label) != NULL) {
        json_object_set(write->object, "spec", argument);
    }
    json_object_del(json_object_get(write->object, "metadata"), "resourceVersion");
    return true;
}

static bool ensure(struct registry *registry, const struct scheme_group *group, size_t version,
                   struct error *error)
{
    const struct resource *resource = registry_resource(registry, own_group, "apiservices");
    cleanup(json_release)
    json_t *spec = wanted_spec(group, version);
    cleanup(free_char)
    char *name = format("%s.%s", group->versions[version], group->name);
    cleanup(object_release)
    struct object *present = registry_get(registry, resource, "", name);
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    bool done = present == NULL && create(registry, resource, name, spec, &why);
    if (!done && (present != NULL || why.code == 409)) { /* Another server may be quicker. */
        cleanup(write_clear)
        struct write write = {0};
        cleanup(object_release)
        struct object *object = NULL;
        error_clear(&why);
        write_begin(&write, registry, NULL, NULL, resource, WRITE_UPDATE);
        write_address(&write, "", name);
        done = registry_update(&write, renew, spec, &object, NULL, &why);
    }
    return done || error_wrap(error, &why, "making sure of apiservices %s", name);
}

/* ---- all of them ---- */

/* Several at a time: the store commits together what waits together. */
enum { THREADS = 8 };

struct work {
    struct registry *registry;
    atomic_size_t next; /* Group. */
};

struct worker {
    struct work *work;
    pthread_t thread;
    bool failed;
    struct error error;
};

static void *run(void *argument)
{
    struct worker *worker = argument;
    const struct scheme *scheme = worker->work->registry->scheme;
    size_t index;
    while (!worker->failed &&
           (index = atomic_fetch_add(&worker->work->next, 1)) < scheme_group_count(scheme)) {
        const struct scheme_group *group = scheme_group(scheme, index);
        /* The aggregator's own group is not behind it. */
        bool behind = strcmp(group->name, own_group) != 0;
        for (size_t i = 0; behind && !worker->failed && group->versions[i] != NULL; i++) {
            worker->failed = !ensure(worker->work->registry, group, i, &worker->error);
        }
    }
    return NULL;
}

bool api_services_ensure(struct registry *registry, struct error *error)
{
    struct work work = {.registry = registry};
    struct worker workers[THREADS] = {0};
    size_t count = 0;
    bool done = true;
    while (count < THREADS) {
        workers[count].work = &work;
        if (pthread_create(&workers[count].thread, NULL, run, &workers[count]) != 0) {
            break;
        }
        count++;
    }
    if (count == 0) {
        return error_internal(error, "starting a thread failed");
    }
    for (size_t i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        if (workers[i].failed && done) {
            done = error_move(error, &workers[i].error);
        }
        error_clear(&workers[i].error);
    }
    return done;
}

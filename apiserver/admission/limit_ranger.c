// SPDX-License-Identifier: Apache-2.0
/* LimitRanger: the LimitRanges of a namespace give its pods' containers default requests and
 * limits, and bound what containers, pods and claims may ask for. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/admission/limit_range.h"
#include "common/alloc.h"
#include "common/json.h"

/* The resources of a pod are settled when it is created, but for a resize. */
static bool is_about_pod(const struct write *write)
{
    return (write->operation == WRITE_CREATE && admission_is_about(write, "", "pods")) ||
           (write->operation == WRITE_UPDATE && strcmp(write->subresource, "resize") == 0 &&
            strcmp(write->storage->plural, "pods") == 0);
}

static bool is_about_claim(const struct write *write)
{
    return admission_is_about(write, "", "persistentvolumeclaims");
}

/* Nobody cares any more for what is on its way out. */
static bool is_limited(const struct write *write)
{
    return write->object != NULL && (is_about_pod(write) || is_about_claim(write)) &&
           json_path(write->live, "metadata", "deletionTimestamp") == NULL;
}

static struct snapshot *ranges_of(const struct write *write)
{
    const struct resource *ranges = registry_resource(write->registry, "", "limitranges");
    cleanup(free_char)
    char *prefix = concatenate(write->namespace, "/");
    return cache_snapshot(cache_table(write->registry->cache, ranges), prefix);
}

static void free_snapshot(struct snapshot **snapshot)
{
    snapshot_free(*snapshot);
}

static bool admit(struct write *write, struct error *error)
{
    (void)error;
    if (!is_limited(write) || !is_about_pod(write)) {
        return true;
    }
    cleanup(free_snapshot)
    struct snapshot *ranges = ranges_of(write);
    for (size_t i = 0; i < ranges->count; i++) {
        cleanup(json_release)
        json_t *range = object_tree(ranges->objects[i]);
        limit_range_apply(range, write->object);
    }
    return true;
}

static bool validate(const struct write *write, struct error *error)
{
    if (!is_limited(write)) {
        return true;
    }
    cleanup(free_snapshot)
    struct snapshot *ranges = ranges_of(write);
    for (size_t i = 0; i < ranges->count; i++) {
        cleanup(json_release)
        json_t *range = object_tree(ranges->objects[i]);
        cleanup(free_char)
        char *why = is_about_claim(write) ? limit_range_refuse_claim(range, write->object)
                                          : limit_range_refuse_pod(range, write->object);
        if (why != NULL) {
            return error_forbidden(error, write->resource->group, write->resource->plural,
                                   write->name, "%s", why);
        }
    }
    return true;
}

const struct admission_plugin admission_limit_ranger = {
    .name = "LimitRanger",
    .is_on_by_default = true,
    .admit = admit,
    .validate = validate,
};

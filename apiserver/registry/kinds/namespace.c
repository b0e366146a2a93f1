// SPDX-License-Identifier: Apache-2.0
/* Namespaces: phases and the "kubernetes" finalizer. */
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/validation/cluster.h"
#include "common/alloc.h"
#include "common/json.h"

static void fill_defaults(json_t *object)
{
    /* A label with the name, so that selectors can name a namespace. */
    json_t *metadata = json_object_get(object, "metadata");
    json_t *name = json_object_get(metadata, "name");
    if (json_string_length(name) > 0) {
        json_object_set(json_get_or_add_object(metadata, "labels"), "kubernetes.io/metadata.name",
                        name);
    }
}

static bool prepare_create(struct write *write, struct error *error)
{
    (void)error;
    json_t *spec = json_get_or_add_object(write->object, "spec");
    json_t *finalizers = json_object_get(spec, "finalizers");
    if (!json_array_has_string(finalizers, "kubernetes")) {
        if (finalizers == NULL) {
            finalizers = json_array();
            json_object_set_new(spec, "finalizers", finalizers);
        }
        json_array_append_new(finalizers, json_string("kubernetes"));
    }
    json_object_set_new(write->object, "status", json_pack("{s:s}", "phase", "Active"));
    fill_defaults(write->object); /* The name may have been generated since. */
    return true;
}

/* Finalizers change on the finalize subresource alone. */
static bool prepare_update(struct write *write, struct error *error)
{
    (void)error;
    if (strcmp(write->subresource, "finalize") != 0) {
        json_t *spec = json_object_get(write->live, "spec");
        if (spec != NULL) {
            json_object_set(write->object, "spec", spec);
        }
    }
    return true;
}

static bool before_delete(struct write *write, int64_t *grace_seconds, struct error *error)
{
    (void)write;
    (void)error;
    *grace_seconds = 0;
    return true;
}

static void mark_deleting(json_t *object)
{
    json_object_set_new(json_get_or_add_object(object, "status"), "phase",
                        json_string("Terminating"));
}

static bool may_go(const json_t *object)
{
    return json_array_size(json_path(object, "spec", "finalizers")) == 0;
}

const struct kind kind_namespace = {
    .group = "",
    .plural = "namespaces",
    .fill_defaults = fill_defaults,
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .validate = validate_namespace,
    .before_delete = before_delete,
    .mark_deleting = mark_deleting,
    .may_go = may_go,
};

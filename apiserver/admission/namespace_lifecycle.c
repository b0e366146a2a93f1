// SPDX-License-Identifier: Apache-2.0
/* NamespaceLifecycle: nothing is created in a namespace that is missing or on its way out, and the
 * namespaces that the cluster itself lives in are not deleted. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "common/alloc.h"

static bool refuse_terminating(const struct write *write, struct error *error)
{
    error_forbidden(error, write->resource->group, write->resource->plural, write->name,
                    "unable to create new content in namespace %s because it is being terminated",
                    write->namespace);
    if (error != NULL) {
        cleanup(free_char)
        char *message = format("namespace %s is being terminated", write->namespace);
        error->causes = json_pack("[{s:s, s:s, s:s}]", "reason", "NamespaceTerminating", "message",
                                  message, "field", "metadata.namespace");
    }
    return false;
}

/* A namespace that another server has just made may not be in the cache yet. */
static struct object *find_namespace(const struct write *write, struct error *error)
{
    const struct resource *namespaces = registry_resource(write->registry, "", "namespaces");
    struct object *namespace = registry_get(write->registry, namespaces, "", write->namespace);
    if (namespace != NULL || cache_is_local(write->registry->cache)) {
        return namespace;
    }
    return cache_wait_current(write->registry->cache, error)
               ? registry_get(write->registry, namespaces, "", write->namespace)
               : NULL;
}

static bool admit(struct write *write, struct error *error)
{
    struct json_span deletion;
    if (!write->resource->namespaced || write->operation != WRITE_CREATE) {
        return true;
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(object_release)
    struct object *namespace = find_namespace(write, &why);
    if (namespace == NULL) {
        return error_is_set(&why) ? error_move(error, &why)
                                  : error_not_found(error, "", "namespaces", write->namespace);
    }
    json_scan_until_met(namespace->bytes, namespace->length,
                        (const char *[]){"metadata.deletionTimestamp"}, 1, &deletion);
    return deletion.text == NULL || refuse_terminating(write, error);
}

static bool validate(const struct write *write, struct error *error)
{
    static const char *const immortal[] = {"default", "kube-system", "kube-public"};
    if (write->operation != WRITE_DELETE || !admission_is_about(write, "", "namespaces")) {
        return true;
    }
    for (size_t i = 0; i < array_length(immortal); i++) {
        if (strcmp(write->name, immortal[i]) == 0) {
            return error_forbidden(error, "", "namespaces", write->name,
                                   "this namespace may not be deleted");
        }
    }
    return true;
}

const struct admission_plugin admission_namespace_lifecycle = {
    .name = "NamespaceLifecycle",
    .is_on_by_default = true,
    .admit = admit,
    .validate = validate,
};

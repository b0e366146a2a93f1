// SPDX-License-Identifier: Apache-2.0
/* NamespaceExists: nothing happens in a namespace that is missing. NamespaceAutoProvision: it is
 * made when something is created in it. */
#include "apiserver/admission/admission.h"
#include "apiserver/registry/decode.h"
#include "common/alloc.h"
#include "common/json.h"

static bool is_there(const struct write *write)
{
    const struct resource *namespaces = registry_resource(write->registry, "", "namespaces");
    cleanup(object_release)
    struct object *namespace =
        registry_get_current(write->registry, namespaces, "", write->namespace);
    return namespace != NULL;
}

static bool validate(const struct write *write, struct error *error)
{
    return !write->resource->namespaced || is_there(write) ||
           error_not_found(error, "", "namespaces", write->namespace);
}

static bool make_namespace(struct registry *registry, const char *name, struct error *error)
{
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    const struct resource *namespaces = registry_resource(registry, "", "namespaces");
    cleanup(free_char)
    char *version = decode_api_version(namespaces->group, namespaces->version);
    write_begin(&write, registry, NULL, NULL, namespaces, WRITE_CREATE);
    write_address(&write, "", name);
    write.object = json_pack("{s:s, s:s, s:{s:s}}", "kind", namespaces->kind, "apiVersion", version,
                             "metadata", "name", name);
    return registry_create(&write, &object, error) && cache_wait_current(registry->cache, error);
}

static bool admit(struct write *write, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (!write->resource->namespaced || write->operation != WRITE_CREATE || write->dry_run ||
        is_there(write) || make_namespace(write->registry, write->namespace, &why) ||
        why.code == 409) {
        return true;
    }
    return error_forbidden(error, write->resource->group, write->resource->plural, write->name,
                           "%s", why.message);
}

const struct admission_plugin admission_namespace_exists = {
    .name = "NamespaceExists",
    .validate = validate,
};

const struct admission_plugin admission_namespace_auto_provision = {
    .name = "NamespaceAutoProvision",
    .admit = admit,
};

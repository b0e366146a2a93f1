// SPDX-License-Identifier: Apache-2.0
/* OwnerReferencesPermissionEnforcement: whoever changes an object's owners must be allowed to
 * delete it, which that may bring about; and to hold up an owner's deletion takes the permission to
 * set the owner's finalizers. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/auth/authz.h"
#include "common/alloc.h"
#include "common/json.h"

static const json_t *owners_of(const json_t *object)
{
    return json_path(object, "metadata", "ownerReferences");
}

static bool changes_owners(const struct write *write)
{
    const json_t *after = owners_of(write->object), *before = owners_of(write->live);
    return (json_array_size(after) > 0 || json_array_size(before) > 0) &&
           !json_equal(after, before);
}

static bool refuse(const struct write *write, struct error *error, const char *what,
                   const char *reason)
{
    return error_forbidden(error, write->resource->group, write->resource->plural, write->name,
                           "%s: %s, <nil>", what, reason);
}

static bool check_delete(const struct write *write, struct error *error)
{
    if (write->operation == WRITE_CREATE) {
        return true; /* Nothing is there that could be deleted by it. */
    }
    struct authz_attributes attributes = AUTHZ_RESOURCE(
        &write->request->user, "delete", write->resource->group, write->resource->plural);
    attributes.version = write->resource->version;
    attributes.subresource = write->subresource;
    attributes.namespace = write->namespace;
    attributes.name = write->name;
    cleanup(buffer_free)
    struct buffer reason = BUFFER_INIT;
    return authz_decide(write->registry->authz, &attributes, &reason, NULL) == AUTHZ_ALLOW ||
           refuse(write, error, "cannot set an ownerRef on a resource you can't delete",
                  buffer_text(&reason));
}

/* The reference was there, and blocked, before. */
static bool blocked_before(const struct write *write, const json_t *reference)
{
    size_t i;
    const json_t *before;
    json_array_foreach (owners_of(write->live), i, before) {
        if (json_equal(json_object_get(before, "uid"), json_object_get(reference, "uid"))) {
            return json_get_bool(before, "blockOwnerDeletion", false);
        }
    }
    return false;
}

static const struct resource *resource_of(const struct write *write, const json_t *reference)
{
    const char *api_version = json_get_string(reference, "apiVersion");
    const char *kind = json_get_string(reference, "kind");
    if (api_version == NULL || kind == NULL) {
        return NULL;
    }
    const char *slash = strchr(api_version, '/');
    cleanup(free_char)
    char *group =
        slash != NULL ? duplicate_bytes(api_version, (size_t)(slash - api_version)) : duplicate("");
    return scheme_resource_of_kind(write->registry->scheme, group,
                                   slash != NULL ? slash + 1 : api_version, kind);
}

static bool check_owner(const struct write *write, const json_t *reference, struct error *error)
{
    const struct resource *owner = resource_of(write, reference);
    const char *name = json_get_string(reference, "name");
    if (owner == NULL) {
        const char *version = json_get_string(reference, "apiVersion");
        const char *kind = json_get_string(reference, "kind");
        return error_forbidden(
            error, write->resource->group, write->resource->plural, write->name,
            "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for "
            "APIVersion %s Kind %s: no matches for kind \"%s\" in version \"%s\"",
            version ? version : "", kind ? kind : "", kind ? kind : "", version ? version : "");
    }
    struct authz_attributes attributes =
        AUTHZ_RESOURCE(&write->request->user, "update", owner->group, owner->plural);
    attributes.version = owner->version;
    attributes.subresource = "finalizers";
    attributes.namespace = owner->namespaced ? write->namespace : "";
    attributes.name = name != NULL ? name : "";
    cleanup(buffer_free)
    struct buffer reason = BUFFER_INIT;
    return authz_decide(write->registry->authz, &attributes, &reason, NULL) == AUTHZ_ALLOW ||
           refuse(write, error,
                  "cannot set blockOwnerDeletion if an ownerReference refers to a resource you "
                  "can't set finalizers on",
                  buffer_text(&reason));
}

static bool validate(const struct write *write, struct error *error)
{
    if (write->object == NULL || !changes_owners(write)) {
        return true;
    }
    if (!check_delete(write, error)) {
        return false;
    }
    size_t i;
    const json_t *reference;
    json_array_foreach (owners_of(write->object), i, reference) {
        if (json_get_bool(reference, "blockOwnerDeletion", false) &&
            !blocked_before(write, reference) && !check_owner(write, reference, error)) {
            return false;
        }
    }
    return true;
}

const struct admission_plugin admission_owner_references = {
    .name = "OwnerReferencesPermissionEnforcement",
    .validate = validate,
};

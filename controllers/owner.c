// SPDX-License-Identifier: Apache-2.0
#include "controllers/owner.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

json_t *owner_reference(const json_t *owner)
{
    const json_t *metadata = json_object_get(owner, "metadata");
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:b}", "apiVersion",
                     json_get_string(owner, "apiVersion"), "kind", json_get_string(owner, "kind"),
                     "name", json_get_string(metadata, "name"), "uid",
                     json_get_string(metadata, "uid"), "controller", 1, "blockOwnerDeletion", 1);
}

bool owner_controls(const json_t *owner, const json_t *object)
{
    const char *uid = json_path_string(owner, "metadata", "uid");
    const json_t *reference;
    size_t i;
    json_array_foreach (json_path(object, "metadata", "ownerReferences"), i, reference) {
        const char *owner_uid = json_get_string(reference, "uid");
        if (json_get_bool(reference, "controller", false) && owner_uid != NULL &&
            strcmp(owner_uid, uid) == 0) {
            return true;
        }
    }
    return false;
}

void owner_index_orphans(const struct cached_object *object, struct index_values *values)
{
    if (object->owner_uid[0] == '\0') {
        index_values_add(values, object->namespace);
    }
}

struct selector *owner_selector(const json_t *object, struct error *error)
{
    const json_t *selector = json_path(object, "spec", "selector");
    const char *kind = json_get_string(object, "kind");
    bool is_map = kind != NULL && strcmp(kind, "ReplicationController") == 0;
    return is_map ? selector_from_map(selector) : selector_from_object(selector, error);
}

/* Patches one candidate; the uid in it makes the patch fail for a namesake. */
static bool patch_owners(const struct owner_claim *claim, const struct cached_object *object,
                         json_t *reference, const char *finalizers, struct error *error)
{
    cleanup(json_release)
    json_t *patch =
        json_pack("{s:{s:[o], s:s}}", "metadata", "ownerReferences", reference, "uid", object->uid);
    if (claim->finalizer != NULL) {
        json_object_set_new(json_object_get(patch, "metadata"), finalizers,
                            json_pack("[s]", claim->finalizer));
    }
    cleanup(json_release)
    json_t *patched = client_patch(claim->client, claim->resource, object->namespace, object->name,
                                   NULL, client_strategic_merge_patch, patch, error);
    return patched != NULL;
}

static bool release(const struct owner_claim *claim, const struct cached_object *object,
                    struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    json_t *reference = json_pack("{s:s, s:s}", "$patch", "delete", "uid",
                                  json_path_string(claim->owner, "metadata", "uid"));
    if (patch_owners(claim, object, reference, "$deleteFromPrimitiveList/finalizers", &why) ||
        why.code == 404 || why.code == 422) {
        return true; /* Gone, or another reference came in between: it is looked at again. */
    }
    return error_move(error, &why);
}

/* The owner, read from the server now, is the same object and stays. */
static bool may_adopt(const struct owner_claim *claim, struct error *error)
{
    const json_t *metadata = json_object_get(claim->owner, "metadata");
    const char *uid = json_get_string(metadata, "uid"), *name = json_get_string(metadata, "name");
    cleanup(json_release)
    json_t *fresh = client_get(claim->client, claim->owner_resource,
                               json_get_string(metadata, "namespace"), name, error);
    const char *fresh_uid = json_path_string(fresh, "metadata", "uid");
    if (fresh == NULL) {
        return false;
    }
    if (fresh_uid == NULL || strcmp(fresh_uid, uid) != 0) {
        return error_internal(error, "the original %s %s is gone", claim->owner_resource->kind,
                              name);
    }
    return json_path(fresh, "metadata", "deletionTimestamp") == NULL ||
           error_internal(error, "%s %s is being deleted", claim->owner_resource->kind, name);
}

/* 'checked' remembers, for one round, whether the owner may adopt: 0 not asked, 1 yes, -1 no. */
static bool adopt(const struct owner_claim *claim, const struct cached_object *object, int *checked,
                  bool *adopted, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (*checked == 0) {
        *checked = may_adopt(claim, error) ? 1 : -1;
    }
    if (*checked < 0) {
        return false;
    }
    *adopted = patch_owners(claim, object, owner_reference(claim->owner), "finalizers", &why);
    return *adopted || why.code == 404 || error_move(error, &why);
}

bool owner_claim(const struct owner_claim *claim, const struct cached_list *candidates,
                 struct cached_list *claimed, struct error *error)
{
    const char *uid = json_path_string(claim->owner, "metadata", "uid");
    bool is_deleting = json_path(claim->owner, "metadata", "deletionTimestamp") != NULL;
    bool succeeded = true;
    int checked = 0;
    for (size_t i = 0; i < candidates->count; i++) {
        const struct cached_object *object = candidates->items[i];
        bool matches = selector_matches(claim->selector, cached_object_label, object);
        bool is_owned = strcmp(object->owner_uid, uid) == 0, adopted = false;
        if (is_owned && !matches && !is_deleting) {
            succeeded = release(claim, object, succeeded ? error : NULL) && succeeded;
        } else if (!is_owned && object->owner_uid[0] == '\0' && matches && !is_deleting &&
                   !object->is_deleting) {
            succeeded =
                adopt(claim, object, &checked, &adopted, succeeded ? error : NULL) && succeeded;
        }
        if (matches && (is_owned || adopted)) {
            cached_list_add(claimed, object);
        }
    }
    return succeeded;
}

bool owner_selects(const struct cached_object *owner, const struct cached_object *object)
{
    cleanup(json_release)
    json_t *tree = cached_object_tree(owner);
    struct selector *selector = owner_selector(tree, NULL);
    bool selects = selector != NULL && selector_matches(selector, cached_object_label, object);
    selector_free(selector);
    return selects;
}

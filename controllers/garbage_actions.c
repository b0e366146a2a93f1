// SPDX-License-Identifier: Apache-2.0
#include "controllers/garbage_actions.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

enum { conflicts_max = 5, release_batch = 256 };

static const char metadata_accept[] =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/* ---- pure ---- */

static bool has_uid(const json_t *reference, const char *uid)
{
    const char *text = json_get_string(reference, "uid");
    return text != NULL && strcmp(text, uid) == 0;
}

json_t *garbage_owners_without(const json_t *owners, const char *uid)
{
    json_t *left = json_array();
    size_t i;
    json_t *owner;
    json_array_foreach (owners, i, owner) {
        if (!has_uid(owner, uid)) {
            json_array_append(left, owner);
        }
    }
    return left;
}

json_t *garbage_owners_unblocked(const json_t *owners)
{
    json_t *unblocked = json_array();
    size_t i;
    const json_t *owner;
    json_array_foreach (owners, i, owner) {
        json_t *copy = json_deep_copy(owner);
        if (json_get_bool(copy, "blockOwnerDeletion", false)) {
            json_object_set_new(copy, "blockOwnerDeletion", json_false());
        }
        json_array_append_new(unblocked, copy);
    }
    return unblocked;
}

const char *garbage_policy(const json_t *metadata)
{
    const json_t *finalizers = json_object_get(metadata, "finalizers");
    return json_array_has_string(finalizers, "orphan")               ? "Orphan"
           : json_array_has_string(finalizers, "foregroundDeletion") ? "Foreground"
                                                                     : "Background";
}

/* ---- reading ---- */

bool garbage_read(struct client *client, const struct garbage_place *place, json_t **live,
                  struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    struct client_request request = {
        .method = "GET",
        .path = client_path(place->resource, place->namespace, place->name, NULL),
        .accept = metadata_accept,
    };
    cleanup(json_release)
    json_t *object = client_call(client, request, &why);
    const char *uid = json_path_string(object, "metadata", "uid");
    *live = NULL;
    if (object == NULL) {
        return why.code == 404 || error_move(error, &why);
    }
    if (uid != NULL && strcmp(uid, place->uid) == 0) {
        *live = json_incref(json_object_get(object, "metadata"));
    }
    return true;
}

/* ---- deleting ---- */

/* 'resource_version' NULL: whatever it is. */
static bool delete_object(struct client *client, const struct garbage_place *place,
                          const char *resource_version, const char *policy, struct error *error)
{
    cleanup(json_release)
    json_t *options = client_delete_options(place->uid, policy);
    if (resource_version != NULL) {
        json_object_set_new(json_object_get(options, "preconditions"), "resourceVersion",
                            json_string(resource_version));
    }
    return client_delete(client, place->resource, place->namespace, place->name, options, error);
}

/* Something changed since 'live' was read, but not the owners. */
static bool has_same_owners(struct client *client, const struct garbage_place *place,
                            const json_t *live, bool *is_gone)
{
    json_t *fresh = NULL;
    bool was_read = garbage_read(client, place, &fresh, NULL);
    const json_t *before = json_object_get(live, "ownerReferences");
    const json_t *now = json_object_get(fresh, "ownerReferences");
    bool same = fresh != NULL && before != NULL && now != NULL && json_equal(before, now);
    *is_gone = was_read && fresh == NULL;
    json_decref(fresh);
    return same;
}

bool garbage_delete(struct client *client, const struct garbage_place *place, const json_t *live,
                    const char *policy, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    bool is_gone = false;
    if (delete_object(client, place, json_get_string(live, "resourceVersion"), policy, &why) ||
        why.code == 404) {
        return true;
    }
    if (why.code == 409 && has_same_owners(client, place, live, &is_gone)) {
        /* Changes that have nothing to do with it can't put it off for ever. */
        error_clear(&why);
        is_gone = delete_object(client, place, NULL, policy, &why) || why.code == 404;
    }
    return is_gone || error_move(error, &why);
}

/* ---- patching ---- */

/* Sets one member of the metadata of an object that is still as 'live'; an empty list is left
 * out. The patched object, the caller's. */
static json_t *patch_member(struct client *client, const struct garbage_place *place,
                            const json_t *live, const char *member, json_t *list,
                            struct error *error)
{
    cleanup(json_release)
    json_t *patch = json_pack("{s:{s:s, s:s?, s:O}}", "metadata", "uid", place->uid,
                              "resourceVersion", json_get_string(live, "resourceVersion"), member,
                              json_array_size(list) > 0 ? list : json_null());
    struct client_request request = client_patch_request(
        place->resource, place->namespace, place->name, NULL, client_merge_patch, patch);
    request.accept = metadata_accept;
    return client_call(client, request, error);
}

bool garbage_write_owners(struct client *client, const struct garbage_place *place, json_t **live,
                          json_t *owners, struct error *error)
{
    cleanup(json_release)
    json_t *patched = patch_member(client, place, *live, "ownerReferences", owners, error);
    if (patched == NULL) {
        return false;
    }
    json_decref(*live);
    *live = json_incref(json_object_get(patched, "metadata"));
    return true;
}

/* One try; '*again' when somebody else was quicker. */
static bool remove_finalizer(struct client *client, const struct garbage_place *place,
                             const char *finalizer, bool *again, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *live = NULL;
    if (!garbage_read(client, place, &live, error)) {
        return false;
    }
    json_t *finalizers = json_object_get(live, "finalizers");
    if (!json_array_has_string(finalizers, finalizer)) {
        return true;
    }
    for (size_t i = json_array_size(finalizers); i-- > 0;) {
        if (strcmp(json_string_value(json_array_get(finalizers, i)), finalizer) == 0) {
            json_array_remove(finalizers, i);
        }
    }
    cleanup(json_release)
    json_t *patched = patch_member(client, place, live, "finalizers", finalizers, &why);
    *again = why.code == 409;
    return patched != NULL || why.code == 404 || error_move(error, &why);
}

bool garbage_remove_finalizer(struct client *client, const struct garbage_place *place,
                              const char *finalizer, struct error *error)
{
    for (int attempt = 1;; attempt++) {
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        bool again = false;
        if (remove_finalizer(client, place, finalizer, &again, &why)) {
            return true;
        }
        if (!again || attempt == conflicts_max) {
            return error_move(error, &why);
        }
    }
}

/* ---- orphaning ---- */

static struct client_request release_request(const struct garbage_place *dependent,
                                             const char *owner_uid)
{
    cleanup(json_release)
    json_t *patch = json_pack("{s:{s:s, s:[{s:s, s:s}]}}", "metadata", "uid", dependent->uid,
                              "ownerReferences", "$patch", "delete", "uid", owner_uid);
    struct client_request request =
        client_patch_request(dependent->resource, dependent->namespace, dependent->name, NULL,
                             client_strategic_merge_patch, patch);
    request.accept = metadata_accept;
    return request;
}

/* For kinds without strategic merge patch: custom resources. */
static bool release_plainly(struct client *client, const struct garbage_place *dependent,
                            const char *owner_uid, struct error *error)
{
    cleanup(json_release)
    json_t *live = NULL;
    if (!garbage_read(client, dependent, &live, error)) {
        return false;
    }
    if (live == NULL) {
        return true;
    }
    cleanup(json_release)
    json_t *owners = garbage_owners_without(json_object_get(live, "ownerReferences"), owner_uid);
    return garbage_write_owners(client, dependent, &live, owners, error);
}

static bool conclude_release(struct client *client, const struct garbage_place *dependent,
                             const char *owner_uid, struct error *why)
{
    if (why->code == 415) {
        error_clear(why);
        return release_plainly(client, dependent, owner_uid, why) || why->code == 404;
    }
    return !error_is_set(why) || why->code == 404;
}

bool garbage_release(struct client *client, const struct garbage_place *dependents, size_t count,
                     const char *owner_uid, struct error *error)
{
    struct client_call *calls = allocate_zero(release_batch, sizeof *calls);
    bool succeeded = true;
    for (size_t from = 0; from < count; from += release_batch) {
        size_t batch = count - from < release_batch ? count - from : release_batch;
        for (size_t i = 0; i < batch; i++) {
            calls[i] =
                (struct client_call){.request = release_request(&dependents[from + i], owner_uid)};
        }
        client_call_all(client, calls, batch);
        for (size_t i = 0; i < batch; i++) {
            json_decref(calls[i].result);
            if (!conclude_release(client, &dependents[from + i], owner_uid, &calls[i].error)) {
                succeeded = error_move(succeeded ? error : NULL, &calls[i].error);
            }
            error_clear(&calls[i].error);
        }
    }
    free(calls);
    return succeeded;
}

// SPDX-License-Identifier: Apache-2.0
#include "controllers/endpointslice_write.h"

#include <netinet/in.h>
#include <string.h>

#include "common/alloc.h"
#include "controllers/endpointslice_view.h"
#include "controllers/owner.h"
#include "controllers/pod_control.h"
#include "controllers/resources.h"

void slice_writes_add(struct slice_writes *writes, const struct cached_object *old, json_t *slice)
{
    writes->items = grow(writes->items, writes->count, &writes->capacity, sizeof *writes->items);
    writes->items[writes->count++] = (struct slice_write){old, slice};
}

void slice_writes_free(struct slice_writes *writes)
{
    for (size_t i = 0; i < writes->count; i++) {
        json_decref(writes->items[i].slice);
    }
    free(writes->items);
    cached_list_free(&writes->deletions);
    *writes = SLICE_WRITES_INIT;
}

json_t *slice_new(const json_t *owner, int family)
{
    const json_t *metadata = json_object_get(owner, "metadata");
    const char *name = json_get_string(metadata, "name");
    cleanup(free_char)
    char *prefix = format("%s-", name);
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:[o]}, s:s, s:[], s:[]}", "apiVersion",
                     resource_endpointslices.group_version, "kind", resource_endpointslices.kind,
                     "metadata", "generateName", prefix, "namespace",
                     json_get_string(metadata, "namespace"), "ownerReferences",
                     owner_reference(owner), "addressType", family == AF_INET6 ? "IPv6" : "IPv4",
                     "endpoints", "ports");
}

/* ---- new for old ---- */

/* The new content under the name, uid and version of the old slice. */
static void take_over(struct slice_write *write, const struct cached_object *old)
{
    cleanup(json_release)
    json_t *tree = cached_object_tree(old);
    json_t *metadata = json_object_get(write->slice, "metadata");
    json_object_del(metadata, "generateName");
    static const char *const identity[] = {"name", "generateName", "uid", "resourceVersion"};
    for (size_t i = 0; i < array_length(identity); i++) {
        json_t *value = json_path(tree, "metadata", identity[i]);
        if (value != NULL) {
            json_object_set(metadata, identity[i], value);
        }
    }
    write->old = old;
}

void slice_writes_replace(struct slice_writes *writes, const struct cached_object *old,
                          json_t *slice)
{
    slice_writes_add(writes, NULL, slice);
    take_over(&writes->items[writes->count - 1], old);
}

static int family_of(const json_t *slice)
{
    const char *type = json_get_string(slice, "addressType");
    return type != NULL && strcmp(type, "IPv6") == 0 ? AF_INET6 : AF_INET;
}

/* Takes a slice that can become this one out of the deletions; the caller's, or NULL. */
static struct cached_object *take_deletion(struct slice_writes *writes, const json_t *slice,
                                           const char *owner_uid)
{
    struct cached_list *deletions = &writes->deletions;
    for (size_t i = 0; i < deletions->count; i++) {
        struct cached_object *old = deletions->items[i];
        if (endpointslice_view(old)->family == family_of(slice) &&
            endpointslice_is_owned(old, owner_uid)) {
            deletions->items[i] = deletions->items[--deletions->count];
            return old;
        }
    }
    return NULL;
}

void slice_writes_recycle(struct slice_writes *writes, const char *owner_uid)
{
    for (size_t i = 0; i < writes->count; i++) {
        struct slice_write *write = &writes->items[i];
        if (write->old == NULL) {
            cleanup(cached_object_release)
            struct cached_object *old = take_deletion(writes, write->slice, owner_uid);
            if (old != NULL) {
                take_over(write, old);
            }
        }
    }
}

/* ---- sending ---- */

/* One kind of write at a time: many requests, and what belongs to each. */
struct batch {
    struct client_call *calls;
    const struct cached_object **old;
    size_t count;
};

static void batch_free(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        json_decref(batch->calls[i].result);
        error_clear(&batch->calls[i].error);
    }
    free(batch->calls);
    free(batch->old);
}

static void batch_init(struct batch *batch, size_t most)
{
    batch->calls = allocate_zero(most + 1, sizeof *batch->calls);
    batch->old = allocate_zero(most + 1, sizeof *batch->old);
}

static void batch_add(struct batch *batch, struct client_request request,
                      const struct cached_object *old)
{
    batch->calls[batch->count].request = request;
    batch->old[batch->count++] = old;
}

static bool send_creations(const struct slice_writes *writes, struct client *client,
                           struct own_writes *own, const char *key, const char *what,
                           struct error *error)
{
    cleanup(batch_free)
    struct batch batch = {0};
    batch_init(&batch, writes->count);
    for (size_t i = 0; i < writes->count; i++) {
        const struct slice_write *write = &writes->items[i];
        if (write->old == NULL) {
            const char *namespace = json_path_string(write->slice, "metadata", "namespace");
            batch_add(&batch,
                      client_create_request(&resource_endpointslices, namespace, write->slice),
                      NULL);
        }
    }
    client_call_all(client, batch.calls, batch.count);
    bool succeeded = true;
    for (size_t i = 0; i < batch.count; i++) {
        struct client_call *call = &batch.calls[i];
        if (call->result != NULL) {
            own_writes_note(own, key, call->result);
        } else if (!pod_control_is_namespace_terminating(&call->error)) {
            succeeded =
                error_wrap(error, &call->error, "failed to create EndpointSlice for %s", what);
        }
    }
    return succeeded;
}

static bool send_updates(const struct slice_writes *writes, struct client *client,
                         struct own_writes *own, const char *key, const char *what,
                         struct error *error)
{
    cleanup(batch_free)
    struct batch batch = {0};
    batch_init(&batch, writes->count);
    for (size_t i = 0; i < writes->count; i++) {
        const struct slice_write *write = &writes->items[i];
        if (write->old != NULL) {
            batch_add(&batch, client_update_request(&resource_endpointslices, NULL, write->slice),
                      write->old);
        }
    }
    client_call_all(client, batch.calls, batch.count);
    bool succeeded = true;
    for (size_t i = 0; i < batch.count; i++) {
        struct client_call *call = &batch.calls[i];
        if (call->result != NULL) {
            own_writes_note(own, key, call->result);
        } else {
            succeeded = error_wrap(error, &call->error, "failed to update %s EndpointSlice for %s",
                                   batch.old[i]->name, what);
        }
    }
    return succeeded;
}

static bool send_deletions(const struct slice_writes *writes, struct client *client,
                           struct own_writes *own, const char *key, const char *what,
                           struct error *error)
{
    const struct cached_list *deletions = &writes->deletions;
    cleanup(batch_free)
    struct batch batch = {0};
    batch_init(&batch, deletions->count);
    for (size_t i = 0; i < deletions->count; i++) {
        const struct cached_object *old = deletions->items[i];
        batch_add(
            &batch,
            client_delete_request(&resource_endpointslices, old->namespace, old->name, old->uid),
            old);
    }
    client_call_all(client, batch.calls, batch.count);
    bool succeeded = true;
    for (size_t i = 0; i < batch.count; i++) {
        struct client_call *call = &batch.calls[i];
        if (!error_is_set(&call->error) || call->error.code == 404) {
            own_writes_note_deletion(own, key, batch.old[i]);
        } else {
            succeeded = error_wrap(error, &call->error, "failed to delete %s EndpointSlice for %s",
                                   batch.old[i]->name, what);
        }
    }
    return succeeded;
}

bool slice_writes_send(const struct slice_writes *writes, struct client *client,
                       struct own_writes *own, const char *key, bool may_create, const char *what,
                       struct error *error)
{
    return (!may_create || send_creations(writes, client, own, key, what, error)) &&
           send_updates(writes, client, own, key, what, error) &&
           send_deletions(writes, client, own, key, what, error);
}

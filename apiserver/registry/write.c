// SPDX-License-Identifier: Apache-2.0
/*
 * The road that creates and updates take. See registry.h; what follows here are its steps in order.
 */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/registry/kinds.h"
#include "apiserver/registry/kinds/defaults.h"
#include "apiserver/registry/metadata.h"
#include "apiserver/registry/registry.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/schema_rules.h"
#include "common/timestamp.h"

enum {
    update_attempts = 32,        /* Races that an update without a named revision may lose. */
    generated_name_attempts = 8, /* As upstream's RetryGenerateName. */
    cache_timeout_ms = 5000,
    text_bytes = 1024, /* Room for what is new in an object. */
};

/* ---- beginning and end ---- */

void write_begin(struct write *write, struct registry *registry, struct request *request,
                 struct response *response, const struct resource *resource,
                 enum write_operation operation)
{
    *write = (struct write){
        .registry = registry,
        .request = request,
        .response = response,
        .resource = resource,
        .storage = scheme_storage_resource(registry->scheme, resource),
        .subresource = "",
        .operation = operation,
        .namespace = "",
    };
    write->kind = kind_find(write->storage);
    if (request != NULL) {
        write->subresource = request->info.subresource;
        write->namespace = request->info.namespace;
        write->name = duplicate(request->info.name);
        write->dry_run = request_parameter(request, "dryRun") != NULL;
    }
}

void write_begin_body(struct write *write, struct registry *registry, struct request *request,
                      struct response *response, json_t *body, json_t *before)
{
    write_begin(write, registry, request, response, request->resource,
                before != NULL ? WRITE_UPDATE : WRITE_CREATE);
    write->is_of_body = true;
    write->object = json_incref(body);
    write->live = json_incref(before);
}

void write_address(struct write *write, const char *namespace, const char *name)
{
    write->namespace = namespace;
    free(write->name);
    write->name = duplicate(name);
}

static void drop_live(struct write *write)
{
    json_decref(write->live);
    json_decref(write->object);
    object_unref(write->live_object);
    write->live = write->object = NULL;
    write->live_object = NULL;
}

void write_clear(struct write *write)
{
    drop_live(write);
    free(write->name);
    write->name = NULL;
}

void write_warn(struct write *write, const char *text, ...)
{
    if (write->response != NULL) {
        va_list arguments;
        va_start(arguments, text);
        cleanup(free_char)
        char *warning = format_list(text, arguments);
        va_end(arguments);
        response_add_warning(write->response, warning);
    }
}

/* ---- steps ---- */

static char *object_key(const struct write *write)
{
    return write->resource->namespaced ? concatenate(write->namespace, "/", write->name)
                                       : duplicate(write->name);
}

static char *storage_key(const struct write *write)
{
    const char *prefix = write->storage->storage_prefix;
    return write->resource->namespaced ? concatenate(prefix, write->namespace, "/", write->name)
                                       : concatenate(prefix, write->name);
}

void write_fill_defaults(struct write *write)
{
    schema_default(write->storage->schema, write->object);
    kind_fill_defaults(write->kind, write->object);
}

/* The spec is written, all of it or by one of the subresources that change a part. */
static bool writes_spec(const struct write *write)
{
    const char *subresource = write->subresource;
    return subresource[0] == '\0' || write->operation == WRITE_CREATE ||
           strcmp(subresource, "resize") == 0 || strcmp(subresource, "ephemeralcontainers") == 0;
}

void write_validate(const struct write *write, struct field_errors *errors)
{
    metadata_validate(write, errors);
    if (writes_spec(write)) {
        schema_validate(write->storage->schema, write->object, NULL, errors);
        if (write->live != NULL && write->subresource[0] == '\0') {
            schema_validate_update(write->storage->schema, write->object, write->live, NULL,
                                   errors);
        }
    }
    if (write->kind->validate != NULL) {
        write->kind->validate(write, errors);
    }
}

static bool validate(struct write *write, struct error *error)
{
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    write_validate(write, &errors);
    if (!field_errors_any(&errors)) {
        if (write->kind->warn != NULL && write->subresource[0] == '\0') {
            write->kind->warn(write);
        }
        return admission_validate(write, error);
    }
    return error_invalid(error, write->resource->group, write->resource->kind, write->name,
                         &errors);
}

static bool has_status_subresource(const struct write *write)
{
    return resource_subresource_find(write->storage, "status") != NULL;
}

/* After a commit: waits for the cache where the kind wants that. */
static bool wait_for_cache(const struct write *write, int64_t revision, struct error *error)
{
    return write->dry_run || !write->kind->acknowledged_when_cached ||
           cache_wait_revision(write->registry->cache, revision, cache_timeout_ms, error);
}

/* What was just written, when the cache has made an object of it already; else NULL. */
static struct object *from_cache(const struct write *write, const char *key, int64_t revision)
{
    struct object *object = cache_get(cache_table(write->registry->cache, write->storage), key);
    if (object != NULL && object->revision != revision) {
        object_unref(object);
        return NULL;
    }
    return object;
}

/* Lets the trees go before the store is waited for: many writes wait at a time, a tree is ten times
 * as large as the bytes that were made of it, and the next request wants its memory. */
static void rest_as_bytes(struct write *write)
{
    json_decref(write->live);
    json_decref(write->object);
    write->live = write->object = NULL;
}

/* After a conflict: a creation may go on under another name; all else begins anew. */
static bool wake_from_bytes(struct write *write, const struct buffer *value, struct error *error)
{
    if (write->operation == WRITE_CREATE && write->object == NULL) {
        write->object = json_parse(value->bytes, value->length, error);
        return write->object != NULL;
    }
    return true;
}

/* Encodes the object, once, and puts it in the store unless this is a dry run. */
static bool commit_object(struct write *write, int64_t expected, struct object **result,
                          struct store_item *current, bool *conflict, struct error *error)
{
    cleanup(free_char)
    char *key = storage_key(write);
    cleanup(buffer_free)
    struct buffer value = BUFFER_INIT;
    buffer_reserve(&value, text_bytes + (write->live_object ? write->live_object->length : 0));
    object_encode(write->object, &value);
    int64_t revision = expected;
    *conflict = false;
    struct store_write put = {
        .operation = STORE_PUT,
        .key = key,
        .value = value.bytes,
        .value_length = value.length,
        .expected = expected,
        .ttl_seconds = write->kind->expires ? write->registry->event_ttl_seconds : 0,
    };
    if (write->kind->end == NULL) {
        rest_as_bytes(write);
    }
    if (!write->dry_run &&
        !store_commit(write->registry->store, &put, &revision, current, conflict, error)) {
        return false;
    }
    if (*conflict) {
        return wake_from_bytes(write, &value, error);
    }
    if (!wait_for_cache(write, revision, error)) {
        return false;
    }
    const struct cache_table *table = cache_table(write->registry->cache, write->storage);
    const char *name = key + strlen(write->storage->storage_prefix);
    *result = write->dry_run ? NULL : from_cache(write, name, revision);
    if (*result == NULL) {
        *result =
            object_new(cache_table_class(table), name, value.bytes, value.length, revision, error);
    }
    return *result != NULL;
}

/* Calls the kind's begin hook, commits and calls its end hook. */
static bool commit_with_hooks(struct write *write, int64_t expected, struct object **result,
                              struct store_item *current, bool *conflict, struct error *error)
{
    if (write->kind->begin != NULL && !write->kind->begin(write, error)) {
        return false;
    }
    bool done = commit_object(write, expected, result, current, conflict, error);
    write->fate_unknown = !done && error != NULL && error->code == STORE_UNKNOWN;
    if (write->kind->end != NULL) {
        write->kind->end(write, done && !*conflict && !write->dry_run);
    }
    return done;
}

/* ---- create ---- */

static bool name_is_taken(const struct write *write, struct error *error)
{
    cleanup(free_char)
    char *key = object_key(write);
    cleanup(object_release)
    struct object *present = cache_get(cache_table(write->registry->cache, write->storage), key);
    if (present != NULL) {
        error_already_exists(error, write->resource->group, write->resource->plural, write->name);
    }
    return present != NULL;
}

bool registry_create(struct write *write, struct object **result, struct error *error)
{
    const char *addressed = write->request != NULL ? write->request->info.name : write->name;
    bool is_named = json_string_length(json_path(write->object, "metadata", "name")) > 0 ||
                    (addressed != NULL && addressed[0] != '\0');
    if (!metadata_prepare_create(write, error)) {
        return false;
    }
    write_restore_parts(write);
    write_fill_defaults(write);
    if (!admission_admit(write, error)) {
        return false;
    }
    if (write->kind->prepare_create != NULL && !write->kind->prepare_create(write, error)) {
        return false;
    }
    if (!validate(write, error)) {
        return false;
    }
    metadata_own_fields(write);
    for (int attempt = 0;; attempt++) {
        struct store_item current = {0};
        bool conflict = false;
        if (write->dry_run && name_is_taken(write, error)) {
            return false;
        }
        if (!commit_with_hooks(write, 0, result, &current, &conflict, error)) {
            return false;
        }
        store_item_clear(&current);
        if (!conflict) {
            return true;
        }
        if (is_named || attempt + 1 == generated_name_attempts) {
            return error_already_exists(error, write->resource->group, write->resource->plural,
                                        write->name);
        }
        metadata_generate_name(write);
    }
}

/* ---- update ---- */

/* Makes the object that the store holds the live one; NULL when it is absent. */
static bool take_item(struct write *write, struct store_item *item, struct object **live,
                      struct error *error)
{
    if (item->key == NULL) {
        *live = NULL;
        return true;
    }
    const struct object_class *class =
        cache_table_class(cache_table(write->registry->cache, write->storage));
    *live = object_new(class, item->key + strlen(write->storage->storage_prefix), item->value,
                       item->value_length, item->mod_revision, error);
    return *live != NULL;
}

static bool read_fresh(struct write *write, struct object **live, struct error *error)
{
    cleanup(store_item_clear)
    struct store_item item = {0};
    cleanup(free_char)
    char *key = storage_key(write);
    bool found = false;
    if (!store_get(write->registry->store, key, &item, &found, error)) {
        return false;
    }
    return take_item(write, &item, live, error);
}

static struct object *read_cached(struct write *write)
{
    cleanup(free_char)
    char *key = object_key(write);
    return cache_get(cache_table(write->registry->cache, write->storage), key);
}

static void set_live(struct write *write, struct object *live)
{
    drop_live(write);
    write->live_object = live;
    write->live = object_tree(live);
}

/* The one part of an object that a subresource may change, besides metadata. */
static const struct {
    const char *subresource, *member, *field; /* field NULL: the whole member. */
} subresource_parts[] = {
    {"status", "status", NULL},         {"approval", "status", "conditions"},
    {"finalize", "spec", "finalizers"}, {"ephemeralcontainers", "spec", "ephemeralContainers"},
    {"resize", "spec", "containers"},
};

const char *registry_subresource_member(const char *name)
{
    for (size_t i = 0; i < array_length(subresource_parts); i++) {
        if (strcmp(subresource_parts[i].subresource, name) == 0) {
            return subresource_parts[i].member;
        }
    }
    return NULL;
}

bool registry_subresource_is_part(const char *name)
{
    return registry_subresource_member(name) != NULL;
}

static void set_or_delete(json_t *object, const char *name, json_t *value)
{
    if (value != NULL) {
        json_object_set(object, name, value);
    } else {
        json_object_del(object, name);
    }
}

/* Leaves of the new object only metadata and the given part; the rest is as it was. */
static void keep_part(struct write *write, const char *member, const char *field)
{
    json_t *object = json_copy(write->live);
    json_t *wanted = json_object_get(write->object, member);
    set_or_delete(object, "metadata", json_object_get(write->object, "metadata"));
    if (field == NULL) {
        set_or_delete(object, member, wanted);
    } else {
        json_t *live = json_object_get(write->live, member);
        json_t *changed = live ? json_copy(live) : json_object();
        set_or_delete(changed, field, json_object_get(wanted, field));
        json_object_set_new(object, member, changed);
    }
    json_decref(write->object);
    write->object = object;
}

/* Puts back what this kind of update may not touch: on the main resource the status. */
static void restore_other_part(struct write *write)
{
    if (write->subresource[0] == '\0') {
        if (has_status_subresource(write)) {
            set_or_delete(write->object, "status", json_object_get(write->live, "status"));
        }
        return;
    }
    for (size_t i = 0; i < array_length(subresource_parts); i++) {
        if (strcmp(subresource_parts[i].subresource, write->subresource) == 0) {
            keep_part(write, subresource_parts[i].member, subresource_parts[i].field);
        }
    }
    if (write->kind->status_keeps_labels && strcmp(write->subresource, "status") == 0) {
        set_or_delete(json_object_get(write->object, "metadata"), "labels",
                      json_path(write->live, "metadata", "labels"));
    }
}

void write_restore_parts(struct write *write)
{
    if (write->operation == WRITE_UPDATE) {
        restore_other_part(write);
    } else if (has_status_subresource(write) && !write->kind->created_with_status) {
        json_object_del(write->object, "status");
    }
}

static bool is_ready_to_go(const struct write *write)
{
    const json_t *metadata = json_object_get(write->object, "metadata");
    const json_t *grace = json_object_get(metadata, "deletionGracePeriodSeconds");
    return json_object_get(metadata, "deletionTimestamp") != NULL && json_is_integer(grace) &&
           json_integer_value(grace) == 0 &&
           json_array_size(json_object_get(metadata, "finalizers")) == 0 &&
           (write->kind->may_go == NULL || write->kind->may_go(write->object));
}

static bool remove_object(struct write *write, struct object **result, struct store_item *current,
                          bool *conflict, struct error *error)
{
    cleanup(free_char)
    char *key = storage_key(write);
    struct store_write removal = {
        .operation = STORE_DELETE, .key = key, .expected = write->live_object->revision};
    int64_t revision = write->live_object->revision;
    *conflict = false;
    if (!write->dry_run &&
        !store_commit(write->registry->store, &removal, &revision, current, conflict, error)) {
        return false;
    }
    if (*conflict) {
        return true;
    }
    if (!wait_for_cache(write, revision, error)) {
        return false;
    }
    cleanup(buffer_free)
    struct buffer value = BUFFER_INIT;
    object_encode(write->object ? write->object : write->live, &value);
    *result = object_new(write->live_object->class, write->live_object->key, value.bytes,
                         value.length, revision, error);
    if (!write->dry_run && *result != NULL && write->kind->gone != NULL) {
        write->kind->gone(write->registry, *result);
    }
    return *result != NULL;
}

/* Writing the object would change nothing, not even how it is encrypted. */
static bool is_as_stored(const struct write *write)
{
    cleanup(free_char)
    char *key = storage_key(write);
    return json_equal(write->object, write->live) && !store_is_stale(write->registry->store, key);
}

/* One attempt with a live object. '*done' is false when the race was lost and 'current' is fresh.
 */
static bool update_once(struct write *write, write_transform transform, void *argument,
                        struct object **result, bool *deleted, struct store_item *current,
                        bool *done, struct error *error)
{
    bool conflict = false;
    *done = true;
    if (!transform(write, argument, error)) {
        return false;
    }
    write_restore_parts(write);
    if (!metadata_prepare_update(write, error)) {
        return false;
    }
    write_fill_defaults(write);
    if (!admission_admit(write, error)) {
        return false;
    }
    if (write->kind->prepare_update != NULL && !write->kind->prepare_update(write, error)) {
        return false;
    }
    metadata_count_generation(write);
    if (!validate(write, error)) {
        return false;
    }
    metadata_own_fields(write);
    if (is_ready_to_go(write)) {
        *deleted = true;
        if (!remove_object(write, result, current, &conflict, error)) {
            return false;
        }
    } else if (is_as_stored(write)) {
        *result = object_ref(write->live_object);
    } else if (!commit_with_hooks(write, write->live_object->revision, result, current, &conflict,
                                  error)) {
        return false;
    }
    if (conflict && write->named_revision) {
        return error_conflict(error, write->resource->group, write->resource->plural, write->name,
                              "%s", error_object_modified);
    }
    *done = !conflict;
    return true;
}

static bool create_by_update(struct write *write, write_transform transform, void *argument,
                             struct object **result, struct error *error)
{
    drop_live(write);
    if (!transform(write, argument, error)) {
        return false;
    }
    write->operation = WRITE_CREATE;
    json_t *metadata = json_object_get(write->object, "metadata");
    json_object_del(metadata, "resourceVersion");
    return registry_create(write, result, error);
}

/* A body that is wrong is told of before that there is nothing to replace. */
static bool refuse_missing(struct write *write, write_transform transform, void *argument,
                           struct error *error)
{
    bool replaces = write->request != NULL && strcmp(write->request->method, "PUT") == 0 &&
                    write->subresource[0] == '\0';
    drop_live(write);
    return (!replaces ||
            (transform(write, argument, error) && metadata_take_names(write, error))) &&
           error_not_found(error, write->resource->group, write->resource->plural, write->name);
}

bool registry_update(struct write *write, write_transform transform, void *argument,
                     struct object **result, bool *deleted, struct error *error)
{
    bool ignored;
    deleted = deleted ? deleted : &ignored;
    *deleted = false;
    struct object *live = read_cached(write);
    bool fresh = write->registry->store->local;
    for (int attempt = 0; attempt < update_attempts; attempt++) {
        if (live == NULL && !fresh && !read_fresh(write, &live, error)) {
            return false;
        }
        fresh = fresh || live == NULL;
        if (live == NULL) {
            bool creates = write->resource->update_creates && write->subresource[0] == '\0' &&
                           write->request != NULL && strcmp(write->request->method, "PUT") == 0;
            return creates ? create_by_update(write, transform, argument, result, error)
                           : refuse_missing(write, transform, argument, error);
        }
        set_live(write, live);
        cleanup(store_item_clear)
        struct store_item current = {0};
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        bool done;
        if (update_once(write, transform, argument, result, deleted, &current, &done, &why)) {
            if (done) {
                return true;
            }
            if (!take_item(write, &current, &live, error)) {
                return false;
            }
            fresh = true;
            continue;
        }
        if (why.code != 409 || fresh) {
            return error_move(error, &why);
        }
        /* The cache may be behind the store: a conflict counts only against the fresh object. */
        int64_t seen = write->live_object->revision;
        live = NULL;
        if (!read_fresh(write, &live, error)) {
            return false;
        }
        if (live != NULL && live->revision == seen) {
            object_unref(live);
            return error_move(error, &why);
        }
        fresh = true;
    }
    return error_conflict(error, write->resource->group, write->resource->plural, write->name, "%s",
                          error_object_modified);
}

/* ---- delete ---- */

bool write_check_preconditions(const struct write *write, const struct delete_options *options,
                               struct error *error)
{
    const char *uid = json_path_string(write->live, "metadata", "uid");
    const char *version = json_path_string(write->live, "metadata", "resourceVersion");
    if (options->precondition_uid != NULL && uid != NULL &&
        strcmp(options->precondition_uid, uid) != 0) {
        return error_conflict(error, write->resource->group, write->resource->kind, write->name,
                              "the UID in the precondition (%s) does not match the UID in record "
                              "(%s). The object might have been deleted and then recreated",
                              options->precondition_uid, uid);
    }
    if (options->precondition_resource_version != NULL &&
        strcmp(options->precondition_resource_version, version) != 0) {
        return error_conflict(error, write->resource->group, write->resource->kind, write->name,
                              "the ResourceVersion in the precondition (%s) does not match the "
                              "ResourceVersion in record (%s). The object might have been modified",
                              options->precondition_resource_version, version);
    }
    return true;
}

static void set_finalizer(json_t *metadata, const char *finalizer, bool wanted)
{
    json_t *list = json_object_get(metadata, "finalizers");
    if (wanted && !json_array_has_string(list, finalizer)) {
        if (list == NULL) {
            list = json_array();
            json_object_set_new(metadata, "finalizers", list);
        }
        json_array_append_new(list, json_string(finalizer));
    }
    for (size_t i = json_array_size(list); !wanted && i-- > 0;) {
        if (strcmp(json_string_value(json_array_get(list, i)), finalizer) == 0) {
            json_array_remove(list, i);
        }
    }
    if (list != NULL && json_array_size(list) == 0) {
        json_object_del(metadata, "finalizers");
    }
}

/* Records for the garbage collector what is to become of the dependents. */
static void record_propagation(const struct write *write, const struct delete_options *options,
                               json_t *metadata)
{
    const char *policy = options->propagation_policy;
    if (policy == NULL && options->orphan_dependents_given) {
        policy = options->orphan_dependents ? "Orphan" : "Background";
    }
    if (policy == NULL) {
        const json_t *finalizers = json_object_get(metadata, "finalizers");
        bool decided = json_array_has_string(finalizers, "orphan") ||
                       json_array_has_string(finalizers, "foregroundDeletion");
        if (decided || !write->kind->orphans_by_default) {
            return;
        }
        policy = "Orphan";
    }
    set_finalizer(metadata, "orphan", strcmp(policy, "Orphan") == 0);
    set_finalizer(metadata, "foregroundDeletion", strcmp(policy, "Foreground") == 0);
}

/* Marks the object as being deleted at now + grace, unless it is marked already and this delete
 * does not hasten it. */
static void mark_deleting(const struct write *write, json_t *metadata, int64_t grace_seconds)
{
    const json_t *marked = json_object_get(metadata, "deletionTimestamp");
    int64_t at = timestamp_now() + grace_seconds * INT64_C(1000000000);
    if (marked != NULL) {
        int64_t before = json_get_int(metadata, "deletionGracePeriodSeconds", 0), then = 0;
        if (grace_seconds >= before) {
            return;
        }
        if (timestamp_parse(json_string_value(marked), &then)) {
            at = then - (before - grace_seconds) * INT64_C(1000000000);
        }
    } else if (write->resource->has_generation) {
        json_object_set_new(metadata, "generation",
                            json_integer(json_get_int(metadata, "generation", 0) + 1));
    }
    char text[TIMESTAMP_SIZE];
    timestamp_format(at, text);
    json_object_set_new(metadata, "deletionTimestamp", json_string(text));
    json_object_set_new(metadata, "deletionGracePeriodSeconds", json_integer(grace_seconds));
}

/* One attempt; see update_once(). */
static bool delete_once(struct write *write, const struct delete_options *options,
                        struct object **result, bool *gone, struct store_item *current, bool *done,
                        struct error *error)
{
    int64_t grace_seconds = options->grace_period_seconds;
    bool conflict = false;
    *done = true;
    *gone = false;
    if (!write_check_preconditions(write, options, error)) {
        return false;
    }
    if (write->kind->before_delete == NULL) {
        grace_seconds = 0;
    } else if (!write->kind->before_delete(write, &grace_seconds, error)) {
        return false;
    }
    if (!admission_validate(write, error)) {
        return false;
    }
    write->object = json_deep_copy(write->live);
    json_t *metadata = json_object_get(write->object, "metadata");
    record_propagation(write, options, metadata);
    mark_deleting(write, metadata, grace_seconds > 0 ? grace_seconds : 0);
    if (write->kind->mark_deleting != NULL) {
        write->kind->mark_deleting(write->object);
    }
    if (is_ready_to_go(write)) {
        *gone = true;
        json_decref(steal(write->object));
        if (!remove_object(write, result, current, &conflict, error)) {
            return false;
        }
    } else if (json_equal(write->object, write->live)) {
        *result = object_ref(write->live_object);
    } else if (!commit_object(write, write->live_object->revision, result, current, &conflict,
                              error)) {
        return false;
    }
    *done = !conflict;
    return true;
}

bool registry_delete(struct write *write, const struct delete_options *options,
                     struct object **result, bool *gone, struct error *error)
{
    struct object *live = read_cached(write);
    bool fresh = write->registry->store->local;
    for (int attempt = 0; attempt < update_attempts; attempt++) {
        if (live == NULL && !fresh && !read_fresh(write, &live, error)) {
            return false;
        }
        fresh = true;
        if (live == NULL) {
            return error_not_found(error, write->resource->group, write->resource->plural,
                                   write->name);
        }
        set_live(write, live);
        cleanup(store_item_clear)
        struct store_item current = {0};
        bool done;
        if (!delete_once(write, options, result, gone, &current, &done, error)) {
            return false;
        }
        if (done) {
            return true;
        }
        if (!take_item(write, &current, &live, error)) {
            return false;
        }
    }
    return error_conflict(error, write->resource->group, write->resource->plural, write->name, "%s",
                          error_object_modified);
}

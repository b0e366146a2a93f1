// SPDX-License-Identifier: Apache-2.0
/* From a request's verb to the road it takes, and back to an answer. */
#include <string.h>

#include "apiserver/audit/audit.h"
#include "apiserver/patch/patch.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/kinds.h"
#include "apiserver/registry/metadata.h"
#include "apiserver/registry/read.h"
#include "apiserver/registry/serve.h"
#include "apiserver/views/render.h"
#include "common/alloc.h"
#include "common/json.h"

enum { quick_body_bytes = 64 << 10 };

/* ---- answers ---- */

void serve_object(struct registry *registry, struct request *request, struct response *response,
                  int status, const struct object *object)
{
    (void)registry;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(renderer_clear)
    struct renderer renderer = {0};
    if (!renderer_init(&renderer, request, request->resource, &error)) {
        response_set_error(response, request, &error);
        return;
    }
    render_object(&renderer, request, response, status, object, object->revision);
}

static const char *options_kind(const struct request *request)
{
    return strcmp(request->method, "PUT") == 0      ? "UpdateOptions"
           : strcmp(request->method, "PATCH") == 0  ? "PatchOptions"
           : strcmp(request->method, "DELETE") == 0 ? "DeleteOptions"
                                                    : "CreateOptions";
}

bool serve_check_options(const struct request *request, struct error *error)
{
    enum { manager_bytes_max = 128 };
    static const char *const supported[] = {"All", NULL};
    const char *manager = request_parameter(request, "fieldManager");
    cleanup(json_release)
    json_t *dry_run = json_array();
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    if (manager != NULL && strlen(manager) > manager_bytes_max &&
        strcmp(request->method, "DELETE") != 0) {
        field_error(&errors, FIELD_TOO_LONG, FIELD(NULL, "fieldManager"), NULL,
                    "may not be more than %d bytes", manager_bytes_max);
    }
    bool known = true;
    for (size_t i = 0; i < request->parameter_count; i++) {
        const struct parameter *parameter = &request->parameters[i];
        if (strcmp(parameter->name, "dryRun") == 0) {
            json_array_append_new(dry_run, json_string(parameter->value));
            known = known && strcmp(parameter->value, "All") == 0;
        }
    }
    if (!known) {
        field_error_not_supported(&errors, FIELD(NULL, "dryRun"), dry_run, supported);
    }
    return !field_errors_any(&errors) ||
           error_invalid(error, "meta.k8s.io", options_kind(request), "", &errors);
}

static void rename_kind(const struct resource *resource, json_t *object)
{
    cleanup(free_char)
    char *version = decode_api_version(resource->group, resource->version);
    json_object_set_new(object, "apiVersion", json_string(version));
    json_object_set_new(object, "kind", json_string(resource->kind));
}

void serve_to_storage(const struct write *write, const struct resource *resource, json_t *object)
{
    if (resource == write->storage) {
        return;
    }
    if (write->kind->to_storage != NULL) {
        write->kind->to_storage(object, resource);
    }
    rename_kind(write->storage, object);
}

void serve_from_storage(const struct write *write, const struct resource *resource, json_t *object)
{
    if (resource == write->storage) {
        return;
    }
    if (write->kind->from_storage != NULL) {
        write->kind->from_storage(object, resource);
    }
    rename_kind(resource, object);
}

static json_t *decode_own(const struct write *write, struct error *error)
{
    const struct resource *resource = write->resource;
    json_t *object = decode_body(write->request, write->response, resource->schema, resource->group,
                                 resource->version, resource->kind, error);
    if (object != NULL) {
        serve_to_storage(write, write->resource, object);
    }
    return object;
}

/* ---- create ---- */

static void serve_create(struct registry *registry, struct request *request,
                         struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    write_begin(&write, registry, request, response, request->resource, WRITE_CREATE);
    bool created = serve_check_options(request, &error) &&
                   (write.object = decode_own(&write, &error)) != NULL &&
                   registry_create(&write, &object, &error);
    if (!created) {
        response_set_error(response, request, &error);
        return;
    }
    serve_object(registry, request, response, 201, object);
}

/* ---- update and patch ---- */

static bool replace_object(struct write *write, void *argument, struct error *error)
{
    (void)argument;
    write->object = decode_own(write, error);
    return write->object != NULL;
}

/* Looked at before anything else, even whether the object exists. */
static bool check_patch_type(const struct request *request, struct error *error)
{
    enum media_body type = media_body(request->content_type);
    return type == MEDIA_BODY_JSON_PATCH || type == MEDIA_BODY_MERGE_PATCH ||
           type == MEDIA_BODY_STRATEGIC_PATCH ||
           error_set(error, 415, "UnsupportedMediaType",
                     "the body of the request was in an unknown format - accepted media types "
                     "include: application/json-patch+json, application/merge-patch+json, "
                     "application/strategic-merge-patch+json");
}

static json_t *parse_patch(const struct request *request, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    const char *body = request->body ? request->body : "";
    bool has_duplicates;
    json_t *patch = json_parse_body(body, request->body_length, &has_duplicates, &why);
    if (patch != NULL) {
        audit_request_patch(request, patch);
    } else if (why.code == 413) {
        error_move(error, &why);
    } else {
        error_bad_request(error, "error decoding patch: %s", why.message);
    }
    return patch;
}

static bool apply_patch(const struct request *request, const struct schema *schema,
                        const json_t *patch, json_t **object, struct error *error)
{
    switch (media_body(request->content_type)) {
    case MEDIA_BODY_JSON_PATCH:
        return patch_json(patch, object, error);
    case MEDIA_BODY_MERGE_PATCH:
        return patch_merge(patch, object, error);
    default:
        return patch_strategic(schema, patch, *object, error);
    }
}

bool serve_apply_patch(const struct request *request, const struct schema *schema, json_t **object,
                       struct error *error)
{
    cleanup(json_release)
    json_t *patch = parse_patch(request, error);
    return patch != NULL && apply_patch(request, schema, patch, object, error);
}

/* A strategic merge into a part of the object, which says by its members what it is about. */
static bool merges_into_part(const struct write *write, const json_t *patch)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)patch, key, value) {
        if (key[0] == '$') {
            return false; /* A directive, which may be about anything. */
        }
    }
    return registry_subresource_is_part(write->subresource) && write->resource == write->storage &&
           media_body(write->request->content_type) == MEDIA_BODY_STRATEGIC_PATCH;
}

/* The live object, or as much of it as the patch may change or look at where all else is put back
 * afterwards: of a pod whose status changes that is the smaller part. */
static json_t *tree_to_patch(const struct write *write, const json_t *patch)
{
    json_t *object;
    if (!merges_into_part(write, patch)) {
        object = object_tree(write->live_object);
        serve_from_storage(write, write->resource, object);
        return object;
    }
    const char *part = registry_subresource_member(write->subresource), *key;
    json_t *value;
    object = json_object();
    json_object_foreach (write->live, key, value) {
        if (json_is_string(value) || strcmp(key, "metadata") == 0 || strcmp(key, part) == 0 ||
            json_object_get(patch, key) != NULL) {
            json_object_set_new(object, key, json_deep_copy(value));
        }
    }
    return object;
}

static bool patch_object(struct write *write, void *argument, struct error *error)
{
    (void)argument;
    const struct resource *resource = write->resource;
    cleanup(json_release)
    json_t *patch = parse_patch(write->request, error);
    if (patch == NULL) {
        return false;
    }
    json_t *object = tree_to_patch(write, patch);
    const struct body_type type = {resource->schema, resource->group, resource->version,
                                   resource->kind};
    bool patched = apply_patch(write->request, resource->schema, patch, &object, error) &&
                   decode_patched(write->request, write->response, &type, object, error);
    if (patched && !json_is_object(object)) {
        patched = error_bad_request(error, "the patch does not leave an object");
    }
    if (!patched) {
        json_decref(object);
        return false;
    }
    cleanup(free_char)
    char *version = decode_api_version(resource->group, resource->version);
    json_object_set_new(object, "apiVersion", json_string(version));
    json_object_set_new(object, "kind", json_string(resource->kind));
    serve_to_storage(write, write->resource, object);
    write->object = object;
    return true;
}

static void serve_update(struct registry *registry, struct request *request,
                         struct response *response, write_transform transform)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    write_begin(&write, registry, request, response, request->resource, WRITE_UPDATE);
    if (!serve_check_options(request, &error) ||
        !registry_update(&write, transform, NULL, &object, NULL, &error)) {
        response_set_error(response, request, &error);
        return;
    }
    int status = write.operation == WRITE_CREATE ? 201 : 200;
    serve_object(registry, request, response, status, object);
}

/* ---- delete ---- */

/* The Status of an object that is gone. */
static void answer_gone(const struct request *request, struct response *response,
                        const struct object *object)
{
    struct json_span uid;
    json_scan(object->bytes, object->length, (const char *[]){"metadata.uid"}, 1, &uid);
    cleanup(free_char)
    char *uid_text = json_span_value(uid);
    cleanup(json_release)
    json_t *status = json_pack("{s:s, s:s, s:{}, s:s, s:{s:s, s:s}}", "kind", "Status",
                               "apiVersion", "v1", "metadata", "status", "Success", "details",
                               "name", object_name(object), "kind", request->resource->plural);
    json_t *details = json_object_get(status, "details");
    if (request->resource->group[0] != '\0') {
        json_object_set_new(details, "group", json_string(request->resource->group));
    }
    if (uid_text != NULL) {
        json_object_set_new(details, "uid", json_string(uid_text));
    }
    response_set_json(response, request, 200, status);
}

static void serve_delete(struct registry *registry, struct request *request,
                         struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    cleanup(delete_options_clear)
    struct delete_options options = {0};
    cleanup(json_release)
    json_t *body = delete_options_body(request, &error);
    bool gone = false;
    write_begin(&write, registry, request, response, request->resource, WRITE_DELETE);
    write.dry_run = write.dry_run || json_array_size(json_object_get(body, "dryRun")) > 0;
    if (body == NULL || !serve_check_options(request, &error) ||
        !delete_options_read(request, body, &options, &error) ||
        !registry_delete(&write, &options, &object, &gone, &error)) {
        response_set_error(response, request, &error);
    } else if (gone && !request->resource->delete_returns_object) {
        answer_gone(request, response, object);
    } else {
        serve_object(registry, request, response, 200, object);
    }
}

/* Deletes one object of a collection; one that is gone meanwhile is as good as deleted. */
static bool delete_one(struct registry *registry, struct request *request,
                       struct response *response, const struct object *object, bool dry_run,
                       const struct delete_options *options, struct object **result,
                       struct error *error)
{
    cleanup(write_clear)
    struct write write = {0};
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(free_char)
    char *namespace = duplicate_bytes(object->key, object->namespace_length);
    bool gone;
    write_begin(&write, registry, request, response, request->resource, WRITE_DELETE);
    write_address(&write, namespace, object_name(object));
    write.dry_run = dry_run;
    if (registry_delete(&write, options, result, &gone, &why) || why.code == 404) {
        return true;
    }
    return error_move(error, &why);
}

static void serve_delete_collection(struct registry *registry, struct request *request,
                                    struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(list_query_clear)
    struct list_query query = {0};
    cleanup(renderer_clear)
    struct renderer renderer = {0};
    cleanup(delete_options_clear)
    struct delete_options options = {0};
    cleanup(json_release)
    json_t *body = delete_options_body(request, &error);
    bool dry_run = request_parameter(request, "dryRun") != NULL ||
                   json_array_size(json_object_get(body, "dryRun")) > 0;
    bool done = body != NULL && serve_check_options(request, &error) &&
                delete_options_read(request, body, &options, &error) &&
                list_query_parse(request, &query, &error) &&
                renderer_init(&renderer, request, request->resource, &error);
    cleanup(list_page_clear)
    struct list_page page = {0};
    done = done && registry_list(registry, request, &query, &page, &error);
    struct object **deleted = allocate_zero(page.count, sizeof(struct object *));
    size_t count = 0;
    for (size_t i = 0; done && i < page.count; i++) {
        struct object *result = NULL;
        done = delete_one(registry, request, response, page.objects[i], dry_run, &options, &result,
                          &error);
        if (result != NULL) {
            deleted[count++] = result;
        }
    }
    struct list_metadata metadata = {.revision = cache_revision(registry->cache), .remaining = -1};
    struct snapshot *shown = snapshot_of_objects(deleted, count, metadata.revision);
    if (!done) {
        snapshot_free(shown);
        free(deleted);
        response_set_error(response, request, &error);
        return;
    }
    render_list(&renderer, request, response, shown, deleted, count, &metadata);
}

/* ---- dispatch ---- */

static bool serve_subresource(struct registry *registry, struct request *request,
                              struct response *response)
{
    if (request->info.subresource[0] == '\0') {
        return false;
    }
    const struct resource *storage = scheme_storage_resource(registry->scheme, request->resource);
    const struct kind_subresource *own =
        kind_subresource_find(kind_find(storage), request->info.subresource);
    if (own != NULL) {
        own->serve(registry, request, response);
        return true;
    }
    if (registry_subresource_is_part(request->info.subresource)) {
        return false;
    }
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    error_set(&error, 501, "NotImplemented", "the %s of %s is not served yet",
              request->info.subresource, request->resource->plural);
    response_set_error(response, request, &error);
    return true;
}

void registry_serve(struct registry *registry, struct request *request, struct response *response)
{
    static const struct {
        const char *verb;
        void (*serve)(struct registry *registry, struct request *request,
                      struct response *response);
    } verbs[] = {
        {"get", registry_serve_get},     {"list", registry_serve_list},
        {"watch", registry_serve_watch}, {"create", serve_create},
        {"delete", serve_delete},        {"deletecollection", serve_delete_collection},
    };
    const char *verb = request->info.verb;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    if (strcmp(verb, "patch") == 0 && !check_patch_type(request, &error)) {
        response_set_error(response, request, &error);
        return;
    }
    if (serve_subresource(registry, request, response)) {
        return;
    }
    if (strcmp(verb, "update") == 0) {
        serve_update(registry, request, response, replace_object);
        return;
    }
    if (strcmp(verb, "patch") == 0) {
        serve_update(registry, request, response, patch_object);
        return;
    }
    for (size_t i = 0; i < array_length(verbs); i++) {
        if (strcmp(verbs[i].verb, verb) == 0) {
            verbs[i].serve(registry, request, response);
            return;
        }
    }
}

/* A write that waits for commits at most. What takes long to decode is left to workers, whose
 * threads nobody shares. */
static bool waits_for_commit(const struct registry *registry, const struct request *request)
{
    const struct resource *resource = request->resource;
    if (resource == NULL || request->body_length > quick_body_bytes ||
        strcmp(request->info.verb, "deletecollection") == 0) {
        return false;
    }
    const struct kind *kind = kind_find(scheme_storage_resource(request->scheme, resource));
    if (resource->virtual) {
        return kind->virtual_is_quick;
    }
    const struct kind_subresource *own = kind_subresource_find(kind, request->info.subresource);
    return (own == NULL || own->waits_for_commit) && kind->begin == NULL && kind->gone == NULL &&
           (registry->store->local || !kind->acknowledged_when_cached);
}

enum waits registry_waits(const struct registry *registry, const struct request *request)
{
    const char *verb = request->info.verb;
    if (strcmp(request->info.plural, "componentstatuses") == 0) {
        return WAITS_FOR_ANYTHING; /* The store is asked how it is. */
    }
    if (strcmp(request->info.group, "metrics.k8s.io") == 0) {
        return WAITS_FOR_ANYTHING; /* Made when it is asked for. */
    }
    bool reads =
        strcmp(verb, "get") == 0 || strcmp(verb, "list") == 0 || strcmp(verb, "watch") == 0;
    if (!reads) {
        return waits_for_commit(registry, request) ? WAITS_FOR_COMPLETIONS : WAITS_FOR_ANYTHING;
    }
    const char *revision = request_parameter(request, "resourceVersion");
    const char *token = request_parameter(request, "continue");
    bool any = revision != NULL && strcmp(revision, "0") == 0;
    bool current = revision == NULL || revision[0] == '\0';
    bool continues = token != NULL && token[0] != '\0';
    return !continues && (any || (current && cache_is_local(registry->cache))) ? WAITS_FOR_NOTHING
                                                                               : WAITS_FOR_ANYTHING;
}

// SPDX-License-Identifier: Apache-2.0
#include "apiserver/views/render.h"

#include <string.h>

#include "apiserver/audit/audit.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/kinds.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/yaml.h"

/* ---- choosing ---- */

static bool parse_include(struct renderer *renderer, const struct request *request,
                          struct error *error)
{
    const char *include = request_parameter(request, "includeObject");
    if (include == NULL || include[0] == '\0' || strcmp(include, "Metadata") == 0) {
        renderer->include = INCLUDE_METADATA;
    } else if (strcmp(include, "None") == 0) {
        renderer->include = INCLUDE_NONE;
    } else if (strcmp(include, "Object") == 0) {
        renderer->include = INCLUDE_OBJECT;
    } else {
        return error_bad_request(error, "unrecognized includeObject value: \"%s\"", include);
    }
    return true;
}

bool renderer_init(struct renderer *renderer, const struct request *request,
                   const struct resource *resource, struct error *error)
{
    *renderer = (struct renderer){
        .resource = resource,
        .storage = scheme_storage_resource(request->scheme, resource),
        .media = request->media,
        .api_version = decode_api_version(resource->group, resource->version),
    };
    return request->media.transform != MEDIA_TABLE || parse_include(renderer, request, error);
}

void renderer_clear(struct renderer *renderer)
{
    free(renderer->api_version);
    renderer->api_version = NULL;
}

/* ---- other versions ---- */

/* Makes the canonical JSON of the addressed version; 'form' is its resource. */
static void convert(const struct object *object, const void *form, struct buffer *out)
{
    const struct resource *resource = form;
    const struct kind *kind = kind_find(object->class->resource);
    cleanup(json_release)
    json_t *tree = object_tree(object);
    cleanup(free_char)
    char *version = decode_api_version(resource->group, resource->version);
    json_object_set_new(tree, "apiVersion", json_string(version));
    json_object_set_new(tree, "kind", json_string(resource->kind));
    if (kind->from_storage != NULL) {
        kind->from_storage(tree, resource);
    }
    object_encode(tree, out);
}

/* Appends the object in the addressed version: whole or as a list's item. */
static void add_object(const struct renderer *renderer, const struct object *object,
                       int64_t revision, bool item, struct buffer *out)
{
    if (renderer->resource == renderer->storage) {
        (item ? object_write_item : object_write)(object, revision, out);
        return;
    }
    const struct object_rendition *text = object_rendition(object, renderer->resource, convert);
    object_write_text(text->bytes, text->length, revision, item, out);
}

static void add_partial(const struct renderer *renderer, const struct object *object,
                        int64_t revision, bool item, struct buffer *out)
{
    (void)item;
    buffer_addf(out,
                "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/%s\","
                "\"metadata\":",
                renderer->media.transform_version);
    object_write_metadata(object, revision, out);
    buffer_add_char(out, '}');
}

static void add_row(const struct renderer *renderer, const struct object *object, int64_t revision,
                    struct buffer *out)
{
    buffer_add_literal(out, "{\"cells\":");
    table_cells(object, renderer->resource, out);
    if (renderer->include == INCLUDE_NONE) {
        buffer_add_literal(out, ",\"object\":null}");
        return;
    }
    buffer_add_literal(out, ",\"object\":");
    if (renderer->include == INCLUDE_OBJECT) {
        add_object(renderer, object, revision, false, out);
    } else {
        add_partial(renderer, object, revision, false, out);
    }
    buffer_add_char(out, '}');
}

/* Appends what stands in a list's metadata; what is not stored has no revision. */
static void add_list_metadata(const struct list_metadata *metadata, struct buffer *out)
{
    size_t start = out->length;
    if (metadata->revision > 0) {
        buffer_addf(out, "\"resourceVersion\":\"%lld\"", (long long)metadata->revision);
    }
    if (metadata->continue_token != NULL) {
        buffer_addf(out, "%s\"continue\":\"%s\"", out->length > start ? "," : "",
                    metadata->continue_token);
    }
    if (metadata->remaining > 0) {
        buffer_addf(out, "%s\"remainingItemCount\":%lld", out->length > start ? "," : "",
                    (long long)metadata->remaining);
    }
}

static void add_table_head(const struct renderer *renderer, const struct list_metadata *metadata,
                           bool columns, struct buffer *out)
{
    buffer_addf(out, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/%s\",\"metadata\":{",
                renderer->media.transform_version);
    add_list_metadata(metadata, out);
    buffer_add_literal(out, "},\"columnDefinitions\":");
    if (columns) {
        table_columns(renderer->resource, out);
    } else {
        buffer_add_literal(out, "null");
    }
    buffer_add_literal(out, ",\"rows\":[");
}

/* One object as an answer of its own or in an event. */
static void add_single(const struct renderer *renderer, const struct object *object,
                       int64_t revision, bool columns, struct buffer *out)
{
    switch (renderer->media.transform) {
    case MEDIA_TABLE:
        add_table_head(renderer, &(struct list_metadata){.revision = revision}, columns, out);
        add_row(renderer, object, revision, out);
        buffer_add_literal(out, "]}");
        break;
    case MEDIA_PARTIAL:
    case MEDIA_PARTIAL_LIST:
        add_partial(renderer, object, revision, false, out);
        break;
    case MEDIA_OBJECT:
        add_object(renderer, object, revision, false, out);
        break;
    }
}

/* Replaces bytes of JSON by the same in YAML. */
static void turn_to_yaml(struct buffer *bytes)
{
    cleanup(json_release)
    json_t *tree = json_parse_known(bytes->bytes, bytes->length);
    buffer_reset(bytes);
    yaml_encode(tree, bytes);
}

static const char *content_type(const struct media *media)
{
    return media->encoding == MEDIA_YAML ? "application/yaml" : "application/json";
}

void render_object(struct renderer *renderer, const struct request *request,
                   struct response *response, int status, const struct object *object,
                   int64_t revision)
{
    (void)request;
    response->status = status;
    response->content_type = content_type(&renderer->media);
    add_single(renderer, object, revision, true, &response->bytes);
    if (renderer->media.encoding == MEDIA_YAML) {
        turn_to_yaml(&response->bytes);
    }
}

/* ---- lists ---- */

/* Produces a list while it is sent: 'pending' holds what the last read had no room for. */
struct list_body {
    struct body body;
    struct renderer renderer;
    struct snapshot *snapshot;
    struct object **objects;
    size_t count, next;
    struct buffer pending;
    size_t pending_sent;
    bool ended;
};

static void add_list_head(const struct renderer *renderer, const struct list_metadata *metadata,
                          struct buffer *out)
{
    if (renderer->media.transform == MEDIA_TABLE) {
        add_table_head(renderer, metadata, true, out);
        return;
    }
    if (renderer->media.transform == MEDIA_OBJECT) {
        buffer_addf(out, "{\"kind\":\"%s\",\"apiVersion\":\"%s\"", renderer->resource->list_kind,
                    renderer->api_version);
    } else {
        buffer_addf(out,
                    "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/%s\"",
                    renderer->media.transform_version);
    }
    buffer_add_literal(out, ",\"metadata\":{");
    add_list_metadata(metadata, out);
    buffer_add_literal(out, "},\"items\":[");
}

static void add_list_item(const struct renderer *renderer, const struct object *object,
                          struct buffer *out)
{
    switch (renderer->media.transform) {
    case MEDIA_TABLE:
        add_row(renderer, object, object->revision, out);
        break;
    case MEDIA_PARTIAL:
    case MEDIA_PARTIAL_LIST:
        add_partial(renderer, object, object->revision, true, out);
        break;
    case MEDIA_OBJECT:
        add_object(renderer, object, object->revision, true, out);
        break;
    }
}

/* Adds the next item or the end to 'pending'. */
static void produce(struct list_body *list)
{
    if (list->next < list->count) {
        if (list->next > 0) {
            buffer_add_char(&list->pending, ',');
        }
        add_list_item(&list->renderer, list->objects[list->next++], &list->pending);
    } else if (!list->ended) {
        list->ended = true;
        buffer_add_literal(&list->pending, "]}");
    }
}

static ssize_t list_read(struct body *body, char *out, size_t size)
{
    struct list_body *list = container_of(body, struct list_body, body);
    size_t written = 0;
    while (written < size) {
        if (list->pending_sent == list->pending.length) {
            buffer_reset(&list->pending);
            list->pending_sent = 0;
            produce(list);
            if (list->pending.length == 0) {
                break;
            }
        }
        size_t rest = list->pending.length - list->pending_sent;
        size_t part = rest < size - written ? rest : size - written;
        memcpy(out + written, list->pending.bytes + list->pending_sent, part);
        list->pending_sent += part;
        written += part;
    }
    return written > 0 ? (ssize_t)written : BODY_END;
}

static void list_close(struct body *body)
{
    struct list_body *list = container_of(body, struct list_body, body);
    snapshot_free(list->snapshot);
    free(list->objects);
    buffer_free(&list->pending);
    renderer_clear(&list->renderer);
    free(list);
}

static const struct body_class list_class = {list_read, list_close};

/* A list up to this size is answered as bytes, with its length known. */
enum { whole_list_max = 16 };

void render_list(struct renderer *renderer, const struct request *request,
                 struct response *response, struct snapshot *snapshot, struct object **objects,
                 size_t count, const struct list_metadata *metadata)
{
    struct list_body *list = allocate_struct(struct list_body);
    *list = (struct list_body){
        .body.class = &list_class,
        .renderer = *renderer,
        .snapshot = snapshot,
        .objects = objects,
        .count = count,
    };
    list->renderer.api_version = duplicate(renderer->api_version);
    add_list_head(renderer, metadata, &list->pending);
    response->status = 200;
    response->content_type = content_type(&renderer->media);
    if (renderer->media.encoding == MEDIA_JSON && count > whole_list_max &&
        !audit_has_response_objects(request)) {
        response->body = &list->body;
        return;
    }
    while (!list->ended) {
        produce(list);
    }
    response->bytes = list->pending;
    list->pending = BUFFER_INIT;
    list_close(&list->body);
    if (renderer->media.encoding == MEDIA_YAML) {
        turn_to_yaml(&response->bytes);
    }
}

/* ---- events ---- */

static void end_event(const struct renderer *renderer, size_t start, struct buffer *out)
{
    if (renderer->media.encoding == MEDIA_YAML) {
        cleanup(json_release)
        json_t *tree = json_parse_known(out->bytes + start, out->length - start);
        out->length = start;
        yaml_encode(tree, out);
        buffer_add_literal(out, "---\n");
    } else {
        buffer_add_char(out, '\n');
    }
}

void render_event(struct renderer *renderer, const char *type, const struct object *object,
                  int64_t revision, struct buffer *out)
{
    size_t start = out->length;
    buffer_add_literal(out, "{\"type\":\"");
    buffer_add_text(out, type);
    buffer_add_literal(out, "\",\"object\":");
    add_single(renderer, object, revision, !renderer->columns_sent, out);
    renderer->columns_sent = true;
    buffer_add_char(out, '}');
    end_event(renderer, start, out);
}

void render_bookmark(struct renderer *renderer, int64_t revision, bool initial_end,
                     struct buffer *out)
{
    size_t start = out->length;
    bool table = renderer->media.transform == MEDIA_TABLE;
    bool partial = renderer->media.transform != MEDIA_OBJECT;
    cleanup(free_char)
    char *metadata =
        format("{\"resourceVersion\":\"%lld\",\"creationTimestamp\":null%s}", (long long)revision,
               initial_end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
    buffer_add_literal(out, "{\"type\":\"BOOKMARK\",\"object\":");
    if (table) {
        add_table_head(renderer, &(struct list_metadata){.revision = revision},
                       !renderer->columns_sent, out);
        renderer->columns_sent = true;
        buffer_addf(out,
                    "{\"cells\":[],\"object\":{\"kind\":\"%s\",\"apiVersion\":\"%s\","
                    "\"metadata\":%s}}]}",
                    renderer->resource->kind, renderer->api_version, metadata);
    } else if (partial) {
        buffer_addf(out,
                    "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/%s\","
                    "\"metadata\":%s}",
                    renderer->media.transform_version, metadata);
    } else {
        buffer_addf(out, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":%s}",
                    renderer->resource->kind, renderer->api_version, metadata);
    }
    buffer_add_char(out, '}');
    end_event(renderer, start, out);
}

// SPDX-License-Identifier: Apache-2.0
/*
 * OpenAPI documents are written straight to text: version 3, a document for each group and version,
 * and version 2, one for everything. Both say the same of paths and types; the differences (where
 * references point, how bodies are described) are in 'struct writer'.
 *
 * A document is made when it is first asked for, and kept.
 */
#include "apiserver/views/openapi.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "apiserver/registry/decode.h"
#include "apiserver/views/openapi_protobuf.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"
#include "common/map.h"
#include "common/version.h"

/* The name of version 2 in protobuf. */
static const char v2_protobuf[] = "v2.protobuf";

struct document {
    char *text;
    size_t length;
    char hash[2 * SHA512_DIGEST_LENGTH / 2 + 1]; /* Hexadecimal, half of it. */
};

struct openapi {
    struct scheme *scheme;
    pthread_mutex_t lock; /* Guards the documents; held while one is made. */
    struct map documents; /* "api/v1", "apis/apps/v1", "v2" to struct document. */
};

struct writer {
    const struct scheme *scheme;
    bool v3;
    struct buffer *out;
    struct map seen;                    /* Names of object types that are referred to. */
    const struct schema_object **queue; /* Those not written yet. */
    size_t queued, capacity;
};

struct openapi *openapi_new(struct scheme *scheme)
{
    struct openapi *openapi = allocate_struct(struct openapi);
    openapi->scheme = scheme_ref(scheme);
    pthread_mutex_init(&openapi->lock, NULL);
    return openapi;
}

static void document_free(void *value)
{
    struct document *document = value;
    free(document->text);
    free(document);
}

void openapi_free(struct openapi *openapi)
{
    if (openapi != NULL) {
        map_free(&openapi->documents, document_free);
        pthread_mutex_destroy(&openapi->lock);
        scheme_unref(openapi->scheme);
        free(openapi);
    }
}

/* ---- types ---- */

static void add_text(struct buffer *out, const char *text)
{
    cleanup(json_release)
    json_t *string = json_string(text);
    json_encode(string, out);
}

static void refer(struct writer *writer, const struct schema_object *object)
{
    static char seen[] = "";
    if (map_get(&writer->seen, object->name) == NULL) {
        map_set(&writer->seen, object->name, seen);
        writer->queue = grow(writer->queue, writer->queued, &writer->capacity,
                             sizeof(const struct schema_object *));
        writer->queue[writer->queued++] = object;
    }
    buffer_addf(writer->out, "\"$ref\":\"#/%s/%s\"",
                writer->v3 ? "components/schemas" : "definitions", object->name);
}

static void add_list_extensions(const struct schema *schema, struct buffer *out)
{
    static const char *const types[] = {"atomic", "set", "map"};
    if (schema->type == SCHEMA_LIST) {
        buffer_addf(out, ",\"x-kubernetes-list-type\":\"%s\"", types[schema->list_type]);
    }
    if (schema->list_type == SCHEMA_LIST_MAP && schema->list_keys != NULL) {
        buffer_add_literal(out, ",\"x-kubernetes-list-map-keys\":[");
        for (size_t i = 0; schema->list_keys[i] != NULL; i++) {
            buffer_addf(out, "%s\"%s\"", i ? "," : "", schema->list_keys[i]);
        }
        buffer_add_char(out, ']');
    }
    if (schema->merge_key != NULL) {
        buffer_addf(out, ",\"x-kubernetes-patch-merge-key\":\"%s\"", schema->merge_key);
    }
    if (schema->patch_merge || schema->patch_retain_keys) {
        buffer_addf(out, ",\"x-kubernetes-patch-strategy\":\"%s%s%s\"",
                    schema->patch_merge ? "merge" : "",
                    schema->patch_merge && schema->patch_retain_keys ? "," : "",
                    schema->patch_retain_keys ? "retainKeys" : "");
    }
    if (schema->atomic) {
        buffer_add_literal(out, ",\"x-kubernetes-map-type\":\"atomic\"");
    }
}

/* The members of a JSON object that describe a value, without braces. */
static void add_schema(struct writer *writer, const struct schema *schema)
{
    static const char *const scalars[] = {
        [SCHEMA_STRING] = "\"type\":\"string\"",
        [SCHEMA_BOOLEAN] = "\"type\":\"boolean\"",
        [SCHEMA_INT32] = "\"type\":\"integer\",\"format\":\"int32\"",
        [SCHEMA_INT64] = "\"type\":\"integer\",\"format\":\"int64\"",
        [SCHEMA_DOUBLE] = "\"type\":\"number\",\"format\":\"double\"",
        [SCHEMA_BYTES] = "\"type\":\"string\",\"format\":\"byte\"",
        [SCHEMA_TIME] = "\"type\":\"string\",\"format\":\"date-time\"",
        [SCHEMA_MICRO_TIME] = "\"type\":\"string\",\"format\":\"date-time\"",
        [SCHEMA_DURATION] = "\"type\":\"string\"",
        [SCHEMA_QUANTITY] = "\"type\":\"string\"",
        [SCHEMA_INT_OR_STRING] = "\"type\":\"string\",\"format\":\"int-or-string\"",
        [SCHEMA_FIELDS_V1] = "\"type\":\"object\"",
        [SCHEMA_JSON] = "",
        [SCHEMA_RAW] = "\"type\":\"object\"",
    };
    struct buffer *out = writer->out;
    switch (schema->type) {
    case SCHEMA_OBJECT:
        refer(writer, schema->object);
        break;
    case SCHEMA_MAP:
        buffer_add_literal(out, "\"type\":\"object\",\"additionalProperties\":{");
        add_schema(writer, schema->items);
        buffer_add_char(out, '}');
        break;
    case SCHEMA_LIST:
        buffer_add_literal(out, "\"type\":\"array\",\"items\":{");
        add_schema(writer, schema->items);
        buffer_add_char(out, '}');
        break;
    default:
        buffer_add_text(out, scalars[schema->type]);
    }
}

static void add_comma(struct buffer *out)
{
    if (out->length > 0 && out->bytes[out->length - 1] != '{' &&
        out->bytes[out->length - 1] != '[') {
        buffer_add_char(out, ',');
    }
}

static void add_field(struct writer *writer, const struct schema_field *field)
{
    struct buffer *out = writer->out;
    const struct schema *schema = field->schema;
    add_comma(out);
    add_text(out, field->name);
    buffer_add_literal(out, ":{\"description\":");
    add_text(out, field->doc);
    bool reference = schema->type == SCHEMA_OBJECT;
    if (schema->type != SCHEMA_JSON) {
        buffer_add_char(out, ',');
    }
    if (reference && writer->v3) {
        buffer_add_literal(out, "\"allOf\":[{");
        add_schema(writer, schema);
        buffer_add_literal(out, "}]");
    } else {
        add_schema(writer, schema);
    }
    if (writer->v3 && schema->default_value != NULL && strcmp(schema->default_value, "null") != 0) {
        buffer_addf(out, ",\"default\":%s", schema->default_value);
    }
    add_list_extensions(schema, out);
    buffer_add_char(out, '}');
}

static void add_required(const struct schema_object *object, struct buffer *out)
{
    bool first = true;
    for (size_t i = 0; i < object->field_count; i++) {
        const struct schema_field *field = &object->fields[i];
        bool declared = field->presence == SCHEMA_DOCUMENTED ||
                        (field->presence == SCHEMA_REQUIRED && !field->undeclared);
        if (declared) {
            buffer_addf(out, "%s\"%s\"", first ? ",\"required\":[" : ",", field->name);
            first = false;
        }
    }
    buffer_add_text(out, first ? "" : "]");
}

static bool add_kind(struct buffer *out, bool first, const char *group, const char *version,
                     const char *kind)
{
    buffer_addf(out, "%s{\"group\":\"%s\",\"kind\":\"%s\",\"version\":\"%s\"}",
                first ? ",\"x-kubernetes-group-version-kind\":[" : ",", group, kind, version);
    return false;
}

/* Names the kinds that objects of this type are. */
static void add_kinds(const struct writer *writer, const struct schema_object *object,
                      struct buffer *out)
{
    bool first = true;
    for (size_t i = 0; i < scheme_resource_count(writer->scheme); i++) {
        const struct resource *resource = scheme_resource(writer->scheme, i);
        if (resource->schema->object == object) {
            first = add_kind(out, first, resource->group, resource->version, resource->kind);
        } else if (resource->list_schema != NULL && resource->list_schema->object == object) {
            first = add_kind(out, first, resource->group, resource->version, resource->list_kind);
        }
    }
    const struct scheme_kind *kind;
    for (size_t i = 0; first && (kind = scheme_kind(writer->scheme, i)) != NULL; i++) {
        if (kind->schema->object == object) {
            first = add_kind(out, first, kind->group, kind->version, kind->kind);
        }
    }
    buffer_add_text(out, first ? "" : "]");
}

static void add_object(struct writer *writer, const struct schema_object *object)
{
    struct buffer *out = writer->out;
    buffer_addf(out, "\"%s\":{\"description\":", object->name);
    add_text(out, object->doc ? object->doc : "");
    buffer_add_literal(out, ",\"type\":\"object\"");
    if (object->field_count > 0) {
        buffer_add_literal(out, ",\"properties\":{");
        for (size_t i = 0; i < object->field_count; i++) {
            add_field(writer, &object->fields[i]);
        }
        buffer_add_char(out, '}');
    }
    add_required(object, out);
    add_kinds(writer, object, out);
    buffer_add_char(out, '}');
}

/* Writes all types that were referred to, and those that they refer to. */
static void add_objects(struct writer *writer)
{
    for (size_t i = 0; i < writer->queued; i++) {
        if (i > 0) {
            buffer_add_char(writer->out, ',');
        }
        add_object(writer, writer->queue[i]);
    }
}

/* ---- paths ---- */

static const char *const read_parameters[] = {"pretty", NULL};
static const char *const list_parameters[] = {"allowWatchBookmarks",
                                              "continue",
                                              "fieldSelector",
                                              "labelSelector",
                                              "limit",
                                              "pretty",
                                              "resourceVersion",
                                              "resourceVersionMatch",
                                              "sendInitialEvents",
                                              "timeoutSeconds",
                                              "watch",
                                              NULL};
static const char *const write_parameters[] = {"dryRun", "fieldManager", "fieldValidation",
                                               "pretty", NULL};
static const char *const patch_parameters[] = {"dryRun", "fieldManager", "fieldValidation",
                                               "force",  "pretty",       NULL};
static const char *const delete_parameters[] = {"dryRun", "gracePeriodSeconds", "orphanDependents",
                                                "pretty", "propagationPolicy",  NULL};

/* How each verb appears: its method, action and parameters. */
static const struct operation {
    enum verb verb;
    const char *method, *action;
    const char *const *parameters;
    bool on_collection, body;
} operations[] = {
    {VERB_LIST, "get", "list", list_parameters, true, false},
    {VERB_CREATE, "post", "post", write_parameters, true, true},
    {VERB_DELETE_COLLECTION, "delete", "deletecollection", delete_parameters, true, false},
    {VERB_GET, "get", "get", read_parameters, false, false},
    {VERB_UPDATE, "put", "put", write_parameters, false, true},
    {VERB_PATCH, "patch", "patch", patch_parameters, false, true},
    {VERB_DELETE, "delete", "delete", delete_parameters, false, false},
};

static const char *parameter_type(const char *name)
{
    static const char *const integers[] = {"limit", "timeoutSeconds", "gracePeriodSeconds", NULL};
    static const char *const booleans[] = {
        "allowWatchBookmarks", "watch", "force", "orphanDependents", "sendInitialEvents", NULL};
    for (size_t i = 0; integers[i] != NULL; i++) {
        if (strcmp(integers[i], name) == 0) {
            return "integer";
        }
    }
    for (size_t i = 0; booleans[i] != NULL; i++) {
        if (strcmp(booleans[i], name) == 0) {
            return "boolean";
        }
    }
    return "string";
}

static void add_parameter(struct writer *writer, const char *name, const char *where)
{
    struct buffer *out = writer->out;
    add_comma(out);
    buffer_addf(out, "{\"name\":\"%s\",\"in\":\"%s\",", name, where);
    if (strcmp(where, "path") == 0) {
        buffer_add_literal(out, "\"required\":true,");
    }
    buffer_add_literal(out, "\"uniqueItems\":true,");
    if (writer->v3) {
        buffer_addf(out, "\"schema\":{\"type\":\"%s\",\"uniqueItems\":true}", parameter_type(name));
    } else {
        buffer_addf(out, "\"type\":\"%s\"", parameter_type(name));
    }
    buffer_add_char(out, '}');
}

static void add_body(struct writer *writer, const struct schema *schema, bool patch)
{
    struct buffer *out = writer->out;
    static const char *const patches[] = {"application/json-patch+json",
                                          "application/merge-patch+json",
                                          "application/strategic-merge-patch+json"};
    static const char *const any[] = {"*/*"};
    const char *const *types = patch ? patches : any;
    size_t count = patch ? array_length(patches) : array_length(any);
    buffer_add_literal(out, ",\"requestBody\":{\"content\":{");
    for (size_t i = 0; i < count; i++) {
        add_comma(out);
        buffer_addf(out, "\"%s\":{\"schema\":{", types[i]);
        if (patch) {
            buffer_add_literal(out, "\"type\":\"object\"");
        } else {
            add_schema(writer, schema);
        }
        buffer_add_literal(out, "}}");
    }
    buffer_add_literal(out, "},\"required\":true}");
}

static void add_answer(struct writer *writer, const struct schema *schema)
{
    struct buffer *out = writer->out;
    buffer_add_literal(out, ",\"responses\":{\"200\":{\"description\":\"OK\",");
    buffer_add_text(out, writer->v3 ? "\"content\":{\"application/json\":{\"schema\":{"
                                    : "\"schema\":{");
    add_schema(writer, schema);
    buffer_add_text(out, writer->v3 ? "}}}}}" : "}}}");
}

/* What an operation is about. */
struct target {
    const struct resource *resource;
    const char *group, *version, *kind;
    const struct schema *schema, *list_schema;
    const char *subresource; /* "" for the resource itself. */
};

static void add_operation(struct writer *writer, const struct operation *operation,
                          const struct target *target)
{
    struct buffer *out = writer->out;
    const struct resource *resource = target->resource;
    bool patch = operation->verb == VERB_PATCH;
    add_comma(out);
    buffer_addf(out, "\"%s\":{\"description\":\"%s %s%s%s\",\"operationId\":\"%s_%s_%s_%s%s%s\",",
                operation->method, operation->action, resource->plural,
                target->subresource[0] ? "/" : "", target->subresource, operation->action,
                resource->group, resource->version, resource->plural,
                target->subresource[0] ? "_" : "", target->subresource);
    buffer_add_literal(out, "\"parameters\":[");
    for (size_t i = 0; operation->parameters[i] != NULL; i++) {
        add_parameter(writer, operation->parameters[i], "query");
    }
    if (!writer->v3 && operation->body) {
        buffer_add_literal(out,
                           ",{\"name\":\"body\",\"in\":\"body\",\"required\":true,\"schema\":{");
        if (patch) {
            buffer_add_literal(out, "\"type\":\"object\"");
        } else {
            add_schema(writer, target->schema);
        }
        buffer_add_literal(out, "}}");
    }
    buffer_add_char(out, ']');
    if (writer->v3 && operation->body) {
        add_body(writer, target->schema, patch);
    } else if (!writer->v3) {
        buffer_addf(out,
                    ",\"consumes\":[%s],\"produces\":[\"application/json\","
                    "\"application/yaml\"]",
                    patch ? "\"application/json-patch+json\",\"application/merge-patch+json\","
                            "\"application/strategic-merge-patch+json\""
                          : "\"*/*\"");
    }
    bool list = operation->verb == VERB_LIST && target->list_schema != NULL;
    add_answer(writer, list ? target->list_schema : target->schema);
    buffer_addf(out,
                ",\"x-kubernetes-action\":\"%s\",\"x-kubernetes-group-version-kind\":{"
                "\"group\":\"%s\",\"kind\":\"%s\",\"version\":\"%s\"}}",
                operation->action, target->group, target->kind, target->version);
}

/* One path with the operations whose verbs are offered there. */
static void add_path(struct writer *writer, const struct target *target, unsigned verbs,
                     bool namespaced, bool on_name)
{
    struct buffer *out = writer->out;
    const struct resource *resource = target->resource;
    add_comma(out);
    buffer_addf(out, "\"/%s%s%s/%s%s/%s%s%s%s\":{", resource->group[0] ? "apis" : "api",
                resource->group[0] ? "/" : "", resource->group, resource->version,
                namespaced ? "/namespaces/{namespace}" : "", resource->plural,
                on_name ? "/{name}" : "", target->subresource[0] ? "/" : "", target->subresource);
    for (size_t i = 0; i < array_length(operations); i++) {
        /* A subresource is created on the object's own path. */
        bool here = target->subresource[0]
                        ? !operations[i].on_collection || operations[i].verb == VERB_CREATE
                        : operations[i].on_collection != on_name;
        if ((verbs & operations[i].verb) != 0 && here) {
            add_operation(writer, &operations[i], target);
        }
    }
    add_comma(out);
    buffer_add_literal(out, "\"parameters\":[");
    if (on_name) {
        add_parameter(writer, "name", "path");
    }
    if (namespaced) {
        add_parameter(writer, "namespace", "path");
    }
    buffer_add_literal(out, "]}");
}

static void add_resource(struct writer *writer, const struct resource *resource)
{
    struct target target = {resource,
                            resource->group,
                            resource->version,
                            resource->kind,
                            resource->schema,
                            resource->list_schema,
                            ""};
    unsigned named = VERB_GET | VERB_UPDATE | VERB_PATCH | VERB_DELETE;
    if (resource->namespaced && (resource->verbs & VERB_LIST)) {
        add_path(writer, &target, VERB_LIST, false, false);
    }
    add_path(writer, &target, resource->verbs, resource->namespaced, false);
    if (resource->verbs & named) {
        add_path(writer, &target, resource->verbs, resource->namespaced, true);
    }
    for (size_t i = 0; i < resource->subresource_count; i++) {
        const struct resource_subresource *sub = &resource->subresources[i];
        if (sub->schema == NULL) {
            continue;
        }
        struct target below = {resource,    sub->group, sub->version, sub->kind,
                               sub->schema, NULL,       sub->name};
        add_path(writer, &below, sub->verbs, resource->namespaced, true);
    }
}

/* ---- documents ---- */

static bool in_document(const struct resource *resource, const char *name)
{
    cleanup(free_char)
    char *version = decode_api_version(resource->group, resource->version);
    cleanup(free_char)
    char *own = format("%s/%s", resource->group[0] ? "apis" : "api", version);
    return strcmp(name, "v2") == 0 || strcmp(own, name) == 0;
}

/* Writes the document of this name; false when no resource is in it. */
static bool write_document(const struct scheme *scheme, const char *name, struct buffer *out)
{
    struct writer writer = {.scheme = scheme, .v3 = strcmp(name, "v2") != 0, .out = out};
    bool any = false;
    buffer_addf(out,
                "{\"%s\":\"%s\",\"info\":{\"title\":\"Kubernetes\",\"version\":\"%s\"},"
                "\"paths\":{",
                writer.v3 ? "openapi" : "swagger", writer.v3 ? "3.0.0" : "2.0",
                version_git_version);
    for (size_t i = 0; i < scheme_resource_count(scheme); i++) {
        const struct resource *resource = scheme_resource(scheme, i);
        if (in_document(resource, name)) {
            add_resource(&writer, resource);
            any = true;
        }
    }
    buffer_add_text(out, writer.v3 ? "},\"components\":{\"schemas\":{" : "},\"definitions\":{");
    add_objects(&writer);
    buffer_add_text(out, writer.v3 ? "}}}" : "}}");
    map_free(&writer.seen, NULL);
    free(writer.queue);
    return any;
}

static bool make_text(struct openapi *openapi, const char *name, struct buffer *text);

/* The document, made if need be; borrowed; NULL when there is none of this name. With the lock. */
static const struct document *find_document(struct openapi *openapi, const char *name)
{
    struct document *document = map_get(&openapi->documents, name);
    struct buffer text = BUFFER_INIT;
    if (document != NULL) {
        return document;
    }
    if (!make_text(openapi, name, &text)) {
        buffer_free(&text);
        return NULL;
    }
    unsigned char digest[SHA512_DIGEST_LENGTH];
    document = allocate_struct(struct document);
    document->length = text.length;
    document->text = buffer_steal(&text);
    SHA512((const unsigned char *)document->text, document->length, digest);
    for (size_t i = 0; i < SHA512_DIGEST_LENGTH / 2; i++) {
        snprintf(document->hash + i * 2, 3, "%02X", digest[i]);
    }
    map_set(&openapi->documents, name, document);
    return document;
}

/* "v2.protobuf" is another form of the document "v2". */
static bool make_text(struct openapi *openapi, const char *name, struct buffer *text)
{
    if (strcmp(name, v2_protobuf) != 0) {
        return write_document(openapi->scheme, name, text);
    }
    cleanup(buffer_free)
    struct buffer plain = BUFFER_INIT;
    write_document(openapi->scheme, "v2", &plain);
    cleanup(json_release)
    json_t *tree = json_loadb(plain.bytes, plain.length, 0, NULL);
    openapi_encode_protobuf(tree, text);
    return true;
}

/* ---- answers ---- */

static void answer_index(struct openapi *openapi, struct request *request,
                         struct response *response)
{
    json_t *paths = json_object();
    pthread_mutex_lock(&openapi->lock);
    for (size_t i = 0; i < scheme_resource_count(openapi->scheme); i++) {
        const struct resource *resource = scheme_resource(openapi->scheme, i);
        cleanup(free_char)
        char *version = decode_api_version(resource->group, resource->version);
        cleanup(free_char)
        char *name = format("%s/%s", resource->group[0] ? "apis" : "api", version);
        if (json_object_get(paths, name) == NULL) {
            const struct document *document = find_document(openapi, name);
            json_object_set_new(
                paths, name,
                json_pack("{s:o}", "serverRelativeURL",
                          json_sprintf("/openapi/v3/%s?hash=%s", name, document->hash)));
        }
    }
    pthread_mutex_unlock(&openapi->lock);
    cleanup(json_release)
    json_t *index = json_pack("{s:o}", "paths", paths);
    response_set_json(response, request, 200, index);
}

static void answer_missing(struct request *request, struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    error_set(&error, 404, "NotFound", "the server could not find the requested resource");
    response_set_error(response, request, &error);
}

/* To where the document as it is now can be kept. */
static void redirect_to(struct response *response, const char *path, const char *hash)
{
    cleanup(free_char)
    char *location = format("%s?hash=%s", path, hash);
    response->status = 301;
    response_add_header(response, "Location", location);
}

/* What is asked for by its hash never changes: clients may keep it. */
static void add_long_life(struct response *response)
{
    char expires[64];
    struct tm parts;
    time_t in_a_year = (time_t)(timestamp_now() / 1000000000) + 365 * 24 * 3600;
    gmtime_r(&in_a_year, &parts);
    strftime(expires, sizeof expires, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    response_add_header(response, "Cache-Control", "public, immutable");
    response_add_header(response, "Expires", expires);
}

static void answer_document(struct openapi *openapi, struct request *request,
                            struct response *response, const char *name)
{
    pthread_mutex_lock(&openapi->lock);
    const struct document *document = find_document(openapi, name);
    pthread_mutex_unlock(&openapi->lock); /* Documents stay as long as the openapi. */
    if (document == NULL) {
        answer_missing(request, response);
        return;
    }
    cleanup(free_char)
    char *tag = format("\"%s\"", document->hash);
    const char *hash = request_parameter(request, "hash");
    response->status = 200;
    response->content_type =
        strcmp(name, v2_protobuf) == 0 ? openapi_protobuf_type : "application/json";
    response_add_header(response, "ETag", tag);
    response_add_header(response, "Vary", "Accept");
    if (hash != NULL && *hash != '\0' && strcmp(hash, document->hash) != 0) {
        redirect_to(response, request->path, document->hash);
        return;
    }
    if (hash != NULL && *hash != '\0') {
        add_long_life(response);
    }
    if (strcmp(request->if_none_match, tag) == 0) {
        response->status = 304;
        return;
    }
    buffer_add(&response->bytes, document->text, document->length);
}

void openapi_serve(struct openapi *openapi, struct request *request, struct response *response)
{
    static const char v3[] = "/openapi/v3/";
    static const char *const v2_forms[] = {"application/json", openapi_protobuf_old_type,
                                           openapi_protobuf_type, NULL};
    const char *path = request->path;
    if (strcmp(path, "/openapi/v3") == 0 || strcmp(path, v3) == 0) {
        answer_index(openapi, request, response);
    } else if (strncmp(path, v3, sizeof v3 - 1) == 0 &&
               strncmp(path + sizeof v3 - 1, "api", 3) == 0) {
        answer_document(openapi, request, response, path + sizeof v3 - 1);
    } else if (strcmp(path, "/openapi/v2") == 0) {
        bool protobuf = media_choose(request->accept, v2_forms) > 0;
        answer_document(openapi, request, response, protobuf ? v2_protobuf : "v2");
    } else {
        answer_missing(request, response);
    }
}

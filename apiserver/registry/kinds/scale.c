// SPDX-License-Identifier: Apache-2.0
/* The scale subresource: any kind with spec.replicas, seen as an autoscaling/v1 Scale. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/metadata.h"
#include "apiserver/registry/serve.h"
#include "apiserver/views/columns.h"
#include "apiserver/views/render.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/selector.h"

static void add_requirements(struct buffer *text, const json_t *expressions)
{
    static const struct {
        const char *operator, * infix;
    } operators[] = {{"In", " in "}, {"NotIn", " notin "}};
    for (size_t i = 0; i < json_array_size(expressions); i++) {
        const json_t *expression = json_array_get(expressions, i);
        const char *key = json_get_string(expression, "key");
        const char *operator= json_get_string(expression, "operator");
        const json_t *values = json_object_get(expression, "values");
        if (key == NULL || operator== NULL) {
            continue;
        }
        buffer_add_text(text, text->length ? "," : "");
        buffer_add_text(text, strcmp(operator, "DoesNotExist") == 0 ? "!" : "");
        buffer_add_text(text, key);
        for (size_t at = 0; at < array_length(operators); at++) {
            if (strcmp(operator, operators[at].operator) != 0) {
                continue;
            }
            buffer_addf(text, "%s(", operators[at].infix);
            for (size_t v = 0; v < json_array_size(values); v++) {
                buffer_addf(text, "%s%s", v ? "," : "",
                            json_string_value(json_array_get(values, v)));
            }
            buffer_add_char(text, ')');
        }
    }
}

/* The selector as text: a LabelSelector, or the plain map of a ReplicationController. */
static char *selector_text(const json_t *selector)
{
    struct buffer text = BUFFER_INIT;
    const json_t *labels = json_object_get(selector, "matchLabels");
    const json_t *expressions = json_object_get(selector, "matchExpressions");
    if (labels == NULL && expressions == NULL) {
        labels = selector;
    }
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)labels, key, value) {
        buffer_addf(&text, "%s%s=%s", text.length ? "," : "", key, json_string_value(value));
    }
    add_requirements(&text, expressions);
    return buffer_steal(&text);
}

static json_t *scale_of(const struct object *object)
{
    static const char *const copied[] = {"name", "namespace", "uid", "resourceVersion",
                                         "creationTimestamp"};
    cleanup(json_release)
    json_t *tree = object_tree(object);
    json_t *metadata = json_object();
    for (size_t i = 0; i < array_length(copied); i++) {
        json_t *value = json_path(tree, "metadata", copied[i]);
        if (value != NULL) {
            json_object_set(metadata, copied[i], value);
        }
    }
    json_t *spec = json_object(), *status = json_object();
    json_int_t replicas = json_get_int(json_object_get(tree, "spec"), "replicas", 0);
    if (replicas != 0) {
        json_object_set_new(spec, "replicas", json_integer(replicas));
    }
    json_object_set_new(status, "replicas",
                        json_integer(json_get_int(json_object_get(tree, "status"), "replicas", 0)));
    cleanup(free_char)
    char *selector = selector_text(json_path(tree, "spec", "selector"));
    if (selector[0] != '\0') {
        json_object_set_new(status, "selector", json_string(selector));
    }
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "kind", "Scale", "apiVersion", "autoscaling/v1",
                     "metadata", metadata, "spec", spec, "status", status);
}

static const struct schema *scale_schema(const struct write *write)
{
    return scheme_kind_schema(write->registry->scheme, "autoscaling", "v1", "Scale");
}

static json_t *patched_scale(struct write *write, struct error *error)
{
    const struct body_type type = {scale_schema(write), "autoscaling", "v1", "Scale"};
    json_t *scale = scale_of(write->live_object);
    if (!serve_apply_patch(write->request, type.schema, &scale, error) ||
        !decode_patched(write->request, write->response, &type, scale, error)) {
        json_decref(scale);
        return NULL;
    }
    return scale;
}

static bool check_name(const struct write *write, const json_t *scale, struct error *error)
{
    const char *name = json_path_string(scale, "metadata", "name");
    const char *namespace = json_path_string(scale, "metadata", "namespace");
    if (name != NULL && name[0] != '\0' && strcmp(name, write->name) != 0) {
        return error_bad_request(
            error, "the name of the object (%s) does not match the name on the URL (%s)", name,
            write->name);
    }
    return namespace == NULL || namespace[0] == '\0' || strcmp(namespace, write->namespace) == 0 ||
           error_bad_request(error, "the namespace of the provided object does not match the "
                                    "namespace sent on the request");
}

static json_t *wanted_scale(struct write *write, struct error *error)
{
    json_t *scale = strcmp(write->request->method, "PATCH") == 0
                        ? patched_scale(write, error)
                        : decode_body(write->request, write->response, scale_schema(write),
                                      "autoscaling", "v1", "Scale", error);
    if (scale != NULL && !check_name(write, scale, error)) {
        json_decref(scale);
        return NULL;
    }
    return scale;
}

static bool check_replicas(const struct write *write, const json_t *scale, struct error *error)
{
    struct field_errors errors = FIELD_ERRORS_INIT;
    if (json_get_int(json_object_get(scale, "spec"), "replicas", 0) >= 0) {
        return true;
    }
    field_error(&errors, FIELD_INVALID, FIELD(FIELD(NULL, "spec"), "replicas"),
                json_path(scale, "spec", "replicas"), "must be greater than or equal to 0");
    return error_invalid(error, "autoscaling", "Scale", write->name, &errors);
}

/* The scale that is wanted, as admission leaves it; NULL when it is refused. */
static json_t *admitted_scale(struct write *write, struct error *error)
{
    cleanup(json_release)
    json_t *wanted = wanted_scale(write, error), *before = scale_of(write->live_object);
    cleanup(write_clear)
    struct write shown = {0};
    write_begin_body(&shown, write->registry, write->request, write->response, wanted, before);
    return wanted != NULL && admission_admit_body(&shown, error) &&
                   check_replicas(write, shown.object, error) &&
                   admission_validate_body(&shown, error)
               ? json_incref(shown.object)
               : NULL;
}

static bool set_replicas(struct write *write, void *argument, struct error *error)
{
    (void)argument;
    cleanup(json_release)
    json_t *scale = admitted_scale(write, error);
    if (scale == NULL) {
        return false;
    }
    json_int_t replicas = json_get_int(json_object_get(scale, "spec"), "replicas", 0);
    write->object = object_tree(write->live_object);
    json_object_set_new(json_get_or_add_object(write->object, "spec"), "replicas",
                        json_integer(replicas));
    json_t *revision = json_path(scale, "metadata", "resourceVersion");
    json_t *metadata = json_object_get(write->object, "metadata");
    if (json_string_length(revision) > 0) {
        json_object_set(metadata, "resourceVersion", revision);
    } else {
        json_object_del(metadata, "resourceVersion");
    }
    return true;
}

/* ---- answers ---- */

static json_t *partial_of(const json_t *scale, const char *version)
{
    cleanup(free_char)
    char *api_version = decode_api_version("meta.k8s.io", version);
    return json_pack("{s:s, s:s, s:O}", "kind", "PartialObjectMetadata", "apiVersion", api_version,
                     "metadata", json_object_get(scale, "metadata"));
}

static json_t *columns(void)
{
    static const struct {
        const char *name, *type, *doc;
    } list[] = {
        {"Name", "string", "Name of the object."},
        {"Desired", "integer", "Number of replicas wanted."},
        {"Available", "integer", "Number of replicas observed."},
        {"Age", "string", "Time since the object was created."},
    };
    json_t *columns = json_array();
    for (size_t i = 0; i < array_length(list); i++) {
        json_array_append_new(columns, json_pack("{s:s, s:s, s:s, s:s, s:i}", "name", list[i].name,
                                                 "type", list[i].type, "format", "", "description",
                                                 list[i].doc, "priority", 0));
    }
    return columns;
}

/* A Scale belongs to no resource whose schema could tell its columns; they are upstream's. */
static json_t *table_of(const json_t *scale, const struct renderer *renderer)
{
    const json_t *metadata = json_object_get(scale, "metadata");
    json_t *object = renderer->include == INCLUDE_NONE ? json_null()
                     : renderer->include == INCLUDE_OBJECT
                         ? json_incref((json_t *)scale)
                         : partial_of(scale, renderer->media.transform_version);
    cleanup(free_char)
    char *api_version = decode_api_version("meta.k8s.io", renderer->media.transform_version);
    return json_pack(
        "{s:s, s:s, s:{s:O*}, s:o, s:[{s:[O, I, I, o], s:o}]}", "kind", "Table", "apiVersion",
        api_version, "metadata", "resourceVersion", json_object_get(metadata, "resourceVersion"),
        "columnDefinitions", columns(), "rows", "cells", json_object_get(metadata, "name"),
        json_get_int(json_object_get(scale, "spec"), "replicas", 0),
        json_get_int(json_object_get(scale, "status"), "replicas", 0),
        column_age(json_object_get(metadata, "creationTimestamp"), "<unknown>"), "object", object);
}

/* The Scale in the form that the client asked for. */
static json_t *answer_of(const struct object *object, const struct renderer *renderer)
{
    cleanup(json_release)
    json_t *scale = scale_of(object);
    switch (renderer->media.transform) {
    case MEDIA_TABLE:
        return table_of(scale, renderer);
    case MEDIA_PARTIAL:
    case MEDIA_PARTIAL_LIST:
        return partial_of(scale, renderer->media.transform_version);
    default:
        return steal(scale);
    }
}

static void serve(struct registry *registry, struct request *request, struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(object_release)
    struct object *object = NULL;
    cleanup(renderer_clear)
    struct renderer renderer = {0};
    if (!renderer_init(&renderer, request, request->resource, &error)) {
        response_set_error(response, request, &error);
        return;
    }
    if (strcmp(request->info.verb, "get") == 0) {
        object =
            registry_get(registry, request->resource, request->info.namespace, request->info.name);
        if (object == NULL) {
            error_not_found(&error, request->resource->group, request->resource->plural,
                            request->info.name);
        }
    } else {
        cleanup(write_clear)
        struct write write = {0};
        write_begin(&write, registry, request, response, request->resource, WRITE_UPDATE);
        if (serve_check_options(request, &error)) {
            registry_update(&write, set_replicas, NULL, &object, NULL, &error);
        }
    }
    if (object == NULL) {
        response_set_error(response, request, &error);
        return;
    }
    cleanup(json_release)
    json_t *answer = answer_of(object, &renderer);
    response_set_json(response, request, 200, answer);
}

const struct kind_subresource kind_scale = {"scale", serve, .waits_for_commit = true};

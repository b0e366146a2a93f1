// SPDX-License-Identifier: Apache-2.0
#include "apiserver/admission/webhook_review.h"

#include <string.h>

#include "apiserver/auth/authn.h"
#include "apiserver/registry/serve.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/random.h"

static const struct {
    const char *name, *options;
} operations[] = {
    [WRITE_CREATE] = {"CREATE", "CreateOptions"},
    [WRITE_UPDATE] = {"UPDATE", "UpdateOptions"},
    [WRITE_DELETE] = {"DELETE", "DeleteOptions"},
};

const char *webhook_operation(const struct write *write)
{
    return operations[write->operation].name;
}

static json_t *kind_of(const struct resource *resource)
{
    return json_pack("{s:s, s:s, s:s}", "group", resource->group, "version", resource->version,
                     "kind", resource->kind);
}

/* Of a body that has a kind of its own; else NULL. */
static const struct resource_subresource *body_of(const struct write *write)
{
    return write->is_of_body ? write->request->subresource : NULL;
}

const struct schema *webhook_body_schema(const struct write *write)
{
    const struct resource_subresource *body = body_of(write);
    return body != NULL ? body->schema : write->resource->schema;
}

static json_t *shown_kind(const struct write *write, const struct resource *resource)
{
    const struct resource_subresource *body = body_of(write);
    return body == NULL ? kind_of(resource)
                        : json_pack("{s:s, s:s, s:s}", "group", body->group, "version",
                                    body->version, "kind", body->kind);
}

static json_t *resource_of(const struct resource *resource)
{
    return json_pack("{s:s, s:s, s:s}", "group", resource->group, "version", resource->version,
                     "resource", resource->plural);
}

static void take_parameter(json_t *options, const struct request *request, const char *name)
{
    const char *value = request_parameter(request, name);
    if (value != NULL && value[0] != '\0') {
        json_object_set_new(options, name, json_string(value));
    }
}

static json_t *options_of(const struct write *write)
{
    bool is_patch =
        write->operation == WRITE_UPDATE && strcmp(write->request->method, "PATCH") == 0;
    json_t *options = json_pack("{s:s, s:s}", "kind",
                                is_patch ? "PatchOptions" : operations[write->operation].options,
                                "apiVersion", "meta.k8s.io/v1");
    if (write->dry_run) {
        json_object_set_new(options, "dryRun", json_pack("[s]", "All"));
    }
    if (write->operation != WRITE_DELETE) {
        take_parameter(options, write->request, "fieldManager");
        take_parameter(options, write->request, "fieldValidation");
    }
    return options;
}

static json_t *in_version(const struct write *write, const struct resource *resource, json_t *tree)
{
    if (tree == NULL) {
        return json_null();
    }
    if (resource == write->storage || write->is_of_body) {
        return json_incref(tree);
    }
    json_t *copy = json_deep_copy(tree);
    serve_from_storage(write, resource, copy);
    return copy;
}

static bool has_generated_name(const struct write *write)
{
    return write->operation == WRITE_CREATE && write->request->info.name[0] == '\0' &&
           json_string_length(json_path(write->object, "metadata", "generateName")) > 0;
}

json_t *webhook_review(const struct write *write, const struct resource *resource)
{
    char uid[RANDOM_UUID_SIZE];
    random_uuid(uid);
    json_t *request = json_object();
    json_object_set_new(request, "uid", json_string(uid));
    json_object_set_new(request, "kind", shown_kind(write, resource));
    json_object_set_new(request, "resource", resource_of(resource));
    json_object_set_new(request, "requestKind", shown_kind(write, write->resource));
    json_object_set_new(request, "requestResource", resource_of(write->resource));
    if (write->subresource[0] != '\0') {
        json_object_set_new(request, "subResource", json_string(write->subresource));
        json_object_set_new(request, "requestSubResource", json_string(write->subresource));
    }
    if (write->name != NULL && write->name[0] != '\0' && !has_generated_name(write)) {
        json_object_set_new(request, "name", json_string(write->name));
    }
    if (write->namespace[0] != '\0') {
        json_object_set_new(request, "namespace", json_string(write->namespace));
    }
    json_object_set_new(request, "operation", json_string(webhook_operation(write)));
    json_object_set_new(request, "userInfo", authn_user_info(&write->request->user));
    json_object_set_new(request, "object", in_version(write, resource, write->object));
    json_object_set_new(request, "oldObject", in_version(write, resource, write->live));
    json_object_set_new(request, "dryRun", json_boolean(write->dry_run));
    json_object_set_new(request, "options", options_of(write));
    return json_pack("{s:s, s:s, s:o}", "kind", "AdmissionReview", "apiVersion",
                     "admission.k8s.io/v1", "request", request);
}

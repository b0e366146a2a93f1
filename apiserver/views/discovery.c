// SPDX-License-Identifier: Apache-2.0
/*
 * Discovery documents are small and asked for rarely (clients keep them), so they are made for each
 * request from the scheme's snapshot; there is nothing to invalidate. The aggregated form carries
 * an ETag, the hash of its bytes.
 */
#include "apiserver/views/discovery.h"

#include <openssl/sha.h>
#include <string.h>

#include "apiserver/registry/decode.h"
#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"

static const struct {
    enum verb verb;
    const char *name;
} verb_names[] = {
    /* Sorted by name, as upstream prints them. */
    {VERB_CREATE, "create"}, {VERB_DELETE, "delete"}, {VERB_DELETE_COLLECTION, "deletecollection"},
    {VERB_GET, "get"},       {VERB_LIST, "list"},     {VERB_PATCH, "patch"},
    {VERB_UPDATE, "update"}, {VERB_WATCH, "watch"},
};

static json_t *verb_list(unsigned verbs)
{
    json_t *list = json_array();
    for (size_t i = 0; i < array_length(verb_names); i++) {
        if (verbs & verb_names[i].verb) {
            json_array_append_new(list, json_string(verb_names[i].name));
        }
    }
    return list;
}

static void add_texts(json_t *object, const char *name, const char *const *texts)
{
    if (texts == NULL || texts[0] == NULL) {
        return;
    }
    json_t *list = json_array();
    for (; *texts != NULL; texts++) {
        json_array_append_new(list, json_string(*texts));
    }
    json_object_set_new(object, name, list);
}

/* Identifies the version in which objects are stored: equal in all versions of a kind. */
static void add_storage_hash(json_t *object, const struct resource *resource)
{
    if (resource->virtual) {
        return;
    }
    unsigned char digest[SHA256_DIGEST_LENGTH];
    cleanup(free_char)
    char *text =
        format("%s/%s/%s", resource->storage_group, resource->storage_version, resource->kind);
    SHA256((const unsigned char *)text, strlen(text), digest);
    cleanup(free_char)
    char *hash = base64_encode(digest, 8);
    json_object_set_new(object, "storageVersionHash", json_string(hash));
}

/* Calls 'each' for the resources of a group and version. */
static void each_resource(const struct scheme *scheme, const char *group, const char *version,
                          void (*each)(json_t *list, const struct resource *resource), json_t *list)
{
    for (size_t i = 0; i < scheme_resource_count(scheme); i++) {
        const struct resource *resource = scheme_resource(scheme, i);
        if (strcmp(resource->group, group) == 0 && strcmp(resource->version, version) == 0) {
            each(list, resource);
        }
    }
}

/* ---- plain ---- */

static bool is_own_kind(const struct resource *resource,
                        const struct resource_subresource *subresource)
{
    return strcmp(resource->group, subresource->group) == 0 &&
           strcmp(resource->version, subresource->version) == 0;
}

static void add_plain_resource(json_t *list, const struct resource *resource)
{
    json_t *entry = json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", resource->plural, "singularName",
                              resource->singular, "namespaced", resource->namespaced, "kind",
                              resource->kind, "verbs", verb_list(resource->verbs));
    add_texts(entry, "shortNames", resource->short_names);
    add_texts(entry, "categories", resource->categories);
    add_storage_hash(entry, resource);
    json_array_append_new(list, entry);
    for (size_t i = 0; i < resource->subresource_count; i++) {
        const struct resource_subresource *sub = &resource->subresources[i];
        json_t *child = json_object();
        json_object_set_new(child, "name", json_sprintf("%s/%s", resource->plural, sub->name));
        json_object_set_new(child, "singularName", json_string(""));
        json_object_set_new(child, "namespaced", json_boolean(resource->namespaced));
        if (!is_own_kind(resource, sub)) {
            json_object_set_new(child, "group", json_string(sub->group));
            json_object_set_new(child, "version", json_string(sub->version));
        }
        json_object_set_new(child, "kind", json_string(sub->kind));
        json_object_set_new(child, "verbs", verb_list(sub->verbs));
        json_array_append_new(list, child);
    }
}

static json_t *plain_resources(const struct scheme *scheme, const char *group, const char *version)
{
    cleanup(free_char)
    char *api_version = decode_api_version(group, version);
    json_t *list = json_array();
    each_resource(scheme, group, version, add_plain_resource, list);
    return json_pack("{s:s, s:s, s:s, s:o}", "kind", "APIResourceList", "apiVersion", "v1",
                     "groupVersion", api_version, "resources", list);
}

static json_t *group_version(const char *group, const char *version)
{
    return json_pack("{s:o, s:s}", "groupVersion", json_sprintf("%s/%s", group, version), "version",
                     version);
}

static json_t *plain_group(const struct scheme_group *group, bool alone)
{
    json_t *versions = json_array();
    for (size_t i = 0; group->versions[i] != NULL; i++) {
        json_array_append_new(versions, group_version(group->name, group->versions[i]));
    }
    json_t *object = json_object();
    if (alone) {
        json_object_set_new(object, "kind", json_string("APIGroup"));
        json_object_set_new(object, "apiVersion", json_string("v1"));
    }
    json_object_set_new(object, "name", json_string(group->name));
    json_object_set_new(object, "versions", versions);
    json_object_set_new(object, "preferredVersion", group_version(group->name, group->versions[0]));
    return object;
}

static json_t *plain_groups(const struct scheme *scheme)
{
    json_t *list = json_array();
    for (size_t i = 0; i < scheme_group_count(scheme); i++) {
        const struct scheme_group *group = scheme_group(scheme, i);
        if (group->name[0] != '\0') {
            json_array_append_new(list, plain_group(group, false));
        }
    }
    return json_pack("{s:s, s:s, s:o}", "kind", "APIGroupList", "apiVersion", "v1", "groups", list);
}

static json_t *plain_core(void)
{
    return json_pack("{s:s, s:[s], s:[{s:s, s:s}]}", "kind", "APIVersions", "versions", "v1",
                     "serverAddressByClientCIDRs", "clientCIDR", "0.0.0.0/0", "serverAddress", "");
}

/* ---- aggregated ---- */

static json_t *response_kind(const char *group, const char *version, const char *kind)
{
    return json_pack("{s:s, s:s, s:s}", "group", group, "version", version, "kind", kind);
}

static void add_aggregated_resource(json_t *list, const struct resource *resource)
{
    json_t *entry =
        json_pack("{s:s, s:o, s:s, s:s, s:o}", "resource", resource->plural, "responseKind",
                  response_kind(resource->group, resource->version, resource->kind), "scope",
                  resource->namespaced ? "Namespaced" : "Cluster", "singularResource",
                  resource->singular, "verbs", verb_list(resource->verbs));
    add_texts(entry, "shortNames", resource->short_names);
    add_texts(entry, "categories", resource->categories);
    if (resource->subresource_count > 0) {
        json_t *subresources = json_array();
        for (size_t i = 0; i < resource->subresource_count; i++) {
            const struct resource_subresource *sub = &resource->subresources[i];
            json_array_append_new(
                subresources, json_pack("{s:s, s:o, s:o}", "subresource", sub->name, "responseKind",
                                        response_kind(sub->group, sub->version, sub->kind), "verbs",
                                        verb_list(sub->verbs)));
        }
        json_object_set_new(entry, "subresources", subresources);
    }
    json_array_append_new(list, entry);
}

static json_t *aggregated_group(const struct scheme *scheme, const struct scheme_group *group)
{
    json_t *versions = json_array();
    for (size_t i = 0; group->versions[i] != NULL; i++) {
        json_t *resources = json_array();
        each_resource(scheme, group->name, group->versions[i], add_aggregated_resource, resources);
        json_array_append_new(versions, json_pack("{s:s, s:o, s:s}", "version", group->versions[i],
                                                  "resources", resources, "freshness", "Current"));
    }
    json_t *metadata = group->name[0]
                           ? json_pack("{s:s, s:n}", "name", group->name, "creationTimestamp")
                           : json_pack("{s:n}", "creationTimestamp");
    return json_pack("{s:o, s:o}", "metadata", metadata, "versions", versions);
}

static json_t *aggregated(const struct scheme *scheme, bool core, const char *version)
{
    json_t *items = json_array();
    for (size_t i = 0; i < scheme_group_count(scheme); i++) {
        const struct scheme_group *group = scheme_group(scheme, i);
        if ((group->name[0] == '\0') == core) {
            json_array_append_new(items, aggregated_group(scheme, group));
        }
    }
    return json_pack("{s:s, s:o, s:{}, s:o}", "kind", "APIGroupDiscoveryList", "apiVersion",
                     json_sprintf("apidiscovery.k8s.io/%s", version), "metadata", "items", items);
}

/* ---- answers ---- */

static void answer_aggregated(struct request *request, struct response *response, bool core,
                              enum media_discovery form)
{
    bool v2 = form == MEDIA_DISCOVERY_V2;
    cleanup(json_release)
    json_t *document = aggregated(request->scheme, core, v2 ? "v2" : "v2beta1");
    response_set_json(response, request, 200, document);
    response->content_type =
        v2 ? "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
           : "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    unsigned char digest[SHA256_DIGEST_LENGTH];
    char tag[2 * 16 + 3] = "\"";
    SHA256((const unsigned char *)response->bytes.bytes, response->bytes.length, digest);
    for (int i = 0; i < 16; i++) {
        snprintf(tag + 1 + i * 2, 3, "%02X", digest[i]);
    }
    strcat(tag, "\"");
    response_add_header(response, "ETag", tag);
    response_add_header(response, "Vary", "Accept");
    if (strcmp(request->if_none_match, tag) == 0) {
        buffer_reset(&response->bytes);
        response->status = 304;
    }
}

static void answer(struct request *request, struct response *response, json_t *document)
{
    response_set_json(response, request, 200, document);
    response_add_header(response, "Vary", "Accept");
    json_decref(document);
}

static void answer_root(struct request *request, struct response *response)
{
    static const char *const fixed[] = {"/healthz",    "/livez",      "/metrics",
                                        "/openapi/v2", "/openapi/v3", "/openapi/v3/",
                                        "/readyz",     "/version",    NULL};
    json_t *paths = json_array();
    json_array_append_new(paths, json_string("/api"));
    json_array_append_new(paths, json_string("/api/v1"));
    json_array_append_new(paths, json_string("/apis"));
    for (size_t i = 0; i < scheme_group_count(request->scheme); i++) {
        const struct scheme_group *group = scheme_group(request->scheme, i);
        if (group->name[0] == '\0') {
            continue;
        }
        json_array_append_new(paths, json_sprintf("/apis/%s", group->name));
        for (size_t v = 0; group->versions[v] != NULL; v++) {
            json_array_append_new(paths,
                                  json_sprintf("/apis/%s/%s", group->name, group->versions[v]));
        }
    }
    for (size_t i = 0; fixed[i] != NULL; i++) {
        json_array_append_new(paths, json_string(fixed[i]));
    }
    answer(request, response, json_pack("{s:o}", "paths", paths));
}

/* /api and /apis, in the form that was asked for. */
static void answer_list(struct request *request, struct response *response, bool core)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    enum media_discovery form;
    if (!media_negotiate_discovery(request->accept, &form, &request->media.encoding, &error)) {
        response_set_error(response, request, &error);
    } else if (form != MEDIA_DISCOVERY_PLAIN) {
        answer_aggregated(request, response, core, form);
    } else {
        answer(request, response, core ? plain_core() : plain_groups(request->scheme));
    }
}

static bool has_version(const struct scheme_group *group, const char *version)
{
    for (size_t i = 0; group != NULL && group->versions[i] != NULL; i++) {
        if (strcmp(group->versions[i], version) == 0) {
            return true;
        }
    }
    return false;
}

/* /apis/<group> and /apis/<group>/<version>. */
static bool answer_group(struct request *request, struct response *response, const char *rest)
{
    cleanup(free_char)
    char *name = duplicate(rest);
    char *version = strchr(name, '/');
    if (version != NULL) {
        *version++ = '\0';
    }
    const struct scheme_group *group = scheme_group_find(request->scheme, name);
    if (group == NULL || name[0] == '\0') {
        return false;
    }
    if (version == NULL || version[0] == '\0') {
        answer(request, response, plain_group(group, true));
        return true;
    }
    if (!has_version(group, version)) {
        return false;
    }
    answer(request, response, plain_resources(request->scheme, name, version));
    return true;
}

bool discovery_serve(struct request *request, struct response *response)
{
    const char *path = request->path;
    if (strcmp(path, "/") == 0) {
        answer_root(request, response);
    } else if (strcmp(path, "/api") == 0 || strcmp(path, "/api/") == 0) {
        answer_list(request, response, true);
    } else if (strcmp(path, "/apis") == 0 || strcmp(path, "/apis/") == 0) {
        answer_list(request, response, false);
    } else if (strcmp(path, "/api/v1") == 0 || strcmp(path, "/api/v1/") == 0) {
        answer(request, response, plain_resources(request->scheme, "", "v1"));
    } else if (strncmp(path, "/apis/", 6) == 0) {
        return answer_group(request, response, path + 6);
    } else {
        return false;
    }
    return true;
}

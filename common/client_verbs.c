// SPDX-License-Identifier: Apache-2.0
/* Paths and the verbs of the API, on top of client_call(). */
#include <ctype.h>
#include <string.h>

#include "common/alloc.h"
#include "common/client.h"
#include "common/json.h"

const char client_json_patch[] = "application/json-patch+json";
const char client_merge_patch[] = "application/merge-patch+json";
const char client_strategic_merge_patch[] = "application/strategic-merge-patch+json";

/* Names may hold what a URL may not: "system:node" is fine as it stands, "a b" and "a%b" are not.
 */
static void add_segment(struct buffer *path, const char *segment)
{
    buffer_add_char(path, '/');
    for (const char *at = segment; *at != '\0'; at++) {
        if (isalnum((unsigned char)*at) || strchr("-._~:@$&+=,;!'()*", *at) != NULL) {
            buffer_add_char(path, *at);
        } else {
            buffer_addf(path, "%%%02X", (unsigned char)*at);
        }
    }
}

char *client_path(const struct api_resource *resource, const char *namespace, const char *name,
                  const char *subresource)
{
    cleanup(buffer_free)
    struct buffer path = BUFFER_INIT;
    buffer_addf(&path, "%s/%s", strchr(resource->group_version, '/') != NULL ? "/apis" : "/api",
                resource->group_version);
    if (namespace != NULL && *namespace != '\0') {
        buffer_add_literal(&path, "/namespaces");
        add_segment(&path, namespace);
    }
    add_segment(&path, resource->plural);
    if (name != NULL && *name != '\0') {
        add_segment(&path, name);
    }
    if (subresource != NULL && *subresource != '\0') {
        buffer_addf(&path, "/%s", subresource);
    }
    return buffer_steal(&path);
}

static void add_value(struct buffer *path, const char *value)
{
    for (const char *at = value; *at != '\0'; at++) {
        if (isalnum((unsigned char)*at) || strchr("-._~", *at) != NULL) {
            buffer_add_char(path, *at);
        } else {
            buffer_addf(path, "%%%02X", (unsigned char)*at);
        }
    }
}

char *client_path_with(char *path, const char *const *parameters)
{
    cleanup(buffer_free)
    struct buffer whole = BUFFER_INIT;
    char separator = '?';
    buffer_add_text(&whole, path);
    free(path);
    for (; parameters[0] != NULL; parameters += 2) {
        if (parameters[1][0] != '\0') {
            buffer_addf(&whole, "%c%s=", separator, parameters[0]);
            add_value(&whole, parameters[1]);
            separator = '&';
        }
    }
    return buffer_steal(&whole);
}

static struct client_request request_with(const char *method, char *path, const json_t *body)
{
    struct client_request request = {.method = method, .path = path};
    if (body != NULL) {
        json_encode(body, &request.body);
    }
    return request;
}

struct client_request client_create_request(const struct api_resource *resource,
                                            const char *namespace, const json_t *object)
{
    return request_with("POST", client_path(resource, namespace, NULL, NULL), object);
}

struct client_request client_update_request(const struct api_resource *resource,
                                            const char *subresource, const json_t *object)
{
    const json_t *metadata = json_object_get(object, "metadata");
    return request_with("PUT",
                        client_path(resource, json_get_string(metadata, "namespace"),
                                    json_get_string(metadata, "name"), subresource),
                        object);
}

struct client_request client_patch_request(const struct api_resource *resource,
                                           const char *namespace, const char *name,
                                           const char *subresource, const char *patch_type,
                                           const json_t *patch)
{
    struct client_request request =
        request_with("PATCH", client_path(resource, namespace, name, subresource), patch);
    request.content_type = patch_type;
    return request;
}

json_t *client_delete_options(const char *uid, const char *propagation_policy)
{
    json_t *options = json_pack("{s:s, s:s}", "kind", "DeleteOptions", "apiVersion", "v1");
    if (uid != NULL) {
        json_object_set_new(options, "preconditions", json_pack("{s:s}", "uid", uid));
    }
    if (propagation_policy != NULL) {
        json_object_set_new(options, "propagationPolicy", json_string(propagation_policy));
    }
    return options;
}

struct client_request client_delete_request(const struct api_resource *resource,
                                            const char *namespace, const char *name,
                                            const char *uid)
{
    cleanup(json_release)
    json_t *options = client_delete_options(uid, NULL);
    return request_with("DELETE", client_path(resource, namespace, name, NULL), options);
}

json_t *client_get(struct client *client, const struct api_resource *resource,
                   const char *namespace, const char *name, struct error *error)
{
    return client_call(
        client, request_with("GET", client_path(resource, namespace, name, NULL), NULL), error);
}

json_t *client_create(struct client *client, const struct api_resource *resource,
                      const char *namespace, const json_t *object, struct error *error)
{
    return client_call(client, client_create_request(resource, namespace, object), error);
}

json_t *client_update(struct client *client, const struct api_resource *resource,
                      const char *subresource, const json_t *object, struct error *error)
{
    return client_call(client, client_update_request(resource, subresource, object), error);
}

json_t *client_patch(struct client *client, const struct api_resource *resource,
                     const char *namespace, const char *name, const char *subresource,
                     const char *patch_type, const json_t *patch, struct error *error)
{
    return client_call(
        client, client_patch_request(resource, namespace, name, subresource, patch_type, patch),
        error);
}

bool client_delete(struct client *client, const struct api_resource *resource,
                   const char *namespace, const char *name, const json_t *options,
                   struct error *error)
{
    cleanup(json_release)
    json_t *answer = client_call(
        client, request_with("DELETE", client_path(resource, namespace, name, NULL), options),
        error);
    return answer != NULL;
}

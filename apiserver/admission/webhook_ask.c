// SPDX-License-Identifier: Apache-2.0
/* How a webhook is found and asked, and what is expected of its answer. */
#include <string.h>

#include "apiserver/admission/webhook.h"
#include "apiserver/auth/fetch.h"
#include "apiserver/registry/registry.h"
#include "common/alloc.h"
#include "common/json.h"

/* ---- where a service is ---- */

static json_t *find(struct registry *registry, const char *plural, const char *namespace,
                    const char *name)
{
    cleanup(object_release)
    struct object *object =
        registry_get(registry, registry_resource(registry, "", plural), namespace, name);
    return object != NULL ? object_tree(object) : NULL;
}

static const json_t *find_port(const json_t *service, json_int_t number)
{
    const json_t *ports = json_path(service, "spec", "ports");
    for (size_t i = 0; i < json_array_size(ports); i++) {
        if (json_get_int(json_array_get(ports, i), "port", 0) == number) {
            return json_array_get(ports, i);
        }
    }
    return NULL;
}

static char *address_of(const char *host, json_int_t port)
{
    return format(strchr(host, ':') ? "https://[%s]:%d" : "https://%s:%d", host, (int)port);
}

/* A ready endpoint with the service's port; NULL: none. */
static char *find_endpoint(const json_t *endpoints, const json_t *port)
{
    const json_t *subsets = json_object_get(endpoints, "subsets");
    const char *wanted = json_get_string(port, "name");
    for (size_t i = 0; i < json_array_size(subsets); i++) {
        const json_t *subset = json_array_get(subsets, i);
        const json_t *ports = json_object_get(subset, "ports");
        const char *ip =
            json_get_string(json_array_get(json_object_get(subset, "addresses"), 0), "ip");
        for (size_t j = 0; ip != NULL && j < json_array_size(ports); j++) {
            const json_t *candidate = json_array_get(ports, j);
            const char *name = json_get_string(candidate, "name");
            if (strcmp(name ? name : "", wanted ? wanted : "") == 0) {
                return address_of(ip, json_get_int(candidate, "port", 0));
            }
        }
    }
    return NULL;
}

/* "https://10.0.0.7:8443": straight to an endpoint, as nothing on this machine need forward the
 * service's own address, which is tried when no endpoint is known. */
static char *find_service(struct registry *registry, const char *namespace, const char *name,
                          json_int_t number, struct error *error)
{
    cleanup(json_release)
    json_t *service = find(registry, "services", namespace, name);
    if (service == NULL) {
        error_set(error, 503, "ServiceUnavailable", "service \"%s\" not found", name);
        return NULL;
    }
    const char *type = json_path_string(service, "spec", "type");
    const char *external = json_path_string(service, "spec", "externalName");
    if (type != NULL && strcmp(type, "ExternalName") == 0 && external != NULL) {
        return address_of(external, number);
    }
    const json_t *port = find_port(service, number);
    if (port == NULL) {
        error_unavailable(error, "no service port %d found for service \"%s\"", (int)number, name);
        return NULL;
    }
    cleanup(json_release)
    json_t *endpoints = find(registry, "endpoints", namespace, name);
    char *endpoint = find_endpoint(endpoints, port);
    const char *ip = json_path_string(service, "spec", "clusterIP");
    if (endpoint == NULL && (ip == NULL || strcmp(ip, "None") == 0 || ip[0] == '\0')) {
        error_unavailable(error, "no endpoints available for service \"%s\"", name);
        return NULL;
    }
    return endpoint != NULL ? endpoint : address_of(ip, number);
}

static json_t *ask_service(const struct webhook *webhook, struct registry *registry,
                           const json_t *service, const json_t *review, struct error *error)
{
    const char *namespace = json_get_string(service, "namespace");
    const char *name = json_get_string(service, "name");
    const char *path = json_get_string(service, "path");
    if (namespace == NULL || name == NULL) {
        error_internal(error, "the webhook has neither an URL nor a service");
        return NULL;
    }
    cleanup(free_char)
    char *address =
        find_service(registry, namespace, name, json_get_int(service, "port", 443), error);
    cleanup(free_char)
    char *server_name = format("%s.%s.svc", name, namespace);
    struct fetcher *fetcher =
        address != NULL ? webhook_dial(webhook, address, server_name, error) : NULL;
    if (fetcher == NULL) {
        return NULL;
    }
    path = path != NULL ? path : "";
    cleanup(free_char)
    char *query =
        format("%s%s?timeout=%ds", path[0] == '/' ? "" : "/", path, webhook->timeout_seconds);
    json_t *answer = fetch_json(fetcher, query, review, error);
    webhook_hang_up(webhook, fetcher);
    return answer;
}

static json_t *ask(const struct webhook *webhook, struct registry *registry, const json_t *review,
                   struct error *error)
{
    cleanup(free_char)
    char *query = format("?timeout=%ds", webhook->timeout_seconds);
    return webhook->fetcher != NULL
               ? fetch_json(webhook->fetcher, query, review, error)
               : ask_service(webhook, registry, json_path(webhook->json, "clientConfig", "service"),
                             review, error);
}

/* ---- the answer ---- */

static bool check_kind(const json_t *answer, struct error *error)
{
    const char *version = json_get_string(answer, "apiVersion");
    const char *kind = json_get_string(answer, "kind");
    bool is_expected = version != NULL && kind != NULL &&
                       strcmp(version, "admission.k8s.io/v1") == 0 &&
                       strcmp(kind, "AdmissionReview") == 0;
    return is_expected ||
           error_internal(error,
                          "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, "
                          "got %s, Kind=%s",
                          version ? version : "", kind ? kind : "");
}

static bool check_patch(const json_t *response, bool is_mutating, struct error *error)
{
    const json_t *patch = json_object_get(response, "patch");
    const json_t *type = json_object_get(response, "patchType");
    bool has_patch = json_string_length(patch) > 0;
    bool has_type = type != NULL && !json_is_null(type);
    if (!is_mutating) {
        return has_patch ? error_internal(error, "validating webhook may not return response.patch")
               : has_type
                   ? error_internal(error, "validating webhook may not return response.patchType")
                   : true;
    }
    if (has_patch && !has_type) {
        return error_internal(error, "webhook returned response.patch but not response.patchType");
    }
    if (!has_patch && has_type) {
        return error_internal(error, "webhook returned response.patchType but not response.patch");
    }
    const char *name = json_string_value(type);
    return !has_type || (name != NULL && strcmp(name, "JSONPatch") == 0) ||
           error_internal(error, "webhook returned invalid response.patchType of \"%s\"",
                          name ? name : "");
}

static bool is_typed(const json_t *response, struct error *error)
{
    static const struct {
        const char *member;
        json_type type;
    } members[] = {{"patch", JSON_STRING},
                   {"status", JSON_OBJECT},
                   {"warnings", JSON_ARRAY},
                   {"auditAnnotations", JSON_OBJECT}};
    for (size_t i = 0; i < array_length(members); i++) {
        const json_t *value = json_object_get(response, members[i].member);
        if (value != NULL && !json_is_null(value) && json_typeof(value) != members[i].type) {
            return error_internal(error, "response.%s is of another type", members[i].member);
        }
    }
    const json_t *allowed = json_object_get(response, "allowed");
    return allowed == NULL || json_is_boolean(allowed) ||
           error_internal(error, "response.allowed is of another type");
}

static bool check_answer(const json_t *answer, const json_t *review, bool is_mutating,
                         struct error *error)
{
    const json_t *response = json_object_get(answer, "response");
    if (!json_is_object(response)) {
        return error_internal(error, "webhook response was absent");
    }
    const char *wanted = json_path_string(review, "request", "uid");
    const char *uid = json_get_string(response, "uid");
    if (uid == NULL || strcmp(uid, wanted) != 0) {
        return error_internal(error, "expected response.uid=\"%s\", got \"%s\"", wanted,
                              uid ? uid : "");
    }
    return check_kind(answer, error) && is_typed(response, error) &&
           check_patch(response, is_mutating, error);
}

json_t *webhook_ask(const struct webhook *webhook, struct registry *registry, const json_t *review,
                    bool is_mutating, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (webhook->problem != NULL) {
        error_internal(error, "%s", webhook->problem);
        return NULL;
    }
    cleanup(json_release)
    json_t *answer = ask(webhook, registry, review, &why);
    if (answer == NULL) {
        error_wrap(error, &why, "failed to call webhook");
        return NULL;
    }
    if (!check_answer(answer, review, is_mutating, &why)) {
        error_wrap(error, &why, "received invalid webhook response");
        return NULL;
    }
    return json_incref(json_object_get(answer, "response"));
}

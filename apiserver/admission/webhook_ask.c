// SPDX-License-Identifier: Apache-2.0
/* How a webhook is found and asked, and what is expected of its answer. */
#include <string.h>

#include "apiserver/admission/webhook.h"
#include "apiserver/auth/fetch.h"
#include "apiserver/registry/service_address.h"
#include "common/alloc.h"
#include "common/json.h"

static json_t *ask_service(const struct webhook *webhook, struct registry *registry,
                           const json_t *service, const json_t *review, struct error *error)
{
    const char *namespace = json_get_string(service, "namespace");
    const char *name = json_get_string(service, "name");
    const char *path = json_get_string(service, "path");
    int port = (int)json_get_int(service, "port", 443);
    if (namespace == NULL || name == NULL) {
        error_internal(error, "the webhook has neither an URL nor a service");
        return NULL;
    }
    cleanup(free_char)
    char *address =
        service_address_find(registry, namespace, name, port, webhook_turn(webhook), error);
    cleanup(free_char)
    char *server_name = format("%s.%s.svc", name, namespace);
    struct fetcher *fetcher =
        address != NULL ? webhook_dial(webhook, address, server_name, port, error) : NULL;
    if (fetcher == NULL) {
        return NULL;
    }
    path = path != NULL ? path : "";
    cleanup(free_char)
    char *query =
        format("%s%s?timeout=%ds", path[0] == '/' ? "" : "/", path, webhook->timeout_seconds);
    json_t *answer = fetch_json(fetcher, query, review, error);
    webhook_hang_up(webhook, fetcher, answer != NULL);
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

// SPDX-License-Identifier: Apache-2.0
/* Kinds that are asked, not stored: whom a token belongs to, and who am I. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/auth/authn.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/serve.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

/* As admission leaves it; the check comes before those who may only refuse. NULL: none. */
static json_t *decode(struct registry *registry, struct request *request, struct response *response,
                      bool (*check)(const json_t *review, struct error *error), struct error *error)
{
    const struct resource *resource = request->resource;
    cleanup(json_release)
    json_t *body = decode_body(request, response, resource->schema, resource->group,
                               resource->version, resource->kind, error);
    cleanup(write_clear)
    struct write shown = {0};
    if (body == NULL || !serve_check_options(request, error)) {
        return NULL;
    }
    write_begin_body(&shown, registry, request, response, body, NULL);
    return admission_admit_body(&shown, error) && (check == NULL || check(shown.object, error)) &&
                   admission_validate_body(&shown, error)
               ? json_incref(shown.object)
               : NULL;
}

/* ---- token reviews ---- */

static bool has_token(const json_t *review, struct error *error)
{
    return json_string_length(json_path(review, "spec", "token")) > 0 ||
           error_bad_request(error, "token is required for TokenReview in authentication");
}

static json_t *review_token(struct registry *registry, const json_t *review, struct error *error)
{
    const json_t *token = json_path(review, "spec", "token");
    const json_t *audiences = json_path(review, "spec", "audiences");
    cleanup(free_char)
    char *whole = json_without_nul(token);
    return authn_review(registry->authn, whole ? whole : json_string_value(token),
                        json_array_size(audiences) > 0 ? audiences : NULL, error);
}

static void serve_token_review(struct registry *registry, struct request *request,
                               struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(json_release)
    json_t *review = decode(registry, request, response, has_token, &error);
    json_t *status = review ? review_token(registry, review, &error) : NULL;
    if (status == NULL) {
        response_set_error(response, request, &error);
        return;
    }
    json_object_set_new(review, "status", status);
    if (json_object_get(review, "metadata") == NULL) {
        json_object_set_new(review, "metadata", json_pack("{s:n}", "creationTimestamp"));
    }
    response_set_json(response, request, 201, review);
}

/* ---- who am I ---- */

static void serve_self(struct registry *registry, struct request *request,
                       struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(json_release)
    json_t *review = decode(registry, request, response, NULL, &error);
    if (review == NULL) {
        response_set_error(response, request, &error);
        return;
    }
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    json_object_set_new(review, "metadata", json_pack("{s:s}", "creationTimestamp", now));
    json_object_set_new(review, "status",
                        json_pack("{s:o}", "userInfo", authn_user_info(&request->user)));
    response_set_json(response, request, 201, review);
}

const struct kind kind_token_review = {
    .group = "authentication.k8s.io",
    .plural = "tokenreviews",
    .serve_virtual = serve_token_review,
};
const struct kind kind_self_subject_review = {
    .group = "authentication.k8s.io",
    .plural = "selfsubjectreviews",
    .serve_virtual = serve_self,
};

// SPDX-License-Identifier: Apache-2.0
/* Kinds that are asked who somebody is, and never stored. */
#include <string.h>

#include "apiserver/registry/decode.h"
#include "apiserver/registry/kinds/all.h"
#include "common/alloc.h"
#include "common/json.h"

static json_t *user_info(const struct user *user)
{
    json_t *info = json_pack("{s:s}", "username", user->name);
    json_t *groups = json_array();
    for (size_t i = 0; i < user->group_count; i++) {
        json_array_append_new(groups, json_string(user->groups[i]));
    }
    json_object_set_new(info, "groups", groups);
    if (user->uid != NULL && user->uid[0] != '\0') {
        json_object_set_new(info, "uid", json_string(user->uid));
    }
    if (user->extra != NULL) {
        json_object_set(info, "extra", user->extra);
    }
    return info;
}

static json_t *decode(struct registry *registry, struct request *request, struct response *response,
                      struct error *error)
{
    (void)registry;
    const struct resource *resource = request->resource;
    json_t *body = decode_body(request, response, resource->schema, resource->group,
                               resource->version, resource->kind, error);
    if (body != NULL) {
        json_object_del(body, "status");
        json_object_set_new(body, "metadata", json_pack("{s:n}", "creationTimestamp"));
    }
    return body;
}

/* Answers with the review and this status (consumed). */
static void answer(struct request *request, struct response *response, json_t *review,
                   json_t *status)
{
    json_object_set_new(review, "status", status);
    response_set_json(response, request, 201, review);
}

static void serve_self(struct registry *registry, struct request *request,
                       struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(json_release)
    json_t *review = decode(registry, request, response, &error);
    if (review == NULL) {
        response_set_error(response, request, &error);
        return;
    }
    answer(request, response, review, json_pack("{s:o}", "userInfo", user_info(&request->user)));
}

const struct kind kind_self_subject_review = {
    .group = "authentication.k8s.io",
    .plural = "selfsubjectreviews",
    .serve_virtual = serve_self,
};

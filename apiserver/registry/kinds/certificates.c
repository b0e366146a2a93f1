// SPDX-License-Identifier: Apache-2.0
/* Requests for certificates: who asks, decisions on them, and what the signer gives. */
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/validation/access.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

/* Who asks is taken from the request, whatever the body says. */
static bool prepare_create(struct write *write, struct error *error)
{
    (void)error;
    if (write->request == NULL) {
        return true;
    }
    const struct user *user = &write->request->user;
    json_t *spec = json_get_or_add_object(write->object, "spec");
    json_t *groups = json_array();
    for (size_t i = 0; i < user->group_count; i++) {
        json_array_append_new(groups, json_string(user->groups[i]));
    }
    json_object_set_new(spec, "username", json_string(user->name));
    json_object_set_new(spec, "groups", groups);
    json_object_del(spec, "uid");
    json_object_del(spec, "extra");
    if (user->uid != NULL && user->uid[0] != '\0') {
        json_object_set_new(spec, "uid", json_string(user->uid));
    }
    if (user->extra != NULL) {
        json_object_set_new(spec, "extra", json_deep_copy(user->extra));
    }
    return true;
}

/* When the condition of this type came to have this status: NULL when it has not had it. */
static json_t *since(const json_t *conditions, const json_t *condition)
{
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        const json_t *old = json_array_get(conditions, i);
        if (json_equal(json_object_get(old, "type"), json_object_get(condition, "type")) &&
            json_equal(json_object_get(old, "status"), json_object_get(condition, "status"))) {
            return json_object_get(old, "lastTransitionTime");
        }
    }
    return NULL;
}

static bool is_set(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return value != NULL && !json_is_null(value);
}

/* Times that whoever decides need not tell. */
static void fill_times(json_t *conditions, const json_t *before)
{
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        json_t *condition = json_array_get(conditions, i);
        json_t *then = since(before, condition);
        if (!is_set(condition, "lastUpdateTime")) {
            json_object_set_new(condition, "lastUpdateTime", json_string(now));
        }
        if (is_set(condition, "lastTransitionTime")) {
            continue;
        }
        if (then != NULL && !json_is_null(then)) {
            json_object_set(condition, "lastTransitionTime", then);
        } else {
            json_object_set_new(condition, "lastTransitionTime", json_string(now));
        }
    }
}

static bool prepare_update(struct write *write, struct error *error)
{
    (void)error;
    json_t *spec = json_object_get(write->live, "spec");
    if (spec != NULL) {
        json_object_set(write->object, "spec", spec);
    }
    if (write->subresource[0] != '\0') {
        fill_times(json_path(write->object, "status", "conditions"),
                   json_path(write->live, "status", "conditions"));
    }
    return true;
}

const struct kind kind_certificate_request = {
    .group = "certificates.k8s.io",
    .plural = "certificatesigningrequests",
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .validate = validate_certificate_request,
};

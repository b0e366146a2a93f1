// SPDX-License-Identifier: Apache-2.0
#include "apiserver/patch/patch.h"

static json_t *merge(json_t *target, const json_t *patch);

/* A copy of a patch's value as it would merge into nothing: without nulls. */
static json_t *fresh(const json_t *patch)
{
    return json_is_object(patch) ? merge(json_object(), patch) : json_incref((json_t *)patch);
}

/* Consumes 'target' and returns the merged value. */
static json_t *merge(json_t *target, const json_t *patch)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)patch, key, value) {
        json_t *member = json_object_get(target, key);
        if (json_is_null(value)) {
            json_object_del(target, key);
        } else if (json_is_object(value) && json_is_object(member)) {
            merge(member, value);
        } else {
            json_object_set_new(target, key, fresh(value));
        }
    }
    return target;
}

bool patch_merge(const json_t *patch, json_t **object, struct error *error)
{
    if (!json_is_object(patch)) {
        return error_bad_request(error, "error decoding patch: a merge patch must be an object");
    }
    merge(*object, patch);
    return true;
}

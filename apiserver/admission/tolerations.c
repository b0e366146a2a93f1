// SPDX-License-Identifier: Apache-2.0
#include "apiserver/admission/tolerations.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

static const char *text_of(const json_t *toleration, const char *field)
{
    const char *text = json_get_string(toleration, field);
    return text != NULL ? text : "";
}

static bool is(const json_t *toleration, const char *field, const char *text)
{
    return strcmp(text_of(toleration, field), text) == 0;
}

static bool covers_key(const json_t *wider, const json_t *toleration)
{
    return is(wider, "key", text_of(toleration, "key")) ||
           (is(wider, "key", "") && is(wider, "operator", "Exists"));
}

static bool covers_effect(const json_t *wider, const json_t *toleration)
{
    return is(wider, "effect", "") || is(wider, "effect", text_of(toleration, "effect"));
}

/* No seconds are forever. */
static bool covers_time(const json_t *wider, const json_t *toleration)
{
    const json_t *most = json_object_get(wider, "tolerationSeconds");
    const json_t *seconds = json_object_get(toleration, "tolerationSeconds");
    return !is(wider, "effect", "NoExecute") || !json_is_integer(most) ||
           (json_is_integer(seconds) && json_integer_value(seconds) <= json_integer_value(most));
}

bool toleration_covers(const json_t *wider, const json_t *toleration)
{
    if (json_equal(wider, toleration)) {
        return true;
    }
    if (!covers_key(wider, toleration) || !covers_effect(wider, toleration) ||
        !covers_time(wider, toleration)) {
        return false;
    }
    if (is(wider, "operator", "") || is(wider, "operator", "Equal")) {
        return is(toleration, "operator", "Equal") &&
               is(wider, "value", text_of(toleration, "value"));
    }
    return is(wider, "operator", "Exists");
}

/* Another one covers the one at this place; of equal ones the first stays. */
static bool is_covered(const json_t *all, size_t at, const json_t *kept)
{
    const json_t *one = json_array_get(all, at);
    for (size_t i = 0; i < json_array_size(kept); i++) {
        if (toleration_covers(json_array_get(kept, i), one)) {
            return true;
        }
    }
    for (size_t i = at + 1; i < json_array_size(all); i++) {
        const json_t *other = json_array_get(all, i);
        if (!json_equal(other, one) && toleration_covers(other, one)) {
            return true;
        }
    }
    return false;
}

json_t *tolerations_merge(const json_t *first, const json_t *second)
{
    cleanup(json_release)
    json_t *all = json_array();
    json_t *kept = json_array();
    json_array_extend(all, (json_t *)first);
    json_array_extend(all, (json_t *)second);
    for (size_t i = 0; i < json_array_size(all); i++) {
        if (!is_covered(all, i, kept)) {
            json_array_append(kept, json_array_get(all, i));
        }
    }
    return kept;
}

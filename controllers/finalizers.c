// SPDX-License-Identifier: Apache-2.0
#include "controllers/finalizers.h"

#include <string.h>

#include "common/json.h"

bool finalizer_is_held(const json_t *object, const char *finalizer)
{
    return json_array_has_string(json_path((json_t *)object, "metadata", "finalizers"), finalizer);
}

bool finalizer_set(json_t *object, const char *finalizer, bool wanted)
{
    json_t *metadata = json_get_or_add_object(object, "metadata");
    json_t *list = json_object_get(metadata, "finalizers");
    if (finalizer_is_held(object, finalizer) == wanted) {
        return false;
    }
    if (!json_is_array(list)) {
        list = json_array();
        json_object_set_new(metadata, "finalizers", list);
    }
    if (wanted) {
        json_array_append_new(list, json_string(finalizer));
    }
    for (size_t i = json_array_size(list); !wanted && i > 0; i--) {
        if (strcmp(json_string_value(json_array_get(list, i - 1)), finalizer) == 0) {
            json_array_remove(list, i - 1);
        }
    }
    return true;
}

// SPDX-License-Identifier: Apache-2.0
/* DefaultTolerationSeconds: pods tolerate that their node is not ready or can't be reached, for
 * five minutes unless they say otherwise. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "common/json.h"

static bool is_or_empty(const char *text, const char *wanted)
{
    return text == NULL || *text == '\0' || strcmp(text, wanted) == 0;
}

static bool is_tolerated(const json_t *tolerations, const char *key)
{
    size_t i;
    const json_t *toleration;
    json_array_foreach (tolerations, i, toleration) {
        if (is_or_empty(json_get_string(toleration, "key"), key) &&
            is_or_empty(json_get_string(toleration, "effect"), "NoExecute")) {
            return true;
        }
    }
    return false;
}

static void tolerate(json_t *spec, const char *key, int64_t seconds)
{
    json_t *tolerations = json_object_get(spec, "tolerations");
    if (is_tolerated(tolerations, key)) {
        return;
    }
    if (!json_is_array(tolerations)) {
        tolerations = json_array();
        json_object_set_new_nocheck(spec, "tolerations", tolerations);
    }
    json_t *toleration = json_object(); /* json_pack() takes twice the time, for every pod. */
    json_object_set_new_nocheck(toleration, "key", json_string_nocheck(key));
    json_object_set_new_nocheck(toleration, "operator", json_string_nocheck("Exists"));
    json_object_set_new_nocheck(toleration, "effect", json_string_nocheck("NoExecute"));
    json_object_set_new_nocheck(toleration, "tolerationSeconds", json_integer(seconds));
    json_array_append_new(tolerations, toleration);
}

static bool admit(struct write *write, struct error *error)
{
    const struct admission_options *options = &write->registry->admission;
    json_t *spec = json_object_get(write->object, "spec");
    (void)error;
    if (admission_is_about(write, "", "pods") && json_is_object(spec)) {
        tolerate(spec, "node.kubernetes.io/not-ready", options->not_ready_toleration_seconds);
        tolerate(spec, "node.kubernetes.io/unreachable", options->unreachable_toleration_seconds);
    }
    return true;
}

const struct admission_plugin admission_default_toleration_seconds = {
    .name = "DefaultTolerationSeconds",
    .is_on_by_default = true,
    .admit = admit,
};

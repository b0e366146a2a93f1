// SPDX-License-Identifier: Apache-2.0
/* LimitPodHardAntiAffinityTopology: pods may insist on nodes of their own, but not on zones. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "common/json.h"

static bool validate(const struct write *write, struct error *error)
{
    if (write->object == NULL || !admission_is_about(write, "", "pods")) {
        return true;
    }
    size_t i;
    const json_t *term;
    json_array_foreach (json_path(write->object, "spec", "affinity", "podAntiAffinity",
                                  "requiredDuringSchedulingIgnoredDuringExecution"),
                        i, term) {
        const char *key = json_get_string(term, "topologyKey");
        if (key == NULL || strcmp(key, "kubernetes.io/hostname") != 0) {
            return error_forbidden(error, "", "pods", write->name,
                                   "affinity.PodAntiAffinity.RequiredDuringScheduling has "
                                   "TopologyKey %s but only key kubernetes.io/hostname is allowed",
                                   key != NULL ? key : "");
        }
    }
    return true;
}

const struct admission_plugin admission_limit_anti_affinity = {
    .name = "LimitPodHardAntiAffinityTopology",
    .validate = validate,
};

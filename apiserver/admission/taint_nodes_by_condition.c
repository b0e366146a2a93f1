// SPDX-License-Identifier: Apache-2.0
/* TaintNodesByCondition: a new node takes no pods until it has been seen ready. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "common/json.h"

static const char not_ready[] = "node.kubernetes.io/not-ready";

static bool is_tainted(const json_t *taints)
{
    size_t i;
    const json_t *taint;
    json_array_foreach (taints, i, taint) {
        const char *key = json_get_string(taint, "key");
        const char *effect = json_get_string(taint, "effect");
        if (key != NULL && effect != NULL && strcmp(key, not_ready) == 0 &&
            strcmp(effect, "NoSchedule") == 0) {
            return true;
        }
    }
    return false;
}

static bool admit(struct write *write, struct error *error)
{
    (void)error;
    if (write->operation != WRITE_CREATE || !admission_is_about(write, "", "nodes")) {
        return true;
    }
    json_t *spec = json_get_or_add_object(write->object, "spec");
    json_t *taints = json_object_get(spec, "taints");
    if (!json_is_array(taints)) {
        taints = json_array();
        json_object_set_new(spec, "taints", taints);
    }
    if (!is_tainted(taints)) {
        json_array_append_new(taints,
                              json_pack("{s:s, s:s}", "key", not_ready, "effect", "NoSchedule"));
    }
    return true;
}

const struct admission_plugin admission_taint_nodes_by_condition = {
    .name = "TaintNodesByCondition",
    .is_on_by_default = true,
    .admit = admit,
};

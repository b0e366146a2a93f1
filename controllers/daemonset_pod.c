// SPDX-License-Identifier: Apache-2.0
#include "controllers/daemonset_pod.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/node_match.h"
#include "controllers/history.h"
#include "controllers/pod_control.h"

static const char generation_annotation[] = "deprecated.daemonset.template.generation";
static const char generation_label[] = "pod-template-generation";

/* ---- what a pod is made of ---- */

static bool has(const json_t *object, const char *name, const char *text)
{
    const char *present = json_get_string(object, name);
    return strcmp(present != NULL ? present : "", text) == 0;
}

/* Takes the place of a toleration that says the same, perhaps for a time only. */
static void tolerate(json_t *tolerations, const char *key, const char *effect)
{
    json_t *added =
        json_pack("{s:s, s:s, s:s}", "key", key, "operator", "Exists", "effect", effect);
    size_t i;
    json_t *present;
    json_array_foreach (tolerations, i, present) {
        if (has(present, "key", key) && has(present, "effect", effect) &&
            has(present, "operator", "Exists") && has(present, "value", "")) {
            json_array_set_new(tolerations, i, added);
            return;
        }
    }
    json_array_append_new(tolerations, added);
}

static void add_tolerations(json_t *spec)
{
    static const struct {
        const char *key, *effect;
        bool host_network_only;
    } all[] = {
        {"node.kubernetes.io/not-ready", "NoExecute", false},
        {"node.kubernetes.io/unreachable", "NoExecute", false},
        {"node.kubernetes.io/disk-pressure", "NoSchedule", false},
        {"node.kubernetes.io/memory-pressure", "NoSchedule", false},
        {"node.kubernetes.io/pid-pressure", "NoSchedule", false},
        {"node.kubernetes.io/unschedulable", "NoSchedule", false},
        {"node.kubernetes.io/network-unavailable", "NoSchedule", true},
    };
    json_t *tolerations = json_object_get(spec, "tolerations");
    if (!json_is_array(tolerations)) {
        tolerations = json_array();
        json_object_set_new(spec, "tolerations", tolerations);
    }
    for (size_t i = 0; i < array_length(all); i++) {
        if (!all[i].host_network_only || json_get_bool(spec, "hostNetwork", false)) {
            tolerate(tolerations, all[i].key, all[i].effect);
        }
    }
}

json_t *daemonset_template(const json_t *set, const char *hash)
{
    const char *generation =
        json_path_string(set, "metadata", "annotations", generation_annotation);
    json_t *pod_template = json_deep_copy(json_path(set, "spec", "template"));
    if (pod_template == NULL) {
        pod_template = json_object();
    }
    json_t *labels =
        json_get_or_add_object(json_get_or_add_object(pod_template, "metadata"), "labels");
    add_tolerations(json_get_or_add_object(pod_template, "spec"));
    json_object_set_new(labels, history_hash_label, json_string(hash));
    if (generation != NULL) {
        json_object_set_new(labels, generation_label, json_string(generation));
    }
    return pod_template;
}

/* Whatever nodes the template requires: this one was chosen by that already. */
static void require_node(json_t *spec, const char *node)
{
    json_t *affinity =
        json_get_or_add_object(json_get_or_add_object(spec, "affinity"), "nodeAffinity");
    json_object_set_new(affinity, "requiredDuringSchedulingIgnoredDuringExecution",
                        json_pack("{s:[{s:[{s:s, s:s, s:[s]}]}]}", "nodeSelectorTerms",
                                  "matchFields", "key", "metadata.name", "operator", "In", "values",
                                  node));
}

json_t *daemonset_make_pod(const json_t *set, const json_t *pod_template, const char *node)
{
    json_t *pod = pod_control_make(set, pod_template);
    json_t *spec = json_deep_copy(json_object_get(pod, "spec"));
    require_node(spec, node);
    json_object_set_new(pod, "spec", spec);
    return pod;
}

/* ---- where it belongs ---- */

struct daemonset_fit daemonset_fit(const json_t *pod_template, const char *node,
                                   const json_t *labels, const json_t *taints)
{
    const json_t *spec = json_object_get(pod_template, "spec");
    const json_t *tolerations = json_object_get(spec, "tolerations");
    const char *only_node = json_get_string(spec, "nodeName");
    if ((only_node != NULL && *only_node != '\0' && strcmp(only_node, node) != 0) ||
        !node_match_required(json_object_get(spec, "nodeSelector"),
                             json_path(spec, "affinity", "nodeAffinity"), node, labels)) {
        return (struct daemonset_fit){false, false};
    }
    return (struct daemonset_fit){
        .should_run =
            node_match_untolerated(tolerations, taints, "NoSchedule", "NoExecute") == NULL,
        .may_stay = node_match_untolerated(tolerations, taints, "NoExecute", NULL) == NULL,
    };
}

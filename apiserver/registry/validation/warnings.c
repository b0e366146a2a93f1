// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/validation/warnings.h"

#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/resources.h"
#include "common/alloc.h"
#include "common/json.h"

static const struct deprecation node_labels[] = {
    {"beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"},
    {"beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"},
    {"failure-domain.beta.kubernetes.io/region",
     "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"},
    {"failure-domain.beta.kubernetes.io/zone",
     "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"},
    {"beta.kubernetes.io/instance-type",
     "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"},
    {"app.kubernetes.io/created-by", "deprecated since v1.9"},
    {"scheduler.alpha.kubernetes.io/preferAvoidPods",
     "deprecated since v1.22; use Taints and Tolerations instead"},
    {"node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"},
    {NULL, NULL},
};

const char *deprecation_of(const struct deprecation *list, const char *name)
{
    while (list->name != NULL && strcmp(list->name, name) != 0) {
        list++;
    }
    return list->message;
}

const char *node_label_deprecation(const char *label)
{
    return deprecation_of(node_labels, label);
}

void warn_at(struct write *write, const struct field_path *path, const char *message)
{
    cleanup(free_char)
    char *text = field_path_text(path);
    write_warn(write, "%s: %s", text, message);
}

void warn_about_annotations(struct write *write, const json_t *annotations,
                            const struct field_path *path, const struct deprecation *list)
{
    for (; json_object_size(annotations) > 0 && list->name != NULL; list++) {
        if (check_has(annotations, list->name)) {
            warn_at(write, FIELD_KEY(path, list->name), list->message);
        }
    }
}

/* Those of the object itself. */
static void warn_about_own_annotations(struct write *write, const struct deprecation *list)
{
    warn_about_annotations(write, json_path(write->object, "metadata", "annotations"),
                           FIELD(FIELD(NULL, "metadata"), "annotations"), list);
}

void warn_about_requirements(struct write *write, const json_t *requirements, const char *key,
                             const struct field_path *path)
{
    for (size_t i = 0; i < json_array_size(requirements); i++) {
        const char *label = check_text(json_array_get(requirements, i), "key");
        const char *message = node_label_deprecation(label);
        const struct field_path *here = FIELD_INDEX(path, i);
        if (message != NULL) {
            cleanup(free_char)
            char *text = format("%s is %s", label, message);
            warn_at(write, key ? FIELD(here, key) : here, text);
        }
    }
}

/* ---- volumes and claims ---- */

void warn_about_persistent_volume(struct write *write)
{
    static const struct deprecation annotations[] = {
        {"volume.beta.kubernetes.io/storage-class",
         "deprecated since v1.8; use \"storageClassName\" attribute instead"},
        {"volume.beta.kubernetes.io/mount-options",
         "deprecated since v1.31; use \"mountOptions\" attribute instead"},
        {NULL, NULL},
    };
    static const struct deprecation sources[] = {
        {"cephfs", "deprecated in v1.28, non-functional in v1.31+"},
        {"photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
        {"scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
        {"storageos", "deprecated in v1.22, non-functional in v1.25+"},
        {"glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
        {"rbd", "deprecated in v1.28, non-functional in v1.31+"},
    };
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *terms = json_path(spec, "nodeAffinity", "required", "nodeSelectorTerms");
    const struct field_path *path = FIELD(NULL, "spec");
    const struct field_path *terms_path =
        FIELD(FIELD(FIELD(path, "nodeAffinity"), "required"), "nodeSelectorTerms");
    warn_about_own_annotations(write, annotations);
    if (check_is(spec, "persistentVolumeReclaimPolicy", "Recycle")) {
        warn_at(write, FIELD(path, "persistentVolumeReclaimPolicy"),
                "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to "
                "use dynamic provisioning.");
    }
    for (size_t i = 0; i < json_array_size(terms); i++) {
        warn_about_requirements(write,
                                json_object_get(json_array_get(terms, i), "matchExpressions"),
                                "key", FIELD(FIELD_INDEX(terms_path, i), "matchExpressions"));
    }
    for (size_t i = 0; i < array_length(sources); i++) {
        if (check_has(spec, sources[i].name)) {
            warn_at(write, FIELD(path, sources[i].name), sources[i].message);
        }
    }
}

void warn_about_fraction(struct write *write, const json_t *amount, const struct field_path *path)
{
    if (amount == NULL) {
        return;
    }
    struct quantity quantity = resource_amount(amount);
    if (quantity_milli_value(&quantity) % 1000 != 0) {
        cleanup(free_char)
        char *text = format("fractional byte value \"%s\" is invalid, must be an integer",
                            json_string_value(amount));
        warn_at(write, path, text);
    }
}

void warn_about_claim_spec(struct write *write, const json_t *spec, const struct field_path *path)
{
    static const char *const lists[] = {"requests", "limits"};
    const json_t *resources = json_object_get(spec, "resources");
    const struct field_path *resources_path = FIELD(path, "resources");
    for (size_t i = 0; resources != NULL && i < array_length(lists); i++) {
        warn_about_fraction(write, json_path(resources, lists[i], "storage"),
                            FIELD_KEY(FIELD(resources_path, lists[i]), "storage"));
    }
}

void warn_about_volume_claim(struct write *write)
{
    static const struct deprecation annotations[] = {
        {"volume.beta.kubernetes.io/storage-class",
         "deprecated since v1.8; use \"storageClassName\" attribute instead"},
        {NULL, NULL},
    };
    warn_about_own_annotations(write, annotations);
    warn_about_claim_spec(write, json_object_get(write->object, "spec"), FIELD(NULL, "spec"));
}

/* ---- classes and capacities ---- */

void warn_about_storage_class(struct write *write)
{
    const json_t *topologies = json_object_get(write->object, "allowedTopologies");
    const struct field_path *path = FIELD(NULL, "allowedTopologies");
    for (size_t i = 0; i < json_array_size(topologies); i++) {
        const json_t *list =
            json_object_get(json_array_get(topologies, i), "matchLabelExpressions");
        const struct field_path *here = FIELD(FIELD_INDEX(path, i), "matchLabelExpressions");
        for (size_t j = 0; j < json_array_size(list); j++) {
            const char *message =
                node_label_deprecation(check_text(json_array_get(list, j), "key"));
            if (message != NULL) {
                warn_at(write, FIELD_INDEX(here, j), message);
            }
        }
    }
}

void warn_about_csi_storage_capacity(struct write *write)
{
    const json_t *topology = json_object_get(write->object, "nodeTopology");
    const struct field_path *path = FIELD(NULL, "nodeTopology");
    const char *label;
    json_t *value;
    warn_about_requirements(write, json_object_get(topology, "matchExpressions"), "key",
                            FIELD(path, "matchExpressions"));
    json_object_foreach (json_object_get(topology, "matchLabels"), label, value) {
        const char *message = node_label_deprecation(label);
        if (message != NULL) {
            warn_at(write, FIELD(FIELD(path, "matchLabels"), label), message);
        }
    }
}

void warn_about_runtime_class(struct write *write)
{
    const char *label;
    json_t *value;
    json_object_foreach (json_path(write->object, "scheduling", "nodeSelector"), label, value) {
        const char *message = node_label_deprecation(label);
        if (message != NULL) {
            warn_at(write, FIELD(FIELD(NULL, "scheduling"), "nodeSelector"), message);
        }
    }
}

/* ---- identities ---- */

void warn_about_service_account(struct write *write)
{
    static const struct deprecation annotations[] = {
        {"kubernetes.io/enforce-mountable-secrets",
         "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"},
        {NULL, NULL},
    };
    warn_about_own_annotations(write, annotations);
}

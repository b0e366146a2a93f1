// SPDX-License-Identifier: Apache-2.0
/* PersistentVolumeClaimResize: a claim may grow when it is bound and its class allows that. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/quantity.h"

static struct quantity size_of(const json_t *claim)
{
    const char *text = json_path_string(claim, "spec", "resources", "requests", "storage");
    struct quantity size = {0};
    if (text == NULL || !quantity_parse(text, &size)) {
        return (struct quantity){0};
    }
    return size;
}

static const char *class_of(const json_t *claim)
{
    const char *class = json_path_string(claim, "metadata", "annotations",
                                         "volume.beta.kubernetes.io/storage-class");
    class = class != NULL ? class : json_path_string(claim, "spec", "storageClassName");
    return class != NULL ? class : "";
}

static bool may_grow(const struct write *write)
{
    const char *name = class_of(write->object);
    if (name[0] == '\0' || strcmp(name, class_of(write->live)) != 0) {
        return false;
    }
    const struct resource *classes =
        registry_resource(write->registry, "storage.k8s.io", "storageclasses");
    cleanup(object_release)
    struct object *object = registry_get(write->registry, classes, "", name);
    cleanup(json_release)
    json_t *class = object != NULL ? object_tree(object) : NULL;
    return json_get_bool(class, "allowVolumeExpansion", false);
}

static bool validate(const struct write *write, struct error *error)
{
    if (write->operation != WRITE_UPDATE ||
        !admission_is_about(write, "", "persistentvolumeclaims")) {
        return true;
    }
    struct quantity before = size_of(write->live), after = size_of(write->object);
    if (quantity_compare(&after, &before) <= 0) {
        return true;
    }
    const char *phase = json_path_string(write->live, "status", "phase");
    if (phase == NULL || strcmp(phase, "Bound") != 0) {
        return error_forbidden(error, "", "persistentvolumeclaims", write->name,
                               "Only bound persistent volume claims can be expanded");
    }
    return may_grow(write) ||
           error_forbidden(error, "", "persistentvolumeclaims", write->name,
                           "only dynamically provisioned pvc can be resized and the storageclass "
                           "that provisions the pvc must support resize");
}

const struct admission_plugin admission_persistent_volume_claim_resize = {
    .name = "PersistentVolumeClaimResize",
    .is_on_by_default = true,
    .validate = validate,
};

// SPDX-License-Identifier: Apache-2.0
/* StorageObjectInUseProtection: new claims, volumes and classes of volume attributes get the
 * finalizer that keeps them while they are in use; controllers take it away. */
#include "apiserver/admission/admission.h"
#include "common/json.h"

static const struct {
    const char *group, *plural, *finalizer;
} held[] = {
    {"", "persistentvolumeclaims", "kubernetes.io/pvc-protection"},
    {"", "persistentvolumes", "kubernetes.io/pv-protection"},
    {"storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"},
};

static bool admit(struct write *write, struct error *error)
{
    (void)error;
    for (size_t i = 0; i < sizeof held / sizeof held[0]; i++) {
        if (write->operation != WRITE_CREATE ||
            !admission_is_about(write, held[i].group, held[i].plural)) {
            continue;
        }
        json_t *metadata = json_get_or_add_object(write->object, "metadata");
        json_t *finalizers = json_object_get(metadata, "finalizers");
        if (!json_is_array(finalizers)) {
            finalizers = json_array();
            json_object_set_new(metadata, "finalizers", finalizers);
        }
        if (!json_array_has_string(finalizers, held[i].finalizer)) {
            json_array_append_new(finalizers, json_string(held[i].finalizer));
        }
    }
    return true;
}

const struct admission_plugin admission_storage_protection = {
    .name = "StorageObjectInUseProtection",
    .is_on_by_default = true,
    .admit = admit,
};

// SPDX-License-Identifier: Apache-2.0
/* DefaultStorageClass and DefaultIngressClass: new claims and ingresses that name no class get the
 * one that is marked as the default; of several the newest, then the first by name. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "common/alloc.h"
#include "common/json.h"

static bool is_marked(const json_t *class, const char *const *annotations)
{
    for (; *annotations != NULL; annotations++) {
        const char *value = json_path_string(class, "metadata", "annotations", *annotations);
        if (value != NULL && strcmp(value, "true") == 0) {
            return true;
        }
    }
    return false;
}

static const char *made_at(const json_t *class)
{
    const char *time = json_path_string(class, "metadata", "creationTimestamp");
    return time != NULL ? time : "";
}

/* The default class; the caller's, NULL when there is none. 'annotations' ends with NULL. */
static json_t *default_class(const struct write *write, const char *group, const char *plural,
                             const char *const *annotations)
{
    const struct resource *classes = registry_resource(write->registry, group, plural);
    struct snapshot *snapshot = cache_snapshot(cache_table(write->registry->cache, classes), "");
    json_t *found = NULL;
    for (size_t i = 0; i < snapshot->count; i++) { /* In the order of names. */
        cleanup(json_release)
        json_t *class = object_tree(snapshot->objects[i]);
        if (is_marked(class, annotations) &&
            (found == NULL || strcmp(made_at(class), made_at(found)) > 0)) {
            json_decref(found);
            found = json_incref(class);
        }
    }
    snapshot_free(snapshot);
    return found;
}

/* The object names a class, "" included, in its spec or, as it once was, in an annotation. */
static bool names_class(const json_t *object, const char *field, const char *annotation)
{
    return json_is_string(json_path(object, "spec", field)) ||
           json_path(object, "metadata", "annotations", annotation) != NULL;
}

static void name_class(struct write *write, const char *field, const json_t *class)
{
    if (class != NULL) {
        json_object_set(json_get_or_add_object(write->object, "spec"), field,
                        json_path(class, "metadata", "name"));
    }
}

static bool admit_claim(struct write *write, struct error *error)
{
    static const char *const marks[] = {"storageclass.kubernetes.io/is-default-class",
                                        "storageclass.beta.kubernetes.io/is-default-class", NULL};
    (void)error;
    if (write->operation == WRITE_CREATE &&
        admission_is_about(write, "", "persistentvolumeclaims") &&
        !names_class(write->object, "storageClassName",
                     "volume.beta.kubernetes.io/storage-class")) {
        cleanup(json_release)
        json_t *class = default_class(write, "storage.k8s.io", "storageclasses", marks);
        name_class(write, "storageClassName", class);
    }
    return true;
}

static bool admit_ingress(struct write *write, struct error *error)
{
    static const char *const marks[] = {"ingressclass.kubernetes.io/is-default-class", NULL};
    (void)error;
    if (write->operation == WRITE_CREATE &&
        admission_is_about(write, "networking.k8s.io", "ingresses") &&
        !names_class(write->object, "ingressClassName", "kubernetes.io/ingress.class")) {
        cleanup(json_release)
        json_t *class = default_class(write, "networking.k8s.io", "ingressclasses", marks);
        name_class(write, "ingressClassName", class);
    }
    return true;
}

const struct admission_plugin admission_default_storage_class = {
    .name = "DefaultStorageClass",
    .is_on_by_default = true,
    .admit = admit_claim,
};

const struct admission_plugin admission_default_ingress_class = {
    .name = "DefaultIngressClass",
    .is_on_by_default = true,
    .admit = admit_ingress,
};

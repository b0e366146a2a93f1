// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/resources.h"
#include "apiserver/registry/validation/selectors.h"
#include "apiserver/registry/validation/storage.h"
#include "apiserver/registry/validation/volume_sources.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

static const struct field_path spec_path = {.name = "spec"};

/* ---- sources that pods have not, or with other rules ---- */

/* A secret of any namespace: both parts are needed. 'checked': they must be fit for names. */
static void validate_secret(const json_t *source, const char *member, bool checked,
                            const struct field_path *path, struct field_errors *errors)
{
    static const char *const parts[] = {"name", "namespace"};
    const json_t *secret = json_object_get(source, member);
    const struct field_path *here = FIELD(path, member);
    for (size_t i = 0; secret != NULL && i < array_length(parts); i++) {
        const json_t *part = json_object_get(secret, parts[i]);
        if (json_string_length(part) == 0) {
            field_error(errors, FIELD_REQUIRED, FIELD(here, parts[i]), NULL, NULL);
        } else if (checked) {
            (i == 0 ? check_subdomain : check_label)(part, FIELD(here, parts[i]), errors);
        }
    }
}

static void validate_cinder(const json_t *source, const struct field_path *path,
                            struct field_errors *errors)
{
    validate_secret(source, "secretRef", false, path, errors);
}

static void validate_iscsi(const json_t *source, const struct field_path *path,
                           struct field_errors *errors)
{
    volume_iscsi(source, path, errors);
    volume_secret_name(source, "secretRef", path, errors);
}

static void validate_azure_file(const json_t *source, const struct field_path *path,
                                struct field_errors *errors)
{
    const json_t *namespace = json_object_get(source, "secretNamespace");
    if (namespace != NULL && json_string_length(namespace) == 0) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "secretNamespace"), NULL, NULL);
    }
}

static void validate_local(const json_t *source, const struct field_path *path,
                           struct field_errors *errors)
{
    volume_host_path(source, path, errors);
}

static void validate_storage_os(const json_t *source, const struct field_path *path,
                                struct field_errors *errors)
{
    volume_storage_os(source, path, errors);
    validate_secret(source, "secretRef", false, path, errors);
}

static void validate_csi(const json_t *source, const struct field_path *path,
                         struct field_errors *errors)
{
    static const char *const secrets[] = {"controllerPublishSecretRef", "controllerExpandSecretRef",
                                          "nodePublishSecretRef", "nodeExpandSecretRef"};
    validate_csi_driver_name(json_object_get(source, "driver"), FIELD(path, "driver"), errors);
    for (size_t i = 0; i < array_length(secrets); i++) {
        validate_secret(source, secrets[i], true, path, errors);
    }
}

/* In the order in which upstream looks for them: the first one counts. */
static const struct {
    const char *name;
    source_check validate;     /* NULL: its schema says it all. */
    const char *name_in_error; /* When it is one too many; NULL: its own. */
} sources[] = {
    {"hostPath", volume_host_path, NULL},
    {"gcePersistentDisk", NULL, NULL},
    {"awsElasticBlockStore", NULL, NULL},
    {"glusterfs", NULL, NULL},
    {"flocker", volume_flocker, NULL},
    {"nfs", volume_nfs, NULL},
    {"rbd", NULL, NULL},
    {"quobyte", volume_quobyte, NULL},
    {"cephfs", NULL, "cephFS"},
    {"iscsi", validate_iscsi, NULL},
    {"cinder", validate_cinder, NULL},
    {"fc", volume_fibre_channel, NULL},
    {"flexVolume", volume_flex, NULL},
    {"azureFile", validate_azure_file, NULL},
    {"vsphereVolume", NULL, NULL},
    {"photonPersistentDisk", NULL, NULL},
    {"portworxVolume", NULL, NULL},
    {"azureDisk", volume_azure_disk, NULL},
    {"scaleIO", volume_scale_io, NULL},
    {"local", validate_local, NULL},
    {"storageos", validate_storage_os, NULL},
    {"csi", validate_csi, NULL},
};

/* "/", or what leads back there. */
static bool is_root(const char *text)
{
    size_t depth = 0;
    if (text[0] != '/') {
        return false;
    }
    while (*text != '\0') {
        text += strspn(text, "/");
        size_t length = strcspn(text, "/");
        if (length == 2 && memcmp(text, "..", 2) == 0) {
            depth -= depth > 0;
        } else if (length > 0 && !(length == 1 && text[0] == '.')) {
            depth++;
        }
        text += length;
    }
    return depth == 0;
}

static void validate_source(const json_t *spec, const char *volume, const struct field_path *path,
                            struct field_errors *errors)
{
    bool found = false;
    for (size_t i = 0; i < array_length(sources); i++) {
        const json_t *source = json_object_get(spec, sources[i].name);
        const char *in_error =
            sources[i].name_in_error ? sources[i].name_in_error : sources[i].name;
        if (source == NULL) {
            continue;
        }
        if (found && strcmp(sources[i].name, "flexVolume") != 0) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(path, in_error), NULL,
                        "may not specify more than 1 volume type");
        } else if (sources[i].validate != NULL) {
            sources[i].validate(source, FIELD(path, sources[i].name), errors);
        }
        found = true;
    }
    if (!found) {
        field_error(errors, FIELD_REQUIRED, path, NULL, "must specify a volume type");
    }
    const json_t *iscsi = json_object_get(spec, "iscsi");
    const char *portal = check_text(iscsi, "targetPortal");
    if (check_has(iscsi, "initiatorName") && strlen(volume) + 1 + strlen(portal) > 64) {
        check_invalid_text(portal,
                           "Total length of <volume name>:<iscsi.targetPortal> must be under 64 "
                           "characters if iscsi.initiatorName is specified.",
                           FIELD(FIELD(path, "iscsi"), "targetportal"), errors);
    }
}

/* ---- the rest of the spec ---- */

void validate_access_modes(const json_t *modes, const char *when_absent,
                           const struct field_path *path, struct field_errors *errors)
{
    static const char *const supported[] = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce",
                                            "ReadWriteOncePod", NULL};
    bool one_pod = false, others = false;
    if (json_array_size(modes) == 0) {
        field_error(errors, FIELD_REQUIRED, path, NULL, "%s", when_absent);
    }
    for (size_t i = 0; i < json_array_size(modes); i++) {
        const char *mode = json_string_value(json_array_get(modes, i));
        if (!check_one_of(mode, supported)) {
            check_not_supported(mode, supported, path, errors);
        } else if (strcmp(mode, "ReadWriteOncePod") == 0) {
            one_pod = true;
        } else {
            others = true;
        }
    }
    if (one_pod && others) {
        field_error(errors, FIELD_FORBIDDEN, path, NULL,
                    "may not use ReadWriteOncePod with other access modes");
    }
}

static void validate_capacity(const json_t *capacity, const struct field_path *path,
                              struct field_errors *errors)
{
    static const char *const supported[] = {"storage", NULL};
    const char *name;
    json_t *amount;
    if (json_object_size(capacity) == 0) {
        field_error(errors, FIELD_REQUIRED, path, NULL, NULL);
    }
    if (!check_has(capacity, "storage") || json_object_size(capacity) > 1) {
        cleanup(json_release)
        json_t *none = json_object();
        field_error_not_supported(errors, path, capacity ? capacity : none, supported);
    }
    json_object_foreach ((json_t *)capacity, name, amount) {
        struct quantity quantity = resource_amount(amount);
        const struct field_path *here = FIELD_KEY(path, name);
        if (quantity_value(&quantity) < 0) {
            field_error(errors, FIELD_INVALID, here, amount, "must be a valid resource quantity");
        }
        if (quantity.nano <= 0) {
            field_error(errors, FIELD_INVALID, here, amount, "must be greater than zero");
        }
    }
}

static bool has_unfit_labels(const json_t *selector)
{
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    if (selector != NULL) {
        validate_node_selector(selector, true, NULL, &errors);
    }
    return field_errors_any(&errors);
}

static void validate_affinity(const json_t *affinity, const json_t *live,
                              const struct field_path *path, struct field_errors *errors)
{
    const json_t *required = json_object_get(affinity, "required");
    if (affinity != NULL && required == NULL) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "required"), NULL,
                    "must specify required node constraints");
    } else if (required != NULL) {
        bool strict = !has_unfit_labels(json_object_get(live, "required"));
        validate_node_selector(required, strict, FIELD(path, "required"), errors);
    }
}

static void validate_attributes_class(const json_t *spec, const struct field_path *path,
                                      struct field_errors *errors)
{
    const json_t *class = json_object_get(spec, "volumeAttributesClassName");
    const struct field_path *here = FIELD(path, "volumeAttributesClassName");
    if (class == NULL) {
        return;
    }
    if (json_string_length(class) == 0) {
        field_error(errors, FIELD_REQUIRED, here, NULL, "an empty string is disallowed");
    }
    check_subdomain(class, here, errors);
    if (!check_has(spec, "csi")) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "csi"), NULL,
                    "has to be specified when using volumeAttributesClassName");
    }
}

static void validate_spec(const json_t *volume, const json_t *live, struct field_errors *errors)
{
    const json_t *spec = json_object_get(volume, "spec");
    const json_t *affinity = json_object_get(spec, "nodeAffinity");
    validate_access_modes(json_object_get(spec, "accessModes"), "",
                          FIELD(&spec_path, "accessModes"), errors);
    validate_capacity(json_object_get(spec, "capacity"), FIELD(&spec_path, "capacity"), errors);
    validate_affinity(affinity, json_path(live, "spec", "nodeAffinity"),
                      FIELD(&spec_path, "nodeAffinity"), errors);
    validate_source(spec, check_text(json_object_get(volume, "metadata"), "name"), &spec_path,
                    errors);
    if (check_has(spec, "local") && affinity == NULL) {
        field_error(errors, FIELD_REQUIRED, FIELD(&spec_path, "nodeAffinity"), NULL,
                    "Local volume requires node affinity");
    }
    if (check_is(spec, "persistentVolumeReclaimPolicy", "Recycle") &&
        is_root(check_text(json_object_get(spec, "hostPath"), "path"))) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(&spec_path, "persistentVolumeReclaimPolicy"),
                    NULL, "may not be 'recycle' for a hostPath mount of '/'");
    }
    validate_attributes_class(spec, &spec_path, errors);
}

/* ---- inline ---- */

void validate_inline_volume_spec(const json_t *spec, const struct field_path *path,
                                 struct field_errors *errors)
{
    static const char *const forbidden[] = {"claimRef", "capacity", "nodeAffinity"};
    for (size_t i = 0; i < array_length(forbidden); i++) {
        if (check_has(spec, forbidden[i])) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(path, forbidden[i]), NULL,
                        "may not be specified in the context of inline volumes");
        }
    }
    if (check_text(spec, "storageClassName")[0] != '\0') {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "storageClassName"), NULL,
                    "may not be specified in the context of inline volumes");
    }
    if (!check_has(spec, "csi")) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "csi"), NULL,
                    "has to be specified in the context of inline volumes");
    }
    if (!check_is(spec, "persistentVolumeReclaimPolicy", "Retain")) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "persistentVolumeReclaimPolicy"), NULL,
                    "may only be Retain in the context of inline volumes");
    }
    if (!check_is(spec, "volumeMode", "Filesystem")) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "volumeMode"), NULL,
                    "may not specify volumeMode other than Filesystem in the context of inline "
                    "volumes");
    }
    validate_access_modes(json_object_get(spec, "accessModes"), "", FIELD(path, "accessModes"),
                          errors);
    validate_source(spec, "", path, errors);
}

/* ---- updates ---- */

/* The secret for growing may be named later. */
static bool csi_is_same(const json_t *now, const json_t *before)
{
    static const char member[] = "controllerExpandSecretRef";
    if (check_equal(now, before) || now == NULL || before == NULL || check_has(before, member)) {
        return check_equal(now, before);
    }
    cleanup(json_release)
    json_t *copy = json_copy((json_t *)now);
    json_object_del(copy, member);
    return json_equal(copy, before);
}

static bool source_is_same(const json_t *now, const json_t *before)
{
    for (size_t i = 0; i < array_length(sources); i++) {
        const json_t *new = json_object_get(now, sources[i].name);
        const json_t *old = json_object_get(before, sources[i].name);
        bool same =
            strcmp(sources[i].name, "csi") == 0 ? csi_is_same(new, old) : check_equal(new, old);
        if (!same) {
            return false;
        }
    }
    return true;
}

/* Labels of nodes that were renamed, which may be put in place of the old names. */
static const struct {
    const char *before, *now;
} renamed_labels[] = {
    {"beta.kubernetes.io/arch", "kubernetes.io/arch"},
    {"beta.kubernetes.io/os", "kubernetes.io/os"},
    {"beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"},
    {"failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"},
    {"failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"},
};

static bool is_renamed(const char *before, const char *now)
{
    for (size_t i = 0; i < array_length(renamed_labels); i++) {
        if (strcmp(renamed_labels[i].before, before) == 0 &&
            strcmp(renamed_labels[i].now, now) == 0) {
            return true;
        }
    }
    return false;
}

/* The affinity with new names of labels where 'now' has them. The caller's. */
static json_t *with_new_labels(const json_t *before, const json_t *now)
{
    json_t *copy = json_deep_copy(before);
    const json_t *terms = json_path(copy, "required", "nodeSelectorTerms");
    const json_t *new_terms = json_path(now, "required", "nodeSelectorTerms");
    for (size_t i = 0; i < json_array_size(terms); i++) {
        const json_t *list = json_object_get(json_array_get(terms, i), "matchExpressions");
        const json_t *new_list = json_object_get(json_array_get(new_terms, i), "matchExpressions");
        for (size_t j = 0; j < json_array_size(list); j++) {
            json_t *expression = json_array_get(list, j);
            const char *key = check_text(json_array_get(new_list, j), "key");
            if (is_renamed(check_text(expression, "key"), key)) {
                json_object_set_new(expression, "key", json_string(key));
            }
        }
    }
    return copy;
}

static void validate_affinity_update(const json_t *now, const json_t *before,
                                     struct field_errors *errors)
{
    if (before == NULL || check_equal(now, before)) {
        return;
    }
    cleanup(json_release)
    json_t *renamed = with_new_labels(before, now);
    if (now == NULL || !json_equal(now, renamed)) {
        check_immutable(now, before, FIELD(NULL, "nodeAffinity"), errors);
    }
}

static void validate_update(const json_t *spec, const json_t *live, struct field_errors *errors)
{
    if (!source_is_same(spec, live)) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(&spec_path, "persistentvolumesource"), NULL,
                    "spec.persistentvolumesource is immutable after creation");
    }
    check_immutable(json_object_get(spec, "volumeMode"), json_object_get(live, "volumeMode"),
                    FIELD(NULL, "volumeMode"), errors);
    validate_affinity_update(json_object_get(spec, "nodeAffinity"),
                             json_object_get(live, "nodeAffinity"), errors);
    if (check_has(live, "volumeAttributesClassName") &&
        !check_has(spec, "volumeAttributesClassName")) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(&spec_path, "volumeAttributesClassName"), NULL,
                    "update from non-nil value to nil is forbidden");
    }
}

void validate_persistent_volume(const struct write *write, struct field_errors *errors)
{
    if (write->subresource[0] != '\0') {
        return;
    }
    validate_spec(write->object, write->live, errors);
    if (write->live != NULL) {
        validate_update(json_object_get(write->object, "spec"),
                        json_object_get(write->live, "spec"), errors);
    }
}

// SPDX-License-Identifier: Apache-2.0
/* Volumes made of entries of ConfigMaps and Secrets, fields of the pod, tokens and certificates. */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pods.h"
#include "apiserver/registry/validation/selectors.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

static void validate_mode(const json_t *object, const char *member, const struct field_path *path,
                          struct field_errors *errors)
{
    json_int_t mode = json_get_int(object, member, 0);
    if (mode < 0 || mode > 0777) {
        field_error(errors, FIELD_INVALID, FIELD(path, member), json_object_get(object, member),
                    "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

void validate_default_mode(const json_t *source, const struct field_path *path,
                           struct field_errors *errors)
{
    validate_mode(source, "defaultMode", path, errors);
}

void validate_key_paths(const json_t *source, const struct field_path *path,
                        struct field_errors *errors)
{
    const json_t *items = json_object_get(source, "items");
    const struct field_path *list = FIELD(path, "items");
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const struct field_path *here = FIELD_INDEX(list, i);
        check_local_path(json_object_get(item, "path"), FIELD(here, "path"), errors);
        validate_mode(item, "mode", here, errors);
    }
}

/* ---- fields of the pod ---- */

static const char *const file_paths[] = {"metadata.annotations", "metadata.labels", "metadata.name",
                                         "metadata.namespace",   "metadata.uid",    NULL};

static void validate_file(const json_t *file, const struct field_path *path,
                          struct field_errors *errors)
{
    const json_t *field = json_object_get(file, "fieldRef");
    const json_t *resource = json_object_get(file, "resourceFieldRef");
    check_local_path(json_object_get(file, "path"), FIELD(path, "path"), errors);
    if (field != NULL) {
        validate_field_ref(field, file_paths, FIELD(path, "fieldRef"), errors);
        if (resource != NULL) {
            check_invalid_text("resource",
                               "fieldRef and resourceFieldRef can not be specified simultaneously",
                               path, errors);
        }
    } else if (resource != NULL) {
        validate_resource_field_ref(resource, true, FIELD(path, "resourceFieldRef"), errors);
    } else {
        field_error(errors, FIELD_REQUIRED, path, NULL,
                    "one of fieldRef and resourceFieldRef is required");
    }
    validate_mode(file, "mode", path, errors);
}

/* Upstream names no element in these paths. */
void validate_downward_api(const json_t *source, const struct field_path *path,
                           struct field_errors *errors)
{
    const json_t *items = json_object_get(source, "items");
    for (size_t i = 0; i < json_array_size(items); i++) {
        validate_file(json_array_get(items, i), path, errors);
    }
}

/* ---- projected volumes ---- */

/* No two files at the same place. */
static void take_path(const char *file, const char *shown, struct map *taken,
                      const struct field_path *path, struct field_errors *errors)
{
    if (file[0] != '\0' && map_set(taken, file, taken) != NULL) {
        check_invalid_text(shown, "conflicting duplicate paths", path, errors);
    }
}

static void take_items(const json_t *source, const char *shown, struct map *taken,
                       const struct field_path *path, struct field_errors *errors)
{
    const json_t *items = json_object_get(source, "items");
    for (size_t i = 0; i < json_array_size(items); i++) {
        const char *file = check_text(json_array_get(items, i), "path");
        take_path(file, shown ? shown : file, taken, path, errors);
    }
}

static void validate_token(const json_t *token, const struct field_path *path,
                           const struct field_path *volume, struct field_errors *errors)
{
    const json_t *seconds = json_object_get(token, "expirationSeconds");
    const struct field_path *here = FIELD(path, "expirationSeconds");
    if (json_integer_value(seconds) < 10 * 60) {
        field_error(errors, FIELD_INVALID, here, seconds,
                    "may not specify a duration less than 10 minutes");
    } else if (json_integer_value(seconds) > INT64_C(1) << 32) {
        field_error(errors, FIELD_INVALID, here, seconds,
                    "may not specify a duration larger than 2^32 seconds");
    }
    check_local_path(json_object_get(token, "path"), FIELD(volume, "path"), errors);
}

static void validate_bundle(const json_t *bundle, const struct field_path *path,
                            struct field_errors *errors)
{
    const json_t *name = json_object_get(bundle, "name");
    const json_t *signer = json_object_get(bundle, "signerName");
    const json_t *selector = json_object_get(bundle, "labelSelector");
    if (name != NULL && signer != NULL) {
        field_error(errors, FIELD_INVALID, path, bundle,
                    "only one of name and signerName may be used");
    } else if (name != NULL) {
        if (json_string_length(name) == 0) {
            field_error(errors, FIELD_REQUIRED, FIELD(path, "name"), NULL,
                        "must be a valid object name");
        }
        if (selector != NULL) {
            field_error(errors, FIELD_INVALID, FIELD(path, "labelSelector"), selector,
                        "labelSelector must be unset if name is specified");
        }
    } else if (signer != NULL) {
        if (json_string_length(signer) == 0) {
            field_error(errors, FIELD_REQUIRED, FIELD(path, "signerName"), NULL,
                        "must be a valid signer name");
        }
        validate_label_selector(selector, FIELD(path, "labelSelector"), errors);
    } else {
        field_error(errors, FIELD_REQUIRED, path, NULL,
                    "either name or signerName must be specified");
    }
    check_local_path(json_object_get(bundle, "path"), FIELD(path, "path"), errors);
}

static void validate_projection(const json_t *source, struct map *taken,
                                const struct field_path *path, const struct field_path *volume,
                                struct field_errors *errors)
{
    enum { entries = 2 };
    static const char *const kinds[] = {"secret", "configMap", "downwardAPI", "serviceAccountToken",
                                        "clusterTrustBundle"};
    const json_t *values[array_length(kinds)];
    check_members(source, kinds, values);
    const json_t *fields = values[2], *token = values[3], *bundle = values[4];
    for (size_t i = 0; i < entries; i++) {
        if (values[i] != NULL) {
            validate_key_paths(values[i], FIELD(path, kinds[i]), errors);
            take_items(values[i], check_text(values[i], "name"), taken, volume, errors);
        }
    }
    if (fields != NULL) {
        validate_downward_api(fields, FIELD(path, "downwardAPI"), errors);
        take_items(fields, NULL, taken, volume, errors);
    }
    if (token != NULL) {
        validate_token(token, FIELD(path, "serviceAccountToken"), volume, errors);
    }
    if (bundle != NULL) {
        validate_bundle(bundle, FIELD(path, "clusterTrustBundle"), errors);
        take_path(check_text(bundle, "path"), check_text(bundle, "path"), taken, volume, errors);
    }
    if (json_object_size(source) > 1) {
        field_error(errors, FIELD_FORBIDDEN, path, NULL,
                    "may not specify more than 1 volume type per source");
    }
}

void validate_projected(const json_t *source, const struct field_path *path,
                        struct field_errors *errors)
{
    const json_t *sources = json_object_get(source, "sources");
    const struct field_path *list = FIELD(path, "sources");
    struct map taken = MAP_INIT;
    for (size_t i = 0; i < json_array_size(sources); i++) {
        validate_projection(json_array_get(sources, i), &taken, FIELD_INDEX(list, i), path, errors);
    }
    map_free(&taken, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* How volumes are put into containers: mounts and devices. */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pods.h"
#include "common/alloc.h"
#include "common/json.h"

/* What the mounts and the devices of a container take, each by its name and path. */
struct taken {
    struct map mounted, mount_paths, devices, device_paths;
};

static const char *text_of(const json_t *string)
{
    const char *text = json_string_value(string);
    return text ? text : "";
}

static const json_t *find_volume(const struct pod_view *view, const char *name)
{
    return map_get(&view->volumes, name);
}

/* ---- mounts ---- */

static void validate_sub_path(const json_t *volume, const json_t *mount,
                              const struct field_path *path, const struct field_path *list,
                              struct field_errors *errors)
{
    static const char *const members[] = {"subPath", "subPathExpr"};
    for (size_t i = 0; i < array_length(members); i++) {
        const json_t *value = json_object_get(mount, members[i]);
        if (json_string_length(value) == 0) {
            continue;
        }
        if (check_has(volume, "image")) {
            field_error(errors, FIELD_INVALID, FIELD(path, members[i]), value,
                        "not allowed in image volume sources");
        }
        if (i == 1 && check_text(mount, members[0])[0] != '\0') {
            field_error(errors, FIELD_INVALID, FIELD(path, members[i]), value,
                        "subPathExpr and subPath are mutually exclusive");
        }
        check_descending_path(value, FIELD(list, members[i]), errors);
    }
}

static void validate_propagation(const json_t *mount, const json_t *container,
                                 const struct field_path *list, struct field_errors *errors)
{
    const char *propagation = check_text(mount, "mountPropagation");
    const char *recursive = check_text(mount, "recursiveReadOnly");
    const struct field_path *recursive_path = FIELD(list, "recursiveReadOnly");
    if (strcmp(propagation, "Bidirectional") == 0 &&
        !json_is_true(json_path(container, "securityContext", "privileged"))) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(list, "mountPropagation"), NULL,
                    "Bidirectional mount propagation is available only to privileged containers");
    }
    if (strcmp(recursive, "Enabled") != 0 && strcmp(recursive, "IfPossible") != 0) {
        return;
    }
    if (!json_get_bool(mount, "readOnly", false)) {
        field_error(errors, FIELD_FORBIDDEN, recursive_path, NULL,
                    "may only be specified when readOnly is true");
    }
    if (propagation[0] != '\0' && strcmp(propagation, "None") != 0) {
        field_error(errors, FIELD_FORBIDDEN, recursive_path, NULL,
                    "may only be specified when mountPropagation is None or not specified");
    }
}

/* 'list' stands in the paths of what is wrong with sub-paths and propagation, as upstream has it.
 */
static void validate_mount(const struct pod_view *view, const json_t *mount,
                           const json_t *container, const struct taken *taken,
                           const struct field_path *path, const struct field_path *list,
                           struct field_errors *errors)
{
    const json_t *name = json_object_get(mount, "name");
    const json_t *mount_path = json_object_get(mount, "mountPath");
    const json_t *volume = find_volume(view, text_of(name));
    if (volume == NULL) {
        field_error(errors, FIELD_NOT_FOUND, FIELD(path, "name"), name, NULL);
    }
    if (map_get(&taken->devices, text_of(name)) != NULL) {
        field_error(errors, FIELD_INVALID, FIELD(path, "name"), name,
                    "must not already exist in volumeDevices");
    }
    if (map_get(&taken->device_paths, text_of(mount_path)) != NULL) {
        field_error(errors, FIELD_INVALID, FIELD(path, "mountPath"), mount_path,
                    "must not already exist as a path in volumeDevices");
    }
    validate_sub_path(volume, mount, path, list, errors);
    validate_propagation(mount, container, list, errors);
}

/* ---- devices ---- */

static void validate_device(const struct pod_view *view, const json_t *device,
                            const struct taken *taken, const struct field_path *path,
                            struct field_errors *errors)
{
    const json_t *name = json_object_get(device, "name");
    const json_t *device_path = json_object_get(device, "devicePath");
    const json_t *volume = find_volume(view, check_text(device, "name"));
    if (volume == NULL) {
        field_error(errors, FIELD_NOT_FOUND, FIELD(path, "name"), name, NULL);
    } else if (!check_has(volume, "persistentVolumeClaim") && !check_has(volume, "ephemeral")) {
        field_error(errors, FIELD_INVALID, FIELD(path, "name"), name,
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for "
                    "block mode");
    }
    if (check_has_backsteps(check_text(device, "devicePath"))) {
        field_error(errors, FIELD_INVALID, FIELD(path, "devicePath"), device_path,
                    "can not contain backsteps ('..')");
    }
    if (map_get(&taken->mounted, check_text(device, "name")) != NULL) {
        field_error(errors, FIELD_INVALID, FIELD(path, "name"), name,
                    "must not already exist in volumeMounts");
    }
    if (map_get(&taken->mount_paths, check_text(device, "devicePath")) != NULL) {
        field_error(errors, FIELD_INVALID, FIELD(path, "devicePath"), device_path,
                    "must not already exist as a path in volumeMounts");
    }
}

/* Each element has its own value of the member. */
static void validate_distinct(const json_t *list, const char *member, const struct field_path *path,
                              struct field_errors *errors)
{
    struct map seen = {.borrows_keys = true};
    for (size_t i = 0; json_array_size(list) > 1 && i < json_array_size(list); i++) {
        const json_t *element = json_array_get(list, i);
        if (map_set(&seen, check_text(element, member), &seen) != NULL) {
            field_error(errors, FIELD_INVALID, FIELD(FIELD_INDEX(path, i), member),
                        json_object_get(element, member), "must be unique");
        }
    }
    map_free(&seen, NULL);
}

void validate_mounts(const struct pod_view *view, const json_t *container,
                     const struct field_path *path, struct field_errors *errors)
{
    const json_t *mounts = json_object_get(container, "volumeMounts");
    const json_t *devices = json_object_get(container, "volumeDevices");
    const struct field_path *mounts_path = FIELD(path, "volumeMounts");
    const struct field_path *devices_path = FIELD(path, "volumeDevices");
    const struct map texts = {.borrows_keys = true};
    struct taken taken = {texts, texts, texts, texts};
    if (json_array_size(devices) > 0) { /* Else nothing can be both. */
        check_collect(&taken.mounted, mounts, "name");
        check_collect(&taken.mount_paths, mounts, "mountPath");
        check_collect(&taken.devices, devices, "name");
        check_collect(&taken.device_paths, devices, "devicePath");
    }
    for (size_t i = 0; i < json_array_size(mounts); i++) {
        validate_mount(view, json_array_get(mounts, i), container, &taken,
                       FIELD_INDEX(mounts_path, i), mounts_path, errors);
    }
    validate_distinct(mounts, "mountPath", mounts_path, errors);
    for (size_t i = 0; i < json_array_size(devices); i++) {
        validate_device(view, json_array_get(devices, i), &taken, FIELD_INDEX(devices_path, i),
                        errors);
    }
    validate_distinct(devices, "name", devices_path, errors);
    validate_distinct(devices, "devicePath", devices_path, errors);
    map_free(&taken.mounted, NULL);
    map_free(&taken.mount_paths, NULL);
    map_free(&taken.devices, NULL);
    map_free(&taken.device_paths, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* Where volumes come from: rules of the sources that pods and PersistentVolumes share. What a
 * source must hold at all is in its schema. */
#ifndef APISERVER_REGISTRY_VALIDATION_VOLUME_SOURCES_H
#define APISERVER_REGISTRY_VALIDATION_VOLUME_SOURCES_H

#include <jansson.h>

#include "common/error.h"

typedef void (*source_check)(const json_t *source, const struct field_path *path,
                             struct field_errors *errors);

void volume_host_path(const json_t *source, const struct field_path *path,
                      struct field_errors *errors);
void volume_nfs(const json_t *source, const struct field_path *path, struct field_errors *errors);
void volume_iscsi(const json_t *source, const struct field_path *path, struct field_errors *errors);
void volume_fibre_channel(const json_t *source, const struct field_path *path,
                          struct field_errors *errors);
void volume_flocker(const json_t *source, const struct field_path *path,
                    struct field_errors *errors);
void volume_quobyte(const json_t *source, const struct field_path *path,
                    struct field_errors *errors);
void volume_azure_disk(const json_t *source, const struct field_path *path,
                       struct field_errors *errors);
void volume_flex(const json_t *source, const struct field_path *path, struct field_errors *errors);
void volume_scale_io(const json_t *source, const struct field_path *path,
                     struct field_errors *errors);
void volume_storage_os(const json_t *source, const struct field_path *path,
                       struct field_errors *errors);
/* A secret that the source refers to has a name. */
void volume_secret_name(const json_t *source, const char *member, const struct field_path *path,
                        struct field_errors *errors);
/* The name of a CSI driver, in lower or upper case; nothing when it is absent. */
void validate_csi_driver_name(const json_t *name, const struct field_path *path,
                              struct field_errors *errors);

#endif

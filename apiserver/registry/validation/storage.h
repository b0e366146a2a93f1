// SPDX-License-Identifier: Apache-2.0
/* Rules of volumes, claims and of what tells how they are made. Each is a kind's hook
 * (registry/kinds.h) unless it says otherwise. */
#ifndef APISERVER_REGISTRY_VALIDATION_STORAGE_H
#define APISERVER_REGISTRY_VALIDATION_STORAGE_H

#include "apiserver/registry/registry.h"

/* persistent_volumes.c */
void validate_persistent_volume(const struct write *write, struct field_errors *errors);
/* A PersistentVolumeSpec within another object; its volume has no name and no claim. */
void validate_inline_volume_spec(const json_t *spec, const struct field_path *path,
                                 struct field_errors *errors);
/* Of the list of access modes, which may be absent. */
void validate_access_modes(const json_t *modes, const char *when_absent,
                           const struct field_path *path, struct field_errors *errors);
/* volume_claims.c */
void validate_volume_claim(const struct write *write, struct field_errors *errors);
/* A PersistentVolumeClaimSpec that no claim has yet. */
void validate_volume_claim_spec(const json_t *spec, const struct field_path *path,
                                struct field_errors *errors);
/* storage.c */
void validate_storage_class(const struct write *write, struct field_errors *errors);
void validate_volume_attachment(const struct write *write, struct field_errors *errors);
void validate_volume_attributes_class(const struct write *write, struct field_errors *errors);
void validate_csi_driver(const struct write *write, struct field_errors *errors);
void validate_csi_node(const struct write *write, struct field_errors *errors);
void validate_csi_storage_capacity(const struct write *write, struct field_errors *errors);

#endif

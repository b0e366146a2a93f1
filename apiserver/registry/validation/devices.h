// SPDX-License-Identifier: Apache-2.0
/* Rules of dynamic resource allocation. Each is a kind's hook (registry/kinds.h). CEL expressions
 * are not compiled: only their length is looked at. */
#ifndef APISERVER_REGISTRY_VALIDATION_DEVICES_H
#define APISERVER_REGISTRY_VALIDATION_DEVICES_H

#include "apiserver/registry/registry.h"

/* device_claims.c */
void validate_resource_claim(const struct write *write, struct field_errors *errors);
void validate_resource_claim_template(const struct write *write, struct field_errors *errors);
void validate_device_class(const struct write *write, struct field_errors *errors);
/* device_slices.c */
void validate_resource_slice(const struct write *write, struct field_errors *errors);

/* ---- among the files of this topic ---- */

/* device_status.c: status.devices of a claim, by what its status allocates. */
void validate_device_status(const json_t *status, const struct field_path *path,
                            struct field_errors *errors);
/* device_claims.c: data that are a driver's own, any object of a bounded size. */
void validate_device_data(const json_t *data, const struct field_path *path,
                          struct field_errors *errors);

/* device_names.c */
/* Says that the list is too long; false when it is. */
bool validate_device_count(const json_t *list, size_t most, const struct field_path *path,
                           struct field_errors *errors);
/* "model", or with the driver it is of, "example.com/model"; 'full': the latter. */
void validate_device_property(const char *name, bool full, const struct field_path *path,
                              struct field_errors *errors);
/* The name of a pool: subdomains between slashes. */
void validate_pool_name(const json_t *name, const struct field_path *path,
                        struct field_errors *errors);

#endif

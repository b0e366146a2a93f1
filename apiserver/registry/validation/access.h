// SPDX-License-Identifier: Apache-2.0
/* Rules of roles, bindings and requests for certificates. Each is a kind's hook
 * (registry/kinds.h). */
#ifndef APISERVER_REGISTRY_VALIDATION_ACCESS_H
#define APISERVER_REGISTRY_VALIDATION_ACCESS_H

#include "apiserver/registry/registry.h"

/* rbac.c */
void validate_role(const struct write *write, struct field_errors *errors);
void validate_cluster_role(const struct write *write, struct field_errors *errors);
void validate_role_binding(const struct write *write, struct field_errors *errors);
void validate_cluster_role_binding(const struct write *write, struct field_errors *errors);
/* certificates.c */
void validate_certificate_request(const struct write *write, struct field_errors *errors);

#endif

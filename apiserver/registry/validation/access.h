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

/* What is wrong with a review of access. 'names_user': its spec says whose; 'namespace' of a local
 * one, else NULL. */
void validate_access_review(const json_t *review, bool names_user, const char *namespace,
                            struct field_errors *errors);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Rules of what leads traffic: services, their endpoints and addresses, and networking.k8s.io. Each
 * is a kind's hook (registry/kinds.h) unless it says otherwise. */
#ifndef APISERVER_REGISTRY_VALIDATION_NETWORKING_H
#define APISERVER_REGISTRY_VALIDATION_NETWORKING_H

#include "apiserver/registry/registry.h"

/* services.c */
void validate_service(const struct write *write, struct field_errors *errors);
/* networking.c */
void validate_ingress_class(const struct write *write, struct field_errors *errors);
void validate_network_policy(const struct write *write, struct field_errors *errors);
void validate_ip_address(const struct write *write, struct field_errors *errors);
void validate_service_cidr(const struct write *write, struct field_errors *errors);
/* ingresses.c */
void validate_ingress(const struct write *write, struct field_errors *errors);
/* endpoints.c */
void validate_endpoints(const struct write *write, struct field_errors *errors);
void validate_endpoint_slice(const struct write *write, struct field_errors *errors);
/* Addresses that say nothing beyond one machine or link; what is no address is left alone. */
void validate_non_special_ip(const json_t *value, const struct field_path *path,
                             struct field_errors *errors);

#endif

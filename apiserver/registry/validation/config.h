// SPDX-License-Identifier: Apache-2.0
/* Rules of settings, secrets and limits. Each is a kind's hook (registry/kinds.h). */
#ifndef APISERVER_REGISTRY_VALIDATION_CONFIG_H
#define APISERVER_REGISTRY_VALIDATION_CONFIG_H

#include "apiserver/registry/registry.h"

/* config.c */
void validate_config_map(const struct write *write, struct field_errors *errors);
void validate_secret(const struct write *write, struct field_errors *errors);
/* quotas.c */
void validate_resource_quota(const struct write *write, struct field_errors *errors);
/* limit_ranges.c */
void validate_limit_range(const struct write *write, struct field_errors *errors);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Rules of FlowSchemas and their priority levels. Each is a kind's hook (registry/kinds.h). */
#ifndef APISERVER_REGISTRY_VALIDATION_FLOW_CONTROL_H
#define APISERVER_REGISTRY_VALIDATION_FLOW_CONTROL_H

#include "apiserver/registry/registry.h"

/* flow_schemas.c */
void validate_flow_schema(const struct write *write, struct field_errors *errors);
/* Of the status of either kind. */
void validate_flow_conditions(const json_t *object, struct field_errors *errors);
/* priority_levels.c */
void validate_priority_level(const struct write *write, struct field_errors *errors);

#endif

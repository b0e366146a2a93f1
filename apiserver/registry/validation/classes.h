// SPDX-License-Identifier: Apache-2.0
/* Rules of the classes that pods name. Each is a kind's hook (registry/kinds.h). */
#ifndef APISERVER_REGISTRY_VALIDATION_CLASSES_H
#define APISERVER_REGISTRY_VALIDATION_CLASSES_H

#include "apiserver/registry/registry.h"

void validate_priority_class(const struct write *write, struct field_errors *errors);
void validate_runtime_class(const struct write *write, struct field_errors *errors);

#endif

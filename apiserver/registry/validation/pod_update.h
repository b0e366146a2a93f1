// SPDX-License-Identifier: Apache-2.0
/* What may change of a pod that is there: a few fields, and some of them in one direction only. */
#ifndef APISERVER_REGISTRY_VALIDATION_POD_UPDATE_H
#define APISERVER_REGISTRY_VALIDATION_POD_UPDATE_H

#include <jansson.h>

#include "common/error.h"

/* Of the spec, by an ordinary update. */
void validate_pod_update(const json_t *spec, const json_t *live, struct field_errors *errors);
/* Of the pod, by its subresources. */
void validate_ephemeral_update(const json_t *pod, const json_t *live, struct field_errors *errors);
void validate_resize_update(const json_t *pod, const json_t *live, struct field_errors *errors);

#endif

// SPDX-License-Identifier: Apache-2.0
#ifndef APISERVER_ADMISSION_POD_TOLERATION_RESTRICTION_H
#define APISERVER_ADMISSION_POD_TOLERATION_RESTRICTION_H

#include <jansson.h>

#include "common/error.h"

/* Checks the plugin's Configuration of podtolerationrestriction.admission.k8s.io: "default" and
 * "whitelist" are lists of tolerations. */
bool pod_toleration_restriction_check(const json_t *configuration, struct error *error);

#endif

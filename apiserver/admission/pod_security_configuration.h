// SPDX-License-Identifier: Apache-2.0
/* What PodSecurity is told: standards where namespaces say nothing, and who is exempt. */
#ifndef APISERVER_ADMISSION_POD_SECURITY_CONFIGURATION_H
#define APISERVER_ADMISSION_POD_SECURITY_CONFIGURATION_H

#include <jansson.h>
#include <stdbool.h>

#include "apiserver/admission/pod_security.h"
#include "common/error.h"

struct pod_security_configuration {
    struct pod_security_policy defaults;
    json_t *usernames, *runtime_classes, *namespaces; /* Lists of those that are exempt, or NULL. */
};

/* Of a PodSecurityConfiguration of pod-security.admission.config.k8s.io. The caller's. */
struct pod_security_configuration *pod_security_configuration_new(const json_t *json,
                                                                  struct error *error);
void pod_security_configuration_free(struct pod_security_configuration *configuration);

#endif

// SPDX-License-Identifier: Apache-2.0
/* What may be taken only where a ResourceQuota allows it: limitedResources of ResourceQuota's
 * configuration. By what is contained in resources' names, and by scopes. */
#ifndef APISERVER_ADMISSION_QUOTA_LIMITS_H
#define APISERVER_ADMISSION_QUOTA_LIMITS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/error.h"

struct quota_limits;

/* Of a ResourceQuotaConfiguration of apiserver.config.k8s.io/v1. The caller's. */
struct quota_limits *quota_limits_new(const json_t *json, struct error *error);
void quota_limits_free(struct quota_limits *limits); /* NULL is fine. */
/* Objects of the kind may take this resource only if a quota covers it. 'limits' may be NULL. */
bool quota_limits_apply(const struct quota_limits *limits, const char *group, const char *plural,
                        const char *resource);
/* The scopes that the object lies in and that a quota has to cover; the caller's. */
json_t *quota_limits_scopes(const struct quota_limits *limits, const char *group,
                            const char *plural, const json_t *object);

#endif

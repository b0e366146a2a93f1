// SPDX-License-Identifier: Apache-2.0
/*
 * A service's families of addresses: ipFamilyPolicy, ipFamilies and how many clusterIPs there are.
 *
 * What the client leaves out follows from the rest, from what the service was, and from the
 * families that the cluster has. It is filled in before validation, which calls the same function
 * once more on a copy and reports what is wrong then.
 */
#ifndef APISERVER_REGISTRY_KINDS_SERVICE_FAMILIES_H
#define APISERVER_REGISTRY_KINDS_SERVICE_FAMILIES_H

#include <jansson.h>
#include <stdbool.h>

#include "common/error.h"

/* Fills what is missing in 'spec'; 'live' is the former one, NULL on create. 'cluster' are the
 * families that services can have ("IPv4"), the default first; 'count' is 1 or 2. */
void service_fill_families(json_t *spec, const json_t *live, const char *const *cluster,
                           size_t count, struct field_errors *errors);

bool service_is_headless(const json_t *spec);
bool service_same_list(const json_t *a, const json_t *b, const char *name);

#endif

// SPDX-License-Identifier: Apache-2.0
/* /healthz, /livez and /readyz: all checks, ?verbose, ?exclude=name, or one check by its path. */
#ifndef APISERVER_HEALTH_H
#define APISERVER_HEALTH_H

#include "apiserver/registry/registry.h"

bool health_may_block(const struct registry *registry, const struct request *request);
void health_serve(struct registry *registry, struct request *request, struct response *response);

#endif

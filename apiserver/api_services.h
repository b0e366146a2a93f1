// SPDX-License-Identifier: Apache-2.0
/* The APIService objects of what this server serves itself: one for each group and version, as
 * upstream's aggregator registers them when it starts. */
#ifndef APISERVER_API_SERVICES_H
#define APISERVER_API_SERVICES_H

#include "apiserver/registry/registry.h"
#include "common/error.h"

/* Makes sure of all of them. One that somebody has taken over (it lacks the label that tells it is
 * managed) is left alone. */
bool api_services_ensure(struct registry *registry, struct error *error);

#endif

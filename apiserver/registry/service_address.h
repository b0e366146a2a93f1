// SPDX-License-Identifier: Apache-2.0
/*
 * Where the API server itself reaches a service, such as one that a webhook stands behind.
 *
 * That is one of its ready endpoints, as nothing on this machine need forward the service's own
 * address; or what an ExternalName names.
 *
 * Threads: from any thread; answered from the cache.
 */
#ifndef APISERVER_REGISTRY_SERVICE_ADDRESS_H
#define APISERVER_REGISTRY_SERVICE_ADDRESS_H

#include "apiserver/registry/registry.h"

/* "https://10.0.0.7:8443" for the service's port of that number; the caller's. The same 'turn'
 * finds the same endpoint while they don't change, the next one the next endpoint. NULL with an
 * error, 503: there is no such service, it has no such port, or nothing is ready behind it. */
char *service_address_find(struct registry *registry, const char *namespace, const char *name,
                           int port, unsigned turn, struct error *error);

#endif

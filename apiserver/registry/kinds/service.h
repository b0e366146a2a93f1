// SPDX-License-Identifier: Apache-2.0
/*
 * Cluster IPs and node ports: who has which.
 *
 * Kept in memory, filled from the stored services at start (which repairs whatever a crash left),
 * and changed under one lock, so that no two services get the same.
 */
#ifndef APISERVER_REGISTRY_KINDS_SERVICE_H
#define APISERVER_REGISTRY_KINDS_SERVICE_H

#include "apiserver/registry/registry.h"

struct service_allocator;

/* Parses registry->service_cluster_ip_range ("10.0.0.0/24") and ->service_node_port_range
 * ("30000-32767") and takes what stored services have. */
struct service_allocator *service_allocator_new(struct registry *registry, struct error *error);
void service_allocator_free(struct service_allocator *allocator);
/* The first address of the range: of the kubernetes service. The caller's. */
char *service_allocator_first(const struct service_allocator *allocator);

#endif

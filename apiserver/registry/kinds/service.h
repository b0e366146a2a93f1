// SPDX-License-Identifier: Apache-2.0
/*
 * Cluster IPs and node ports: who has which.
 *
 * Nothing is kept in memory. Whatever is taken has a key of its own in the store, created on
 * condition that there is none, so that several API servers on one etcd never give out the same
 * twice: an IPAddress object (networking.k8s.io) for an address, as upstream does it, and for a
 * port /registry/ranges/servicenodeports/<port>, of the same form. (Upstream keeps one bitmap of
 * all ports in one key; one key a port spares the servers from getting into each other's way, and
 * says whose it is.) Each names its service and the time when it was taken.
 *
 * A crash between taking something and storing the service leaves it taken; what was lost otherwise
 * leaves a service without its key. Both are repaired at start and every few minutes, from the
 * services that are stored. What was taken within the last minute is left alone: its service may be
 * on its way.
 */
#ifndef APISERVER_REGISTRY_KINDS_SERVICE_H
#define APISERVER_REGISTRY_KINDS_SERVICE_H

#include <arpa/inet.h>

#include "apiserver/registry/registry.h"

enum { SERVICE_FAMILIES_MAX = 2 };

struct service_allocator;

/* Parses registry->service_cluster_ip_range ("10.0.0.0/24", or one range of each family with a
 * comma between) and ->service_node_port_range ("30000-32767"). Addresses come from the ranges of
 * ServiceCIDRs that are ready as well. */
struct service_allocator *service_allocator_new(struct registry *registry, struct error *error);
/* Blocks. Repairs, and goes on doing so from a thread of its own. */
bool service_allocator_start(struct service_allocator *allocator, struct error *error);
void service_allocator_free(struct service_allocator *allocator);
/* The first address of the first range: of the kubernetes service. The caller's. */
char *service_allocator_first(const struct service_allocator *allocator);
/* The ranges as ServiceCIDR shows them: ["10.0.0.0/24"]. The caller's. */
json_t *service_allocator_ranges(const struct service_allocator *allocator);
/* Fills in the families that services can have ("IPv4"), the default first; returns how many. */
size_t service_allocator_families(const struct service_allocator *allocator,
                                  const char *families[static SERVICE_FAMILIES_MAX]);
/* The first and last node port. */
void service_allocator_ports(const struct service_allocator *allocator, unsigned *first,
                             unsigned *last);

/* For whom something is taken or given back. */
struct service_owner {
    const char *namespace, *name;
    bool stored;  /* It exists already. */
    bool dry_run; /* Looks, but takes nothing. */
};

enum service_taken {
    SERVICE_TAKEN,
    SERVICE_HAD, /* It was taken for this service before: not to be given back on a failure. */
    SERVICE_IN_USE,
    SERVICE_OUT_OF_RANGE,
    SERVICE_FULL,
    SERVICE_FAILED, /* The store failed; 'error' tells. */
};

/* Block. Take the one that is wanted, or any (an address of that family) when 'wanted' is NULL or
 * 0; 'chosen' tells which. */
enum service_taken service_take_address(struct service_allocator *allocator,
                                        const struct service_owner *owner, const char *family,
                                        const char *wanted, char chosen[static INET6_ADDRSTRLEN],
                                        struct error *error);
enum service_taken service_take_port(struct service_allocator *allocator,
                                     const struct service_owner *owner, unsigned wanted,
                                     unsigned *chosen, struct error *error);
/* Block. Give back what a service took, unless it is another's by now or the stored service has it.
 * Failures are logged, and repaired later. */
void service_release_address(struct service_allocator *allocator, const struct service_owner *owner,
                             const char *address);
void service_release_port(struct service_allocator *allocator, const struct service_owner *owner,
                          unsigned port);

#endif

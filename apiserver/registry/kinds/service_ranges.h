// SPDX-License-Identifier: Apache-2.0
/* Where cluster IPs may come from: the configured ranges, and those of ServiceCIDRs that are ready
 * and that nobody has deleted. All but parsing may be called from any thread. */
#ifndef APISERVER_REGISTRY_KINDS_SERVICE_RANGES_H
#define APISERVER_REGISTRY_KINDS_SERVICE_RANGES_H

#include "apiserver/registry/kinds/service.h"
#include "common/ip.h"

struct service_ranges {
    struct ip_network list[SERVICE_FAMILIES_MAX]; /* As configured, one a family. */
    size_t count;
    struct cache_table *more; /* Of ServiceCIDRs; borrowed. */
};

/* "10.0.0.0/24", or one range of each family with a comma between. */
bool service_ranges_parse(struct service_ranges *configured, const char *ranges,
                          struct error *error);

/* Ranges of one family that addresses may come from now. */
struct range_list {
    struct ip_network *list;
    size_t count;
};

/* The configured one first. The caller's. */
struct range_list service_ranges_of(const struct service_ranges *configured, int family);
void range_list_clear(struct range_list *ranges); /* Also fit for cleanup(). */
/* How many addresses may be given out: neither the first nor, with IPv4, the last one is used. */
uint32_t service_range_usable(const struct ip_network *range);
/* How many of those at the beginning are left, while there are others, to people who choose. */
uint32_t service_range_lower(const struct ip_network *range);
/* Somebody may choose this address, which is any of a range however large it is. */
bool service_ranges_contain(const struct service_ranges *configured, const char *address);

/* One of 'count' node ports that isn't used, by a random number; 'count' when all are. The lower
 * part of the range is left, while there are others, to ports that people choose. */
uint32_t service_choose_port(const char *used, uint32_t count, uint32_t random);

#endif

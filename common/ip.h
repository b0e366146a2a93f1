// SPDX-License-Identifier: Apache-2.0
/* Addresses and networks of both families, as numbers. All of it may be called from any thread. */
#ifndef COMMON_IP_H
#define COMMON_IP_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>

/* An address is a network of one. */
struct ip_network {
    int family;        /* AF_INET or AF_INET6. */
    int bits;          /* Length of the prefix. */
    uint8_t bytes[16]; /* Its first address, the highest byte first; four of them with AF_INET. */
};

/* "10.9.8.7"; leading zeros are fine, as Go's older parser takes them. False: it is none. */
bool ip_parse(const char *text, struct ip_network *address);
/* "10.9.8.0/24"; what the prefix doesn't cover becomes zero. */
bool ip_network_parse(const char *text, struct ip_network *network);
/* Such an address or network is one that other programs may read otherwise: with leading zeros in a
 * decimal number. */
bool ip_has_leading_zeros(const char *text);
/* "::ffff:10.0.0.1": makes it the IPv4 address, or network, that it stands for; false: it is none.
 */
bool ip_unmap(struct ip_network *address);
/* The whole of 'part' is in 'network'. */
bool ip_network_contains(const struct ip_network *network, const struct ip_network *part);
bool ip_network_equal(const struct ip_network *a, const struct ip_network *b);
/* The address this far behind the first one. */
struct ip_network ip_network_at(const struct ip_network *network, uint64_t offset);
/* The reverse; UINT64_MAX for what is outside, or too far. */
uint64_t ip_network_offset(const struct ip_network *network, const struct ip_network *address);
/* Without the prefix, in canonical form. */
void ip_format(const struct ip_network *address, char text[static INET6_ADDRSTRLEN]);
/* "IPv4" or "IPv6". */
const char *ip_family_name(int family);

#endif

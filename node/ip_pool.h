// SPDX-License-Identifier: Apache-2.0
/* The addresses of a node's pod range (IPv4), given out in turn. The loop's thread. */
#ifndef NODE_IP_POOL_H
#define NODE_IP_POOL_H

#include <stdbool.h>
#include <stdint.h>

struct ip_pool;

/* NULL when the text is no IPv4 range of at most 2^16 addresses, such as "10.244.1.0/24". */
struct ip_pool *ip_pool_new(const char *cidr);
void ip_pool_free(struct ip_pool *pool);
/* A free address, the caller's; NULL when there is none. The first and the last of the range, and
 * the one after the first (the node's own side), are not given out. */
char *ip_pool_take(struct ip_pool *pool);
/* Takes this one, if it is of the range. */
void ip_pool_claim(struct ip_pool *pool, const char *address);
void ip_pool_give_back(struct ip_pool *pool, const char *address);

#endif

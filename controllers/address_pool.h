// SPDX-License-Identifier: Apache-2.0
/*
 * Addresses that may be given out, as a list of ranges of both families:
 * "192.0.2.10-192.0.2.50,198.51.100.0/24,2001:db8::/120". It doesn't know who has which.
 *
 * Threads: immutable.
 */
#ifndef CONTROLLERS_ADDRESS_POOL_H
#define CONTROLLERS_ADDRESS_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/map.h"

struct address_range {
    unsigned __int128 first, last; /* An IPv4 one stands in the lowest 32 bits. */
    int bits;                      /* 32 or 128. */
};

struct address_pool {
    struct address_range *ranges;
    size_t count, capacity;
};

/* 400 that names the part that is no range. "" is an empty pool. */
bool address_pool_parse(const char *text, struct address_pool *pool, struct error *error);
void address_pool_free(struct address_pool *pool); /* Also fit for cleanup(). */

bool address_pool_has_family(const struct address_pool *pool, const char *family);
/* The text is an address of the pool and of this family ("IPv4", "IPv6"). */
bool address_pool_contains(const struct address_pool *pool, const char *family,
                           const char *address);
/* The first address of the family that is no key of 'used'; the caller's, NULL when there is none.
 */
char *address_pool_find_free(const struct address_pool *pool, const char *family,
                             const struct map *used);

#endif

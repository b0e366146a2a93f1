// SPDX-License-Identifier: Apache-2.0
#include "node/ip_pool.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/alloc.h"

enum { first_usable = 2, fewest_bits = 16, most_bits = 30 };

struct ip_pool {
    uint32_t base, size, next; /* Host byte order. */
    bool taken[];
};

struct ip_pool *ip_pool_new(const char *cidr)
{
    char address[INET_ADDRSTRLEN];
    struct in_addr base;
    unsigned bits;
    char rest;
    if (cidr == NULL || sscanf(cidr, "%15[0-9.]/%u%c", address, &bits, &rest) != 2 ||
        bits < fewest_bits || bits > most_bits || inet_pton(AF_INET, address, &base) != 1) {
        return NULL;
    }
    uint32_t size = UINT32_C(1) << (32 - bits);
    struct ip_pool *pool = allocate_zero(1, sizeof *pool + size * sizeof(bool));
    pool->base = ntohl(base.s_addr) & ~(size - 1);
    pool->size = size;
    pool->next = first_usable;
    return pool;
}

void ip_pool_free(struct ip_pool *pool)
{
    free(pool);
}

char *ip_pool_take(struct ip_pool *pool)
{
    uint32_t usable = pool->size - 1 - first_usable;
    for (uint32_t i = 0; i < usable; i++) {
        uint32_t at = first_usable + (pool->next - first_usable + i) % usable;
        if (!pool->taken[at]) {
            char text[INET_ADDRSTRLEN];
            struct in_addr address = {htonl(pool->base + at)};
            pool->taken[at] = true;
            pool->next = first_usable + (at + 1 - first_usable) % usable;
            return duplicate(inet_ntop(AF_INET, &address, text, sizeof text));
        }
    }
    return NULL;
}

static bool *slot_of(struct ip_pool *pool, const char *address)
{
    struct in_addr parsed;
    if (inet_pton(AF_INET, address, &parsed) != 1) {
        return NULL;
    }
    uint32_t at = ntohl(parsed.s_addr) - pool->base;
    return at < pool->size ? &pool->taken[at] : NULL;
}

void ip_pool_claim(struct ip_pool *pool, const char *address)
{
    bool *slot = slot_of(pool, address);
    if (slot != NULL) {
        *slot = true;
    }
}

void ip_pool_give_back(struct ip_pool *pool, const char *address)
{
    bool *slot = slot_of(pool, address);
    if (slot != NULL) {
        *slot = false;
    }
}

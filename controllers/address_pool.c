// SPDX-License-Identifier: Apache-2.0
#include "controllers/address_pool.h"

#include <string.h>

#include "common/alloc.h"
#include "common/ip.h"
#include "controllers/cidr_set.h"

static bool parse_address(const char *text, struct cidr *address)
{
    struct ip_network parsed;
    char canonical[INET6_ADDRSTRLEN];
    if (!ip_parse(text, &parsed)) {
        return false;
    }
    ip_format(&parsed, canonical);
    cleanup(free_char)
    char *network = format("%s%s", canonical, parsed.family == AF_INET6 ? "/128" : "/32");
    return cidr_parse(network, address);
}

/* "first-last", a network, or one address. */
static bool parse_range(char *text, struct address_range *range)
{
    struct cidr first, last;
    char *dash = strchr(text, '-');
    if (dash != NULL) {
        *dash = '\0';
        bool right = parse_address(text, &first) && parse_address(dash + 1, &last) &&
                     first.bits == last.bits && first.first <= last.first;
        *dash = '-';
        *range = (struct address_range){first.first, last.first, first.bits};
        return right;
    }
    if (strchr(text, '/') == NULL ? !parse_address(text, &first) : !cidr_parse(text, &first)) {
        return false;
    }
    unsigned __int128 rest = first.prefix == 0
                                 ? ~(unsigned __int128)0 >> (128 - first.bits)
                                 : ((unsigned __int128)1 << (first.bits - first.prefix)) - 1;
    *range = (struct address_range){first.first, first.first + rest, first.bits};
    return true;
}

bool address_pool_parse(const char *text, struct address_pool *pool, struct error *error)
{
    cleanup(free_char)
    char *copy = duplicate(text);
    char *rest = NULL;
    *pool = (struct address_pool){0};
    for (char *part = strtok_r(copy, ",", &rest); part != NULL; part = strtok_r(NULL, ",", &rest)) {
        struct address_range range;
        if (!parse_range(part, &range)) {
            address_pool_free(pool);
            return error_bad_request(error,
                                     "\"%s\" is no address, network or range of addresses such as "
                                     "192.0.2.10-192.0.2.50",
                                     part);
        }
        pool->ranges = grow(pool->ranges, pool->count, &pool->capacity, sizeof *pool->ranges);
        pool->ranges[pool->count++] = range;
    }
    return true;
}

void address_pool_free(struct address_pool *pool)
{
    free(pool->ranges);
    *pool = (struct address_pool){0};
}

static int bits_of(const char *family)
{
    return strcmp(family, "IPv6") == 0 ? 128 : 32;
}

bool address_pool_has_family(const struct address_pool *pool, const char *family)
{
    for (size_t i = 0; i < pool->count; i++) {
        if (pool->ranges[i].bits == bits_of(family)) {
            return true;
        }
    }
    return false;
}

bool address_pool_contains(const struct address_pool *pool, const char *family, const char *address)
{
    struct cidr parsed;
    if (!parse_address(address, &parsed) || parsed.bits != bits_of(family)) {
        return false;
    }
    for (size_t i = 0; i < pool->count; i++) {
        const struct address_range *range = &pool->ranges[i];
        if (range->bits == parsed.bits && range->first <= parsed.first &&
            parsed.first <= range->last) {
            return true;
        }
    }
    return false;
}

static char *address_text(unsigned __int128 address, int bits)
{
    char text[CIDR_TEXT_SIZE];
    const struct cidr cidr = {address, bits, bits};
    cidr_format(&cidr, text);
    return duplicate_bytes(text, strcspn(text, "/"));
}

char *address_pool_find_free(const struct address_pool *pool, const char *family,
                             const struct map *used)
{
    for (size_t i = 0; i < pool->count; i++) {
        const struct address_range *range = &pool->ranges[i];
        if (range->bits != bits_of(family)) {
            continue;
        }
        for (unsigned __int128 at = range->first;; at++) { /* No more steps than 'used' has keys. */
            char *text = address_text(at, range->bits);
            if (map_get(used, text) == NULL) {
                return text;
            }
            free(text);
            if (at == range->last) {
                break;
            }
        }
    }
    return NULL;
}

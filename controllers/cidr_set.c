// SPDX-License-Identifier: Apache-2.0
#include "controllers/cidr_set.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

struct cidr_set {
    struct cidr range;
    int block_prefix;
    size_t count, next; /* Where the next search begins. */
    uint32_t users[];   /* Of each block: two nodes may have been given one by hand. */
};

/* How many addresses share a prefix, less one: the bits behind it. */
static unsigned __int128 host_mask(const struct cidr *cidr)
{
    int bits = cidr->bits - cidr->prefix;
    return bits >= 128 ? ~(unsigned __int128)0 : ((unsigned __int128)1 << bits) - 1;
}

bool cidr_parse(const char *text, struct cidr *cidr)
{
    unsigned char bytes[16];
    char address[INET6_ADDRSTRLEN], *end;
    const char *slash = strchr(text, '/');
    if (slash == NULL || (size_t)(slash - text) >= sizeof address || slash[1] < '0' ||
        slash[1] > '9') {
        return false;
    }
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = '\0';
    bool is_v6 = strchr(address, ':') != NULL;
    long prefix = strtol(slash + 1, &end, 10);
    *cidr = (struct cidr){.bits = is_v6 ? 128 : 32, .prefix = (int)prefix};
    if (*end != '\0' || prefix > cidr->bits ||
        inet_pton(is_v6 ? AF_INET6 : AF_INET, address, bytes) != 1) {
        return false;
    }
    for (int i = 0; i < cidr->bits / 8; i++) {
        cidr->first = cidr->first << 8 | bytes[i];
    }
    cidr->first &= ~host_mask(cidr);
    return true;
}

void cidr_format(const struct cidr *cidr, char text[static CIDR_TEXT_SIZE])
{
    unsigned char bytes[16];
    char address[INET6_ADDRSTRLEN];
    int length = cidr->bits / 8;
    for (int i = 0; i < length; i++) {
        bytes[i] = (unsigned char)(cidr->first >> (8 * (length - 1 - i)));
    }
    inet_ntop(cidr->bits == 128 ? AF_INET6 : AF_INET, bytes, address, sizeof address);
    snprintf(text, CIDR_TEXT_SIZE, "%s/%d", address, cidr->prefix);
}

struct cidr_set *cidr_set_new(const struct cidr *range, int block_prefix, struct error *error)
{
    enum { blocks_log_max = 16 };
    if (block_prefix < range->prefix || block_prefix > range->bits) {
        error_bad_request(error, "a range of /%d has no blocks of /%d", range->prefix,
                          block_prefix);
        return NULL;
    }
    if (block_prefix - range->prefix > blocks_log_max) {
        error_bad_request(error, "a range of /%d has too many blocks of /%d: at most 65536",
                          range->prefix, block_prefix);
        return NULL;
    }
    size_t count = (size_t)1 << (block_prefix - range->prefix);
    struct cidr_set *set = allocate_zero(1, sizeof *set + count * sizeof set->users[0]);
    set->range = *range;
    set->block_prefix = block_prefix;
    set->count = count;
    return set;
}

void cidr_set_free(struct cidr_set *set)
{
    free(set);
}

static struct cidr block_at(const struct cidr_set *set, size_t index)
{
    struct cidr block = {.prefix = set->block_prefix, .bits = set->range.bits};
    block.first = set->range.first + (host_mask(&block) + 1) * index;
    return block;
}

bool cidr_set_allocate(struct cidr_set *set, struct cidr *block)
{
    for (size_t tried = 0; tried < set->count; tried++) {
        size_t index = (set->next + tried) % set->count;
        if (set->users[index] == 0) {
            set->users[index] = 1;
            set->next = (index + 1) % set->count;
            *block = block_at(set, index);
            return true;
        }
    }
    return false;
}

/* The blocks [*begin, *end) that have addresses of the range. */
static bool find_blocks(const struct cidr_set *set, const struct cidr *range, size_t *begin,
                        size_t *end)
{
    unsigned __int128 last = range->first + host_mask(range);
    unsigned __int128 set_last = set->range.first + host_mask(&set->range);
    if (range->bits != set->range.bits || last < set->range.first || range->first > set_last) {
        return false;
    }
    int shift = set->range.bits - set->block_prefix;
    unsigned __int128 from = range->first > set->range.first ? range->first : set->range.first;
    unsigned __int128 to = last < set_last ? last : set_last;
    /* A set of one block of all addresses would shift by the whole width. */
    *begin = shift >= 128 ? 0 : (size_t)((from - set->range.first) >> shift);
    *end = (shift >= 128 ? 0 : (size_t)((to - set->range.first) >> shift)) + 1;
    return true;
}

bool cidr_set_occupy(struct cidr_set *set, const struct cidr *range)
{
    size_t begin, end;
    if (!find_blocks(set, range, &begin, &end)) {
        return false;
    }
    for (size_t i = begin; i < end; i++) {
        set->users[i]++;
    }
    return true;
}

bool cidr_set_release(struct cidr_set *set, const struct cidr *range)
{
    size_t begin, end;
    if (!find_blocks(set, range, &begin, &end)) {
        return false;
    }
    bool was_held = true;
    for (size_t i = begin; i < end; i++) {
        was_held = was_held && set->users[i] > 0;
        set->users[i] -= set->users[i] > 0;
    }
    return was_held;
}

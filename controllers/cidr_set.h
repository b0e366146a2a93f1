// SPDX-License-Identifier: Apache-2.0
/*
 * A range of addresses cut into equal blocks that are given to holders, one block each: the pod
 * addresses of a cluster and its nodes.
 *
 * A block that was given back is not given out at once: the search goes round, so that addresses of
 * a node that went are not met again on another while somebody may still remember them.
 *
 * Not thread-safe.
 */
#ifndef CONTROLLERS_CIDR_SET_H
#define CONTROLLERS_CIDR_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* Addresses of both families as numbers: an IPv4 one stands in the lowest 32 bits. */
struct cidr {
    unsigned __int128 first; /* The bits behind the prefix are 0. */
    int prefix;              /* Bits of its own family. */
    int bits;                /* 32 or 128. */
};

enum { CIDR_TEXT_SIZE = 64 };

/* "10.244.0.0/16"; false when the text is no such range. */
bool cidr_parse(const char *text, struct cidr *cidr);
void cidr_format(const struct cidr *cidr, char text[static CIDR_TEXT_SIZE]);

struct cidr_set;

/* Blocks of 'block_prefix' bits. 400 when the range is smaller than a block or has more than 65,536
 * of them. The caller's. */
struct cidr_set *cidr_set_new(const struct cidr *range, int block_prefix, struct error *error);
void cidr_set_free(struct cidr_set *set); /* NULL is fine. */

/* Takes the next free block; false when there is none. */
bool cidr_set_allocate(struct cidr_set *set, struct cidr *block);
/* Every block that the range touches has one user more, or one less. A range of which nothing is in
 * the set is false, and so is giving back what nobody has. */
bool cidr_set_occupy(struct cidr_set *set, const struct cidr *range);
bool cidr_set_release(struct cidr_set *set, const struct cidr *range);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Amounts of resources as integers: CPU in thousandths, memory and ephemeral storage in bytes, and
 * extended resources by a number that stands for their name.
 */
#ifndef SCHEDULER_RESOURCE_AMOUNTS_H
#define SCHEDULER_RESOURCE_AMOUNTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct extended_amount {
    uint32_t name; /* See resource_names_find(). */
    int64_t value;
};

struct resource_amounts {
    int64_t milli_cpu, memory, ephemeral_storage;
    struct extended_amount *extended; /* Each name once, in no order. */
    uint32_t extended_count, extended_capacity;
};

#define RESOURCE_AMOUNTS_INIT ((struct resource_amounts){0})

/* A pod's amounts are no larger than this (2^50 bytes are a PiB), and a node's are smaller, so that
 * sums over the thousands of pods on a node never leave 64 bits, and who asks for more fits
 * nowhere.
 */
#define RESOURCE_AMOUNT_MAX (INT64_C(1) << 50)

/* Adds (sign 1) or takes off (-1). */
void resource_amounts_add(struct resource_amounts *amounts, const struct resource_amounts *other,
                          int sign);
/* Each amount becomes the larger of the two. */
void resource_amounts_max(struct resource_amounts *amounts, const struct resource_amounts *other);
void resource_amounts_clear(struct resource_amounts *amounts);
/* 0 when it is not there. */
int64_t resource_amounts_extended(const struct resource_amounts *amounts, uint32_t name);
/* Adds a ResourceList such as a container's requests, of each RESOURCE_AMOUNT_MAX at most; "pods"
 * is left out. */
void resource_amounts_add_list(struct resource_amounts *amounts, const json_t *list);

/* Each amount becomes the smaller of itself and the limit. */
void resource_amounts_limit(struct resource_amounts *amounts, int64_t limit);

/* What a pod asks for: the sum of its containers and sidecars, or what an init container needs
 * beside the sidecars started before it, whichever is more; plus its overhead. Amounts given for
 * the pod as a whole stand above those of its containers. 'assumed' counts, for scores,
 * 100m CPU and 200Mi memory for containers that ask for none. */
void resource_amounts_of_pod(const json_t *spec, struct resource_amounts *amounts,
                             struct resource_amounts *assumed);

/* Names of extended resources, numbered as they turn up; for the life of the process. Any thread.
 */
uint32_t resource_names_find(const char *name);
const char *resource_names_text(uint32_t name); /* Borrowed. */

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Amounts of resources by name, as a ResourceList has them, and what a pod asks for in all.
 *
 * For a few resources at a time: names are searched one after another. What is no quantity in a
 * tree counts as absent; validation speaks of it.
 */
#ifndef COMMON_AMOUNTS_H
#define COMMON_AMOUNTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/quantity.h"

struct amount {
    char *name;
    struct quantity quantity;
};

/* In the order in which names were added. Begin with AMOUNTS_INIT. */
struct amounts {
    struct amount *list;
    size_t count, capacity;
};

#define AMOUNTS_INIT ((struct amounts){0})
void amounts_clear(struct amounts *amounts); /* Also fit for cleanup(). */

/* Borrowed; NULL when the name is not there. */
const struct quantity *amounts_find(const struct amounts *amounts, const char *name);
void amounts_set(struct amounts *amounts, const char *name, const struct quantity *quantity);
/* Sums up; a name that is not there, or zero, takes over the format. */
void amounts_add(struct amounts *amounts, const char *name, const struct quantity *quantity);
void amounts_add_all(struct amounts *amounts, const struct amounts *more);
/* Leaves the larger one of each. */
void amounts_raise_all(struct amounts *amounts, const struct amounts *others);
/* Of a ResourceList; NULL is an empty one. */
void amounts_add_tree(struct amounts *amounts, const json_t *list);
json_t *amounts_tree(const struct amounts *amounts); /* The caller's. */
/* By name, in byte order. */
void amounts_sort(struct amounts *amounts);

/* "requests" or "limits" of a pod, from its spec: the containers and sidecars together, or the init
 * container that needs most beside the sidecars that run by then; what is said of the pod as a
 * whole comes before that. Without the overhead of its runtime class. */
void amounts_of_pod(const json_t *spec, const char *kind, struct amounts *amounts);
/* With the overhead; a limit that nobody set stays absent. */
void amounts_of_pod_with_overhead(const json_t *spec, const char *kind, struct amounts *amounts);

#endif

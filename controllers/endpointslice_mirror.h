// SPDX-License-Identifier: Apache-2.0
/* The EndpointSlices that stand for Endpoints made by hand. Pure functions. */
#ifndef CONTROLLERS_ENDPOINTSLICE_MIRROR_H
#define CONTROLLERS_ENDPOINTSLICE_MIRROR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

extern const char mirror_manager[];

/* Whoever made them wants them mirrored: no label says otherwise, and they are not what old
 * programs elect a leader with. */
bool mirror_is_wanted(const json_t *endpoints);

struct mirror_losses {
    size_t invalid; /* Addresses that are no IP addresses. */
    size_t skipped; /* These, and those beyond what a subset may have. */
};

/* The new slices, complete but for their names: one for each family of each subset, after the
 * subsets were packed anew; of each at most 'max' addresses. The caller's. */
json_t *mirror_slices(const json_t *endpoints, size_t max, struct mirror_losses *losses);

#endif

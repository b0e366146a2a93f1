// SPDX-License-Identifier: Apache-2.0
/*
 * Endpoints' subsets: ports that the very same addresses offer share one subset, as in upstream's
 * RepackSubsets; addresses are sorted. Pure.
 */
#ifndef CONTROLLERS_ENDPOINTS_PACK_H
#define CONTROLLERS_ENDPOINTS_PACK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* A pod that a service leads to. Strings are never NULL; "" is absent. */
struct endpoints_pod {
    const char *ip, *hostname, *node;
    const char *namespace, *name, *uid;
    bool is_ready;
    const int *numbers; /* For each port of the service its number in the pod; 0: it has none. */
    json_t *address;    /* How the subsets tell it; NULL: made of the above. Borrowed. */
};

/* The subsets of these pods, which are sorted in place; 'ports' is the service's spec.ports. A
 * service without ports gets one subset without them, and so does a port of the number -1. Of more
 * than 'max' addresses the ready ones come first, each subset gives up its share of the others, and
 * '*truncated' is set. The caller's. */
json_t *endpoints_pack(struct endpoints_pod *pods, size_t count, const json_t *ports, size_t max,
                       bool *truncated);

#endif

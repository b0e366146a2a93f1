// SPDX-License-Identifier: Apache-2.0
/*
 * The kinds that the API server serves, as its aggregated discovery tells them. For controllers
 * that work on all kinds there are, such as those that empty namespaces and collect garbage.
 */
#ifndef CONTROLLERS_DISCOVERY_H
#define CONTROLLERS_DISCOVERY_H

#include "common/client.h"

enum {
    DISCOVERY_GET = 1,
    DISCOVERY_LIST = 2,
    DISCOVERY_WATCH = 4,
    DISCOVERY_PATCH = 8,
    DISCOVERY_DELETE = 16,
    DISCOVERY_DELETE_COLLECTION = 32,
};

struct discovered {
    struct api_resource resource; /* Its strings are the discovery's own. */
    unsigned verbs;
    bool has_scale;    /* It has the subresource "scale". */
    bool is_preferred; /* No earlier version of the group has this resource. */
};

struct discovery {
    struct discovered **items; /* Each stays where it is. */
    size_t count, capacity;
    json_t *failures; /* Group versions that are not known now, and why; an object. */
};

#define DISCOVERY_INIT ((struct discovery){0})

/* Asks the server. Blocks. False with an error when it does not answer; groups that it knows
 * nothing of at the moment are in 'failures'. */
bool discovery_read(struct client *client, struct discovery *discovery, struct error *error);
/* Adds an APIGroupDiscoveryList. */
void discovery_add(struct discovery *discovery, const json_t *list);
/* "unable to retrieve the complete list of server APIs: …"; NULL when all are known. The caller's.
 */
char *discovery_failure(const struct discovery *discovery);
/* The kind of an owner reference; NULL when it is not served. Borrowed. */
const struct discovered *discovery_find(const struct discovery *discovery, const char *api_version,
                                        const char *kind);
/* Moves over what 'into' does not know yet. */
void discovery_merge(struct discovery *into, struct discovery *from);
void discovery_free(struct discovery *discovery); /* Also fit for cleanup(). */

#endif

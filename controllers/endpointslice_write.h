// SPDX-License-Identifier: Apache-2.0
/*
 * Writing the EndpointSlices of one service, for those who make them: first what is new, then what
 * changes, then what goes, so that no endpoint is missing in between.
 */
#ifndef CONTROLLERS_ENDPOINTSLICE_WRITE_H
#define CONTROLLERS_ENDPOINTSLICE_WRITE_H

#include "controllers/controller.h"
#include "controllers/own_writes.h"

struct slice_write {
    const struct cached_object *old; /* NULL: it is to be created. Borrowed. */
    json_t *slice;                   /* The whole object. */
};

struct slice_writes {
    struct slice_write *items;
    size_t count, capacity;
    struct cached_list deletions;
};

#define SLICE_WRITES_INIT ((struct slice_writes){0})

/* Consumes the slice. */
void slice_writes_add(struct slice_writes *writes, const struct cached_object *old, json_t *slice);
/* The same for a new slice that is to take the old one's place and name. */
void slice_writes_replace(struct slice_writes *writes, const struct cached_object *old,
                          json_t *slice);
void slice_writes_free(struct slice_writes *writes); /* Also fit for cleanup(). */

/* Makes an update of each creation for which one of the slices to be deleted can be had: of the
 * same addressType, and owned by the object of this uid. */
void slice_writes_recycle(struct slice_writes *writes, const char *owner_uid);

/* Sends all. What was written is noted under the key in 'own', if the key is to wait until it is
 * seen. Nothing is created where 'may_create' is false, nor counts as failed in a namespace that is
 * being deleted. 'what' names the owner in errors: "Service default/web". Blocks. */
bool slice_writes_send(const struct slice_writes *writes, struct client *client,
                       struct own_writes *own, const char *key, bool may_create, const char *what,
                       struct error *error);

/* A new slice without endpoints and ports: generateName after the service, which has the owner's
 * name, and the controller reference to the owner; the caller's. */
json_t *slice_new(const json_t *owner, int family);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Owner references: what belongs to a controller's object, and adopting and releasing by selector.
 *
 * An object belongs to the owner whose reference says controller: true. What matches an owner's
 * selector and belongs to nobody is adopted; what belongs to it and matches no more is released.
 */
#ifndef CONTROLLERS_OWNER_H
#define CONTROLLERS_OWNER_H

#include "common/client.h"
#include "common/indexer.h"

/* The controller reference to an object, kind and apiVersion included in it; the caller's. */
json_t *owner_reference(const json_t *owner);

/* The object's controller reference is to this very owner. */
bool owner_controls(const json_t *owner, const json_t *object);
/* For an index "orphan": the namespace of what no controller owns. */
void owner_index_orphans(const struct cached_object *object, struct index_values *values);

struct owner_claim {
    struct client *client;
    const struct api_resource *owner_resource;
    const json_t *owner; /* The whole object. */
    const struct selector *selector;
    const struct api_resource *resource; /* Of what is claimed. */
    const char *finalizer; /* Given with the reference and taken away with it; NULL: none. */
};

/* Of the candidates (those that the owner controls, and those that nobody does) appends to
 * 'claimed' what belongs to the owner after adopting and releasing. Before the first adoption the
 * owner is read again from the server: one that is being deleted or was made anew adopts nothing.
 * False when a candidate could not be adopted or released for another reason than being gone; the
 * others are claimed nevertheless. Blocks. */
bool owner_claim(const struct owner_claim *claim, const struct cached_list *candidates,
                 struct cached_list *claimed, struct error *error);

/* The object's spec.selector parsed; that of a ReplicationController is a plain map. The caller's;
 * NULL with an error. */
struct selector *owner_selector(const json_t *object, struct error *error);
/* That selector matches the labels of the object, which the owner may adopt when nobody owns it. */
bool owner_selects(const struct cached_object *owner, const struct cached_object *object);

#endif

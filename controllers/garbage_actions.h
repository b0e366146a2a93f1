// SPDX-License-Identifier: Apache-2.0
/*
 * What the garbage collector does to objects, each of a certain uid: a namesake is never touched,
 * and one that is gone already is no error. All of it blocks.
 */
#ifndef CONTROLLERS_GARBAGE_ACTIONS_H
#define CONTROLLERS_GARBAGE_ACTIONS_H

#include "controllers/garbage_graph.h"

/* The metadata as the server has it now ('*live' the caller's); NULL when the object is gone.
 * 'place' has its resource. */
bool garbage_read(struct client *client, const struct garbage_place *place, json_t **live,
                  struct error *error);
/* Deletes the object if its owners are still those of 'live'. */
bool garbage_delete(struct client *client, const struct garbage_place *place, const json_t *live,
                    const char *policy, struct error *error);
/* Writes other owner references, if the object is still as 'live'. '*live' becomes what was
 * written. */
bool garbage_write_owners(struct client *client, const struct garbage_place *place, json_t **live,
                          json_t *owners, struct error *error);
bool garbage_remove_finalizer(struct client *client, const struct garbage_place *place,
                              const char *finalizer, struct error *error);
/* Takes the owner out of the references of all these. False with the first error, after trying
 * all. */
bool garbage_release(struct client *client, const struct garbage_place *dependents, size_t count,
                     const char *owner_uid, struct error *error);

/* ---- pure ---- */

/* Metadata's owner references without those of this uid; the caller's. */
json_t *garbage_owners_without(const json_t *owners, const char *uid);
/* The same references, none of them blocking; the caller's. */
json_t *garbage_owners_unblocked(const json_t *owners);
/* How an object goes that nobody wants any more: as its finalizers say. */
const char *garbage_policy(const json_t *metadata);

#endif

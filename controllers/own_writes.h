// SPDX-License-Identifier: Apache-2.0
/*
 * Own writes keep a controller that makes objects of generated names from making them twice: after
 * writing it notes what the server answered, and works on that key again only when its informer has
 * brought it that far.
 *
 * What the informer has not brought within ten seconds was undone by somebody else in between.
 *
 * Threads: any, each key on one at a time.
 */
#ifndef CONTROLLERS_OWN_WRITES_H
#define CONTROLLERS_OWN_WRITES_H

#include "common/indexer.h"

struct own_writes;

struct own_writes *own_writes_new(void);
void own_writes_free(struct own_writes *writes);

/* The server has created or updated this object. */
void own_writes_note(struct own_writes *writes, const char *key, const json_t *written);
/* It has deleted this one. */
void own_writes_note_deletion(struct own_writes *writes, const char *key,
                              const struct cached_object *deleted);
/* The indexer shows all that was noted under the key. */
bool own_writes_are_seen(struct own_writes *writes, const char *key, const struct indexer *indexer);
void own_writes_forget(struct own_writes *writes, const char *key);

#endif

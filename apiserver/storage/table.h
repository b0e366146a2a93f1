// SPDX-License-Identifier: Apache-2.0
/*
 * The inside of a cache table: objects in key order, in chunks that snapshots share.
 *
 * A chunk holds up to chunk_max objects. While only the table refers to a chunk it is changed in
 * place; once a snapshot shares it, the table changes a copy. Private to the storage folder; the
 * caller holds the table's lock.
 */
#ifndef APISERVER_STORAGE_TABLE_H
#define APISERVER_STORAGE_TABLE_H

#include "apiserver/storage/cache.h"

enum { chunk_max = 256 };

struct chunk {
    atomic_uint references;
    uint32_t count;
    struct object *objects[chunk_max]; /* A reference each. */
};

struct chunks {
    struct chunk **list; /* No chunk is empty. */
    size_t count, capacity;
    size_t objects; /* In all chunks. */
};

/* Borrowed; NULL when absent. */
struct object *chunks_get(const struct chunks *chunks, const char *key);
/* Puts the object (consumes the reference) in its place; returns the one it replaced, the caller's,
 * or NULL. */
struct object *chunks_put(struct chunks *chunks, struct object *object);
/* Takes the object out; the caller's, or NULL. */
struct object *chunks_remove(struct chunks *chunks, const char *key);
/* The objects whose keys begin with 'prefix'. */
struct snapshot *chunks_snapshot(const struct chunks *chunks, const char *prefix);
void chunks_free(struct chunks *chunks);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * The watch cache: everything in the store, kept current by the store's one stream of changes.
 *
 * There is one table a storage prefix ("/registry/pods/"), holding the present objects in key order
 * and a log of the latest changes. Reads are answered from a table, never from the store, except
 * for revisions that have passed. A list takes a snapshot: the table's objects stand in chunks that
 * are shared with snapshots and copied when they change, so taking one costs a reference a chunk,
 * and what has been taken never changes. A watch is a cursor into the log.
 *
 * Revisions are the store's and mean the same in every table. A table's snapshot is exact at its
 * revision: every change up to it is in, none after it.
 *
 * What is *not* here: encoding, selectors of requests, anything of HTTP.
 *
 * Locks: each table has one rwlock for objects and log; the store's thread alone writes. The list
 * of a table's watchers has a mutex; wake callbacks run under it, from the dispatcher thread, and
 * must only mark and signal. The list of its observers has one, held while they are called. No lock
 * is held over a system call of ours.
 */
#ifndef APISERVER_STORAGE_CACHE_H
#define APISERVER_STORAGE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "apiserver/storage/object.h"
#include "apiserver/storage/store.h"
#include "common/schema.h"

struct cache;
struct cache_table;

/* Loads all resources of the scheme from the store and follows it. Blocks until loaded. A stored
 * value that can't be read (protobuf, encrypted, no JSON) is an error that names its key: it is
 * neither skipped nor touched. The cache keeps 'store' and 'scheme', borrowed. */
struct cache *cache_open(struct store *store, struct scheme *scheme, struct error *error);
/* Call after store_close(), when no callback comes any more. No watcher is left. */
void cache_free(struct cache *cache);

/* The table of a resource's objects (of any version), NULL for virtual resources. */
struct cache_table *cache_table(struct cache *cache, const struct resource *resource);
const struct object_class *cache_table_class(const struct cache_table *table);

/* Everything up to this revision is in the cache. */
int64_t cache_revision(struct cache *cache);

/* Blocks, unless the store is local, and refuses to on a fiber (503), as the next: after it, the
 * cache holds every write that was acknowledged before the call. Callers that wait at the same time
 * share one question to the store. False with 504 after 5 seconds, or 503. */
bool cache_wait_current(struct cache *cache, struct error *error);
/* Blocks until the cache has reached a revision; 504 Timeout after 'timeout_ms', in upstream's
 * words
 * ("Too large resource version: 12, current: 10"). */
bool cache_wait_revision(struct cache *cache, int64_t revision, int timeout_ms,
                         struct error *error);
/* The two above would return at once. */
bool cache_is_local(const struct cache *cache);
/* The cache follows the store: its stream is alive. For health checks. */
bool cache_follows(struct cache *cache);

/* A reference to the object at "namespace/name" or "name", or NULL. */
struct object *cache_get(struct cache_table *table, const char *key);
size_t cache_count(struct cache_table *table);

/* ---- snapshots ---- */

/* Objects of a table whose keys begin with some prefix, in key order. Immutable. */
struct snapshot {
    int64_t revision;
    struct object **objects; /* 'count' of them, borrowed from the chunks. */
    size_t count;
    struct chunk **chunks; /* References that keep the objects. */
    size_t chunk_count;
};

/* Of the whole table (prefix "") or of one namespace (prefix "default/"). The caller's. */
struct snapshot *cache_snapshot(struct cache_table *table, const char *prefix);
/* A snapshot made of single objects whose references it takes over; for old revisions. */
struct snapshot *snapshot_of_objects(struct object **objects, size_t count, int64_t revision);
void snapshot_free(struct snapshot *snapshot);

/* The table has not changed after this revision (and the cache has reached it): a snapshot taken
 * now shows it as it was then. */
bool cache_unchanged_since(struct cache_table *table, int64_t revision);

/* ---- changes ---- */

struct change {
    int64_t revision;
    bool deleted;
    struct object *object;   /* As it is now; on a delete as it was last. */
    struct object *previous; /* As it was before; NULL when it was created. */
};

/* A reader of one table's changes. The caller embeds it in a struct of its own. */
struct cache_watcher {
    /* Something may be there to read, or 'due_ns' has passed. Called from the dispatcher thread. */
    void (*wake)(struct cache_watcher *watcher);
    /* Whether this change may matter to the watcher: cheap, no false "no". NULL: all do. */
    bool (*interested)(const struct cache_watcher *watcher, const struct change *change);
    _Atomic int64_t due_ns; /* timestamp_monotonic() at which to wake it in any case; 0: never. */
    /* The rest is the cache's. */
    struct cache_table *table;
    _Atomic uint64_t next; /* Sequence number of the next change to read. */
    atomic_bool waiting;   /* It has read everything and wants to be woken. */
    struct cache_watcher *previous_in_table, *next_in_table;
};

/* Starts behind 'revision'. False with 410 Expired ("too old resource version: 5 (10)") when the
 * log does not reach back that far. */
bool cache_watch(struct cache_table *table, struct cache_watcher *watcher, int64_t revision,
                 struct error *error);
/* After it, wake is not called any more. */
void cache_unwatch(struct cache_watcher *watcher);

enum cache_read { CACHE_READ_CHANGES, CACHE_READ_NOTHING, CACHE_READ_TOO_OLD };

/* Reads up to 'max' next changes; their objects carry references that the caller drops with
 * change_clear(). READ_NOTHING marks the watcher as waiting: wake follows as soon as there is one
 * that interests it. '*revision' is up to where the watcher has now seen everything. READ_TOO_OLD:
 * it fell behind further than the log reaches. */
enum cache_read cache_watch_read(struct cache_watcher *watcher, struct change *changes, size_t max,
                                 size_t *count, int64_t *revision);
void change_clear(struct change *change);

/* Somebody who keeps something made of a table's objects, and may never be behind it: it is called
 * before the revision of a change is published, and so before the write that made the change is
 * acknowledged. Embedded in a struct of the observer's own; stays until the store is closed. */
struct cache_observer {
    /* The object is there, or is changed; or is gone, when it is as it was last. Called from the
     * store's thread for one change after another: be quick, don't block, and don't look at the
     * table. */
    void (*changed)(struct cache_observer *observer, const struct object *object, bool deleted);
    struct cache_observer *next; /* The cache's. */
};

/* Shows the observer all objects of the table, in the calling thread, and then each change. */
void cache_observe(struct cache_table *table, struct cache_observer *observer);

/* Number of objects and watchers a resource, for metrics. */
void cache_statistics(struct cache *cache,
                      void (*report)(void *argument, const struct resource *resource,
                                     size_t objects, size_t watchers),
                      void *argument);

#endif

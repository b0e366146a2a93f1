// SPDX-License-Identifier: Apache-2.0
/*
 * A store: keys to values, every change with a revision, all changes in one order.
 *
 * The model is etcd's v3 key-value API, reduced to what an API server needs. A store is a sequence
 * of revisions, starting at 1 for an empty store. A transaction that changes something takes the
 * next revision and stamps it on the key it wrote ("mod revision"). Whoever watches from revision r
 * sees each change after r once, in order, without gaps, over the *whole* key space: the API server
 * keeps one watch and one cache, so that a revision means the same everywhere.
 *
 * Two implementations pass the same tests (test/storage): store_sqlite_open(), one file, embedded,
 * the default; store_etcd_open(), an etcd cluster through its JSON gateway. Both promise:
 *
 *   - A transaction that returned true is durable: it survives SIGKILL of any process at any time.
 *   - A transaction that returned an error other than STORE_UNKNOWN did not happen. On
 *     STORE_UNKNOWN (the connection broke between request and answer) it may or may not have.
 *   - Reads are linearizable: they see every transaction acknowledged before they began.
 *
 * Threads: every function may be called from any thread, and those marked "blocks" wait for disk or
 * network (on a fiber without its thread, but for the reads of the embedded store); never call them
 * while holding a lock, or from an HTTP thread that is on none. Callbacks come from a
 * thread of the store's and must return soon; they must not call blocking functions of the store.
 *
 * Not for: anything per object. The store knows bytes; it never looks into a value.
 */
#ifndef APISERVER_STORAGE_STORE_H
#define APISERVER_STORAGE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct store;

/* One key at one revision. */
struct store_item {
    char *key;   /* NUL-terminated; keys hold no NUL. */
    char *value; /* 'value_length' bytes, NUL-terminated behind them. NULL on a delete. */
    size_t value_length;
    int64_t mod_revision; /* The revision of the last change (of the delete, on a delete). */
    int64_t version;      /* Number of changes since it was created, 1 for a new key. 0 if unknown
                           * or deleted. */
};

void store_item_clear(struct store_item *item); /* Also fit for cleanup(). */

/* A growing array of items. */
struct store_items {
    struct store_item *list;
    size_t count, capacity;
};

#define STORE_ITEMS_INIT ((struct store_items){0})
void store_items_clear(struct store_items *items);

/* Errors of a store are 'struct error's with these codes and reasons:
 *   410 Expired             the revision asked for has been compacted
 *   503 ServiceUnavailable  the store can't be reached or answered in vain within its time limit;
 *                           the operation did not happen
 *   504 Timeout             STORE_UNKNOWN: a transaction was sent, and its fate is not known
 *   413 RequestEntityTooLarge  the store refuses a value of this size
 *   400 BadRequest          a revision that lies in the future
 *   500 InternalError       no space left (nothing was changed, and writing goes on once there is
 *                           some), and anything else, with the store's own words */
#define STORE_UNKNOWN 504

enum store_operation { STORE_PUT, STORE_DELETE };

/* One conditional write: "if 'key' was last changed at 'expected', then do". */
struct store_write {
    enum store_operation operation;
    const char *key;
    const char *value; /* For STORE_PUT. */
    size_t value_length;
    int64_t expected;    /* Mod revision the key must have now; 0: it must not exist;
                          * STORE_ANY: whatever it has. Deleting an absent key fails. */
    int64_t ttl_seconds; /* For STORE_PUT: when over 0, the key deletes itself after about this
                          * time (never earlier); each put sets it anew. */
};
#define STORE_ANY (-1)

struct store_watcher {
    /* Changes in the order of their revisions; a change of one transaction is never split. A put
     * has a value, a delete has none. Before the first change, and whenever the store reports
     * progress, it is called with count 0. 'revision' is what the receiver has now seen everything
     * up to. The items are the callee's to take from (steal key and value); what it leaves is
     * freed. */
    void (*changes)(void *argument, struct store_item *items, size_t count, int64_t revision);
    /* The watch can't be continued: revisions between the last one delivered and now are compacted
     * away. Nothing more is delivered; start over from a range. */
    void (*lost)(void *argument, const struct error *error);
    void *argument;
};

/* What an implementation provides; each member's contract stands at the function of the same name
 * below. */
struct store_class {
    const char *name;
    bool (*get)(struct store *, const char *key, struct store_item *, bool *found, struct error *);
    bool (*range)(struct store *, const char *start, const char *end, size_t limit,
                  int64_t revision, struct store_items *, int64_t *at_revision, int64_t *total,
                  struct error *);
    bool (*commit)(struct store *, const struct store_write *, int64_t *revision,
                   struct store_item *current, bool *conflict, struct error *);
    bool (*current_revision)(struct store *, int64_t *revision, struct error *);
    bool (*watch)(struct store *, int64_t after, struct store_watcher, struct error *);
    bool (*compact)(struct store *, int64_t revision, struct error *);
    bool (*healthy)(struct store *, struct error *);
    bool (*is_stale)(struct store *, const char *key); /* NULL: nothing ever is. */
    bool (*check_readable)(struct store *, const char *prefix, struct error *); /* NULL: true. */
    void (*close)(struct store *);
};

/* An implementation's own struct begins with this one. */
struct store {
    const struct store_class *class;
    bool local; /* current_revision() answers from memory without blocking, and changes are
                 * delivered to the watcher before the commit that made them returns. */
};

/* Blocks. Reads one key, the newest version. '*found' tells whether it exists; the item is the
 * caller's. False only on an error. */
bool store_get(struct store *store, const char *key, struct store_item *item, bool *found,
               struct error *error);

/* Blocks. Reads the keys in [start, end) in byte order, at most 'limit' (0: all), as they were at
 * 'revision' (0: now). '*at_revision' is the revision of the answer, '*total' the number of keys in
 * the range whatever the limit. Both may be NULL. Appends to 'items'. An answer of many keys is
 * fetched in parts, all at the same revision, so that no message grows without bound. */
bool store_range(struct store *store, const char *start, const char *end, size_t limit,
                 int64_t revision, struct store_items *items, int64_t *at_revision, int64_t *total,
                 struct error *error);

/* Blocks. Does the write if its condition holds: true with '*revision' the new revision and
 * '*conflict' false. If the condition does not hold: true, '*conflict' true and '*current' the key
 * as it is (key NULL when it does not exist), the caller's, '*revision' a revision at which this
 * was so. False on an error. Writes that wait at the same time share one disk flush. */
bool store_commit(struct store *store, const struct store_write *write, int64_t *revision,
                  struct store_item *current, bool *conflict, struct error *error);

/* Blocks unless store->local. The store's newest revision, linearizable. */
bool store_current_revision(struct store *store, int64_t *revision, struct error *error);

/* Starts the one watch of this store: every change with a revision above 'after'. Returns at once;
 * the callbacks then come from a thread of the store's until store_close(). A broken connection is
 * mended with back-off, without loss or repetition. Called at most once a store, or again after
 * 'lost' was called. */
bool store_watch(struct store *store, int64_t after, struct store_watcher watcher,
                 struct error *error);

/* Blocks. Forgets versions older than 'revision' that have been overwritten or deleted since:
 * reading them, or watching from below, then fails with Expired. */
bool store_compact(struct store *store, int64_t revision, struct error *error);

/* Blocks, with a limit of 2 seconds; at once when the store is not there. Whether the store can
 * serve now. */
bool store_healthy(struct store *store, struct error *error);

/* Blocks. Whether the value of a key is not stored as it would be if it were written now, such as
 * with a key that is no longer used: writing it once more, unchanged, mends that. */
bool store_is_stale(struct store *store, const char *key);

/* Whether all that was seen of a key, or of those below one that ends with a slash, can be read.
 * What could not be was not shown to the watcher in a form that it knows: the error (500) is what
 * whoever asks for it is to be told.
 */
bool store_check_readable(struct store *store, const char *prefix, struct error *error);

/* Stops the watch (no callback runs once this returns), waits for writes in flight and releases
 * everything. */
void store_close(struct store *store);

/* Opens the embedded store: one SQLite file, created with mode 0600 when missing. A file in use by
 * another process, or damaged, or not a store of ours, is an error that names it. */
struct store *store_sqlite_open(const char *path, struct error *error);
/* The same; bytes that are deleted from the file are overwritten, which costs writes. */
struct store *store_sqlite_open_erasing(const char *path, struct error *error);

struct store_etcd_options {
    const char *const *endpoints; /* URLs, NULL-terminated: "https://127.0.0.1:2379", or
                                   * "unix:///run/etcd.sock:0", a socket's path. */
    const char *ca_file;          /* --etcd-cafile, or NULL. */
    const char *certificate_file; /* --etcd-certfile, or NULL. */
    const char *key_file;         /* --etcd-keyfile, or NULL. */
    int timeout_ms; /* Of one operation over all retries; 0: 5,000, and 10,000 to open. While
                     * every endpoint refuses connections, an operation ends after a second. */
};

/* Opens an etcd cluster; fails with one clear sentence when no endpoint answers within the time
 * limit. Endpoints that are down are left for others and tried again later. */
struct store *store_etcd_open(const struct store_etcd_options *options, struct error *error);

/* The first key behind all keys that begin with 'prefix', the end of its range. The caller's. */
char *store_prefix_end(const char *prefix);

#endif

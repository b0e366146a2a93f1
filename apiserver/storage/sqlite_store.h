// SPDX-License-Identifier: Apache-2.0
/* What the parts of the embedded store share; nobody else includes this. */
#ifndef APISERVER_STORAGE_SQLITE_STORE_H
#define APISERVER_STORAGE_SQLITE_STORE_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "apiserver/storage/store.h"
#include "common/alloc.h"

/* ---- sqlite_expiry.c: when versions of keys expire, a binary heap by time ---- */

struct expiry {
    int64_t at; /* Seconds since 1970. */
    int64_t revision;
    char *key;
};

struct expiries {
    struct expiry *list; /* The first is due first. */
    size_t count, capacity;
};

void expiries_add(struct expiries *expiries, const char *key, int64_t revision, int64_t at);
/* Takes the first one out; there is one. Its key is the caller's. */
struct expiry expiries_take(struct expiries *expiries);
void expiries_clear(struct expiries *expiries);

/* ---- the store ---- */

enum statement {
    GET_PRESENT,
    GET_CHANGE,
    PUT_CHANGE,
    PUT_PRESENT,
    DELETE_PRESENT,
    STATEMENT_COUNT,
};

struct sqlite_reader {
    sqlite3 *database;
    struct sqlite_reader *next;
};

struct sqlite_pending; /* A write that waits; see sqlite_write.c. */

struct sqlite_store {
    struct store store;
    char *path;
    int lock_file;
    _Atomic int64_t revision, compacted;

    pthread_mutex_t lock; /* Guards what follows. */
    pthread_cond_t work;
    struct sqlite_pending *first, **last; /* The queue of writes. */
    bool stopping, watch_requested;
    int64_t watch_after;
    struct store_watcher watcher;

    pthread_mutex_t readers_lock;
    pthread_cond_t reader_free;
    struct sqlite_reader *readers; /* Idle ones. */
    size_t reader_count;

    /* The writer thread's own. */
    pthread_t writer;
    sqlite3 *database;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    struct expiries expiries;
    struct store_items delivered; /* Changes of the group under way. */
    bool watching;
    bool failing; /* The last group could not be written. */
};

static inline struct sqlite_store *sqlite_of(struct store *store)
{
    return container_of(store, struct sqlite_store, store);
}

/* ---- sqlite.c: dealing with SQLite ---- */

/* Fills 'error' with what just went wrong on this connection; returns false. */
bool sqlite_fail(const struct sqlite_store *store, sqlite3 *database, struct error *error);
bool sqlite_run(const struct sqlite_store *store, sqlite3 *database, const char *text,
                struct error *error);
sqlite3_stmt *sqlite_prepare(const struct sqlite_store *store, sqlite3 *database, const char *text,
                             struct error *error);
/* 'text' must outlive the binding. */
void sqlite_bind_text(sqlite3_stmt *statement, int index, const char *text);
/* The caller's; 'length' may be NULL. */
char *sqlite_column_text(sqlite3_stmt *statement, int column, size_t *length);
/* A new connection. */
sqlite3 *sqlite_open_database(struct sqlite_store *store, struct error *error);

/* ---- sqlite_write.c: the writer thread ---- */

bool sqlite_prepare_writer(struct sqlite_store *store, struct error *error);
/* The thread; 'argument' is the store. Ends when it is stopping and all writes are done. */
void *sqlite_writer_main(void *argument);
/* See the functions of store.h. */
bool sqlite_commit(struct store *base, const struct store_write *write, int64_t *revision,
                   struct store_item *current, bool *conflict, struct error *error);
bool sqlite_compact(struct store *base, int64_t revision, struct error *error);
bool sqlite_watch(struct store *base, int64_t after, struct store_watcher watcher,
                  struct error *error);
bool sqlite_current_revision(struct store *base, int64_t *revision, struct error *error);

/* ---- sqlite_read.c ---- */

bool sqlite_get(struct store *base, const char *key, struct store_item *item, bool *found,
                struct error *error);
bool sqlite_range(struct store *base, const char *start, const char *end, size_t limit,
                  int64_t revision, struct store_items *items, int64_t *at_revision, int64_t *total,
                  struct error *error);
bool sqlite_healthy(struct store *base, struct error *error);
void sqlite_close_readers(struct sqlite_store *store);

#endif

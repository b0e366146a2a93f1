// SPDX-License-Identifier: Apache-2.0
/*
 * The embedded store: one SQLite file with a write-ahead log.
 *
 * One thread writes. It takes all writes that wait, does them in one transaction (so they share one
 * flush to disk), hands the changes to the watcher and only then answers the writers: whoever reads
 * after a write was acknowledged finds it in the cache. Nobody waits for company: a lone write is
 * committed at once, and those that arrive meanwhile form the next group.
 *
 *   changes   every version of every key: its revision, the revision that it superseded, the value
 *             (NULL: a delete), and when it expires
 *   present   the newest version of each key that exists
 *   meta      'compacted': versions superseded at or below this revision are forgotten
 *
 * An index by key and revision would cost a third of the write rate. It is not needed: to read a
 * range as it was at revision r, take what is present and unchanged since r, and for each key
 * changed since follow its first change after r back to the version it superseded.
 *
 * Reads use connections of their own and never hold up the writer. A lock file keeps other
 * processes out.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "apiserver/storage/sqlite_store.h"
#include "common/alloc.h"

enum {
    application_id = 0x436f7261, /* "Cora" */
    format_version = 1,
};

/* ---- SQLite ---- */

bool sqlite_fail(const struct sqlite_store *store, sqlite3 *database, struct error *error)
{
    int code = database ? sqlite3_errcode(database) : SQLITE_NOMEM;
    int extended = database ? sqlite3_extended_errcode(database) : code;
    const char *text = database ? sqlite3_errmsg(database) : "out of memory";
    int system = database ? sqlite3_system_errno(database) : 0;
    if (code == SQLITE_FULL) {
        return error_internal(error, "no space left for %s", store->path);
    }
    if (extended == SQLITE_IOERR_FSYNC) {
        /* It did not happen as far as this process goes, but may be found after a crash. */
        return error_set(error, STORE_UNKNOWN, "Timeout",
                         "flushing %s to disk failed; whether the change lasts is not known",
                         store->path);
    }
    if (code == SQLITE_TOOBIG) {
        return error_set(error, 413, "RequestEntityTooLarge", "the value is too large");
    }
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT) {
        return error_internal(error, "%s is damaged, or not a store of ours: %s", store->path,
                              text);
    }
    if (code == SQLITE_READONLY || code == SQLITE_CANTOPEN || code == SQLITE_IOERR) {
        return error_unavailable(error, "%s can't be written: %s%s%s", store->path, text,
                                 system ? ": " : "", system ? strerror(system) : "");
    }
    return error_internal(error, "%s: %s (%d)", store->path, text, extended);
}

bool sqlite_run(const struct sqlite_store *store, sqlite3 *database, const char *text,
                struct error *error)
{
    return sqlite3_exec(database, text, NULL, NULL, NULL) == SQLITE_OK ||
           sqlite_fail(store, database, error);
}

sqlite3_stmt *sqlite_prepare(const struct sqlite_store *store, sqlite3 *database, const char *text,
                             struct error *error)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(database, text, -1, &statement, NULL) != SQLITE_OK) {
        sqlite_fail(store, database, error);
    }
    return statement;
}

void sqlite_bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    sqlite3_bind_blob(statement, index, text, (int)strlen(text), SQLITE_STATIC);
}

char *sqlite_column_text(sqlite3_stmt *statement, int column, size_t *length)
{
    int size = sqlite3_column_bytes(statement, column);
    if (length != NULL) {
        *length = (size_t)size;
    }
    return duplicate_bytes(sqlite3_column_blob(statement, column), (size_t)size);
}

static bool query_number(const struct sqlite_store *store, sqlite3 *database, const char *text,
                         int64_t *number, struct error *error)
{
    sqlite3_stmt *statement = sqlite_prepare(store, database, text, error);
    if (statement == NULL) {
        return false;
    }
    int step = sqlite3_step(statement);
    *number = step == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    bool done = step == SQLITE_ROW || step == SQLITE_DONE || sqlite_fail(store, database, error);
    sqlite3_finalize(statement);
    return done;
}

sqlite3 *sqlite_open_database(struct sqlite_store *store, struct error *error)
{
    sqlite3 *database = NULL;
    if (sqlite3_open_v2(store->path, &database,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                        NULL) != SQLITE_OK) {
        sqlite_fail(store, database, error);
        sqlite3_close(database);
        return NULL;
    }
    sqlite3_extended_result_codes(database, 0);
    sqlite3_busy_timeout(database, 10000);
    return database;
}

/* ---- opening and closing ---- */

static bool lock_out_others(struct sqlite_store *store, struct error *error)
{
    cleanup(free_char)
    char *name = format("%s-lock", store->path);
    store->lock_file = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (store->lock_file < 0) {
        return error_internal(error, "%s can't be opened: %s", name, strerror(errno));
    }
    if (flock(store->lock_file, LOCK_EX | LOCK_NB) != 0) {
        return error_internal(error, "the store %s is in use by another process", store->path);
    }
    int file = open(store->path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0) {
        return error_internal(error, "the store %s can't be opened: %s", store->path,
                              strerror(errno));
    }
    close(file);
    return true;
}

static bool check_format(struct sqlite_store *store, struct error *error)
{
    int64_t id, version, tables;
    if (!query_number(store, store->database, "PRAGMA application_id", &id, error) ||
        !query_number(store, store->database, "PRAGMA user_version", &version, error) ||
        !query_number(store, store->database, "SELECT COUNT(*) FROM sqlite_master", &tables,
                      error)) {
        return false;
    }
    if (tables > 0 && id != application_id) {
        return error_internal(error, "%s is an SQLite file, but not a store of ours", store->path);
    }
    if (tables > 0 && version != format_version) {
        return error_internal(error, "%s has format %lld; this program knows format %d",
                              store->path, (long long)version, format_version);
    }
    return true;
}

static bool set_up(struct sqlite_store *store, struct error *error)
{
    cleanup(free_char)
    char *tables = format(
        "BEGIN IMMEDIATE;"
        "CREATE TABLE IF NOT EXISTS changes (revision INTEGER PRIMARY KEY, previous INTEGER NOT "
        "NULL, key BLOB NOT NULL, value BLOB, version INTEGER NOT NULL, expires INTEGER NOT NULL);"
        "CREATE TABLE IF NOT EXISTS present (key BLOB PRIMARY KEY, revision INTEGER NOT NULL, "
        "version INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
        "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
        application_id, format_version);
    return sqlite_run(
               store, store->database,
               "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -2000;",
               error) &&
           sqlite_run(store, store->database, tables, error);
}

static bool load_expiries(struct sqlite_store *store, struct error *error)
{
    sqlite3_stmt *statement =
        sqlite_prepare(store, store->database,
                       "SELECT c.key, c.revision, c.expires FROM changes c JOIN "
                       "present p ON p.revision = c.revision WHERE c.expires > 0 "
                       "AND p.key = c.key",
                       error);
    if (statement == NULL) {
        return false;
    }
    int step;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
        cleanup(free_char)
        char *key = sqlite_column_text(statement, 0, NULL);
        expiries_add(&store->expiries, key, sqlite3_column_int64(statement, 1),
                     sqlite3_column_int64(statement, 2));
    }
    sqlite3_finalize(statement);
    return step == SQLITE_DONE || sqlite_fail(store, store->database, error);
}

static bool load_state(struct sqlite_store *store, struct error *error)
{
    int64_t newest, compacted;
    if (!query_number(store, store->database, "SELECT MAX(revision) FROM changes", &newest,
                      error) ||
        !query_number(store, store->database, "SELECT value FROM meta WHERE name = 'compacted'",
                      &compacted, error) ||
        !load_expiries(store, error) || !sqlite_prepare_writer(store, error)) {
        return false;
    }
    newest = newest > compacted ? newest : compacted;
    atomic_store(&store->revision, newest > 0 ? newest : 1);
    atomic_store(&store->compacted, compacted);
    return true;
}

static void release(struct sqlite_store *store)
{
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(store->statements[i]);
    }
    sqlite_close_readers(store);
    sqlite3_close(store->database);
    expiries_clear(&store->expiries);
    store_items_clear(&store->delivered);
    close_descriptor(&store->lock_file);
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->readers_lock);
    pthread_cond_destroy(&store->work);
    pthread_cond_destroy(&store->reader_free);
    free(store->path);
    free(store);
}

static void sqlite_close(struct store *base)
{
    struct sqlite_store *store = sqlite_of(base);
    pthread_mutex_lock(&store->lock);
    store->stopping = true;
    pthread_cond_signal(&store->work);
    pthread_mutex_unlock(&store->lock);
    pthread_join(store->writer, NULL);
    release(store);
}

static const struct store_class sqlite_class = {
    .name = "sqlite",
    .get = sqlite_get,
    .range = sqlite_range,
    .commit = sqlite_commit,
    .current_revision = sqlite_current_revision,
    .watch = sqlite_watch,
    .compact = sqlite_compact,
    .healthy = sqlite_healthy,
    .close = sqlite_close,
};

static struct store *open_store(const char *path, bool erases, struct error *error)
{
    struct sqlite_store *store = allocate_struct(struct sqlite_store);
    store->store = (struct store){&sqlite_class, true};
    store->path = duplicate(path);
    store->lock_file = -1;
    store->last = &store->first;
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->readers_lock, NULL);
    pthread_cond_init(&store->work, NULL);
    pthread_cond_init(&store->reader_free, NULL);
    bool opened =
        lock_out_others(store, error) &&
        (store->database = sqlite_open_database(store, error)) != NULL &&
        check_format(store, error) && set_up(store, error) &&
        (!erases || sqlite_run(store, store->database, "PRAGMA secure_delete = ON;", error)) &&
        load_state(store, error);
    if (opened && pthread_create(&store->writer, NULL, sqlite_writer_main, store) != 0) {
        opened = error_internal(error, "starting a thread failed");
    }
    if (!opened) {
        release(store);
        return NULL;
    }
    return &store->store;
}

struct store *store_sqlite_open(const char *path, struct error *error)
{
    return open_store(path, false, error);
}

struct store *store_sqlite_open_erasing(const char *path, struct error *error)
{
    return open_store(path, true, error);
}

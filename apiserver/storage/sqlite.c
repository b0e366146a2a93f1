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
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "apiserver/storage/store.h"
#include "common/alloc.h"
#include "common/log.h"
#include "common/map.h"
#include "common/timestamp.h"

enum {
    application_id = 0x436f7261, /* "Cora" */
    format_version = 1,
    group_max = 256, /* Writes in one transaction. */
    readers_max = 4,
    replay_batch = 256,
    compaction_batch = 2000,
};

/* A write that waits for its answer, on its caller's stack. */
struct pending {
    const struct store_write *write;
    int64_t compact_revision; /* Over 0: no write but a compaction. */
    struct pending *next;
    pthread_cond_t answered;
    bool done, failed, conflict;
    int64_t revision;
    struct store_item current;
    struct error error;
};

/* When a key's version expires; a binary heap by time. */
struct expiry {
    int64_t at; /* Seconds since 1970. */
    int64_t revision;
    char *key;
};

enum statement {
    GET_PRESENT,
    GET_CHANGE,
    PUT_CHANGE,
    PUT_PRESENT,
    DELETE_PRESENT,
    STATEMENT_COUNT,
};

struct reader {
    sqlite3 *database;
    struct reader *next;
};

struct sqlite_store {
    struct store store;
    char *path;
    int lock_file;
    _Atomic int64_t revision, compacted;

    pthread_mutex_t lock; /* Guards what follows. */
    pthread_cond_t work;
    struct pending *first, **last; /* The queue of writes. */
    bool stopping, watch_requested;
    int64_t watch_after;
    struct store_watcher watcher;

    pthread_mutex_t readers_lock;
    pthread_cond_t reader_free;
    struct reader *readers; /* Idle ones. */
    size_t reader_count;

    /* The writer thread's own. */
    pthread_t writer;
    sqlite3 *database;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    struct expiry *expiries;
    size_t expiry_count, expiry_capacity;
    struct store_items delivered; /* Changes of the group under way. */
    bool watching;
};

static const char *const statement_texts[STATEMENT_COUNT] = {
    [GET_PRESENT] = "SELECT revision, version FROM present WHERE key = ?1",
    [GET_CHANGE] = "SELECT value, version FROM changes WHERE revision = ?1",
    [PUT_CHANGE] = "INSERT INTO changes (revision, previous, key, value, version, expires) "
                   "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [PUT_PRESENT] = "INSERT INTO present (key, revision, version) VALUES (?1, ?2, ?3) "
                    "ON CONFLICT (key) DO UPDATE SET revision = ?2, version = ?3",
    [DELETE_PRESENT] = "DELETE FROM present WHERE key = ?1",
};

static struct sqlite_store *of(struct store *store)
{
    return container_of(store, struct sqlite_store, store);
}

/* ---- SQLite ---- */

static bool fail(const struct sqlite_store *store, sqlite3 *database, struct error *error)
{
    int code = database ? sqlite3_errcode(database) : SQLITE_NOMEM;
    int extended = database ? sqlite3_extended_errcode(database) : code;
    const char *text = database ? sqlite3_errmsg(database) : "out of memory";
    int system = database ? sqlite3_system_errno(database) : 0;
    if (code == SQLITE_FULL || (code == SQLITE_IOERR && (system == ENOSPC || system == EFBIG))) {
        return error_set(error, 507, "InsufficientStorage", "no space left for %s", store->path);
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

static bool run(const struct sqlite_store *store, sqlite3 *database, const char *text,
                struct error *error)
{
    return sqlite3_exec(database, text, NULL, NULL, NULL) == SQLITE_OK ||
           fail(store, database, error);
}

static sqlite3_stmt *prepare(const struct sqlite_store *store, sqlite3 *database, const char *text,
                             struct error *error)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(database, text, -1, &statement, NULL) != SQLITE_OK) {
        fail(store, database, error);
    }
    return statement;
}

/* Steps a statement that answers nothing, and makes it ready for the next time. */
static bool finish(const struct sqlite_store *store, sqlite3_stmt *statement, struct error *error)
{
    bool done = sqlite3_step(statement) == SQLITE_DONE;
    if (!done) {
        fail(store, sqlite3_db_handle(statement), error);
    }
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return done;
}

static void bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    sqlite3_bind_blob(statement, index, text, (int)strlen(text), SQLITE_STATIC);
}

static char *column_text(sqlite3_stmt *statement, int column, size_t *length)
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
    sqlite3_stmt *statement = prepare(store, database, text, error);
    if (statement == NULL) {
        return false;
    }
    int step = sqlite3_step(statement);
    *number = step == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    bool done = step == SQLITE_ROW || step == SQLITE_DONE || fail(store, database, error);
    sqlite3_finalize(statement);
    return done;
}

/* ---- expiry ---- */

static void expiry_swap(struct expiry *a, struct expiry *b)
{
    struct expiry other = *a;
    *a = *b;
    *b = other;
}

static void expiry_add(struct sqlite_store *store, const char *key, int64_t revision, int64_t at)
{
    store->expiries = grow(store->expiries, store->expiry_count, &store->expiry_capacity,
                           sizeof *store->expiries);
    size_t place = store->expiry_count++;
    store->expiries[place] = (struct expiry){at, revision, duplicate(key)};
    while (place > 0 && store->expiries[(place - 1) / 2].at > store->expiries[place].at) {
        expiry_swap(&store->expiries[(place - 1) / 2], &store->expiries[place]);
        place = (place - 1) / 2;
    }
}

static struct expiry expiry_take(struct sqlite_store *store)
{
    struct expiry first = store->expiries[0];
    store->expiries[0] = store->expiries[--store->expiry_count];
    for (size_t place = 0;;) {
        size_t least = place;
        for (size_t child = place * 2 + 1; child <= place * 2 + 2 && child < store->expiry_count;
             child++) {
            if (store->expiries[child].at < store->expiries[least].at) {
                least = child;
            }
        }
        if (least == place) {
            return first;
        }
        expiry_swap(&store->expiries[place], &store->expiries[least]);
        place = least;
    }
}

/* ---- writing ---- */

static bool read_present(struct sqlite_store *store, const char *key, int64_t *revision,
                         int64_t *version, struct error *error)
{
    sqlite3_stmt *statement = store->statements[GET_PRESENT];
    bind_text(statement, 1, key);
    int step = sqlite3_step(statement);
    *revision = step == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    *version = step == SQLITE_ROW ? sqlite3_column_int64(statement, 1) : 0;
    bool done = step == SQLITE_ROW || step == SQLITE_DONE || fail(store, store->database, error);
    sqlite3_reset(statement);
    return done;
}

/* The item of a known revision, for the answer to a write that lost. */
static bool read_current(struct sqlite_store *store, const char *key, int64_t revision,
                         struct store_item *item, struct error *error)
{
    sqlite3_stmt *statement = store->statements[GET_CHANGE];
    sqlite3_bind_int64(statement, 1, revision);
    bool found = sqlite3_step(statement) == SQLITE_ROW;
    if (found) {
        item->key = duplicate(key);
        item->value = column_text(statement, 0, &item->value_length);
        item->mod_revision = revision;
        item->version = sqlite3_column_int64(statement, 1);
    } else {
        fail(store, store->database, error);
    }
    sqlite3_reset(statement);
    return found;
}

static void deliver_later(struct sqlite_store *store, const struct store_write *write,
                          int64_t revision, int64_t version)
{
    if (!store->watching) {
        return;
    }
    struct store_items *items = &store->delivered;
    items->list = grow(items->list, items->count, &items->capacity, sizeof *items->list);
    bool put = write->operation == STORE_PUT;
    items->list[items->count++] = (struct store_item){
        .key = duplicate(write->key),
        .value = put ? duplicate_bytes(write->value, write->value_length) : NULL,
        .value_length = put ? write->value_length : 0,
        .mod_revision = revision,
        .version = put ? version : 0,
    };
}

static bool record(struct sqlite_store *store, const struct store_write *write, int64_t revision,
                   int64_t previous, int64_t version, struct error *error)
{
    bool put = write->operation == STORE_PUT;
    int64_t expires =
        put && write->ttl_seconds > 0 ? timestamp_now() / 1000000000 + write->ttl_seconds + 1 : 0;
    sqlite3_stmt *change = store->statements[PUT_CHANGE];
    sqlite3_bind_int64(change, 1, revision);
    sqlite3_bind_int64(change, 2, previous);
    bind_text(change, 3, write->key);
    if (put) {
        sqlite3_bind_blob64(change, 4, write->value ? write->value : "", write->value_length,
                            SQLITE_STATIC);
    }
    sqlite3_bind_int64(change, 5, version);
    sqlite3_bind_int64(change, 6, expires);
    if (!finish(store, change, error)) {
        return false;
    }
    sqlite3_stmt *present = store->statements[put ? PUT_PRESENT : DELETE_PRESENT];
    bind_text(present, 1, write->key);
    if (put) {
        sqlite3_bind_int64(present, 2, revision);
        sqlite3_bind_int64(present, 3, version);
    }
    if (!finish(store, present, error)) {
        return false;
    }
    if (expires > 0) {
        expiry_add(store, write->key, revision, expires);
    }
    deliver_later(store, write, revision, version);
    return true;
}

/* Does one write inside the open transaction; '*revision' is the newest so far. */
static bool do_write(struct sqlite_store *store, struct pending *pending, int64_t *revision,
                     struct error *error)
{
    const struct store_write *write = pending->write;
    int64_t present, version;
    if (!read_present(store, write->key, &present, &version, error)) {
        return false;
    }
    bool holds = write->expected == STORE_ANY || write->expected == present;
    if (!holds || (write->operation == STORE_DELETE && present == 0)) {
        pending->conflict = true;
        pending->revision = *revision;
        return present == 0 || read_current(store, write->key, present, &pending->current, error);
    }
    pending->revision = ++*revision;
    return record(store, write, pending->revision, present, version + 1, error);
}

/* Deletes the versions that were superseded at or below a revision. */
static bool do_compact(struct sqlite_store *store, int64_t revision, struct error *error)
{
    int64_t from = atomic_load(&store->compacted);
    while (from < revision) {
        int64_t to = revision - from > compaction_batch ? from + compaction_batch : revision;
        char text[640];
        snprintf(text, sizeof text,
                 "BEGIN IMMEDIATE;"
                 "DELETE FROM changes WHERE revision IN (SELECT previous FROM changes WHERE "
                 "revision > %lld AND revision <= %lld AND previous > 0);"
                 "DELETE FROM changes WHERE revision > %lld AND revision <= %lld AND value IS NULL;"
                 "INSERT INTO meta (name, value) VALUES ('compacted', %lld) ON CONFLICT (name) DO "
                 "UPDATE SET value = %lld;"
                 "COMMIT;",
                 (long long)from, (long long)to, (long long)from, (long long)to, (long long)to,
                 (long long)to);
        if (!run(store, store->database, text, error)) {
            sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
            return false;
        }
        from = to;
        atomic_store(&store->compacted, to);
    }
    return true;
}

static void deliver(struct sqlite_store *store, int64_t revision)
{
    struct store_items *items = &store->delivered;
    if (store->watching && items->count > 0) {
        store->watcher.changes(store->watcher.argument, items->list, items->count, revision);
    }
    for (size_t i = 0; i < items->count; i++) {
        store_item_clear(&items->list[i]);
    }
    items->count = 0;
}

/* Does a group of writes in one transaction. On an error none of them happened. */
static bool do_group(struct sqlite_store *store, struct pending *group, struct error *error)
{
    int64_t revision = atomic_load(&store->revision), before = revision;
    bool done = run(store, store->database, "BEGIN IMMEDIATE", error);
    for (struct pending *pending = group; done && pending != NULL; pending = pending->next) {
        done = do_write(store, pending, &revision, error);
    }
    done = done && run(store, store->database, "COMMIT", error);
    if (!done) {
        sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
        /* Expiries of versions that do not exist are passed over when they are due. */
        for (size_t i = 0; i < store->delivered.count; i++) {
            store_item_clear(&store->delivered.list[i]);
        }
        store->delivered.count = 0;
        return false;
    }
    atomic_store(&store->revision, revision);
    if (revision > before) {
        deliver(store, revision);
    }
    return true;
}

static void answer(struct sqlite_store *store, struct pending *group, const struct error *error)
{
    pthread_mutex_lock(&store->lock);
    while (group != NULL) {
        struct pending *next = group->next; /* Its caller may go as soon as it is done. */
        if (error != NULL) {
            group->failed = true;
            store_item_clear(&group->current);
            error_set(&group->error, error->code, error->reason, "%s", error->message);
        }
        group->done = true;
        pthread_cond_signal(&group->answered);
        group = next;
    }
    pthread_mutex_unlock(&store->lock);
}

static void serve_group(struct sqlite_store *store, struct pending *group)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    bool done = group->compact_revision > 0 ? do_compact(store, group->compact_revision, &error)
                                            : do_group(store, group, &error);
    if (!done) {
        log_error("writing to the store failed: %s", error.message);
    }
    answer(store, group, done ? NULL : &error);
}

/* Deletes what has expired. */
static void expire(struct sqlite_store *store)
{
    int64_t now = timestamp_now() / 1000000000;
    while (store->expiry_count > 0 && store->expiries[0].at <= now) {
        struct expiry due = expiry_take(store);
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        struct store_write write = {
            .operation = STORE_DELETE, .key = due.key, .expected = due.revision};
        struct pending pending = {.write = &write};
        bool done = do_group(store, &pending, &error);
        store_item_clear(&pending.current);
        if (!done) {
            log_error("deleting the expired %s failed, trying again: %s", due.key, error.message);
            expiry_add(store, due.key, due.revision, now + 5);
        }
        free(due.key);
    }
}

/* ---- watching ---- */

static bool replay(struct sqlite_store *store, int64_t after, struct error *error)
{
    sqlite3_stmt *statement =
        prepare(store, store->database,
                "SELECT revision, key, value, version FROM changes WHERE revision > ?1 "
                "ORDER BY revision",
                error);
    if (statement == NULL) {
        return false;
    }
    sqlite3_bind_int64(statement, 1, after);
    int step;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
        struct store_items *items = &store->delivered;
        items->list = grow(items->list, items->count, &items->capacity, sizeof *items->list);
        struct store_item *item = &items->list[items->count++];
        bool put = sqlite3_column_type(statement, 2) != SQLITE_NULL;
        *item = (struct store_item){.mod_revision = sqlite3_column_int64(statement, 0),
                                    .key = column_text(statement, 1, NULL),
                                    .version = put ? sqlite3_column_int64(statement, 3) : 0};
        if (put) {
            item->value = column_text(statement, 2, &item->value_length);
        }
        if (items->count == replay_batch) {
            deliver(store, item->mod_revision);
        }
    }
    bool done = step == SQLITE_DONE || fail(store, store->database, error);
    sqlite3_finalize(statement);
    deliver(store, atomic_load(&store->revision));
    return done;
}

static void start_watch(struct sqlite_store *store, int64_t after)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    int64_t compacted = atomic_load(&store->compacted);
    if (after < compacted) {
        error_expired(&error, "the required revision has been compacted");
        store->watcher.lost(store->watcher.argument, &error);
        return;
    }
    store->watching = true;
    store->watcher.changes(store->watcher.argument, NULL, 0, after);
    if (!replay(store, after, &error)) {
        store->watching = false;
        store->watcher.lost(store->watcher.argument, &error);
    }
}

/* ---- the writer thread ---- */

/* Takes the next group off the queue: as many writes as fit, or one compaction. With the lock. */
static struct pending *take_group(struct sqlite_store *store)
{
    struct pending *group = store->first, **end = &store->first;
    size_t count = 0;
    while (*end != NULL && count < group_max && ((*end)->compact_revision == 0 || count == 0)) {
        bool alone = (*end)->compact_revision > 0;
        end = &(*end)->next;
        count++;
        if (alone) {
            break;
        }
    }
    struct pending *rest = *end;
    *end = NULL;
    store->first = rest;
    if (rest == NULL) {
        store->last = &store->first;
    }
    return group;
}

static void wait_for_work(struct sqlite_store *store)
{
    while (store->first == NULL && !store->stopping && !store->watch_requested) {
        if (store->expiry_count == 0) {
            pthread_cond_wait(&store->work, &store->lock);
            continue;
        }
        struct timespec until = {.tv_sec = store->expiries[0].at};
        if (pthread_cond_timedwait(&store->work, &store->lock, &until) == ETIMEDOUT) {
            return;
        }
    }
}

static void *writer_main(void *argument)
{
    struct sqlite_store *store = argument;
    for (bool stopping = false; !stopping;) {
        pthread_mutex_lock(&store->lock);
        wait_for_work(store);
        struct pending *group = take_group(store);
        bool watch_requested = store->watch_requested;
        store->watch_requested = false;
        stopping = store->stopping && group == NULL;
        pthread_mutex_unlock(&store->lock);
        if (watch_requested) {
            start_watch(store, store->watch_after);
        }
        if (group != NULL) {
            serve_group(store, group);
        }
        expire(store);
    }
    return NULL;
}

static void enqueue_and_wait(struct sqlite_store *store, struct pending *pending)
{
    pthread_cond_init(&pending->answered, NULL);
    pthread_mutex_lock(&store->lock);
    *store->last = pending;
    store->last = &pending->next;
    pthread_cond_signal(&store->work);
    while (!pending->done) {
        pthread_cond_wait(&pending->answered, &store->lock);
    }
    pthread_mutex_unlock(&store->lock);
    pthread_cond_destroy(&pending->answered);
}

static bool sqlite_commit(struct store *base, const struct store_write *write, int64_t *revision,
                          struct store_item *current, bool *conflict, struct error *error)
{
    struct pending pending = {.write = write};
    enqueue_and_wait(of(base), &pending);
    if (pending.failed) {
        return error_move(error, &pending.error);
    }
    *revision = pending.revision;
    *conflict = pending.conflict;
    if (current != NULL) {
        *current = pending.current;
    } else {
        store_item_clear(&pending.current);
    }
    return true;
}

static bool sqlite_compact(struct store *base, int64_t revision, struct error *error)
{
    struct sqlite_store *store = of(base);
    if (revision <= atomic_load(&store->compacted)) {
        return error_expired(error, "the revision %lld has been compacted already",
                             (long long)revision);
    }
    if (revision > atomic_load(&store->revision)) {
        return error_bad_request(error, "the revision %lld lies in the future",
                                 (long long)revision);
    }
    struct pending pending = {.compact_revision = revision};
    enqueue_and_wait(store, &pending);
    return !pending.failed || error_move(error, &pending.error);
}

static bool sqlite_watch(struct store *base, int64_t after, struct store_watcher watcher,
                         struct error *error)
{
    (void)error;
    struct sqlite_store *store = of(base);
    pthread_mutex_lock(&store->lock);
    store->watcher = watcher;
    store->watch_after = after;
    store->watch_requested = true;
    pthread_cond_signal(&store->work);
    pthread_mutex_unlock(&store->lock);
    return true;
}

static bool sqlite_current_revision(struct store *base, int64_t *revision, struct error *error)
{
    (void)error;
    *revision = atomic_load(&of(base)->revision);
    return true;
}

/* ---- reading ---- */

static sqlite3 *open_database(struct sqlite_store *store, struct error *error)
{
    sqlite3 *database = NULL;
    if (sqlite3_open_v2(store->path, &database,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                        NULL) != SQLITE_OK) {
        fail(store, database, error);
        sqlite3_close(database);
        return NULL;
    }
    sqlite3_extended_result_codes(database, 0);
    sqlite3_busy_timeout(database, 10000);
    return database;
}

static struct reader *borrow_reader(struct sqlite_store *store, struct error *error)
{
    pthread_mutex_lock(&store->readers_lock);
    while (store->readers == NULL && store->reader_count == readers_max) {
        pthread_cond_wait(&store->reader_free, &store->readers_lock);
    }
    struct reader *reader = store->readers;
    if (reader != NULL) {
        store->readers = reader->next;
    } else {
        store->reader_count++;
    }
    pthread_mutex_unlock(&store->readers_lock);
    if (reader == NULL) {
        reader = allocate_struct(struct reader);
        reader->database = open_database(store, error);
    }
    if (reader->database == NULL) {
        free(reader);
        pthread_mutex_lock(&store->readers_lock);
        store->reader_count--;
        pthread_cond_signal(&store->reader_free);
        pthread_mutex_unlock(&store->readers_lock);
        return NULL;
    }
    return reader;
}

static void return_reader(struct sqlite_store *store, struct reader *reader)
{
    pthread_mutex_lock(&store->readers_lock);
    reader->next = store->readers;
    store->readers = reader;
    pthread_cond_signal(&store->reader_free);
    pthread_mutex_unlock(&store->readers_lock);
}

static struct store_item *add_item(struct store_items *items)
{
    items->list = grow(items->list, items->count, &items->capacity, sizeof *items->list);
    struct store_item *item = &items->list[items->count++];
    *item = (struct store_item){0};
    return item;
}

static void read_item(sqlite3_stmt *statement, struct store_item *item)
{
    item->key = column_text(statement, 0, NULL);
    item->value = column_text(statement, 1, &item->value_length);
    item->mod_revision = sqlite3_column_int64(statement, 2);
    item->version = sqlite3_column_int64(statement, 3);
}

static bool sqlite_get(struct store *base, const char *key, struct store_item *item, bool *found,
                       struct error *error)
{
    struct sqlite_store *store = of(base);
    struct reader *reader = borrow_reader(store, error);
    if (reader == NULL) {
        return false;
    }
    sqlite3_stmt *statement =
        prepare(store, reader->database,
                "SELECT p.key, c.value, p.revision, p.version FROM present p JOIN changes c ON "
                "c.revision = p.revision WHERE p.key = ?1",
                error);
    bool done = statement != NULL;
    if (done) {
        bind_text(statement, 1, key);
        int step = sqlite3_step(statement);
        *found = step == SQLITE_ROW;
        if (*found) {
            read_item(statement, item);
        }
        done = step == SQLITE_ROW || step == SQLITE_DONE || fail(store, reader->database, error);
        sqlite3_finalize(statement);
    }
    return_reader(store, reader);
    return done;
}

/* Keys in the range with the revisions they had at ?3: those unchanged since, and for those changed
 * since the version that the first change after ?3 superseded. */
static const char range_query[] =
    "WITH then_present (key, revision) AS ("
    " SELECT key, revision FROM present WHERE key >= ?1 AND key < ?2 AND revision <= ?3"
    " UNION ALL"
    " SELECT key, previous FROM (SELECT key, previous, MIN(revision) FROM changes WHERE"
    "  revision > ?3 AND key >= ?1 AND key < ?2 GROUP BY key) WHERE previous > 0) ";

static bool count_range(struct sqlite_store *store, sqlite3 *database, const char *start,
                        const char *end, int64_t revision, int64_t *total, struct error *error)
{
    cleanup(free_char)
    char *text =
        format("%sSELECT COUNT(*) FROM then_present t JOIN changes c ON c.revision = t.revision "
               "WHERE c.value IS NOT NULL",
               range_query);
    sqlite3_stmt *statement = prepare(store, database, text, error);
    if (statement == NULL) {
        return false;
    }
    bind_text(statement, 1, start);
    bind_text(statement, 2, end);
    sqlite3_bind_int64(statement, 3, revision);
    bool done = sqlite3_step(statement) == SQLITE_ROW || fail(store, database, error);
    *total = done ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return done;
}

static bool read_range(struct sqlite_store *store, sqlite3 *database, const char *start,
                       const char *end, size_t limit, int64_t revision, struct store_items *items,
                       struct error *error)
{
    cleanup(free_char)
    char *text =
        format("%sSELECT t.key, c.value, c.revision, c.version FROM then_present t JOIN changes c "
               "ON c.revision = t.revision WHERE c.value IS NOT NULL ORDER BY t.key LIMIT ?4",
               range_query);
    sqlite3_stmt *statement = prepare(store, database, text, error);
    if (statement == NULL) {
        return false;
    }
    bind_text(statement, 1, start);
    bind_text(statement, 2, end);
    sqlite3_bind_int64(statement, 3, revision);
    sqlite3_bind_int64(statement, 4, limit > 0 ? (int64_t)limit : -1);
    int step;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
        read_item(statement, add_item(items));
    }
    sqlite3_finalize(statement);
    return step == SQLITE_DONE || fail(store, database, error);
}

static bool sqlite_range(struct store *base, const char *start, const char *end, size_t limit,
                         int64_t revision, struct store_items *items, int64_t *at_revision,
                         int64_t *total, struct error *error)
{
    struct sqlite_store *store = of(base);
    int64_t newest = atomic_load(&store->revision);
    revision = revision > 0 ? revision : newest;
    if (revision > newest) {
        return error_bad_request(error, "the revision %lld lies in the future",
                                 (long long)revision);
    }
    struct reader *reader = borrow_reader(store, error);
    if (reader == NULL) {
        return false;
    }
    size_t before = items->count;
    bool done =
        run(store, reader->database, "BEGIN", error) &&
        read_range(store, reader->database, start, end, limit, revision, items, error) &&
        (total == NULL || count_range(store, reader->database, start, end, revision, total, error));
    sqlite3_exec(reader->database, "COMMIT", NULL, NULL, NULL);
    return_reader(store, reader);
    /* Looked at last: had a compaction come in between, versions might be missing. */
    if (done && revision < atomic_load(&store->compacted)) {
        done = error_expired(error, "the required revision has been compacted");
    }
    while (!done && items->count > before) {
        store_item_clear(&items->list[--items->count]);
    }
    if (done && at_revision != NULL) {
        *at_revision = revision;
    }
    return done;
}

static bool sqlite_healthy(struct store *base, struct error *error)
{
    struct store_item item = {0};
    bool found = false;
    bool healthy = sqlite_get(base, "/registry/health", &item, &found, error);
    store_item_clear(&item);
    return healthy;
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
    return run(store, store->database,
               "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -2000;",
               error) &&
           run(store, store->database, tables, error);
}

static bool load_expiries(struct sqlite_store *store, struct error *error)
{
    sqlite3_stmt *statement = prepare(store, store->database,
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
        char *key = column_text(statement, 0, NULL);
        expiry_add(store, key, sqlite3_column_int64(statement, 1),
                   sqlite3_column_int64(statement, 2));
    }
    sqlite3_finalize(statement);
    return step == SQLITE_DONE || fail(store, store->database, error);
}

static bool load_state(struct sqlite_store *store, struct error *error)
{
    int64_t newest, compacted;
    if (!query_number(store, store->database, "SELECT MAX(revision) FROM changes", &newest,
                      error) ||
        !query_number(store, store->database, "SELECT value FROM meta WHERE name = 'compacted'",
                      &compacted, error) ||
        !load_expiries(store, error)) {
        return false;
    }
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        store->statements[i] = prepare(store, store->database, statement_texts[i], error);
        if (store->statements[i] == NULL) {
            return false;
        }
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
    while (store->readers != NULL) {
        struct reader *next = store->readers->next;
        sqlite3_close(store->readers->database);
        free(store->readers);
        store->readers = next;
    }
    sqlite3_close(store->database);
    for (size_t i = 0; i < store->expiry_count; i++) {
        free(store->expiries[i].key);
    }
    free(store->expiries);
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
    struct sqlite_store *store = of(base);
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

struct store *store_sqlite_open(const char *path, struct error *error)
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
    bool opened = lock_out_others(store, error) &&
                  (store->database = open_database(store, error)) != NULL &&
                  check_format(store, error) && set_up(store, error) && load_state(store, error);
    if (opened && pthread_create(&store->writer, NULL, writer_main, store) != 0) {
        opened = error_internal(error, "starting a thread failed");
    }
    if (!opened) {
        release(store);
        return NULL;
    }
    return &store->store;
}

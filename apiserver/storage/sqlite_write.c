// SPDX-License-Identifier: Apache-2.0
/*
 * The embedded store's one writer thread: groups of writes, compaction, expiry, and the watch that
 * it feeds.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "apiserver/storage/sqlite_store.h"
#include "common/alloc.h"
#include "common/fiber.h"
#include "common/log.h"
#include "common/timestamp.h"

enum {
    group_max = 256, /* Writes in one transaction. */
    replay_batch = 256,
    compaction_batch = 2000,
};

/* A write that waits for its answer, on its caller's stack. */
struct sqlite_pending {
    const struct store_write *write;
    int64_t compact_revision; /* Over 0: no write but a compaction. */
    struct sqlite_pending *next;
    struct completion answered;
    bool failed, conflict;
    int64_t revision;
    int64_t expires; /* When what was put expires, seconds since 1970; 0: never. */
    struct store_item current;
    struct error error;
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

/* ---- statements ---- */

bool sqlite_prepare_writer(struct sqlite_store *store, struct error *error)
{
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        store->statements[i] = sqlite_prepare(store, store->database, statement_texts[i], error);
        if (store->statements[i] == NULL) {
            return false;
        }
    }
    return true;
}

/* Steps a statement that answers nothing, and makes it ready for the next time. */
static bool finish(const struct sqlite_store *store, sqlite3_stmt *statement, struct error *error)
{
    bool done = sqlite3_step(statement) == SQLITE_DONE;
    if (!done) {
        sqlite_fail(store, sqlite3_db_handle(statement), error);
    }
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return done;
}

/* ---- writing ---- */

static bool read_present(struct sqlite_store *store, const char *key, int64_t *revision,
                         int64_t *version, struct error *error)
{
    sqlite3_stmt *statement = store->statements[GET_PRESENT];
    sqlite_bind_text(statement, 1, key);
    int step = sqlite3_step(statement);
    *revision = step == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    *version = step == SQLITE_ROW ? sqlite3_column_int64(statement, 1) : 0;
    bool done =
        step == SQLITE_ROW || step == SQLITE_DONE || sqlite_fail(store, store->database, error);
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
        item->value = sqlite_column_text(statement, 0, &item->value_length);
        item->mod_revision = revision;
        item->version = sqlite3_column_int64(statement, 1);
    } else {
        sqlite_fail(store, store->database, error);
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

static bool record(struct sqlite_store *store, struct sqlite_pending *pending, int64_t previous,
                   int64_t version, struct error *error)
{
    const struct store_write *write = pending->write;
    bool put = write->operation == STORE_PUT;
    pending->expires =
        put && write->ttl_seconds > 0 ? timestamp_now() / 1000000000 + write->ttl_seconds + 1 : 0;
    sqlite3_stmt *change = store->statements[PUT_CHANGE];
    sqlite3_bind_int64(change, 1, pending->revision);
    sqlite3_bind_int64(change, 2, previous);
    sqlite_bind_text(change, 3, write->key);
    if (put) {
        sqlite3_bind_blob64(change, 4, write->value ? write->value : "", write->value_length,
                            SQLITE_STATIC);
    }
    sqlite3_bind_int64(change, 5, version);
    sqlite3_bind_int64(change, 6, pending->expires);
    if (!finish(store, change, error)) {
        return false;
    }
    sqlite3_stmt *present = store->statements[put ? PUT_PRESENT : DELETE_PRESENT];
    sqlite_bind_text(present, 1, write->key);
    if (put) {
        sqlite3_bind_int64(present, 2, pending->revision);
        sqlite3_bind_int64(present, 3, version);
    }
    if (!finish(store, present, error)) {
        return false;
    }
    deliver_later(store, write, pending->revision, version);
    return true;
}

/* Does one write inside the open transaction; '*revision' is the newest so far. */
static bool do_write(struct sqlite_store *store, struct sqlite_pending *pending, int64_t *revision,
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
    return record(store, pending, present, version + 1, error);
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
        if (!sqlite_run(store, store->database, text, error)) {
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
static bool do_group(struct sqlite_store *store, struct sqlite_pending *group, struct error *error)
{
    int64_t revision = atomic_load(&store->revision), before = revision;
    bool done = sqlite_run(store, store->database, "BEGIN IMMEDIATE", error);
    for (struct sqlite_pending *pending = group; done && pending != NULL; pending = pending->next) {
        done = do_write(store, pending, &revision, error);
    }
    done = done && sqlite_run(store, store->database, "COMMIT", error);
    if (!done) {
        sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
        for (size_t i = 0; i < store->delivered.count; i++) {
            store_item_clear(&store->delivered.list[i]);
        }
        store->delivered.count = 0;
        return false;
    }
    atomic_store(&store->revision, revision);
    for (const struct sqlite_pending *pending = group; pending != NULL; pending = pending->next) {
        if (pending->expires > 0) {
            expiries_add(&store->expiries, pending->write->key, pending->revision,
                         pending->expires);
        }
    }
    if (revision > before) {
        deliver(store, revision);
    }
    return true;
}

static void answer(struct sqlite_pending *group, const struct error *error)
{
    while (group != NULL) {
        struct sqlite_pending *next = group->next; /* Its caller may go as soon as it is done. */
        if (error != NULL) {
            group->failed = true;
            store_item_clear(&group->current);
            error_set(&group->error, error->code, error->reason, "%s", error->message);
        }
        completion_signal(&group->answered);
        group = next;
    }
}

/* Logs when writing begins to fail and when it works again: each failure is told to its caller. */
static void tell_change(struct sqlite_store *store, bool works, const struct error *error)
{
    if (store->failing && works) {
        log_info("writing to the store works again");
    } else if (!store->failing && !works) {
        log_error("writing to the store failed: %s", error->message);
    }
    store->failing = !works;
}

static void serve_group(struct sqlite_store *store, struct sqlite_pending *group)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    bool done = group->compact_revision > 0 ? do_compact(store, group->compact_revision, &error)
                                            : do_group(store, group, &error);
    tell_change(store, done, &error);
    answer(group, done ? NULL : &error);
}

/* Deletes what has expired. */
static void expire(struct sqlite_store *store)
{
    int64_t now = timestamp_now() / 1000000000;
    while (store->expiries.count > 0 && store->expiries.list[0].at <= now) {
        struct expiry due = expiries_take(&store->expiries);
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        struct store_write write = {
            .operation = STORE_DELETE, .key = due.key, .expected = due.revision};
        struct sqlite_pending pending = {.write = &write};
        bool done = do_group(store, &pending, &error);
        store_item_clear(&pending.current);
        tell_change(store, done, &error);
        if (!done) { /* Tried again later. */
            expiries_add(&store->expiries, due.key, due.revision, now + 5);
        }
        free(due.key);
    }
}

/* ---- watching ---- */

static bool replay(struct sqlite_store *store, int64_t after, struct error *error)
{
    sqlite3_stmt *statement =
        sqlite_prepare(store, store->database,
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
                                    .key = sqlite_column_text(statement, 1, NULL),
                                    .version = put ? sqlite3_column_int64(statement, 3) : 0};
        if (put) {
            item->value = sqlite_column_text(statement, 2, &item->value_length);
        }
        if (items->count == replay_batch) {
            deliver(store, item->mod_revision);
        }
    }
    bool done = step == SQLITE_DONE || sqlite_fail(store, store->database, error);
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
static struct sqlite_pending *take_group(struct sqlite_store *store, size_t *taken)
{
    struct sqlite_pending *group = store->first, **end = &store->first;
    size_t count = 0;
    while (*end != NULL && count < group_max && ((*end)->compact_revision == 0 || count == 0)) {
        bool alone = (*end)->compact_revision > 0;
        end = &(*end)->next;
        count++;
        if (alone) {
            break;
        }
    }
    *taken = count;
    struct sqlite_pending *rest = *end;
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
        if (store->expiries.count == 0) {
            pthread_cond_wait(&store->work, &store->lock);
            continue;
        }
        struct timespec until = {.tv_sec = store->expiries.list[0].at};
        if (pthread_cond_timedwait(&store->work, &store->lock, &until) == ETIMEDOUT) {
            return;
        }
    }
}

/* Where several write at a time, the one that woke this thread was the first of some, and the
 * others are still at work. A group costs as much as many writes: so whoever is ready to run does
 * so first, and the group is larger. Who writes alone is not kept waiting. With the lock. */
static void let_others_write(struct sqlite_store *store, size_t last_group)
{
    if (last_group > 1 && !store->stopping) {
        pthread_mutex_unlock(&store->lock);
        sched_yield();
        pthread_mutex_lock(&store->lock);
    }
}

void *sqlite_writer_main(void *argument)
{
    struct sqlite_store *store = argument;
    size_t group_size = 0;
    for (bool stopping = false; !stopping;) {
        pthread_mutex_lock(&store->lock);
        wait_for_work(store);
        let_others_write(store, group_size);
        struct sqlite_pending *group = take_group(store, &group_size);
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

static void enqueue_and_wait(struct sqlite_store *store, struct sqlite_pending *pending)
{
    completion_init(&pending->answered);
    pthread_mutex_lock(&store->lock);
    bool first = store->first == NULL;
    *store->last = pending;
    store->last = &pending->next;
    pthread_mutex_unlock(&store->lock);
    if (first) { /* Without the lock, which the writer would wait for as soon as it wakes. */
        pthread_cond_signal(&store->work);
    }
    completion_wait(&pending->answered);
}

bool sqlite_commit(struct store *base, const struct store_write *write, int64_t *revision,
                   struct store_item *current, bool *conflict, struct error *error)
{
    struct sqlite_pending pending = {.write = write};
    enqueue_and_wait(sqlite_of(base), &pending);
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

bool sqlite_compact(struct store *base, int64_t revision, struct error *error)
{
    struct sqlite_store *store = sqlite_of(base);
    if (revision <= atomic_load(&store->compacted)) {
        return error_expired(error, "the revision %lld has been compacted already",
                             (long long)revision);
    }
    if (revision > atomic_load(&store->revision)) {
        return error_bad_request(error, "the revision %lld lies in the future",
                                 (long long)revision);
    }
    struct sqlite_pending pending = {.compact_revision = revision};
    enqueue_and_wait(store, &pending);
    return !pending.failed || error_move(error, &pending.error);
}

bool sqlite_watch(struct store *base, int64_t after, struct store_watcher watcher,
                  struct error *error)
{
    (void)error;
    struct sqlite_store *store = sqlite_of(base);
    pthread_mutex_lock(&store->lock);
    store->watcher = watcher;
    store->watch_after = after;
    store->watch_requested = true;
    pthread_cond_signal(&store->work);
    pthread_mutex_unlock(&store->lock);
    return true;
}

bool sqlite_current_revision(struct store *base, int64_t *revision, struct error *error)
{
    (void)error;
    *revision = atomic_load(&sqlite_of(base)->revision);
    return true;
}

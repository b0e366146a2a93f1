// SPDX-License-Identifier: Apache-2.0
/* Reading the embedded store: connections that are lent out, and ranges at a revision. */
#include <string.h>

#include "apiserver/storage/sqlite_store.h"
#include "common/alloc.h"

enum { readers_max = 4 };

static struct sqlite_reader *borrow_reader(struct sqlite_store *store, struct error *error)
{
    pthread_mutex_lock(&store->readers_lock);
    while (store->readers == NULL && store->reader_count == readers_max) {
        pthread_cond_wait(&store->reader_free, &store->readers_lock);
    }
    struct sqlite_reader *reader = store->readers;
    if (reader != NULL) {
        store->readers = reader->next;
    } else {
        store->reader_count++;
    }
    pthread_mutex_unlock(&store->readers_lock);
    if (reader == NULL) {
        reader = allocate_struct(struct sqlite_reader);
        reader->database = sqlite_open_database(store, error);
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

static void return_reader(struct sqlite_store *store, struct sqlite_reader *reader)
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
    item->key = sqlite_column_text(statement, 0, NULL);
    item->value = sqlite_column_text(statement, 1, &item->value_length);
    item->mod_revision = sqlite3_column_int64(statement, 2);
    item->version = sqlite3_column_int64(statement, 3);
}

bool sqlite_get(struct store *base, const char *key, struct store_item *item, bool *found,
                struct error *error)
{
    struct sqlite_store *store = sqlite_of(base);
    struct sqlite_reader *reader = borrow_reader(store, error);
    if (reader == NULL) {
        return false;
    }
    sqlite3_stmt *statement = sqlite_prepare(
        store, reader->database,
        "SELECT p.key, c.value, p.revision, p.version FROM present p JOIN changes c ON "
        "c.revision = p.revision WHERE p.key = ?1",
        error);
    bool done = statement != NULL;
    if (done) {
        sqlite_bind_text(statement, 1, key);
        int step = sqlite3_step(statement);
        *found = step == SQLITE_ROW;
        if (*found) {
            read_item(statement, item);
        }
        done = step == SQLITE_ROW || step == SQLITE_DONE ||
               sqlite_fail(store, reader->database, error);
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
    sqlite3_stmt *statement = sqlite_prepare(store, database, text, error);
    if (statement == NULL) {
        return false;
    }
    sqlite_bind_text(statement, 1, start);
    sqlite_bind_text(statement, 2, end);
    sqlite3_bind_int64(statement, 3, revision);
    bool done = sqlite3_step(statement) == SQLITE_ROW || sqlite_fail(store, database, error);
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
    sqlite3_stmt *statement = sqlite_prepare(store, database, text, error);
    if (statement == NULL) {
        return false;
    }
    sqlite_bind_text(statement, 1, start);
    sqlite_bind_text(statement, 2, end);
    sqlite3_bind_int64(statement, 3, revision);
    sqlite3_bind_int64(statement, 4, limit > 0 ? (int64_t)limit : -1);
    int step;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
        read_item(statement, add_item(items));
    }
    sqlite3_finalize(statement);
    return step == SQLITE_DONE || sqlite_fail(store, database, error);
}

bool sqlite_range(struct store *base, const char *start, const char *end, size_t limit,
                  int64_t revision, struct store_items *items, int64_t *at_revision, int64_t *total,
                  struct error *error)
{
    struct sqlite_store *store = sqlite_of(base);
    int64_t newest = atomic_load(&store->revision);
    revision = revision > 0 ? revision : newest;
    if (revision > newest) {
        return error_bad_request(error, "the revision %lld lies in the future",
                                 (long long)revision);
    }
    struct sqlite_reader *reader = borrow_reader(store, error);
    if (reader == NULL) {
        return false;
    }
    size_t before = items->count;
    bool done =
        sqlite_run(store, reader->database, "BEGIN", error) &&
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

bool sqlite_healthy(struct store *base, struct error *error)
{
    struct store_item item = {0};
    bool found = false;
    bool healthy = sqlite_get(base, "/registry/health", &item, &found, error);
    store_item_clear(&item);
    return healthy;
}

void sqlite_close_readers(struct sqlite_store *store)
{
    while (store->readers != NULL) {
        struct sqlite_reader *next = store->readers->next;
        sqlite3_close(store->readers->database);
        free(store->readers);
        store->readers = next;
    }
}

// SPDX-License-Identifier: Apache-2.0
/* What only the embedded store meets: the file and what happens to it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/storage/harness.h"

/* Opening must fail with a sentence that names the file. */
static void assert_refused(const char *path)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct store *store = store_sqlite_open(path, &error);
    assert_null(store);
    assert_true(error.code != 0);
    assert_non_null(strstr(error.message, path));
}

static void write_file(const char *path, size_t offset, const char *bytes, size_t length)
{
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, bytes, length, (off_t)offset), length);
    close(file);
}

static void the_file_is_for_its_owner_only(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void changes_are_delivered_before_the_commit_returns(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    struct recorder recorder;
    recorder_init(&recorder);
    assert_true(fixture->store->local);
    int64_t after = current_revision(fixture->store);
    assert_done(store_watch(fixture->store, after, recorder_watcher(&recorder), &error));
    put(fixture->store, "/first", "x", STORE_ANY);
    recorder_wait_count(&recorder, "/first", 1);
    for (int i = 0; i < 100; i++) {
        int64_t revision = put(fixture->store, "/local", "x", STORE_ANY);
        assert_int_equal(recorder_count(&recorder, "/local"), i + 1);
        assert_int_equal(current_revision(fixture->store), revision);
    }
    store_close(steal(fixture->store));
    recorder_free(&recorder);
}

static void a_file_in_use_by_another_process_is_refused_and_freed_by_its_end(void **state)
{
    struct fixture *fixture = *state;
    store_close(steal(fixture->store));
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct store *store = store_sqlite_open(fixture->path, NULL);
        if (write(ready[1], store != NULL ? "y" : "n", 1) == 1) {
            pause();
        }
        _exit(1);
    }
    char opened = 'n';
    assert_int_equal(read(ready[0], &opened, 1), 1);
    assert_int_equal(opened, 'y');
    assert_refused(fixture->path);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    fixture->store = open_sqlite(fixture->path);
    put(fixture->store, "/a", "x", 0);
}

static void a_file_that_is_no_database_is_refused(void **state)
{
    struct fixture *fixture = *state;
    cleanup(free_char)
    char *path = format("%s/text", fixture->folder);
    char text[8192];
    memset(text, 'x', sizeof(text));
    write_file(path, 0, text, sizeof(text));
    assert_refused(path);
}

static void a_database_of_another_program_is_refused_and_left_alone(void **state)
{
    struct fixture *fixture = *state;
    cleanup(free_char)
    char *path = format("%s/foreign.db", fixture->folder);
    sqlite3 *database;
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "CREATE TABLE theirs (a); INSERT INTO theirs VALUES(7)",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(database);
    assert_refused(path);
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(database, "SELECT a FROM theirs", -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(statement, 0), 7);
    sqlite3_finalize(statement);
    sqlite3_close(database);
}

static void a_file_whose_beginning_is_damaged_is_refused(void **state)
{
    struct fixture *fixture = *state;
    put(fixture->store, "/a", "x", 0);
    store_close(steal(fixture->store));
    char garbage[4096];
    memset(garbage, 0x5a, sizeof(garbage));
    write_file(fixture->path, 0, garbage, sizeof(garbage));
    assert_refused(fixture->path);
}

static void a_file_damaged_in_the_middle_is_refused(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 200; i++) {
        cleanup(free_char)
        char *key = format("/key/%d", i);
        put(fixture->store, key, "0123456789012345678901234567890123456789", 0);
    }
    store_close(steal(fixture->store));
    struct stat status;
    assert_int_equal(stat(fixture->path, &status), 0);
    char garbage[4096];
    memset(garbage, 0x5a, sizeof(garbage));
    for (off_t at = 4096; at < status.st_size; at += 4096) {
        write_file(fixture->path, (size_t)at, garbage, sizeof(garbage));
    }
    assert_refused(fixture->path);
}

/* ---- no space ---- */

/* SQLite's own files, but a write beyond so many bytes fails with a code of the test's choice. */
static struct {
    sqlite3_io_methods methods[2]; /* Of the database and of its log, which has no locks. */
    atomic_bool sync_fails;
    int (*sync)(sqlite3_file *, int);
    int (*write)(sqlite3_file *, const void *, int, sqlite3_int64);
    _Atomic sqlite3_int64 limit; /* 0: none. */
    int code;
} disk;

static int disk_write(sqlite3_file *file, const void *bytes, int count, sqlite3_int64 offset)
{
    sqlite3_int64 limit = disk.limit;
    return limit > 0 && offset + count > limit ? disk.code : disk.write(file, bytes, count, offset);
}

static int disk_sync(sqlite3_file *file, int flags)
{
    return disk.sync_fails ? SQLITE_IOERR_FSYNC : disk.sync(file, flags);
}

static int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                     int *out_flags)
{
    sqlite3_vfs *real = vfs->pAppData;
    int code = real->xOpen(real, name, file, flags, out_flags);
    if (code == SQLITE_OK && (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) != 0) {
        sqlite3_io_methods *methods = &disk.methods[(flags & SQLITE_OPEN_WAL) != 0];
        disk.write = file->pMethods->xWrite;
        disk.sync = file->pMethods->xSync;
        *methods = *file->pMethods;
        methods->xWrite = disk_write;
        methods->xSync = disk_sync;
        file->pMethods = methods;
    }
    return code;
}

static int set_up_disk(void **state)
{
    static sqlite3_vfs vfs;
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    vfs = *real;
    vfs.zName = "small disk";
    vfs.pAppData = real;
    vfs.xOpen = disk_open;
    sqlite3_vfs_register(&vfs, 1);
    return set_up_sqlite(state);
}

static int tear_down_disk(void **state)
{
    int status = tear_down(state);
    sqlite3_vfs_unregister(sqlite3_vfs_find("small disk"));
    return status;
}

static void limit_disk(int64_t bytes, int code)
{
    disk.code = code;
    disk.limit = bytes;
}

/* Puts values of 50 kB at /full/<i> until one is refused: its number. Then there is space again. */
static int fill(struct store *store, int code, struct error *error)
{
    cleanup(free_char)
    char *value = allocate_zero(1, 50000);
    limit_disk(1 << 20, code);
    int count = 0;
    for (bool done = true; done && count < 1000; count += done) {
        cleanup(free_char)
        char *key = format("/full/%d", count);
        const struct store_write write = {.key = key, .value = value, .value_length = 50000};
        int64_t revision;
        bool conflict = false;
        done = store_commit(store, &write, &revision, NULL, &conflict, error);
    }
    limit_disk(0, SQLITE_OK);
    return count;
}

static void a_full_disk_is_told_clearly_and_nothing_is_lost(void **state)
{
    struct fixture *fixture = *state;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    put(fixture->store, "/before", "x", 0);
    int refused = fill(fixture->store, SQLITE_FULL, &error);
    int64_t revision = current_revision(fixture->store);
    assert_int_equal(error.code, 500);
    assert_string_equal(error.reason, "InternalError");
    assert_non_null(strstr(error.message, "no space left for"));
    assert_non_null(strstr(error.message, fixture->path));
    assert_int_equal(revision, refused + 2);
    for (int round = 0; round < 2; round++) { /* At once, and after a start. */
        cleanup(free_char)
        char *absent = format("/full/%d", refused);
        assert_value(fixture->store, "/before", "x");
        assert_int_equal(current_revision(fixture->store), revision);
        assert_false(exists(fixture->store, absent));
        for (int i = 0; i < refused; i++) {
            cleanup(free_char)
            char *key = format("/full/%d", i);
            assert_true(exists(fixture->store, key));
        }
        reopen(fixture);
    }
}

static void writing_goes_on_when_there_is_space_again(void **state)
{
    struct fixture *fixture = *state;
    struct recorder recorder;
    recorder_init(&recorder);
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_done(store_watch(fixture->store, current_revision(fixture->store),
                            recorder_watcher(&recorder), &error));
    int refused = fill(fixture->store, SQLITE_FULL, &error);
    assert_int_equal(error.code, 500);
    int64_t revision = current_revision(fixture->store);
    assert_int_equal(put(fixture->store, "/after", "x", 0), revision + 1);
    recorder_wait_revision(&recorder, revision + 1);
    assert_int_equal(recorder_count(&recorder, "/full/"), refused);
    assert_int_equal(recorder_count(&recorder, "/after"), 1);
    reopen(fixture);
    assert_value(fixture->store, "/after", "x");
    assert_true(recorder.in_order);
    recorder_free(&recorder);
}

static void a_disk_that_fails_is_unavailable_until_it_works_again(void **state)
{
    struct fixture *fixture = *state;
    const int codes[] = {SQLITE_IOERR_WRITE, SQLITE_READONLY};
    for (size_t i = 0; i < array_length(codes); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        int refused = fill(fixture->store, codes[i], &error);
        assert_int_equal(error.code, 503);
        assert_non_null(strstr(error.message, "can't be written"));
        for (int written = 0; written < refused; written++) {
            cleanup(free_char)
            char *key = format("/full/%d", written);
            delete_key(fixture->store, key, STORE_ANY);
        }
        reopen(fixture);
    }
}

static void a_write_that_could_not_be_flushed_is_unknown_and_not_seen(void **state)
{
    struct fixture *fixture = *state;
    int64_t before = put(fixture->store, "/a", "old", 0), revision;
    const struct store_write write = {
        .key = "/a", .value = "new", .value_length = 3, .expected = before};
    disk.sync_fails = true;
    int code = try_write(fixture->store, &write, &revision);
    disk.sync_fails = false;
    assert_int_equal(code, STORE_UNKNOWN);
    assert_value(fixture->store, "/a", "old");
    assert_int_equal(current_revision(fixture->store), before);
    assert_int_equal(must_write(fixture->store, &write), before + 1);
    reopen(fixture);
    assert_value(fixture->store, "/a", "new");
    assert_int_equal(current_revision(fixture->store), before + 1);
}

static void a_write_that_failed_does_not_expire_the_one_that_takes_its_revision(void **state)
{
    struct fixture *fixture = *state;
    cleanup(free_char)
    char *value = allocate_zero(1, 2 << 20);
    struct store_write write = {
        .key = "/brief", .value = value, .value_length = 2 << 20, .ttl_seconds = 1};
    int64_t revision;
    limit_disk(1 << 20, SQLITE_FULL);
    int code = try_write(fixture->store, &write, &revision);
    limit_disk(0, SQLITE_OK);
    assert_int_equal(code, 500);
    int64_t lasting = put(fixture->store, "/brief", "x", 0);
    /* Expired after it, and so not before the failed write would have been. */
    write =
        (struct store_write){.key = "/later", .value = "x", .value_length = 1, .ttl_seconds = 2};
    must_write(fixture->store, &write);
    wait_until_gone(fixture->store, "/later");
    assert_value(fixture->store, "/brief", "x");
    assert_int_equal(current_revision(fixture->store), lasting + 2);
}

/* ---- SIGKILL ---- */

/* Writes numbers at keys of its own from each of some threads and tells each one acknowledged
 * through a pipe; for the child, which is killed. */
struct child_writer {
    struct store *store;
    int number, pipe;
};

struct acknowledgement {
    int number, value;
};

static void *write_and_tell(void *argument)
{
    struct child_writer *writer = argument;
    for (int i = 1;; i++) {
        char key[64], value[24];
        snprintf(key, sizeof(key), "/numbers/%d", writer->number);
        snprintf(value, sizeof(value), "%d", i);
        const struct store_write write_it = {
            .key = key, .value = value, .value_length = strlen(value), .expected = STORE_ANY};
        struct acknowledgement told = {.number = writer->number, .value = i};
        int64_t revision;
        if (try_write(writer->store, &write_it, &revision) != 0 ||
            write(writer->pipe, &told, sizeof(told)) != sizeof(told)) {
            _exit(1);
        }
    }
}

enum { child_writers = 4 };

static pid_t start_child(const char *path, int out)
{
    pid_t child = fork();
    if (child != 0) {
        return child;
    }
    struct store *store = store_sqlite_open(path, NULL);
    static struct child_writer writers[child_writers];
    for (int i = 0; store != NULL && i < child_writers; i++) {
        pthread_t thread;
        writers[i] = (struct child_writer){.store = store, .number = i, .pipe = out};
        pthread_create(&thread, NULL, write_and_tell, &writers[i]);
    }
    if (store != NULL) {
        pause();
    }
    _exit(1);
}

static void killing_a_process_that_writes_loses_nothing_acknowledged(void **state)
{
    struct fixture *fixture = *state;
    store_close(steal(fixture->store));
    for (int round = 0; round < 5; round++) {
        int last[child_writers] = {0};
        int told[2];
        assert_int_equal(pipe(told), 0);
        pid_t child = start_child(fixture->path, told[1]);
        close(told[1]);
        struct acknowledgement acknowledged;
        for (int count = 0; read(told[0], &acknowledged, sizeof(acknowledged)) > 0; count++) {
            last[acknowledged.number] = acknowledged.value;
            if (count == 300 + 37 * round) {
                kill(child, SIGKILL);
            }
        }
        close(told[0]);
        waitpid(child, NULL, 0);
        fixture->store = open_sqlite(fixture->path);
        for (int i = 0; i < child_writers; i++) {
            struct error error = ERROR_INIT;
            cleanup(store_item_clear)
            struct store_item item = {0};
            cleanup(free_char)
            char *key = format("/numbers/%d", i);
            bool found;
            assert_done(store_get(fixture->store, key, &item, &found, &error));
            assert_true(found);
            /* The one after the last acknowledged may have been written, too. */
            assert_in_range(atoi(item.value), last[i], last[i] + 1);
        }
        store_close(steal(fixture->store));
    }
}

#define each(test) cmocka_unit_test_setup_teardown(test, set_up_sqlite, tear_down)
#define on_disk(test) cmocka_unit_test_setup_teardown(test, set_up_disk, tear_down_disk)

int run_sqlite_tests(void)
{
    static const struct CMUnitTest tests[] = {
        each(the_file_is_for_its_owner_only),
        each(changes_are_delivered_before_the_commit_returns),
        each(a_file_in_use_by_another_process_is_refused_and_freed_by_its_end),
        each(a_file_that_is_no_database_is_refused),
        each(a_database_of_another_program_is_refused_and_left_alone),
        each(a_file_whose_beginning_is_damaged_is_refused),
        each(a_file_damaged_in_the_middle_is_refused),
        on_disk(a_full_disk_is_told_clearly_and_nothing_is_lost),
        on_disk(writing_goes_on_when_there_is_space_again),
        on_disk(a_disk_that_fails_is_unavailable_until_it_works_again),
        on_disk(a_write_that_could_not_be_flushed_is_unknown_and_not_seen),
        on_disk(a_write_that_failed_does_not_expire_the_one_that_takes_its_revision),
        each(killing_a_process_that_writes_loses_nothing_acknowledged),
    };
    return cmocka_run_group_tests_name("sqlite alone", tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* What only the embedded store meets: the file and what happens to it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sqlite3.h>
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
        each(killing_a_process_that_writes_loses_nothing_acknowledged),
    };
    return cmocka_run_group_tests_name("sqlite alone", tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/*
 * What the tests of stores share: stores of both kinds, an etcd of one's own, a watcher that
 * remembers, and shorthands that fail the test when the store fails.
 */
#ifndef TEST_STORAGE_HARNESS_H
#define TEST_STORAGE_HARNESS_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/storage/store.h"
#include "common/alloc.h"
#include "common/error.h"

enum { wait_seconds = 30 }; /* How long tests wait for what must come. */

enum store_kind { KIND_SQLITE, KIND_ETCD };

/* What a test of the common suite works on: a store, and a part of the key space of its own (the
 * stores on etcd share one). */
struct fixture {
    enum store_kind kind;
    struct store *store;
    char *folder;    /* Temporary. */
    char *path;      /* Of the SQLite file in it. */
    char prefix[32]; /* "/test-7/" */
    char *prefix_end;
};

/* Setup and teardown of cmocka. */
int set_up_sqlite(void **state);
int set_up_etcd(void **state);
int tear_down(void **state);
/* Closes the store and opens it again. */
void reopen(struct fixture *fixture);

/* The endpoint of the etcd that is there for all tests. */
const char *shared_endpoint(void);
struct store *open_etcd(const char *endpoint, int timeout_ms);
struct store *open_sqlite(const char *path);

char *make_folder(void);          /* The caller's. */
void remove_folder(char *folder); /* With all files in it; frees the name. */
int64_t milliseconds(void);       /* Monotonic. */
void sleep_ms(int ms);
int free_port(void);

/* ---- an etcd of one's own ---- */

struct etcd_server {
    pid_t pid; /* 0 while it is stopped. */
    int port, peer_port;
    char *folder;
    char endpoint[64];
};

void etcd_server_init(struct etcd_server *server);
/* Starts it, on the data it has, with more arguments (NULL-terminated, may be NULL). Does not wait
 * until it serves; opening a store does. */
void etcd_server_start(struct etcd_server *server, const char *const *arguments);
/* SIGSTOP, and waits until the last of its threads has stopped. */
void etcd_server_freeze(struct etcd_server *server);
void etcd_server_kill(struct etcd_server *server); /* SIGKILL, and waits for its end. */
void etcd_server_free(struct etcd_server *server);

/* ---- a watcher that remembers ---- */

struct change {
    char *key, *value; /* No value: deleted. */
    int64_t revision;
};

struct recorder {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct change *changes;
    size_t count, capacity;
    int64_t revision; /* The last one told. */
    bool began;       /* Was called before the first change. */
    bool in_order;    /* Revisions never went back, nor was one told in two calls. */
    int lost;         /* Times that lost() was called; 'lost_code' is its error. */
    int lost_code;
};

void recorder_init(struct recorder *recorder);
struct store_watcher recorder_watcher(struct recorder *recorder);
void recorder_wait_revision(struct recorder *recorder, int64_t revision);
void recorder_wait_lost(struct recorder *recorder);
/* Waits until there are as many changes of keys with this prefix. */
void recorder_wait_count(struct recorder *recorder, const char *prefix, size_t count);
size_t recorder_count(struct recorder *recorder, const char *prefix);
/* Only once the store is closed. */
void recorder_free(struct recorder *recorder);

/* ---- shorthands ---- */

#define assert_done(call)                                                                          \
    do {                                                                                           \
        if (!(call)) {                                                                             \
            fail_msg("%s: %d %s", #call, error.code, error.message);                               \
        }                                                                                          \
    } while (0)

/* Does a write that may fail or conflict: the error's code, 409 for a conflict, or 0. */
int try_write(struct store *store, const struct store_write *write, int64_t *revision);
/* Does a write that must succeed; its revision. */
int64_t must_write(struct store *store, const struct store_write *write);
int64_t put(struct store *store, const char *key, const char *value, int64_t expected);
int64_t put_bytes(struct store *store, const char *key, const char *value, size_t length);
int64_t delete_key(struct store *store, const char *key, int64_t expected);
bool exists(struct store *store, const char *key);
void assert_value(struct store *store, const char *key, const char *value);
int64_t current_revision(struct store *store);
void wait_until_gone(struct store *store, const char *key);
/* The key in the fixture's part; one of a few static buffers. */
const char *key_of(const struct fixture *fixture, const char *name);

/* The suites. */
int run_common_tests(void);
int run_etcd_tests(void);
int run_sqlite_tests(void);

#endif

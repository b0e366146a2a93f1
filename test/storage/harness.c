// SPDX-License-Identifier: Apache-2.0
#include "test/storage/harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/timestamp.h"

int64_t milliseconds(void)
{
    return timestamp_monotonic() / 1000000;
}

void sleep_ms(int ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&time, NULL);
}

char *make_folder(void)
{
    const char *parent = getenv("TMPDIR");
    char *folder = format("%s/storage-test-XXXXXX", parent != NULL ? parent : "/tmp");
    assert_non_null(mkdtemp(folder));
    return folder;
}

static void remove_tree(const char *path)
{
    DIR *folder = opendir(path);
    if (folder != NULL) {
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
                cleanup(free_char)
                char *child = format("%s/%s", path, entry->d_name);
                remove_tree(child);
            }
        }
        closedir(folder);
    }
    remove(path);
}

void remove_folder(char *folder)
{
    remove_tree(folder);
    free(folder);
}

int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    close(listener);
    return ntohs(address.sin_port);
}

/* ---- stores ---- */

const char *shared_endpoint(void)
{
    const char *endpoint = getenv("ETCD_ENDPOINT");
    assert_non_null(endpoint);
    return endpoint;
}

struct store *open_etcd(const char *endpoint, int timeout_ms)
{
    const char *const endpoints[] = {endpoint, NULL};
    const struct store_etcd_options options = {.endpoints = endpoints, .timeout_ms = timeout_ms};
    struct error error = ERROR_INIT;
    struct store *store = store_etcd_open(&options, &error);
    if (store == NULL) {
        fail_msg("%s", error.message);
    }
    return store;
}

struct store *open_sqlite(const char *path)
{
    struct error error = ERROR_INIT;
    struct store *store = store_sqlite_open(path, &error);
    if (store == NULL) {
        fail_msg("%s", error.message);
    }
    return store;
}

static void open_store(struct fixture *fixture)
{
    fixture->store =
        fixture->kind == KIND_SQLITE ? open_sqlite(fixture->path) : open_etcd(shared_endpoint(), 0);
}

static int set_up(void **state, enum store_kind kind)
{
    static int number;
    struct fixture *fixture = allocate_struct(struct fixture);
    fixture->kind = kind;
    fixture->folder = make_folder();
    fixture->path = format("%s/store.db", fixture->folder);
    snprintf(fixture->prefix, sizeof(fixture->prefix), "/test-%d/", ++number);
    fixture->prefix_end = store_prefix_end(fixture->prefix);
    open_store(fixture);
    *state = fixture;
    return 0;
}

int set_up_sqlite(void **state)
{
    return set_up(state, KIND_SQLITE);
}

int set_up_etcd(void **state)
{
    return set_up(state, KIND_ETCD);
}

int tear_down(void **state)
{
    struct fixture *fixture = *state;
    store_close(fixture->store);
    remove_folder(fixture->folder);
    free(fixture->path);
    free(fixture->prefix_end);
    free(fixture);
    return 0;
}

void reopen(struct fixture *fixture)
{
    store_close(fixture->store);
    open_store(fixture);
}

/* ---- an etcd of one's own ---- */

void etcd_server_init(struct etcd_server *server)
{
    *server = (struct etcd_server){
        .port = free_port(), .peer_port = free_port(), .folder = make_folder()};
    snprintf(server->endpoint, sizeof(server->endpoint), "http://127.0.0.1:%d", server->port);
}

void etcd_server_start(struct etcd_server *server, const char *const *arguments)
{
    cleanup(free_char)
    char *peer = format("http://127.0.0.1:%d", server->peer_port);
    cleanup(free_char)
    char *cluster = format("default=%s", peer);
    cleanup(free_char)
    char *log = format("%s/log", server->folder);
    cleanup(free_char)
    char *data = format("%s/data", server->folder);
    const char *command[40] = {
        "etcd",
        "--data-dir",
        data,
        "--listen-client-urls",
        server->endpoint,
        "--advertise-client-urls",
        server->endpoint,
        "--listen-peer-urls",
        peer,
        "--initial-advertise-peer-urls",
        peer,
        "--initial-cluster",
        cluster,
        "--log-level",
        "error",
    };
    size_t count = 0;
    while (command[count] != NULL) {
        count++;
    }
    for (size_t i = 0; arguments != NULL && arguments[i] != NULL; i++) {
        command[count++] = arguments[i];
    }
    server->pid = fork();
    if (server->pid == 0) {
        int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(out, STDOUT_FILENO);
        dup2(out, STDERR_FILENO);
        execvp(command[0], (char *const *)command);
        _exit(127);
    }
    assert_true(server->pid > 0);
}

static bool all_threads_have_stopped(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    bool stopped = tasks != NULL;
    for (struct dirent *task; stopped && (task = readdir(tasks)) != NULL;) {
        char status[400], state = 'T';
        snprintf(status, sizeof status, "%s/%s/stat", path, task->d_name);
        FILE *file = task->d_name[0] != '.' ? fopen(status, "re") : NULL;
        if (file != NULL) {
            stopped = fscanf(file, "%*d (%*[^)]) %c", &state) == 1 && state == 'T';
            fclose(file);
        }
    }
    if (tasks != NULL) {
        closedir(tasks);
    }
    return stopped;
}

void etcd_server_freeze(struct etcd_server *server)
{
    int64_t until = milliseconds() + wait_seconds * 1000;
    kill(server->pid, SIGSTOP);
    while (!all_threads_have_stopped(server->pid)) {
        assert_true(milliseconds() < until);
        sleep_ms(1);
    }
}

void etcd_server_kill(struct etcd_server *server)
{
    if (server->pid > 0) {
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
    }
    server->pid = 0;
}

void etcd_server_free(struct etcd_server *server)
{
    etcd_server_kill(server);
    remove_folder(server->folder);
}

/* ---- a watcher that remembers ---- */

void recorder_init(struct recorder *recorder)
{
    *recorder = (struct recorder){.in_order = true};
    pthread_mutex_init(&recorder->lock, NULL);
    pthread_cond_init(&recorder->changed, NULL);
}

static void on_changes(void *argument, struct store_item *items, size_t count, int64_t revision)
{
    struct recorder *recorder = argument;
    pthread_mutex_lock(&recorder->lock);
    if (count == 0 && recorder->count == 0) {
        recorder->began = true;
    }
    for (size_t i = 0; i < count; i++) {
        recorder->changes = grow(recorder->changes, recorder->count, &recorder->capacity,
                                 sizeof(*recorder->changes));
        recorder->changes[recorder->count++] = (struct change){
            .key = steal(items[i].key),
            .value = steal(items[i].value),
            .revision = items[i].mod_revision,
        };
        /* The first one of a call is of a revision not told yet; the last is the call's own. */
        int64_t least = i == 0 ? recorder->revision + 1 : items[i - 1].mod_revision;
        recorder->in_order = recorder->in_order && items[i].mod_revision >= least;
    }
    if (count > 0) {
        recorder->in_order = recorder->in_order && items[count - 1].mod_revision <= revision;
    }
    recorder->revision = revision;
    pthread_cond_broadcast(&recorder->changed);
    pthread_mutex_unlock(&recorder->lock);
}

static void on_lost(void *argument, const struct error *error)
{
    struct recorder *recorder = argument;
    pthread_mutex_lock(&recorder->lock);
    recorder->lost++;
    recorder->lost_code = error->code;
    pthread_cond_broadcast(&recorder->changed);
    pthread_mutex_unlock(&recorder->lock);
}

struct store_watcher recorder_watcher(struct recorder *recorder)
{
    return (struct store_watcher){.changes = on_changes, .lost = on_lost, .argument = recorder};
}

static size_t count_locked(const struct recorder *recorder, const char *prefix)
{
    size_t count = 0;
    for (size_t i = 0; i < recorder->count; i++) {
        count += strncmp(recorder->changes[i].key, prefix, strlen(prefix)) == 0;
    }
    return count;
}

/* Waits until the revision or the count is reached or the watch is lost; false when nothing of
 * this happens in time. */
static bool wait_for(struct recorder *recorder, int64_t revision, const char *prefix, size_t count,
                     bool lost)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += wait_seconds;
    bool reached = false;
    int waited = 0;
    pthread_mutex_lock(&recorder->lock);
    while (!reached && waited == 0) {
        reached = lost ? recorder->lost > 0
                       : recorder->revision >= revision && count_locked(recorder, prefix) >= count;
        if (!reached) {
            waited = pthread_cond_timedwait(&recorder->changed, &recorder->lock, &until);
        }
    }
    pthread_mutex_unlock(&recorder->lock);
    return reached;
}

void recorder_wait_revision(struct recorder *recorder, int64_t revision)
{
    assert_true(wait_for(recorder, revision, "", 0, false));
}

void recorder_wait_count(struct recorder *recorder, const char *prefix, size_t count)
{
    assert_true(wait_for(recorder, 0, prefix, count, false));
}

void recorder_wait_lost(struct recorder *recorder)
{
    assert_true(wait_for(recorder, 0, "", 0, true));
}

size_t recorder_count(struct recorder *recorder, const char *prefix)
{
    pthread_mutex_lock(&recorder->lock);
    size_t count = count_locked(recorder, prefix);
    pthread_mutex_unlock(&recorder->lock);
    return count;
}

void recorder_free(struct recorder *recorder)
{
    for (size_t i = 0; i < recorder->count; i++) {
        free(recorder->changes[i].key);
        free(recorder->changes[i].value);
    }
    free(recorder->changes);
    pthread_cond_destroy(&recorder->changed);
    pthread_mutex_destroy(&recorder->lock);
}

/* ---- shorthands ---- */

int try_write(struct store *store, const struct store_write *write, int64_t *revision)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(store_item_clear)
    struct store_item current = {0};
    bool conflict = false;
    if (!store_commit(store, write, revision, &current, &conflict, &error)) {
        return error.code;
    }
    return conflict ? 409 : 0;
}

int64_t must_write(struct store *store, const struct store_write *write)
{
    struct error error = ERROR_INIT;
    struct store_item current = {0};
    bool conflict = false;
    int64_t revision = 0;
    assert_done(store_commit(store, write, &revision, &current, &conflict, &error));
    assert_false(conflict);
    return revision;
}

int64_t put_bytes(struct store *store, const char *key, const char *value, size_t length)
{
    const struct store_write write = {
        .key = key, .value = value, .value_length = length, .expected = STORE_ANY};
    return must_write(store, &write);
}

int64_t put(struct store *store, const char *key, const char *value, int64_t expected)
{
    const struct store_write write = {
        .key = key, .value = value, .value_length = strlen(value), .expected = expected};
    return must_write(store, &write);
}

int64_t delete_key(struct store *store, const char *key, int64_t expected)
{
    const struct store_write write = {.operation = STORE_DELETE, .key = key, .expected = expected};
    return must_write(store, &write);
}

bool exists(struct store *store, const char *key)
{
    struct error error = ERROR_INIT;
    cleanup(store_item_clear)
    struct store_item item = {0};
    bool found = false;
    assert_done(store_get(store, key, &item, &found, &error));
    return found;
}

void assert_value(struct store *store, const char *key, const char *value)
{
    struct error error = ERROR_INIT;
    cleanup(store_item_clear)
    struct store_item item = {0};
    bool found = false;
    assert_done(store_get(store, key, &item, &found, &error));
    assert_true(found);
    assert_string_equal(item.key, key);
    assert_string_equal(item.value, value);
    assert_int_equal(item.value_length, strlen(value));
}

int64_t current_revision(struct store *store)
{
    struct error error = ERROR_INIT;
    int64_t revision = 0;
    assert_done(store_current_revision(store, &revision, &error));
    return revision;
}

void wait_until_gone(struct store *store, const char *key)
{
    int64_t until = milliseconds() + wait_seconds * 1000;
    while (exists(store, key)) {
        assert_true(milliseconds() < until);
        sleep_ms(20);
    }
}

const char *key_of(const struct fixture *fixture, const char *name)
{
    static char keys[8][128];
    static int next;
    char *key = keys[next++ % 8];
    snprintf(key, sizeof(keys[0]), "%s%s", fixture->prefix, name);
    return key;
}

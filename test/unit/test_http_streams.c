// SPDX-License-Identifier: Apache-2.0
/* Answers that wait: watches, slow workers, clients that leave, and stopping amid all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "test/unit/http_harness.h"

/* ---- a board: what is written on it goes to all who watch ---- */

struct watcher {
    struct body body;
    size_t seen;          /* Lines told so far. */
    bool waiting, listed; /* Listed from the first read on: before, it can't be woken. */
    struct watcher *next;
};

static struct {
    pthread_mutex_t lock; /* Guards all of it. */
    pthread_cond_t changed;
    size_t lines, open, waiting, ended_at;
    size_t blocked; /* Workers that wait for 'released'. */
    bool released, failing;
    struct watcher *watchers;
} board = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static ssize_t watcher_read(struct body *body, char *out, size_t size)
{
    struct watcher *watcher = container_of(body, struct watcher, body);
    pthread_mutex_lock(&board.lock);
    ssize_t count = BODY_WAIT;
    if (!watcher->listed) {
        watcher->listed = true;
        watcher->next = board.watchers;
        board.watchers = watcher;
    }
    if (watcher->seen < board.lines) {
        count = snprintf(out, size, "line %zu\n", ++watcher->seen);
    } else if (board.ended_at != 0 && watcher->seen >= board.ended_at) {
        count = board.failing ? BODY_FAIL : BODY_END;
    }
    bool waits = count == BODY_WAIT;
    board.waiting += waits;
    board.waiting -= watcher->waiting;
    watcher->waiting = waits;
    pthread_cond_broadcast(&board.changed);
    pthread_mutex_unlock(&board.lock);
    return count;
}

static void watcher_close(struct body *body)
{
    struct watcher *watcher = container_of(body, struct watcher, body);
    pthread_mutex_lock(&board.lock);
    struct watcher **link = &board.watchers;
    while (*link != NULL && *link != watcher) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        *link = watcher->next;
    }
    board.open--;
    board.waiting -= watcher->waiting;
    pthread_cond_broadcast(&board.changed);
    pthread_mutex_unlock(&board.lock);
    free(watcher);
}

static const struct body_class watcher_class = {watcher_read, watcher_close};

/* Wakes under the board's lock: close() takes it too, so no wake comes behind one. */
static void write_lines(size_t count)
{
    pthread_mutex_lock(&board.lock);
    board.lines += count;
    for (struct watcher *watcher = board.watchers; watcher != NULL; watcher = watcher->next) {
        body_wake(&watcher->body);
    }
    pthread_mutex_unlock(&board.lock);
}

static void end_all(bool failing)
{
    pthread_mutex_lock(&board.lock);
    board.ended_at = board.lines;
    board.failing = failing;
    pthread_mutex_unlock(&board.lock);
    write_lines(0);
}

/* Waits until a number on the board is what it should be. */
static void wait_for(const size_t *number, size_t value)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += patience_seconds;
    pthread_mutex_lock(&board.lock);
    int waited = 0;
    while (*number != value && waited == 0) {
        waited = pthread_cond_timedwait(&board.changed, &board.lock, &until);
    }
    size_t found = *number;
    pthread_mutex_unlock(&board.lock);
    assert_int_equal(found, value);
}

/* ---- the handler ---- */

static enum authentication authenticate(void *argument, const struct credentials *credentials,
                                        bool block, struct request *request, struct error *error)
{
    (void)argument;
    (void)credentials;
    (void)block;
    (void)error;
    request->user = (struct user){.name = duplicate("somebody"), .uid = duplicate("")};
    return AUTHENTICATION_DONE;
}

static enum waits waits(void *argument, struct request *request)
{
    (void)argument;
    return strcmp(request->path, "/quick") != 0 ? WAITS_FOR_ANYTHING : WAITS_FOR_NOTHING;
}

static void start_watch(struct response *response, bool stream)
{
    struct watcher *watcher = allocate_struct(struct watcher);
    watcher->body = (struct body){.class = &watcher_class, .stream = stream};
    response->status = 200;
    response->content_type = "text/plain";
    response->body = &watcher->body;
    pthread_mutex_lock(&board.lock);
    board.open++;
    pthread_mutex_unlock(&board.lock);
}

static void block(void)
{
    pthread_mutex_lock(&board.lock);
    board.blocked++;
    pthread_cond_broadcast(&board.changed);
    while (!board.released) {
        pthread_cond_wait(&board.changed, &board.lock);
    }
    board.blocked--;
    pthread_mutex_unlock(&board.lock);
}

static void release(void)
{
    pthread_mutex_lock(&board.lock);
    board.released = true;
    pthread_cond_broadcast(&board.changed);
    pthread_mutex_unlock(&board.lock);
}

static void serve(void *argument, struct request *request, struct response *response)
{
    (void)argument;
    if (strcmp(request->path, "/watch") == 0) {
        start_watch(response, true);
        return;
    }
    if (strcmp(request->path, "/list") == 0) {
        start_watch(response, false);
        return;
    }
    if (strcmp(request->path, "/slow") == 0) {
        block();
    }
    response_set_text(response, 200, "text/plain", "done");
}

static const struct handler handler = {
    .authenticate = authenticate, .waits = waits, .serve = serve};

static int set_up(void **state)
{
    struct fixture *fixture = allocate_struct(struct fixture);
    fixture_init(fixture);
    board.lines = board.open = board.waiting = board.ended_at = board.blocked = 0;
    board.released = board.failing = false;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    fixture_clear(*state);
    free(*state);
    return 0;
}

static struct client *ask(struct fixture *fixture, const char *path)
{
    struct client *client = client_open(fixture);
    cleanup(free_char)
    char *request = format("GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    client_send(client, request);
    return client;
}

/* ---- watching ---- */

static void free_clients(struct client ***clients)
{
    free(*clients);
}

static void assert_all_lines_arrive(void **state, size_t count, size_t lines)
{
    cleanup(free_clients)
    struct client **clients = allocate_zero(count, sizeof *clients);
    fixture_start(*state, &handler);
    for (size_t i = 0; i < count; i++) {
        clients[i] = ask(*state, "/watch");
    }
    wait_for(&board.open, count);
    for (size_t line = 0; line < lines; line++) {
        write_lines(1);
        if (line % 7 == 0) { /* Now and then from where all sleep, else in a rush. */
            wait_for(&board.waiting, count);
        }
    }
    end_all(false);
    for (size_t i = 0; i < count; i++) {
        client_expect(clients[i], "0\r\n\r\n");
        const char *at = buffer_text(&clients[i]->received);
        for (size_t line = 1; line <= lines; line++) {
            char text[32];
            snprintf(text, sizeof text, "line %zu\n", line);
            at = strstr(at, text);
            assert_non_null(at);
        }
        client_close(clients[i]);
    }
    wait_for(&board.open, 0);
}

static void every_watcher_gets_every_line_in_order(void **state)
{
    assert_all_lines_arrive(state, 20, 300);
}

/* More than a streamer serves before it looks at the sockets again. */
static void every_one_of_many_watchers_gets_every_line(void **state)
{
    assert_all_lines_arrive(state, 200, 30);
}

static void a_client_that_leaves_while_nothing_happens_is_noticed(void **state)
{
    fixture_start(*state, &handler);
    struct client *client = ask(*state, "/watch");
    struct client *other = ask(*state, "/watch");
    wait_for(&board.waiting, 2);
    client_close(client);
    wait_for(&board.open, 1);
    write_lines(1);
    client_expect(other, "line 1\n");
    client_close(other);
}

static void a_body_that_fails_cuts_the_connection(void **state)
{
    fixture_start(*state, &handler);
    struct client *client = ask(*state, "/watch");
    write_lines(1);
    client_expect(client, "line 1\n");
    end_all(true);
    assert_has_not(client_rest(client), "0\r\n\r\n");
    client_close(client);
}

static void a_list_that_fails_is_no_complete_answer_when_compressed(void **state)
{
    fixture_start(*state, &handler);
    board.lines = 1;
    board.ended_at = 1;
    board.failing = true;
    struct client *client = client_open(*state);
    client_send(client, "GET /list HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    const char *answer = client_rest(client);
    assert_has_not(answer, "0\r\n\r\n");
    assert_has_not(answer, "Content-Length");
    client_close(client);
}

static void a_watch_is_not_compressed(void **state)
{
    fixture_start(*state, &handler);
    struct client *client = client_open(*state);
    client_send(client, "GET /watch HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    wait_for(&board.waiting, 1);
    write_lines(20000);
    client_expect(client, "line 20000\n");
    assert_has_not(buffer_text(&client->received), "Content-Encoding");
    client_close(client);
}

/* ---- stopping ---- */

static void stop(struct fixture *fixture, unsigned grace_ms)
{
    server_stop(fixture->server, grace_ms);
    fixture->server = NULL;
}

static void stopping_ends_watches_as_complete_answers(void **state)
{
    enum { count = 50 };
    struct client *clients[count];
    fixture_start(*state, &handler);
    for (size_t i = 0; i < count; i++) {
        clients[i] = ask(*state, "/watch");
    }
    wait_for(&board.waiting, count);
    stop(*state, 60000);
    assert_int_equal(board.open, 0);
    for (size_t i = 0; i < count; i++) {
        assert_has(client_rest(clients[i]), "0\r\n\r\n");
        client_close(clients[i]);
    }
}

static void *stopper_main(void *argument)
{
    stop(argument, 60000);
    return NULL;
}

static void stopping_waits_for_requests_on_workers(void **state)
{
    enum { count = 6 }; /* More than workers: some are still in the queue. */
    struct client *clients[count];
    pthread_t stopper;
    fixture_start(*state, &handler);
    for (size_t i = 0; i < count; i++) {
        clients[i] = ask(*state, "/slow");
    }
    wait_for(&board.blocked, 4);
    struct client *watch = client_open(*state);
    client_send(watch, "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect(watch, "done");
    pthread_create(&stopper, NULL, stopper_main, *state);
    release();
    for (size_t i = 0; i < count; i++) {
        assert_has(client_rest(clients[i]), "HTTP/1.1 ");
        client_close(clients[i]);
    }
    pthread_join(stopper, NULL);
    client_close(watch);
}

/* Sends requests over one connection until the server closes it. */
static void *keep_asking(void *argument)
{
    struct client *client = argument;
    bool open = true;
    for (size_t i = 0; open; i++) {
        buffer_reset(&client->received);
        open = client_send(client, i % 2 ? "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n"
                                         : "GET /busy HTTP/1.1\r\nHost: a\r\n\r\n");
        while (open && strstr(buffer_text(&client->received), "\r\n\r\n") == NULL) {
            open = client_receive(client);
        }
    }
    return NULL;
}

static void *keep_writing(void *stopped)
{
    while (!atomic_load((atomic_bool *)stopped)) {
        write_lines(1);
    }
    return NULL;
}

static void stopping_amid_requests_and_wakes_is_clean(void **state)
{
    enum { count = 4, rounds = 10 };
    for (size_t round = 0; round < rounds; round++) {
        struct client *askers[count], *watchers[count];
        pthread_t threads[count], writer;
        atomic_bool stopped = false;
        fixture_start(*state, &handler);
        for (size_t i = 0; i < count; i++) {
            askers[i] = client_open(*state);
            watchers[i] = ask(*state, "/watch");
        }
        wait_for(&board.open, count);
        for (size_t i = 0; i < count; i++) {
            pthread_create(&threads[i], NULL, keep_asking, askers[i]);
        }
        pthread_create(&writer, NULL, keep_writing, &stopped);
        client_expect(watchers[0], "line ");
        stop(*state, 200);
        atomic_store(&stopped, true);
        pthread_join(writer, NULL);
        assert_int_equal(board.open, 0);
        for (size_t i = 0; i < count; i++) {
            pthread_join(threads[i], NULL);
            client_close(askers[i]);
            client_close(watchers[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        test(every_watcher_gets_every_line_in_order),
        test(every_one_of_many_watchers_gets_every_line),
        test(a_client_that_leaves_while_nothing_happens_is_noticed),
        test(a_body_that_fails_cuts_the_connection),
        test(a_list_that_fails_is_no_complete_answer_when_compressed),
        test(a_watch_is_not_compressed),
        test(stopping_ends_watches_as_complete_answers),
        test(stopping_waits_for_requests_on_workers),
        test(stopping_amid_requests_and_wakes_is_clean),
    };
    return cmocka_run_group_tests_name("http streams", tests, NULL, NULL);
}

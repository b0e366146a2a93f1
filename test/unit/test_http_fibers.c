// SPDX-License-Identifier: Apache-2.0
/* Requests that are served on fibers, with their connection suspended while they wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "apiserver/http/internal.h"
#include "common/fiber.h"
#include "http_harness.h"

/* Who waits, until the test signals them. */
static _Atomic(struct completion *) waiting;
static atomic_int served_count, refused_count, last_status;

static enum authentication authenticate(void *argument, const struct credentials *credentials,
                                        bool may_block, struct request *request,
                                        struct error *error)
{
    (void)argument;
    (void)credentials;
    (void)may_block;
    (void)error;
    request->user.name = duplicate("somebody");
    return AUTHENTICATION_DONE;
}

static enum waits waits(void *argument, struct request *request)
{
    (void)argument;
    (void)request;
    return WAITS_FOR_COMPLETIONS;
}

/* As many waits as the path has slashes behind the first; "/refuse" wants to block. */
static void serve(void *argument, struct request *request, struct response *response)
{
    (void)argument;
    for (const char *at = strchr(request->path + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        struct completion completion;
        completion_init(&completion);
        atomic_store(&waiting, &completion);
        completion_wait(&completion);
    }
    if (strncmp(request->path, "/refuse", 7) == 0 && fiber_refuses_to_block()) {
        atomic_fetch_add(&refused_count, 1);
        response_add_warning(response, "nobody sees this");
        response_set_text(response, 500, "text/plain", "refused");
        return;
    }
    response_set_text(response, 200, "text/plain", request->path);
}

static void served(void *argument, struct request *request, int status, size_t bytes)
{
    (void)argument;
    (void)request;
    (void)bytes;
    atomic_store(&last_status, status);
    atomic_fetch_add(&served_count, 1);
}

static const struct handler handler = {
    .authenticate = authenticate,
    .waits = waits,
    .serve = serve,
    .served = served,
};

static int set_up(void **state)
{
    struct fixture *fixture = allocate_struct(struct fixture);
    fixture_init(fixture);
    fixture_start(fixture, &handler);
    atomic_store(&served_count, 0);
    atomic_store(&refused_count, 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    fixture_clear(fixture);
    free(fixture);
    return 0;
}

static void pause_briefly(int tries)
{
    assert_true(tries < patience_seconds * 1000);
    usleep(1000);
}

static struct completion *next_that_waits(void)
{
    struct completion *completion;
    for (int tries = 0; (completion = atomic_exchange(&waiting, NULL)) == NULL; tries++) {
        pause_briefly(tries);
    }
    return completion;
}

static void wait_until_served(int count)
{
    for (int tries = 0; atomic_load(&served_count) < count; tries++) {
        pause_briefly(tries);
    }
}

static void a_request_goes_on_whenever_what_it_waits_for_has_happened(void **state)
{
    static const char *const paths[] = {"/a", "/a/b", "/a/b/c"};
    struct client *client = client_open(*state);
    for (int i = 0; i < 3; i++) {
        client_ask(client, paths[i]);
        for (int waits_left = i; waits_left > 0; waits_left--) {
            completion_signal(next_that_waits());
        }
        client_expect(client, paths[i]);
        wait_until_served(i + 1);
    }
    client_close(client);
}

static void others_are_served_while_one_waits(void **state)
{
    struct client *client = client_open(*state), *others[8];
    client_ask(client, "/a/b");
    struct completion *completion = next_that_waits();
    for (int i = 0; i < 8; i++) { /* More than there are HTTP threads. */
        others[i] = client_open(*state);
        client_ask(others[i], "/quick");
        client_expect(others[i], "/quick");
        client_close(others[i]);
    }
    completion_signal(completion);
    client_expect(client, "/a/b");
    client_close(client);
}

static void who_refuses_to_block_is_served_on_a_worker(void **state)
{
    struct client *client = client_open(*state);
    client_ask(client, "/refuse");
    client_expect(client, "/refuse");
    assert_begins(buffer_text(&client->received), "HTTP/1.1 200 ");
    assert_int_equal(count_of(buffer_text(&client->received), "nobody sees this"), 0);
    assert_int_equal(atomic_load(&refused_count), 1);
    client_ask(client, "/quick");
    client_expect(client, "/quick");
    client_close(client);
}

static void a_client_that_leaves_meanwhile_does_no_harm(void **state)
{
    struct client *client = client_open(*state);
    client_ask(client, "/a/b");
    struct completion *completion = next_that_waits();
    client_close(client);
    completion_signal(completion);
    wait_until_served(1);
}

/* Signalled as soon as somebody waits, before or after the connection is suspended. */
static void *signal_at_once(void *argument)
{
    (void)argument;
    for (int i = 0; i < 400; i++) {
        struct completion *completion;
        while ((completion = atomic_exchange(&waiting, NULL)) == NULL) {
            continue;
        }
        completion_signal(completion);
    }
    return NULL;
}

static void what_happens_at_once_is_not_lost(void **state)
{
    pthread_t signaller;
    assert_int_equal(pthread_create(&signaller, NULL, signal_at_once, NULL), 0);
    struct client *client = client_open(*state);
    for (int i = 0; i < 200; i++) {
        cleanup(free_char)
        char *path = format("/fast/%d-/", i);
        client_ask(client, path);
        client_expect(client, path);
    }
    pthread_join(signaller, NULL);
    client_close(client);
}

/* Serves what waits twice, on the fiber of an exchange. */
static void wait_twice(void *argument)
{
    struct exchange *exchange = argument;
    struct request request = {.path = (char *)"/a/b/c"};
    serve(NULL, &request, &exchange->response);
}

static void *signal_twice(void *argument)
{
    (void)argument;
    for (int i = 0; i < 2; i++) {
        struct completion *completion = next_that_waits();
        usleep(10000); /* By then its thread is asleep, most likely. */
        completion_signal(completion);
    }
    return NULL;
}

/* libmicrohttpd may hear of a connection's end between a resumption and the call that goes on. */
static void what_an_abandoned_request_has_begun_comes_to_its_end(void **state)
{
    (void)state;
    struct server server = {.lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};
    struct exchange exchange = {.server = &server};
    exchange.fiber = fiber_new(wait_twice, &exchange);
    server.fibers = 1;
    assert_false(fiber_run(exchange.fiber));
    pthread_t signaller;
    assert_int_equal(pthread_create(&signaller, NULL, signal_twice, NULL), 0);
    exchange_end_fiber(&exchange);
    pthread_join(signaller, NULL);
    assert_int_equal(exchange.response.status, 200); /* It has come to its end … */
    assert_null(exchange.fiber);
    assert_int_equal(server.fibers, 0); /* … and a stop waits for it no more. */
    response_clear(&exchange.response);
}

static void *signal_later(void *argument)
{
    usleep(100000); /* By then the server is stopping, most likely. */
    completion_signal(argument);
    return NULL;
}

static void a_stop_waits_for_who_waits(void **state)
{
    struct fixture *fixture = *state;
    struct client *client = client_open(fixture);
    pthread_t signaller;
    client_ask(client, "/a/b");
    assert_int_equal(pthread_create(&signaller, NULL, signal_later, next_that_waits()), 0);
    server_stop(fixture->server, 0);
    fixture->server = NULL;
    pthread_join(signaller, NULL);
    assert_int_equal(atomic_load(&served_count), 1);
    client_close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        test(a_request_goes_on_whenever_what_it_waits_for_has_happened),
        test(others_are_served_while_one_waits),
        test(who_refuses_to_block_is_served_on_a_worker),
        test(a_client_that_leaves_meanwhile_does_no_harm),
        test(what_an_abandoned_request_has_begun_comes_to_its_end),
        test(what_happens_at_once_is_not_lost),
        test(a_stop_waits_for_who_waits),
    };
    return cmocka_run_group_tests_name("http fibers", tests, NULL, NULL);
}

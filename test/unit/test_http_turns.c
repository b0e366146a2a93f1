// SPDX-License-Identifier: Apache-2.0
/* Requests that wait for their turn, while their connection is suspended. */
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

#include "http_harness.h"

/* Who waits, until the test calls them. */
static _Atomic(struct turn *) waiting;
static atomic_int left, served_count;
static int ticket;

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
    return strstr(request->path, "/slow") != NULL ? WAITS_FOR_ANYTHING : WAITS_FOR_NOTHING;
}

static void serve(void *argument, struct request *request, struct response *response)
{
    (void)argument;
    atomic_fetch_add(&served_count, 1);
    response_set_text(response, 200, "text/plain", request->path);
}

/* Each waits once; those that say so are then refused. */
static enum admittance admit(void *argument, const struct request *request, struct turn *turn,
                             struct error *error)
{
    (void)argument;
    if (turn->ticket == NULL) {
        turn->ticket = &ticket;
        turn->sleep(turn);
        atomic_store(&waiting, turn);
        return ADMITTANCE_WAIT;
    }
    if (strstr(request->path, "/refused") != NULL) {
        error_set(error, 429, "TooManyRequests", "come again");
        return ADMITTANCE_REFUSED;
    }
    return ADMITTANCE_NOW;
}

static void note(void *argument, const struct turn *turn, struct response *response)
{
    (void)argument;
    response_add_header(response, "X-Noted", turn->ticket == &ticket ? "yes" : "no");
}

static void leave(void *argument, struct turn *turn)
{
    (void)argument;
    turn->ticket = NULL;
    atomic_fetch_add(&left, 1);
}

static const struct handler handler = {
    .authenticate = authenticate,
    .waits = waits,
    .serve = serve,
    .admit = admit,
    .note = note,
    .leave = leave,
};

static int set_up(void **state)
{
    struct fixture *fixture = allocate_struct(struct fixture);
    fixture_init(fixture);
    fixture_start(fixture, &handler);
    atomic_store(&left, 0);
    atomic_store(&served_count, 0);
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

/* The next that waits. */
static struct turn *wait_for_turn(void)
{
    struct turn *turn;
    for (int tries = 0; (turn = atomic_exchange(&waiting, NULL)) == NULL; tries++) {
        assert_true(tries < patience_seconds * 1000);
        usleep(1000);
    }
    return turn;
}

static void wait_until_left(int count)
{
    for (int tries = 0; atomic_load(&left) < count; tries++) {
        assert_true(tries < patience_seconds * 1000);
        usleep(1000);
    }
    assert_int_equal(atomic_load(&left), count);
}

static void a_request_is_served_when_its_turn_comes(void **state)
{
    static const char *const paths[] = {"/fast", "/slow"};
    struct client *client = client_open(*state);
    for (int i = 0; i < 2; i++) {
        client_ask(client, paths[i]);
        struct turn *turn = wait_for_turn();
        assert_int_equal(atomic_load(&served_count), i);
        turn->wake(turn);
        client_expect(client, paths[i]);
        assert_int_equal(count_of(buffer_text(&client->received), "X-Noted: yes"), i + 1);
        wait_until_left(i + 1);
    }
    client_close(client);
}

static void a_request_whose_turn_does_not_come_is_refused_and_the_connection_stays(void **state)
{
    struct client *client = client_open(*state);
    client_ask(client, "/refused");
    struct turn *turn = wait_for_turn();
    turn->wake(turn);
    client_expect(client, "come again");
    assert_begins(buffer_text(&client->received), "HTTP/1.1 429 ");
    assert_has(buffer_text(&client->received), "X-Noted: yes");
    wait_until_left(1);
    assert_int_equal(atomic_load(&served_count), 0);
    client_ask(client, "/fast");
    turn = wait_for_turn();
    turn->wake(turn);
    client_expect(client, "/fast");
    client_close(client);
}

static void a_client_that_leaves_while_it_waits_gives_its_turn_back(void **state)
{
    struct client *client = client_open(*state);
    client_ask(client, "/fast");
    struct turn *turn = wait_for_turn();
    client_close(client);
    turn->wake(turn);
    wait_until_left(1);
}

/* Woken as soon as it sleeps, on another thread. */
static void *wake_at_once(void *argument)
{
    (void)argument;
    for (int i = 0; i < 200; i++) {
        struct turn *turn = wait_for_turn();
        turn->wake(turn);
    }
    return NULL;
}

static void a_wake_that_follows_at_once_is_not_lost(void **state)
{
    pthread_t waker;
    assert_int_equal(pthread_create(&waker, NULL, wake_at_once, NULL), 0);
    struct client *client = client_open(*state);
    for (int i = 0; i < 200; i++) {
        cleanup(free_char)
        char *path = format("/fast/%d-", i);
        client_ask(client, path);
        client_expect(client, path);
    }
    pthread_join(waker, NULL);
    wait_until_left(200);
    client_close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        test(a_request_is_served_when_its_turn_comes),
        test(a_request_whose_turn_does_not_come_is_refused_and_the_connection_stays),
        test(a_client_that_leaves_while_it_waits_gives_its_turn_back),
        test(a_wake_that_follows_at_once_is_not_lost),
    };
    return cmocka_run_group_tests_name("http turns", tests, NULL, NULL);
}

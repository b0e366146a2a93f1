// SPDX-License-Identifier: Apache-2.0
/* A process that leads and stops, against a scripted server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/leader_election.h"
#include "test/stub/api_stub.h"

struct fixture {
    struct api_stub *stub;
    struct loop *loop;
    struct client *client;
    struct leader_election *election;
    pthread_t stopper;
    atomic_bool has_lost;
};

static void ignore(void *argument)
{
    (void)argument;
}

static void note_loss(void *argument)
{
    struct fixture *fixture = argument;
    atomic_store(&fixture->has_lost, true);
}

static void start(struct fixture *fixture)
{
    struct client_config config = CLIENT_CONFIG_INIT;
    struct leader_election_options options = {.name = "l",
                                              .namespace = "ns",
                                              .lease_duration = INT64_C(60000000000),
                                              .renew_deadline = INT64_C(50000000000),
                                              .retry_period = 1000000,
                                              .started = ignore,
                                              .lost = note_loss,
                                              .argument = fixture};
    config.server = duplicate(api_stub_url(fixture->stub));
    fixture->loop = loop_new();
    fixture->client =
        client_new(fixture->loop, &config, &(struct client_options){.user_agent = "tester"}, NULL);
    fixture->election = leader_election_start(fixture->client, &options, NULL);
    assert_non_null(fixture->election);
}

static void finish(struct fixture *fixture)
{
    client_close(fixture->client);
    client_free(fixture->client);
    loop_free(fixture->loop);
    api_stub_stop(fixture->stub);
}

static void *stop_election(void *argument)
{
    struct fixture *fixture = argument;
    leader_election_stop(fixture->election);
    return NULL;
}

/* The holder that the request with that number writes; the caller's. */
static char *holder_in(struct fixture *fixture, size_t number)
{
    cleanup(free_char)
    char *request = api_stub_request(fixture->stub, number);
    const char *body = strchr(request, '{');
    assert_non_null(body);
    cleanup(json_release)
    json_t *lease = json_parse(body, strlen(body), NULL);
    return duplicate(json_path_string(lease, "spec", "holderIdentity"));
}

#define LEASE                                                                                      \
    "{\"kind\":\"Lease\",\"apiVersion\":\"coordination.k8s.io/v1\",\"metadata\":{\"namespace\":"   \
    "\"ns\",\"name\":\"l\"},\"spec\":{\"holderIdentity\":\"x\",\"leaseDurationSeconds\":60}}"

/* It leads, and renews the lease; the answer to that is late. */
static void start_to_renew(struct fixture *fixture)
{
    api_stub_answer(fixture->stub, (struct api_stub_answer){.code = 404, .body = "{}"});
    api_stub_answer(fixture->stub, (struct api_stub_answer){.code = 201, .body = LEASE});
    api_stub_answer(fixture->stub,
                    (struct api_stub_answer){.code = 500, .body = LEASE, .keeps_open = true});
    start(fixture);
    api_stub_wait(fixture->stub, 3);
}

static void who_stops_gives_the_lease_back_after_what_is_under_way(void **state)
{
    (void)state;
    struct fixture fixture = {.stub = api_stub_start()};
    start_to_renew(&fixture);
    assert_true(leader_election_is_leader(fixture.election));
    pthread_create(&fixture.stopper, NULL, stop_election, &fixture);
    while (leader_election_is_leader(fixture.election)) {
        sched_yield();
    }
    assert_int_equal(api_stub_count(fixture.stub), 3);
    api_stub_release(fixture.stub);
    pthread_join(fixture.stopper, NULL);
    assert_int_equal(api_stub_most_at_once(fixture.stub), 1);
    assert_int_equal(api_stub_count(fixture.stub), 4);
    cleanup(free_char)
    char *holder = holder_in(&fixture, 3);
    assert_string_equal(holder, "");
    finish(&fixture);
}

static void who_leads_gives_the_lease_back(void **state)
{
    (void)state;
    struct fixture fixture = {.stub = api_stub_start()};
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 404, .body = "{}"});
    for (int i = 0; i < 1000; i++) {
        api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 200, .body = LEASE});
    }
    start(&fixture);
    api_stub_wait(fixture.stub, 3);
    leader_election_stop(fixture.election);
    size_t count = api_stub_count(fixture.stub);
    cleanup(free_char)
    char *first = holder_in(&fixture, 1);
    cleanup(free_char)
    char *last = holder_in(&fixture, count - 1);
    assert_string_not_equal(first, "");
    assert_string_equal(last, "");
    finish(&fixture);
}

/* Its end is that of the client; nothing is lost, as the checker of leaks sees. */
static void a_lease_that_nobody_takes_back_is_left_to_the_clients_end(void **state)
{
    (void)state;
    struct fixture fixture = {.stub = api_stub_start()};
    start_to_renew(&fixture);
    leader_election_stop(fixture.election);
    assert_int_equal(api_stub_count(fixture.stub), 3);
    finish(&fixture);
}

static void who_has_lost_the_lease_gives_nothing_back(void **state)
{
    (void)state;
    struct fixture fixture = {.stub = api_stub_start()};
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 404, .body = "{}"});
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 201, .body = LEASE});
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 409, .body = "{}"});
    api_stub_answer(fixture.stub, (struct api_stub_answer){.code = 200, .body = LEASE});
    start(&fixture);
    while (!atomic_load(&fixture.has_lost)) {
        sched_yield();
    }
    assert_false(leader_election_is_leader(fixture.election));
    leader_election_stop(fixture.election);
    assert_int_equal(api_stub_count(fixture.stub), 4);
    finish(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_stops_gives_the_lease_back_after_what_is_under_way),
        cmocka_unit_test(who_leads_gives_the_lease_back),
        cmocka_unit_test(who_has_lost_the_lease_gives_nothing_back),
        cmocka_unit_test(a_lease_that_nobody_takes_back_is_left_to_the_clients_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* A scheduler that is stopped leaves nothing behind, as the checker of leaks sees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <pthread.h>

#include "common/alloc.h"
#include "scheduler/binder.h"
#include "scheduler/scheduler.h"
#include "test/stub/api_stub.h"

struct fixture {
    struct api_stub *stub;
    struct service service;
};

static void open_service(struct fixture *fixture)
{
    struct service *service = &fixture->service;
    struct client_config config = CLIENT_CONFIG_INIT;
    fixture->stub = api_stub_start();
    config.server = duplicate(api_stub_url(fixture->stub));
    service->metrics = metrics_new();
    service->loop = loop_new();
    service->client =
        client_new(service->loop, &config, &(struct client_options){.user_agent = "tester"}, NULL);
    service->informers = informer_factory_new(service->client);
    service->events = event_recorder_new(service->client, "tester", NULL);
}

static void close_service(struct fixture *fixture)
{
    struct service *service = &fixture->service;
    event_recorder_free(service->events);
    loop_stop(service->loop);
    informer_factory_free(service->informers);
    client_free(service->client);
    loop_free(service->loop);
    metrics_free(service->metrics);
    api_stub_stop(fixture->stub);
}

static void *stop_informers(void *argument)
{
    struct fixture *fixture = argument;
    api_stub_wait(fixture->stub, 3);
    informer_factory_stop(fixture->service.informers);
    return NULL;
}

static void one_that_is_stopped_before_the_first_lists_leaves_nothing(void **state)
{
    (void)state;
    pthread_t stopper;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct scheduler_configuration configuration = {0};
    struct fixture fixture = {0};
    scheduler_configuration_default(&configuration, "default-scheduler");
    open_service(&fixture);
    pthread_create(&stopper, NULL, stop_informers, &fixture);
    assert_null(scheduler_start(&fixture.service, &configuration, &error));
    assert_int_equal(error.code, 503);
    pthread_join(stopper, NULL);
    close_service(&fixture);
    scheduler_configuration_clear(&configuration);
}

static void did_not_expect(void *argument, struct queued_pod *pod)
{
    (void)argument;
    (void)pod;
    fail_msg("nothing was bound");
}

static void note_failure(void *argument, struct queued_pod *pod, const char *why)
{
    int *failures = argument;
    assert_string_equal(pod->key, "default/web");
    assert_null(why);
    ++*failures;
}

static void a_binding_that_is_not_answered_ends_with_its_binder(void **state)
{
    (void)state;
    int failures = 0;
    struct fixture fixture = {0};
    struct queued_pod pod = {.key = "default/web", .uid = "u"};
    open_service(&fixture);
    api_stub_answer(fixture.stub,
                    (struct api_stub_answer){.code = 201, .body = "{", .keeps_open = true});
    struct binder *binder = binder_new(fixture.service.client, fixture.service.events,
                                       did_not_expect, note_failure, &failures);
    binder_bind(binder, &pod, "node-1");
    api_stub_wait(fixture.stub, 1);
    binder_stop(binder);
    assert_int_equal(failures, 1);
    close_service(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_is_stopped_before_the_first_lists_leaves_nothing),
        cmocka_unit_test(a_binding_that_is_not_answered_ends_with_its_binder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

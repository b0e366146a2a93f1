// SPDX-License-Identifier: Apache-2.0
/* Controllers that are stopped while the server does not answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "controllers/controller.h"
#include "test/stub/api_stub.h"

static const struct api_resource pods_resource = {"v1", "pods", "Pod", true};

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    controller_add(controller, "default/web");
    return controller;
}

static bool sync_web(void *state, const char *key, struct error *error)
{
    struct controller *controller = state;
    assert_string_equal(key, "default/web");
    json_t *pod = client_get(controller->client, &pods_resource, "default", "web", error);
    assert_null(pod);
    return false;
}

static void stop(void *state)
{
    (void)state;
}

static void workers_do_not_wait_for_a_server_that_is_silent(void **state)
{
    (void)state;
    static const struct controller_type type = {
        .name = "web-controller", .workers = 2, .start = start, .sync = sync_web, .stop = stop};
    static const struct controller_type *const types[] = {&type, NULL};
    struct controller_settings settings = {0};
    struct client_config config = CLIENT_CONFIG_INIT;
    struct api_stub *stub = api_stub_start();
    config.server = duplicate(api_stub_url(stub));
    struct service service = {.metrics = metrics_new(), .loop = loop_new()};
    service.client =
        client_new(service.loop, &config, &(struct client_options){.user_agent = "tester"}, NULL);
    service.informers = informer_factory_new(service.client);
    api_stub_answer(stub, (struct api_stub_answer){.code = 200, .body = "{", .keeps_open = true});
    struct controller_set *set = controller_set_start(&service, types, "*", &settings, NULL);
    assert_non_null(set);
    api_stub_wait(stub, 1);
    controller_set_stop(set);
    assert_int_equal(api_stub_count(stub), 1);
    loop_stop(service.loop);
    informer_factory_free(service.informers);
    client_free(service.client);
    loop_free(service.loop);
    metrics_free(service.metrics);
    api_stub_stop(stub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_do_not_wait_for_a_server_that_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* Questions to other servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/auth/fetch.h"
#include "common/alloc.h"
#include "common/fiber.h"
#include "common/json.h"
#include "test/stub/api_stub.h"

struct question {
    struct fetcher *fetcher;
    json_t *answer;
};

static void ask(void *argument)
{
    struct question *question = argument;
    question->answer = fetch_json(question->fetcher, "/x", NULL, NULL);
}

static void nobody_is_asked_on_a_fiber(void **state)
{
    (void)state;
    struct api_stub *stub = api_stub_start();
    struct client_config config = CLIENT_CONFIG_INIT;
    config.server = duplicate(api_stub_url(stub));
    struct question question = {.fetcher = fetcher_new(&config, NULL)};
    assert_non_null(question.fetcher);
    fetcher_ask_again(question.fetcher);
    api_stub_answer(stub, (struct api_stub_answer){.code = 200, .body = "{\"a\":1}"});

    struct fiber *fiber = fiber_new(ask, &question);
    assert_true(fiber_run(fiber));
    assert_true(fiber_was_refused(fiber));
    fiber_free(fiber);
    assert_null(question.answer);
    assert_int_equal(api_stub_count(stub), 0);

    ask(&question);
    assert_int_equal(json_get_int(question.answer, "a", 0), 1);
    json_decref(question.answer);
    fetcher_free(question.fetcher);
    api_stub_stop(stub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_asked_on_a_fiber),
    };
    return cmocka_run_group_tests_name("questions", tests, NULL, NULL);
}

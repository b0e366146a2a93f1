// SPDX-License-Identifier: Apache-2.0
/* Controllers' service accounts: when they are made, and when tokens are asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "controllers/account.h"
#include "test/stub/api_stub.h"

static const struct api_resource pods = {"v1", "pods", "Pod", true};
static const char pod_text[] =
    "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"}}";
static const char get_text[] = "GET /api/v1/namespaces/default/pods/a";
static const char token_text[] =
    "POST /api/v1/namespaces/kube-system/serviceaccounts/x-controller/token";

struct fixture {
    struct api_stub *stub;
    struct loop *loop;
    struct client *base;
    struct account *account;
};

static struct fixture start(void)
{
    struct client_config config = CLIENT_CONFIG_INIT;
    struct fixture fixture = {.stub = api_stub_start(), .loop = loop_new()};
    config.server = duplicate(api_stub_url(fixture.stub));
    config.token = duplicate("process");
    fixture.base =
        client_new(fixture.loop, &config, &(struct client_options){.user_agent = "tester"}, NULL);
    fixture.account = account_new(fixture.base, "x-controller");
    return fixture;
}

static void stop(struct fixture *fixture)
{
    account_free(fixture->account);
    client_free(fixture->base);
    loop_free(fixture->loop);
    api_stub_stop(fixture->stub);
}

static void answer(struct fixture *fixture, int code, const char *body)
{
    api_stub_answer(fixture->stub, (struct api_stub_answer){.code = code, .body = body});
}

/* The code of reading a pod as the account; 0: it was read. */
static int get_code(struct fixture *fixture)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    json_decref(client_get(account_client(fixture->account), &pods, "default", "a", &error));
    return error.code;
}

/* The request with that number begins so and was made with that token. */
static void assert_sent(struct fixture *fixture, size_t number, const char *line, const char *token)
{
    cleanup(free_char)
    char *request = api_stub_request(fixture->stub, number);
    cleanup(free_char)
    char *header = api_stub_header(fixture->stub, number, "Authorization");
    cleanup(free_char)
    char *expected = format("Bearer %s", token);
    assert_memory_equal(request, line, strlen(line));
    assert_string_equal(header, expected);
}

#define TOKEN(token, seconds)                                                                      \
    "{\"spec\":{\"expirationSeconds\":" seconds "},\"status\":{\"token\":\"" token "\"}}"

static void a_token_serves_many_requests(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    answer(&fixture, 201, TOKEN("one", "3600"));
    answer(&fixture, 200, pod_text);
    answer(&fixture, 200, pod_text);
    assert_int_equal(get_code(&fixture), 0);
    assert_int_equal(get_code(&fixture), 0);
    assert_int_equal(api_stub_count(fixture.stub), 3);
    assert_sent(&fixture, 0, token_text, "process");
    assert_sent(&fixture, 1, get_text, "one");
    assert_sent(&fixture, 2, get_text, "one");
}

static void an_account_that_is_missing_is_made(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    answer(&fixture, 404, "");
    answer(&fixture, 409, ""); /* Another process was faster. */
    answer(&fixture, 201, TOKEN("one", "3600"));
    answer(&fixture, 200, pod_text);
    assert_int_equal(get_code(&fixture), 0);
    assert_sent(&fixture, 1, "POST /api/v1/namespaces/kube-system/serviceaccounts ", "process");
    assert_sent(&fixture, 2, token_text, "process");
    assert_sent(&fixture, 3, get_text, "one");
}

static void a_token_that_is_refused_is_not_used_again(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    answer(&fixture, 201, TOKEN("one", "3600"));
    answer(&fixture, 401, "");
    answer(&fixture, 201, TOKEN("two", "3600"));
    answer(&fixture, 200, pod_text);
    assert_int_equal(get_code(&fixture), 401);
    assert_int_equal(get_code(&fixture), 0);
    assert_sent(&fixture, 2, token_text, "process");
    assert_sent(&fixture, 3, get_text, "two");
}

static void requests_fail_with_their_token(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture = start();
    answer(&fixture, 403, "");
    answer(&fixture, 404, "");
    answer(&fixture, 500, "");
    answer(&fixture, 404, "");
    answer(&fixture, 201, "{}");
    answer(&fixture, 404, "");
    answer(&fixture, 201, TOKEN("ended", "0"));
    /* Never with the token's own code: a 404 would seem to be the pod's. */
    assert_int_equal(get_code(&fixture), 503); /* No token. */
    assert_int_equal(get_code(&fixture), 503); /* No account. */
    assert_int_equal(get_code(&fixture), 503); /* One that was made and isn't seen. */
    assert_int_equal(get_code(&fixture), 503); /* One that has ended. */
    assert_int_equal(api_stub_count(fixture.stub), 7);
}

static void done(void *argument, struct client_response *response)
{
    *(int *)argument = response->error.code;
}

/* What waits for a token that is on its way ends with the client, and the answer finds nobody. */
static void it_ends_while_a_token_is_awaited(void **state)
{
    (void)state;
    struct fixture fixture = start();
    int code = 0;
    api_stub_answer(fixture.stub,
                    (struct api_stub_answer){.code = 200, .body = "{", .keeps_open = true});
    client_send(
        account_client(fixture.account),
        (struct client_request){.method = "GET", .path = client_path(&pods, "default", "a", NULL)},
        done, &code);
    api_stub_wait(fixture.stub, 1);
    account_free(fixture.account);
    assert_int_equal(code, 503);
    api_stub_release(fixture.stub);
    client_free(fixture.base);
    loop_free(fixture.loop);
    api_stub_stop(fixture.stub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_serves_many_requests),
        cmocka_unit_test(an_account_that_is_missing_is_made),
        cmocka_unit_test(a_token_that_is_refused_is_not_used_again),
        cmocka_unit_test(requests_fail_with_their_token),
        cmocka_unit_test(it_ends_while_a_token_is_awaited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

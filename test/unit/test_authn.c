// SPDX-License-Identifier: Apache-2.0
/* Who a caller is, by certificate, by token, or not at all; and token files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <string.h>

#include "apiserver/auth/authn.h"
#include "common/alloc.h"

static struct authn *open_tokens(const char *text, struct error *error)
{
    char path[] = "/tmp/authn-test-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    struct authn *authn = authn_open(path, error);
    unlink(path);
    return authn;
}

static int set_up(void **state)
{
    struct error error = ERROR_INIT;
    *state = open_tokens("first,jane,1,\"builders,painters\"\n"
                         "\n"
                         "second,joe,2\r\n"
                         "third,ann,3,system:masters\n"
                         "\"with \"\"quotes\"\"\",\"a,b\",\"4\"\n"
                         "twice,old,5\n"
                         "twice,new,6\n"
                         "in,sam,7,system:authenticated",
                         &error);
    assert_non_null(*state);
    return 0;
}

static int tear_down(void **state)
{
    authn_free(*state);
    return 0;
}

/* "name/uid: group group …", or the refusal as "401 Unauthorized". */
static void assert_is(struct authn *authn, struct credentials credentials, const char *expected)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(user_clear)
    struct user user = {0};
    cleanup(buffer_free)
    struct buffer found = BUFFER_INIT;
    if (authn_authenticate(authn, &credentials, &user, &error)) {
        buffer_addf(&found, "%s/%s:", user.name, user.uid);
        for (size_t i = 0; i < user.group_count; i++) {
            buffer_addf(&found, " %s", user.groups[i]);
        }
    } else {
        buffer_addf(&found, "%d %s", error.code, error.message);
    }
    assert_string_equal(buffer_text(&found), expected);
}

static void assert_authorized_as(struct authn *authn, const char *authorization,
                                 const char *expected)
{
    assert_is(authn, (struct credentials){.authorization = authorization}, expected);
}

static void a_token_is_the_user_of_its_line(void **state)
{
    assert_authorized_as(*state, "Bearer first", "jane/1: builders painters system:authenticated");
    assert_authorized_as(*state, "Bearer second", "joe/2: system:authenticated");
    assert_authorized_as(*state, "Bearer third", "ann/3: system:masters system:authenticated");
    assert_authorized_as(*state, "Bearer twice", "new/6: system:authenticated");
}

static void the_scheme_is_read_in_any_case_and_the_token_up_to_a_space(void **state)
{
    assert_authorized_as(*state, "bearer second", "joe/2: system:authenticated");
    assert_authorized_as(*state, "BEARER  second", "joe/2: system:authenticated");
    assert_authorized_as(*state, "Bearer second more", "joe/2: system:authenticated");
}

static void a_group_is_given_once(void **state)
{
    assert_authorized_as(*state, "Bearer in", "sam/7: system:authenticated");
}

static void unknown_tokens_are_refused(void **state)
{
    static const char *const wrong[] = {"Bearer fourth", "Bearer firs", "Bearer first,",
                                        "Bearer First", "Bearer jane"};
    for (size_t i = 0; i < array_length(wrong); i++) {
        assert_authorized_as(*state, wrong[i], "401 Unauthorized");
    }
}

static void credentials_that_are_no_token_are_refused_not_ignored(void **state)
{
    static const char *const wrong[] = {"Basic Zmlyc3Q6eA==", "Bearer", "Bearer ",      "Bearer   ",
                                        "Bearerx first",      "first",  "Negotiate abc"};
    for (size_t i = 0; i < array_length(wrong); i++) {
        assert_authorized_as(*state, wrong[i], "401 Unauthorized");
    }
}

static void nobody_in_particular_is_anonymous(void **state)
{
    assert_authorized_as(*state, NULL, "system:anonymous/: system:unauthenticated");
    assert_authorized_as(*state, "", "system:anonymous/: system:unauthenticated");
}

static void a_certificate_is_asked_before_a_token(void **state)
{
    static const char *const organizations[] = {"system:masters", "builders", NULL};
    assert_is(*state,
              (struct credentials){.client_common_name = "eve",
                                   .client_organizations = organizations,
                                   .authorization = "Bearer second"},
              "eve/: system:masters builders system:authenticated");
    assert_is(*state,
              (struct credentials){.client_common_name = "eve", .authorization = "Bearer none"},
              "eve/: system:authenticated");
}

static void a_refused_certificate_is_no_anonymous_caller(void **state)
{
    assert_is(*state, (struct credentials){.client_certificate_refused = true}, "401 Unauthorized");
    assert_is(
        *state,
        (struct credentials){.client_certificate_refused = true, .authorization = "Bearer second"},
        "joe/2: system:authenticated");
}

static void without_a_token_file_every_token_is_refused(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    struct authn *authn = authn_open(NULL, &error);
    assert_non_null(authn);
    assert_authorized_as(authn, "Bearer first", "401 Unauthorized");
    assert_authorized_as(authn, NULL, "system:anonymous/: system:unauthenticated");
    authn_free(authn);
}

static void fields_in_quotes_hold_commas_and_quotes(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    struct authn *authn = open_tokens("\"a,\"\"b\"\"\",\"x,y\",\"1\",\"g, h\"\n", &error);
    assert_non_null(authn);
    assert_authorized_as(authn, "Bearer a,\"b\"", "x,y/1: g h system:authenticated");
    authn_free(authn);
}

static void a_broken_token_file_is_refused_by_its_line(void **state)
{
    (void)state;
    static const char *const broken[] = {"a,b,1\nc,d\n", "a,b,1\n,d,2\n", "a,b,1\nc,,2\n",
                                         "a,b,1\n\"c,d,2\n", "a,b,1\nc\n"};
    for (size_t i = 0; i < array_length(broken); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        assert_null(open_tokens(broken[i], &error));
        assert_non_null(strstr(error.message, ":2: expected token,user,uid"));
    }
}

static void a_token_file_that_cannot_be_read_is_refused(void **state)
{
    (void)state;
    static const char *const paths[] = {"/tmp/there/is/no/such/file", "/tmp"};
    for (size_t i = 0; i < array_length(paths); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        assert_null(authn_open(paths[i], &error));
        assert_non_null(strstr(error.message, "can't be read"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        test(a_token_is_the_user_of_its_line),
        test(the_scheme_is_read_in_any_case_and_the_token_up_to_a_space),
        test(a_group_is_given_once),
        test(unknown_tokens_are_refused),
        test(credentials_that_are_no_token_are_refused_not_ignored),
        test(nobody_in_particular_is_anonymous),
        test(a_certificate_is_asked_before_a_token),
        test(a_refused_certificate_is_no_anonymous_caller),
        cmocka_unit_test(without_a_token_file_every_token_is_refused),
        cmocka_unit_test(fields_in_quotes_hold_commas_and_quotes),
        cmocka_unit_test(a_broken_token_file_is_refused_by_its_line),
        cmocka_unit_test(a_token_file_that_cannot_be_read_is_refused),
    };
    return cmocka_run_group_tests_name("authn", tests, NULL, NULL);
}

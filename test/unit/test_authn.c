// SPDX-License-Identifier: Apache-2.0
/* Who a caller is, by certificate, by token, or not at all; and token files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <string.h>

#include "apiserver/auth/authenticator.h"
#include "apiserver/auth/impersonation.h"
#include "common/alloc.h"
#include "common/json.h"

static void describe(const struct user *user, struct buffer *out)
{
    buffer_addf(out, "%s/%s:", user->name, user->uid);
    for (size_t i = 0; i < user->group_count; i++) {
        buffer_addf(out, " %s", user->groups[i]);
    }
    if (user->extra != NULL) {
        cleanup(free_char)
        char *extra = json_text(user->extra);
        buffer_addf(out, " %s", extra);
    }
}

static struct authn *open_tokens(const char *text, struct error *error)
{
    char path[] = "/tmp/authn-test-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    struct authn_options options = {.anonymous = {.is_on = true}, .token_file = path};
    struct authn *authn = authn_open(&options, NULL, error);
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

/* "name/uid: group group … {extra}", or the refusal as "401 Unauthorized". */
static void assert_is(struct authn *authn, struct credentials credentials, const char *expected)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(user_clear)
    struct user user = {0};
    cleanup(buffer_free)
    struct buffer found = BUFFER_INIT;
    if (authn_authenticate(authn, &credentials, false, &user, &error) == AUTHENTICATION_DONE) {
        describe(&user, &found);
    } else {
        buffer_addf(&found, "%d %s", error.code, error.message);
    }
    assert_string_equal(buffer_text(&found), expected);
}

static void assert_authorized_as(struct authn *authn, const char *authorization,
                                 const char *expected)
{
    struct request_header header = {"Authorization", authorization};
    assert_is(authn,
              (struct credentials){.headers = &header, .header_count = authorization != NULL, NULL},
              expected);
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
    assert_authorized_as(*state, "  BEARER second", "joe/2: system:authenticated");
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

static void credentials_that_are_no_token_are_nobodys(void **state)
{
    static const char *const others[] = {"Basic Zmlyc3Q6eA==", "Bearer",        "Bearer ",
                                         "Bearer  second",     "Bearerx first", "first",
                                         "Negotiate abc"};
    for (size_t i = 0; i < array_length(others); i++) {
        assert_authorized_as(*state, others[i], "system:anonymous/: system:unauthenticated");
    }
}

static void nobody_in_particular_is_anonymous(void **state)
{
    assert_authorized_as(*state, NULL, "system:anonymous/: system:unauthenticated");
    assert_authorized_as(*state, "", "system:anonymous/: system:unauthenticated");
}

#define CREDENTIAL(hash)                                                                           \
    " {\"authentication.kubernetes.io/credential-id\":[\"X509SHA256=" hash "\"]}"

static void a_certificate_is_asked_before_a_token(void **state)
{
    char *organizations[] = {"system:masters", "builders", NULL};
    const struct client_certificate eve = {.common_name = "eve",
                                           .uid = "u1",
                                           .organizations = organizations,
                                           .sha256 = "00ff",
                                           .trusted = true};
    const struct request_header token = {"authorization", "Bearer second"};
    assert_is(*state, (struct credentials){&token, 1, &eve, NULL},
              "eve/u1: system:masters builders system:authenticated" CREDENTIAL("00ff"));
    assert_is(*state, (struct credentials){NULL, 0, &eve, NULL},
              "eve/u1: system:masters builders system:authenticated" CREDENTIAL("00ff"));
}

static void a_refused_certificate_is_no_anonymous_caller(void **state)
{
    const struct client_certificate refused = {.sha256 = ""};
    const struct request_header token = {"authorization", "Bearer second"};
    assert_is(*state, (struct credentials){NULL, 0, &refused, NULL}, "401 Unauthorized");
    assert_is(*state, (struct credentials){&token, 1, &refused, NULL},
              "joe/2: system:authenticated");
}

static void a_certificate_without_a_name_is_nobodys(void **state)
{
    const struct client_certificate nameless = {
        .common_name = "", .uid = "", .organizations = (char *[]){NULL}, .trusted = true};
    assert_is(*state, (struct credentials){NULL, 0, &nameless, NULL},
              "system:anonymous/: system:unauthenticated");
}

static void without_anonymous_access_nobody_is_refused(void **state)
{
    (void)state;
    struct authn_options options = {.anonymous = {.is_on = false}};
    struct authn *authn = authn_open(&options, NULL, NULL);
    assert_authorized_as(authn, NULL, "401 Unauthorized");
    assert_authorized_as(authn, "Basic Zmlyc3Q6eA==", "401 Unauthorized");
    authn_free(authn);
}

/* ---- front proxies ---- */

static struct authn *open_proxies(const char *allowed)
{
    struct authn_options options = {
        .anonymous = {.is_on = true},
        .proxy_ca_file = "some",
        .proxy_allowed_names = {.values = {allowed}, .count = allowed != NULL},
        .proxy_username_headers = {.values = {"X-Remote-User", "X-Other-User"}, .count = 2},
        .proxy_uid_headers = {.values = {"X-Remote-Uid"}, .count = 1},
        .proxy_group_headers = {.values = {"X-Remote-Group"}, .count = 1},
        .proxy_extra_prefixes = {.values = {"X-Remote-Extra-"}, .count = 1},
    };
    return authn_open(&options, NULL, NULL);
}

static void a_front_proxy_says_who_asks(void **state)
{
    (void)state;
    static const struct request_header headers[] = {
        {"x-remote-user", "jane"},
        {"X-Remote-Uid", "7"},
        {"X-Remote-Group", "a"},
        {"x-remote-group", "b"},
        {"X-Remote-Extra-Some%2FKey", "v"},
        {"X-Remote-Extra-some%2fkey", "w"},
        {"X-Remote-Extra-Odd%zz", "x"},
        {"Impersonate-User", "nobody asks the chain for this"},
    };
    const struct client_certificate proxy = {.common_name = "proxy",
                                             .uid = "",
                                             .organizations = (char *[]){NULL},
                                             .trusted_as_proxy = true};
    static const char known[] = "jane/7: a b system:authenticated "
                                "{\"some/key\":[\"v\",\"w\"],\"odd%zz\":[\"x\"]}";
    static const char *const allowed[] = {NULL, "", "proxy", "other,proxy"};
    for (size_t i = 0; i < array_length(allowed); i++) {
        struct authn *authn = open_proxies(allowed[i]);
        assert_is(authn, (struct credentials){headers, array_length(headers), &proxy, NULL}, known);
        authn_free(authn);
    }
    static const struct request_header other[] = {{"X-Remote-User", ""}, {"X-Other-User", "joe"}};
    struct authn *authn = open_proxies(NULL);
    assert_is(authn, (struct credentials){other, 2, &proxy, NULL}, "joe/: system:authenticated");
    authn_free(authn);
}

static void nobody_else_says_who_asks(void **state)
{
    (void)state;
    static const struct request_header header = {"X-Remote-User", "jane"};
    char *none[] = {NULL};
    static const char anonymous[] = "system:anonymous/: system:unauthenticated";
    const struct client_certificate client = {
        .common_name = "eve", .uid = "", .organizations = none, .sha256 = "1", .trusted = true};
    const struct client_certificate stranger = {
        .common_name = "x", .uid = "", .organizations = none};
    const struct client_certificate proxy = {
        .common_name = "proxy", .uid = "", .organizations = none, .trusted_as_proxy = true};
    struct authn *authn = open_proxies("other");
    assert_is(authn, (struct credentials){&header, 1, NULL, NULL}, anonymous);
    assert_is(authn, (struct credentials){&header, 1, &client, NULL},
              "eve/: system:authenticated" CREDENTIAL("1"));
    assert_is(authn, (struct credentials){&header, 1, &stranger, NULL}, "401 Unauthorized");
    assert_is(authn, (struct credentials){&header, 1, &proxy, NULL}, "401 Unauthorized");
    authn_free(authn);
}

/* ---- impersonation ---- */

/* May impersonate what is in the list, as "plural/subresource namespace/name". */
struct permissions {
    const char *allowed[8];
};

static bool permits(void *argument, const struct authz_attributes *info, struct error *error)
{
    const struct permissions *permissions = argument;
    cleanup(free_char)
    char *wish = format("%s%s%s %s/%s", info->resource, info->subresource[0] ? "/" : "",
                        info->subresource, info->namespace, info->name);
    assert_string_equal(info->verb, "impersonate");
    assert_string_equal(info->user->name, "boss");
    assert_string_equal(info->group, strcmp(info->resource, "userextras") == 0 ||
                                             strcmp(info->resource, "uids") == 0
                                         ? "authentication.k8s.io"
                                         : "");
    for (size_t i = 0; permissions->allowed[i] != NULL; i++) {
        if (strcmp(permissions->allowed[i], wish) == 0) {
            return true;
        }
    }
    return error_set(error, 403, "Forbidden", "no %s", wish);
}

static void who_may_acts_as_somebody_else(void **state)
{
    (void)state;
    static const struct {
        struct request_header headers[5];
        struct permissions permissions;
        const char *expected;
    } table[] = {
        {{{"Accept", "*"}}, {{NULL}}, "boss/1: masters"},
        {{{"Impersonate-User", ""}}, {{NULL}}, "boss/1: masters"},
        {{{"impersonate-user", "jane"}}, {{"users /jane"}}, "jane/: system:authenticated"},
        {{{"Impersonate-User", "jane"}}, {{"users /joe"}}, "403 no users /jane"},
        {{{"Impersonate-User", "jane"}, {"Impersonate-Group", "a"}, {"impersonate-group", "b"}},
         {{"users /jane", "groups /a", "groups /b"}},
         "jane/: a b system:authenticated"},
        {{{"Impersonate-User", "jane"}, {"Impersonate-Group", "system:masters"}},
         {{"users /jane"}},
         "403 no groups /system:masters"},
        {{{"Impersonate-User", "jane"}, {"Impersonate-Group", "system:unauthenticated"}},
         {{"users /jane", "groups /system:unauthenticated"}},
         "jane/: system:unauthenticated"},
        {{{"Impersonate-User", "system:anonymous"}},
         {{"users /system:anonymous"}},
         "system:anonymous/: system:unauthenticated"},
        {{{"Impersonate-User", "system:serviceaccount:a:b"}},
         {{"serviceaccounts a/b"}},
         "system:serviceaccount:a:b/: system:serviceaccounts system:serviceaccounts:a "
         "system:authenticated"},
        {{{"Impersonate-User", "system:serviceaccount:a:b"}, {"Impersonate-Group", "g"}},
         {{"serviceaccounts a/b", "groups /g"}},
         "system:serviceaccount:a:b/: g system:authenticated"},
        {{{"Impersonate-User", "system:serviceaccount:a:b:c"}},
         {{"users /system:serviceaccount:a:b:c"}},
         "system:serviceaccount:a:b:c/: system:authenticated"},
        {{{"Impersonate-User", "jane"}, {"Impersonate-Uid", "7"}, {"Impersonate-Extra-A%2FB", "c"}},
         {{"users /jane", "uids /7", "userextras/a/b /c"}},
         "jane/7: system:authenticated {\"a/b\":[\"c\"]}"},
        {{{"Impersonate-User", "jane"}, {"Impersonate-Uid", "7"}},
         {{"users /jane"}},
         "403 no uids /7"},
        {{{"Impersonate-User", "jane"}, {"Impersonate-Extra-Scopes", "all"}},
         {{"users /jane", "userextras/scopes /some"}},
         "403 no userextras/scopes /all"},
        {{{"Impersonate-User", "jane%0d%0aImpersonate-Group: system:masters"}},
         {{"users /jane"}},
         "403 no users /jane%0d%0aImpersonate-Group: system:masters"},
        {{{"Impersonate-Group", "system:masters"}},
         {{"groups /system:masters"}},
         "500 requested [{Group  system:masters    }] without impersonating a user"},
        {{{"Impersonate-Uid", "7"}, {"Impersonate-Extra-K", "v"}},
         {{"uids /7"}},
         "500 requested [{UID  7  authentication.k8s.io/v1  } {UserInfo  v  "
         "authentication.k8s.io/v1  k}] without impersonating a user"},
    };
    for (size_t i = 0; i < array_length(table); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        cleanup(buffer_free)
        struct buffer found = BUFFER_INIT;
        cleanup(user_clear)
        struct user user = {0};
        user_set(&user, "boss", "1");
        user_add_group(&user, "masters");
        size_t count = 0;
        while (count < 5 && table[i].headers[count].name != NULL) {
            count++;
        }
        struct credentials credentials = {table[i].headers, count, NULL, NULL};
        if (impersonate(&credentials, &user, permits, (void *)&table[i].permissions, &error)) {
            describe(&user, &found);
        } else {
            buffer_addf(&found, "%d %s", error.code, error.message);
        }
        assert_string_equal(buffer_text(&found), table[i].expected);
    }
}

static void without_a_token_file_every_token_is_refused(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    struct authn_options options = {.anonymous = {.is_on = true}};
    struct authn *authn = authn_open(&options, NULL, &error);
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
        struct authn_options options = {.token_file = paths[i]};
        assert_null(authn_open(&options, NULL, &error));
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
        test(credentials_that_are_no_token_are_nobodys),
        test(nobody_in_particular_is_anonymous),
        test(a_certificate_is_asked_before_a_token),
        test(a_refused_certificate_is_no_anonymous_caller),
        test(a_certificate_without_a_name_is_nobodys),
        cmocka_unit_test(without_anonymous_access_nobody_is_refused),
        cmocka_unit_test(a_front_proxy_says_who_asks),
        cmocka_unit_test(nobody_else_says_who_asks),
        cmocka_unit_test(who_may_acts_as_somebody_else),
        cmocka_unit_test(without_a_token_file_every_token_is_refused),
        cmocka_unit_test(fields_in_quotes_hold_commas_and_quotes),
        cmocka_unit_test(a_broken_token_file_is_refused_by_its_line),
        cmocka_unit_test(a_token_file_that_cannot_be_read_is_refused),
    };
    return cmocka_run_group_tests_name("authn", tests, NULL, NULL);
}

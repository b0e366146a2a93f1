// SPDX-License-Identifier: Apache-2.0
/* What the query of a list may say, and the tokens with which a list goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/registry/list_query.h"
#include "common/alloc.h"
#include "common/base64.h"

/* ---- parameters ---- */

static const struct resource *pods(struct scheme *scheme)
{
    return scheme_resource_find(scheme, "", "v1", "pods");
}

/* Parses "name=value" pairs, NULL-terminated, as those of a list or watch of pods. */
static bool parse(const char *verb, const char *const *pairs, struct list_query *query,
                  struct error *error)
{
    struct scheme *scheme = scheme_builtin();
    struct parameter parameters[8];
    struct request request = {.parameters = parameters, .scheme = scheme, .resource = pods(scheme)};
    request.info.verb = (char *)verb;
    request.info.namespace = "";
    for (; pairs[request.parameter_count] != NULL; request.parameter_count++) {
        char *name = duplicate(pairs[request.parameter_count]);
        char *equals = strchr(name, '=');
        *equals = '\0';
        parameters[request.parameter_count] = (struct parameter){name, equals + 1};
    }
    bool done = list_query_parse(&request, query, error);
    query->continue_token = NULL; /* Borrowed from what goes now. */
    for (size_t i = 0; i < request.parameter_count; i++) {
        free(parameters[i].name);
    }
    scheme_unref(scheme);
    return done;
}

#define PAIRS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void assert_refused(const char *verb, const char *const *pairs, int code, const char *part)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(list_query_clear)
    struct list_query query;
    assert_false(parse(verb, pairs, &query, &error));
    assert_int_equal(error.code, code);
    if (strstr(error.message, part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", error.message, part);
    }
}

static struct list_query parsed(const char *verb, const char *const *pairs)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct list_query query;
    if (!parse(verb, pairs, &query, &error)) {
        fail_msg("%s", error.message);
    }
    return query;
}

static void a_query_that_says_nothing_asks_for_all_of_now(void **state)
{
    (void)state;
    struct list_query query = parsed("list", PAIRS("limit=", "resourceVersion=", "continue="));
    assert_int_equal(query.limit, 0);
    assert_int_equal(query.revision, REVISION_UNSET);
    assert_int_equal(query.match, MATCH_UNSET);
    assert_int_equal(query.initial_events, INITIAL_UNSET);
    assert_true(selector_is_everything(query.labels));
    list_query_clear(&query);
}

static void limits_below_one_are_none(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t limit;
    } cases[] = {
        {"limit=-1", 0}, {"limit=0", 0}, {"limit=7", 7}, {"limit=-9223372036854775808", 0}};
    for (size_t i = 0; i < array_length(cases); i++) {
        struct list_query query = parsed("list", PAIRS(cases[i].text));
        assert_int_equal(query.limit, cases[i].limit);
        list_query_clear(&query);
    }
}

static void a_limit_does_not_cut_a_list_of_any_revision(void **state)
{
    (void)state;
    struct list_query query = parsed("list", PAIRS("limit=7", "resourceVersion=0"));
    assert_int_equal(query.limit, 0);
    list_query_clear(&query);
}

static void what_is_no_number_is_refused(void **state)
{
    (void)state;
    static const char *const limits[] = {"limit=a", "limit= 1", "limit=1x", "limit=0x10",
                                         "limit=9223372036854775808"};
    static const char *const revisions[] = {"resourceVersion=a", "resourceVersion=-1",
                                            "resourceVersion=+1", "resourceVersion= 1",
                                            "resourceVersion=99999999999999999999"};
    for (size_t i = 0; i < array_length(limits); i++) {
        assert_refused("list", PAIRS(limits[i]), 400, "strconv.ParseInt: parsing");
        assert_refused("list", PAIRS(revisions[i]), 400, "invalid resource version: ");
    }
}

static void combinations_that_are_forbidden_are_all_told(void **state)
{
    (void)state;
    assert_refused("list", PAIRS("resourceVersionMatch=x", "continue=y", "sendInitialEvents=1"),
                   422,
                   "[resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless "
                   "resourceVersion is provided, resourceVersionMatch: Forbidden: "
                   "resourceVersionMatch is forbidden when continue is provided, "
                   "resourceVersionMatch: Unsupported value: \"x\": supported values: \"Exact\", "
                   "\"NotOlderThan\", \"\", sendInitialEvents: Forbidden: sendInitialEvents is "
                   "forbidden for list]");
    assert_refused("list", PAIRS("resourceVersionMatch=Exact", "resourceVersion=0"), 422,
                   "\"exact\" is forbidden for resourceVersion \"0\"");
    assert_refused("deletecollection", PAIRS("sendInitialEvents=false"), 422,
                   "sendInitialEvents is forbidden for list");
    assert_refused("watch", PAIRS("resourceVersionMatch=NotOlderThan"), 422,
                   "forbidden for watch unless sendInitialEvents is provided");
    assert_refused("watch", PAIRS("sendInitialEvents=false"), 422,
                   "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    assert_refused("watch",
                   PAIRS("sendInitialEvents=1", "resourceVersionMatch=NotOlderThan", "continue=x"),
                   422, "resourceVersionMatch is forbidden when continue is provided");
}

static void a_watch_from_no_revision_begins_with_what_there_is(void **state)
{
    (void)state;
    static const struct {
        const char *const pairs[4];
        int initial_events;
    } cases[] = {
        {{"limit=", NULL}, INITIAL_YES},
        {{"resourceVersion=0", NULL}, INITIAL_YES},
        {{"resourceVersion=5", NULL}, INITIAL_UNSET},
        {{"sendInitialEvents=false", "resourceVersionMatch=NotOlderThan", NULL}, INITIAL_NO},
        {{"sendInitialEvents=0", "resourceVersionMatch=NotOlderThan", NULL}, INITIAL_NO},
        {{"sendInitialEvents=true", "resourceVersionMatch=NotOlderThan", "resourceVersion=5", NULL},
         INITIAL_YES},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        struct list_query query = parsed("watch", cases[i].pairs);
        assert_int_equal(query.initial_events, cases[i].initial_events);
        list_query_clear(&query);
    }
}

static void only_fields_that_the_kind_offers_select(void **state)
{
    (void)state;
    struct list_query query =
        parsed("list", PAIRS("fieldSelector=spec.nodeName=a,metadata.namespace=b"));
    list_query_clear(&query);
    assert_refused("list", PAIRS("fieldSelector=spec.color=red"), 400,
                   "field label not supported: spec.color");
}

/* ---- tokens ---- */

static void a_token_brings_back_what_it_was_made_of(void **state)
{
    (void)state;
    cleanup(free_char)
    char *token = list_position_encode(12, "a/\"b\"\0", 6);
    assert_null(strpbrk(token, "+/="));
    cleanup(list_position_clear)
    struct list_position position;
    assert_true(list_position_decode(token, &position, NULL));
    assert_int_equal(position.revision, 12);
    assert_int_equal(position.start_length, 6);
    assert_memory_equal(position.start, "a/\"b\"\0", 6);
}

static void a_position_begins_right_behind_its_key(void **state)
{
    (void)state;
    struct list_position behind = {.revision = 1, .start = "b\0", .start_length = 2};
    assert_false(list_position_reached(&behind, "a"));
    assert_false(list_position_reached(&behind, "b"));
    assert_true(list_position_reached(&behind, "b-"));
    assert_true(list_position_reached(&behind, "ba"));
    assert_true(list_position_reached(&behind, "c"));
    struct list_position at = {.revision = 1, .start = "b", .start_length = 1};
    assert_false(list_position_reached(&at, "a"));
    assert_true(list_position_reached(&at, "b"));
    assert_true(list_position_reached(&(struct list_position){0}, "a"));
}

static void a_forged_token_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json, *why;
    } cases[] = {
        {"", "unexpected end of JSON input"},
        {"{\"v\":", "unexpected end of JSON input"},
        {"hello", "invalid character 'h' looking for beginning of value"},
        {"{}", "server does not recognize this encoded version"},
        {"{\"v\":7,\"rv\":1,\"start\":\"a\"}", "server does not recognize this encoded version"},
        {"{\"v\":\"meta.k8s.io/v1\",\"rv\":0,\"start\":\"a\"}", "incorrect encoded start"},
        {"{\"v\":\"meta.k8s.io/v1\",\"rv\":\"1\",\"start\":\"a\"}", "incorrect encoded start"},
        {"{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"\"}", "encoded start key empty"},
        {"{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":7}", "encoded start key empty"},
        {"{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"../a\"}",
         "continue key is not valid: ../a"},
        {"{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"a/..\"}",
         "continue key is not valid: a/.."},
        {"{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"./a\"}", "continue key is not valid: ./a"},
        {"{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"a/\"}", "continue key is not valid: a/"},
        {"{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"//a\"}", "continue key is not valid: //a"},
        {"{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"/\"}", "continue key is not valid: /"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        cleanup(list_position_clear)
        struct list_position position;
        cleanup(free_char)
        char *token = base64_encode_url(cases[i].json, strlen(cases[i].json));
        assert_false(list_position_decode(token, &position, &error));
        assert_int_equal(error.code, 400);
        if (strstr(error.message, cases[i].why) == NULL) {
            fail_msg("%s: %s", cases[i].json, error.message);
        }
    }
}

static void text_that_is_no_base64_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *token, *why;
    } cases[] = {{"*", "at input byte 0"},
                 {"ab+d", "at input byte 2"},
                 {"abcde", "at input byte 4"},
                 {"e30=", "at input byte 3"}};
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        struct list_position position;
        assert_false(list_position_decode(cases[i].token, &position, &error));
        if (strstr(error.message, cases[i].why) == NULL) {
            fail_msg("%s: %s", cases[i].token, error.message);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_that_says_nothing_asks_for_all_of_now),
        cmocka_unit_test(limits_below_one_are_none),
        cmocka_unit_test(a_limit_does_not_cut_a_list_of_any_revision),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(combinations_that_are_forbidden_are_all_told),
        cmocka_unit_test(a_watch_from_no_revision_begins_with_what_there_is),
        cmocka_unit_test(only_fields_that_the_kind_offers_select),
        cmocka_unit_test(a_token_brings_back_what_it_was_made_of),
        cmocka_unit_test(a_position_begins_right_behind_its_key),
        cmocka_unit_test(a_forged_token_is_refused),
        cmocka_unit_test(text_that_is_no_base64_is_refused_with_its_place),
    };
    return cmocka_run_group_tests_name("list query", tests, NULL, NULL);
}

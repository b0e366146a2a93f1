// SPDX-License-Identifier: Apache-2.0
/* Content negotiation, the kinds of bodies, and indented JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <string.h>

#include "apiserver/http/media.h"
#include "apiserver/http/request.h"
#include "common/alloc.h"

#define TABLE "application/json;as=Table;v=v1;g=meta.k8s.io"

/* "json", "yaml table v1", "json pretty" …; "406" when nothing fits. */
static void assert_negotiates(const char *accept, const char *expected)
{
    static const char *const encodings[] = {[MEDIA_JSON] = "json", [MEDIA_YAML] = "yaml"};
    static const char *const transforms[] = {[MEDIA_OBJECT] = "",
                                             [MEDIA_TABLE] = " table ",
                                             [MEDIA_PARTIAL] = " partial ",
                                             [MEDIA_PARTIAL_LIST] = " partial list "};
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct media media;
    cleanup(free_char)
    char *found = NULL;
    if (media_negotiate(accept, &media, &error)) {
        found = format("%s%s%s%s", encodings[media.encoding], transforms[media.transform],
                       media.transform_version, media.pretty ? " pretty" : "");
    } else {
        assert_string_equal(error.reason, "NotAcceptable");
        found = format("%d", error.code);
    }
    if (strcmp(found, expected) != 0) {
        fail_msg("Accept: %s: expected %s, found %s", accept, expected, found);
    }
}

static void json_is_what_is_sent_unless_asked_otherwise(void **state)
{
    (void)state;
    assert_negotiates("", "json");
    assert_negotiates("*/*", "json");
    assert_negotiates("application/*", "json");
    assert_negotiates("application/json", "json");
    assert_negotiates("Application/JSON", "json");
    assert_negotiates("application/json;charset=utf-8", "json");
    assert_negotiates("text/html,application/xhtml+xml,*/*;q=0.8", "json");
}

static void yaml_is_sent_to_who_prefers_it(void **state)
{
    (void)state;
    assert_negotiates("application/yaml", "yaml");
    assert_negotiates("application/yaml,application/json", "yaml");
    assert_negotiates("application/json;q=0.5, application/yaml", "yaml");
    assert_negotiates("application/yaml;q=0.5, application/json;q=0.6", "json");
    assert_negotiates("*/*, application/yaml", "yaml"); /* The more specific comes first. */
    assert_negotiates("*/*;q=0.9, application/yaml;q=0.1", "json");
}

static void forms_that_are_not_there_are_passed_over(void **state)
{
    (void)state;
    assert_negotiates("application/vnd.kubernetes.protobuf,application/json", "json");
    assert_negotiates("application/vnd.kubernetes.protobuf, */*", "json");
    assert_negotiates("application/json;as=Table;v=v2;g=meta.k8s.io,application/json", "json");
    assert_negotiates("application/json;as=Table;v=v1;g=example.com,application/json", "json");
    assert_negotiates("application/json;as=Other;v=v1;g=meta.k8s.io,application/json", "json");
    assert_negotiates("application/json;as=Table,application/json", "json");
}

static void nothing_that_fits_is_not_acceptable(void **state)
{
    (void)state;
    assert_negotiates("text/html", "406");
    assert_negotiates("text/*", "406");
    assert_negotiates("application/json;q=0", "406");
    assert_negotiates("application/vnd.kubernetes.protobuf", "406");
    assert_negotiates("application/json;as=Table;v=v2;g=meta.k8s.io", "406");
    assert_negotiates("applications/json", "406");
    assert_negotiates(",", "406");
}

static void a_table_or_metadata_alone_are_sent_to_who_asks(void **state)
{
    (void)state;
    assert_negotiates(TABLE, "json table v1");
    assert_negotiates(TABLE ",application/json", "json table v1");
    assert_negotiates("application/json, " TABLE, "json");
    assert_negotiates("application/json;as=Table;g=meta.k8s.io;v=v1beta1", "json table v1beta1");
    assert_negotiates("application/yaml;as=Table;g=meta.k8s.io;v=v1", "yaml table v1");
    assert_negotiates("application/json; as = Table; v=\"v1\"; g=meta.k8s.io", "json table v1");
    assert_negotiates("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                      "json partial v1");
    assert_negotiates("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                      "json partial list v1");
    assert_negotiates("application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;"
                      "g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;"
                      "g=meta.k8s.io;v=v1,application/json",
                      "json partial v1");
}

static void json_is_indented_when_the_type_says_so(void **state)
{
    (void)state;
    assert_negotiates("application/json;pretty=1", "json pretty");
    assert_negotiates("application/json;pretty=0", "json");
}

static void odd_headers_do_no_harm(void **state)
{
    (void)state;
    assert_negotiates(";", "406");
    assert_negotiates(" , ,application/json", "json");
    assert_negotiates("application/json;q=abc", "json");
    assert_negotiates("application/json;q=", "json");
    assert_negotiates("application/json;q=0.00000000000000000000001", "json");
    assert_negotiates("application/json;;;=;=x;x=", "json");
    cleanup(buffer_free)
    struct buffer many = BUFFER_INIT;
    for (size_t i = 0; i < 1000; i++) {
        buffer_add_literal(&many, "text/html;q=0.1,");
    }
    buffer_add_literal(&many, "application/json");
    assert_negotiates(buffer_text(&many), "406"); /* Only so many clauses are read. */
}

static void assert_discovery(const char *accept, const char *expected)
{
    static const char *const forms[] = {[MEDIA_DISCOVERY_PLAIN] = "plain",
                                        [MEDIA_DISCOVERY_V2BETA1] = "v2beta1",
                                        [MEDIA_DISCOVERY_V2] = "v2"};
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    enum media_discovery form;
    enum media_encoding encoding;
    bool found = media_negotiate_discovery(accept, &form, &encoding, &error);
    assert_string_equal(found ? forms[form] : "406", expected);
}

static void discovery_is_sent_in_the_newest_form_asked_for(void **state)
{
    (void)state;
#define AGGREGATED(version)                                                                        \
    "application/json;g=apidiscovery.k8s.io;v=" version ";as=APIGroupDiscoveryList"
    assert_discovery("", "plain");
    assert_discovery("*/*", "plain");
    assert_discovery("application/json", "plain");
    assert_discovery("application/yaml", "plain");
    assert_discovery(AGGREGATED("v2") "," AGGREGATED("v2beta1") ",application/json", "v2");
    assert_discovery(AGGREGATED("v2beta1") ",application/json", "v2beta1");
    assert_discovery(AGGREGATED("v3") "," AGGREGATED("v2"), "v2");
    assert_discovery(AGGREGATED("v3") ",application/json", "plain");
    assert_discovery(AGGREGATED("v3"), "406");
    assert_discovery("application/json;g=other;v=v2;as=APIGroupDiscoveryList", "406");
    assert_discovery("text/html", "406");
}

static void a_choice_follows_the_header_then_the_order_of_the_offer(void **state)
{
    (void)state;
    static const char *const offered[] = {"application/json", "text/plain", "text/html", NULL};
    static const struct {
        const char *accept;
        int expected;
    } cases[] = {{"", 0},
                 {"*/*", 0},
                 {"text/html", 2},
                 {"text/*", 1},
                 {"text/html;q=0.5,text/plain;q=0.6", 1},
                 {"image/png, text/html", 2},
                 {"image/png", -1},
                 {"text/html;q=0", -1}};
    for (size_t i = 0; i < array_length(cases); i++) {
        assert_int_equal(media_choose(cases[i].accept, offered), cases[i].expected);
    }
}

static void a_body_is_what_its_content_type_says(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        enum media_body body;
    } cases[] = {
        {"", MEDIA_BODY_JSON},
        {"application/json", MEDIA_BODY_JSON},
        {" Application/Json ; charset=utf-8", MEDIA_BODY_JSON},
        {"application/yaml", MEDIA_BODY_YAML},
        {"application/vnd.kubernetes.protobuf", MEDIA_BODY_PROTOBUF},
        {"application/json-patch+json", MEDIA_BODY_JSON_PATCH},
        {"application/merge-patch+json", MEDIA_BODY_MERGE_PATCH},
        {"application/strategic-merge-patch+json", MEDIA_BODY_STRATEGIC_PATCH},
        {"application/apply-patch+yaml", MEDIA_BODY_APPLY_YAML},
        {"text/plain", MEDIA_BODY_UNKNOWN},
        {"application/jsonx", MEDIA_BODY_UNKNOWN},
        {"application/x-www-form-urlencoded", MEDIA_BODY_UNKNOWN},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        assert_int_equal(media_body(cases[i].type), cases[i].body);
    }
}

static void assert_indents(const char *json, const char *expected)
{
    cleanup(buffer_free)
    struct buffer out = BUFFER_INIT;
    media_indent_json(json, strlen(json), &out);
    assert_string_equal(buffer_text(&out), expected);
}

static void json_is_indented_as_go_does(void **state)
{
    (void)state;
    assert_indents("{}", "{}");
    assert_indents("[]", "[]");
    assert_indents("null", "null");
    assert_indents("{\"a\":1,\"b\":[1,\"x\",{}],\"c\":{\"d\":[]}}",
                   "{\n  \"a\": 1,\n  \"b\": [\n    1,\n    \"x\",\n    {}\n  ],\n"
                   "  \"c\": {\n    \"d\": []\n  }\n}");
    assert_indents(" { \"a\" : [ ] ,\n\"b\":{ } } ", "{\n  \"a\": [],\n  \"b\": {}\n}");
}

static void what_stands_in_strings_is_left_alone(void **state)
{
    (void)state;
    assert_indents("{\"a{,:\\\"}\":\"[ ],{ }\\\\\"}", "{\n  \"a{,:\\\"}\": \"[ ],{ }\\\\\"\n}");
    assert_indents("[\"\"]", "[\n  \"\"\n]");
}

static void long_warnings_are_cut_when_all_are_too_long_together(void **state)
{
    (void)state;
    cleanup(response_clear)
    struct response response = {0};
    char text[2001] = "";
    memset(text, 'a', 2000);
    memcpy(text, "\"1", 2);
    response_add_warning(&response, text);
    response_add_warning(&response, text);
    assert_int_equal(response.header_count, 1);
    assert_int_equal(strlen(response.headers[0].value), strlen("299 - \"\\\"") + 2000);
    memcpy(text, "\"2", 2);
    response_add_warning(&response, text);
    assert_int_equal(strlen(response.headers[1].value), strlen("299 - \"\\\"") + 2000);
    memcpy(text, "\"3", 2);
    response_add_warning(&response, text);
    assert_int_equal(response.header_count, 3);
    for (size_t i = 0; i < 3; i++) {
        const char *value = response.headers[i].value;
        assert_memory_equal(value, "299 - \"\\\"", strlen("299 - \"\\\""));
        assert_int_equal(value[strlen("299 - \"\\\"")], '1' + (int)i);
        assert_int_equal(strlen(value), strlen("299 - \"") + 256 + 1);
        assert_int_equal(value[strlen(value) - 1], '"');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_what_is_sent_unless_asked_otherwise),
        cmocka_unit_test(yaml_is_sent_to_who_prefers_it),
        cmocka_unit_test(forms_that_are_not_there_are_passed_over),
        cmocka_unit_test(nothing_that_fits_is_not_acceptable),
        cmocka_unit_test(a_table_or_metadata_alone_are_sent_to_who_asks),
        cmocka_unit_test(json_is_indented_when_the_type_says_so),
        cmocka_unit_test(odd_headers_do_no_harm),
        cmocka_unit_test(discovery_is_sent_in_the_newest_form_asked_for),
        cmocka_unit_test(a_choice_follows_the_header_then_the_order_of_the_offer),
        cmocka_unit_test(a_body_is_what_its_content_type_says),
        cmocka_unit_test(json_is_indented_as_go_does),
        cmocka_unit_test(long_warnings_are_cut_when_all_are_too_long_together),
        cmocka_unit_test(what_stands_in_strings_is_left_alone),
    };
    return cmocka_run_group_tests_name("media", tests, NULL, NULL);
}

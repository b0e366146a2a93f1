// SPDX-License-Identifier: Apache-2.0
/* What methods and paths ask for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <string.h>

#include "apiserver/http/server.h"
#include "apiserver/http/uri.h"
#include "common/alloc.h"
#include "common/buffer.h"

/* A request as "METHOD /path?query" and what it asks for in one line: for a resource "verb group
 * version namespace plural name subresource", "-" for what is empty, else "verb (no resource)"; or
 * the code it is refused with. */
static char *described(const char *method, const char *uri)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct request_info info;
    struct parameter *parameters;
    size_t count;
    const char *query = strchr(uri, '?');
    cleanup(free_char)
    char *path = query ? duplicate_bytes(uri, (size_t)(query - uri)) : duplicate(uri);
    assert_true(uri_parse_query(query ? query + 1 : "", &parameters, &count));
    bool valid = request_info_parse(method, path, parameters, count, &info, &error);
    uri_free_parameters(parameters, count);
    struct buffer text = BUFFER_INIT;
    if (!valid) {
        buffer_addf(&text, "%d", error.code);
    } else if (!info.is_resource_request) {
        buffer_addf(&text, "%s (no resource)", info.verb);
    } else {
        const char *fields[] = {info.verb,   info.group, info.version,    info.namespace,
                                info.plural, info.name,  info.subresource};
        for (size_t i = 0; i < array_length(fields); i++) {
            buffer_addf(&text, "%s%s", i ? " " : "", fields[i][0] ? fields[i] : "-");
        }
    }
    request_info_clear(&info);
    return buffer_steal(&text);
}

static void assert_asks(const char *method, const char *uri, const char *expected)
{
    cleanup(free_char)
    char *found = described(method, uri);
    if (strcmp(found, expected) != 0) {
        fail_msg("%s %s: expected \"%s\", found \"%s\"", method, uri, expected, found);
    }
}

static void a_method_and_a_path_make_a_verb(void **state)
{
    (void)state;
    static const struct {
        const char *method, *uri, *expected;
    } cases[] = {
        {"GET", "/api/v1/namespaces/a/pods/b", "get - v1 a pods b -"},
        {"HEAD", "/api/v1/namespaces/a/pods/b", "get - v1 a pods b -"},
        {"GET", "/api/v1/namespaces/a/pods", "list - v1 a pods - -"},
        {"GET", "/api/v1/namespaces/a/pods/", "list - v1 a pods - -"},
        {"GET", "/api/v1/pods", "list - v1 - pods - -"},
        {"POST", "/api/v1/namespaces/a/pods", "create - v1 a pods - -"},
        {"POST", "/api/v1/namespaces/a/pods/b/binding", "create - v1 a pods b binding"},
        {"PUT", "/api/v1/namespaces/a/pods/b", "update - v1 a pods b -"},
        {"PUT", "/api/v1/namespaces/a/pods/b/status", "update - v1 a pods b status"},
        {"PATCH", "/apis/apps/v1/namespaces/a/deployments/b", "patch apps v1 a deployments b -"},
        {"DELETE", "/api/v1/nodes/n", "delete - v1 - nodes n -"},
        {"DELETE", "/api/v1/namespaces/a/pods", "deletecollection - v1 a pods - -"},
        {"OPTIONS", "/api/v1/pods", "- - v1 - pods - -"},
        {"BREW", "/api/v1/pods", "- - v1 - pods - -"},
        {"get", "/api/v1/pods", "- - v1 - pods - -"},
        {"GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/x",
         "get rbac.authorization.k8s.io v1 - clusterroles x -"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        assert_asks(cases[i].method, cases[i].uri, cases[i].expected);
    }
}

static void a_namespace_is_a_resource_and_in_itself(void **state)
{
    (void)state;
    assert_asks("GET", "/api/v1/namespaces", "list - v1 - namespaces - -");
    assert_asks("POST", "/api/v1/namespaces", "create - v1 - namespaces - -");
    assert_asks("GET", "/api/v1/namespaces/a", "get - v1 a namespaces a -");
    assert_asks("PUT", "/api/v1/namespaces/a/finalize", "update - v1 a namespaces a finalize");
    assert_asks("PUT", "/api/v1/namespaces/a/status", "update - v1 a namespaces a status");
    assert_asks("GET", "/api/v1/namespaces/a/other", "list - v1 a other - -");
}

static void a_list_is_a_watch_when_asked_so(void **state)
{
    (void)state;
    assert_asks("GET", "/api/v1/pods?watch=true", "watch - v1 - pods - -");
    assert_asks("GET", "/api/v1/pods?watch=1", "watch - v1 - pods - -");
    assert_asks("GET", "/api/v1/pods?watch", "watch - v1 - pods - -");
    assert_asks("GET", "/api/v1/pods?watch=false", "list - v1 - pods - -");
    assert_asks("GET", "/api/v1/pods?watch=False", "list - v1 - pods - -");
    assert_asks("GET", "/api/v1/pods?watch=0", "list - v1 - pods - -");
    assert_asks("GET", "/api/v1/namespaces/a/pods/b?watch=true", "get - v1 a pods b -");
    assert_asks("POST", "/api/v1/namespaces/a/pods?watch=true", "create - v1 a pods - -");
}

static void the_old_form_of_a_watch_is_understood(void **state)
{
    (void)state;
    assert_asks("GET", "/api/v1/watch/pods", "watch - v1 - pods - -");
    assert_asks("GET", "/api/v1/watch/namespaces/a/pods", "watch - v1 a pods - -");
    assert_asks("GET", "/api/v1/watch/namespaces/a/pods/b", "watch - v1 a pods b -");
    assert_asks("GET", "/apis/apps/v1/watch/deployments", "watch apps v1 - deployments - -");
    assert_asks("GET", "/api/v1/watch", "400");
    assert_asks("GET", "/api/v1/proxy", "400");
}

static void a_selector_of_one_name_names_it(void **state)
{
    (void)state;
    assert_asks("GET", "/api/v1/pods?fieldSelector=metadata.name%3Db", "list - v1 - pods b -");
    assert_asks("GET", "/api/v1/pods?watch=1&fieldSelector=metadata.name==b",
                "watch - v1 - pods b -");
    assert_asks("GET", "/api/v1/pods?fieldSelector=spec.nodeName=n,metadata.name=b",
                "list - v1 - pods b -");
    assert_asks("GET", "/api/v1/pods?fieldSelector=spec.nodeName=n", "list - v1 - pods - -");
    assert_asks("GET", "/api/v1/pods?fieldSelector=metadata.name!=b", "list - v1 - pods - -");
    assert_asks("GET", "/api/v1/pods?fieldSelector=metadata.name=", "list - v1 - pods - -");
    assert_asks("GET", "/api/v1/pods?fieldSelector=metadata.name=a/b", "list - v1 - pods - -");
}

static void other_paths_are_no_resources(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/",        "/api",        "/api/v1",       "/apis",   "/apis/apps", "/apis/apps/v1",
        "/healthz", "/openapi/v3", "/apix/v1/pods", "/metrics"};
    for (size_t i = 0; i < array_length(paths); i++) {
        assert_asks("GET", paths[i], "get (no resource)");
    }
    assert_asks("POST", "/healthz", "post (no resource)");
}

static void two_spellings_of_one_path_are_no_way_around_access_rules(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/api/v1//pods",
        "//api/v1/pods",
        "/api/v1/namespaces//pods",
        "/api/v1/namespaces/./pods",
        "/api/v1/namespaces/a/../b/pods",
        "/api/v1/namespaces/a/%2e%2e/b/pods",
        "/api/v1/namespaces/a/%2E/pods",
        "/healthz/../api/v1/secrets",
        "/healthz/%2e%2e/api/v1/secrets",
        "/..",
    };
    for (size_t i = 0; i < array_length(paths); i++) {
        assert_asks("GET", paths[i], "404");
    }
}

static void what_is_encoded_stays_within_its_segment(void **state)
{
    (void)state;
    assert_asks("GET", "/api/v1/namespaces/a%2Fpods%2Fb",
                "get - v1 a/pods/b namespaces a/pods/b -");
    assert_asks("GET", "/api/v1/namespaces/a/pods/..%2Fb", "get - v1 a pods ../b -");
    assert_asks("GET", "/api%2Fv1/pods", "get (no resource)");
    assert_asks("GET", "/%61pi/v1/%70ods/a+b", "get - v1 - pods a+b -");
    assert_asks("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
                "get rbac.authorization.k8s.io v1 - clusterroles system:node -");
}

static void a_path_that_does_not_decode_is_refused(void **state)
{
    (void)state;
    static const char *const paths[] = {"",     "api/v1/pods", "*",       "http://a/api/v1/pods",
                                        "/a%",  "/a%2",        "/a%zz",   "/%00",
                                        "/%0d", "/%ff",        "/%c0%af", "/%ed%a0%80"};
    for (size_t i = 0; i < array_length(paths); i++) {
        assert_asks("GET", paths[i], "400");
    }
}

static void what_follows_the_version_is_kept_in_parts(void **state)
{
    (void)state;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct request_info info;
    assert_true(request_info_parse("GET", "/api/v1/namespaces/a/pods/b/proxy/c/d%2Fe", NULL, 0,
                                   &info, &error));
    static const char *const expected[] = {"pods", "b", "proxy", "c", "d/e"};
    for (size_t i = 0; i < array_length(expected); i++) {
        assert_string_equal(info.parts[i], expected[i]);
    }
    assert_null(info.parts[array_length(expected)]);
    assert_string_equal(info.prefix, "api");
    assert_string_equal(info.subresource, "proxy");
    request_info_clear(&info);
    assert_null(info.parts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_method_and_a_path_make_a_verb),
        cmocka_unit_test(a_namespace_is_a_resource_and_in_itself),
        cmocka_unit_test(a_list_is_a_watch_when_asked_so),
        cmocka_unit_test(the_old_form_of_a_watch_is_understood),
        cmocka_unit_test(a_selector_of_one_name_names_it),
        cmocka_unit_test(other_paths_are_no_resources),
        cmocka_unit_test(two_spellings_of_one_path_are_no_way_around_access_rules),
        cmocka_unit_test(what_is_encoded_stays_within_its_segment),
        cmocka_unit_test(a_path_that_does_not_decode_is_refused),
        cmocka_unit_test(what_follows_the_version_is_kept_in_parts),
    };
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}

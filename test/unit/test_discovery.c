// SPDX-License-Identifier: Apache-2.0
/* Discovery and OpenAPI: what clients learn of the API before they use it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/views/discovery.h"
#include "apiserver/views/openapi.h"
#include "apiserver/views/openapi_protobuf.h"
#include "common/alloc.h"
#include "common/json.h"

struct fixture {
    struct scheme *scheme;
    struct openapi *openapi;
    struct response response;
    json_t *json; /* The last answer. */
};

static int set_up(void **state)
{
    struct fixture *fixture = allocate_struct(struct fixture);
    fixture->scheme = scheme_builtin();
    fixture->openapi = openapi_new(fixture->scheme);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    json_decref(fixture->json);
    response_clear(&fixture->response);
    openapi_free(fixture->openapi);
    scheme_unref(fixture->scheme);
    free(fixture);
    return 0;
}

/* Asks for a path; whether somebody answered. The answer's JSON, if it is, in fixture->json. */
static bool ask(struct fixture *fixture, const char *path, const char *accept, const char *tag,
                const char *hash)
{
    struct parameter parameter = {"hash", (char *)hash};
    struct request request = {.method = "GET",
                              .path = (char *)path,
                              .parameters = &parameter,
                              .parameter_count = hash != NULL,
                              .accept = accept,
                              .content_type = "",
                              .user_agent = "test",
                              .if_none_match = tag,
                              .scheme = fixture->scheme};
    response_clear(&fixture->response);
    fixture->response = (struct response){0};
    json_decref(fixture->json);
    fixture->json = NULL;
    bool answered = true;
    if (strncmp(path, "/openapi", 8) == 0) {
        openapi_serve(fixture->openapi, &request, &fixture->response);
    } else {
        answered = discovery_serve(&request, &fixture->response);
    }
    if (answered && fixture->response.bytes.length > 0) {
        fixture->json =
            json_loadb(fixture->response.bytes.bytes, fixture->response.bytes.length, 0, NULL);
    }
    return answered;
}

static const json_t *get(struct fixture *fixture, const char *path)
{
    assert_true(ask(fixture, path, "application/json", "", NULL));
    assert_int_equal(fixture->response.status, 200);
    assert_non_null(fixture->json);
    return fixture->json;
}

static const char *header(const struct fixture *fixture, const char *name)
{
    for (size_t i = 0; i < fixture->response.header_count; i++) {
        if (strcmp(fixture->response.headers[i].name, name) == 0) {
            return fixture->response.headers[i].value;
        }
    }
    return NULL;
}

/* The member of an array whose 'field' is 'value'. */
static const json_t *find(const json_t *array, const char *field, const char *value)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *text = json_get_string(json_array_get(array, i), field);
        if (text != NULL && strcmp(text, value) == 0) {
            return json_array_get(array, i);
        }
    }
    return NULL;
}

/* ---- discovery ---- */

static void the_root_lists_paths_that_all_answer(void **state)
{
    struct fixture *fixture = *state;
    cleanup(json_release)
    json_t *root = json_incref((json_t *)get(fixture, "/"));
    const json_t *paths = json_object_get(root, "paths");
    assert_true(json_array_has_string(paths, "/apis/apps/v1"));
    assert_true(json_array_has_string(paths, "/readyz"));
    for (size_t i = 0; i < json_array_size(paths); i++) {
        const char *path = json_string_value(json_array_get(paths, i));
        if (strncmp(path, "/api", 4) == 0) {
            get(fixture, path);
        }
    }
}

static void groups_and_versions_are_found_with_and_without_a_slash(void **state)
{
    struct fixture *fixture = *state;
    const char *const paths[] = {"/api",   "/api/",      "/api/v1",     "/api/v1/",     "/apis",
                                 "/apis/", "/apis/apps", "/apis/apps/", "/apis/apps/v1"};
    for (size_t i = 0; i < array_length(paths); i++) {
        get(fixture, paths[i]);
        assert_string_equal(header(fixture, "Vary"), "Accept");
    }
}

static void what_is_no_path_of_discovery_is_left_to_others(void **state)
{
    struct fixture *fixture = *state;
    const char *const paths[] = {"/api/v2",       "/api/v1/pods", "/apis/none",
                                 "/apis/apps/v9", "/apis//",      "/apis//v1",
                                 "/apix",         "/version",     "/apis/apps/v1/deployments"};
    for (size_t i = 0; i < array_length(paths); i++) {
        if (ask(fixture, paths[i], "", "", NULL)) {
            fail_msg("%s was answered", paths[i]);
        }
    }
}

static void a_resource_tells_its_names_verbs_and_subresources(void **state)
{
    struct fixture *fixture = *state;
    const json_t *list = get(fixture, "/apis/apps/v1");
    assert_string_equal(json_get_string(list, "kind"), "APIResourceList");
    assert_string_equal(json_get_string(list, "groupVersion"), "apps/v1");
    const json_t *resources = json_object_get(list, "resources");
    const json_t *deployments = find(resources, "name", "deployments");
    assert_string_equal(json_get_string(deployments, "kind"), "Deployment");
    assert_string_equal(json_get_string(deployments, "singularName"), "deployment");
    assert_true(json_get_bool(deployments, "namespaced", false));
    assert_true(json_array_has_string(json_object_get(deployments, "shortNames"), "deploy"));
    assert_true(json_array_has_string(json_object_get(deployments, "categories"), "all"));
    static const char *const verbs[] = {"create", "delete", "deletecollection", "get",
                                        "list",   "patch",  "update",           "watch"};
    assert_int_equal(json_array_size(json_object_get(deployments, "verbs")), array_length(verbs));
    for (size_t i = 0; i < array_length(verbs); i++) {
        assert_true(json_array_has_string(json_object_get(deployments, "verbs"), verbs[i]));
    }
    const json_t *scale = find(resources, "name", "deployments/scale");
    assert_string_equal(json_get_string(scale, "group"), "autoscaling");
    assert_string_equal(json_get_string(scale, "version"), "v1");
    assert_string_equal(json_get_string(scale, "kind"), "Scale");
    assert_non_null(find(resources, "name", "deployments/status"));
}

static void a_group_prefers_its_first_version(void **state)
{
    struct fixture *fixture = *state;
    const json_t *group = get(fixture, "/apis/autoscaling");
    assert_string_equal(json_get_string(group, "kind"), "APIGroup");
    assert_string_equal(json_path_string(group, "preferredVersion", "groupVersion"),
                        "autoscaling/v2");
    assert_int_equal(json_array_size(json_object_get(group, "versions")), 2);
}

static void aggregated_discovery_answers_as_the_form_that_was_asked_for(void **state)
{
    static const char v2[] = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    static const char v2beta1[] =
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    struct fixture *fixture = *state;
    assert_true(ask(fixture, "/apis", v2, "", NULL));
    assert_string_equal(fixture->response.content_type, v2);
    assert_string_equal(json_get_string(fixture->json, "apiVersion"), "apidiscovery.k8s.io/v2");
    assert_non_null(json_object_get(fixture->json, "items"));
    assert_true(ask(fixture, "/apis", v2beta1, "", NULL));
    assert_string_equal(fixture->response.content_type, v2beta1);
    /* A form that nobody knows is passed over for the next. */
    assert_true(ask(fixture, "/api",
                    "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,"
                    "application/json",
                    "", NULL));
    assert_string_equal(json_get_string(fixture->json, "kind"), "APIVersions");
}

static void aggregated_discovery_that_is_known_is_not_sent_again(void **state)
{
    static const char v2[] = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    struct fixture *fixture = *state;
    assert_true(ask(fixture, "/api", v2, "", NULL));
    cleanup(free_char)
    char *tag = duplicate(header(fixture, "ETag"));
    assert_true(ask(fixture, "/api", v2, tag, NULL));
    assert_int_equal(fixture->response.status, 304);
    assert_int_equal(fixture->response.bytes.length, 0);
    assert_true(ask(fixture, "/apis", v2, tag, NULL)); /* Of another document. */
    assert_int_equal(fixture->response.status, 200);
}

/* ---- OpenAPI ---- */

/* Counts references in a document that lead nowhere. */
static size_t dangling(const json_t *node, const json_t *schemas, const char *prefix)
{
    size_t count = 0, at;
    const char *key;
    json_t *value;
    const char *reference = json_get_string(node, "$ref");
    if (reference != NULL) {
        size_t length = strlen(prefix);
        count += strncmp(reference, prefix, length) != 0 ||
                 json_object_get(schemas, reference + length) == NULL;
    }
    json_object_foreach ((json_t *)node, key, value) {
        count += dangling(value, schemas, prefix);
    }
    json_array_foreach (node, at, value) {
        count += dangling(value, schemas, prefix);
    }
    return count;
}

static void every_document_of_the_index_is_whole(void **state)
{
    struct fixture *fixture = *state;
    cleanup(json_release)
    json_t *index = json_incref((json_t *)get(fixture, "/openapi/v3"));
    const char *name;
    json_t *entry;
    assert_true(json_object_size(json_object_get(index, "paths")) > 20);
    json_object_foreach (json_object_get(index, "paths"), name, entry) {
        cleanup(free_char)
        char *url = duplicate(json_get_string(entry, "serverRelativeURL"));
        char *question = strchr(url, '?');
        *question = '\0';
        assert_true(ask(fixture, url, "application/json", "", question + strlen("?hash=")));
        assert_int_equal(fixture->response.status, 200);
        assert_non_null(header(fixture, "Expires")); /* The hash is right. */
        assert_string_equal(json_get_string(fixture->json, "openapi"), "3.0.0");
        const json_t *schemas = json_path(fixture->json, "components", "schemas");
        assert_int_equal(dangling(fixture->json, schemas, "#/components/schemas/"), 0);
    }
}

static void kubectl_finds_what_it_looks_for(void **state)
{
    struct fixture *fixture = *state;
    const json_t *document = get(fixture, "/openapi/v3/apis/apps/v1");
    const json_t *patch = json_path(
        document, "paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "patch");
    assert_string_equal(json_path_string(patch, "x-kubernetes-group-version-kind", "kind"),
                        "Deployment");
    assert_non_null(find(json_object_get(patch, "parameters"), "name", "fieldValidation"));
    const json_t *schema =
        json_path(document, "components", "schemas", "io.k8s.api.apps.v1.Deployment");
    const json_t *kinds = json_object_get(schema, "x-kubernetes-group-version-kind");
    assert_non_null(find(kinds, "kind", "Deployment"));
}

static void
a_document_that_is_known_is_not_sent_again_and_a_wrong_hash_leads_to_the_right_one(void **state)
{
    struct fixture *fixture = *state;
    get(fixture, "/openapi/v3/api/v1");
    assert_null(header(fixture, "Expires"));
    cleanup(free_char)
    char *tag = duplicate(header(fixture, "ETag"));
    assert_true(ask(fixture, "/openapi/v3/api/v1", "", tag, NULL));
    assert_int_equal(fixture->response.status, 304);
    assert_int_equal(fixture->response.bytes.length, 0);
    assert_true(ask(fixture, "/openapi/v3/api/v1", "", "", "0123"));
    assert_int_equal(fixture->response.status, 301);
    cleanup(free_char)
    char *expected = format("/openapi/v3/api/v1?hash=%.*s", (int)strlen(tag) - 2, tag + 1);
    assert_string_equal(header(fixture, "Location"), expected);
}

static void documents_that_do_not_exist_are_not_found(void **state)
{
    struct fixture *fixture = *state;
    const char *const paths[] = {"/openapi",
                                 "/openapi/v1",
                                 "/openapi/v3/api/v2",
                                 "/openapi/v3/v2",
                                 "/openapi/v3/apis",
                                 "/openapi/v3/v2.protobuf",
                                 "/openapi/v3/apis/apps",
                                 "/openapi/v3/api/v1/",
                                 "/openapi/v2/"};
    for (size_t i = 0; i < array_length(paths); i++) {
        ask(fixture, paths[i], "", "", NULL);
        if (fixture->response.status != 404) {
            fail_msg("%s: %d", paths[i], fixture->response.status);
        }
        assert_string_equal(json_get_string(fixture->json, "reason"), "NotFound");
    }
}

static void version_2_is_whole_too_and_has_a_protobuf_form(void **state)
{
    struct fixture *fixture = *state;
    const json_t *document = get(fixture, "/openapi/v2");
    assert_string_equal(json_get_string(document, "swagger"), "2.0");
    assert_int_equal(dangling(document, json_object_get(document, "definitions"), "#/definitions/"),
                     0);
    size_t length = fixture->response.bytes.length;
    assert_true(ask(fixture, "/openapi/v2", openapi_protobuf_old_type, "", NULL));
    assert_string_equal(fixture->response.content_type, openapi_protobuf_type);
    assert_null(fixture->json);
    assert_true(fixture->response.bytes.length > 1000 && fixture->response.bytes.length < length);
    /* The first field of gnostic's document: swagger, "2.0". */
    assert_memory_equal(fixture->response.bytes.bytes,
                        "\x0a\x03"
                        "2.0",
                        5);
}

#define each(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        each(the_root_lists_paths_that_all_answer),
        each(groups_and_versions_are_found_with_and_without_a_slash),
        each(what_is_no_path_of_discovery_is_left_to_others),
        each(a_resource_tells_its_names_verbs_and_subresources),
        each(a_group_prefers_its_first_version),
        each(aggregated_discovery_answers_as_the_form_that_was_asked_for),
        each(aggregated_discovery_that_is_known_is_not_sent_again),
        each(every_document_of_the_index_is_whole),
        each(kubectl_finds_what_it_looks_for),
        each(a_document_that_is_known_is_not_sent_again_and_a_wrong_hash_leads_to_the_right_one),
        each(documents_that_do_not_exist_are_not_found),
        each(version_2_is_whole_too_and_has_a_protobuf_form),
    };
    return cmocka_run_group_tests_name("discovery", tests, NULL, NULL);
}

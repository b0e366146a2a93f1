// SPDX-License-Identifier: Apache-2.0
/* JSON patch, merge patch and strategic merge patch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/patch/patch.h"
#include "common/alloc.h"
#include "common/json.h"
static json_t *parse(const char *text)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    json_t *json = json_parse(text, strlen(text), &error);
    if (json == NULL) {
        fail_msg("%s: %s", text, error.message);
    }
    return json;
}

struct patch_case {
    const char *object, *patch;
    const char *result; /* NULL: the patch does not apply. */
};

/* A container with ports that merge by number and a list of words that merge as a set. */
static const struct schema word = {.type = SCHEMA_STRING}, number = {.type = SCHEMA_INT32},
                           words = {.type = SCHEMA_LIST, .items = &word, .patch_merge = true},
                           plain_words = {.type = SCHEMA_LIST, .items = &word},
                           labels = {.type = SCHEMA_MAP, .items = &word},
                           raw = {.type = SCHEMA_RAW};
static const struct schema_field port_fields[] = {
    {.name = "name", .schema = &word},
    {.name = "port", .schema = &number},
};
static const struct schema_object port_object = {"Port", "", port_fields, 2, NULL, 0, false, false};
static const struct schema port = {.type = SCHEMA_OBJECT, .object = &port_object},
                           ports = {.type = SCHEMA_LIST,
                                    .items = &port,
                                    .patch_merge = true,
                                    .merge_key = "port"};
static const struct schema_field container_fields[] = {
    {.name = "args", .schema = &plain_words},
    {.name = "image", .schema = &word},
    {.name = "name", .schema = &word},
    {.name = "ports", .schema = &ports},
};
static const struct schema_object container_object = {
    "Container", "", container_fields, 4, NULL, 0, false, false};
static const struct schema container = {.type = SCHEMA_OBJECT, .object = &container_object},
                           containers = {.type = SCHEMA_LIST,
                                         .items = &container,
                                         .patch_merge = true,
                                         .merge_key = "name"};
static const struct schema_field pod_fields[] = {
    {.name = "containers", .schema = &containers}, {.name = "finalizers", .schema = &words},
    {.name = "labels", .schema = &labels},         {.name = "raw", .schema = &raw},
    {.name = "strategy", .schema = &port},
};
static const struct schema_object pod_object = {"Pod", "", pod_fields, 5, NULL, 0, false, false};
static const struct schema pod = {.type = SCHEMA_OBJECT, .object = &pod_object};

static bool apply_strategic(const json_t *patch, json_t **object, struct error *error)
{
    return patch_strategic(&pod, patch, *object, error);
}

static void check_patches(bool (*apply)(const json_t *, json_t **, struct error *),
                          const struct patch_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_t *object = parse(cases[i].object);
        cleanup(json_release)
        json_t *patch = parse(cases[i].patch), *copy = json_deep_copy(patch);
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        bool applied = apply(patch, &object, &error);
        cleanup(free_char)
        char *text = json_text(object);
        cleanup(json_release)
        json_t *wanted = cases[i].result ? parse(cases[i].result) : NULL;
        if (applied != (cases[i].result != NULL)) {
            fail_msg("%s: %s", cases[i].patch, applied ? text : error.message);
        }
        if (applied && !json_equal(object, wanted)) {
            fail_msg("%s: %s instead of %s", cases[i].patch, text, cases[i].result);
        }
        assert_true(json_equal(patch, copy));
        json_decref(object);
    }
}

static void json_patches_apply_each_operation(void **state)
{
    (void)state;
    static const struct patch_case cases[] = {
        {"{}", "[]", "{}"},
        {"{}", "[{\"op\":\"add\",\"path\":\"/a\",\"value\":1}]", "{\"a\":1}"},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/a\",\"value\":[2]}]", "{\"a\":[2]}"},
        {"{\"a\":[1,2]}", "[{\"op\":\"add\",\"path\":\"/a/1\",\"value\":3}]", "{\"a\":[1,3,2]}"},
        {"{\"a\":[1,2]}", "[{\"op\":\"add\",\"path\":\"/a/2\",\"value\":3}]", "{\"a\":[1,2,3]}"},
        {"{\"a\":[1,2]}", "[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":3}]", "{\"a\":[1,2,3]}"},
        {"{\"a\":[1,2]}", "[{\"op\":\"add\",\"path\":\"/a/-1\",\"value\":3}]", "{\"a\":[1,2,3]}"},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"\",\"value\":{\"b\":2}}]", "{\"b\":2}"},
        {"{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"/a\"}]", "{}"},
        {"{\"a\":[1,2]}", "[{\"op\":\"remove\",\"path\":\"/a/0\"}]", "{\"a\":[2]}"},
        {"{\"a\":[1,2]}", "[{\"op\":\"remove\",\"path\":\"/a/-1\"}]", "{\"a\":[1]}"},
        {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":null}]", "{\"a\":null}"},
        {"{\"a\":[1,2]}", "[{\"op\":\"replace\",\"path\":\"/a/1\",\"value\":3}]", "{\"a\":[1,3]}"},
        {"{\"a\":1,\"b\":{}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/b/c\"}]",
         "{\"b\":{\"c\":1}}"},
        {"{\"a\":[1,2,3]}", "[{\"op\":\"move\",\"from\":\"/a/0\",\"path\":\"/a/2\"}]",
         "{\"a\":[2,3,1]}"},
        {"{\"a\":{\"b\":1}}", "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/c\"}]",
         "{\"a\":{\"b\":1},\"c\":{\"b\":1}}"},
        {"{\"a\":{\"b\":[1]}}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":{\"b\":[1]}}]",
         "{\"a\":{\"b\":[1]}}"},
        {"{}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":null}]", "{}"},
        {"{\"a/b\":1,\"c~d\":2}",
         "[{\"op\":\"remove\",\"path\":\"/a~1b\"},{\"op\":\"remove\",\"path\":\"/c~0d\"}]", "{}"},
        {"{\"\":{\"a\":1}}", "[{\"op\":\"remove\",\"path\":\"//a\"}]", "{\"\":{}}"},
        {"{}",
         "[{\"op\":\"add\",\"path\":\"/a\",\"value\":{}},{\"op\":\"add\",\"path\":\"/a/"
         "b\",\"value\":1}"
         "]",
         "{\"a\":{\"b\":1}}"},
    };
    check_patches(patch_json, cases, array_length(cases));
}

static void json_patches_that_do_not_fit_are_unprocessable(void **state)
{
    (void)state;
    static const char *const patches[] = {
        "[{\"op\":\"add\",\"path\":\"/x/y\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"/a/3\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"/a/x\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"/s/x\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"a\",\"value\":1}]",
        "[{\"op\":\"remove\",\"path\":\"/x\"}]",
        "[{\"op\":\"remove\",\"path\":\"/a/2\"}]",
        "[{\"op\":\"remove\",\"path\":\"/a/-\"}]",
        "[{\"op\":\"remove\",\"path\":\"\"}]",
        "[{\"op\":\"replace\",\"path\":\"/x\",\"value\":1}]",
        "[{\"op\":\"replace\",\"path\":\"/a/2\",\"value\":1}]",
        "[{\"op\":\"move\",\"from\":\"/x\",\"path\":\"/y\"}]",
        "[{\"op\":\"move\",\"from\":\"/o\",\"path\":\"/o/p\"}]",
        "[{\"op\":\"copy\",\"path\":\"/y\"}]",
        "[{\"op\":\"test\",\"path\":\"/s\",\"value\":\"u\"}]",
        "[{\"op\":\"test\",\"path\":\"/x\",\"value\":1}]",
        "[{\"op\":\"dance\",\"path\":\"/a\"}]",
        "[{\"path\":\"/a\"}]",
        "[{\"op\":\"remove\"}]",
        "[1]",
    };
    for (size_t i = 0; i < array_length(patches); i++) {
        cleanup(json_release)
        json_t *patch = parse(patches[i]);
        json_t *object = parse("{\"a\":[1,2],\"s\":\"t\",\"o\":{}}");
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        if (patch_json(patch, &object, &error)) {
            fail_msg("%s applies", patches[i]);
        }
        assert_int_equal(error.code, 422);
        assert_string_equal(error.reason, "Invalid");
        assert_string_equal(error.message,
                            "the server rejected our request due to an error in our request");
        json_decref(object);
    }
}

static void a_json_patch_that_is_no_list_is_malformed(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *patch = parse("{}");
    json_t *object = json_object();
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_false(patch_json(patch, &object, &error));
    assert_int_equal(error.code, 400);
    json_decref(object);
}

static void operations_are_limited_in_number(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *patch = json_array();
    json_t *object = json_object();
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    for (int i = 0; i < 10001; i++) {
        json_array_append_new(patch,
                              json_pack("{s:s, s:s, s:i}", "op", "add", "path", "/a", "value", i));
    }
    assert_false(patch_json(patch, &object, &error));
    assert_int_equal(error.code, 413);
    assert_string_equal(error.message,
                        "The allowed maximum operations in a JSON patch is 10000, got 10001");
    json_array_remove(patch, 0);
    assert_true(patch_json(patch, &object, &error));
    json_decref(object);
}

static void copies_of_copies_do_not_explode(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *patch = json_array();
    json_t *object = parse("{\"a\":{\"b\":\"some text\"}}");
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    for (int i = 0; i < 100; i++) {
        cleanup(free_char)
        char *path = format("/a/c%d", i);
        json_array_append_new(
            patch, json_pack("{s:s, s:s, s:s}", "op", "copy", "from", "/a", "path", path));
    }
    assert_false(patch_json(patch, &object, &error));
    assert_int_equal(error.code, 422);
    json_decref(object);
}

static void merge_patches_follow_their_document(void **state)
{
    (void)state;
    static const struct patch_case cases[] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
        {"{\"a\":1}", "{\"a\":{\"b\":null,\"c\":2}}", "{\"a\":{\"c\":2}}"},
        {"{\"a\":1}", "[1]", NULL},
    };
    check_patches(patch_merge, cases, array_length(cases));
}

static void strategic_patches_merge_objects_and_replace_plain_lists(void **state)
{
    (void)state;
    static const struct patch_case cases[] = {
        {"{\"labels\":{\"a\":\"b\"}}", "{\"labels\":{\"c\":\"d\"}}",
         "{\"labels\":{\"a\":\"b\",\"c\":\"d\"}}"},
        {"{\"labels\":{\"a\":\"b\"}}", "{\"labels\":{\"a\":null}}", "{\"labels\":{}}"},
        {"{\"labels\":{\"a\":\"b\"}}", "{\"labels\":null}", "{}"},
        {"{}", "{\"labels\":{\"a\":null,\"b\":\"c\"}}", "{\"labels\":{\"b\":\"c\"}}"},
        {"{\"raw\":{\"a\":[1],\"b\":{\"c\":1}}}", "{\"raw\":{\"a\":[2],\"b\":{\"d\":2}}}",
         "{\"raw\":{\"a\":[2],\"b\":{\"c\":1,\"d\":2}}}"},
        {"{\"containers\":[{\"name\":\"a\",\"args\":[\"x\",\"y\"]}]}",
         "{\"containers\":[{\"name\":\"a\",\"args\":[\"z\"]}]}",
         "{\"containers\":[{\"name\":\"a\",\"args\":[\"z\"]}]}"},
        {"{\"unknown\":[1]}", "{\"unknown\":[2]}", "{\"unknown\":[2]}"},
    };
    check_patches(apply_strategic, cases, array_length(cases));
}

#define CONTAINERS(list) "{\"containers\":[" list "]}"
#define NAMED(name) "{\"name\":\"" name "\"}"
#define IMAGE(name, image) "{\"name\":\"" name "\",\"image\":\"" image "\"}"

static void lists_with_a_key_merge_by_it(void **state)
{
    (void)state;
    static const struct patch_case cases[] = {
        {CONTAINERS(IMAGE("a", "1") "," IMAGE("b", "1")), CONTAINERS(IMAGE("b", "2")),
         CONTAINERS(IMAGE("a", "1") "," IMAGE("b", "2"))},
        /* What is new comes first. */
        {CONTAINERS(NAMED("a") "," NAMED("b")), CONTAINERS(NAMED("c")),
         CONTAINERS(NAMED("c") "," NAMED("a") "," NAMED("b"))},
        {CONTAINERS(NAMED("a") "," NAMED("b") "," NAMED("c")),
         CONTAINERS(NAMED("c") "," NAMED("a")),
         CONTAINERS(NAMED("b") "," NAMED("c") "," NAMED("a"))},
        {"{}", CONTAINERS(NAMED("a")), CONTAINERS(NAMED("a"))},
        {CONTAINERS("{\"name\":\"a\",\"ports\":[{\"port\":80,\"name\":\"x\"},{\"port\":81}]}"),
         CONTAINERS("{\"name\":\"a\",\"ports\":[{\"port\":80,\"name\":\"y\"}]}"),
         CONTAINERS("{\"name\":\"a\",\"ports\":[{\"port\":80,\"name\":\"y\"},{\"port\":81}]}")},
        {CONTAINERS(NAMED("a")), "{\"containers\":[]}", CONTAINERS(NAMED("a"))},
    };
    check_patches(apply_strategic, cases, array_length(cases));
}

static void directives_delete_and_replace(void **state)
{
    (void)state;
    static const struct patch_case cases[] = {
        {CONTAINERS(NAMED("a") "," NAMED("b")),
         CONTAINERS("{\"$patch\":\"delete\",\"name\":\"a\"}"), CONTAINERS(NAMED("b"))},
        {CONTAINERS(NAMED("a") "," NAMED("b")), CONTAINERS(NAMED("c") ",{\"$patch\":\"replace\"}"),
         CONTAINERS(NAMED("c"))},
        {CONTAINERS(NAMED("a")), CONTAINERS("{\"$patch\":\"replace\"}"), "{\"containers\":[]}"},
        {"{}", CONTAINERS("{\"$patch\":\"delete\",\"name\":\"a\"}"), "{\"containers\":[]}"},
        {"{\"labels\":{\"a\":\"b\"}}", "{\"labels\":{\"$patch\":\"replace\",\"c\":\"d\"}}",
         "{\"labels\":{\"c\":\"d\"}}"},
        {"{\"labels\":{\"a\":\"b\"}}", "{\"labels\":{\"$patch\":\"delete\"}}", "{\"labels\":{}}"},
        {"{\"labels\":{\"a\":\"b\"}}", "{\"labels\":{\"$patch\":\"merge\",\"c\":\"d\"}}",
         "{\"labels\":{\"a\":\"b\",\"c\":\"d\"}}"},
        {"{}", "{\"labels\":{\"$patch\":\"replace\",\"c\":\"d\"}}", "{\"labels\":{\"c\":\"d\"}}"},
        {"{\"labels\":{}}", "{\"labels\":{\"$patch\":\"dance\"}}", NULL},
        {CONTAINERS(NAMED("a")), CONTAINERS("{\"$patch\":\"dance\",\"name\":\"a\"}"), NULL},
    };
    check_patches(apply_strategic, cases, array_length(cases));
}

static void lists_of_words_merge_as_sets(void **state)
{
    (void)state;
    static const struct patch_case cases[] = {
        {"{\"finalizers\":[\"a\",\"b\"]}", "{\"finalizers\":[\"b\",\"c\"]}",
         "{\"finalizers\":[\"a\",\"b\",\"c\"]}"},
        {"{\"finalizers\":[\"a\",\"b\"]}",
         "{\"$deleteFromPrimitiveList/finalizers\":[\"a\",\"x\"]}", "{\"finalizers\":[\"b\"]}"},
        {"{\"finalizers\":[\"a\",\"b\"]}",
         "{\"$deleteFromPrimitiveList/finalizers\":[\"a\"],\"finalizers\":[\"b\"]}",
         "{\"finalizers\":[\"b\"]}"},
        {"{}", "{\"$deleteFromPrimitiveList/finalizers\":[\"a\"]}", "{}"},
        {"{\"finalizers\":[]}", "{\"$deleteFromPrimitiveList/finalizers\":\"a\"}", NULL},
    };
    check_patches(apply_strategic, cases, array_length(cases));
}

static void orders_are_obeyed_and_foreign_elements_keep_their_places(void **state)
{
    (void)state;
#define ORDER(list) "{\"$setElementOrder/containers\":[" list "]"
    static const struct patch_case cases[] = {
        {CONTAINERS(NAMED("a") "," NAMED("b")), ORDER(NAMED("b") "," NAMED("a")) "}",
         CONTAINERS(NAMED("b") "," NAMED("a"))},
        {CONTAINERS(NAMED("a") "," NAMED("b")),
         ORDER(NAMED("a") "," NAMED("c")) ",\"containers\":[" NAMED("c") "]}",
         CONTAINERS(NAMED("a") "," NAMED("c") "," NAMED("b"))},
        {CONTAINERS(NAMED("s") "," NAMED("a") "," NAMED("t") "," NAMED("b")),
         ORDER(NAMED("a") "," NAMED("b")) ",\"containers\":[" IMAGE("b", "2") "]}",
         CONTAINERS(NAMED("s") "," NAMED("a") "," NAMED("t") "," IMAGE("b", "2"))},
        {CONTAINERS(NAMED("a") "," NAMED("b")),
         ORDER(NAMED("a")) ",\"containers\":[{\"$patch\":\"delete\",\"name\":\"b\"}]}",
         CONTAINERS(NAMED("a"))},
        {"{\"finalizers\":[\"x\",\"a\",\"b\"]}", "{\"$setElementOrder/finalizers\":[\"b\",\"a\"]}",
         "{\"finalizers\":[\"x\",\"b\",\"a\"]}"},
        {"{}", ORDER(NAMED("a")) "}", "{}"},
        {CONTAINERS(NAMED("a")), ORDER(NAMED("a")) ",\"containers\":[" NAMED("b") "]}", NULL},
        {CONTAINERS(NAMED("a")),
         ORDER(NAMED("a") "," NAMED("b")) ",\"containers\":[" NAMED("b") "," NAMED("a") "]}", NULL},
        {CONTAINERS(NAMED("a")), "{\"$setElementOrder/containers\":1}", NULL},
    };
    check_patches(apply_strategic, cases, array_length(cases));
}

static void only_retained_keys_stay(void **state)
{
    (void)state;
    static const struct patch_case cases[] = {
        {"{\"strategy\":{\"name\":\"RollingUpdate\",\"port\":1}}",
         "{\"strategy\":{\"$retainKeys\":[\"name\"],\"name\":\"Recreate\"}}",
         "{\"strategy\":{\"name\":\"Recreate\"}}"},
        {"{}", "{\"strategy\":{\"$retainKeys\":[\"name\"],\"name\":\"Recreate\"}}",
         "{\"strategy\":{\"name\":\"Recreate\"}}"},
        {"{\"strategy\":{\"name\":\"x\"}}",
         "{\"strategy\":{\"$retainKeys\":[\"name\"],\"port\":1}}", NULL},
        {"{\"strategy\":{\"name\":\"x\"}}", "{\"strategy\":{\"$retainKeys\":1}}", NULL},
    };
    check_patches(apply_strategic, cases, array_length(cases));
}

static void an_element_without_its_key_is_refused_in_upstreams_words(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *patch = parse(CONTAINERS("{\"image\":\"nginx\"}"));
    cleanup(json_release)
    json_t *object = parse(CONTAINERS(NAMED("a")));
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_false(patch_strategic(&pod, patch, object, &error));
    assert_int_equal(error.code, 500);
    assert_string_equal(error.message,
                        "map: map[image:nginx] does not contain declared merge key: name");
}

static void large_lists_merge_in_reasonable_time(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *list = json_array(), *patch_list = json_array();
    for (int i = 0; i < 50000; i++) {
        cleanup(free_char)
        char *text = format("word-%d", i);
        json_array_append_new(i % 2 ? list : patch_list, json_string(text));
    }
    cleanup(json_release)
    json_t *object = json_pack("{s:O}", "finalizers", list);
    cleanup(json_release)
    json_t *patch = json_pack("{s:O}", "finalizers", patch_list);
    assert_true(patch_strategic(&pod, patch, object, NULL));
    assert_int_equal(json_array_size(json_object_get(object, "finalizers")), 50000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_patches_apply_each_operation),
        cmocka_unit_test(json_patches_that_do_not_fit_are_unprocessable),
        cmocka_unit_test(a_json_patch_that_is_no_list_is_malformed),
        cmocka_unit_test(operations_are_limited_in_number),
        cmocka_unit_test(copies_of_copies_do_not_explode),
        cmocka_unit_test(merge_patches_follow_their_document),
        cmocka_unit_test(strategic_patches_merge_objects_and_replace_plain_lists),
        cmocka_unit_test(lists_with_a_key_merge_by_it),
        cmocka_unit_test(directives_delete_and_replace),
        cmocka_unit_test(lists_of_words_merge_as_sets),
        cmocka_unit_test(orders_are_obeyed_and_foreign_elements_keep_their_places),
        cmocka_unit_test(only_retained_keys_stay),
        cmocka_unit_test(an_element_without_its_key_is_refused_in_upstreams_words),
        cmocka_unit_test(large_lists_merge_in_reasonable_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

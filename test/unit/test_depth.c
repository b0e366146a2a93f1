// SPDX-License-Identifier: Apache-2.0
/*
 * Nothing that a client sends, however deep, overflows the stack of a worker: what is too deep is
 * refused, and what is accepted at the deepest goes through all that recurses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <pthread.h>

#include "apiserver/patch/patch.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/schema_rules.h"
#include "common/selector.h"
#include "common/stack_size.h"
#include "common/yaml.h"

enum { too_deep = 10000 };

/* Runs it on a stack like a worker's; a false answer fails the test, an overflow ends it. */
static void on_small_stack(void *(*body)(void *argument), const void *argument)
{
    pthread_t thread;
    pthread_attr_t attributes;
    void *result = NULL;
    pthread_attr_init(&attributes);
    assert_int_equal(pthread_attr_setstacksize(&attributes, SMALL_STACK_BYTES), 0);
    assert_int_equal(pthread_create(&thread, &attributes, body, (void *)argument), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    pthread_attr_destroy(&attributes);
    if (result != NULL) {
        fail_msg("%s", (const char *)result);
    }
}

/* 'before' so many times, then 'middle', then 'after' as often. The caller's. */
static char *nested(int levels, const char *before, const char *middle, const char *after)
{
    struct buffer out = BUFFER_INIT;
    for (int i = 0; i < levels; i++) {
        buffer_add_text(&out, before);
    }
    buffer_add_text(&out, middle);
    for (int i = 0; i < levels; i++) {
        buffer_add_text(&out, after);
    }
    return buffer_steal(&out);
}

static void ignore(void *argument, const char *path)
{
    (void)argument;
    (void)path;
}

/* Of JSON schemas within each other, the deepest type there is. */
static const struct schema *definition_schema(void)
{
    const struct resource *definitions = scheme_resource_find(
        scheme_builtin(), "apiextensions.k8s.io", "v1", "customresourcedefinitions");
    return schema_find_path(definitions->schema, "spec.versions.schema.openAPIV3Schema")->schema;
}

/* ---- what is as deep as may be ---- */

static void *walk_everything(void *argument)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    const char *text = argument;
    const struct schema *schema = definition_schema();
    cleanup(json_release)
    json_t *tree = json_parse(text, strlen(text), &error);
    if (tree == NULL) {
        return "not parsed";
    }
    json_duplicates(text, strlen(text), ignore, NULL);
    if (!schema_prune(schema, tree, ignore, NULL, &error)) {
        return "not pruned";
    }
    schema_default(schema, tree);
    schema_validate(schema, tree, NULL, &errors);
    cleanup(json_release)
    json_t *copy = json_deep_copy(tree);
    schema_validate_update(schema, tree, copy, NULL, &errors);
    cleanup(free_char)
    char *written = json_text(tree);
    cleanup(buffer_free)
    struct buffer yaml = BUFFER_INIT;
    yaml_encode(tree, &yaml);
    if (!json_equal(tree, copy) || !patch_merge(tree, &copy, &error) ||
        !patch_strategic(schema, tree, copy, &error) || !json_equal(tree, copy)) {
        return "not patched";
    }
    return NULL;
}

static void what_is_deepest_goes_through_all_that_recurses(void **state)
{
    (void)state;
    cleanup(free_char)
    char *objects = nested(JSON_LEVELS_MAX - 1, "{\"not\":", "{}", "}");
    on_small_stack(walk_everything, objects);
    cleanup(free_char)
    char *lists = nested(JSON_LEVELS_MAX / 2 - 1, "{\"allOf\":[", "{}", "]}");
    on_small_stack(walk_everything, lists);
    cleanup(free_char)
    char *maps = nested(JSON_LEVELS_MAX / 2 - 1, "{\"properties\":{\"a\":", "{}", "}}");
    on_small_stack(walk_everything, maps);
}

/* ---- what is deeper ---- */

static void *refuse_json(void *argument)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    const char *text = argument;
    cleanup(json_release)
    json_t *tree = json_parse(text, strlen(text), &error);
    if (tree != NULL || error.code != 400 || strcmp(error.message, "exceeded max depth") != 0) {
        return "JSON is not refused";
    }
    return NULL;
}

static void *refuse_yaml(void *argument)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    const char *text = argument;
    cleanup(json_release)
    json_t *tree = yaml_parse(text, strlen(text), ignore, NULL, &error);
    return tree != NULL || error.code != 400 ? "YAML is not refused" : NULL;
}

static void deeper_text_is_refused(void **state)
{
    (void)state;
    static const char *const forms[][3] = {
        {"[", "", "]"}, {"{\"a\":", "1", "}"}, {"[", "", ""}, {"{\"a\":[", "", "]}"}};
    for (size_t i = 0; i < array_length(forms); i++) {
        cleanup(free_char)
        char *text = nested(too_deep, forms[i][0], forms[i][1], forms[i][2]);
        on_small_stack(refuse_json, text);
        on_small_stack(refuse_yaml, text);
    }
    cleanup(free_char)
    char *just = nested(JSON_LEVELS_MAX + 1, "[", "", "]");
    on_small_stack(refuse_json, just);
    cleanup(free_char)
    char *blocks = nested(too_deep, "- ", "a", "");
    on_small_stack(refuse_yaml, blocks);
}

/* A message within each other, each with its length before it. */
static void *refuse_protobuf(void *argument)
{
    (void)argument;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    const struct schema *schema = definition_schema();
    uint32_t number = schema_field_find(schema->object, "not")->number;
    enum { level_bytes = 6 };
    unsigned char *bytes = allocate_zero(too_deep, level_bytes), *at = bytes;
    size_t length = (size_t)too_deep * level_bytes;
    for (int level = 1; level <= too_deep; level++) {
        size_t inside = length - (size_t)level * level_bytes;
        *at++ = (unsigned char)(((number << 3) | 2) | 0x80);
        *at++ = (unsigned char)(((number << 3) | 2) >> 7);
        *at++ = (unsigned char)(inside | 0x80);
        *at++ = (unsigned char)(inside >> 7 | 0x80);
        *at++ = (unsigned char)(inside >> 14 | 0x80);
        *at++ = 0;
    }
    cleanup(json_release)
    json_t *tree = protobuf_decode(schema, bytes, length, &error);
    free(bytes);
    return tree != NULL || error.code != 400 ? "protobuf is not refused" : NULL;
}

static void deeper_protobuf_is_refused(void **state)
{
    (void)state;
    on_small_stack(refuse_protobuf, NULL);
}

/* A patch that moves each of many chains below the next, which would make one long chain. */
static void *refuse_growing_patch(void *argument)
{
    const char *operation = argument;
    enum { chains = 100, chain_levels = 200 };
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(json_release)
    json_t *object = json_object(), *patch = json_array();
    for (int i = 0; i < chains; i++) {
        cleanup(free_char)
        char *chain = nested(chain_levels, "{\"a\":", "{}", "}");
        cleanup(free_char)
        char *name = format("c%d", i);
        cleanup(free_char)
        char *below = nested(chain_levels, "", "", "/a");
        cleanup(free_char)
        char *path = format("/c%d%s", i + 1, below);
        json_object_set_new(object, name, json_parse(chain, strlen(chain), NULL));
        if (i + 1 < chains) {
            json_array_append_new(patch, json_pack("{s:s, s:s+, s:s}", "op", operation, "from", "/",
                                                   name, "path", path));
        }
    }
    bool applied = patch_json(patch, &object, &error);
    return applied || error.code != 422 ? "the patch is not refused" : NULL;
}

static void patches_make_nothing_deeper(void **state)
{
    (void)state;
    on_small_stack(refuse_growing_patch, "move");
    on_small_stack(refuse_growing_patch, "copy");
}

static void *parse_selectors(void *argument)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct selector *selector = selector_parse_labels(argument, &error);
    selector_free(selector);
    struct selector *fields = selector_parse_fields(argument, &error);
    selector_free(fields);
    return NULL;
}

static void selectors_of_any_nesting_do_no_harm(void **state)
{
    (void)state;
    static const char *const forms[][3] = {{"a in (", "b", ")"}, {"(", "", ")"}, {"!", "a", ""}};
    for (size_t i = 0; i < array_length(forms); i++) {
        cleanup(free_char)
        char *text = nested(too_deep, forms[i][0], forms[i][1], forms[i][2]);
        on_small_stack(parse_selectors, text);
    }
}

/* ---- many values ---- */

static void values_are_counted_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t values;
    } cases[] = {
        {"1", 1},
        {"\"a,[{\"", 1},
        {"[]", 1},
        {"{ }", 1},
        {"[[],[], [ ]]", 4},
        {"[1,\"\\\",\",null]", 4},
        {"{\"a\":{\"b\":[]},\"c\":[1, {}]}", 6},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        assert_int_equal(json_count_values(cases[i].text, strlen(cases[i].text)), cases[i].values);
    }
}

static void bodies_of_too_many_values_are_refused(void **state)
{
    (void)state;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_true(json_check_values(JSON_VALUES_MAX, &error));
    assert_false(json_check_values(JSON_VALUES_MAX + 1, &error));
    assert_int_equal(error.code, 413);
    cleanup(buffer_free)
    struct buffer yaml = BUFFER_INIT, message = BUFFER_INIT;
    for (int i = 0; i < JSON_VALUES_MAX; i++) {
        buffer_add_text(&yaml, "- a\n");
        buffer_add(&message, "\x0a\x00", 2);
    }
    error_clear(&error);
    assert_null(yaml_parse(yaml.bytes, yaml.length, NULL, NULL, &error));
    assert_int_equal(error.code, 413);
    error_clear(&error);
    cleanup(json_release)
    json_t *tree = protobuf_decode(definition_schema(), message.bytes, message.length, &error);
    assert_non_null(tree); /* Just as many as may be. */
    buffer_add(&message, "\x0a\x00", 2);
    assert_null(protobuf_decode(definition_schema(), message.bytes, message.length, &error));
    assert_int_equal(error.code, 413);
    buffer_free(&message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_deepest_goes_through_all_that_recurses),
        cmocka_unit_test(deeper_text_is_refused),
        cmocka_unit_test(deeper_protobuf_is_refused),
        cmocka_unit_test(patches_make_nothing_deeper),
        cmocka_unit_test(selectors_of_any_nesting_do_no_harm),
        cmocka_unit_test(values_are_counted_exactly),
        cmocka_unit_test(bodies_of_too_many_values_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

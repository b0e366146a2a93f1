// SPDX-License-Identifier: Apache-2.0
/* Protobuf bodies, built by hand and decoded by schema. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/schema_rules.h"
/* ---- a small encoder ---- */

static void varint(struct buffer *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) {
        buffer_add_char(out, (char)(value | 0x80));
    }
    buffer_add_char(out, (char)value);
}

static void number(struct buffer *out, uint32_t field, uint64_t value)
{
    varint(out, (uint64_t)field << 3);
    varint(out, value);
}

static void fixed(struct buffer *out, uint32_t field, double value)
{
    varint(out, (uint64_t)field << 3 | 1);
    buffer_add(out, &value, sizeof value);
}

static void bytes_of(struct buffer *out, uint32_t field, const void *bytes, size_t length)
{
    varint(out, (uint64_t)field << 3 | 2);
    varint(out, length);
    buffer_add(out, bytes, length);
}

static void text(struct buffer *out, uint32_t field, const char *value)
{
    bytes_of(out, field, value, strlen(value));
}

/* Adds the message and empties it. */
static void message(struct buffer *out, uint32_t field, struct buffer *inner)
{
    bytes_of(out, field, inner->bytes ? inner->bytes : "", inner->length);
    buffer_free(inner);
}

/* ---- a schema with one field of each kind ---- */

static const struct schema string = {.type = SCHEMA_STRING, .omits_zero = true},
                           boolean = {.type = SCHEMA_BOOLEAN, .omits_zero = true},
                           int32 = {.type = SCHEMA_INT32, .omits_zero = true},
                           needed = {.type = SCHEMA_INT32},
                           int64 = {.type = SCHEMA_INT64, .omits_zero = true},
                           real = {.type = SCHEMA_DOUBLE}, binary = {.type = SCHEMA_BYTES},
                           instant = {.type = SCHEMA_TIME}, micro = {.type = SCHEMA_MICRO_TIME},
                           duration = {.type = SCHEMA_DURATION},
                           quantity = {.type = SCHEMA_QUANTITY},
                           either = {.type = SCHEMA_INT_OR_STRING},
                           fields_v1 = {.type = SCHEMA_FIELDS_V1}, any = {.type = SCHEMA_JSON},
                           raw = {.type = SCHEMA_RAW},
                           words = {.type = SCHEMA_LIST, .items = &string},
                           numbers = {.type = SCHEMA_LIST, .items = &int32},
                           map = {.type = SCHEMA_MAP, .items = &string},
                           counts = {.type = SCHEMA_MAP, .items = &int32},
                           wrapped = {.type = SCHEMA_LIST, .items = &string, .wrapped = true},
                           extra = {.type = SCHEMA_MAP, .items = &wrapped},
                           defaulted = {.type = SCHEMA_INT32, .default_value = "5"};
extern const struct schema node;
static const struct schema nodes = {.type = SCHEMA_LIST, .items = &node};
static const struct schema_field union_fields[] = {
    {.name = "allows", .schema = &boolean, .number = 1},
    {.name = "schema", .schema = &node, .number = 2},
};
static const struct schema_object union_object = {"Union", "", union_fields, 2,
                                                  NULL,    0,  false,        false};
static const struct schema either_of = {.type = SCHEMA_JSON, .object = &union_object};
static const struct schema_field inner_fields[] = {
    {.name = "inside", .schema = &string, .number = 1},
};
static const struct schema_object inner_object = {"Inner", "", inner_fields, 1,
                                                  NULL,    0,  false,        false};
static const struct schema_inline inlines[] = {{99, &inner_object}};
static const struct schema_field node_fields[] = {
    {.name = "any", .schema = &any, .number = 13},
    {.name = "binary", .schema = &binary, .number = 6},
    {.name = "boolean", .schema = &boolean, .number = 2},
    {.name = "counts", .schema = &counts, .number = 23},
    {.name = "defaulted", .schema = &defaulted, .number = 24},
    {.name = "duration", .schema = &duration, .number = 9},
    {.name = "either", .schema = &either, .number = 11},
    {.name = "extra", .schema = &extra, .number = 18},
    {.name = "fields", .schema = &fields_v1, .number = 12},
    {.name = "inside", .schema = &string},
    {.name = "instant", .schema = &instant, .number = 7},
    {.name = "int32", .schema = &int32, .number = 3},
    {.name = "int64", .schema = &int64, .number = 4},
    {.name = "map", .schema = &map, .number = 17},
    {.name = "micro", .schema = &micro, .number = 8},
    {.name = "needed", .schema = &needed, .number = 22, .presence = SCHEMA_REQUIRED},
    {.name = "node", .schema = &node, .number = 20},
    {.name = "nodes", .schema = &nodes, .number = 21},
    {.name = "numbers", .schema = &numbers, .number = 16},
    {.name = "quantity", .schema = &quantity, .number = 10},
    {.name = "raw", .schema = &raw, .number = 14},
    {.name = "real", .schema = &real, .number = 5},
    {.name = "string", .schema = &string, .number = 1},
    {.name = "union", .schema = &either_of, .number = 25},
    {.name = "words", .schema = &words, .number = 15},
    {.name = "wrapped", .schema = &wrapped, .number = 19},
};
static const struct schema_object node_object = {
    "Node", "", node_fields, array_length(node_fields), inlines, 1, false, false};
const struct schema node = {.type = SCHEMA_OBJECT, .object = &node_object};

/* Decodes and empties the buffer. */
static void check(struct buffer *bytes, const char *expected)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(json_release)
    json_t *tree = protobuf_decode(&node, bytes->bytes, bytes->length, &error);
    cleanup(free_char)
    char *json = tree ? json_text(tree) : NULL;
    if (json == NULL || strcmp(json, expected) != 0) {
        fail_msg("%s instead of %s", json ? json : error.message, expected);
    }
    buffer_free(bytes);
}

static void check_refused(struct buffer *bytes)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_null(protobuf_decode(&node, bytes->bytes, bytes->length, &error));
    assert_int_equal(error.code, 400);
    buffer_free(bytes);
}

static void scalars_decode_by_their_type(void **state)
{
    (void)state;
    struct buffer out = BUFFER_INIT;
    text(&out, 1, "a\xc3\xa4");
    number(&out, 2, 1);
    number(&out, 3, (uint64_t)-5);
    number(&out, 4, INT64_MAX);
    fixed(&out, 5, 0.5);
    bytes_of(&out, 6, "hi\0", 3);
    check(&out, "{\"string\":\"a\xc3\xa4\",\"boolean\":true,\"int32\":-5,"
                "\"int64\":9223372036854775807,\"real\":0.5,\"binary\":\"aGkA\"}");
}

static void times_and_durations_become_text(void **state)
{
    (void)state;
    struct buffer out = BUFFER_INIT, inner = BUFFER_INIT;
    number(&inner, 1, 1769860800);
    number(&inner, 2, 5000);
    message(&out, 7, &inner);
    number(&inner, 1, 1769860800);
    number(&inner, 2, 5000);
    message(&out, 8, &inner);
    number(&inner, 1, 90000000000);
    message(&out, 9, &inner);
    check(&out, "{\"instant\":\"2026-01-31T12:00:00Z\",\"micro\":\"2026-01-31T12:00:00.000005Z\","
                "\"duration\":\"1m30s\"}");
}

static void a_zero_time_is_absent(void **state)
{
    (void)state;
    struct buffer out = BUFFER_INIT, inner = BUFFER_INIT;
    message(&out, 7, &inner);
    number(&inner, 1, 0);
    number(&inner, 2, 0);
    message(&out, 8, &inner);
    check(&out, "{}");
}

static void times_out_of_range_are_refused(void **state)
{
    (void)state;
    static const uint64_t seconds[] = {(uint64_t)INT64_MAX, (uint64_t)INT64_MIN,
                                       (uint64_t)-62135596800};
    for (size_t i = 0; i < array_length(seconds); i++) {
        struct buffer out = BUFFER_INIT, inner = BUFFER_INIT;
        number(&inner, 1, seconds[i]);
        message(&out, 7, &inner);
        check_refused(&out);
    }
    struct buffer out = BUFFER_INIT, inner = BUFFER_INIT;
    number(&inner, 1, 1);
    number(&inner, 2, UINT64_MAX);
    message(&out, 7, &inner);
    check_refused(&out);
}

static void special_messages_take_their_json_form(void **state)
{
    (void)state;
    struct buffer out = BUFFER_INIT, inner = BUFFER_INIT;
    text(&inner, 1, "100m");
    message(&out, 10, &inner);
    number(&inner, 1, 0);
    number(&inner, 2, 80);
    text(&inner, 3, "");
    message(&out, 11, &inner);
    text(&inner, 1, "{\"f:spec\":{}}");
    message(&out, 12, &inner);
    text(&inner, 1, "[1,null]");
    message(&out, 13, &inner);
    text(&inner, 1, "{\"kind\":\"X\"}");
    message(&out, 14, &inner);
    check(&out, "{\"quantity\":\"100m\",\"either\":80,\"fields\":{\"f:spec\":{}},\"any\":[1,null],"
                "\"raw\":{\"kind\":\"X\"}}");
    number(&inner, 1, 1);
    number(&inner, 2, 0);
    text(&inner, 3, "50%");
    message(&out, 11, &inner);
    check(&out, "{\"either\":\"50%\"}");
}

static void lists_and_maps_gather_their_entries(void **state)
{
    (void)state;
    struct buffer out = BUFFER_INIT, inner = BUFFER_INIT;
    text(&out, 15, "a");
    text(&out, 15, "");
    number(&out, 16, 0);
    varint(&inner, 1);
    varint(&inner, 300);
    message(&out, 16, &inner);
    text(&inner, 1, "k");
    text(&inner, 2, "v");
    message(&out, 17, &inner);
    text(&inner, 1, "e");
    message(&out, 17, &inner);
    text(&inner, 1, "n");
    message(&out, 23, &inner);
    check(&out, "{\"words\":[\"a\",\"\"],\"numbers\":[0,1,300],\"map\":{\"k\":\"v\",\"e\":\"\"},"
                "\"counts\":{\"n\":0}}");
}

static void wrapped_lists_are_messages_of_their_own(void **state)
{
    (void)state;
    struct buffer out = BUFFER_INIT, entry = BUFFER_INIT, inner = BUFFER_INIT;
    text(&inner, 1, "x");
    text(&inner, 1, "y");
    text(&entry, 1, "k");
    message(&entry, 2, &inner);
    message(&out, 18, &entry);
    text(&entry, 1, "empty");
    message(&out, 18, &entry);
    text(&inner, 1, "z");
    message(&out, 19, &inner);
    check(&out, "{\"extra\":{\"k\":[\"x\",\"y\"],\"empty\":[]},\"wrapped\":[\"z\"]}");
}

static void messages_nest(void **state)
{
    (void)state;
    struct buffer out = BUFFER_INIT, inner = BUFFER_INIT, innermost = BUFFER_INIT;
    text(&innermost, 1, "a");
    message(&inner, 20, &innermost);
    message(&out, 20, &inner);
    message(&out, 21, &inner);
    text(&inner, 1, "b");
    message(&out, 21, &inner);
    check(&out, "{\"node\":{\"node\":{\"string\":\"a\"}},\"nodes\":[{},{\"string\":\"b\"}]}");
}

static void embedded_messages_join_the_object_they_are_in(void **state)
{
    (void)state;
    struct buffer out = BUFFER_INIT, inner = BUFFER_INIT;
    text(&out, 1, "a");
    text(&inner, 1, "b");
    message(&out, 99, &inner);
    check(&out, "{\"string\":\"a\",\"inside\":\"b\"}");
}

static void a_union_is_its_one_member(void **state)
{
    (void)state;
    struct buffer out = BUFFER_INIT, inner = BUFFER_INIT, innermost = BUFFER_INIT;
    number(&inner, 1, 0);
    text(&innermost, 1, "a");
    message(&inner, 2, &innermost);
    message(&out, 25, &inner);
    check(&out, "{\"union\":{\"string\":\"a\"}}");
    number(&inner, 1, 1);
    message(&out, 25, &inner);
    check(&out, "{\"union\":true}");
}

static void zeros_that_say_nothing_are_left_out(void **state)
{
    (void)state;
    struct buffer out = BUFFER_INIT;
    text(&out, 1, "");
    number(&out, 2, 0);
    number(&out, 3, 0);
    number(&out, 4, 0);
    number(&out, 22, 0);
    number(&out, 24, 0);
    check(&out, "{\"needed\":0,\"defaulted\":0}");
}

static void unknown_fields_are_skipped(void **state)
{
    (void)state;
    struct buffer out = BUFFER_INIT;
    number(&out, 1000, 5);
    text(&out, 1001, "x");
    fixed(&out, 1002, 1);
    varint(&out, 1003 << 3 | 5);
    buffer_add(&out, "1234", 4);
    text(&out, 1, "a");
    check(&out, "{\"string\":\"a\"}");
}

static void wrong_wire_types_are_refused(void **state)
{
    (void)state;
    struct buffer out = BUFFER_INIT;
    number(&out, 1, 5);
    check_refused(&out);
    text(&out, 3, "x");
    check_refused(&out);
    fixed(&out, 3, 1);
    check_refused(&out);
    number(&out, 20, 1);
    check_refused(&out);
    number(&out, 17, 1);
    check_refused(&out);
    varint(&out, 1 << 3 | 3); /* A group. */
    check_refused(&out);
    varint(&out, 2); /* Field 0. */
    varint(&out, 0);
    check_refused(&out);
}

/* A part that is not there must not be taken from what the memory held before. */
static void wrong_wire_types_inside_small_messages_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t field, part;
        bool as_text;
    } cases[] = {
        {7, 1, true},   {7, 2, true},   {8, 1, true},   {9, 1, true},   {10, 1, false},
        {11, 1, true},  {11, 2, true},  {11, 3, false}, {12, 1, false}, {13, 1, false},
        {14, 1, false}, {17, 1, false}, {17, 2, false}, {23, 2, true},  {99, 1, false},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        struct buffer out = BUFFER_INIT, inner = BUFFER_INIT;
        if (cases[i].as_text) {
            text(&inner, cases[i].part, "1");
        } else {
            number(&inner, cases[i].part, 1);
        }
        message(&out, cases[i].field, &inner);
        check_refused(&out);
    }
    struct buffer out = BUFFER_INIT;
    number(&out, 99, 1);
    check_refused(&out);
}

static void strings_must_be_utf8(void **state)
{
    (void)state;
    struct buffer out = BUFFER_INIT;
    text(&out, 1, "\xff");
    check_refused(&out);
}

static void truncated_input_is_refused_or_shorter_but_never_read_past(void **state)
{
    (void)state;
    cleanup(buffer_free)
    struct buffer out = BUFFER_INIT;
    struct buffer inner = BUFFER_INIT, entry = BUFFER_INIT;
    text(&out, 1, "abc");
    number(&out, 4, 1u << 20);
    fixed(&out, 5, 1);
    number(&inner, 1, 1769860800);
    message(&out, 7, &inner);
    text(&inner, 1, "x");
    text(&entry, 1, "k");
    message(&entry, 2, &inner);
    message(&out, 18, &entry);
    for (size_t length = 0; length < out.length; length++) {
        char *exact = duplicate_bytes(out.bytes, length);
        exact = reallocate(exact, length ? length : 1);
        json_t *tree = protobuf_decode(&node, exact, length, NULL);
        json_decref(tree);
        free(exact);
    }
    out.length--;
    assert_null(protobuf_decode(&node, out.bytes, out.length, NULL));
}

static void random_bytes_do_no_harm(void **state)
{
    (void)state;
    uint64_t random = 9;
    for (int i = 0; i < 50000; i++) {
        unsigned char noise[24];
        for (size_t j = 0; j < sizeof noise; j++) {
            random = random * 6364136223846793005U + 1442695040888963407U;
            noise[j] = (unsigned char)(random >> 56) % (j % 3 ? 40 : 255);
        }
        json_decref(protobuf_decode(&node, noise, sizeof noise, NULL));
    }
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    for (int levels = 60; levels <= 100; levels += 40) {
        struct buffer out = BUFFER_INIT;
        for (int i = 0; i < levels; i++) {
            struct buffer outer = BUFFER_INIT;
            message(&outer, 20, &out);
            out = outer;
        }
        json_t *tree = protobuf_decode(&node, out.bytes, out.length, NULL);
        assert_int_equal(tree != NULL, levels == 60);
        json_decref(tree);
        buffer_free(&out);
    }
}

static void an_envelope_names_what_is_in_it(void **state)
{
    (void)state;
    cleanup(buffer_free)
    struct buffer out = BUFFER_INIT;
    struct buffer type = BUFFER_INIT;
    struct protobuf_envelope envelope;
    buffer_add(&out, "k8s", 4);
    text(&type, 1, "apps/v1");
    text(&type, 2, "Deployment");
    message(&out, 1, &type);
    text(&out, 2, "body");
    text(&out, 3, "");
    text(&out, 4, "");
    assert_true(protobuf_open(out.bytes, out.length, &envelope, NULL));
    assert_int_equal(envelope.api_version_length, 7);
    assert_memory_equal(envelope.api_version, "apps/v1", 7);
    assert_int_equal(envelope.kind_length, 10);
    assert_memory_equal(envelope.kind, "Deployment", 10);
    assert_int_equal(envelope.raw_length, 4);
    assert_memory_equal(envelope.raw, "body", 4);
}

static void what_is_no_envelope_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
    } cases[] = {{"", 0},
                 {"k8s", 3},
                 {"K8s\0", 4},
                 {"k8s\0\x0a\x05", 6},
                 {"k8s\0\x0a\x01\x0a", 7},
                 {"k8s\0\x08\x01", 6},
                 {"k8s\0\x10\x01", 6},
                 {"k8s\0\x0a\x03\x12\x01\xff", 9}}; /* A kind that is not UTF-8. */
    struct protobuf_envelope envelope;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    for (size_t i = 0; i < array_length(cases); i++) {
        assert_false(protobuf_open(cases[i].bytes, cases[i].length, &envelope, &error));
        assert_int_equal(error.code, 400);
    }
}

static void a_deployment_as_kubectl_sends_it_decodes(void **state)
{
    (void)state;
    const struct schema *deployment =
        scheme_resource_find(scheme_builtin(), "apps", "v1", "deployments")->schema;
    struct buffer out = BUFFER_INIT, metadata = BUFFER_INIT, entry = BUFFER_INIT,
                  time = BUFFER_INIT, specification = BUFFER_INIT, selector = BUFFER_INIT;
    text(&metadata, 1, "web");
    text(&metadata, 2, "");
    text(&metadata, 3, "");
    text(&metadata, 4, "");
    text(&metadata, 5, "");
    text(&metadata, 6, "");
    number(&metadata, 7, 0);
    message(&metadata, 8, &time);
    text(&entry, 1, "app");
    text(&entry, 2, "web");
    message(&metadata, 11, &entry);
    message(&out, 1, &metadata);
    number(&specification, 1, 0);
    text(&entry, 1, "app");
    text(&entry, 2, "web");
    message(&selector, 1, &entry);
    message(&specification, 2, &selector);
    number(&specification, 5, 0);
    number(&specification, 7, 0);
    message(&out, 2, &specification);
    cleanup(json_release)
    json_t *tree = protobuf_decode(deployment, out.bytes, out.length, NULL);
    buffer_free(&out);
    cleanup(free_char)
    char *json = json_text(tree);
    assert_string_equal(
        json, "{\"metadata\":{\"name\":\"web\",\"labels\":{\"app\":\"web\"}},"
              "\"spec\":{\"replicas\":0,\"selector\":{\"matchLabels\":{\"app\":\"web\"}}}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_decode_by_their_type),
        cmocka_unit_test(times_and_durations_become_text),
        cmocka_unit_test(a_zero_time_is_absent),
        cmocka_unit_test(times_out_of_range_are_refused),
        cmocka_unit_test(special_messages_take_their_json_form),
        cmocka_unit_test(lists_and_maps_gather_their_entries),
        cmocka_unit_test(wrapped_lists_are_messages_of_their_own),
        cmocka_unit_test(messages_nest),
        cmocka_unit_test(embedded_messages_join_the_object_they_are_in),
        cmocka_unit_test(a_union_is_its_one_member),
        cmocka_unit_test(zeros_that_say_nothing_are_left_out),
        cmocka_unit_test(unknown_fields_are_skipped),
        cmocka_unit_test(wrong_wire_types_are_refused),
        cmocka_unit_test(wrong_wire_types_inside_small_messages_are_refused),
        cmocka_unit_test(strings_must_be_utf8),
        cmocka_unit_test(truncated_input_is_refused_or_shorter_but_never_read_past),
        cmocka_unit_test(random_bytes_do_no_harm),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(an_envelope_names_what_is_in_it),
        cmocka_unit_test(what_is_no_envelope_is_refused),
        cmocka_unit_test(a_deployment_as_kubectl_sends_it_decodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

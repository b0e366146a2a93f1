// SPDX-License-Identifier: Apache-2.0
/* Pruning, defaulting and validation by schema. */
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

/* ---- a schema with one field of each kind ---- */

static const char *const colors[] = {"Red", "Green", "Blue", NULL};
static const char *const name_keys[] = {"name", NULL}, *const port_keys[] = {"port", "protocol",
                                                                             NULL};
static const struct schema
    string = {.type = SCHEMA_STRING},
    label = {.type = SCHEMA_STRING, .format = SCHEMA_FORMAT_DNS_LABEL},
    short_string = {.type = SCHEMA_STRING, .max_length = 3},
    color = {.type = SCHEMA_STRING, .enumeration = colors, .default_value = "\"Red\""},
    boolean = {.type = SCHEMA_BOOLEAN}, int32 = {.type = SCHEMA_INT32},
    int64 = {.type = SCHEMA_INT64}, real = {.type = SCHEMA_DOUBLE},
    count = {.type = SCHEMA_INT32, .has_minimum = true},
    port_number = {.type = SCHEMA_INT32,
                   .has_minimum = true,
                   .minimum = 1,
                   .has_maximum = true,
                   .maximum = 65535},
    bytes = {.type = SCHEMA_BYTES}, time_of_day = {.type = SCHEMA_TIME},
    micro_time = {.type = SCHEMA_MICRO_TIME}, duration = {.type = SCHEMA_DURATION},
    quantity = {.type = SCHEMA_QUANTITY}, either = {.type = SCHEMA_INT_OR_STRING},
    any = {.type = SCHEMA_JSON}, raw = {.type = SCHEMA_RAW},
    nullable = {.type = SCHEMA_STRING, .nullable = true},
    words = {.type = SCHEMA_LIST,
             .items = &string,
             .list_type = SCHEMA_LIST_SET,
             .unique = true,
             .max_length = 5},
    numbers = {.type = SCHEMA_LIST, .items = &int32},
    addresses = {.type = SCHEMA_LIST, .items = &string, .format = SCHEMA_FORMAT_IP},
    labels = {.type = SCHEMA_MAP, .items = &string, .format = SCHEMA_FORMAT_CONFIG_KEY},
    quantities = {.type = SCHEMA_MAP, .items = &quantity},
    resources = {.type = SCHEMA_MAP, .items = &quantity, .rounded = true};

static const struct schema_field port_fields[] = {
    {.name = "port", .schema = &port_number, .presence = SCHEMA_REQUIRED},
    {.name = "protocol", .schema = &string},
};
static const struct schema_object port_object = {
    "io.k8s.api.core.v1.Port", "", port_fields, array_length(port_fields), NULL, 0, false, false};
static const struct schema port = {.type = SCHEMA_OBJECT, .object = &port_object},
                           ports = {.type = SCHEMA_LIST,
                                    .items = &port,
                                    .list_type = SCHEMA_LIST_MAP,
                                    .list_keys = port_keys,
                                    .unique = true};
static const struct schema_field part_fields[] = {
    {.name = "color", .schema = &color},
    {.name = "name", .schema = &label, .presence = SCHEMA_REQUIRED},
    {.name = "ports", .schema = &ports},
};
static const struct schema_object part_object = {
    "io.k8s.api.core.v1.Part", "", part_fields, array_length(part_fields), NULL, 0, false, true};
static const struct schema part = {.type = SCHEMA_OBJECT, .object = &part_object},
                           parts = {.type = SCHEMA_LIST,
                                    .items = &part,
                                    .list_type = SCHEMA_LIST_MAP,
                                    .list_keys = name_keys,
                                    .unique = true},
                           open = {.type = SCHEMA_OBJECT,
                                   .object = &part_object,
                                   .preserve_unknown = true};
static const struct schema_field spec_fields[] = {
    {.name = "addresses", .schema = &addresses},
    {.name = "any", .schema = &any},
    {.name = "boolean", .schema = &boolean},
    {.name = "bytes", .schema = &bytes},
    {.name = "count", .schema = &count, .presence = SCHEMA_REQUIRED},
    {.name = "duration", .schema = &duration},
    {.name = "either", .schema = &either},
    {.name = "int32", .schema = &int32},
    {.name = "int64", .schema = &int64, .immutable = true},
    {.name = "labels", .schema = &labels},
    {.name = "microTime", .schema = &micro_time},
    {.name = "nullable", .schema = &nullable},
    {.name = "numbers", .schema = &numbers},
    {.name = "open", .schema = &open},
    {.name = "part", .schema = &part},
    {.name = "parts", .schema = &parts},
    {.name = "quantities", .schema = &quantities},
    {.name = "quantity", .schema = &quantity},
    {.name = "raw", .schema = &raw},
    {.name = "real", .schema = &real},
    {.name = "resources", .schema = &resources},
    {.name = "short", .schema = &short_string},
    {.name = "string", .schema = &string, .immutable = true},
    {.name = "time", .schema = &time_of_day},
    {.name = "words", .schema = &words},
};
static const struct schema_object spec_object = {"io.k8s.api.core.v1.ThingSpec",
                                                 "",
                                                 spec_fields,
                                                 array_length(spec_fields),
                                                 NULL,
                                                 0,
                                                 false,
                                                 true};
static const struct schema spec = {.type = SCHEMA_OBJECT, .object = &spec_object};
static const struct schema_field thing_fields[] = {
    {.name = "metadata", .schema = &part},
    {.name = "spec", .schema = &spec, .presence = SCHEMA_REQUIRED},
};
static const struct schema_object thing_object = {
    "io.k8s.api.core.v1.Thing", "", thing_fields, array_length(thing_fields), NULL, 0, false, true};
static const struct schema thing = {.type = SCHEMA_OBJECT, .object = &thing_object};

/* ---- pruning ---- */

static void collect(void *argument, const char *path)
{
    struct buffer *paths = argument;
    buffer_addf(paths, "%s%s", paths->length ? " " : "", path);
}

/* 'spec' holds the text of the spec's members. */
static void check_pruned(const char *members, const char *expected, const char *unknown)
{
    cleanup(free_char)
    char *text = format("{\"spec\":{%s}}", members);
    cleanup(free_char)
    char *wanted = format("{\"spec\":{%s}}", expected);
    cleanup(json_release)
    json_t *tree = parse(text);
    cleanup(buffer_free)
    struct buffer paths = BUFFER_INIT;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    if (!schema_prune(&thing, tree, collect, &paths, &error)) {
        fail_msg("%s: %s", members, error.message);
    }
    cleanup(free_char)
    char *pruned = json_text(tree);
    assert_string_equal(pruned, wanted);
    assert_string_equal(buffer_text(&paths), unknown);
}

static void what_is_well_formed_stays(void **state)
{
    (void)state;
    static const char *const members[] = {
        "\"boolean\":true",
        "\"int32\":-2147483648",
        "\"int64\":9223372036854775807",
        "\"real\":1",
        "\"real\":0.5",
        "\"either\":1,\"string\":\"x\"",
        "\"either\":\"50%\"",
        "\"bytes\":\"aGk=\"",
        "\"time\":\"2026-01-31T12:00:00Z\"",
        "\"microTime\":\"2026-01-31T12:00:00.123456Z\"",
        "\"duration\":\"1m30s\"",
        "\"quantity\":\"1500m\"",
        "\"any\":[1,{\"x\":null}]",
        "\"any\":null",
        "\"raw\":{\"x\":{\"y\":null}}",
        "\"nullable\":null",
        "\"labels\":{\"a\":\"b\"},\"words\":[\"a\"]",
        "\"open\":{\"name\":\"a\",\"more\":{\"x\":null}}",
    };
    for (size_t i = 0; i < array_length(members); i++) {
        check_pruned(members[i], members[i], "");
    }
}

static void unknown_members_go_and_are_told_with_their_paths(void **state)
{
    (void)state;
    check_pruned("\"x\":1,\"string\":\"a\"", "\"string\":\"a\"", "spec.x");
    check_pruned("\"parts\":[{\"name\":\"a\"},{\"name\":\"b\",\"x\":{\"y\":1}}]",
                 "\"parts\":[{\"name\":\"a\"},{\"name\":\"b\"}]", "spec.parts[1].x");
    check_pruned("\"String\":\"a\",\"a.b\":1", "", "spec.String spec.a.b");
}

static void nulls_are_absent_or_zero_as_in_go(void **state)
{
    (void)state;
    check_pruned("\"string\":null,\"int32\":null,\"words\":null,\"part\":null,\"time\":null", "",
                 "");
    check_pruned("\"words\":[null,\"a\"],\"numbers\":[null]",
                 "\"words\":[\"\",\"a\"],\"numbers\":[0]", "");
    check_pruned("\"parts\":[null]", "\"parts\":[{}]", "");
    check_pruned("\"labels\":{\"a\":null},\"quantities\":{\"b\":null}",
                 "\"labels\":{\"a\":\"\"},\"quantities\":{\"b\":\"0\"}", "");
}

static void values_take_their_canonical_form(void **state)
{
    (void)state;
    check_pruned("\"quantity\":0.1", "\"quantity\":\"100m\"", "");
    check_pruned("\"quantity\":2", "\"quantity\":\"2\"", "");
    check_pruned("\"quantities\":{\"cpu\":\"1000m\"}", "\"quantities\":{\"cpu\":\"1\"}", "");
    check_pruned("\"time\":\"2026-01-31T13:00:00.9+01:00\"", "\"time\":\"2026-01-31T12:00:00Z\"",
                 "");
    check_pruned("\"microTime\":\"2026-01-31T12:00:00Z\"",
                 "\"microTime\":\"2026-01-31T12:00:00.000000Z\"", "");
    check_pruned("\"time\":\"0001-01-01T00:00:00Z\"", "", "");
    check_pruned("\"duration\":\"90s\"", "\"duration\":\"1m30s\"", "");
}

static void amounts_of_resources_are_rounded_up(void **state)
{
    (void)state;
    check_pruned("\"quantities\":{\"a\":\"1500u\"},"
                 "\"resources\":{\"a\":\"1500u\",\"b\":\"2m\",\"c\":1e-9,\"d\":\"-1u\"}",
                 "\"quantities\":{\"a\":\"1500u\"},"
                 "\"resources\":{\"a\":\"2m\",\"b\":\"2m\",\"c\":\"1e-3\",\"d\":\"-1m\"}",
                 "");
}

static void values_of_a_wrong_type_are_refused_in_gos_words(void **state)
{
    (void)state;
#define QUANTITY_MESSAGE                                                                           \
    "quantities must match the regular expression "                                                \
    "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    static const char *const cases[][2] = {
        {"\"int32\":\"1\"",
         "json: cannot unmarshal string into Go struct field ThingSpec.spec.int32 of type int32"},
        {"\"int32\":2147483648", "json: cannot unmarshal number 2147483648 into Go struct field "
                                 "ThingSpec.spec.int32 of type int32"},
        {"\"int64\":1.5", "json: cannot unmarshal number 1.5 into Go struct field "
                          "ThingSpec.spec.int64 of type int64"},
        {"\"string\":1",
         "json: cannot unmarshal number into Go struct field ThingSpec.spec.string of type string"},
        {"\"boolean\":\"true\"",
         "json: cannot unmarshal string into Go struct field ThingSpec.spec.boolean of type bool"},
        {"\"boolean\":1",
         "json: cannot unmarshal number into Go struct field ThingSpec.spec.boolean of type bool"},
        {"\"real\":\"1\"",
         "json: cannot unmarshal string into Go struct field ThingSpec.spec.real of type float64"},
        {"\"part\":[]",
         "json: cannot unmarshal array into Go struct field ThingSpec.spec.part of type v1.Part"},
        {"\"parts\":{}", "json: cannot unmarshal object into Go struct field ThingSpec.spec.parts "
                         "of type []v1.Part"},
        {"\"parts\":[{\"name\":true}]",
         "json: cannot unmarshal bool into Go struct field Part.spec.parts.name of type string"},
        {"\"labels\":[]", "json: cannot unmarshal array into Go struct field "
                          "ThingSpec.spec.labels of type map[string]string"},
        {"\"words\":[1]",
         "json: cannot unmarshal number into Go struct field ThingSpec.spec.words of type string"},
        {"\"bytes\":1",
         "json: cannot unmarshal number into Go struct field ThingSpec.spec.bytes of type []uint8"},
        {"\"bytes\":\"a$==\"", "illegal base64 data at input byte 1"},
        {"\"bytes\":\"abc\"", "illegal base64 data at input byte 0"},
        {"\"time\":5", "json: cannot unmarshal number into Go value of type string"},
        {"\"time\":\"soon\"", "parsing time \"soon\" as \"2006-01-02T15:04:05Z07:00\": cannot "
                              "parse \"soon\" as \"2006\""},
        {"\"either\":true", "json: cannot unmarshal bool into Go value of type int32"},
        {"\"either\":1.5", "json: cannot unmarshal number 1.5 into Go value of type int32"},
        {"\"duration\":\"x\"", "time: invalid duration \"x\""},
        {"\"quantity\":\"x\"", QUANTITY_MESSAGE},
        {"\"quantity\":true", QUANTITY_MESSAGE},
        {"\"quantity\":\"1q\"", QUANTITY_MESSAGE},
        {"\"quantity\":\"1\\u0000x\"", QUANTITY_MESSAGE},
        {"\"duration\":\"1s\\u0000x\"", "time: invalid duration \"1s\""},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(free_char)
        char *text = format("{\"spec\":{%s}}", cases[i][0]);
        cleanup(json_release)
        json_t *tree = parse(text);
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        if (schema_prune(&thing, tree, NULL, NULL, &error)) {
            fail_msg("%s is accepted", cases[i][0]);
        }
        assert_int_equal(error.code, 400);
        assert_string_equal(error.message, cases[i][1]);
    }
}

static void labels_name_the_struct_that_holds_them(void **state)
{
    (void)state;
    const struct schema *deployment =
        scheme_resource_find(scheme_builtin(), "apps", "v1", "deployments")->schema;
    cleanup(json_release)
    json_t *tree = parse("{\"metadata\":{\"labels\":{\"a\":1}}}");
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_false(schema_prune(deployment, tree, NULL, NULL, &error));
    assert_string_equal(
        error.message,
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type "
        "string");
}

/* Prunes and defaults the members of an object of the built-in API at the path. */
static void check_built_in(const char *group, const char *plural, const char *path,
                           const char *members, const char *expected)
{
    const struct resource *resource = scheme_resource_find(scheme_builtin(), group, "v1", plural);
    const struct schema *schema = schema_find_path(resource->schema, path)->schema;
    cleanup(json_release)
    json_t *tree = parse(members), *wanted = parse(expected);
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_true(schema_prune(schema, tree, NULL, NULL, &error));
    schema_default(schema, tree);
    cleanup(free_char)
    char *result = json_text(tree);
    if (!json_equal(tree, wanted)) {
        fail_msg("%s instead of %s", result, expected);
    }
}

static void zeros_stay_where_go_has_a_pointer(void **state)
{
    (void)state;
    check_built_in("", "pods", "spec.securityContext",
                   "{\"runAsUser\":0,\"runAsNonRoot\":false,\"supplementalGroups\":[],"
                   "\"seLinuxOptions\":{\"user\":\"\"}}",
                   "{\"runAsUser\":0,\"runAsNonRoot\":false,\"seLinuxOptions\":{}}");
    check_built_in("apps", "deployments", "spec.strategy",
                   "{\"type\":\"\",\"rollingUpdate\":{\"maxSurge\":0}}",
                   "{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxUnavailable\":\"25%\","
                   "\"maxSurge\":0}}");
    check_built_in("", "persistentvolumeclaims", "spec.resources",
                   "{\"limits\":{},\"requests\":{\"storage\":\"0\"}}",
                   "{\"requests\":{\"storage\":\"0\"}}");
    check_built_in("batch", "jobs", "status", "{\"active\":0,\"ready\":0,\"failedIndexes\":\"\"}",
                   "{\"ready\":0,\"failedIndexes\":\"\"}");
}

static void what_go_never_leaves_out_is_always_there(void **state)
{
    (void)state;
    check_built_in("apps", "replicasets", "status", "{}", "{\"replicas\":0}");
    check_built_in("apps", "statefulsets", "status", "{\"readyReplicas\":0}",
                   "{\"replicas\":0,\"availableReplicas\":0}");
    check_built_in("", "pods", "status",
                   "{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}],"
                   "\"containerStatuses\":[{\"name\":\"a\"}]}",
                   "{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\","
                   "\"lastProbeTime\":null,\"lastTransitionTime\":null}],"
                   "\"containerStatuses\":[{\"name\":\"a\",\"ready\":false,\"restartCount\":0,"
                   "\"image\":\"\",\"imageID\":\"\",\"state\":{},\"lastState\":{}}]}");
}

/* ---- defaulting ---- */

static void absent_members_get_their_defaults_where_their_object_is(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{}", "{}"},
        {"{\"spec\":{\"part\":{}}}", "{\"spec\":{\"part\":{\"color\":\"Red\"}}}"},
        {"{\"spec\":{\"part\":{\"color\":\"Blue\"}}}",
         "{\"spec\":{\"part\":{\"color\":\"Blue\"}}}"},
        {"{\"spec\":{\"part\":{\"color\":\"\"}}}", "{\"spec\":{\"part\":{\"color\":\"\"}}}"},
        {"{\"spec\":{\"parts\":[{},{\"name\":\"a\"}]}}",
         "{\"spec\":{\"parts\":[{\"color\":\"Red\"},{\"name\":\"a\",\"color\":\"Red\"}]}}"},
        {"{\"spec\":{\"raw\":{}}}", "{\"spec\":{\"raw\":{}}}"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *tree = parse(cases[i][0]), *wanted = parse(cases[i][1]);
        schema_default(&thing, tree);
        assert_true(json_equal(tree, wanted));
        schema_default(&thing, tree);
        assert_true(json_equal(tree, wanted));
    }
}

static void a_deployment_gets_upstreams_defaults(void **state)
{
    (void)state;
    const struct schema *deployment =
        scheme_resource_find(scheme_builtin(), "apps", "v1", "deployments")->schema;
    cleanup(json_release)
    json_t *tree = parse("{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"a\","
                         "\"image\":\"b:1\"}]}}}}");
    schema_default(deployment, tree);
    const json_t *specification = json_object_get(tree, "spec");
    assert_int_equal(json_get_int(specification, "replicas", 0), 1);
    assert_int_equal(json_get_int(specification, "revisionHistoryLimit", 0), 10);
    assert_string_equal(json_path_string(specification, "template", "spec", "restartPolicy"),
                        "Always");
    const json_t *container =
        json_array_get(json_path(specification, "template", "spec", "containers"), 0);
    assert_string_equal(json_get_string(container, "terminationMessagePath"),
                        "/dev/termination-log");
}

/* ---- validation ---- */

static void check_errors(const char *members, const char *expected)
{
    cleanup(free_char)
    char *text = format("{\"spec\":{%s}}", members);
    cleanup(json_release)
    json_t *tree = parse(text);
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    cleanup(buffer_free)
    struct buffer messages = BUFFER_INIT;
    schema_validate(&thing, tree, NULL, &errors);
    for (size_t i = 0; i < json_array_size(errors.causes); i++) {
        const json_t *cause = json_array_get(errors.causes, i);
        buffer_addf(&messages, "%s%s: %s", i ? "\n" : "", json_get_string(cause, "field"),
                    json_get_string(cause, "message"));
    }
    assert_string_equal(buffer_text(&messages), expected);
}

static void a_right_object_has_no_errors(void **state)
{
    (void)state;
    check_errors(
        "\"count\":0,\"words\":[\"a\",\"b\"],\"parts\":[{\"name\":\"a\",\"color\":\"Green\"},"
        "{\"name\":\"b\",\"ports\":[{\"port\":1,\"protocol\":\"TCP\"},"
        "{\"port\":1,\"protocol\":\"UDP\"}]}],\"labels\":{\"a_b.c\":\"\"},\"short\":\"abc\"",
        "");
}

static void required_members_must_be_there_and_not_empty(void **state)
{
    (void)state;
    check_errors("\"part\":{}", "spec.part.name: Required value");
    check_errors("\"part\":{\"name\":\"\"}", "spec.part.name: Required value");
    check_errors("\"parts\":[{\"name\":\"a\"},{}]", "spec.parts[1].name: Required value");
}

static void an_absent_required_number_reads_as_zero(void **state)
{
    (void)state;
    check_errors("", "");
    check_errors("\"parts\":[{\"name\":\"a\",\"ports\":[{}]}]",
                 "spec.parts[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, "
                 "inclusive");
}

static void bounds_and_enumerations_hold(void **state)
{
    (void)state;
    check_errors("\"count\":-1",
                 "spec.count: Invalid value: -1: must be greater than or equal to 0");
    check_errors("\"part\":{\"name\":\"a\",\"color\":\"Pink\"}",
                 "spec.part.color: Unsupported value: \"Pink\": supported values: \"Blue\", "
                 "\"Green\", \"Red\"");
    check_errors("\"short\":\"abcd\"", "spec.short: Too long: may not be more than 3 bytes");
    check_errors("\"words\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\"]",
                 "spec.words: Too many: 6: must have at most 5 items");
    check_errors("\"part\":{\"name\":\"a.b\"}",
                 "spec.part.name: Invalid value: \"a.b\": must not contain dots");
}

static void duplicates_are_told_by_their_keys(void **state)
{
    (void)state;
    check_errors("\"words\":[\"a\",\"b\",\"a\"]", "spec.words[2]: Duplicate value: \"a\"");
    check_errors("\"parts\":[{\"name\":\"a\"},{\"name\":\"a\"}]",
                 "spec.parts[1].name: Duplicate value: \"a\"");
    check_errors("\"part\":{\"name\":\"a\",\"ports\":[{\"port\":1},{\"port\":1}]}", "");
    check_errors("\"part\":{\"name\":\"a\",\"ports\":[{\"port\":1,\"protocol\":\"TCP\"},"
                 "{\"port\":1,\"protocol\":\"TCP\"}]}",
                 "spec.part.ports[1]: Duplicate value: {\"port\":1,\"protocol\":\"TCP\"}");
}

static void elements_of_lists_have_their_format(void **state)
{
    (void)state;
    check_errors("\"addresses\":[\"10.0.0.1\",\"::1\"]", "");
    check_errors("\"addresses\":[\"10.0.0.1\",\"x\"]",
                 "spec.addresses[1]: Invalid value: \"x\": must be a valid IP address, (e.g. "
                 "10.9.8.7 or 2001:db8::ffff)");
}

static void a_nul_within_a_string_hides_nothing_from_the_rules(void **state)
{
    (void)state;
    check_errors("\"addresses\":[\"10.0.0.1\\u0000x\"]",
                 "spec.addresses[0]: Invalid value: \"10.0.0.1\\u0000x\": must be a valid IP "
                 "address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    check_errors("\"part\":{\"name\":\"a\",\"color\":\"Red\\u0000\"}",
                 "spec.part.color: Unsupported value: \"Red\\u0000\": supported values: \"Blue\", "
                 "\"Green\", \"Red\"");
}

static void keys_of_maps_are_checked(void **state)
{
    (void)state;
    check_errors("\"labels\":{\"..\":\"a\"}",
                 "spec.labels[..]: Invalid value: \"..\": must not be '..'");
}

static void metadata_is_left_to_others(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *tree = parse("{\"metadata\":{\"name\":\"A B\"},\"spec\":{}}");
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    schema_validate(&thing, tree, NULL, &errors);
    assert_false(field_errors_any(&errors));
}

static void many_elements_are_checked_in_reasonable_time(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *list = json_array();
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    for (int i = 0; i < 100000; i++) {
        json_array_append_new(list, json_pack("{s:i, s:s}", "port", 1 + i % 50000, "protocol",
                                              i < 50000 ? "TCP" : "UDP"));
    }
    schema_validate(&ports, list, FIELD(NULL, "ports"), &errors);
    assert_false(field_errors_any(&errors));
}

static void the_last_of_very_many_fields_is_one_like_others(void **state)
{
    (void)state;
    enum { many = 100 };
    static char names[many][16];
    static struct schema_field fields[many];
    for (int i = 0; i < many; i++) {
        snprintf(names[i], sizeof names[i], "f%02d", i);
        fields[i] =
            (struct schema_field){.name = names[i], .schema = &label, .presence = SCHEMA_REQUIRED};
    }
    fields[many - 2].schema = &color;
    const struct schema_object object = {
        .name = "Wide", .fields = fields, .field_count = many, .has_defaults = true};
    const struct schema wide = {.type = SCHEMA_OBJECT, .object = &object};
    cleanup(json_release)
    json_t *tree = json_object();
    for (int i = 0; i < many; i++) {
        if (i != many - 2) {
            json_object_set_new(tree, names[i], json_string(i == many - 1 ? "A" : "a"));
        }
    }
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    schema_default(&wide, tree);
    assert_string_equal(json_get_string(tree, names[many - 2]), "Red");
    schema_validate(&wide, tree, FIELD(NULL, "spec"), &errors);
    assert_int_equal(json_array_size(errors.causes), 1);
    assert_string_equal(json_get_string(json_array_get(errors.causes, 0), "field"), "spec.f99");
}

static void what_is_immutable_may_be_set_once(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after, *message;
    } cases[] = {
        {"{\"spec\":{}}", "{\"spec\":{\"string\":\"a\"}}", NULL},
        {"{\"spec\":{\"string\":\"a\"}}", "{\"spec\":{\"string\":\"a\",\"int32\":1}}", NULL},
        {"{\"spec\":{\"string\":\"a\"}}", "{\"spec\":{\"string\":\"b\"}}",
         "Invalid value: \"b\": field is immutable"},
        {"{\"spec\":{\"int64\":1}}", "{\"spec\":{}}", "Invalid value: null: field is immutable"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *old = parse(cases[i].before), *now = parse(cases[i].after);
        cleanup(field_errors_clear)
        struct field_errors errors = FIELD_ERRORS_INIT;
        schema_validate_update(&thing, now, old, NULL, &errors);
        const char *message = json_get_string(json_array_get(errors.causes, 0), "message");
        if (cases[i].message == NULL) {
            assert_null(message);
        } else {
            assert_string_equal(message, cases[i].message);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_well_formed_stays),
        cmocka_unit_test(unknown_members_go_and_are_told_with_their_paths),
        cmocka_unit_test(nulls_are_absent_or_zero_as_in_go),
        cmocka_unit_test(values_take_their_canonical_form),
        cmocka_unit_test(amounts_of_resources_are_rounded_up),
        cmocka_unit_test(values_of_a_wrong_type_are_refused_in_gos_words),
        cmocka_unit_test(labels_name_the_struct_that_holds_them),
        cmocka_unit_test(zeros_stay_where_go_has_a_pointer),
        cmocka_unit_test(what_go_never_leaves_out_is_always_there),
        cmocka_unit_test(absent_members_get_their_defaults_where_their_object_is),
        cmocka_unit_test(a_deployment_gets_upstreams_defaults),
        cmocka_unit_test(a_right_object_has_no_errors),
        cmocka_unit_test(required_members_must_be_there_and_not_empty),
        cmocka_unit_test(an_absent_required_number_reads_as_zero),
        cmocka_unit_test(bounds_and_enumerations_hold),
        cmocka_unit_test(duplicates_are_told_by_their_keys),
        cmocka_unit_test(elements_of_lists_have_their_format),
        cmocka_unit_test(a_nul_within_a_string_hides_nothing_from_the_rules),
        cmocka_unit_test(keys_of_maps_are_checked),
        cmocka_unit_test(metadata_is_left_to_others),
        cmocka_unit_test(many_elements_are_checked_in_reasonable_time),
        cmocka_unit_test(the_last_of_very_many_fields_is_one_like_others),
        cmocka_unit_test(what_is_immutable_may_be_set_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/*
 * Schemas of custom resources: they must be structural, so that what an object may hold is known
 * from one walk: the type of every value is told outside of allOf, anyOf, oneOf and not, which only
 * narrow values down. Trees are no deeper than bodies may be, so that recursion ends.
 */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/extensions.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/regexp.h"

enum level { ROOT, ITEM, MEMBER };

static const char preserve[] = "x-kubernetes-preserve-unknown-fields";
static const char embedded[] = "x-kubernetes-embedded-resource";
static const char int_or_string[] = "x-kubernetes-int-or-string";
static const char list_type[] = "x-kubernetes-list-type";
static const char list_keys[] = "x-kubernetes-list-map-keys";
static const char map_type[] = "x-kubernetes-map-type";

static bool is_true(const json_t *schema, const char *name)
{
    return json_get_bool(schema, name, false);
}

/* ---- what is never allowed ---- */

static void validate_pattern(const json_t *schema, const struct field_path *path,
                             struct field_errors *errors)
{
    const json_t *pattern = json_object_get(schema, "pattern");
    cleanup(free_char)
    char *why = json_string_length(pattern) > 0
                    ? regexp_check(json_string_value(pattern), json_string_length(pattern))
                    : NULL;
    if (why != NULL) {
        field_error(errors, FIELD_INVALID, FIELD(path, "pattern"), pattern,
                    "must be a valid regular expression, but isn't: %s", why);
    }
}

static void validate_forbidden(const json_t *schema, const struct field_path *path,
                               struct field_errors *errors)
{
    static const char *const unsupported[] = {"id",          "additionalItems", "patternProperties",
                                              "definitions", "dependencies",    "$ref"};
    static const char *const types[] = {"array",  "boolean", "integer", "number",
                                        "object", "string",  NULL};
    const char *type = check_text(schema, "type");
    for (size_t i = 0; i < array_length(unsupported); i++) {
        if (check_has(schema, unsupported[i])) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(path, unsupported[i]), NULL,
                        "%s is not supported", unsupported[i]);
        }
    }
    if (is_true(schema, "uniqueItems")) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "uniqueItems"), NULL,
                    "uniqueItems cannot be set to true since the runtime complexity becomes "
                    "quadratic");
    }
    if (strcmp(type, "null") == 0) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "type"), NULL,
                    "type cannot be set to null, use nullable as an alternative");
    } else if (type[0] != '\0' && !check_one_of(type, types)) {
        check_not_supported(type, types, FIELD(path, "type"), errors);
    }
    if (json_is_array(json_object_get(schema, "items"))) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "items"), NULL,
                    "items must be a schema object and not an array");
    }
    const json_t *more = json_object_get(schema, "additionalProperties");
    if (json_object_size(json_object_get(schema, "properties")) > 0 && more != NULL &&
        !json_is_true(more)) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "additionalProperties"), NULL,
                    "additionalProperties and properties are mutual exclusive");
    }
    validate_pattern(schema, path, errors);
}

/* ---- lists and maps ---- */

static void validate_type_is(const json_t *schema, const char *type, const char *because,
                             const struct field_path *path, struct field_errors *errors)
{
    const json_t *given = json_object_get(schema, "type");
    if (json_string_length(given) == 0) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "type"), NULL, "must be %s if %s", type,
                    because);
    } else if (strcmp(json_string_value(given), type) != 0) {
        field_error(errors, FIELD_INVALID, FIELD(path, "type"), given, "must be %s if %s", type,
                    because);
    }
}

static void validate_key(const json_t *schema, const json_t *key, const struct field_path *path,
                         struct field_errors *errors)
{
    const char *name = json_string_value(key);
    const json_t *items = json_object_get(schema, "items");
    const json_t *property = json_object_get(json_object_get(items, "properties"), name);
    const struct field_path *here = FIELD_KEY(FIELD(FIELD(path, "items"), "properties"), name);
    const char *type = check_text(property, "type");
    if (property == NULL) {
        field_error(errors, FIELD_INVALID, FIELD(path, list_keys),
                    json_object_get(schema, list_keys),
                    "entries must all be names of item properties");
        return;
    }
    if (strcmp(type, "array") == 0 || strcmp(type, "object") == 0) {
        field_error(errors, FIELD_INVALID, FIELD(here, "type"), json_object_get(property, "type"),
                    "must be a scalar type if parent array's x-kubernetes-list-type is map");
    }
    if (!check_has(property, "default") &&
        !json_array_has_string(json_object_get(items, "required"), name)) {
        field_error(errors, FIELD_REQUIRED, FIELD(here, "default"), NULL,
                    "this property is in x-kubernetes-list-map-keys, so it must have a default or "
                    "be a required property");
    }
}

static void validate_list_map(const json_t *schema, const struct field_path *path,
                              struct field_errors *errors)
{
    const json_t *keys = json_object_get(schema, list_keys);
    const json_t *items = json_object_get(schema, "items");
    struct map seen = MAP_INIT;
    if (json_array_size(keys) == 0) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, list_keys), NULL,
                    "must not be empty if x-kubernetes-list-type is map");
    }
    if (!json_is_object(items)) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "items"), NULL,
                    "must have a schema if x-kubernetes-list-type is map");
        return;
    }
    if (!check_is(items, "type", "object")) {
        check_invalid_text(check_text(items, "type"),
                           "must be object if parent array's x-kubernetes-list-type is map",
                           FIELD(FIELD(path, "items"), "type"), errors);
    }
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const json_t *key = json_array_get(keys, i);
        if (map_set(&seen, json_string_value(key), &seen) != NULL) {
            field_error(errors, FIELD_DUPLICATE, FIELD_INDEX(FIELD(path, list_keys), i), key, NULL);
        }
        validate_key(schema, key, path, errors);
    }
    map_free(&seen, NULL);
}

static void validate_merging(const json_t *schema, const struct field_path *path,
                             struct field_errors *errors)
{
    static const char *const list_types[] = {"atomic", "set", "map", NULL};
    static const char *const map_types[] = {"atomic", "granular", NULL};
    const char *of_list = check_text(schema, list_type), *of_map = check_text(schema, map_type);
    bool is_map = strcmp(of_list, "map") == 0;
    if (check_has(schema, list_type)) {
        validate_type_is(schema, "array", "x-kubernetes-list-type is specified", path, errors);
        if (!check_one_of(of_list, list_types)) {
            check_not_supported(of_list, list_types, FIELD(path, list_type), errors);
        }
    }
    if (json_array_size(json_object_get(schema, list_keys)) > 0 && !is_map) {
        const struct field_path *here = FIELD(path, list_type);
        if (check_has(schema, list_type)) {
            check_invalid_text(of_list, "must be map if x-kubernetes-list-map-keys is non-empty",
                               here, errors);
        } else {
            field_error(errors, FIELD_REQUIRED, here, NULL,
                        "must be map if x-kubernetes-list-map-keys is non-empty");
        }
    }
    if (is_map) {
        validate_list_map(schema, path, errors);
    }
    if (check_has(schema, map_type)) {
        validate_type_is(schema, "object", "x-kubernetes-map-type is specified", path, errors);
        if (!check_one_of(of_map, map_types)) {
            check_not_supported(of_map, map_types, FIELD(path, map_type), errors);
        }
    }
}

/* ---- parts that only narrow down ---- */

static const char *const combinations[] = {"allOf", "anyOf", "oneOf"};

static void validate_narrowing(const json_t *schema, const json_t *outside,
                               const struct field_path *outside_path, const struct field_path *path,
                               struct field_errors *errors);

/* What the part says of a value that is not told of outside. */
static void validate_told(const json_t *part, const json_t *outside,
                          const struct field_path *outside_path, const struct field_path *path,
                          struct field_errors *errors)
{
    const json_t *items = json_object_get(part, "items");
    const json_t *whole = json_object_get(outside, "items");
    const char *name;
    json_t *property;
    if (json_is_object(items)) {
        if (whole == NULL) {
            cleanup(free_char)
            char *where = field_path_text(FIELD(path, "items"));
            field_error(errors, FIELD_REQUIRED, FIELD(outside_path, "items"), NULL,
                        "because it is defined in %s", where);
        }
        validate_narrowing(items, whole, FIELD(outside_path, "items"), FIELD(path, "items"),
                           errors);
    }
    json_object_foreach (json_object_get(part, "properties"), name, property) {
        const json_t *told = json_object_get(json_object_get(outside, "properties"), name);
        const struct field_path *here = FIELD_KEY(FIELD(path, "properties"), name);
        const struct field_path *there = FIELD_KEY(FIELD(outside_path, "properties"), name);
        if (told == NULL && !is_true(outside, preserve) &&
            !json_is_object(json_object_get(outside, "additionalProperties"))) {
            cleanup(free_char)
            char *where = field_path_text(here);
            field_error(errors, FIELD_REQUIRED, there, NULL, "because it is defined in %s", where);
        }
        validate_narrowing(property, told, there, here, errors);
    }
}

/* Integer or string: the one case in which types are told inside. */
static bool is_int_or_string_part(const json_t *schema)
{
    const json_t *list = json_object_get(schema, "anyOf");
    return json_array_size(list) == 2 && json_object_size(json_array_get(list, 0)) == 1 &&
           json_object_size(json_array_get(list, 1)) == 1 &&
           check_is(json_array_get(list, 0), "type", "integer") &&
           check_is(json_array_get(list, 1), "type", "string");
}

static void validate_combinations(const json_t *schema, const json_t *outside,
                                  const struct field_path *outside_path,
                                  const struct field_path *path, struct field_errors *errors)
{
    const json_t *negated = json_object_get(schema, "not");
    for (size_t i = 0; i < array_length(combinations); i++) {
        const json_t *list = json_object_get(schema, combinations[i]);
        const struct field_path *here = FIELD(path, combinations[i]);
        if (is_true(outside, int_or_string) && strcmp(combinations[i], "anyOf") == 0 &&
            is_int_or_string_part(schema)) {
            continue;
        }
        for (size_t j = 0; j < json_array_size(list); j++) {
            validate_narrowing(json_array_get(list, j), outside, outside_path, FIELD_INDEX(here, j),
                               errors);
        }
    }
    if (negated != NULL) {
        validate_narrowing(negated, outside, outside_path, FIELD(path, "not"), errors);
    }
}

static void validate_narrowing(const json_t *schema, const json_t *outside,
                               const struct field_path *outside_path, const struct field_path *path,
                               struct field_errors *errors)
{
    static const struct {
        const char *name, *detail;
    } forbidden[] = {
        {"type", "must be empty to be structural"},
        {"title", "must be empty to be structural"},
        {"description", "must be empty to be structural"},
        {"default", "must be undefined to be structural"},
        {"additionalProperties", "must be undefined to be structural"},
        {"nullable", "must be false to be structural"},
        {preserve, "must be false to be structural"},
        {embedded, "must be false to be structural"},
        {int_or_string, "must be false to be structural"},
        {list_type, "must be undefined to be structural"},
        {list_keys, "must be empty to be structural"},
        {map_type, "must be undefined to be structural"},
        {"x-kubernetes-validations", "must be empty to be structural"},
    };
    for (size_t i = 0; i < array_length(forbidden); i++) {
        const json_t *value = json_object_get(schema, forbidden[i].name);
        if (value != NULL && !json_is_false(value)) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(path, forbidden[i].name), NULL, "%s",
                        forbidden[i].detail);
        }
    }
    validate_forbidden(schema, path, errors);
    validate_told(schema, outside, outside_path, path, errors);
    validate_combinations(schema, outside, outside_path, path, errors);
}

/* ---- whole objects ---- */

static void validate_member_type(const json_t *schema, const char *name, const char *type,
                                 const struct field_path *path, struct field_errors *errors)
{
    const json_t *member = json_object_get(json_object_get(schema, "properties"), name);
    if (member != NULL && !check_is(member, "type", type)) {
        cleanup(free_char)
        char *message = format("must be %s", type);
        check_invalid_text(check_text(member, "type"), message,
                           FIELD(FIELD_KEY(FIELD(path, "properties"), name), "type"), errors);
    }
}

/* Of the metadata only the name can be told of: the rest is the same for all kinds. */
static void validate_metadata(const json_t *schema, const struct field_path *path,
                              struct field_errors *errors)
{
    static const char *const allowed[] = {"type", "properties", "description", "default", NULL};
    static const char *const members[] = {"name", "generateName", NULL};
    const json_t *metadata = json_path(schema, "properties", "metadata");
    const char *name;
    json_t *value;
    bool more = false;
    json_object_foreach ((json_t *)metadata, name, value) {
        more = more || !check_one_of(name, allowed);
    }
    json_object_foreach (json_object_get(metadata, "properties"), name, value) {
        more = more || !check_one_of(name, members);
    }
    if (more) {
        field_error(errors, FIELD_FORBIDDEN, FIELD_KEY(FIELD(path, "properties"), "metadata"), NULL,
                    "must not specify anything other than name and generateName, but metadata is "
                    "implicitly specified");
    }
}

static void validate_whole_object(const json_t *schema, const struct field_path *path,
                                  struct field_errors *errors)
{
    validate_member_type(schema, "kind", "string", path, errors);
    validate_member_type(schema, "apiVersion", "string", path, errors);
    validate_member_type(schema, "metadata", "object", path, errors);
}

static void validate_embedded(const json_t *schema, const struct field_path *path,
                              struct field_errors *errors)
{
    validate_type_is(schema, "object", "x-kubernetes-embedded-resource is true", path, errors);
    if (check_has(schema, "additionalProperties")) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "additionalProperties"), NULL,
                    "must not be used if x-kubernetes-embedded-resource is set");
    }
    if (!is_true(schema, preserve) &&
        json_object_size(json_object_get(schema, "properties")) == 0) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "properties"), NULL,
                    "must not be empty if x-kubernetes-embedded-resource is true without "
                    "x-kubernetes-preserve-unknown-fields");
    }
    validate_whole_object(schema, path, errors);
}

static void validate_root(const json_t *schema, const struct field_path *path,
                          struct field_errors *errors)
{
    const json_t *type = json_object_get(schema, "type");
    if (json_string_length(type) > 0 && !check_is(schema, "type", "object")) {
        field_error(errors, FIELD_INVALID, FIELD(path, "type"), type, "must be object at the root");
    }
    if (is_true(schema, "nullable")) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "nullable"), NULL,
                    "nullable cannot be true at the root");
    }
    if (check_has(schema, "additionalProperties")) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "additionalProperties"), NULL,
                    "must not be used at the root");
    }
    validate_whole_object(schema, path, errors);
    validate_metadata(schema, path, errors);
}

/* ---- the walk ---- */

static void validate_type(const json_t *schema, enum level level, const struct field_path *path,
                          struct field_errors *errors)
{
    static const char *const details[] = {
        [ROOT] = "must not be empty at the root",
        [ITEM] = "must not be empty for specified array items",
        [MEMBER] = "must not be empty for specified object fields",
    };
    static const char *const exclusive[] = {preserve, embedded};
    if (is_true(schema, int_or_string)) {
        for (size_t i = 0; i < array_length(exclusive); i++) {
            if (is_true(schema, exclusive[i])) {
                field_error(errors, FIELD_INVALID, FIELD(path, exclusive[i]),
                            json_object_get(schema, exclusive[i]),
                            "must be false if x-kubernetes-int-or-string is true");
            }
        }
    }
    if (check_text(schema, "type")[0] == '\0' && !is_true(schema, int_or_string) &&
        !is_true(schema, preserve) && !is_true(schema, embedded)) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "type"), NULL, "%s", details[level]);
    }
    if (check_is(schema, "type", "array") && !check_has(schema, "items")) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "items"), NULL, "must be specified");
    }
}

static void validate_schema(const json_t *schema, enum level level, const struct field_path *path,
                            struct field_errors *errors)
{
    const json_t *items = json_object_get(schema, "items");
    const json_t *more = json_object_get(schema, "additionalProperties");
    const char *name;
    json_t *property;
    validate_forbidden(schema, path, errors);
    validate_type(schema, level, path, errors);
    validate_merging(schema, path, errors);
    if (level == ROOT) {
        validate_root(schema, path, errors);
    }
    if (is_true(schema, embedded)) {
        validate_embedded(schema, path, errors);
    }
    validate_definition_default(schema, path, errors);
    validate_definition_rules(schema, path, errors);
    validate_combinations(schema, schema, path, path, errors);
    if (json_is_object(items)) {
        validate_schema(items, ITEM, FIELD(path, "items"), errors);
    }
    if (json_is_object(more)) {
        validate_schema(more, MEMBER, FIELD(path, "additionalProperties"), errors);
    }
    json_object_foreach (json_object_get(schema, "properties"), name, property) {
        /* What is told of metadata at the root is looked at there. */
        if (level != ROOT || strcmp(name, "metadata") != 0) {
            validate_schema(property, MEMBER, FIELD_KEY(FIELD(path, "properties"), name), errors);
        }
    }
}

void validate_definition_schema(const json_t *schema, const struct field_path *path,
                                struct field_errors *errors)
{
    validate_schema(schema, ROOT, path, errors);
}

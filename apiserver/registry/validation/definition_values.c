// SPDX-License-Identifier: Apache-2.0
/*
 * Values that a custom resource's schema holds: defaults must be valid by the schema that they are
 * defaults of. What narrows a schema down (allOf and the like) and patterns are left to the objects
 * that come. Trees are no deeper than bodies may be, so that recursion ends.
 */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/extensions.h"
#include "common/alloc.h"
#include "common/json.h"

/* Where the default is, and the path from it as the messages have it: "a.b". */
struct place {
    const struct field_path *path;
    const char *name;
    struct field_errors *errors;
};

static const char *type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
        return "integer";
    case JSON_REAL:
        return "number";
    case JSON_NULL:
        return "null";
    default:
        return "boolean";
    }
}

static bool has_type(const json_t *schema, const json_t *value)
{
    const char *wanted = check_text(schema, "type"), *type = type_of(value);
    if (json_get_bool(schema, "x-kubernetes-int-or-string", false)) {
        return json_is_integer(value) || json_is_string(value);
    }
    if (json_is_null(value)) {
        return json_get_bool(schema, "nullable", false);
    }
    if (strcmp(wanted, "integer") == 0 && json_is_real(value)) {
        double number = json_real_value(value);
        return number >= -9e18 && number <= 9e18 && number == (double)(json_int_t)number;
    }
    return wanted[0] == '\0' || strcmp(wanted, type) == 0 ||
           (strcmp(wanted, "number") == 0 && json_is_integer(value));
}

static const struct field_path *path_at(const struct place *place, struct field_path *below)
{
    *below = (struct field_path){.parent = place->path, .name = place->name};
    return place->name[0] != '\0' ? below : place->path;
}

static void validate_bounds(const struct place *place, const json_t *schema, const json_t *value)
{
    static const struct {
        const char *member, *words;
        bool least;
    } bounds[] = {
        {"minimum", "should be greater than or equal to", true},
        {"maximum", "should be less than or equal to", false},
    };
    struct field_path below;
    for (size_t i = 0; i < array_length(bounds) && json_is_number(value); i++) {
        const json_t *bound = json_object_get(schema, bounds[i].member);
        double distance = json_number_value(value) - json_number_value(bound);
        if (json_is_number(bound) && (bounds[i].least ? distance < 0 : distance > 0)) {
            cleanup(free_char)
            char *shown = json_text(bound);
            field_error(place->errors, FIELD_INVALID, path_at(place, &below), value,
                        "%s in body %s %s", place->name, bounds[i].words, shown);
        }
    }
}

static void validate_length(const struct place *place, const json_t *schema, const json_t *value)
{
    struct field_path below;
    json_int_t length = json_is_string(value) ? (json_int_t)json_string_length(value)
                                              : (json_int_t)json_array_size(value);
    json_int_t least = json_get_int(schema, json_is_string(value) ? "minLength" : "minItems", 0);
    json_int_t most =
        json_get_int(schema, json_is_string(value) ? "maxLength" : "maxItems", length);
    if (!json_is_string(value) && !json_is_array(value)) {
        return;
    }
    if (length > most && json_is_string(value)) {
        field_error(place->errors, FIELD_TOO_LONG, path_at(place, &below), NULL,
                    "may not be more than %lld bytes", (long long)most);
    } else if (length > most) {
        cleanup(json_release)
        json_t *count = json_integer(length);
        field_error(place->errors, FIELD_TOO_MANY, path_at(place, &below), count,
                    "must have at most %lld items", (long long)most);
    } else if (length < least) {
        field_error(place->errors, FIELD_INVALID, path_at(place, &below), value,
                    json_is_string(value) ? "%s in body should be at least %lld chars long"
                                          : "%s in body should have at least %lld items",
                    place->name, (long long)least);
    }
}

static void validate_enumeration(const struct place *place, const json_t *schema,
                                 const json_t *value)
{
    const json_t *allowed = json_object_get(schema, "enum");
    cleanup(free_char)
    char *shown = json_is_string(value) ? duplicate(json_string_value(value)) : json_text(value);
    const char **texts = allocate_zero(json_array_size(allowed) + 1, sizeof *texts);
    bool known = json_array_size(allowed) == 0;
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(allowed); i++) {
        const json_t *one = json_array_get(allowed, i);
        known = known || json_equal(one, value);
        if (json_is_string(one)) {
            texts[count++] = json_string_value(one);
        }
    }
    struct field_path below;
    if (!known) {
        check_not_supported(shown, texts, path_at(place, &below), place->errors);
    }
    free(texts);
}

static void validate_value(const struct place *place, const json_t *schema, const json_t *value);

static void validate_below(const struct place *place, const char *name, const json_t *schema,
                           const json_t *value)
{
    cleanup(free_char)
    char *longer = place->name[0] != '\0' ? format("%s.%s", place->name, name) : duplicate(name);
    const struct place below = {place->path, longer, place->errors};
    if (json_is_object(schema)) {
        validate_value(&below, schema, value);
    }
}

static void validate_members(const struct place *place, const json_t *schema, const json_t *value)
{
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *required = json_object_get(schema, "required");
    const char *name;
    json_t *member;
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *wanted = json_string_value(json_array_get(required, i));
        if (wanted != NULL && !check_has(value, wanted)) {
            cleanup(free_char)
            char *longer =
                place->name[0] != '\0' ? format("%s.%s", place->name, wanted) : duplicate(wanted);
            field_error(place->errors, FIELD_REQUIRED, FIELD(place->path, longer), NULL, NULL);
        }
    }
    json_object_foreach ((json_t *)value, name, member) {
        const json_t *property = json_object_get(properties, name);
        validate_below(place, name,
                       property ? property : json_object_get(schema, "additionalProperties"),
                       member);
    }
}

static void validate_value(const struct place *place, const json_t *schema, const json_t *value)
{
    struct field_path below;
    if (!has_type(schema, value)) {
        cleanup(json_release)
        json_t *type = json_string(type_of(value));
        field_error(place->errors, FIELD_TYPE_INVALID, path_at(place, &below), type,
                    "%s in body must be of type %s: \"%s\"", place->name,
                    check_text(schema, "type"), type_of(value));
        return;
    }
    validate_bounds(place, schema, value);
    validate_length(place, schema, value);
    validate_enumeration(place, schema, value);
    if (json_is_object(value)) {
        validate_members(place, schema, value);
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        cleanup(free_char)
        char *index = format("%zu", i);
        validate_below(place, index, json_object_get(schema, "items"), json_array_get(value, i));
    }
}

/* ---- what the schema doesn't know ---- */

static bool is_known(const json_t *schema, const json_t *value)
{
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *more = json_object_get(schema, "additionalProperties");
    const json_t *items = json_object_get(schema, "items");
    bool open = json_get_bool(schema, "x-kubernetes-preserve-unknown-fields", false) ||
                json_get_bool(schema, "x-kubernetes-embedded-resource", false) ||
                json_is_true(more);
    bool known = true;
    const char *name;
    json_t *member;
    json_object_foreach ((json_t *)value, name, member) {
        const json_t *told = json_object_get(properties, name);
        told = told ? told : json_is_object(more) ? more : NULL;
        known = known && (told ? is_known(told, member) : open);
    }
    for (size_t i = 0; i < json_array_size(value) && json_is_object(items); i++) {
        known = known && is_known(items, json_array_get(value, i));
    }
    return known;
}

void validate_definition_default(const json_t *schema, const struct field_path *path,
                                 struct field_errors *errors)
{
    const json_t *value = json_object_get(schema, "default");
    const struct field_path *here = FIELD(path, "default");
    if (value == NULL) {
        return;
    }
    if (!is_known(schema, value)) {
        field_error(errors, FIELD_INVALID, here, value, "must not have unknown fields");
    }
    validate_value(&(const struct place){here, "", errors}, schema, value);
}

/* ---- rules ---- */

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n\v\f")] == '\0';
}

static bool has_lines(const char *text)
{
    /* At the ends they say nothing. */
    text += strspn(text, " \t\r\n\v\f");
    const char *line = strpbrk(text, "\r\n");
    return line != NULL && !is_blank(line);
}

/* Expressions are not compiled: nothing evaluates them. */
static void validate_rule(const json_t *rule, const struct field_path *path,
                          struct field_errors *errors)
{
    static const char *const reasons[] = {"FieldValueRequired", "FieldValueForbidden",
                                          "FieldValueInvalid", "FieldValueDuplicate", NULL};
    const char *expression = check_text(rule, "rule"), *message = check_text(rule, "message");
    const char *at = check_text(rule, "fieldPath");
    const json_t *computed = json_object_get(rule, "messageExpression");
    if (is_blank(expression)) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "rule"), NULL, "rule is not specified");
    }
    if (message[0] != '\0' && is_blank(message)) {
        check_invalid_text(message, "message must be non-empty if specified",
                           FIELD(path, "message"), errors);
    } else if (has_lines(message)) {
        check_invalid_text(message, "message must not contain line breaks", FIELD(path, "message"),
                           errors);
    } else if (has_lines(expression) && is_blank(message)) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "message"), NULL,
                    "message must be specified if rule contains line breaks");
    }
    if (json_string_length(computed) > 0 && is_blank(json_string_value(computed))) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "messageExpression"), NULL,
                    "messageExpression must be non-empty if specified");
    }
    if (check_has(rule, "reason") && !check_one_of(check_text(rule, "reason"), reasons)) {
        check_not_supported(check_text(rule, "reason"), reasons, FIELD(path, "reason"), errors);
    }
    if (at[0] != '\0' && is_blank(at)) {
        check_invalid_text(at, "fieldPath must be non-empty if specified", FIELD(path, "fieldPath"),
                           errors);
    }
    if (strpbrk(at, "\r\n") != NULL) {
        check_invalid_text(at, "fieldPath must not contain line breaks", FIELD(path, "fieldPath"),
                           errors);
    }
}

void validate_definition_rules(const json_t *schema, const struct field_path *path,
                               struct field_errors *errors)
{
    static const char name[] = "x-kubernetes-validations";
    const json_t *rules = json_object_get(schema, name);
    for (size_t i = 0; i < json_array_size(rules); i++) {
        validate_rule(json_array_get(rules, i), FIELD_INDEX(FIELD(path, name), i), errors);
    }
}

// SPDX-License-Identifier: Apache-2.0
/* From the attributes of a field to its schema. */
#include "api-schemas/compiler.h"

#include <string.h>

#include "common/alloc.h"

static const struct {
    const char *name;
    enum schema_type type;
} type_words[] = {
    {"string", SCHEMA_STRING},
    {"bool", SCHEMA_BOOLEAN},
    {"int32", SCHEMA_INT32},
    {"int64", SCHEMA_INT64},
    {"double", SCHEMA_DOUBLE},
    {"bytes", SCHEMA_BYTES},
    {"time", SCHEMA_TIME},
    {"microtime", SCHEMA_MICRO_TIME},
    {"duration", SCHEMA_DURATION},
    {"quantity", SCHEMA_QUANTITY},
    {"intorstring", SCHEMA_INT_OR_STRING},
    {"fieldsv1", SCHEMA_FIELDS_V1},
    {"json", SCHEMA_JSON},
    {"raw", SCHEMA_RAW},
};

static const struct {
    const char *name;
    enum schema_format format;
} format_words[] = {
    {"label", SCHEMA_FORMAT_DNS_LABEL},
    {"subdomain", SCHEMA_FORMAT_DNS_SUBDOMAIN},
    {"label1035", SCHEMA_FORMAT_DNS_1035},
    {"qualified", SCHEMA_FORMAT_QUALIFIED},
    {"label-value", SCHEMA_FORMAT_LABEL_VALUE},
    {"path-segment", SCHEMA_FORMAT_PATH_SEGMENT},
    {"ip", SCHEMA_FORMAT_IP},
    {"cidr", SCHEMA_FORMAT_CIDR},
    {"port-name", SCHEMA_FORMAT_PORT_NAME},
    {"config-key", SCHEMA_FORMAT_CONFIG_KEY},
    {"env-name", SCHEMA_FORMAT_ENV_NAME},
    {"url", SCHEMA_FORMAT_URL},
};

struct schema *object_schema(struct compiler *compiler, const struct type *type)
{
    struct schema *schema = arena_allocate(compiler, sizeof(*schema));
    schema->type = type->is_union ? SCHEMA_JSON : SCHEMA_OBJECT;
    schema->object = &type->object;
    schema->atomic = type->object.atomic;
    return schema;
}

static const char pointer_word[] = "pointer ";

static bool is_pointer(const char *words)
{
    return strncmp(words, pointer_word, strlen(pointer_word)) == 0;
}

/* "list map Pod", "pointer int32": one word after the other. */
static struct schema *parse_type(struct compiler *compiler, const struct source *source,
                                 const struct node *at, const char *words)
{
    bool is_list = strncmp(words, "list ", 5) == 0;
    words += is_pointer(words) ? strlen(pointer_word) : 0;
    if (is_list || strncmp(words, "map ", 4) == 0) {
        struct schema *items = parse_type(compiler, source, at, words + (is_list ? 5 : 4));
        if (items == NULL) {
            return NULL;
        }
        struct schema *schema = arena_allocate(compiler, sizeof(*schema));
        schema->type = is_list ? SCHEMA_LIST : SCHEMA_MAP;
        schema->items = items;
        return schema;
    }
    if (strcmp(words, "resources") == 0) {
        struct schema *schema = parse_type(compiler, source, at, "map quantity");
        schema->rounded = true;
        return schema;
    }
    for (size_t i = 0; i < array_length(type_words); i++) {
        if (strcmp(type_words[i].name, words) == 0) {
            struct schema *schema = arena_allocate(compiler, sizeof(*schema));
            schema->type = type_words[i].type;
            return schema;
        }
    }
    const struct type *type = find_type(compiler, source, words);
    if (type == NULL) {
        complain(compiler, at, "unknown type \"%s\"", words);
        return NULL;
    }
    return object_schema(compiler, type);
}

static bool is_flag_set(struct compiler *compiler, const struct node *node, const char *key)
{
    const struct node *value = node_get(node, key);
    if (value == NULL) {
        return false;
    }
    bool is_true = value->kind == NODE_SCALAR && strcmp(value->text, "true") == 0;
    if (!is_true && (value->kind != NODE_SCALAR || strcmp(value->text, "false") != 0)) {
        complain(compiler, value, "\"%s\" must be true or false", key);
    }
    return is_true;
}

/* What minimum, maximum and enum are about: the elements of a list or map, else the value itself.
 */
static struct schema *innermost(struct schema *schema)
{
    while (schema->type == SCHEMA_LIST || schema->type == SCHEMA_MAP) {
        schema = (struct schema *)schema->items;
    }
    return schema;
}

static void apply_limits(struct compiler *compiler, struct schema *schema, const struct node *node)
{
    struct schema *inner = innermost(schema);
    bool is_number =
        inner->type == SCHEMA_INT32 || inner->type == SCHEMA_INT64 || inner->type == SCHEMA_DOUBLE;
    const struct node *minimum = node_get(node, "min");
    const struct node *maximum = node_get(node, "max");
    if ((minimum != NULL || maximum != NULL) && !is_number) {
        complain(compiler, minimum != NULL ? minimum : maximum,
                 "only numbers have a minimum or maximum");
        return;
    }
    if (minimum != NULL) {
        inner->has_minimum = true;
        inner->minimum = model_integer(compiler, minimum);
    }
    if (maximum != NULL) {
        inner->has_maximum = true;
        inner->maximum = model_integer(compiler, maximum);
    }
    if (minimum != NULL && maximum != NULL && inner->minimum > inner->maximum) {
        complain(compiler, minimum, "the minimum is above the maximum");
    }
    const struct node *max_length = node_get(node, "max_length");
    if (max_length != NULL) {
        schema->max_length = model_integer(compiler, max_length);
        if (schema->type != SCHEMA_STRING && schema->type != SCHEMA_LIST) {
            complain(compiler, max_length, "only strings and lists have a length");
        }
    }
}

static void apply_string_rules(struct compiler *compiler, struct schema *schema,
                               const struct node *node)
{
    struct schema *inner = innermost(schema);
    const struct node *enumeration = node_get(node, "enum");
    if (enumeration != NULL) {
        inner->enumeration = model_strings(compiler, enumeration);
        if (inner->type != SCHEMA_STRING) {
            complain(compiler, enumeration, "only strings have an enumeration");
        }
    }
    const struct node *format = node_get(node, "format");
    if (format == NULL) {
        return;
    }
    for (size_t i = 0; i < array_length(format_words); i++) {
        if (format->kind == NODE_SCALAR && strcmp(format_words[i].name, format->text) == 0) {
            schema->format = format_words[i].format;
        }
    }
    if (schema->format == SCHEMA_FORMAT_NONE) {
        complain(compiler, format, "unknown format");
    }
    bool has_strings = schema->type == SCHEMA_MAP || inner->type == SCHEMA_STRING;
    if (!has_strings) {
        complain(compiler, format, "only strings and the keys of maps have a format");
    }
}

static void apply_list_rules(struct compiler *compiler, struct schema *schema,
                             const struct node *node)
{
    const struct node *list = node_get(node, "list");
    const struct node *keys = node_get(node, "keys");
    const struct node *merge = node_get(node, "merge");
    const struct node *unique = node_get(node, "unique");
    const struct node *about_lists = list != NULL    ? list
                                     : keys != NULL  ? keys
                                     : merge != NULL ? merge
                                                     : unique;
    if (about_lists != NULL && schema->type != SCHEMA_LIST) {
        complain(compiler, about_lists, "only a list has list, keys, unique or merge");
        return;
    }
    if (list != NULL) {
        static const char *const words[] = {"atomic", "set", "map"};
        size_t word = 0;
        while (word < array_length(words) &&
               (list->kind != NODE_SCALAR || strcmp(words[word], list->text) != 0)) {
            word++;
        }
        if (word == array_length(words)) {
            complain(compiler, list, "a list is atomic, set or map");
            return;
        }
        schema->list_type = (enum schema_list_type)word;
    }
    if ((schema->list_type == SCHEMA_LIST_MAP) != (keys != NULL)) {
        complain(compiler, about_lists, "a list that is a map has keys, and no other");
    }
    schema->list_keys = keys != NULL ? model_strings(compiler, keys) : NULL;
    schema->unique = is_flag_set(compiler, node, "unique");
    if (schema->unique && schema->list_type == SCHEMA_LIST_ATOMIC) {
        complain(compiler, node, "only a list that is a set or map is unique");
    }
    schema->patch_merge = merge != NULL;
    if (merge != NULL && (merge->kind != NODE_SCALAR || strcmp(merge->text, "true") != 0)) {
        schema->merge_key = merge->text;
    }
}

struct schema *field_schema(struct compiler *compiler, const struct type *type,
                            const struct field_text *text)
{
    if (text->type == NULL || text->type->kind != NODE_SCALAR) {
        complain(compiler, text->name, "field %s has no type", text->name->text);
        return NULL;
    }
    struct schema *schema = parse_type(compiler, type->source, text->type, text->type->text);
    if (schema == NULL) {
        return NULL;
    }
    apply_limits(compiler, schema, text->node);
    apply_string_rules(compiler, schema, text->node);
    apply_list_rules(compiler, schema, text->node);
    if (node_get(text->node, "atomic") != NULL) {
        schema->atomic = is_flag_set(compiler, text->node, "atomic");
        if (schema->type != SCHEMA_MAP && schema->type != SCHEMA_OBJECT) {
            complain(compiler, text->name, "only a map or an object can be atomic");
        }
    }
    if (is_flag_set(compiler, text->node, "wrapped")) {
        struct schema *list = schema->type == SCHEMA_MAP ? (struct schema *)schema->items : schema;
        list->wrapped = true;
        if (list->type != SCHEMA_LIST) {
            complain(compiler, text->name, "only a list can be wrapped");
        }
    }
    schema->patch_retain_keys = is_flag_set(compiler, text->node, "retain_keys");
    schema->nullable = is_flag_set(compiler, text->node, "nullable");
    schema->preserve_unknown = is_flag_set(compiler, text->node, "preserve_unknown");
    schema->embedded = is_flag_set(compiler, text->node, "embedded");
    return schema;
}

/* That 'name' is a field of the elements of a list. */
static void check_item_field(struct compiler *compiler, const struct schema *list,
                             const struct node *at, const char *name)
{
    const struct schema *items = list->items;
    if (items->type != SCHEMA_OBJECT) {
        complain(compiler, at, "the elements of this list have no field \"%s\"", name);
    } else if (schema_field_find(items->object, name) == NULL) {
        complain(compiler, at, "%s has no field \"%s\"", items->object->name, name);
    }
}

/* What Go writes for a field that is not set and has no "omitempty"; NULL where that is more than a
 * word (a struct has the default {} in the files) or never accepted. */
static const char *zero_text(const struct schema *schema, bool required)
{
    switch (schema->type) {
    case SCHEMA_BOOLEAN:
        return "false";
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_DOUBLE:
        return "0";
    case SCHEMA_STRING:
        return required ? NULL : "\"\"";
    case SCHEMA_QUANTITY:
        return required ? NULL : "\"0\"";
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
    case SCHEMA_BYTES:
    case SCHEMA_LIST:
    case SCHEMA_MAP:
        return required ? NULL : "null";
    default:
        return NULL;
    }
}

static bool can_be_empty(const struct schema *schema)
{
    return zero_text(schema, false) != NULL && schema->type != SCHEMA_QUANTITY &&
           schema->type != SCHEMA_TIME && schema->type != SCHEMA_MICRO_TIME;
}

/* Go writes a field that is zero unless it has "omitempty", and one that is a pointer
 * when it is set at all. What OpenAPI calls required has no "omitempty". A zero gives way to
 * a default in any case. */
static void decide_zero(struct compiler *compiler, const struct field_text *text,
                        const struct schema_field *field)
{
    struct schema *schema = text->schema;
    bool pointer = is_pointer(text->type->text);
    bool required = field->presence == SCHEMA_REQUIRED;
    const char *zero = zero_text(schema, false);
    bool is_zero =
        schema->default_value != NULL && zero != NULL && strcmp(schema->default_value, zero) == 0;
    bool defaults = schema->default_value != NULL;
    bool written =
        is_flag_set(compiler, text->node, "written") || field->presence != SCHEMA_OPTIONAL;
    if (!pointer && written && schema->default_value == NULL) {
        schema->default_value = zero_text(schema, required);
    }
    schema->omits_zero = !pointer && (!written || defaults) && !is_zero && can_be_empty(schema);
}

void field_check(struct compiler *compiler, const struct field_text *text,
                 const struct schema_field *field)
{
    struct schema *schema = text->schema;
    for (size_t i = 0; schema->list_keys != NULL && schema->list_keys[i] != NULL; i++) {
        const struct node *keys = node_get(text->node, "keys");
        check_item_field(compiler, schema, keys->values[i], schema->list_keys[i]);
    }
    if (schema->merge_key != NULL) {
        check_item_field(compiler, schema, node_get(text->node, "merge"), schema->merge_key);
    }
    if (text->default_value != NULL) {
        schema->default_value = defaults_text(compiler, schema, text->default_value);
    }
    decide_zero(compiler, text, field);
}

// SPDX-License-Identifier: Apache-2.0
/* Defaults: from YAML to the JSON text that the tables hold, checked against the schema. */
#include "api-schemas/compiler.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

static json_t *default_value(struct compiler *compiler, const struct schema *schema,
                             const struct node *value);

static bool is_integer(const struct node *value)
{
    char *end = NULL;
    if (value->kind != NODE_SCALAR || value->quoted || value->text[0] == '\0') {
        return false;
    }
    strtoll(value->text, &end, 10);
    return *end == '\0';
}

static json_t *default_integer(struct compiler *compiler, const struct schema *schema,
                               const struct node *value)
{
    if (!is_integer(value)) {
        complain(compiler, value, "the default must be an integer");
        return NULL;
    }
    int64_t number = strtoll(value->text, NULL, 10);
    if ((schema->has_minimum && number < schema->minimum) ||
        (schema->has_maximum && number > schema->maximum) ||
        (schema->type == SCHEMA_INT32 && number != (int32_t)number)) {
        complain(compiler, value, "the default %s is out of range", value->text);
    }
    return json_integer(number);
}

static json_t *default_string(struct compiler *compiler, const struct schema *schema,
                              const struct node *value)
{
    bool known = schema->enumeration == NULL;
    for (size_t i = 0; !known && schema->enumeration[i] != NULL; i++) {
        known = strcmp(schema->enumeration[i], value->text) == 0;
    }
    if (!known) {
        complain(compiler, value, "the default \"%s\" is not among the values of \"enum\"",
                 value->text);
    }
    return json_string(value->text);
}

static json_t *default_boolean(struct compiler *compiler, const struct node *value)
{
    bool is_true = strcmp(value->text, "true") == 0;
    if (value->quoted || (!is_true && strcmp(value->text, "false") != 0)) {
        complain(compiler, value, "the default must be true or false");
        return NULL;
    }
    return json_boolean(is_true);
}

static json_t *default_scalar(struct compiler *compiler, const struct schema *schema,
                              const struct node *value)
{
    switch (schema->type) {
    case SCHEMA_STRING:
    case SCHEMA_QUANTITY:
    case SCHEMA_DURATION:
        return default_string(compiler, schema, value);
    case SCHEMA_INT_OR_STRING:
        return is_integer(value) ? json_integer(strtoll(value->text, NULL, 10))
                                 : json_string(value->text);
    case SCHEMA_BOOLEAN:
        return default_boolean(compiler, value);
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return default_integer(compiler, schema, value);
    default:
        complain(compiler, value, "the default does not fit the type of the field");
        return NULL;
    }
}

static json_t *default_list(struct compiler *compiler, const struct schema *schema,
                            const struct node *value)
{
    json_t *list = json_array();
    for (size_t i = 0; i < value->count; i++) {
        json_t *item = default_value(compiler, schema->items, value->values[i]);
        if (item != NULL) {
            json_array_append_new(list, item);
        }
    }
    return list;
}

static json_t *default_mapping(struct compiler *compiler, const struct schema *schema,
                               const struct node *value)
{
    json_t *object = json_object();
    for (size_t i = 0; i < value->count; i++) {
        const struct schema *member = schema->items;
        const char *key = value->keys[i]->text;
        if (schema->type == SCHEMA_OBJECT) {
            const struct schema_field *field = schema_field_find(schema->object, key);
            member = field != NULL ? field->schema : NULL;
        }
        if (member == NULL) {
            complain(compiler, value->keys[i], "the default has an unknown field \"%s\"", key);
            continue;
        }
        json_t *item = default_value(compiler, member, value->values[i]);
        if (item != NULL) {
            json_object_set_new(object, key, item);
        }
    }
    return object;
}

static json_t *default_value(struct compiler *compiler, const struct schema *schema,
                             const struct node *value)
{
    bool is_mapping = schema->type == SCHEMA_OBJECT || schema->type == SCHEMA_MAP;
    if (value->kind == NODE_SCALAR) {
        return default_scalar(compiler, schema, value);
    }
    if (value->kind == NODE_SEQUENCE && schema->type == SCHEMA_LIST) {
        return default_list(compiler, schema, value);
    }
    if (value->kind == NODE_MAPPING && is_mapping) {
        return default_mapping(compiler, schema, value);
    }
    complain(compiler, value, "the default does not fit the type of the field");
    return NULL;
}

const char *defaults_text(struct compiler *compiler, const struct schema *schema,
                          const struct node *value)
{
    json_t *tree = default_value(compiler, schema, value);
    if (tree == NULL) {
        return NULL;
    }
    char *text = json_text(tree);
    const char *kept = arena_duplicate(compiler, text, strlen(text));
    free(text);
    json_decref(tree);
    return kept;
}

// SPDX-License-Identifier: Apache-2.0
#include "common/alloc.h"
#include "common/json.h"
#include "common/schema_rules.h"

static void fill_object(const struct schema_object *object, json_t *value)
{
    for (size_t i = 0; i < object->field_count; i++) {
        const struct schema_field *field = &object->fields[i];
        json_t *member = json_object_get(value, field->name);
        if (field->schema->default_value != NULL && member == NULL) {
            const char *text = field->schema->default_value;
            member = json_loads(text, JSON_DECODE_ANY, NULL);
            json_object_set_new(value, field->name, member);
        }
        if (member != NULL) {
            schema_default(field->schema, member);
        }
    }
}

/* Something at or below this may have a default. */
static bool may_have_defaults(const struct schema *schema)
{
    while (schema->type == SCHEMA_LIST || schema->type == SCHEMA_MAP) {
        schema = schema->items;
    }
    return schema->type == SCHEMA_OBJECT && schema->object->has_defaults;
}

void schema_default(const struct schema *schema, json_t *value)
{
    if (!may_have_defaults(schema)) {
        return;
    }
    if (schema->type == SCHEMA_OBJECT && json_is_object(value)) {
        fill_object(schema->object, value);
    } else if (schema->type == SCHEMA_LIST) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            schema_default(schema->items, json_array_get(value, i));
        }
    } else if (schema->type == SCHEMA_MAP) {
        const char *key;
        json_t *member;
        json_object_foreach (value, key, member) {
            schema_default(schema->items, member);
        }
    }
}

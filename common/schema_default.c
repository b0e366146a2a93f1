// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/schema_members.h"
#include "common/schema_rules.h"

/* Something at or below this may have a default. */
static bool may_have_defaults(const struct schema *schema)
{
    while (schema->type == SCHEMA_LIST || schema->type == SCHEMA_MAP) {
        schema = schema->items;
    }
    return schema->type == SCHEMA_OBJECT && schema->object->has_defaults;
}

/* The value of JSON text. Most defaults are plain strings, for which a parser is much ado. */
static json_t *value_of(const char *text)
{
    size_t length = strlen(text);
    if (length >= 2 && text[0] == '"' && memchr(text, '\\', length) == NULL) {
        return json_stringn_nocheck(text + 1, length - 2);
    }
    return json_parse_known(text, length);
}

static void fill_object(const struct schema_object *object, json_t *value)
{
    struct schema_members members;
    schema_members_collect(&members, object, value);
    for (size_t i = 0; i < object->field_count; i++) {
        const struct schema_field *field = &object->fields[i];
        const char *text = field->schema->default_value;
        json_t *member = schema_members_get(&members, object, i);
        if (text != NULL && member == NULL) {
            member = value_of(text);
            json_object_set_new_nocheck(value, field->name, member);
        }
        if (member != NULL) {
            schema_default(field->schema, member);
        }
    }
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

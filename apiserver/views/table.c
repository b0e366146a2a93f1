// SPDX-License-Identifier: Apache-2.0
/* Tables: what kubectl prints, computed from the columns that the schemas describe. */
#include <string.h>

#include "apiserver/views/columns.h"
#include "apiserver/views/render.h"
#include "common/alloc.h"
#include "common/json.h"

void table_columns(const struct resource *resource, struct buffer *out)
{
    cleanup(json_release)
    json_t *columns = json_array();
    for (size_t i = 0; i < resource->column_count; i++) {
        const struct resource_column *column = &resource->columns[i];
        json_array_append_new(columns, json_pack("{s:s, s:s, s:s, s:s, s:i}", "name", column->name,
                                                 "type", column->type, "format",
                                                 column->format ? column->format : "",
                                                 "description", column->doc ? column->doc : "",
                                                 "priority", column->priority));
    }
    json_encode(columns, out);
}

/* The value at ".a.b.c". */
static const json_t *value_at(const json_t *object, const char *path, size_t length)
{
    const char *end = path + length;
    while (path < end && object != NULL) {
        path++; /* The dot. */
        size_t step = 0;
        while (path + step < end && path[step] != '.') {
            step++;
        }
        object = json_object_getn(object, path, step);
        path += step;
    }
    return object;
}

/* A plain path: the value itself, or what the field's type has for none. */
static json_t *plain_cell(const struct resource *resource, const char *path, const json_t *value)
{
    if (value != NULL && !json_is_null(value)) {
        return json_incref((json_t *)value);
    }
    const struct schema_field *field = schema_find_path(resource->schema, path + 1);
    switch (field ? field->schema->type : SCHEMA_STRING) {
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return json_integer(0);
    case SCHEMA_BOOLEAN:
        return json_false();
    default:
        return json_string("");
    }
}

static json_t *function_cell(const struct resource_column *column, const json_t *object)
{
    struct column_input input = {.object = object};
    column_function function = column_find(column->value);
    for (const char *at = strchr(column->value, ' '); at != NULL && input.count < column_paths_max;
         at = strchr(at, ' ')) {
        at += strspn(at, " ");
        input.values[input.count++] = value_at(object, at, strcspn(at, " "));
    }
    return function ? function(&input) : json_string("<unknown>");
}

void table_cells(const struct object *object, const struct resource *resource, struct buffer *out)
{
    cleanup(json_release)
    json_t *tree = object_tree(object);
    buffer_add_char(out, '[');
    for (size_t i = 0; i < resource->column_count; i++) {
        const struct resource_column *column = &resource->columns[i];
        cleanup(json_release)
        json_t *cell = column->value[0] == '.'
                           ? plain_cell(object->class->resource, column->value,
                                        value_at(tree, column->value, strlen(column->value)))
                           : function_cell(column, tree);
        if (i > 0) {
            buffer_add_char(out, ',');
        }
        json_encode(cell, out);
    }
    buffer_add_char(out, ']');
}

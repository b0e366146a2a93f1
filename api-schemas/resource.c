// SPDX-License-Identifier: Apache-2.0
/* Ties resources to types, and checks what they say: columns, selectable fields, subresources. */
#include "api-schemas/compiler.h"

#include <string.h>

#include "common/alloc.h"

/* ---- lists ---- */

static void make_list(struct compiler *compiler, struct resource_text *text)
{
    struct resource *resource = &text->resource;
    struct type *item = find_type(compiler, text->source, resource->kind);
    struct type *metadata = find_type(compiler, text->source, "ListMeta");
    resource->list_kind = arena_format(compiler, "%sList", resource->kind);
    if (item == NULL || metadata == NULL) {
        return; /* Complained about later, or by nobody who lists. */
    }
    struct type *list = model_make_type(compiler, text->source, text->node, resource->list_kind, 2);
    list->form = TYPE_BARE;
    list->object.doc = arena_format(compiler, "A list of %s objects.", resource->kind);
    struct schema *items = arena_allocate(compiler, sizeof(*items));
    items->type = SCHEMA_LIST;
    items->items = object_schema(compiler, item);
    list->field_count = 2;
    list->texts[0] = (struct field_text){
        .name = text->node, .has_number = true, .schema = object_schema(compiler, metadata)};
    list->texts[1] = (struct field_text){.name = text->node, .has_number = true, .schema = items};
    list->fields[0] = (struct schema_field){
        .name = "metadata", .doc = "What the server notes about the list.", .number = 1};
    list->fields[1] = (struct schema_field){
        .name = "items", .doc = "The objects.", .number = 2, .presence = SCHEMA_DOCUMENTED};
    resource->list_schema = object_schema(compiler, list);
}

void resources_make_lists(struct compiler *compiler)
{
    for (size_t i = 0; i < compiler->resource_count; i++) {
        if ((compiler->resources[i]->resource.verbs & VERB_LIST) != 0) {
            make_list(compiler, compiler->resources[i]);
        }
    }
}

/* ---- paths ---- */

/* Follows ".spec.capacity.storage", a step through a map being a key of it. '*field' becomes the
 * last field on the way. */
static bool path_leads_somewhere(const struct schema *schema, const char *path, size_t length,
                                 const struct schema_field **field)
{
    const char *end = path + length;
    while (path < end) {
        if (*path++ != '.') {
            return false;
        }
        size_t step = 0;
        while (path + step < end && path[step] != '.') {
            step++;
        }
        if (schema->type == SCHEMA_MAP) {
            schema = schema->items;
        } else if (schema->type == SCHEMA_OBJECT) {
            cleanup(free_char)
            char *name = duplicate_bytes(path, step);
            *field = schema_field_find(schema->object, name);
            if (*field == NULL) {
                return false;
            }
            schema = (*field)->schema;
        } else {
            return false;
        }
        path += step;
    }
    return true;
}

/* Checks the paths in "function .path .path"; returns the field that the first one leads to, or
 * NULL when there is none. */
static const struct schema_field *check_value(struct compiler *compiler,
                                              const struct schema *schema, const struct node *value)
{
    const struct schema_field *first = NULL;
    const char *word = value->text;
    while (*word != '\0') {
        size_t length = strcspn(word, " ");
        const struct schema_field *field = NULL;
        if (*word == '.' && !path_leads_somewhere(schema, word, length, &field)) {
            complain(compiler, value, "the path %.*s leads nowhere", (int)length, word);
        }
        first = first != NULL ? first : field;
        word += length;
        word += strspn(word, " ");
    }
    return first;
}

/* ---- columns ---- */

static bool check_column_keys(struct compiler *compiler, const struct node *node)
{
    static const char *const known[] = {"name", "type", "format", "wide", "value", "doc"};
    if (node->kind != NODE_MAPPING) {
        complain(compiler, node, "expected a mapping of a column");
        return false;
    }
    bool right = true;
    for (size_t i = 0; i < node->count; i++) {
        size_t k = 0;
        while (k < array_length(known) && strcmp(known[k], node->keys[i]->text) != 0) {
            k++;
        }
        if (k == array_length(known)) {
            complain(compiler, node->keys[i], "unknown key \"%s\" in a column",
                     node->keys[i]->text);
            right = false;
        } else if (node->values[i]->kind != NODE_SCALAR) {
            complain(compiler, node->values[i], "expected a string");
            right = false;
        }
    }
    if (node_get(node, "name") == NULL || node_get(node, "value") == NULL) {
        complain(compiler, node, "a column has a name and a value");
        right = false;
    }
    return right;
}

static const char *text_of(const struct node *mapping, const char *key, const char *otherwise)
{
    const struct node *value = node_get(mapping, key);
    return value != NULL ? value->text : otherwise;
}

static void check_column_type(struct compiler *compiler, const struct node *node, const char *type)
{
    static const char *const types[] = {"string", "integer", "number", "boolean", "date"};
    for (size_t i = 0; i < array_length(types); i++) {
        if (strcmp(types[i], type) == 0) {
            return;
        }
    }
    complain(compiler, node, "unknown column type \"%s\"", type);
}

/* A column that shows a member is documented as the member is, unless it says otherwise. */
static const char *column_doc(const struct resource *resource, const struct node *node,
                              const struct schema_field *field)
{
    if (field == NULL && strcmp(text_of(node, "value", ""), "age") == 0) {
        field = schema_find_path(resource->schema, "metadata.creationTimestamp");
    }
    return text_of(node, "doc", field != NULL ? field->doc : "");
}

static void resolve_columns(struct compiler *compiler, struct resource_text *text)
{
    if (text->columns == NULL) {
        return;
    }
    if (text->columns->kind != NODE_SEQUENCE) {
        complain(compiler, text->columns, "expected a list of columns");
        return;
    }
    struct resource_column *columns =
        arena_allocate(compiler, text->columns->count * sizeof(*columns));
    for (size_t i = 0; i < text->columns->count; i++) {
        const struct node *node = text->columns->values[i];
        if (!check_column_keys(compiler, node)) {
            continue;
        }
        const struct node *value = node_get(node, "value");
        columns[i] = (struct resource_column){
            .name = text_of(node, "name", ""),
            .type = text_of(node, "type", "string"),
            .format = text_of(node, "format", ""),
            .priority = strcmp(text_of(node, "wide", "false"), "true") == 0,
            .value = value->text,
        };
        columns[i].doc =
            column_doc(&text->resource, node, check_value(compiler, text->resource.schema, value));
        check_column_type(compiler, node, columns[i].type);
    }
    text->resource.columns = columns;
    text->resource.column_count = text->columns->count;
}

/* ---- selectable fields ---- */

static void resolve_selectable(struct compiler *compiler, struct resource_text *text)
{
    size_t count = text->selectable != NULL ? text->selectable->count : 0;
    const char **names = arena_allocate(compiler, (count + 1) * sizeof(*names));
    const char **paths = arena_allocate(compiler, (count + 1) * sizeof(*paths));
    for (size_t i = 0; i < count; i++) {
        const struct node *node = text->selectable->values[i];
        const struct node *name = node->kind == NODE_MAPPING ? node_get(node, "name") : node;
        const struct node *value = node->kind == NODE_MAPPING ? node_get(node, "value") : NULL;
        if (name == NULL || name->kind != NODE_SCALAR ||
            (value == NULL ? node->kind != NODE_SCALAR : value->kind != NODE_SCALAR)) {
            complain(compiler, node, "a selectable field is a path, or has a name and a value");
            continue;
        }
        names[i] = name->text;
        paths[i] = value != NULL ? value->text : arena_format(compiler, ".%s", name->text);
        const struct schema_field *field = NULL;
        if (!path_leads_somewhere(text->resource.schema, paths[i], strlen(paths[i]), &field)) {
            complain(compiler, node, "the selectable field %s leads nowhere", paths[i]);
        }
    }
    text->resource.selectable_fields = names;
    text->resource.selectable_paths = paths;
}

/* ---- subresources and storage ---- */

static void resolve_subresources(struct compiler *compiler, struct resource_text *text)
{
    struct resource_subresource *subresources =
        (struct resource_subresource *)text->resource.subresources;
    for (size_t i = 0; i < text->resource.subresource_count; i++) {
        const struct type *type = find_type(compiler, text->source, subresources[i].kind);
        if (type == NULL || type->form == TYPE_PLAIN) {
            complain(compiler, text->subresources->keys[i], "\"%s\" is no kind",
                     subresources[i].kind);
            continue;
        }
        subresources[i].group = type->source->group;
        subresources[i].version = type->source->version;
        subresources[i].kind = type->name;
        subresources[i].schema = object_schema(compiler, type);
    }
}

static bool is_api_version(const struct resource *resource, const char *api_version)
{
    cleanup(free_char)
    char *own = resource->group[0] == '\0' ? duplicate(resource->version)
                                           : format("%s/%s", resource->group, resource->version);
    return strcmp(own, api_version) == 0;
}

static void resolve_storage(struct compiler *compiler, struct resource_text *text)
{
    if (text->stored_as == NULL) {
        return;
    }
    for (size_t i = 0; i < compiler->resource_count; i++) {
        const struct resource *other = &compiler->resources[i]->resource;
        if (strcmp(other->plural, text->resource.plural) != 0 ||
            text->stored_as->kind != NODE_SCALAR || !is_api_version(other, text->stored_as->text)) {
            continue;
        }
        text->resource.storage_group = other->group;
        text->resource.storage_version = other->version;
        if (strcmp(other->storage_prefix, text->resource.storage_prefix) != 0) {
            complain(compiler, text->stored_as, "%s is stored under %s", text->stored_as->text,
                     other->storage_prefix);
        }
        return;
    }
    complain(compiler, text->stored_as, "there is no resource %s in that version",
             text->resource.plural);
}

/* ---- names ---- */

static bool is_short_name(const struct resource *resource, const char *name)
{
    for (size_t i = 0; resource->short_names[i] != NULL; i++) {
        if (strcmp(resource->short_names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* The same resource in another version or group (events, ingresses) shares its short names. */
static void check_names(struct compiler *compiler, const struct resource_text *text,
                        const struct resource_text *other)
{
    const struct resource *one = &text->resource;
    const struct resource *two = &other->resource;
    bool same_plural = strcmp(one->plural, two->plural) == 0;
    bool same_version =
        strcmp(one->group, two->group) == 0 && strcmp(one->version, two->version) == 0;
    if (same_version && same_plural) {
        complain(compiler, text->node, "resource %s stands twice, first in %s:%zu", one->plural,
                 other->node->file, other->node->line);
    } else if (same_version && strcmp(one->kind, two->kind) == 0) {
        complain(compiler, text->node, "kind %s has another resource, %s", one->kind, two->plural);
    }
    for (size_t i = 0; !same_plural && one->short_names[i] != NULL; i++) {
        if (is_short_name(two, one->short_names[i])) {
            complain(compiler, text->node, "short name \"%s\" belongs to %s already",
                     one->short_names[i], two->plural);
        }
    }
}

static bool has_priority(const struct compiler *compiler, const struct source *source)
{
    for (size_t i = 0; i < compiler->source_count; i++) {
        const struct source *other = &compiler->sources[i];
        if (other->priority != NULL && strcmp(other->group, source->group) == 0 &&
            strcmp(other->version, source->version) == 0) {
            return true;
        }
    }
    return false;
}

void resources_resolve(struct compiler *compiler)
{
    for (size_t i = 0; i < compiler->resource_count; i++) {
        struct resource_text *text = compiler->resources[i];
        text->type = find_type(compiler, text->source, text->resource.kind);
        if (text->type == NULL || text->type->form != TYPE_OBJECT) {
            complain(compiler, text->kind != NULL ? text->kind : text->node,
                     "\"%s\" is no kind of object", text->resource.kind);
            continue;
        }
        if (!has_priority(compiler, text->source)) {
            complain(compiler, text->node, "a version with resources needs a priority");
        }
        text->resource.schema = object_schema(compiler, text->type);
        text->resource.doc = text->type->object.doc;
        resolve_columns(compiler, text);
        resolve_selectable(compiler, text);
        resolve_subresources(compiler, text);
        resolve_storage(compiler, text);
        for (size_t j = 0; j < i; j++) {
            check_names(compiler, text, compiler->resources[j]);
        }
    }
}

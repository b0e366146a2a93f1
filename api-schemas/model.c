// SPDX-License-Identifier: Apache-2.0
/*
 * From nodes to the model: what stands in a file, without yet asking what its names refer to.
 * Unknown keys, values of the wrong kind and things that stand twice are found here.
 */
#include "api-schemas/compiler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

/* ---- values ---- */

/* Complains about keys that are not in 'known', and about a node that is no mapping. */
static bool check_keys(struct compiler *compiler, const struct node *mapping,
                       const char *const *known, const char *what)
{
    if (mapping->kind != NODE_MAPPING) {
        complain(compiler, mapping, "expected a mapping of %s", what);
        return false;
    }
    for (size_t i = 0; i < mapping->count; i++) {
        size_t k = 0;
        while (known[k] != NULL && strcmp(known[k], mapping->keys[i]->text) != 0) {
            k++;
        }
        if (known[k] == NULL) {
            complain(compiler, mapping->keys[i], "unknown key \"%s\" in %s", mapping->keys[i]->text,
                     what);
        }
    }
    return true;
}

static const char *read_text(struct compiler *compiler, const struct node *mapping, const char *key,
                             const char *otherwise)
{
    const struct node *value = node_get(mapping, key);
    if (value == NULL) {
        return otherwise;
    }
    if (value->kind != NODE_SCALAR) {
        complain(compiler, value, "\"%s\" must be a string", key);
        return otherwise;
    }
    return value->text;
}

static bool read_flag(struct compiler *compiler, const struct node *mapping, const char *key)
{
    const char *text = read_text(compiler, mapping, key, "false");
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        complain(compiler, node_get(mapping, key), "\"%s\" must be true or false", key);
    }
    return strcmp(text, "true") == 0;
}

int64_t model_integer(struct compiler *compiler, const struct node *scalar)
{
    char *end = NULL;
    errno = 0;
    int64_t number = scalar->kind == NODE_SCALAR ? strtoll(scalar->text, &end, 10) : 0;
    if (end == NULL || end == scalar->text || *end != '\0' || errno != 0 || scalar->quoted) {
        complain(compiler, scalar, "expected an integer");
        return 0;
    }
    return number;
}

const char *const *model_strings(struct compiler *compiler, const struct node *sequence)
{
    if (sequence == NULL || sequence->kind != NODE_SEQUENCE) {
        if (sequence != NULL) {
            complain(compiler, sequence, "expected a list of strings");
        }
        return arena_allocate(compiler, sizeof(const char *));
    }
    const char **strings = arena_allocate(compiler, (sequence->count + 1) * sizeof(*strings));
    for (size_t i = 0; i < sequence->count; i++) {
        if (sequence->values[i]->kind != NODE_SCALAR) {
            complain(compiler, sequence->values[i], "expected a string");
        }
        strings[i] = sequence->values[i]->text != NULL ? sequence->values[i]->text : "";
    }
    return strings;
}

/* ---- types ---- */

struct type *model_make_type(struct compiler *compiler, const struct source *source,
                             const struct node *at, const char *name, size_t field_count)
{
    struct type *type = arena_allocate(compiler, sizeof(*type));
    type->source = source;
    type->node = at;
    type->name = name;
    type->object.name = arena_format(compiler, "%s.%s", source->package, name);
    type->object.doc = "";
    type->fields = arena_allocate(compiler, (field_count + 1) * sizeof(*type->fields));
    type->texts = arena_allocate(compiler, (field_count + 1) * sizeof(*type->texts));
    compiler->types = grow(compiler->types, compiler->type_count, &compiler->type_capacity,
                           sizeof(struct type *));
    type->index = compiler->type_count;
    compiler->types[compiler->type_count++] = type;
    return type;
}

static void read_form(struct compiler *compiler, struct type *type, const struct node *node)
{
    const char *kind = read_text(compiler, node, "kind", NULL);
    if (kind == NULL) {
        type->form = TYPE_PLAIN;
    } else if (strcmp(kind, "object") == 0) {
        type->form = TYPE_OBJECT;
    } else if (strcmp(kind, "bare") == 0) {
        type->form = TYPE_BARE;
    } else {
        complain(compiler, node_get(node, "kind"), "\"kind\" must be object or bare");
    }
    const struct node *versions = node_get(node, "versions");
    if (versions != NULL && versions->kind == NODE_SCALAR && strcmp(versions->text, "all") == 0) {
        type->everywhere = true;
    } else if (versions != NULL) {
        type->versions = model_strings(compiler, versions);
    }
    if (versions != NULL && type->form == TYPE_PLAIN) {
        complain(compiler, versions, "only a kind has versions");
    }
}

static void read_inlines(struct compiler *compiler, struct type *type, const struct node *inlines)
{
    if (inlines == NULL) {
        return;
    }
    if (inlines->kind != NODE_MAPPING) {
        complain(compiler, inlines, "\"inline\" must be a mapping of types to numbers");
        return;
    }
    type->inline_count = inlines->count;
    type->inlines = arena_allocate(compiler, inlines->count * sizeof(*type->inlines));
    type->object_inlines = arena_allocate(compiler, inlines->count * sizeof(*type->object_inlines));
    for (size_t i = 0; i < inlines->count; i++) {
        type->inlines[i].name = inlines->keys[i];
        type->inlines[i].number = (uint32_t)model_integer(compiler, inlines->values[i]);
    }
}

static void read_fields(struct compiler *compiler, struct type *type, const struct node *fields)
{
    static const char *const known[] = {
        "n",       "type", "default",  "required", "immutable",        "enum",   "format",
        "min",     "max",  "list",     "keys",     "max_length",       "merge",  "retain_keys",
        "atomic",  "doc",  "nullable", "embedded", "preserve_unknown", "unique", "wrapped",
        "written", NULL};
    for (size_t i = 0; fields != NULL && i < fields->count; i++) {
        const struct node *node = fields->values[i];
        struct schema_field *field = &type->fields[i];
        struct field_text *text = &type->texts[i];
        field->name = fields->keys[i]->text;
        field->doc = "";
        text->name = fields->keys[i];
        text->node = node;
        type->field_count = i + 1;
        if (!check_keys(compiler, node, known, "a field")) {
            continue;
        }
        text->type = node_get(node, "type");
        text->default_value = node_get(node, "default");
        field->doc = read_text(compiler, node, "doc", "");
        field->immutable = read_flag(compiler, node, "immutable");
        const char *required = read_text(compiler, node, "required", "false");
        if (strcmp(required, "true") == 0) {
            field->presence = SCHEMA_REQUIRED;
        } else if (strcmp(required, "checked") == 0) {
            field->presence = SCHEMA_REQUIRED;
            field->undeclared = true;
        } else if (strcmp(required, "documented") == 0) {
            field->presence = SCHEMA_DOCUMENTED;
        } else if (strcmp(required, "false") != 0) {
            complain(compiler, node_get(node, "required"),
                     "\"required\" must be true, checked or documented");
        }
        const struct node *number = node_get(node, "n");
        text->has_number = number != NULL;
        field->number = number != NULL ? (uint32_t)model_integer(compiler, number) : 0;
    }
}

static void read_type(struct compiler *compiler, const struct source *source,
                      const struct node *name, const struct node *node)
{
    static const char *const known[] = {"name",   "kind", "versions", "hidden", "union",
                                        "atomic", "doc",  "inline",   "fields", NULL};
    if (!check_keys(compiler, node, known, "a type")) {
        return;
    }
    for (size_t i = 0; i < compiler->type_count; i++) {
        const struct type *other = compiler->types[i];
        if (strcmp(other->name, name->text) == 0 &&
            strcmp(other->source->package, source->package) == 0) {
            complain(compiler, name, "type %s stands twice, first in %s:%zu", name->text,
                     other->node->file, other->node->line);
            return;
        }
    }
    const struct node *fields = node_get(node, "fields");
    if (fields == NULL || fields->kind != NODE_MAPPING) {
        complain(compiler, name, "type %s has no fields", name->text);
        fields = NULL;
    }
    struct type *type =
        model_make_type(compiler, source, name, name->text, fields != NULL ? fields->count : 0);
    type->object.name = read_text(compiler, node, "name", type->object.name);
    type->object.doc = read_text(compiler, node, "doc", "");
    type->object.atomic = read_flag(compiler, node, "atomic");
    type->hidden = read_flag(compiler, node, "hidden");
    type->is_union = read_flag(compiler, node, "union");
    read_form(compiler, type, node);
    read_inlines(compiler, type, node_get(node, "inline"));
    read_fields(compiler, type, fields);
}

/* ---- resources ---- */

static const char *const verb_names[] = {"get",    "list",  "watch",  "create",
                                         "update", "patch", "delete", "deletecollection"};

static unsigned read_verbs(struct compiler *compiler, const struct node *sequence,
                           unsigned otherwise)
{
    if (sequence == NULL) {
        return otherwise;
    }
    unsigned verbs = 0;
    const char *const *names = model_strings(compiler, sequence);
    for (size_t i = 0; names[i] != NULL; i++) {
        size_t v = 0;
        while (v < array_length(verb_names) && strcmp(verb_names[v], names[i]) != 0) {
            v++;
        }
        if (v == array_length(verb_names)) {
            complain(compiler, sequence->values[i], "unknown verb \"%s\"", names[i]);
        }
        verbs |= 1U << v;
    }
    return verbs;
}

static const char *lower_case(struct compiler *compiler, const char *text)
{
    char *lower = arena_duplicate(compiler, text, strlen(text));
    for (char *c = lower; *c != '\0'; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    }
    return lower;
}

static void read_subresources(struct compiler *compiler, struct resource_text *text)
{
    static const char *const known[] = {"kind", "verbs", NULL};
    const struct node *all = text->subresources;
    if (all == NULL || all->kind != NODE_MAPPING) {
        if (all != NULL) {
            complain(compiler, all, "expected a mapping of subresources");
        }
        text->subresources = NULL;
        return;
    }
    struct resource_subresource *subresources =
        arena_allocate(compiler, all->count * sizeof(*subresources));
    for (size_t i = 0; i < all->count; i++) {
        if (check_keys(compiler, all->values[i], known, "a subresource")) {
            subresources[i].name = all->keys[i]->text;
            subresources[i].verbs = read_verbs(compiler, node_get(all->values[i], "verbs"),
                                               VERB_GET | VERB_PATCH | VERB_UPDATE);
            subresources[i].kind = read_text(compiler, all->values[i], "kind", text->resource.kind);
        }
    }
    text->resource.subresources = subresources;
    text->resource.subresource_count = all->count;
}

static void read_name_format(struct compiler *compiler, struct resource *resource,
                             const struct node *node)
{
    static const char *const formats[] = {"subdomain", "label", "label1035", "path-segment"};
    resource->name_format = read_text(compiler, node, "names", "subdomain");
    for (size_t i = 0; i < array_length(formats); i++) {
        if (strcmp(formats[i], resource->name_format) == 0) {
            return;
        }
    }
    complain(compiler, node_get(node, "names"), "unknown form of names \"%s\"",
             resource->name_format);
}

static void read_storage(struct compiler *compiler, struct resource_text *text,
                         const struct node *node)
{
    struct resource *resource = &text->resource;
    resource->storage_group = text->source->group;
    resource->storage_version = text->source->version;
    if (resource->virtual) {
        resource->storage_prefix = "";
        return;
    }
    resource->storage_prefix = read_text(compiler, node, "storage",
                                         arena_format(compiler, "/registry/%s/", resource->plural));
    size_t length = strlen(resource->storage_prefix);
    if (length < 2 || resource->storage_prefix[0] != '/' ||
        resource->storage_prefix[length - 1] != '/') {
        complain(compiler, node_get(node, "storage"), "a storage prefix starts and ends with /");
    }
}

static void read_resource(struct compiler *compiler, const struct source *source,
                          const struct node *name, const struct node *node)
{
    static const char *const known[] = {
        "kind",       "singular", "short",          "categories",
        "scope",      "verbs",    "names",          "virtual",
        "generation", "storage",  "update_creates", "delete_returns_object",
        "stored_as",  "columns",  "subresources",   "selectable",
        NULL};
    if (!check_keys(compiler, node, known, "a resource")) {
        return;
    }
    struct resource_text *text = arena_allocate(compiler, sizeof(*text));
    struct resource *resource = &text->resource;
    text->source = source;
    text->node = name;
    text->kind = node_get(node, "kind");
    text->columns = node_get(node, "columns");
    text->selectable = node_get(node, "selectable");
    text->subresources = node_get(node, "subresources");
    text->stored_as = node_get(node, "stored_as");
    resource->group = source->group;
    resource->version = source->version;
    resource->plural = name->text;
    resource->kind = read_text(compiler, node, "kind", "");
    resource->singular =
        read_text(compiler, node, "singular", lower_case(compiler, resource->kind));
    resource->short_names = model_strings(compiler, node_get(node, "short"));
    resource->categories = model_strings(compiler, node_get(node, "categories"));
    resource->verbs = read_verbs(compiler, node_get(node, "verbs"), 0xff);
    const char *scope = read_text(compiler, node, "scope", "");
    resource->namespaced = strcmp(scope, "Namespaced") == 0;
    if (!resource->namespaced && strcmp(scope, "Cluster") != 0) {
        complain(compiler, name, "\"scope\" must be Namespaced or Cluster");
    }
    resource->virtual = read_flag(compiler, node, "virtual");
    resource->has_generation = read_flag(compiler, node, "generation");
    resource->update_creates = read_flag(compiler, node, "update_creates");
    resource->delete_returns_object = read_flag(compiler, node, "delete_returns_object");
    read_name_format(compiler, resource, node);
    read_storage(compiler, text, node);
    read_subresources(compiler, text);
    compiler->resources = grow(compiler->resources, compiler->resource_count,
                               &compiler->resource_capacity, sizeof(struct resource_text *));
    compiler->resources[compiler->resource_count++] = text;
}

/* ---- files ---- */

static void read_priority(struct compiler *compiler, struct source *source)
{
    static const char *const known[] = {"group", "version", NULL};
    if (source->priority == NULL || !check_keys(compiler, source->priority, known, "a priority")) {
        return;
    }
    const struct node *group = node_get(source->priority, "group");
    const struct node *version = node_get(source->priority, "version");
    if (group == NULL || version == NULL) {
        complain(compiler, source->priority, "a priority has a group's and a version's number");
        return;
    }
    source->group_priority = (int)model_integer(compiler, group);
    source->version_priority = (int)model_integer(compiler, version);
}

void model_add_file(struct compiler *compiler, struct source *source, const struct node *root)
{
    static const char *const known[] = {"group",     "version", "package", "priority",
                                        "resources", "types",   NULL};
    check_keys(compiler, root, known, "a file");
    source->group = read_text(compiler, root, "group", NULL);
    source->version = read_text(compiler, root, "version", NULL);
    source->package = read_text(compiler, root, "package", NULL);
    source->priority = node_get(root, "priority");
    if (source->group == NULL || source->version == NULL || source->package == NULL) {
        complain(compiler, root, "a file starts with group, version and package");
        return;
    }
    read_priority(compiler, source);
    static const char *const sections[] = {"types", "resources"};
    for (size_t s = 0; s < array_length(sections); s++) {
        const struct node *section = node_get(root, sections[s]);
        if (section == NULL) {
            continue;
        }
        if (section->kind != NODE_MAPPING) {
            complain(compiler, section, "\"%s\" must be a mapping", sections[s]);
            continue;
        }
        for (size_t i = 0; i < section->count; i++) {
            if (s == 0) {
                read_type(compiler, source, section->keys[i], section->values[i]);
            } else {
                read_resource(compiler, source, section->keys[i], section->values[i]);
            }
        }
    }
}

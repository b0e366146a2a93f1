// SPDX-License-Identifier: Apache-2.0
/*
 * Ties types together: fields to their schemas, inlined types into those that inline them, kinds to
 * the members that all kinds have. Then what needs the whole is checked.
 */
#include "api-schemas/compiler.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

static bool is_of_version(const struct source *source, const char *group, const char *version)
{
    return strcmp(source->group, group) == 0 && strcmp(source->version, version) == 0;
}

static struct type *find_in(const struct compiler *compiler, const char *group, const char *version,
                            const char *name)
{
    for (size_t i = 0; i < compiler->type_count; i++) {
        struct type *type = compiler->types[i];
        if (strcmp(type->name, name) == 0 && is_of_version(type->source, group, version)) {
            return type;
        }
    }
    return NULL;
}

struct type *find_type(const struct compiler *compiler, const struct source *source,
                       const char *name)
{
    const char *dot = strrchr(name, '.');
    if (dot != NULL) {
        cleanup(free_char)
        char *api_version = duplicate_bytes(name, (size_t)(dot - name));
        char *slash = strchr(api_version, '/');
        if (slash == NULL) {
            return find_in(compiler, "", api_version, dot + 1);
        }
        *slash = '\0';
        return find_in(compiler, api_version, slash + 1, dot + 1);
    }
    struct type *type = find_in(compiler, source->group, source->version, name);
    if (type == NULL) {
        type = find_in(compiler, "meta.k8s.io", "v1", name);
    }
    return type != NULL ? type : find_in(compiler, "", "v1", name);
}

/* ---- the fields of a type ---- */

static void resolve_schemas(struct compiler *compiler, struct type *type)
{
    for (size_t i = 0; i < type->field_count; i++) {
        struct field_text *text = &type->texts[i];
        if (text->schema == NULL && text->node != NULL) {
            text->schema = field_schema(compiler, type, text);
        }
        type->fields[i].schema = text->schema;
    }
}

/* Numbers are given for all fields of a type or for none, and each once. */
static void check_numbers(struct compiler *compiler, const struct type *type)
{
    bool numbered = type->form == TYPE_OBJECT || type->inline_count > 0;
    for (size_t i = 0; i < type->field_count; i++) {
        numbered = numbered || type->fields[i].number != 0;
    }
    for (size_t i = 0; numbered && i < type->field_count; i++) {
        uint32_t number = type->fields[i].number;
        const struct node *at = type->texts[i].name;
        bool taken = type->form == TYPE_OBJECT && number == 1 &&
                     strcmp(type->fields[i].name, "metadata") != 0;
        for (size_t j = 0; j < i; j++) {
            taken = taken || type->fields[j].number == number;
        }
        for (size_t j = 0; j < type->inline_count; j++) {
            taken = taken || type->inlines[j].number == number;
        }
        if (number != 0 && taken) {
            complain(compiler, at, "number %u stands twice in %s", number, type->name);
        }
        if (!type->texts[i].has_number) {
            complain(compiler, at, "field %s has no number; say \"n: 0\" if it is to have none",
                     type->fields[i].name);
        }
    }
}

static const struct schema_field *find_field(const struct schema_field *fields, size_t count,
                                             const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return &fields[i];
        }
    }
    return NULL;
}

/* Adds the fields of an inlined type to the 'count' that are there. A type may write such a field
 * itself to say more about it, with the number 0 as it is none of its own message. */
static size_t add_inlined_fields(struct compiler *compiler, const struct type *type,
                                 const struct schema_object *inner, struct schema_field *fields,
                                 size_t count)
{
    for (size_t i = 0; i < inner->field_count; i++) {
        const struct schema_field *own = find_field(fields, count, inner->fields[i].name);
        if (own == NULL) {
            fields[count] = inner->fields[i];
            fields[count++].number = 0;
        } else if (own->number != 0) {
            complain(compiler, type->node, "%s is a field of %s and of %s", own->name, type->name,
                     inner->name);
        }
    }
    return count;
}

static struct schema *plain_schema(struct compiler *compiler, enum schema_type type)
{
    struct schema *schema = arena_allocate(compiler, sizeof(*schema));
    schema->type = type;
    return schema;
}

/* The members that every kind has. Returns how many were added. */
static size_t add_kind_fields(struct compiler *compiler, const struct type *type,
                              struct schema_field *fields)
{
    if (type->form == TYPE_PLAIN) {
        return 0;
    }
    const struct schema *string = plain_schema(compiler, SCHEMA_STRING);
    fields[0] = (struct schema_field){
        .name = "apiVersion",
        .doc = "Group and version that this object is written in, such as apps/v1.",
        .schema = string,
    };
    fields[1] = (struct schema_field){
        .name = "kind",
        .doc = "What this object is, in CamelCase, such as Deployment.",
        .schema = string,
    };
    if (type->form == TYPE_BARE ||
        find_field(type->fields, type->field_count, "metadata") != NULL) {
        return 2;
    }
    const struct type *metadata = find_type(compiler, type->source, "ObjectMeta");
    if (metadata == NULL) {
        complain(compiler, type->node, "kinds need a type ObjectMeta");
        return 2;
    }
    fields[2] = (struct schema_field){
        .name = "metadata",
        .doc = "Name, namespace, labels, annotations and what the server notes about the object.",
        .schema = object_schema(compiler, metadata),
        .number = 1,
    };
    return 3;
}

static int compare_fields(const void *left, const void *right)
{
    return strcmp(((const struct schema_field *)left)->name,
                  ((const struct schema_field *)right)->name);
}

/* Completes the fields of 'type->object': its own, its kind's, its inlined types'. */
static void complete_fields(struct compiler *compiler, struct type *type)
{
    if (type->inline_state != 0) {
        if (type->inline_state == 1) {
            complain(compiler, type->node, "type %s is inlined in itself", type->name);
        }
        return;
    }
    type->inline_state = 1;
    size_t capacity = type->field_count + 3;
    for (size_t i = 0; i < type->inline_count; i++) {
        struct inline_text *text = &type->inlines[i];
        text->type = find_type(compiler, type->source, text->name->text);
        if (text->type == NULL) {
            complain(compiler, text->name, "unknown type \"%s\"", text->name->text);
            type->inline_count = i;
            break;
        }
        complete_fields(compiler, text->type);
        type->object_inlines[i].number = text->number;
        type->object_inlines[i].object = &text->type->object;
        capacity += text->type->object.field_count;
    }
    struct schema_field *fields = arena_allocate(compiler, capacity * sizeof(*fields));
    size_t count = type->field_count;
    if (count > 0) {
        memcpy(fields, type->fields, count * sizeof(*fields));
    }
    count += add_kind_fields(compiler, type, fields + count);
    for (size_t i = 0; i < type->inline_count; i++) {
        count = add_inlined_fields(compiler, type, &type->inlines[i].type->object, fields, count);
    }
    qsort(fields, count, sizeof(*fields), compare_fields);
    type->object.fields = fields;
    type->object.field_count = count;
    type->object.inlines = type->object_inlines;
    type->object.inline_count = type->inline_count;
    type->inline_state = 2;
}

/* ---- what is known only in the end ---- */

static bool schema_has_defaults(const struct schema *schema)
{
    if (schema->default_value != NULL) {
        return true;
    }
    if (schema->items != NULL) {
        return schema_has_defaults(schema->items);
    }
    return schema->type == SCHEMA_OBJECT && schema->object->has_defaults;
}

/* Types may contain each other, so this repeats until nothing changes. */
static void find_defaults(struct compiler *compiler)
{
    bool changed = true;
    while (changed) {
        changed = false;
        for (size_t i = 0; i < compiler->type_count; i++) {
            struct schema_object *object = &compiler->types[i]->object;
            for (size_t j = 0; !object->has_defaults && j < object->field_count; j++) {
                object->has_defaults = schema_has_defaults(object->fields[j].schema);
                changed = changed || object->has_defaults;
            }
        }
    }
}

static void check_priorities(struct compiler *compiler)
{
    for (size_t i = 0; i < compiler->source_count; i++) {
        const struct source *source = &compiler->sources[i];
        for (size_t j = 0; source->priority != NULL && j < i; j++) {
            const struct source *other = &compiler->sources[j];
            if (other->priority != NULL && is_of_version(other, source->group, source->version)) {
                complain(compiler, source->priority, "the priority stands in %s already",
                         other->file);
            }
        }
    }
}

void resolve_all(struct compiler *compiler)
{
    check_priorities(compiler);
    resources_make_lists(compiler);
    for (size_t i = 0; i < compiler->type_count; i++) {
        resolve_schemas(compiler, compiler->types[i]);
        check_numbers(compiler, compiler->types[i]);
    }
    for (size_t i = 0; i < compiler->type_count; i++) {
        complete_fields(compiler, compiler->types[i]);
    }
    if (compiler->complaint_count > 0) {
        return;
    }
    for (size_t i = 0; i < compiler->type_count; i++) {
        const struct type *type = compiler->types[i];
        for (size_t j = 0; j < type->field_count; j++) {
            if (type->texts[j].node != NULL) {
                field_check(compiler, &type->texts[j], &type->fields[j]);
            }
        }
    }
    find_defaults(compiler);
    resources_resolve(compiler);
}

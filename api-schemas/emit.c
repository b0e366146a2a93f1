// SPDX-License-Identifier: Apache-2.0
/*
 * Writes the resolved model as C. Schemas and lists of strings that look the same are written once:
 * of the API's 3,000 uses of a type most are a plain string, integer or the like.
 */
#include "api-schemas/compiler.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/map.h"

struct emitter {
    struct compiler *compiler;
    struct map schema_numbers; /* From the text of a schema to its index plus one. */
    struct map list_numbers;   /* From the text of a list of strings to its number. */
    struct buffer schemas, lists, fields, objects, resources;
    size_t field_count;
};

/* ---- text ---- */

static void add_string(struct buffer *out, const char *text)
{
    buffer_add_char(out, '"');
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            buffer_add_char(out, '\\');
        }
        buffer_add_char(out, *c);
    }
    buffer_add_char(out, '"');
}

static void add_member(struct buffer *out, const char *name, const char *text)
{
    buffer_addf(out, ".%s = ", name);
    add_string(out, text);
    buffer_add_literal(out, ", ");
}

static void add_flag(struct buffer *out, const char *name, bool value)
{
    if (value) {
        buffer_addf(out, ".%s = true, ", name);
    }
}

/* ---- what is shared ---- */

/* The number of a NULL-terminated list of strings, written if it is new: "strings_<number>". */
static size_t list_number(struct emitter *emitter, const char *const *strings)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    for (size_t i = 0; strings[i] != NULL; i++) {
        add_string(&text, strings[i]);
        buffer_add_literal(&text, ", ");
    }
    buffer_add_literal(&text, "NULL");
    void *known = map_get(&emitter->list_numbers, buffer_text(&text));
    if (known == NULL) {
        known = (void *)(uintptr_t)(emitter->list_numbers.count + 1);
        map_set(&emitter->list_numbers, buffer_text(&text), known);
        buffer_addf(&emitter->lists, "static const char *const strings_%zu[] = {%s};\n",
                    (size_t)(uintptr_t)known, buffer_text(&text));
    }
    return (size_t)(uintptr_t)known;
}

static void add_list(struct emitter *emitter, struct buffer *out, const char *name,
                     const char *const *strings)
{
    if (strings != NULL) {
        buffer_addf(out, ".%s = strings_%zu, ", name, list_number(emitter, strings));
    }
}

static size_t object_index(const struct schema_object *object)
{
    return container_of(object, struct type, object)->index;
}

static const char *const type_names[] = {
    [SCHEMA_STRING] = "SCHEMA_STRING",
    [SCHEMA_BOOLEAN] = "SCHEMA_BOOLEAN",
    [SCHEMA_INT32] = "SCHEMA_INT32",
    [SCHEMA_INT64] = "SCHEMA_INT64",
    [SCHEMA_DOUBLE] = "SCHEMA_DOUBLE",
    [SCHEMA_BYTES] = "SCHEMA_BYTES",
    [SCHEMA_TIME] = "SCHEMA_TIME",
    [SCHEMA_MICRO_TIME] = "SCHEMA_MICRO_TIME",
    [SCHEMA_DURATION] = "SCHEMA_DURATION",
    [SCHEMA_QUANTITY] = "SCHEMA_QUANTITY",
    [SCHEMA_INT_OR_STRING] = "SCHEMA_INT_OR_STRING",
    [SCHEMA_FIELDS_V1] = "SCHEMA_FIELDS_V1",
    [SCHEMA_JSON] = "SCHEMA_JSON",
    [SCHEMA_RAW] = "SCHEMA_RAW",
    [SCHEMA_OBJECT] = "SCHEMA_OBJECT",
    [SCHEMA_MAP] = "SCHEMA_MAP",
    [SCHEMA_LIST] = "SCHEMA_LIST",
};

static const char *const format_names[] = {
    [SCHEMA_FORMAT_DNS_LABEL] = "SCHEMA_FORMAT_DNS_LABEL",
    [SCHEMA_FORMAT_DNS_SUBDOMAIN] = "SCHEMA_FORMAT_DNS_SUBDOMAIN",
    [SCHEMA_FORMAT_DNS_1035] = "SCHEMA_FORMAT_DNS_1035",
    [SCHEMA_FORMAT_QUALIFIED] = "SCHEMA_FORMAT_QUALIFIED",
    [SCHEMA_FORMAT_LABEL_VALUE] = "SCHEMA_FORMAT_LABEL_VALUE",
    [SCHEMA_FORMAT_PATH_SEGMENT] = "SCHEMA_FORMAT_PATH_SEGMENT",
    [SCHEMA_FORMAT_IP] = "SCHEMA_FORMAT_IP",
    [SCHEMA_FORMAT_CIDR] = "SCHEMA_FORMAT_CIDR",
    [SCHEMA_FORMAT_PORT_NAME] = "SCHEMA_FORMAT_PORT_NAME",
    [SCHEMA_FORMAT_CONFIG_KEY] = "SCHEMA_FORMAT_CONFIG_KEY",
    [SCHEMA_FORMAT_ENV_NAME] = "SCHEMA_FORMAT_ENV_NAME",
    [SCHEMA_FORMAT_URL] = "SCHEMA_FORMAT_URL",
};

static const char *const list_type_names[] = {
    [SCHEMA_LIST_SET] = "SCHEMA_LIST_SET",
    [SCHEMA_LIST_MAP] = "SCHEMA_LIST_MAP",
};

static void add_limits(struct buffer *out, const struct schema *schema)
{
    if (schema->has_minimum) {
        buffer_addf(out, ".has_minimum = true, .minimum = INT64_C(%" PRId64 "), ", schema->minimum);
    }
    if (schema->has_maximum) {
        buffer_addf(out, ".has_maximum = true, .maximum = INT64_C(%" PRId64 "), ", schema->maximum);
    }
    if (schema->max_length != 0) {
        buffer_addf(out, ".max_length = %" PRId64 ", ", schema->max_length);
    }
}

/* The index of a schema, written if it is new. Its items come before it. */
static size_t schema_index(struct emitter *emitter, const struct schema *schema)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    buffer_addf(&text, ".type = %s, ", type_names[schema->type]);
    if (schema->items != NULL) {
        buffer_addf(&text, ".items = schemas + %zu, ", schema_index(emitter, schema->items));
    }
    if (schema->object != NULL) {
        buffer_addf(&text, ".object = objects + %zu, ", object_index(schema->object));
    }
    if (schema->format != SCHEMA_FORMAT_NONE) {
        buffer_addf(&text, ".format = %s, ", format_names[schema->format]);
    }
    if (schema->list_type != SCHEMA_LIST_ATOMIC) {
        buffer_addf(&text, ".list_type = %s, ", list_type_names[schema->list_type]);
    }
    add_list(emitter, &text, "list_keys", schema->list_keys);
    add_flag(&text, "unique", schema->unique);
    add_flag(&text, "wrapped", schema->wrapped);
    if (schema->merge_key != NULL) {
        add_member(&text, "merge_key", schema->merge_key);
    }
    add_flag(&text, "patch_merge", schema->patch_merge);
    add_flag(&text, "patch_retain_keys", schema->patch_retain_keys);
    add_flag(&text, "atomic", schema->atomic);
    add_flag(&text, "omits_zero", schema->omits_zero);
    add_flag(&text, "rounded", schema->rounded);
    add_flag(&text, "nullable", schema->nullable);
    add_flag(&text, "preserve_unknown", schema->preserve_unknown);
    add_flag(&text, "embedded", schema->embedded);
    add_limits(&text, schema);
    add_list(emitter, &text, "enumeration", schema->enumeration);
    if (schema->default_value != NULL) {
        add_member(&text, "default_value", schema->default_value);
    }
    void *known = map_get(&emitter->schema_numbers, buffer_text(&text));
    if (known == NULL) {
        known = (void *)(uintptr_t)(emitter->schema_numbers.count + 1);
        map_set(&emitter->schema_numbers, buffer_text(&text), known);
        buffer_addf(&emitter->schemas, "    {%s},\n", buffer_text(&text));
    }
    return (size_t)(uintptr_t)known - 1;
}

/* ---- objects ---- */

static void emit_field(struct emitter *emitter, const struct schema_field *field)
{
    static const char *const presences[] = {NULL, "SCHEMA_REQUIRED", "SCHEMA_DOCUMENTED"};
    size_t schema = schema_index(emitter, field->schema);
    struct buffer *out = &emitter->fields;
    buffer_add_literal(out, "    {");
    add_string(out, field->name);
    buffer_add_literal(out, ", ");
    add_string(out, field->doc);
    buffer_addf(out, ", schemas + %zu, .number = %u, ", schema, field->number);
    if (field->presence != SCHEMA_OPTIONAL) {
        buffer_addf(out, ".presence = %s, ", presences[field->presence]);
    }
    add_flag(out, "undeclared", field->undeclared);
    add_flag(out, "immutable", field->immutable);
    buffer_add_literal(out, "},\n");
    emitter->field_count++;
}

static void emit_type(struct emitter *emitter, const struct type *type)
{
    const struct schema_object *object = &type->object;
    size_t first = emitter->field_count;
    for (size_t i = 0; i < object->field_count; i++) {
        emit_field(emitter, &object->fields[i]);
    }
    struct buffer *out = &emitter->objects;
    buffer_add_literal(out, "    {");
    add_member(out, "name", object->name);
    add_member(out, "doc", object->doc);
    if (object->field_count > 0) {
        buffer_addf(out, ".fields = fields + %zu, .field_count = %zu, ", first,
                    object->field_count);
    }
    if (object->inline_count > 0) {
        buffer_add_literal(out, ".inlines = (const struct schema_inline[]){");
        for (size_t i = 0; i < object->inline_count; i++) {
            buffer_addf(out, "{%u, objects + %zu}, ", object->inlines[i].number,
                        object_index(object->inlines[i].object));
        }
        buffer_addf(out, "}, .inline_count = %zu, ", object->inline_count);
    }
    add_flag(out, "atomic", object->atomic);
    add_flag(out, "has_defaults", object->has_defaults);
    buffer_add_literal(out, "},\n");
}

/* ---- resources ---- */

static void add_verbs(struct buffer *out, unsigned verbs)
{
    buffer_addf(out, ".verbs = 0x%x, ", verbs);
}

static void emit_columns(struct emitter *emitter, const struct resource *resource)
{
    struct buffer *out = &emitter->resources;
    buffer_add_literal(out, "        .columns = (const struct resource_column[]){\n");
    for (size_t i = 0; i < resource->column_count; i++) {
        const struct resource_column *column = &resource->columns[i];
        buffer_add_literal(out, "            {");
        add_member(out, "name", column->name);
        add_member(out, "type", column->type);
        add_member(out, "format", column->format);
        add_member(out, "doc", column->doc);
        add_member(out, "value", column->value);
        buffer_addf(out, ".priority = %d},\n", column->priority);
    }
    buffer_addf(out, "        },\n        .column_count = %zu,\n", resource->column_count);
}

static int compare_subresources(const void *left, const void *right)
{
    return strcmp(((const struct resource_subresource *)left)->name,
                  ((const struct resource_subresource *)right)->name);
}

static void emit_subresources(struct emitter *emitter, const struct resource *resource)
{
    struct buffer *out = &emitter->resources;
    qsort((struct resource_subresource *)resource->subresources, resource->subresource_count,
          sizeof(*resource->subresources), compare_subresources);
    buffer_add_literal(out, "        .subresources = (const struct resource_subresource[]){\n");
    for (size_t i = 0; i < resource->subresource_count; i++) {
        const struct resource_subresource *subresource = &resource->subresources[i];
        size_t schema = schema_index(emitter, subresource->schema);
        buffer_add_literal(out, "            {");
        add_member(out, "name", subresource->name);
        add_member(out, "group", subresource->group);
        add_member(out, "version", subresource->version);
        add_member(out, "kind", subresource->kind);
        add_verbs(out, subresource->verbs);
        buffer_addf(out, ".schema = schemas + %zu},\n", schema);
    }
    buffer_addf(out, "        },\n        .subresource_count = %zu,\n",
                resource->subresource_count);
}

static void emit_resource(struct emitter *emitter, const struct resource *resource)
{
    struct buffer *out = &emitter->resources;
    buffer_add_literal(out, "    {\n        ");
    add_member(out, "group", resource->group);
    add_member(out, "version", resource->version);
    add_member(out, "kind", resource->kind);
    add_member(out, "plural", resource->plural);
    add_member(out, "singular", resource->singular);
    add_member(out, "list_kind", resource->list_kind != NULL ? resource->list_kind : "");
    buffer_add_literal(out, "\n        ");
    add_member(out, "doc", resource->doc);
    buffer_add_literal(out, "\n        ");
    add_list(emitter, out, "short_names", resource->short_names);
    add_list(emitter, out, "categories", resource->categories);
    buffer_addf(out, ".schema = schemas + %zu, ", schema_index(emitter, resource->schema));
    if (resource->list_schema != NULL) {
        buffer_addf(out, ".list_schema = schemas + %zu, ",
                    schema_index(emitter, resource->list_schema));
    }
    add_verbs(out, resource->verbs);
    buffer_add_literal(out, "\n        ");
    add_flag(out, "namespaced", resource->namespaced);
    add_flag(out, "has_generation", resource->has_generation);
    add_flag(out, "update_creates", resource->update_creates);
    add_flag(out, "delete_returns_object", resource->delete_returns_object);
    add_flag(out, "virtual", resource->virtual);
    add_member(out, "name_format", resource->name_format);
    add_member(out, "storage_prefix", resource->storage_prefix);
    add_member(out, "storage_group", resource->storage_group);
    add_member(out, "storage_version", resource->storage_version);
    buffer_add_literal(out, "\n        ");
    add_list(emitter, out, "selectable_fields", resource->selectable_fields);
    add_list(emitter, out, "selectable_paths", resource->selectable_paths);
    buffer_add_literal(out, "\n");
    if (resource->column_count > 0) {
        emit_columns(emitter, resource);
    }
    if (resource->subresource_count > 0) {
        emit_subresources(emitter, resource);
    }
    buffer_add_literal(out, "    },\n");
}

/* ---- order ---- */

/* Core comes first; then groups by priority and name, as discovery lists them. */
static int compare_groups(const struct source *left, const struct source *right)
{
    int order = strcmp(left->group, right->group);
    if (order == 0 || left->group[0] == '\0' || right->group[0] == '\0') {
        return order;
    }
    int priority = right->group_priority - left->group_priority;
    return priority != 0 ? priority : order;
}

static int compare_sources(const void *left, const void *right)
{
    const struct source *one = left;
    const struct source *two = right;
    int order = compare_groups(one, two);
    return order != 0 ? order : two->version_priority - one->version_priority;
}

/* One entry for each group and version that is served: the file that has the priority. */
static struct source *served_versions(struct emitter *emitter, size_t *count)
{
    const struct compiler *compiler = emitter->compiler;
    struct source *served =
        arena_allocate(emitter->compiler, (compiler->source_count + 1) * sizeof(*served));
    *count = 0;
    for (size_t i = 0; i < compiler->source_count; i++) {
        if (compiler->sources[i].priority != NULL) {
            served[(*count)++] = compiler->sources[i];
        }
    }
    qsort(served, *count, sizeof(*served), compare_sources);
    return served;
}

static int compare_plurals(const void *left, const void *right)
{
    const struct resource_text *const *one = left;
    const struct resource_text *const *two = right;
    return strcmp((*one)->resource.plural, (*two)->resource.plural);
}

/* The resources in the order of discovery; their number is the compiler's. */
static struct resource_text **order_resources(struct emitter *emitter, const struct source *served,
                                              size_t served_count)
{
    struct compiler *compiler = emitter->compiler;
    struct resource_text **ordered =
        arena_allocate(compiler, (compiler->resource_count + 1) * sizeof(struct resource_text *));
    size_t count = 0;
    qsort(compiler->resources, compiler->resource_count, sizeof(struct resource_text *),
          compare_plurals);
    for (size_t s = 0; s < served_count; s++) {
        for (size_t i = 0; i < compiler->resource_count; i++) {
            struct resource_text *text = compiler->resources[i];
            if (strcmp(text->source->group, served[s].group) == 0 &&
                strcmp(text->source->version, served[s].version) == 0) {
                ordered[count++] = text;
            }
        }
    }
    return ordered;
}

/* ---- indexes ---- */

struct index_entry {
    const char *names[3];
    size_t position;
    const struct type *type;
};

static int compare_entries(const void *left, const void *right)
{
    const struct index_entry *one = left;
    const struct index_entry *two = right;
    for (size_t i = 0; i < array_length(one->names); i++) {
        int order = strcmp(one->names[i], two->names[i]);
        if (order != 0) {
            return order;
        }
    }
    return 0;
}

static void emit_resource_index(struct emitter *emitter, struct buffer *out, const char *name,
                                struct resource_text *const *ordered, bool by_kind)
{
    size_t count = emitter->compiler->resource_count;
    struct index_entry *entries = arena_allocate(emitter->compiler, (count + 1) * sizeof(*entries));
    for (size_t i = 0; i < count; i++) {
        const struct resource *resource = &ordered[i]->resource;
        entries[i] = (struct index_entry){
            .names = {by_kind ? resource->kind : resource->plural, resource->group,
                      resource->version},
            .position = i,
        };
    }
    qsort(entries, count, sizeof(*entries), compare_entries);
    buffer_addf(out, "static const uint16_t %s[] = {", name);
    for (size_t i = 0; i < count; i++) {
        buffer_addf(out, "%zu, ", entries[i].position);
    }
    buffer_add_literal(out, "};\n");
}

/* "apps/v1" to {"apps", "v1"}. */
static struct index_entry kind_entry(struct emitter *emitter, const struct type *type,
                                     const char *api_version)
{
    const char *slash = strchr(api_version, '/');
    size_t group_length = slash != NULL ? (size_t)(slash - api_version) : 0;
    return (struct index_entry){
        .names = {arena_duplicate(emitter->compiler, api_version, group_length),
                  slash != NULL ? slash + 1 : api_version, type->name},
        .type = type,
    };
}

static size_t collect_kinds(struct emitter *emitter, const struct type *type,
                            struct index_entry *entries)
{
    size_t count = 0;
    if (type->form == TYPE_PLAIN) {
        return 0;
    }
    if (type->everywhere) {
        entries[count++] = (struct index_entry){.names = {"", "", type->name}, .type = type};
    } else if (type->versions == NULL) {
        entries[count++] = (struct index_entry){
            .names = {type->source->group, type->source->version, type->name}, .type = type};
    }
    for (size_t i = 0; type->versions != NULL && type->versions[i] != NULL; i++) {
        entries[count++] = kind_entry(emitter, type, type->versions[i]);
    }
    return count;
}

static bool is_list(const struct compiler *compiler, const struct type *type)
{
    for (size_t i = 0; i < compiler->resource_count; i++) {
        const struct schema *list = compiler->resources[i]->resource.list_schema;
        if (list != NULL && list->object == &type->object) {
            return true;
        }
    }
    return false;
}

static size_t emit_kinds(struct emitter *emitter, struct buffer *out)
{
    struct compiler *compiler = emitter->compiler;
    size_t capacity = 1;
    for (size_t i = 0; i < compiler->type_count; i++) {
        capacity++;
        for (size_t v = 0;
             compiler->types[i]->versions != NULL && compiler->types[i]->versions[v] != NULL; v++) {
            capacity++;
        }
    }
    struct index_entry *entries = arena_allocate(compiler, capacity * sizeof(*entries));
    size_t count = 0;
    for (size_t i = 0; i < compiler->type_count; i++) {
        if (!is_list(compiler, compiler->types[i])) {
            count += collect_kinds(emitter, compiler->types[i], entries + count);
        }
    }
    qsort(entries, count, sizeof(*entries), compare_entries);
    buffer_add_literal(out, "static const struct scheme_kind kinds[] = {\n");
    for (size_t i = 0; i < count; i++) {
        const struct schema *schema = object_schema(compiler, entries[i].type);
        buffer_addf(out, "    {\"%s\", \"%s\", \"%s\", schemas + %zu},\n", entries[i].names[0],
                    entries[i].names[1], entries[i].names[2], schema_index(emitter, schema));
    }
    buffer_add_literal(out, "};\n\n");
    return count;
}

static int compare_names(const void *left, const void *right)
{
    const struct type *const *one = left;
    const struct type *const *two = right;
    return strcmp((*one)->object.name, (*two)->object.name);
}

static size_t emit_shown(struct emitter *emitter, struct buffer *out)
{
    const struct compiler *compiler = emitter->compiler;
    const struct type **shown =
        arena_allocate(emitter->compiler, (compiler->type_count + 1) * sizeof(const struct type *));
    size_t count = 0;
    for (size_t i = 0; i < compiler->type_count; i++) {
        if (!compiler->types[i]->hidden && !compiler->types[i]->is_union) {
            shown[count++] = compiler->types[i];
        }
    }
    qsort(shown, count, sizeof(const struct type *), compare_names);
    buffer_add_literal(out, "static const struct schema_object *const shown[] = {\n");
    for (size_t i = 0; i < count; i++) {
        buffer_addf(out, "    objects + %zu,\n", shown[i]->index);
    }
    buffer_add_literal(out, "};\n\n");
    return count;
}

static size_t emit_groups(struct buffer *out, const struct source *served, size_t served_count)
{
    size_t count = 0;
    buffer_add_literal(out, "static const struct scheme_group groups[] = {\n");
    for (size_t first = 0; first < served_count; count++) {
        size_t end = first + 1;
        while (end < served_count && strcmp(served[end].group, served[first].group) == 0) {
            end++;
        }
        buffer_addf(out, "    {.name = \"%s\", .priority = %d, ", served[first].group,
                    served[first].group_priority);
        buffer_add_literal(out, ".versions = (const char *const[]){");
        for (size_t i = first; i < end; i++) {
            buffer_addf(out, "\"%s\", ", served[i].version);
        }
        buffer_add_literal(out, "NULL}, .version_priorities = (const int[]){");
        for (size_t i = first; i < end; i++) {
            buffer_addf(out, "%d, ", served[i].version_priority);
        }
        buffer_add_literal(out, "}},\n");
        first = end;
    }
    buffer_add_literal(out, "};\n\n");
    return count;
}

/* ---- all of it ---- */

static const char head[] = "/* Made by schema-compiler from api-schemas/. */\n"
                           "#include \"common/schema.h\"\n\n";

static const char tail[] =
    "    .groups = groups,\n"
    "    .resources = resources,\n"
    "    .resources_by_plural = resources_by_plural,\n"
    "    .resources_by_kind = resources_by_kind,\n"
    "    .kinds = kinds,\n"
    "    .objects = shown,\n"
    "};\n\n"
    "struct scheme *scheme_builtin(void)\n"
    "{\n"
    "    static struct scheme builtin = {.tables = &schema_builtin_tables};\n"
    "    return &builtin;\n"
    "}\n";

static void add_section(struct buffer *out, const char *declaration, const struct buffer *text)
{
    buffer_addf(out, "%s = {\n", declaration);
    buffer_add(out, buffer_text(text), text->length);
    buffer_add_literal(out, "};\n\n");
}

void emit_tables(struct compiler *compiler, struct buffer *out)
{
    struct emitter emitter = {.compiler = compiler};
    size_t served_count = 0;
    struct source *served = served_versions(&emitter, &served_count);
    struct resource_text **ordered = order_resources(&emitter, served, served_count);
    for (size_t i = 0; i < compiler->type_count; i++) {
        emit_type(&emitter, compiler->types[i]);
    }
    for (size_t i = 0; i < compiler->resource_count; i++) {
        emit_resource(&emitter, &ordered[i]->resource);
    }
    cleanup(buffer_free)
    struct buffer indexes = BUFFER_INIT;
    size_t kind_count = emit_kinds(&emitter, &indexes);
    size_t shown_count = emit_shown(&emitter, &indexes);
    size_t group_count = emit_groups(&indexes, served, served_count);
    emit_resource_index(&emitter, &indexes, "resources_by_plural", ordered, false);
    emit_resource_index(&emitter, &indexes, "resources_by_kind", ordered, true);

    buffer_add_text(out, head);
    buffer_addf(out, "static const struct schema_object objects[%zu];\n\n", compiler->type_count);
    buffer_add(out, buffer_text(&emitter.lists), emitter.lists.length);
    cleanup(free_char)
    char *schemas =
        format("\nstatic const struct schema schemas[%zu]", emitter.schema_numbers.count);
    add_section(out, schemas, &emitter.schemas);
    add_section(out, "static const struct schema_field fields[]", &emitter.fields);
    cleanup(free_char)
    char *objects = format("static const struct schema_object objects[%zu]", compiler->type_count);
    add_section(out, objects, &emitter.objects);
    add_section(out, "static const struct resource resources[]", &emitter.resources);
    buffer_add(out, buffer_text(&indexes), indexes.length);
    buffer_addf(out,
                "\nconst struct schema_tables schema_builtin_tables = {\n"
                "    .group_count = %zu,\n    .resource_count = %zu,\n"
                "    .kind_count = %zu,\n    .object_count = %zu,\n",
                group_count, compiler->resource_count, kind_count, shown_count);
    buffer_add_text(out, tail);

    map_free(&emitter.schema_numbers, NULL);
    map_free(&emitter.list_numbers, NULL);
    struct buffer *const buffers[] = {&emitter.schemas, &emitter.lists, &emitter.fields,
                                      &emitter.objects, &emitter.resources};
    for (size_t i = 0; i < array_length(buffers); i++) {
        buffer_free(buffers[i]);
    }
}

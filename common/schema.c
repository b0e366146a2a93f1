// SPDX-License-Identifier: Apache-2.0
/*
 * Looking things up in schemas and schemes.
 *
 * The compiler has sorted everything, so each look-up is a binary search in constant tables and
 * nothing is built at start.
 */
#include "common/schema.h"

#include <string.h>

#include "common/alloc.h"

const struct schema_field *schema_field_find(const struct schema_object *object, const char *name)
{
    size_t low = 0;
    size_t high = object->field_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const char *other = object->fields[middle].name;
        int order = (unsigned char)name[0] - (unsigned char)other[0]; /* Mostly that tells. */
        order = order != 0 ? order : strcmp(name, other);
        if (order == 0) {
            return &object->fields[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const struct schema_field *schema_field_by_number(const struct schema_object *object,
                                                  uint32_t number)
{
    for (size_t i = 0; number != 0 && i < object->field_count; i++) {
        if (object->fields[i].number == number) {
            return &object->fields[i];
        }
    }
    return NULL;
}

const struct schema_inline *schema_inline_by_number(const struct schema_object *object,
                                                    uint32_t number)
{
    for (size_t i = 0; i < object->inline_count; i++) {
        if (object->inlines[i].number == number) {
            return &object->inlines[i];
        }
    }
    return NULL;
}

const struct schema_field *schema_find_path(const struct schema *schema, const char *path)
{
    const struct schema_field *field = NULL;
    while (*path != '\0') {
        while (schema->type == SCHEMA_LIST || schema->type == SCHEMA_MAP) {
            schema = schema->items;
        }
        if (schema->type != SCHEMA_OBJECT) {
            return NULL;
        }
        size_t length = strcspn(path, ".");
        cleanup(free_char)
        char *name = duplicate_bytes(path, length);
        field = schema_field_find(schema->object, name);
        if (field == NULL) {
            return NULL;
        }
        schema = field->schema;
        path += length;
        path += *path == '.';
    }
    return field;
}

/* ---- resources ---- */

bool resource_has_verb(const struct resource *resource, enum verb verb)
{
    return (resource->verbs & verb) != 0;
}

const struct resource_subresource *resource_subresource_find(const struct resource *resource,
                                                             const char *name)
{
    for (size_t i = 0; i < resource->subresource_count; i++) {
        if (strcmp(resource->subresources[i].name, name) == 0) {
            return &resource->subresources[i];
        }
    }
    return NULL;
}

/* ---- schemes ---- */

struct scheme *scheme_ref(struct scheme *scheme)
{
    if (scheme->references != 0) {
        __atomic_add_fetch(&scheme->references, 1, __ATOMIC_RELAXED);
    }
    return scheme;
}

void scheme_unref(struct scheme *scheme)
{
    if (scheme == NULL || scheme->references == 0) {
        return;
    }
    if (__atomic_sub_fetch(&scheme->references, 1, __ATOMIC_ACQ_REL) == 0) {
        free(scheme);
    }
}

size_t scheme_group_count(const struct scheme *scheme)
{
    return scheme->tables->group_count;
}

const struct scheme_group *scheme_group(const struct scheme *scheme, size_t index)
{
    return &scheme->tables->groups[index];
}

const struct scheme_group *scheme_group_find(const struct scheme *scheme, const char *name)
{
    for (size_t i = 0; i < scheme->tables->group_count; i++) {
        if (strcmp(scheme->tables->groups[i].name, name) == 0) {
            return &scheme->tables->groups[i];
        }
    }
    return NULL;
}

size_t scheme_resource_count(const struct scheme *scheme)
{
    return scheme->tables->resource_count;
}

const struct resource *scheme_resource(const struct scheme *scheme, size_t index)
{
    return &scheme->tables->resources[index];
}

static int compare_names(const char *const *left, const char *const *right, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int order = strcmp(left[i], right[i]);
        if (order != 0) {
            return order;
        }
    }
    return 0;
}

/* Finds {plural, group, version} or {kind, group, version}, or some version of the first two. */
static const struct resource *find_resource(const struct schema_tables *tables, bool by_kind,
                                            const char *const *wanted, size_t count)
{
    const uint16_t *indexes = by_kind ? tables->resources_by_kind : tables->resources_by_plural;
    size_t low = 0;
    size_t high = tables->resource_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct resource *resource = &tables->resources[indexes[middle]];
        const char *const names[] = {by_kind ? resource->kind : resource->plural, resource->group,
                                     resource->version};
        int order = compare_names(wanted, names, count);
        if (order == 0) {
            return resource;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const struct resource *scheme_resource_find(const struct scheme *scheme, const char *group,
                                            const char *version, const char *plural)
{
    const char *const wanted[] = {plural, group, version};
    return find_resource(scheme->tables, false, wanted, array_length(wanted));
}

const struct resource *scheme_resource_stored(const struct scheme *scheme, const char *group,
                                              const char *plural)
{
    const char *const wanted[] = {plural, group};
    const struct resource *resource =
        find_resource(scheme->tables, false, wanted, array_length(wanted));
    return resource != NULL ? scheme_storage_resource(scheme, resource) : NULL;
}

const struct resource *scheme_resource_of_kind(const struct scheme *scheme, const char *group,
                                               const char *version, const char *kind)
{
    const char *const wanted[] = {kind, group, version};
    return find_resource(scheme->tables, true, wanted, array_length(wanted));
}

const struct resource *scheme_storage_resource(const struct scheme *scheme,
                                               const struct resource *resource)
{
    if (strcmp(resource->storage_version, resource->version) == 0 &&
        strcmp(resource->storage_group, resource->group) == 0) {
        return resource;
    }
    const struct resource *storage = scheme_resource_find(
        scheme, resource->storage_group, resource->storage_version, resource->plural);
    return storage != NULL ? storage : resource;
}

static const struct schema *find_kind(const struct schema_tables *tables, const char *const *wanted)
{
    size_t low = 0;
    size_t high = tables->kind_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct scheme_kind *kind = &tables->kinds[middle];
        const char *const names[] = {kind->group, kind->version, kind->kind};
        int order = compare_names(wanted, names, array_length(names));
        if (order == 0) {
            return kind->schema;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const struct schema *scheme_kind_schema(const struct scheme *scheme, const char *group,
                                        const char *version, const char *kind)
{
    const char *const wanted[] = {group, version, kind};
    const struct schema *schema = find_kind(scheme->tables, wanted);
    if (schema != NULL) {
        return schema;
    }
    const char *const everywhere[] = {"", "", kind};
    return find_kind(scheme->tables, everywhere);
}

const struct scheme_kind *scheme_kind(const struct scheme *scheme, size_t index)
{
    return index < scheme->tables->kind_count ? &scheme->tables->kinds[index] : NULL;
}

const struct schema_object *scheme_object(const struct scheme *scheme, size_t index)
{
    return index < scheme->tables->object_count ? scheme->tables->objects[index] : NULL;
}

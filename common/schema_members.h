// SPDX-License-Identifier: Apache-2.0
/*
 * The members of an object in the places of its type's fields.
 *
 * An object has few of the members that its type knows, so to ask for each member's field is much
 * less work than to ask for each field's member.
 */
#ifndef COMMON_SCHEMA_MEMBERS_H
#define COMMON_SCHEMA_MEMBERS_H

#include <jansson.h>
#include <stdint.h>

#include "common/schema.h"

/* Fields behind the first 64, which hardly any type has, are looked up when they are asked for. */
enum { SCHEMA_MEMBERS_MAX = 64 };

struct schema_members {
    json_t *object;   /* Borrowed, as the values are. */
    uint64_t present; /* A bit each for the values that are set. */
    json_t *values[SCHEMA_MEMBERS_MAX];
};

static inline void schema_members_collect(struct schema_members *members,
                                          const struct schema_object *type, json_t *object)
{
    members->object = object;
    members->present = 0;
    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
        const struct schema_field *field = schema_field_find(type, json_object_iter_key(at));
        size_t index = field != NULL ? (size_t)(field - type->fields) : SCHEMA_MEMBERS_MAX;
        if (index < SCHEMA_MEMBERS_MAX) {
            members->present |= UINT64_C(1) << index;
            members->values[index] = json_object_iter_value(at);
        }
    }
}

/* The member of the field at 'index', NULL when it was absent. */
static inline json_t *schema_members_get(const struct schema_members *members,
                                         const struct schema_object *type, size_t index)
{
    if (index >= SCHEMA_MEMBERS_MAX) {
        return json_object_get(members->object, type->fields[index].name);
    }
    return (members->present >> index & 1) != 0 ? members->values[index] : NULL;
}

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * The schema compiler: reads the YAML files that describe the API (their format is in README.md)
 * and writes them as constant C tables of the structs in common/schema.h.
 *
 * It works in four steps, one source file each: document.c reads YAML into nodes that know their
 * lines; model.c reads nodes into types and resources; resolve.c ties names to what they mean and
 * checks that all of it holds together; emit.c writes the tables. Whatever is wrong is complained
 * about as "file:line: message", as much as can be found in one run, and then nothing is written.
 *
 * All memory comes from one arena and is released at the end.
 */
#ifndef API_SCHEMAS_COMPILER_H
#define API_SCHEMAS_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/schema.h"

/* ---- documents ---- */

enum node_kind { NODE_SCALAR, NODE_SEQUENCE, NODE_MAPPING };

/* A value of a YAML document and where it stands. */
struct node {
    enum node_kind kind;
    const char *file;
    size_t line;
    const char *text;           /* Of a scalar. */
    bool quoted;                /* A scalar in quotes: a string whatever it looks like. */
    const struct node **keys;   /* Of a mapping; each a scalar. */
    const struct node **values; /* Of a mapping or sequence. */
    size_t count;
};

struct compiler;

/* Reads the one document of a file. NULL after a complaint when that is not possible. */
const struct node *document_read(struct compiler *compiler, const char *path);
/* The value of that key in a mapping, or NULL. */
const struct node *node_get(const struct node *mapping, const char *key);

/* ---- the model ---- */

enum type_form {
    TYPE_PLAIN,
    TYPE_BARE,   /* A kind with kind and apiVersion only. */
    TYPE_OBJECT, /* A kind with metadata besides. */
};

/* A YAML file's head. */
struct source {
    const char *file;
    const char *group, *version, *package;
    const struct node *priority; /* NULL when the file has none. */
    int group_priority, version_priority;
};

struct type;

/* A field as it is written, before its type is tied to a schema. */
struct field_text {
    const struct node *name, *node; /* Its name and its attributes; NULL for one made here. */
    const struct node *type;
    const struct node *default_value;
    bool has_number;
    struct schema *schema; /* The field's own, still open to change; NULL when it has none. */
};

struct inline_text {
    const struct node *name;
    uint32_t number;
    struct type *type;
};

/* An object type. */
struct type {
    const struct source *source;
    const struct node *node; /* Its name in the file. */
    const char *name;
    size_t index; /* Among all types. */
    enum type_form form;
    const char *const *versions; /* apiVersions of a kind, NULL-terminated; NULL: the source's. */
    bool everywhere;             /* A kind that every group and version knows. */
    bool hidden;                 /* Not shown in OpenAPI. */
    bool is_union;
    struct schema_object object;
    struct schema_field *fields; /* As written; 'object' has them sorted, with those of inlined
                                  * types and of kinds. */
    struct field_text *texts;    /* Parallel to 'fields'. */
    size_t field_count;
    struct inline_text *inlines;
    struct schema_inline *object_inlines;
    size_t inline_count;
    int inline_state; /* 0: untouched, 1: being expanded, 2: expanded. */
};

/* A resource; its node is its plural. */
struct resource_text {
    const struct source *source;
    const struct node *node, *kind, *columns, *selectable, *subresources, *stored_as;
    struct type *type;
    struct resource resource;
};

/* ---- the compiler ---- */

struct compiler {
    struct arena_block *arena;
    size_t complaint_count;
    struct source *sources;
    size_t source_count, source_capacity;
    struct type **types;
    size_t type_count, type_capacity;
    struct resource_text **resources;
    size_t resource_count, resource_capacity;
};

/* Zeroed memory that lives as long as the compiler. */
void *arena_allocate(struct compiler *compiler, size_t size);
char *arena_duplicate(struct compiler *compiler, const char *text, size_t length);
char *arena_format(struct compiler *compiler, const char *text, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes "file:line: message" to standard error and counts it. */
void complain(struct compiler *compiler, const struct node *at, const char *text, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds the types and resources of one file to the model. */
void model_add_file(struct compiler *compiler, struct source *source, const struct node *root);
/* A type with room for that many fields; also for one that is written nowhere, as list kinds. */
struct type *model_make_type(struct compiler *compiler, const struct source *source,
                             const struct node *at, const char *name, size_t field_count);
/* The strings of a sequence, NULL-terminated; none when it is NULL or after a complaint. */
const char *const *model_strings(struct compiler *compiler, const struct node *sequence);
/* An integer; complains and returns 0 when it is none. */
int64_t model_integer(struct compiler *compiler, const struct node *scalar);

/* Ties everything together and checks it. Nothing may be written when there were complaints. */
void resolve_all(struct compiler *compiler);
/* The schema of a field, from its attributes; NULL after a complaint. */
struct schema *field_schema(struct compiler *compiler, const struct type *type,
                            const struct field_text *text);
/* Checks and decides what needs the fields of other types: list keys, merge keys, defaults, zeros.
 */
void field_check(struct compiler *compiler, const struct field_text *text,
                 const struct schema_field *field);
/* The default of a value as JSON text, NULL after a complaint that it does not fit. */
const char *defaults_text(struct compiler *compiler, const struct schema *schema,
                          const struct node *value);
/* Gives each resource that can be listed the type of its lists. */
void resources_make_lists(struct compiler *compiler);
/* Ties resources to their types; complains about kinds, paths, columns and selectable fields that
 * lead nowhere, and about names that clash. */
void resources_resolve(struct compiler *compiler);
/* The type that a name in a file means, or NULL: "Pod", "autoscaling/v1.Scale". */
struct type *find_type(const struct compiler *compiler, const struct source *source,
                       const char *name);
/* A schema of an object type. */
struct schema *object_schema(struct compiler *compiler, const struct type *type);

/* Writes the tables as C. Sorts what is to be sorted on the way. */
void emit_tables(struct compiler *compiler, struct buffer *out);

#endif

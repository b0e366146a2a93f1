// SPDX-License-Identifier: Apache-2.0
/*
 * An object at rest: one immutable string of canonical JSON with a small header.
 *
 * Canonical means compact and beginning with
 *     {"kind":"Pod","apiVersion":"v1","metadata":{
 * where metadata has at least a name and no resourceVersion. Right behind that brace
 * "resourceVersion":"N", enters when the object is written out, because the revision is only known
 * once the bytes are stored. Nobody parses an object to answer a read: lists join the strings,
 * watch events wrap them, selectors look at spans found by a scanner when the object was made.
 *
 * Other forms of the same object (another API version, a Table row) are strings as well, made when
 * first asked for and kept with it: see object_rendition().
 *
 * Threads: immutable and reference-counted, free to share. Renditions are added atomically.
 */
#ifndef APISERVER_STORAGE_OBJECT_H
#define APISERVER_STORAGE_OBJECT_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/json.h"
#include "common/schema.h"

/* What objects of one resource are made with: which fields to find. Lives as long as they do. */
struct object_class {
    const struct resource *resource; /* In its storage version. */
    const char **field_paths;        /* Where the selectable fields stand, in their order. */
    const char **field_zeros;        /* What an absent one reads as: "", "0", "false". */
    size_t field_count;
};

struct object_class *object_class_new(const struct resource *resource);
void object_class_free(struct object_class *class);

struct object_span {
    uint32_t start, length; /* In 'bytes'; length 0: absent. */
};

struct object_rendition {
    struct object_rendition *next;
    const void *form; /* What it is a rendition as; see object_rendition(). */
    size_t length;
    char bytes[];
};

struct object {
    atomic_uint references;
    uint32_t length;       /* Of 'bytes'. */
    uint32_t split;        /* Where the resourceVersion enters. */
    uint32_t metadata_end; /* Behind the closing brace of metadata. */
    struct object_span labels;
    uint16_t namespace_length; /* Of the first part of 'name'; 0 when not namespaced. */
    uint16_t name_length;      /* Of 'key' in whole. */
    int64_t revision;
    const struct object_class *class;
    struct object_rendition *_Atomic renditions;
    char *key;   /* "default/web-1" or "node-1": the key behind its prefix. Points into 'memory'. */
    char *bytes; /* NUL-terminated. Points into 'memory'. */
    struct object_span fields[]; /* One for each of the class's; then key and bytes. */
};

/* Makes one of a stored value, which is brought into canonical form if it is not (as when an
 * upstream API server wrote it). 500 when it is no JSON object with metadata.name. 'key' is the
 * part behind the prefix. The caller's reference. */
struct object *object_new(const struct object_class *class, const char *key, const char *value,
                          size_t length, int64_t revision, struct error *error);
struct object *object_ref(struct object *object);
void object_unref(struct object *object);    /* NULL is fine. */
void object_release(struct object **object); /* For cleanup(). */

/* The canonical JSON of a tree, without its resourceVersion. */
void object_encode(const json_t *tree, struct buffer *buffer);
/* A tree of the object, with its resourceVersion. The caller's. */
json_t *object_tree(const struct object *object);
/* The tree of its labels, or of the one member at the top that has this name; much less work than
 * the whole. NULL where there is none. The caller's. */
json_t *object_labels(const struct object *object);
json_t *object_member(const struct object *object, const char *name);

/* Name and namespace, borrowed; the namespace is not NUL-terminated ("/" follows). */
static inline const char *object_name(const struct object *object)
{
    return object->namespace_length ? object->key + object->namespace_length + 1 : object->key;
}

/* Lookups for selector_matches(); the argument is the object. */
const char *object_label(const void *object, const char *key, size_t *length);
const char *object_field(const void *object, const char *path, size_t *length);

/* Appends the object's JSON with a resourceVersion: whole, or as a list's item (which has neither
 * kind nor apiVersion, as upstream's typed lists), or only the metadata object. */
void object_write(const struct object *object, int64_t revision, struct buffer *out);
void object_write_item(const struct object *object, int64_t revision, struct buffer *out);
void object_write_metadata(const struct object *object, int64_t revision, struct buffer *out);

/* The same for canonical text of its own, such as a rendition in another version. */
void object_write_text(const char *text, size_t length, int64_t revision, bool item,
                       struct buffer *out);

/* The object in another form, made by 'make' when it is asked for the first time. 'form' identifies
 * the form by address. Borrowed, lives with the object. */
const struct object_rendition *object_rendition(const struct object *object, const void *form,
                                                void (*make)(const struct object *object,
                                                             const void *form, struct buffer *out));

#endif

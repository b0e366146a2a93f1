// SPDX-License-Identifier: Apache-2.0
/*
 * An object as an informer keeps it: the JSON text that came, a header with what every controller
 * asks for, and a digest: the few fields that a program works with, parsed once on arrival.
 *
 * Threads: immutable and reference-counted, free to share.
 */
#ifndef COMMON_CACHED_OBJECT_H
#define COMMON_CACHED_OBJECT_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/json.h"

struct cached_object;

/* What a program makes of each object of a kind as it arrives. */
struct cached_object_class {
    /* The digest of an object, the caller's; its header and text are there already. NULL: none. */
    void *(*digest)(const struct cached_object *object);
    void (*digest_free)(void *digest);
    /* The digest says all: the text is not kept. Handlers still see that of a new object. */
    bool drop_text;
};

/* Strings are never NULL; "" is absent. */
struct cached_object {
    atomic_uint references;
    uint32_t length; /* Of 'text'; 0 when it is not kept. */
    int64_t resource_version;
    int64_t generation;
    int64_t creation; /* metadata.creationTimestamp, nanoseconds. */
    bool is_deleting; /* It has a deletionTimestamp. */
    const char *key;  /* "namespace/name", or "name" of what is in no namespace. */
    const char *namespace, *name, *uid;
    const char *owner_uid, *owner_kind,
        *owner_name; /* The owner reference with controller: true. */
    struct json_span labels;
    const char *text; /* NUL-terminated JSON. */
    void *digest;
    bool borrows_digest;
    const struct cached_object_class *class;
    char memory[];
};

/* Makes one of the text of an object; NULL when that is no object with a name. The class lives as
 * long as the object. The caller's reference. */
struct cached_object *cached_object_new(const struct cached_object_class *class, const char *text,
                                        size_t length);
/* The same without its text; it takes over the digest, which 'object' borrows from now on. The
 * caller's reference. */
struct cached_object *cached_object_strip(struct cached_object *object);
struct cached_object *cached_object_ref(const struct cached_object *object);
void cached_object_unref(const struct cached_object *object); /* NULL is fine. */
void cached_object_release(struct cached_object **object);    /* For cleanup(). */

/* The whole object as a tree, kind and apiVersion included. The caller's. */
json_t *cached_object_tree(const struct cached_object *object);
/* Its labels as a tree; the caller's, empty when it has none. */
json_t *cached_object_labels(const struct cached_object *object);
/* A lookup for selector_matches(); the argument is the object. */
const char *cached_object_label(const void *object, const char *key, size_t *length);
/* One label's value; the caller's, NULL when it is not there. */
char *cached_object_label_value(const struct cached_object *object, const char *key);
/* The scalar at a path ("spec.nodeName"); the caller's, NULL when it is not there. */
char *cached_object_value(const struct cached_object *object, const char *path);

/* A list of objects, such as an index finds; holds references. */
struct cached_list {
    struct cached_object **items;
    size_t count, capacity;
};

#define CACHED_LIST_INIT ((struct cached_list){0})

/* Adds a reference of its own. */
void cached_list_add(struct cached_list *list, const struct cached_object *object);
void cached_list_free(struct cached_list *list); /* Also fit for cleanup(). */

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Answers made of objects at rest: one object, a list, watch events, in the form that the client
 * asked for: itself, in another API version, as PartialObjectMetadata or as a Table.
 *
 * A renderer is chosen once a request; then each object is a few copies of memory. What needs a
 * parse (another version, a Table row) is a rendition that the object keeps; see object.h.
 *
 * Threads: a renderer belongs to its request.
 */
#ifndef APISERVER_VIEWS_RENDER_H
#define APISERVER_VIEWS_RENDER_H

#include "apiserver/http/request.h"
#include "apiserver/storage/cache.h"

struct renderer {
    const struct resource *resource; /* As addressed. */
    const struct resource *storage;
    struct media media;
    enum {
        INCLUDE_METADATA,
        INCLUDE_NONE,
        INCLUDE_OBJECT
    } include; /* Of Tables: ?includeObject= */
    char *api_version;
    bool columns_sent; /* Of a watch as Table: only the first event carries the columns. */
};

/* Chooses by request->media and ?includeObject. 400 for values that can't be. */
bool renderer_init(struct renderer *renderer, const struct request *request,
                   const struct resource *resource, struct error *error);
void renderer_clear(struct renderer *renderer); /* Also fit for cleanup(). */

/* Makes the response one object. */
void render_object(struct renderer *renderer, const struct request *request,
                   struct response *response, int status, const struct object *object,
                   int64_t revision);

/* What stands in a list's metadata. */
struct list_metadata {
    int64_t revision;
    char *continue_token; /* NULL: no more. */
    int64_t remaining;    /* -1: not said. */
};

/* Makes the response a list of 'objects', which the snapshot keeps ('snapshot' and 'objects' are
 * consumed). The body is produced piece by piece. */
void render_list(struct renderer *renderer, const struct request *request,
                 struct response *response, struct snapshot *snapshot, struct object **objects,
                 size_t count, const struct list_metadata *metadata);

/* Appends one watch event, a line of JSON. 'type' is ADDED, MODIFIED or DELETED. */
void render_event(struct renderer *renderer, const char *type, const struct object *object,
                  int64_t revision, struct buffer *out);
/* Appends a BOOKMARK; 'initial_end' adds the annotation that closes the initial events. */
void render_bookmark(struct renderer *renderer, int64_t revision, bool initial_end,
                     struct buffer *out);

/* ---- Tables; in table.c ---- */

/* Appends the column definitions: a JSON array. */
void table_columns(const struct resource *resource, struct buffer *out);
/* Appends one row's cells: a JSON array. */
void table_cells(const struct object *object, const struct resource *resource, struct buffer *out);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Informers: a local, indexed copy of all objects of a kind that follows the API server.
 *
 * An informer opens one watch stream that first brings the objects there are (sendInitialEvents,
 * closed by a bookmark) and then what changes; list and watch are one mechanism. A stream that ends
 * is resumed from the last version seen; one that the server has forgotten (410) starts over, and
 * what the new list does not bring is reported as deleted. Reconnecting waits longer each time,
 * with jitter, so that a server which comes back is not met by a burst.
 *
 * A factory shares informers: whoever asks for the same kind in a process gets the same one.
 *
 *     struct informer *pods = informer_factory_get(factory, &pods_resource, &pod_class, NULL);
 *     indexer_add_index(informer_indexer(pods), "owner", index_by_owner);
 *     informer_add_handler(pods, pod_changed, controller);
 *     informer_factory_start(factory);
 *     informer_factory_wait(factory);
 *
 * Threads: handlers run on the loop's thread, in the server's order, and must not block: they put a
 * key into a work queue. Informers, indexes and handlers are added before informer_start().
 */
#ifndef COMMON_INFORMER_H
#define COMMON_INFORMER_H

#include "common/client.h"
#include "common/indexer.h"

struct informer;
struct informer_factory;

/* 'old' NULL: the object is new; 'new' NULL: it is gone. Both borrowed. When nothing but the stream
 * is new, nobody is called. 'new' has its text even if the class drops that; to keep such an object
 * for longer, take the informer's own from its indexer. */
typedef void (*informer_handler)(void *argument, const struct cached_object *old,
                                 const struct cached_object *new);

struct informer_options {
    const char *field_selector; /* NULL: none. Static, as the others. */
    const char *label_selector;
    bool metadata_only; /* Ask for PartialObjectMetadata. */
    bool is_unindexed;  /* Without the index by namespace that others have. */
};

/* ---- the factory ---- */

struct informer_factory *informer_factory_new(struct client *client);
/* After the loop has stopped. */
void informer_factory_free(struct informer_factory *factory);
/* The informer of this kind with these options (NULL: none), made when first asked for. 'resource',
 * 'class' (NULL: no digest) and 'options' live as long as the factory; the class is that of who
 * asks first, and all must agree. */
struct informer *informer_factory_get(struct informer_factory *factory,
                                      const struct api_resource *resource,
                                      const struct cached_object_class *class,
                                      const struct informer_options *options);
/* Starts all that are not started yet. */
void informer_factory_start(struct informer_factory *factory);
/* Blocks until every started informer has seen its first list; false when the factory was stopped
 * before. */
bool informer_factory_wait(struct informer_factory *factory);
/* Sleeps for so long; false when the factory was stopped before that. */
bool informer_factory_pause(struct informer_factory *factory, int64_t ms);
/* Ends all streams: no handler runs once this returns. What was seen can still be read. */
void informer_factory_stop(struct informer_factory *factory);

/* ---- an informer ---- */

const struct api_resource *informer_resource(const struct informer *informer);
struct indexer *informer_indexer(struct informer *informer);
void informer_add_handler(struct informer *informer, informer_handler handler, void *argument);
/* It has brought the first list, and its handlers have seen it. */
bool informer_has_synced(struct informer *informer);

/* A reference, the caller's; NULL when there is none. 'namespace' may be "" or NULL. */
struct cached_object *informer_get(struct informer *informer, const char *namespace,
                                   const char *name);

#endif

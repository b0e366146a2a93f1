// SPDX-License-Identifier: Apache-2.0
/*
 * Who depends on whom: all objects of a cluster by uid, with the owner references between them.
 *
 * An object that informers have shown is observed. A uid that is only known from owner references
 * is virtual, until it is observed or somebody has asked the server for it in vain: references are
 * then absent, one way of writing them (API version, kind, name, namespace) at a time, since a
 * wrong reference to an object proves nothing about it. A uid whose object was seen to go stays
 * known as gone for as long as anybody refers to it.
 *
 * Nothing here walks all dependents of an owner for a change of one of them.
 *
 * Threads: has its own lock; all functions from any thread.
 */
#ifndef CONTROLLERS_GARBAGE_GRAPH_H
#define CONTROLLERS_GARBAGE_GRAPH_H

#include "common/cached_object.h"
#include "common/client.h"

struct garbage_graph;

/* A dependent in another namespace than the owner it names. */
struct garbage_complaint {
    struct cached_object *dependent; /* A reference. */
    const struct api_resource *resource;
    char *message;
};

/* What a change of the graph asks for. */
struct garbage_effects {
    char **uids; /* To be looked at. */
    size_t count, capacity;
    struct garbage_complaint *complaints;
    size_t complaint_count, complaint_capacity;
};

#define GARBAGE_EFFECTS_INIT ((struct garbage_effects){0})
void garbage_effects_free(struct garbage_effects *effects); /* Also fit for cleanup(). */

/* Where an object is; strings are its own. */
struct garbage_place {
    const struct api_resource *resource; /* NULL: virtual, known by the names of a reference. */
    char *api_version, *kind, *namespace, *name, *uid;
};

#define GARBAGE_PLACE_INIT ((struct garbage_place){0})
void garbage_place_clear(struct garbage_place *place); /* Also fit for cleanup(). */

/* What there is to do about an object. */
enum garbage_task {
    GARBAGE_NOTHING,
    GARBAGE_VERIFY,            /* Virtual: ask the server whether it exists. */
    GARBAGE_CHECK_OWNERS,      /* An owner may be missing, or waits for its dependents to go. */
    GARBAGE_ORPHAN,            /* It is being deleted, and its dependents are to stay. */
    GARBAGE_FINISH_FOREGROUND, /* It waited for its dependents, and none blocks it any more. */
};

/* What is known of an owner by one reference to it. */
enum garbage_owner { OWNER_SOLID, OWNER_WAITING, OWNER_ABSENT, OWNER_UNKNOWN };

struct garbage_graph *garbage_graph_new(void);
void garbage_graph_free(struct garbage_graph *graph);

/* An informer has shown the object, new or changed, as this text. The graph takes a reference to
 * 'kept', which needs no text. */
void garbage_graph_observe(struct garbage_graph *graph, const struct api_resource *resource,
                           struct cached_object *kept, const char *text, size_t length,
                           struct garbage_effects *effects);
/* An informer has seen the object go. */
void garbage_graph_forget(struct garbage_graph *graph, const char *uid,
                          struct garbage_effects *effects);
/* The server has no object with this uid at the owner's place. 'any_namespace': its kind is in no
 * namespace. */
void garbage_graph_absent(struct garbage_graph *graph, const struct garbage_place *owner,
                          bool any_namespace, struct garbage_effects *effects);
/* The references of objects without a namespace to this owner, which has one, mean nothing. */
void garbage_graph_ignore(struct garbage_graph *graph, const struct garbage_place *owner,
                          struct garbage_effects *effects);

/* What is to be done, and where. */
enum garbage_task garbage_graph_task(struct garbage_graph *graph, const char *uid,
                                     struct garbage_place *place);
/* What the graph knows of the owner that the object 'uid' names by 'reference'. */
enum garbage_owner garbage_graph_owner(struct garbage_graph *graph, const char *uid,
                                       const json_t *reference);
/* The dependents' places; the caller's, as many as '*count'. */
struct garbage_place *garbage_graph_dependents(struct garbage_graph *graph, const char *uid,
                                               size_t *count);
/* Whether it has dependents, and whether one of these waits for dependents of its own. */
bool garbage_graph_has_dependents(struct garbage_graph *graph, const char *uid, bool *one_waits);
size_t garbage_graph_count(struct garbage_graph *graph);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * The objects of one kind that an informer has seen, by key and by indexes: functions that give
 * each object any number of index values, such as its namespace, its owner's uid or its node.
 *
 * Threads: one thread changes it (the loop's, through the informer); any may read. Indexes are
 * added before the first object.
 */
#ifndef COMMON_INDEXER_H
#define COMMON_INDEXER_H

#include "common/cached_object.h"
#include "common/selector.h"

struct indexer;
struct index_values;

/* Adds the object's values of an index with index_values_add(). */
typedef void (*index_function)(const struct cached_object *object, struct index_values *values);
/* Copies the value; "" is not indexed. */
void index_values_add(struct index_values *values, const char *value);

/* Ready-made: by "namespace", and by "owner": the uid of the controlling owner. */
void index_by_namespace(const struct cached_object *object, struct index_values *values);
void index_by_owner(const struct cached_object *object, struct index_values *values);

struct indexer *indexer_new(void);
void indexer_free(struct indexer *indexer);
/* Does nothing when an index of that name exists. 'name' is borrowed. */
void indexer_add_index(struct indexer *indexer, const char *name, index_function function);

/* A reference, the caller's; NULL when there is none. */
struct cached_object *indexer_get(const struct indexer *indexer, const char *key);
/* Appends the objects that have this value in the index, in no order. */
void indexer_find(const struct indexer *indexer, const char *index, const char *value,
                  struct cached_list *list);
size_t indexer_count_of(const struct indexer *indexer, const char *index, const char *value);
/* Appends those in a namespace (NULL or "": all) whose labels match (NULL: any). Needs the
 * index by namespace if one is given. */
void indexer_select(const struct indexer *indexer, const char *namespace,
                    const struct selector *selector, struct cached_list *list);
size_t indexer_count(const struct indexer *indexer);

/* ---- for the informer ---- */

/* Keeps the object, consuming the reference, and returns the one that it replaced (the caller's)
 * or NULL. 'round' tells later which objects a new list did not bring. */
struct cached_object *indexer_put(struct indexer *indexer, struct cached_object *object,
                                  uint32_t round);
/* Takes it out and returns it (the caller's), or NULL. */
struct cached_object *indexer_remove(struct indexer *indexer, const char *key);
/* Notes that this round's list brought the object just as it is: true; false when it is not there
 * or has another resourceVersion. */
bool indexer_confirm(struct indexer *indexer, const char *key, int64_t resource_version,
                     uint32_t round);
/* Appends those that no list has brought since this round. */
void indexer_find_stale(const struct indexer *indexer, uint32_t round, struct cached_list *list);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * ControllerRevisions: what the pods of a StatefulSet or DaemonSet were made of, now and before.
 *
 * The data of a revision is a patch that brings its template back, so that kubectl can undo a
 * rollout with it. Revisions are numbered; going back gives an old one the next number.
 *
 * A history is an array of ControllerRevisions in the order of their numbers.
 */
#ifndef CONTROLLERS_HISTORY_H
#define CONTROLLERS_HISTORY_H

#include "common/informer.h"
#include "common/map.h"
#include "controllers/deployment_template.h"

extern const char history_hash_label[]; /* Of pods and revisions: controller-revision-hash. */

/* The object's revisions, after adopting and releasing by its selector. The caller's; NULL with an
 * error. The indexer has the indexes "owner" and "orphan". Blocks. */
json_t *history_of(struct client *client, const struct api_resource *owner_resource,
                   const json_t *owner, const struct indexer *revisions, struct error *error);
/* Adds the indexes. */
struct informer *history_informer(struct informer_factory *informers);

/* The patch that a revision of this template keeps; the caller's. */
json_t *history_data(const json_t *pod_template);
/* The template that a revision keeps; the caller's. */
json_t *history_template(const json_t *revision);
/* What names a revision of this data; 'collisions' as for template_hash(). */
void history_hash(const json_t *data, json_int_t collisions, char hash[static TEMPLATE_HASH_SIZE]);
/* A revision of the owner's template, labelled with the template's labels and the hash. The
 * caller's. */
json_t *history_revision(const json_t *owner, const json_t *data, const char *hash_label,
                         const char *hash, json_int_t number);

json_int_t history_number(const json_t *revision);
/* The number for the next one. */
json_int_t history_next(const json_t *history);
const char *history_name(const json_t *revision);
bool history_keeps(const json_t *revision, const json_t *data);
/* The last revision that keeps this data; borrowed, NULL if none does. */
json_t *history_find(const json_t *history, const json_t *data);
json_t *history_find_name(const json_t *history, const char *name);
/* Those to delete, so that no more than 'limit' are left beside the 'live' ones (a map of names).
 * The caller's array. */
json_t *history_surplus(const json_t *history, const struct map *live, json_int_t limit);

/* ---- writing; each blocks ---- */

/* Creates a revision of this data, named by its hash. When another revision has that name already
 * '*collisions' is counted on; one that keeps the same is taken. The caller's; NULL with an
 * error. */
json_t *history_create(struct client *client, const json_t *owner, const json_t *data,
                       json_int_t number, json_int_t *collisions, struct error *error);
/* The revision with another number; the caller's. */
json_t *history_renumber(struct client *client, const json_t *revision, json_int_t number,
                         struct error *error);
bool history_delete(struct client *client, const json_t *revision, struct error *error);

#endif

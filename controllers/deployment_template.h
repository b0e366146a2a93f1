// SPDX-License-Identifier: Apache-2.0
/* What a Deployment makes of its template: the ReplicaSet of a template, the hash that names it,
 * and the annotations that number the revisions. Pure functions. */
#ifndef CONTROLLERS_DEPLOYMENT_TEMPLATE_H
#define CONTROLLERS_DEPLOYMENT_TEMPLATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { TEMPLATE_HASH_SIZE = 11 };

/* A sum as a label's value shows it. */
void template_hash_spell(uint32_t sum, char hash[static TEMPLATE_HASH_SIZE]);
/* The value of the label pod-template-hash. 'collisions' is status.collisionCount, or -1 when it is
 * absent: counting on gives a template another hash when its name is taken. */
void template_hash(const json_t *pod_template, json_int_t collisions,
                   char hash[static TEMPLATE_HASH_SIZE]);
/* They are the same, but for the label pod-template-hash. */
bool template_equals(const json_t *a, const json_t *b);

/* The ReplicaSet for the Deployment's template, without annotations. The caller's. */
json_t *template_replicaset(const json_t *deployment, json_int_t replicas);

/* The revision in an object's annotations; 0 when there is none, -1 when it is no number. */
json_int_t revision_of(const json_t *object);
/* Brings the annotations of the ReplicaSet with the Deployment's template up to date: those of the
 * Deployment, and the revision, which never falls; one that had an earlier revision notes that in
 * its history. Returns whether anything changed. */
bool revision_annotate(json_t *replicaset, const json_t *deployment, json_int_t revision);
/* Gives the Deployment the annotations that this ReplicaSet was made with; those that are the
 * Deployment's own stay. */
void template_restore_annotations(json_t *deployment, const json_t *replicaset);
/* Notes for what size of its Deployment a ReplicaSet was scaled. Returns whether that is new. */
bool replicas_annotate(json_t *replicaset, json_int_t desired, json_int_t max);
/* What was noted; -1 when nothing was. */
json_int_t annotated_desired_replicas(const json_t *replicaset);
json_int_t annotated_max_replicas(const json_t *replicaset);
/* Sets an annotation; returns whether that changes anything. */
bool annotate(json_t *object, const char *name, const char *value);

extern const char revision_annotation[];

#endif

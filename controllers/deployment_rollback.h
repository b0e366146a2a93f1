// SPDX-License-Identifier: Apache-2.0
/* A Deployment that is asked to go back to an earlier revision, by the annotation that the field
 * spec.rollbackTo of older versions has become. Pure functions. */
#ifndef CONTROLLERS_DEPLOYMENT_ROLLBACK_H
#define CONTROLLERS_DEPLOYMENT_ROLLBACK_H

#include <jansson.h>
#include <stdbool.h>

#include "controllers/deployment_rollout.h"

extern const char rollback_annotation[];

/* Whether it is asked to go back, and to which revision; 0 is the last one before the present. */
bool rollback_wanted(const json_t *deployment, json_int_t *revision);
/* The second highest revision of the sets; 0 when there is none. */
json_int_t rollback_last_revision(const struct rollout *rollout);
/* The set of this revision; NULL when there is none. */
const struct rollout_set *rollback_find(const struct rollout *rollout, json_int_t revision);
/* Gives the Deployment the template and the annotations of the ReplicaSet. False, and nothing is
 * changed, when it has that template already. */
bool rollback_to(json_t *deployment, const json_t *replicaset);

#endif

// SPDX-License-Identifier: Apache-2.0
/* The status of a Deployment, computed from its ReplicaSets. Pure functions. */
#ifndef CONTROLLERS_DEPLOYMENT_STATUS_H
#define CONTROLLERS_DEPLOYMENT_STATUS_H

#include "controllers/deployment_rollout.h"

/* A progressDeadlineSeconds is set; the largest number stands for none. */
bool deployment_has_deadline(const json_t *deployment);
/* Sets a condition in 'status', as the last one; nothing when one with this status and reason is
 * there. */
void deployment_set_condition(json_t *status, const char *type, const char *value,
                              const char *reason, const char *message, int64_t now);
/* Pausing and resuming become reasons of Progressing, so that the time spent paused does not count
 * as lack of progress. Changes the Deployment's status. */
void deployment_note_pause(json_t *deployment, int64_t now);

/* The counts and the condition Available. The caller's. */
json_t *deployment_status(const json_t *deployment, const struct rollout *rollout, int64_t now);
/* Adds to a new status what a rollout achieved since the Deployment's last one: the conditions
 * Progressing and ReplicaFailure. */
void deployment_status_add_progress(json_t *status, const json_t *deployment,
                                    const struct rollout *rollout, int64_t now);
/* By this status, all pods are of the new template and available. */
bool deployment_is_complete(const json_t *deployment, const json_t *status);
/* When to look whether the deadline has passed, if nothing happens till then; 0: never. */
int64_t deployment_next_check(const json_t *deployment, const json_t *status, int64_t now);

#endif

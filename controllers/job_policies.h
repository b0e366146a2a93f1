// SPDX-License-Identifier: Apache-2.0
/* What a Job's policies say of a failed pod and of the indexes that have succeeded. Pure functions.
 */
#ifndef CONTROLLERS_JOB_POLICIES_H
#define CONTROLLERS_JOB_POLICIES_H

#include <jansson.h>

#include "controllers/job_indexes.h"

enum job_action { JOB_COUNT, JOB_IGNORE, JOB_FAIL_INDEX, JOB_FAIL_JOB };

/* What the first rule of spec.podFailurePolicy (NULL: none) that applies to the failed pod asks
 * for; counting it when none does. With JOB_FAIL_JOB '*message' (may be NULL) says why, the
 * caller's. FailIndex means something only to a job with limits for each index, else it counts. */
enum job_action job_failure_action(const json_t *spec, const json_t *pod, char **message);

/* Which rule of spec.successPolicy (NULL: none) is met; -1: none. */
int job_success_rule(const json_t *spec, const struct job_indexes *succeeded);

#endif

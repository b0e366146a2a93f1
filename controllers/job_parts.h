// SPDX-License-Identifier: Apache-2.0
/* What the parts of controllers/job_round.h share among themselves. */
#ifndef CONTROLLERS_JOB_PARTS_H
#define CONTROLLERS_JOB_PARTS_H

#include "controllers/job_round.h"

/* The whole object; borrowed. */
const json_t *job_pod_tree(struct job_pod *pod);
/* When it ended, as far as anything tells. */
int64_t job_pod_end(struct job_pod *pod);
/* Of an Indexed job, it has an index that the job has. */
bool job_pod_is_valid(const struct job_round *round, const struct job_pod *pod);
/* Its uid was in the status when the round began. */
bool job_pod_is_noted(const struct job_round *round, const struct job_pod *pod, bool failed);
/* How often its index had failed before it; with those failures that the policy ignores or
 * without. */
int job_pod_failures(struct job_pod *pod, bool with_ignored);
/* Marks, of each index that is to get another pod, the last one that has failed. */
void job_round_keep_last_failures(struct job_round *round);
/* Looks at the job again by then, at the latest. */
void job_round_wake(struct job_round *round, int64_t delay_ns);

void job_set_condition(json_t *status, const char *type, const char *value, const char *reason,
                       const char *message, int64_t now);

#endif

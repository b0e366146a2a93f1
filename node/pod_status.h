// SPDX-License-Identifier: Apache-2.0
/* A pod's status as a kubelet reports it, from what its worker knows. */
#ifndef NODE_POD_STATUS_H
#define NODE_POD_STATUS_H

#include "node/pod_worker.h"

/* Brings phase and conditions up to date with the containers. */
void pod_status_update(struct pod_worker *worker, int64_t now);
/* The status object; the caller's. */
json_t *pod_status_build(const struct pod_worker *worker);
/* Takes over what a former process has reported, so that it goes on from there. */
void pod_status_adopt(struct pod_worker *worker, const json_t *status);

#endif

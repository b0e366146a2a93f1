// SPDX-License-Identifier: Apache-2.0
/*
 * The policy that every cluster has: roles and bindings of Kubernetes itself, in policy/ as YAML.
 *
 * They are made sure of when the server starts, as upstream does it: what is missing is created,
 * rules and subjects that are missing are added, more of them stay, and a binding that refers to
 * another role is made anew. One with the annotation rbac.authorization.kubernetes.io/autoupdate:
 * "false" is left alone. The server serves meanwhile; it is not ready before.
 */
#ifndef APISERVER_AUTH_POLICY_H
#define APISERVER_AUTH_POLICY_H

#include <jansson.h>
#include <stdbool.h>

#include "common/error.h"

struct registry;
struct policy;

/* The texts of policy/, see there. */
extern const char policy_cluster_roles[], policy_controller_roles[], policy_coracle_roles[],
    policy_roles[];

/* All objects of the policy, each with kind and apiVersion: an array, the caller's. */
json_t *policy_objects(struct error *error);
/* Makes 'live' (a copy of what is stored) what it must be at least to be 'wanted'; false when it is
 * not to be touched. Bindings of another role can't be mended. */
bool policy_reconcile(json_t *live, const json_t *wanted);
/* The binding refers to another role than it is to. */
bool policy_refers_elsewhere(const json_t *live, const json_t *wanted);

/* Begins to make sure of the policy, on threads of its own. */
struct policy *policy_start(struct registry *registry, struct error *error);
/* All of it has been seen to be there. NULL: false. */
bool policy_is_there(const struct policy *policy);
void policy_stop(struct policy *policy); /* NULL is fine. */

#endif

// SPDX-License-Identifier: Apache-2.0
/* Where the pods of a DaemonSet belong, and what they are made of. Pure functions. */
#ifndef CONTROLLERS_DAEMONSET_POD_H
#define CONTROLLERS_DAEMONSET_POD_H

#include <jansson.h>
#include <stdbool.h>

/* The template of the set's pods: that of the set, the tolerations that each of them has so that it
 * stays on a node in trouble, and the labels of its revision. The caller's. */
json_t *daemonset_template(const json_t *set, const char *hash);
/* The pod for one node, which the scheduler gives it by its affinity; the caller's. 'pod_template'
 * is daemonset_template()'s. */
json_t *daemonset_make_pod(const json_t *set, const json_t *pod_template, const char *node);

/* What a node means for a set: whether a pod is to be there, and whether one that is there may
 * stay. */
struct daemonset_fit {
    bool should_run, may_stay;
};

/* 'labels' and 'taints' are the node's (NULL: none). */
struct daemonset_fit daemonset_fit(const json_t *pod_template, const char *node,
                                   const json_t *labels, const json_t *taints);

#endif

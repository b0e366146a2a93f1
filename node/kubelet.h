// SPDX-License-Identifier: Apache-2.0
/*
 * What a kubelet does for its node: registers it, keeps its lease and its status, and looks after
 * the pods that are bound to it.
 *
 * A Node with the annotation simulate.coracle.io/dead: "true" falls silent: neither lease nor
 * status nor pods are written until the annotation is taken away. To everybody else the machine is
 * lost.
 *
 * All that it writes it writes as the node, system:node:<name> of group system:nodes, so that the
 * Node authorizer and NodeRestriction keep it from what belongs to others: either the client is
 * that user, or it may impersonate it.
 *
 * Threads: the loop's.
 */
#ifndef NODE_KUBELET_H
#define NODE_KUBELET_H

#include "common/cached_object.h"
#include "common/client.h"
#include "common/event_recorder.h"
#include "node/runtime.h"

struct kubelet;

struct kubelet_options {
    bool impersonates; /* Requests are made as system:node:<name>, by impersonation. */
    const char *cpu, *memory, *pods; /* Capacity, as quantities. */
    const char *labels;              /* "a=b,c=d" beside the usual ones; NULL: none. */
    int64_t zones;                   /* Over how many zones nodes are spread; 0: no zone label. */
    int64_t lease_seconds;           /* --node-lease-duration-seconds, 40 */
    int64_t status_report_ms;        /* How often the status is written when nothing changes. */
    int64_t usage_report_ms;         /* How often it is told what is in use; 0: never. */
    struct event_recorder *events;   /* Of all nodes; NULL: nothing is told of containers. */
};

/* 'number' (from 1) gives the node its address. All else is borrowed. Starts at once. */
struct kubelet *kubelet_new(struct client *client, struct runtime *runtime, const char *name,
                            int64_t number, const struct kubelet_options *options);
void kubelet_free(struct kubelet *kubelet);
const char *kubelet_node_name(const struct kubelet *kubelet);

/* The Node object came, changed or went (NULL). */
void kubelet_node_changed(struct kubelet *kubelet, const struct cached_object *node);
/* A pod that is bound here came or changed; 'text' and header of 'pod' are there. */
void kubelet_pod_changed(struct kubelet *kubelet, const struct cached_object *pod);
void kubelet_pod_gone(struct kubelet *kubelet, const struct cached_object *pod);
/* All pods there are have been told: from now on new ones get addresses, which cannot be those of
 * pods of a former process. */
void kubelet_knows_pods(struct kubelet *kubelet);

#endif

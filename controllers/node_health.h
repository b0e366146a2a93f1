// SPDX-License-Identifier: Apache-2.0
/*
 * What a node's kubelet was last heard of, by this process's own clock: a heartbeat counts from
 * when it is seen here, so that clocks of nodes may be wrong. Pure functions.
 */
#ifndef CONTROLLERS_NODE_HEALTH_H
#define CONTROLLERS_NODE_HEALTH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum node_readiness { NODE_READY, NODE_NOT_READY, NODE_UNKNOWN };

/* What is remembered of a node; all zero at first. Times are monotonic nanoseconds. */
struct node_health {
    bool is_known, had_condition;
    int64_t heard;      /* When something new was last seen of it. */
    int64_t heartbeat;  /* Ready's lastHeartbeatTime, and the lease's renewTime: the node's own */
    int64_t renew_time; /* times, only to see whether they move. */
    bool marks_pods;    /* Its pods are still to be marked as not ready. */
};

struct node_clock {
    int64_t now;  /* Monotonic. */
    int64_t wall; /* The same moment as nanoseconds since 1970. */
    int64_t grace, startup_grace;
};

struct node_verdict {
    enum node_readiness seen;    /* As the node's status said. */
    enum node_readiness current; /* As it says now. */
    bool has_condition;          /* There is a condition Ready now. */
    bool changed;                /* The status was changed and is to be written. */
};

enum node_readiness node_readiness(const json_t *node);

/* Notes what 'node' (the whole tree) and its lease ('renew_time', 0: none) say. A node not heard of
 * for too long gets the conditions that nobody can vouch for any more set to Unknown, in the tree.
 */
struct node_verdict node_health_observe(struct node_health *health, json_t *node,
                                        int64_t renew_time, const struct node_clock *clock);
/* The changed status was written: when it is seen again that is no sign of life. */
void node_health_wrote(struct node_health *health, const json_t *node);

#endif

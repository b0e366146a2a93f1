// SPDX-License-Identifier: Apache-2.0
/*
 * What controllers look at in a pod, parsed once when it arrives: the digest of the one pod
 * informer of the process.
 */
#ifndef CONTROLLERS_POD_VIEW_H
#define CONTROLLERS_POD_VIEW_H

#include "common/informer.h"

enum pod_phase { POD_PENDING, POD_RUNNING, POD_SUCCEEDED, POD_FAILED, POD_UNKNOWN };

/* A port that a container (or a sidecar: an init container that is restarted always) has given a
 * name. */
struct pod_port {
    const char *name, *protocol;
    int number;
};

/* Times are nanoseconds since 1970, 0 when absent; strings "" when absent. */
struct pod_view {
    enum pod_phase phase;
    bool is_ready;           /* Its condition Ready is True. */
    bool is_unready;         /* That is there, and False. */
    int64_t ready_since;     /* Since when that condition is what it is. */
    int64_t disrupted_since; /* Since when its condition DisruptionTarget is True, unless its
                              * kubelet says so. */
    int64_t start_time;
    int64_t deletion_time; /* When its grace period ends. */
    int deletion_cost;     /* By its annotation controller.kubernetes.io/pod-deletion-cost. */
    int restarts;          /* The most of any container. */
    int total_restarts;    /* Of all containers, those of initialization included. */
    int job_index;         /* By its annotation batch.kubernetes.io/job-completion-index; -1. */
    bool is_job_tracked;   /* Has the finalizer batch.kubernetes.io/job-tracking. */
    bool is_scheduled;     /* It has a node. */
    bool is_evicted;       /* It has failed because its node ran short of something. */
    const char *node_name;
    const char *target_node; /* That, or the one node that its required node affinity names. */
    const char *hostname, *subdomain;
    const char *addresses; /* status.podIPs: each ends with a NUL, the last with one more. */
    const char *claims;    /* The volume claims that it names, and those made for its ephemeral
                            * volumes; ended as the addresses are. */
    size_t port_count;
    struct pod_port ports[]; /* In the order of the containers; the strings follow. */
};

extern const struct cached_object_class pod_class;

/* The pod informer, with the indexes "namespace", "owner", "node", "claim": "namespace/name" of
 * the volume claims that it names, and "orphan": the namespace of pods that no controller owns. */
struct informer *pod_informer(struct informer_factory *informers);

static inline const struct pod_view *pod_view(const struct cached_object *pod)
{
    return pod->digest;
}

extern const char pod_job_finalizer[], pod_job_index_annotation[];

/* Neither succeeded nor failed, and not being deleted: what counts as a replica. */
bool pod_is_active(const struct cached_object *pod);
/* It has been ready for that long. */
bool pod_is_available(const struct cached_object *pod, int64_t min_ready_seconds, int64_t now);
/* The order in which pods are given up: the first parameter before (< 0) or after (> 0) the second.
 * 'crowd' values are how many active pods of the same set stand on the pod's node. */
int pod_compare_for_deletion(const struct cached_object *a, int crowd_a,
                             const struct cached_object *b, int crowd_b, int64_t now);

#endif

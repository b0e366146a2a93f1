// SPDX-License-Identifier: Apache-2.0
/*
 * One pod on a node: decides, as a kubelet does, what its containers are to do and what its status
 * is.
 *
 * Init containers run one after another, sidecars among them keep running; then the containers.
 * What ends is started again as the restart policy says, at first at once and then after a back-off
 * that doubles from 10 s to 5 min. A pod that is deleted, or has been active for
 * activeDeadlineSeconds, is stopped within its grace period, reported as ended, and then deleted
 * for good.
 *
 * Threads: the loop's.
 */
#ifndef NODE_POD_WORKER_H
#define NODE_POD_WORKER_H

#include <jansson.h>

#include "common/client.h"
#include "common/event_recorder.h"
#include "node/restart_backoff.h"
#include "node/runtime.h"

struct mounts;

enum container_role { ROLE_INIT, ROLE_SIDECAR, ROLE_APP };
enum container_state { CONTAINER_WAITING, CONTAINER_RUNNING, CONTAINER_TERMINATED };

/* Times are nanoseconds since 1970. */
struct container_end {
    int exit_code;
    int64_t started, finished;
    char *id; /* NULL: there was none. */
};

struct container {
    struct pod_worker *worker;
    char *name, *image, *id; /* 'id' is that of the present or last run, NULL before. */
    char *new_image;         /* The manifest has changed: it is to be replaced. NULL: it has not. */
    enum container_role role;
    enum container_state state;
    bool is_starting;           /* The runtime has been told to start it. */
    bool is_stopping;           /* The runtime has been told to stop it. */
    int64_t stop_grace_seconds; /* And within which time. */
    bool is_ready;
    bool has_backed_off; /* It waits for its next start, or is being started after that. */
    int restarts;
    int64_t started_at;
    struct container_end end, last; /* Of this run, and of the one before. */
    bool has_last;
    struct restart_backoff backoff;
    struct loop_timer timer;
    void *runtime_state;
};

enum worker_phase { PHASE_PENDING, PHASE_RUNNING, PHASE_SUCCEEDED, PHASE_FAILED };

/* The conditions that a kubelet sets. */
enum worker_condition {
    CONDITION_READY_TO_START,
    CONDITION_INITIALIZED,
    CONDITION_READY,
    CONDITION_CONTAINERS_READY,
    CONDITION_SCHEDULED, /* The scheduler's, unless the pod named its node by itself. */
    CONDITION_COUNT
};

/* What a worker needs of its node. All borrowed. */
struct worker_host {
    struct client *client;
    struct runtime *runtime;
    struct event_recorder *events; /* NULL: tell nothing. */
    const char *node_name, *node_ip;
    const char *user;      /* "system:node:a", to impersonate; NULL: the client is that user. */
    bool is_frozen;        /* The node seems dead: nothing is written. */
    int mount_patience_ms; /* How long volumes are waited for until that is told; 0: as a kubelet.
                            */
    /* A free address of the node's range, the caller's; NULL while there is none. */
    char *(*take_address)(struct worker_host *host);
    /* This address is in use, by a pod of a former process. */
    void (*claim_address)(struct worker_host *host, const char *address);
    void (*give_back_address)(struct worker_host *host, const char *address);
    /* One more pod (1), or one less (-1), uses the volume of that name. */
    void (*use_volume)(struct worker_host *host, const char *name, int change);
    /* The volume may be mounted on the node. */
    bool (*is_attached)(struct worker_host *host, const char *name);
};

struct pod_worker {
    struct worker_host *host;
    char *namespace, *name, *uid, *qos_class;
    int64_t generation;
    uint64_t annotations; /* Hash of them, as they were last read. */
    enum { RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_NEVER } restart_policy;
    bool uses_host_network;
    int64_t grace_seconds, deadline_seconds;   /* -1: none. */
    json_t *readiness_gates, *gate_conditions; /* NULL: none. */
    struct container *containers;              /* Init containers first. */
    size_t container_count;

    enum worker_phase phase;
    const char *reason, *message; /* Static; NULL: none. */
    int64_t start_time;
    char *address;
    struct mounts *mounts; /* NULL: none of its volumes is waited for. */
    struct {
        bool status;
        int64_t since;
    } conditions[CONDITION_COUNT];

    bool is_deleting; /* It has a deletionTimestamp. */
    bool is_stopping; /* Its containers are ending for good. */
    bool has_ended;   /* Nothing runs or will run any more. */
    bool has_given_address_back;
    bool is_deleted;  /* Its object was asked to go. */
    bool is_dirty;    /* The status may not be written as it is now. */
    uint64_t written; /* Hash of the status as written last; 0: none. */
    bool is_writing;  /* A request is under way. */
    bool is_dropped;  /* Freed when that request has ended. */
    struct loop_timer step_timer, write_timer, deadline_timer;
};

extern const char nodes_group[]; /* "system:nodes" */

/* client_send() as the node. */
void worker_host_send(const struct worker_host *host, struct client_request request,
                      client_done done, void *argument);

/* Begins with a pod that was bound to the node, or was there before this process. */
struct pod_worker *pod_worker_new(struct worker_host *host, const json_t *pod);
/* The object changed: it may be being deleted, or its readiness gates may have turned. */
void pod_worker_update(struct pod_worker *worker, const json_t *pod);
/* Something that it waits for may have come: an address, a volume, or the node's return to life. */
void pod_worker_wake(struct pod_worker *worker);
/* The object is gone: ends everything without a word and frees. */
void pod_worker_drop(struct pod_worker *worker);

#endif

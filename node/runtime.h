// SPDX-License-Identifier: Apache-2.0
/*
 * What runs containers, behind an interface: the simulated runtime today, a real one some day. What
 * decides a pod's status (pod_worker.h) knows nothing else of it.
 *
 * Threads: the loop's. A runtime never calls back from within one of these functions.
 */
#ifndef NODE_RUNTIME_H
#define NODE_RUNTIME_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct container;

/* What a container uses on average. */
struct runtime_usage {
    int64_t cpu_nano, memory_bytes; /* Billionths of a CPU. */
};

struct runtime {
    /* Reads what it needs from the pod's manifest ('spec' is the container's part of it), and keeps
     * it in container->runtime_state. */
    void (*prepare)(struct runtime *runtime, struct container *container, const json_t *pod,
                    const json_t *spec);
    /* Starts it; container_started(), container_is_ready() and in the end container_exited()
     * follow. */
    void (*start)(struct runtime *runtime, struct container *container);
    /* It has been running since container->started_at, under a former process: goes on with it. */
    void (*resume)(struct runtime *runtime, struct container *container);
    /* Ends it within the grace period; container_exited() follows. */
    void (*stop)(struct runtime *runtime, struct container *container, int64_t grace_seconds);
    /* The pod's object has changed: takes over what may change while a container lives. */
    void (*adjust)(struct runtime *runtime, struct container *container, const json_t *pod,
                   const json_t *spec);
    /* Of one that runs. */
    struct runtime_usage (*usage)(struct runtime *runtime, const struct container *container);
    /* Ends it without a word and frees container->runtime_state. */
    void (*forget)(struct runtime *runtime, struct container *container);
};

/* ---- what the runtime tells; implemented by the pod's worker ---- */

/* It runs, and its startup probe (if it has one) has succeeded. */
void container_started(struct container *container);
/* Its readiness probe has changed its mind; without one it is ready once started. */
void container_is_ready(struct container *container, bool is_ready);
void container_exited(struct container *container, int exit_code);

#endif

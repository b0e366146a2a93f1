// SPDX-License-Identifier: Apache-2.0
/*
 * Containers that only seem to run: timers that follow the manifest.
 *
 * A container starts at once, is ready after the initialDelaySeconds of its startup and readiness
 * probes, and runs on for ever; where the restart policy is not Always it ends after a second with
 * exit code 0; an init container ends at once. An annotation of the pod says otherwise, for one
 * container by its name or for all of them:
 *
 *     simulate.coracle.io/<container>: "start=2s ready=5s run=1m exit=1 times=3"
 *     simulate.coracle.io/all: "run=10s"
 *
 *   start=DURATION   until it runs (pulling its image, say)
 *   ready=DURATION   from then until it is ready; ready=never
 *   run=DURATION     how long it runs; run=forever
 *   exit=CODE        how it ends then
 *   times=N          only its first N runs end so; the next runs on for ever
 *   stop=DURATION    how long it takes to end when asked to, at most the grace period
 *   cpu=QUANTITY     what it seems to use while it runs; a tenth of its request, or 1m
 *   memory=QUANTITY  the same; half of its request, or 16Mi
 *
 * What it uses may be changed while it runs: kubectl annotate --overwrite.
 */
#ifndef NODE_SIMULATED_RUNTIME_H
#define NODE_SIMULATED_RUNTIME_H

#include "common/error.h"
#include "common/loop.h"
#include "node/runtime.h"

struct runtime *simulated_runtime_new(struct loop *loop);
void simulated_runtime_free(struct runtime *runtime);

struct simulation {
    int64_t start_ms, ready_ms, run_ms, stop_ms; /* ready_ms, run_ms -1: never. */
    int exit_code;
    int64_t times; /* -1: always. */
    struct runtime_usage usage;
};

/* Applies an annotation's words. False with an error for one that is none of the above. */
bool simulation_parse(const char *text, struct simulation *simulation, struct error *error);

#endif

// SPDX-License-Identifier: Apache-2.0
/* SchedulingGates: a pod waits until its gates have been taken away. */
#include "scheduler/plugin.h"

static const char *before_queue(const struct pod_class *class)
{
    return class->is_gated ? "Scheduling is blocked due to non-empty scheduling gates" : NULL;
}

const struct plugin plugin_scheduling_gates = {
    .name = "SchedulingGates",
    .before_queue = before_queue,
};

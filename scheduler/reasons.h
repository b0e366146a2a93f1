// SPDX-License-Identifier: Apache-2.0
/* Why nodes did not fit, each reason with how many of them, in upstream's words. */
#ifndef SCHEDULER_REASONS_H
#define SCHEDULER_REASONS_H

#include "scheduler/plugin.h"

struct reason {
    char *text;
    size_t count;
};

struct reasons {
    struct reason *list;
    size_t count, capacity;
};

/* "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.", the caller's. */
char *reasons_text(const struct reasons *reasons, size_t node_count);
void reasons_clear(struct reasons *reasons);

#endif

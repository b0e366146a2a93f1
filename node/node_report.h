// SPDX-License-Identifier: Apache-2.0
/*
 * What a node tells the API server about the CPU and memory that is in use there, from which
 * metrics.k8s.io is answered.
 *
 * Threads: the loop's.
 */
#ifndef NODE_NODE_REPORT_H
#define NODE_NODE_REPORT_H

#include "common/client.h"
#include "common/map.h"

extern const struct api_resource node_reports_resource;

/* A NodeReport of what runs, over the last 'window_ns'. 'workers' are the node's, struct
 * pod_worker. The caller's. */
json_t *node_report(const char *node, int64_t window_ns, const struct map *workers);

#endif

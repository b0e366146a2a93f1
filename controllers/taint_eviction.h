// SPDX-License-Identifier: Apache-2.0
/* How long a pod may stay on a node that wants it off. */
#ifndef CONTROLLERS_TAINT_EVICTION_H
#define CONTROLLERS_TAINT_EVICTION_H

#include <jansson.h>
#include <stdint.h>

enum { TAINT_EVICTION_NEVER = -1 };

/* Seconds from when the taints were first met: 0 when a taint with the effect NoExecute is not
 * tolerated at all; else the least tolerationSeconds among the tolerations that the taints need;
 * TAINT_EVICTION_NEVER when none of those has any, or there is no such taint. */
int64_t taint_eviction_delay(const json_t *tolerations, const json_t *taints);

#endif

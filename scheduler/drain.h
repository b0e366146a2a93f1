// SPDX-License-Identifier: Apache-2.0
/*
 * The end of those who have requests under way that refer to them: they wait for the answers for a
 * moment, and then close the client, which ends what is left. So nothing outlives them.
 */
#ifndef SCHEDULER_DRAIN_H
#define SCHEDULER_DRAIN_H

#include <pthread.h>

#include "common/client.h"

/* Returns when '*under_way' is 0; 'lock' guards it, 'changed' (of the real-time clock) tells of its
 * changes. What is sent after the client was closed must come to an end, too. From another thread
 * than the loop's, which runs. */
void drain(struct client *client, pthread_mutex_t *lock, pthread_cond_t *changed,
           const size_t *under_way);

#endif

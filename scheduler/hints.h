// SPDX-License-Identifier: Apache-2.0
/*
 * Queueing hints: which of the pods that are unschedulable a change may help. The others stay where
 * they are, and nobody asks all nodes about them in vain.
 *
 * The filters that look at one node alone (local ones) are asked about the node where something
 * changed: whether pods of a class would fit there now, or could by preempting others. This asks
 * much less than a cycle would, and once for all pods that look the same. It leaves none behind: a
 * pod that fits nowhere fits somewhere only after the local filters accept a node that they did not
 * accept before, which only a change of that node can bring about, or after another plugin that
 * rejected it changes its mind. Of these each says by its events, and by may_help, what to heed.
 *
 * Threads: under the scheduler's lock.
 */
#ifndef SCHEDULER_HINTS_H
#define SCHEDULER_HINTS_H

#include "scheduler/plugin.h"
#include "scheduler/queue.h"

/* After the change; acted upon by queue_wake(). */
void hints_note(struct queue *queue, struct node_cache *cache, const struct cluster_change *change);

#endif

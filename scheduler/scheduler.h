// SPDX-License-Identifier: Apache-2.0
/*
 * The scheduler: gives pending pods a node.
 *
 * Informers feed the cache and the queue. One thread takes the first pod of the queue, asks the
 * plugins for the nodes that fit and for the best of them, notes the pod there (assumes it) and
 * goes on with the next, while the binding is on its way. A binding that was refused takes the pod
 * back into the queue; of one whose outcome is unknown the room stays taken until the server has
 * told what became of it, so that nothing is ever overcommitted.
 */
#ifndef SCHEDULER_SCHEDULER_H
#define SCHEDULER_SCHEDULER_H

#include "common/service.h"
#include "scheduler/configuration.h"

struct scheduler;

/* Adds its informers and starts them, waits for their first lists, and works. NULL with an error
 * when the service was stopped before. Both are borrowed. */
struct scheduler *scheduler_start(struct service *service,
                                  const struct scheduler_configuration *configuration,
                                  struct error *error);
void scheduler_stop(struct scheduler *scheduler);

#endif

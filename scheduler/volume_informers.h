// SPDX-License-Identifier: Apache-2.0
/* The informers of what is about volumes: claims, volumes, storage classes, and what CSI drivers
 * say; and which pods that wait a change of these may help. */
#ifndef SCHEDULER_VOLUME_INFORMERS_H
#define SCHEDULER_VOLUME_INFORMERS_H

#include "common/informer.h"
#include "scheduler/cluster.h"

struct volume_informers;

/* Adds them. 'lock' and 'unlock' are the scheduler's and called with 'argument'; before 'unlock',
 * the change is in the cluster's cache and queue. All live as long as the factory. */
struct volume_informers *volume_informers_new(struct informer_factory *informers,
                                              const struct cluster *cluster,
                                              void (*lock)(void *argument),
                                              void (*unlock)(void *argument), void *argument);
void volume_informers_free(struct volume_informers *informers);

#endif

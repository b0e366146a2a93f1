// SPDX-License-Identifier: Apache-2.0
/* The revisions of a DaemonSet: which one is the present template's. */
#ifndef CONTROLLERS_DAEMONSET_HISTORY_H
#define CONTROLLERS_DAEMONSET_HISTORY_H

#include "controllers/controller.h"
#include "controllers/own_writes.h"

struct daemonset_history {
    json_t *current; /* Owned. */
    json_t *old;     /* The others, in the order of their numbers; owned. */
    char *hash;      /* The label of the current one's pods; owned. */
};

/* Finds or makes the revision of the set's template. 'pods' are the set's. What is written is noted
 * under the set's key. Blocks. */
bool daemonset_history_find(struct controller *controller, const struct cached_object *cached,
                            const json_t *set, const struct indexer *revisions,
                            const struct cached_list *pods, struct own_writes *writes,
                            struct daemonset_history *history, struct error *error);
void daemonset_history_free(struct daemonset_history *history); /* Also fit for cleanup(). */
/* Deletes old ones beyond spec.revisionHistoryLimit that have no pods, the oldest first. Blocks. */
bool daemonset_history_truncate(struct controller *controller, const json_t *set,
                                const struct cached_list *pods,
                                const struct daemonset_history *history, struct error *error);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * --config: a KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1.
 *
 * Its profiles say which plugins there are for the pods of each scheduler's name, with their
 * weights and arguments; beside them stand how many nodes are compared, how long pods back off, and
 * what the process needs to reach the API server and to lead. It is read strictly: an unknown field
 * or a value that makes no sense is an error (400) that names it. Extenders are refused. The parts
 * of scheduling that can't be without (the queue's order, gates, binding) are always there.
 *
 * Immutable once read.
 */
#ifndef SCHEDULER_CONFIGURATION_H
#define SCHEDULER_CONFIGURATION_H

#include "common/configuration.h"
#include "common/service.h"
#include "scheduler/profile.h"

enum { PROFILES_MAX = 16 };

struct scheduler_configuration {
    json_t *json; /* What it was read from: the profiles borrow from it. */
    struct profile profiles[PROFILES_MAX];
    size_t profile_count;
    int64_t percentage_of_nodes_to_score; /* 0: by the number of nodes. */
    int64_t initial_backoff_s, max_backoff_s;
};

/* One profile, that of 'scheduler_name' (borrowed), as without a file. */
void scheduler_configuration_default(struct scheduler_configuration *configuration,
                                     const char *scheduler_name);
/* Reads the document, consumed; what it says of the service goes into 'options', unless that is
 * NULL. On an error nothing is left to clear. */
bool scheduler_configuration_parse(struct scheduler_configuration *configuration, json_t *json,
                                   struct service_options *options, struct error *error);
void scheduler_configuration_clear(struct scheduler_configuration *configuration);

/* ---- parts of it ---- */

/* Fills the profile's lists from its "plugins" (NULL: the default ones). 'path' is where that
 * stands: "profiles[0].plugins". */
bool scheduler_configuration_plugins(struct profile *profile, const json_t *plugins,
                                     const char *path, struct error *error);
/* Takes the profile's "pluginConfig" over. */
bool scheduler_configuration_arguments(struct profile *profile, const json_t *list,
                                       const char *path, struct error *error);
/* A plugin of that name is known, if only because upstream has it. */
bool scheduler_configuration_knows(const char *plugin);

/* The member is within these bounds, if it is there; upstream's words if not. */
bool scheduler_configuration_check_range(const json_t *object, const char *path, const char *name,
                                         int64_t least, int64_t most, struct error *error);

#endif

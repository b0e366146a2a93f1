// SPDX-License-Identifier: Apache-2.0
/* Which nodes a pod's selectors, affinities and tolerations ask for. Pure functions. */
#ifndef COMMON_NODE_MATCH_H
#define COMMON_NODE_MATCH_H

#include <jansson.h>
#include <stdbool.h>

/* A NodeSelectorTerm against a node's name and labels; an empty one matches nothing. */
bool node_match_term(const json_t *term, const char *node_name, const json_t *labels);
/* spec.nodeSelector and spec.affinity.nodeAffinity's required terms. */
bool node_match_required(const json_t *node_selector, const json_t *node_affinity,
                         const char *node_name, const json_t *labels);
/* The sum of the weights of the preferred terms that match. */
int64_t node_match_preference(const json_t *node_affinity, const char *node_name,
                              const json_t *labels);

/* Some toleration in the array tolerates the taint. */
bool node_match_tolerates(const json_t *tolerations, const json_t *taint);
/* The first one that does; borrowed. NULL: none. */
const json_t *node_match_toleration(const json_t *tolerations, const json_t *taint);
/* The first taint with this effect (two may be given, the second NULL) that nothing tolerates;
 * borrowed. */
const json_t *node_match_untolerated(const json_t *tolerations, const json_t *taints,
                                     const char *effect, const char *other_effect);
/* How many taints with the effect PreferNoSchedule nothing tolerates. */
int node_match_disliked(const json_t *tolerations, const json_t *taints);

#endif

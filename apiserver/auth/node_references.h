// SPDX-License-Identifier: Apache-2.0
/* What pods and volumes refer to, read from their stored text. */
#ifndef APISERVER_AUTH_NODE_REFERENCES_H
#define APISERVER_AUTH_NODE_REFERENCES_H

#include "apiserver/auth/node_graph.h"

/* Called for each reference, maybe several times for the same; the texts are borrowed. */
typedef void (*node_reference)(void *argument, enum node_vertex type, const char *namespace,
                               const char *name);

/* What a pod uses; nothing for a mirror pod, which its node made up itself. */
void node_references_of_pod(const struct object *pod, node_reference found, void *argument);
/* The same of a tree, be it a mirror pod or not; the namespace is not told. */
void node_references_of_tree(const json_t *pod, node_reference found, void *argument);
/* The claim that a volume is for (NODE_VOLUME_CLAIM), and the secrets that kubelets need for it. */
void node_references_of_volume(const struct object *volume, node_reference found, void *argument);
/* All that may change in a bound pod and bring references. */
uint64_t node_references_hash(const struct object *pod);

#endif

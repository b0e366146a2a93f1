// SPDX-License-Identifier: Apache-2.0
/*
 * The Node authorizer: kubelets, users system:node:<name> in group system:nodes, may read what
 * belongs to their node (node_graph.h), have their own Node, Lease and CSINode, say what their node
 * uses, and do beyond what the cluster role system:node says. What a request brings along is the
 * business of the admission plugin NodeRestriction.
 *
 * Threads: any.
 */
#ifndef APISERVER_AUTH_NODE_AUTHORIZER_H
#define APISERVER_AUTH_NODE_AUTHORIZER_H

#include "apiserver/auth/authz.h"
#include "apiserver/auth/node_graph.h"

struct node_authorizer;

struct node_authorizer *node_authorizer_new(struct error *error);
/* Its graph; borrowed. */
struct node_graph *node_authorizer_graph(struct node_authorizer *authorizer);
void node_authorizer_free(struct node_authorizer *authorizer); /* As the graph. */

/* Whether the user is a kubelet. '*node' is the name of its node, "" when it does not say one;
 * borrowed. */
bool node_identity(const struct user *user, const char **node);
/* AUTHZ_NO_OPINION about everybody who is no kubelet. 'reason' may be NULL. */
enum authz_decision node_authorizer_decide(struct node_authorizer *authorizer,
                                           const struct authz_attributes *attributes,
                                           struct buffer *reason);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * The RBAC authorizer: an index from subjects to the rules that their bindings give them.
 *
 * It follows the cache's tables of roles and bindings, change by change, before the write that made
 * the change is acknowledged: what a policy says holds for the very next request. A binding stands
 * with each of its subjects (a user, a group; service accounts are users), in order of namespace,
 * and points to its role, which may be missing. So a decision looks up the user and each of their
 * groups, and there only at the bindings of the cluster and of the request's namespace.
 *
 * Rejected: a new index for each change, which takes milliseconds where policies are many, and a
 * search through all bindings, as upstream does it.
 *
 * Threads: one rwlock that prefers the writer. Decisions hold it for reading, for some microseconds
 * and memory operations only; changes come from the store's thread.
 */
#ifndef APISERVER_AUTH_RBAC_H
#define APISERVER_AUTH_RBAC_H

#include "apiserver/auth/authz.h"
#include "apiserver/auth/rbac_rule.h"
#include "apiserver/storage/cache.h"

struct rbac;

struct rbac *rbac_new(void);
/* Takes in all roles and bindings of the cache and follows it. Once. */
void rbac_follow(struct rbac *rbac, struct cache *cache, const struct scheme *scheme);
void rbac_free(struct rbac *rbac); /* When no change comes any more. */

/* A role or binding is there, or is changed: its tree with metadata. 'kind' is "Role",
 * "ClusterRole", "RoleBinding" or "ClusterRoleBinding". For the cache and for tests. */
void rbac_put(struct rbac *rbac, const char *kind, const json_t *object);
void rbac_remove(struct rbac *rbac, const char *kind, const char *namespace, const char *name);

/* AUTHZ_ALLOW, or AUTHZ_NO_OPINION with what went wrong with the bindings that might have allowed
 * it. 'reason' is appended to ("RBAC: allowed by ClusterRoleBinding "x" of ClusterRole "y" to Group
 * "z""); NULL: nobody asks. */
enum authz_decision rbac_decide(struct rbac *rbac, const struct authz_attributes *attributes,
                                struct buffer *reason);

/* All rules that the user holds: in the namespace and in the whole cluster ("": in the cluster
 * alone). Complaints of roles that are missing are appended to 'problems', as upstream lists
 * errors; may be NULL. */
void rbac_rules_for(struct rbac *rbac, const struct user *user, const char *namespace,
                    struct rbac_rules *rules, struct buffer *problems);
/* The rules of one role ("" for a ClusterRole); false when it is missing. */
bool rbac_rules_of_role(struct rbac *rbac, const char *namespace, const char *name,
                        struct rbac_rules *rules);

#endif

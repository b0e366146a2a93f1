// SPDX-License-Identifier: Apache-2.0
/*
 * Authorization: whether a user may do what they ask for.
 *
 * Whoever is in system:masters may do everything. For all others the authorizers of
 * --authorization-mode or --authorization-config are asked in order; the first that allows or
 * denies has decided, and if none has an opinion the answer is no.
 *
 * Threads: all of it from any thread. Only a webhook makes anybody wait, and HTTP threads don't:
 * see authz_attributes.no_wait.
 */
#ifndef APISERVER_AUTH_AUTHZ_H
#define APISERVER_AUTH_AUTHZ_H

#include <stdatomic.h>

#include "apiserver/http/server.h"
#include "apiserver/storage/cache.h"
#include "common/buffer.h"
#include "common/error.h"

enum authz_decision {
    AUTHZ_DENY,
    AUTHZ_ALLOW,
    AUTHZ_NO_OPINION,
    AUTHZ_BLOCKS, /* It can't be told without waiting, and the attributes want none. */
};

/* Who wants to do what. No string is NULL but 'path', and the selectors when there are none. */
struct authz_attributes {
    const struct user *user;
    const char *verb; /* get, list, …, impersonate, bind, escalate; the method in lower case for a
                       * path. */
    bool is_resource;
    const char *group, *version, *resource, *subresource, *namespace, *name;
    const char *path;                            /* When it is no resource. */
    const char *field_selector, *label_selector; /* As asked for, or NULL. */
    /* The same taken apart, where a review has it so; or NULL. */
    const json_t *field_requirements, *label_requirements;
    bool no_wait; /* The caller is an HTTP thread. */
};

/* Attributes of a resource with nothing set but these; add what there is. */
#define AUTHZ_RESOURCE(the_user, the_verb, the_group, the_resource)                                \
    ((struct authz_attributes){.user = (the_user),                                                 \
                               .verb = (the_verb),                                                 \
                               .is_resource = true,                                                \
                               .group = (the_group),                                               \
                               .version = "*",                                                     \
                               .resource = (the_resource),                                         \
                               .subresource = "",                                                  \
                               .namespace = "",                                                    \
                               .name = ""})

struct authz;
struct rbac;
struct rbac_rules;

/* As on the command line. */
struct authz_options {
    const char *modes;               /* "Node,RBAC"; NULL: these. */
    const char *config_file;         /* --authorization-config, in place of all else; NULL: none. */
    const char *webhook_config_file; /* A kubeconfig; NULL: none. */
    const char *webhook_version;
    int64_t webhook_authorized_ttl_ns, webhook_unauthorized_ttl_ns;
    const atomic_bool *stopping; /* Borrowed: once it is set, nobody waits any more; NULL: never. */
};

/* 400 for what does not go together. */
bool authz_check_options(const struct authz_options *options, struct error *error);
/* With options that have been checked. Follows the cache, borrowed. */
struct authz *authz_open(const struct authz_options *options, struct cache *cache,
                         const struct scheme *scheme, struct error *error);
void authz_free(struct authz *authz); /* When the cache follows nothing any more; NULL is fine. */
/* What RBAC's roles and bindings say, whether or not that is among the modes. Borrowed. */
struct rbac *authz_rbac(struct authz *authz);

/* How many workers are to be there for those who have to wait; 0: nobody ever has to. */
unsigned authz_workers(const struct authz *authz);

/* Asks the authorizers. What they say about it is appended to 'reason' (NULL: nobody asks). With
 * AUTHZ_NO_OPINION the error (may be NULL) is set when one of them could not decide. */
enum authz_decision authz_decide(struct authz *authz, const struct authz_attributes *attributes,
                                 struct buffer *reason, struct error *error);
/* All that the user may do in a namespace, as far as the authorizers can tell: false when they
 * can't tell all. What went wrong is appended to 'problems'. */
bool authz_rules_for(struct authz *authz, const struct user *user, const char *namespace,
                     struct rbac_rules *rules, struct buffer *problems);
/* False with 403 in upstream's words unless it is allowed, or with 500 when that could not be found
 * out; waits if it must:
 *   pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "a"
 *   forbidden: User "system:anonymous" cannot get path "/metrics" */
bool authz_check(struct authz *authz, const struct authz_attributes *attributes,
                 struct error *error);
/* The same for what a request asks for. What the authorizers say about it, whether they allow it
 * or not, is appended to 'told' (NULL: nobody asks, which is cheaper). */
enum authorization authz_check_request(struct authz *authz, const struct request *request,
                                       bool may_block, struct buffer *told, struct error *error);

#endif

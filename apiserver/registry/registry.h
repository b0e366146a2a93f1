// SPDX-License-Identifier: Apache-2.0
/*
 * The registry: create, read, update, patch, delete and watch, over any schema.
 *
 * Every write takes one road, here: decode the body to a tree; convert to the storage version;
 * default; admit; validate; encode once; commit on condition that the revision is unchanged. What a
 * kind does beyond its schema are the hooks of registry/kinds.h, called at fixed places of the
 * road. A write that loses a race starts over from the fresh object where the request allows it.
 *
 * Reads are answered from the cache; see cache.h.
 *
 * Threads: registry_serve() from any thread on which it may wait for what registry_waits() says.
 */
#ifndef APISERVER_REGISTRY_REGISTRY_H
#define APISERVER_REGISTRY_REGISTRY_H

#include <pthread.h>

#include "apiserver/admission/options.h"
#include "apiserver/http/server.h"
#include "apiserver/registry/delete_options.h"
#include "apiserver/storage/cache.h"
#include "apiserver/storage/store.h"

/* Shared by all requests. Set up by main, immutable but for what has a lock of its own. */
struct registry {
    struct store *store;
    struct cache *cache;
    struct scheme *scheme;
    struct authn *authn;                /* Who somebody is; see auth/authn.h. */
    struct authz *authz;                /* Who may do what; see auth/authz.h. */
    struct policy *policy;              /* The roles that every cluster has; see auth/policy.h. */
    struct flowcontrol *flowcontrol;    /* Whose turn it is; see flowcontrol/flowcontrol.h. */
    struct service_allocator *services; /* Cluster IPs and node ports; see kinds/service.h. */
    const char *advertise_address;      /* Of the kubernetes service's endpoint. */
    uint16_t secure_port;
    const char *service_cluster_ip_range; /* "10.0.0.0/24" */
    const char *service_node_port_range;  /* "30000-32767" */
    int64_t event_ttl_seconds;            /* --event-ttl */
    struct admission_options admission;
    struct usage_reports *usage;       /* What nodes use; see registry/usage_reports.h. */
    struct webhook_lists *webhooks;    /* See admission/webhook_list.h; NULL: there are none. */
    atomic_uint pods_awaiting_account; /* See admission/service_account.c. */
    int64_t fault_percent;             /* See faults.h. */
    atomic_bool stopping;              /* Watches end. */
};

/* Answers a resource request: fills the response, with an error if need be. request->resource is
 * set. */
void registry_serve(struct registry *registry, struct request *request, struct response *response);
/* request->resource may be NULL, where there is no such resource. */
enum waits registry_waits(const struct registry *registry, const struct request *request);

/* ---- one write ---- */

enum write_operation { WRITE_CREATE, WRITE_UPDATE, WRITE_DELETE };

/* A write under way, as the road's steps and the hooks see it. Trees are in the storage version. */
struct write {
    struct registry *registry;
    struct request *request;         /* NULL for writes of the server's own. */
    struct response *response;       /* Where warnings go; NULL with 'request'. */
    const struct resource *resource; /* As addressed. */
    const struct resource *storage;  /* In whose version objects are stored. */
    const struct kind *kind;         /* Its hooks; never NULL. */
    const char *subresource;         /* "" for the object itself. */
    enum write_operation operation;
    bool dry_run;
    bool named_revision;   /* The client named a resourceVersion: a lost race is its conflict. */
    const char *namespace; /* "" when not namespaced. */
    char *name;
    json_t *object;             /* The new object; NULL on a delete. */
    json_t *live;               /* The object as it is in the store; NULL on a create. */
    struct object *live_object; /* The same, at rest. */
    bool is_of_body;   /* The trees are of the request's own kind, such as a Binding; webhooks.c. */
    bool fate_unknown; /* The commit failed so that nobody knows whether it happened. */
    void *hook_state;  /* For the kind's begin and end hooks. */
};

/* Fills write->object from write->live. False with an error ends the update. */
typedef bool (*write_transform)(struct write *write, void *argument, struct error *error);

/* Creates write->object (its metadata is completed). '*result' is the stored object, the caller's.
 */
bool registry_create(struct write *write, struct object **result, struct error *error);

/* Changes one object: reads it, lets 'transform' make the new one, and takes it down the road;
 * again from the fresh object if somebody else was quicker and the client named no revision.
 * '*result' is the object as stored, or as it is when nothing changed, the caller's; '*deleted'
 * (may be NULL) tells that the update took away the last finalizer and the object is gone. */
bool registry_update(struct write *write, write_transform transform, void *argument,
                     struct object **result, bool *deleted, struct error *error);

/* The live object is the one, and as old, as the options ask for; 409 otherwise. */
bool write_check_preconditions(const struct write *write, const struct delete_options *options,
                               struct error *error);
/* Deletes one object, or marks it as being deleted. '*result' is the object as it was last, the
 * caller's; '*gone' tells whether it is gone. */
bool registry_delete(struct write *write, const struct delete_options *options,
                     struct object **result, bool *gone, struct error *error);

/* Begins a write of a request, or of the server's own (request NULL). Borrowed strings must outlive
 * it. */
void write_begin(struct write *write, struct registry *registry, struct request *request,
                 struct response *response, const struct resource *resource,
                 enum write_operation operation);
/* Begins what admission is asked about a body (borrowed; write->object may become another) that is
 * not stored as it is, and 'before', what it changes; NULL: nothing. */
void write_begin_body(struct write *write, struct registry *registry, struct request *request,
                      struct response *response, json_t *body, json_t *before);
/* For the server's own: addresses an object. */
void write_address(struct write *write, const char *namespace, const char *name);
/* All that is wrong with write->object, which is pruned, defaulted and admitted; on an update, also
 * with how it differs from write->live. */
void write_validate(const struct write *write, struct field_errors *errors);
/* Puts back of write->object what this kind of write may not touch: status or the rest. */
void write_restore_parts(struct write *write);
void write_fill_defaults(struct write *write);
void write_clear(struct write *write); /* Also fit for cleanup(). */
void write_warn(struct write *write, const char *text, ...) __attribute__((format(printf, 2, 3)));

/* The object at a name, current as far as the cache knows; NULL when there is none. */
struct object *registry_get(struct registry *registry, const struct resource *resource,
                            const char *namespace, const char *name);
/* The same, but what isn't there is looked for again when the cache has seen all that was written
 * before this call, by whichever API server. Blocks. */
struct object *registry_get_current(struct registry *registry, const struct resource *resource,
                                    const char *namespace, const char *name);
/* The subresource is a view of the object in which one part may change: status, approval, …. */
bool registry_subresource_is_part(const char *name);
/* The member that it is about, all others but metadata stay as they are; NULL: it is no part. */
const char *registry_subresource_member(const char *name);
/* By group and plural, in the version in which it is stored. */
const struct resource *registry_resource(const struct registry *registry, const char *group,
                                         const char *plural);

#endif

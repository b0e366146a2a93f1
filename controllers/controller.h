// SPDX-License-Identifier: Apache-2.0
/*
 * A controller: a key function and sync(key).
 *
 * In start() it asks for its informers and registers handlers, which do nothing but put keys into
 * the controller's queue. When the informers have brought their first lists, workers take keys out
 * of it and call sync(): read the world from the informers, compare it with the wish, take one
 * step. An error means that the key comes again after a while, longer each time. Whatever sync()
 * was told is only that something may have changed: it never relies on having seen an event.
 *
 * Work that time brings about is a key that is added again after a delay (controller_add_after);
 * a controller that does something periodically does so for a key of its own.
 *
 * A new controller is one file and one line in controllers/all.c.
 *
 * Threads: start() and stop() run on the main thread; handlers on the loop's; sync() on one of the
 * workers, never for one key on two at a time.
 */
#ifndef CONTROLLERS_CONTROLLER_H
#define CONTROLLERS_CONTROLLER_H

#include "common/service.h"
#include "common/work_queue.h"
#include "controllers/certificate_authority.h"
#include "controllers/certificate_view.h"

struct controller;
struct controller_settings;

struct controller_type {
    const char *name;  /* As upstream's: "replicaset-controller". */
    const char *alias; /* What else --controllers takes for it: "replicaset". */
    /* Whom events name as their source; NULL: the name. */
    const char *event_source;
    /* The service account of kube-system that its requests are made as; NULL: the process's own
     * identity. */
    const char *account;
    bool is_off_by_default; /* Runs only when --controllers names it. */
    int workers;            /* How many keys are worked on at a time … */
    /* … unless the command line says how many; NULL: it doesn't. */
    int64_t (*workers_of)(const struct controller_settings *settings);
    /* Returns the controller's state; NULL with an error when it can't work at all. */
    void *(*start)(struct controller *controller, struct error *error);
    bool (*sync)(void *state, const char *key, struct error *error);
    /* Workers and informers have stopped; frees the state. */
    void (*stop)(void *state);
};

/* What the command line says to controllers. */
struct controller_settings {
    bool use_service_account_credentials; /* Each speaks as its account; else as the process. */
    const char *root_ca_file; /* "": the CA that the API server itself is verified with. */
    const char *service_account_private_key_file; /* "": no tokens are put into secrets. */
    int64_t terminated_pod_gc_threshold;          /* 0: pods that have come to their end stay. */
    /* certificatesigningrequest-signing-controller: the authority of each signer, and of those that
     * have none of their own; "" where not given. How long certificates are valid; nanoseconds. */
    struct certificate_authority cluster_signing[SIGNER_COUNT + 1];
    int64_t cluster_signing_duration;
    const char *load_balancer_addresses; /* service-lb-controller: its pool; "": none. */
    bool enable_hostpath_provisioner;    /* persistentvolume-binder-controller. */
    /* job-controller: after which time the first failed pod is replaced; nanoseconds. */
    int64_t job_pod_failure_backoff;
    /* horizontal-pod-autoscaler-controller; nanoseconds, and a part of 1. */
    int64_t autoscaler_sync_period, autoscaler_downscale_stabilization,
        autoscaler_cpu_initialization_period, autoscaler_initial_readiness_delay;
    double autoscaler_tolerance;
    int64_t autoscaler_syncs; /* At a time. */
    /* node-ipam-controller; the ranges as "10.244.0.0/16,fd00::/48", masks 0: not given. */
    bool allocate_node_cidrs;
    const char *cluster_cidr, *service_cluster_ip_range;
    int64_t node_cidr_mask_size, node_cidr_mask_size_ipv4, node_cidr_mask_size_ipv6;
    /* node-lifecycle-controller; nanoseconds, and nodes a second. */
    int64_t node_monitor_period, node_monitor_grace_period, node_startup_grace_period;
    double node_eviction_rate, secondary_node_eviction_rate, unhealthy_zone_threshold;
    int64_t large_cluster_size_threshold;
};

/* What a controller works with; all borrowed. What informers bring is read as the process, for all
 * controllers together; the rest is for 'client', which has the controller's own identity. */
struct controller {
    const struct controller_type *type;
    const struct controller_settings *settings;
    struct service *service;
    struct client *client;
    struct informer_factory *informers;
    struct event_recorder *events;
    struct work_queue *queue;
};

void controller_add(struct controller *controller, const char *key);
void controller_add_after(struct controller *controller, const char *key, int64_t delay_ms);
/* The key of an object: "namespace/name". */
void controller_add_object(struct controller *controller, const struct cached_object *object);
/* The key of the object's controlling owner, if it has one of this kind. */
void controller_add_owner(struct controller *controller, const struct cached_object *object,
                          const char *owner_kind);
/* A handler for informers whose objects are the controller's keys; the argument is the
 * controller. */
void controller_handle_object(void *controller, const struct cached_object *old,
                              const struct cached_object *new);

/* Splits a key; both parts are the caller's. A key without a slash has the namespace "". */
void controller_split_key(const char *key, char **namespace, char **name);

/* ---- running a set of controllers ---- */

struct controller_set;

/* All there are; ends with NULL. */
extern const struct controller_type *const controller_types[];

/* Checks a list as --controllers takes it: "*" all, "name" that one, "-name" not that one. */
bool controller_list_check(const char *list, struct error *error);
bool controller_is_listed(const struct controller_type *type, const char *list);

/* Starts those listed and waits for their informers. 'service' and 'settings' are borrowed. */
struct controller_set *controller_set_start(struct service *service,
                                            const struct controller_type *const *types,
                                            const char *list,
                                            const struct controller_settings *settings,
                                            struct error *error);
/* Waits for the workers to finish what they do; closes the service's client when that takes more
 * than a moment. */
void controller_set_stop(struct controller_set *set);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * What Endpoints and EndpointSlices have in common: which pods count as a service's endpoints, on
 * which ports, when a change of a pod matters to its services, and how long such changes are
 * gathered before they are worked on.
 */
#ifndef CONTROLLERS_SERVICE_PODS_H
#define CONTROLLERS_SERVICE_PODS_H

#include <netinet/in.h>

#include "controllers/controller.h"
#include "controllers/pod_view.h"

/* ---- one pod ---- */

/* It has an address and has not come to its end. One that is being deleted counts if asked for. */
bool service_pod_counts(const struct cached_object *pod, bool with_terminating);
/* The number of the port that a service's port (an element of spec.ports) leads to in this pod; 0
 * when its targetPort is a name that none of the pod's ports has. */
int service_pod_port(const json_t *service_port, const struct pod_view *pod);
/* The pod's hostname if the service gives it a name in the DNS, which it does to pods that name it
 * as their subdomain; else "". */
const char *service_pod_hostname(const char *service_name, const struct pod_view *pod);
/* The first of the pod's addresses of a family (AF_INET, AF_INET6) in its canonical form. */
bool service_pod_address(const struct pod_view *pod, int family,
                         char address[static INET6_ADDRSTRLEN]);
/* The family of an address, and its canonical form; 0 when it is none. */
int address_family(const char *text, char address[static INET6_ADDRSTRLEN]);

/* spec.clusterIP says that the service has no address of its own. */
bool service_is_headless(const json_t *service);

/* ---- changes ---- */

/* What is remembered of each service between two syncs. Thread-safe. */
struct service_memory;

struct service_memory *service_memory_new(void);
void service_memory_free(struct service_memory *memory);
void service_memory_forget(struct service_memory *memory, const char *key);
/* When the oldest of the changes happened that this sync is the first to see, for the annotation
 * endpoints.kubernetes.io/last-change-trigger-time: the creation of a service not seen before, or
 * the latest change of readiness of its pods; 0 when nothing of that kind is new. 'pods' are all
 * that the selector finds. For one key on one thread at a time. */
int64_t service_memory_trigger(struct service_memory *memory, const struct cached_object *service,
                               const struct cached_list *pods);

/* Puts the keys of the services that a change of a pod touches into the queue, after a moment in
 * which more such changes gather: the longer, the more pods the service had at its last sync. */
void service_add_of_pod(struct controller *controller, struct informer *services,
                        struct service_memory *memory, const struct cached_object *old,
                        const struct cached_object *new);

/* Sets or takes away the annotation last-change-trigger-time. */
void service_annotate_trigger(json_t *object, int64_t trigger);

#endif

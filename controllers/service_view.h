// SPDX-License-Identifier: Apache-2.0
/*
 * The one service informer of the process, and which services select a pod.
 *
 * Its digest is the selector, parsed once. The index "selector" has each service that has one under
 * one of the labels it asks for, so that a pod's services are found by its labels and not by
 * matching every service of the namespace.
 */
#ifndef CONTROLLERS_SERVICE_VIEW_H
#define CONTROLLERS_SERVICE_VIEW_H

#include "common/informer.h"

struct service_view {
    struct selector *selector; /* NULL: it selects nothing. */
    /* It is of type LoadBalancer, and nobody's in particular. */
    bool is_load_balancer;
    bool is_external_name; /* It is a mere name in the DNS and has no endpoints. */
    char label[];          /* "namespace/key=value": one that its pods have; else "". */
};

struct informer *service_informer(struct informer_factory *informers);

static inline const struct service_view *service_view(const struct cached_object *service)
{
    return service->digest;
}

/* Appends the services whose selector matches the pod's labels. */
void service_find_of_pod(struct informer *services, const struct cached_object *pod,
                         struct cached_list *found);

#endif

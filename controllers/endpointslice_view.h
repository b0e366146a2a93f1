// SPDX-License-Identifier: Apache-2.0
/*
 * The one EndpointSlice informer of the process.
 *
 * Its digest has two hashes of each endpoint, so that what a slice holds is compared with what it
 * is to hold without parsing it: a service of thousands of pods has dozens of slices, and one
 * changed pod concerns one of them.
 */
#ifndef CONTROLLERS_ENDPOINTSLICE_VIEW_H
#define CONTROLLERS_ENDPOINTSLICE_VIEW_H

#include "common/informer.h"

extern const char endpointslice_service_label[], endpointslice_manager_label[];

/* An endpoint as the controllers make it. Strings are never NULL; "" is absent. */
struct endpoint {
    const char *address, *hostname, *node, *zone;
    const char *pod_namespace, *pod_name, *pod_uid; /* Its targetRef. */
    const char *hint_zone, *hint_node;
    bool is_ready, is_serving, is_terminating;
};

/* Which endpoint it is, and all that may change about it. Equal hashes count as equal. */
struct endpoint_hash {
    uint64_t identity, content;
};

struct endpoint_hash endpoint_hash(const struct endpoint *endpoint);
/* The endpoint as JSON; the caller's. */
json_t *endpoint_json(const struct endpoint *endpoint);
/* Of an element of a slice's endpoints; one that no controller would make has a content of 0. */
struct endpoint_hash endpoint_hash_of_json(const json_t *endpoint);
/* Of a list of ports {name, protocol, port, appProtocol} in any order. */
uint64_t endpoint_ports_hash(const json_t *ports);

struct endpointslice_view {
    int family; /* AF_INET or AF_INET6; 0 for domain names. */
    uint64_t ports;
    const char *manager; /* By its label; "" if it has none. */
    size_t count;
    struct endpoint_hash endpoints[]; /* The text of 'manager' follows. */
};

/* With the index "service": "namespace/name" of the service by the label. */
struct informer *endpointslice_informer(struct informer_factory *informers);
extern const struct cached_object_class endpointslice_class;

static inline const struct endpointslice_view *endpointslice_view(const struct cached_object *slice)
{
    return slice->digest;
}

/* Appends the slices of a service that this manager has made and that are not being deleted. */
void endpointslice_find(const struct indexer *slices, const char *service_key, const char *manager,
                        struct cached_list *found);
/* The key of the slice's service, the caller's; NULL when it names none. */
char *endpointslice_service_key(const struct cached_object *slice);
/* It has an owner reference to this object. */
bool endpointslice_is_owned(const struct cached_object *slice, const char *uid);

#endif

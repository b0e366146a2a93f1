// SPDX-License-Identifier: Apache-2.0
/*
 * What the controllers share that keep pods for objects of one kind: when to look at an object
 * again, which pods are its own, and writing what became of them.
 */
#ifndef CONTROLLERS_WORKLOAD_H
#define CONTROLLERS_WORKLOAD_H

#include "controllers/controller.h"
#include "controllers/own_writes.h"

/* All borrowed. */
struct workload {
    struct controller *controller;
    const struct api_resource *resource; /* The kind of the owners. */
    struct informer *owners, *pods;
};

/* What holds beside selector and owner reference for a pod to be an owner's. */
typedef bool workload_fits(const struct cached_object *owner, const struct cached_object *pod);

/* Adds the keys of those in the pod's namespace that would adopt it. 'fits' may be NULL. */
void workload_add_possible_owners(const struct workload *workload, const struct cached_object *pod,
                                  workload_fits *fits);
/* A sync costs what it looks at, and each of these objects brings several events: those of many are
 * gathered for a moment. */
void workload_add_soon(const struct workload *workload, const char *key, size_t objects);
/* The same with the pods that the owner of this uid has. */
void workload_add_with_pods(const struct workload *workload, const char *key, const char *uid);

/* Appends the pods that belong to the owner after adopting and releasing (controllers/owner.h);
 * those that do not fit are left alone. 'fits' and 'finalizer' may be NULL. Blocks. */
bool workload_claim_pods(const struct workload *workload, const struct cached_object *owner,
                         const json_t *tree, workload_fits *fits, const char *finalizer,
                         struct cached_list *pods, struct error *error);

/* Gives the object as it was read this status, and writes it unless it had it. What is written is
 * noted under the key in 'writes', which may be NULL. Blocks. */
bool workload_write_status(struct controller *controller, const struct api_resource *resource,
                           json_t *object, json_t *status, struct own_writes *writes,
                           const char *key, struct error *error);

#endif

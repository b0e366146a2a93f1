// SPDX-License-Identifier: Apache-2.0
/* Creating and deleting the pods of a controller's object, with the events that tell of it. */
#ifndef CONTROLLERS_POD_CONTROL_H
#define CONTROLLERS_POD_CONTROL_H

#include "controllers/controller.h"
#include "controllers/expectations.h"

/* A pod made of spec.template (or of 'template') for its owner: labels, annotations, finalizers and
 * spec of the template, generateName and the controller reference. The caller's. */
json_t *pod_control_make(const json_t *owner, const json_t *pod_template);

/* Creates this many equal pods: first one, or as many as went well together a moment ago under the
 * same key, then twice as many at a time as before while all succeed; so a quota or a bad template
 * costs one refusal and not a thousand. Notes the creations as expected under the key, and takes
 * back those that failed or were not tried. Returns false with the first error when any was not
 * created. Blocks. */
bool pod_control_create(struct controller *controller, const json_t *owner, json_t *pod,
                        size_t count, struct expectations *expectations, const char *key,
                        struct error *error);
/* The same for pods that differ; '*created' is how many there are now. */
bool pod_control_create_all(struct controller *controller, const json_t *owner, json_t *const *pods,
                            size_t count, struct expectations *expectations, const char *key,
                            size_t *created, struct error *error);
/* Deletes these pods of the owner, all at once; one that is gone already is no error. */
bool pod_control_delete(struct controller *controller, const json_t *owner,
                        struct cached_object *const *pods, size_t count,
                        struct expectations *expectations, const char *key, struct error *error);

/* The error says that the namespace is being deleted, where nothing can be created any more. */
bool pod_control_is_namespace_terminating(const struct error *error);

#endif
